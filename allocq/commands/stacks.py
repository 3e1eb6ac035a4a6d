"""`allocq stacks`: shows which call stacks allocate through some tags, while it watches them."""

from __future__ import annotations

import gzip
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from .. import __version__
from ..analysis.stacks import Stack, ordered
from ..errors import AllocqError, SourceError, UsageError
from ..host.processes import Ended, Signals, describe, run
from ..host.tracefs import Instance, usable
from ..model import Filter, Info, Tag
from ..options.commands import MAX_RATE, STACKS_FORMATS, WATCH_TIME
from ..options.shared import COLORS, FOUND, NOTHING
from ..output.json import head_of
from ..output.pprof import pprof
from ..output.speedscope import speedscope
from ..output.stacks import StackLayout, document, folded, table
from ..output.stream import say, warn
from ..output.terminal import Screen, wants_color, wrapped
from ..output.totals import quantity
from ..sources.source import Live, open_live
from ..sources.stacks import (
    LEAST_MAP,
    MAP_SIZE,
    MOST_MAP,
    SHOW_ADDRESSES,
    Seen,
    Sites,
    Watch,
    event_cost,
    find_sites,
    kinds_of,
)
from ..times import parse_duration
from ..units import format_size
from .arguments import choice, number, read_filter, strings, text, text_or
from .nearest import as_meant, tell_no_match
from .saving import Target, read_target

COMMAND_FAILED = 3
_UNPAIRED = "this kernel cannot pair frees (CONFIG_SYNTH_EVENTS): allocations only"
_LOOK = 1.0
_SHARE = 20  # looking takes a twentieth of the time at most


@dataclass(frozen=True, slots=True)
class StacksRequest:
    """The checked options of one `allocq stacks`. seconds: how long to watch, without a command."""

    filter: Filter
    command: list[str]
    seconds: float
    live: bool
    format: str
    limit: int | None
    map_size: int
    max_rate: int
    by_process: bool
    by_size: bool
    layout: StackLayout
    color: str
    source: str | None = None

    def __post_init__(self) -> None:
        if not self.filter.items():
            raise UsageError(
                "stacks needs a WORD", "name a tag: FILE:LINE, a file, function or module"
            )
        if not LEAST_MAP <= self.map_size <= MOST_MAP:
            raise UsageError(
                f"invalid value '{self.map_size}' for --map-size",
                f"{LEAST_MAP} to {MOST_MAP} entries",
            )
        if not self.max_rate:
            raise UsageError("--max-rate must be at least 1")


def read_request(values: Mapping[str, object]) -> StacksRequest:
    """Check the option values. UsageError."""
    command, span = strings(values, "command"), text(values, "span")
    if command and span is not None:
        raise UsageError(
            "--for and a command cannot be used together", "omit --for: the command's end ends it"
        )
    if "command" in values and not command:
        raise UsageError("no command after --", "use allocq stacks WORD -- COMMAND")
    size, rate = number("map-size", values.get("map_size")), number(
        "max-rate", values.get("max_rate")
    )  # fmt: skip
    return StacksRequest(
        filter=read_filter(values),
        command=command,
        seconds=parse_duration(text_or(values, "span", WATCH_TIME)),
        live=bool(values.get("live")),
        format=choice("format", values.get("format"), STACKS_FORMATS) or "table",
        limit=number("limit", values.get("limit")),
        map_size=MAP_SIZE if size is None else size,
        max_rate=MAX_RATE if rate is None else rate,
        by_process=bool(values.get("by_process")),
        by_size=bool(values.get("by_size")),
        layout=StackLayout(
            plain=bool(values.get("bytes")), header=bool(values.get("header", True))
        ),
        color=choice("color", values.get("color"), COLORS) or "auto",
        source=_source(values),
    )


def _source(values: Mapping[str, object]) -> str | None:
    path = text(values, "source")
    if values.get("second_source") is not None:
        raise UsageError(f"{values['second_source']} is a second source", "give one --source")
    if path in ("", "-"):
        raise UsageError("stacks are of the running kernel", "omit --source")
    return path


@dataclass(slots=True)
class Result:
    """What was seen, and what is said about it. before, after: the tags at both ends. cost: seconds
    an event; None if it could not be measured. status: of the command, None without one."""

    stacks: list[Stack]
    seen: Seen
    live: bool
    before: list[Tag]
    after: list[Tag]
    seconds: float
    began: float
    cost: float | None
    notes: list[str] = field(default_factory=list)
    status: int | None = None

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.seen.events / self.seconds if self.seconds else 0.0

    @property
    def overhead(self) -> float | None:
        """The part of the time of all CPUs that the events took."""
        if self.cost is None or not self.seconds:
            return None
        return self.cost * self.seen.events / (self.seconds * (os.cpu_count() or 1))


def stacks_command(values: Mapping[str, object], fd: int = 1) -> int:
    """Run the command; returns 0 if a stack was seen, 1 if none was, 3 if COMMAND failed, 130, 143
    or 129 for SIGINT, SIGTERM or SIGHUP."""
    request = read_request(values)
    suffix = "json" if request.format == "speedscope" else request.format
    target = read_target({**values, "format": suffix}, "table")
    screen = target.screen(fd)
    if request.format == "pprof" and screen.terminal:
        raise UsageError("pprof is binary", "write it to a file: --output stacks.pb.gz")
    opened = open_live(request.source)
    if opened is None:
        raise UsageError(
            f"{request.source} has no call stacks: they are of the running kernel", "omit --source"
        )
    with opened as source:
        facts = usable()
        filter = as_meant(source, request.filter)
        wanted = source.read(filter).tags
        if not wanted:
            tell_no_match(filter, source)
            return NOTHING
        sites = find_sites(wanted, source.read(Filter()).tags)
        if sites.empty:
            hint = SHOW_ADDRESSES if sites.symbols is None else ""
            raise SourceError(f"cannot find the code of the tags: {sites.notes[-1]}", hint)
        live = request.live and facts.synthetic
        if request.live and not live:
            sites.notes.append(_UNPAIRED)
        signals = Signals()
        try:
            with Instance(str(facts.path)) as instance:
                result = _watch(request, instance, sites, live, (source, filter), signals)
        finally:
            signals.restore()
        info = source.info
    ended = signals.caught[0] if signals.caught else 0
    if ended and ended != signal.SIGINT:
        return 128 + ended
    _show(request, result, head_of(filter, info), info, (target, screen, fd))
    if ended:
        return 128 + ended
    if result.status:
        say(f"allocq: {request.command[0]} {describe(result.status)}")
        return COMMAND_FAILED
    return FOUND if result.stacks else NOTHING


def _watch(
    request: StacksRequest,
    instance: Instance,
    sites: Sites,
    live: bool,
    tags: tuple[Live, Filter],
    signals: Signals,
) -> Result:
    source, filter = tags
    cost = event_cost(instance)
    looker = Looker(instance) if request.command else None
    own = [instance.thread_id(), *([looker.id] if looker else [])]
    kinds = kinds_of(source.read(filter).tags)
    apart = request.by_process, request.by_size
    watch = Watch(instance, sites, kinds, live, request.map_size, own, *apart)
    notes = list(sites.notes)
    if watch.missing:
        notes.append(f"this kernel has no events of {' and '.join(watch.missing)}")
    before = source.read(filter).tags
    watch.start()
    began, start = time.time(), time.monotonic()
    guard = Guard(watch, request.max_rate)
    status = None
    if looker:
        status = _run(request.command, guard, looker, signals)
    else:
        guard.wait(request.seconds, signals)
    seen = guard.finish()
    seconds = guard.ended - start
    after = source.read(filter).tags
    notes += guard.notes
    stacks = ordered(seen.stacks, live)
    notes += _unseen(stacks, seen, live, before, after)
    return Result(stacks, seen, live, before, after, seconds, began, cost, notes, status)


def _run(command: Sequence[str], guard: Guard, looker: Looker, signals: Signals) -> int | None:
    """Run the command while the guard looks; its exit status, None if a signal ended it."""
    if signals.caught:
        return None
    with looker.running(guard.loop):
        try:
            return run(command)
        except Ended as end:
            signals.caught.append(end.number)
            return None


class Guard:
    """Ends a watch that costs too much: more than `most` allocations per second."""

    def __init__(self, watch: Watch, most: int) -> None:
        self._watch, self._most = watch, most
        self._pace = _LOOK
        self._at, self._events = time.monotonic(), 0
        self._seen: Seen | None = None
        self._failure: AllocqError | None = None
        self.notes: list[str] = []
        self.ended = self._at

    def wait(self, seconds: float, signals: Signals) -> None:
        """Watch for so long, until a signal comes, or until it costs too much."""
        end = time.monotonic() + seconds
        while not signals.caught and self._seen is None and (left := end - time.monotonic()) > 0:
            try:
                signals.waiting = True
                if not signals.caught:
                    time.sleep(min(left, self._pace))
            except InterruptedError:
                pass
            finally:
                signals.waiting = False
            if end - time.monotonic() > 0 and not signals.caught:
                self._look()

    def loop(self, done: threading.Event) -> None:
        """Look from a thread of its own until `done`, while something else goes on."""
        while not done.wait(self._pace) and self._seen is None:
            try:
                self._look()
            except AllocqError as error:
                self._failure = error
                return

    def _look(self) -> None:
        start = time.monotonic()
        events = self._watch.events()
        rate = (events - self._events) / max(start - self._at, 1e-3)
        self._at, self._events = start, events
        self._pace = max(_LOOK, _SHARE * (time.monotonic() - start))
        if rate > self._most:
            self.ended = time.monotonic()
            self._seen = self._watch.stop()
            self.notes.append(
                f"stopped early: {round(rate):,} allocations a second, more than --max-rate"
                f" {self._most}"
            )

    def finish(self) -> Seen:
        """End the watch, unless it has ended already. SourceError."""
        if self._failure:
            raise self._failure
        if self._seen is None:
            self.ended = time.monotonic()
            self._seen = self._watch.stop()
        return self._seen


class Looker:
    """A thread that looks while a command runs. It starts before anything is counted, so that what
    it allocates can be left out. id: of the thread, as events name it."""

    def __init__(self, instance: Instance) -> None:
        self.id = 0
        self._known, self._begun, self._done = (threading.Event() for _ in range(3))
        self._loop: Callable[[threading.Event], None] | None = None
        self._thread = threading.Thread(target=self._run, args=(instance,), daemon=True)
        self._thread.start()
        self._known.wait()

    def _run(self, instance: Instance) -> None:
        try:
            self.id = instance.thread_id()
        finally:
            self._known.set()
        self._begun.wait()
        if self._loop:
            self._loop(self._done)

    @contextmanager
    def running(self, loop: Callable[[threading.Event], None]) -> Iterator[None]:
        """Run `loop` in the thread until the end of the `with` statement."""
        self._loop = loop
        self._begun.set()
        try:
            yield
        finally:
            self._done.set()
            self._thread.join()


def _unseen(
    stacks: Sequence[Stack], seen: Seen, live: bool, before: Sequence[Tag], after: Sequence[Tag]
) -> list[str]:
    """What the stacks do not have."""
    notes = []
    if seen.dropped:
        words = ", ".join(f"{count:,} {name}" for name, count in seen.dropped.items())
        notes.append(f"dropped because the tables were full: {words}; --map-size makes them larger")
    if seen.unpaired:
        notes.append(f"{quantity(seen.unpaired, 'free')} of stacks that were dropped")
    held, calls = _sum(before)
    if held or calls:
        words = f"{format_size(held)} in {quantity(calls, 'call')}"
        notes.append(f"allocated before, so not seen: {words}")
    grown, more = _sum(after)
    grown, more = grown - held, more - calls
    verb, sign = ("shrank", -1) if grown < 0 and more <= 0 else ("grew", 1)
    words = f"meanwhile the tags {verb} by {format_size(sign * grown)}"
    words += f" and {quantity(sign * more, 'call')}"
    left = sum(stack.live_bytes for stack in stacks)
    if live and max(grown, 0) < left:
        words += ": what is live here and not there was freed without an event (kfree_rcu, in bulk)"
        words += ", or is new in place of what was freed"
    notes.append(words)
    return notes


def _sum(tags: Sequence[Tag]) -> tuple[int, int]:
    return sum(tag.bytes for tag in tags), sum(tag.calls for tag in tags)


def _show(
    request: StacksRequest,
    result: Result,
    head: dict[str, object],
    info: Info,
    place: tuple[Target, Screen, int],
) -> None:
    target, screen, fd = place
    out = target.open(fd, screen.terminal and request.format != "table")
    for piece in _render(request, result, head, screen):
        out.write(piece)
    out.release()
    for warning in info.warnings:
        warn(warning)
    if request.format not in ("table", "json"):
        for note in [_cost_words(result), *result.notes]:
            say(f"allocq: {note}")
    elif request.format == "json":
        if result.seen.dropped:
            warn("events were dropped: see `dropped`")
        if request.live and not result.live:
            warn(_UNPAIRED)


def _render(
    request: StacksRequest, result: Result, head: dict[str, object], screen: Screen
) -> Iterator[bytes]:
    shown = result.stacks[: request.limit]
    live = result.live
    if request.format == "table":
        lines = _table(request, result, screen)
        yield "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    elif request.format == "folded":
        yield from folded(shown, live)
    elif request.format == "speedscope":
        yield speedscope(shown, live, _title(request), f"allocq {__version__}")
    elif request.format == "pprof":
        yield gzip.compress(
            pprof(shown, live, round(result.began * 1e9), round(result.seconds * 1e9)), mtime=0
        )
    else:
        yield from document(shown, live, head, _facts(result))


def _table(request: StacksRequest, result: Result, screen: Screen) -> Iterator[str]:
    width = screen.width
    layout = StackLayout(
        width,
        request.layout.plain,
        wants_color(request.color, screen.terminal),
        request.layout.header,
        request.limit,
    )
    yield from table(result.stacks, result.live, layout)
    for note in [_cost_words(result), *result.notes]:
        yield from [note] if width is None else wrapped(note, width)


def _cost_words(result: Result) -> str:
    words = f"{quantity(result.seen.events, 'event')} in {result.seconds:.1f} s"
    words += f" ({result.rate:,.0f} a second)"
    if result.cost is None or result.overhead is None:
        return words
    cpus = quantity(os.cpu_count() or 1, "CPU")
    return f"{words}, {result.cost * 1e6:.1f} us each: {result.overhead:.2%} of {cpus}"


def _title(request: StacksRequest) -> str:
    names = [*request.filter.words, *request.filter.functions, *request.filter.files]
    return " ".join(names) or "allocq stacks"


def _facts(result: Result) -> dict[str, object]:
    """The members behind the list."""
    ends = {tag.key: [tag, tag] for tag in result.before}
    for tag in result.after:
        ends.setdefault(tag.key, [tag, tag])[1] = tag
    tags = [
        {
            "file": first.file,
            "line": first.line,
            "module": first.module,
            "function": first.function,
            "bytes": [first.bytes, last.bytes],
            "calls": [first.calls, last.calls],
        }
        for first, last in ends.values()
    ]
    total = {
        "stacks": len(result.stacks),
        "bytes": sum(stack.bytes for stack in result.stacks),
        "calls": sum(stack.calls for stack in result.stacks),
    }
    if result.live:
        total["live_bytes"] = sum(stack.live_bytes for stack in result.stacks)
        total["live_calls"] = sum(stack.live_calls for stack in result.stacks)
    cost = {
        "events": result.seen.events,
        "events_per_second": result.rate,
        "seconds_per_event": result.cost,
        "overhead": result.overhead,
    }
    return {
        "live": result.live,
        "seconds": result.seconds,
        "dropped": result.seen.dropped,
        "cost": cost,
        "tags": tags,
        "notes": result.notes,
        "total": total,
    }
