"""Other machines than this one: memory of 32 and 64 bits, of both byte orders, without drgn."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import pytest

from allocq.errors import FormatError, SourceError
from allocq.sources.vmcore.counters import Cpus
from allocq.sources.vmcore.dump import Dump, DumpKind
from allocq.sources.vmcore.elf import Elf
from allocq.sources.vmcore.listing import listing_of
from allocq.sources.vmcore.memory import Memory, Unknown, Unreadable
from allocq.sources.vmcore.tags import read_tags

PAGE = 4096
DUMP = Dump("core", DumpKind.ELF, {})


class Machine(NamedTuple):
    """What a pointer is like, and where memory begins."""

    word: int
    order: Literal["little", "big"]
    base: int
    is_upper_half: bool


MACHINES = {
    "64 bits": Machine(8, "little", 0xFFFF_8000_0000_0000, True),
    "64 bits, big-endian": Machine(8, "big", 0x10_0000, False),
    "32 bits": Machine(4, "little", 0xC000_0000, False),
    "32 bits, big-endian": Machine(4, "big", 0xC000_0000, False),
}


class FakeKernel:
    """Memory that is written piece by piece, and structs of words in the order of `MEMBERS`."""

    MEMBERS: Mapping[str, Sequence[str]] = {
        "struct codetag_type": ("count", "mod_idr.idr_rt.xa_head", "desc.section", "desc.tag_size"),
        "struct codetag_module": ("mod", "range.start", "range.stop"),
        "struct codetag": ("flags", "lineno", "modname", "function", "filename"),
        "struct xa_node": ("shift", "slots"),
    }
    SLOTS = 16

    def __init__(self, machine: Machine) -> None:
        self.word, self.order, self.base, self.is_upper_half = machine
        self.page_size = PAGE
        self.memory = bytearray(64 * PAGE)
        self.symbols: dict[str, int] = {}
        self.lost: set[int] = set()
        self._next = self.base + PAGE

    # What drgn would do.

    def read(self, address: int, size: int) -> bytes:
        at = address - self.base
        pages = range(address // PAGE, (address + size - 1) // PAGE + 1)
        if at < 0 or at + size > len(self.memory) or self.lost.intersection(pages):
            raise Unreadable(address)
        return bytes(self.memory[at : at + size])

    def symbol(self, name: str) -> int:
        if name not in self.symbols:
            raise Unknown(name)
        return self.symbols[name]

    def field(self, name: str, member: str) -> int:
        raise Unknown(f"{name} has no {member}")

    def length(self, name: str) -> int:
        return 256

    def offset(self, type: str, member: str) -> int:
        if type == "struct alloc_tag":
            return {"ct": 0, "counters": 5 * self.word}[member]
        if type == "struct alloc_tag_counters":
            return {"bytes": 0, "calls": 8}[member]
        if member not in self.MEMBERS.get(type, ()):
            raise Unknown(f"{type} has no {member}")
        return self.word * self.MEMBERS[type].index(member)

    def size(self, type: str, member: str = "") -> int:
        if type == "struct xa_node" and member == "slots":
            return self.SLOTS * self.word
        if type == "struct alloc_tag_counters":
            return 8 if member else 16
        raise Unknown(type)

    def constant(self, name: str) -> int:
        raise Unknown(name)

    # What the tests put there.

    def put(self, data: bytes, align: int = 8) -> int:
        """Bytes at the next free place; returns their address."""
        self._next = -(-self._next // align) * align
        at, self._next = self._next, self._next + len(data)
        self.write(at, data)
        return at

    def write(self, address: int, data: bytes) -> None:
        self.memory[address - self.base : address - self.base + len(data)] = data

    def words(self, *values: int) -> bytes:
        mask = (1 << 8 * self.word) - 1
        return b"".join((value & mask).to_bytes(self.word, self.order) for value in values)

    def text(self, text: bytes) -> int:
        return self.put(text + b"\0", 1)

    def tag(self, line: int, counters: int, module: bytes = b"", flags: int = 0) -> bytes:
        """A struct alloc_tag. Its numbers of 4 bytes are at the beginning of a word."""
        numbers = b"".join(
            number.to_bytes(4, self.order).ljust(self.word, b"\0") for number in (flags, line)
        )
        name = self.text(module) if module else 0
        names = (name, self.text(b"function"), self.text(b"dir/file.c"))
        return numbers + self.words(*names, counters)

    def module(self, tags: Sequence[bytes]) -> int:
        """A struct codetag_module."""
        start = self.put(b"".join(tags))
        return self.put(self.words(0, start, start + sum(map(len, tags))))

    def node(self, shift: int, entries: Mapping[int, int]) -> int:
        """A struct xa_node, as an entry."""
        slots = [entries.get(each, 0) for each in range(self.SLOTS)]
        first = bytes([shift]).ljust(self.word, b"\0")
        return self.put(first + self.words(*slots)) + 2

    def begin(self, head: int) -> None:
        """Let everything begin at the entry `head`."""
        kind = self.put(self.words(1, head, 0, 6 * self.word))
        self.symbols["alloc_tag_cttype"] = self.put(self.words(kind))

    def cpus(self, possible: Sequence[int], number: int) -> list[int]:
        """Areas of so many CPUs; returns where they are."""
        areas = [self.put(bytes(1024), 1024) for _ in range(number)]
        self.symbols["nr_cpu_ids"] = self.put(self.words(number))
        self.symbols["__per_cpu_offset"] = self.put(self.words(*areas))
        bits = sum(1 << cpu for cpu in possible)
        words = [bits >> 8 * self.word * each for each in range(32 // self.word)]
        self.symbols["__cpu_possible_mask"] = self.put(self.words(*words))
        return areas

    def count(self, area: int, counter: int, size: int, calls: int) -> None:
        for at, value in ((0, size), (8, calls)):
            data = (value & (1 << 64) - 1).to_bytes(8, self.order)
            self.write(area + counter + at, data)


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> FakeKernel:
    return FakeKernel(MACHINES[request.param])


def lines(kernel: FakeKernel) -> list[bytes]:
    text = listing_of(kernel, DUMP).text
    return [line for line in text.splitlines() if b" func:" in line]


def test_sums_over_the_possible_cpus(kernel: FakeKernel) -> None:
    possible = (0, 1, 33)
    areas = kernel.cpus(possible, 40)
    for cpu, area in enumerate(areas):
        kernel.count(area, 64, 1000 + cpu, 1)
        kernel.count(area, 128, -(1 << 40), -1)
    built_in = kernel.module([kernel.tag(7, 64), kernel.tag(4_000_000_000, 128, flags=1)])
    odd = kernel.module([kernel.tag(9, 64, b"odd", flags=2)])
    kernel.begin(kernel.node(0, {0: built_in, 3: odd}))
    assert lines(kernel) == [
        b"        3034        3 dir/file.c:7 func:function ",
        b"-3298534883328 18446744073709551613 dir/file.c:4000000000 func:function accurate:no ",
        b"        3034        3 dir/file.c:9 [odd] func:function ",
    ]
    assert b"# possible-cpus: 3\n" in listing_of(kernel, DUMP).text


def test_modules_come_in_the_order_of_their_numbers(kernel: FakeKernel) -> None:
    kernel.cpus((0,), 1)
    modules = [kernel.module([kernel.tag(line, 64)]) for line in range(1, 9)]
    leaves = [kernel.node(0, {1: modules[each], 9: modules[each + 1]}) for each in range(0, 8, 2)]
    middle = [kernel.node(4, {0: leaves[0], 7: leaves[1]}), kernel.node(4, {2: leaves[2]})]
    kernel.begin(kernel.node(8, {0: middle[0], 1: middle[1], 15: kernel.node(4, {5: leaves[3]})}))
    found = read_tags(Memory(kernel), Cpus.ask(Memory(kernel)))
    assert [place.line for place in found.places] == list(range(1, 9))
    assert not (found.lost or found.lost_modules or any(found.partial))


def test_blocks_add_up_wherever_counters_are(kernel: FakeKernel) -> None:
    """Beside each other, far apart, in no order, the same twice, and over the ends of pages."""
    areas = [kernel.put(bytes(12 * PAGE), PAGE) for _ in range(2)]
    kernel.symbols["nr_cpu_ids"] = kernel.put(kernel.words(2))
    kernel.symbols["__per_cpu_offset"] = kernel.put(kernel.words(*areas))
    kernel.symbols["__cpu_possible_mask"] = kernel.put(kernel.words(3, *[0] * 7))
    places = [16, 32, 11 * PAGE, PAGE - 8, 5 * PAGE + 24, 48, 2 * PAGE, 16]
    for each, (place, area) in enumerate(itertools.product(dict.fromkeys(places), areas)):
        kernel.count(area, place, 1 << each, 3**each)
    kernel.begin(kernel.module([kernel.tag(place, place) for place in places]))
    found = read_tags(Memory(kernel), Cpus.ask(Memory(kernel)))
    known = {
        place: (3 << 2 * each, 4 * 9**each) for each, place in enumerate(dict.fromkeys(places))
    }
    assert list(zip(found.bytes, found.calls, strict=True)) == [known[place] for place in places]


def test_lost_pages_cost_only_what_is_in_them(kernel: FakeKernel) -> None:
    areas = [kernel.put(bytes(4 * PAGE), PAGE) for _ in range(2)]
    kernel.symbols["nr_cpu_ids"] = kernel.put(kernel.words(2))
    kernel.symbols["__per_cpu_offset"] = kernel.put(kernel.words(*areas))
    kernel.symbols["__cpu_possible_mask"] = kernel.put(kernel.words(3, *[0] * 7))
    places = [64 * each for each in range(4 * PAGE // 64)]
    for area, place in itertools.product(areas, places):
        kernel.count(area, place, 10, 1)
    kernel.begin(kernel.module([kernel.tag(place, place) for place in places if place]))
    kernel.lost = {(areas[0] + PAGE) // PAGE, (areas[0] + 2 * PAGE) // PAGE, areas[1] // PAGE}
    found = read_tags(Memory(kernel), Cpus.ask(Memory(kernel)))
    kernel.lost.add((areas[1] + 2 * PAGE) // PAGE)
    assert [place.line for place in found.places] == places[1:]
    assert found.partial == [place // PAGE < 3 for place in places[1:]]
    assert set(zip(found.partial, found.bytes, strict=True)) == {(True, 10), (False, 20)}
    found = read_tags(Memory(kernel), Cpus.ask(Memory(kernel)))
    assert found.lost == PAGE // 64 and len(found.places) == 3 * PAGE // 64 - 1


def test_addresses_that_cannot_be() -> None:
    kernel = FakeKernel(MACHINES["64 bits"])
    memory = Memory(kernel)
    for address in (0, 8, PAGE - 1, 0x7FFF_FFFF_FFFF, (1 << 64) - 1, 1 << 64, -8):
        with pytest.raises(Unreadable):
            memory.read(address, 8)
    with pytest.raises(Unreadable):
        memory.string(kernel.base + 65 * PAGE)
    kernel.write(kernel.base + PAGE, b"x" * 2 * PAGE)
    with pytest.raises(Unreadable):
        memory.string(kernel.base + PAGE + 10)
    kernel.write(kernel.base + 2 * PAGE + 5, b"\0")
    assert len(Memory(kernel).string(kernel.base + 2 * PAGE - 3)) == 8


def test_missing_members_are_named(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.cpus((0,), 1)
    kernel.begin(kernel.module([kernel.tag(1, 64)]))
    for kind, members in FakeKernel.MEMBERS.items():
        if kind == "struct xa_node":
            continue
        for member in set(members) - {"count", "mod", "desc.section"}:
            left = {**FakeKernel.MEMBERS, kind: [each for each in members if each != member]}
            monkeypatch.setattr(kernel, "MEMBERS", left)
            with pytest.raises(FormatError, match=f"{kind} has no {member}$"):
                listing_of(kernel, DUMP)


def test_kernels_without_tags(kernel: FakeKernel) -> None:
    with pytest.raises(SourceError, match="without CONFIG_MEM_ALLOC_PROFILING"):
        listing_of(kernel, DUMP)
    for value in (0, -12):  # an error, as in ERR_PTR(-ENOMEM)
        kernel.symbols["alloc_tag_cttype"] = kernel.put(kernel.words(value))
        with pytest.raises(SourceError, match="profiling was disabled"):
            listing_of(kernel, DUMP)
    kernel.begin(0)
    with pytest.raises(SourceError, match="its kernel has no tags"):
        listing_of(kernel, DUMP)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("is_64_bit", [True, False])
def test_elf_files_of_all_kinds(order: str, is_64_bit: bool) -> None:
    word = "Q" if is_64_bit else "I"
    note = struct.pack(f"{order}III", 4, 3, 3) + b"GNU\0" + b"\x01\x02\x03\0"
    sizes = (64, 56) if is_64_bit else (52, 32)
    ident = b"\x7fELF" + bytes([2 if is_64_bit else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    heads = sizes[0] + 2 * sizes[1]
    head = struct.pack(
        f"{order}HHI{word}{word}{word}IHHHHHH",
        *(4, 0, 1, 0, sizes[0], 0, 0, sizes[0], sizes[1], 2, 0, 0, 0),
    )
    segments = b""
    for kind, at, size in ((4, heads, len(note)), (1, heads + len(note), 5000)):
        fields = (kind, 0, at, 0, 0, size, size, 0)
        if not is_64_bit:
            fields = (kind, at, 0, 0, size, size, 0, 0)
        segments += struct.pack(f"{order}{'IIQQQQQQ' if is_64_bit else 'IIIIIIII'}", *fields)
    data = ident + head + segments + note
    elf = Elf(lambda size, at: data[at : at + size], "file")
    assert (elf.type.name, elf.is_64_bit, elf.build_id()) == ("CORE", is_64_bit, "010203")
    assert elf.end == len(data) + 5000
    for cut in range(len(data)):
        short = data[:cut]
        try:
            Elf(lambda size, at, short=short: short[at : at + size], "file").build_id()
        except FormatError as error:
            assert "file is" in str(error)
