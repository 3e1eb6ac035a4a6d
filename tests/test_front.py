"""The native program by itself: what it answers, what it cannot, and what it leaves alone.

It is built by allocq/core/Makefile into a directory without Python, once under sanitizers, once
static, and held against readings that share nothing with it.
"""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import faulty
import oracle
import pytest
from asking import questions
from command import Result, refused, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracle import Asked, Tag

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "allocq" / "core"
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=all"
FORMATS = ("procfs", "jsonl", "csv", "tsv")
SORTS = ("none", "bytes", "calls", "average", "file", "function", "module")
MIB = 1 << 20
PT_LOAD, PT_INTERP = 1, 3  # of ELF: what is mapped, and who links at run time
FILE = "mm/memory.c"

pytestmark = pytest.mark.skipif(
    not shutil.which("cc") or not shutil.which("make"), reason="needs make and a C compiler"
)


def make(folder: Path, *variables: str, static: bool = False) -> Path:
    """The program that the Makefile builds into `folder`/bin."""
    goal = ["static"] if static else []
    built = folder / "bin"
    subprocess.run(["make", "-s", "-C", str(CORE), f"BUILD={built}", *goal, *variables], check=True)
    return built / ("allocq-static" if static else "allocq")


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("static"), static=True)


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flags = (f"CFLAGS=-O1 -g {SANITIZERS}", f"LDFLAGS={SANITIZERS}")
    return make(tmp_path_factory.mktemp("sanitized"), *flags)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("plain"), "CFLAGS=-O1")


@pytest.fixture(params=["sanitized", "static"], scope="module")
def program(request: pytest.FixtureRequest) -> Path:
    chosen: Path = request.getfixturevalue(request.param)
    return chosen


Run = Callable[..., Result]


def run_of(program: Path) -> Run:
    def run(*argv: str, before: Sequence[str] = (), **options: Any) -> Result:
        """`allocq query ARGV`; `before` are words in front of the command."""
        settings = {"stdout": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        done = subprocess.run(
            [*before, str(program), "query", *argv], stderr=subprocess.PIPE, check=False, **settings
        )
        return Result(done.returncode, done.stdout or b"", done.stderr.decode("utf-8", "replace"))

    return run


@pytest.fixture
def run(program: Path) -> Run:
    return run_of(program)


def lines(tags: Sequence[Tag]) -> bytes:
    return "".join(f"{tag.text}\n" for tag in tags).encode("utf-8", "surrogateescape")


def of_file(file: str = FILE) -> bytes:
    """What of the sample is of this file, as a filter by another program has it."""
    found = [
        line for line in oracle.SAMPLE.read_bytes().splitlines(True) if f" {file}:".encode() in line
    ]
    assert len(found) > 1
    return b"".join(found)


def in_words(tag: Tag) -> list[str]:
    """A row of csv or tsv."""
    module, known = tag.module or "", "true" if tag.accurate else "false"
    return [str(tag.bytes), str(tag.calls), tag.file, str(tag.line), module, tag.function, known]


def shown(tags: Sequence[Tag], format: str) -> bytes | list[dict[str, object]]:
    """The answer in a format: bytes, or for JSON its values."""
    if format == "procfs":
        return lines(tags)
    if format == "jsonl":
        return [tag.as_json() for tag in tags]
    rows = [list(oracle.NAMES), *map(in_words, tags)]
    if format == "tsv":
        return "".join("\t".join(row) + "\n" for row in rows).encode()
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


# What is asked for is what comes.


@pytest.mark.parametrize("text", oracle.TEXTS, ids=lambda path: path.stem)
def test_generated_questions(program: Path, text: Path) -> None:
    tags = tuple(oracle.parse(text.read_bytes()))
    run = run_of(program)

    @unhurried
    @given(
        questions(tags),
        st.sampled_from(FORMATS),
        st.sampled_from(SORTS),
        st.booleans(),
        st.none() | st.integers(0, 50),
    )
    def check(asked: Asked, format: str, sort: str, reverse: bool, limit: int | None) -> None:
        asked = asked._replace(regexps=(), ignore_case=False, invert=False)
        chosen = oracle.meant(tags, asked)
        argv = ["--source", str(text), *asked.argv(), "-o", format, "-s", sort]
        argv += ["-r"] if reverse else []
        argv += [] if limit is None else ["-n", str(limit)]
        result = run(*argv)
        out: object = result.out
        if format == "jsonl":
            out = [json.loads(line) for line in result.out.splitlines()]
        assert out == shown(oracle.ordered(chosen, sort, reverse, limit), format)
        assert (result.status, result.err) == (0 if chosen else 1, "")
        assert run(*argv, "-c").out == b"%d\n" % len(chosen)
        quiet = run(*argv, "--quiet")
        assert (quiet.status, quiet.out, quiet.err) == (0 if chosen else 1, b"", "")

    check()


def test_headers(run: Run) -> None:
    sample = ("--source", str(oracle.SAMPLE), "-n", "1")
    assert run(*sample, "--header").out.startswith(oracle.HEADER)
    assert run(*sample, "-o", "csv").out.startswith(b"bytes,calls,file,line,")
    assert run(*sample, "-o", "tsv", "--no-header").out.count(b"\n") == 1
    assert run(*sample, "--header", "-f", "none.c").out == oracle.HEADER


# Where a text can come from.


def test_standard_input(run: Run, tmp_path: Path) -> None:
    ask = ("--source", "-", "-f", FILE)
    with oracle.SAMPLE.open("rb") as stdin:
        assert run(*ask, stdin=stdin) == Result(0, of_file(), "")
    piped = run(*ask, stdin=None, input=oracle.SAMPLE.read_bytes())
    assert piped == Result(0, of_file(), "")
    assert run(*ask, stdin=None, input=b"allocinfo - version: 2.0\n") == Result(1, b"", "")


def test_a_file_that_was_read_in_part_is_read_from_there(run: Run) -> None:
    begin = oracle.SAMPLE.read_bytes().index(of_file())
    with oracle.SAMPLE.open("rb") as stdin:
        os.lseek(stdin.fileno(), begin, os.SEEK_SET)
        assert run("--source", "-", "-n", "1", stdin=stdin).out == of_file().splitlines(True)[0]


def test_a_socket(program: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        argv = [str(program), "query", "--source", "-", "-f", FILE]
        with subprocess.Popen(argv, stdin=theirs, stdout=subprocess.PIPE) as process:
            theirs.close()
            ours.sendall(oracle.SAMPLE.read_bytes())
            ours.close()
            assert process.communicate()[0] == of_file()
            assert process.returncode == 0


def test_a_named_pipe(program: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    argv = [str(program), "query", "--source", str(pipe), "-f", FILE]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        pipe.write_bytes(oracle.SAMPLE.read_bytes())
        assert process.communicate()[0] == of_file()


def test_bytes_that_come_one_by_one(program: Path) -> None:
    text = of_file()[:3000].rpartition(b"\n")[0] + b"\n"
    argv = [str(program), "query", "--source", "-"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin
        for i in range(len(text)):
            process.stdin.write(text[i : i + 1])
        assert process.communicate()[0] == text


def test_what_is_no_text(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "other").write_bytes(b"some text\n")
    (tmp_path / "zeros").write_bytes(bytes(2 * MIB))
    refused(run("--source", str(tmp_path)), f"{tmp_path} is a directory")
    refused(run("--source", str(tmp_path / "none")), "no such file")
    refused(run("--source", str(tmp_path / "none/none")), "no such file")
    refused(run("--source", str(tmp_path / "empty")), "is empty")
    refused(run("--source", str(tmp_path / "other")), "is not a saved /proc/allocinfo (line 1:")
    refused(run("--source", str(tmp_path / "zeros")), "line 1 is longer than 1 MiB")
    refused(run("--source", "-"), "standard input is empty")
    refused(run("--source", "/dev/zero"), "line 1 is longer than 1 MiB")
    refused(run("--source", "/proc/self/status"), "/proc/self/status")
    (tmp_path / "loop").symlink_to("loop")
    refused(run("--source", str(tmp_path / "loop")), os.strerror(errno.ELOOP))
    refused(run("--source", str(oracle.SAMPLE), "--interface", "ioctl"), "it has no ioctl")


def test_a_name_cannot_act_on_a_terminal(run: Run, tmp_path: Path) -> None:
    name = tmp_path / "a\x1b[2J\n\u202e\xff"
    result = run("--source", str(name))
    refused(result, "\\x1b[2J\\x0a\\u202e")


# Closed and broken streams.


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(program: Path, closed: str, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(oracle.SAMPLE.read_bytes())
    argv = ["sh", "-c", f'exec "$@" {closed}', "sh", str(program), "query", "-f", FILE]
    done = subprocess.run([*argv, "--source", str(text)], capture_output=True)
    if ">&-" in closed.replace("2>&-", ""):
        assert done.returncode == 2
        said = (
            b"" if "2>&-" in closed else b"allocq: cannot write the answer: Bad file descriptor\n"
        )
        assert (done.stdout, done.stderr) == (b"", said)
    else:
        assert (done.returncode, done.stdout, done.stderr) == (0, of_file(), b"")
    assert text.read_bytes() == oracle.SAMPLE.read_bytes()
    if closed == "<&-":
        done = subprocess.run([*argv, "--source", "-"], capture_output=True)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr == b"allocq: cannot read standard input: Bad file descriptor\n"


@pytest.mark.parametrize("argv", [(), ("-o", "csv", "-s", "bytes"), ("-c",), ("-n", "1")])
def test_a_full_disk(run: Run, argv: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        result = run("--source", str(oracle.SAMPLE), *argv, stdout=full)
    refused(result, "cannot write the answer: No space left on device")


def test_a_size_limit(run: Run, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    with (tmp_path / "out").open("wb") as out:
        result = run("--source", str(oracle.SAMPLE), stdout=out, preexec_fn=limit)
    refused(result, "cannot write the answer: File too large")


@pytest.mark.parametrize("argv", [(), ("-s", "bytes"), ("-c",)])
def test_a_closed_pipe_is_silent(run: Run, argv: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        result = run("--source", str(oracle.SAMPLE), *argv, stdout=write)
    finally:
        os.close(write)
    assert result == Result(141, b"", "")


def waits(pid: int, signals: str) -> bool:
    """Does it sleep, SIGINT being among these signals (SigCgt, SigIgn)?"""
    status = Path("/proc", str(pid), "status").read_text()
    mask = int(status.partition(f"{signals}:")[2].split()[0], 16)
    is_program = status.startswith("Name:\tallocq")
    return is_program and bool(mask >> (signal.SIGINT - 1) & 1) and "\nState:\tS" in status


def test_ctrl_c(program: Path) -> None:
    argv = [str(program), "query", "--source", "-"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while not waits(process.pid, "SigCgt"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stdout and process.stderr
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


def test_ctrl_c_that_is_ignored_stays_ignored(program: Path) -> None:
    argv = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", str(program), "query", "--source", "-"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(of_file())
        process.stdin.flush()
        while not waits(process.pid, "SigIgn"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.communicate()[0] == of_file()
        assert process.returncode == 0


def test_a_slow_reader_gets_it_all(program: Path) -> None:
    """Standard output that would block is waited for."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        argv = [str(program), "query", "--source", str(oracle.SAMPLE)]
        with subprocess.Popen(argv, stdout=theirs) as process:
            theirs.close()
            pieces = []
            while select.select([ours], [], [])[0] and (piece := ours.recv(5000)):
                pieces.append(piece)
            assert process.wait() == 0
    assert b"".join(pieces) == lines(oracle.parse(oracle.SAMPLE.read_bytes()))


# An answer is whole or is none.


def large(last: bytes) -> Iterator[bytes]:
    """A listing that is more than what is held back of an answer, and a last line."""
    tags = oracle.SAMPLE.read_bytes().removeprefix(oracle.HEADER)
    yield oracle.HEADER
    for number in range(24 * MIB // len(tags)):
        yield tags.replace(b" func:", b" func:k%d_" % number)
    yield last


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "bad"
    with path.open("wb") as file:
        file.writelines(large(b"not a line\n"))
    return path


@pytest.mark.parametrize(
    "argv", [(), ("-n", "99999999"), ("-s", "calls"), ("-c",), ("-o", "jsonl")]
)
def test_a_large_text_with_a_bad_end_is_refused(run: Run, bad: Path, argv: tuple[str, ...]) -> None:
    refused(run("--source", str(bad), *argv), "not a valid allocinfo line")


@pytest.mark.parametrize("argv", [(), ("-n", "99999999")])
def test_a_large_answer_is_whole(
    program: Path, bad: Path, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    good = tmp_path / "good"
    with good.open("wb") as file:
        file.writelines(large(b""))
    expected = b"".join(
        line for line in good.read_bytes().splitlines(True) if line[:1] not in (b"a", b"#")
    )
    run = run_of(program)
    assert run("--source", str(good), *argv) == Result(0, expected, "")
    with good.open("rb") as stdin:
        assert run("--source", "-", *argv, stdin=stdin) == Result(0, expected, "")
    read, write = os.pipe()
    with subprocess.Popen(["cat", str(bad)], stdout=write):
        os.close(write)
        streamed = run("--source", "-", *argv, stdin=read)
    os.close(read)
    assert streamed.status == 2 and "not a valid allocinfo line" in streamed.err
    assert expected.startswith(streamed.out) and len(streamed.out) > 16 * MIB


# Little memory, one file.


@pytest.mark.parametrize("argv", [("-f", FILE), ("-f", FILE, "-s", "file", "-o", "csv"), ("-c",)])
def test_16_mib_of_address_space_are_enough(static: Path, argv: tuple[str, ...]) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (16 * MIB, 16 * MIB))

    ask = ("--source", str(oracle.SAMPLE), *argv)
    run = run_of(static)
    limited = run(*ask, preexec_fn=limit)
    assert limited.status == 0 and limited == run(*ask)


def test_too_little_memory_is_said(static: Path, bad: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (16 * MIB, 16 * MIB))

    refused(run_of(static)("--source", str(bad), "-s", "bytes", preexec_fn=limit), "out of memory")


def test_the_static_program_is_small_and_needs_nothing(static: Path) -> None:
    image = static.read_bytes()
    assert len(image) < 1.5 * MIB
    wide = image[4] == 2
    order = "<" if image[5] == 1 else ">"
    at, each, headers = (32, 54, 56) if wide else (28, 42, 44)
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), image, at)
    (size,), (count,) = (struct.unpack_from(f"{order}H", image, place) for place in (each, headers))
    kinds = [struct.unpack_from(f"{order}I", image, table + i * size)[0] for i in range(count)]
    assert PT_LOAD in kinds and PT_INTERP not in kinds


@pytest.mark.parametrize("argv", [("-f", FILE), (), ("-s", "bytes", "-n", "20")])
def test_peak_memory(static: Path, tmp_path: Path, argv: tuple[str, ...]) -> None:
    peak = tmp_path / "peak"
    source = ROOT / "tests" / "bench" / "peak.c"
    subprocess.run(["cc", "-O1", "-o", str(peak), str(source)], check=True)
    command = [str(peak), str(static), "query", "--source", str(oracle.SAMPLE), *argv]
    done = subprocess.run(command, capture_output=True, check=True)
    assert int(done.stdout.split()[-1]) <= 4096


# Without a Python.


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["query", "-e", "x"], "this needs Python"),
        (["query", "mm/slub.c"], "this needs Python"),
        (["query", "-g", "file"], "this needs Python"),
        (["query", "--explain"], "this needs Python"),
        (["query", "--no-such-flag"], "this needs Python"),
        (["query", "--min-size", "1X"], "this needs Python"),
        (["query", "--help"], "this needs Python"),
        (["query", "--sample"], "cannot find the sample"),
        (["query", "--source", str(oracle.SAMPLE), "-o", "table"], "this format needs Python"),
        (["query", "--source", str(oracle.SAMPLE), "-o", "json"], "this format needs Python"),
        (["tree"], "this needs Python"),
        (["--version", "x"], "this needs Python"),
        ([], "this needs Python"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_it_cannot_do_alone(program: Path, argv: list[str], words: str) -> None:
    done = subprocess.run([str(program), *argv], capture_output=True, text=True)
    refused(Result(done.returncode, done.stdout.encode(), done.stderr), words)
    assert "hint: " in done.stderr


@pytest.mark.parametrize("stream", [False, True])
def test_a_compressed_source_needs_python(run: Run, stream: bool, tmp_path: Path) -> None:
    packed = tmp_path / "text.gz"
    packed.write_bytes(gzip.compress(oracle.SAMPLE.read_bytes()))
    if stream:
        result = run("--source", "-", stdin=None, input=packed.read_bytes())
    else:
        result = run("--source", str(packed))
    refused(result, "compressed")


def test_python_is_given_the_same_words(static: Path, tmp_path: Path) -> None:
    """A Python beside the program answers what it cannot."""
    bin = tmp_path / "bin"
    bin.mkdir()
    shutil.copy(static, bin / "allocq")
    python = bin / "python3"
    python.write_text('#!/bin/sh\nshift 5\nprintf "<%s>" "$@"\nexit 7\n')
    python.chmod(0o755)
    words = ["query", "-e", "a b", "", "--", "\u00e9*"]
    done = subprocess.run([str(bin / "allocq"), *words], capture_output=True, text=True)
    assert done.stdout == "".join(f"<{word}>" for word in words)
    assert (done.returncode, done.stderr) == (7, "")


def traced(tmp_path: Path, *command: str) -> list[str]:
    """The calls on files that a command makes; skips where they cannot be watched."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    log = tmp_path / "log"
    watch = ["strace", "-f", "-o", str(log), "-e", "trace=%file,%network,socket"]
    done = subprocess.run([*watch, *command], capture_output=True)
    if b"ptrace" in done.stderr.lower():
        pytest.skip("no right to trace")
    calls = [line.partition(" ")[2].strip() for line in log.read_text().splitlines()]
    assert calls[0].startswith("execve("), calls
    return [call for call in calls[1:] if not call.startswith(("+++", "---"))]


def test_it_opens_nothing_but_the_source(static: Path, tmp_path: Path) -> None:
    sample = str(oracle.SAMPLE)
    calls = traced(tmp_path, str(static), "query", "--source", sample, "-s", "bytes")
    opened = [call for call in calls if not call.startswith(("readlink(", "newfstatat("))]
    assert len(opened) == 1 and f'"{sample}", O_RDONLY' in opened[0], calls


# Calls that fail, one by one.


@pytest.fixture(scope="module")
def failing(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> faulty.Faulty:
    return faulty.Faulty(faulty.build(tmp_path_factory.mktemp("shim")), program=plain)


@pytest.mark.parametrize("argv", [("-f", FILE), ("-s", "file", "-o", "csv", "-n", "3"), ("-c",)])
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ("malloc", errno.ENOMEM, "out of memory"),
        ("read", errno.EIO, "cannot read"),
        ("open", errno.EMFILE, "Too many open files"),
        ("write", errno.EDQUOT, "cannot write the answer: Disk quota exceeded"),
    ],
)
def test_each_call_fails(
    failing: faulty.Faulty, argv: tuple[str, ...], call: str, error: int, words: str
) -> None:
    ask = ("query", "--source", str(oracle.SAMPLE), *argv)
    file = oracle.SAMPLE.name if call in ("read", "open") else None
    steps = failing.count(call, *ask, file=file)
    assert steps >= 1
    for step in range(1, steps + 1):
        result = failing(call, error, *ask, at=step, file=file)
        # Without memory for a flag it asks for Python, as for any flag that it does not understand.
        refused(
            result, "needs Python" if "needs Python" in result.err and call == "malloc" else words
        )


def test_short_and_interrupted_calls_lose_nothing(failing: faulty.Faulty) -> None:
    ask = ("query", "--source", str(oracle.SAMPLE), "-f", FILE)
    for call in ("read", "write"):
        file = oracle.SAMPLE.name if call == "read" else None
        assert failing(call, 0, *ask, times=0, file=file) == Result(0, of_file(), "")
        for step in range(1, failing.count(call, *ask, file=file) + 1):
            interrupted = failing(call, errno.EINTR, *ask, at=step, file=file)
            assert interrupted == Result(0, of_file(), "")


# The C itself.


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_c_is_without_warnings(compiler: str, tmp_path: Path) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    more = "-Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Wundef -Wvla"
    warnings = f"WARNINGS=-Wall -Wextra -Werror {more}"
    make(tmp_path, f"CC={compiler}", "CFLAGS=-O3", warnings)
