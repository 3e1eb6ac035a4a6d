"""`allocq record` on a running kernel: what it wrote is what the text said."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import oracle
import pytest
from command import ALLOCQ, here, until

from allocq.errors import SourceError
from allocq.storage.recording.reader import Recording


def read(folder: Path, *argv: str) -> list[oracle.Tag]:
    done = here("query", "--source", str(folder), "-o", "procfs", *argv)
    assert done.status == 0, done
    return oracle.parse(done.out)


def count(folder: Path) -> int:
    with contextlib.suppress(SourceError):
        return len(Recording(folder).points())
    return 0


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


def test_a_module_that_comes_and_goes(tmp_path: Path, modprobe: Callable[[str], None]) -> None:
    folder = tmp_path / "r"
    child = subprocess.Popen([*ALLOCQ, "record", "-d", str(folder), "--interval", "0.1"])
    try:
        until(lambda: count(folder) > 2)
        without = time.time()
        modprobe("xfs")
        time.sleep(0.5)
        loaded = time.time()
        modprobe.remove("xfs")  # type: ignore[attr-defined]
        time.sleep(0.5)
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
        time.sleep(0.5)
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


@pytest.mark.guest(kernel="old")
def test_a_kernel_without_the_ioctl(tmp_path: Path) -> None:
    assert here("record", "--once", str(tmp_path / "r")) == (0, b"", "")
    assert len(read(tmp_path / "r")) > 500
