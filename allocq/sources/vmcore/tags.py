"""Finds the tags in a kernel's memory: alloc_tag_cttype, the ranges of its modules, their tags.

The kernel walks them in the same order for /proc/allocinfo (lib/codetag.c, mm/alloc_tag.c). Damaged
memory cannot make it run on: every walk is bounded, and what cannot be read is counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from .counters import CounterLayout, Cpus, sum_counters
from .memory import Kernel, Memory, Unreadable

TYPE, TAG, CODETAG = "struct codetag_type", "struct alloc_tag", "struct codetag"
_MODULE = "struct codetag_module"
_MOST_TAGS = 1 << 17
_MOST_ENTRIES = 1 << 16
_LARGEST_TAG = 4096
_INACCURATE = 1  # CODETAG_FLAG_INACCURATE is a macro, which debug info does not have
_HIGHEST_ERROR = 4095


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the kernel of this debug info keeps what; bytes."""

    ids: int
    tag_size: int
    start: int
    stop: int
    flags: int
    line: int
    module: int
    function: int
    file: int
    counters: int
    end: int

    @classmethod
    def ask(cls, kernel: Kernel) -> Layout:
        """The layout. Unknown names the first member that is not there."""
        tag = kernel.offset(TAG, "ct")
        counters = kernel.offset(TAG, "counters")
        places = {
            name: tag + kernel.offset(CODETAG, member)
            for name, member in (
                ("flags", "flags"),
                ("line", "lineno"),
                ("module", "modname"),
                ("function", "function"),
                ("file", "filename"),
            )
        }
        return cls(
            ids=kernel.offset(TYPE, "mod_idr.idr_rt.xa_head"),
            tag_size=kernel.offset(TYPE, "desc.tag_size"),
            start=kernel.offset(_MODULE, "range.start"),
            stop=kernel.offset(_MODULE, "range.stop"),
            counters=counters,
            end=max(counters, *places.values()) + kernel.word,
            **places,
        )


@dataclass(frozen=True, slots=True)
class Place:
    """One tag without its sums. counters: a per-CPU pointer."""

    file: bytes
    line: int
    module: bytes
    function: bytes
    inaccurate: bool
    counters: int


@dataclass(slots=True)
class Found:
    """The tags, in kernel order.

    bytes, calls: sums over the possible CPUs, signed. partial: of these tags, some CPU's counter
    could not be read. lost: tags whose names or counters could not be. lost_modules: ranges.
    """

    places: list[Place] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    partial: list[bool] = field(default_factory=list)
    lost: int = 0
    lost_modules: int = 0


def read_tags(memory: Memory, cpus: Cpus) -> Found:
    """All tags that can be read, with their sums. Unknown; Unreadable where the list of their
    modules cannot be read; Disabled."""
    kernel = memory.kernel
    layout, counters = Layout.ask(kernel), CounterLayout.ask(kernel)
    type_at = _type_of(memory)
    found = Found()
    tag_size = memory.pointer(type_at + layout.tag_size)
    if not layout.end <= tag_size <= _LARGEST_TAG:
        raise Unreadable(type_at)
    for module in _modules(memory, type_at + layout.ids, found):
        _read_module(memory, module, tag_size, layout, found)
    sums = sum_counters(memory, [place.counters for place in found.places], cpus, counters)
    kept = [at for at, read in enumerate(sums.read) if read]
    found.lost += len(sums.read) - len(kept)
    found.partial = [sums.read[at] < len(cpus.offsets) for at in kept]
    found.places = [found.places[at] for at in kept]
    found.bytes = [sums.bytes[at] for at in kept]
    found.calls = [sums.calls[at] for at in kept]
    return found


class Disabled(Exception):
    """The kernel was booted with its allocation profiling disabled, or it failed to start."""


def _type_of(memory: Memory) -> int:
    type_at = memory.pointer(memory.kernel.symbol("alloc_tag_cttype"))
    if not type_at or type_at >= (1 << 8 * memory.kernel.word) - _HIGHEST_ERROR:
        raise Disabled
    return type_at


def _read_module(memory: Memory, module: int, tag_size: int, layout: Layout, found: Found) -> None:
    """Add the tags of one module, or of the kernel itself."""
    try:
        start = memory.pointer(module + layout.start)
        stop = memory.pointer(module + layout.stop)
        number, rest = divmod(stop - start, tag_size)
        if rest or not 0 <= number <= _MOST_TAGS - len(found.places) - found.lost:
            raise Unreadable(start)
        if number:
            memory.check(start)
    except Unreadable:
        found.lost_modules += 1
        return
    for at in range(start, stop, tag_size):
        try:
            found.places.append(_read_tag(memory, at, layout))
        except Unreadable:
            found.lost += 1


def _read_tag(memory: Memory, at: int, layout: Layout) -> Place:
    module = memory.pointer(at + layout.module)
    return Place(
        file=_name(memory, memory.pointer(at + layout.file)),
        line=memory.unsigned(at + layout.line, 4),
        module=_name(memory, module) if module else b"",
        function=_name(memory, memory.pointer(at + layout.function)),
        inaccurate=bool(memory.unsigned(at + layout.flags, 4) & _INACCURATE),
        counters=memory.pointer(at + layout.counters),
    )


def _name(memory: Memory, at: int) -> bytes:
    """A name. Unreadable also where it can be none."""
    name = memory.string(at)
    if not name or min(name) < 0x20:
        raise Unreadable(at)
    return name


def _modules(memory: Memory, head_at: int, found: Found) -> Iterator[int]:
    """The entries of an IDR, in the order of their numbers (lib/xarray.c, lib/idr.c)."""
    kernel = memory.kernel
    shift_at = kernel.offset("struct xa_node", "shift")
    slots_at = kernel.offset("struct xa_node", "slots")
    slots = kernel.size("struct xa_node", "slots") // kernel.word
    seen: set[int] = set()
    waiting = [(memory.pointer(head_at), 8 * kernel.word)]
    while waiting and len(seen) < _MOST_ENTRIES:
        entry, above = waiting.pop()
        is_node = entry & 3 == 2
        # Numbers, siblings, and entries that are being changed, are none.
        if entry <= _HIGHEST_ERROR or entry & 3 not in (0, 2):
            continue
        if entry in seen:  # it is in one place only
            found.lost_modules += 1
            continue
        seen.add(entry)
        if not is_node:
            yield entry
            continue
        node = entry - 2
        try:
            shift = memory.unsigned(node + shift_at, 1)
            if shift >= above:  # a node is a level below its parent
                raise Unreadable(node)
            table = memory.read(node + slots_at, slots * kernel.word)
        except Unreadable:
            if len(seen) == 1:  # nothing is left of the list
                raise
            found.lost_modules += 1
            continue
        order = "<" if kernel.order == "little" else ">"
        code = "Q" if kernel.word == 8 else "I"
        entries = struct.unpack(f"{order}{slots}{code}", table)
        waiting += [(each, shift) for each in reversed(entries) if each]
