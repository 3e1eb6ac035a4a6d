"""`allocq record --parquet` loses no sample and writes none twice, whatever ends it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import Result, refused, until
from parquet_files import check_places, rows_of, said
from test_record import Kernel, count
from test_shipping import append, at

from allocq.storage.parquet.compaction import compact
from allocq.storage.parquet.schema import GLOB
from allocq.storage.recording.reader import Recording


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    return Kernel(tmp_path_factory.mktemp("simulated"))


def check(folder: Path, root: Path) -> None:
    """The files have what the recording has."""
    assert rows_of(root) == said(Recording(folder).samples(), os.uname().nodename)
    check_places(root)


def idle(folder: Path) -> bool:
    """Does nobody ship?"""
    lock = os.open(folder / "shipping", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def test_all_is_there_at_the_end(
    kernel: Kernel, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    for number, ending in enumerate((signal.SIGTERM, signal.SIGINT)):
        child = kernel.start(str(folder), "--interval", "0.1s", "--parquet", str(root))
        started.append(child)
        wanted = count(folder) + 5
        until(lambda wanted=wanted: count(folder) >= wanted)
        kernel.change()
        child.send_signal(ending)
        _, err = child.communicate(timeout=100)
        assert child.returncode == 0, err
        assert f"allocq: recording every 0.1 s to {folder}\n" in err
        assert "ship" not in err
        check(folder, root)
        assert len(list(root.glob(GLOB))) >= number + 1
    list(compact(root, print))
    check(folder, root)


def test_killed_again_and_again_it_ships_everything_once(
    kernel: Kernel, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    for number in range(4):
        child = kernel.start(str(folder), "--interval", "0.1s", "--parquet", str(root))
        started.append(child)
        wanted = count(folder) + 3
        until(lambda wanted=wanted: count(folder) >= wanted)
        if number % 2:  # while it ships what is left
            child.send_signal(signal.SIGTERM)
            time.sleep(0.1 * number)
        child.kill()
        child.wait()
        said_so_far = said(Recording(folder).samples(), os.uname().nodename)
        assert rows_of(root) <= said_so_far
    until(lambda: not (folder / "shipping").exists() or idle(folder))
    child = kernel.start(str(folder), "--interval", "0.1s", "--parquet", str(root))
    started.append(child)
    before = count(folder)
    until(lambda: count(folder) > before)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=100)
    assert child.returncode == 0, err
    check(folder, root)


def test_once_ships_the_hours_that_are_over(kernel: Kernel, tmp_path: Path) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    some = [at(0), at(0.5), at(1)]
    append(folder, some)
    for _ in range(2):
        done = kernel("record", "--once", str(folder), "--parquet", str(root))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert rows_of(root) == said(some, "h")


def test_what_cannot_be_shipped_is_said_once_and_stays(
    kernel: Kernel, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    root.mkdir()
    append(folder, [at(0)])
    (root / "date=2024-10-04").write_text("in the way")
    child = kernel.start(str(folder), "--interval", "0.1s", "--parquet", str(root))
    started.append(child)
    assert child.stderr
    words = "not shipped, trying again: cannot read"
    assert any(words in line for line in child.stderr)
    child.send_signal(signal.SIGTERM)  # it tries once more
    assert words not in child.stderr.read()
    assert child.wait(100) == 0
    (root / "date=2024-10-04").unlink()
    assert kernel("ship", "--source", str(folder), "--to", str(root), "--all").returncode == 0
    assert sum(rows_of(root).values()) == sum(
        len(sample.subjects) for sample in Recording(folder).samples()
    )


def test_mistakes(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root, words in (
        ("", "--parquet is empty"),
        ("s3://bucket", "--parquet takes a directory"),
        (str(tmp_path / "file"), "is not a directory"),
    ):
        done = kernel("record", "--once", str(tmp_path / "r"), "--parquet", root)
        refused(Result(done.returncode, done.stdout.encode(), done.stderr), words)
        assert not (tmp_path / "r").exists()
