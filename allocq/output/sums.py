"""Rows and columns of sums of tags."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.groups import Group
from . import Column, ColumnKind, Value
from .table import average_of

_LOCATION = (
    Column("file", ColumnKind.TEXT),
    Column("line", ColumnKind.NUMBER),
    Column("module", ColumnKind.TEXT),
    Column("function", ColumnKind.TEXT),
)
_PLACE = (Column("where", ColumnKind.TEXT), Column("function", ColumnKind.TEXT))


class GroupLayout:
    """Lays out groups as rows. people: the columns of a table; average: with an average column;
    slab_mark: mark groups with slab pages, which the total leaves out."""

    def __init__(self, by: str, people: bool, average: bool, slab_mark: bool) -> None:
        self._by = by
        self._people = people
        self._average = average and people
        self._slab_mark = slab_mark

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of the rows."""
        spare = 3 if self._people else 0
        columns = [
            Column("bytes", ColumnKind.SIZE),
            Column("calls", ColumnKind.NUMBER, spare=spare and 1),
            *([Column("average", ColumnKind.SIZE, spare=2)] if self._average else []),
            Column("tags", ColumnKind.NUMBER, spare=spare),
        ]
        if self._by != "location":
            columns.append(Column(self._by, ColumnKind.TEXT))
        else:
            columns += _PLACE if self._people else _LOCATION
        if self._people:
            columns.append(Column("slab_pages", ColumnKind.FLAG))
            columns.append(Column("underflowed", ColumnKind.FLAG))
        return columns

    def row(self, group: Group) -> Sequence[Value]:
        """One row."""
        average = [average_of(group.bytes, group.calls)] if self._average else []
        row: list[Value] = [group.bytes, group.calls, *average, group.tags, *self._names(group)]
        if self._people:
            row.append(self._slab_mark and group.slab_bytes > 0)
            row.append(group.underflowed > 0)
        return row

    def _names(self, group: Group) -> Sequence[Value]:
        key = group.key
        if not isinstance(key, tuple):
            return [key]
        if not self._people:
            return key
        file, line, module, function = key
        return [f"{file}:{line}" if module is None else f"{file}:{line} [{module}]", function]
