"""Opens files without waiting for what may have taken their place."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import IO


def open_at_once(
    path: str | os.PathLike[str], flags: int = os.O_RDONLY, dir_fd: int | None = None
) -> int:
    """A descriptor; also an opener for open(). Opening a FIFO does not wait for its other end: look
    at what is open before reading it. A file that O_CREAT makes is private. OSError."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)


@contextlib.contextmanager
def open_regular(folder: int, name: str) -> Iterator[IO[bytes]]:
    """A regular file in an open directory, to read; no link is followed. OSError, EINVAL for
    anything that is not a regular file."""
    with open(open_at_once(name, os.O_RDONLY | os.O_NOFOLLOW, folder), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        yield file
