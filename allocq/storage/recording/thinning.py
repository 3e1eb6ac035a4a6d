"""Makes the old days of a recording smaller, and removes the oldest.

A thinned sample stands for all that were taken in its interval: it has the last counters and, of
each tag, the lowest and the highest. Samples of different boots or sets of tags are never joined.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import schema
from .counters import Counters
from .reader import Recording, read_only
from .rows import Rows
from .sample import Sample
from .sqlite import sqlite3
from .writer import connect

_SUFFIXES = ("", "-wal", "-shm")
_PASSING = ".thinned.db"


@dataclass(frozen=True)
class Rule:
    """Samples older than `age` seconds are thinned to one every `interval` seconds."""

    age: int
    interval: int


def size_of(path: Path) -> int:
    """Bytes on disk of a database with its log."""
    total = 0
    for suffix in _SUFFIXES:
        with contextlib.suppress(OSError):
            total += os.stat(f"{path}{suffix}").st_size
    return total


def remove_old(folder: Path, now: int, keep: int, most: int, current: Path | None) -> list[Path]:
    """Remove the databases of days that ended over `keep` seconds before `now` (nanoseconds), then
    the oldest while all take more than `most` bytes; days to come, which a wrong clock left behind,
    are the last of these. Today's and `current` stay. Returns what was removed."""
    today = schema.day_of(now)
    old = [
        path
        for path in schema.databases(folder)
        if path != current and schema.day_in_name(path) != today
    ]
    total = sum(map(size_of, schema.databases(folder)))
    removed = []
    for path in old:
        end = schema.start_of(schema.day_in_name(path)) + 86_400 * schema.NANOSECONDS
        if end >= now - keep * schema.NANOSECONDS and total <= most:
            continue
        total -= size_of(path)
        remove(path)
        removed.append(path)
    return removed


def thin_old(folder: Path, now: int, rules: Sequence[Rule], current: Path | None) -> Iterator[None]:
    """Thin the databases of days that ended long enough ago, in small steps; today's and `current`
    stay as they are. OSError, sqlite3.Error."""
    today = schema.day_of(now)
    for passing in folder.glob(f"*{_PASSING}"):  # of a recorder that was killed
        remove(passing)
    for path in schema.databases(folder):
        day = schema.day_in_name(path)
        if path == current or day >= today:
            continue
        end = schema.start_of(day) + 86_400 * schema.NANOSECONDS
        intervals = [r.interval for r in rules if end <= now - r.age * schema.NANOSECONDS]
        interval = max(intervals, default=0)
        if interval > _interval_of(path):
            yield from thin(path, interval)


def _interval_of(path: Path) -> int:
    """What a database was thinned to; 0 if it was not. A large number for one to leave alone."""
    try:
        with contextlib.closing(read_only(path)) as connection:
            row = connection.execute("SELECT value FROM facts WHERE key = 'interval'").fetchone()
            return int(row[0]) if row else 0
    except Exception:
        return 1 << 62


def thin(path: Path, interval: int) -> Iterator[None]:
    """Put a database with a sample every `interval` seconds in the place of this one, in steps of
    one sample. Nothing is done if some of it cannot be read. OSError, sqlite3.Error."""
    recording = Recording.of(path)
    passing = path.with_name(path.name + _PASSING)
    remove(passing)
    os.close(os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = connect(passing)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
        schema.create(connection, {**recording.facts(path), "interval": str(interval)})
        connection.execute("BEGIN IMMEDIATE")
        yield from _copy(connection, recording, interval)
        connection.execute("COMMIT")
        connection.close()
        if not recording.warnings:
            _put_in_place(passing, path)
    finally:
        connection.close()
        remove(passing)


def remove(path: Path) -> None:
    """Remove a database with its log. OSError."""
    for suffix in reversed(_SUFFIXES):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")


def _put_in_place(passing: Path, path: Path) -> None:
    # The log of the old database, found beside the new one, would be applied to it.
    with contextlib.closing(connect(path)) as old:
        busy = old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy or old.execute("PRAGMA journal_mode = DELETE").fetchone() != ("delete",):
            raise sqlite3.OperationalError(f"{path} is being read")
    os.replace(passing, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _copy(connection: sqlite3.Connection, recording: Recording, interval: int) -> Iterator[None]:
    rows = Rows(connection)
    for sample in joined(recording.samples(), interval):
        if sample is None:
            yield
            continue
        lowest, highest = sample.lowest or sample.counters, sample.highest or sample.counters
        rows.insert(replace(sample, seconds=interval, lowest=lowest, highest=highest))


def joined(samples: Iterable[Sample], interval: int) -> Iterator[Sample | None]:
    """One sample for all of an interval (seconds), which has their last counters, and the lowest
    and the highest of each tag; None after each sample that was joined to it."""
    held: Sample | None = None
    for sample in samples:
        if held is not None and _same(held, sample, interval):
            held = _join(held, sample)
            yield None
            continue
        if held is not None:
            yield held
        held = sample
    if held is not None:
        yield held


def _same(held: Sample, sample: Sample, interval: int) -> bool:
    span = interval * schema.NANOSECONDS
    return (
        held.moment.time // span == sample.moment.time // span
        and held.moment.boot == sample.moment.boot
        and (held.subjects is sample.subjects or list(held.subjects) == list(sample.subjects))
    )


def _join(held: Sample, sample: Sample) -> Sample:
    lowest = _extreme(min, held.lowest or held.counters, sample.lowest or sample.counters)
    highest = _extreme(max, held.highest or held.counters, sample.highest or sample.counters)
    return replace(sample, subjects=held.subjects, lowest=lowest, highest=highest)


def _extreme(pick: Callable[[int, int], int], one: Counters, two: Counters) -> Counters:
    return Counters.of(
        map(pick, one.bytes, two.bytes), map(pick, one.calls, two.calls), two.inaccurate
    )
