"""A directory as the place to ship to."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime
from pathlib import Path

from ...errors import AllocqError
from ..parquet.folder import Fill, Folder, names_in
from ..parquet.reading import parts_of
from ..parquet.schema import is_data


class Directory:
    """A partitioned directory; `name` tells it from others. Close it. OutputError."""

    def __init__(self, root: Path) -> None:
        self._folder = Folder(root)
        self.name = os.path.realpath(root)

    def close(self) -> None:
        """Close the directory."""
        self._folder.close()

    def put(self, hour: datetime, name: str, fill: Fill) -> None:
        """Write a file, whole or not at all, and sync it to disk. OutputError."""
        self._folder.write(hour, name, fill)

    def put_again(self, hour: datetime, name: str, fill: Fill) -> None:
        """The same unless it is there already, perhaps joined with others."""
        self._folder.write(hour, name, fill, unless=lambda folder: _has(folder, name))


def _has(folder: int, name: str) -> bool:
    found = names_in(folder)
    if name in found:
        return True
    for each in found:
        if is_data(each):
            with contextlib.suppress(AllocqError, OSError):
                fd = os.open(each, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                with open(fd, "rb") as file:
                    if name in parts_of(file, each)[1]:
                        return True
    return False
