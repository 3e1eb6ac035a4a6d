"""What of a recording was shipped where, kept beside it so that a kill makes it say nothing false.

A file is noted, with the samples that it will have, before it is written, and noted as done after
that. What is noted and not done is finished first: the same samples get a file of the same name, so
that it does not matter whether it was written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import AccessError, FormatError, OutputError, SourceError, UsageError
from ...host.opening import open_at_once
from ..parquet.schema import is_data
from ..recording.sqlite import sqlite3

NAME = "shipped.db"
LOCK = "shipping"
VERSION = 1
_APPLICATION = 0x616C7173  # "alqs"
_HOURS = (-80 * 8766, 8000 * 8766)
"""An hour since 1970 is between these, which are days that a date can have."""
_DAMAGED = ("malformed", "not a database", "no such table", "no such column", "constraint failed")
_PATIENCE, _PAUSE = 10.0, 0.05
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATED = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
_TABLES = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    name TEXT NOT NULL,
    hour INTEGER NOT NULL,
    host TEXT NOT NULL,
    boot TEXT NOT NULL,
    kernel TEXT NOT NULL,
    samples BLOB NOT NULL,
    done INTEGER NOT NULL,
    UNIQUE (destination, name)
);
"""

Moment = tuple[int, int]
"""Of a sample: nanoseconds since the boot, and since 1970."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its name, hour (since 1970), what all of its samples have in common, and which they
    are. id: in the ledger, 0 for one that is not there yet."""

    name: str
    hour: int
    host: str
    boot: str
    kernel: str
    samples: Sequence[Moment]
    id: int = 0


class Ledger:
    """The ledger of a recording, locked against another process. Close it.

    UsageError if another one ships, OutputError if it cannot be written, FormatError if it is of a
    newer version.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._lock = _locked(folder)
        try:
            self._connection = self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let the next one ship."""
        self._connection.close()
        os.close(self._lock)

    def fact(self, key: str, otherwise: str) -> str:
        """What was noted under a key; what is noted now, if nothing was."""
        with self._writing():
            self._connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (key, otherwise))
        rows = self._read("SELECT value FROM facts WHERE key = ?", (key,))
        if len(rows) != 1 or not isinstance(rows[0][0], str):
            raise self._damaged(f"no text for {key}")
        return rows[0][0]

    def entries(self, destination: str, done: bool) -> Iterator[Entry]:
        """The files of a destination that are done, or those that are not."""
        rows = self._read(
            "SELECT name, hour, host, boot, kernel, samples, id FROM files"
            " WHERE destination = ? AND done = ? ORDER BY id",
            (destination, done),
        )
        for row in rows:
            yield self._entry(*row)

    def begin(self, destination: str, entry: Entry, done: bool = False) -> int:
        """Note a file that will be written, or samples that are there already; returns its id."""
        with self._writing():
            cursor = self._connection.execute(
                "INSERT INTO files (destination, name, hour, host, boot, kernel, samples, done)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    destination,
                    entry.name,
                    entry.hour,
                    entry.host,
                    entry.boot,
                    entry.kernel,
                    _packed(entry.samples),
                    done,
                ),
            )
        return int(cursor.lastrowid or 0)

    def finish(self, id: int) -> None:
        """Note that a file is there for good."""
        with self._writing():
            self._connection.execute("UPDATE files SET done = 1 WHERE id = ?", (id,))

    def forget(self, hours: Iterable[int]) -> None:
        """Drop the files of some hours, whose samples the recording no longer has."""
        with self._writing():
            self._connection.executemany(
                "DELETE FROM files WHERE done = 1 AND hour = ?", ((hour,) for hour in hours)
            )

    def hours(self) -> list[int]:
        """The hours of all files."""
        rows = self._read("SELECT DISTINCT hour FROM files WHERE done = 1")
        return [self._hour(hour) for (hour,) in rows]

    def _read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _entry(
        self, name: Any, hour: Any, host: Any, boot: Any, kernel: Any, packed: Any, id: int
    ) -> Entry:
        texts = (name, host, boot, kernel)
        if not all(isinstance(text, str) for text in texts):
            raise self._damaged("what should be text is none")
        if not is_data(name) or "/" in name or "\0" in name:
            raise self._damaged("invalid file name")
        try:
            samples = _unpacked(packed)
        except (zlib.error, ValueError, TypeError):
            raise self._damaged("invalid samples") from None
        return Entry(name, self._hour(hour), host, boot, kernel, samples, id)

    def _hour(self, hour: object) -> int:
        if not isinstance(hour, int) or not _HOURS[0] <= hour < _HOURS[1]:
            raise self._damaged("invalid hour")
        return hour

    def _open(self) -> sqlite3.Connection:
        try:
            # SQLite makes its files as this one is: private; and follows no link.
            fd = open_at_once(self.path, _CREATED)
            is_file = stat.S_ISREG(os.fstat(fd).st_mode)
            os.close(fd)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from None
        if not is_file:
            raise OutputError(f"{self.path} is not a regular file")
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=5)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and application != _APPLICATION:
                raise FormatError(f"{self.path} is not a ledger of what was shipped")
            if version > VERSION:
                raise FormatError(
                    f"{self.path} is of format {version}; this allocq reads up to {VERSION}",
                    "use a newer allocq",
                )
            if not tables:
                self._create(connection)
        except sqlite3.Error as error:
            connection.close()
            raise self._failed(error) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _failed(self, error: sqlite3.Error) -> OutputError:
        words = str(error)
        if any(each in words for each in _DAMAGED):
            return self._damaged(words)
        return OutputError(f"cannot write {self.path}: {error}")

    def _damaged(self, words: str) -> OutputError:
        return OutputError(
            f"{self.path} is damaged: {words}",
            "remove it: what was shipped already is found where it is, and not shipped again",
        )


def _locked(folder: Path) -> int:
    try:
        place = os.open(folder, _FOLDER)
    except PermissionError as error:
        raise AccessError(f"cannot read {folder}: {error.strerror}") from None
    except OSError as error:
        raise SourceError(f"cannot read {folder}: {error.strerror}") from None
    try:
        status = os.fstat(place)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
            raise OutputError(
                f"{folder} can be changed by other users",
                "what was shipped is noted in it: ship as the user who records",
            )
        lock = open_at_once(LOCK, _CREATED, place)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror}", "what was shipped is noted in it"
        ) from None
    finally:
        os.close(place)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() < deadline:
                time.sleep(_PAUSE)
                continue
            os.close(lock)
            raise UsageError(
                f"another allocq ships from {folder}", "wait until it has ended"
            ) from None
        return lock


def _packed(samples: Sequence[Moment]) -> bytes:
    numbers = array("q", [number for moment in samples for number in moment])
    return zlib.compress(b"".join(n.to_bytes(8, "little", signed=True) for n in numbers))


def _unpacked(packed: bytes) -> list[Moment]:
    """ValueError, TypeError, zlib.error if it is damaged."""
    raw = zlib.decompress(packed)
    if len(raw) % 16:
        raise ValueError("half a sample")
    numbers = [
        int.from_bytes(raw[at : at + 8], "little", signed=True) for at in range(0, len(raw), 8)
    ]
    return list(zip(numbers[::2], numbers[1::2], strict=True))
