"""The functions of the running kernel: /proc/kallsyms, and which of them hold the code of a tag.

A compiler puts one function into another, and then no stack has its name. The code that sets a
tag has the tag's address in it: /proc/kcore shows the function that has that code.
"""

import bisect
import contextlib
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

_SYMBOL = re.compile(rb"^([0-9a-f]+) (\w) (\S+)(?:\t\[(\S+)\])?$", re.MULTILINE)
_CODE = re.compile(rb"^([0-9a-f]+) [tTwW] (\S+)(?:\t\[(\S+)\])?$", re.MULTILINE)
_HEADER = struct.Struct("<4sBB10xHHIQQQIHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LOAD = 1


@dataclass(frozen=True, slots=True, order=True)
class Function:
    """The code of a function: addresses from `start` up to `end`. name: with a suffix of the
    compiler (`.isra.0`), if it has one."""

    start: int
    end: int
    name: str
    module: str | None = None

    @property
    def plain(self) -> str:
        """The name in the source code."""
        return self.name.partition(".")[0]


class Symbols:
    """The functions in the text of a /proc/kallsyms, which is long: each is made when asked for.

    tags, text: where the kernel's own tags and its code begin and end; None if that is not known.
    """

    def __init__(self, listing: bytes) -> None:
        self._listing = listing
        # The addresses are hexadecimal numbers of one width: their order is that of the texts.
        self._rows: list[tuple[bytes, bytes, bytes]] = sorted(_CODE.findall(listing))
        self.tags = self._span(b"__start_alloc_tags", b"__stop_alloc_tags")
        self.text = self._span(b"_stext", b"_etext")

    @property
    def hidden(self) -> bool:
        """Are the addresses not shown to us?"""
        return not self._rows or not int(self._rows[-1][0], 16)

    def named(self, name: str, module: str | None) -> list[Function]:
        """The functions of this name in the source code; several files may have one."""
        rows = self._by_name.get(name.encode(), ())
        return [self._function(row) for row in rows if _module(row[2]) == module]

    @cached_property
    def _by_name(self) -> dict[bytes, list[tuple[bytes, bytes, bytes]]]:
        """The rows by the name in the source code."""
        found: dict[bytes, list[tuple[bytes, bytes, bytes]]] = {}
        for row in dict.fromkeys(self._rows):
            found.setdefault(row[1].partition(b".")[0], []).append(row)
        return found

    def at(self, address: int) -> Function | None:
        """The function that has this address."""
        place = bisect.bisect_right(self._rows, (b"%016x" % address, b"\xff", b"")) - 1
        return self._function(self._rows[place]) if place >= 0 else None

    def _function(self, row: tuple[bytes, bytes, bytes]) -> Function:
        start = int(row[0], 16)
        place = bisect.bisect_right(self._rows, (row[0], b"\xff", b""))
        end = int(self._rows[place][0], 16) if place < len(self._rows) else start + 1
        return Function(start, end, row[1].decode("ascii", "replace"), _module(row[2]))

    def _span(self, first: bytes, last: bytes) -> tuple[int, int] | None:
        ends = []
        for mark in (first, last):
            here = [int(address, 16) for address, _, symbol, _ in self._lines(mark)
                    if symbol == mark]  # fmt: skip
            ends += here[:1]
        return (ends[0], ends[1]) if len(ends) == 2 else None

    def _lines(self, name: bytes) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
        """The lines whose symbol begins with this name."""
        place = self._listing.find(b" " + name)
        while place >= 0:
            begin = self._listing.rfind(b"\n", 0, place) + 1
            if match := _SYMBOL.match(self._listing, begin):
                address, kind, symbol, owner = match.groups(b"")
                yield address, kind, symbol, owner
            place = self._listing.find(b" " + name, place + 1)


def _module(owner: bytes) -> str | None:
    return owner.decode("ascii", "replace") or None


def read_symbols(path: str = "/proc/kallsyms") -> Symbols | None:
    """The symbols of the running kernel, maybe without addresses; None where it has none."""
    try:
        with open(path, "rb") as file:
            return Symbols(file.read())
    except OSError:
        return None


class Code:
    """The code of the running kernel, and the tags in it.

    lines: of the kernel's own tags, in its order; the kernel's copy of them must agree.
    """

    def __init__(self, text: bytes, start: int, tags: int, size: int, count: int) -> None:
        self._text, self._start = text, start
        self._tags, self._size, self._count = tags, size, count

    def places(self, tag: int) -> Iterator[int]:
        """The addresses where code sets the kernel's own tag of this number."""
        yield from self._places.get(tag, ())

    @cached_property
    def _places(self) -> dict[int, list[int]]:
        """The same of all tags: looked for once, by the half of an address that many share."""
        first = self._tags & 0xFFFFFFFF
        found: dict[int, list[int]] = {}
        for half in range(first >> 16, (first + self._size * self._count >> 16) + 1):
            wanted = struct.pack("<H", half & 0xFFFF)
            at = self._text.find(wanted, 2)
            while at >= 0:
                (value,) = struct.unpack_from("<I", self._text, at - 2)
                number, rest = divmod((value - first) & 0xFFFFFFFF, self._size)
                if not rest and number < self._count and _is_operand(self._text, at - 2):
                    found.setdefault(number, []).append(self._start + at - 2)
                at = self._text.find(wanted, at + 1)
        return found

    def tags_in(self, function: Function) -> list[tuple[int, int]]:
        """(address, number of the tag) for each place in a function that sets one, in order."""
        ends = ((function.start,), (function.end - 3,))
        begin, end = (bisect.bisect_left(self._in_order, each) for each in ends)
        return self._in_order[begin:end]

    @cached_property
    def _in_order(self) -> list[tuple[int, int]]:
        return sorted(
            (address, number) for number, found in self._places.items() for address in found
        )


def _is_operand(text: bytes, place: int) -> bool:
    """Is this the 32-bit operand of an x86-64 `mov` of 64 bits to a register, or to memory at a
    register and a displacement? No other instruction sets a tag."""
    # REX.W, C7 /0, then the ModRM byte (mod 3: register; 1 and 2: displacements of 1 and 4 bytes),
    # for rsp and r12 the byte SIB, and the displacement.
    for length, mode, has_base in ((3, 3, 0), (4, 1, 0), (5, 1, 1), (7, 2, 0), (8, 2, 1)):
        start = place - length
        if start >= 0 and text[start] & 0xF8 == 0x48 and text[start + 1] == 0xC7:
            byte = text[start + 2]
            if byte >> 6 == mode and not byte & 0x38 and (mode == 3 or (byte & 7 == 4) == has_base):
                return True
    return False


def read_code(symbols: Symbols, lines: Sequence[int], path: str = "/proc/kcore") -> Code | None:
    """The code of the running kernel; None where it cannot be read, or is not understood: another
    processor than x86-64, no /proc/kcore, lockdown."""
    if os.uname().machine != "x86_64" or symbols.tags is None or symbols.text is None or not lines:
        return None
    start, stop = symbols.tags
    size, rest = divmod(stop - start, len(lines))
    if rest or size < 32:
        return None
    with contextlib.suppress(OSError, struct.error), open(path, "rb", buffering=0) as file:
        segments = _segments(file.read(_HEADER.size), file)
        tags = _read(file, segments, start, stop - start)
        # struct codetag begins with its flags and its line.
        kept = [struct.unpack_from("<I", tags, at * size + 4)[0] for at in range(len(lines))]
        if kept != list(lines):
            return None
        begin, end = symbols.text
        text = _read(file, segments, begin, end - begin)
        return Code(text, begin, start, size, len(lines))
    return None


def _segments(header: bytes, file: object) -> list[tuple[int, int, int]]:
    """(address, size, offset in the file) of what an ELF file has of memory."""
    magic, bits, order, _, _, _, _, offset, *_, size, count = _HEADER.unpack(header)
    if magic != b"\x7fELF" or (bits, order, size) != (2, 1, _SEGMENT.size):
        raise struct.error("not a 64-bit ELF file")
    file.seek(offset)  # type: ignore[attr-defined]
    data = file.read(size * count)  # type: ignore[attr-defined]
    parts = [_SEGMENT.unpack_from(data, size * at) for at in range(count)]
    return [(part[3], part[5], part[2]) for part in parts if part[0] == _LOAD]


def _read(file: object, segments: list[tuple[int, int, int]], address: int, size: int) -> bytes:
    for begin, length, offset in segments:
        if begin <= address and address + size <= begin + length:
            file.seek(offset + address - begin)  # type: ignore[attr-defined]
            pieces, left = [], size
            while left and (piece := file.read(left)):  # type: ignore[attr-defined]
                pieces.append(piece)
                left -= len(piece)
            if not left:
                return b"".join(pieces)
    raise struct.error("memory is missing")
