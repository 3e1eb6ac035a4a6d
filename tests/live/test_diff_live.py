"""`allocq diff` on the running kernel: a module is loaded and unloaded, a file system filled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oracle
import pytest
from command import allocq, until


def saved_now(path: Path) -> str:
    assert allocq("snapshot", "--output", str(path)).status == 0
    return str(path)


def changes(*argv: str) -> list[dict[str, Any]]:
    done = allocq("diff", "-o", "jsonl", *argv)
    assert done.status in (0, 1) and done.err == ""
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_module_that_comes_and_goes(
    tmp_path: Path, modprobe: Any, cat_allocinfo: Callable[[], str]
) -> None:
    without = saved_now(tmp_path / "without")
    modprobe("xfs")
    tags = [tag for tag in oracle.parse(cat_allocinfo().encode()) if tag.module == "xfs"]
    holding = [tag for tag in tags if tag.bytes or tag.calls]
    found = changes(without, "-m", "xfs")
    assert len(found) == len(holding) > 0 and {c["change"] for c in found} == {"new"}
    (group,) = changes(without, "-m", "xfs", "-g", "module")
    assert (group["module"], group["tags_before"], group["tags_after"]) == ("xfs", 0, len(tags))
    loaded = saved_now(tmp_path / "loaded")
    modprobe.remove("xfs")
    found = changes(loaded, "-m", "xfs")
    assert len(found) == len(holding) and {c["change"] for c in found} == {"gone"}
    assert changes(without, "-m", "xfs") == []


@pytest.mark.skipif(not shutil.which("mkfs.xfs"), reason="needs mkfs.xfs (Debian package xfsprogs)")
def test_a_mounted_xfs_is_seen_and_seen_gone(tmp_path: Path, modprobe: Any) -> None:
    image, place = tmp_path / "image", tmp_path / "place"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", str(image)], check=True)
    modprobe("loop")
    modprobe("xfs")
    before = saved_now(tmp_path / "before")
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    try:
        for i in range(200):
            (place / f"file{i}").write_text("x")
        mounted = changes(before, "-m", "xfs", "--min-growth", "1")
        assert "xfs_inode_alloc" in {c["function"] for c in mounted}
        tree = changes(before, "-g", "directory", "-m", "xfs")
        assert tree[0]["directory"].startswith("fs/xfs") and tree[0]["bytes_growth"] > 0
        full = saved_now(tmp_path / "full")
    finally:
        subprocess.run(["umount", str(place)], check=True)
    held = {c["function"]: c["bytes_growth"] for c in mounted}

    def freed() -> bool:
        """Inodes are, after a grace period of RCU."""
        left = {c["function"]: c["bytes_growth"] for c in changes(full, "-m", "xfs")}
        return bool(left.get("xfs_inode_alloc", 0) <= -held["xfs_inode_alloc"] // 2)

    until(freed)


def test_what_fills_a_file_system_grew_most(tmp_path: Path) -> None:
    before = saved_now(tmp_path / "before")
    started = time.time()
    hold = tmp_path / "hold"
    hold.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(hold)], check=True)
    try:
        (hold / "file").write_bytes(bytes(32 << 20))
        top = changes(before, "--top", "1")[0]
        assert top["file"] == "mm/shmem.c" and top["bytes_growth"] >= 32 << 20
        assert top["bytes_per_second"] > (32 << 20) / (time.time() - started + 60)
    finally:
        subprocess.run(["umount", str(hold)], check=True)


def test_the_text_and_the_ioctl_agree(tmp_path: Path) -> None:
    before = saved_now(tmp_path / "before")
    for way in ("ioctl", "text"):
        done = allocq("diff", before, "--interface", way, "-o", "json", "-f", "init/main.c")
        document = json.loads(done.out or "{}")
        assert document["after"]["interface"] == way
        assert document["before"]["boot_id"] == document["after"]["boot_id"]
        assert document["after"]["kernel"] == os.uname().release


def test_another_boot_is_said(tmp_path: Path) -> None:
    path = tmp_path / "before"
    saved_now(path)
    text = path.read_text()
    boot = next(line for line in text.splitlines() if line.startswith("# boot-id: "))
    path.write_text(text.replace(boot, "# boot-id: another"))
    assert "rebooted in between" in allocq("diff", str(path)).err


def test_what_grows_in_every_step_ends_with_the_running_kernel(tmp_path: Path) -> None:
    kept: list[int] = []
    saves = []
    try:
        for number in range(3):
            saves.append(saved_now(tmp_path / f"{number}.gz"))
            for _ in range(100):
                kept += os.pipe()
        found = changes(*saves, "/proc/allocinfo", "-F", "alloc_pipe_info")
    finally:
        for fd in kept:
            os.close(fd)
    rising = [each for each in found if each["rises"] == 3]
    assert rising, found
    assert all(
        rising[0][f"calls_{number + 1}"] - rising[0][f"calls_{number}"] >= 99
        for number in (1, 2, 3)
    )
    assert rising[0]["calls_growth"] == rising[0]["calls_4"] - rising[0]["calls_1"]
