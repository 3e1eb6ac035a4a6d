"""Compares the tags with /proc/meminfo: what is user memory, cache and kernel, and what is neither.

/proc/meminfo counts each page once, by its use; the tags count it where it was allocated.
Both columns are of the same memory, seen twice. Slab pages stand for the objects in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from .slab import slab_pages, sum_of


class Columns(Protocol):
    """Tags by column: a Table."""

    def __len__(self) -> int: ...
    def column(self, name: str) -> list[int]: ...
    def strings(self, name: str) -> list[str]: ...


class Side(StrEnum):
    """Whose memory it is."""

    USER = "user"
    CACHE = "cache"
    KERNEL = "kernel"


class Kind(StrEnum):
    """What memory is used for, as far as the place of its allocation tells."""

    ANONYMOUS = "anonymous"
    SHARED = "shared"
    HUGE = "huge pages"
    PAGE_CACHE = "page cache"
    SLAB = "slab"
    PAGE_TABLES = "page tables"
    STACKS = "kernel stacks"
    PERCPU = "percpu"
    OTHER = "vmalloc and others"

    @property
    def side(self) -> Side:
        """Whose memory it is; slab is the kernel's, though a part of it is a cache."""
        if self in (Kind.ANONYMOUS, Kind.SHARED, Kind.HUGE):
            return Side.USER
        return Side.CACHE if self is Kind.PAGE_CACHE else Side.KERNEL


# The files that allocate pages of one kind, and which of their functions do; "" for all others.
_PLACES: Sequence[tuple[Kind, str, str]] = (
    (Kind.PAGE_TABLES, r".*", r"_*(pte|pmd|pud|p4d|pgd)_alloc.*"),
    (Kind.PAGE_TABLES, r"(.*/)?mm/memory\.c", r"__do_fault|finish_fault|do_fault_around"),
    (Kind.PAGE_TABLES, r"(.*/)?(mm/pgtable|asm(-generic)?/pgalloc)[^/]*\.[ch]", r".*"),
    (Kind.ANONYMOUS, r".*", r"vma_alloc_zeroed_movable_folio|alloc_anon_folio"),
    (
        Kind.ANONYMOUS,
        r"(.*/)?mm/(memory|huge_memory|khugepaged|ksm|swap_state|userfaultfd)\.c",
        r".*",
    ),
    (Kind.SHARED, r"(.*/)?mm/shmem\.c", r"shmem_.*folio.*|shmem_alloc_page"),
    (Kind.HUGE, r"(.*/)?mm/hugetlb\.c", r".*alloc.*(folio|page)"),
    (Kind.PAGE_CACHE, r"(.*/)?(mm/(filemap|readahead)|fs/btrfs/extent_io)\.c", r".*"),
    (Kind.STACKS, r"(.*/)?kernel/fork\.c", r"alloc_thread_(stack_node|info)"),
    (Kind.PERCPU, r"(.*/)?mm/percpu-(vm|km)\.c", r".*"),
)
_COMPILED = [(kind, re.compile(file), re.compile(function)) for kind, file, function in _PLACES]
# Larger than this share of the used memory, what no side explains is worth a sentence.
NOTABLE = 0.05


def kind_of(file: str, function: str) -> Kind:
    """What the pages of a tag are used for; OTHER for slab objects, vmalloc and all the rest."""
    for kind, files, functions in _COMPILED:
        if functions.fullmatch(function) and files.fullmatch(file):
            return kind
    return Kind.OTHER


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of memory. meminfo, tags: bytes; None where /proc/meminfo is not known."""

    kind: Kind
    meminfo: int | None
    tags: int


@dataclass(frozen=True, slots=True)
class Tagged:
    """The tags, in bytes by kind. slab: of pages, in place of their objects; largest: rows of the
    table that are the kernel's own, largest first."""

    by_kind: Mapping[Kind, int]
    total: int
    underflowed: int
    largest: Sequence[int]


def tagged(table: Columns) -> Tagged:
    """Sort the tags by kind. The values add up to the total, which counts slab memory once.

    The objects in slab pages are among the others. Pages stand for them, so OTHER is what is left:
    a little too small, by the free room in slab pages.
    """
    sizes, calls, pages = table.column("bytes"), table.column("calls"), slab_pages(table)
    total = sum_of(sizes, calls, pages)
    once = total.bytes - total.slab_bytes
    by_kind = dict.fromkeys(Kind, 0)
    own = []
    names = zip(table.strings("file"), table.strings("function"), strict=True)
    for i, (file, function) in enumerate(names):
        if pages[i] or sizes[i] <= 0 or calls[i] < 0:
            continue
        kind = kind_of(file, function)
        by_kind[kind] += sizes[i]
        if kind.side is Side.KERNEL:
            own.append(i)
    by_kind[Kind.SLAB] = min(total.slab_bytes, by_kind[Kind.OTHER])
    by_kind[Kind.OTHER] -= by_kind[Kind.SLAB]
    own.sort(key=lambda i: sizes[i], reverse=True)
    return Tagged(by_kind, once, total.underflowed, own)


@dataclass(frozen=True, slots=True)
class Account:
    """The whole memory, in bytes.

    rows: by kind; sizes of /proc/meminfo are None without one. total, free: MemTotal, MemFree.
    on_cpus: free too, but on lists of the CPUs, which MemFree leaves out; None if not known.
    reclaimable: of slab, what is given back when memory is short. tags: the sum of the tags, slab
    once. tags_only: used, in no counter of /proc/meminfo, and explained by tags. neither: used, and
    explained by neither; below zero where the counters of /proc/meminfo overlap.
    """

    rows: Sequence[Row]
    tags: int
    total: int | None = None
    free: int | None = None
    reclaimable: int | None = None
    tags_only: int | None = None
    neither: int | None = None
    on_cpus: int | None = None

    @property
    def used(self) -> int | None:
        """What is not free."""
        if self.total is None or self.free is None:
            return None
        return self.total - self.free - (self.on_cpus or 0)

    def sides(self) -> Mapping[Side, int]:
        """The used memory by side. Reclaimable slab counts as cache; the kernel's is what is left,
        also what no counter explains."""
        user = sum(self._size(row) for row in self.rows if row.kind.side is Side.USER)
        cache = sum(self._size(row) for row in self.rows if row.kind.side is Side.CACHE)
        cache += self.reclaimable or 0
        used = self.used
        kernel = (self.tags if used is None else used) - user - cache
        return {Side.USER: user, Side.CACHE: cache, Side.KERNEL: max(0, kernel)}

    def verdict(self) -> Side:
        """The side that holds most."""
        sides = self.sides()
        return max(sides, key=lambda side: sides[side])

    def is_mostly_shared(self) -> bool:
        """Is most of the user side shared memory and tmpfs, which no process holds alone?"""
        sizes = {row.kind: self._size(row) for row in self.rows}
        return 2 * sizes.get(Kind.SHARED, 0) > self.sides()[Side.USER]

    def _size(self, row: Row) -> int:
        return row.tags if row.meminfo is None else row.meminfo


def by_meminfo(meminfo: Mapping[str, int]) -> Mapping[Kind, int]:
    """The counters of /proc/meminfo by kind; none of them holds a page of another.

    Cached contains Shmem. VmallocUsed contains kernel stacks (CONFIG_VMAP_STACK).
    """
    amount = {name: meminfo.get(name, 0) for name in _COUNTERS}
    cache = amount["Cached"] + amount["Buffers"] - amount["Shmem"]
    return {
        Kind.ANONYMOUS: amount["AnonPages"],
        Kind.SHARED: amount["Shmem"],
        Kind.HUGE: amount["Hugetlb"],
        Kind.PAGE_CACHE: max(0, cache),
        Kind.SLAB: amount["Slab"],
        Kind.PAGE_TABLES: amount["PageTables"] + amount["SecPageTables"],
        Kind.STACKS: amount["KernelStack"],
        Kind.PERCPU: amount["Percpu"],
        Kind.OTHER: max(0, amount["VmallocUsed"] - amount["KernelStack"]),
    }


_COUNTERS = (
    "AnonPages",
    "Buffers",
    "Cached",
    "Hugetlb",
    "KernelStack",
    "PageTables",
    "Percpu",
    "SecPageTables",
    "Shmem",
    "Slab",
    "VmallocUsed",
)
# Some kernels are without the others: CONFIG_HUGETLBFS, Linux before 6.1.
_ALWAYS = tuple(name for name in _COUNTERS if name not in ("Hugetlb", "SecPageTables", "Percpu"))


def missing_counters(meminfo: Mapping[str, int]) -> list[str]:
    """The counters that every /proc/meminfo has, but this one lacks."""
    return [name for name in (*_ALWAYS, "MemFree") if name not in meminfo]


def account(tags: Tagged, meminfo: Mapping[str, int] | None, on_cpus: int | None = None) -> Account:
    """Set both side by side. meminfo: bytes by name, or None; on_cpus: bytes, see Account."""
    if not meminfo:
        return Account([Row(kind, None, size) for kind, size in tags.by_kind.items()], tags.total)
    counters = by_meminfo(meminfo)
    rows = [Row(kind, counters[kind], size) for kind, size in tags.by_kind.items()]
    total, free = meminfo.get("MemTotal", 0), meminfo.get("MemFree", 0)
    unexplained = total - free - (on_cpus or 0) - sum(counters.values())
    more = tags.by_kind[Kind.OTHER] - counters[Kind.OTHER]
    tags_only = max(0, min(unexplained, more))
    return Account(
        rows,
        tags.total,
        total,
        free,
        meminfo.get("SReclaimable", 0),
        tags_only,
        unexplained - tags_only,
        on_cpus,
    )
