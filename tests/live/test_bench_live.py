"""`allocq bench` on real kernels: all methods are timed, and they agree."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from command import ALLOCQ, allocq, refused

DROP = "/proc/sys/vm/drop_caches"


def report(*options: str) -> dict[str, Any]:
    done = allocq("bench", "-o", "json", *options)
    assert (done.status, done.err) == (0, "")
    document: dict[str, Any] = json.loads(done.out)
    return document


def ways(scenario: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {way["way"]: way for way in scenario["ways"]}


def test_all_scenarios(cat_allocinfo: Callable[[], str]) -> None:
    document = report("--runs", "2", "--drop-caches")
    lines = cat_allocinfo().splitlines()[2:]
    assert document["machine"]["tags"] == len(lines)
    assert document["machine"]["kernel"] == os.uname().release
    assert document["caches"] == "dropped before each run"
    assert [s["name"] for s in document["scenarios"]] == ["file", "file-size", "size"]
    for scenario in document["scenarios"]:
        assert set(ways(scenario)) == {"pipeline", "ioctl", "query"}
        assert scenario["differences"] == []
        assert scenario["compared"] == 2
        for way in scenario["ways"]:
            assert way["runs"] == 2
            assert way["wall"]["min"] > 0
    first = lines[0].split()[2].rpartition(":")[0]
    assert document["scenarios"][0]["file"] in (first, "arch/x86/events/rapl.c")


def test_the_file_and_size_that_were_asked_for(cat_allocinfo: Callable[[], str]) -> None:
    document = report("--runs", "1", "--warm", "--file", "slub.c", "--min-size", "64K")
    wanted = [line for line in cat_allocinfo().splitlines() if " mm/slub.c:" in line]
    file, both, size = document["scenarios"]
    assert document["caches"] == "warm"
    assert (file["file"], file["min_size"], file["tags"]) == ("mm/slub.c", None, len(wanted))
    assert (both["file"], both["min_size"]) == ("mm/slub.c", 65536)
    assert (size["file"], size["min_size"]) == (None, 65536)
    assert 0 < both["tags"] < file["tags"]
    command = ways(both)["pipeline"]["command"]
    assert command == "cat /proc/allocinfo | grep -F ' mm/slub.c:' | awk '$1 >= 65536'"


def test_scan_is_cheaper_than_the_pipeline() -> None:
    (scenario,) = report("--runs", "3", "--warm", "-S", "file")["scenarios"]
    assert scenario["ratios"]["system_ioctl"]["median"] > 1


def test_table() -> None:
    done = allocq("bench", "--runs", "1", "--scenario", "size")
    assert (done.status, done.err) == (0, "")
    text = done.out.decode()
    assert "a minimum size: at least 1.0M" in text
    assert "Xeon Platinum 8481C" in text
    assert "one file" not in text


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("nosuch.c", "allocq: this kernel has no tags in 'nosuch.c'"),
        ("mm/*", "allocq: 'mm/*' matches "),
    ],
)
def test_a_file_that_is_none_or_many(file: str, message: str) -> None:
    done = allocq("bench", "--file", file)
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith(message)
    assert "\nhint: " in done.err


def test_progress_on_a_terminal_and_ctrl_c_tells_what_is_there() -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*ALLOCQ, "bench", "-o", "json", "--runs", "300", "--warm", "-S", "file"],
        stdout=subprocess.PIPE,
        stderr=follower,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(follower)
    shown = b""
    while not re.search(rb" [1-9]\d*%", shown):
        shown += os.read(leader, 1 << 16)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == 130
    assert b"timing" in shown
    document = json.loads(out)
    assert document["interrupted"] is True
    counts = {way["runs"] for way in document["scenarios"][0]["ways"]}
    assert len(counts) == 1
    assert 0 < counts.pop() < 300


def test_names_no_one_may_read(unprivileged: Callable[..., Any]) -> None:
    done = unprivileged([*ALLOCQ, "bench"])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("allocq: /proc/allocinfo: permission denied")


def test_caches_that_cannot_be_dropped() -> None:
    subprocess.run(["mount", "--bind", "/dev/full", DROP], check=True)
    try:
        done = allocq("bench", "--runs", "1", "-S", "file", "--drop-caches")
    finally:
        subprocess.run(["umount", DROP], check=True)
    refused(done, "cannot drop caches: No space left on device")


def test_a_file_mounted_over_allocinfo() -> None:
    subprocess.run(["mount", "--bind", "/etc/passwd", "/proc/allocinfo"], check=True)
    try:
        done = allocq("bench")
    finally:
        subprocess.run(["umount", "/proc/allocinfo"], check=True)
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith("allocq: /proc/allocinfo is not a proc file")


@pytest.mark.guest(kernel="old")
def test_without_the_ioctl() -> None:
    document = report("--runs", "1")
    assert any("no ioctl" in note for note in document["notes"])
    for scenario in document["scenarios"]:
        assert set(ways(scenario)) == {"pipeline", "query"}
        assert scenario["differences"] == []
        assert scenario["ratios"]["system_ioctl"] is None
        assert scenario["ratios"]["wall_query"]["median"] > 0


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=never",))
def test_switched_off_for_good() -> None:
    done = allocq("bench")
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith("allocq: no /proc/allocinfo: ")
