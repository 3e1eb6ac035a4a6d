"""What a running kernel may refuse, and that each of it is one clear line."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import oracle
import pytest
import still
from command import ALLOCQ, MODULE, Result, allocq, here, refused, unread, until

import allocq as library

PIPE = 1 << 16
"""What a pipe holds."""
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
    assert "hint: only root can read it; try: sudo /" in result.err


@pytest.mark.parametrize("argv", [["-f", "fs/*", "-c"], ["-e", "it's|k", "-n", "1"]], ids=str)
@pytest.mark.parametrize("path", ["/usr/sbin:/usr/bin:/sbin:/bin", "/sbin:/bin"])
def test_the_command_of_the_hint_works_for_root(
    unprivileged: Unprivileged, argv: list[str], path: str
) -> None:
    for program in (ALLOCQ, MODULE):
        said = unprivileged([*program, "query", *argv]).stderr
        _, found, command = said.rstrip("\n").partition("; try: sudo ")
        assert found, said
        done = subprocess.run(["sh", "-c", command], env={"PATH": path}, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == allocq("query", *argv).out


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
    refused(here("query", "--source", "/proc/self"), "/proc/self holds no saved listings")


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


def maps(process: subprocess.Popen[bytes], name: bytes) -> bool:
    """Has the process loaded a file of this name?"""
    return name in Path(f"/proc/{process.pid}/maps").read_bytes()


def reads(process: subprocess.Popen[bytes], path: str) -> bool:
    """Has the process opened this file?"""
    for fd in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(fd) == path:
                return True
    return False


def interrupted_when(
    words: Sequence[str], ready: Callable[[subprocess.Popen[bytes]], bool]
) -> tuple[int, bytes, bytes]:
    """Send Ctrl-C as soon as it is so; how the command ended."""
    process = subprocess.Popen([*ALLOCQ, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: process.poll() is not None or ready(process))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    return process.returncode, out, err


def written(least: int) -> Callable[[subprocess.Popen[bytes]], bool]:
    """Are so many bytes waiting in the pipe?"""
    return lambda process: unread(process.stdout.fileno()) >= least  # type: ignore[union-attr]


def test_ctrl_c_in_the_middle_of_live_queries_in_c() -> None:
    """Whenever it comes, silence and nothing of an answer, or a part of it that is marked by the
    exit status."""
    words = ["query", "-o", "jsonl", "--interface", "ioctl"]
    whole = allocq(*words).out
    assert len(whole) > 2 * PIPE
    moments = [written(least) for least in (0, 1, PIPE // 2, PIPE)]
    for ready in [*moments, lambda process: reads(process, "/proc/allocinfo")]:
        status, out, err = interrupted_when(words, ready)
        assert err == b"" and status in (130, -signal.SIGINT)
        assert len(out) < len(whole) * 0.9


def test_ctrl_c_in_the_middle_of_live_queries() -> None:
    """The same where Python answers: no traceback and no half answer that looks whole."""
    words = ["query", "-e", ".", "-o", "json", "--interface", "ioctl"]
    for ready in (
        written(0),
        lambda process: maps(process, b"libpython") or maps(process, b"/python3"),
        lambda process: maps(process, b"_native"),
        lambda process: reads(process, "/proc/allocinfo"),
        written(1),
        written(PIPE),
    ):
        status, _, err = interrupted_when(words, ready)
        assert (status, err) in ((130, b""), (-signal.SIGINT, b""))
