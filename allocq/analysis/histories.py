"""Collects the counters of each place over samples, boot by boot, for a trend."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from ..core.columns import changed
from .diff import Key
from .groups import directory_of
from .leak import is_freed_later
from .slab import is_slab_page
from .trend import Points
from .user_pages import user_memory

KERNEL, TMPFS, ANONYMOUS, CACHE = "kernel", "tmpfs", "anonymous", "page cache"
SLAB, LATER = "slab", "freed later"
APART = (ANONYMOUS, CACHE, SLAB, LATER)
"""Kinds that grow with what users do; slab pages and what describes them, whose objects are counted
at their own tags; what is freed in bulk, after many uses."""
_SLAB_EXTENSIONS = ("mm/slub.c", "alloc_slab_obj_exts")
_KINDS_OF_USERS = {"shmem": TMPFS, "anonymous": ANONYMOUS, "cache": CACHE}
_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1
DROPPED = 0.5
"""Caches that lose more than half between two samples were dropped."""


def kind_of(key: Key) -> str:
    """What a tag's memory is used for."""
    file, _, module, function = key
    if is_slab_page(str(file), str(function), str(module or "")):
        return SLAB
    if (file, function) == _SLAB_EXTENSIONS:
        return SLAB
    if is_freed_later(key):
        return LATER
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


Place = tuple[Key, str]
"""The key of a tag or a sum, and its kind."""


class _Changes:
    """A place's counters from some samples on. Sums may be beyond an int64_t where counters are
    absurd: they are cut to it."""

    def __init__(self) -> None:
        self._from, self._sizes, self._calls = array("I"), array("q"), array("q")

    def add(self, at: int, size: int, calls: int) -> None:
        self._from.append(at)
        self._sizes.append(min(max(size, _LOWEST), _HIGHEST))
        self._calls.append(min(max(calls, _LOWEST), _HIGHEST))

    def at_each(self, samples: int) -> tuple[array[int], array[int]]:
        """Bytes and calls at each sample."""
        sizes, calls = (array("q", bytes(8 * self._from[0])) for _ in range(2))
        spans = (until - at for at, until in pairwise((*self._from, samples)))
        for span, size, number in zip(spans, self._sizes, self._calls, strict=True):
            sizes += array("q", [size]) * span
            calls += array("q", [number]) * span
        return sizes, calls


class Boot:
    """The samples of one boot, in the order of time.

    id: the boot id, None if unknown; times: seconds, ascending; available: MemAvailable in bytes at
    the last sample that knows it. Only what changes is kept.
    """

    def __init__(self, id: str | None, group_by: str | None = None) -> None:
        self.id = id
        self.times: list[float] = []
        self.available: int | None = None
        self._group_by = group_by
        self._caches: list[int | None] = []
        self._now: dict[Place, list[int]] = {}
        self._changes: dict[Place, _Changes] = {}
        self._keys: Sequence[Key] = ()
        self._places: list[Place] = []
        self._before = (array("q"), array("q"))

    def take(
        self,
        time: float,
        keys: Sequence[Key],
        sizes: array[int],
        calls: array[int],
        meminfo: Mapping[str, int] | None = None,
    ) -> None:
        """Add a sample: the key, bytes and calls (int64_t) of each tag. It is quick where `keys` is
        the same object as before."""
        self._caches.append(_caches(meminfo) if meminfo else None)
        if meminfo and (available := meminfo.get("MemAvailable")) is not None:
            self.available = available
        same = keys is self._keys and bool(keys)
        touched = self._step(sizes, calls) if same else self._begin(keys, sizes, calls)
        at = len(self.times)
        self.times.append(time)
        for place in touched:
            if place not in self._changes:
                self._changes[place] = _Changes()
            self._changes[place].add(at, *self._now[place])

    def _step(self, sizes: array[int], calls: array[int]) -> list[Place]:
        """The sums that differ from those of the sample before, which had the same tags."""
        touched: dict[Place, None] = {}
        for which, (before, now) in enumerate(zip(self._before, (sizes, calls), strict=True)):
            for row in changed(before, now):
                place = self._places[row]
                self._now[place][which] += now[row] - before[row]
                touched[place] = None
        self._before = (sizes, calls)
        return list(touched)

    def _begin(self, keys: Sequence[Key], sizes: array[int], calls: array[int]) -> list[Place]:
        """The sums that differ where the tags may be others."""
        self._keys, self._before = keys, (sizes, calls)
        self._places = [(group_key(key, self._group_by), kind_of(key)) for key in keys]
        now: dict[Place, list[int]] = {place: [0, 0] for place in self._now}
        for place, size, number in zip(self._places, sizes, calls, strict=True):
            sums = now.setdefault(place, [0, 0])
            sums[0] += size
            sums[1] += number
        touched = [place for place, sums in now.items() if self._now.get(place, [0, 0]) != sums]
        self._now = now
        return touched

    def points(self) -> Iterator[tuple[Key, str, Points]]:
        """Each place with its kind and counters; 0 where a sample does not list it."""
        drops = [
            at
            for at, (before, after) in enumerate(pairwise(self._caches), 1)
            if before and after is not None and after < before * (1 - DROPPED)
        ]
        for (key, kind), changes in self._changes.items():
            sizes, numbers = changes.at_each(len(self.times))
            yield key, kind, Points(self.times, sizes, numbers, drops)


def _caches(meminfo: Mapping[str, int]) -> int | None:
    """The page cache without tmpfs, and the slabs that can be reclaimed, in bytes."""
    cached = meminfo.get("Cached")
    if cached is None:
        return None
    return cached - meminfo.get("Shmem", 0) + meminfo.get("SReclaimable", 0)
