"""The commands under every value of sysctl.vm.mem_profiling, with and without the ioctl."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oracle
import pytest
from command import allocq, refused

SWITCH = Path("/proc/sys/vm/mem_profiling")
PARAMETER = "sysctl.vm.mem_profiling="
COMPRESSED = Path("/proc/sys/vm/mem_profiling_compressed")


def boots(*values: str, kernels: tuple[str, ...] = ("new", "old")) -> Any:
    """A boot for each value and kernel; the test takes both. Older kernels know no `compressed`."""
    return pytest.mark.parametrize(
        ("value", "kernel"),
        [
            pytest.param(
                value, kernel,
                marks=pytest.mark.guest(kernel=kernel, params=(PARAMETER + value,)),
            )
            for value in values
            for kernel in kernels
            if kernel == "new" or "compressed" not in value
        ],
    )  # fmt: skip


def names(tags: list[oracle.Tag]) -> list[tuple[object, ...]]:
    return [tag[2:6] for tag in tags]


@boots("1", "1,compressed", "0", "0,compressed")
def test_every_way_has_the_tags_of_the_text(
    value: str, kernel: str, cat_allocinfo: Callable[[], str]
) -> None:
    assert SWITCH.read_text() == f"{value[0]}\n"
    if COMPRESSED.exists():
        assert COMPRESSED.read_text() == ("1\n" if "compressed" in value else "0\n")
    tags = names(oracle.parse(cat_allocinfo().encode()))
    for interface in ("text", "auto", "ioctl") if kernel == "new" else ("text", "auto"):
        done = allocq("query", "-o", "procfs", "--interface", interface)
        assert done.status == 0 and names(oracle.parse(done.out)) == tags
        assert ("frozen" in done.err) == (value[0] == "0"), done.err


@boots("1", "1,compressed", "0", kernels=("new",))
def test_verify_passes(value: str, kernel: str) -> None:
    done = allocq("verify", "--rounds", "10", "-o", "json")
    wrong = [c for c in json.loads(done.out)["checks"] if c["result"] not in ("ok", "skip")]
    assert (done.status, wrong) == (0, [])


@boots("1", "1,compressed", "0")
def test_a_snapshot_is_what_it_says(value: str, kernel: str, tmp_path: Path) -> None:
    path = str(tmp_path / "one")
    assert allocq("snapshot", "-o", path).status == 0
    text = Path(path).read_text()
    assert ("# profiling: off\n" in text) == (value[0] == "0")
    done = allocq("query", "--source", path, "-c")
    assert done.status == 0 and int(done.out) == len(oracle.parse(text.encode()))


@boots("never", kernels=("new",))
def test_without_profiling_each_command_says_so(value: str, kernel: str) -> None:
    assert not Path("/proc/allocinfo").exists()
    for words in (
        ["query"],
        ["tree"],
        ["snapshot", "-o", "/run/x"],
        ["check", "--", "true"],
        ["diff", "--sample"],
    ):
        done = allocq(*words)
        assert done.status == 2, (words, done)
    refused(allocq("query"), "/proc/allocinfo")
    assert "hint: boot with sysctl.vm.mem_profiling=1" in allocq("query").err
    assert not Path("/run/x").exists()
    assert allocq("doctor").status in (1, 2)


@boots("never", kernels=("old",))
def test_an_older_kernel_shows_what_cannot_be_turned_on(value: str, kernel: str) -> None:
    done = allocq("query", "-c")
    assert done.status == 0 and int(done.out) > 900
    assert "booting with sysctl.vm.mem_profiling=1 turns it on" in done.err
    assert b"sudo sysctl" not in allocq("doctor").out
