"""Two names in a directory change places at once."""

from __future__ import annotations

from .binding import check, encode, lib


def exchange(folder: int, one: str, other: str) -> None:
    """Let two files or directories of an open directory change their names. OSError: EINVAL where
    the file system cannot do that, ENOSYS where the kernel cannot."""
    check(lib.aq_exchange(folder, encode(one), encode(other)))
