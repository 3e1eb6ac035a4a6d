"""Puts samples into a database: the first of each boot and set of tags as a whole one, and every
WHOLE_EVERY-th, the others as what changed since the one before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .counters import Counters, pack_all, pack_changes, pack_positions
from .sample import Sample
from .sqlite import sqlite3

WHOLE_EVERY = 60
_INSERT = (
    "INSERT INTO samples (time, boottime, boot, kernel, interface, content_id, consistent,"
    " profiling, layout, base, counters, lowest, highest, seconds, meminfo, keys)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class _Last:
    """The sample that the next one is compared with. since_whole: rows since a whole one."""

    id: int
    boot: str
    layout: int
    counters: Counters
    meminfo: Mapping[str, int]
    since_whole: int


class Rows:
    """The rows of one database, from now on. Another one begins after a transaction that failed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._last: _Last | None = None
        self._subjects: Sequence[bytes] = ()
        self._layout = 0

    def insert(self, sample: Sample) -> None:
        """Add a sample to the transaction at hand. sqlite3.Error."""
        moment, now, last = sample.moment, sample.counters, self._last
        layout = self._layout_of(sample.subjects)
        if (
            last is None
            or last.boot != moment.boot
            or last.layout != layout
            or last.since_whole + 1 >= WHOLE_EVERY
        ):
            base, packed, meminfo, since_whole = None, pack_all(now), dict(sample.meminfo), 0
        else:
            base, packed = last.id, pack_changes(last.counters, now)
            meminfo = {k: v for k, v in sample.meminfo.items() if last.meminfo.get(k) != v}
            meminfo |= {k: -1 for k in last.meminfo if k not in sample.meminfo}
            since_whole = last.since_whole + 1
        cursor = self._connection.execute(
            _INSERT,
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
                None if sample.lowest is None else pack_changes(now, sample.lowest),
                None if sample.highest is None else pack_changes(now, sample.highest),
                sample.seconds,
                _compact(meminfo),
                _compact(dict(sample.keys)) if sample.keys else None,
            ),
        )
        id = int(cursor.lastrowid or 0)
        self._last = _Last(id, moment.boot, layout, now, sample.meminfo, since_whole)

    def _layout_of(self, subjects: Sequence[bytes]) -> int:
        known = subjects is self._subjects or list(subjects) == list(self._subjects)
        if not (known and self._layout):
            self._layout = _layout_of(self._connection, subjects)
            self._subjects = subjects
        return self._layout


def _layout_of(connection: sqlite3.Connection, subjects: Sequence[bytes]) -> int:
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


def _compact(value: object) -> str:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":"))
