"""`allocq diff`: shows what changed between two listings."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

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
from ..analysis.slab import SlabRule
from ..declarations.commands import DIFF_FORMATS, DIFF_SORTS
from ..declarations.shared import FOUND, GROUPS, INTERFACES, NOTHING
from ..errors import UsageError
from ..model import Filter
from ..output import writer
from ..output.changes import ChangeLayout, change_words
from ..output.stream import Output, say, warn
from ..times import parse_time
from ..units import format_size, parse_size
from .arguments import (
    View,
    choice,
    number,
    read_filter,
    read_slab,
    read_table_view,
    shape_of,
    text,
)
from .listings import (
    Side,
    differences,
    filter_alike,
    heading,
    interval,
    read_ends,
    read_side,
    snapshot_at,
)


@dataclass(frozen=True, slots=True)
class DiffRequest:
    """The checked options of one `allocq diff`. after: None for the running kernel."""

    filter: Filter
    before: str
    after: str | None
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

    def __post_init__(self) -> None:
        if self.before == self.after == "-":
            raise UsageError("standard input can be read only once", "name a file for one side")
        if "" in (self.before, self.after):
            raise UsageError("empty file name")


def read_request(values: Mapping[str, object]) -> DiffRequest:
    """Check the option values. UsageError."""
    since = text(values, "since")
    before = str(values["before"])
    if since is not None:
        before = snapshot_at(before, parse_time(since, time.time()))
        say(f"allocq: since {before}")
    growth = text(values, "min_growth")
    return DiffRequest(
        filter=read_filter(values),
        before=before,
        after=text(values, "after"),
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
    )


def diff_command(values: Mapping[str, object]) -> int:
    """Run the command; returns 0 if something differs, 1 if nothing does."""
    request = read_request(values)
    names = names_only(request.filter)
    before, after, notes = _read_sides(request, names)
    warnings = [*notes, *before.info.warnings, *after.info.warnings]
    warnings += filter_alike(before, after) + differences(before, after)
    warnings += _excerpts(before, after)
    changes = select(request, before, after)
    if not request.quiet:
        _write(request, before, after, changes)
        if not changes and os.isatty(1):
            say("allocq: nothing changed")
    for warning in warnings:
        warn(warning)
    return FOUND if changes else NOTHING


def _least(side: Side) -> int | None:
    return side.excerpt.smallest if side.excerpt else None


def _excerpts(before: Side, after: Side) -> list[str]:
    """Warnings about tags that one side does not list."""
    return [
        f"{side.name} is an excerpt ({side.excerpt.why}): a tag missing in it is 'unlisted'"
        f" and held at most {format_size(side.excerpt.smallest)}"
        for side in (before, after)
        if side.excerpt
    ]


def _read_sides(request: DiffRequest, names: Filter) -> tuple[Side, Side, list[str]]:
    """The two listings, and warnings about how they were chosen."""
    if (
        request.after is None
        and request.before != "-"
        and (ends := read_ends(request.before, names))
    ):
        words = f"{request.before} holds several listings: its first and its last are compared"
        return *ends, [words]
    before = read_side(request.before, names)
    return before, read_side(request.after, names, request.interface), []


def select(request: DiffRequest, before: Side, after: Side) -> list[Change]:
    """The requested changes, sorted, without the limit."""
    by_sums = request.ignore_lines or request.group_by or request.filter.asks_counters
    if not by_sums:
        before.table.cancel(after.table)
    changes = match(before.table, after.table)
    bound(changes, _least(before), _least(after))
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


def _write(request: DiffRequest, before: Side, after: Side, changes: list[Change]) -> None:
    terminal = os.isatty(1)
    format = request.format or ("table" if terminal else "tsv")
    shown = changes[: request.limit]
    seconds = interval(before, after)
    out = Output(1, escape=terminal and format != "table")
    left_out = leaves_out_pages(changes, request.slab)
    layout = ChangeLayout(format == "table", request.group_by, seconds, left_out)
    write = writer(format, shape_of(request.view, format, terminal), layout.columns)
    out.write(write.begin(heading(before, after, request.filter, seconds), "changes"))
    for piece in write.rows(layout.rows(shown)):
        out.write(piece)
    words = change_words(shown, changes, request.group_by, request.slab, request.view.bytes)
    out.write(write.end(layout.total(shown), words, layout.counted(shown, changes)))
    out.release()
