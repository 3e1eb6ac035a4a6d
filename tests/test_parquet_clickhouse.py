"""ClickHouse reads the files as the contract says.

Skipped without chdb, which is ClickHouse, unless ALLOCQ_NEEDS_CLICKHOUSE is set.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from parquet_files import rows_of
from test_recording import append
from test_shipping import at, shipped

MAN = Path(__file__).parents[1] / "man/prose/allocq-parquet.5.mdoc"
TYPES = {
    "host": "String",
    "time": "DateTime64(6, 'UTC')",
    "boot_id": "String",
    "kernel": "String",
    "content_id": "Nullable(Int64)",
    "file": "String",
    "line": "Int64",
    "module": "String",
    "function": "String",
    "bytes": "Int64",
    "calls": "Int64",
    "accurate": "Bool",
    "consistent": "Bool",
}

pytestmark = pytest.mark.skipif(
    find_spec("chdb") is None and not os.environ.get("ALLOCQ_NEEDS_CLICKHOUSE"),
    reason="no chdb: pip install chdb",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours in files that a recording was shipped to."""
    place = tmp_path_factory.mktemp("clickhouse")
    append(place / "r", [at(n / 4, n) for n in range(8)])
    shipped(place / "r", place / "root")
    return place / "root"


def ask(query: str) -> list[dict[str, Any]]:
    """The rows of an answer, from a process of its own: ClickHouse takes over the one it is in."""
    program = "import sys, chdb; print(chdb.query(sys.argv[1], 'JSONEachRow'))"
    settings = " SETTINGS use_hive_partitioning = 1, output_format_json_quote_64bit_integers = 0"
    done = subprocess.run(
        [sys.executable, "-c", program, query + settings], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def test_types(root: Path) -> None:
    described = ask(f"DESCRIBE file('{root}/date=*/hour=*/*.parquet')")
    types = {row["name"]: row["type"].replace("LowCardinality(String)", "String")
             for row in described}  # fmt: skip
    types = {name: kind for name, kind in types.items() if name in TYPES}
    nullable = {name: kind if name == "content_id" else re.sub(r"^Nullable\((.*)\)$", r"\1", kind)
                for name, kind in types.items()}  # fmt: skip
    assert nullable == TYPES


def test_sums_by_partition(root: Path) -> None:
    rows = list(rows_of(root).elements())
    for hour in (12, 13):
        (found,) = ask(
            "SELECT sum(bytes) AS bytes, sum(calls) AS calls, count() AS rows, uniqExact(time) AS"
            f" samples FROM file('{root}/date=*/hour=*/*.parquet')"
            f" WHERE date = '2024-10-04' AND hour = {hour}"
        )
        some: list[Any] = [row for row in rows if row[1].hour == hour]  # type: ignore[attr-defined]
        assert found == {
            "bytes": sum(row[9] for row in some),
            "calls": sum(row[10] for row in some),
            "rows": len(some),
            "samples": 4,
        }


def test_times_are_utc(root: Path) -> None:
    (found,) = ask(
        "SELECT toUnixTimestamp64Micro(min(time)) AS first, toUnixTimestamp64Micro(max(time)) AS"
        f" last FROM file('{root}/date=*/hour=*/*.parquet')"
    )
    times: list[Any] = [row[1] for row in rows_of(root)]
    assert found == {
        "first": round(min(times).timestamp() * 1e6),
        "last": round(max(times).timestamp() * 1e6),
    }


def test_the_line_of_the_manual(root: Path) -> None:
    """With files of this machine in place of those of a store."""
    text = MAN.read_text().replace("\\-", "-")
    query = re.search(r"With ClickHouse:\n\.Bd.*?\n(.*?);\n\.Ed", text, re.DOTALL)
    assert query
    here = re.sub(r"s3\('.*?/date=", f"file('{root}/date=", query[1])
    assert here != query[1]
    (found,) = ask(here)
    sums: dict[Any, int] = {}
    for row in rows_of(root).elements():
        if row[8] != "alloc_slab_page":
            sums[row[1]] = sums.get(row[1], 0) + row[9]  # type: ignore[operator]
    assert list(found.values()) == ["h", max(sums.values())]
