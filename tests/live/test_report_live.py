"""`allocq report` in a real kernel: of the running one, and of a recording made there."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import ALLOCQ, allocq, here, until
from reports import Page, exact

from allocq.storage.recording.reader import Recording
from allocq.units import format_size


def rows_of(text: str) -> list[tuple[int, int, str, str]]:
    """(bytes, calls, place, function) of every tag, read as awk would."""
    found = []
    for line in text.splitlines()[2:]:
        size, calls, place, *rest = line.split()
        if rest[0].startswith("["):
            place = f"{place} {rest.pop(0)}"
        function = rest[0].removeprefix("func:")
        count = int(calls)
        found.append((int(size), count - (1 << 64) * (count >> 63), place, function))
    return found


def table_of(page: Page) -> list[tuple[int, int, str, str]]:
    """The same from the table of all tags."""
    titles = list(page.titles.values())[-1][1:]
    rows = zip(page.all_tags(), titles, strict=True)
    return [
        (exact(row[0], title[0]), int(row[-3].replace(",", "")), row[-2], row[-1])
        for row, title in rows
    ]


def once(rows: list[tuple[int, int, str, str]]) -> int:
    """The sum of all, slab memory once."""
    return sum(
        size
        for size, calls, place, function in rows
        if size >= 0 and calls >= 0
        if not (function == "alloc_slab_page" and place.startswith("mm/slub.c:"))
    )


def own(rows: list[tuple[int, int, str, str]]) -> list[tuple[int, int, str, str]]:
    """Those that are no memory of programs and no page cache."""
    others = ("include/linux/highmem.h", "mm/memory.c", "mm/filemap.c", "mm/readahead.c")
    return [row for row in rows if not row[2].startswith((*others, "mm/shmem.c"))]


def test_the_running_kernel(cat_allocinfo: Callable[[], str], tmp_path: Path) -> None:
    before = rows_of(cat_allocinfo())
    done = allocq("report", "--output", str(tmp_path / "r.html"))
    after = rows_of(cat_allocinfo())
    assert done.status == 0 and done.err == ""
    page = Page((tmp_path / "r.html").read_bytes())
    shown = table_of(page)
    assert sorted(row[2:] for row in shown) == sorted(row[2:] for row in before)
    # Counters that stood still around it are those that it shows.
    still_rows = set(before) & set(after)
    assert len(still_rows) > 0.8 * len(before)
    assert len(still_rows - set(shown)) <= 0.02 * len(before)
    # The report itself takes pages as a program; the kernel's own hardly change.
    lowest, highest = sorted(once(own(rows)) for rows in (before, after))
    assert lowest * 0.95 <= once(own(shown)) <= highest * 1.05
    text = " ".join(page.texts["section"][0].split())
    assert f"Allocated{format_size(once(shown))}" in text
    assert page.facts.get("Host", "(none)") == socket.gethostname()
    assert page.facts["Kernel"] == os.uname().release
    assert page.facts["Profiling"] == "on" and page.facts["Boot"]
    assert "The tags beside /proc/meminfo" in page.tables


def test_a_recording_with_a_leak(tmp_path: Path) -> None:
    folder = Path("/run/job/report-recording")
    recorder = subprocess.Popen([*ALLOCQ, "record", "-d", str(folder), "--interval", "0.2"])
    held = []
    try:
        until(lambda: folder.is_dir() and any(folder.glob("*.db")))
        for _ in range(60):
            held += [os.pipe() for _ in range(4)]
            taken = len(Recording(folder).points())
            until(lambda taken=taken: len(Recording(folder).points()) > taken)
    finally:
        recorder.terminate()
        assert recorder.wait() == 0
        for pair in held:
            os.close(pair[0]), os.close(pair[1])
    points = Recording(folder).points()
    done = allocq("report", str(folder), "--output", str(tmp_path / "r.html"))
    assert done.status == 0, done.err
    page = Page((tmp_path / "r.html").read_bytes())
    assert "fs/pipe.c:902" in [row[7] for row in page.tables["The most grown"]]
    assert "Most of the kernel itself (+" in "".join(page.texts["p"])
    assert "fs/pipe.c:902 alloc_pipe_info" in page.texts["code"]
    # It suspects what trend does, for the same reasons.
    asked = here("trend", str(folder), "--suspects", "-o", "json")
    names = [f"{each['file']}:{each['line']} " for each in json.loads(asked.out)["trends"]]
    leaks = [row[0] for row in page.tables.get("Suspected leaks", [])[1:]]
    assert len(leaks) == len(names)
    assert all(leak.startswith(name) for leak, name in zip(leaks, names, strict=True))
    # The last sample, as query reads it, is what the table shows.
    asked = here("query", "--source", str(folder), "-o", "procfs", "--header")
    rows = rows_of(asked.out.decode())
    assert sorted(table_of(page)) == sorted(rows)
    assert re.match(rf"{len(points)} samples, ", page.texts["h3"][-1])
    asked = here("report", str(folder), "-o", "markdown")
    assert asked.status == 0 and b"`fs/pipe.c:" in asked.out


@pytest.mark.guest(kernel="old")
def test_a_kernel_without_the_ioctl(cat_allocinfo: Callable[[], str]) -> None:
    done = allocq("report")
    assert done.status == 0, done.err
    page = Page(done.out)
    there = sorted(row[2:] for row in rows_of(cat_allocinfo()))
    assert sorted(row[2:] for row in table_of(page)) == there
    assert page.facts["Read as"].startswith("text, version 1.0")


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=never",))
def test_without_counters_it_says_so_and_writes_nothing(tmp_path: Path) -> None:
    done = allocq("report", "--output", str(tmp_path / "r.html"))
    assert done.status == 2 and "allocation profiling" in done.err
    assert not list(tmp_path.iterdir())
