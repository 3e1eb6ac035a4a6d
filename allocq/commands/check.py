"""`allocq check`: fail when something grew more than allowed.

A kernel is never quiet: counters go up and down with every process and file. So the baseline is
the highest of several readings, taken while all that will be done is rehearsed with a child that
does nothing; afterwards the lowest of the readings counts, and as long as something is over, there
is another reading after a while, up to the number of retries. What was lent, freed late (RCU,
per-CPU lists) or merely cached by the allocator comes back below; a leak stays over in every one.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ..analysis.diff import Change, names_only, passing
from ..analysis.leak import Level, grown
from ..core.kernel import profiling_switch
from ..declarations.commands import CHECK_FORMATS, INTERVAL, MAX_GROWTH, RETRIES
from ..declarations.shared import FOUND, INTERFACES, NOTHING
from ..errors import SourceError, UsageError
from ..host.caches import drain_lists, drop_caches, page_cache
from ..host.processes import Ended, describe, run
from ..model import Filter
from ..output import Shape, junit, writer
from ..output.changes import ChangeLayout, place_of
from ..output.stream import Output, say, warn
from ..sources.source import tags_of
from ..storage.files import check_free, save
from ..units import format_size, parse_size
from .arguments import (
    View,
    choice,
    number,
    read_filter,
    read_table_view,
    shape_of,
    strings,
    text,
)
from .listings import Side, differences, elapsed, filter_alike, heading, read_side

Read = Callable[..., tuple[Side, int]]

BROKEN = 3
REHEARSALS, MOST_REHEARSALS = 3, 10
PAUSE = 0.1
_MOST_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """All of one `allocq check`."""

    filter: Filter
    command: list[str]
    baseline: str | None
    source: str | None
    interface: str
    max_growth: int
    retries: int
    interval: float
    drop_caches: bool
    ignore_lines: bool
    format: str
    report: str | None
    quiet: bool
    view: View

    def __post_init__(self) -> None:
        if not self.command and self.baseline is None:
            raise UsageError(
                "nothing to compare with",
                "give a command (allocq check -- COMMAND) or --baseline FILE",
            )
        if self.source is not None and self.command:
            raise UsageError(
                "--source is what is compared, so there is nothing to run",
                "leave the command or --source out",
            )
        if self.baseline == "-" and (self.source == "-" or self.command):
            raise UsageError("standard input can be read once", "name a file as the baseline")


def read_request(values: Mapping[str, object]) -> CheckRequest:
    """The values of the options, checked. UsageError for a bad one."""
    retries = number("retries", values.get("retries"))
    report = text(values, "report")
    return CheckRequest(
        filter=read_filter(values),
        command=strings(values, "command"),
        baseline=text(values, "baseline"),
        source=text(values, "source"),
        interface=choice("interface", values.get("interface"), INTERFACES) or "auto",
        max_growth=parse_size(str(values.get("max_growth", MAX_GROWTH))),
        retries=RETRIES if retries is None else retries,
        interval=_seconds(values.get("interval")),
        drop_caches=bool(values.get("drop_caches")),
        ignore_lines=bool(values.get("ignore_lines")),
        format=choice("format", values.get("format"), CHECK_FORMATS) or "table",
        report=None if report == "-" else report,
        quiet=bool(values.get("quiet")),
        view=read_table_view(values),
    )


@dataclass(slots=True)
class Result:
    """What came of it. status: of the command, None where none was run."""

    baseline: Side
    after: Side
    grown: list[Change]
    tags: int
    readings: int
    status: int | None
    seconds: float


def check_command(values: Mapping[str, object]) -> int:
    """The subcommand's body: 0 nothing leaked, 1 something did, 2 could not tell, 3 the command
    failed. 130 and 143 for SIGINT and SIGTERM."""
    ask = read_request(values)
    _make_ready(ask)
    try:
        result = _measure(ask)
    except Ended as end:
        return 128 + end.number
    _report(ask, result)
    if result.status:
        say(f"allocq: {ask.command[0]} {describe(result.status)}")
        return BROKEN
    return NOTHING if result.grown else FOUND


def _make_ready(ask: CheckRequest) -> None:
    """Find out now what would fail only after the command has run."""
    if ask.report is not None:
        check_free(ask.report, force=True)
    if ask.source is None:
        _need_counters()


def _need_counters() -> None:
    """Counters that stand still would call every leak none."""
    if profiling_switch() == "0":
        raise SourceError(
            "vm.mem_profiling is 0: the counters stand still, so nothing can be told",
            "sysctl vm.mem_profiling=1",
        )


def _measure(ask: CheckRequest) -> Result:
    names = names_only(ask.filter)
    before, after = Level(highest=True), Level(highest=False)
    baseline = None if ask.baseline is None else read_side(ask.baseline, names)
    noted = baseline.filter if baseline else None

    def read(*into: Level) -> tuple[Side, int]:
        cached = 0
        if ask.source is None:
            drain_lists()
            cached = page_cache()
        side = read_side(ask.source, names, ask.interface, described=False)
        if noted:
            side.narrow(noted)
        raised = [level_.take(tags_of(side.table), ask.ignore_lines, cached) for level_ in into]
        return side, max(raised)

    if ask.drop_caches:
        drop_caches()
        time.sleep(ask.interval)
    if baseline:
        _set_side_by_side(ask, baseline)
        before.take(tags_of(baseline.table), ask.ignore_lines)
    else:
        baseline = _rehearse(ask, before, read)
    started = time.monotonic()
    status = run(ask.command) if ask.command else None
    seconds = time.monotonic() - started
    last, _ = read(after)
    _settle(ask, before, after, read)
    leaks = _over(ask, before, after)
    if ask.source is None:
        _need_counters()
    return Result(baseline, last, leaks, len(after.counts), after.readings, status, seconds)


def _rehearse(ask: CheckRequest, before: Level, read: Read) -> Side:
    """Do all that will be done, with a child that does nothing, and note what it takes.

    This process's own memory, and what a child leaves behind for a while, are then in the baseline.
    Again until that goes up no more to speak of, or often enough.
    """
    for rehearsal in range(1, MOST_REHEARSALS + 1):
        after = Level(highest=False)
        if sys.executable:
            run([sys.executable, "-I", "-S", "-c", "pass"])
        _, first = read(after, before)
        time.sleep(PAUSE)
        baseline, second = read(after, before)
        _over(ask, before, after)
        if rehearsal >= REHEARSALS and max(first, second) <= ask.max_growth // 8:
            break
    return baseline


def _settle(ask: CheckRequest, before: Level, after: Level, read: Read) -> None:
    """Read again while something is over and retries are left."""
    for _ in range(ask.retries if ask.source is None else 0):
        if not _over(ask, before, after):
            return
        if ask.drop_caches:
            drop_caches()
        time.sleep(ask.interval)
        read(after)


def _set_side_by_side(ask: CheckRequest, baseline: Side) -> None:
    """Say what makes a baseline from elsewhere hard to compare with, before it is used."""
    now = read_side(ask.source, names_only(ask.filter), ask.interface)
    warnings = [*baseline.info.warnings, *filter_alike(baseline, now), *differences(baseline, now)]
    for warning in warnings:
        warn(warning)


def _over(ask: CheckRequest, before: Level, after: Level) -> list[Change]:
    cached = after.cached - before.cached if ask.baseline is None else 0
    named = bool(ask.filter.files or ask.filter.functions)
    changes = grown(before, after, ask.max_growth, cached, slab_pages=named)
    return passing(changes, ask.filter) if ask.filter.asks_counters else changes


def _report(ask: CheckRequest, result: Result) -> None:
    if ask.quiet and ask.report is None:
        return
    data = b"".join(_render(ask, result, terminal=ask.report is None and os.isatty(1)))
    if ask.report is not None:
        save(ask.report, (data,), force=True)
        return
    out = Output(1)
    out.write(data)
    out.release()


def _render(ask: CheckRequest, result: Result, terminal: bool) -> Iterator[bytes]:
    shape = shape_of(ask.view, "table", terminal)
    if ask.format == "junit":
        failure = describe(result.status) if result.status else ""
        shape.width, shape.color = None, False
        table = b"".join(_table(ask, result, shape)).decode("utf-8", "replace")
        details = table.splitlines() if result.grown else []
        yield junit.report(result.seconds, ask.command, failure, verdict(ask, result), details)
    elif ask.format == "json":
        layout = ChangeLayout(False, None, elapsed(result.baseline, result.after))
        write = writer("json", shape, layout.columns)
        yield write.begin(_head(ask, result), "grown")
        yield from write.rows(layout.rows(result.grown))
        yield write.end(layout.total(result.grown), "")
    else:
        yield from _table(ask, result, shape)


def _table(ask: CheckRequest, result: Result, shape: Shape) -> Iterator[bytes]:
    """What grew, and the verdict as the last line."""
    layout = ChangeLayout(True, None, None)
    write = writer("table", shape, layout.columns)
    yield write.begin({}, "grown")
    yield from write.rows(layout.rows(result.grown))
    yield write.end(layout.total(result.grown), "in all")
    yield (verdict(ask, result) + "\n").encode("utf-8", "replace")


def verdict(ask: CheckRequest, result: Result) -> str:
    """The outcome in one line; the largest growth is named."""
    allowed = f"more than {ask.max_growth if ask.view.bytes else format_size(ask.max_growth)}"
    if not result.grown:
        return f"ok: none of {result.tags} places grew by {allowed}"
    first = result.grown[0]
    where, function = place_of(first)
    count = len(result.grown)
    what = "1 place" if count == 1 else f"{count} places"
    growth = first.bytes if ask.view.bytes else format_size(first.bytes)
    return f"leaked: {what} grew by {allowed}, most of all {where} {function} (+{growth})"


def _head(ask: CheckRequest, result: Result) -> dict[str, object]:
    """What the JSON document says in front of its list."""
    seconds = elapsed(result.baseline, result.after)
    return {
        **heading(result.baseline, result.after, ask.filter, seconds),
        "command": ask.command or None,
        "status": result.status,
        "verdict": verdict(ask, result),
        "max_growth": ask.max_growth,
        "readings": result.readings,
    }


def _seconds(value: object) -> float:
    """A time in seconds; UsageError for what is none."""
    if value is None:
        return INTERVAL
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MOST_SECONDS:
        raise UsageError(f"bad --interval '{value}'", "seconds: 0.5, 2")
    return seconds
