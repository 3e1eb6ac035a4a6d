"""Texts in compressed files and archives: xz, bzip2, gzip, zstd, zip, tar, one in the other.

Nothing is unpacked to disk and only a piece is held in memory. Too much is an error.
"""

from __future__ import annotations

import bz2
import contextlib
import lzma
import os
import shlex
import stat
import zipfile
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Any

from ..errors import FormatError, SourceError
from .compression import MAGIC as STREAMS
from .compression import unpack

_CHUNK = 1 << 16
MOST_UNPACKED = 4 << 30
_MOST_MEMBERS = 200_000
_LZMA_MEMORY = 256 << 20
_BLOCK = 512
_LONGEST_NAME = 1 << 16
XZ, BZIP2, ZIP = b"\xfd7zXZ\x00", b"BZh", b"PK\x03\x04"

_WHOLE_DUMP = "for a crash dump, name the file, unpacked: --source DUMP --vmlinux FILE"
_UNKNOWN = (
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", "7z e -so {} | allocq query --source -"),
    (b"Rar!", "RAR", "unrar p -inul {} | allocq query --source -"),
    (b"\x04\x22\x4d\x18", "LZ4", "lz4 -dc {} | allocq query --source -"),
    (b"LZIP", "lzip", "lzip -dc {} | allocq query --source -"),
    (b"\x89LZO", "lzop", "lzop -dc {} | allocq query --source -"),
    (b"\x1f\x9d", "compress (.Z)", "gzip -dc {} | allocq query --source -"),
    (b"\x5d\x00\x00", "LZMA", "xz -dc --format=lzma {} | allocq query --source -"),
    (b"LPKSHHRH", "a journal of systemd", "journalctl -k --file {} | allocq query --source -"),
    (b"KDUMP   ", "a crash dump", _WHOLE_DUMP),
    (b"DISKDUMP", "a crash dump", _WHOLE_DUMP),
    (b"makedumpfile\0", "a crash dump", _WHOLE_DUMP),
    (b"\x7fELF", "ELF", _WHOLE_DUMP),
    (b"%PDF", "PDF", "pdftotext -layout {} - | allocq query --source -"),
    (b"\x89PNG", "a picture (PNG)", "allocq reads text: copy the text itself"),
    (b"\xff\xd8\xff", "a picture (JPEG)", "allocq reads text: copy the text itself"),
    (b"SQLite format 3", "SQLite", "allocq reads listings, logs and snapshots"),
    (b"PAR1", "Parquet", "ask it with: allocq fleet top --data FILE"),
    (b"PERFILE2", "perf.data", "allocq reads listings, logs and snapshots"),
)


def unknown_format(first: bytes, path: str) -> FormatError | None:
    """The error for a format that is known, but not read; None for another beginning."""
    for magic, name, how in _UNKNOWN:
        if first.startswith(magic):
            whole = " from a pipe or packed" if how == _WHOLE_DUMP else ""
            return FormatError(
                f"{path} is not a saved /proc/allocinfo but {name}, which allocq does not"
                f" read{whole}",
                how.format(path),
            )
    return None


_DECOMPRESSORS = (
    (STREAMS[0], "gzip -dk {}"),
    (STREAMS[1], "zstd -d {}"),
    (XZ, "xz -dk {}"),
    (BZIP2, "bzip2 -dk {}"),
    (b"\x04\x22\x4d\x18", "lz4 -d {}"),
    (b"LZIP", "lzip -dk {}"),
    (b"\x89LZO", "lzop -d {}"),
    (ZIP, "unzip {}"),
    (b"7z\xbc\xaf\x27\x1c", "7z x {}"),
)


def unpacking(first: bytes, path: str) -> str:
    """The command that decompresses a file and keeps it, by its first bytes; an empty string if it
    is not compressed."""
    for magic, command in _DECOMPRESSORS:
        if first.startswith(magic):
            return command.format(shlex.quote(path))
    return ""


def is_packed(first: bytes) -> bool:
    """Does it begin a file that unpacks to one text?"""
    return first.startswith((*STREAMS, XZ)) or _is_bzip2(first)


def may_be_text(first: bytes) -> bool:
    """Is it no compressed file and no archive?"""
    return not (is_packed(first) or first.startswith(ZIP) or _is_tar(first))


def _is_bzip2(first: bytes) -> bool:
    return first[:3] == BZIP2 and first[3:4] in tuple(b"%d" % n for n in range(1, 10))


def _is_tar(first: bytes) -> bool:
    return first[257:262] == b"ustar" and len(first) >= _BLOCK


def unpacked(fd: int, path: str) -> Iterator[bytes]:
    """The bytes of a file from where `fd` stands, unpacked if they are packed.

    FormatError where the data are damaged, cut off or too many.
    """
    first = os.read(fd, _BLOCK)
    while 0 < len(first) < len(XZ) and (more := os.read(fd, _BLOCK)):
        first += more
    if not first:
        return
    if first.startswith(STREAMS):
        yield from _bounded(unpack(first, fd, path), path)
    elif first.startswith(XZ) or _is_bzip2(first):
        yield from _bounded(_unpack(chain((first,), _read(fd)), path), path)
    else:
        yield first
        yield from _read(fd)


def _read(fd: int) -> Iterator[bytes]:
    while piece := os.read(fd, _CHUNK):
        yield piece


def _bounded(pieces: Iterator[bytes], path: str) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MOST_UNPACKED:
            raise FormatError(
                f"{path} unpacks to more than {MOST_UNPACKED >> 30} GiB",
                "unpack what you need of it",
            )
        yield piece


def _unpack(pieces: Iterator[bytes], path: str) -> Iterator[bytes]:
    """xz, bzip2 or gzip from pieces, at most a chunk at a time."""
    new: Any = None
    decompressor: Any = None
    for packed in pieces:
        if new is None:
            new = _decompressor(packed)
            decompressor = new()
        while True:
            try:
                piece = decompressor.decompress(packed, _CHUNK)
            except (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError):
                raise FormatError(f"{path}: the compressed data is damaged") from None
            if piece:
                yield piece
            if decompressor.eof:
                packed = decompressor.unused_data.lstrip(b"\0")
                decompressor = new()
                if packed:
                    continue
                break
            packed = getattr(decompressor, "unconsumed_tail", b"")
            if not packed and getattr(decompressor, "needs_input", True):
                break
    if decompressor is not None and not _is_fresh(decompressor):
        raise FormatError(f"{path}: the compressed data is truncated")


class _Stream:
    """A decompressor that knows whether it was given anything."""

    def __init__(self, made: Any) -> None:
        self._made = made
        self.begun = False

    def decompress(self, data: bytes, most: int) -> bytes:
        self.begun = self.begun or bool(data)
        return bytes(self._made.decompress(data, most))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


def _is_fresh(stream: _Stream) -> bool:
    return not stream.begun


def _decompressor(first: bytes) -> Any:
    if first.startswith(XZ):
        return lambda: _Stream(lzma.LZMADecompressor(memlimit=_LZMA_MEMORY))
    if _is_bzip2(first):
        return lambda: _Stream(bz2.BZ2Decompressor())
    return lambda: _Stream(zlib.decompressobj(31))


def texts(fd: int, path: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    """(name in the archive, "" outside of one; its bytes) of all that may hold text.

    Take the bytes of one before the next is asked for.
    """
    start = os.lseek(fd, 0, os.SEEK_CUR)
    if os.read(fd, len(ZIP)) == ZIP:
        yield from _zip_members(fd, start, path)
        return
    os.lseek(fd, start, os.SEEK_SET)
    pieces = unpacked(fd, path)
    first = b""
    while len(first) < _BLOCK and (piece := next(pieces, b"")):
        first += piece
    if _is_tar(first):
        yield from _tar_members(_Blocks(chain((first,), pieces), path), path)
    else:
        if error := unknown_format(first, path):
            raise error
        yield "", chain((first,), pieces)


def _member(name: str, pieces: Iterator[bytes], path: str) -> tuple[str, Iterator[bytes]] | None:
    """A member, unpacked if it is packed; None for what holds no text."""
    first = next(pieces, b"")
    if not first:
        return None
    pieces = chain((first,), pieces)
    if first.startswith(XZ) or _is_bzip2(first) or first[:2] == b"\x1f\x8b":
        pieces = _bounded(_unpack(pieces, f"{path}: {name}"), path)
    elif b"\0" in first[:4096] and first[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return None
    return name, pieces


def _patient(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A member that is damaged ends there: the others may be what is looked for."""
    with contextlib.suppress(FormatError):
        yield from pieces


class _Blocks:
    """A tar's bytes in order."""

    def __init__(self, pieces: Iterator[bytes], path: str) -> None:
        self._pieces = pieces
        self._path = path
        self._left = b""

    def take(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes in pieces."""
        while size:
            if not self._left:
                self._left = next(self._pieces, b"")
                if not self._left:
                    raise FormatError(f"{self._path}: the archive is truncated")
            piece, self._left = self._left[:size], self._left[size:]
            size -= len(piece)
            yield piece

    def whole(self, size: int) -> bytes:
        """The next few bytes together."""
        return b"".join(self.take(size))

    def ended(self) -> bool:
        """Is nothing left?"""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return True
            self._left = piece
        return False


def _tar_members(blocks: _Blocks, path: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The regular files of a tar (POSIX pax, GNU). tarfile would hold what a header says is its
    length."""
    long_name = ""
    for _ in range(_MOST_MEMBERS):
        if blocks.ended():
            return
        head = blocks.whole(_BLOCK)
        if not head.strip(b"\0"):
            return
        size, kind = _tar_number(head[124:136]), head[156:157]
        if size is None:
            raise FormatError(f"{path}: the archive is damaged")
        padding = -size % _BLOCK
        if kind in b"Lxg":
            if size > _LONGEST_NAME:
                raise FormatError(f"{path}: the archive has a header of {size} bytes")
            data = blocks.whole(size + padding)[:size]
            long_name = {b"L": _text(data), b"x": _pax_path(data) or long_name}.get(kind, long_name)
            continue
        prefix = _text(head[345:500]) if head[257:263] == b"ustar\0" else ""
        name = long_name or "/".join(filter(None, (prefix, _text(head[:100]))))
        long_name = ""
        if kind in (b"0", b"\0", b"7") and size:
            content = blocks.take(size)
            if member := _member(name, content, path):
                yield member[0], _patient(member[1])
            for _ in content:
                pass
            size = 0
        if kind in b"123456":
            size = padding = 0
        for _ in blocks.take(size + padding):
            pass
    raise FormatError(f"{path} has more than {_MOST_MEMBERS} members")


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _tar_number(field: bytes) -> int | None:
    if field[:1] and field[0] & 0x80:
        number = int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
        return number if number < 1 << 60 else None
    digits = field.strip(b" \0")
    try:
        return int(digits or b"0", 8) if digits.isdigit() or not digits else None
    except ValueError:
        return None


def _pax_path(data: bytes) -> str:
    for record in data.split(b"\n"):
        _, _, entry = record.partition(b" ")
        if entry.startswith(b"path="):
            return _text(entry[5:])
    return ""


def _zip_members(fd: int, start: int, path: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    os.lseek(fd, start, os.SEEK_SET)
    try:
        with (
            open(fd, "rb", closefd=False) as file,
            zipfile.ZipFile(file) as archive,
        ):
            names = archive.infolist()
            if len(names) > _MOST_MEMBERS:
                raise FormatError(f"{path} has more than {_MOST_MEMBERS} members")
            for info in names:
                mode = info.external_attr >> 16
                if info.is_dir() or (mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode)):
                    continue
                if info.flag_bits & 1:
                    raise SourceError(f"{path} is encrypted", "unzip it first")
                pieces = _bounded(_zip_pieces(archive, info, path), path)
                if member := _member(info.filename, pieces, path):
                    yield member[0], _patient(member[1])
    except _ZIP_ERRORS:
        raise _damaged_zip(path) from None


_ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    OSError,
)


def _zip_pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str) -> Iterator[bytes]:
    try:
        with archive.open(info) as content:
            while piece := content.read(_CHUNK):
                yield piece
    except _ZIP_ERRORS:
        raise _damaged_zip(path) from None


def _damaged_zip(path: str) -> FormatError:
    return FormatError(f"{path}: the archive is damaged or of an unknown kind")
