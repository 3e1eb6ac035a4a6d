"""Parquet files for tests, and what other programs read in them."""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet

from allocq.storage.parquet import arrow
from allocq.storage.parquet.folder import Folder
from allocq.storage.parquet.hour import Hour
from allocq.storage.parquet.schema import GLOB, file_name, hour_of
from allocq.storage.recording.counters import Counters
from allocq.storage.recording.sample import Sample

HOUR_US = 3_600_000_000
START_US = 497_222 * HOUR_US  # 2026-09-21 14:00


def write_part(
    root: Path, host: str, part: int, times: Sequence[int], tags: int = 6, boot: str = "boot"
) -> Path:
    """A file with some samples of an hour, which differ by part and time."""
    hour = Hour(host, boot, "7.3.4")
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


_SUBJECT = re.compile(r"(.*):(\d+)(?: \[(.*)\])? func:(.*)")


def said(samples: Iterable[Sample], host: str) -> Counter[tuple[object, ...]]:
    """The rows that samples of a recording have by the contract."""
    rows: Counter[tuple[object, ...]] = Counter()
    for sample in samples:
        moment, now = sample.moment, sample.counters
        content = moment.content_id
        head = (
            host,
            datetime.fromtimestamp(0, UTC) + timedelta(microseconds=moment.time // 1000),
            moment.boot,
            moment.kernel,
            None if content is None else content - (content >> 63 << 64),
        )
        for at, subject in enumerate(sample.subjects):
            match = _SUBJECT.fullmatch(subject.decode("utf-8", "replace"))
            assert match
            name = (match[1], int(match[2]), match[3] or "", match[4])
            held = (now.bytes[at], now.calls[at], not now.inaccurate[at])
            rows[(*head, *name, *held, moment.consistent is not False)] += 1
    return rows


def check_places(root: Path) -> None:
    """Every file is where it belongs, holds one host's hour and is in order."""
    for path in root.glob(GLOB):
        rows = file_rows(path)
        keys = [(*row[5:9], row[1]) for row in rows]
        assert keys == sorted(keys)
        assert len({row[0] for row in rows}) == 1
        for row in rows:
            assert isinstance(row[1], datetime)
            hour = f"date={row[1]:%Y-%m-%d}/hour={row[1]:%H}"
            assert str(path.parent) == str(root / hour)


if __name__ == "__main__":
    from allocq.storage.parquet.compaction import compact

    for done in compact(Path(sys.argv[1]), print):
        print(done.joined, done.made, done.rows)
