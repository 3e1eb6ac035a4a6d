"""What a report says of each place: now, and since before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .diff import Change, Count, Key, Keyed, bound, match
from .groups import Columns
from .histories import KERNEL, kind_of
from .slab import Sum, is_slab_page

MOST_POINTS = 120
Bounds = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Place(Keyed):
    """One tag. use: what its memory is used for (kernel, page cache, slab and so on); after: its
    counters, None if it is gone; change: since before, None if there is nothing to compare with."""

    key: Key
    use: str
    after: Count | None
    change: Change | None = None

    @property
    def bytes(self) -> int:
        """What it holds now."""
        return self.after.bytes if self.after else 0

    @property
    def calls(self) -> int:
        """Live allocations now."""
        return self.after.calls if self.after else 0

    @property
    def growth(self) -> int | None:
        """In bytes since before."""
        return None if self.change is None else self.change.bytes

    @property
    def calls_growth(self) -> int | None:
        """In live allocations since before."""
        return None if self.change is None else self.change.calls

    @property
    def accurate(self) -> bool:
        """Is the counter not flagged inaccurate?"""
        return self.change.accurate if self.change else not self.after or self.after.accurate

    @property
    def underflowed(self) -> bool:
        """Is a counter below zero?"""
        if self.change is not None:
            return self.change.underflowed
        return self.bytes < 0 or self.calls < 0

    @property
    def is_slab(self) -> bool:
        """Are its pages those of slab objects, which are counted at their own tags too?"""
        return is_slab_page(self.file, self.function, self.module or "")


def places_of(
    after: Columns,
    before: Columns | None = None,
    bounds: Bounds = (None, None),
) -> list[Place]:
    """Every tag of a listing, or of two. bounds: what a tag holds at most that `before`, or
    `after`, does not list, where that is an excerpt."""
    changes = match(after if before is None else before, after)
    if before is not None:
        bound(changes, *bounds)
    return [
        Place(
            change.key,
            kind_of(change.key),
            change.after,
            None if before is None else change,
        )
        for change in changes
    ]


def sum_now(places: Iterable[Place]) -> Sum:
    """The sum of what they hold."""
    total = Sum()
    for place in places:
        if place.after is not None:
            total.add(place.bytes, place.calls, place.is_slab)
    return total


def sum_before(places: Iterable[Place]) -> Sum:
    """The sum of what they held."""
    total = Sum()
    for place in places:
        if place.change is not None and (count := place.change.before) is not None:
            total.add(count.bytes, count.calls, place.is_slab)
    return total


def largest(places: Iterable[Place]) -> list[Place]:
    """All of them, the largest first."""
    return sorted(places, key=lambda place: (-place.bytes, -place.calls, _name(place)))


def most_grown(places: Iterable[Place]) -> list[Place]:
    """Those that grew, in bytes, the most first; slab pages last, as their objects say it all."""
    grown = [place for place in places if (place.growth or 0) > 0]
    return sorted(grown, key=lambda place: (place.is_slab, -(place.growth or 0), _name(place)))


def kernel_growth(grown: Sequence[Place]) -> Place | None:
    """What grew most of the kernel itself, where memory of programs or caches comes first."""
    first = next((place for place in grown if place.use == KERNEL), None)
    return None if not grown or first is grown[0] else first


def most_shrunk(places: Iterable[Place]) -> list[Place]:
    """Those that shrank, in bytes, the most first; slab pages last."""
    shrunk = [place for place in places if (place.growth or 0) < 0]
    return sorted(shrunk, key=lambda place: (place.is_slab, place.growth or 0, _name(place)))


def _name(place: Place) -> tuple[str, int, str, str]:
    return place.file, place.line, place.module or "", place.function


def curve(
    times: Sequence[float], values: Sequence[int], most: int = MOST_POINTS
) -> list[tuple[float, int]]:
    """(time, value) of a few samples that draw the same line: the first, and of equal spans of time
    the lowest, the highest and the last."""
    points = list(zip(times, values, strict=True))
    if len(points) <= most:
        return points
    spans = (most - 1) // 3
    start, width = times[0], (times[-1] - times[0]) / spans
    by_span: dict[int, list[int]] = {}
    for at, when in enumerate(times):
        number = min(spans - 1, int((when - start) / width)) if width else 0
        by_span.setdefault(number, []).append(at)
    kept = {0}
    for members in by_span.values():
        kept |= {min(members, key=values.__getitem__), max(members, key=values.__getitem__)}
        kept.add(members[-1])
    return [points[at] for at in sorted(kept)]
