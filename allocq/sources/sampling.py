"""Takes samples of the running kernel for a recording."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Sequence
from itertools import compress

from ..core.kernel import boot_id, profiling_switch
from ..core.table import Table
from ..host.machine import count_cpus, possible_cpus, read_meminfo
from ..host.service import boottime_ns
from ..model import Filter
from ..storage.recording.counters import Counters
from ..storage.recording.sample import Moment, Sample
from .source import Live

# What stands behind a function: `accurate:no`, and what later kernels may add.
_KEYS = re.compile(
    rb" func:[^ \n]+(?: accurate:no)? (?!accurate:no)([a-z_]+:[^ \n]+(?: [a-z_]+:[^ \n]+)*) ?$"
)
_COUNTERS = ("bytes", "calls", "inaccurate")


class Sampler:
    """Takes samples of one source, one after the other.

    The names of the tags are made again only where they may differ: that costs more than counters.
    """

    def __init__(self, source: Live, filter: Filter) -> None:
        self._source = source
        self._filter = filter
        self._by_counters = any(
            bound is not None
            for bound in (filter.min_size, filter.max_size, filter.min_calls, filter.max_calls)
        ) or bool(filter.underflowed or filter.accurate is not None)
        self._boot = boot_id()
        self._content: int | None = None
        self._subjects: Sequence[bytes] = ()

    def take(self, time_ns: int) -> Sample:
        """The matching tags now. SourceError and its kinds."""
        boottime = boottime_ns()
        snapshot = self._source.read(self._filter)
        info, table = snapshot.info, snapshot.table
        switch = profiling_switch(info.path)
        subjects = self._subjects_of(table, info.content_id)
        return Sample(
            Moment(
                time_ns,
                boottime,
                self._boot,
                info.kernel or "",
                info.interface,
                info.content_id,
                info.consistent,
                None if switch is None else switch != "0",
            ),
            subjects,
            Counters(*(array("q", table.raw_column(name)) for name in _COUNTERS)),
            read_meminfo(),
            _keys(table) if info.interface == "text" else {},
        )

    def _subjects_of(self, table: Table, content: int | None) -> Sequence[bytes]:
        same = content is not None and content == self._content and not self._by_counters
        if not same or len(table) != len(self._subjects):
            names = table.strings("subject")
            subjects = [name.encode("utf-8", "surrogateescape") for name in names]
            if subjects != self._subjects:
                self._subjects = subjects
            self._content = content
        return self._subjects


def facts(filter: Filter, host: str) -> dict[str, str]:
    """What is the same for all samples of a database."""
    cpus = count_cpus(possible_cpus())
    found = {"host": host, "possible-cpus": "" if cpus is None else str(cpus)}
    if filter.items():
        found["filter"] = json.dumps(filter.as_options(), separators=(",", ":"))
    return {key: value for key, value in found.items() if value}


def _keys(table: Table) -> dict[int, str]:
    """What the lines say beyond what is known, by row; mostly nothing."""
    rows = list(compress(range(len(table)), table.column("extra")))
    if not rows:
        return {}
    found = {}
    lines = b"".join(table.render("procfs", rows)).splitlines()
    for row, line in zip(rows, lines, strict=True):
        if match := _KEYS.search(line):
            found[row] = match[1].decode("utf-8", "surrogateescape")
    return found
