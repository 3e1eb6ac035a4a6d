"""What of a fleet's data a question reads: the window of time, the files, the samples."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import SourceError
from ...fleet import queries
from ...fleet.engine import Engine
from ...fleet.files import HOUR, MICROSECONDS, DataFile, Skip, Skipped, find_files
from ...fleet.footers import Footer, newest_time, read_footers, rows_at, without_parts
from ...fleet.samples import Pick, Span, superfluous
from ...storage.parquet.schema import host_of, safe_host
from ...units import format_time
from .request import FleetRequest

DAY = 24 * HOUR
TOLERANCE = 300 * MICROSECONDS
"""A clock that is no further ahead is not worth a word."""


@dataclass
class Data:
    """The samples in the window. since, until: microseconds since 1970. spans: what there is of
    each host; ahead: the latest sample of each host that is in the future, which is left out of
    spans. left_over: files that a compaction did not get to remove. named: the hosts that the names
    of all files begin with. doubled: samples that one file has several times. other_hosts,
    other_kernels: what there is in the window that is not asked for, the kernels of hosts that are.
    """

    footers: list[Footer]
    since: int | None
    until: int
    spans: list[Span] = field(default_factory=list)
    ahead: dict[str, int] = field(default_factory=dict)
    future: list[Span] = field(default_factory=list)
    left_over: int = 0
    newest: int | None = None
    named: frozenset[str] = frozenset()
    until_given: bool = False
    copies: int = 0
    repeated: int = 0
    doubled: int = 0
    other_hosts: set[str] = field(default_factory=set)
    other_kernels: set[str] = field(default_factory=set)

    @property
    def window(self) -> str:
        """The window in words."""
        if self.since is not None and self.newest is None and not self.until_given:
            return f"since {format_time(self.since / MICROSECONDS)[:19]}Z"
        end = format_time(self.until / MICROSECONDS)[:19] + "Z"
        if self.since is None:
            return f"up to {end}"
        return f"from {format_time(self.since / MICROSECONDS)[:19]}Z to {end}"

    @property
    def misplaced(self) -> list[str]:
        """The names of files in the directory of an hour that has not all of their samples."""
        return [footer.file.name for footer in self.footers if footer.is_misplaced]

    @property
    def end(self) -> int | None:
        """The time that was asked for as the end, or that of the newest sample."""
        if self.until_given:
            return self.until
        return max((span.last for span in self.spans), default=self.newest)

    @property
    def silent(self) -> list[str]:
        """The hosts that have files, but no sample in the window."""
        seen = {safe_host(span.host) for span in self.spans} | set(map(safe_host, self.ahead))
        return sorted(self.named - seen)

    def files(self, picks: Sequence[Pick], engine: Engine) -> list[DataFile]:
        """The files that may hold these samples, without those of which all that is asked is in
        another file, too: `copies` says how many they are."""
        times: dict[tuple[str, str], list[Pick]] = defaultdict(list)
        for pick in picks:
            times[pick.host, pick.boot].append(pick)
        holders: dict[Pick, list[DataFile]] = defaultdict(list)
        files = []
        for footer in self.footers:
            whose = (footer.host, footer.boot)
            some = (
                times.get((whose[0], whose[1]), [])
                if whose[0] is not None and whose[1] is not None
                else picks
            )
            inside = [pick for pick in some if _holds(footer, pick.time)]
            if inside:
                files.append(footer.file)
            for pick in inside:
                if footer.host in (None, pick.host):
                    holders[pick].append(footer.file)
        dropped, self.repeated = _copies(engine, holders)
        self.copies = len(dropped)
        return [file for file in files if file.path not in dropped]


def _copies(engine: Engine, holders: Mapping[Pick, Sequence[DataFile]]) -> tuple[set[str], int]:
    """Files without which every sample is there once, and how many are there more than once all the
    same. holders: the files among whose times the time of a sample is."""
    doubtful = {pick: files for pick, files in holders.items() if len(files) > 1}
    if not doubtful:
        return set(), 0
    by_key = {(pick.host, pick.boot, pick.time): pick for pick in doubtful}
    files = {file.path: file for some in doubtful.values() for file in some}
    found = rows_at(engine.footers, list(files.values()), (pick.time for pick in doubtful))
    rows = {
        (path, by_key[host, boot, time]): count
        for path, host, boot, time, count in found
        if (host, boot, time) in by_key
    }
    held: dict[str, set[Pick]] = defaultdict(set)
    for path, pick in rows:
        held[path].add(pick)
    for pick, (file, *others) in holders.items():
        if not others and file.path in held:
            held[file.path].add(pick)
    return superfluous(held, rows)


def _holds(footer: Footer, time: int) -> bool:
    return (footer.first is None or footer.first <= time) and (
        footer.last is None or time <= footer.last
    )


def read_data(
    request: FleetRequest, engine: Engine, skipped: Skipped, damaged: Iterable[str]
) -> Data:
    """Find the samples that the question is about. damaged: paths to leave out. SourceError where
    there is no data at all."""
    bad = set(damaged)
    files = []
    for file in find_files(request.path, skipped):
        if file.path in bad:
            skipped.add(Skip.DAMAGED, file.name)
        else:
            files.append(file)
    limit = request.now + TOLERANCE
    until = limit if request.until is None else min(request.until, limit)
    footers = _Footers(engine, files, skipped)
    since, newest = request.since, None
    if since is None and request.rollout is None:
        newest = footers.newest(until)
        since = None if newest is None else newest - DAY
        until = until if newest is None or request.until is not None else newest
    kept, left_over = without_parts(footers.between(since, until, limit))
    if not kept and not footers.any:
        raise SourceError(
            f"{request.path} holds no Parquet files of allocq"
            + (" that can be read" if skipped.names else ""),
            "allocq record --parquet and allocq ship write them",
        )
    data = Data(
        kept,
        since,
        until,
        left_over=left_over,
        newest=newest,
        named=_named(request, files),
        until_given=request.until is not None,
    )
    _find_spans(request, engine, data, limit)
    return data


def _named(request: FleetRequest, files: Iterable[DataFile]) -> frozenset[str]:
    """The hosts that the names of the files begin with, and that are asked for; none where only
    some kernels are asked for: names do not tell those."""
    if request.kernels:
        return frozenset()
    names = {host_of(os.path.basename(file.path)) for file in files}
    return frozenset(name for name in names if name and request.wants(name.partition("~")[0], ""))


class _Footers:
    """Reads footers, each once: of the hours that are asked for, and of files in none."""

    def __init__(self, engine: Engine, files: Sequence[DataFile], skipped: Skipped) -> None:
        self._engine, self._skipped = engine, skipped
        self._files: dict[int | None, list[DataFile]] = defaultdict(list)
        for file in files:
            self._files[file.sure_hour].append(file)
        self._read: dict[int | None, list[Footer]] = {}

    @property
    def any(self) -> bool:
        """Is there any file that can be read?"""
        return any(self._of([hour]) for hour in sorted(self._files, key=lambda hour: -(hour or 0)))

    def newest(self, until: int) -> int | None:
        """The time of the newest sample that is not later than `until`, as far as the footers tell;
        None if there is none."""
        hours = sorted((hour for hour in self._files if hour is not None), reverse=True)
        best = self._newest([None], until)
        for hour in hours:
            if hour > until:
                continue
            if best is not None and hour + HOUR < best:
                break
            found = self._newest([hour], until)
            if found is not None and (best is None or found > best):
                best = found
        return best

    def _newest(self, hours: Sequence[int | None], until: int) -> int | None:
        times = []
        for footer in self._of(hours):
            if footer.last is None or footer.first is None or footer.first > until:
                continue
            if footer.last <= until:
                times.append(footer.last)
            elif (time := newest_time(self._engine.footers, footer.file, until)) is not None:
                times.append(time)
        return max(times, default=None)

    def between(self, since: int | None, until: int, limit: int) -> list[Footer]:
        """The footers of files that may hold samples from `since` to `until`, or later ones than
        `limit`, which are in the future."""
        hours = [
            hour
            for hour in self._files
            if hour is None
            or hour in self._read  # samples of another hour may be there
            or ((since is None or hour + HOUR > since) and hour <= until)
            or hour + HOUR > limit
        ]
        return [
            footer
            for footer in self._of(hours)
            if footer.meets(since, until) or footer.last is None or footer.last > limit
        ]

    def _of(self, hours: Sequence[int | None]) -> list[Footer]:
        new = [hour for hour in hours if hour not in self._read]
        found = read_footers(
            self._engine.footers,
            [file for hour in new for file in self._files[hour]],
            self._skipped,
        )
        for hour in new:
            self._read[hour] = []
        for footer in found:
            self._read[footer.file.sure_hour].append(footer)
        return [footer for hour in hours for footer in self._read[hour]]


def _find_spans(request: FleetRequest, engine: Engine, data: Data, limit: int) -> None:
    """Tell from the footers, where they say it, and otherwise from the rows, which host has which
    samples."""
    unknown = []
    for footer in data.footers:
        if not footer.is_known:
            unknown.append(footer.file)
            continue
        span = _span(footer)
        if not _wanted(request, data, span.host, span.kernel):
            continue
        if span.last > limit:
            data.ahead[span.host] = max(span.last, data.ahead.get(span.host, 0))
            data.future.append(span)
        if footer.within(data.since, data.until):
            data.spans.append(span)
        elif footer.meets(data.since, data.until):
            unknown.append(footer.file)
    if not unknown:
        return
    rows = engine.data(unknown)
    inside = queries.spans(queries.between(rows, data.since, data.until))
    for row in engine.rows(inside):
        if _wanted(request, data, row["host"], row["kernel"]):
            data.spans.append(span_of(row))
    if any(f.last is None or f.last > limit for f in data.footers if not f.is_known):
        for row in engine.rows(queries.spans(queries.between(rows, limit + 1, None))):
            if request.wants(row["host"], row["kernel"]):
                span = span_of(row)
                data.ahead[span.host] = max(span.last, data.ahead.get(span.host, 0))
                data.future.append(span)


def _wanted(request: FleetRequest, data: Data, host: str, kernel: str) -> bool:
    """Is a sample asked for? Otherwise there is another host or kernel to name."""
    if not request.wants_host(host):
        data.other_hosts.add(host)
    elif not request.wants_kernel(kernel):
        data.other_kernels.add(kernel)
    else:
        return True
    return False


def _span(footer: Footer) -> Span:
    assert footer.host is not None and footer.boot is not None and footer.kernel is not None
    assert footer.first is not None and footer.last is not None
    return Span(footer.host, footer.boot, footer.kernel, footer.first, footer.last)


def span_of(row: dict[str, Any]) -> Span:
    """A row of queries.spans."""
    return Span(row["host"], row["boot_id"], row["kernel"], row["first"], row["last"])
