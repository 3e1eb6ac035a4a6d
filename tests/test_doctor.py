"""`allocq doctor` without a kernel: what is read of a host, and what is made of it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from command import allocq
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_child import sample

from allocq.commands.doctor import diagnose, facts
from allocq.commands.doctor.diagnose import CANNOT, GOOD, LESS, NOT_GOOD, READY, UNKNOWN
from allocq.commands.doctor.doctor import in_lines
from allocq.commands.doctor.facts import Cache, Cost, Facts, Recorder, recorder
from allocq.host import machine as host
from allocq.host.tracefs import TraceFacts
from allocq.storage.recording.writer import Writer

CONFIG = "CONFIG_MEM_ALLOC_PROFILING"
DEFAULT = f"{CONFIG}_ENABLED_BY_DEFAULT"
DEBUG = f"{CONFIG}_DEBUG"

READY_FACTS = Facts(
    versions={"allocq": "1", "python": "3.11.7", "typer": "1", "cffi": "1", "orjson": "1"},
    installation="pipx, wheel",
    kernel="7.3.4",
    machine="x86_64",
    distribution="Debian",
    uid=0,
    boot_editor=None,
    config_path="/proc/config.gz",
    config={CONFIG: "y", DEFAULT: "y", DEBUG: "n"},
    boot_parameter="",
    mem_profiling="1",
    mem_profiling_compressed="0",
    possible_cpus="0-1",
    file_mode=0o400,
    open_error=None,
    cache=Cache("/run/allocq/names"),
    format_version="2.0",
    content_id=1,
    tags=10,
    modules=0,
    inaccurate=0,
    text_cost=Cost(0.001, 2, 10, 900),
    ioctl_cost=Cost(0.001, 11, 10),
    file_cost=Cost(0.0001, 3, 2),
    file="mm/slub.c",
    recorder=Recorder("/var/lib/allocq", True, 7),
    tracing=TraceFacts("/sys/kernel/tracing", synthetic=True),
)
NOTHING_READ = {
    "format_version": None,
    "content_id": None,
    "tags": None,
    "modules": None,
    "inaccurate": None,
    "text_cost": None,
    "ioctl_cost": None,
    "file_cost": None,
    "file": None,
}


def changed(**values: object) -> Facts:
    return dataclasses.replace(READY_FACTS, **values)  # type: ignore[arg-type]


def state(found: Facts, item: str) -> tuple[str, str]:
    """The state and the mending of one item."""
    [finding] = [finding for finding in diagnose.findings(found) if finding.item == item]
    return finding.state, finding.mend


def bad(found: Facts) -> set[str]:
    return {finding.item for finding in diagnose.findings(found) if finding.state == NOT_GOOD}


# What is read


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("quiet ro", ""),
        ("sysctl.vm.mem_profiling=never ro", "never"),
        ("sysctl.vm.mem_profiling=1,compressed", "1,compressed"),
        ("sysctl.vm.mem-profiling=0", "0"),
        ("sysctl.vm.mem_profiling=0 sysctl.vm.mem_profiling=1", "1"),
        ('"sysctl.vm.mem_profiling=1"', "1"),
        ('sysctl.vm.mem_profiling="1"', "1"),
        ("ro -- sysctl.vm.mem_profiling=never", ""),
        ("xsysctl.vm.mem_profiling=1 sysctl.vm.mem_profiling", ""),
    ],
)
def test_boot_parameter(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text(line + "\n")
    assert host.boot_parameter(str(tmp_path)) == value


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert host.boot_parameter(root) is None
    assert host.kernel_config("6.0", root) is None
    assert host.possible_cpus(root) is None
    assert host.switch("mem_profiling", root) is None


CONFIG_TEXT = f"CONFIG_SMP=y\n{CONFIG}=y\n# {DEFAULT} is not set\n# CONFIG_X is not set\n"


@pytest.mark.parametrize("place", ["proc/config.gz", "boot/config-6.0", "lib/modules/6.0/config"])
def test_kernel_config(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    text = CONFIG_TEXT.encode()
    path.write_bytes(gzip.compress(text) if place.endswith("gz") else text)
    found = host.kernel_config("6.0", str(tmp_path))
    assert found == (str(path), {CONFIG: "y", DEFAULT: "n"})


def test_a_damaged_config_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "boot").mkdir()
    (tmp_path / "proc/config.gz").write_bytes(b"\x1f\x8bnonsense")
    (tmp_path / "boot/config-6.0").write_text(CONFIG_TEXT)
    found = host.kernel_config("6.0", str(tmp_path))
    assert found is not None and found[0].endswith("boot/config-6.0")


def test_reading_suits_a_sysctl() -> None:
    """A read of megabytes fails there; a plain open().read() of Python may ask for as much."""
    assert host.read_line("/proc/sys/kernel/ostype") == "Linux"


@settings(deadline=None)
@given(st.sets(st.integers(0, 300), min_size=1))
def test_count_cpus(cpus: set[int]) -> None:
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and parts[-1][1] == cpu - 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    text = ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in parts)
    assert host.count_cpus(text) == len(cpus)


@pytest.mark.parametrize("text", ["", None, "x", "0-", "1,,2"])
def test_count_cpus_of_nonsense(text: str | None) -> None:
    assert host.count_cpus(text) is None


# What is made of it


@pytest.mark.parametrize(
    ("parameter", "meant"),
    [
        ("1", "on"),
        ("y", "on"),
        ("on", "on"),
        ("1,compressed", "on"),
        ("0", "off"),
        ("off", "off"),
        ("0,compressed", "off"),
        ("never", "never"),
        ("never,compressed", "never"),
        ("1,compress", None),
        ("2", None),
        ("", None),
    ],
)
def test_the_boot_parameter_as_the_kernel_reads_it(parameter: str, meant: str | None) -> None:
    assert diagnose.boots_enabled(parameter) == meant


def test_ready() -> None:
    assert diagnose.verdict(READY_FACTS) == READY == 0
    assert diagnose.reason(READY_FACTS) == ""
    assert {f.state for f in diagnose.findings(READY_FACTS)} == {GOOD}


def test_switched_off() -> None:
    off = changed(mem_profiling="0")
    assert diagnose.verdict(off) == LESS == 1
    assert bad(off) == {"vm.mem_profiling"}
    assert state(off, "vm.mem_profiling")[1] == "sudo sysctl vm.mem_profiling=1"


def test_switched_off_where_the_switch_is_locked() -> None:
    locked = changed(mem_profiling="0", boot_parameter="0", config={CONFIG: "y", DEBUG: "y"})
    assert "sysctl.vm.mem_profiling=1" in state(locked, "vm.mem_profiling")[1]
    assert "sudo sysctl" not in state(locked, "vm.mem_profiling")[1]


def gone(**values: object) -> Facts:
    return changed(file_mode=None, open_error="No such file", **NOTHING_READ, **values)


def test_booted_with_never() -> None:
    never = gone(mem_profiling="0", boot_parameter="never")
    assert diagnose.verdict(never) == CANNOT == 2
    assert bad(never) == {"boot parameter", "vm.mem_profiling", "/proc/allocinfo"}
    assert "sysctl.vm.mem_profiling=1" in state(never, "boot parameter")[1]


def test_off_by_default() -> None:
    default = gone(mem_profiling="0", config={CONFIG: "y", DEFAULT: "n"})
    assert state(default, "boot parameter")[0] == NOT_GOOD
    assert state(gone(mem_profiling="0", config=None), "boot parameter")[0] == UNKNOWN


@pytest.mark.parametrize(
    ("editor", "command"),
    [("grubby", "sudo grubby --update-kernel=ALL --args="), ("update-grub", "sudo update-grub")],
)
def test_the_boot_parameter_is_set_with_what_is_there(editor: str, command: str) -> None:
    never = gone(mem_profiling="0", boot_parameter="never", boot_editor=editor)
    mend = state(never, "boot parameter")[1]
    assert command in mend and "sysctl.vm.mem_profiling=1" in mend


def test_shut_down_by_the_kernel() -> None:
    shut = gone(mem_profiling="0", boot_parameter="1,compressed")
    assert state(shut, "/proc/allocinfo") == (NOT_GOOD, diagnose._DMESG)
    assert diagnose.verdict(shut) == CANNOT


def test_built_without() -> None:
    without = gone(mem_profiling=None, mem_profiling_compressed=None, config={CONFIG: "n"})
    assert diagnose.verdict(without) == CANNOT
    assert bad(without) == {"kernel config", "vm.mem_profiling", "/proc/allocinfo"}
    assert "MEM_ALLOC_PROFILING" in state(without, "kernel config")[1]


def test_without_rights() -> None:
    denied = changed(uid=1000, open_error="Permission denied", **NOTHING_READ)
    assert diagnose.verdict(denied) == CANNOT
    assert bad(denied) == {"user", "/proc/allocinfo"}
    assert state(denied, "user")[1] == state(denied, "/proc/allocinfo")[1] == "sudo allocq doctor"


def test_without_the_ioctl() -> None:
    old = changed(content_id=None, ioctl_error="Inappropriate ioctl for device",
                  ioctl_cost=None, file_cost=None, file=None)  # fmt: skip
    assert diagnose.verdict(old) == LESS
    assert bad(old) == {"ioctl"}


def test_counters_that_miss_something_are_told_and_no_hindrance() -> None:
    some = changed(inaccurate=3)
    assert bad(some) == {"inaccurate counters"}
    assert diagnose.verdict(some) == READY


def test_a_missing_library() -> None:
    missing = changed(versions={**READY_FACTS.versions, "orjson": None})
    assert state(missing, "software") == (NOT_GOOD, "python3 -m pip install orjson")
    missing = changed(versions={**READY_FACTS.versions, "orjson": None}, installation="deb")
    assert state(missing, "software") == (NOT_GOOD, "sudo apt-get install --reinstall allocq")


def test_the_two_ways_give_another_number_of_tags() -> None:
    assert state(changed(ioctl_cost=Cost(0.1, 10, 9)), "tags") == (NOT_GOOD, "allocq verify")


CACHE = Cache("/run/allocq/names", True, 0, 0o600, 0, 0o700, 100, True)


@pytest.mark.parametrize(
    ("values", "expected", "words"),
    [
        ({}, GOOD, "valid"),
        ({"fits": False}, GOOD, "outdated"),
        ({"exists": False}, GOOD, "first query"),
        ({"path": None}, GOOD, "XDG_RUNTIME_DIR"),
        ({"owner": 7}, NOT_GOOD, "uid 7"),
        ({"mode": 0o644}, NOT_GOOD, "0644"),
        ({"directory_owner": 7}, NOT_GOOD, "uid 7"),
        ({"directory_mode": 0o777}, NOT_GOOD, "0777"),
        ({"error": "Input/output error"}, NOT_GOOD, "Input/output error"),
    ],
)
def test_names_cache(values: dict[str, object], expected: str, words: str) -> None:
    found = changed(cache=dataclasses.replace(CACHE, **values))  # type: ignore[arg-type]
    [finding] = [f for f in diagnose.findings(found) if f.item == "tag cache"]
    assert finding.state == expected and words in finding.value
    assert bool(finding.mend) == (expected == NOT_GOOD)
    assert diagnose.verdict(found) == READY


def test_the_cache_is_looked_at_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "allocq"
    monkeypatch.setattr(facts.kernel, "cache_directory", lambda: str(folder))
    assert facts.cache(5) == Cache(f"{folder}/names")
    folder.mkdir(0o700)
    (folder / "names").write_text("nonsense")
    (folder / "names").chmod(0o640)
    found = facts.cache(5)
    assert (found.exists, found.mode, found.bytes, found.fits) == (True, 0o640, 8, False)
    assert found.owner == os.geteuid() and found.directory_mode == 0o700
    (folder / "names").unlink()
    (folder / "names").symlink_to("/etc/passwd")
    assert facts.cache(5).fits is False


any_text = st.none() | st.sampled_from(["", "0", "1", "never", "1,compressed", "nonsense"])


@settings(deadline=None)
@given(
    st.builds(
        changed,
        uid=st.sampled_from([0, 1000]),
        config=st.none() | st.fixed_dictionaries({CONFIG: st.sampled_from("yn")}),
        boot_parameter=any_text,
        mem_profiling=any_text,
        mem_profiling_compressed=any_text,
        file_mode=st.sampled_from([None, 0o400]),
        open_error=st.none() | st.just("Permission denied"),
        tags=st.none() | st.integers(0, 9999),
        content_id=st.none() | st.integers(0, 9),
        ioctl_error=st.none() | st.just("Operation not permitted"),
        text_cost=st.none() | st.just(READY_FACTS.text_cost),
    )
)
def test_any_facts_give_a_whole_report(found: Facts) -> None:
    report = diagnose.findings(found)
    items = [finding.item for finding in report]
    assert len(items) == len(set(items)) == len(diagnose.findings(READY_FACTS))
    assert {f.state for f in report} <= {GOOD, NOT_GOOD, UNKNOWN}
    assert all(f.state != GOOD for f in report if f.mend)
    assert diagnose.verdict(found) == READY or diagnose.reason(found)


# How it is printed


def test_lines() -> None:
    off = changed(mem_profiling="0", distribution="bad\x1b[2J")
    report = diagnose.findings(off)
    lines = in_lines(report, 1, "it is off", color=False)
    assert lines[-1] == "works with limitations: it is off"
    width = max(len(f.item) for f in report)
    at = lines.index(f"not good  {'vm.mem_profiling':{width}}  0: the counters are frozen")
    assert lines[at + 1].strip() == "-> sudo sysctl vm.mem_profiling=1"
    assert not any("\x1b" in line for line in lines)


def test_a_command_that_mends_two_things_is_said_once() -> None:
    never = gone(mem_profiling="0", boot_parameter="never")
    lines = in_lines(diagnose.findings(never), 2, "", color=False)
    assert len([line for line in lines if "->" in line]) == 1


def test_color_changes_nothing_but_color() -> None:
    report = diagnose.findings(changed(mem_profiling="0", distribution=None))
    plain = in_lines(report, 1, "off", color=False)
    painted = in_lines(report, 1, "off", color=True)
    assert painted != plain
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in painted] == plain


# The command, on this very machine


@pytest.fixture(scope="module")
def here() -> Callable[..., tuple[int, str]]:
    def run(*words: str) -> tuple[int, str]:
        done = allocq("doctor", *words)
        assert done.err == ""
        return done.status, done.out.decode()

    return run


def test_json(here: Callable[..., tuple[int, str]]) -> None:
    status, text = here("-o", "json")
    document = json.loads(text)
    assert document["status"] == status
    assert document["facts"]["kernel"] == os.uname().release
    assert document["facts"]["versions"]["python"].startswith("3.")
    assert all(set(f) == {"item", "state", "value", "mend"} for f in document["findings"])


def test_table(here: Callable[..., tuple[int, str]]) -> None:
    status, text = here()
    assert text.splitlines()[-1].startswith(diagnose.VERDICTS[status])
    assert "\x1b" not in text
    assert "\x1b" in here("--color", "always")[1]


def test_a_bad_format_is_refused() -> None:
    done = allocq("doctor", "-o", "xml")
    assert done.status == 2 and done.out == b""
    assert done.err.splitlines()[0].startswith("allocq: ")


@pytest.mark.parametrize(
    ("running", "age", "state", "words"),
    [
        (True, 7.4, "good", "running, last sample 7 s old, in /r"),
        (True, 7200, "good", "running, last sample 2 h old, in /r"),
        (False, 200_000, "unknown", "not running, last sample 2 d old, in /r"),
        (False, None, "good", "none in /r"),
        (True, None, "not good", "running, but without a sample in /r"),
        (None, None, "unknown", ""),
    ],
)
def test_the_recorder(running: bool | None, age: float | None, state: str, words: str) -> None:
    facts = dataclasses.replace(READY_FACTS, recorder=Recorder("/r", running, age))
    finding = next(each for each in diagnose.findings(facts) if each.item == "recorder")
    assert (finding.state, finding.value) == (state, words)


@pytest.mark.parametrize(
    ("tracing", "state", "words", "mend"),
    [
        (TraceFacts("/t", synthetic=True), GOOD, "allocations and frees", ""),
        (TraceFacts("/t"), GOOD, "no frees (CONFIG_SYNTH_EVENTS)", ""),
        (TraceFacts("/t", synthetic=True, left=1), NOT_GOOD, "a killed one has left", "stacks"),
        (TraceFacts("/t", synthetic=True, left=3), NOT_GOOD, "3 killed ones have left", "stacks"),
        (TraceFacts(None, "tracefs is not mounted", "mount it"), NOT_GOOD, "mounted", "mount it"),
        (TraceFacts("/t", "/t: permission denied", "x", denied=True), UNKNOWN, "denied", ""),
        (None, UNKNOWN, "", ""),
    ],
)
def test_call_stacks(tracing: TraceFacts | None, state: str, words: str, mend: str) -> None:
    facts = dataclasses.replace(READY_FACTS, tracing=tracing)
    [finding] = [each for each in diagnose.findings(facts) if each.item == "call stacks"]
    assert (finding.state, bool(finding.mend)) == (state, bool(mend))
    assert words in finding.value and mend in finding.mend
    assert diagnose.verdict(facts) == READY  # nothing else needs it


def test_a_recorder_is_found_and_not_disturbed(tmp_path: Path) -> None:
    assert recorder(tmp_path / "none") == Recorder(str(tmp_path / "none"), False)
    writer = Writer(tmp_path / "r", {})
    assert recorder(tmp_path / "r") == Recorder(str(tmp_path / "r"), True)
    writer.append(sample(1, 3))
    found = recorder(tmp_path / "r")
    assert found.running and found.age and found.age > 10**6
    writer.close()
    assert recorder(tmp_path / "r").running is False
