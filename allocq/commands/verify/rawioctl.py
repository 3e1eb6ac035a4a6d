"""Reads the kernel's text and ioctl in pure Python, without allocq's C.

`verify` must not depend on the code that it checks. The layout is from
include/uapi/linux/alloc_tag.h in Linux 7.3; sizes and command numbers follow from it.
"""

import errno
import fcntl
import os
import platform
import re
import struct
from typing import NamedTuple, Self

NAME_BYTES = 63
U64 = 1 << 64
MODULE, FUNCTION, FILE, LINE, INACCURATE, MIN_SIZE, MAX_SIZE = (1 << bit for bit in range(7))
KNOWN_MASK = (1 << 7) - 1

_TAG_DATA = struct.Struct("=64s64s64sQQQB7s")
_FILTER = struct.Struct("=Q64s64s64sQQQQ")
_ID = struct.Struct("=Q")
_LINE = re.compile(
    rb" *(-?[0-9]+) +([0-9]+) (.+):([0-9]+)(?: \[([^\]\n]+)\])?"
    # Rust has names like `<impl A for B>::new`; what stands behind is `key:value`.
    rb" func:(\S+(?: \S+)*?)((?: [a-z_][a-z0-9_]*:(?!:)\S*)*) \n"
)
_HEADER = re.compile(rb"allocinfo - version: [0-9]+\.[0-9]+\n#     <size>  <calls> <tag info>\n")


def _directions() -> tuple[int, int, int]:
    """(where the direction begins, read, write) in a command's number.

    arch/*/include/uapi/asm/ioctl.h: most are include/uapi/asm-generic/ioctl.h.
    """
    machine = platform.machine()
    if machine.startswith(("alpha", "mips", "ppc", "sparc")):
        return 29, 2, 4
    return (30, 1, 2) if machine.startswith("parisc") else (30, 2, 1)


def command(number: int, size: int, read: bool = True, write: bool = False) -> int:
    """_IOC(read | write, 0xA6, number, size)."""
    shift, reads, writes = _directions()
    direction = (reads if read else 0) | (writes if write else 0)
    return direction << shift | size << 16 | 0xA6 << 8 | number


GET_AT_SIZE = _ID.size + _FILTER.size + _TAG_DATA.size
NEXT_SIZE = _TAG_DATA.size
CONTENT_ID = command(0, _ID.size)
GET_AT = command(1, GET_AT_SIZE, write=True)
GET_NEXT = command(2, NEXT_SIZE)


class Row(NamedTuple):
    """One tag. module: empty for built-in code; size: bytes, signed; names: as read."""

    module: bytes
    function: bytes
    file: bytes
    line: int
    size: int
    calls: int
    accurate: bool

    @property
    def name(self) -> tuple[bytes, bytes, bytes, int]:
        """Everything but the counters."""
        return self[:4]

    def trimmed(self) -> Self:
        """The row with names cut to their last 63 bytes, as by the ioctl."""
        return self._replace(
            module=self.module[-NAME_BYTES:],
            function=self.function[-NAME_BYTES:],
            file=self.file[-NAME_BYTES:],
        )

    def __str__(self) -> str:
        module = f" [{_words(self.module)}]" if self.module else ""
        return f"{_words(self.file)}:{self.line}{module} func:{_words(self.function)}"


class IoctlFilter(NamedTuple):
    """The filter of GET_AT, field by field."""

    mask: int = 0
    module: bytes = b""
    function: bytes = b""
    file: bytes = b""
    line: int = 0
    min_size: int = 0
    max_size: int = 0
    inaccurate: int = 0

    def pack(self) -> bytes:
        """struct allocinfo_filter."""
        return _FILTER.pack(*self)

    def names_match(self, row: Row) -> bool:
        """Do the names and the line of a row from the ioctl match, whatever its counters?"""
        return not (
            (self.mask & MODULE and row.module != self.module)
            or (self.mask & FUNCTION and row.function != self.function)
            or (self.mask & FILE and row.file != self.file)
            or (self.mask & LINE and row.line != self.line)
        )

    def sizes(self) -> list[tuple[int, int]]:
        """The signed sizes that match, as ranges; the kernel compares unsigned."""
        low = self.min_size if self.mask & MIN_SIZE else 0
        high = self.max_size if self.mask & MAX_SIZE else U64 - 1
        half = U64 >> 1
        ranges = [(max(low, half) - U64, high - U64), (low, min(high, half - 1))]
        return [(first, last) for first, last in ranges if first <= last]

    def __str__(self) -> str:
        fields = zip(self._fields[1:], self[1:], strict=True)
        bits = (MODULE, FUNCTION, FILE, LINE, MIN_SIZE, MAX_SIZE, INACCURATE)
        words = [
            f"{name}={_words(value) if isinstance(value, bytes) else value}"
            for bit, (name, value) in zip(bits, fields, strict=True)
            if self.mask & bit
        ]
        return ", ".join(words) or "no filter"


class BadText(Exception):
    """The text does not follow the documented format; the message names the line."""


class Kernel:
    """One open /proc/allocinfo. Every command raises OSError with the kernel's errno."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)

    def another(self) -> Self:
        """A second open file of the same kernel."""
        return type(self)(self.path)

    def rewind(self) -> None:
        """Seek to the start of the text."""
        os.lseek(self.fd, 0, os.SEEK_SET)

    def read(self, size: int) -> bytes:
        """The next bytes of the text; empty at the end."""
        return os.read(self.fd, size)

    def fault(self, number: int) -> int:
        """The errno of a command with an invalid address, 0 if it succeeds."""
        try:
            fcntl.ioctl(self.fd, number, 0)
        except OSError as error:
            return error.errno or 0
        return 0

    def ioctl(self, number: int, data: bytes) -> bytes:
        """Run one command on a copy of `data`; returns the copy."""
        buffer = bytearray(data)
        fcntl.ioctl(self.fd, number, buffer)
        return bytes(buffer)

    def errno(self, number: int, data: bytes) -> int:
        """The errno of one command, 0 if it succeeds."""
        try:
            self.ioctl(number, data)
        except OSError as error:
            return error.errno or 0
        return 0

    def content_id(self) -> int:
        """The content ID, which changes when a module is loaded or unloaded."""
        return int(_ID.unpack(self.ioctl(CONTENT_ID, bytes(_ID.size)))[0])

    def get_at(self, position: int = 0, wanted: IoctlFilter = IoctlFilter()) -> Row:  # noqa: B008
        """The matching tag at `position`; moves the cursor there."""
        answer = self.ioctl(GET_AT, get_at(position, wanted))
        return _row(answer[GET_AT_SIZE - NEXT_SIZE :])

    def get_next(self) -> Row:
        """The next matching tag."""
        return _row(self.ioctl(GET_NEXT, bytes(NEXT_SIZE)))

    def scan(self, wanted: IoctlFilter = IoctlFilter()) -> list[Row]:  # noqa: B008
        """All matching tags."""
        rows: list[Row] = []
        try:
            rows.append(self.get_at(0, wanted))
            while True:
                rows.append(self.get_next())
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        return rows

    def text(self) -> list[Row]:
        """All tags of the text, with whole names. BadText if a line is invalid."""
        self.rewind()
        pieces = []
        while piece := self.read(1 << 16):
            pieces.append(piece)
        return parse(b"".join(pieces))


def get_at(position: int, wanted: IoctlFilter) -> bytes:
    """struct allocinfo_get_at with an empty answer."""
    return _ID.pack(position) + wanted.pack() + bytes(NEXT_SIZE)


def parse(text: bytes) -> list[Row]:
    """The tags of a whole text. BadText if it is invalid."""
    header = _HEADER.match(text)
    if not header:
        raise BadText("the first two lines are not the header")
    rows: list[Row] = []
    at = header.end()
    while at < len(text):
        line = _LINE.match(text, at)
        if not line:
            end = text.find(b"\n", at)
            shown = text[at : end if end >= 0 else len(text)]
            raise BadText(f"line {len(rows) + 3}: not a valid allocinfo line: {_words(shown)}")
        size, calls, file, number, module, function, rest = line.groups()
        known = b"accurate:no" not in rest.split()
        rows.append(Row(module or b"", function, file, int(number), int(size), int(calls), known))
        at = line.end()
    return rows


def _row(data: bytes) -> Row:
    module, function, file, line, size, calls, accurate, _ = _TAG_DATA.unpack(data)
    module, function, file = (name.partition(b"\0")[0] for name in (module, function, file))
    signed = size - U64 if size >> 63 else size
    return Row(module, function, file, line, signed, calls, bool(accurate))


def _words(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
