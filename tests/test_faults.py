"""System calls that fail at each step: a clear complaint or the right answer, never another one."""

from __future__ import annotations

import errno
import gzip
import json
import os
import resource
import subprocess
from pathlib import Path

import faulty
import oracle
import pytest
from command import ALLOCQ, Result, refused

ERRNOS = (errno.EIO, errno.EACCES, errno.EPERM, errno.ENOMEM, errno.ESTALE, errno.ENODEV)
FULL = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EBADF)
FORMATS = ("procfs", "json", "jsonl", "csv", "tsv", "table")


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture(params=faulty.PROGRAMS)
def run(shim: Path, request: pytest.FixtureRequest) -> faulty.Faulty:
    return faulty.Faulty(shim, request.param)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "allocinfo.txt"
    path.write_bytes(oracle.SAMPLE.read_bytes())
    return path


def right(result: Result, like: bytes) -> None:
    assert (result.status, result.out, result.err) == (0, like, "")


@pytest.fixture
def answer(run: faulty.Faulty, text: Path) -> bytes:
    tags = oracle.parse(text.read_bytes())
    chosen = oracle.select(tags, oracle.Asked(files=["fs/*"]))
    assert len(chosen) > 10
    return b"".join(tag.text.encode() + b"\n" for tag in chosen)


@pytest.mark.parametrize("error", ERRNOS, ids=faulty.name)
def test_each_read_of_a_saved_text_fails(run: faulty.Faulty, text: Path, error: int) -> None:
    query = ("query", "--source", str(text), "-f", "fs/*")
    steps = run.count("read", *query, file=text.name)
    assert steps >= 5
    for step in range(1, steps + 1):
        failed = run("read", error, *query, at=step, file=text.name)
        if error == errno.ENOMEM:
            refused(failed, "out of memory")
        else:
            refused(failed, f"cannot read {text}: {os.strerror(error)}")


@pytest.mark.parametrize("command", [("snapshot",), ("query", "-c"), ("query", "-g", "file")])
def test_a_read_fails_in_other_ways_to_read(
    run: faulty.Faulty, text: Path, command: tuple[str, ...]
) -> None:
    argv = (*command, "--source", str(text))
    steps = run.count("read", *argv, file=text.name)
    assert steps >= 5
    for step in range(1, steps + 1):
        refused(run("read", errno.EIO, *argv, at=step, file=text.name), str(text))


def test_standard_input_fails(run: faulty.Faulty, text: Path) -> None:
    for error in ERRNOS:
        for step in (1, 2, 4):
            with text.open("rb") as stdin:
                failed = run(
                    "read", error, "query", "--source", "-", at=step, file=text.name, stdin=stdin
                )
            refused(failed, "out of memory" if error == errno.ENOMEM else "standard input")


def test_opening_fails(run: faulty.Faulty, text: Path) -> None:
    for error in (*ERRNOS, errno.EMFILE, errno.ENFILE, errno.ELOOP, errno.ENXIO, errno.ENOENT):
        failed = run("open", error, "query", "--source", str(text), file=text.name)
        refused(failed, "out of memory" if error == errno.ENOMEM else str(text))


def test_interrupted_and_short_reads_lose_nothing(
    run: faulty.Faulty, text: Path, answer: bytes
) -> None:
    query = ("query", "--source", str(text), "-f", "fs/*")
    steps = run.count("read", *query, file=text.name)
    assert steps >= 5
    for step in range(1, steps + 1):
        right(run("read", errno.EINTR, *query, at=step, file=text.name), answer)
    right(run("read", 0, *query, times=0, file=text.name), answer)
    with text.open("rb") as stdin:
        stream = ("query", "--source", "-", "-f", "fs/*")
        right(run("read", 0, *stream, times=0, file=text.name, stdin=stdin), answer)


def test_packed_texts(run: faulty.Faulty, text: Path, answer: bytes) -> None:
    text.write_bytes(gzip.compress(text.read_bytes()))
    query = ("query", "--source", str(text), "-f", "fs/*")
    right(run("read", 0, *query, times=0, file=text.name), answer)
    steps = run.count("read", *query, file=text.name)
    assert steps >= 2
    for step in range(1, steps + 1):
        refused(run("read", errno.EIO, *query, at=step, file=text.name), str(text))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("error", FULL, ids=faulty.name)
def test_standard_output_fails(run: faulty.Faulty, text: Path, format: str, error: int) -> None:
    query = ("query", "--source", str(text), "-o", format)
    refused(run("write", error, *query), os.strerror(error))


def test_a_closed_pipe_is_silent_at_each_write(run: faulty.Faulty, text: Path) -> None:
    source = ("--source", str(text))
    plain = (("query", *source), ("query", "-o", "json", *source), ("query", "-c", *source))
    slow = (("snapshot", *source), ("diff", str(text), str(text), "-o", "json"), ("doctor",))
    for command in (*plain, *slow, ("--version",), ("query", "--help"), ("--help",)):
        failed = run("write", errno.EPIPE, *command)
        assert (failed.status, failed.err) == (141, ""), (command, failed)


def test_interrupted_and_short_writes_lose_nothing(
    run: faulty.Faulty, text: Path, answer: bytes
) -> None:
    query = ("query", "--source", str(text), "-f", "fs/*")
    for error in (0, errno.EINTR, errno.EAGAIN):
        right(run("write", error, *query, times=3), answer)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=faulty.name)
def test_a_disk_that_fills_up_keeps_nothing_half(
    run: faulty.Faulty, text: Path, tmp_path: Path, error: int
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    argv = ("snapshot", "--source", str(text), "--output", str(folder / "saved"))
    steps = run.count("write", *argv, file=f"{folder}/")
    (folder / "saved").unlink()
    assert steps > 1
    for step in range(1, steps + 1):
        failed = run("write", error, *argv, at=step, file=f"{folder}/")
        refused(failed, str(folder / "saved"), os.strerror(error))
        assert not list(folder.iterdir())
    done = run("write", 0, *argv, times=0, file=f"{folder}/", timeout=600)
    assert done.status == 0
    saved = oracle.parse((folder / "saved").read_bytes())
    assert saved == oracle.parse(text.read_bytes())


@pytest.mark.parametrize(
    ("run", "argv"),
    [
        ("front", ("-f", "fs/*")),
        ("front", ("-m", "xfs", "-l", "1-9999", "-F", "x*", "-x", "*.h")),
        ("front", ("-o", "jsonl", "-n", "5", "-s", "bytes")),
        ("front", ("-c", "--min-size", "1M")),
        ("python", ("-f", "fs/*")),
        ("python", ("-m", "xfs", "-l", "1-9999", "-F", "x*", "-x", "*.h")),
        ("python", ("-o", "json", "-n", "5", "-s", "bytes")),
        ("python", ("-g", "directory", "-o", "csv")),
        ("python", ("-c", "--min-size", "1M")),
    ],
    indirect=["run"],
)
def test_every_allocation_in_c_fails(run: faulty.Faulty, argv: tuple[str, ...], text: Path) -> None:
    query = ("query", "--source", str(text), *argv)
    steps = run.count("malloc", *query)
    assert steps > 4
    for step in range(1, steps + 1):
        for times in (1, 0):
            failed = run("malloc", errno.ENOMEM, *query, at=step, times=times)
            refused(failed, "allocq: out of memory")
            assert failed.err.count("\n") == 1


@pytest.mark.parametrize("run", ["front"], indirect=True)
def test_no_memory_to_start_python_in(run: faulty.Faulty) -> None:
    for argv in (["query", "--help"], ["query", "--sample", "-o", "table"], ["diff", "a", "b"]):
        refused(run("malloc", errno.ENOMEM, *argv), "allocq: out of memory")


@pytest.mark.parametrize("run", ["python"], indirect=True)
def test_every_allocation_of_a_diff_fails(run: faulty.Faulty, text: Path, tmp_path: Path) -> None:
    other = tmp_path / "after.txt"
    other.write_bytes(text.read_bytes().replace(b"func:", b"func:x_", 40))
    diff = ("diff", str(text), str(other))
    steps = run.count("malloc", *diff)
    assert steps > 6
    for step in range(1, steps + 1):
        refused(run("malloc", errno.ENOMEM, *diff, at=step), "allocq: out of memory")


def test_memory_that_runs_out_in_python(text: Path) -> None:
    """A text that takes more than the process may have: refused, until there is enough."""
    lines = b"".join(b"%12d %8d mm/f%d.c:1 func:f \n" % (i, i, i) for i in range(300_000))
    text.write_bytes(oracle.HEADER + lines)
    statuses = []
    for megabytes in (20, 40, 60, 80, 120, 240, 480, 960):

        def limit(most: int = megabytes << 20) -> None:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))

        done = subprocess.run(
            [*ALLOCQ, "query", "--source", str(text), "-o", "table"],
            capture_output=True,
            preexec_fn=limit,
        )
        result = Result(done.returncode, done.stdout, done.stderr.decode())
        statuses.append(result.status)
        if result.status != 0:
            refused(result, "out of memory")
        else:
            assert result.out.count(b"\n") == 300_002
    assert statuses == sorted(statuses, reverse=True)
    assert (statuses[0], statuses[-1]) == (2, 0), "neither too little memory nor enough was tried"


def test_a_file_that_shrinks_while_it_is_read(run: faulty.Faulty, text: Path) -> None:
    """What is cut in a line is left out and said."""
    whole = text.read_bytes()
    tags = oracle.parse(whole)
    for cut in (len(whole) // 2, len(whole) // 3, 600):
        text.write_bytes(whole[:cut])
        done = run("read", errno.EINTR, "query", "--source", str(text), "-o", "json", at=2)
        found = json.loads(done.out)
        assert found["tags"] == [tag.as_json() for tag in tags[: len(found["tags"])]]
        assert found["source"]["consistent"] is False and "truncated" in done.err
