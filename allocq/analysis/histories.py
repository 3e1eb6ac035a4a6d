"""Collects the counters of each place over samples, boot by boot, for a trend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from .diff import Key
from .groups import directory_of
from .leak import user_memory
from .slab import is_slab_page
from .trend import Points

KERNEL, TMPFS, ANONYMOUS, CACHE, SLAB = "kernel", "tmpfs", "anonymous", "page cache", "slab pages"
KINDS = (KERNEL, TMPFS, ANONYMOUS, CACHE, SLAB)
APART = (ANONYMOUS, CACHE, SLAB)
"""Kinds that grow with what users do, or whose objects are counted at their own tags."""
_KINDS_OF_USERS = {"shmem": TMPFS, "anonymous": ANONYMOUS, "cache": CACHE}
DROPPED = 0.5
"""Caches that lose more than half between two samples were dropped."""


def kind_of(key: Key) -> str:
    """What a tag's memory is used for: one of KINDS."""
    file, _, module, function = key
    if is_slab_page(str(file), str(function), str(module or "")):
        return SLAB
    kind = user_memory(key)
    return _KINDS_OF_USERS[kind] if kind else KERNEL


def group_key(key: Key, by: str | None) -> Key:
    """The key of the sum that a tag belongs to."""
    file, _, module, function = key
    if by is None or by == "location":
        return key
    if by == "directory":
        return directory_of(str(file)), None, None, None
    return {
        "file": (file, None, None, None),
        "module": (None, None, module, None),
        "function": (None, None, None, function),
    }[by]


@dataclass(slots=True)
class Boot:
    """The samples of one boot, in the order of time.

    id: the boot id, None if unknown; times: seconds since 1970; available: MemAvailable in bytes at
    the last sample that knows it.
    """

    id: str | None
    times: list[float] = field(default_factory=list)
    available: int | None = None
    _caches: list[int | None] = field(default_factory=list)
    _places: dict[tuple[Key, str], tuple[list[int], list[int]]] = field(default_factory=dict)

    def take(
        self,
        time: float,
        counters: Iterable[tuple[tuple[Key, str], int, int]],
        meminfo: Mapping[str, int] | None = None,
    ) -> None:
        """Add a sample: for each tag (the sum that it belongs to, its kind), bytes and calls."""
        at = len(self.times)
        self.times.append(time)
        self._caches.append(_caches(meminfo) if meminfo else None)
        if meminfo and (available := meminfo.get("MemAvailable")) is not None:
            self.available = available
        for place, size, calls in counters:
            columns = self._places.get(place)
            if columns is None:
                columns = self._places[place] = ([], [])
            sizes, numbers = columns
            if len(sizes) > at:  # another tag of the same sum
                sizes[at] += size
                numbers[at] += calls
            else:
                if len(sizes) < at:
                    _pad(columns, at)
                sizes.append(size)
                numbers.append(calls)

    def points(self) -> Iterable[tuple[Key, str, Points]]:
        """Each place with its kind and counters; 0 where a sample does not list it."""
        drops = [
            at
            for at, (before, after) in enumerate(pairwise(self._caches), 1)
            if before and after is not None and after < before * (1 - DROPPED)
        ]
        for (key, kind), columns in self._places.items():
            _pad(columns, len(self.times))
            yield key, kind, Points(self.times, *columns, drops)


def _pad(columns: tuple[list[int], list[int]], length: int) -> None:
    for column in columns:
        column.extend([0] * (length - len(column)))


def _caches(meminfo: Mapping[str, int]) -> int | None:
    """The page cache without tmpfs, and the slabs that can be reclaimed, in bytes."""
    cached = meminfo.get("Cached")
    if cached is None:
        return None
    return cached - meminfo.get("Shmem", 0) + meminfo.get("SReclaimable", 0)
