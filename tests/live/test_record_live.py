"""`allocq record` on a running kernel: what it wrote is what the text said."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import oracle
import pytest
from command import ALLOCQ, here, until

from allocq.errors import SourceError
from allocq.sources.series import open_series
from allocq.storage.recording.reader import Recording


def read(folder: Path, *argv: str) -> list[oracle.Tag]:
    done = here("query", "--source", str(folder), "-o", "procfs", *argv)
    assert done.status == 0, done
    return oracle.parse(done.out)


def count(folder: Path) -> int:
    with contextlib.suppress(SourceError):
        return len(Recording(folder).points())
    return 0


def sampled(folder: Path) -> None:
    """Wait until a sample was begun and taken."""
    before = count(folder)
    until(lambda: count(folder) >= before + 2)


def names(tags: list[oracle.Tag]) -> list[tuple[object, ...]]:
    return [tag[2:6] for tag in tags]


@pytest.mark.parametrize("interface", ["ioctl", "text"])
def test_a_sample_is_between_two_readings_of_the_text(
    interface: str, tmp_path: Path, cat_allocinfo: Callable[[], str]
) -> None:
    """A counter that did not move in between is the same in all three."""
    for _ in range(5):
        before = oracle.parse(cat_allocinfo().encode())
        done = here("record", "--once", str(tmp_path / "r"), "--interface", interface)
        assert done == (0, b"", "")
        after = oracle.parse(cat_allocinfo().encode())
        found = read(tmp_path / "r")
        assert names(found) == names(before) == names(after)
        still = sum(one == two for one, two in zip(before, after, strict=True))
        assert still > len(before) * 0.8
        wrong = [
            tag
            for one, two, tag in zip(before, after, found, strict=True)
            if one[:2] == two[:2] and one[:2] != tag[:2]
        ]
        if len(wrong) < 5:  # what recording itself holds for a moment
            return
    pytest.fail(str(wrong))


def test_the_kernel_behind_another_path(tmp_path: Path, cat_allocinfo: Callable[[], str]) -> None:
    """As a container has it: what is in its own /proc may be hidden."""
    proc = tmp_path / "host" / "proc"
    proc.mkdir(parents=True)
    subprocess.run(["mount", "-t", "proc", "-o", "ro", "proc", proc], check=True)
    subprocess.run(["mount", "--bind", os.devnull, "/proc/allocinfo"], check=True)
    try:
        source = ("--source", str(proc / "allocinfo"))
        done = here("record", "--once", str(tmp_path / "r"), *source, "--host", "node1")
        assert done == (0, b"", "")
        assert here("query", "--count").status == 2
    finally:
        subprocess.run(["umount", "/proc/allocinfo"], check=True)
        subprocess.run(["umount", proc], check=True)
    assert names(read(tmp_path / "r")) == names(oracle.parse(cat_allocinfo().encode()))
    saved = tmp_path / "saved.txt"
    assert here("snapshot", "--source", str(tmp_path / "r"), str(saved)).status == 0
    assert "# host: node1\n" in saved.read_text()


def test_a_module_that_comes_and_goes(tmp_path: Path, modprobe: Callable[[str], None]) -> None:
    folder = tmp_path / "r"
    child = subprocess.Popen([*ALLOCQ, "record", "-d", str(folder), "--interval", "0.1"])
    try:
        until(lambda: count(folder) > 2)
        without = time.time()
        modprobe("xfs")
        sampled(folder)
        loaded = time.time()
        modprobe.remove("xfs")  # type: ignore[attr-defined]
        sampled(folder)
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
    assert not [tag for tag in read(folder, "--at", f"@{without:.6f}") if tag.module == "xfs"]
    assert len([tag for tag in read(folder, "--at", f"@{loaded:.6f}") if tag.module == "xfs"]) > 20
    assert not [tag for tag in read(folder) if tag.module == "xfs"]


def test_a_leak_is_seen_between_two_times(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    child = subprocess.Popen([*ALLOCQ, "record", "-d", str(folder), "--interval", "0.1"])
    pipes: list[int] = []
    try:
        until(lambda: count(folder) > 2)
        begin = time.time()
        for _ in range(400):
            pipes += os.pipe()
        sampled(folder)
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
        for fd in pipes:
            os.close(fd)
    done = here("diff", "--source", str(folder), "--since", f"@{begin:.6f}",
                "--function", "alloc_pipe_info", "-o", "csv")  # fmt: skip
    assert done.status == 0
    rows = [line.split(",") for line in done.out.decode().splitlines()[1:]]
    assert sum(int(row[2]) for row in rows) >= 400


@contextlib.contextmanager
def recorder(folder: Path, interval: str = "0.1") -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [*ALLOCQ, "record", "-d", str(folder), "--interval", interval],
        stderr=subprocess.PIPE,
        text=True,
    )
    before = count(folder)
    try:
        until(lambda: count(folder) > before + 2)
        yield child
    finally:
        child.kill()
        child.wait()


def said(child: subprocess.Popen[str], word: str) -> str:
    """The next line with this word; others may tell of a slow read."""
    assert child.stderr
    for line in child.stderr:
        if word in line:
            return line
    pytest.fail(f"it never said: {word}")


def test_a_full_disk_is_said_once_and_loses_nothing_written(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=True)
    folder, filler = tmp_path / "r", tmp_path / "filler"
    try:
        with recorder(folder, "0.05") as child:
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            assert "trying again" in said(child, "cannot write")
            safe = Recording(folder).points()
            time.sleep(1)  # it is tried again, some twenty times
            assert Recording(folder).points()[: len(safe)] == safe
            filler.unlink()
            assert "could not be recorded" in said(child, "recording again")
            more = count(folder)
            until(lambda: count(folder) > more)
            child.send_signal(signal.SIGTERM)
            assert child.wait(30) == 0 and child.stderr
            assert "cannot write" not in child.stderr.read()
        recording = Recording(folder)
        assert recording.points()[: len(safe)] == safe
        assert len(list(recording.samples())) == len(recording.points())
        assert recording.warnings == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_clock_that_is_set_back_an_hour(tmp_path: Path) -> None:
    """Both hours are read, in the order of their times."""
    folder = tmp_path / "r"
    with recorder(folder) as child:
        first = count(folder)
        jumped = time.time()
        time.clock_settime(time.CLOCK_REALTIME, jumped - 3600)
        try:
            until(lambda: len(Recording(folder).points(until=int((jumped - 1800) * 1e9))) > 3)
            now = read(folder)
            (last,) = [Recording(folder).at(time.time_ns())]
            assert last is not None and abs(last.moment.time / 1e9 - time.time()) < 60
            assert len(now) == len(last.counters)
            child.send_signal(signal.SIGTERM)
            assert child.wait(30) == 0
        finally:
            time.clock_settime(time.CLOCK_REALTIME, time.time() + 3600)
    samples = list(Recording(folder).samples())
    before = [each for each in samples if each.moment.time > (jumped - 1800) * 1e9]
    assert len(before) >= first and len(samples) - len(before) > 3
    boottimes = [each.moment.boottime for each in samples]
    assert boottimes == sorted(boottimes)
    points = open_series(folder).points()
    assert points == sorted(points, key=lambda point: point.time)


def test_a_killed_recorder_keeps_what_was_read(tmp_path: Path) -> None:
    """A reader beside the writer saw it: it is there after any number of kills."""
    folder = tmp_path / "r"
    safe: list[int] = []
    for turn in range(6):
        wanted = len(safe) + turn
        with recorder(folder, "0.05"):
            until(lambda wanted=wanted: count(folder) > wanted)
            safe = [point.time for point in Recording(folder).points()]
        found = [point.time for point in Recording(folder).points()]
        assert found[: len(safe)] == safe and Recording(folder).warnings == []
    assert len(safe) > 15


HOG = """
with open("/proc/self/oom_score_adj", "w") as file:
    file.write("1000")
held = []
while True:
    held.append(bytearray(b"x") * (4 << 20))
"""


def test_it_outlives_a_machine_without_memory(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    child = subprocess.Popen([*ALLOCQ, "record", "-d", str(folder), "--interval", "0.1"])
    try:
        until(lambda: count(folder) > 2)
        proc = Path(f"/proc/{child.pid}")
        assert (proc / "oom_score_adj").read_text() == "-900\n"
        assert "VmLck:\t       0 kB" not in (proc / "status").read_text()
        for _ in range(2):
            hog = subprocess.run([sys.executable, "-c", HOG], timeout=120, check=False)
            assert hog.returncode == -signal.SIGKILL  # by the kernel, for want of memory
            sampled(folder)
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
    recording = Recording(folder)
    assert len(list(recording.samples())) == count(folder) and recording.warnings == []


@pytest.mark.guest(kernel="old")
def test_a_kernel_without_the_ioctl(tmp_path: Path) -> None:
    assert here("record", "--once", str(tmp_path / "r")) == (0, b"", "")
    assert len(read(tmp_path / "r")) > 500
