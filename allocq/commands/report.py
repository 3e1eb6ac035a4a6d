"""`allocq report`: draws one file to send: what the memory is, and what grew."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import __version__
from ..analysis.diff import Key, names_only, passes
from ..analysis.histories import Boot
from ..analysis.memory import account, tagged
from ..analysis.report import Place, places_of
from ..analysis.slab import is_slab_page
from ..analysis.trend import trend_of
from ..errors import FormatError, SourceError, UsageError
from ..model import Filter, Info
from ..options.commands import REPORT_FORMATS, REPORT_OPTIONS
from ..options.shared import FOUND, NOTHING, OptionKind
from ..output.report.contents import (
    BOOTS,
    LARGEST_LIMIT,
    LIMIT,
    PLOTTED_MEMINFO,
    BootTrends,
    Report,
    Watched,
    moment,
)
from ..output.stream import warn
from ..output.totals import quantity
from ..output.trend import Row, ordered
from ..sources.saved_stacks import read_stacks
from ..sources.series import Listed, Point, Series
from ..sources.source import check_dumps
from ..storage.snapshot import saved_cpu_lists, saved_meminfo
from ..times import parse_time
from ..units import format_size
from .arguments import (
    Origin,
    choice,
    number,
    read_filter,
    read_origin,
    read_vmlinux,
    strings,
    text,
)
from .listings import LINES_HINT, Moment, Side, interval, made_comparable, read_side, side_of
from .memory import read_saved_meminfo
from .nearest import options_of
from .saving import Target
from .trend import open_sources, thinned

_NO_HOST = "(none)"
"""The name of a host that was given none."""
MOST_STACKS = 20
_SUFFIXES = {".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html"}


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """The checked options of one `allocq report`. sources: files or a directory; none: `origin`."""

    filter: Filter
    sources: tuple[str, ...]
    origin: Origin | None
    since: float | None
    until: float | None
    interface: str
    meminfo: str | None
    limit: int
    format: str
    target: Target
    command: str
    vmlinux: str | None = None
    stacks: tuple[str, ...] = ()


def read_request(values: Mapping[str, object]) -> ReportRequest:
    """Check the option values. UsageError, OutputError."""
    sources, origin = _read_sources(values)
    format = _read_format(values)
    now = time.time()
    times = [text(values, "since"), text(values, "until")]
    if any(times) and not (len(sources) > 2 or _is_folder(sources)):
        name = "--since" if times[0] else "--until"
        raise UsageError(f"{name} needs a recording", "name one: DIR")
    since, until = (None if each is None else parse_time(each, now) for each in times)
    if since is not None and until is not None and since > until:
        raise UsageError(f"--since {times[0]} is later than --until {times[1]}")
    stacks = _read_stacks(values, sources, origin)
    limit = number("limit", values.get("limit"))
    if limit is not None and limit > LARGEST_LIMIT:
        raise UsageError(
            f"--limit is at most {LARGEST_LIMIT}", "an HTML report has a table of all tags, too"
        )
    return ReportRequest(
        filter=read_filter(values),
        sources=sources,
        origin=origin,
        since=since,
        until=until,
        interface=text(values, "interface") or "auto",
        meminfo=text(values, "meminfo"),
        limit=LIMIT if limit is None else limit,
        format=format,
        target=_read_target(values, format),
        command=_command(values),
        vmlinux=read_vmlinux(values),
        stacks=stacks,
    )


def _read_stacks(
    values: Mapping[str, object], sources: Sequence[str], origin: Origin | None
) -> tuple[str, ...]:
    """The files of stacks."""
    paths = strings(values, "stacks")
    if "" in paths:
        raise UsageError("empty file name")
    if len(paths) > MOST_STACKS:
        raise UsageError(f"--stacks is given {len(paths)} times, at most {MOST_STACKS}")
    readers = [*paths, *sources, *([origin.path] if origin else ())]
    if "-" in paths and readers.count("-") > 1:
        raise UsageError("standard input can be read only once", "name a file for the stacks")
    return tuple(paths)


def _is_folder(sources: Sequence[str]) -> bool:
    return len(sources) == 1 and os.path.isdir(sources[0])


def _read_sources(values: Mapping[str, object]) -> tuple[tuple[str, ...], Origin | None]:
    """What to report on: sources of a series or of a comparison, or one listing."""
    given, source = strings(values, "sources"), text(values, "source")
    if "" in given:
        raise UsageError("empty file name")
    if given and (source is not None or values.get("sample")):
        raise UsageError(f"{given[0]} is a second source", "name the listings, or give --source")
    if len(given) > 1:
        for name in ("at", "listing"):
            if values.get(name) is not None:
                raise UsageError(f"--{name} takes one source", "name one")
        if given.count("-") > 1:
            raise UsageError("standard input can be read only once", "name a file for one side")
        return tuple(given), None
    one = given[0] if given else source
    if one is not None and os.path.isdir(one) and values.get("at") is None:
        return (one,), None
    return (), read_origin(values if one is None else {**values, "source": one})


def _read_format(values: Mapping[str, object]) -> str:
    """The format that is asked for, else that of the file's suffix."""
    asked, path = choice("format", values.get("format"), REPORT_FORMATS), text(values, "output")
    name = Path(path or "").name.lower().removesuffix(".gz").removesuffix(".zst")
    suffix = Path(name).suffix
    if suffix in (".pdf", ".png", ".svg"):
        raise UsageError(
            f"cannot write {path}: a report is html or markdown, not {suffix[1:]}",
            "name the file .html; a browser prints it to PDF",
        )
    return asked or _SUFFIXES.get(suffix, "html")


def _read_target(values: Mapping[str, object], format: str) -> Target:
    path, force = text(values, "output"), bool(values.get("force"))
    if path is not None and path != "-":
        suffixes = [suffix[1:] for suffix, kind in _SUFFIXES.items() if kind == format]
        kept = next((each for each in suffixes if f".{each}" in path.lower()), suffixes[0])
        return Target(path, force, kept)
    if force:
        raise UsageError("--force needs a file", "add --output FILE")
    target = Target()
    if format == "html" and target.screen(1).terminal:
        raise UsageError("HTML is not written to a terminal", "add --output report.html")
    return target


def _command(values: Mapping[str, object]) -> str:
    """The command line that asks for this report."""
    words = ["allocq", "report"]
    for option in REPORT_OPTIONS:
        value = values.get(option.name)
        if value is None or value is False:
            continue
        flag = next(flag for flag in option.flags if flag.startswith("--"))
        if option.kind is OptionKind.FLAG:
            words.append(flag)
        for each in value if isinstance(value, (list, tuple)) else [value]:
            words += [] if option.kind is OptionKind.FLAG else [flag, str(each)]
    return shlex.join([*words, *strings(values, "sources")])


def report_command(values: Mapping[str, object]) -> int:
    """Run the command; returns 0, or 1 if no tag matches (the report is written anyway)."""
    request = read_request(values)
    report = _made(request)
    out = request.target.open(1, escape=request.target.screen(1).terminal)
    for piece in _drawn(request.format, report):
        out.write(piece)
    out.release()
    for warning in report.warnings:
        warn(warning)
    return FOUND if report.places else NOTHING


def _drawn(format: str, report: Report) -> Iterator[bytes]:
    if format == "markdown":
        from ..output.report.markdown import markdown

        return markdown(report)
    from ..output.report.page import page

    return page(report)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about. before: None if there is nothing to compare with."""

    after: Side
    before: Side | None = None
    boots: Sequence[BootTrends] = ()
    warnings: Sequence[str] = ()


def _made(request: ReportRequest) -> Report:
    names = names_only(request.filter)
    stacks = [_watched(path) for path in request.stacks]
    if request.origin is not None:
        subject = _one(request, request.origin, names)
    elif len(request.sources) == 2:
        check_dumps(request.sources, request.vmlinux)
        sides = [
            read_side(path, names, request.interface, vmlinux=request.vmlinux)
            for path in request.sources
        ]
        subject = Subject(sides[1], sides[0], (), made_comparable(*sides))
    else:
        subject = _series(request, open_sources(request.sources, request.vmlinux), names)
    return _report(request, subject, stacks)


def _watched(path: str) -> Watched:
    """Stacks from a file. SourceError, FormatError."""
    taken = read_stacks(path)
    try:
        return Watched(options_of(Filter.from_options(taken.filter)) or path, taken)
    except (UsageError, TypeError):
        raise FormatError(f"{path}: damaged stacks: `filter` is not valid") from None


def _other_kernels(stacks: Sequence[Watched], after: Side) -> Iterator[str]:
    """Stacks that were taken on another kernel than the listing."""
    here = after.metadata.get("kernel") or after.info.kernel
    for watched in stacks:
        there = watched.taken.kernel
        if here and there and here != there:
            yield f"the stacks of {watched.name} are of Linux {there}, the tags of {here}"


def _one(request: ReportRequest, origin: Origin, names: Filter) -> Subject:
    with origin.open() as source:
        side = side_of(source, source.path, names)
    warnings = list(side.info.warnings)
    if side.excerpt:
        warnings.append(f"{side.name} is an excerpt ({side.excerpt.why}): it lacks other tags")
    return Subject(side, warnings=warnings)


def _series(request: ReportRequest, series: Series, names: Filter) -> Subject:
    points = series.points(request.since, request.until)
    if not points:
        raise SourceError(f"{series.folder} holds no listing in this time")
    boots = _boots(series, thinned(points), names)
    if not boots:
        raise SourceError(f"{series.folder} holds no listing that can be read")
    # What is now is what was taken last; it grew since the first sample of the same boot.
    boots.sort(key=lambda boot: boot.ended)
    last, early = boots[-1], len(boots) - BOOTS
    by_time = {point.time: point for point in points}
    after = read_side(Moment(series, by_time[last.ended]), names)
    before = None
    if len(last.times) > 1:
        before = read_side(Moment(series, by_time[last.begun]), names)
    warnings = made_comparable(*([before] if before else []), after, in_order=True)
    if early > 0:
        warnings.append(f"{quantity(early, 'earlier boot')} not shown: --until ends before")
    return Subject(after, before, boots[-BOOTS:], [*series.warnings, *warnings])


def _is_page(key: Key) -> bool:
    file, _, module, function = key
    return is_slab_page(str(file), str(function), str(module or ""))


class _Samples:
    """What is kept of the samples of one boot."""

    def __init__(self, id: str | None) -> None:
        self.boot = Boot(id)
        self.taken: list[float] = []
        self.total: list[int] = []
        self.meminfo: dict[str, list[int]] = {name: [] for name in PLOTTED_MEMINFO}
        self._keys: Sequence[Key] = ()
        self._pages: list[int] = []

    def take(self, sample: Listed) -> None:
        """Add a sample."""
        self.boot.take(sample.time, sample.keys, sample.bytes, sample.calls, sample.meminfo)
        self.taken.append(sample.taken)
        if sample.keys is not self._keys:
            self._keys = sample.keys
            self._pages = [at for at, key in enumerate(sample.keys) if _is_page(key)]
        pages = sum(sample.bytes[at] for at in self._pages)
        self.total.append(sum(size for size in sample.bytes if size > 0) - pages)
        for name, sizes in self.meminfo.items():
            if name in sample.meminfo:
                sizes.append(sample.meminfo[name])

    def trends(self) -> BootTrends:
        """The places that changed, the most suspicious first."""
        boot = self.boot
        rows = [
            Row(key, kind, boot.id, trend_of(points), points, boot.available)
            for key, kind, points in boot.points()
            if min(points.bytes) != max(points.bytes)
        ]
        meminfo = {
            name: sizes for name, sizes in self.meminfo.items() if len(sizes) == len(boot.times)
        }
        return BootTrends(
            boot.id, self.taken[0], self.taken[-1], boot.times, ordered(rows), self.total, meminfo
        )


def _boots(series: Series, points: Sequence[Point], names: Filter) -> list[BootTrends]:
    """The trends of each boot on its own."""
    found: dict[str | None, _Samples] = {}
    for sample in series.samples(points, names):
        found.setdefault(sample.boot, _Samples(sample.boot)).take(sample)
    return [samples.trends() for samples in found.values()]


def _report(request: ReportRequest, subject: Subject, stacks: Sequence[Watched]) -> Report:
    after, before, filter = subject.after, subject.before, request.filter
    places = places_of(
        after.table,
        before.table if before else None,
        (before.least if before else None, after.least),
    )
    boots = subject.boots
    if filter.asks_counters:
        places = [place for place in places if _passes(place, filter)]
        kept = {place.key for place in places}
        boots = [
            replace(boot, rows=[row for row in boot.rows if row.key in kept]) for boot in boots
        ]
    meminfo, on_cpus = saved_meminfo(after.metadata), saved_cpu_lists(after.metadata)
    if request.meminfo is not None:
        meminfo, on_cpus = read_saved_meminfo(request.meminfo), None
    whole = not (filter.items() or after.metadata.get("filter") or after.excerpt)
    facts = dict(_facts(request, subject, places))
    warnings = [*subject.warnings, *_other_kernels(stacks, after)]
    return Report(
        title=f"Kernel memory of {facts.get('Host') or Path(after.name).name}",
        facts=list(facts.items()),
        warnings=[words.removesuffix(LINES_HINT) for words in dict.fromkeys(warnings)],
        places=places,
        compares=before is not None,
        account=account(tagged(after.table), meminfo, on_cpus) if whole else None,
        made=_now(),
        version=__version__,
        seconds=_seconds(before, after, boots) if before else None,
        meminfo=meminfo,
        meminfo_before=saved_meminfo(before.metadata) if before else {},
        boots=boots,
        limit=request.limit,
        stacks=stacks,
    )


def _seconds(before: Side, after: Side, boots: Sequence[BootTrends]) -> float | None:
    """How long it took to grow; None if unknown."""
    return boots[-1].seconds or None if boots else interval(before, after)


def _passes(place: Place, filter: Filter) -> bool:
    counts = (place.after, place.change.before if place.change else None)
    return any(passes(count, filter) for count in counts if count)


def _now() -> float:
    """When the report is made; SOURCE_DATE_EPOCH makes two of the same input equal."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    return float(given) if given.isascii() and given.isdigit() and len(given) < 12 else time.time()


def _facts(
    request: ReportRequest, subject: Subject, places: Sequence[Place]
) -> Iterator[tuple[str, str]]:
    """What is known of the source, by name."""
    after, before = subject.after, subject.before
    info, metadata = after.info, after.metadata
    for name, key in (("Host", "host"), ("Kernel", "kernel")):
        if metadata.get(key, _NO_HOST) != _NO_HOST:
            yield name, metadata[key]
    if info.time is not None:
        yield "Time", moment(info.time)
    if before and before.info.time is not None:
        yield "Since", moment(before.info.time)
    yield "Command", request.command
    yield "Source", " and ".join(side.name for side in (before, after) if side)
    yield "Read as", f"{metadata.get('interface') or info.interface}{_version(info)}"
    yield "Profiling", _profiling(after)
    bad = [place for place in places if not place.accurate]
    held = sum(place.bytes for place in bad if place.bytes > 0)
    words = f"{len(bad):,} of {len(places):,} tags, holding {format_size(held)}" if bad else "none"
    yield "Inaccurate", words
    if below := sum(place.underflowed for place in places):
        yield "Underflowed", f"{quantity(below, 'tag')}, left out of sums"
    for name, key in (("Boot", "boot-id"), ("CPUs", "possible-cpus"), ("Saved with", "filter")):
        if metadata.get(key):
            yield name, metadata[key]
    if info.rounded:
        yield "Sizes", "rounded in the source"


def _version(info: Info) -> str:
    return f", version {info.version}" if info.version else ""


def _profiling(side: Side) -> str:
    if side.metadata.get("profiling") == "off":
        return "off: the counters are frozen"
    known = "boot-id" in side.metadata or side.metadata.get("profiling") == "on"
    return "on" if known else "not known"
