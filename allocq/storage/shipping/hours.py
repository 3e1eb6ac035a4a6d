"""The samples of a recording by hour, host and boot: what a file is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..parquet.arrow import clean
from ..parquet.hour import Hour
from ..parquet.reading import Content
from ..parquet.schema import digest, file_name, hour_of
from ..recording.reader import Point, Recording, Taken
from ..recording.sample import Sample
from .ledger import Entry, Moment

_HOUR_NS = 3_600_000_000_000
_GRACE_NS = 60_000_000_000
"""A sample is taken a little before it can be read."""


@dataclass(slots=True)
class Batch:
    """The samples that make one file. hour: since 1970, in UTC."""

    hour: int
    host: str
    boot: str
    kernel: str
    taken: list[Taken] = field(default_factory=list)

    def entry(self, recording: str) -> Entry:
        """The file. recording: what tells it from others."""
        moments = [(each.boottime, each.time) for each in self.taken]
        content = " ".join(f"{boottime} {time}" for boottime, time in sorted(moments))
        name = file_name(
            self.host,
            hour_of(self.hour * 3_600_000_000),
            recording,
            self.boot,
            self.kernel,
            content,
        )
        return Entry(name, self.hour, self.host, self.boot, self.kernel, moments)


class Contents:
    """All samples of a recording, without their counters. Reading them once is enough."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.paths = list(recording.paths)
        self.batches: dict[tuple[int, str, str, str], Batch] = {}
        self.by_path: dict[Path, list[tuple[int, str, Moment]]] = {}
        self._last: dict[str, tuple[int, int]] = {}
        for path in self.paths:
            self._add(path)

    def _add(self, path: Path) -> None:
        host = self._recording.facts(path).get("host", "")
        contents = self.by_path.setdefault(path, [])
        for taken in self._recording.taken(path):
            hour = taken.time // _HOUR_NS
            key = (hour, host, taken.boot, taken.kernel)
            batch = self.batches.get(key)
            if batch is None:
                batch = self.batches[key] = Batch(*key)
            batch.taken.append(taken)
            contents.append((hour, taken.boot, (taken.boottime, taken.time)))
            last = self._last.get(taken.boot)
            self._last[taken.boot] = max(last or (taken.boottime, hour), (taken.boottime, hour))

    def identity(self) -> str:
        """What tells this recording from others: its first sample."""
        first = next(iter(self.batches.values()), None)
        if first is None:
            return ""
        sample = first.taken[0]
        return digest(first.host, first.boot, str(sample.boottime), str(sample.time))

    def missing(self, shipped: Iterable[Entry], now_ns: int, open_too: bool) -> Iterator[Batch]:
        """What is not shipped, oldest hour first; hours that are over, or all."""
        there = {(entry.boot, moment) for entry in shipped for moment in entry.samples}
        for key in sorted(self.batches):
            batch = self.batches[key]
            if not (open_too or self._is_over(batch, now_ns)):
                continue
            left = [
                taken
                for taken in batch.taken
                if (batch.boot, (taken.boottime, taken.time)) not in there
            ]
            if left:
                yield Batch(batch.hour, batch.host, batch.boot, batch.kernel, left)

    def _is_over(self, batch: Batch, now_ns: int) -> bool:
        # A clock that was set back leaves hours that are still to come.
        went_on = batch.hour != self._last[batch.boot][1]
        return went_on or now_ns >= (batch.hour + 1) * _HOUR_NS + _GRACE_NS

    def batch_of(self, entry: Entry) -> Batch:
        """What is still there of the samples of a file."""
        wanted = set(entry.samples)
        found = Batch(entry.hour, entry.host, entry.boot, entry.kernel)
        for path in self.paths:
            for taken in self._recording.taken(path):
                if taken.boot == entry.boot and (taken.boottime, taken.time) in wanted:
                    found.taken.append(taken)
        return found

    def shipped_whole(self, shipped: Iterable[Entry]) -> list[Path]:
        """The databases of which every sample was shipped."""
        there = {(entry.boot, moment) for entry in shipped for moment in entry.samples}
        return [
            path
            for path, contents in self.by_path.items()
            if contents and all((boot, moment) in there for _, boot, moment in contents)
        ]


def gathered(recording: Recording, batch: Batch) -> Hour:
    """The samples of a file with their counters; damaged ones are left out, with a warning."""
    hour = Hour(batch.host, batch.boot, batch.kernel)
    for sample in recording.each(_in_order(batch.taken)):
        moment = sample.moment
        hour.add(
            moment.time // 1000,
            moment.content_id,
            moment.consistent is not False,
            sample.subjects,
            sample.counters,
        )
    return hour


def without(recording: Recording, batch: Batch, there: set[Content]) -> Batch:
    """What of a batch is not there yet. A thinned sample has other counters than it had."""
    times = {(boot, time) for boot, time, *_ in there}
    left = Batch(batch.hour, batch.host, batch.boot, batch.kernel)
    for taken in batch.taken:
        if (clean(taken.boot), taken.time // 1000) in times:
            sample = next(recording.each(_in_order([taken])), None)
            if sample is None or sample.seconds or _content(sample) in there:
                continue
        left.taken.append(taken)
    return left


def _content(sample: Sample) -> Content:
    now, moment = sample.counters, sample.moment
    return (
        clean(moment.boot),
        moment.time // 1000,
        len(sample.subjects),
        sum(now.bytes),
        sum(now.calls),
    )


def _in_order(taken: Sequence[Taken]) -> list[Point]:
    return [Point(each.path, each.id, each.time, False) for each in taken]
