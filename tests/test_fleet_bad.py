"""What is wrong with the data of a fleet is said, counted and left out, and nothing else is."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bench.fleet import SCHEMA, save
from command import MODULE, Result, refused, unhurried, until
from fleets import HOUR, NOW, Sample, ask, fleet, rows, table_of, write
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Tag

TAG = Tag(4096, 1, "a.c", 1, None, "f", True)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data of one host, which is good."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW))
    write(tmp_path / "data", [Sample("good", NOW - 60, (TAG,))])
    return tmp_path / "data"


def good_file(root: Path) -> Path:
    return next(path for path in root.rglob("*.parquet") if path.name != "bad.parquet")


def beside(root: Path, name: str = "bad.parquet") -> Path:
    return good_file(root).with_name(name)


def only_the_good(root: Path, *said: str, what: str = "top") -> Result:
    """The answer is that of the good file, and each line of `said` is on standard error."""
    result = fleet(what, root, "-o", "jsonl")
    found = rows(result)
    assert [row.get("bytes") for row in found] == [4096], result
    for words in said:
        assert any(words in line for line in result.err.splitlines()), (words, result.err)
    assert len(result.err.splitlines()) == len(said), result.err
    assert "Traceback" not in result.err
    return result


def test_nothing_is_said_of_good_data(root: Path) -> None:
    for what in ("top", "hosts"):
        only_the_good(root, what=what)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"P", "half-written or cut off"),
        (b"PAR1", "half-written or cut off"),
        (b"PAR1\0\0\0\0PAR1", "damaged"),
        (b"PAR1" + b"\xff" * 40 + b"\xff\xff\xff\x7fPAR1", "half-written or cut off"),
        (b"PAR1" + bytes(100) + b"\x20\0\0\0PAR1", "damaged"),
        (b"PARE" + bytes(100) + b"\x20\0\0\0PARE", "encrypted"),
        (b"hello, world\n" * 10, "not Parquet"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_files_that_are_no_parquet(root: Path, content: bytes, why: str) -> None:
    beside(root).write_bytes(content)
    only_the_good(root, f"warning: 1 file skipped: {why} (date=")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_off(root: Path, share: float) -> None:
    data = good_file(root).read_bytes()
    beside(root).write_bytes(data[: int(len(data) * share)])
    only_the_good(root, "1 file skipped: half-written or cut off")


def test_each_reason_has_one_line_and_a_count(root: Path) -> None:
    for number in range(3):
        beside(root, f"e{number}.parquet").write_bytes(b"")
    beside(root, "x.parquet").write_bytes(b"x" * 99)
    result = only_the_good(root, "3 files skipped: empty (", "1 file skipped: not Parquet (")
    assert "e0.parquet, ...)" in result.err


def changed(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def other_schemas() -> dict[str, pa.Table]:
    table = table_of([Sample("bad", NOW - 50, (TAG,))])
    return {
        "a column less": table.drop_columns(["calls"]),
        "a column more": table.append_column("more", table["bytes"]),
        "other order": table.select(list(reversed(table.column_names))),
        "unsigned": changed(table, "bytes", table["bytes"].cast(pa.uint64())),
        "narrow": changed(table, "line", table["line"].cast(pa.int32())),
        "milliseconds": changed(table, "time", table["time"].cast(pa.timestamp("ms", "UTC"))),
        "no zone": changed(table, "time", table["time"].cast(pa.timestamp("us"))),
        "binary": changed(table, "file", table["file"].cast(pa.binary())),
        "number": changed(table, "accurate", table["accurate"].cast(pa.int64())),
        "list": changed(table, "module", pa.array([["a"]])),
    }


@pytest.mark.parametrize("kind", other_schemas())
def test_a_file_of_another_schema(root: Path, kind: str) -> None:
    save(beside(root), other_schemas()[kind])
    only_the_good(root, "1 file skipped: other columns than allocq writes")


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({}, "not written by allocq"),
        ({"allocq.schema": "2"}, "written by a newer allocq"),
        ({"allocq.schema": "x"}, "written by a newer allocq"),
    ],
    ids=str,
)
def test_a_file_of_another_version(root: Path, metadata: dict[str, str], why: str) -> None:
    save(beside(root), table_of([Sample("bad", NOW - 50, (TAG,))]), metadata)
    only_the_good(root, f"1 file skipped: {why}")


def test_a_file_without_rows_is_good(root: Path) -> None:
    save(beside(root), table_of([]))
    only_the_good(root)


def test_a_file_whose_pages_are_damaged(root: Path) -> None:
    """Its footer is good, so that only reading it tells."""
    path = beside(root)
    tags = tuple(TAG._replace(line=n, bytes=n * 7919, function=f"f{n}") for n in range(2000))
    save(path, table_of([Sample("bad", NOW - 50, tags)]))
    data = bytearray(path.read_bytes())
    data[64 : len(data) // 2] = b"\xa5" * (len(data) // 2 - 64)
    path.write_bytes(data)
    for what in ("top", "hosts"):
        only_the_good(root, "1 file skipped: damaged", what=what)


@settings(unhurried, max_examples=40)
@given(data=st.data())
def test_damage_anywhere_is_no_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    path = write(folder, [Sample("bad", NOW - 60, (TAG, TAG._replace(line=2)))])[0]
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    for what in ("top", "hosts"):
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("SOURCE_DATE_EPOCH", str(NOW))
            result = fleet(what, folder, "-o", "csv")
        assert result.status in (0, 1, 2)
        assert all(line.startswith(("allocq: ", "hint: ")) for line in result.err.splitlines())
        assert "internal error" not in result.err, result


def test_names_that_are_no_data(root: Path) -> None:
    folder = good_file(root).parent
    for name in (".hidden.parquet", "_SUCCESS", "x.parquet.tmp", "_x.parquet"):
        (folder / name).write_bytes(b"x")
    (folder / ".compact-08").mkdir()
    (folder / ".compact-08" / "a.parquet").write_bytes(b"x")
    only_the_good(root)
    (folder / "notes.txt").write_text("x")
    (folder / "x.PARQUET").write_text("x")
    only_the_good(root, "2 files skipped: the name does not end in .parquet")


def test_what_is_no_file(root: Path) -> None:
    folder = good_file(root).parent
    os.mkfifo(folder / "pipe.parquet")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folder)  # its path would be too long
        listening.bind("s.parquet")
        os.chdir(here)
    (folder / "gone.parquet").symlink_to("nowhere")
    (folder / "loop.parquet").symlink_to("loop.parquet")
    only_the_good(
        root,
        "2 files skipped: not a regular file",
        "2 files skipped: the link leads nowhere",
    )


def test_links_and_directories_are_followed_once(root: Path, tmp_path: Path) -> None:
    folder = good_file(root).parent
    (folder / "below.parquet").mkdir()  # as Spark names what it writes
    save(folder / "below.parquet" / "part.parquet", table_of([Sample("a", NOW - 50, (TAG,))]))
    (folder / "up").symlink_to(root)
    elsewhere = tmp_path / "elsewhere.parquet"
    save(elsewhere, table_of([Sample("b", NOW - 50, (TAG,))]))
    (folder / "link.parquet").symlink_to(elsewhere)
    result = fleet("hosts", root, "-o", "jsonl")
    assert [row["host"] for row in rows(result)] == ["a", "b", "good"] and not result.err


def test_a_single_file_and_files_in_no_partition(root: Path, tmp_path: Path) -> None:
    assert ask("top", good_file(root))[0]["bytes"] == 4096
    flat = tmp_path / "flat"
    flat.mkdir()
    good_file(root).rename(flat / "x.parquet")
    assert ask("top", flat)[0]["bytes"] == 4096


def test_names_that_an_engine_reads_as_globs(tmp_path: Path, root: Path) -> None:
    host = [Sample("a'b\"c", NOW - 60, (TAG._replace(function="it's"),))]
    for name in ("a [b] *?{c,d} 'q' %20 # ü", "back\\slash"):
        write(tmp_path / name, host)
        assert ask("top", tmp_path / name)[0]["function"] == "it's"
        assert ask("hosts", tmp_path / name)[0]["host"] == "a'b\"c"
    good_file(root).rename(beside(root, "back\\slash.parquet"))
    save(beside(root, "both*\\.parquet"), table_of([Sample("x", NOW - 50, (TAG,))]))
    only_the_good(root, "1 file skipped: the path has a backslash and a wildcard")


@pytest.mark.skipif(os.geteuid() == 0, reason="only root")
def test_an_unreadable_file_by_its_rights(root: Path) -> None:
    beside(root).write_bytes(b"x")
    beside(root).chmod(0)
    only_the_good(root, "1 file skipped: permission denied")


def test_an_unreadable_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root reads everything, the call itself is made to fail."""
    bad, open_file = beside(root), os.open
    bad.write_bytes(good_file(root).read_bytes())

    def refuse(path: str, *rest: int, **more: int) -> int:
        if path == str(bad):
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_file(path, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    only_the_good(root, "1 file skipped: permission denied")


def test_only_bad_files_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    result = fleet("top", tmp_path, "-o", "csv")
    assert result.status == 2 and result.out == b""
    assert "holds no Parquet files of allocq that can be read" in result.err
    assert "1 file skipped: empty (a.parquet)" in result.err
    refused(fleet("top", tmp_path / "none"), "no such directory")


def test_joined_files_are_not_counted_again(root: Path) -> None:
    """Copied while a compaction went on, say: the joined file and its parts are both there."""
    part = good_file(root)
    table = table_of([Sample("good", NOW - 60, (TAG,))])
    metadata = {"allocq.schema": "1", "allocq.parts": f'["{part.name}"]'}
    save(beside(root, "joined.parquet"), table, metadata)
    result = fleet("top", root, "-o", "jsonl")
    assert rows(result)[0]["bytes"] == 4096
    assert result.err == "allocq: 1 file left over from a compaction not counted again\n"
    save(beside(root, "joined.parquet"), table, {**metadata, "allocq.parts": "{]"})
    result = fleet("top", root, "-o", "jsonl")
    assert rows(result)[0]["bytes"] == 4096
    assert "1 file left out, whose samples other files have, too" in result.err


def test_files_that_name_themselves_or_each_other_stay(root: Path) -> None:
    good_file(root).unlink()
    folder = next(root.glob("*/*"))

    def put(name: str, *parts: str, host: str = "good") -> None:
        words = ", ".join(f'"{part}.parquet"' for part in parts)
        metadata = {"allocq.schema": "1", "allocq.parts": f"[{words}]"}
        table = table_of([Sample(host, NOW - 60, (TAG,))])
        save(folder / f"{name}.parquet", table, metadata)

    def held() -> int:
        result = fleet("top", root, "-o", "jsonl")
        assert "whose samples other files have" not in result.err
        return int(rows(result)[0]["bytes"])

    put("a", "a")
    assert held() == 4096
    put("a", "b")
    put("b", "a")
    assert held() == 4096
    put("c", "b")  # which were joined in turn
    assert held() == 4096
    put("d", "d", "e", host="other")
    assert held() == 8192


def test_files_that_are_replaced_meanwhile_are_listed_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compaction puts another file in place between the listing and the reading."""
    import allocq.commands.fleet.reading as reading

    listed, find = [], reading.find_files

    def find_then_replace(*words: object) -> object:
        found = find(*words)  # type: ignore[arg-type]
        listed.append([file.name for file in found])
        if len(listed) == 1:
            good_file(root).rename(beside(root, "good-joined.parquet"))
        return found

    monkeypatch.setattr(reading, "find_files", find_then_replace)
    only_the_good(root)
    assert len(listed) == 2 and listed[0] != listed[1]


def test_a_host_whose_clock_is_ahead_of_all_calendars(root: Path) -> None:
    far = (253_402_300_800 + 1) * 1.0  # the year 10000
    table = table_of([Sample("bad", NOW, (TAG,))])
    times = pa.array([int(far) * 1_000_000]).cast(pa.timestamp("us", "UTC"))
    save(beside(root), changed(table, "time", times))
    result = fleet("top", root, "-o", "jsonl")
    assert rows(result)[0]["bytes"] == 4096
    assert "1 host with a clock in the future" in result.err and ": bad;" in result.err
    shown = fleet("hosts", root, "-o", "jsonl")
    assert "Traceback" not in shown.err and [r["host"] for r in rows(shown)] == ["bad", "good"]


def test_several_hosts_in_one_file(root: Path) -> None:
    """As another writer may lay them out: footers do not tell whose samples they are."""
    samples = [Sample(host, NOW - ago, (TAG,)) for host in "ab" for ago in (30, 20, 2 * HOUR)]
    save(beside(root), table_of(samples).cast(SCHEMA))
    assert ask("top", root)[0]["bytes"] == 3 * 4096
    assert [row["samples"] for row in ask("hosts", root)] == [3, 3, 1]
    assert ask("grown", root) == []


REQUIRED = [name for name in SCHEMA.names if name != "content_id"]


def foreign(path: Path, statistics: bool, name: str | None = None, value: object = None) -> None:
    """Two samples of the host bad as another program writes them, all columns nullable; `value` in
    the first row of a column."""
    table = table_of([Sample("bad", NOW - ago, (TAG,)) for ago in (50, 40)])
    columns = {}
    for field in SCHEMA:
        plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        whole = pa.int64() if pa.types.is_timestamp(plain) else plain
        values = table[field.name].cast(plain).cast(whole).to_pylist()
        if field.name == name:
            values[0] = value
        columns[field.name] = pa.array(values, whole).cast(plain)
    table = pa.table(columns)
    with pq.ParquetWriter(path, table.schema, write_statistics=statistics) as file:
        file.write_table(table)
        file.add_key_value_metadata({"allocq.schema": "1"})


def test_a_file_without_statistics_is_good(root: Path) -> None:
    foreign(beside(root), False)
    found = {row["host"]: row["samples"] for row in ask("hosts", root)}
    assert found == {"bad": 2, "good": 1}
    assert ask("top", root)[0]["bytes"] == 8192
    good_file(root).unlink()
    assert ask("hosts", root)[0]["samples"] == 2


@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.parametrize("name", REQUIRED)
def test_a_file_with_null(root: Path, name: str, statistics: bool) -> None:
    foreign(beside(root), statistics, name)
    for what in ("top", "hosts"):
        only_the_good(root, "1 file skipped: NULL where allocq writes a value", what=what)


ENDS = [2**63 - 1, 2**63 - 2, 2**62, -(2**62), -(2**63) + 1, -(2**63)]


@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.parametrize("time", ENDS)
def test_times_beyond_all_calendars(root: Path, time: int, statistics: bool) -> None:
    foreign(beside(root), statistics, "time", time)
    result = fleet("top", root, "-o", "jsonl")
    assert [row["bytes"] for row in rows(result)] == [8192], result
    assert ("1 host with a clock in the future" in result.err) == (time > 0)
    found = {row["host"]: row for row in ask("hosts", root)}
    assert found["bad"]["samples"] == (2 if time > 0 else 1) and "good" in found
    assert (found["bad"]["ahead"] is not None) == (time > 0)
    for what in ("grown", "outliers", "percentiles"):
        for bound in ((), ("--since", "@0")):
            assert fleet(what, root, "-o", "csv", *bound).status in (0, 1)


@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.parametrize("time", [time for time in ENDS if time > 0])
def test_a_clock_in_the_future_does_not_move_the_window(
    root: Path, time: int, statistics: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data is older than a day, and one file holds good samples and one of the future."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW + 100 * HOUR))
    foreign(beside(root), statistics, "time", time)
    assert {row["host"] for row in ask("hosts", root)} == {"bad", "good"}
    assert ask("top", root)[0]["bytes"] == 8192


@pytest.mark.parametrize("step", ["duckdb.connect", "allocq.fleet.footers._read"])
def test_no_memory_is_said_wherever_it_ends(
    root: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*words: object, **more: object) -> None:
        raise duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate")

    monkeypatch.setattr(step, full)
    refused(fleet("top", root), "DuckDB ran out of memory")


def test_little_memory(root: Path) -> None:
    """Whatever part of it does not fit, no file is blamed, and nothing is said to be missing."""
    command = [*MODULE, "fleet", "top", "--data", str(root), "-o", "csv"]
    said = set()
    for limit in range(160_000, 640_000, 60_000):
        words = f'ulimit -v {limit}; exec "$@"'
        done = subprocess.run(["bash", "-c", words, "bash", *command], capture_output=True)
        err = done.stderr.decode()
        assert "internal error" not in err and "Traceback" not in err, (limit, err)
        assert "skipped" not in err and "not installed" not in err, (limit, err)
        if err:
            said.add(err)
    assert any("memory" in err for err in said)


def test_odd_names_are_left_out_of_filters_and_counted(root: Path) -> None:
    odd = TAG._replace(file="a b\nc", function="x y")
    save(beside(root), table_of([Sample("odd", NOW - 50, (odd,))]))
    assert len(ask("top", root)) == 2
    result = fleet("top", root, "-o", "jsonl", "-f", "*")
    assert [row["file"] for row in rows(result)] == ["a.c"]
    assert "1 tag left out: no kernel prints such names" in result.err
    assert b"\n" not in fleet("top", root, "-o", "table").out.splitlines()[2]


def test_counters_that_no_machine_has(root: Path) -> None:
    """The sums of what damaged counters say do not fit into 64 bits."""
    huge = TAG._replace(bytes=(1 << 63) - 1, calls=(1 << 63) - 1)
    save(beside(root), table_of([Sample(host, NOW - 50, (huge, huge)) for host in "xyz"]))
    row = ask("top", root)[0]
    assert (row["bytes"], row["underflowed"]) == (4096, True)
    least = TAG._replace(bytes=-(1 << 63), calls=-(1 << 63))
    save(beside(root), table_of([Sample(host, NOW - 50, (least, least)) for host in "xyz"]))
    assert ask("top", root, "--underflowed")[0]["bytes"] == -6 * (1 << 48)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_question_leaves_nothing_behind(
    root: Path, tmp_path: Path, number: signal.Signals
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = {**os.environ, "TMPDIR": str(temporary)}
    command = [*MODULE, "fleet", "top", "--data", str(root)]
    asked = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    until(lambda: list(temporary.iterdir()))
    asked.send_signal(number)
    out, err = asked.communicate()
    ended = 130 if number == signal.SIGINT else -number
    assert asked.returncode in (0, ended) and b"Traceback" not in err, err
    assert (asked.returncode == 0) == bool(out)
    assert not list(temporary.iterdir())


def moved_to(root: Path, path: Path, partition: str, name: str) -> Path:
    """Move a file to where it does not belong."""
    folder = root / partition
    folder.mkdir(parents=True, exist_ok=True)
    return path.rename(folder / name)


@pytest.mark.parametrize("partition", ["date=2020-01-01/hour=03", "date=2026-11-18/hour=23"])
def test_a_directory_that_lies_about_the_hour(root: Path, partition: str) -> None:
    """The only file is found all the same, and it is said."""
    moved_to(root, good_file(root), partition, "x.parquet")
    only_the_good(root, f"1 file in the directory of another hour ({partition}/x.parquet)")


def test_a_name_tells_that_the_directory_lies(root: Path) -> None:
    """Whatever the window is, such a file is looked into."""
    (path,) = write(root, [Sample("other", NOW - 30 * HOUR, (TAG._replace(bytes=5),))])
    moved_to(root, path, "date=2020-01-01/hour=03", path.name)
    said = "1 file in the directory of another hour (date=2020-01-01/hour=03/other."
    result = fleet("top", root, "-o", "jsonl", "--since", "40 hours ago")
    assert rows(result)[0]["bytes"] == 4096 + 5 and said in result.err
    result = fleet("hosts", root, "-o", "jsonl", "--since", "40 hours ago")
    assert [row["host"] for row in rows(result)] == ["good", "other"] and said in result.err


def in_sql(paths: list[Path]) -> tuple[int, int]:
    """(bytes, calls) of the latest sample of each host with repeated rows left out, by DuckDB."""
    sums = duckdb.execute(
        "WITH data AS (SELECT * FROM read_parquet(?)), last AS"
        " (SELECT host, max(time) AS time FROM data GROUP BY host)"
        " SELECT sum(bytes)::BIGINT, sum(calls)::BIGINT"
        " FROM (SELECT DISTINCT * FROM data SEMI JOIN last USING (host, time))",
        [list(map(str, paths))],
    ).fetchone()
    assert sums is not None
    return sums[0], sums[1]


MANY = tuple(
    TAG._replace(line=line, bytes=line * 4096, calls=line, function=f"f{line % 7}")
    for line in range(1, 90)
)


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("tags", [2, 89])
@pytest.mark.parametrize("neighbors", [0, 1, 9])
def test_a_sample_several_times_in_one_file_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, tags: int, neighbors: int
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW))
    bad = [Sample("bad", NOW - 60, MANY[:tags]), Sample("bad", NOW - 120, MANY[1:tags])]
    others = [Sample(f"h{number}", NOW - 70, MANY[number:]) for number in range(neighbors)]
    paths = write(tmp_path, [*bad, *others])
    save(paths[0], table_of(bad * times))
    said = "allocq: {} sample{} several times in one file counted once\n"
    for argv in (["top"], ["top", "-g", "file"], ["top", "--accurate"], ["hosts"]):
        result = fleet(argv[0], tmp_path, "-o", "jsonl", *argv[1:])
        found = rows(result)
        sums = tuple(sum(row[name] for row in found) for name in ("bytes", "calls"))
        assert sums == in_sql(paths) and result.err == said.format(1, ""), argv
    grown = fleet("grown", tmp_path, "-o", "jsonl")
    assert [(row["growth"], row["line"]) for row in rows(grown)] == [(4096, 1)]
    assert said.format(2 if tags > 2 else 1, "s" if tags > 2 else "") in grown.err
    percentiles = fleet("percentiles", tmp_path, "-o", "jsonl", "--host", "bad")
    assert {row["max"] for row in rows(percentiles)} == {tag.bytes for tag in MANY[:tags]}


def test_many_samples_of_which_few_are_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rows than are looked at one by one without a reason."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW))
    tags = tuple(TAG._replace(line=n, bytes=n, function=f"f{n}") for n in range(1, 3000))
    samples = [Sample(f"h{n}", NOW - 60 - n, tags) for n in range(24)]
    paths = write(tmp_path, samples)
    clean = fleet("top", tmp_path, "-o", "jsonl", "-g", "file")
    assert not clean.err
    save(paths[5], table_of([samples[5]] * 2))
    result = fleet("top", tmp_path, "-o", "jsonl", "-g", "file")
    assert rows(result) == rows(clean)
    assert sum(row["bytes"] for row in rows(result)) == in_sql(paths)[0]
    assert result.err == "allocq: 1 sample several times in one file counted once\n"


def test_tags_of_the_same_names_that_hold_the_same_are_no_copies(root: Path) -> None:
    """A recording of one function, say, of which a macro made two tags."""
    save(good_file(root), table_of([Sample("good", NOW - 60, (TAG, TAG))]))
    result = fleet("top", root, "-o", "jsonl")
    assert rows(result)[0]["bytes"] == 2 * 4096 and not result.err
    some = (TAG, TAG, TAG._replace(line=2))
    save(good_file(root), table_of([Sample("good", NOW - 60, some)]))
    result = fleet("top", root, "-o", "jsonl")
    assert sum(row["bytes"] for row in rows(result)) == 3 * 4096 and not result.err


def test_nothing_but_the_answer_is_printed_however_long_it_takes() -> None:
    """DuckDB shows a progress bar on standard output after 2 s where __main__ is no file, as it is
    where the installed program starts Python."""
    show = "execute(\"SELECT current_setting('enable_progress_bar')\").fetchone()[0]"
    code = (
        "import duckdb\n"
        "from allocq.fleet.engine import open_engine\n"
        f"print(duckdb.connect().{show})\n"
        "with open_engine('duckdb', None) as engine:\n"
        f"    print(engine.footers.{show}, engine.footers.cursor().{show})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\nFalse False\n"
