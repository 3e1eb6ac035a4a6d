"""Is a file a crash dump? Told by its first bytes; all else is in dump.py."""

from __future__ import annotations

import os
import stat

from ...errors import AccessError, SourceError

ELF = b"\x7fELF"
KDUMP = (b"KDUMP   ", b"DISKDUMP")
FLATTENED = b"makedumpfile\0"
LONGEST = 16
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
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
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
    return os.pread(fd, LONGEST, 0).startswith((ELF, *KDUMP, FLATTENED))


def is_dump(path: str) -> bool:
    """Does a file begin as a crash dump does? Raises what `open_dump` raises."""
    fd = open_dump(path)
    if fd is None:
        return False
    os.close(fd)
    return True


def read_at(fd: int, length: int, at: int) -> bytes:
    """Some bytes of a file; none where a damaged header points to nowhere, or to too much."""
    return os.pread(fd, length, at) if 0 <= at <= _LAST - length and length <= _MOST else b""
