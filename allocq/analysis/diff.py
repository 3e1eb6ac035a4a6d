"""Finds what changed between two listings.

Tags are matched by file, line, module and function. A macro can put several tags on one line; such
twins are matched by equal counters first, then largest with largest, so that as few as possible
differ and their order does not matter.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from typing import Any, Self

from ..model import Filter
from .groups import NAMES, Columns, directory_of
from .slab import SlabRule, slab_pages

Key = tuple[str | int | None, ...]

_COUNTERS = ("min_size", "max_size", "min_calls", "max_calls", "accurate", "underflowed")


class ChangeKind(StrEnum):
    """How a key changed."""

    NEW = "new"
    GONE = "gone"
    GROWN = "grown"
    SHRUNK = "shrunk"
    SAME = "same"
    UNLISTED = "unlisted"


@dataclass(slots=True)
class Count:
    """The counters of one or several tags: bytes and calls (signed), and whether all are accurate.

    slab_bytes, slab_calls: of the slab pages among them.
    """

    bytes: int
    calls: int
    accurate: bool = True
    tags: int = 1
    slab_bytes: int = 0
    slab_calls: int = 0

    def add(self, other: Self) -> None:
        """Add the counters of another."""
        self.bytes += other.bytes
        self.calls += other.calls
        self.accurate = self.accurate and other.accurate
        self.tags += other.tags
        self.slab_bytes += other.slab_bytes
        self.slab_calls += other.slab_calls


@dataclass(slots=True)
class Change:
    """One key before and after; None if it did not exist. key: (file, line, module, function).

    bound: the side that is None is an excerpt that does not list the tag, which held at most this
    many bytes there. Growth is then what is certain.
    """

    key: Key
    before: Count | None
    after: Count | None
    bound: int | None = None

    @property
    def file(self) -> str:
        """The file of a tag."""
        return str(self.key[0])

    @property
    def line(self) -> int:
        """The line of a tag."""
        return int(self.key[1] or 0)

    @property
    def module(self) -> str | None:
        """The module of a tag; None for built-in code."""
        return None if self.key[2] is None else str(self.key[2])

    @property
    def function(self) -> str:
        """The function of a tag."""
        return str(self.key[3])

    @property
    def bytes(self) -> int:
        """Growth in bytes, negative if it shrank; with a bound, the growth that is certain."""
        if self.bound is not None:
            if self.after:
                return max(0, self.after.bytes - self.bound)
            return min(0, self.bound - self.before.bytes) if self.before else 0
        return (self.after.bytes if self.after else 0) - (self.before.bytes if self.before else 0)

    @property
    def calls(self) -> int:
        """Growth in live allocations; 0 where that is not known."""
        if self.bound is not None:
            return 0
        return (self.after.calls if self.after else 0) - (self.before.calls if self.before else 0)

    @property
    def percent(self) -> float | None:
        """Growth in percent of the bytes before; None unless those are positive and known."""
        if self.before is None or self.before.bytes <= 0 or self.bound is not None:
            return None
        return 100 * self.bytes / self.before.bytes

    @property
    def kind(self) -> ChangeKind:
        """How the key changed; calls decide if the bytes are equal."""
        if self.bound is not None:
            return ChangeKind.UNLISTED
        if self.before is None:
            return ChangeKind.NEW if self.after else ChangeKind.SAME
        if self.after is None:
            return ChangeKind.GONE
        growth = self.bytes or self.calls
        return ChangeKind.GROWN if growth > 0 else ChangeKind.SHRUNK if growth else ChangeKind.SAME

    @property
    def has_slab_pages(self) -> bool:
        """Are slab pages in it?"""
        return any(
            count.slab_bytes or count.slab_calls for count in (self.before, self.after) if count
        )

    @property
    def underflowed(self) -> bool:
        """Is a counter below zero on either side?"""
        counts = [count for count in (self.before, self.after) if count]
        return any(count.bytes < 0 or count.calls < 0 for count in counts)

    @property
    def accurate(self) -> bool:
        """Is neither side flagged inaccurate?"""
        return all(count.accurate for count in (self.before, self.after) if count)


def match(before: Columns, after: Columns) -> list[Change]:
    """All tags of both, also unchanged ones: in the order of `before`, then new ones."""
    left = _by_key(after)
    pairs: list[Change] = []
    for key, counts in _by_key(before).items():
        pairs += _pair(key, counts, left.pop(key, []))
    for key, counts in left.items():
        pairs += [Change(key, None, count) for count in counts]
    return pairs


def _by_key(tags: Columns) -> dict[Key, list[Count]]:
    counts: dict[Key, list[Count]] = {}
    modules = [
        None if builtin else module
        for module, builtin in zip(tags.strings("module"), tags.column("builtin"), strict=True)
    ]
    keys = zip(
        tags.strings("file"), tags.column("line"), modules, tags.strings("function"), strict=True
    )
    counters = zip(
        tags.column("bytes"),
        tags.column("calls"),
        tags.column("inaccurate"),
        slab_pages(tags),
        strict=True,
    )
    for key, (bytes_, calls, inaccurate, slab_page) in zip(keys, counters, strict=True):
        count = Count(bytes_, calls, not inaccurate)
        if slab_page:
            count.slab_bytes, count.slab_calls = bytes_, calls
        counts.setdefault(key, []).append(count)
    return counts


def _pair(key: Key, before: list[Count], after: list[Count]) -> Iterable[Change]:
    if len(before) == 1 and len(after) <= 1:
        return (Change(key, before[0], after[0] if after else None),)
    pairs: list[Change] = []
    rest: list[Count] = []
    waiting: dict[tuple[int, int], deque[Count]] = {}
    for count in after:
        waiting.setdefault((count.bytes, count.calls), deque()).append(count)
    for count in before:
        if equal := waiting.get((count.bytes, count.calls)):
            pairs.append(Change(key, count, equal.popleft()))
        else:
            rest.append(count)
    left = [count for equal in waiting.values() for count in equal]
    for counts in (rest, left):
        counts.sort(key=lambda count: (count.bytes, count.calls), reverse=True)
    return pairs + [Change(key, b, a) for b, a in zip_longest(rest, left)]


def bound(changes: Iterable[Change], before: int | None, after: int | None) -> None:
    """Mark what one side does not list because it is an excerpt, of which nothing missing holds
    more than `before` or `after` bytes; None for a whole listing."""
    for change in changes:
        if change.before is None:
            change.bound = before
        elif change.after is None:
            change.bound = after


def changed(changes: Iterable[Change]) -> list[Change]:
    """The changes in bytes or calls, and tags on one side only. What holds nothing there is no
    change: modules come and go with hundreds of tags that were never used."""
    return [
        change
        for change in changes
        if change.kind != ChangeKind.SAME and not (_empty(change.before) and _empty(change.after))
    ]


def _empty(count: Count | None) -> bool:
    return count is None or not (count.bytes or count.calls)


def names_only(filter: Filter) -> Filter:
    """The filter without its conditions on counters."""
    asked = filter.items()
    if not any(name in asked for name in _COUNTERS):
        return filter
    names: dict[str, Any] = {k: v for k, v in asked.items() if k not in _COUNTERS}
    return type(filter)(**names)


def passing(changes: Iterable[Change], filter: Filter) -> list[Change]:
    """The changes whose counters pass the filter before or after."""
    return [
        change
        for change in changes
        if any(_passes(count, filter) for count in (change.before, change.after) if count)
    ]


def _passes(count: Count, filter: Filter) -> bool:
    return (
        filter.passes(count.bytes, count.calls)
        and filter.accurate in (None, count.accurate)
        and (not filter.underflowed or count.bytes < 0 or count.calls < 0)
    )


def leaves_out_pages(changes: Iterable[Change], rule: SlabRule) -> bool:
    """Are slab pages left out of the total? Not where nothing else changed."""
    pages = [change.has_slab_pages for change in changes]
    return rule is SlabRule.ONCE and any(pages) and not all(pages)


def sums(changes: Iterable[Change], by: str) -> list[Change]:
    """The changes summed by `by`: file, directory, function, module, location, or place (file,
    module and function without the line)."""
    group = _GROUPS[by]
    wholes: dict[Key, Change] = {}
    for change in changes:
        key = group(change.key)
        whole = wholes.setdefault(key, Change(key, None, None))
        for side in ("before", "after"):
            count = getattr(change, side)
            if count is None:
                count = _least_different(change)
            if count is None:
                continue
            sum_ = getattr(whole, side)
            if sum_ is None:
                sum_ = Count(0, 0, True, 0)
                setattr(whole, side, sum_)
            sum_.add(count)
    return list(wholes.values())


def _least_different(change: Change) -> Count | None:
    """What stands in sums for a tag that is only not listed: as little growth as there must be."""
    listed = change.after or change.before
    if change.bound is None or listed is None:
        return None
    growth = change.bytes if change.after else -change.bytes
    return Count(listed.bytes - growth, listed.calls, listed.accurate, 0)


_GROUPS: dict[str, Callable[[Any], Key]] = {
    "file": lambda key: (key[0],),
    "directory": lambda key: (directory_of(key[0]),),
    "function": lambda key: (key[3],),
    "module": lambda key: (key[2],),
    "place": lambda key: (key[0], None, key[2], key[3]),
    "location": lambda key: tuple(key),
}


def ordered(changes: list[Change], sort: str, reverse: bool) -> list[Change]:
    """Sorted, numbers largest first, names ascending; stable. `reverse` reverses both."""
    if sort == "none":
        return changes[::-1] if reverse else changes
    return sorted(changes, key=_SORT_KEYS[sort], reverse=(sort in NAMES) == reverse)


def _percent(change: Change) -> float:
    if change.percent is not None:
        return change.percent
    return float("inf") if change.bytes > 0 else float("-inf") if change.bytes < 0 else 0.0


def _name(at: int) -> Callable[[Change], Any]:
    """A sort key: one part of a tag's key, or the whole key of a group."""
    return lambda change: [(part is not None, part) for part in (*change.key[at:], *change.key)][:2]


_SORT_KEYS: dict[str, Callable[[Change], Any]] = {
    "bytes": lambda change: (change.bytes, change.calls),
    "calls": lambda change: (change.calls, change.bytes),
    "percent": lambda change: (_percent(change), change.bytes),
    "after": lambda change: change.after.bytes if change.after else 0,
    "file": _name(0),
    "function": _name(3),
    "module": _name(2),
}
