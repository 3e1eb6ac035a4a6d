"""Appends samples to a recording. One writer at a time; readers are never in its way.

Every sample is committed and synced to disk before `append` returns. A database holds one day.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from ...errors import FormatError, OutputError, UsageError
from . import schema
from .rows import Rows
from .sample import Sample
from .sqlite import sqlite3

_LOCK = "lock"
_TRIES, _PAUSE = 5, 0.02
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PAGES = 2 << 20  # of cache, in bytes


class RecordingFullError(OutputError):
    """There is no room, or no permission, for another sample; what was appended before is safe."""


class Writer:
    """The writer of the recording in a directory, which is made if it is missing. Close it.

    UsageError if another one writes there, OutputError if the directory cannot be used.
    """

    def __init__(self, folder: Path, facts: Mapping[str, str]) -> None:
        self.folder = folder
        self._facts = dict(facts)
        self._lock = _locked(folder)
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._day: date | None = None
        self._rows: Rows | None = None
        self._renew = False

    def close(self) -> None:
        """Close the database; the next writer may begin."""
        self._disconnect()
        self._unlock()

    def renew(self) -> None:
        """Put the next sample into a new database."""
        self._renew = True

    @property
    def current(self) -> Path | None:
        """The database that takes the samples now."""
        return self._path if self._connection else None

    def append(self, sample: Sample) -> None:
        """Add a sample for good. RecordingFullError; the next call may succeed again."""
        try:
            self._append(sample)
        except OutputError as error:
            raise RecordingFullError(str(error)) from None
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            if not self.folder.exists():
                self._unlock()  # and make it again next time
            raise RecordingFullError(f"cannot write {self.folder}: {_words(error)}") from None

    def _append(self, sample: Sample) -> None:
        day = schema.day_of(sample.moment.time)
        if self._connection and self._identity != _identity(self._path):
            # Somebody moved or deleted the database, perhaps with the directory.
            self._disconnect()
            self._unlock()
        if self._lock < 0:
            self._lock = _locked(self.folder)
        if self._connection is None or day != self._day or self._renew:
            self._disconnect()
            self._connection = self._open(day, new=self._renew)
            self._day, self._renew = day, False
        connection = self._connection
        self._rows = self._rows or Rows(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._rows.insert(sample)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self._rows = None
            raise

    def _open(self, day: date, new: bool) -> sqlite3.Connection:
        """The last database of the day, or a new one: a sample is never added to a damaged one."""
        names = map(schema.parts_of, os.listdir(self.folder))
        last = max((parts[1] for parts in names if parts and parts[0] == day), default=-1)
        self._path = self.folder / f"{day}.{last}.db"
        if not new and self._path in schema.databases(self.folder):
            self._identity = _identity(self._path)
            with contextlib.suppress(sqlite3.DatabaseError, FormatError):
                return self._ready(connect(self._path))
        self._path = self.folder / f"{day}.{last + 1}.db"
        # SQLite makes its files as this one is: private.
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._identity = _identity(self._path)
        connection = connect(self._path)
        try:
            schema.create(connection, self._facts)
        except BaseException:
            connection.close()
            with contextlib.suppress(OSError):
                self._path.unlink()
            raise
        return connection

    def _ready(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        try:
            schema.check_version(connection, self._path)
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("damaged")
        except BaseException:
            connection.close()
            raise
        return connection

    def _unlock(self) -> None:
        if self._lock >= 0:
            lock, self._lock = self._lock, -1
            os.close(lock)

    def _disconnect(self) -> None:
        self._rows = None
        if self._connection:
            connection, self._connection = self._connection, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def is_recording(folder: Path) -> bool | None:
    """Does a recorder write there now? None if that cannot be found out. Nobody is disturbed: a
    recorder that begins at this very moment tries again."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is there; None if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connect(path: Path) -> sqlite3.Connection:
    """A database to write to. sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=5, cached_statements=16)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        f"cache_size = {-(_PAGES >> 10)}",
        "mmap_size = 0",
        "journal_size_limit = 1048576",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _locked(folder: Path) -> int:
    """The lock of the recording, held until it is closed."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = os.open(folder, _FOLDER)
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{folder} is not a directory", "name one, or a new name") from None
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}") from None
    try:
        status = os.fstat(place)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
            raise OutputError(
                f"{folder} can be changed by other users", "use a directory of your own, mode 0700"
            )
        lock = os.open(
            _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place
        )
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}") from None
    finally:
        os.close(place)
    for _ in range(_TRIES):  # somebody may only be asking whether it is held
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        time.sleep(_PAUSE)
    os.close(lock)
    raise UsageError(f"another allocq records to {folder}", "stop it, or use another directory")


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
