"""Dumps of a real kernel in QEMU, compared with what it printed right before (vm/dumps.py)."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import dumps
import guest
import oracle
import pytest
from command import MODULE, allocq, here, refused

pytest.importorskip("drgn", reason="no drgn: pip install 'allocq[vmcore]'")

# Modules by preference; which of them there are depends on the kernel.
MODULES = ("xfs.ko", "zsmalloc.ko", "zram.ko", "allocq_oddtags.ko")
# What runs while the memory is dumped: timers, workers, RCU.
MOST_MOVED = 20
# One dump has 1 possible CPU that never comes online, the other 4.
MORE_CPUS = (1, 4)
SECONDS = 5.0


class Machine(NamedTuple):
    """A dump, its debug info, and what the kernel said of itself."""

    core: Path
    vmlinux: Path
    printed: dict[str, str]
    more_cpus: int
    modules: tuple[str, ...]
    booted: float

    @property
    def options(self) -> tuple[str, ...]:
        return "--source", str(self.core), "--vmlinux", str(self.vmlinux)

    @property
    def lines(self) -> list[str]:
        """The text without its header."""
        return self.printed["text"].splitlines()[2:]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with dumps.temporary_folder() as path:
        yield Path(path)


@pytest.fixture(scope="module")
def kernel() -> dumps.DebugKernel:
    found = dumps.find_debug_kernel()
    if found is None:
        pytest.skip(f"no debug test kernel: {dumps.HOW_TO_GET_A_DEBUG_KERNEL}")
    return found


@pytest.fixture(scope="module")
def vmlinux(kernel: dumps.DebugKernel, folder: Path) -> Path:
    return kernel.vmlinux(folder)


@pytest.fixture(scope="module", params=MORE_CPUS, ids=lambda cpus: f"{cpus}-more-cpus")
def machine(
    request: pytest.FixtureRequest, kernel: dumps.DebugKernel, vmlinux: Path, folder: Path
) -> Machine:
    more = request.param
    place = folder / str(more)
    place.mkdir()
    modules = tuple(name for name in MODULES if kernel.has(name))
    booted = time.time()
    dumped = dumps.dump(kernel, place, modules, more)
    return Machine(dumped.core, vmlinux, dumped.printed, more, modules, booted)


def moved(before: list[str], after: list[str]) -> list[str]:
    """Both lines of each tag whose counters differ."""
    pairs = zip(before, after, strict=True)
    return [f"-{one}\n+{two}" for one, two in pairs if one != two]


def subjects(lines: list[str]) -> list[str]:
    """All of the lines but their counters."""
    return [re.sub(r"^ *-?\d+ +\d+ ", "", line) for line in lines]


def test_every_tag_is_what_the_kernel_printed(machine: Machine) -> None:
    done = allocq("query", *machine.options)
    lines = done.out.decode().splitlines()
    assert (done.status, done.err) == (0, "")
    assert subjects(lines) == subjects(machine.lines) and len(lines) > 500
    changed = moved(machine.lines, lines)
    print(f"{len(changed)} of {len(lines)} tags moved while the memory was dumped:", *changed)
    assert len(changed) <= MOST_MOVED, "\n".join(changed)


def test_modules_flags_and_sums_are_all_there(machine: Machine) -> None:
    """The comparison above would hold for lines without any of them."""
    document = json.loads(here("query", *machine.options, "-o", "json").out)
    modules = {tag["module"] for tag in document["tags"]} - {None}
    assert {name.removesuffix(".ko") for name in machine.modules} <= modules
    if "accurate:no" in machine.printed["text"]:
        assert any(not tag["accurate"] for tag in document["tags"])
    printed = oracle.parse(machine.printed["text"].encode())
    total = sum(tag.bytes for tag in printed if tag.bytes > 0)
    assert total > 1 << 20
    assert abs(document["total"]["bytes"] - sum(tag.bytes for tag in printed)) < total // 20


def test_the_counters_of_a_cpu_that_is_offline(machine: Machine) -> None:
    """The load ran on the second CPU, which was taken offline before the dump."""
    assert machine.printed["online"] == "0\n"
    assert machine.printed["possible"] == f"0-{1 + machine.more_cpus}\n"
    pipes = json.loads(here("query", *machine.options, "-F", "alloc_pipe_info", "-o", "json").out)
    assert max(tag["calls"] for tag in pipes["tags"]) >= 300


def test_what_a_snapshot_says_of_the_machine(machine: Machine, tmp_path: Path) -> None:
    saved = tmp_path / "saved.txt.gz"
    assert here("snapshot", *machine.options, str(saved)).status == 0
    assert saved.stat().st_size < machine.core.stat().st_size // 1000
    notes = here("snapshot", "--source", str(saved)).out.decode()
    said = dict(re.findall(r"^# ([a-z-]+): (.*)$", notes, re.MULTILINE))
    printed = machine.printed
    assert said["host"] == "crashed" and said["kernel"] == printed["release"].strip()
    assert said["boot-id"] == printed["boot-id"].strip()
    assert said.get("content-id", "") == printed["content-id"].strip()
    assert said["possible-cpus"] == str(2 + machine.more_cpus)
    assert said["profiling"] == "on" and said["consistent"] == "yes"
    stopped = datetime.fromisoformat(said["time"]).timestamp()
    assert -2 <= stopped - int(printed["time"]) < 60
    assert here("query", str(saved)).out == here("query", *machine.options).out


def test_meminfo_is_what_the_kernel_printed(machine: Machine) -> None:
    document = json.loads(here("memory", *machine.options, "-o", "json").out)
    text = re.findall(r"^(\w+): +(\d+) kB$", machine.printed["meminfo"], re.MULTILINE)
    printed = {name: 1024 * int(size) for name, size in text}
    found = document["meminfo"]
    assert len(found) >= 15 and found.keys() <= printed.keys()
    assert {"MemTotal", "MemAvailable", "Slab", "Cached", "Buffers", "Percpu"} <= found.keys()
    assert found["MemTotal"] == printed["MemTotal"]
    # The rest moves a little, and per-CPU differences are folded in later.
    for name, size in found.items():
        assert abs(size - printed[name]) <= 2 << 20, name
    lists = re.findall(r"cpu: \d+\n +count: +(\d+)", machine.printed["zoneinfo"])
    on_cpus = 4096 * sum(map(int, lists))
    assert abs(document["total"]["free_on_cpus"] - on_cpus) <= 2 << 20 and on_cpus > 0


def test_it_takes_a_few_seconds(machine: Machine) -> None:
    started = time.monotonic()
    assert here("query", *machine.options, "-c").status == 0
    assert time.monotonic() - started < 4 * SECONDS


@pytest.fixture(scope="module")
def for_makedumpfile(machine: Machine) -> Path:
    if shutil.which("makedumpfile") is None:
        pytest.skip("no makedumpfile")
    copy = machine.core.with_name("headers-first")
    if not copy.exists():
        shutil.copy(machine.core, copy)
        copy.chmod(0o600)
        dumps.put_headers_first(copy)
    return copy


def makedumpfile(source: Path, name: str, *options: str) -> Path:
    """A dump made of another one."""
    made = source.with_name(name)
    done = subprocess.run(
        ["makedumpfile", *options, str(source), str(made)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.mark.parametrize("machine", MORE_CPUS[:1], indirect=True)
@pytest.mark.parametrize("packing", ["-c", "-l", "-z"])
def test_a_kdump_compressed_dump(machine: Machine, for_makedumpfile: Path, packing: str) -> None:
    made = makedumpfile(for_makedumpfile, f"kdump{packing}", packing, "-d", "1")
    options = ("--source", str(made), *machine.options[2:])
    assert here("query", *options) == here("query", *machine.options)
    whole = made.read_bytes()
    made.write_bytes(whole[:-1])
    refused(here("query", *options), "is truncated")
    made.unlink()


@pytest.mark.parametrize("machine", MORE_CPUS[:1], indirect=True)
def test_a_dump_without_the_pages_that_matter_to_few(
    machine: Machine, for_makedumpfile: Path
) -> None:
    """A makedumpfile that knows the kernel keeps what holds the tags. One that is older may take
    slab pages for a program's, and leaves out more: that is one clear line."""
    made = makedumpfile(for_makedumpfile, "kdump-31", "-c", "-d", "31")
    done = here("query", "--source", str(made), *machine.options[2:])
    if done.status:
        refused(done, "makedumpfile left out its pages (-d 31)")
    else:
        assert done.out == here("query", *machine.options).out
    elf = makedumpfile(for_makedumpfile, "elf-23", "-E", "-d", "23")
    done = here("query", "--source", str(elf), *machine.options[2:])
    assert done == here("query", *machine.options)


@pytest.mark.skipif(
    not os.environ.get("ALLOCQ_TEST_KCORE"), reason="takes minutes: ALLOCQ_TEST_KCORE=1"
)
def test_kcore_of_the_running_kernel(kernel: dumps.DebugKernel, vmlinux: Path) -> None:
    options = f"--source /proc/kcore --vmlinux {shlex.quote(str(vmlinux))}"
    script = (
        f"cat /proc/allocinfo; echo; {shlex.join(MODULE)} query {options}; "
        f"echo; {shlex.join(MODULE)} query --source /proc/kcore 2>&1"
    )
    machine = guest.Machine(kernel.image)
    with guest.Guest(machine, ["sh", "-c", script], timeout=600) as running:
        status = running.wait()
        text, answer, refusal = (running.job / "stdout").read_text().split("\n\n")
    before, lines = text.splitlines()[2:], answer.splitlines()
    assert status == 2 and subjects(lines) == subjects(before)
    assert len(moved(before, lines)) < len(lines) // 10
    assert refusal.startswith("allocq: /proc/kcore is the running kernel's memory: ")
