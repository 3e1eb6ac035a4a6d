"""Rows, columns and totals of changes between two listings."""

from collections.abc import Iterable, Mapping, Sequence

from ..analysis.diff import Change
from . import Column, ColumnKind, Value


def change_words(shown: int, changed: int, group_by: str | None) -> str:
    """The label of a table's total."""
    what = "changed " + (group_by or "tag")
    plural = {"changed directory": "changed directories"}.get(what, what + "s")
    if shown < changed:
        return f"total of {shown} of {changed} {plural}"
    return f"total of {changed} {what if changed == 1 else plural}"


class ChangeLayout:
    """Lays out changes as rows.

    table: the columns for people; otherwise all columns. seconds: between the two listings, None
    if unknown (then there are no rates).
    """

    def __init__(self, table: bool, group_by: str | None, seconds: float | None) -> None:
        self._table = table
        self._group_by = group_by
        self._seconds = seconds
        self.columns = self._people() if table else self._machines()

    def _people(self) -> list[Column]:
        rate = [Column("per_second", ColumnKind.SIZE, signed=True)] if self._seconds else []
        return [
            Column("growth", ColumnKind.SIZE, signed=True),
            Column("percent", ColumnKind.PERCENT, signed=True),
            *rate,
            Column("before", ColumnKind.SIZE),
            Column("after", ColumnKind.SIZE),
            Column("calls", ColumnKind.NUMBER, signed=True),
            Column("change", ColumnKind.TEXT),
            *self._names(Column("where", ColumnKind.TEXT), Column("function", ColumnKind.TEXT)),
            Column("accurate", ColumnKind.FLAG),
        ]

    def _machines(self) -> list[Column]:
        tags = [Column("tags_before", ColumnKind.NUMBER), Column("tags_after", ColumnKind.NUMBER)]
        return [
            Column("change", ColumnKind.TEXT),
            Column("bytes_growth", ColumnKind.SIZE, signed=True),
            Column("calls_growth", ColumnKind.NUMBER, signed=True),
            Column("percent", ColumnKind.PERCENT, signed=True),
            Column("bytes_per_second", ColumnKind.NUMBER, signed=True),
            Column("calls_per_second", ColumnKind.NUMBER, signed=True),
            Column("bytes_before", ColumnKind.SIZE),
            Column("bytes_after", ColumnKind.SIZE),
            Column("calls_before", ColumnKind.NUMBER),
            Column("calls_after", ColumnKind.NUMBER),
            *(tags if self._group_by else []),
            *self._names(
                Column("file", ColumnKind.TEXT),
                Column("line", ColumnKind.NUMBER),
                Column("module", ColumnKind.TEXT),
                Column("function", ColumnKind.TEXT),
            ),
            Column("accurate", ColumnKind.FLAG),
        ]

    def _names(self, *columns: Column) -> Sequence[Column]:
        return [Column(self._group_by, ColumnKind.TEXT)] if self._group_by else columns

    def rows(self, changes: Iterable[Change]) -> Iterable[Sequence[Value]]:
        """One row per change."""
        row = self._short if self._table else self._long
        return map(row, changes)

    def _short(self, change: Change) -> Sequence[Value]:
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

    def _long(self, change: Change) -> Sequence[Value]:
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

    def _rate(self, growth: int) -> float | None:
        return round(growth / self._seconds, 3) if self._seconds else None

    def total(self, changes: Sequence[Change]) -> Mapping[str, Value]:
        """The sums of the given changes."""
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
    """(FILE:LINE [MODULE], FUNCTION) of a tag; without the line if lines are ignored."""
    file, line, module, function = change.key
    where = f"{file}" if line is None else f"{file}:{line}"
    return (where if module is None else f"{where} [{module}]"), f"{function}"
