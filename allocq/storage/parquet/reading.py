"""Reads the files back, checked: what is not by the contract is a FormatError."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import IO, TYPE_CHECKING, Any

from ...errors import FormatError
from . import arrow
from .schema import COLUMNS, PARTS_KEY, TAG, VERSION, VERSION_KEY

if TYPE_CHECKING:
    from arro3.core import RecordBatch

_ROWS = 1 << 16
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Run:
    """Rows of one tag that follow each other in a file."""

    key: arrow.Key
    rows: RecordBatch

    @property
    def first(self) -> Any:
        """The time of the first row."""
        return self.rows.column("time")[0].as_py()

    @property
    def last(self) -> Any:
        """The time of the last row."""
        return self.rows.column("time")[self.rows.num_rows - 1].as_py()


def parts_of(file: IO[bytes], path: str) -> tuple[str | None, list[str]]:
    """The host of a file, None for one without rows, and the names of the files it was made from.
    FormatError."""
    parquet = _Parquet(file, path)
    host = next(
        (rows.column("host")[0].as_py() for rows in parquet.batches() if rows.num_rows), None
    )
    return host, parquet.parts


Content = tuple[str, int, int, int, int]
"""What tells a sample of a host from others: its boot, its time in microseconds, and of its rows
how many they are and the sums of bytes and of calls."""


def samples_of(file: IO[bytes], path: str, host: str) -> set[Content]:
    """The samples of a host in a file. FormatError."""
    sums: dict[tuple[str, Any], list[int]] = {}
    names = ("host", "boot_id", "time", "bytes", "calls")
    for rows in _Parquet(file, path).batches():
        columns = [rows.column(name).to_pylist() for name in names]
        for each, boot, time, size, calls in zip(*columns, strict=True):
            if each == host:
                held = sums.setdefault((boot, time), [0, 0, 0])
                held[0] += 1
                held[1] += size
                held[2] += calls
    return {
        (boot, _microseconds(time), rows, size, calls)
        for (boot, time), (rows, size, calls) in sums.items()
    }


def _microseconds(time: datetime) -> int:
    return (time - _BEGINNING) // timedelta(microseconds=1)


Instant = tuple[str, datetime]
"""What tells a sample of a host from others: its boot and its time."""


def rows_by_sample(file: IO[bytes], path: str) -> Counter[Instant]:
    """How many rows each sample has in a file of one host. FormatError."""
    found: Counter[Instant] = Counter()
    for rows in _Parquet(file, path).batches():
        found.update(_instants(rows))
    return found


def without(runs: Iterator[Run], samples: Container[Instant]) -> Iterator[Run]:
    """Runs without the rows of some samples."""
    for run in runs:
        kept = [at for at, each in enumerate(_instants(run.rows)) if each not in samples]
        if kept:
            yield Run(run.key, arrow.joined([run.rows], kept))


def _instants(rows: RecordBatch) -> Iterator[Instant]:
    return zip(rows.column("boot_id").to_pylist(), rows.column("time").to_pylist(), strict=True)


def runs_of(file: IO[bytes], path: str) -> Iterator[Run]:
    """The rows of a file of one host, tag by tag. FormatError, also for a second host."""
    hosts: set[str] = set()
    for rows in _Parquet(file, path).batches():
        hosts.update(rows.column("host").to_pylist())
        if len(hosts) > 1:
            raise FormatError(f"{path} has rows of several hosts")
        keys = zip(*(rows.column(name).to_pylist() for name in TAG), strict=True)
        start = 0
        for key, same in groupby(keys):
            length = sum(1 for _ in same)
            yield Run(key, rows.slice(start, length))
            start += length


class _Parquet:
    """An open file. FormatError if it is none of the contract."""

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._path = path
        try:
            schema, self._rows = arrow.read(file, _ROWS)
        except OSError as error:
            raise FormatError(f"cannot read {path}: {error.strerror or error}") from None
        except arrow.UnreadableError:
            raise FormatError(f"{path} is not a complete Parquet file") from None
        metadata, names = schema.metadata, list(schema.names)
        version = metadata.get(VERSION_KEY.encode(), b"")
        if not version.isdigit():
            raise FormatError(f"{path} was not written by allocq: no {VERSION_KEY} in its metadata")
        if int(version) > VERSION:
            raise FormatError(
                f"{path} is of schema {int(version)}; this allocq reads up to {VERSION}",
                "use a newer allocq",
            )
        if names != [column.name for column in COLUMNS]:
            raise FormatError(f"{path} has other columns than schema {VERSION}")
        try:
            self.parts = [str(name) for name in json.loads(metadata.get(PARTS_KEY.encode(), b"[]"))]
        except (ValueError, TypeError, RecursionError):
            raise FormatError(f"{path} has invalid metadata: {PARTS_KEY}") from None

    def batches(self) -> Iterator[RecordBatch]:
        schema = arrow.schema()
        try:
            for rows in self._rows:
                yield arrow.conformed(rows, schema)
        except arrow.UnreadableError as error:
            raise FormatError(f"{self._path} is damaged: {error}") from None
