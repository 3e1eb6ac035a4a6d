"""Runs `allocq` as a process, or faster in this process with its output captured."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import settings

# A loaded machine is slow; nothing here is about time.
unhurried = settings(deadline=None)

MODULE = (sys.executable, "-m", "allocq")
FRONT = Path(sys.executable).with_name("allocq")
# The command as users have it: the program that pip put beside this Python.
ALLOCQ = (str(FRONT),) if FRONT.exists() else MODULE


class Result(NamedTuple):
    """How a command ended and what it wrote."""

    status: int
    out: bytes
    err: str


@contextlib.contextmanager
def _memory(data: bytes = b"") -> Iterator[int]:
    fd = os.memfd_create("allocq-test")
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def saved(data: bytes) -> Iterator[str]:
    """The path of a file with this content, gone at the end."""
    with _memory(data) as fd:
        yield f"/proc/self/fd/{fd}"


@contextlib.contextmanager
def _caught(fd: int) -> Iterator[int]:
    """What is written to `fd`, in memory."""
    keep = os.dup(fd)
    try:
        with _memory() as memory:
            os.dup2(memory, fd)
            yield memory
            os.dup2(keep, fd)
    finally:
        os.dup2(keep, fd)
        os.close(keep)


def _content(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(fd, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def here(*argv: str) -> Result:
    """`python -m allocq ARGV` in this process; what would be an internal error comes through."""
    from allocq.__main__ import CLOSED_PIPE, INTERRUPTED
    from allocq.cli.run import run

    with _caught(1) as out, _caught(2) as err:
        try:
            status = run(list(argv))
        except BrokenPipeError:
            status = CLOSED_PIPE
        except KeyboardInterrupt:
            status = INTERRUPTED
        sys.stdout.flush()
        return Result(status, _content(out), _content(err).decode("utf-8", "replace"))


def query(data: bytes, *argv: str) -> Result:
    """`allocq query --source` a file with this content, in this process."""
    with saved(data) as path:
        return here("query", "--source", path, *argv)


def allocq(
    *argv: str,
    program: Sequence[str] = ALLOCQ,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> Result:
    """`allocq ARGV` as a process; `options` are those of subprocess.run."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60, **options}
    if env is not None:
        options["env"] = {**os.environ, **env}
    done = subprocess.run([*program, *argv], check=False, **options)
    err = (done.stderr or b"").decode("utf-8", "replace")
    return Result(done.returncode, done.stdout or b"", err)


def refused(result: Result, *words: str, status: int = 2) -> None:
    """Assert one clear complaint: a line, at most one hint, an empty standard output."""
    lines = result.err.splitlines()
    assert result.status == status, result
    assert result.out == b"", result
    assert lines and lines[0].startswith("allocq: "), result
    assert len(lines) <= 2 and result.err.endswith("\n"), result
    assert all(line.startswith("hint: ") for line in lines[1:]), result
    assert "Traceback" not in result.err and "Error(" not in result.err, result
    for word in words:
        assert word in lines[0], (word, result)


def until(happened: Callable[[], object], seconds: float = 60) -> None:
    """Wait for an event that can only be looked for."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


def unread(fd: int) -> int:
    """How many bytes a pipe holds."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])


def shell(script: str, *words: str) -> Sequence[str]:
    """A command line that runs `script` in sh; "$@" is the allocq command."""
    return ["sh", "-c", script, "sh", *ALLOCQ, *words]
