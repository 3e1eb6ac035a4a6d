"""`allocq snapshot` of the running kernel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import oracle
from command import ALLOCQ, allocq


def notes_of(data: bytes) -> dict[str, str]:
    lines = data.decode().splitlines()[2:]
    return dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))


def places(data: bytes) -> list[tuple[object, ...]]:
    return [tag[2:6] for tag in oracle.parse(data)]


def test_every_tag_is_in_it_and_it_knows_where_it_is_from(
    tmp_path: Path, cat_allocinfo: Callable[[], str]
) -> None:
    path = tmp_path / "x"
    before = datetime.now(UTC)
    assert allocq("snapshot", "--output", str(path)) == (0, b"", "")
    after = datetime.now(UTC)
    data = path.read_bytes()
    assert places(data) == places(cat_allocinfo().encode())
    notes = notes_of(data)
    assert before <= datetime.fromisoformat(notes["time"].replace("Z", "+00:00")) <= after
    assert notes["host"] == os.uname().nodename
    assert notes["kernel"] == os.uname().release
    assert notes["boot-id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert notes["possible-cpus"] == str(os.sysconf("SC_NPROCESSORS_CONF"))
    assert notes["consistent"] == "yes" and notes["content-id"].isdecimal()
    assert notes["tags"] == str(len(places(data)))


def test_both_interfaces_save_the_same_places() -> None:
    texts = [allocq("snapshot", "--interface", way) for way in ("ioctl", "text")]
    assert [notes_of(done.out)["interface"] for done in texts] == ["ioctl", "text"]
    assert places(texts[0].out) == places(texts[1].out) != []


def test_grep_and_query_read_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert allocq("snapshot", "--output", str(path)).status == 0
    grepped = subprocess.run(
        ["grep", "-c", "mm/slub.c", str(path)], capture_output=True, check=True
    ).stdout
    assert allocq("query", "--source", str(path), "-f", "mm/slub.c", "-c").out == grepped


def test_others_may_neither_make_nor_read_one(
    tmp_path: Path, unprivileged: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = tmp_path / "x"
    assert allocq("snapshot", "--output", str(path)).status == 0
    assert unprivileged(["cat", str(path)]).returncode != 0
    theirs = unprivileged([*ALLOCQ, "snapshot"])
    assert theirs.returncode == 2 and "/proc/allocinfo: permission denied" in theirs.stderr


def test_a_full_file_system_keeps_nothing(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "none", str(tmp_path)], check=True)
    try:
        done = allocq("snapshot", "--output", str(tmp_path / "x"))
        assert done.status == 2 and "No space left on device" in done.err
        assert os.listdir(tmp_path) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
