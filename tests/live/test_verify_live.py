"""`allocq verify` on real kernels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import ALLOCQ, allocq
from conftest import Modprobe

SWITCH = Path("/proc/sys/vm/mem_profiling")
PLAN = "TAP version 13\n1.."


def tap(out: bytes) -> tuple[list[str], list[str], list[str]]:
    """The lines that are ok, not ok, skipped; asserts that there are as many as planned."""
    text = out.decode()
    assert text.startswith(PLAN)
    lines = text.splitlines()
    tests = [line for line in lines[2:] if not line.startswith("#")]
    assert lines[1] == f"1..{len(tests)}"
    numbers = [line.removeprefix("not ").split()[1] for line in tests]
    assert numbers == [str(n) for n in range(1, len(tests) + 1)]
    skipped = [line for line in tests if "# SKIP" in line]
    good = [line for line in tests if line.startswith("ok ") and line not in skipped]
    return good, [line for line in tests if line.startswith("not ok ")], skipped


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_ioctl_is_as_the_text(seed: str) -> None:
    done = allocq("verify", "--seed", seed, "--rounds", "40")
    good, bad, skipped = tap(done.out)
    assert (done.status, bad, done.err) == (0, [], "")
    assert len(good) >= 28
    assert all("63 bytes" in line or "--load-module" in line for line in skipped)
    assert f"--seed {seed} --rounds 40" in done.out.decode()


def test_json() -> None:
    done = allocq("verify", "-o", "json", "--rounds", "10")
    document = json.loads(done.out)
    assert (done.status, document["status"], document["result"]) == (0, 0, "agree")
    assert document["questions"] > 300 and document["tags_compared"] > 10_000
    assert {check["result"] for check in document["checks"]} <= {"ok", "skip"}


def test_with_a_module_loaded(modprobe: Modprobe) -> None:
    modprobe("tun")
    modprobe("loop")
    done = allocq("verify", "--rounds", "20")
    assert (done.status, tap(done.out)[1]) == (0, [])


def test_odd_names_and_counters(modprobe: Modprobe) -> None:
    modprobe("allocq_oddtags")
    done = allocq("verify", "--rounds", "40")
    good, bad, _ = tap(done.out)
    assert (done.status, bad) == (0, [])
    assert any("63 bytes" in line for line in good)


def test_a_module_is_loaded_and_unloaded() -> None:
    before = Path("/proc/modules").read_text()
    done = allocq("verify", "--load-module", "tun", "--rounds", "5")
    good, bad, _ = tap(done.out)
    assert (done.status, bad) == (0, [])
    assert any("module that is loaded and unloaded" in line for line in good)
    assert Path("/proc/modules").read_text() == before


def test_a_module_without_tags_shows_nothing() -> None:
    done = allocq("verify", "--load-module", "dummy", "--rounds", "5")
    assert done.status == 0
    assert any("dummy has no tags" in line for line in tap(done.out)[2])


def test_a_module_that_cannot_be_loaded_leaves_it_open() -> None:
    done = allocq("verify", "--load-module", "no-such-module", "--rounds", "5")
    assert done.status == 2
    assert any("undetermined: modprobe" in line for line in tap(done.out)[2])


def test_a_module_that_is_in_use_is_left_alone(modprobe: Modprobe) -> None:
    modprobe("tun")
    done = allocq("verify", "--load-module", "tun")
    assert done.status == 2 and done.out == b""
    assert "already loaded" in done.err
    assert Path("/sys/module/tun").exists()


@pytest.fixture
def busy() -> Iterator[None]:
    """A machine on which counters move all the time."""
    scripts = ("find /proc /sys /usr/lib -xdev", "head -c 8000000 /dev/zero >$TMPDIR/busy")
    jobs = [
        subprocess.Popen(
            ["sh", "-c", f"while :; do {script}; done"],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for script in scripts
    ]
    yield
    for job in jobs:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()


def test_counters_that_move_are_told_from_differences(busy: None) -> None:
    done = allocq("verify", "-o", "json", "--rounds", "40")
    document = json.loads(done.out)
    wrong = [check for check in document["checks"] if check["result"] not in ("ok", "skip")]
    assert (done.status, wrong) == (0, [])
    assert document["moved"] > 0


def test_switched_off_it_still_holds() -> None:
    before = SWITCH.read_text()
    SWITCH.write_text("0\n")
    try:
        done = allocq("verify", "--rounds", "10")
    finally:
        SWITCH.write_text(before)
    assert (done.status, tap(done.out)[1]) == (0, [])


def test_without_rights(unprivileged: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = unprivileged([*ALLOCQ, "verify"])
    assert done.returncode == 2
    assert done.stdout == "TAP version 13\n1..0 # SKIP /proc/allocinfo: permission denied\n"
    assert done.stderr.startswith("allocq: /proc/allocinfo: permission denied\nhint: ")


@pytest.mark.guest(cpus=64)
def test_many_possible_processors() -> None:
    done = allocq("verify", "--rounds", "20")
    assert (done.status, tap(done.out)[1]) == (0, [])


@pytest.mark.guest(kernel="old")
def test_without_the_ioctl() -> None:
    done = allocq("verify")
    assert done.status == 2
    assert done.out.startswith(b"TAP version 13\n1..0 # SKIP ")
    assert "no ioctl" in done.err and "hint: " in done.err
