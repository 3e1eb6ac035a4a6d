"""Every mistake and mishap: one clear line, exit status 2, nothing on standard output."""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import faulty
import pytest
from command import ALLOCQ, MODULE, Result, allocq, here, refused, saved, shell, until
from oracle import HEADER, SAMPLE

import allocq as library
from allocq.core.kernel import profiling_switch

FORMATS = ("table", "procfs", "json", "jsonl", "csv", "tsv")
TAG = b"        4096        1 mm/slub.c:12 func:alloc_slab_page \n"
NOBODY = 65534
CLOSED_PIPE = 128 + signal.SIGPIPE


# What is asked


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--min-size", "lots"], "invalid size 'lots'"),
        (["--min-size", ""], "invalid size ''"),
        (["--max-size", "--1"], "invalid size '-1'"),
        (["--max-size", "1e3"], "invalid size '1e3'"),
        (["--min-size", "8E"], "too large"),
        (
            ["--min-size", "2M", "--max-size", "1M"],
            "--min-size (2M) is larger than --max-size (1M)",
        ),
        (["--min-calls", "1K"], "invalid number '1K'"),
        (
            ["--min-calls", "2", "--max-calls", "1"],
            "--min-calls (2) is larger than --max-calls (1)",
        ),
        (["-l", "x"], "invalid line 'x'"),
        (["-l", "9-3"], "the range is empty"),
        (["-n", "-5"], "--limit: "),
        (["-n", "many"], "--limit: "),
        (["-n", str(2**64)], "too large"),
        (["-n", "9" * 5000], "--limit: "),
        (["-f", ""], "empty file"),
        (["-F", ""], "empty function"),
        (["-m", ""], "empty module"),
        (["-x", ""], "empty exclude"),
        (["-f", "fs/[a"], "invalid glob 'fs/[a'"),
        (["-F", "[b-a]*"], "invalid glob '[b-a]*'"),
        (["-e", "("], "invalid regexp '('"),
        (["-e", "a{2,1}"], "invalid regexp"),
        (["-e", "*"], "invalid regexp"),
        (["-e", "(?<n>x"], "invalid regexp"),
        (["-e", "(?a)(?u)x"], "invalid regexp"),
        (["-e", "x{99999999999999999999}"], "invalid regexp"),
        (["-e", "(" * 5000 + ")" * 5000], "invalid regexp"),
        (["-v"], "--invert-match needs --regexp"),
        (["-o", "xml"], "invalid value 'xml' for --format"),
        (["-o", ""], "invalid value '' for --format"),
        (["-o", "JSON"], "invalid value 'JSON' for --format"),
        (["-s", "size"], "invalid value 'size' for --sort"),
        (["-g", "line"], "invalid value 'line' for --group-by"),
        (["--color", "yes"], "invalid value 'yes' for --color"),
        (["--interface", "sysfs"], "invalid value 'sysfs' for --interface"),
        (["--accurate", "--inaccurate"], "cannot be used together"),
        (["--builtin", "-m", "xfs"], "--builtin and --module cannot"),
        (["--sample", "--source", "x"], "--sample and --source cannot"),
        (["--source", ""], "--source is empty"),
    ],
)
def test_a_question_that_makes_no_sense(argv: list[str], words: str) -> None:
    """It is refused before any source is opened: this one does not exist."""
    if "--source" not in argv:
        argv = ["--source", "/nonexistent", *argv]
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)  # as a process has it; generated tests raise it
    try:
        result = here("query", *argv)
    finally:
        sys.setrecursionlimit(before)
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
    refused(here("query", "--source", str(tmp_path)), f"{tmp_path} holds no recording")
    refused(here("query", "--source", "/proc"), "/proc holds no saved listings")


def test_a_source_that_must_not_be_read(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(HEADER + TAG)
    text.chmod(0)
    if os.geteuid() != 0:
        refused(here("query", "--source", str(text)), f"{text}: permission denied")
        return
    # Who may read everything becomes somebody else.
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    os.seteuid(NOBODY)
    try:
        refused(here("query", "--source", str(text)), f"{text}: permission denied")
        with pytest.raises(library.AccessError):
            library.open(str(text))
    finally:
        os.seteuid(0)


def test_a_line_that_is_no_tag_is_skipped_and_said(tmp_path: Path) -> None:
    text, clean = tmp_path / "my text", tmp_path / "clean"
    for at in (1, 7, 5000):
        text.write_bytes(HEADER + TAG * at + b"garbage\n" + TAG * 3)
        clean.write_bytes(HEADER + TAG * (at + 3))
        for argv in (*(["-o", format] for format in FORMATS), ["-c"], ["-g", "file"]):
            if argv == ["-o", "json"]:
                continue  # it has the path in it
            result = here("query", "--source", str(text), *argv)
            assert result.out == here("query", "--source", str(clean), *argv).out
            assert (result.status, result.err) == (
                0,
                f"allocq: warning: {text}: skipped 1 line that is not a tag, line {at + 3}:"
                " 'garbage'\n",
            )


def test_a_line_that_is_no_tag_far_behind_much_output(tmp_path: Path) -> None:
    """More than is held back: a file is read again instead."""
    text = tmp_path / "text"
    text.write_bytes(HEADER + TAG * 400_000 + b"garbage\n")
    assert text.stat().st_size > 20 << 20
    for format in ("procfs", "csv", "jsonl"):
        result = allocq("query", "--source", str(text), "-o", format)
        assert result.status == 0 and len(result.out.splitlines()) == 400_000 + (format == "csv")
        assert "line 400003: 'garbage'" in result.err


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
    refused(result, "standard input is a saved listing: it has no ioctl")


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


def test_the_switch_beside_an_allocinfo_says_why_one_is_missing(tmp_path: Path) -> None:
    """tests/live boots kernels that have it switched off for good, and those without it."""
    switch = tmp_path / "sys" / "vm" / "mem_profiling"
    assert profiling_switch(str(tmp_path / "allocinfo")) is None
    switch.parent.mkdir(parents=True)
    for text, value in (("0\n", "0"), ("1\n", "1"), ("", None), ("x" * 100, "x" * 15)):
        switch.write_text(text)
        assert profiling_switch(str(tmp_path / "allocinfo")) == value


# A running kernel's file that misbehaves: the shim lets a saved text pass for one


class Kernel:
    """Asks a text that passes for the running kernel's file, in both programs."""

    def __init__(self, shim: Path, text: Path) -> None:
        self.text = text
        self.programs = [faulty.Faulty(shim, name) for name in faulty.PROGRAMS]

    def __call__(self, data: bytes, *argv: str, **fault: Any) -> Result:
        self.text.write_bytes(data)
        proc = {"proc": self.text.name}
        fault = {"call": "", "error": 0, "at": 0, **fault}
        call, error = fault.pop("call"), fault.pop("error")
        one, other = (
            run(call, error, "query", "--source", str(self.text), *argv, **proc, **fault)
            for run in self.programs
        )
        assert one == other
        return one


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def kernel(shim: Path, tmp_path: Path) -> Kernel:
    return Kernel(shim, tmp_path / "kernels-own")


@pytest.mark.parametrize(
    ("number", "words", "hint"),
    [
        (errno.EACCES, "/proc/allocinfo: permission denied", "root is denied too"),
        (errno.EPERM, "/proc/allocinfo: permission denied", "root is denied too"),
        (errno.EMFILE, "cannot read /proc/allocinfo: Too many open files", ""),
        (errno.ENOMEM, "out of memory", ""),
        (errno.ENOENT, "no /proc/allocinfo: ", "hint: boot "),
    ],
)
def test_allocinfo_that_cannot_be_opened(
    kernel: Kernel, number: int, words: str, hint: str
) -> None:
    for run in kernel.programs:
        result = run("open", number, "query", file="=/proc/allocinfo")
        refused(result, words)
        assert hint in result.err
        assert ("hint: " in result.err) == bool(hint)


def test_a_running_kernel_without_the_ioctl(kernel: Kernel) -> None:
    assert kernel(HEADER + TAG) == Result(0, TAG, "")
    result = kernel(HEADER + TAG, "--interface", "ioctl")
    refused(result, "has no ioctl on this kernel")
    assert "hint: " in result.err


def test_an_ioctl_that_is_refused_is_told_from_one_that_is_not_there(kernel: Kernel) -> None:
    fault = {"call": "content_id", "error": errno.EPERM, "at": 1, "times": 0}
    assert kernel(HEADER + TAG, **fault) == Result(0, TAG, "")
    refused(
        kernel(HEADER + TAG, "--interface", "ioctl", **fault),
        "the ioctl is refused: Operation not permitted",
    )


def test_a_line_of_the_kernels_that_is_no_tag(kernel: Kernel) -> None:
    refused(kernel(HEADER + TAG + b"garbage\n"), "line 4: not a valid allocinfo line")


def test_a_live_text_that_ends_in_mid_line_is_said(kernel: Kernel) -> None:
    result = kernel(HEADER + TAG + TAG[:-5])
    assert result.status == 0
    assert result.out == TAG
    assert "the last line, which has no newline" in result.err


def test_a_live_file_that_is_not_allocinfo() -> None:
    for program in (ALLOCQ, MODULE):
        for path in ("/proc/version", "/proc/self/mem"):
            refused(allocq("query", "--source", path, program=program), path)


def test_a_live_file_that_is_empty(kernel: Kernel) -> None:
    refused(kernel(b""))


def test_what_a_file_system_cannot_say_is_no_running_kernel(kernel: Kernel) -> None:
    fault = {"call": "statfs", "error": errno.ENOSYS, "at": 1, "times": 0}
    result = kernel(HEADER + TAG, "--interface", "ioctl", **fault)
    refused(result, "is a saved listing")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOTTY, "vanished while it was read"),
        (errno.EIO, "vanished while it was read"),
        (errno.ENODEV, "vanished while it was read"),
        (errno.ENOMEM, "out of memory"),
    ],
)
def test_a_file_that_vanishes_in_mid_scan(kernel: Kernel, number: int, words: str) -> None:
    for argv in (["-c"], ["-q"], *(["-o", format] for format in FORMATS)):
        fault = {"call": "read", "error": number, "at": 2, "file": kernel.text.name}
        refused(kernel(HEADER + TAG * 5000, *argv, **fault), words)


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
    ("error", "status", "said"), [("KeyboardInterrupt", 130, ""), ("ValueError", 2, "ValueError")]
)
def test_ctrl_c_in_a_callback_is_not_ignored(error: str, status: int, said: str) -> None:
    """importlib has such callbacks: Python prints what they raise, and goes on."""
    code = f"""
import weakref
import allocq.cli.run
from allocq import __main__ as program
class Thing: pass
def fail(_): raise {error}
def run(argv):
    thing = Thing()
    ref = weakref.ref(thing, fail)
    del thing
    return 0
allocq.cli.run.run = run
program.entry()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
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
            [sys.executable, "-c", code, "query", *argv], cwd=tmp_path, capture_output=True
        )
        assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("__pycache__"))


def test_a_path_that_is_no_text(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b\n")
    refused(here("query", "--source", path), "no such file", "\\xff\\x1b\\x0a")
    Path(path).write_bytes(HEADER + TAG + b"bad\n")
    assert "\\xff\\x1b\\x0a: skipped 1 line" in here("query", "--source", path).err
    Path(path).write_bytes(HEADER + b"bad\n")
    refused(here("query", "--source", path), "\\xff\\x1b\\x0a: line 3: not a valid allocinfo line")
    Path(path).write_bytes(HEADER + TAG)
    for format in FORMATS:
        assert here("query", "--source", path, "-o", format).status == 0
    document = json.loads(here("query", "--source", path, "-o", "json").out)
    assert document["source"]["path"].endswith("/\ufffd\x1b\n")


def test_a_very_long_word_is_no_mistake() -> None:
    with saved(HEADER + TAG) as path:
        result = here("query", "--source", path, "-f", "x" * 100_000)
        assert result == Result(1, b"", "")
