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
from .user_pages import user_memory

Key = tuple[str | int | None, ...]

_COUNTERS = ("min_size", "max_size", "min_calls", "max_calls", "accurate", "underflowed")


# A kernel has more tags of built-in code than this.
_KERNEL = 100


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

    slab_bytes, slab_calls: of the slab pages among them. unlisted, unlisted_slab: what others held
    beside them at most, which an excerpt does not list.
    """

    bytes: int
    calls: int
    accurate: bool = True
    tags: int = 1
    slab_bytes: int = 0
    slab_calls: int = 0
    unlisted: int = 0
    unlisted_slab: int = 0

    @property
    def has_only_pages(self) -> bool:
        """Is nothing but slab pages in it?"""
        return (self.slab_bytes, self.slab_calls) == (self.bytes, self.calls) != (0, 0)

    def add(self, other: Self) -> None:
        """Add the counters of another."""
        self.bytes += other.bytes
        self.calls += other.calls
        self.accurate = self.accurate and other.accurate
        self.tags += other.tags
        self.slab_bytes += other.slab_bytes
        self.slab_calls += other.slab_calls
        self.unlisted += other.unlisted
        self.unlisted_slab += other.unlisted_slab

    def range(self, without_pages: bool) -> tuple[int, int]:
        """The bytes that it holds at least and at most, with or without slab pages."""
        least = self.bytes - without_pages * self.slab_bytes
        return least, least + self.unlisted - without_pages * self.unlisted_slab


class Keyed:
    """The parts of a tag's key, by name."""

    __slots__ = ()
    key: Key

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


@dataclass(slots=True)
class Change(Keyed):
    """One key before and after; None if it did not exist. key: (file, line, module, function).

    bound: the side that is None is an excerpt that does not list the tag, which held at most this
    many bytes there. Growth is then what is certain.
    user_pages: it is memory of programs, or page cache.
    """

    key: Key
    before: Count | None
    after: Count | None
    bound: int | None = None
    user_pages: bool = False

    @property
    def bytes(self) -> int:
        """Growth in bytes, negative if it shrank; with a bound, the growth that is certain."""
        return self.growth()

    def growth(self, without_pages: bool = False) -> int:
        """The same, with or without slab pages."""
        before, after = (
            self._range(self.before, without_pages),
            self._range(self.after, without_pages),
        )
        least, most = after[0] - before[1], after[1] - before[0]
        return least if least > 0 else most if most < 0 else 0

    def _range(self, count: Count | None, without_pages: bool) -> tuple[int, int]:
        if count is not None:
            return count.range(without_pages)
        listed = self.after or self.before
        if without_pages and listed and listed.has_only_pages:
            return 0, 0
        return 0, self.bound or 0

    @property
    def is_bounded(self) -> bool:
        """Is something of it not listed, so that growth is only what is certain?"""
        counts = (self.before, self.after)
        return self.bound is not None or any(count.unlisted for count in counts if count)

    @property
    def calls(self) -> int:
        """Growth in live allocations; 0 where that is not known."""
        if self.is_bounded:
            return 0
        return (self.after.calls if self.after else 0) - (self.before.calls if self.before else 0)

    @property
    def percent(self) -> float | None:
        """Growth in percent of the bytes before; None unless those are positive and known."""
        if self.before is None or self.before.bytes <= 0 or self.is_bounded:
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
        if self.is_bounded and not growth:
            return ChangeKind.UNLISTED
        return ChangeKind.GROWN if growth > 0 else ChangeKind.SHRUNK if growth else ChangeKind.SAME

    @property
    def has_slab_pages(self) -> bool:
        """Are slab pages in it?"""
        return any(
            count.slab_bytes or count.slab_calls for count in (self.before, self.after) if count
        )

    @property
    def has_other(self) -> bool:
        """Is memory in it that is not that of slab pages?"""
        counts = [count for count in (self.before, self.after) if count]
        return not self.has_slab_pages or any(
            (count.bytes, count.calls) != (count.slab_bytes, count.slab_calls) for count in counts
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
    for change in pairs:
        change.user_pages = user_memory(change.key) is not None
    return pairs


def _by_key(tags: Columns) -> dict[Key, list[Count]]:
    counts: dict[Key, list[Count]] = {}
    keys = keys_of(tags)
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


def keys_of(tags: Columns, ignore_lines: bool = False) -> list[Key]:
    """What each tag is matched by, in order."""
    lines = [None] * len(tags) if ignore_lines else tags.column("line")
    modules = [
        None if builtin else module
        for module, builtin in zip(tags.strings("module"), tags.column("builtin"), strict=True)
    ]
    return list(zip(tags.strings("file"), lines, modules, tags.strings("function"), strict=True))


def is_cut(tags: Columns, whole: Columns) -> bool:
    """Are the tags of built-in code only the first of those in `whole`? A kernel lists all of them
    in the same order at all times, so the end of the listing is missing."""
    built_in, all_built_in = (
        [key for key in keys_of(each) if key[2] is None] for each in (tags, whole)
    )
    count = len(built_in)
    return 0 < count < len(all_built_in) >= _KERNEL and all_built_in[:count] == built_in


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
        if any(passes(count, filter) for count in (change.before, change.after) if count)
    ]


def passes(count: Count, filter: Filter) -> bool:
    """Do the counters pass the filter?"""
    return (
        filter.passes(count.bytes, count.calls)
        and filter.accurate in (None, count.accurate)
        and (not filter.underflowed or count.bytes < 0 or count.calls < 0)
    )


def leaves_out_pages(changes: Iterable[Change], rule: SlabRule) -> bool:
    """Are slab pages left out of the total? Not where nothing else changed."""
    changes = list(changes)
    pages = any(change.has_slab_pages for change in changes)
    return rule is SlabRule.ONCE and pages and any(change.has_other for change in changes)


def sums(changes: Iterable[Change], by: str) -> list[Change]:
    """The changes summed by `by`: file, directory, function, module, location, or place (file,
    module and function without the line).

    Sums of several tags of which nothing is certain are left out.
    """
    group = _GROUPS[by]
    wholes: dict[Key, Change] = {}
    for change in changes:
        key = group(change.key)
        whole = wholes.setdefault(key, Change(key, None, None, user_pages=True))
        whole.user_pages = whole.user_pages and change.user_pages
        for side in ("before", "after"):
            count = getattr(change, side) or _unlisted(change)
            if count is None:
                continue
            sum_ = getattr(whole, side)
            if sum_ is None:
                sum_ = Count(0, 0, True, 0)
                setattr(whole, side, sum_)
            sum_.add(count)
    sums = [_without_empty_side(whole) for whole in wholes.values()]
    if by in ("place", "location"):
        return sums
    return [each for each in sums if each.bytes or not each.is_bounded]


def _unlisted(change: Change) -> Count | None:
    """What stands in sums for a tag that is only not listed."""
    listed = change.after or change.before
    if change.bound is None or listed is None:
        return None
    slab = change.bound if listed.has_only_pages else 0
    return Count(0, 0, True, 0, unlisted=change.bound, unlisted_slab=slab)


def _without_empty_side(whole: Change) -> Change:
    """A sum of which a side lists nothing, as a tag that is not listed."""
    for side in ("before", "after"):
        count = getattr(whole, side)
        if count is not None and not count.tags:
            setattr(whole, side, None)
            whole.bound = count.unlisted
    return whole


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
