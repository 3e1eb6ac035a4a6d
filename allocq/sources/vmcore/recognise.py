"""Is a file a crash dump? Told by its first bytes; all else is in dump.py."""

from __future__ import annotations

import os
import stat

from ...errors import AccessError, AllocqError, FormatError, SourceError
from ...host.opening import open_at_once

ELF = b"\x7fELF"
KDUMP = (b"KDUMP   ", b"DISKDUMP")
FLATTENED = b"makedumpfile\0"
LONGEST = 16
_DUMPS = (ELF, *KDUMP, FLATTENED)
_NAME_THE_FILE = "save it to a file, and name that with --source"
_KCORE = "/proc/kcore"
_LAST = (1 << 63) - 1
_MOST = 1 << 28


def open_dump(path: str) -> int | None:
    """A descriptor of a file that begins as a crash dump does; None for any other, and for what
    cannot be opened. `-`: standard input, if it is a file.

    AccessError for /proc/kcore, SourceError.
    """
    try:
        if path == "-":
            return os.dup(0) if stat.S_ISREG(os.fstat(0).st_mode) and _begins_dump(0) else None
        status = os.stat(path)
        # What has no size in /proc is made when it is read, as a running kernel's listing is.
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return None
        fd = open_at_once(path)
    except PermissionError:
        if not is_kcore(path):
            return None
        raise AccessError(f"{path}: permission denied", _why_denied()) from None
    except (OSError, ValueError):
        return None
    found = False
    try:
        found = _begins_dump(fd)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    finally:
        if not found:
            os.close(fd)
    return fd if found else None


def _why_denied() -> str:
    if os.geteuid():
        return "only root can read it"
    return "root is denied too: a container, or lockdown of the kernel, blocks it"


def is_kcore(path: str) -> bool:
    """Is it the memory of the running kernel?"""
    return os.path.realpath(path) == _KCORE


def dump_in(fd: int, path: str) -> bool:
    """Does an open file begin as a crash dump does? SourceError."""
    try:
        status = os.fstat(fd)
        return stat.S_ISREG(status.st_mode) and status.st_size > 0 and _begins_dump(fd)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None


def _begins_dump(fd: int) -> bool:
    return os.pread(fd, LONGEST, 0).startswith(_DUMPS)


def is_dump(path: str) -> bool:
    """Does a file begin as a crash dump does? Raises what `open_dump` raises."""
    fd = open_dump(path)
    if fd is None:
        return False
    os.close(fd)
    return True


def check_could_be_dump(path: str) -> None:
    """FormatError where it is known why a file that should be a crash dump is not: it is empty,
    compressed, or no file."""
    from ...storage.archive import unpacking  # what it imports is slow

    try:
        mode = os.stat(path).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):  # opened, a pipe would be waited for
            raise FormatError(f"{path} is a pipe, and a crash dump is a file", _NAME_THE_FILE)
        if not stat.S_ISREG(mode):
            return
        with open(path, "rb", buffering=0) as file:
            if not (first := os.pread(file.fileno(), LONGEST, 0)):
                raise FormatError(f"{path} is empty", "was there room to save the dump?")
            if (command := unpacking(first, path)) and _may_hold_dump(first, file.fileno(), path):
                raise FormatError(
                    f"{path} is compressed, and a crash dump is read uncompressed",
                    f"decompress it: {command}",
                )
    except (OSError, ValueError):
        return  # opening it says why


def _may_hold_dump(first: bytes, fd: int, path: str) -> bool:
    """Does a compressed file hold a dump? Yes if it cannot be decompressed here."""
    from ...storage.archive import is_packed, unpacked

    if not is_packed(first):
        return True
    begin = b""
    try:
        for piece in unpacked(fd, path):
            begin += piece
            if len(begin) >= LONGEST:
                break
    except AllocqError:
        return True
    return begin.startswith(_DUMPS)


def read_at(fd: int, length: int, at: int) -> bytes:
    """Some bytes of a file; none where a damaged header points to nowhere, or to too much."""
    return os.pread(fd, length, at) if 0 <= at <= _LAST - length and length <= _MOST else b""
