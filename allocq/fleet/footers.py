"""Reads the footers of data files: their schema, and whose samples of which time they hold."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..storage.parquet.schema import COLUMNS, PARTS_KEY, VERSION, VERSION_KEY, Kind
from .files import HOUR, DataFile, Skip, Skipped, begun_well, escaped
from .losses import watched

# What a footer says of each kind of column: its physical type, and what that stands for.
_TYPES = {
    Kind.STRING: ("BYTE_ARRAY", "string"),
    Kind.TIME: ("INT64", "time"),
    Kind.INTEGER: ("INT64", ""),
    Kind.FLAG: ("BOOLEAN", ""),
}
_COLUMNS = [(column.name, _TYPES[column.kind]) for column in COLUMNS]
_NULLABLE = [column.name for column in COLUMNS if column.nullable]
_LONGEST = 60
"""Of longer strings, writers keep only the beginning in their statistics."""
_AT_ONCE = 2000
_FACTS = ("host", "boot_id", "kernel")
_ENDLESS = (1 << 63) - 1
"""What stands for a time that DuckDB takes for infinite, in microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Footer:
    """What a footer says. host, boot, kernel: what all rows have, None if they differ or that is
    unknown. first, last: microseconds since 1970, None if unknown. parts: names of the files that
    it was made from."""

    file: DataFile
    rows: int
    host: str | None
    boot: str | None
    kernel: str | None
    first: int | None
    last: int | None
    parts: frozenset[str] = frozenset()

    @property
    def is_known(self) -> bool:
        """Is it known whose samples the file holds?"""
        return None not in (self.host, self.boot, self.kernel, self.first, self.last)

    @property
    def is_misplaced(self) -> bool:
        """Has the directory of an hour a file that holds, or seems to hold, another one?"""
        hour = self.file.hour
        return hour is not None and (
            self.file.misplaced
            or (self.first is not None and self.first < hour)
            or (self.last is not None and self.last >= hour + HOUR)
        )

    def meets(self, since: int | None, until: int | None) -> bool:
        """May it hold samples between these two times, both included?"""
        return (until is None or self.first is None or self.first <= until) and (
            since is None or self.last is None or self.last >= since
        )

    def within(self, since: int | None, until: int | None) -> bool:
        """Is all of it between these two times?"""
        return (since is None or (self.first is not None and self.first >= since)) and (
            until is None or (self.last is not None and self.last <= until)
        )


def read_footers(connection: Any, files: Iterable[DataFile], skipped: Skipped) -> list[Footer]:
    """The footers of the files that allocq can read; the others are left out. connection: DuckDB's.
    Empty files of a known schema are left out silently: they hold no sample."""
    wanted = [file for file in files if begun_well(file, skipped)]
    found: list[Footer] = []
    for at in range(0, len(wanted), _AT_ONCE):
        found += _some(connection, wanted[at : at + _AT_ONCE], skipped)
    return found


def _some(connection: Any, files: Sequence[DataFile], skipped: Skipped) -> list[Footer]:
    import duckdb

    try:
        return _read(connection, files, skipped)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        if len(files) == 1:
            skipped.add(Skip.DAMAGED, files[0].name)
            return []
    half = len(files) // 2
    return _some(connection, files[:half], skipped) + _some(connection, files[half:], skipped)


def _read(connection: Any, files: Sequence[DataFile], skipped: Skipped) -> list[Footer]:
    paths = [escaped(file.path) for file in files]
    if not paths:
        return []
    notes: dict[str, dict[str, bytes]] = {}
    for path, key, value in connection.execute(
        "SELECT file_name, key, value FROM parquet_kv_metadata(?)", [paths]
    ).fetchall():
        notes.setdefault(path, {})[key.decode("utf-8", "replace")] = value
    columns: dict[str, list[tuple[str, tuple[str, str]]]] = {}
    for path, name, kind, children, converted, logical in connection.execute(
        "SELECT file_name, name, type, num_children, converted_type, logical_type"
        " FROM parquet_schema(?)",
        [paths],
    ).fetchall():
        if path not in columns:  # the root
            columns[path] = []
            continue
        meaning = _meaning(str(converted or ""), str(logical or ""))
        columns[path].append((name, (kind or "", "nested" if children else meaning)))
    good = []
    for file in files:
        why = _fault(notes.get(file.path, {}).get(VERSION_KEY), columns.get(file.path, []))
        if why is None:
            good.append(file)
        else:
            skipped.add(why, file.name)
    facts = _statistics(connection, [escaped(file.path) for file in good])
    footers = []
    for file in good:
        rows, nulls, host, boot, kernel, first, last = facts.get(file.path, (0, 0, *[None] * 5))
        if rows and (nulls is None or first is None or last is None):
            rows, nulls, host, boot, kernel, first, last = _read_facts(connection, file)
        if nulls:
            skipped.add(Skip.NULLS, file.name)
        elif rows:
            parts = _parts(notes[file.path].get(PARTS_KEY, b"[]"))
            footers.append(Footer(file, rows, host, boot, kernel, first, last, parts))
    return footers


def _read_facts(connection: Any, file: DataFile) -> tuple[Any, ...]:
    """What _statistics says, from the rows of a file that has no statistics."""
    required = [column.name for column in COLUMNS if not column.nullable]
    whole = " AND ".join(f"{name} IS NOT NULL" for name in required)
    same = ", ".join(f"CASE WHEN min({name}) = max({name}) THEN min({name}) END" for name in _FACTS)
    facts: tuple[Any, ...] = connection.execute(
        f"SELECT count(*), count(*) FILTER (NOT ({whole})), {same},"
        f" {microseconds('min(time)')}, {microseconds('max(time)')} FROM read_parquet(?)",
        [[escaped(file.path)]],
    ).fetchone()
    return facts


def newest_time(connection: Any, file: DataFile, until: int) -> int | None:
    """The latest time of the rows of a file that is not later than `until`; Lost if it cannot be
    read."""
    with watched(connection, [file]):
        newest: int | None = connection.execute(
            f"SELECT max({microseconds('time')}) FILTER ({microseconds('time')} <= ?)"
            " FROM read_parquet(?)",
            [until, [escaped(file.path)]],
        ).fetchone()[0]
    return newest


def rows_at(
    connection: Any, files: Sequence[DataFile], times: Iterable[int]
) -> list[tuple[str, str, str, int, int]]:
    """(path, host, boot, time, rows) of the samples of some times, which are in microseconds since
    1970. Lost if a file cannot be read."""
    paths = {escaped(file.path): file.path for file in files}
    with watched(connection, files):
        found = connection.execute(
            f"SELECT filename, host, boot_id, {microseconds('time')}, count(*)"
            " FROM read_parquet($1, filename=true, hive_partitioning=false) WHERE time IN"
            f" (SELECT {moment('us')} FROM (SELECT unnest($2::BIGINT[]) AS us))"
            " GROUP BY ALL",
            [list(paths), sorted(set(times))],
        ).fetchall()
    return [(paths.get(path, path), *rest) for path, *rest in found]


def microseconds(time: str) -> str:
    """DuckDB's expression for the microseconds since 1970 of a time, which may be infinite."""
    return (
        f"CASE WHEN {time} = 'infinity'::TIMESTAMPTZ THEN {_ENDLESS}"
        f" WHEN {time} = '-infinity'::TIMESTAMPTZ THEN -{_ENDLESS} ELSE epoch_us({time}) END"
    )


def moment(value: str) -> str:
    """The inverse of `microseconds`."""
    return (
        f"CASE WHEN {value} = {_ENDLESS} THEN 'infinity'::TIMESTAMPTZ"
        f" WHEN {value} = -{_ENDLESS} THEN '-infinity'::TIMESTAMPTZ"
        f" ELSE make_timestamptz({value}) END"
    )


def _parts(value: bytes) -> frozenset[str]:
    try:
        names = json.loads(value)
    except (ValueError, RecursionError):
        return frozenset()
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def without_parts(footers: Sequence[Footer]) -> tuple[list[Footer], int]:
    """The files without those that were joined into another one of the same day, and how many
    these are: a compaction was ended before it removed them."""
    days: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for footer in footers:
        days[_day(footer)][Path(footer.file.path).name] |= footer.parts
    joined = {day: _joined(parts) for day, parts in days.items()}
    kept = [each for each in footers if Path(each.file.path).name not in joined[_day(each)]]
    return kept, len(footers) - len(kept)


def _joined(parts: Mapping[str, set[str]]) -> set[str]:
    """The names of files that were joined into others, which are not left out for that. Of files
    that name each other, the first one stays, and a file is no part of itself."""
    named = {part for name, each in parts.items() for part in each if part != name}
    found: set[str] = set()
    for name in sorted(parts, key=lambda name: (name in named, name)):
        if name in found:
            continue
        below, left = {name}, [name]
        while left:
            new = parts.get(left.pop(), set()) - below
            below |= new
            left += new
        found |= below - {name}
    return found


def _day(footer: Footer) -> str:
    """The directory of a file's day, or its own."""
    parent = Path(footer.file.path).parent
    return str(parent if footer.file.hour is None else parent.parent)


def _meaning(converted: str, logical: str) -> str:
    if "UTF8" in converted or logical.startswith("StringType"):
        return "string"
    if logical.startswith("TimestampType"):
        utc = "isAdjustedToUTC=1" in logical and "MICROS=MicroSeconds" in logical
        return "time" if utc else logical
    if converted == "TIMESTAMP_MICROS":
        return "time"
    signed = converted == "INT_64" or "isSigned=1" in logical
    return "" if signed or (not converted and not logical) else converted or logical


def _fault(version: bytes | None, columns: Sequence[tuple[str, tuple[str, str]]]) -> Skip | None:
    if version is None:
        return Skip.NO_VERSION
    if version != str(VERSION).encode():
        return Skip.OTHER_VERSION
    return None if columns == _COLUMNS else Skip.OTHER_SCHEMA


def _statistics(connection: Any, paths: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """(rows, NULLs where none may be, host, boot, kernel, first, last) by file; None where the
    statistics do not tell."""
    if not paths:
        return {}
    one = (
        "CASE WHEN bool_and(stats_min_value = stats_max_value"
        f" AND length(stats_min_value) < {_LONGEST} AND coalesce(min_is_exact, true))"
        " FILTER (path_in_schema = '{0}')"
        " AND min(stats_min_value) FILTER (path_in_schema = '{0}')"
        " = max(stats_max_value) FILTER (path_in_schema = '{0}')"
        " AND count(stats_min_value) FILTER (path_in_schema = '{0}')"
        " = count(*) FILTER (path_in_schema = '{0}')"
        " THEN min(stats_min_value) FILTER (path_in_schema = '{0}') END"
    )
    when = (
        "CASE WHEN count(stats_{0}_value) FILTER (path_in_schema = 'time')"
        " = count(*) FILTER (path_in_schema = 'time') THEN"
        f" {{0}}({microseconds('try_cast(stats_{0}_value AS TIMESTAMPTZ)')})"
        " FILTER (path_in_schema = 'time') END"
    )
    rows = connection.execute(
        "SELECT file_name, sum(num_values) FILTER (path_in_schema = 'bytes')::BIGINT,"
        " CASE WHEN bool_and(stats_null_count IS NOT NULL)"
        " FILTER (NOT list_contains($1, path_in_schema)) THEN"
        " sum(stats_null_count) FILTER (NOT list_contains($1, path_in_schema)) END::BIGINT,"
        f" {one.format('host')}, {one.format('boot_id')}, {one.format('kernel')},"
        f" {when.format('min')}, {when.format('max')}"
        " FROM parquet_metadata($2) GROUP BY file_name",
        [_NULLABLE, list(paths)],
    ).fetchall()
    return {row[0]: tuple(row[1:]) for row in rows}
