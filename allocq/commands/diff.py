"""`allocq diff`: two listings read, compared, and the changes written."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ..analysis.diff import (
    Change,
    changed,
    match,
    names_only,
    ordered,
    passing,
    sums,
)
from ..declarations.commands import DIFF_FORMATS, DIFF_SORTS
from ..declarations.shared import FOUND, GROUPS, INTERFACES, NOTHING
from ..errors import UsageError
from ..model import Filter
from ..output import writer
from ..output.changes import ChangeLayout, change_words
from ..output.stream import Output, warn
from ..units import parse_size
from .arguments import View, choice, number, read_filter, read_table_view, shape_of, text
from .listings import Side, differences, elapsed, filter_alike, heading, read_side


@dataclass(frozen=True, slots=True)
class DiffRequest:
    """All of one `allocq diff`. after: None for the running kernel."""

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
    view: View

    def __post_init__(self) -> None:
        if self.before == self.after == "-":
            raise UsageError("standard input can be read once", "name one of the two files")
        if "" in (self.before, self.after):
            raise UsageError("empty name of a file")


def read_request(values: Mapping[str, object]) -> DiffRequest:
    """The values of the options, checked. UsageError for a bad one."""
    growth = text(values, "min_growth")
    return DiffRequest(
        filter=read_filter(values),
        before=str(values["before"]),
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
        view=read_table_view(values),
    )


def diff_command(values: Mapping[str, object]) -> int:
    """The subcommand's body: 0 where something differs, 1 where nothing does."""
    ask = read_request(values)
    names = names_only(ask.filter)
    before = read_side(ask.before, names)
    after = read_side(ask.after, names, ask.interface)
    warnings = [*before.info.warnings, *after.info.warnings]
    warnings += filter_alike(before, after) + differences(before, after)
    changes = select(ask, before, after)
    if not ask.quiet:
        _write(ask, before, after, changes)
    for warning in warnings:
        warn(warning)
    return FOUND if changes else NOTHING


def select(ask: DiffRequest, before: Side, after: Side) -> list[Change]:
    """The changes that are asked for, in order, without the limit."""
    whole = ask.ignore_lines or ask.group_by or ask.filter.asks_counters
    if not whole:
        before.table.cancel(after.table)
    changes = match(before.table, after.table)
    if ask.ignore_lines:
        changes = sums(changes, "place")
    if ask.filter.asks_counters:
        changes = passing(changes, ask.filter)
    if ask.group_by:
        changes = sums(changes, ask.group_by)
    changes = changed(changes)
    if ask.min_growth is not None:
        changes = [change for change in changes if change.bytes >= ask.min_growth]
    return ordered(changes, ask.sort, ask.reverse)


def _write(ask: DiffRequest, before: Side, after: Side, changes: list[Change]) -> None:
    terminal = os.isatty(1)
    format = ask.format or ("table" if terminal else "tsv")
    shown = changes[: ask.limit]
    seconds = elapsed(before, after)
    if seconds is not None and seconds <= 0:
        seconds = None
    out = Output(1)
    layout = ChangeLayout(format == "table", ask.group_by, seconds)
    write = writer(format, shape_of(ask.view, format, terminal), layout.columns)
    out.write(write.begin(heading(before, after, ask.filter, seconds), "changes"))
    for piece in write.rows(layout.rows(shown)):
        out.write(piece)
    out.write(write.end(layout.total(shown), change_words(len(shown), len(changes), ask.group_by)))
    out.release()
