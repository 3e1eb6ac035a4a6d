"""`allocq export` on a running kernel: rights, the open file, modules, the switch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import oracle
import pytest
from command import MODULE, Result, refused
from exporter import Exporter, exporter
from metrics import Values, read_text, sums

SWITCH = Path("/proc/sys/vm/mem_profiling")
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")
DAC_READ_SEARCH = 2


@contextmanager
def live(*argv: str, **options: object) -> Iterator[Exporter]:
    with exporter("--live", "--max-age", "0s", *argv, **options) as running:
        yield running


def without_rights(running: Exporter) -> None:
    """Every thread of it, as the kernel says."""
    for thread in os.listdir(f"/proc/{running.pid}/task"):
        status = running.status(f"task/{thread}")
        assert status["Uid"].split() == status["Gid"].split(), status
        assert "0" not in status["Uid"].split() and status["Groups"].strip() == ""
        assert all(int(status[name], 16) == 0 for name in CAPABILITIES)
        assert status["NoNewPrivs"] == "1"


def whole(values: Values, cat: Callable[[], str]) -> None:
    """Sums, by whatever, are those of the text, but for what moved since."""
    tags = oracle.parse(cat().encode())
    assert values["allocq_tags"] == {(): len(tags)}
    for what, at in (("bytes", 0), ("calls", 1)):
        total = sums(values, f"allocq_{what}")
        assert total == sums(values, f"allocq_directory_{what}")
        assert total == sums(values, f"allocq_module_{what}")
        assert abs(total - sum(tag[at] for tag in tags)) < total / 4


def test_it_gives_up_its_rights_and_reads_on_through_the_open_file(
    cat_allocinfo: Callable[[], str],
) -> None:
    with live() as running:
        without_rights(running)
        assert running.status()["Uid"].split() == ["65534"] * 4
        assert int(running.status()["CapBnd"], 16) == 0
        for _ in range(3):
            values = running.values()
            assert values["allocq_up"] == values["allocq_profiling_enabled"] == {(): 1}
            whole(values, cat_allocinfo)
        [labels] = values["allocq_kernel_info"]
        assert dict(labels)["release"] == os.uname().release
        assert running.end()[0] == 0
        assert running.said.count("\n") == 1, running.said


@pytest.mark.parametrize("interface", ["ioctl", "text"])
def test_each_way_to_ask(interface: str, cat_allocinfo: Callable[[], str]) -> None:
    with live("--interface", interface) as running:
        values = running.values()
        whole(values, cat_allocinfo)
        [labels] = values["allocq_kernel_info"]
        assert dict(labels)["interface"] == interface


def test_one_capability_is_enough_and_is_given_up() -> None:
    """As the unit starts it: a user of its own that may read what it may not."""
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv")
    program = ("setpriv", "--reuid", "61234", "--regid", "61234", "--clear-groups", "--inh-caps",
               "+dac_read_search", "--ambient-caps", "+dac_read_search", "--bounding-set",
               "-all,+dac_read_search", *MODULE)  # fmt: skip
    with live(program=program) as running:
        without_rights(running)
        assert running.status()["Uid"].split() == ["61234"] * 4
        assert running.values()["allocq_up"] == {(): 1}


def test_who_may_not_read_it_is_told(
    unprivileged: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = unprivileged([*MODULE, "export", "--listen", "127.0.0.1:0"])
    refused(Result(done.returncode, done.stdout.encode(), done.stderr), "permission denied")


def test_a_file_is_served_to_all_by_anybody(
    unprivileged: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    with exporter(user=65534, group=65534, extra_groups=[]) as running:
        without_rights(running)
        assert running.values()["allocq_up"] == {(): 1}
    done = unprivileged([*MODULE, "export", "--sample", "--user", "nobody"])
    refused(Result(done.returncode, done.stdout.encode(), done.stderr), "--user is for root")


def test_switched_off_while_it_runs_is_said_in_the_answer() -> None:
    with live() as running:
        try:
            SWITCH.write_text("0")
            values = running.values()
            assert values["allocq_profiling_enabled"] == {(): 0}
            assert values["allocq_up"] == {(): 1} and values["allocq_bytes"]
        finally:
            SWITCH.write_text("1")
        assert running.values()["allocq_profiling_enabled"] == {(): 1}


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=never",))
def test_without_tags_it_says_so_and_serves() -> None:
    assert not os.path.exists("/proc/allocinfo")
    with live() as running:
        without_rights(running)
        values = running.values()
        assert values["allocq_up"] == {(): 0} and "allocq_bytes" not in values
        assert values["allocq_read_errors_total"] == {(): 1}
        assert values["allocq_profiling_enabled"] == {(): 0}
        assert running.end()[0] == 0 and "allocq_up is 0" in running.said


def test_a_module_comes_and_goes(modprobe: Callable[[str], None]) -> None:
    def modules(running: Exporter) -> set[str]:
        return {dict(labels)["module"] for labels in running.values()["allocq_module_bytes"]}

    with live() as running:
        assert "xfs" not in modules(running)
        modprobe("xfs")
        assert "xfs" in modules(running)
        modprobe.remove("xfs")  # type: ignore[attr-defined]
        assert "xfs" not in modules(running)
        assert running.values()["allocq_up"] == {(): 1}


@pytest.mark.guest(kernel="old")  # which has no network
def test_a_textfile_of_a_kernel_without_the_ioctl(
    tmp_path: Path, cat_allocinfo: Callable[[], str]
) -> None:
    test_a_textfile_of_this_kernel(tmp_path, cat_allocinfo)


def test_a_textfile_of_this_kernel(tmp_path: Path, cat_allocinfo: Callable[[], str]) -> None:
    path = tmp_path / "allocq.prom"
    subprocess.run([*MODULE, "export", "--textfile", path], check=True)
    values = read_text(path.read_bytes())
    whole(values, cat_allocinfo)
    assert values["allocq_profiling_enabled"] == {(): 1}
