"""The databases of a recording: their names, their tables, their version."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FormatError

if TYPE_CHECKING:
    import sqlite3

APPLICATION = 0x616C7163  # "alqc"
VERSION = 1
NAME = re.compile(r"(\d{4}-\d{2}-\d{2})\.(\d{1,6})\.db", re.ASCII)
NANOSECONDS = 1_000_000_000

TABLES = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tags (id INTEGER PRIMARY KEY, subject BLOB NOT NULL UNIQUE);
CREATE TABLE layouts (id INTEGER PRIMARY KEY, tags BLOB NOT NULL UNIQUE);
CREATE TABLE samples (
    id INTEGER PRIMARY KEY,
    node INTEGER,
    time INTEGER NOT NULL,
    boottime INTEGER NOT NULL,
    boot TEXT NOT NULL,
    kernel TEXT NOT NULL,
    interface TEXT NOT NULL,
    content_id TEXT,
    consistent INTEGER,
    profiling INTEGER,
    layout INTEGER NOT NULL REFERENCES layouts,
    base INTEGER,
    counters BLOB NOT NULL,
    lowest BLOB,
    highest BLOB,
    seconds INTEGER NOT NULL DEFAULT 0,
    meminfo TEXT NOT NULL,
    keys TEXT,
    missed BLOB,
    stacks BLOB
);
CREATE INDEX samples_by_time ON samples (time);
"""


def default_folder() -> Path:
    """The default folder of recordings: of the system for root, otherwise of the user."""
    if os.geteuid() == 0:
        return Path("/var/lib/allocq")
    state = os.environ.get("XDG_STATE_HOME", "")
    home = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return home / "allocq"


def day_of(time_ns: int) -> date:
    """The day of a sample, in UTC."""
    return datetime.fromtimestamp(time_ns // NANOSECONDS, UTC).date()


def start_of(day: date) -> int:
    """When a day begins, in nanoseconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NANOSECONDS


def databases(folder: Path) -> list[Path]:
    """The databases of a recording, oldest first: regular files, not links to some. OSError."""
    found = [
        (*parts, folder / entry.name)
        for entry in os.scandir(folder)
        if entry.is_file(follow_symlinks=False) and (parts := parts_of(entry.name))
    ]
    return [path for _, _, path in sorted(found)]


def parts_of(name: str) -> tuple[date, int] | None:
    """The day and the number in the name of a database; None if it is none."""
    match = NAME.fullmatch(name)
    try:
        return (date.fromisoformat(match[1]), int(match[2])) if match else None
    except ValueError:
        return None


def day_in_name(path: Path) -> date:
    """The day whose samples a database holds."""
    return date.fromisoformat(path.name[:10])


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """FormatError if the database is not one of a recording, or of a newer format."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        raise FormatError(f"{path} is not a recording")
    if version > VERSION:
        raise FormatError(
            f"{path} is a recording of format {version}; this allocq reads up to {VERSION}",
            "use a newer allocq",
        )


def create(connection: sqlite3.Connection, facts: dict[str, str]) -> None:
    """Make the tables of a new database, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
