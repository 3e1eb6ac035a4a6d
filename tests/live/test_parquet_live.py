"""Parquet of a running kernel: what other programs read in it is what the text said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb
import oracle
import pyarrow.parquet
from command import here, until

from allocq.errors import SourceError
from allocq.storage.recording.reader import Recording

NAMES = ("file", "line", "module", "function", "bytes", "calls", "accurate")
COLUMNS = ", ".join(f'"{name}"' for name in NAMES)


def rows(tags: list[oracle.Tag]) -> Counter[tuple[object, ...]]:
    """By the columns above."""
    return Counter(
        (tag.file, tag.line, tag.module or "", tag.function, tag.bytes,
         tag.calls - (tag.calls >> 63 << 64), tag.accurate)
        for tag in tags
    )  # fmt: skip


def by_duckdb(pattern: str) -> dict[object, Counter[tuple[object, ...]]]:
    """The rows of each moment."""
    found: dict[object, Counter[tuple[object, ...]]] = {}
    with duckdb.connect() as connection:
        question = f"SELECT time, {COLUMNS} FROM read_parquet('{pattern}', hive_partitioning=true)"
        for time, *row in connection.execute(question).fetchall():
            found.setdefault(time, Counter())[tuple(row)] += 1
    return found


def by_pyarrow(pattern: Path) -> dict[object, Counter[tuple[object, ...]]]:
    """The same by another reader."""
    found: dict[object, Counter[tuple[object, ...]]] = {}
    for path in pattern.parent.glob(pattern.name):
        table = pyarrow.parquet.ParquetFile(path).read(["time", *NAMES])
        columns = [table.column(name).to_pylist() for name in ("time", *NAMES)]
        for time, *row in zip(*columns, strict=True):
            found.setdefault(time, Counter())[tuple(row)] += 1
    return found


def test_what_is_recorded_is_what_the_text_says(
    tmp_path: Path, cat_allocinfo: Callable[[], str]
) -> None:
    """A counter that did not move between two readings of the text is the same in the file."""
    folder, root = tmp_path / "r", tmp_path / "root"
    before = oracle.parse(cat_allocinfo().encode())
    command = [sys.executable, "-m", "allocq", "record", str(folder), "--interval", "0.5s"]
    child = subprocess.Popen([*command, "--parquet", str(root)], stderr=subprocess.PIPE, text=True)
    until(lambda: count(folder) >= 3)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    after = oracle.parse(cat_allocinfo().encode())
    still = rows([one for one, two in zip(before, after, strict=True) if one == two])
    assert sum(still.values()) > len(before) * 0.7
    found = by_duckdb(f"{root}/date=*/hour=*/*.parquet")
    assert len(found) == count(folder)
    wrong = 0
    for each in found.values():
        assert sum(each.values()) == len(before)
        assert Counter(row[:4] for row in each.elements()) == Counter(
            row[:4] for row in rows(before).elements()
        )
        wrong += sum((still - each).values())
    assert wrong <= len(found) * len(before) * 0.05, wrong  # what moved and came back
    others: dict[object, Counter[tuple[object, ...]]] = {}
    for directory in root.glob("date=*/hour=*"):
        others |= by_pyarrow(directory / "*.parquet")
    assert others == found
    # And exactly what the recording has.
    for sample in Recording(folder).samples():
        at = f"@{sample.moment.time / 1e9 + 0.001:.6f}"
        lines = here("query", "--source", str(folder), "--at", at, "-o", "procfs").out
        assert rows(oracle.parse(lines)) in found.values()


def test_a_query_of_the_running_kernel(tmp_path: Path, cat_allocinfo: Callable[[], str]) -> None:
    path = tmp_path / "x.parquet"
    before = oracle.parse(cat_allocinfo().encode())
    assert here("query", "--output", str(path)).status == 0
    after = oracle.parse(cat_allocinfo().encode())
    (found,) = by_duckdb(str(path)).values()
    still = rows([one for one, two in zip(before, after, strict=True) if one == two])
    assert sum(found.values()) == len(before)
    assert sum((still - found).values()) <= len(before) * 0.05
    with duckdb.connect() as connection:
        facts = connection.execute(
            f"SELECT DISTINCT host, boot_id, kernel, consistent FROM '{path}'"
        ).fetchall()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert facts == [(os.uname().nodename, boot, os.uname().release, True)]


def count(folder: Path) -> int:
    try:
        return len(Recording(folder).points())
    except SourceError:
        return 0
