"""`allocq trend`: shows what leaks in a recording, or in a series of listings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..analysis.diff import names_only
from ..analysis.histories import Boot
from ..analysis.trend import trend_of
from ..errors import SourceError, UsageError
from ..model import Filter
from ..options.commands import TREND_FORMATS
from ..options.shared import FOUND, GROUPS, NOTHING
from ..output import writer
from ..output.stream import say, warn
from ..output.terminal import speaks_utf8
from ..output.trend import Row, TrendLayout, ordered, why
from ..sources.series import Point, Series, open_files, open_series
from ..sources.source import check_dumps
from ..storage.recording.schema import default_folder
from ..times import parse_time
from .arguments import (
    View,
    choice,
    number,
    read_filter,
    read_table_view,
    read_vmlinux,
    shape_of,
    strings,
    text,
)
from .saving import Target, read_target

ROWS = 20
MOST = 1000
"""The most samples that are read: of more, the last in each of as many equal spans of time."""


@dataclass(frozen=True, slots=True)
class TrendRequest:
    """The checked options of one `allocq trend`. since, until: seconds since 1970."""

    sources: tuple[str, ...]
    filter: Filter
    since: float | None
    until: float | None
    group_by: str | None
    suspects: bool
    until_full: bool
    explain: bool
    limit: int | None
    format: str | None
    view: View
    target: Target
    vmlinux: str | None = None


def read_request(values: Mapping[str, object]) -> TrendRequest:
    """Check the option values. UsageError."""
    sources, given = strings(values, "sources"), text(values, "source")
    if given is not None and sources:
        raise UsageError(f"{sources[0]} is a second source", "give --source or operands")
    if "" in sources or given == "":
        raise UsageError("empty file name")
    now = time.time()
    times = [text(values, "since"), text(values, "until")]
    since, until = (None if each is None else parse_time(each, now) for each in times)
    if since is not None and until is not None and since > until:
        raise UsageError(f"--since {times[0]} is later than --until {times[1]}")
    return TrendRequest(
        tuple(sources) if given is None else (given,),
        read_filter(values),
        since,
        until,
        choice("group-by", values.get("group_by"), GROUPS),
        bool(values.get("suspects")),
        bool(values.get("until_full")),
        bool(values.get("explain")),
        number("limit", values.get("limit")),
        choice("format", values.get("format"), TREND_FORMATS),
        read_table_view(values),
        read_target(values, "tsv"),
        read_vmlinux(values),
    )


def trend_command(values: Mapping[str, object]) -> int:
    """Run the command; returns 0 if there is a row, 1 if not."""
    request = read_request(values)
    series = open_sources(request.sources, request.vmlinux)
    points = series.points(request.since, request.until)
    if len(points) < 2:
        what = "1 listing" if points else "no listing"
        raise SourceError(
            f"{series.folder} holds {what} in this time: a trend needs at least two",
            "allocq record takes samples",
        )
    boots = _boots(series, thinned(points), request)
    rows = list(_rows(boots, request))
    if request.suspects:
        rows = [row for row in rows if row.is_suspect]
    rows = ordered(rows)
    _write(request, rows, points, len(boots))
    for warning in series.warnings:
        warn(warning)
    return FOUND if rows else NOTHING


def open_sources(sources: Sequence[str], vmlinux: str | None = None) -> Series:
    """A recording or folder, or saved listings as a series; for none, the default recording.
    vmlinux: for the crash dumps among them."""
    check_dumps(sources, vmlinux)
    if not sources:
        return open_series(default_folder())
    if len(sources) == 1 and os.path.isdir(sources[0]):
        return open_series(sources[0])
    return open_files(sources, vmlinux)


def thinned(points: Sequence[Point]) -> list[Point]:
    """The first, the last, and one in each of MOST equal spans between them: the last whole one,
    which is read in a fraction of the time, or the last one where none is whole."""
    if len(points) <= MOST:
        return list(points)
    start, width = points[0].time, (points[-1].time - points[0].time) / MOST
    if not width:
        return [points[0], points[-1]]
    chosen: dict[int, Point] = {}
    for point in points[1:-1]:
        span = min(MOST - 1, int((point.time - start) / width))
        if point.whole or span not in chosen or not chosen[span].whole:
            chosen[span] = point
    return [points[0], *chosen.values(), points[-1]]


def _boots(series: Series, points: Sequence[Point], request: TrendRequest) -> list[Boot]:
    """The samples of each boot on its own, in the order in which they begin."""
    found: dict[str | None, Boot] = {}
    for sample in series.samples(points, names_only(request.filter)):
        boot = found.get(sample.boot)
        if boot is None:
            boot = found[sample.boot] = Boot(sample.boot, request.group_by)
        boot.take(sample.time, sample.keys, sample.bytes, sample.calls, sample.meminfo)
    return list(found.values())


def _rows(boots: Sequence[Boot], request: TrendRequest) -> Iterator[Row]:
    """The places that changed, and whose last counters pass the filter."""
    filter = request.filter
    for boot in boots:
        for key, kind, points in boot.points():
            size, calls = points.bytes[-1], points.calls[-1]
            if min(points.bytes) == max(points.bytes) or not (
                (filter.min_size is None or size >= filter.min_size)
                and (filter.max_size is None or size <= filter.max_size)
                and (filter.min_calls is None or calls >= filter.min_calls)
                and (filter.max_calls is None or calls <= filter.max_calls)
            ):
                continue
            yield Row(key, kind, boot.id, trend_of(points), points, boot.available)


def _write(request: TrendRequest, rows: Sequence[Row], points: Sequence[Point], boots: int) -> None:
    screen = request.target.screen(1)
    format = request.format or ("table" if screen.terminal else "tsv")
    table = format == "table"
    limit = ROWS if request.limit is None and table else request.limit
    shown = rows[:limit]
    out = request.target.open(1, escape=screen.terminal and not table)
    layout = TrendLayout(
        table, request.group_by, request.until_full, boots > 1, speaks_utf8(os.environ)
    )
    write = writer(format, shape_of(request.view, format, screen), layout.columns)
    first, last = points[0].time, points[-1].time
    head: dict[str, object] = {
        "filter": request.filter.as_options(),
        "samples": len(points),
        "first_time": _when(first),
        "last_time": _when(last),
        "boots": boots,
    }
    out.write(write.begin(head, "trends"))
    for piece in write.rows(layout.rows(shown)):
        out.write(piece)
    out.write(write.end(layout.total(shown), _words(shown, rows, request.group_by)))
    if request.explain and table:
        for row in shown:
            place = next(iter(layout.rows([row])))[-1 if request.group_by else -2]
            out.write(f"{place}: {why(row)}\n".encode("utf-8", "backslashreplace"))
    out.release()
    if table and screen.terminal:
        suspects = sum(row.is_suspect for row in rows)
        say(f"allocq: {len(points)} samples, {_when(first)} to {_when(last)}; {_count(suspects)}")


def _count(suspects: int) -> str:
    return "1 suspect" if suspects == 1 else f"{suspects or 'no'} suspects"


def _words(shown: Sequence[Row], rows: Sequence[Row], group_by: str | None) -> str:
    what = "tag" if group_by is None else group_by
    plural = what[:-1] + "ies" if what[-1:] == "y" else what + "s"
    count = f"{len(rows)} {what if len(rows) == 1 else plural} that changed"
    if len(shown) == len(rows):
        return f"in {count}"
    return f"in the first {len(shown)} of {count}"


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%FT%T%z}"
