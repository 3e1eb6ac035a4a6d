"""Every mistake and mishap: one clear line, exit status 2, nothing on standard output."""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import ALLOCQ, Result, allocq, here, query, refused, saved, shell, until
from oracle import HEADER, SAMPLE

import allocq as library

FORMATS = ("table", "procfs", "json", "jsonl", "csv", "tsv")
TAG = b"        4096        1 mm/slub.c:12 func:alloc_slab_page \n"
NOBODY = 65534
CLOSED_PIPE = 128 + signal.SIGPIPE


# What is asked


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--min-size", "lots"], "bad size 'lots'"),
        (["--min-size", ""], "bad size ''"),
        (["--max-size", "-1"], "bad size '-1'"),
        (["--max-size", "1e3"], "bad size '1e3'"),
        (["--min-size", "8E"], "too large"),
        (
            ["--min-size", "2M", "--max-size", "1M"],
            "no size is at least 2097152 and at most 1048576",
        ),
        (["--min-calls", "1K"], "bad number '1K'"),
        (["--min-calls", "2", "--max-calls", "1"], "no calls is at least 2 and at most 1"),
        (["-l", "x"], "bad line 'x'"),
        (["-l", "9-3"], "the range is empty"),
        (["-n", "-5"], "bad --limit"),
        (["-n", "many"], "bad --limit"),
        (["-n", str(2**64)], "too large"),
        (["-n", "9" * 5000], "bad --limit"),
        (["-f", ""], "empty file"),
        (["-F", ""], "empty function"),
        (["-m", ""], "empty module"),
        (["-x", ""], "empty exclude"),
        (["-f", "fs/[a"], "bad glob 'fs/[a'"),
        (["-F", "[b-a]*"], "bad glob '[b-a]*'"),
        (["-e", "("], "bad regexp '('"),
        (["-e", "a{2,1}"], "bad regexp"),
        (["-e", "*"], "bad regexp"),
        (["-e", "(?<n>x"], "bad regexp"),
        (["-e", "(?a)(?u)x"], "bad regexp"),
        (["-e", "x{99999999999999999999}"], "bad regexp"),
        (["-e", "(" * 5000 + ")" * 5000], "bad regexp"),
        (["-v"], "nothing to invert"),
        (["-o", "xml"], "bad --format 'xml'"),
        (["-o", ""], "bad --format ''"),
        (["-o", "JSON"], "bad --format 'JSON'"),
        (["-s", "size"], "bad --sort 'size'"),
        (["-g", "line"], "bad --group-by 'line'"),
        (["--color", "yes"], "bad --color 'yes'"),
        (["--interface", "sysfs"], "bad --interface 'sysfs'"),
        (["--accurate", "--inaccurate"], "not both"),
        (["--builtin", "-m", "xfs"], "built-in code is in no module"),
        (["--sample", "--source", "x"], "--sample is a source"),
        (["--source", ""], "empty source"),
    ],
)
def test_a_question_that_makes_no_sense(argv: list[str], words: str) -> None:
    """It is refused before any source is opened: this one does not exist."""
    if "--source" not in argv:
        argv = ["--source", "/nonexistent", *argv]
    result = here("query", *argv)
    refused(result, words)
    assert len(result.err) < 12_000


@pytest.mark.parametrize("argv", [["--source", "a\0b"], ["-f", "a\0b"], ["-m", "\0"]])
def test_a_nul_is_in_no_name(argv: list[str]) -> None:
    """A shell cannot pass one, but `main` can be called."""
    refused(here("query", *argv))


@pytest.mark.parametrize("regexp", ["[[a]", "[a||b]", "[+--z]", "[a&&b]", "(?i)slab"])
def test_python_does_not_warn_of_a_regexp_over_our_heads(regexp: str) -> None:
    result = allocq("query", "--sample", "-e", regexp, "-c")
    assert result.status in (0, 1)
    assert result.err == ""


def test_what_a_terminal_could_act_on_is_not_echoed() -> None:
    evil = "\x1b[2J\r\nallocq: all is well\u202e"
    for argv in (["-o", evil], ["--source", "/" + evil], ["-e", evil + "("], ["--" + evil], [evil]):
        result = here("query", *argv)
        refused(result)
        assert "\x1b" not in result.err and "\r" not in result.err and "\u202e" not in result.err


# Where from


def test_a_source_that_is_missing() -> None:
    refused(here("query", "--source", "/no/such/file"), "no such file: /no/such/file")
    refused(here("query", "--source", "/etc/passwd/x"), "no such file: /etc/passwd/x")


def test_a_source_that_is_a_directory(tmp_path: Path) -> None:
    refused(here("query", "--source", str(tmp_path)), f"{tmp_path} is a directory")
    refused(here("query", "--source", "/proc"), "/proc is a directory")


def test_a_source_that_must_not_be_read(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(HEADER + TAG)
    text.chmod(0)
    code = "from allocq.__main__ import entry; entry()"
    if os.geteuid() == 0:  # who may read everything: become somebody else
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_uid == 0 and folder != Path("/tmp"):
                folder.chmod(folder.stat().st_mode | 0o055)
        somebody = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
        code = f"import os; {somebody}; {code}"
    done = subprocess.run(
        [ALLOCQ[0], "-c", code, "query", "--source", str(text)], capture_output=True, cwd="/"
    )
    refused(Result(done.returncode, done.stdout, done.stderr.decode()), f"no right to read {text}")


def test_a_source_with_a_bad_line_names_file_and_line(tmp_path: Path) -> None:
    text = tmp_path / "my text"
    for at in (1, 7, 5000):
        text.write_bytes(HEADER + TAG * at + b"garbage\n" + TAG * 3)
        for argv in (["-o", format] for format in FORMATS):
            refused(here("query", "--source", str(text), *argv), f"{text}, line {at + 3} is no tag")
        refused(here("query", "--source", str(text), "-c"), f"line {at + 3} is no tag")
        refused(here("query", "--source", str(text), "-g", "file"), f"line {at + 3} is no tag")


def test_a_bad_line_far_behind_much_output_leaves_no_half_answer(tmp_path: Path) -> None:
    """More than is held back: a file is read again instead."""
    text = tmp_path / "text"
    text.write_bytes(HEADER + TAG * 400_000 + b"garbage\n")
    assert text.stat().st_size > 20 << 20
    for format in ("procfs", "csv", "jsonl"):
        result = allocq("query", "--source", str(text), "-o", format)
        refused(result, f"{text}, line 400003 is no tag")


def test_standard_input_that_is_empty_or_closed() -> None:
    refused(allocq("query", "--source", "-", stdin=subprocess.DEVNULL), "standard input is empty")
    result = subprocess.run(shell('exec "$@" <&-', "query", "--source", "-"), capture_output=True)
    refused(
        Result(result.returncode, result.stdout, result.stderr.decode()),
        "cannot read standard input",
    )


@pytest.mark.parametrize("argv", [[], ["-c"], ["--explain"]])
def test_the_ioctl_of_a_saved_text(argv: list[str]) -> None:
    refused(here("query", "--sample", "--interface", "ioctl", *argv), "has no ioctl")
    result = allocq("query", "--source", "-", "--interface", "ioctl", *argv, input=HEADER + TAG)
    refused(result, "standard input is a saved text: it has no ioctl")


def test_other_interfaces_of_a_saved_text() -> None:
    for interface in ("auto", "text"):
        assert here("query", "--sample", "--interface", interface, "-q").status == 0


@pytest.mark.skipif(Path("/proc/allocinfo").exists(), reason="this kernel has /proc/allocinfo")
@pytest.mark.parametrize("argv", ["", "--interface text", "--interface ioctl", "--explain", "-q"])
def test_a_kernel_without_allocinfo_is_an_error_and_no_recording(argv: str) -> None:
    result = here("query", *argv.split())
    refused(result, "no /proc/allocinfo")
    assert "hint: " in result.err
    with pytest.raises(library.SourceError):
        library.open()


def test_why_allocinfo_is_missing_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> int:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr("posix.open", missing)
    refused(here("query"), "built without CONFIG_MEM_ALLOC_PROFILING")
    monkeypatch.setattr("allocq.sources.source.profiling_switch", lambda *_: "0")
    refused(here("query"), "booted with its allocation profiling off for good")
    uname = os.uname_result(("FreeBSD", "host", "14", "", "amd64"))
    monkeypatch.setattr("posix.uname", lambda: uname)
    refused(here("query"), "this is not Linux")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "no right to read /proc/allocinfo"),
        (errno.EPERM, "no right to read /proc/allocinfo"),
        (errno.EMFILE, "cannot read /proc/allocinfo: Too many open files"),
        (errno.ENOMEM, "cannot read /proc/allocinfo: Cannot allocate memory"),
    ],
)
def test_allocinfo_that_cannot_be_opened(
    monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("posix.open", fail)
    result = here("query")
    refused(result, words)
    assert ("hint: it is for root only; try sudo" in result.err) == (
        number in (errno.EACCES, errno.EPERM)
    )


# A running kernel's file that misbehaves: a file that is taken for one


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A query of a text that passes for a file of the running kernel's."""
    monkeypatch.setattr("allocq.core.scan.is_proc", lambda fd: True)

    def ask(data: bytes, *argv: str) -> Result:
        return query(data, *argv)

    return ask


def test_a_running_kernel_without_the_ioctl(kernel: Callable[..., Result]) -> None:
    assert kernel(HEADER + TAG) == Result(0, TAG, "")
    result = kernel(HEADER + TAG, "--interface", "ioctl")
    refused(result, "has no ioctl on this kernel")
    assert "hint: " in result.err


def test_a_line_of_the_kernels_that_is_no_tag(kernel: Callable[..., Result]) -> None:
    refused(kernel(HEADER + TAG + b"garbage\n"), "line 4 is no tag")


def test_a_live_text_that_ends_in_mid_line_is_said(kernel: Callable[..., Result]) -> None:
    result = kernel(HEADER + TAG + TAG[:-5])
    assert result.status == 0
    assert result.out == TAG
    assert "the last line has no end" in result.err


def test_a_live_file_that_is_not_allocinfo(kernel: Callable[..., Result]) -> None:
    refused(here("query", "--source", "/proc/version"), "/proc/version")
    refused(here("query", "--source", "/proc/self/mem"), "/proc/self/mem")


def test_a_live_file_that_is_empty(kernel: Callable[..., Result]) -> None:
    refused(kernel(b""))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOTTY, "vanished while it was read"),
        (errno.EIO, "vanished while it was read"),
        (errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_file_that_vanishes_in_mid_scan(
    kernel: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    from allocq.core import scan

    class Vanishing(scan.TextScan):
        def from_fd(self, fd: int) -> Any:
            yield from super().from_fd(fd)
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(scan, "TextScan", Vanishing)
    for format in FORMATS:
        refused(kernel(HEADER + TAG, "-o", format), words)
    refused(kernel(HEADER + TAG, "-c"), words)


# Where to


@pytest.mark.parametrize(
    "argv", [["-c"], ["-g", "file"], ["--explain"], *(["-o", f] for f in FORMATS)], ids=" ".join
)
def test_a_full_disk(argv: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        result = allocq("query", "--sample", *argv, stdout=full)
    refused(result, "cannot write the answer: No space left on device")


def test_a_file_that_may_not_grow_is_said(tmp_path: Path) -> None:
    """A disk that fills up in the middle: what is there is no answer, and the status says so."""

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    with (tmp_path / "out").open("wb") as out:
        result = allocq("query", "--sample", stdout=out, preexec_fn=small)
    refused(result, "cannot write the answer: File too large")


@pytest.mark.parametrize(
    "argv", [["-c"], ["-g", "file"], *(["-o", f] for f in FORMATS)], ids=" ".join
)
def test_standard_output_that_is_closed(argv: list[str]) -> None:
    done = subprocess.run(shell('exec "$@" >&-', "query", "--sample", *argv), capture_output=True)
    refused(Result(done.returncode, done.stdout, done.stderr.decode()), "cannot write the answer")


def test_standard_output_is_never_another_file_that_took_its_place(tmp_path: Path) -> None:
    """With 0, 1 and 2 closed, what allocq opens must not become what it writes to."""
    text = tmp_path / "text"
    text.write_bytes(HEADER + TAG)
    done = subprocess.run(shell('exec "$@" <&- >&- 2>&-', "query", "--source", str(text)))
    assert done.returncode == 2
    assert text.read_bytes() == HEADER + TAG


def test_standard_error_that_is_closed_or_full() -> None:
    for target in ("2>&-", "2>/dev/full"):
        done = subprocess.run(
            shell(f'exec "$@" {target}', "query", "--nope"), stdout=subprocess.PIPE
        )
        assert (done.returncode, done.stdout) == (2, b"")
        done = subprocess.run(
            shell(f'exec "$@" {target}', "query", "--sample", "-c"), stdout=subprocess.PIPE
        )
        assert (done.returncode, done.stdout) == (0, b"3746\n")


@pytest.mark.parametrize("format", FORMATS)
def test_a_closed_pipe_is_silent(format: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = allocq("query", "--sample", "-o", format, stdout=writer)
    os.close(writer)
    assert (result.status, result.err) == (CLOSED_PIPE, "")


def test_head_gets_its_lines_and_nobody_complains(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(HEADER + TAG * 300_000)
    done = subprocess.run(
        shell('"$@" | head -n 2', "query", "--source", str(text)), capture_output=True
    )
    assert (done.stdout, done.stderr) == (TAG * 2, b"")


def test_help_into_a_closed_pipe_is_silent() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = allocq("query", "--help", stdout=writer)
    os.close(writer)
    assert (result.status, result.err) == (CLOSED_PIPE, "")


@pytest.mark.parametrize("argv", [["query", "--help"], ["--help"], ["--version"]], ids=" ".join)
def test_help_onto_a_full_disk_is_an_error(argv: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        result = allocq(*argv, stdout=full)
    refused(result, "No space left on device")


def test_a_slow_reader_that_does_not_block_gets_everything() -> None:
    """Standard output may be shared with somebody who made it non-blocking."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = subprocess.Popen(
        [*ALLOCQ, "query", "--sample"], stdout=writer, stderr=subprocess.PIPE
    )
    until(lambda: not select.select([], [writer], [], 0)[1])  # the pipe is full
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        out = pipe.read()
    assert process.stderr is not None
    assert (process.wait(), process.stderr.read()) == (0, b"")
    process.stderr.close()
    assert HEADER + out == SAMPLE.read_bytes()


# Stopped


@pytest.mark.parametrize("argv", [[], ["-c"], ["-o", "json"], ["-e", "x"]], ids=str)
def test_ctrl_c_leaves_130_and_says_nothing(argv: list[str]) -> None:
    with subprocess.Popen(
        [*ALLOCQ, "query", "--source", "-", *argv],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(HEADER + TAG)
        process.stdin.flush()
        wait_until_it_reads(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b""
        assert process.stderr.read() == b""
        assert process.wait() == 130


@pytest.mark.parametrize(
    ("error", "status", "said"), [("KeyboardInterrupt", 130, ""), ("ValueError", 0, "ValueError")]
)
def test_ctrl_c_in_a_callback_is_not_ignored(error: str, status: int, said: str) -> None:
    """importlib has such callbacks: Python prints what they raise, and goes on."""
    code = f"""
import weakref
from allocq import __main__ as program
class Thing: pass
def fail(_): raise {error}
def main():
    thing = Thing()
    ref = weakref.ref(thing, fail)
    del thing
    return 0
program.main = main
program.entry()
"""
    done = subprocess.run([ALLOCQ[0], "-c", code], capture_output=True, text=True)
    assert done.returncode == status
    assert said in done.stderr and bool(done.stderr) == bool(said)


def wait_until_it_reads(pid: int) -> None:
    """Until the process sleeps in a read of the empty pipe, all its imports done."""
    until(lambda: Path(f"/proc/{pid}/syscall").read_text().split()[:2] == ["0", "0x0"])


def test_the_environment_and_the_current_directory_are_no_source(tmp_path: Path) -> None:
    """Nothing there is imported or read: it often runs as root."""
    for name in ("posix", "errno", "re", "typer", "allocq", "time", "_native", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)\n")
    (tmp_path / "sample.txt").write_text("no tags\n")
    code = "import sys; sys.path.pop(0); from allocq.__main__ import entry; entry()"
    for argv in (["--sample", "-c"], ["--sample", "-c", "-e", "."], ["--help"]):
        done = subprocess.run(
            [ALLOCQ[0], "-c", code, "query", *argv], cwd=tmp_path, capture_output=True
        )
        assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("__pycache__"))


def test_a_path_that_is_no_text(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b\n")
    refused(here("query", "--source", path), "no such file", "\\xff\\x1b\\x0a")
    Path(path).write_bytes(HEADER + TAG + b"bad\n")
    refused(here("query", "--source", path), "\\xff\\x1b\\x0a, line 4 is no tag")
    Path(path).write_bytes(HEADER + TAG)
    for format in FORMATS:
        assert here("query", "--source", path, "-o", format).status == 0
    document = json.loads(here("query", "--source", path, "-o", "json").out)
    assert document["source"]["path"].endswith("/\ufffd\x1b\n")


def test_a_very_long_word_is_no_mistake() -> None:
    with saved(HEADER + TAG) as path:
        result = here("query", "--source", path, "-f", "x" * 100_000)
        assert result == Result(1, b"", "")
