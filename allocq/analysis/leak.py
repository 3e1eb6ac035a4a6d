"""What is still grown after everything had its chance to be given back: values in, values out.

A counter that moves all the time has a highest and a lowest value. Growth is from the highest
that was seen before to the lowest that was seen after: a leak is over the one in every reading.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..model import Tag
from .diff import Change, Count, Key
from .slab import is_slab_page

PAGE_CACHE = ("mm/filemap.c", "mm/readahead.c")


@dataclass(slots=True)
class Level:
    """For each place in the source the highest, or the lowest, that any reading showed."""

    highest: bool
    counts: dict[Key, Count] = field(default_factory=dict)
    readings: int = 0
    cached: int = 0

    def take(self, tags: Iterable[Tag], ignore_lines: bool = False, cached: int = 0) -> int:
        """Take in one reading. Tags that look alike count together; one not there counts 0.

        cached: bytes in the page cache then; the last one counts. Returns by how many bytes the
        highest of a place went up at most.
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
    """What grew by more than `allowed` bytes, the largest growth first.

    slab_pages: the pages that slab objects lie in count too. They are counted a second time where
    the objects are allocated, and stay for a while when those are freed.

    cached: by how many bytes the kernel's page cache grew in the meantime; where its pages are
    allocated, so much in all is no leak. A page that leaked is in no cache any more, and counts.
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
