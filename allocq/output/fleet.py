"""Rows and columns of the answers about a fleet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..analysis.slab import is_slab_page
from ..analysis.user_pages import user_memory
from ..units import format_time
from . import Column, ColumnKind, Value

_SIZE, _NUMBER, _TEXT, _FLAG = ColumnKind.SIZE, ColumnKind.NUMBER, ColumnKind.TEXT, ColumnKind.FLAG
MICROSECONDS = 1_000_000

Key = tuple[str | None, int | None, str | None, str | None]

NUMBERS: Mapping[str, Sequence[Column]] = {
    "top": (
        Column("bytes", _SIZE),
        Column("calls", _NUMBER, spare=3),
        Column("hosts", _NUMBER),
        Column("max", _SIZE, spare=1),
        Column("max_host", _TEXT, spare=2),
    ),
    "grown": (
        Column("growth", _SIZE, signed=True),
        Column("calls", _NUMBER, signed=True, spare=5),
        Column("before", _SIZE, spare=4),
        Column("after", _SIZE, spare=3),
        Column("grew", _NUMBER),
        Column("hosts", _NUMBER),
        Column("max", _SIZE, signed=True, spare=1),
        Column("max_host", _TEXT, spare=2),
    ),
    "outliers": (
        Column("host", _TEXT),
        Column("excess", _SIZE, signed=True),
        Column("bytes", _SIZE, spare=2),
        Column("calls", _NUMBER, spare=5),
        Column("median", _SIZE),
        Column("mad", _SIZE, spare=4),
        Column("score", _NUMBER, spare=3),
        Column("peers", _NUMBER),
        Column("kernel", _TEXT, spare=1),
    ),
    "percentiles": (
        Column("p50", _SIZE),
        Column("p90", _SIZE),
        Column("p99", _SIZE),
        Column("max", _SIZE),
        Column("max_host", _TEXT, spare=1),
        Column("hosts", _NUMBER, spare=2),
    ),
}
"""The columns before the place, by question."""

HOST_COLUMNS = (
    Column("host", _TEXT),
    Column("kernel", _TEXT),
    Column("boots", _NUMBER, spare=1),
    Column("first", _TEXT, spare=2),
    Column("last", _TEXT),
    Column("samples", _NUMBER, spare=3),
    Column("bytes", _SIZE),
    Column("calls", _NUMBER, spare=5),
    Column("ahead", _TEXT, spare=4),
)
_PEOPLE_PLACE = (Column("where", _TEXT), Column("function", _TEXT))
_MACHINE_PLACE = (
    Column("file", _TEXT),
    Column("line", _NUMBER),
    Column("module", _TEXT),
    Column("function", _TEXT),
)
_FLAGS = {
    "top": (
        Column("accurate", _FLAG),
        Column("slab_pages", _FLAG),
        Column("underflowed", _FLAG),
        Column("user_pages", _FLAG),
    ),
    "grown": (Column("slab_pages", _FLAG), Column("user_pages", _FLAG), Column("new", _FLAG)),
    "outliers": (Column("slab_pages", _FLAG), Column("user_pages", _FLAG)),
    "percentiles": (Column("slab_pages", _FLAG), Column("user_pages", _FLAG)),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of an answer about places: its numbers by column, and the place. new: no host had it in
    its first sample."""

    numbers: Mapping[str, Any]
    key: Key
    inaccurate: bool = False
    below: bool = False
    new: bool = False

    @property
    def is_apart(self) -> bool:
        """Is it memory of users, or counted at other places too?"""
        return self.slab_pages or user_memory(self.key) is not None

    @property
    def slab_pages(self) -> bool:
        """Is it the tag of slab pages?"""
        return is_slab_key(self.key)


def is_slab_key(key: Key) -> bool:
    """Is it the place of slab pages?"""
    file, _, module, function = key
    return bool(file and function) and is_slab_page(str(file), str(function), module or "")


class PlaceLayout:
    """Lays out rows about places. what: the question; table: for people."""

    def __init__(self, what: str, table: bool, group_by: str | None) -> None:
        self._what, self._table, self._group_by = what, table, group_by
        self._numbers = NUMBERS[what]
        place: Sequence[Column] = _PEOPLE_PLACE if table else _MACHINE_PLACE
        self._flags: Sequence[Column] = _FLAGS[what]
        if group_by:
            place, self._flags = [Column(group_by, _TEXT)], ()
        self.columns: list[Column] = [*self._numbers, *place, *self._flags]

    def rows(self, rows: Iterable[Row]) -> Iterable[Sequence[Value]]:
        """One row a place."""
        for row in rows:
            numbers = [row.numbers[column.name] for column in self._numbers]
            yield [*numbers, *self._place(row.key), *self._marks(row)]

    def _place(self, key: Key) -> Sequence[Value]:
        if self._group_by:
            at = {"function": 3, "module": 2}.get(self._group_by, 0)
            return [key[at]]
        if not self._table:
            return key
        file, line, module, function = key
        where = file if line is None else f"{file}:{line}"
        return [f"{where} [{module}]" if module else where, function]

    def _marks(self, row: Row) -> Sequence[Value]:
        marks = {
            "accurate": not row.inaccurate,
            "underflowed": row.below,
            "slab_pages": row.slab_pages,
            "user_pages": user_memory(row.key) is not None,
            "new": row.new,
        }
        return [marks[column.name] for column in self._flags]

    def total(self, rows: Sequence[Row]) -> Mapping[str, Value]:
        """The sums of the rows, of the columns of which sums make sense, without slab pages: their
        objects are counted at their own places."""
        names = {"top": ("bytes", "calls"), "grown": ("growth", "calls", "before", "after")}
        counted = [row for row in rows if not row.slab_pages] or rows
        return {
            name: sum(row.numbers[name] for row in counted) for name in names.get(self._what, ())
        }


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host. kernels: all of the window, the earliest first; first, last, ahead: microseconds,
    ahead of this machine's clock."""

    host: str
    kernel: str
    kernels: tuple[str, ...]
    boots: int
    first: int
    last: int
    samples: int
    bytes: int
    calls: int
    ahead: int = 0


class HostLayout:
    """Lays out rows about hosts."""

    def __init__(self, table: bool) -> None:
        self._table = table
        last = Column("ahead", _TEXT, spare=4) if table else Column("ahead", _NUMBER)
        kernels = [] if table else [Column("kernels", _NUMBER)]
        self.columns: list[Column] = [*HOST_COLUMNS[:2], *kernels, *HOST_COLUMNS[2:-1], last]

    def rows(self, rows: Iterable[HostRow]) -> Iterable[Sequence[Value]]:
        """One row a host."""
        for row in rows:
            times = [self._time(row.first), self._time(row.last)]
            ahead: Value = round(row.ahead / MICROSECONDS) or None
            if self._table:
                ahead = duration_words(row.ahead // MICROSECONDS) if ahead else ""
            yield [
                row.host,
                *self._kernels(row),
                row.boots,
                *times,
                row.samples,
                row.bytes,
                row.calls,
                ahead,
            ]

    def _kernels(self, row: HostRow) -> Sequence[Value]:
        if not self._table:
            return [row.kernel, len(row.kernels)]
        return [row.kernel if row.kernels[0] == row.kernel else f"{row.kernels[0]} -> {row.kernel}"]

    def _time(self, time: int) -> str:
        text = format_time(time / MICROSECONDS)
        return f"{text[:19]}Z" if self._table else text

    def total(self, rows: Sequence[HostRow]) -> Mapping[str, Value]:
        """The sums."""
        return {name: sum(getattr(row, name) for row in rows) for name in ("bytes", "calls")}


def duration_words(seconds: int) -> str:
    """`3d 4h`, `5h 10m`, `12m`, `40s`."""
    if seconds < 60:
        return f"{seconds}s"
    minutes = seconds // 60
    days, rest = divmod(minutes, 1440)
    if days:
        return f"{days}d {rest // 60}h"
    return f"{rest // 60}h {rest % 60}m" if rest >= 60 else f"{rest}m"
