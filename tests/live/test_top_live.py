"""`allocq top` on a running kernel."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import oracle
import pytest
from command import MODULE, allocq, here
from screens import DOWN, Screened, screened


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "tmpfs"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def rows(seen: Screened) -> list[str]:
    return [line for line in seen.lines if re.search(r"\.(c|h|rs):\d+", line)]


def compared(cat_allocinfo: Callable[[], str]) -> tuple[int, list[object]]:
    """How many of the largest tags that stood still are on the screen, and those that differ."""
    before = oracle.parse(cat_allocinfo().encode())
    with screened("top", "-s", "bytes", "--bytes", "--interval", "60s", columns=160) as seen:
        seen.until("tags by size")
        seen.until(lambda: len(rows(seen)) > 10)
        shown = rows(seen)
        beside = oracle.parse(cat_allocinfo().encode())
    after = oracle.parse(cat_allocinfo().encode())
    # What top itself holds is there only while it runs.
    moved = {
        one.subject()
        for one, two, three in zip(before, beside, after, strict=True)
        if not one[:2] == two[:2] == three[:2]
    }
    still = sorted((tag for tag in after if tag.subject() not in moved), key=lambda tag: -tag.bytes)
    found, wrong = 0, []
    for tag in still[:10]:
        line = next((line for line in shown if f"{tag.file}:{tag.line} " in line), None)
        if line is not None:
            found += 1
            cells = re.sub(r"[~*^!]+", " ", line).split()
            if cells[:2] != [str(tag.bytes), str(tag.calls)]:
                wrong.append((tag, line))
    return found, wrong


def test_rows_are_what_the_kernel_says(cat_allocinfo: Callable[[], str]) -> None:
    """The largest tags that stand still, to the byte. A counter may go and come back in between."""
    for _ in range(5):
        found, wrong = compared(cat_allocinfo)
        if found >= 5 and not wrong:
            return
    pytest.fail(str((found, wrong)))


def test_a_tmpfs_that_grows_comes_first(tmpfs: Path) -> None:
    with screened("top", "--interval", "0.5s", columns=160) as seen:
        seen.until(lambda: len(rows(seen)) > 10)
        with (tmpfs / "file").open("wb", buffering=0) as file:
            end = time.monotonic() + 60
            while "shmem" not in rows(seen)[0] or "+" not in rows(seen)[0]:
                assert time.monotonic() < end, seen.text
                file.write(bytes(1 << 20))
                seen.look(0.05)
        assert re.search(r"\^.* \+\d", rows(seen)[0]), rows(seen)[0]
        # Growth since the start keeps it above what only breathes.
        (tmpfs / "file").unlink()
        seen.type("q")
        assert seen.wait() == 0


def test_a_module_is_opened_and_comes_and_goes(modprobe: Callable[[str], None]) -> None:
    modprobe("tun")
    with screened("top", "-g", "module", "--interval", "0.3s", "tun", "xfs") as seen:
        seen.until("sums by module")
        seen.type("\r")
        seen.until("in module tun")
        assert rows(seen) and all("[tun]" in line for line in rows(seen))
        seen.type("\x7f")
        seen.until("sums by module")
        modprobe("xfs")
        seen.until(lambda: any(line.endswith("xfs") for line in seen.lines))
        modprobe.remove("xfs")  # type: ignore[attr-defined]
        seen.look(1)
        seen.type(DOWN + b"q")
        assert seen.wait() == 0


def test_batch(tmpfs: Path) -> None:
    child = subprocess.Popen(
        [*MODULE, "top", "-b", "-n", "2", "--interval", "1s"], stdout=subprocess.PIPE, text=True
    )
    with (tmpfs / "file").open("wb", buffering=0) as file:
        while child.poll() is None:
            file.write(bytes(1 << 18))
            time.sleep(0.05)
    assert child.stdout and child.returncode == 0
    tables = child.stdout.read().split("\n\n")
    assert len(tables) == 2
    for table in tables:
        lines = table.splitlines()
        assert "profiling" not in lines[0] and os.uname().nodename in lines[0]
        assert "shmem" in lines[2] and "20 of " in table


def test_profiling_off_is_said() -> None:
    switch = Path("/proc/sys/vm/mem_profiling")
    kept = switch.read_text()
    switch.write_text("0")
    try:
        done = here("top", "-b", "-n", "1", "--interval", "0.1s")
        assert b"profiling is off: the counters are frozen" in done.out.splitlines()[0]
    finally:
        switch.write_text(kept)


def test_no_rights(unprivileged: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = unprivileged([*MODULE, "top", "-b"])
    assert done.returncode == 2 and "permission denied" in done.stderr
    assert len(done.stderr.splitlines()) == 2 and done.stdout == ""


@pytest.mark.guest(kernel="old")
def test_a_kernel_without_the_ioctl() -> None:
    done = allocq("top", "-b", "-n", "1", "--interval", "0.2s")
    assert done.status == 0 and done.out.count(b"\n") > 20
    with screened("top", "--interval", "0.2s", columns=160) as seen:
        seen.until(lambda: len(rows(seen)) > 10)
        seen.type("gg")
        seen.until("sums by file")
        seen.type("q")
        assert seen.wait() == 0
