"""What tags hold from refresh to refresh: growth since the last one, since the start, since a mark.

Counters are kept in columns, one number a tag, so that a refresh of thousands of tags costs little
beside reading them.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import sub
from typing import TypeVar

from .diff import Key
from .histories import group_key
from .reading import Reading
from .slab import is_slab_page
from .user_pages import user_memory

T = TypeVar("T")
Within = tuple[tuple[str, Key], ...]
"""Groups, each inside the one before: what it is grouped by, and its key."""
HISTORY = 12
"""Readings that a sparkline is made of."""
_MOST = 1 << 18
"""Tags that are remembered. A kernel has thousands; modules with new names each time add more."""


@dataclass(frozen=True, slots=True)
class Total:
    """Sums without underflowed counters. mark: None without one. slab: bytes of slab pages, which
    the other sums leave out if `without_slab`."""

    tags: int
    bytes: int
    calls: int
    growth: int
    start: int
    mark: int | None
    slab: int
    without_slab: bool
    inaccurate: int
    underflowed: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Columns of tags or sums. growth: bytes since the reading before, `seconds` ago (None: there
    is none); unknown: where that is not known; start, mark: bytes since then; mark: None without
    one; tags: of each sum, None for single tags; inaccurate, slab: of each, 0 or not."""

    by: str | None
    keys: Sequence[Key]
    bytes: Sequence[int]
    calls: Sequence[int]
    growth: Sequence[int]
    start: Sequence[int]
    start_calls: Sequence[int]
    mark: Sequence[int] | None
    tags: Sequence[int] | None
    inaccurate: Sequence[int]
    slab: Sequence[int]
    seconds: float | None
    unknown: Container[int]
    history: Sequence[Sequence[int]]
    places: Sequence[int]
    since: Sequence[int]
    total: Total

    def __len__(self) -> int:
        return len(self.keys)

    def per_second(self, at: int) -> float | None:
        """Growth a second; None where it is not known."""
        if not self.seconds or at in self.unknown:
            return None
        return self.growth[at] / self.seconds

    def values(self, at: int) -> list[int]:
        """The bytes at the last readings, oldest first; before it was there, what it began with."""
        place = self.places[at]
        return [column[place] if place < len(column) else self.since[at] for column in self.history]

    def is_user_memory(self, at: int) -> bool:
        """Is it a tag of page cache, tmpfs or memory of programs?"""
        return self.by is None and user_memory(self.keys[at]) is not None

    def order(self, sort: str, reverse: bool = False) -> list[int]:
        """Positions by `sort`: growth, start, mark, bytes or calls, largest first. What is equal is
        ordered by growth since the start, then by size, then as the kernel does."""
        rows = list(range(len(self.keys)))
        columns = {
            "growth": (self.bytes, self.start, self.growth),
            "start": (self.bytes, self.start),
            "mark": (self.bytes, self.start, self.mark or ()),
            "bytes": (self.calls, self.bytes),
            "calls": (self.bytes, self.calls),
        }[sort]
        for column in columns:
            if any(column):
                rows.sort(key=column.__getitem__, reverse=not reverse)
        return rows


@dataclass(slots=True)
class _Group:
    """Which rows are summed to what. index: a group for each row, -1 for none."""

    key: tuple[object, ...]
    keys: list[Key]
    index: list[int]
    tags: list[int]
    slab: list[int]
    history: deque[Sequence[int]]


class Board:
    """Takes one reading after the other. Growth is counted from the first reading that asks for a
    tag, or from 0 where it came later, as when a module is loaded."""

    def __init__(self) -> None:
        self.reading: Reading | None = None
        self.has_mark = False
        self._clear()

    def _clear(self) -> None:
        self._keys: list[Key] = []
        self._row: dict[tuple[Key, int], int] = {}
        self._size: list[int] = []
        self._calls: list[int] = []
        self._size_before: list[int] = []
        self._first: list[int] = []
        self._first_calls: list[int] = []
        self._mark: list[int] = []
        self._mark_calls: list[int] = []
        self._seen: list[float] = []
        self._inaccurate: list[int] = []
        self._slab: list[int] = []
        self._unmarked: set[int] = set()
        self._rows: Sequence[int] = ()
        self._gone: set[int] = set()
        self._odd: dict[int, tuple[int, float] | None] = {}
        self._history: deque[Sequence[int]] = deque(maxlen=HISTORY)
        self._seconds: float | None = None
        self._layout = 0
        self._inside: tuple[tuple[object, ...], list[int]] | None = None
        self._before: float | None = None
        self._group: _Group | None = None
        self.has_mark = False
        self.reading = None

    def mark(self) -> None:
        """Count growth since a mark from the last reading on."""
        self.has_mark = True
        self._mark, self._mark_calls = self._size[:], self._calls[:]
        self._unmarked = set(range(len(self._keys))) - set(self._rows) - self._gone

    def feed(self, reading: Reading, instead: bool = False) -> None:
        """Take a reading, later than the one before. One of another boot begins anew. instead: it
        takes the place of the one before, so that rates are not those of a short moment."""
        last = self.reading
        if last and (last.boot != reading.boot and last.boot and reading.boot):
            self._clear()
            last = None
        if len(self._keys) > _MOST:
            self._clear()
            last = None
        instead = instead and last is not None
        if not instead:
            self._odd = {}
            self._size_before = self._size
            self._before = last.moment if last else None
        if last is None or reading.keys is not last.keys or reading.filter != last.filter:
            self._lay_out(reading, last)
        elif isinstance(self._rows, range):
            self._size, self._calls = list(reading.bytes), list(reading.calls)
            self._inaccurate = list(reading.inaccurate)
        else:
            self._size, self._calls = self._size[:], self._calls[:]
            self._put(reading)
        self._seconds = None
        if self._before is not None and reading.moment > self._before:
            self._seconds = reading.moment - self._before
        if instead:
            self._history.pop()
            self._group = None
        self._history.append(array("q", self._size))
        if self._group:
            sums, _ = self._sums(self._group, self._size, self._calls)
            self._group.history.append(sums)
        self.reading = reading

    def _put(self, reading: Reading) -> None:
        counters = zip(self._rows, reading.bytes, reading.calls, reading.inaccurate, strict=True)
        for row, size, calls, inaccurate in counters:
            self._size[row] = size
            self._calls[row] = calls
            self._inaccurate[row] = inaccurate

    def _lay_out(self, reading: Reading, last: Reading | None) -> None:
        """Find the rows of a reading whose tags may be others."""
        before = set(self._rows)
        # What such a question did not find before was not there.
        whole = (
            last is not None and reading.filter == last.filter and not reading.filter.asks_counters
        )
        if last is not None:
            for row in before:
                self._seen[row] = last.moment
        rows = self._rows_of(reading, whole)
        now = set(rows)
        self._size, self._calls = self._size[:], self._calls[:]  # history holds the others
        if whole:
            self._gone = (self._gone | before) - now
            for row in self._gone:
                self._size[row] = self._calls[row] = self._inaccurate[row] = 0
        else:
            for row in now - before - self._odd.keys() - self._gone:
                if last is not None:
                    self._odd[row] = self._size[row], self._seen[row]
            self._gone = set()
        self._rows = range(len(self._keys)) if rows == list(range(len(self._keys))) else rows
        self._put(reading)
        for row in self._unmarked & now:
            self._mark[row], self._mark_calls[row] = self._size[row], self._calls[row]
        self._unmarked -= now
        self._layout += 1
        self._group = None

    def _rows_of(self, reading: Reading, whole: bool) -> list[int]:
        """The row of each tag; new rows for those that were never seen."""
        rows: list[int] = []
        twins: dict[Key, int] = {}
        for key, size, calls in zip(reading.keys, reading.bytes, reading.calls, strict=True):
            number = twins[key] = twins.get(key, -1) + 1
            row = self._row.get((key, number))
            if row is None:
                row = self._row[key, number] = len(self._keys)
                self._keys.append(key)
                file, _, module, function = key
                slab = is_slab_page(str(file), str(function), str(module or ""))
                self._slab.append(int(slab))
                first = (0, 0) if whole else (size, calls)
                for column, value in (
                    (self._first, first[0]),
                    (self._first_calls, first[1]),
                    (self._mark, first[0]),
                    (self._mark_calls, first[1]),
                    (self._size, first[0]),
                    (self._calls, first[1]),
                    (self._inaccurate, 0),
                ):
                    column.append(value)
                self._seen.append(reading.moment)
                if not whole:
                    self._odd[row] = None
            rows.append(row)
        return rows

    def figures(self, by: str | None = None, within: Within = ()) -> Figures:
        """The tags of the last reading, or their sums by file, directory, function, module or
        location. within: only those in these groups."""
        rows = self._rows_within(within)
        growth, unknown = self._growth()
        total = self._total(rows, self._gone_within(within), growth)
        if by is not None:
            return self._grouped(by, within, growth, total)
        mark = list(map(sub, self._size, self._mark)) if self.has_mark else None
        start = list(map(sub, self._size, self._first))
        calls = list(map(sub, self._calls, self._first_calls))
        return Figures(
            None,
            _pick(self._keys, rows),
            _pick(self._size, rows),
            _pick(self._calls, rows),
            _pick(growth, rows),
            _pick(start, rows),
            _pick(calls, rows),
            None if mark is None else _pick(mark, rows),
            None,
            _pick(self._inaccurate, rows),
            _pick(self._slab, rows),
            self._seconds,
            {at for at, row in enumerate(rows) if row in unknown} if unknown else (),
            list(self._history),
            rows,
            _pick(self._first, rows),
            total,
        )

    def _rows_within(self, within: Within) -> Sequence[int]:
        """The rows of the last reading in the groups, without tags that are gone."""
        if not within:
            return self._rows
        known = (self._layout, within)
        if self._inside is None or self._inside[0] != known:
            self._inside = known, [row for row in self._rows if self._is_in(row, within)]
        return self._inside[1]

    def _is_in(self, row: int, within: Within) -> bool:
        return all(group_key(self._keys[row], by) == key for by, key in within)

    def _gone_within(self, within: Within) -> list[int]:
        """The rows of tags that are gone since the start: they hold nothing now."""
        return [row for row in sorted(self._gone) if self._is_in(row, within)]

    def _growth(self) -> tuple[list[int], set[int]]:
        """Growth of each row since the reading before, and where that is not known."""
        growth = list(map(sub, self._size, self._size_before))
        growth += [0] * (len(self._size) - len(growth))
        unknown = set()
        for row, seen in self._odd.items():
            growth[row] = 0
            if seen is None or not self._seconds or not self.reading:
                unknown.add(row)
                continue
            value, moment = seen
            passed = self.reading.moment - moment
            if passed > 0:
                growth[row] = round((self._size[row] - value) * self._seconds / passed)
        return growth, unknown

    def _total(self, rows: Sequence[int], gone: list[int], growth: Sequence[int]) -> Total:
        tags = len(rows)
        if gone:
            rows = [*rows, *gone]
        sizes, calls = _pick(self._size, rows), _pick(self._calls, rows)
        counted, counted_calls = _counted(sizes, calls), _counted(calls, sizes)
        underflowed = 0
        if counted is not sizes:
            pairs = zip(sizes, calls, strict=True)
            underflowed = sum(size < 0 or number < 0 for size, number in pairs)
        pages = list(compress(range(len(rows)), _pick(self._slab, rows)))

        def whole(column: Sequence[int]) -> tuple[int, int]:
            """A sum, and that of the slab pages in it."""
            return sum(column), sum(column[at] for at in pages)

        bytes_, slab = whole(counted)
        without = 0 < slab < bytes_

        def left(sums: tuple[int, int]) -> int:
            return sums[0] - sums[1] if without else sums[0]

        def before(sizes: Sequence[int], calls: Sequence[int]) -> int:
            return left(whole(_counted(_pick(sizes, rows), _pick(calls, rows))))

        now = left((bytes_, slab))
        return Total(
            tags,
            now,
            left(whole(counted_calls)),
            left(whole(_pick(growth, rows))),
            now - before(self._first, self._first_calls),
            now - before(self._mark, self._mark_calls) if self.has_mark else None,
            slab,
            without,
            sum(map(bool, _pick(self._inaccurate, rows))),
            underflowed,
        )

    def _grouped(self, by: str, within: Within, growth: Sequence[int], total: Total) -> Figures:
        group = self._group_of(by, within)
        sizes, calls = self._sums(group, self._size, self._calls)
        first, first_calls = self._sums(group, self._first, self._first_calls)
        grown = [0] * len(group.keys)
        for row in compress(range(len(growth)), growth):
            if (at := group.index[row]) >= 0:
                grown[at] += growth[row]
        inaccurate = [0] * len(group.keys)
        for row in compress(range(len(self._inaccurate)), self._inaccurate):
            if (at := group.index[row]) >= 0:
                inaccurate[at] = 1
        mark = None
        if self.has_mark:
            marked, _ = self._sums(group, self._mark, self._mark_calls)
            mark = list(map(sub, sizes, marked))
        return Figures(
            by,
            group.keys,
            sizes,
            calls,
            grown,
            list(map(sub, sizes, first)),
            list(map(sub, calls, first_calls)),
            mark,
            group.tags,
            inaccurate,
            group.slab,
            self._seconds,
            (),
            list(group.history),
            range(len(group.keys)),
            first,
            total,
        )

    def _group_of(self, by: str, within: Within) -> _Group:
        known = (self._layout, by, within)
        if self._group and self._group.key == known:
            return self._group
        index = [-1] * len(self._keys)
        places: dict[Key, int] = {}
        rows = self._rows_within(within)
        for row in (*rows, *self._gone_within(within)):
            key = group_key(self._keys[row], by)
            index[row] = places.setdefault(key, len(places))
        tags, slab = [0] * len(places), [0] * len(places)
        for row in rows:
            tags[index[row]] += 1
            slab[index[row]] |= self._slab[row]
        group = _Group(known, list(places), index, tags, slab, deque(maxlen=HISTORY))
        for column in self._history:
            column = [*column, *self._first[len(column) :]]
            group.history.append(self._sums(group, column, column)[0])
        self._group = group
        return group

    @staticmethod
    def _sums(
        group: _Group, sizes: Sequence[int], calls: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """(bytes, calls) of each group, without underflowed counters."""
        # The last is that of rows in no group.
        size_sums, call_sums = [0] * (len(group.keys) + 1), [0] * (len(group.keys) + 1)
        for at, size, number in zip(
            group.index, _counted(sizes, calls), _counted(calls, sizes), strict=True
        ):
            size_sums[at] += size
            call_sums[at] += number
        return size_sums[:-1], call_sums[:-1]


def _pick(column: Sequence[T], rows: Sequence[int]) -> list[T]:
    """The values of some rows."""
    if isinstance(rows, range) and len(rows) == len(column):
        return list(column)
    return [column[row] for row in rows]


def _counted(values: Sequence[int], others: Sequence[int]) -> Sequence[int]:
    """The values, 0 where a counter is below zero."""
    if min(values, default=0) >= 0 and min(others, default=0) >= 0:
        return values
    return [
        value if value >= 0 and other >= 0 else 0
        for value, other in zip(values, others, strict=True)
    ]
