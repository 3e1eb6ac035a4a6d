"""`allocq memory` on real kernels, beside awk over /proc/meminfo and /proc/allocinfo."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command import allocq

ROOM = 3 << 20  # what starting programs moves
MEMINFO_AWK = r"""
{ sub(":", "", $1); kb[$1] = $2 }
END {
    print "anonymous", kb["AnonPages"]
    print "shared", kb["Shmem"]
    print "page cache", kb["Cached"] + kb["Buffers"] - kb["Shmem"]
    print "slab", kb["Slab"]
    print "page tables", kb["PageTables"] + kb["SecPageTables"]
    print "kernel stacks", kb["KernelStack"]
    print "percpu", kb["Percpu"]
    print "memory", kb["MemTotal"]
}
"""
ALLOCINFO_AWK = r"""
/^ *[0-9]+ +[0-9]+ / {
    if (/ mm\/slub.c:[0-9]+ func:alloc_slab_page /) next
    all += $1
    if ($3 ~ /^mm\/(filemap|readahead)\.c:/) cache += $1
    if ($3 ~ /^mm\/shmem\.c:/ && /folio/) shared += $1
    if (/ func:alloc_thread_stack_node /) stacks += $1
}
END {
    print "all", all
    print "page cache", cache
    print "shared", shared
    print "kernel stacks", stacks
}
"""


def awk(program: str, path: str) -> dict[str, int]:
    done = subprocess.run(["awk", program, path], capture_output=True, check=True, text=True)
    lines = (line.rpartition(" ") for line in done.stdout.splitlines())
    return {name: int(value or 0) for name, _, value in lines}


def memory(*argv: str) -> Any:
    done = allocq("memory", "-o", "json", *argv)
    assert done.status == 0 and done.err == "", done
    return json.loads(done.out)


def near(found: int, due: int, room: int = ROOM) -> bool:
    return abs(found - due) <= room


def check(document: Any) -> None:
    total = document["total"]
    rows = {row["name"]: row for row in document["memory"]}
    # The sums are exact, whatever moves.
    assert sum(row["tags"] for row in rows.values()) == total["tags"]
    counted = sum(row["meminfo"] for row in rows.values())
    free = total["free"] + (total["free_on_cpus"] or 0)
    assert counted + total["tags_only"] + total["neither"] + free == total["memory"]
    assert total["used"] == total["memory"] - free


@pytest.mark.parametrize(
    "kernel", [pytest.param("7.3"), pytest.param("6.12", marks=pytest.mark.guest(kernel="old"))]
)
def test_it_is_what_awk_says_and_hardly_anything_is_unexplained(kernel: str) -> None:
    document = memory()
    check(document)
    meminfo, tags = awk(MEMINFO_AWK, "/proc/meminfo"), awk(ALLOCINFO_AWK, "/proc/allocinfo")
    rows = {row["name"]: row for row in document["memory"]}
    total = document["total"]
    assert total["memory"] == meminfo.pop("memory") * 1024
    for name, kb in meminfo.items():
        # awk's process is much smaller than allocq's.
        room = 20 << 20 if name == "anonymous" else ROOM
        assert near(rows[name]["meminfo"], kb * 1024, room), name
    for name in ("page cache", "shared", "kernel stacks"):
        assert near(rows[name]["tags"], tags[name]), name
    assert near(total["tags"], tags["all"], 20 << 20)
    # The same memory seen twice.
    for name in ("page cache", "shared", "anonymous"):
        assert near(rows[name]["meminfo"], rows[name]["tags"]), rows[name]
    # Nearly all that is used is at a tag, and what is in neither is little.
    assert near(total["tags"], total["used"], total["used"] // 10 + ROOM)
    assert abs(total["neither"]) < total["used"] // 10 + ROOM


def test_memory_of_a_program_is_the_users_on_both_sides() -> None:
    Path("/proc/sys/vm/drop_caches").write_text("1")
    before = {row["name"]: row for row in memory()["memory"]}
    # More than the cache, which has the libraries of this process.
    size = (before["page cache"]["meminfo"] & ~(mmap.PAGESIZE - 1)) + (64 << 20)
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        for at in range(0, size, mmap.PAGESIZE):
            held[at] = 1
        document = memory()
    after = {row["name"]: row for row in document["memory"]}
    for side in ("meminfo", "tags"):
        grown = after["anonymous"][side] - before["anonymous"][side]
        assert near(grown, size), (side, grown)
    assert document["most"] == "user"
    check(document)


def test_a_read_file_is_cache_on_both_sides(tmp_path: Path) -> None:
    before = {row["name"]: row for row in memory()["memory"]}
    size, path = 48 << 20, tmp_path / "file"
    path.write_bytes(os.urandom(1 << 20) * (size >> 20))
    document = memory()
    after = {row["name"]: row for row in document["memory"]}
    moved = "shared" if _on_tmpfs(tmp_path) else "page cache"
    for side in ("meminfo", "tags"):
        grown = after[moved][side] - before[moved][side]
        assert near(grown, size, 6 << 20), (side, moved, grown)
    check(document)


def _on_tmpfs(path: Path) -> bool:
    done = subprocess.run(
        ["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True
    )
    return done.stdout.strip() == "tmpfs"


def test_a_snapshot_has_its_meminfo(tmp_path: Path) -> None:
    path = tmp_path / "saved.txt"
    assert allocq("snapshot", "--output", str(path)).status == 0
    document = memory(str(path))
    check(document)
    assert document["meminfo"]["MemTotal"] == awk(MEMINFO_AWK, "/proc/meminfo")["memory"] * 1024
    text = allocq("memory", str(path)).out.decode()
    assert "page cache" in text and "In use: " in text and "free on CPUs" in text


@pytest.mark.parametrize(
    "kernel", [pytest.param("7.3"), pytest.param("6.12", marks=pytest.mark.guest(kernel="old"))]
)
def test_a_snapshot_says_what_the_machine_does(kernel: str, tmp_path: Path) -> None:
    path = tmp_path / "saved.txt"
    for _ in range(2):  # what programs read is in the page cache from the first time on
        assert allocq("snapshot", "--force", str(path)).status == 0
        saved, live = memory(str(path)), memory()
    for name, size in live["total"].items():
        if name not in ("underflowed", "free", "free_on_cpus"):  # pages move from one to the other
            assert near(saved["total"][name], size, 2 * ROOM), (name, saved["total"][name], size)
    assert near(saved["total"]["neither"], live["total"]["neither"])
    for one, two in zip(saved["memory"], live["memory"], strict=True):
        assert one["name"] == two["name"]
        assert near(one["meminfo"], two["meminfo"]) and near(one["tags"], two["tags"]), one
    assert saved["total"]["free_on_cpus"] > 0
    assert saved["meminfo"].keys() == live["meminfo"].keys()


def test_another_proc(tmp_path: Path) -> None:
    """As in a container, where the host's /proc is somewhere else."""
    there = tmp_path / "proc"
    there.mkdir()
    subprocess.run(["mount", "--bind", "/proc", there], check=True)
    try:
        check(memory("--source", str(there / "allocinfo")))
    finally:
        subprocess.run(["umount", there], check=True)
