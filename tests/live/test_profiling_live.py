"""`allocq profiling` under every value of the boot parameter, with and without the ioctl."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import oracle
import pytest
from command import ALLOCQ, allocq, refused
from test_parameters_live import PARAMETER, SWITCH, boots

PERSISTENT = Path("/etc/sysctl.d/90-allocq.conf")
# A guest apart: what is switched leaves counters that do not add up to the memory any more.
DEFAULT_ON = pytest.mark.guest(params=(PARAMETER + "1",))


def switch() -> str:
    return SWITCH.read_text().strip()


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = switch()
    yield
    if os.access(SWITCH, os.W_OK) and switch() != before:
        SWITCH.write_text(before)
    PERSISTENT.unlink(missing_ok=True)


def pipes(text: str) -> int:
    """The live allocations of alloc_pipe_info."""
    return sum(tag[1] for tag in oracle.parse(text.encode()) if tag[5] == "alloc_pipe_info")


@boots("1", "0", "1,compressed", "0,compressed")
def test_on_and_off_set_the_switch_and_say_so(value: str, kernel: str) -> None:
    before = value[0]
    status = allocq("profiling")
    assert (status.status, status.err) == (0 if before == "1" else 1, "")
    for action, now in (("off", "0"), ("on", "1"), ("off", "0"), ("on", "1")):
        was = switch()
        dry = allocq("profiling", action, "--dry-run")
        assert (dry.status, switch()) == (0, was)
        done = allocq("profiling", action)
        assert (done.status, done.err, switch()) == (0, "", now)
        assert dry.out == b"Dry run: nothing is changed.\n" + done.out
        if was == now:
            assert done.out == f"vm.mem_profiling is already {now}.\n".encode()
        else:
            assert done.out.startswith(f"vm.mem_profiling: {was} -> {now}. ".encode())
        status = allocq("profiling", "status", "-o", "json")
        document = json.loads(status.out)
        assert (status.status, document["counting"]) == (0, True) if now == "1" else (1, False)
        assert document["facts"]["mem_profiling"] == now
    findings = {finding["item"]: finding for finding in document["findings"]}
    late = "not since boot" in findings["vm.mem_profiling"]["value"]
    assert late == (before == "0")
    doctor = json.loads(allocq("doctor", "-o", "json").out)
    assert [f for f in doctor["findings"] if f["item"] in findings] == document["findings"]


@boots("never")
def test_disabled_until_the_next_boot(value: str, kernel: str) -> None:
    done = allocq("profiling", "on")
    refused(done, "disabled until the next boot")
    assert "sysctl.vm.mem_profiling=1" in done.err and switch() == "0"
    refused(allocq("profiling", "on", "--persist"), "disabled until the next boot")
    assert not PERSISTENT.exists()
    assert allocq("profiling").status == 1
    assert allocq("profiling", "off").out == b"vm.mem_profiling is already 0.\n"


@boots("never")
def test_the_kernel_refuses_what_the_command_line_does_not_show(
    value: str, kernel: str, tmp_path: Path
) -> None:
    """As where /proc/cmdline is hidden: the kernel's own answer is explained."""
    hidden = tmp_path / "cmdline"
    hidden.write_text("quiet\n")
    script = 'mount --bind "$1" /proc/cmdline && shift && "$@" profiling on'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", str(hidden), *ALLOCQ]
    done = allocq(program=words)
    if kernel == "new":
        refused(done, "until the next boot")
    else:
        refused(done, "cannot set vm.mem_profiling: Permission denied")
    assert switch() == "0"


@pytest.mark.parametrize("kernel", [
    pytest.param("new", marks=DEFAULT_ON),
    pytest.param("old", marks=pytest.mark.guest(kernel="old", params=(PARAMETER + "1",))),
])  # fmt: skip
def test_what_on_and_off_say_of_a_gap_is_so(kernel: str, cat_allocinfo: Callable[[], str]) -> None:
    """Allocated while off: not counted. Freed while off: still counted."""
    start = pipes(cat_allocinfo())
    counted = [os.pipe() for _ in range(100)]
    before = pipes(cat_allocinfo())
    assert before >= start + 100
    assert b"freed while it was off still are" in allocq("profiling", "off").out
    for ends in counted:
        for fd in ends:
            os.close(fd)
    uncounted = [os.pipe() for _ in range(500)]
    assert allocq("profiling", "on").status == 0
    after = pipes(cat_allocinfo())
    assert start + 100 <= after < start + 500
    for ends in uncounted:
        for fd in ends:
            os.close(fd)
    assert pipes(cat_allocinfo()) >= start


@DEFAULT_ON
def test_persist_writes_a_file_that_sysctl_takes() -> None:
    done = allocq("profiling", "off", "--persist")
    assert (done.status, switch()) == (0, "0")
    assert PERSISTENT.read_text().splitlines()[-1] == "vm.mem_profiling = 0"
    dry = allocq("profiling", "on", "--persist", "--dry-run")
    assert dry.out.startswith(b"Dry run: nothing is changed.\n") and switch() == "0"
    assert PERSISTENT.read_text().splitlines()[-1] == "vm.mem_profiling = 0"
    assert PERSISTENT.stat().st_mode & 0o777 == 0o644
    assert b"sysctl.vm.mem_profiling=never" in done.out
    SWITCH.write_text("1")
    assert os.spawnlp(os.P_WAIT, "sysctl", "sysctl", "-q", "-p", str(PERSISTENT)) == 0
    assert switch() == "0"
    done = allocq("profiling", "on", "--persist")
    assert PERSISTENT.read_text().splitlines()[-1] == "vm.mem_profiling = 1"
    assert b"sysctl.vm.mem_profiling=1" in done.out


@DEFAULT_ON
def test_persist_leaves_the_files_of_others_alone(tmp_path: Path) -> None:
    PERSISTENT.write_text("vm.mem_profiling = 1\n# mine\n")
    refused(allocq("profiling", "off", "--persist"), "not written by allocq")
    assert switch() == "1" and "mine" in PERSISTENT.read_text()
    PERSISTENT.unlink()
    victim = tmp_path / "victim"
    victim.write_text("# Written by `allocq profiling --persist`.\n")
    PERSISTENT.symlink_to(victim)
    refused(allocq("profiling", "off", "--persist"), "not written by allocq")
    assert victim.read_text().count("\n") == 1 and switch() == "1"


@DEFAULT_ON
def test_a_file_that_is_read_later_is_named() -> None:
    other = Path("/etc/sysctl.d/95-other.conf")
    other.write_text("# x\n-vm/mem_profiling=0\n")
    try:
        done = allocq("profiling", "on", "--persist")
    finally:
        other.unlink()
    assert done.status == 0 and f"warning: {other} sets vm.mem_profiling too" in done.err


@DEFAULT_ON
@pytest.mark.parametrize("more", [[], ["--persist"]], ids=["now", "persist"])
def test_without_rights(unprivileged: Callable[..., Any], more: list[str]) -> None:
    assert unprivileged([*ALLOCQ, "profiling"]).returncode == 0
    done = unprivileged([*ALLOCQ, "profiling", "off", *more])
    assert (done.returncode, done.stdout) == (2, "")
    refusal, hint = done.stderr.splitlines()
    assert refusal == "allocq: cannot set vm.mem_profiling: Permission denied"
    assert hint.startswith("hint: sudo ") and switch() == "1"
    assert hint.endswith(" ".join(["profiling", "off", *more]))


@DEFAULT_ON
def test_in_a_container_with_a_read_only_proc_sys() -> None:
    script = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", *ALLOCQ, "profiling", "off"]
    refused(allocq(program=words), "/proc/sys is read-only here")
    assert switch() == "1"
