"""Reads the footers of data files: their schema, and whose samples of which time they hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .files import DataFile, Skip, Skipped, begun_well

VERSION_KEY, VERSION = "allocq.schema", "1"
_STRING = ("BYTE_ARRAY", "string")
_NUMBER = ("INT64", "")
_FLAG = ("BOOLEAN", "")
COLUMNS = {
    "host": _STRING,
    "time": ("INT64", "time"),
    "boot_id": _STRING,
    "kernel": _STRING,
    "content_id": _NUMBER,
    "file": _STRING,
    "line": _NUMBER,
    "module": _STRING,
    "function": _STRING,
    "bytes": _NUMBER,
    "calls": _NUMBER,
    "accurate": _FLAG,
    "consistent": _FLAG,
}
_NULLABLE = "content_id"
_LONGEST = 60
"""Of longer strings, writers keep only the beginning in their statistics."""
_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Footer:
    """What a footer says. first, last: microseconds since 1970, None if unknown. host, boot, kernel:
    what all rows have, None if they differ or that is unknown."""

    file: DataFile
    rows: int
    host: str | None
    boot: str | None
    kernel: str | None
    first: int | None
    last: int | None

    @property
    def is_known(self) -> bool:
        """Is it known whose samples the file holds?"""
        return None not in (self.host, self.boot, self.kernel, self.first, self.last)

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
    except duckdb.Error:
        if len(files) == 1:
            skipped.add(Skip.DAMAGED, files[0].name)
            return []
    half = len(files) // 2
    return _some(connection, files[:half], skipped) + _some(connection, files[half:], skipped)


def _read(connection: Any, files: Sequence[DataFile], skipped: Skipped) -> list[Footer]:
    paths = [_escaped(file.path) for file in files]
    if not paths:
        return []
    versions: dict[str, str] = {}
    for path, value in connection.execute(
        "SELECT file_name, decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = ?",
        [paths, VERSION_KEY],
    ).fetchall():
        versions[path] = value
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
    good, names = [], {}
    for file in files:
        why = _fault(versions.get(file.path), columns.get(file.path, []))
        if why is None:
            good.append(file)
        else:
            skipped.add(why, file.name)
        names[file.path] = file
    facts = _statistics(connection, [_escaped(file.path) for file in good])
    footers = []
    for file in good:
        rows, nulls, *rest = facts.get(file.path, (0, 0, None, None, None, None, None))
        if nulls:
            skipped.add(Skip.OTHER_SCHEMA, file.name)
        elif rows:
            footers.append(Footer(file, rows, *rest))
    return footers


def _escaped(path: str) -> str:
    """A path that DuckDB does not read as a glob."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def _meaning(converted: str, logical: str) -> str:
    if "UTF8" in converted or logical.startswith("StringType"):
        return "string"
    if logical.startswith("TimestampType"):
        utc = "isAdjustedToUTC=1" in logical and "MICROS=MicroSeconds" in logical
        return "time" if utc else logical
    if converted == "TIMESTAMP_MICROS":
        return "time"
    signed = converted == "INT_64" or "isSigned=1" in logical
    return "" if signed or not converted and not logical else converted or logical


def _fault(version: str | None, columns: Sequence[tuple[str, tuple[str, str]]]) -> Skip | None:
    if version is None:
        return Skip.NO_VERSION
    if version != VERSION:
        return Skip.OTHER_VERSION
    return None if columns == list(COLUMNS.items()) else Skip.OTHER_SCHEMA


def _statistics(connection: Any, paths: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """(rows, NULLs where none may be, host, boot, kernel, first, last) by file."""
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
        " {0}(epoch_us(try_cast(stats_{0}_value AS TIMESTAMPTZ))) FILTER (path_in_schema = 'time') END"
    )
    rows = connection.execute(
        "SELECT file_name, sum(num_values) FILTER (path_in_schema = 'bytes')::BIGINT,"
        f" coalesce(sum(stats_null_count) FILTER (path_in_schema <> '{_NULLABLE}'), 0)::BIGINT,"
        f" {one.format('host')}, {one.format('boot_id')}, {one.format('kernel')},"
        f" {when.format('min')}, {when.format('max')}"
        " FROM parquet_metadata(?) GROUP BY file_name",
        [list(paths)],
    ).fetchall()
    return {row[0]: tuple(row[1:]) for row in rows}
