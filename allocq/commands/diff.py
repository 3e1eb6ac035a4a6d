"""`allocq diff`: two listings read, compared, and the changes written."""

import posix

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
from ..output import writer
from ..output.changes import Layout, total_words
from ..output.stream import Output, warn
from ..units import parse_size
from .arguments import choice, number, read_filter, shape_asked, shape_of
from .listings import Side, differences, elapsed, heading, level, read_side

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Asked:
    """All of one `allocq diff`."""

    __slots__ = (
        "after",
        "before",
        "filter",
        "format",
        "group_by",
        "ignore_lines",
        "interface",
        "limit",
        "min_growth",
        "quiet",
        "reverse",
        "sort",
        "view",
    )

    def __init__(self, values: "Mapping[str, object]") -> None:
        self.filter = read_filter(values)
        self.before = str(values["before"])
        after = values.get("after")
        self.after = None if after is None else str(after)
        if self.before == self.after == "-":
            raise UsageError("standard input can be read once", "name one of the two files")
        if "" in (self.before, self.after):
            raise UsageError("empty name of a file")
        self.interface = choice("interface", values.get("interface"), INTERFACES) or "auto"
        self.ignore_lines = bool(values.get("ignore_lines"))
        growth = values.get("min_growth")
        self.min_growth = None if growth is None else parse_size(str(growth))
        self.group_by = choice("group-by", values.get("group_by"), GROUPS)
        self.sort = choice("sort", values.get("sort"), DIFF_SORTS) or "bytes"
        self.reverse = bool(values.get("reverse"))
        self.limit = number("limit", values.get("limit"))
        self.format = choice("format", values.get("format"), DIFF_FORMATS)
        self.quiet = bool(values.get("quiet"))
        self.view = shape_asked(values)


def diff_command(values: "Mapping[str, object]") -> int:
    """The subcommand's body: 0 where something differs, 1 where nothing does."""
    ask = Asked(values)
    names = names_only(ask.filter)
    before = read_side(ask.before, names)
    after = read_side(ask.after, names, ask.interface)
    said = [*before.info.warnings, *after.info.warnings]
    said += level(before, after) + differences(before, after)
    changes = select(ask, before, after)
    if not ask.quiet:
        _write(ask, before, after, changes)
    for text in said:
        warn(text)
    return FOUND if changes else NOTHING


def select(ask: Asked, before: Side, after: Side) -> list[Change]:
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


def _write(ask: Asked, before: Side, after: Side, changes: list[Change]) -> None:
    terminal = posix.isatty(1)
    format = ask.format or ("table" if terminal else "tsv")
    shown = changes[: ask.limit]
    seconds = elapsed(before, after)
    if seconds is not None and seconds <= 0:
        seconds = None
    out = Output(1)
    layout = Layout(format == "table", ask.group_by, seconds)
    write = writer(format, shape_of(ask.view, format, terminal), layout.columns)
    out.write(write.begin(heading(before, after, ask.filter, seconds), "changes"))
    for piece in write.rows(layout.rows(shown)):
        out.write(piece)
    out.write(write.end(layout.total(shown), total_words(len(shown), len(changes), ask.group_by)))
    out.release()
