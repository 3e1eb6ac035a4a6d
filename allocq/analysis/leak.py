"""Finds leaks: tags that grew from the highest reading before to the lowest reading after, or a
little in every run of a command.

Counters move all the time. Memory that is freed late shows up in the lowest reading after; a leak
stays above the limit in every reading.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..model import Tag
from .diff import Change, Count, Key
from .slab import is_slab_page
from .user_pages import user_memory

# The bookkeeping of vmalloc is freed in bulk, after many runs; its pages are freed at once.
LAZY = ("alloc_vmap_area", "preload_this_cpu_lock")


@dataclass(frozen=True, slots=True)
class Held:
    """What the kernel says it holds for users, in bytes: page cache, anonymous pages and tmpfs
    files. None: unknown."""

    cache: int | None = 0
    anonymous: int | None = 0
    shmem: int | None = 0

    def since(self, before: "Held") -> "Held":
        """How much each grew, at least 0; None where either is unknown."""
        return Held(
            _growth(before.cache, self.cache),
            _growth(before.anonymous, self.anonymous),
            _growth(before.shmem, self.shmem),
        )


NOTHING_HELD, UNKNOWN = Held(), Held(None, None, 0)


def _growth(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


@dataclass(slots=True)
class Level:
    """The highest or lowest counters of each tag over several readings.

    unlisted: the readings are of an excerpt, and a missing tag held at most this many bytes.
    """

    highest: bool
    unlisted: int | None = None
    counts: dict[Key, Count] = field(default_factory=dict)
    readings: int = 0
    held: Held = NOTHING_HELD

    def take(
        self, tags: Iterable[Tag], ignore_lines: bool = False, held: Held = NOTHING_HELD
    ) -> int:
        """Add one reading. Tags with the same key are summed; a missing tag counts as 0.

        held: at that time; only the last reading's is kept. Returns the largest rise of a tag's
        highest value, in bytes.
        """
        counts = _sums(tags, ignore_lines)
        raised = 0
        if not self.readings:
            self.counts = counts
        elif self.highest:
            raised = max((self._raise(key, count) for key, count in counts.items()), default=0)
        else:
            self.counts = {
                key: _lower(count, counts[key])
                for key, count in self.counts.items()
                if key in counts
            }
        self.held = held
        self.readings += 1
        return raised

    def _raise(self, key: Key, count: Count) -> int:
        seen = self.counts.get(key)
        if seen is not None and (count.bytes, count.calls) <= (seen.bytes, seen.calls):
            return 0
        self.counts[key] = count
        return count.bytes - (seen.bytes if seen else 0)


def _lower(one: Count, two: Count) -> Count:
    return one if (one.bytes, one.calls) <= (two.bytes, two.calls) else two


def _sums(tags: Iterable[Tag], ignore_lines: bool) -> dict[Key, Count]:
    counts: dict[Key, Count] = {}
    for tag in tags:
        key = (tag.file, None if ignore_lines else tag.line, tag.module, tag.function)
        count = Count(tag.bytes, tag.calls, tag.accurate)
        if key in counts:
            counts[key].add(count)
        else:
            counts[key] = count
    return counts


def grown(
    before: Level,
    after: Level,
    allowed: int,
    held: Held = NOTHING_HELD,
    named: bool = False,
) -> list[Change]:
    """The tags that grew by more than `allowed` bytes, largest growth first.

    held: by how much each kind of user memory grew; that much growth in total is excused at the
    tags that allocate its pages, and all growth where it is unknown. Leaked pages are in none of
    these, so they still count.

    named: the user asked for files or functions. Then slab pages count (their objects are also
    counted at their own tags, and the pages stay for a while after the objects are freed), and so
    does user memory of unknown growth.
    """
    changes = [
        Change(
            key, before.counts.get(key), count, None if key in before.counts else before.unlisted
        )
        for key, count in after.counts.items()
    ]
    changes = [change for change in changes if change.bytes > allowed]
    changes.sort(key=lambda change: change.bytes, reverse=True)
    left = {name: getattr(held, name) for name in ("cache", "anonymous", "shmem")}
    leaks = []
    for change in changes:
        if not named and _is_slab(change.key):
            continue
        kind = user_memory(change.key)
        if kind and left[kind] is None:
            if not named:
                continue
        elif kind and left[kind]:
            excused = min(left[kind], change.bytes)
            left[kind] -= excused
            if change.bytes - excused <= allowed:
                continue
        leaks.append(change)
    return leaks


def is_freed_later(key: Key) -> bool:
    """Is this the bookkeeping of vmalloc, which is freed in bulk?"""
    return key[0] == "mm/vmalloc.c" and key[3] in LAZY


def _is_slab(key: Key) -> bool:
    file, _, module, function = key
    return is_slab_page(str(file), str(function), str(module or ""))


@dataclass(frozen=True, slots=True)
class Steady:
    """A tag that grew in nearly every run. risen: in how many of the `runs`; bytes, calls: growth
    over all of them."""

    change: Change
    risen: int
    runs: int

    def words(self) -> str:
        """`+1 call a run in 20 of 20 runs`."""
        return f"{self._rate()} in {self.risen} of {self.runs} runs"

    def _rate(self) -> str:
        calls = self.change.calls / self.runs
        if calls >= 0.5:
            number = round(calls, 1)
            shown = int(number) if number == int(number) else number
            return f"+{shown} {'call' if number == 1 else 'calls'} a run"
        return f"+{round(self.change.bytes / self.runs)} bytes a run"


def steady(series: Sequence[Level], last: Level, named: bool = False) -> list[Steady]:
    """The tags that grew in nearly every run, largest growth first.

    series: one level before the first run and one after each; last: the lowest of the readings
    after all of them, which growth is taken to. One run in ten may not show it, because something
    else was freed meanwhile. What every run needs and the next one reuses does not grow again.
    """
    runs = len(series) - 1
    needed = runs - runs // 10
    found = []
    for key, count in last.counts.items():
        if not named and (
            is_freed_later(key) or _is_slab(key) or user_memory(key) in ("cache", "anonymous")
        ):
            continue
        points = [level.counts.get(key, Count(0, 0)) for level in series]
        risen = sum(
            two.bytes > one.bytes and two.calls >= one.calls for one, two in pairwise(points)
        )
        change = Change(key, points[0], count)
        # Each rise is at least one object, and what fell in between is not in the sum.
        if risen >= needed and (change.calls >= needed or change.calls == 0) and change.bytes > 0:
            found.append(Steady(change, risen, runs))
    return sorted(found, key=lambda each: each.change.bytes, reverse=True)
