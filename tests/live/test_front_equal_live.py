"""The program in front of Python and Python itself on a running kernel: the same tags, the same
words; only counters may have moved in between."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import oracle
import pytest
import still
from asking import only, questions
from command import FRONT, MODULE, Result, allocq, here, unhurried
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from oracle import Asked
from test_front_equal import Alone

pytestmark = pytest.mark.skipif(not FRONT.exists(), reason="allocq is not installed beside Python")

INTERFACES = ("ioctl", "auto", "text")
SWITCH = Path("/proc/sys/vm/mem_profiling")


def forget() -> None:
    """As on a fresh boot: there is no tag cache."""
    shutil.rmtree("/run/allocq", ignore_errors=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone(tmp_path_factory.mktemp("alone") / "prefix")


def ask(run: Callable[..., Result], *argv: str) -> list[oracle.Tag]:
    result = run("query", "-o", "procfs", *argv)
    assert result.err == "", result
    tags = oracle.parse(result.out)
    assert result.status == (0 if tags else 1)
    return tags


def plain(asked: Asked) -> Asked:
    return asked._replace(regexps=(), ignore_case=False, invert=False)


def hold(alone: Alone, examples: int) -> None:
    """Hold generated questions about the tags of now, asked of both, against the text."""
    tags = tuple(still.read())

    def every_way() -> Iterator[list[oracle.Tag]]:
        for forgetful in (True, False):
            for run in (alone, here):
                for interface in INTERFACES:
                    if forgetful:
                        forget()
                    yield ask(run, "--interface", interface)

    restless = still.restless(every_way)

    @settings(unhurried, max_examples=examples, phases=[Phase.generate])
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        fields = data.draw(st.sets(st.sampled_from(Asked._fields), min_size=1, max_size=4))
        asked = plain(only(data.draw(questions(tags)), fields))
        interface = data.draw(st.sampled_from(INTERFACES))
        forgetful = data.draw(st.integers(0, 4)) == 0
        wrong = []
        for _ in range(4):
            if forgetful:
                forget()
            before = still.read()
            ours = ask(alone, "--interface", interface, *asked.argv())
            assert alone.noted is None
            theirs = ask(here, "--interface", interface, *asked.argv())
            after = still.read()
            if still.names_of(asked) == asked:
                assert still.same_names(ours, asked, before)
                assert still.same_names(theirs, asked, before)
                return
            found = [still.why_not(t, asked, before, after, restless) for t in (ours, theirs)]
            if found == [None, None]:
                return
            wrong.append(found)
        pytest.fail(str(wrong))

    holds()


def test_generated_questions_are_answered_alike(alone: Alone) -> None:
    forget()
    hold(alone, 100)


def test_generated_questions_with_long_names_are_answered_alike(
    alone: Alone, modprobe: Callable[[str], None]
) -> None:
    modprobe("allocq_oddtags")
    hold(alone, 40)


@pytest.mark.guest(kernel="old")
def test_generated_questions_without_the_ioctl_are_answered_alike(alone: Alone) -> None:
    global INTERFACES
    assert "has no ioctl" in here("query", "--interface", "ioctl").err
    before, INTERFACES = INTERFACES, ("auto", "text")
    try:
        hold(alone, 40)
    finally:
        INTERFACES = before


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "procfs"])
@pytest.mark.parametrize("sort", ["none", "file", "function", "module"])
@pytest.mark.parametrize("more", [[], ["-r"], ["-n", "7"]], ids=str)
def test_formats_and_orders_are_alike(
    alone: Alone, interface: str, format: str, sort: str, more: list[str]
) -> None:
    argv = ["query", "-f", "fs/*", "-o", format, "-s", sort, "--interface", interface, *more]
    ours, theirs = alone(*argv), here(*argv)
    assert alone.noted is None
    assert (ours.status, ours.err) == (theirs.status, theirs.err) == (0, "")
    assert without_counters(ours.out, format) == without_counters(theirs.out, format) != []


def without_counters(out: bytes, format: str) -> list[object]:
    lines = out.decode().splitlines()
    if format == "jsonl":
        tags = [json.loads(line) for line in lines]
        return [{k: tag[k] for k in tag if k not in ("bytes", "calls")} for tag in tags]
    if format == "procfs":
        return [line[21:].lstrip() for line in lines]
    rows = csv.reader(lines, delimiter="," if format == "csv" else "\t")
    return [row[2:] for row in rows]


@pytest.mark.parametrize("interface", INTERFACES)
def test_counts_and_the_exit_status_are_alike(alone: Alone, interface: str) -> None:
    for asked in (["-f", "fs/*"], ["-f", "nothing.c"], ["--builtin"], ["-n", "1"], []):
        for way in (["-c"], ["-q"]):
            argv = ["query", *asked, *way, "--interface", interface]
            assert alone(*argv) == here(*argv)
            assert alone.noted is None


@pytest.fixture
def switched_off() -> Iterator[None]:
    SWITCH.write_text("0")
    yield
    SWITCH.write_text("1")


@pytest.mark.usefixtures("switched_off")
def test_the_warning_of_frozen_counters_is_alike(alone: Alone) -> None:
    for interface in INTERFACES:
        argv = ("query", "-f", "mm/slub.c", "-o", "procfs", "--interface", interface)
        ours = alone(*argv)
        assert alone.noted is None
        assert ours == here(*argv)
        assert ours.status == 0 and "profiling is off" in ours.err


@pytest.mark.parametrize("argv", ["-c", "--interface ioctl", "--interface text -q"])
def test_what_a_user_without_rights_is_told_is_alike(
    unprivileged: Callable[..., subprocess.CompletedProcess[str]], argv: str
) -> None:
    ours, theirs = (
        unprivileged([*program, "query", *argv.split()]) for program in ([str(FRONT)], MODULE)
    )
    asked_alike = theirs.stderr.replace(" ".join(MODULE), str(FRONT))
    assert (ours.returncode, ours.stdout, ours.stderr) == (2, "", asked_alike)
    assert (theirs.returncode, theirs.stdout) == (2, "")
    assert ours.stderr.startswith("allocq: /proc/allocinfo: permission denied\n")


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=never",))
@pytest.mark.parametrize("argv", ["", "-c", "--interface ioctl", "--interface text -q"])
def test_why_allocinfo_is_missing_is_told_alike(alone: Alone, argv: str) -> None:
    ours = alone("query", *argv.split())
    assert alone.noted is None
    assert ours == here("query", *argv.split())
    assert (ours.status, ours.out) == (2, b"")
    assert "disabled until the next boot" in ours.err


@pytest.mark.guest(kernel="old")
def test_a_missing_ioctl_is_told_alike() -> None:
    argv = ("query", "--interface", "ioctl")
    ours = allocq(*argv)
    assert ours == allocq(*argv, program=MODULE)
    assert ours.status == 2 and "has no ioctl on this kernel" in ours.err
