"""Readings of the running kernel, one after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from ..analysis.diff import Key, keys_of
from ..analysis.reading import Reading
from ..core.kernel import boot_id, profiling_switch
from ..core.table import Table
from ..host.service import boottime_ns
from ..model import Filter
from .snapshot import Snapshot
from .source import Live, Saved

_NANOSECONDS = 1_000_000_000


class Watcher:
    """Reads a running kernel, or a file, again and again. The names of the tags become objects only
    where they may have changed. snapshot: the last answer."""

    def __init__(self, source: Live | Saved) -> None:
        self.source = source
        self.snapshot: Snapshot | None = None
        self._boot = boot_id() or None
        self._host = os.uname().nodename
        self._keys: Sequence[Key] = ()
        self._names = b""
        self._asked: tuple[Filter, int | None] | None = None

    def read(self, filter: Filter) -> Reading:
        """The matching tags now. SourceError and its kinds."""
        now, moment = time.time(), boottime_ns() / _NANOSECONDS
        snapshot = self.source.read(filter)
        info, table = snapshot.info, snapshot.table
        keys = self._keys_of(table, filter, info.content_id)
        self.snapshot = snapshot
        switch = profiling_switch(info.path) if self.source.live else None
        return Reading(
            now,
            moment,
            self._boot,
            filter,
            keys,
            table.column("bytes"),
            table.column("calls"),
            table.column("inaccurate"),
            self._host,
            info.kernel or "",
            None if switch is None else switch != "0",
            info.consistent,
        )

    def _keys_of(self, table: Table, filter: Filter, content: int | None) -> Sequence[Key]:
        asked = filter, content
        same = content is not None and asked == self._asked and not filter.asks_counters
        if not same or len(table) != len(self._keys):
            names = table.raw_strings("subject")
            if names != self._names or len(table) != len(self._keys):
                # Most are the same as before: one object for each is less memory for its readers.
                known = dict(zip(self._keys, self._keys, strict=True))
                self._keys = [known.get(key, key) for key in keys_of(table)]
                self._names = names
            self._asked = asked
        return self._keys
