"""`allocq diff`: two listings read, compared, and the changes written."""

import posix

from ..errors import UsageError
from ..formats import FLAG, NUMBER, PERCENT, SIZE, TEXT, Column, writer
from ..options import GROUPS, INTERFACES
from ..query import View, choice, number, read_filter
from ..run import FOUND, NOTHING, Output, asked, head_of, shape_of, warn
from ..units import parse_size
from .diff import (
    SORTS,
    Change,
    changed,
    match,
    names_only,
    ordered,
    passing,
    sums,
)
from .sides import Side, differences, elapsed, level, read_side

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..formats import Value
    from ..model import Filter

FORMATS = ("table", "json", "jsonl", "csv", "tsv")


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
        self.sort = choice("sort", values.get("sort"), SORTS) or "bytes"
        self.reverse = bool(values.get("reverse"))
        self.limit = number("limit", values.get("limit"))
        self.format = choice("format", values.get("format"), FORMATS)
        self.quiet = bool(values.get("quiet"))
        shape = ("header", "bytes", "color")
        self.view = View({name: values[name] for name in shape if name in values})


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


def heading(
    before: Side, after: Side, filter: "Filter", seconds: "float | None"
) -> dict[str, object]:
    """What a JSON document says in front of its list."""
    head: dict[str, object] = {}
    for name, side in (("before", before), ("after", after)):
        source = head_of(filter, side.info)["source"]
        assert isinstance(source, dict)
        head[name] = {
            **source,
            "host": side.notes.get("host"),
            "boot_id": side.notes.get("boot-id"),
        }
    return {**head, "seconds": seconds, "filter": asked(filter)}


def total_words(shown: int, found: int, group_by: "str | None") -> str:
    """What stands beside the sums of a table."""
    what = "changed " + (group_by or "tag")
    plural = {"changed directory": "changed directories"}.get(what, what + "s")
    if shown < found:
        return f"total of {shown} of {found} {plural}"
    return f"total of {found} {what if found == 1 else plural}"


class Layout:
    """Changes as the rows of a format.

    table: what people want to see; else everything, always in the same columns. seconds: between
    the two listings, None where rates cannot be had.
    """

    def __init__(self, table: bool, group_by: "str | None", seconds: "float | None") -> None:
        self._table = table
        self._group_by = group_by
        self._seconds = seconds
        self.columns = self._people() if table else self._machines()

    def _people(self) -> list[Column]:
        rate = [Column("per_second", SIZE, signed=True)] if self._seconds else []
        return [
            Column("growth", SIZE, signed=True),
            Column("percent", PERCENT, signed=True),
            *rate,
            Column("before", SIZE),
            Column("after", SIZE),
            Column("calls", NUMBER, signed=True),
            Column("change", TEXT),
            *self._names(Column("where", TEXT), Column("function", TEXT)),
            Column("accurate", FLAG),
        ]

    def _machines(self) -> list[Column]:
        return [
            Column("change", TEXT),
            Column("bytes_growth", SIZE, signed=True),
            Column("calls_growth", NUMBER, signed=True),
            Column("percent", PERCENT, signed=True),
            Column("bytes_per_second", NUMBER, signed=True),
            Column("calls_per_second", NUMBER, signed=True),
            Column("bytes_before", SIZE),
            Column("bytes_after", SIZE),
            Column("calls_before", NUMBER),
            Column("calls_after", NUMBER),
            *([Column("tags_before", NUMBER), Column("tags_after", NUMBER)] * bool(self._group_by)),
            *self._names(
                Column("file", TEXT),
                Column("line", NUMBER),
                Column("module", TEXT),
                Column("function", TEXT),
            ),
            Column("accurate", FLAG),
        ]

    def _names(self, *columns: Column) -> "Sequence[Column]":
        return [Column(self._group_by, TEXT)] if self._group_by else columns

    def rows(self, changes: "Iterable[Change]") -> "Iterable[Sequence[Value]]":
        """One row a change."""
        row = self._short if self._table else self._long
        return map(row, changes)

    def _short(self, change: Change) -> "Sequence[Value]":
        before, after = change.before, change.after
        return [
            change.bytes,
            change.percent,
            *([self._rate(change.bytes)] if self._seconds else []),
            before.bytes if before else None,
            after.bytes if after else None,
            change.calls,
            change.kind,
            *(change.key if self._group_by else place_of(change)),
            change.accurate,
        ]

    def _long(self, change: Change) -> "Sequence[Value]":
        before, after = change.before, change.after
        percent = change.percent
        tags = [before.tags if before else 0, after.tags if after else 0]
        return [
            change.kind,
            change.bytes,
            change.calls,
            None if percent is None else round(percent, 3),
            self._rate(change.bytes),
            self._rate(change.calls),
            before.bytes if before else None,
            after.bytes if after else None,
            before.calls if before else None,
            after.calls if after else None,
            *(tags if self._group_by else []),
            *change.key,
            change.accurate,
        ]

    def _rate(self, growth: int) -> "float | None":
        return round(growth / self._seconds, 3) if self._seconds else None

    def total(self, changes: "Sequence[Change]") -> "Mapping[str, Value]":
        """The sums of what is shown."""
        growth, calls = sum(c.bytes for c in changes), sum(c.calls for c in changes)
        before = sum(c.before.bytes for c in changes if c.before)
        after = sum(c.after.bytes for c in changes if c.after)
        if self._table:
            total = {"growth": growth, "before": before, "after": after, "calls": calls}
            return {**total, "per_second": self._rate(growth)}
        return {
            "changes": len(changes),
            "bytes_growth": growth,
            "calls_growth": calls,
            "bytes_per_second": self._rate(growth),
            "calls_per_second": self._rate(calls),
            "bytes_before": before,
            "bytes_after": after,
        }


def place_of(change: Change) -> tuple[str, str]:
    """(FILE:LINE [MODULE], FUNCTION) of a tag; no line where lines are ignored."""
    file, line, module, function = change.key
    where = f"{file}" if line is None else f"{file}:{line}"
    return (where if module is None else f"{where} [{module}]"), f"{function}"
