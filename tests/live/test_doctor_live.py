"""`allocq doctor` on real kernels: ready, off, disabled until reboot, old, without permission."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command import ALLOCQ, Result, allocq

if TYPE_CHECKING:
    from conftest import Modprobe

SWITCH = Path("/proc/sys/vm/mem_profiling")


class Report:
    """The JSON of one run."""

    def __init__(self, done: Result) -> None:
        assert done.err == ""
        document = json.loads(done.out)
        assert document["status"] == done.status
        self.status = done.status
        self.facts: dict[str, Any] = document["facts"]
        self.items = {finding["item"]: finding for finding in document["findings"]}

    def items_that_are(self, state: str) -> set[str]:
        """Items but for call stacks: these kernels have no histogram triggers."""
        found = {item for item, finding in self.items.items() if finding["state"] == state}
        return found - {"call stacks"}


def doctor() -> Report:
    return Report(allocq("doctor", "-o", "json"))


@pytest.fixture
def switched_off() -> Iterator[None]:
    before = SWITCH.read_text()
    SWITCH.write_text("0\n")
    yield
    SWITCH.write_text(before)


def test_ready(cat_allocinfo: Callable[[], str]) -> None:
    report = doctor()
    assert report.status == 0
    assert not report.items_that_are("not good") and not report.items_that_are("unknown")
    lines = cat_allocinfo().splitlines()[2:]
    assert report.facts["tags"] == report.facts["ioctl_cost"]["tags"] == len(lines)
    assert report.facts["ioctl_cost"]["calls"] == len(lines) + 1
    assert report.facts["modules"] == len({line.split("[")[1] for line in lines if "[" in line})
    assert report.facts["format_version"] == "2.0"
    assert report.facts["possible_cpus"] == "0-1"
    of_file = [line for line in lines if f" {report.facts['file']}:" in line]
    assert report.facts["file_cost"]["tags"] == len(of_file) > 1
    assert report.facts["kernel"] == os.uname().release
    assert report.facts["config"]["CONFIG_MEM_ALLOC_PROFILING"] == "y"


def test_it_looks_and_touches_nothing() -> None:
    """Not even the names cache is written."""
    cache = Path("/run/allocq")
    before = [(path, path.stat().st_mtime_ns) for path in cache.glob("**/*")]
    switch = SWITCH.read_text()
    assert doctor().status == 0
    assert [(path, path.stat().st_mtime_ns) for path in cache.glob("**/*")] == before
    assert SWITCH.read_text() == switch


def test_the_names_cache_fits_until_modules_change(modprobe: Modprobe) -> None:
    assert allocq("query", "-c", "--interface", "ioctl").status == 0
    report = doctor()
    assert report.facts["cache"]["fits"] is True
    assert (report.facts["cache"]["mode"], report.facts["cache"]["owner"]) == (0o600, 0)
    modprobe("tun")
    report = doctor()
    assert report.facts["cache"]["fits"] is False
    assert report.facts["modules"] >= 1
    assert report.status == 0


def test_switched_off(switched_off: None) -> None:
    report = doctor()
    assert report.status == 1
    assert report.items_that_are("not good") == {"vm.mem_profiling"}
    mend = report.items["vm.mem_profiling"]["mend"]
    assert mend == "sudo sysctl vm.mem_profiling=1"
    subprocess.run(mend.split()[1:], check=True, capture_output=True)
    assert doctor().status == 0


def test_without_rights(unprivileged: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = unprivileged([*ALLOCQ, "doctor", "-o", "json"])
    report = Report(Result(done.returncode, done.stdout.encode(), done.stderr))
    assert report.status == 2
    assert report.items_that_are("not good") == {"user", "/proc/allocinfo"}
    assert report.items["user"]["mend"] == f"sudo {ALLOCQ[0]} doctor"
    assert report.facts["uid"] == 65534
    assert report.facts["mem_profiling"] == "1"


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=never",))
def test_booted_with_never() -> None:
    report = doctor()
    assert report.status == 2
    bad = report.items_that_are("not good")
    assert bad == {"boot parameter", "vm.mem_profiling", "/proc/allocinfo"}
    assert "sysctl.vm.mem_profiling=1" in report.items["boot parameter"]["mend"]
    assert report.facts["boot_parameter"] == "never"


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=0",))
def test_booted_switched_off() -> None:
    report = doctor()
    assert report.status == 1
    assert report.items_that_are("not good") == {"boot parameter", "vm.mem_profiling"}


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=1,compressed",))
def test_booted_compressed() -> None:
    report = doctor()
    assert report.status == 0
    assert report.facts["mem_profiling_compressed"] == "1"
    assert not report.items_that_are("not good")


@pytest.mark.guest(kernel="old")
def test_without_the_ioctl(cat_allocinfo: Callable[[], str]) -> None:
    report = doctor()
    assert report.status == 1
    assert report.items_that_are("not good") == {"ioctl"}
    assert report.facts["format_version"] == "1.0"
    assert report.facts["tags"] == len(cat_allocinfo().splitlines()) - 2
    assert report.facts["content_id"] is None
