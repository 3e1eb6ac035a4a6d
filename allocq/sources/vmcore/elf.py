"""The parts of an ELF file that tell what it is: header, segments, sections and notes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from ...errors import FormatError
from .recognise import ELF

_MANY = 0xFFFF  # PN_XNUM: the number of segments is in the first section
_MOST_NOTES = 64 << 20
_MOST_HEADERS = 64 << 20
_LOAD, _NOTE = 1, 4
_SECTION_NOTE = 7
_LONGEST_NAME = 4096
_BUILD_ID = 3

Reads = Callable[[int, int], bytes]
"""The bytes of a file: (size, offset); fewer at its end."""


class ElfType(IntEnum):
    """What an ELF file is; OTHER for what no part of the kernel is."""

    OTHER = 0
    OBJECT = 1
    PROGRAM = 2
    SHARED = 3
    CORE = 4


@dataclass(frozen=True, slots=True)
class Area:
    """A segment or a section: its type and where its bytes are in the file."""

    type: int
    offset: int
    size: int
    name: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """A note of an ELF file."""

    name: bytes
    type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the fields of the headers are: 32 and 64 bits differ."""

    header: struct.Struct
    segment: struct.Struct
    section: struct.Struct


class Elf:
    """An ELF file. FormatError where its headers cannot be read."""

    def __init__(self, read: Reads, path: str) -> None:
        self._read, self._path = read, path
        ident = read(16, 0)
        if ident.startswith(ELF) and len(ident) < 16:
            raise self._truncated()
        if len(ident) < 16 or ident[:4] != ELF or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise FormatError(f"{path} is not an ELF file")
        self.is_64_bit = ident[4] == 2
        self.order = "<" if ident[5] == 1 else ">"
        self._layout = _layout(self.order, self.is_64_bit)
        fields = self._fields(self._layout.header, 16)
        kind, _, _, _, self._segments_at, sections_at, _, _, _, segments, _, sections, names = (
            fields
        )
        self.type = ElfType(kind) if kind in tuple(ElfType) else ElfType.OTHER
        self._names_at = names
        self._sections = (sections_at, sections)
        self._number = segments

    def _truncated(self) -> FormatError:
        return FormatError(f"{self._path} is truncated: its headers are not all there")

    @cached_property
    def segments(self) -> list[Area]:
        """What of the file is where in memory. FormatError."""
        number, sections_at = self._number, self._sections[0]
        if number == _MANY and sections_at:
            number = self._fields(self._layout.section, sections_at)[7]
        return list(self._areas(self._layout.segment, self._segments_at, number))

    def _fields(self, layout: struct.Struct, at: int) -> tuple[int, ...]:
        data = self._read(layout.size, at)
        if len(data) < layout.size:
            raise self._truncated()
        return layout.unpack(data)

    def _areas(self, layout: struct.Struct, at: int, number: int) -> Iterator[Area]:
        size = number * layout.size
        if size > _MOST_HEADERS:
            raise FormatError(f"{self._path} is damaged: {number} parts in an ELF file")
        data = self._read(size, at) if number else b""
        if len(data) < size:
            raise self._truncated()
        for fields in layout.iter_unpack(data):
            if layout is self._layout.section:
                name, type_, _, _, offset, length = fields[:6]
                yield Area(type_, offset, length, name)
            elif self.is_64_bit:
                yield Area(fields[0], fields[2], fields[5])
            else:
                yield Area(fields[0], fields[1], fields[4])

    @property
    def sections(self) -> list[Area]:
        """The sections, if there are any."""
        return list(self._areas(self._layout.section, *self._sections))

    def section_names(self) -> set[bytes]:
        """The names of the sections that have bytes in the file."""
        return {name for name, area in self._named_sections() if area.size}

    def section(self, name: bytes) -> bytes:
        """The beginning of a section, empty if there is none of this name."""
        for known, area in self._named_sections():
            if known == name:
                return self._read(min(area.size, _LONGEST_NAME), area.offset)
        return b""

    def _named_sections(self) -> Iterator[tuple[bytes, Area]]:
        sections = self.sections
        if 0 < self._names_at < len(sections):
            area = sections[self._names_at]
            names = self._read(min(area.size, _MOST_HEADERS), area.offset)
            for each in sections:
                yield names[each.name :].partition(b"\0")[0], each

    @property
    def end(self) -> int:
        """How long the file must be to hold all its segments, in bytes."""
        return max(
            (each.offset + each.size for each in self.segments if each.type == _LOAD), default=0
        )

    def notes(self) -> Iterator[Note]:
        """The notes in segments, or in sections if there are no such segments."""
        areas = [each for each in self.segments if each.type == _NOTE]
        for area in areas or [each for each in self.sections if each.type == _SECTION_NOTE]:
            if area.size <= _MOST_NOTES:
                yield from _notes(self._read(area.size, area.offset), self.order)

    def build_id(self) -> str | None:
        """The build id in hexadecimal digits; None if there is none."""
        for note in self.notes():
            if note.name == b"GNU" and note.type == _BUILD_ID:
                return note.data.hex()
        return None


def _notes(data: bytes, order: str) -> Iterator[Note]:
    head = struct.Struct(f"{order}III")
    at = 0
    while at + head.size <= len(data):
        name_size, size, type_ = head.unpack_from(data, at)
        name_at = at + head.size
        data_at = name_at + (name_size + 3 & ~3)
        if data_at + size > len(data):
            return
        name = data[name_at : name_at + name_size].rstrip(b"\0")
        yield Note(name, type_, data[data_at : data_at + size])
        at = data_at + (size + 3 & ~3)


def _layout(order: str, is_64_bit: bool) -> _Layout:
    word = "Q" if is_64_bit else "I"
    header = f"{order}HHI{word}{word}{word}IHHHHHH"
    segment = f"{order}IIQQQQQQ" if is_64_bit else f"{order}IIIIIIII"
    section = f"{order}II{word}{word}{word}{word}II{word}{word}"
    return _Layout(struct.Struct(header), struct.Struct(segment), struct.Struct(section))


def build_id_of_notes(data: bytes, order: str = "<") -> str | None:
    """The build id in notes, as in /sys/kernel/notes; None if there is none."""
    for note in _notes(data, order):
        if note.name == b"GNU" and note.type == _BUILD_ID:
            return note.data.hex()
    return None
