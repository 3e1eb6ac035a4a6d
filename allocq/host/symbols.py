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
from dataclasses import dataclass, field

_SYMBOL = re.compile(rb"^([0-9a-f]+) (\w) (\S+)(?:\t\[(\S+)\])?$", re.MULTILINE)
_START, _STOP = "__start_alloc_tags", "__stop_alloc_tags"
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


@dataclass(slots=True)
class Symbols:
    """The functions by address and by name. tags: where the kernel's own tags begin and end, if
    known."""

    functions: list[Function] = field(default_factory=list)
    tags: tuple[int, int] | None = None
    text: tuple[int, int] | None = None
    _starts: list[int] = field(default_factory=list)
    _by_name: dict[str, list[Function]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._starts = [function.start for function in self.functions]
        for function in self.functions:
            self._by_name.setdefault(function.plain, []).append(function)

    def named(self, name: str, module: str | None) -> list[Function]:
        """The functions of this name in the source code; several files may have one."""
        return [each for each in self._by_name.get(name, ()) if each.module == module]

    def at(self, address: int) -> Function | None:
        """The function that has this address."""
        place = bisect.bisect_right(self._starts, address) - 1
        if place < 0 or address >= self.functions[place].end:
            return None
        return self.functions[place]

    def address(self, name: str, offset: int, size: int, module: str | None) -> int | None:
        """The address of `name+offset/size`, as stacks have it; None if it is not known."""
        same = [each for each in self.named(name.partition(".")[0], module) if each.name == name]
        exact = [each for each in same if each.end - each.start == size]
        if len(exact or same) != 1:
            return None
        return (exact or same)[0].start + offset


def read_symbols(path: str = "/proc/kallsyms") -> Symbols | None:
    """The symbols of the running kernel; None where it hides the addresses, or has none."""
    try:
        with open(path, "rb") as file:
            return parse_symbols(file.read())
    except OSError:
        return None


def parse_symbols(text: bytes) -> Symbols | None:
    """The symbols of a /proc/kallsyms; None without addresses."""
    found: list[tuple[int, str, str | None]] = []
    marks: dict[str, int] = {}
    for address, kind, name, module in _SYMBOL.findall(text):
        word = name.decode("ascii", "replace")
        if kind in b"tTwW":
            owner = module.decode("ascii", "replace") if module else None
            found.append((int(address, 16), word, None if owner == "bpf" else owner))
        if word in (_START, _STOP, "_stext", "_etext"):
            marks[word] = int(address, 16)
    if not any(address for address, _, _ in found):
        return None
    found.sort(key=lambda each: each[0])
    functions, following = [], None
    for place in range(len(found) - 1, -1, -1):
        address, word, owner = found[place]
        if place + 1 < len(found) and found[place + 1][0] != address:
            following = found[place + 1][0]
        functions.append(Function(address, address + 1 if following is None else following,
                                  word, owner))  # fmt: skip
    functions.sort()
    tags = (marks[_START], marks[_STOP]) if {_START, _STOP} <= marks.keys() else None
    span = (marks["_stext"], marks["_etext"]) if {"_stext", "_etext"} <= marks.keys() else None
    return Symbols(functions, tags, span)


class Code:
    """The code of the running kernel, and the tags in it.

    lines: of the kernel's own tags, in its order; the kernel's copy of them must agree.
    """

    def __init__(self, text: bytes, start: int, tags: int, size: int, count: int) -> None:
        self._text, self._start = text, start
        self._tags, self._size, self._count = tags, size, count

    def places(self, tag: int) -> Iterator[int]:
        """The addresses where code sets the kernel's own tag of this number."""
        wanted = struct.pack("<I", (self._tags + tag * self._size) & 0xFFFFFFFF)
        place = self._text.find(wanted)
        while place >= 0:
            if _is_operand(self._text, place):
                yield self._start + place
            place = self._text.find(wanted, place + 1)

    def tags_in(self, function: Function) -> list[tuple[int, int]]:
        """(address, number of the tag) for each place in a function that sets one, in order."""
        begin, end = function.start - self._start, function.end - self._start
        if begin < 0 or end > len(self._text):
            return []
        first = self._tags & 0xFFFFFFFF
        found = []
        for place in range(begin, end - 3):
            (value,) = struct.unpack_from("<I", self._text, place)
            number, rest = divmod((value - first) & 0xFFFFFFFF, self._size)
            if not rest and number < self._count and _is_operand(self._text, place):
                found.append((self._start + place, number))
        return found


def _is_operand(text: bytes, place: int) -> bool:
    """Is this the 32-bit operand of an x86-64 `mov` to a register, or to memory with a 32-bit
    displacement? Other instructions do not set a tag."""
    if place >= 3 and text[place - 3] & 0xF8 == 0x48 and text[place - 2] == 0xC7:
        return text[place - 1] & 0xF8 == 0xC0
    if place >= 7 and text[place - 7] & 0xF8 == 0x48 and text[place - 6] == 0xC7:
        return text[place - 5] & 0xF8 == 0x80 and text[place - 5] & 7 != 4
    if place >= 8 and text[place - 8] & 0xF8 == 0x48 and text[place - 7] == 0xC7:
        return text[place - 6] == 0x84
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
