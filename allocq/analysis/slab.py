"""One rule for slab pages in sums: their memory is counted twice, as pages and as objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

_FILE, _FUNCTION = "mm/slub.c", "alloc_slab_page"


class SlabRule(StrEnum):
    """ONCE: leave the pages out of sums; INCLUDE: count them as well; EXCLUDE: leave out their
    tags; ONLY: leave out all others."""

    ONCE = "once"
    INCLUDE = "include"
    EXCLUDE = "exclude"
    ONLY = "only"

    @property
    def keeps_pages(self) -> bool | None:
        """Which tags it keeps: those of the pages (True), the others (False), or all (None)."""
        return {SlabRule.EXCLUDE: False, SlabRule.ONLY: True}.get(self)


class Strings(Protocol):
    """Tags by column: a Table."""

    def __len__(self) -> int: ...
    def strings(self, name: str) -> list[str]: ...


def is_slab_page(file: str, function: str, module: str) -> bool:
    """Is this the tag of slab pages, whose objects are also counted at their own tags?

    It is alloc_slab_page() in mm/slub.c; out-of-tree builds prefix the path. module: empty for
    built-in code.
    """
    return function == _FUNCTION and not module and (file == _FILE or file.endswith("/" + _FILE))


def slab_pages(table: Strings) -> bytes:
    """One byte per tag: 1 for slab pages."""
    functions = table.strings("function")
    if _FUNCTION not in functions:
        return bytes(len(functions))
    files, modules = table.strings("file"), table.strings("module")
    return bytes(map(is_slab_page, files, functions, modules))


@dataclass(slots=True)
class Sum:
    """A sum of tags. bytes, calls: of all `tags` but the underflowed ones; slab_bytes, slab_calls:
    of the slab pages among them; underflowed: how many tags are left out for counters below zero.
    """

    tags: int = 0
    bytes: int = 0
    calls: int = 0
    slab_bytes: int = 0
    slab_calls: int = 0
    underflowed: int = 0

    def add(self, size: int, calls: int, slab_page: bool | int) -> None:
        """Add a tag."""
        self.tags += 1
        if size < 0 or calls < 0:
            self.underflowed += 1
            return
        self.bytes += size
        self.calls += calls
        if slab_page:
            self.slab_bytes += size
            self.slab_calls += calls

    def merge(self, other: Sum) -> None:
        """Add another sum."""
        self.tags += other.tags
        self.bytes += other.bytes
        self.calls += other.calls
        self.slab_bytes += other.slab_bytes
        self.slab_calls += other.slab_calls
        self.underflowed += other.underflowed

    def leaves_out_pages(self, rule: SlabRule) -> bool:
        """Are slab pages left out? Not where nothing else holds memory: what is counted once is
        then the pages."""
        some = self.slab_bytes or self.slab_calls
        return rule is SlabRule.ONCE and bool(some) and self.slab_bytes < self.bytes

    def counted(self, rule: SlabRule) -> tuple[int, int]:
        """(bytes, calls) by the rule."""
        if self.leaves_out_pages(rule):
            return self.bytes - self.slab_bytes, self.calls - self.slab_calls
        return self.bytes, self.calls


def sum_of(sizes: Iterable[int], calls: Iterable[int], slab: Iterable[int]) -> Sum:
    """The sum of tags, given by column."""
    total = Sum()
    for size, count, slab_page in zip(sizes, calls, slab, strict=True):
        total.add(size, count, slab_page)
    return total


def merged(sums: Iterable[Sum]) -> Sum:
    """The sum of sums."""
    total = Sum()
    for each in sums:
        total.merge(each)
    return total
