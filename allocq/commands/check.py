"""`allocq check`: fails if a tag grew more than allowed.

Counters move with every process and file. The baseline is therefore the highest of several
readings, taken while the whole check is rehearsed with a child that does nothing. Afterwards the
lowest reading counts, and while a tag is over the limit it is read again, up to --retries times.
Memory freed late (RCU, per-CPU lists) or cached by the allocator drops below the limit; a leak
stays above it in every reading.
"""

import mmap
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ..analysis.diff import Change, names_only, passing
from ..analysis.leak import UNKNOWN, Held, Level, Steady, grown, steady
from ..core.kernel import profiling_switch
from ..core.table import Table
from ..errors import FormatError, SourceError, UsageError
from ..host.caches import drain_lists, drop_caches, user_memory
from ..host.processes import Ended, describe, run
from ..model import Filter
from ..options.commands import CHECK_FORMATS, INTERVAL, MAX_GROWTH, RETRIES
from ..options.shared import FOUND, INTERFACES, NOTHING
from ..output import Shape, junit, tap, writer
from ..output.changes import ChangeLayout, place_of
from ..output.stream import Output, say, warn
from ..sources.source import tags_of
from ..storage.files import check_free, save
from ..storage.snapshot import saved_meminfo
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
from .listings import (
    Side,
    differences,
    filter_alike,
    heading,
    interval,
    lacks_end,
    read_side,
)
from .nearest import no_match

Read = Callable[..., tuple[Side, int]]

COMMAND_FAILED = 3
REHEARSALS, MOST_REHEARSALS = 3, 10
PAUSE = 0.1
LEAST_RUNS = 5
_MOST_RUNS = 100_000
# A counter of /proc/meminfo lags by at most 125 pages a CPU (calculate_normal_threshold()).
_LAG = 125 * mmap.PAGESIZE
_SAVE_AGAIN = "save it again: allocq snapshot FILE"
_MOST_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """The checked options of one `allocq check`."""

    filter: Filter
    command: list[str]
    baseline: str | None
    source: str | None
    interface: str
    max_growth: int
    retries: int
    repeat: int | None
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
                "check needs a command or --baseline",
                "use allocq check -- COMMAND, or --baseline FILE",
            )
        if self.source is not None and self.command:
            raise UsageError(
                "--source and a command cannot be used together",
                "omit --source to check the running kernel",
            )
        if self.repeat is not None and not self.command:
            raise UsageError("--repeat needs a command", "use allocq check --repeat 20 -- COMMAND")
        if self.repeat is not None and self.baseline is not None:
            raise UsageError(
                "--repeat and --baseline cannot be used together",
                "omit --baseline: growth is measured from run to run",
            )
        if self.repeat is not None and not LEAST_RUNS <= self.repeat <= _MOST_RUNS:
            raise UsageError(
                f"invalid value '{self.repeat}' for --repeat",
                f"{LEAST_RUNS} to {_MOST_RUNS} runs show steady growth",
            )
        if self.quiet and self.report is not None:
            raise UsageError(
                "--quiet and --report cannot be used together", "omit --quiet: FILE gets the report"
            )
        if self.baseline == "-" and (self.source == "-" or self.command):
            raise UsageError("standard input can be read only once", "name a file as the baseline")


def read_request(values: Mapping[str, object]) -> CheckRequest:
    """Check the option values. UsageError."""
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
        repeat=number("repeat", values.get("repeat")),
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
    """The outcome of a check. status: of the command, None if none was run.

    grown: what is over the limit, and what grew steadily.
    """

    baseline: Side
    after: Side
    grown: list[Change]
    tags: int
    readings: int
    status: int | None
    seconds: float
    steady: list[Steady] = field(default_factory=list)


def check_command(values: Mapping[str, object]) -> int:
    """Run the command. Returns 0: nothing leaked, 1: something leaked, 3: COMMAND failed, 130, 143
    or 129: SIGINT, SIGTERM or SIGHUP. Raises AllocqError if undetermined."""
    request = read_request(values)
    _check_early(request)
    try:
        result = _measure(request)
    except Ended as end:
        return 128 + end.number
    _report(request, result)
    if result.status:
        say(f"allocq: {request.command[0]} {describe(result.status)}")
        return COMMAND_FAILED
    return NOTHING if result.grown else FOUND


def _check_early(request: CheckRequest) -> None:
    """Fail early for what would otherwise fail after the command has run."""
    if request.report is not None:
        check_free(request.report, force=True)
    if request.source is None:
        _need_counters()


def _need_counters() -> None:
    """SourceError if profiling is off: frozen counters would hide every leak."""
    if profiling_switch() == "0":
        raise SourceError(
            "profiling is off (vm.mem_profiling is 0): the counters are frozen",
            "sudo sysctl vm.mem_profiling=1",
        )


def _measure(request: CheckRequest) -> Result:
    names = names_only(request.filter)
    before, after = Level(highest=True), Level(highest=False)
    baseline = None if request.baseline is None else read_side(request.baseline, names)
    saved_filter = baseline.filter if baseline else None
    now: Side | None = None

    def read(*into: Level) -> tuple[Side, int]:
        held = UNKNOWN
        if request.source is None:
            drain_lists()
            held = _held(user_memory())
        if request.source is not None and now is not None:
            side = now  # a pipe can be read only once
        else:
            side = read_side(request.source, names, request.interface, described=False)
        if baseline and saved_filter:
            side.narrow_like(baseline, saved_filter, request.ignore_lines)
        if request.source is not None:
            held = _held(saved_meminfo(side.metadata))
        raised = [level.take(tags_of(side.table), request.ignore_lines, held) for level in into]
        return side, max(raised)

    if request.drop_caches:
        drop_caches()
        time.sleep(request.interval)
    if baseline:
        now = read_side(request.source, names, request.interface)
        _refuse_parts(baseline, now)
        _warn_of_differences(request, baseline, now)
        held = _held(saved_meminfo(baseline.metadata))
        before.take(tags_of(baseline.table), request.ignore_lines, held)
        before.unlisted = baseline.excerpt.smallest if baseline.excerpt else None
    else:
        baseline = _rehearse(request, before, read)
    started = time.monotonic()
    status, series = _run(request, read)
    seconds = time.monotonic() - started
    last, _ = read(after)
    _settle(request, before, after, series, read)
    leaks = _over_limit(request, before, after)
    steadily = _steady(request, series, after)
    over = {change.key for change in leaks}
    leaks += [each.change for each in steadily if each.change.key not in over]
    if request.source is None:
        _need_counters()
    if not before.counts and not after.counts:
        _refuse_no_tags(request)
    tags = len(after.counts)
    return Result(baseline, last, leaks, tags, after.readings, status, seconds, steadily)


def _run(request: CheckRequest, read: Read) -> tuple[int | None, list[Level]]:
    """Run the command, --repeat times if asked for, after once to warm up. Returns the status of
    the last run, which is the first that fails, and the readings around each run."""
    if not request.command:
        return None, []
    status = run(request.command)
    series: list[Level] = []
    for turn in range((request.repeat or -1) + 1):
        if turn:
            status = run(request.command)
        if status:
            break
        level = Level(highest=False)
        read(level)
        series.append(level)
    return status, series


def _steady(request: CheckRequest, series: list[Level], after: Level) -> list[Steady]:
    if request.repeat is None or len(series) <= request.repeat:
        return []
    found = steady(series, after, _named(request))
    kept = passing([each.change for each in found], request.filter)
    keys = {change.key for change in kept}
    return [each for each in found if each.change.key in keys]


def _refuse_no_tags(request: CheckRequest) -> None:
    """UsageError with the nearest names: a gate that tests nothing does not pass."""
    if request.source == "-":  # which was read
        message, hint = no_match(request.filter, Table())
    else:
        side = read_side(request.source, Filter(), request.interface, described=False)
        message, hint = no_match(request.filter, side.table)
    raise UsageError(f"{message}: nothing was checked", hint or "allocq query lists the tags")


def _held(amounts: Mapping[str, int]) -> Held:
    """What users hold, by the names of /proc/meminfo. tmpfs is not a cache."""
    if not {"Cached", "Buffers", "Shmem", "AnonPages"} <= amounts.keys():
        return UNKNOWN
    cache = amounts["Cached"] + amounts["Buffers"] - amounts["Shmem"]
    return Held(cache, amounts["AnonPages"], 0)


def _size_of_file(path: str) -> int:
    """What a file takes on a tmpfs, which is memory; 0 if there is none."""
    try:
        return os.stat(path).st_blocks * 512
    except OSError:
        return 0


def _named(request: CheckRequest) -> bool:
    return bool(request.filter.files or request.filter.functions)


def _rehearse(request: CheckRequest, before: Level, read: Read) -> Side:
    """Do everything the check does, with a child that does nothing, and record the counters.

    The baseline then includes this process's own memory and what a child leaves behind for a while.
    Repeat until the counters hardly rise, at most MOST_REHEARSALS times.
    """
    for rehearsal in range(1, MOST_REHEARSALS + 1):
        after = Level(highest=False)
        if sys.executable:
            run([sys.executable, "-I", "-S", "-c", "pass"])
        _, first = read(after, before)
        time.sleep(PAUSE)
        baseline, second = read(after, before)
        _over_limit(request, before, after)
        if rehearsal >= REHEARSALS and max(first, second) <= request.max_growth // 8:
            break
    return baseline


def _settle(
    request: CheckRequest, before: Level, after: Level, series: list[Level], read: Read
) -> None:
    """Read again while a tag is over the limit and retries are left."""
    for _ in range(request.retries if request.source is None else 0):
        if not (_over_limit(request, before, after) or _steady(request, series, after)):
            return
        if request.drop_caches:
            drop_caches()
        time.sleep(request.interval)
        read(after)


def _refuse_parts(baseline: Side, now: Side) -> None:
    """FormatError for a listing without its end: what is missing in it did not grow."""
    for side, other in ((baseline, now), (now, baseline)):
        if side.is_empty and not side.metadata.get("filter"):
            raise FormatError(f"{side.name} has no tags: what grew is undetermined", _SAVE_AGAIN)
        if side.info.truncated or lacks_end(side, other):
            raise FormatError(f"{side.name} is truncated: what grew is undetermined", _SAVE_AGAIN)


def _warn_of_differences(request: CheckRequest, baseline: Side, now: Side) -> None:
    """Warn about what makes a baseline from a file hard to compare."""
    warnings = [
        *baseline.info.warnings,
        *filter_alike(baseline, now, ignore_lines=request.ignore_lines),
        *differences(baseline, now),
    ]
    if baseline.excerpt:
        warnings.append(
            f"{baseline.name} is an excerpt ({baseline.excerpt.why}): a tag missing in it held at"
            f" most {format_size(baseline.excerpt.smallest)} then"
        )
    for warning in warnings:
        warn(warning)


def _over_limit(request: CheckRequest, before: Level, after: Level) -> list[Change]:
    held = after.held.since(before.held)
    if request.baseline is not None:
        held = _widened(held, _size_of_file(request.baseline))
    changes = grown(before, after, request.max_growth, held, _named(request))
    return passing(changes, request.filter) if request.filter.asks_counters else changes


def _widened(held: Held, shmem: int) -> Held:
    """More is excused for a baseline from a file: amounts were not refreshed when it was saved, and
    the file itself may be on a tmpfs."""
    lag = _LAG * (os.cpu_count() or 1)
    cache = None if held.cache is None else held.cache + lag
    return Held(cache, None if held.anonymous is None else held.anonymous + lag, shmem)


def _report(request: CheckRequest, result: Result) -> None:
    if request.quiet and request.report is None:
        return
    terminal = request.report is None and os.isatty(1)
    data = b"".join(_render(request, result, terminal))
    if request.report is not None:
        save(request.report, (data,), force=True)
        return
    out = Output(1, escape=terminal and request.format != "table")
    out.write(data)
    out.release()


def _render(request: CheckRequest, result: Result, terminal: bool) -> Iterator[bytes]:
    shape = shape_of(request.view, "table", terminal)
    if request.format == "junit":
        failure = describe(result.status) if result.status else ""
        shape.width, shape.color = None, False
        table = b"".join(_table(request, result, shape)).decode("utf-8", "replace")
        details = table.splitlines() if result.grown else []
        yield junit.report(
            result.seconds, request.command, failure, verdict(request, result), details
        )
    elif request.format == "tap":
        yield _tap(request, result).encode("utf-8", "backslashreplace")
    elif request.format == "json":
        layout = ChangeLayout(False, None, interval(result.baseline, result.after))
        write = writer("json", shape, layout.columns)
        yield write.begin(_head(request, result), "grown")
        yield from write.rows(layout.rows(result.grown))
        yield write.end(layout.total(result.grown), "")
    else:
        yield from _table(request, result, shape)


def _table(request: CheckRequest, result: Result, shape: Shape) -> Iterator[bytes]:
    """The tags that grew, with the verdict as the last line."""
    layout = ChangeLayout(True, None, None)
    write = writer("table", shape, layout.columns)
    yield write.begin({}, "grown")
    yield from write.rows(layout.rows(result.grown))
    yield write.end(layout.total(result.grown), "total")
    for each in result.steady[1:]:
        where, function = place_of(each.change)
        yield f"steady: {where} {function} ({each.words()})\n".encode("utf-8", "replace")
    yield (verdict(request, result) + "\n").encode("utf-8", "replace")


def _tap(request: CheckRequest, result: Result) -> str:
    """A line for the command, one for each tag that grew, and one for all others."""
    tests: list[tuple[str, bool, str]] = []
    if request.command:
        failure = describe(result.status) if result.status else ""
        tests.append((" ".join(request.command), not failure, failure))
    rates = {each.change.key: each.words() for each in result.steady}
    for change in result.grown:
        where, function = place_of(change)
        words = rates.get(change.key) or f"grew by {_growth(request, change).lstrip('+')}"
        tests.append((f"{where} {function}", False, words))
    allowed = f"more than {_size(request, request.max_growth)}"
    others = result.tags - len(result.grown)
    if others or not result.grown:
        other = "other " if result.grown else ""
        tests.append((f"none of {others} {other}tags grew by {allowed}", True, ""))
    lines = [
        tap.line(number, name, tap.TapResult.OK if passed else tap.TapResult.NOT_OK, why)
        for number, (name, passed, why) in enumerate(tests, 1)
    ]
    return tap.plan(len(lines)) + "".join(lines)


def _size(request: CheckRequest, size: int) -> str:
    return str(size) if request.view.bytes else format_size(size)


def _growth(request: CheckRequest, change: Change) -> str:
    return f"{'at least ' if change.is_bounded else ''}+{_size(request, change.bytes)}"


def verdict(request: CheckRequest, result: Result) -> str:
    """The outcome in one line, with the largest growth."""
    allowed = f"more than {_size(request, request.max_growth)}"
    if not result.grown:
        steadily = f", or steadily in {request.repeat} runs" if request.repeat else ""
        return f"ok: none of {result.tags} tags grew by {allowed}{steadily}"
    if result.steady:
        return _steady_verdict(result)
    first = result.grown[0]
    where, function = place_of(first)
    count = len(result.grown)
    what = "1 tag" if count == 1 else f"{count} tags"
    growth = _growth(request, first)
    return f"leaked: {what} grew by {allowed}; largest: {where} {function} ({growth})"


def _steady_verdict(result: Result) -> str:
    count = len(result.steady)
    what = "1 tag" if count == 1 else f"{count} tags"
    first = result.steady[0]
    where, function = place_of(first.change)
    return f"leaked: {what} grew steadily; largest: {where} {function} ({first.words()})"


def _head(request: CheckRequest, result: Result) -> dict[str, object]:
    """The members before the list in the JSON document."""
    seconds = interval(result.baseline, result.after)
    return {
        **heading(result.baseline, result.after, request.filter, seconds),
        "command": request.command or None,
        "status": result.status,
        "verdict": verdict(request, result),
        "max_growth": request.max_growth,
        "readings": result.readings,
        "repeat": request.repeat,
        "steady": [
            {
                **dict(zip(("file", "line", "module", "function"), each.change.key, strict=True)),
                "risen": each.risen,
                "runs": each.runs,
                "bytes_growth": each.change.bytes,
                "calls_growth": each.change.calls,
            }
            for each in result.steady
        ],
    }


def _seconds(value: object) -> float:
    """The --interval in seconds. UsageError if invalid."""
    if value is None:
        return INTERVAL
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MOST_SECONDS:
        raise UsageError(f"invalid value '{value}' for --interval", "use seconds: 0.5, 2")
    return seconds
