"""Which call stacks allocate through some tags: histogram triggers in a trace instance of our own.

The kernel sums up by stack. With `live`, it also remembers the stack of each allocation by its
address, and adds it to a second histogram when that address is freed: the synthetic event.
"""

from __future__ import annotations

import mmap
import os
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..analysis.stacks import Frame, Freed, Stack, coalesced, read_frame, subtract
from ..errors import FormatError, InterfaceError, SourceError
from ..host.symbols import Code, Function, Symbols, read_code, read_symbols
from ..host.threads import ThreadNames
from ..host.tracefs import Instance
from ..model import Tag
from .histogram import Histogram, Row, parse_histograms

MAP_SIZE, LEAST_MAP, MOST_MAP = 16384, 128, 131072  # tracing_map.h: 7 to 17 bits
SHOW_ADDRESSES = "sudo sysctl kernel.kptr_restrict=1"
_STACKS_PART, _LEAST_STACKS = 8, 2048
_RANGES, _COMMAND = 40, 3500  # a trigger is less than a page
_MOST_TOLD = 3
_PIPES, _BATCHES = 50, 5
_NOPROF = "_noprof"
_MEMPOOL = ("mempool_kmalloc", "mempool_alloc_slab", "mempool_alloc_pages")


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to allocate, and its events. key: the field that an allocation and its free share;
    free: (event, field) of a free. size: the bytes, or the order of pages. inner: functions of the
    allocator that may be between it and the code of a tag, besides those called *_noprof. is_rare:
    few are made; few of any kind are freed by the second of `frees`."""

    name: str
    event: str
    key: str
    frees: tuple[tuple[str, str], ...]
    size: str
    valid: str
    sited: bool = True
    is_order: bool = False
    is_rare: bool = False
    inner: tuple[str, ...] = _MEMPOOL


_KMALLOC = Kind("kmalloc", "kmem/kmalloc", "ptr", (("kmem/kfree", "ptr"),), "bytes_alloc", "ptr!=0")
_CACHE = Kind(
    "kmem_cache", "kmem/kmem_cache_alloc", "ptr",
    (("kmem/kmem_cache_free", "ptr"), ("kmem/kfree", "ptr")), "bytes_alloc", "ptr!=0",
)  # fmt: skip
_PERCPU = Kind(
    "percpu", "percpu/percpu_alloc_percpu", "ptr", (("percpu/percpu_free_percpu", "ptr"),), "size",
    "ptr!=0", is_rare=True,
)  # fmt: skip
_PAGES = Kind(
    "pages", "kmem/mm_page_alloc", "pfn", (("kmem/mm_page_free", "pfn"),), "order",
    "pfn<0xffffffffffff", sited=False, is_order=True,
    inner=(*_MEMPOOL, "alloc_pages_mpol", "get_page_from_freelist", "__alloc_pages_slowpath"),
)  # fmt: skip
_VMALLOC = Kind(
    "vmalloc", "vmalloc/alloc_vmap_area", "addr", (("vmalloc/free_vmap_area_noflush", "va_start"),),
    "size", "failed==0", sited=False, is_rare=True,
    inner=("__get_vm_area_node", "alloc_vmap_area", "__vmalloc_area_node"),
)  # fmt: skip
KINDS = (_KMALLOC, _CACHE, _PERCPU, _PAGES, _VMALLOC)


def kinds_of(tags: Iterable[Tag]) -> list[Kind]:
    """The kinds that these tags may be of. What holds no whole pages has none."""
    whole = any(
        not tag.calls or tag.bytes % mmap.PAGESIZE == 0 or not tag.accurate or tag.underflowed
        for tag in tags
    )
    return [kind for kind in KINDS if kind.sited or whole]


@dataclass(slots=True)
class Sites:
    """The code of some tags: which functions have it, and where in them each tag is set.

    holders: by function, the (address, FILE:LINE or None for a tag not asked for) of its tags; None
    where that is unknown. names: (function, module) where no address is known, and their symbols.
    notes: what a reader of the stacks should know.
    """

    symbols: Symbols | None = None
    holders: dict[Function, list[tuple[int, str | None]] | None] = field(default_factory=dict)
    names: dict[tuple[str, str | None], str | None] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Is there no code to watch?"""
        return not self.holders and not self.names

    def condition(self) -> str:
        """The part of a trigger's filter that compares the call site. SourceError."""
        if self.symbols is None:
            # The kernel takes all up to a blank as the name.
            text = "|| ".join(f"call_site.function == {name} " for name in sorted(self.named))
            if len(text) > _COMMAND:
                many = f"{len(self.named)} functions are too many"
                raise SourceError(
                    f"{many} without the addresses of /proc/kallsyms",
                    f"{SHOW_ADDRESSES}, or name fewer",
                )
            return text
        spans = [(function.start, function.end) for function in self.holders]
        for name in _MEMPOOL:
            spans += [(each.start, each.end) for each in self.symbols.named(name, None)]
        return "||".join(
            f"call_site>={start:#x}&&call_site<{end:#x}" for start, end in coalesced(spans, _RANGES)
        )

    def match(self, frame: Frame) -> tuple[bool, str | None]:
        """(does this frame allocate for one of the tags?, FILE:LINE if it is known)."""
        if self.symbols is None:
            name = (frame.plain, frame.module)
            return name in self.names, self.names.get(name)
        named = [
            function
            for function in self.holders
            if (function.name, function.module) == (frame.name, frame.module)
        ]
        # Of several functions of one name, the size tells which it is.
        sized = [each for each in named if each.end - each.start == frame.size] or named
        if len(sized) != 1:
            return bool(sized), None
        places = self.holders[sized[0]]
        if not places:
            return bool(sized), None
        before = bisect_left(places, (sized[0].start + frame.offset,)) - 1
        tag = places[max(before, 0)][1]
        return tag is not None, tag


def find_sites(wanted: Sequence[Tag], all_tags: Sequence[Tag]) -> Sites:
    """Find the code of the tags `wanted`, which are among `all_tags`, in the kernel's order."""
    symbols = read_symbols()
    places = {tag.key: f"{tag.file}:{tag.line}" for tag in wanted}
    if symbols is None or symbols.hidden:
        return _by_name(wanted, symbols)
    sites = Sites(symbols)
    builtin = [tag for tag in all_tags if tag.module is None]
    code = None
    if any(tag.module is None for tag in wanted):
        code = read_code(symbols, [tag.line for tag in builtin])
    numbers: dict[object, list[int]] = {}
    for number, tag in enumerate(builtin):
        numbers.setdefault(tag.key, []).append(number)
    inlined: dict[str, set[str]] = {}
    lost: list[str] = []
    for tag in {tag.key: tag for tag in wanted}.values():
        found: set[Function] = set()
        if code and tag.module is None:
            for number in numbers.get(tag.key, ()):
                for address in code.places(number):
                    if function := symbols.at(address):
                        found.add(function)
        for function in found:
            if function not in sites.holders:
                sites.holders[function] = _places(code, function, builtin, places)
        named = symbols.named(tag.function, tag.module)
        if not found:
            found = set(named)
            for function in named:
                sites.holders.setdefault(function, None)
        if not found:
            lost.append(tag.function)
        elif others := {each.name for each in found if each.plain != tag.function}:
            inlined.setdefault(tag.function, set()).update(others)
    sites.notes += _told_inlined(inlined, lost)
    return sites


def _by_name(wanted: Sequence[Tag], symbols: Symbols | None) -> Sites:
    """The sites of tags by the names of their functions alone, as far as the kernel has them."""
    sites = Sites()
    lost = []
    for tag in {tag.key: tag for tag in wanted}.values():
        name = (tag.function, tag.module)
        found = [each.name for each in symbols.named(*name)] if symbols else [tag.function]
        if not found:
            lost.append(tag.function)
            continue
        sites.named.update(found)
        sites.names[name] = None if name in sites.names else f"{tag.file}:{tag.line}"
    sites.notes.append(
        "/proc/kallsyms hides the addresses: what is inlined into another function is not seen"
    )
    sites.notes += _told_inlined({}, lost)
    return sites


def _places(
    code: Code | None,
    function: Function,
    builtin: Sequence[Tag],
    places: Mapping[tuple[str, int, str | None, str], str],
) -> list[tuple[int, str | None]] | None:
    if code is None:
        return None
    return [(address, places.get(builtin[at].key)) for address, at in code.tags_in(function)]


def _told_inlined(inlined: dict[str, set[str]], lost: Sequence[str]) -> list[str]:
    notes = []
    if inlined:
        words = [f"{name} into {' and '.join(sorted(into))}" for name, into in inlined.items()]
        notes.append(f"inlined: {_some(words)}")
    if lost:
        notes.append(
            f"not in /proc/kallsyms, so inlined or gone, and their stacks are not seen:"
            f" {_some(list(dict.fromkeys(lost)))}"
        )
    return notes


def _some(words: Sequence[str]) -> str:
    more = len(words) - _MOST_TOLD
    return ", ".join(words[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")


@dataclass(slots=True)
class Seen:
    """What was seen. events: allocations and frees that the kernel summed up. dropped: those that
    found its tables full, by kind and table."""

    stacks: list[Stack] = field(default_factory=list)
    events: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    unpaired: int = 0


class Watch:
    """The triggers that watch some tags, in an instance. size: the entries of the tables that keep
    addresses; those of stacks have a part of it. own: the threads of this process, as events name
    them; reading the tables allocates, and is not counted. by_process: tell the threads apart that
    allocate; by_size: the sizes that they allocate."""

    def __init__(
        self,
        instance: Instance,
        sites: Sites,
        kinds: Sequence[Kind],
        live: bool,
        size: int,
        own: Sequence[int],
        by_process: bool = False,
        by_size: bool = False,
    ) -> None:
        self._instance, self._sites, self._own = instance, sites, own
        self.live = live
        self.kinds = [kind for kind in kinds if instance.has(kind.event)]
        self.missing = [kind.name for kind in kinds if kind not in self.kinds]
        self._size = size
        self._stacks = max(_LEAST_STACKS, size // _STACKS_PART)
        self._events: dict[str, str] = {}
        self._by_process, self._by_size = by_process, by_size
        self._names = ThreadNames()
        if not self.kinds:
            raise InterfaceError("cannot trace allocations: this kernel has no events of them")

    def start(self) -> None:
        """Begin to count. SourceError."""
        for kind in self.kinds:
            self._instance.trigger(kind.event, self._counter(kind, "pause"))
            if self.live:
                self._pair(kind)
        for kind in self.kinds:
            self._instance.trigger(kind.event, self._counter(kind, "continue"))

    def events(self) -> int:
        """How many allocations have been counted so far. SourceError."""
        tables = [table for kind in self.kinds for table in self._tables(kind.event)]
        for row in (row for table in tables for row in table.rows if self._by_process):
            self._names.look(row.keys.get("common_pid"))
        return sum(table.hits for table in tables if _is_counter(table))

    def stop(self) -> Seen:
        """End counting, and read what was counted. SourceError, FormatError."""
        for kind in self.kinds:
            self._instance.trigger(kind.event, self._counter(kind, "pause"))
        for kind in self.kinds if self.live else ():
            self._instance.trigger(
                f"synthetic/{self._events[kind.name]}", self._freed(kind, "pause")
            )
        seen = Seen()
        for kind in self.kinds:
            self._read(kind, seen)
        self._instance.stop()
        return seen

    def _pair(self, kind: Kind) -> None:
        """Pair frees with allocations in the kernel. The expression makes it read the size, and
        with it forget it, once: an address that is used again is not counted again."""
        letter = kind.name[0] + kind.name[-1]
        type = "unsigned int" if kind.is_order else "u64"
        fields = f"{type} size; unsigned long[] stack"
        fields += "; pid_t pid" if self._by_process else ""
        event = self._instance.add_event(kind.name, fields)
        self._events[kind.name] = event
        self._instance.trigger(f"synthetic/{event}", self._freed(kind))
        size = self._stacks if kind.is_rare else self._size
        self._instance.trigger(
            kind.event,
            f"hist:keys={kind.key}:{letter}s={kind.size},{letter}t=common_stacktrace"
            f"{f',{letter}p=common_pid' if self._by_process else ''}"
            f":size={size} if {self._condition(kind)}",
        )
        match = f"onmatch({kind.event.replace('/', '.')})"
        for number, (free, key) in enumerate(kind.frees):
            if self._instance.has(free):
                self._instance.trigger(
                    free,
                    f"hist:keys={key}:{letter}f{number}=${letter}s+0"
                    f":size={self._stacks if number else size}"
                    f":{match}.trace({event},${letter}f{number},${letter}t"
                    f"{f',${letter}p' if self._by_process else ''})",
                )

    def _condition(self, kind: Kind) -> str:
        others = "&&".join(f"common_pid!={thread}" for thread in self._own)
        text = f"{others}&&{kind.valid}"
        return f"{text}&&({self._sites.condition()})" if kind.sited else text

    def _is_key(self, kind: Kind) -> bool:
        """Are sizes told apart? Orders always are: they cannot be summed up."""
        return kind.is_order or self._by_size

    def _counter(self, kind: Kind, state: str) -> str:
        keys = "common_stacktrace" + (",common_pid" if self._by_process else "")
        sums = f"keys={keys}{',' if self._is_key(kind) else ':vals='}{kind.size}"
        return f"hist:{sums}:size={self._stacks}:{state} if {self._condition(kind)}"

    def _freed(self, kind: Kind, state: str = "") -> str:
        keys = "stack.stacktrace" + (",pid" if self._by_process else "")
        keys += ",size" if self._is_key(kind) else ":vals=size"
        return f"hist:keys={keys}:size={self._stacks}" + (f":{state}" if state else "")

    def _tables(self, event: str) -> list[Histogram]:
        return parse_histograms(self._instance.histogram(event))

    def _read(self, kind: Kind, seen: Seen) -> None:
        stacks: dict[tuple[int | None, int | None, tuple[str, ...]], Stack] = {}
        for table in self._tables(kind.event):
            self._count(kind, "stacks" if _is_counter(table) else "addresses", table, seen)
            for row in table.rows if _is_counter(table) else ():
                owner = self._owner(kind, row.stack)
                if owner is not None:
                    inner, tag = owner
                    pid, size = row.keys.get("common_pid"), self._size_of(kind, row)
                    comm = self._names.look(pid)
                    stack = stacks.setdefault(
                        (pid, size, row.stack),
                        Stack(row.stack, tag=tag, inner=inner, pid=pid, comm=comm, size=size),
                    )
                    stack.bytes += _bytes(kind, row)
                    stack.calls += row.hits
        if self.live:
            freed: list[Freed] = []
            for table in self._tables(f"synthetic/{self._events[kind.name]}"):
                self._count(kind, "freed stacks", table, seen)
                freed += [
                    Freed(
                        row.stack,
                        _bytes(kind, row),
                        row.hits,
                        row.keys.get("pid"),
                        self._size_of(kind, row),
                    )
                    for row in table.rows
                    if self._owner(kind, row.stack) is not None
                ]
            for event, _ in kind.frees:
                for table in self._tables(event) if self._instance.has(event) else ():
                    if f"onmatch({kind.event.replace('/', '.')})" in table.trigger:
                        self._count(kind, "freed addresses", table, seen)
            seen.unpaired += subtract(stacks.values(), freed)
        seen.stacks += stacks.values()

    def _size_of(self, kind: Kind, row: Row) -> int | None:
        """The bytes of each allocation of a row, if sizes are told apart."""
        return _bytes(kind, row) // row.hits if self._by_size and row.hits else None

    @staticmethod
    def _count(kind: Kind, what: str, table: Histogram, seen: Seen) -> None:
        seen.events += table.hits
        if table.dropped:
            name = f"{kind.name} {what}"
            seen.dropped[name] = seen.dropped.get(name, 0) + table.dropped

    def _owner(self, kind: Kind, stack: Sequence[str]) -> tuple[int, str | None] | None:
        """(frames of the allocator, FILE:LINE if it is known) of a stack that allocates for one of
        the tags; None for others."""
        allocator: list[str] = []
        for frame in map(read_frame, stack):
            ours, tag = self._sites.match(frame)
            if ours:
                through = any("vmalloc" in name for name in allocator)
                if through != (kind is _VMALLOC) and _VMALLOC in self.kinds:
                    return None
                return len(allocator), tag
            if not frame.plain.endswith(_NOPROF) and frame.plain not in kind.inner:
                return None
            allocator.append(frame.plain)
        return None


def event_cost(instance: Instance) -> float | None:
    """Seconds that summing up one event takes here, from pipes of our own with and without it;
    None if that cannot be measured. SourceError."""
    if not instance.has(_KMALLOC.event):
        return None
    _pipes(_PIPES)
    plain = min(_pipes(_PIPES) for _ in range(_BATCHES))
    instance.trigger(
        _KMALLOC.event,
        f"hist:keys=common_stacktrace:vals=bytes_alloc:size={LEAST_MAP}"
        f" if common_pid=={instance.thread_id()}",
    )
    try:
        traced = min(_pipes(_PIPES) for _ in range(_BATCHES))
        hits = sum(table.hits for table in parse_histograms(instance.histogram(_KMALLOC.event)))
    finally:
        instance.stop()
    return max(0.0, traced - plain) / (hits / _BATCHES) if hits else None


def _pipes(count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        for fd in os.pipe():
            os.close(fd)
    return time.perf_counter() - start


def _is_counter(table: Histogram) -> bool:
    return table.trigger.startswith("hist:keys=common_stacktrace")


def _bytes(kind: Kind, row: Row) -> int:
    """The bytes of a row. A vmalloc area has a guard page, which is no memory."""
    if kind.is_order:
        order = row.keys.get("order", row.keys.get("size"))
        if order is None:
            raise FormatError("a histogram of pages has no order")
        return row.hits * (mmap.PAGESIZE << order)
    size = next((value for name, value in row.values.items() if name != "hitcount"), None)
    if size is None:  # it is a key
        size = row.hits * sum(row.keys.get(name, 0) for name in {kind.size, "size"})
    return size - row.hits * mmap.PAGESIZE if kind is _VMALLOC else size
