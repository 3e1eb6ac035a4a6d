"""Sums per-CPU counters, which are read in blocks: many tags and all CPUs are many counters."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .memory import Kernel, Memory, Unknown, Unreadable

COUNTERS = "struct alloc_tag_counters"
_LARGEST_BLOCK = 1 << 20
_GAP = 1 << 12  # bytes between two counters that are cheaper to read than to leave out
_MOST_CPUS = 1 << 16


@dataclass(frozen=True, slots=True)
class CounterLayout:
    """Where the two numbers of a counter are; bytes."""

    bytes: int
    calls: int
    width: int
    size: int

    @classmethod
    def ask(cls, kernel: Kernel) -> CounterLayout:
        """The layout. Unknown where the debug info has none, or one that is not understood."""
        width = kernel.size(COUNTERS, "bytes")
        if width not in (4, 8) or kernel.size(COUNTERS, "calls") != width:
            raise Unknown(f"{COUNTERS} has numbers of {width} bytes")
        return cls(
            kernel.offset(COUNTERS, "bytes"),
            kernel.offset(COUNTERS, "calls"),
            width,
            kernel.size(COUNTERS),
        )


@dataclass(frozen=True, slots=True)
class Cpus:
    """The possible CPUs: what has to be added to a per-CPU pointer for each of them."""

    offsets: Sequence[int]

    @classmethod
    def ask(cls, memory: Memory) -> Cpus:
        """The CPUs over which the kernel itself sums. Unknown, Unreadable."""
        kernel = memory.kernel
        try:
            offsets_at = kernel.symbol("__per_cpu_offset")
        except Unknown:
            try:
                kernel.symbol("nr_cpu_ids")
            except Unknown:  # a kernel for one CPU (without CONFIG_SMP) has neither
                return cls((0,))
            raise
        mask_at = kernel.symbol("__cpu_possible_mask")
        most = min(kernel.length("__per_cpu_offset"), _MOST_CPUS)
        size = -(-most // (8 * kernel.word)) * kernel.word
        numbers = [cpu for cpu in memory.bits(mask_at, size) if cpu < most]
        if not numbers:
            raise Unreadable(mask_at)
        return cls([memory.pointer(offsets_at + cpu * kernel.word) for cpu in numbers])


@dataclass(frozen=True, slots=True)
class Sums:
    """For each pointer: bytes and calls over all CPUs, signed; read: of how many CPUs they are."""

    bytes: list[int]
    calls: list[int]
    read: list[int]


def sum_counters(
    memory: Memory, pointers: Sequence[int], cpus: Cpus, layout: CounterLayout
) -> Sums:
    """The sum of each counter. What cannot be read of a CPU is left out and told by `read`."""
    count = len(pointers)
    sums = Sums([0] * count, [0] * count, [0] * count)
    for block in _blocks(pointers, layout.size):
        for offset in cpus.offsets:
            _add(memory, pointers, block, offset, layout, sums)
    bits = 8 * layout.width
    for column in (sums.bytes, sums.calls):
        column[:] = [_signed(value, bits) for value in column]
    return sums


@dataclass(frozen=True, slots=True)
class _Block:
    """Counters that lie close together. rows: of which tags, by address; size: in bytes."""

    start: int
    size: int
    rows: Sequence[int]


def _blocks(pointers: Sequence[int], size: int) -> Iterator[_Block]:
    rows = sorted((row for row, at in enumerate(pointers) if at), key=lambda row: pointers[row])
    first = 0
    for i in range(1, len(rows) + 1):
        start, last = pointers[rows[first]], pointers[rows[i - 1]]
        if i < len(rows):
            at = pointers[rows[i]]
            if at - last <= _GAP and at + size - start <= _LARGEST_BLOCK:
                continue
        yield _Block(start, last + size - start, rows[first:i])
        first = i


def _add(
    memory: Memory,
    pointers: Sequence[int],
    block: _Block,
    offset: int,
    layout: CounterLayout,
    sums: Sums,
) -> None:
    """Add one CPU's counters of a block to the sums."""
    start = block.start + offset & (1 << 8 * memory.kernel.word) - 1
    try:
        data = memory.read(start, block.size)
    except Unreadable:
        if len(block.rows) > 1:  # a part of it may be there
            half = len(block.rows) // 2
            for rows in (block.rows[:half], block.rows[half:]):
                at = pointers[rows[0]]
                size = pointers[rows[-1]] + layout.size - at
                _add(memory, pointers, _Block(at, size, rows), offset, layout, sums)
        return
    if not any(data):
        for row in block.rows:
            sums.read[row] += 1
        return
    order = "<" if memory.kernel.order == "little" else ">"
    number = struct.Struct(f"{order}{'Q' if layout.width == 8 else 'I'}").unpack_from
    for row in block.rows:
        at = pointers[row] - block.start
        sums.bytes[row] += number(data, at + layout.bytes)[0]
        sums.calls[row] += number(data, at + layout.calls)[0]
        sums.read[row] += 1


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value
