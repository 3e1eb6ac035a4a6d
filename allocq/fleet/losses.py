"""Which files are behind it when DuckDB cannot read what it was asked for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import SourceError
from ..storage.parquet.schema import COLUMNS
from .files import DataFile, Lost, escaped


@contextlib.contextmanager
def watched(connection: Any, files: Sequence[DataFile]) -> Iterator[None]:
    """Turn errors of DuckDB into what `loss` says; want of memory comes through."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise loss(connection, files, "DuckDB", error) from None


def loss(
    connection: Any, files: Sequence[DataFile], engine: str, error: Exception
) -> Lost | SourceError:
    """What an engine's error is: Lost if some of the files are gone or damaged."""
    gone, damaged = faults(connection, files)
    if gone or damaged:
        return Lost(gone, damaged)
    return SourceError(f"{engine}: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """The first line of an engine's message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "unknown")


def faults(connection: Any, files: Sequence[DataFile]) -> tuple[list[str], list[str]]:
    """(gone, damaged): the paths among these files that cannot be read to the end."""
    import duckdb

    gone, damaged = [], []
    sums = ", ".join(f"count({column.name})" for column in COLUMNS)
    for file in files:
        if not os.path.exists(file.path):
            gone.append(file.path)
            continue
        try:
            connection.execute(
                # hash() reads every value, which count() alone need not.
                f"SELECT {sums}, bit_xor(hash(COLUMNS(*))) FROM read_parquet(?)",
                [[escaped(file.path)]],
            ).fetchall()
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error:
            damaged.append(file.path)
    return gone, damaged
