"""What can be read only once, kept so that it can be read again."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable

from ..errors import SourceError
from ..host.temporary import temporary_directory

IN_MEMORY, MOST = 16 << 20, 1 << 30
MOST_WITHOUT_A_TAG = 256 << 20
"""A pipe may have no end, and what it gives may be no listing."""
MOST_OF_A_DEVICE = 1 << 20
"""/dev/zero has no end."""
_CHUNK = 1 << 18
_SIGNS = (b"func:", b"llocations", b"allocinfo", b"bytes", b"BYTES", b"f\0u\0n\0c\0")


def spool(fd: int, path: str, is_text: Callable[[bytes], bool] = lambda first: True) -> int:
    """A descriptor with all that `fd` gives, at its beginning; in memory up to 16 MiB, then in a
    file without a name. is_text: for the first bytes, do they begin a text that is not packed?
    SourceError, OSError."""
    out = os.memfd_create("allocq", os.MFD_CLOEXEC)
    size, in_memory, promising = 0, True, False
    is_device = stat.S_ISCHR(os.fstat(fd).st_mode) and not os.isatty(fd)
    try:
        while piece := os.read(fd, _CHUNK):
            if not promising:
                packed = not size and not is_text(piece)
                promising = packed or any(sign in piece for sign in _SIGNS)
            size += len(piece)
            if is_device and size > MOST_OF_A_DEVICE:
                raise SourceError(f"{path} is a device, not a listing")
            if size > MOST_WITHOUT_A_TAG and not promising:
                raise SourceError(f"{path}: no tag in its first {MOST_WITHOUT_A_TAG >> 20} MiB")
            if size > MOST:
                raise SourceError(f"{path} holds more than {MOST >> 30} GiB", "save it to a file")
            if in_memory and size > IN_MEMORY:
                out, in_memory = _on_disk(out), False
            view = memoryview(piece)
            while view:
                view = view[os.write(out, view) :]
        os.lseek(out, 0, os.SEEK_SET)
    except BaseException:
        os.close(out)
        raise
    return out


def _on_disk(memory: int) -> int:
    with tempfile.TemporaryFile(dir=temporary_directory()) as file:
        os.lseek(memory, 0, os.SEEK_SET)
        while piece := os.read(memory, _CHUNK):
            file.write(piece)
        file.flush()
        disk = os.dup(file.fileno())
    os.close(memory)
    return disk
