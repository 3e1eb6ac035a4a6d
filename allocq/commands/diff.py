"""`allocq diff`: shows what changed between two listings."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ..analysis.diff import (
    Change,
    bound,
    changed,
    leaves_out_pages,
    match,
    names_only,
    ordered,
    passing,
    sums,
)
from ..analysis.series import Series, ordered_series, series_of
from ..analysis.slab import SlabRule, slab_pages
from ..errors import SourceError, UsageError
from ..model import Filter
from ..options.commands import DIFF_FORMATS, DIFF_SORTS
from ..options.shared import FOUND, GROUPS, INTERFACES, NOTHING
from ..output import Column, Value, writer
from ..output.changes import ChangeLayout, change_words, kernel_growth
from ..output.series import SeriesLayout
from ..output.stream import say, warn
from ..output.terminal import wrapped
from ..sources.series import open_series
from ..sources.source import check_dumps
from ..sources.vmcore.recognise import is_dump
from ..times import parse_time
from ..units import parse_size
from .arguments import (
    View,
    choice,
    number,
    read_filter,
    read_slab,
    read_table_view,
    read_vmlinux,
    shape_of,
    strings,
    text,
)
from .listings import (
    Moment,
    Side,
    heading,
    interval,
    made_comparable,
    read_ends,
    read_side,
    source_of,
)
from .saving import Target, read_target

Row = TypeVar("Row")
Laid = TypeVar("Laid", contravariant=True)


class Layout(Protocol[Laid]):
    """Lays out rows and their totals: a ChangeLayout or a SeriesLayout."""

    columns: list[Column]

    def rows(self, changes: Iterable[Laid], /) -> Iterable[Sequence[Value]]: ...
    def total(self, changes: Sequence[Laid], /) -> Mapping[str, Value]: ...
    def counted(
        self, shown: Sequence[Laid], matching: Sequence[Laid], /
    ) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class DiffRequest:
    """The checked options of one `allocq diff`. listings: two or more; None is the running
    kernel."""

    filter: Filter
    listings: tuple[str | Moment | None, ...]
    interface: str
    ignore_lines: bool
    min_growth: int | None
    group_by: str | None
    sort: str
    reverse: bool
    limit: int | None
    format: str | None
    quiet: bool
    slab: SlabRule
    view: View
    target: Target
    vmlinux: str | None = None

    def __post_init__(self) -> None:
        if self.listings.count("-") > 1:
            raise UsageError("standard input can be read only once", "name a file for one side")
        if "" in self.listings:
            raise UsageError("empty file name")


def read_request(values: Mapping[str, object]) -> DiffRequest:
    """Check the option values. UsageError."""
    growth = text(values, "min_growth")
    return DiffRequest(
        filter=read_filter(values),
        listings=_read_listings(values),
        interface=choice("interface", values.get("interface"), INTERFACES) or "auto",
        ignore_lines=bool(values.get("ignore_lines")),
        min_growth=None if growth is None else parse_size(growth),
        group_by=choice("group-by", values.get("group_by"), GROUPS),
        sort=choice("sort", values.get("sort"), DIFF_SORTS) or "bytes",
        reverse=bool(values.get("reverse")),
        limit=number("limit", values.get("limit")),
        format=choice("format", values.get("format"), DIFF_FORMATS),
        quiet=bool(values.get("quiet")),
        slab=read_slab(values),
        view=read_table_view(values),
        target=read_target(values, "tsv"),
        vmlinux=read_vmlinux(values),
    )


def _read_listings(values: Mapping[str, object]) -> tuple[str | Moment | None, ...]:
    """What is compared: the operands, or two moments of a series. UsageError, SourceError."""
    folder, since, until = (text(values, name) for name in ("source", "since", "until"))
    operands = [text(values, "before"), text(values, "after"), *strings(values, "later")]
    if since is None:
        if folder is not None or until is not None:
            name = "--source" if folder is not None else "--until"
            hint = "as in --since '1 hour ago'"
            if folder is not None and not os.path.isdir(folder):
                hint = "for two listings, name both: allocq diff BEFORE AFTER"
            raise UsageError(f"{name} needs --since TIME", hint)
        if operands[0] is None:
            raise UsageError(
                "diff needs BEFORE, a listing to compare with", "allocq diff BEFORE [AFTER]"
            )
        return tuple(operands)
    if folder is not None and operands[0] is not None:
        raise UsageError(f"{operands[0]} is a second source", "give --source or BEFORE")
    if folder is None and operands[0] is None:
        raise UsageError("--since needs a recording", "name one with --source DIR")
    if until is not None and operands[1] is not None:
        raise UsageError("--until and AFTER cannot be used together", "omit one of them")
    series = open_series(str(folder if folder is not None else operands[0]))
    now = time.time()
    before = Moment(series, series.at(parse_time(since, now)))
    after: str | Moment | None = operands[1]
    if until is not None or folder is not None:
        after = Moment(series, series.at(now if until is None else parse_time(until, now)))
        if after.point == before.point:
            raise SourceError(f"{series.folder} holds nothing later than {before}")
        say(f"allocq: from {before} to {after}")
    else:
        say(f"allocq: since {before}")
    for warning in series.warnings:
        warn(warning)
    return (before, after, *operands[2:])


def diff_command(values: Mapping[str, object]) -> int:
    """Run the command; returns 0 if something differs, 1 if nothing does."""
    request = read_request(values)
    names = names_only(request.filter)
    sides, notes = _read_sides(request, names)
    warnings = [*notes, *made_comparable(*sides, ignore_lines=request.ignore_lines)]
    if len(sides) == 2:
        found = _answer(request, _two(request, *sides))
    else:
        found = _answer(request, _more(request, sides))
    if not (found or request.quiet) and request.target.screen(1).terminal:
        say("allocq: nothing changed")
    for warning in warnings:
        warn(warning)
    return FOUND if found else NOTHING


def _read_sides(request: DiffRequest, names: Filter) -> tuple[list[Side], list[str]]:
    """The listings, and warnings about how they were chosen."""
    first, *later = request.listings
    assert first is not None
    check_dumps(request.listings, request.vmlinux)
    if (
        later == [None]
        and isinstance(first, str)
        and first != "-"
        and not is_dump(first)
        and (ends := read_ends(first, names))
    ):
        return [*ends], [f"{first} holds several listings: its first and its last are compared"]
    sides = [read_side(first, names, vmlinux=request.vmlinux)]
    for path in later:
        sides.append(read_side(path, names, request.interface, vmlinux=request.vmlinux))
    return sides, []


def select(request: DiffRequest, before: Side, after: Side) -> list[Change]:
    """The requested changes, sorted, without the limit."""
    by_sums = request.ignore_lines or request.group_by or request.filter.asks_counters
    if not by_sums:
        before.table.cancel(after.table)
    changes = match(before.table, after.table)
    bound(changes, before.least, after.least)
    if (pages := request.slab.keeps_pages) is not None:
        changes = [change for change in changes if change.has_slab_pages == pages]
    if request.ignore_lines:
        changes = sums(changes, "place")
    if request.filter.asks_counters:
        changes = passing(changes, request.filter)
    if request.group_by:
        changes = sums(changes, request.group_by)
    changes = changed(changes)
    if request.min_growth is not None:
        changes = [change for change in changes if change.bytes >= request.min_growth]
    return ordered(changes, request.sort, request.reverse)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Row]):
    """What is shown. matching: all rows, of which `shown` are the first; changes: the same as
    changes from the first listing to the last; layout: by whether it is a table."""

    head: dict[str, object]
    matching: Sequence[Row]
    shown: Sequence[Row]
    change_of: Callable[[Row], Change]
    layout: Callable[[bool, bool], Layout[Row]]


def _two(request: DiffRequest, before: Side, after: Side) -> Answer[Change]:
    changes = select(request, before, after)
    seconds = interval(before, after)
    return Answer(
        heading(before, after, request.filter, seconds),
        changes,
        changes[: request.limit],
        lambda change: change,
        lambda table, left_out: ChangeLayout(table, request.group_by, seconds, left_out),
    )


def _more(request: DiffRequest, sides: Sequence[Side]) -> Answer[Series]:
    pages = request.slab.keeps_pages
    for side in sides if pages is not None else ():
        side.table.keep(bytes(bool(page) == pages for page in slab_pages(side.table)))
    series = series_of(
        [(side.table, side.least) for side in sides],
        request.filter,
        request.ignore_lines,
        request.group_by,
    )
    least = request.min_growth
    series = [each for each in series if least is None or each.whole.bytes >= least]
    series = ordered_series(series, request.sort, request.reverse)
    seconds = interval(sides[0], sides[-1])
    head = heading(sides[0], sides[-1], request.filter, seconds)
    return Answer(
        {**head, "listings": [source_of(side) for side in sides]},
        series,
        series[: request.limit],
        lambda each: each.whole,
        lambda table, left_out: SeriesLayout(
            table, request.group_by, seconds, len(sides), left_out
        ),
    )


def _answer(request: DiffRequest, answer: Answer[Row]) -> int:
    """Write the answer unless quiet; returns how many rows match."""
    if not request.quiet:
        _write(request, answer)
    return len(answer.matching)


def _write(request: DiffRequest, answer: Answer[Row]) -> None:
    terminal = request.target.screen(1).terminal
    format = request.format or ("table" if terminal else "tsv")
    out = request.target.open(1, escape=terminal and format != "table")
    changes = [answer.change_of(row) for row in answer.matching]
    left_out = leaves_out_pages(changes, request.slab)
    layout = answer.layout(format == "table", left_out)
    write = writer(format, shape_of(request.view, format, terminal), layout.columns)
    out.write(write.begin(answer.head, "changes"))
    for piece in write.rows(layout.rows(answer.shown)):
        out.write(piece)
    shown = changes[: len(answer.shown)]
    words = change_words(shown, changes, request.group_by, request.slab, request.view.bytes)
    counted = layout.counted(answer.shown, answer.matching)
    out.write(write.end(layout.total(answer.shown), words, counted))
    if format == "table" and (more := kernel_growth(shown, changes, request.view.bytes)):
        width = request.target.screen(1).width
        lines = [more] if width is None else wrapped(more, width)
        out.write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
    out.release()
