"""Reads the tags when somebody asks for them, and turns them into metrics."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...analysis.labelled import (
    Key,
    Labelled,
    Labels,
    Summing,
    cleaned,
    directory_labels,
    module_labels,
    place_of,
    place_with_line_of,
    shown_and_rest,
)
from ...analysis.leaders import Leaders
from ...analysis.reading import Reading
from ...analysis.slab import is_slab_page
from ...core.kernel import profiling_switch
from ...core.table import printable
from ...errors import SourceError
from ...model import Filter
from ...output import openmetrics as metrics
from ...output.openmetrics import Samples, alone, metric
from ...output.stream import say, warn
from ...sources.source import ALLOCINFO, Live, Saved
from ...sources.watching import Watcher

if TYPE_CHECKING:
    from prometheus_client import Metric

DIRECTORY, MODULE = ("directory",), ("module",)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What may have a series of its own: the label matches `include` and does not match `exclude`;
    None: not asked."""

    label: str
    include: re.Pattern[str] | None = None
    exclude: re.Pattern[str] | None = None

    def passes(self, value: str) -> bool:
        """May this value of the label?"""
        if self.exclude is not None and self.exclude.search(value):
            return False
        return self.include is None or self.include.search(value) is not None


@dataclass(frozen=True, slots=True)
class Exposed:
    """What is exported. top, min_size, hold: of the series, see Leaders; max_age: seconds for which
    an answer is given to others too; line: is the line a label?"""

    filter: Filter
    top: int
    min_size: int
    hold: float
    max_age: float
    line: bool
    patterns: tuple[Pattern, ...] = ()


class _Dimension:
    """Sums by one set of labels, those that are shown, and the rest."""

    def __init__(self, names: Labels, labels_of: Callable[[Key], Labels], exposed: Exposed) -> None:
        self.names = names
        self._labels_of = labels_of
        self._patterns = [
            (names.index(pattern.label), pattern)
            for pattern in exposed.patterns
            if pattern.label in names
        ]
        self._leaders = Leaders(exposed.top, exposed.hold, exposed.min_size)
        self._tags: Sequence[Any] | None = None
        self._summing = Summing(())
        self._allowed: list[bool] = []

    def sums(self, reading: Reading) -> Labelled:
        if reading.keys is not self._tags:
            self._tags = reading.keys
            summing = Summing(cleaned(map(self._labels_of, reading.keys), printable))
            if summing.keys != self._summing.keys:
                self._allowed = [self._may(labels) for labels in summing.keys]
            else:
                summing.keys = self._summing.keys
            self._summing = summing
        keys = self._summing.keys
        if not keys:
            return Labelled((), (), ())
        sizes, calls = self._summing(reading.bytes), self._summing(reading.calls)
        ranked = sizes
        if self._patterns:
            ranked = [n if may else 0 for n, may in zip(sizes, self._allowed, strict=True)]
        shown = self._leaders.update(reading.moment, keys, ranked)
        if self._patterns:
            shown = [at for at in shown if self._allowed[at]]
        return shown_and_rest(keys, sizes, calls, shown)

    def _may(self, labels: Labels) -> bool:
        return all(pattern.passes(labels[at]) for at, pattern in self._patterns)


class Collector:
    """What prometheus-client asks for metrics.

    version: of allocq; open: opens the source, and is tried again at each reading until it
    succeeds; is_stale: must it be opened again? One thread only.
    """

    def __init__(
        self,
        exposed: Exposed,
        version: str,
        open: Callable[[], Live | Saved],
        is_stale: Callable[[Live | Saved], bool] = lambda source: False,
    ) -> None:
        self._exposed = exposed
        self._version = version
        self._open, self._is_stale = open, is_stale
        self._path = ALLOCINFO
        self._watcher: Watcher | None = None
        place = metrics.PLACE_WITH_LINE if exposed.line else metrics.PLACE
        self._places = _Dimension(place, place_with_line_of if exposed.line else place_of, exposed)
        self._others = (
            _Dimension(DIRECTORY, directory_labels, exposed),
            _Dimension(MODULE, module_labels, exposed),
        )
        self._tags: Sequence[Any] | None = None
        self._pages: Sequence[int] = ()
        self._samples: list[Samples] = []
        self._read_at: float | None = None
        self._trouble = ""
        self._reads = self._errors = 0
        self._cost = (0.0, 0.0)
        self.number = 0

    def close(self) -> None:
        """Close the source."""
        if self._watcher is not None:
            self._watcher.source.close()

    def describe(self) -> Iterator[Metric]:
        """The metrics, without samples."""
        return (metric(family) for family in self._families())

    def _families(self) -> Iterator[metrics.Family]:
        for dimension in (self._places, *self._others):
            yield from metrics.sums_by(dimension.names, rest=True)
        yield from (metrics.TAGS, metrics.INACCURATE, metrics.UNDERFLOWED, metrics.SLAB_PAGES)
        yield from (metrics.SERIES, metrics.PROFILING, metrics.KERNEL, metrics.BUILD, metrics.UP)
        yield from (metrics.READ_AT, metrics.READ_SECONDS, metrics.READ_CPU)
        yield from (metrics.READS, metrics.READ_ERRORS)

    def collect(self) -> Iterator[Metric]:
        """The metrics of the last reading."""
        return (metric(family, rows) for family, rows in self._samples)

    def samples(self) -> list[Samples]:
        """The same without prometheus-client, for a file. SourceError, MemoryError."""
        return self._sums(self._read())

    def refresh(self) -> int:
        """Read, unless what was read last is young enough; returns the number of the reading."""
        now = time.monotonic()
        if self._read_at is None or now - self._read_at >= self._exposed.max_age:
            self._samples = self._update()
            # The age of an answer is that of its beginning.
            self._read_at = now
            self.number += 1
        return self.number

    def forget(self) -> None:
        """Read again for the next who asks, and count from there."""
        self._read_at, self._reads, self._errors = None, 0, 0

    def _update(self) -> list[Samples]:
        begun, cpu = time.monotonic(), time.process_time()
        self._reads += 1
        found: list[Samples] = []
        try:
            reading = self._read()
        except (SourceError, MemoryError) as error:
            self._errors += 1
            self._tell(str(error) or "out of memory")
        else:
            self._tell("")
        self._cost = time.monotonic() - begun, time.process_time() - cpu
        if not self._trouble:
            found = self._sums(reading)
        else:
            found = [(metrics.PROFILING, alone(self._switch())), *self._facts()]
        return [
            *found,
            (metrics.UP, alone(not self._trouble)),
            (metrics.READ_SECONDS, alone(self._cost[0])),
            (metrics.READ_CPU, alone(self._cost[1])),
            (metrics.READS, alone(self._reads)),
            (metrics.READ_ERRORS, alone(self._errors)),
        ]

    def _read(self) -> Reading:
        if self._watcher is not None and self._is_stale(self._watcher.source):
            self._watcher.source.close()
            self._watcher = None
        if self._watcher is None:
            self._watcher = Watcher(self._open())
            self._path = self._watcher.source.path
        return self._watcher.read(self._exposed.filter)

    def _tell(self, trouble: str) -> None:
        """Say that reading fails, once, and that it does not any more."""
        if trouble and trouble != self._trouble:
            warn(f"{trouble}; allocq_up is 0 until it can be read")
        elif self._trouble and not trouble:
            say("allocq: the tags can be read again")
        self._trouble = trouble

    def _switch(self) -> float | None:
        switch = profiling_switch(self._path)
        return None if switch is None else switch != "0"

    def _sums(self, reading: Reading) -> list[Samples]:
        found: list[Samples] = []
        sums = self._places.sums(reading)
        series = len(sums.labels) - sums.rest
        for names, each in (
            (self._places.names, sums),
            *((dimension.names, dimension.sums(reading)) for dimension in self._others),
        ):
            for family, values in zip(
                metrics.sums_by(names, rest=True), (each.bytes, each.calls), strict=True
            ):
                found.append((family, list(zip(each.labels, values, strict=True))))
        counters = reading.bytes, reading.calls
        underflowed = 0
        if any(column and min(column) < 0 for column in counters):
            underflowed = sum(a < 0 or b < 0 for a, b in zip(*counters, strict=True))
        return [
            *found,
            (metrics.TAGS, alone(len(reading.keys))),
            (metrics.INACCURATE, alone(sum(reading.inaccurate))),
            (metrics.UNDERFLOWED, alone(underflowed)),
            (metrics.SLAB_PAGES, alone(self._slab_pages(reading))),
            (metrics.SERIES, alone(series)),
            (metrics.PROFILING, alone(reading.profiling)),
            (metrics.READ_AT, alone(reading.time)),
            *self._facts(),
        ]

    def _slab_pages(self, reading: Reading) -> int:
        if reading.keys is not self._tags:
            self._tags = reading.keys
            keys: Sequence[Key] = reading.keys
            self._pages = [
                at
                for at, (file, _, module, function) in enumerate(keys)
                if is_slab_page(file, function, module or "")
            ]
        return sum(reading.bytes[at] for at in self._pages)

    def _facts(self) -> list[Samples]:
        found: list[Samples] = [(metrics.BUILD, [((self._version,), 1)])]
        snapshot = self._watcher.snapshot if self._watcher else None
        if snapshot is not None and snapshot.info.kernel:
            labels = printable(snapshot.info.kernel), snapshot.info.interface
            found.append((metrics.KERNEL, [(labels, 1)]))
        return found
