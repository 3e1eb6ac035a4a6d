"""A directory as the place to ship to."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime
from pathlib import Path

from ...errors import AllocqError
from ...host.opening import open_regular
from ..parquet.folder import Fill, Folder, names_in
from ..parquet.reading import Content, parts_of, samples_of
from ..parquet.schema import is_data, name_prefix


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

    def samples(self, hour: datetime, host: str) -> set[Content]:
        """The samples of a host and an hour that it has; damaged files have none. OutputError."""
        found: set[Content] = set()
        with self._folder.look(hour) as folder:
            for name in [] if folder is None else _names(folder, name_prefix(host, hour)):
                assert folder is not None
                with contextlib.suppress(AllocqError, OSError), open_regular(folder, name) as file:
                    found |= samples_of(file, name, host)
        return found

    def lacks(self, hour: datetime, host: str) -> bool:
        """Has it no file of a host and an hour? OutputError."""
        with self._folder.look(hour) as folder:
            return folder is None or not _names(folder, name_prefix(host, hour))


def _names(folder: int, prefix: str = "") -> list[str]:
    return [each for each in names_in(folder) if is_data(each) and each.startswith(prefix)]


def _has(folder: int, name: str) -> bool:
    found = _names(folder)
    if name in found:
        return True
    for each in found:
        with contextlib.suppress(AllocqError, OSError), open_regular(folder, each) as file:
            if name in parts_of(file, each)[1]:
                return True
    return False
