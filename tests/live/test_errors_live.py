"""What a running kernel may refuse, and that each of it is one clear line."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import oracle
import pytest
import still
from command import ALLOCQ, Result, allocq, here, refused

import allocq as library

SWITCH = Path("/proc/sys/vm/mem_profiling")
Unprivileged = Callable[..., "subprocess.CompletedProcess[str]"]


def result_of(done: subprocess.CompletedProcess[str]) -> Result:
    return Result(done.returncode, done.stdout.encode(), done.stderr)


@pytest.mark.parametrize(
    "argv", ["", "--interface ioctl", "--interface text", "-c", "-q", "--explain"]
)
def test_somebody_who_is_not_root_gets_the_hint(unprivileged: Unprivileged, argv: str) -> None:
    result = result_of(unprivileged([*ALLOCQ, "query", *argv.split()]))
    refused(result, "/proc/allocinfo: permission denied")
    assert "hint: only root can read it; try sudo" in result.err


def test_somebody_who_is_not_root_can_read_what_was_saved(
    unprivileged: Unprivileged, tmp_path: Path
) -> None:
    result = result_of(unprivileged([*ALLOCQ, "query", "--sample", "-c"]))
    assert (result.status, result.err) == (0, "")
    assert int(result.out) > 1000


@pytest.fixture
def switched_off() -> Iterator[None]:
    SWITCH.write_text("0")
    yield
    SWITCH.write_text("1")


@pytest.mark.usefixtures("switched_off")
@pytest.mark.parametrize("interface", ["ioctl", "text", "auto"])
def test_profiling_that_is_switched_off_is_a_warning_with_the_answer(interface: str) -> None:
    result = here("query", "--interface", interface, "-f", "mm/slub.c", "-o", "procfs")
    assert result.status == 0
    assert len(oracle.parse(result.out)) == sum(tag.file == "mm/slub.c" for tag in still.read())
    assert result.err.startswith("allocq: warning: profiling is off: the counters are frozen")
    assert result.err.count("\n") == 1
    with library.open(interface=interface) as source:
        assert source.read().info.warnings == source.info.warnings != []


def test_switching_it_on_again_ends_the_warning() -> None:
    assert SWITCH.read_text() == "1\n"
    assert here("query", "-q").err == ""


def test_a_full_disk_and_a_closed_pipe() -> None:
    for interface in ("ioctl", "text"):
        for format in ("procfs", "json", "table"):
            argv = ["query", "--interface", interface, "-o", format]
            with open("/dev/full", "wb") as full:
                refused(allocq(*argv, stdout=full), "No space left on device")
            reader, writer = os.pipe()
            os.close(reader)
            closed = allocq(*argv, stdout=writer)
            os.close(writer)
            assert (closed.status, closed.err) == (128 + signal.SIGPIPE, "")


def test_other_files_of_proc_are_no_allocinfo() -> None:
    for path in ("/proc/version", "/proc/meminfo", "/proc/self/maps", "/proc/modules"):
        if Path(path).read_bytes():
            refused(here("query", "--source", path), path)
            refused(here("query", "--source", path, "--interface", "ioctl"), "has no ioctl")


def test_a_directory_of_proc() -> None:
    refused(here("query", "--source", "/proc/self"), "/proc/self is a directory")


# A kernel that was booted without


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=never",))
@pytest.mark.parametrize("argv", ["", "--interface ioctl", "--interface text", "-q", "--explain"])
def test_booted_with_never(argv: str) -> None:
    assert not still.ALLOCINFO.exists() and SWITCH.exists()
    result = here("query", *argv.split())
    refused(result, "no /proc/allocinfo", "allocation profiling is disabled until the next boot")
    assert "hint: boot with sysctl.vm.mem_profiling=1" in result.err


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=never",))
def test_booted_with_never_no_recording_answers_unless_it_is_asked_for() -> None:
    with pytest.raises(library.SourceError):
        library.open()
    assert here("query", "--sample", "-q").status == 0


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=0",))
@pytest.mark.parametrize("interface", ["ioctl", "text", "auto"])
def test_booted_with_profiling_off(interface: str) -> None:
    result = here("query", "--interface", interface, "-o", "procfs")
    assert result.status == 0
    assert [still.key(t) for t in oracle.parse(result.out)] == [still.key(t) for t in still.read()]
    assert result.err.startswith("allocq: warning: profiling is off: the counters are frozen")


# A kernel without the ioctl


@pytest.mark.guest(kernel="old")
def test_an_older_kernel_has_its_own_header() -> None:
    head = b"".join(still.ALLOCINFO.read_bytes().splitlines(keepends=True)[:2])
    assert head.startswith(b"allocinfo - version: 1.0\n")
    assert here("query", "-o", "procfs", "--header").out.startswith(head)


@pytest.mark.guest(kernel="old")
def test_an_older_kernel_is_read_by_its_text() -> None:
    for argv in ([], ["--interface", "text"]):
        result = here("query", "-o", "procfs", "--header", *argv)
        assert (result.status, result.err) == (0, "")
        assert [still.key(t) for t in oracle.parse(result.out)] == [
            still.key(t) for t in still.read()
        ]
    with library.open() as source:
        info = source.read(library.Filter(files=["slub.c"])).info
    assert (info.interface, info.ioctls, info.content_id, info.consistent) == (
        "text",
        0,
        None,
        None,
    )


@pytest.mark.guest(kernel="old")
@pytest.mark.parametrize("argv", ["", "-c", "-f slub.c", "--explain"])
def test_an_older_kernel_has_no_ioctl(argv: str) -> None:
    result = here("query", "--interface", "ioctl", *argv.split())
    refused(result, "/proc/allocinfo has no ioctl on this kernel")
    assert "hint: use Linux 7.3 or later, or --interface text" in result.err


@pytest.mark.guest(kernel="old")
def test_an_older_kernel_answers_filters_the_same() -> None:
    tags = still.read()
    for asked in (
        oracle.Asked(files=["slub.c"]),
        oracle.Asked(files=["*.h"], excludes=["include/linux/*"]),
        oracle.Asked(functions=["*alloc*"], lines=[(1, 500)]),
        oracle.Asked(builtin=True, regexps=["^mm/"]),
        oracle.Asked(modules=["*"]),
    ):
        result = here("query", "-o", "procfs", *asked.argv())
        assert still.same_names(oracle.parse(result.out), asked, tags)
    for _ in range(3):
        shown = oracle.parse(here("query", "-o", "procfs", "--min-size", "64K").out)
        if {still.key(t) for t in shown} == {
            still.key(t) for t in still.read() if t.bytes >= 65536
        }:
            return
    pytest.fail("not the tags of at least 64K")


@pytest.mark.guest(kernel="old")
def test_an_older_kernel_keeps_no_names() -> None:
    assert here("query", "-q").status == 0
    assert not Path("/run/allocq").exists()


def test_ctrl_c_in_the_middle_of_live_queries_in_c() -> None:
    """Whenever it comes, silence and nothing of an answer, or all of it."""
    whole = allocq("query", "-o", "jsonl", "--interface", "ioctl").out.count(b"\n")
    for delay in range(20):
        process = subprocess.Popen(
            [*ALLOCQ, "query", "-o", "jsonl", "--interface", "ioctl"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        time.sleep(delay / 2000)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert err == b""
        if process.returncode == 0:
            assert out.count(b"\n") == whole
        else:  # the signal itself, before main() has begun
            assert process.returncode in (130, -signal.SIGINT)


def test_ctrl_c_in_the_middle_of_live_queries() -> None:
    """Whenever it comes, no traceback and no half answer that looks whole."""
    for delay in range(10):
        process = subprocess.Popen(
            [*ALLOCQ, "query", "-o", "json", "--interface", "ioctl"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": ""},
        )  # fmt: skip
        started = Path(f"/proc/{process.pid}/maps")
        while process.poll() is None and b"_native" not in started.read_bytes():
            time.sleep(0.001)
        time.sleep(delay / 500)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert process.returncode in (0, 130), err
        assert b"Traceback" not in err
        if process.returncode == 130:
            assert err == b""
