"""Odd environments and inputs: one line, the documented status, no traceback."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from command import ALLOCQ, FRONT, Result, allocq, refused

COMMANDS = (
    ("query", "--sample", "-e", "slub"),
    ("query", "--sample", "-o", "table"),
    ("tree", "--sample"),
    ("report", "--sample"),
    ("doctor", "-o", "json"),
    ("bench",),
    ("verify",),
)


def soundly(done: Result) -> None:
    """Whatever it says, it is allocq that says it."""
    assert "Traceback" not in done.err and "internal error" not in done.err, done
    lines = [line for line in done.err.splitlines() if not line.startswith(("allocq: ", "hint: "))]
    assert not lines and done.status in (0, 1, 2), done
    assert done.status != 2 or done.err or done.out


def limits(hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4, hard))


@pytest.mark.skipif(not FRONT.exists(), reason="allocq is not installed beside this Python")
@pytest.mark.parametrize("words", COMMANDS)
def test_few_open_files(words: tuple[str, ...]) -> None:
    """A low limit is raised; one that cannot be is an error in words."""
    low = allocq(*words, preexec_fn=limits(1000))
    soundly(low)
    assert "too few open files" not in low.err
    refused(allocq(*words, preexec_fn=limits(5)), "too few open files are allowed")


@pytest.mark.parametrize(
    "words",
    [
        ("tree",),
        ("report",),
        ("query", "-e", "x"),
        ("query",),
        ("snapshot", "-o", "out"),
        ("query", "-o", "json"),
    ],
)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full"])
def test_a_device_without_end_is_no_listing(
    words: tuple[str, ...], device: str, tmp_path: Path
) -> None:
    refused(allocq(*words, "--source", device, cwd=tmp_path, timeout=60), device)
    assert not list(tmp_path.iterdir())


def test_a_device_without_end_as_standard_input() -> None:
    with open("/dev/zero", "rb") as zero:
        refused(allocq("tree", "--source", "-", stdin=zero, timeout=60))
    refused(allocq("diff", "/dev/zero", "/dev/zero", timeout=60), "/dev/zero")


@pytest.mark.parametrize("word", ["a" * 5000, "a/" * 3000, "\udcff" * 300, "x" * 255 + "/y"])
def test_a_word_that_can_be_no_files_name(word: str) -> None:
    done = allocq("query", "--sample", word)
    soundly(done)
    assert done.status in (1, 2) and done.out == b""


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (1, 2), (0, 1, 2)])
def test_closed_standard_streams(words: tuple[str, ...], closed: tuple[int, ...]) -> None:
    def close() -> None:
        for fd in closed:
            os.close(fd)

    done = allocq(*words, preexec_fn=close)
    soundly(Result(done.status, done.out or b"-", done.err))


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "xx_YY.bad"},
        {"LANG": "C", "PYTHONIOENCODING": "bad"},
        {"PYTHONHOME": "/nonexistent"},
        {"PYTHONPATH": "/nonexistent"},
        {"HOME": "", "TMPDIR": "/nonexistent"},
        {"TZ": "bad/zone"},
        {"COLUMNS": "99999999999999999999"},
        {"COLUMNS": "-1", "TERM": "\x1b"},
        {"PATH": ""},
        {"XDG_RUNTIME_DIR": "\udcff"},
    ],
)
@pytest.mark.parametrize("words", COMMANDS)
def test_odd_environments(words: tuple[str, ...], environment: dict[str, str]) -> None:
    soundly(allocq(*words, env=environment))


def test_a_current_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    for words in COMMANDS:
        gone.mkdir(exist_ok=True)
        soundly(allocq(*words, program=ALLOCQ, cwd=gone, preexec_fn=lambda: os.rmdir(gone)))
