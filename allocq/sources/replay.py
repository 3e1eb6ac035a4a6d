"""Readings of a recording, or of a folder of saved listings, in any order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from ..analysis.board import HISTORY, Board
from ..analysis.diff import names_only
from ..analysis.reading import Reading
from ..errors import SourceError
from ..model import Filter
from .series import Listed, Point, Series

_KEPT = 64


class Replay:
    """Gives a board as if it had been watching up to one sample: growth counts from the first
    sample of the same boot, rates from the sample before."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.points = series.in_order(series.points())
        if not self.points:
            series.at(float("inf"))  # says that there is none; otherwise, none can be read
            raise SourceError(series.warnings[-1])
        self.position = 0
        self._readings: OrderedDict[tuple[Point, Filter], Reading | None] = OrderedDict()
        self._starts: dict[Point, int] = {}

    def look_again(self) -> None:
        """Take in what was recorded in the meantime."""
        at = self.points[self.position]
        points = self.series.points()
        if len(points) == len(self.points):
            return
        points = self.series.in_order(points)
        if at in points:
            self.points, self.position = points, points.index(at)

    def find(self, when: float) -> int:
        """The last sample at or before `when` (seconds since 1970). SourceError for none."""
        self.series.at(when)  # says if there is none
        earlier = [at for at, point in enumerate(self.points) if point.time <= when]
        return max(earlier, key=lambda at: (self.points[at].time, at), default=0)

    def step(self, board: Board, position: int, filter: Filter) -> bool:
        """Feed the next sample to a board that has the one before. False if it cannot be."""
        reading = self._reading(position, filter)
        last = board.reading
        if reading is None or last is None or last.filter != filter:
            return False
        if reading.boot != last.boot or reading.moment <= last.moment:
            return False
        board.feed(reading)
        return True

    def board_at(self, position: int, filter: Filter, mark: int | None = None) -> Board:
        """A board that has seen the samples up to this one, and was given a mark at another one if
        that is not later. SourceError if it cannot be read."""
        now = self._reading(position, filter)
        if now is None:
            warnings = self.series.warnings
            raise SourceError(warnings[-1] if warnings else "this sample cannot be read")
        start = self._start_of(position)
        wanted = {start, position, *range(max(start, position - HISTORY + 1), position)}
        if mark is not None and start <= mark <= position:
            wanted.add(mark)
        readings = self._take(sorted(wanted), filter)
        board = Board()
        for at in sorted(wanted):
            reading, last = readings.get(at), board.reading
            if reading is None:
                continue
            if last is None or (reading.boot == last.boot and reading.moment > last.moment):
                board.feed(reading)
            if at == mark and board.reading is reading:
                board.mark()
        if board.reading is not now:  # a clock or a boot that nothing fits to
            board = Board()
            board.feed(now)
        return board

    def _start_of(self, position: int) -> int:
        """The first sample of the boot; samples of one boot follow each other."""
        point = self.points[position]
        if point not in self._starts:
            boot, low, high = self.series.boot_of(point), 0, position
            while low < high:
                middle = (low + high) // 2
                if self.series.boot_of(self.points[middle]) == boot:
                    high = middle
                else:
                    low = middle + 1
            self._starts[point] = high
        return self._starts[point]

    def _reading(self, position: int, filter: Filter) -> Reading | None:
        return self._take([position], filter).get(position)

    def _take(self, positions: Sequence[int], filter: Filter) -> dict[int, Reading]:
        """The readings of some samples, without those that cannot be read."""
        points = {position: self.points[position] for position in positions}
        missing = [point for point in points.values() if (point, filter) not in self._readings]
        if missing:
            samples = self.series.samples(missing, names_only(filter))
            by_time = {listed.taken: listed for listed in samples}
            for point in missing:
                listed = by_time.get(point.time)
                reading = None if listed is None else _reading_of(listed, point, filter)
                self._readings[point, filter] = reading
        found = {}
        for position, point in points.items():
            self._readings.move_to_end((point, filter))
            if (kept := self._readings[point, filter]) is not None:
                found[position] = kept
        while len(self._readings) > _KEPT:
            self._readings.popitem(last=False)
        return found


def _reading_of(listed: Listed, point: Point, filter: Filter) -> Reading:
    keys, flags = listed.keys, listed.inaccurate
    sizes: Sequence[int] = listed.bytes
    calls: Sequence[int] = listed.calls
    if filter.asks_counters:
        rows = [
            row
            for row, (size, number, flag) in enumerate(zip(sizes, calls, flags, strict=True))
            if filter.passes(size, number)
            and filter.accurate in (None, not flag)
            and (not filter.underflowed or size < 0 or number < 0)
        ]
        keys = [keys[row] for row in rows]
        sizes, calls, flags = ([column[row] for row in rows] for column in (sizes, calls, flags))
    return Reading(
        point.time,
        listed.time,
        listed.boot,
        filter,
        keys,
        sizes,
        calls,
        flags,
        listed.host,
        listed.kernel,
        listed.profiling,
        listed.consistent,
    )
