"""Compaction joins files and keeps every row exactly once, wherever it is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import here
from parquet_files import HOUR_US, START_US, file_rows, rows_of, write_part

from allocq.core import exchange as engine
from allocq.errors import OutputError, SourceError
from allocq.storage.parquet import compaction
from allocq.storage.parquet.compaction import compact
from allocq.storage.parquet.schema import GLOB

CHILD = Path(__file__).with_name("parquet_files.py")
STRACE = ("strace", "-f", "-qq", "-o", "/dev/null")
# What changes a directory, and what makes it last.
CALLS = ("renameat2", "renameat", "rename", "linkat", "unlinkat", "mkdirat", "fsync")


def killed_before_each_call(first: Path, can_exchange: bool) -> Iterator[tuple[Path, str]]:
    """Copies of a directory with a compaction killed before each call, and before which; of each
    kind of call the last one is whole. Without can_exchange renameat2() fails."""
    without = [] if can_exchange else ["-e", "inject=renameat2:error=EINVAL"]
    for call in CALLS[not can_exchange :]:
        for number in range(1, 100):
            root = first.with_name("killed")
            shutil.copytree(first, root)
            kill = ["-e", f"inject={call}:signal=KILL:when={number}"]
            run = subprocess.run(
                [*STRACE, *without, *kill, sys.executable, CHILD, root], capture_output=True
            )
            yield root, f"before {call} {number}"
            shutil.rmtree(root)
            if run.returncode == 0:
                break
            assert run.returncode == -signal.SIGKILL, run.stderr
        else:
            raise AssertionError("it never ended by itself")


def filled(root: Path) -> None:
    """Two hosts, two hours; times of the parts of one host overlap."""
    write_part(root, "web1", 1, [START_US, START_US + 20])
    write_part(root, "web1", 2, [START_US + 30, START_US + 40])
    write_part(root, "web1", 3, [START_US + 10, START_US + 35])
    write_part(root, "web2", 1, [START_US + 5])
    write_part(root, "web1", 1, [START_US + HOUR_US])
    write_part(root, "web1", 2, [START_US + HOUR_US + 1])


def test_joins_the_files_of_a_host_and_an_hour(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "date=2026-09-21/hour=14/README").write_text("kept")
    before = rows_of(tmp_path)
    warnings: list[str] = []
    done = list(compact(tmp_path, warnings.append))
    assert [(each.path.name, each.joined, each.made) for each in done] == [
        ("hour=14", 3, 1),
        ("hour=15", 2, 1),
    ]
    assert [each.rows for each in done] == [36, 12]
    assert rows_of(tmp_path) == before
    assert warnings == []
    assert len(list(tmp_path.glob(GLOB))) == 3
    assert sorted(path.name for path in (tmp_path / "date=2026-09-21").iterdir()) == [
        "hour=14",
        "hour=15",
    ]
    assert (tmp_path / "date=2026-09-21/hour=14/README").read_text() == "kept"
    for path in tmp_path.glob(GLOB):
        keys = [(*row[5:9], row[1]) for row in file_rows(path)]
        assert keys == sorted(keys)
    assert list(compact(tmp_path, warnings.append)) == []


def test_joins_what_was_joined_with_what_came_later(tmp_path: Path) -> None:
    filled(tmp_path)
    list(compact(tmp_path, print))
    write_part(tmp_path, "web1", 4, [START_US + 50])
    before = rows_of(tmp_path)
    assert [each.joined for each in compact(tmp_path, print)] == [2]
    assert rows_of(tmp_path) == before


def twins(root: Path) -> Counter[tuple[object, ...]]:
    """Samples in several files of an hour; returns the rows with each of them once."""
    one = write_part(root, "web1", 1, [START_US, START_US + 20, START_US + 30])
    once = Counter(file_rows(one))
    same = one.with_name("web1.copied.by-hand.parquet")
    shutil.copy(one, same)
    # One sample in common, and one of its own.
    more = write_part(root, "web1", 1, [START_US + 20, START_US + 40])
    os.rename(more, more.with_name("anything.parquet"))
    shutil.move(same, one)
    shutil.copy(one, same)
    once.update(file_rows(write_part(root / "x", "web1", 1, [START_US + 40])))
    shutil.rmtree(root / "x")
    # The same time in another boot, or of another host, is another sample.
    once.update(file_rows(write_part(root, "web1", 5, [START_US], boot="other")))
    once.update(file_rows(write_part(root, "web2", 1, [START_US])))
    return once


def test_a_sample_in_several_files_is_kept_once(tmp_path: Path) -> None:
    once = twins(tmp_path)
    assert sum(rows_of(tmp_path).values()) > sum(once.values())
    (done,) = compact(tmp_path, print)
    assert rows_of(tmp_path) == once
    assert (done.joined, done.made, done.repeated) == (4, 1, 4)
    keys = [(*row[5:9], row[1]) for path in tmp_path.glob(GLOB) for row in file_rows(path)
            if row[0] == "web1"]  # fmt: skip
    assert keys == sorted(keys)
    # What was joined comes in once more.
    write_part(tmp_path, "web1", 1, [START_US, START_US + 20, START_US + 30])
    (done,) = compact(tmp_path, print)
    assert (done.joined, done.repeated) == (2, 3)
    assert rows_of(tmp_path) == once
    assert list(compact(tmp_path, print)) == []


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_of_a_sample_in_pieces_the_larger_one_stays(tmp_path: Path, names: tuple[str, str]) -> None:
    whole = write_part(tmp_path, "web1", 1, [START_US], tags=6)
    expected = Counter(file_rows(whole))
    whole = whole.rename(whole.with_name(f"{names[0]}.parquet"))
    part = write_part(tmp_path, "web1", 1, [START_US], tags=4)
    part.rename(part.with_name(f"{names[1]}.parquet"))
    assert [each.repeated for each in compact(tmp_path, print)] == [1]
    assert rows_of(tmp_path) == expected


def test_the_command_says_what_was_repeated(tmp_path: Path) -> None:
    twins(tmp_path)
    done = here("fleet", "compact", "--data", str(tmp_path))
    assert done.status == 0
    assert "4 files joined into 1" in done.err
    assert done.err.endswith("; 4 samples repeated in them left out\n")


@pytest.mark.parametrize("can_exchange", [True, False])
def test_killed_among_repeated_samples_none_is_lost(tmp_path: Path, can_exchange: bool) -> None:
    first = tmp_path / "first"
    once = twins(first)
    twice = rows_of(first)
    killed = 0
    for root, where in killed_before_each_call(first, can_exchange):
        killed += 1
        found = rows_of(root)
        assert found in (once, twice) or (not can_exchange and not found), where
        list(compact(root, print))
        assert rows_of(root) == once, where
    assert killed > 15 + len(CALLS)


@pytest.mark.parametrize("can_exchange", [True, False])
def test_killed_at_any_point_no_row_is_lost_or_doubled(tmp_path: Path, can_exchange: bool) -> None:
    first = tmp_path / "first"
    write_part(first, "web1", 1, [START_US, START_US + 20])
    write_part(first, "web1", 2, [START_US + 10])
    write_part(first, "web2", 1, [START_US + 5])
    expected = rows_of(first)
    killed = []
    for root, where in killed_before_each_call(first, can_exchange):
        killed.append(where)
        found = rows_of(root)
        # Between two renames the hour is not there.
        assert found == expected or (not can_exchange and not found), where
        list(compact(root, print))
        assert rows_of(root) == expected, where
        assert len(list(root.glob(GLOB))) == 2, where
        assert len(list(root.rglob("*"))) == 4, where
    assert len(killed) > 15 + len(CALLS), killed


def test_a_reader_finds_every_row_once_at_any_time(tmp_path: Path) -> None:
    filled(tmp_path)
    expected = rows_of(tmp_path)
    stop = threading.Event()
    wrong: list[int] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        while not stop.is_set():
            try:
                found = rows_of(tmp_path)
            except FileNotFoundError:  # listed before, opened after
                continue
            reads += 1
            if not found <= rows_of_all:
                wrong.append(len(found))

    rows_of_all = expected.copy()
    for part in range(10, 40):
        rows_of_all.update(
            file_rows(write_part(tmp_path / "x", "web1", part, [START_US + 100 * part]))
        )
    shutil.rmtree(tmp_path / "x")
    thread = threading.Thread(target=read)
    thread.start()
    for part in range(10, 40):
        write_part(tmp_path, "web1", part, [START_US + 100 * part])
        list(compact(tmp_path, print))
    stop.set()
    thread.join()
    assert not wrong
    assert reads > 3
    assert rows_of(tmp_path) == rows_of_all


def test_what_comes_in_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    other = tmp_path / "other"
    late = write_part(other, "web9", 1, [START_US + 7])
    expected = rows_of(tmp_path) + rows_of(other)

    def exchange(folder: int, one: str, two: str) -> None:
        if two == "hour=14":  # somebody who knows nothing of locks
            shutil.copy(late, tmp_path / "date=2026-09-21/hour=14")
        engine.exchange(folder, one, two)

    monkeypatch.setattr(compaction, "exchange", exchange)
    assert len(list(compact(tmp_path, print))) == 2
    shutil.rmtree(other)
    assert rows_of(tmp_path) == expected


def test_foreign_and_damaged_files_stay_and_are_named(tmp_path: Path) -> None:
    filled(tmp_path)
    hour = tmp_path / "date=2026-09-21/hour=14"
    whole = sorted(hour.iterdir())[0].read_bytes()
    (hour / "half.parquet").write_bytes(whole[: len(whole) // 2])
    (hour / "empty.parquet").touch()
    (hour / "text.parquet").write_text("host,time\n")
    newer = whole.replace(b"allocq.schema\x18\x011", b"allocq.schema\x18\x019")
    assert newer != whole
    (hour / "newer.parquet").write_bytes(newer)
    os.mkfifo(hour / "pipe.parquet")
    (hour / "link.parquet").symlink_to(sorted(hour.glob("web1*"))[0])
    (tmp_path / "date=2026-09-21/hour=16").symlink_to(hour)
    (tmp_path / "date=x").mkdir()
    names = {path.name for path in hour.iterdir() if not path.name.startswith("web1")}
    warnings: list[str] = []
    assert [each.joined for each in compact(tmp_path, warnings.append)] == [3, 2]
    assert names <= {path.name for path in hour.iterdir()}
    assert (hour / "link.parquet").is_symlink()
    for name in ("half", "empty", "text", "newer"):
        assert any(f"{name}.parquet" in words for words in warnings), warnings
    assert any("this allocq reads up to 1" in words for words in warnings)
    assert any("hour=16: not a directory" in words for words in warnings)


@pytest.mark.parametrize("at", [40, -600, -200, -30])
def test_a_damaged_file_stays_as_it_was(
    tmp_path: Path, at: int, capfd: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path)
    path = sorted((tmp_path / "date=2026-09-21/hour=14").glob("web1*"))[0]
    others = rows_of(tmp_path) - Counter(file_rows(path))
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at : at + 16] = bytes(16)
    path.write_bytes(data)
    warnings: list[str] = []
    list(compact(tmp_path, warnings.append))
    assert [path.name in words for words in warnings] == [True]
    assert path.read_bytes() == data
    path.unlink()
    assert rows_of(tmp_path) == others
    assert not list(tmp_path.rglob(".*"))
    assert capfd.readouterr() == ("", "")


def test_a_root_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read"):
        list(compact(tmp_path / "missing", print))
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="cannot read"):
        list(compact(tmp_path / "file", print))


def test_a_full_disk_leaves_the_hour_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    before = rows_of(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compaction.arrow, "write", full)
    with pytest.raises(OutputError, match="No space left"):
        list(compact(tmp_path, print))
    assert rows_of(tmp_path) == before
    assert not list(tmp_path.rglob(".*"))


def test_an_interrupt_in_the_midst_of_rows_is_one(tmp_path: Path) -> None:
    """And not what Arrow makes of an exception between two of its steps."""
    filled(tmp_path)
    before = rows_of(tmp_path)
    merged = compaction._merged

    def interrupted(*given: Any) -> Iterator[Any]:
        for rows in merged(*given):
            signal.raise_signal(signal.SIGINT)
            yield rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "_merged", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(compact(tmp_path, print))
    assert rows_of(tmp_path) == before
    assert not list(tmp_path.rglob(".*"))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
