"""Finds leaks: tags that grew from the highest reading before to the lowest reading after.

Counters move all the time. Memory that is freed late shows up in the lowest reading after; a leak
stays above the limit in every reading.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..model import Tag
from .diff import Change, Count, Key
from .slab import is_slab_page

PAGE_CACHE = ("mm/filemap.c", "mm/readahead.c")


@dataclass(slots=True)
class Level:
    """The highest or lowest counters of each tag over several readings."""

    highest: bool
    counts: dict[Key, Count] = field(default_factory=dict)
    readings: int = 0
    cached: int = 0

    def take(self, tags: Iterable[Tag], ignore_lines: bool = False, cached: int = 0) -> int:
        """Add one reading. Tags with the same key are summed; a missing tag counts as 0.

        cached: bytes in the page cache at that time; only the last reading's is kept. Returns the
        largest rise of a tag's highest value, in bytes.
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
        self.cached = cached
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
    before: Level, after: Level, allowed: int, cached: int = 0, slab_pages: bool = False
) -> list[Change]:
    """The tags that grew by more than `allowed` bytes, largest growth first.

    slab_pages: include slab pages. Their objects are also counted at their own tags, and the pages
    stay for a while after the objects are freed.

    cached: by how many bytes the page cache grew; that much growth in total is excused at the tags
    that allocate its pages. Leaked pages are no longer in the cache, so they still count.
    """
    changes = [Change(key, before.counts.get(key), count) for key, count in after.counts.items()]
    changes = [change for change in changes if change.bytes > allowed]
    changes.sort(key=lambda change: change.bytes, reverse=True)
    leaks = []
    for change in changes:
        file, _, module, function = change.key
        if not slab_pages and is_slab_page(str(file), str(function), str(module or "")):
            continue
        if file in PAGE_CACHE and cached > 0:
            excused = min(cached, change.bytes)
            cached -= excused
            if change.bytes - excused <= allowed:
                continue
        leaks.append(change)
    return leaks
