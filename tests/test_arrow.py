"""A Snapshot, a Recording and a Parquet file hold the same rows for every reader of Arrow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import oracle
import pandas as pd
import polars
import pyarrow
import pyarrow.parquet
import pytest
from command import MODULE, here, refused, unhurried
from hypothesis import given, settings
from hypothesis import strategies as st
from parquet_files import file_rows, said
from recording_child import sample
from test_recording import append, samples
from test_shipping import LIMITED

import allocq
from allocq.commands.parquet import parquet_of
from allocq.core.filter import NativeFilter
from allocq.core.text import parse
from allocq.model import Info
from allocq.sources.snapshot import Snapshot
from allocq.storage.parquet.schema import COLUMNS, Kind
from allocq.storage.recording.sample import Sample

NAMES = [column.name for column in COLUMNS]
SAMPLE = Path(allocq.sample_path())


@pytest.fixture(autouse=True, scope="module")
def sigint_given_back() -> Iterator[None]:
    """polars takes SIGINT for itself, and lets no read be interrupted by it any more."""
    yield
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))


def by_pyarrow(stream: Any) -> list[tuple[object, ...]]:
    table = pyarrow.table(stream)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def by_polars(stream: Any) -> list[tuple[object, ...]]:
    return polars.from_dataframe(stream).rows()


def by_duckdb(stream: Any) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("tags", stream)
        rows = connection.execute("SELECT * FROM tags").fetchall()
    return [tuple(_utc(value) for value in row) for row in rows]


def by_pandas(stream: Any) -> list[tuple[object, ...]]:
    frame = pd.DataFrame.from_arrow(stream)
    assert list(frame.columns) == NAMES
    return [
        tuple(None if name == "content_id" and pd.isna(value) else _plain(value)
              for name, value in zip(NAMES, row, strict=True))
        for row in frame.itertuples(index=False)
    ]  # fmt: skip


def _plain(value: Any) -> object:
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if hasattr(value, "item") else value


def _utc(value: object) -> object:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


READERS: list[Callable[[Any], list[tuple[object, ...]]]] = [
    by_pyarrow,
    by_polars,
    by_duckdb,
    by_pandas,
]


def taken(*argv: str) -> Snapshot:
    with allocq.open(SAMPLE) as source:
        return source.read(allocq.Filter(words=argv))


def expected(tags: list[oracle.Tag], head: tuple[object, ...]) -> list[tuple[object, ...]]:
    return [
        (*head, tag.file, tag.line, tag.module or "", tag.function, tag.bytes,
         tag.calls - (tag.calls >> 63 << 64), tag.accurate, True)
        for tag in tags
    ]  # fmt: skip


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("read", READERS)
def test_every_reader_finds_the_tags_of_a_snapshot(
    read: Callable[[Any], list[tuple[object, ...]]],
) -> None:
    tags = oracle.parse(SAMPLE.read_bytes())
    assert len(tags) > 3000
    assert read(taken()) == expected(tags, ("", EPOCH, "", "", None))
    assert read(taken("no_such_tag")) == []


def test_the_schema_is_the_contract() -> None:
    types = {
        Kind.STRING: pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
        Kind.TIME: pyarrow.timestamp("us", "UTC"),
        Kind.INTEGER: pyarrow.int64(),
        Kind.FLAG: pyarrow.bool_(),
    }
    found = pyarrow.schema(taken())
    assert NAMES == [
        "host",
        "time",
        "boot_id",
        "kernel",
        "content_id",
        "file",
        "line",
        "module",
        "function",
        "bytes",
        "calls",
        "accurate",
        "consistent",
    ]
    assert found.names == NAMES
    assert [field.type for field in found] == [types[column.kind] for column in COLUMNS]
    assert [field.name for field in found if field.nullable] == ["content_id"]
    assert found.metadata == {b"allocq.schema": b"1"}
    assert pyarrow.table(taken()).schema == found


def test_nothing_is_copied() -> None:
    stream = pyarrow.RecordBatchReader.from_stream(taken())
    one = stream.read_next_batch()
    assert one.num_rows > 3000
    sizes = one.column("bytes").buffers()[1]
    again = pyarrow.record_batch(one).column("bytes").buffers()[1]
    assert sizes.address == again.address
    frame = polars.DataFrame(one)
    assert frame["bytes"].to_arrow().buffers()[1].address == sizes.address


@settings(unhurried, max_examples=25)
@given(samples())
def test_every_reader_finds_the_samples_of_a_recording(
    tmp_path_factory: pytest.TempPathFactory, some: list[Sample]
) -> None:
    folder = tmp_path_factory.mktemp("recording") / "r"
    append(folder, some)
    for read in READERS:
        recording = allocq.Recording(folder)
        assert Counter(read(recording)) == said(some, "h")
        assert recording.warnings == []


def test_a_recording_can_be_read_in_any_thread(tmp_path: Path) -> None:
    append(tmp_path / "r", [sample(number, 100) for number in range(50)])
    recording = allocq.Recording(tmp_path / "r")
    with duckdb.connect() as connection:
        connection.execute("SET threads = 4")
        connection.register("tags", recording)
        question = "SELECT count(*), count(DISTINCT time) FROM tags"
        assert connection.execute(question).fetchall() == [(5000, 50)]
    assert recording.warnings == []


@settings(unhurried, max_examples=50)
@given(st.data())
def test_the_rows_of_a_file_are_the_tags(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    place = tmp_path_factory.mktemp("query")
    name = st.sampled_from(["mm/a.c", "../b.c", "/x y/c.c", "d.h", "\udcff.c", "ü.c"])
    tags = data.draw(
        st.lists(
            st.tuples(
                st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 9),
                st.integers(0, (1 << 64) - 1) | st.integers(0, 9),
                name.filter(lambda text: " " not in text),
                st.integers(0, 99),
                st.sampled_from(["", "xfs", "zram"]),
                st.sampled_from(["f", "g", "h"]),
                st.booleans(),
            ),
            max_size=20,
        )
    )
    text = b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"
    for size, calls, file, line, module, function, accurate in tags:
        text += b"%12d %8d %b:%d %bfunc:%b %b\n" % (
            size, calls, file.encode("utf-8", "surrogateescape"), line,
            b"[%b] " % module.encode() if module else b"", function.encode(),
            b"" if accurate else b"accurate:no ",
        )  # fmt: skip
    parquet = place / "x.parquet"
    snapshot = Snapshot(Info("saved.txt", "text"), parse(text, NativeFilter()))
    parquet.write_bytes(parquet_of(snapshot, None, sorted_by_tag=True))
    assert Counter(by_pyarrow(snapshot)) == Counter(file_rows(parquet))
    head = ("", EPOCH, "", "", None)
    wanted = [
        (*head, file.replace("\udcff", "\ufffd"), line, module, function, size,
         calls - (calls >> 63 << 64), accurate, True)
        for size, calls, file, line, module, function, accurate in tags
    ]  # fmt: skip
    found = file_rows(parquet)
    assert Counter(found) == Counter(wanted)
    assert [row[5:9] for row in found] == sorted(row[5:9] for row in found)


def test_a_snapshot_brings_its_facts_along(tmp_path: Path) -> None:
    saved = tmp_path / "saved.txt"
    saved.write_text(
        "allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n# allocq-snapshot: 1\n"
        "# time: 2026-11-23T10:00:00.123456+01:00\n# host: db1\n# kernel: 7.3.4\n# boot-id: b-1\n"
        "# content-id: 18446744073709551615\n# consistent: no\n# tags: 1\n"
        "        4096        1 mm/slub.c:1 func:f \n"
    )
    done = here("query", "--source", str(saved), "--output", str(tmp_path / "x.parquet"))
    assert done.status == 0
    time = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)
    assert file_rows(tmp_path / "x.parquet") == [
        ("db1", time, "b-1", "7.3.4", -1, "mm/slub.c", 1, "", "f", 4096, 1, True, False)
    ]


@pytest.mark.parametrize("name", ["listing.txt", "listing-2026-11-23_1000.txt"])
def test_a_time_that_is_not_known_is_said(tmp_path: Path, name: str) -> None:
    """Not guessed from the file: that can be a copy."""
    saved = tmp_path / name
    saved.write_bytes(here("query", "--sample", "-m", "zram").out)
    argv = ("query", "--source", str(saved), "--output", str(tmp_path / "x.parquet"))
    done = here(*argv)
    assert done.status == 0
    assert done.err == (
        f"allocq: warning: {saved} does not say when it was saved: its time is 1970-01-01\n"
    )
    assert {row[1] for row in file_rows(tmp_path / "x.parquet")} == {EPOCH}
    text = saved.read_text()
    note = "# allocq-snapshot: 1\n# time: 2026-11-23T10:00:00Z\n"
    saved.write_text(f"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n{note}{text}")
    done = here(*argv, "--force")
    assert (done.status, done.err) == (0, "")


def test_order_and_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for argv in (["-s", "bytes", "-n", "5"], ["-n", "7"], ["-r", "-n", "3"], ["-s", "file"]):
        here("query", "--sample", *argv, "--output", str(path), "--force")
        lines = here("query", "--sample", *argv, "-o", "procfs").out
        tags = expected(oracle.parse(lines), ("", EPOCH, "", "", None))
        found = file_rows(path)
        if argv == ["-n", "7"]:
            assert sorted(found) == sorted(tags, key=lambda row: row[5:9])
        else:
            assert found == tags


def test_on_standard_output(tmp_path: Path) -> None:
    for argv in ([*MODULE], [str(Path(sys.executable).with_name("allocq"))]):
        run = subprocess.run(
            [*argv, "query", "--sample", "-m", "zram", "-o", "parquet"], capture_output=True
        )
        assert (run.returncode, run.stderr) == (0, b"")
        (tmp_path / "x").write_bytes(run.stdout)
        assert len(file_rows(tmp_path / "x")) == 10
    none = here("query", "--sample", "no_such_tag", "-o", "parquet")
    assert none.status == 1
    (tmp_path / "x").write_bytes(none.out)
    assert file_rows(tmp_path / "x") == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-o", "parquet", "-g", "file"], "--group-by and parquet cannot be used together"),
        (["--output", "x.parquet", "-g", "file"], "--group-by and parquet cannot"),
        (["--output", "x.parquet", "-o", "json"], "the answer is json, not parquet"),
        (["--output", "x.json", "-o", "parquet"], "the answer is parquet, not json"),
        (["--output", "x.parquet.gz", "-o", "parquet"], "Parquet is compressed in itself"),
        (["--output", "x.parquet", "--count"], "the answer is text, not parquet"),
        (["--output", "missing/x.parquet"], "cannot write missing/x.parquet"),
        (["--output", "there.parquet"], "there.parquet exists"),
        (["--output", "pipe.parquet", "--force"], "not a regular file"),
        (["--output", "link.parquet", "--force"], "not a regular file"),
        (["-o", "x.parquet"], "invalid value 'x.parquet' for --format"),
        (["-o", "parquet", "--list-listings"], "--list-listings prints no tags"),
    ],
)
def test_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.parquet").write_text("mine")
    os.mkfifo("pipe.parquet")
    Path("link.parquet").symlink_to("there.parquet")
    before = sorted(os.listdir())
    refused(here("query", "--sample", *argv), words)
    assert sorted(os.listdir()) == before
    assert Path("there.parquet").read_text() == "mine"


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    argv = [*MODULE[1:], "query", "--sample", "--output", str(tmp_path / "x.parquet")]
    done = subprocess.run([sys.executable, "-c", LIMITED, *argv], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"allocq: cannot write {tmp_path}/x.parquet: ")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []
    with open("/dev/full", "wb") as full:
        argv = [*MODULE, "query", "--sample", "-o", "parquet"]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.stderr == "allocq: cannot write the answer: No space left on device\n"


def test_a_file_name_as_a_format_is_explained() -> None:
    done = here("query", "--sample", "-o", "x.parquet")
    assert "hint: --output x.parquet writes to a file" in done.err


WITHOUT = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Gone())
"""


@pytest.mark.parametrize(
    ("argv", "extra"),
    [
        (["query", "--sample", "-o", "parquet"], "arrow"),
        (["query", "--sample", "--output", "x.parquet"], "arrow"),
        (["ship", "--to", "x"], "arrow"),
        (["record", "--parquet", "x"], "arrow"),
        (["ship", "--to", "s3://bucket"], "ship"),
    ],
)
def test_without_the_extra(tmp_path: Path, argv: list[str], extra: str) -> None:
    missing = {"arrow": ["arro3", "obstore"], "ship": ["obstore"]}[extra]
    code = WITHOUT.format(missing=missing) + "from allocq.__main__ import entry; entry()"
    run = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 2
    assert run.stdout == ""
    first, hint = run.stderr.splitlines()
    assert first.startswith("allocq: ") and "not installed" in first
    assert hint == f"hint: pip install 'allocq[{extra}]'"
    assert os.listdir(tmp_path) == []


def test_without_the_extra_the_library_raises_an_import_error() -> None:
    code = WITHOUT.format(missing=["arro3"]) + (
        "import allocq\n"
        "with allocq.open(allocq.sample_path()) as source: snapshot = source.read()\n"
        "try: snapshot.__arrow_c_stream__()\n"
        "except ImportError as error: print(error, error.hint, error.__class__.__name__)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == (
        "Arrow and Parquet need arro3, which is not installed pip install 'allocq[arrow]'"
        " MissingExtraError\n"
    )


@pytest.mark.parametrize(
    "argv", [["query", "--sample", "-o", "table"], ["query", "--sample", "-o", "csv"], ["--help"]]
)
def test_nothing_of_arrow_is_imported_unless_it_is_used(argv: list[str]) -> None:
    code = (
        "import sys, os, atexit\n"
        "from allocq.cli.run import run\n"
        "run(sys.argv[1:])\n"
        "names = ('arro3', 'obstore', 'allocq.storage.parquet')\n"
        "found = [name for name in sys.modules if name.startswith(names)]\n"
        "print(found, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True)
    assert run.stderr.splitlines()[-1] == "[]"
