"""Samples of one hour in the order of a file: tag by tag, and of each tag moment by moment.

Most counters do not move from one sample to the next, so only the first of each tag and what
changed is kept until all samples are there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from ...core.columns import changed
from ...core.filter import NativeFilter
from ...core.text import header, parse
from .arrow import Counts, Key, Moments, Names, batch

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema

ROWS_OF_A_BATCH = 1 << 17
_FIELDS = 4  # of a change: which sample, bytes, calls, inaccurate


class Columns(Protocol):
    """What the tags of a sample held, in kernel order; inaccurate is 0 or 1."""

    bytes: array[int]
    calls: array[int]
    inaccurate: array[int]


class Instant(Protocol):
    """When and where a sample was taken. time: nanoseconds since 1970."""

    time: int
    boot: str
    kernel: str
    content_id: int | None
    consistent: bool | None


class Taken(Protocol):
    """A sample of a recording."""

    @property
    def moment(self) -> Instant: ...
    @property
    def subjects(self) -> Sequence[bytes]: ...
    @property
    def counters(self) -> Columns: ...


class Hour:
    """Samples of one host and boot, added in the order in which they were taken."""

    def __init__(self, host: str, boot_id: str, kernel: str) -> None:
        self._times: array[int] = array("q")
        self._content_ids: list[int | None] = []
        self._consistent: list[bool] = []
        self._moments = Moments(
            host, boot_id, kernel, self._times, self._content_ids, self._consistent
        )
        self._stretches: list[_Stretch] = []
        self.rows = 0

    def __len__(self) -> int:
        return len(self._times)

    def add(
        self,
        time_us: int,
        content_id: int | None,
        consistent: bool,
        subjects: Sequence[bytes],
        counters: Columns,
    ) -> None:
        """Add a sample. subjects: as a recording has them."""
        stretch = self._stretches[-1] if self._stretches else None
        if stretch is None or not stretch.has(subjects):
            stretch = _Stretch(len(self), subjects)
            self._stretches.append(stretch)
        stretch.add(counters)
        self._times.append(time_us)
        self.rows += len(subjects)
        self._content_ids.append(content_id)
        self._consistent.append(consistent)

    def batches(self, schema: Schema) -> Iterator[RecordBatch]:
        """All rows, in order."""
        places = [stretch.places() for stretch in self._stretches]
        sorter = _Sorter(self._times)
        rows, tags = _Rows(), list[Key]()
        for key in sorted(set().union(*places)):
            holders = [
                (stretch, at)
                for stretch, found in zip(self._stretches, places, strict=True)
                for at in found.get(key, ())
            ]
            rows.add(len(tags), holders, sorter)
            tags.append(key)
            if len(rows) >= ROWS_OF_A_BATCH:
                yield batch(self._moments, _names(tags), rows.counts, schema)
                rows, tags = _Rows(), []
        if tags:
            yield batch(self._moments, _names(tags), rows.counts, schema)


class _Stretch:
    """Samples one after the other that have the same tags. start: which sample is the first."""

    def __init__(self, start: int, subjects: Sequence[bytes]) -> None:
        self.start, self.length = start, 0
        self._subjects = subjects
        self._first: Columns | None = None
        self._last: Columns | None = None
        self._changes: dict[int, array[int]] = {}

    @property
    def moments(self) -> array[int]:
        return array("I", range(self.start, self.start + self.length))

    def has(self, subjects: Sequence[bytes]) -> bool:
        return subjects is self._subjects or list(subjects) == list(self._subjects)

    def add(self, now: Columns) -> None:
        last = self._last
        if last is None:
            self._first = now
        else:
            places = {
                *changed(last.bytes, now.bytes),
                *changed(last.calls, now.calls),
                *changed(last.inaccurate, now.inaccurate),
            }
            for at in places:
                values = (self.length, now.bytes[at], now.calls[at], now.inaccurate[at])
                changes = self._changes.get(at)
                if changes is None:
                    changes = self._changes[at] = array("q")
                changes.extend(values)
        self._last = now
        self.length += 1

    def places(self) -> dict[Key, list[int]]:
        """Where the tags of each name are; a macro can make several alike."""
        found: dict[Key, list[int]] = {}
        for at, key in enumerate(names_of(self._subjects).keys()):
            found.setdefault(key, []).append(at)
        return found

    def runs(self, at: int) -> Iterator[tuple[int, int, int, int]]:
        """What one tag held: for how many samples, bytes, calls, inaccurate."""
        first = self._first
        assert first is not None
        since, *held = 0, first.bytes[at], first.calls[at], first.inaccurate[at]
        changes = self._changes.get(at, array("q"))
        for i in range(0, len(changes), _FIELDS):
            yield changes[i] - since, held[0], held[1], held[2]
            since, *held = changes[i : i + _FIELDS]
        yield self.length - since, held[0], held[1], held[2]


class _Rows:
    """Rows of some tags, as they come together."""

    def __init__(self) -> None:
        self.counts = Counts(array("I"), array("I"), array("q"), array("q"), array("B"))

    def __len__(self) -> int:
        return len(self.counts.tag)

    def add(self, tag: int, holders: Sequence[tuple[_Stretch, int]], sorter: _Sorter) -> None:
        counts, before = self.counts, len(self)
        for stretch, at in holders:
            counts.moment.extend(stretch.moments)
            for length, size, calls, inaccurate in stretch.runs(at):
                counts.bytes.extend(array("q", [size]) * length)
                counts.calls.extend(array("q", [calls]) * length)
                counts.accurate.extend(array("B", [not inaccurate]) * length)
        length = len(counts.moment) - before
        counts.tag.extend(array("I", [tag]) * length)
        order = sorter.order([stretch for stretch, _ in holders])
        if order is not None:
            for column in (counts.moment, counts.bytes, counts.calls, counts.accurate):
                column[before:] = array(column.typecode, [column[before + i] for i in order])


class _Sorter:
    """Puts the rows of a tag into the order of time, where several are alike or a clock was set
    back."""

    def __init__(self, times: Sequence[int]) -> None:
        self._times = times
        self._ascending = all(one <= other for one, other in pairwise(times))
        self._known: dict[tuple[int, ...], list[int]] = {}

    def order(self, stretches: Sequence[_Stretch]) -> list[int] | None:
        starts = tuple(stretch.start for stretch in stretches)
        if self._ascending and all(one < other for one, other in pairwise(starts)):
            return None
        if starts not in self._known:
            moments = [moment for stretch in stretches for moment in stretch.moments]
            self._known[starts] = sorted(range(len(moments)), key=lambda i: self._times[moments[i]])
        return self._known[starts]


def each_sample(samples: Iterable[tuple[str, Taken]], schema: Schema) -> Iterator[RecordBatch]:
    """Samples with their hosts as batches, each in kernel order."""
    subjects: Sequence[bytes] = ()
    names = names_of(subjects)
    for host, sample in samples:
        if sample.subjects is not subjects:
            subjects = sample.subjects
            names = names_of(subjects)
        moment, now = sample.moment, sample.counters
        moments = Moments(
            host,
            moment.boot,
            moment.kernel,
            [moment.time // 1000],
            [moment.content_id],
            [moment.consistent is not False],
        )
        rows = array("I", range(len(subjects)))
        accurate = array("B", (not each for each in now.inaccurate))
        counts = Counts(rows, array("I", bytes(4 * len(rows))), now.bytes, now.calls, accurate)
        yield batch(moments, names, counts, schema)


def names_of(subjects: Sequence[bytes]) -> Names:
    """What `FILE:LINE [MODULE] func:FUNCTION` says, of each tag. FormatError for anything else."""
    lines = b"".join(b"%12d %8d %b \n" % (0, 0, subject) for subject in subjects)
    return Names.of(parse(header("2.0") + lines, NativeFilter(), "the tags of a recording"))


def _names(tags: Sequence[Key]) -> Names:
    files, lines, modules, functions = zip(*tags, strict=True)
    return Names(files, lines, modules, functions)
