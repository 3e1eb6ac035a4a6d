"""What can be read only once, kept so that it can be read again."""

from __future__ import annotations

import os
import stat
import tempfile

from ..errors import SourceError

IN_MEMORY, MOST = 16 << 20, 4 << 30
MOST_OF_A_DEVICE = 1 << 20
"""/dev/zero has no end."""
_CHUNK = 1 << 18


def spool(fd: int, path: str) -> int:
    """A descriptor with all that `fd` gives, at its beginning; in memory up to 16 MiB, then in a
    file without a name. SourceError, OSError."""
    out = os.memfd_create("allocq", os.MFD_CLOEXEC)
    size, in_memory = 0, True
    is_device = stat.S_ISCHR(os.fstat(fd).st_mode) and not os.isatty(fd)
    try:
        while piece := os.read(fd, _CHUNK):
            size += len(piece)
            if is_device and size > MOST_OF_A_DEVICE:
                raise SourceError(f"{path} is a device, not a listing")
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
    with tempfile.TemporaryFile() as file:
        os.lseek(memory, 0, os.SEEK_SET)
        while piece := os.read(memory, _CHUNK):
            file.write(piece)
        file.flush()
        disk = os.dup(file.fileno())
    os.close(memory)
    return disk
