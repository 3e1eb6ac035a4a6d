"""The partitioned directory of Parquet files: where a file goes, and how it gets there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO

from ...errors import OutputError, UsageError
from ..files import save_at
from .schema import partition

Fill = Callable[[IO[bytes]], None]
"""Writes a whole Parquet file."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
FOLDER_BELOW = FOLDER | os.O_NOFOLLOW
_READABLE = 0o044


class Folder:
    """The root of the data, which is made if it is missing. Close it. UsageError, OutputError.

    Directories and files below it can be read by whom the root can be read by.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if "\0" in str(root):
            raise UsageError(f"invalid directory name {str(root)!r}")
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._root = os.open(root, FOLDER)
        except (FileExistsError, NotADirectoryError):
            raise OutputError(f"{root} is not a directory", "name one, or a new name") from None
        except OSError as error:
            raise OutputError(f"cannot write {root}: {error.strerror}") from None
        if not os.access(root, os.W_OK | os.X_OK, effective_ids=True):
            os.close(self._root)
            raise OutputError(f"cannot write {root}: Permission denied")
        self._readable = stat.S_IMODE(os.fstat(self._root).st_mode) & _READABLE

    def close(self) -> None:
        """Close the directory."""
        os.close(self._root)

    def write(
        self,
        hour: datetime,
        name: str,
        fill: Fill,
        unless: Callable[[int], bool] = lambda folder: False,
    ) -> Path:
        """Write a file of this hour, whole or not at all, and sync it to disk; one of this name is
        replaced. unless: asked about the open directory whether it is needed. OutputError, and what
        `fill` raises."""
        date_name, hour_name = partition(hour)
        path = self.root / date_name / hour_name / name

        def fill_descriptor(fd: int) -> None:
            with open(fd, "wb", closefd=False) as file:
                fill(file)
            os.fchmod(fd, 0o600 | self._readable)

        with self.hour(hour) as folder:
            if not unless(folder):
                save_at(folder, name, str(path), fill_descriptor, force=True)
        return path

    @contextlib.contextmanager
    def hour(self, hour: datetime) -> Iterator[int]:
        """The directory of an hour, which is made if it is missing. Nobody else replaces it while
        it is held. OutputError."""
        date_name, hour_name = partition(hour)
        with contextlib.ExitStack() as stack:
            try:
                date = self._below(self._root, date_name)
                stack.callback(os.close, date)
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(date, fcntl.LOCK_SH)
                folder = self._below(date, hour_name)
                stack.callback(os.close, folder)
            except OSError as error:
                where = self.root / date_name / hour_name
                raise OutputError(f"cannot write {where}: {error.strerror}") from None
            yield folder

    @contextlib.contextmanager
    def look(self, hour: datetime) -> Iterator[int | None]:
        """The directory of an hour to read in, held as by `hour`; None if it is missing.
        OutputError."""
        date_name, hour_name = partition(hour)
        with contextlib.ExitStack() as stack:
            folder = None
            try:
                date = os.open(date_name, FOLDER_BELOW, dir_fd=self._root)
                stack.callback(os.close, date)
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(date, fcntl.LOCK_SH)
                folder = os.open(hour_name, FOLDER_BELOW, dir_fd=date)
                stack.callback(os.close, folder)
            except FileNotFoundError:
                pass
            except OSError as error:
                where = self.root / date_name / hour_name
                raise OutputError(f"cannot read {where}: {error.strerror}") from None
            yield folder

    def _below(self, folder: int, name: str) -> int:
        try:
            os.mkdir(name, mode=0o700, dir_fd=folder)
        except FileExistsError:
            return os.open(name, FOLDER_BELOW, dir_fd=folder)
        made = os.open(name, FOLDER_BELOW, dir_fd=folder)
        # Those who may read files may also list and pass through their directory.
        os.fchmod(made, 0o700 | self._readable | self._readable >> 2)
        os.fsync(folder)
        return made


def names_in(folder: int) -> Mapping[str, os.stat_result]:
    """The regular files in an open directory. OSError."""
    found = {}
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                found[name] = status
    return found
