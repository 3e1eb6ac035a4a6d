"""Appends samples to a recording. One writer at a time; readers are never in its way.

Every sample is committed and synced to disk before `append` returns. A database holds one day; the
first sample in it, and of every boot and set of tags, is whole, and so is every WHOLE_EVERY-th; the
others hold what changed since the one before.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ...errors import FormatError, OutputError, UsageError
from . import schema
from .counters import Counters, pack_all, pack_changes, pack_positions
from .sample import Sample
from .sqlite import sqlite3

WHOLE_EVERY = 60
_LOCK = "lock"
_TRIES, _PAUSE = 5, 0.02
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PAGES = 2 << 20  # of cache, in bytes


class RecordingFullError(OutputError):
    """There is no room, or no permission, for another sample; what was appended before is safe."""


@dataclass
class _Last:
    """The sample that the next one is compared with."""

    id: int
    boot: str
    layout: int
    counters: Counters
    meminfo: Mapping[str, int]
    since_whole: int


class Writer:
    """The writer of the recording in a directory, which is made if it is missing. Close it.

    UsageError if another one writes there, OutputError if the directory cannot be used.
    """

    def __init__(self, folder: Path, facts: Mapping[str, str]) -> None:
        self.folder = folder
        self._facts = dict(facts)
        self._lock = _locked(folder)
        self._connection: sqlite3.Connection | None = None
        self._day: date | None = None
        self._last: _Last | None = None
        self._subjects: Sequence[bytes] = ()
        self._layout = 0
        self._renew = False

    def close(self) -> None:
        """Close the database; the next writer may begin."""
        self._disconnect()
        os.close(self._lock)

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
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            raise RecordingFullError(f"cannot write {self.folder}: {_words(error)}") from None

    def _append(self, sample: Sample) -> None:
        day = schema.day_of(sample.moment.time)
        if self._connection is None or day != self._day or self._renew:
            self._disconnect()
            self._connection = self._open(day, new=self._renew)
            self._day, self._renew = day, False
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            last = self._insert(connection, sample)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self._last, self._subjects = None, ()
            raise
        self._last = last

    def _insert(self, connection: sqlite3.Connection, sample: Sample) -> _Last:
        moment, last = sample.moment, self._last
        layout = self._layout_of(connection, sample.subjects)
        whole = (
            last is None
            or last.boot != moment.boot
            or last.layout != layout
            or last.since_whole + 1 >= WHOLE_EVERY
        )
        meminfo = dict(sample.meminfo)
        if last is None or whole:
            base, packed = None, pack_all(sample.counters)
        else:
            base, packed = last.id, pack_changes(last.counters, sample.counters)
            meminfo = {k: v for k, v in meminfo.items() if last.meminfo.get(k) != v}
            meminfo |= {k: -1 for k in last.meminfo if k not in sample.meminfo}
        cursor = connection.execute(
            "INSERT INTO samples (time, boottime, boot, kernel, interface, content_id, consistent,"
            " profiling, layout, base, counters, meminfo, keys)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                moment.time,
                moment.boottime,
                moment.boot,
                moment.kernel,
                moment.interface,
                None if moment.content_id is None else str(moment.content_id),
                moment.consistent,
                moment.profiling,
                layout,
                base,
                packed,
                compact(meminfo),
                compact(dict(sample.keys)) if sample.keys else None,
            ),
        )
        return _Last(
            int(cursor.lastrowid or 0),
            moment.boot,
            layout,
            sample.counters,
            sample.meminfo,
            0 if whole or last is None else last.since_whole + 1,
        )

    def _layout_of(self, connection: sqlite3.Connection, subjects: Sequence[bytes]) -> int:
        known = subjects is self._subjects or list(subjects) == list(self._subjects)
        if not (known and self._layout):
            self._layout = layout_of(connection, subjects)
            self._subjects = subjects
        return self._layout

    def _open(self, day: date, new: bool) -> sqlite3.Connection:
        """The last database of the day, or a new one: a sample is never added to a damaged one."""
        numbers = [
            int(path.name.split(".")[1])
            for path in schema.databases(self.folder)
            if path.name.startswith(f"{day}.")
        ]
        if numbers and not new:
            self._path = self.folder / f"{day}.{numbers[-1]}.db"
            with contextlib.suppress(sqlite3.DatabaseError, FormatError):
                return self._ready(connect(self._path))
        self._path = self.folder / f"{day}.{numbers[-1] + 1 if numbers else 0}.db"
        # SQLite makes its files as this one is: private.
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
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

    def _disconnect(self) -> None:
        self._last, self._subjects, self._layout = None, (), 0
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


def layout_of(connection: sqlite3.Connection, subjects: Sequence[bytes]) -> int:
    """The id of this list of tags, which is added if it is new."""
    ids = dict(connection.execute("SELECT subject, id FROM tags"))
    missing = list(dict.fromkeys(subject for subject in subjects if subject not in ids))
    connection.executemany("INSERT INTO tags (subject) VALUES (?)", ((s,) for s in missing))
    if missing:
        ids = dict(connection.execute("SELECT subject, id FROM tags"))
    packed = pack_positions([ids[subject] for subject in subjects])
    found = connection.execute("SELECT id FROM layouts WHERE tags = ?", (packed,)).fetchone()
    if found:
        return int(found[0])
    added = connection.execute("INSERT INTO layouts (tags) VALUES (?)", (packed,)).lastrowid
    return int(added or 0)


def compact(value: object) -> str:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":"))


def _locked(folder: Path) -> int:
    """The lock of the recording, held until it is closed."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = os.open(folder, _FOLDER)
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
