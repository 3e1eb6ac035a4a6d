"""Parquet files for tests, and what other programs read in them."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet

from allocq.storage.parquet import arrow
from allocq.storage.parquet.folder import Folder
from allocq.storage.parquet.hour import Hour
from allocq.storage.parquet.schema import GLOB, file_name, hour_of
from allocq.storage.recording.counters import Counters

HOUR_US = 3_600_000_000
START_US = 497_222 * HOUR_US  # 2026-09-21 14:00


def write_part(root: Path, host: str, part: int, times: Sequence[int], tags: int = 6) -> Path:
    """A file with some samples of an hour, which differ by part and time."""
    hour = Hour(host, "boot", "7.3.4")
    subjects = [b"mm/a%d.c:%d [m%d] func:f" % (at % 3, at // 2, at % 2) for at in range(tags)]
    for time in times:
        dice = random.Random(f"{part} {time}")
        columns = ([dice.randrange(1 << 20) for _ in range(tags)] for _ in range(2))
        hour.add(time, 5, True, subjects, Counters.of(*columns, [0] * tags))
    schema = arrow.schema()
    folder = Folder(root)
    at = hour_of(times[0])
    path = folder.write(
        at,
        file_name(host, at, str(part)),
        lambda file: arrow.write(file, schema, hour.batches(schema)),
    )
    folder.close()
    return path


def rows_of(root: Path, pattern: str = GLOB) -> Counter[tuple[object, ...]]:
    """All rows below a root, as pyarrow reads them."""
    rows: Counter[tuple[object, ...]] = Counter()
    for path in root.glob(pattern):
        rows.update(file_rows(path))
    return rows


def file_rows(path: Path) -> list[tuple[object, ...]]:
    """The rows of one file in their order."""
    table = pyarrow.parquet.ParquetFile(path).read()
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


if __name__ == "__main__":
    from allocq.storage.parquet.compaction import compact

    for done in compact(Path(sys.argv[1]), print):
        print(done.joined, done.made, done.rows)
