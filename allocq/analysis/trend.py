"""Finds what leaks in a series of samples: what rises, goes on rising, and never comes back.

Caches fall when memory is short or when their work is done; a warm-up ends; one large allocation
is a step. A leak keeps what it took: the least that is held from some time on rises to the end.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median

MOST_POINTS = 64
LEAST_POINTS = 8
SPANS = 6
MOST_FALLEN = 0.35
CHANCE = 0.005
"""A suspect rises as a place without a trend would once in two hundred times."""
STRICTER = 10
"""The test of the steps has to be this much surer, as it is made beside the other."""


@dataclass(frozen=True, slots=True)
class Points:
    """Counters of one place at the samples of one boot.

    times: seconds, ascending; bytes and calls: as many, 0 where the place does not exist yet.
    drops: between which samples the caches were dropped: the number of the later one.
    """

    times: Sequence[float]
    bytes: Sequence[int]
    calls: Sequence[int]
    drops: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Trend:
    """What one place did over a series.

    first, last, lowest, highest, growth: bytes. calls_growth: live allocations.
    per_hour: bytes an hour, the median slope of all pairs of samples (Theil-Sen): a few outliers do
    not move it.
    steadiness: -1 (falls in every pair) to 1 (rises in every pair), Kendall's tau-b with time.
    chance: how likely a series without a trend rises so steadily, 0 to 1, one-sided: Mann-Kendall
    for inert values, or for free ones where the steps go one way by far (a sign test).
    kept: bytes that came and were never freed again: the last value above the lowest.
    fell_back: the deepest fall below an earlier height, as a share of the whole rise, 0 to 1.
    persistence: the share of six equal spans of time in which `kept` grew by at least a quarter of
    its even pace, 0 to 1; goes_on: the last two are among them.
    survived: did it keep at least nine tenths whenever caches were dropped? None: they were not.
    """

    first: int
    last: int
    lowest: int
    highest: int
    growth: int
    calls_growth: int
    per_hour: float
    steadiness: float
    chance: float
    kept: int
    fell_back: float
    persistence: float
    goes_on: bool
    survived: bool | None

    @property
    def suspicion(self) -> float:
        """0 to 1: persistence times steadiness times what did not fall back; half of it where bytes
        grow but calls do not, nothing where dropping the caches freed it."""
        if self.growth <= 0 or self.per_hour <= 0 or self.survived is False:
            return 0.0
        share = self.persistence * max(0.0, self.steadiness) * (1 - self.fell_back)
        return share if self.calls_growth > 0 else share / 2

    @property
    def is_suspect(self) -> bool:
        """Does it rise beyond chance, in most of the time and to the end, and fall back little?"""
        return (
            self.growth > 0
            and self.calls_growth > 0
            and self.per_hour > 0
            and self.survived is not False
            and self.chance <= CHANCE
            and self.goes_on
            and self.persistence >= 2 / 3
            and self.fell_back <= MOST_FALLEN
        )


def trend_of(points: Points) -> Trend:
    """The trend of one place. ValueError if there is no sample.

    Of more than 64 samples the last in each of 64 equal spans of time counts for the slope and the
    test; what was kept and what fell back counts all of them.
    """
    if not points.bytes:
        raise ValueError("no samples")
    values = points.bytes
    first, last = values[0], values[-1]
    lowest, highest = min(values), max(values)
    if lowest == highest:
        calls = points.calls[-1] - points.calls[0]
        return Trend(
            first, last, lowest, highest, 0, calls, 0.0, 0.0, 1.0, 0, 0.0, 0.0, False, None
        )
    few = _thinned(points.times)
    times = [points.times[at] for at in few]
    some = [values[at] for at in few]
    slope = theil_sen(times, some)
    steadiness, score = kendall(some)
    # A smooth curve is as inert as a counter that wanders, but its steps all go one way.
    chance = min(
        chance_of(score, _inertia(times, some, slope)),
        max(chance_of(score), STRICTER * chance_of_steps(some)),
    )
    spans = _kept_by_span(points.times, values)
    kept = last - lowest
    pace = kept / SPANS
    grew = [kept > 0 and each >= pace / 4 for each in spans]
    return Trend(
        first,
        last,
        lowest,
        highest,
        last - first,
        points.calls[-1] - points.calls[0],
        slope * 3600,
        steadiness,
        chance,
        kept,
        _fell_back(values),
        sum(grew) / SPANS,
        all(grew[-2:]),
        _survived(values, points.drops),
    )


def _thinned(times: Sequence[float]) -> list[int]:
    """Which samples count: the last in each of 64 equal spans."""
    if len(times) <= MOST_POINTS:
        return list(range(len(times)))
    start, width = times[0], (times[-1] - times[0]) / MOST_POINTS
    last = {
        min(MOST_POINTS - 1, int((when - start) / width) if width else 0): at
        for at, when in enumerate(times)
    }
    return sorted({0, *last.values()})


def theil_sen(times: Sequence[float], values: Sequence[float]) -> float:
    """The median of the slopes of all pairs, per second; 0 if no two times differ."""
    slopes = [
        (values[j] - values[i]) / (times[j] - times[i])
        for i in range(len(times))
        for j in range(i + 1, len(times))
        if times[j] > times[i]
    ]
    return median(slopes) if slopes else 0.0


def _inertia(times: Sequence[float], values: Sequence[float], slope: float) -> float:
    """How much of each value's distance from the line stays in the next one: the autocorrelation
    at lag 1, 0 to 0.99. A counter that only wanders is nearly where it was before."""
    rest = [value - slope * when for when, value in zip(times, values, strict=True)]
    mean = sum(rest) / len(rest)
    rest = [each - mean for each in rest]
    power = sum(each * each for each in rest)
    if power <= 1e-9 * len(rest):
        return 0.0
    return min(0.99, max(0.0, sum(one * two for one, two in pairwise(rest)) / power))


def chance_of(score: float | None, inertia: float = 0.0) -> float:
    """The chance of a normal score or a higher one, 0 to 1; 1 for None. inertia: how much samples
    depend on the one before, 0 to 0.99; each is worth (1 - inertia) / (1 + inertia) of a free one.
    """
    if score is None:
        return 1.0
    return math.erfc(score * math.sqrt((1 - inertia) / (1 + inertia) / 2)) / 2


def kendall(values: Sequence[float]) -> tuple[float, float | None]:
    """Kendall's tau-b with time, -1 to 1, and S as a normal score (the Mann-Kendall test).

    The variance of S is corrected for equal values (Kendall, Rank Correlation Methods). The score
    is None below LEAST_POINTS values, where the normal approximation does not hold.
    """
    n = len(values)
    if n < 2:
        return 0.0, None
    s = sum(
        (values[j] > values[i]) - (values[j] < values[i]) for i in range(n) for j in range(i + 1, n)
    )
    counts: dict[float, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    pairs = n * (n - 1) // 2
    untied = pairs - sum(t * (t - 1) // 2 for t in counts.values())
    tau = s / math.sqrt(pairs * untied) if untied else 0.0
    variance = n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in counts.values())
    if n < LEAST_POINTS or variance <= 0:
        return tau, None
    return tau, (s - (s > 0) + (s < 0)) / math.sqrt(variance / 18)


def chance_of_steps(values: Sequence[float]) -> float:
    """The one-sided chance of as many rises among the steps from value to value if each were as
    likely a fall (the sign test), 0 to 1: a counter that only wanders has no other steps."""
    rises = sum(after > before for before, after in pairwise(values))
    falls = sum(after < before for before, after in pairwise(values))
    steps = rises + falls
    return sum(math.comb(steps, many) for many in range(rises, steps + 1)) / (1 << steps)


def _kept_by_span(times: Sequence[float], values: Sequence[int]) -> list[int]:
    """How much of what was held to the end came in each of SPANS equal spans of time.

    What is held at the end and was held at some time without a break is the least of all values
    from then on.
    """
    floors = list(accumulate(reversed(values), min))[::-1]
    start, width = times[0], (times[-1] - times[0]) / SPANS
    edges = [floors[0]]
    for number in range(1, SPANS):
        at = bisect_left(times, start + number * width)
        edges.append(floors[min(at, len(floors) - 1)])
    edges.append(floors[-1])
    return [two - one for one, two in pairwise(edges)]


def _survived(values: Sequence[int], drops: Sequence[int]) -> bool | None:
    if not drops:
        return None
    return all(10 * values[at] >= 9 * values[at - 1] for at in drops)


def _fell_back(values: Sequence[float]) -> float:
    """The deepest fall below an earlier height, as a share of the rise to the highest value.

    Medians of 20 runs of samples stand for them: what falls and rises again at once is noise.
    """
    step = max(1, math.ceil(len(values) / 20))
    smooth = [median(values[at : at + step]) for at in range(0, len(values), step)]
    top, deepest = smooth[0], 0.0
    for value in smooth:
        top = max(top, value)
        deepest = max(deepest, top - value)
    rise = top - smooth[0]
    return min(1.0, deepest / rise) if rise else 1.0


def spark(values: Sequence[int], width: int) -> list[int]:
    """Heights 0 to 7 of `width` columns between the lowest and the highest value: the first of the
    values, the last, and those at even distances between them."""
    last = len(values) - 1
    if last >= width:
        values = [values[last - at * last // max(1, width - 1)] for at in reversed(range(width))]
    low, high = min(values), max(values)
    return [
        (7 * (value - low) + (high - low) // 2) // (high - low) if high > low else 0
        for value in values
    ]
