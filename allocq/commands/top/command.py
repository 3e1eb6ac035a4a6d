"""`allocq top`: shows what grows, on a screen or plainly; replays recordings."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...model import Filter
from ...options.commands import TOP_FORMATS, TOP_INTERVAL, TOP_SORTS
from ...options.shared import FOUND, GROUPS, INTERRUPTED
from ...output.stream import Output, warn
from ...output.terminal import screen_of, speaks_utf8, wants_color
from ...sources.replay import Replay
from ...sources.series import open_series
from ...sources.source import open_live
from ...sources.watching import Watcher
from ...times import parse_duration, parse_time
from ..arguments import (
    View,
    choice,
    number,
    read_filter,
    read_table_view,
    resolve_words,
    shape_of,
    text,
    text_or,
)
from ..nearest import options_of
from .batch import Batch
from .feed import Feed, LiveFeed, ReplayFeed
from .viewer import Choices, Viewer

if TYPE_CHECKING:
    from .terminal import Terminal

SHORTEST = 0.05
_TICK = 0.25


@dataclass(frozen=True, slots=True)
class TopRequest:
    """The checked options of one `allocq top`. at: seconds since 1970; count: refreshes."""

    choices: Choices
    source: str | None
    at: float | None
    interface: str
    batch: bool
    count: int | None
    format: str
    limit: int | None
    view: View


def read_request(values: Mapping[str, object]) -> TopRequest:
    """Check the option values. UsageError."""
    values = resolve_words(values)
    seconds = parse_duration(text_or(values, "interval", TOP_INTERVAL))
    if seconds < SHORTEST:
        raise UsageError(f"the interval is too short: {seconds:g}s", f"at least {SHORTEST:g}s")
    source, when = text(values, "source"), text(values, "at")
    if source == "":
        raise UsageError("--source is empty", "name a recording or a folder of saved listings")
    if values.get("second_source") is not None:
        raise UsageError(f"{values['second_source']} is a second source", "give one --source")
    if when is not None and source is None:
        raise UsageError("--at needs --source DIR", "name a recording")
    batch = bool(values.get("batch"))
    format = choice("format", values.get("format"), TOP_FORMATS)
    limit = number("limit", values.get("limit"))
    for name, given in (("format", format), ("limit", limit)):
        if given is not None and not batch:
            raise UsageError(f"--{name} needs --batch", "the screen shows what fits")
    count = number("count", values.get("count"))
    if count == 0:
        raise UsageError("--count must be at least 1")
    return TopRequest(
        Choices(
            read_filter(values),
            choice("sort", values.get("sort"), TOP_SORTS) or "growth",
            bool(values.get("reverse")),
            choice("group-by", values.get("group_by"), GROUPS),
            seconds,
            bool(values.get("bytes")),
        ),
        source,
        None if when is None else parse_time(when, time.time()),
        str(values.get("interface") or "auto"),
        batch,
        count,
        format or "table",
        limit,
        read_table_view(values),
    )


def top_command(values: Mapping[str, object]) -> int:
    """Run the command until the user quits, or for --count refreshes; returns the exit status."""
    request = read_request(values)
    curses = None
    if not request.batch:
        from .terminal import need_terminal

        curses = need_terminal()
    warnings: list[str] = []
    with ExitStack() as stack:
        feed = _opened(request, stack, warnings)
        warnings += _unmatched(feed, request.choices.filter)
        if curses is None:
            status = _batch(request, feed, warnings)
        else:
            status = _on_screen(request, feed, warnings, curses)
    for warning in warnings:
        warn(warning)
    return status


def _opened(request: TopRequest, stack: ExitStack, warnings: list[str]) -> Feed:
    """The feed, with its first reading. warnings: what to say in the end, more may come."""
    choices, path = request.choices, request.source
    if path is not None and os.path.isdir(path):
        series = open_series(path)
        replay = Replay(series)
        filter = choices.filter.without_bounds() if choices.by else choices.filter
        feed: Feed = ReplayFeed(replay, filter, request.at)
        warnings += series.warnings
        _widen(feed, choices)
        return feed
    source = None if path == "-" else open_live(path, request.interface)
    if source is None:
        raise UsageError(
            f"{'standard input' if path == '-' else path} is one listing: nothing grows in it",
            "name a recording or a folder of listings; allocq query shows one",
        )
    stack.enter_context(source)
    if request.at is not None:
        raise UsageError("--at needs a recording", "name one with --source DIR")
    feed = LiveFeed(Watcher(source))
    _widen(feed, choices)
    feed.advance(Viewer(feed, choices).asked)
    warnings += source.info.warnings
    return feed


def _unmatched(feed: Feed, filter: Filter) -> list[str]:
    """What to say where no tag matches; one may come."""
    reading = feed.board.reading
    if not filter.items() or (reading and reading.keys):
        return []
    words = f"no tag matches {options_of(filter)}"
    folder = next((word for word in filter.words if os.path.isdir(word)), None)
    return [words if folder is None else f"{words}; --source {folder} replays a recording"]


def _widen(feed: Feed, choices: Choices) -> None:
    """Take relative globs and directories anywhere in a path if nothing matches otherwise."""
    wider = choices.filter.widened()
    if wider is not None and not feed.matches(choices.filter):
        choices.filter = wider


def _batch(request: TopRequest, feed: Feed, warnings: list[str]) -> int:
    screen = screen_of(1)
    choices, format = request.choices, request.format
    viewer = Viewer(feed, choices)
    out = Output(1, escape=screen.terminal and format != "table")
    shape = shape_of(request.view, format, screen)
    utf8 = speaks_utf8(os.environ)
    batch = Batch(out, format, shape, request.limit, choices.by, utf8)
    is_live, printed, stale = feed.position is None, 0, ""
    while warnings:
        warn(warnings.pop(0))
    if not is_live:
        batch.print(viewer.scene())
        printed = 1
    due = time.monotonic()
    while request.count is None or printed < request.count:
        if is_live:
            due = max(due + choices.seconds, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
        viewer.refresh()
        if viewer.at_end:
            break
        printed += 1
        if viewer.stale and viewer.stale != stale:
            warn(viewer.stale)
        stale = viewer.stale
        if not stale:
            batch.print(viewer.scene())
    return FOUND


def _on_screen(request: TopRequest, feed: Feed, warnings: list[str], curses: ModuleType) -> int:
    from .terminal import EndedError, on_terminal

    viewer = Viewer(feed, request.choices, _draws_bars())
    viewer.say("; ".join(warnings))
    color = wants_color(request.view.color, True)
    try:
        with on_terminal(curses, color) as terminal, suppress(EndedError):
            _watch(terminal, viewer, request)
    finally:
        viewer.close()
    if terminal.ended_by == signal.SIGINT:
        return INTERRUPTED
    if terminal.ended_by:
        signal.signal(terminal.ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), terminal.ended_by)
    return FOUND


def _watch(terminal: Terminal, viewer: Viewer, request: TopRequest) -> None:
    """Show, read keys, refresh, until somebody wants the end."""
    left, seconds = request.count, request.choices.seconds
    due = time.monotonic() + seconds
    while not viewer.ended and not terminal.ended_by and left != 0:
        terminal.draw(viewer.page(*terminal.size()))
        limit = None if viewer.paused else due - time.monotonic()
        if viewer.busy:
            limit = _TICK if limit is None else min(limit, _TICK)
        for key in terminal.wait(limit):
            if key == "ctrl-l":
                terminal.again()
            else:
                viewer.press(key)
        viewer.look()
        begun = time.monotonic()
        if viewer.paused or begun < due or terminal.ended_by or viewer.ended:
            continue
        viewer.refresh()
        ended = time.monotonic()
        # Where reading takes long, it is done less often.
        due = max(due + seconds, ended + (ended - begun))
        left = None if left is None else left - 1


def _draws_bars() -> bool:
    """Does the terminal have the characters of a sparkline? Those called vt100 to vt525 have not,
    whatever the locale says."""
    return speaks_utf8(os.environ) and not os.environ.get("TERM", "").startswith("vt")
