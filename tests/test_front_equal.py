"""The program in front of Python and Python itself: the same answers, warnings and complaints.

The program runs alone, from a place where it finds a false Python that notes what it is given: what
it answers there is its own, and what it hands over is seen to be unchanged.
"""

from __future__ import annotations

import gzip
import os
import pty
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import oracle
import pytest
from asking import questions
from command import FRONT, MODULE, Result, allocq, here, refused, unhurried
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_flags import command_lines

import allocq as allocq_library

pytestmark = pytest.mark.skipif(not FRONT.exists(), reason="allocq is not installed beside Python")

HANDED_OVER = 77
LIVE = Path("/proc/allocinfo").exists()
TAG = b"        4096        1 mm/slub.c:12 func:alloc_slab_page \n"
ODD = (
    b"        -512 18446744073709551615 ../a b.c:7 [x y] func:f accurate:no \n"
    b'           1        1 \xff\x1b]2J/\xe2\x82\xac.c:18446744073709551615 func:g"h,\\ numa:0\n'
    b"           0        0 =cmd.c:0 [m] func:f,\tx \n"
)
SNAPSHOT = (
    b"# allocq-snapshot: 1\n# time: 2026-11-23T06:20:37.123456Z\n# kernel: 7.3.4\n"
    b"# content-id: 5\n# consistent: yes\n# tags: 2\n"
)
TEXTS = {
    "sample": oracle.SAMPLE.read_bytes(),
    **{path.stem: path.read_bytes() for path in oracle.TEXTS if path != oracle.SAMPLE},
    "odd": oracle.HEADER + ODD + TAG + ODD.replace(b":7 ", b":8 "),
    "no header": TAG + ODD,
    "header alone": oracle.HEADER,
    "old header": oracle.HEADER.replace(b"2.0", b"1.0") + TAG,
    "odd version": b"allocinfo - version: \xff\x1b9999999999999999\n" + TAG,
    "cut off": oracle.UML_7_3.read_bytes()[:-20],
    "cut off in its first line": oracle.HEADER[:9],
    "no newline": oracle.HEADER + TAG + TAG[:-1],
    "line ends as on Windows": (oracle.HEADER + TAG + ODD).replace(b"\n", b"\r\n"),
    "bad line": oracle.HEADER + TAG * 9 + b"garbage \x1b\n" + TAG,
    "bad line far behind": oracle.HEADER + TAG * 20_000 + b"garbage\n",
    "NUL": oracle.HEADER + TAG + b"\0\0\n",
    "long line": oracle.HEADER + TAG + b"x" * (1 << 21),
    "long name": oracle.HEADER + b"1 1 " + b"n" * 300_000 + b".c:1 func:f \n" + TAG,
    "empty": b"",
    "no listing": b"MemTotal:       16318496 kB\n",
    "no text": b"\x7fELF\x02\x01\x01\0" + bytes(range(256)),
    "empty lines": b"\n\n" + oracle.HEADER + TAG,
    "two headers": oracle.HEADER + TAG + oracle.HEADER + ODD,
    "snapshot": oracle.HEADER + SNAPSHOT + TAG * 2,
    "snapshot with wrong count": oracle.HEADER + SNAPSHOT + TAG,
    "snapshot cut off": oracle.HEADER + SNAPSHOT + TAG * 2 + TAG[:-4],
    "two snapshots": (oracle.HEADER + SNAPSHOT + TAG) * 2,
    "newer snapshot": oracle.HEADER + b"# allocq-snapshot: 2\n" + TAG,
    "odd metadata": oracle.HEADER
    + b"# a: b\n#c\n# allocq-snapshot: 1\n# tags: " + b"9" * 50 + b"\n# consistent: maybe\n"
    + b"# time: yesterday\n" + TAG,
}  # fmt: skip


class Alone:
    """The program in a prefix of its own. `noted`: what the false Python was given."""

    def __init__(self, prefix: Path) -> None:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.program = prefix / "bin" / "allocq"
        self.site = prefix / "lib" / version / "site-packages"
        self._note = prefix / "note"
        (self.site / "allocq").mkdir(parents=True)
        (self.site / "allocq" / "__main__.py").touch()
        shutil.copy(oracle.SAMPLE, self.site / "allocq" / "sample.txt")
        self.sample = f"{prefix}/bin/../lib/{version}/site-packages/allocq/sample.txt"
        self.program.parent.mkdir()
        shutil.copy(FRONT, self.program)
        false = prefix / "bin" / version
        false.write_text(
            f'#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done >"$NOTE"\nexit {HANDED_OVER}\n'
        )
        false.chmod(0o755)

    def __call__(self, *argv: str, **options: object) -> Result:
        self._note.unlink(missing_ok=True)
        return allocq(
            *argv,
            program=[str(self.program)],
            env={"NOTE": str(self._note)},
            **{"stdin": subprocess.DEVNULL, **options},
        )

    @property
    def noted(self) -> list[str] | None:
        """The words behind `-I -c CODE PLACE PROGRAM`; None where Python was not started."""
        if not self._note.exists():
            return None
        words = [os.fsdecode(word) for word in self._note.read_bytes().split(b"\0")[:-1]]
        assert words[:2] == ["-I", "-c"] and Path(words[3]).samefile(self.site)
        assert words[4] == str(self.program)
        return words[5:]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone(tmp_path_factory.mktemp("alone") / "prefix")


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current directory, with all the texts in it."""
    before, place = Path.cwd(), tmp_path_factory.mktemp("texts")
    for name, data in TEXTS.items():
        (place / name).write_bytes(data)
    (place / "saved.txt").write_bytes(TEXTS["odd"])  # as test_flags.py calls it
    os.chdir(place)
    yield place
    os.chdir(before)


formats = st.sampled_from([[], *(["-o", name] for name in ("procfs", "jsonl", "csv", "tsv"))])
sorts = ("none", "bytes", "calls", "average", "file", "function", "module")
views = st.tuples(
    formats,
    st.just([]) | st.sampled_from(sorts).map(lambda key: ["-s", key]),
    st.sampled_from([[], [], ["-r"]]),
    st.just([]) | st.sampled_from(["0", "1", "3", "100", str(2**64 - 1)]).map(lambda n: ["-n", n]),
    st.sampled_from([[], [], [], ["-c"], ["-q"]]),
    st.sampled_from([[], ["--header"], ["--no-header"]]),
    st.sampled_from([[], [], ["--bytes"], ["--interface", "text"], ["--interface", "ioctl"]]),
).map(lambda parts: [word for part in parts for word in part])


# What is not strictly one listing is left to Python, once that shows.
NOT_PLAIN = {
    "cut off in its first line", "bad line", "bad line far behind", "NUL", "long line",
    "no listing", "no text", "empty lines", "two headers", "two snapshots",
}  # fmt: skip


def equal(alone: Alone, *argv: str, plain: bool = True) -> Result:
    """Both answer alike, or what is not plain is handed over unchanged; returns how."""
    ours, theirs = alone(*argv), here(*argv)
    if alone.noted is None:
        assert ours == theirs
    else:
        assert not plain, "it was handed over"
        assert (ours.status, ours.out, alone.noted) == (HANDED_OVER, b"", list(argv))
    return theirs


@pytest.mark.parametrize("name", TEXTS)
def test_answers_to_saved_texts_are_equal(alone: Alone, name: str) -> None:
    statuses = set()
    known = tuple(oracle.parse(TEXTS["odd"]))

    @settings(unhurried, max_examples=40)
    @given(questions(known), views)
    @example(oracle.Asked(), [])
    @example(oracle.Asked(), ["-c"])
    @example(oracle.Asked(), ["-q"])
    @example(oracle.Asked(), ["-n", "0"])
    @example(oracle.Asked(), ["-n", "1"])
    @example(oracle.Asked(), ["-s", "file", "-r", "--header"])
    @example(oracle.Asked(), ["-o", "csv", "-s", "bytes", "-n", "2"])
    @example(oracle.Asked(), ["-o", "tsv"])
    @example(oracle.Asked(), ["-o", "jsonl", "-r"])
    @example(oracle.Asked(), ["--interface", "ioctl"])
    @example(oracle.Asked(files=["nothing.c"]), ["--header"])
    def ask(asked: oracle.Asked, view: list[str]) -> None:
        plain = asked._replace(regexps=(), ignore_case=False, invert=False)
        argv = ("query", "--source", name, *plain.argv(), *view)
        statuses.add(equal(alone, *argv, plain=name not in NOT_PLAIN).status)

    ask()
    assert 2 in statuses and len(statuses) > (name in ("sample", "odd", "snapshot"))


@pytest.mark.parametrize("name", ["sample", "allocinfo-7.3.4-uml"])
def test_questions_that_find_something_are_answered_alike(alone: Alone, name: str) -> None:
    found = 0

    @settings(unhurried, max_examples=100)
    @given(questions(tuple(oracle.parse(TEXTS[name]))), views.filter(lambda v: "ioctl" not in v))
    def ask(asked: oracle.Asked, view: list[str]) -> None:
        nonlocal found
        plain = asked._replace(regexps=(), ignore_case=False, invert=False)
        found += equal(alone, "query", "--source", name, *plain.argv(), *view).status == 0

    ask()
    assert found >= 3  # fields narrow each other, so most find nothing


@settings(unhurried, max_examples=400)
@given(command_lines, st.sampled_from([[], ["--sample"], ["--source", "odd"]]))
@example(["-cq"], ["--sample"])
@example(["-c", "-n1", "-n", "2"], ["--sample"])
@example(["-o", "json", "-o", "csv"], ["--sample"])
@example(["-o", "csv", "-o", "json"], ["--sample"])
@example(["--header", "--no-header", "-o", "csv"], ["--sample"])
@example(["--source", "odd", "--source", "no header"], [])
@example(["--min-size=4K", "--min-size", "1K", "--max-size", "1", "--max-size=8E"], ["--sample"])
@example(["-l", "1-2", "-l", "7"], ["--source", "odd"])
@example(["--sort", "bytes", "--sort=none"], ["--source", "odd"])
@example(["-f", "-c"], ["--sample"])
@example(["-f-c"], ["--sample"])
@example(["-f=x"], ["--sample"])
@example(["--file="], ["--sample"])
@example(["--file"], ["--sample"])
@example(["--f", "x"], ["--sample"])
@example(["-n", "+1"], ["--sample"])
@example(["-n", " 1"], ["--sample"])
@example(["-l", "1-"], ["--sample"])
@example(["-f", "\udcff"], ["--source", "odd"])
@example(["--interface", "ioctl"], ["--sample"])
def test_a_command_line_is_answered_as_python_would_or_handed_over_unchanged(
    alone: Alone, words: list[str], source: list[str]
) -> None:
    argv = ["query", *words, *source]
    if any("\0" in word for word in argv):
        return
    ours = alone(*argv)
    ours = ours._replace(err=ours.err.replace(alone.sample, allocq_library.sample_path()))
    if alone.noted is not None:
        assert (ours.status, alone.noted) == (HANDED_OVER, argv)
        return
    if LIVE and not {"--source", "--sample"} & {word.partition("=")[0] for word in argv}:
        return  # counters move; tests/live asks the running kernel
    theirs = here(*argv)
    assert ours == theirs
    # Its own words are about sources; every mistake in the words is Python's to tell.
    assert "bad " not in ours.err and "--help" not in ours.err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--version"],
        ["--help"],
        ["-c", "query"],
        ["quer", "--sample"],
        ["query", "--help"],
        ["query", "-h"],
        ["query", "-ch"],
        ["query", "--nope"],
        ["query", "--sample", "word"],
        ["query", "--sample", ""],
        ["query", "--sample", "-"],
        ["query", "--sample", "--"],
        ["query", "--sample", "-e", "x"],
        ["query", "--sample", "-v"],
        ["query", "--sample", "-i"],
        ["query", "--sample", "-g", "file"],
        ["query", "--sample", "--explain"],
        ["query", "--sample", "--color", "always"],
        ["query", "--sample", "-o", "json"],
        ["query", "--sample", "-o", "table"],
        ["query", "--sample", "-o", "xml"],
        ["query", "--sample", "-n", "-1"],
        ["query", "--sample", "-s", "size"],
        ["query", "--sample", "-l", "9-3"],
        ["query", "--sample", "--min-size", "2M", "--max-size", "1M"],
        ["query", "--sample", "--min-calls", "2", "--max-calls", "1"],
        ["query", "--sample", "--accurate", "--inaccurate"],
        ["query", "--sample", "--builtin", "-m", "xfs"],
        ["query", "--sample", "--source", "odd"],
        ["query", "--source", ""],
        ["query", "-f", ""],
        ["query", "-f", "[a"],
        ["query", "-f", "[b-a]*"],
        ["tree", "--sample"],
        ["snapshot", "--sample", "--output", " $HOME `x` '\"*\\ \n-"],
        ["check", "--", "sh", "-c", "exit 3", ""],
        ["\udcff"],
    ],
    ids=str,
)
def test_what_needs_python_is_handed_over_unchanged(alone: Alone, argv: list[str]) -> None:
    assert alone(*argv).status == HANDED_OVER
    assert alone.noted == argv


@pytest.mark.parametrize(
    "argv",
    [
        ["-f", "fs/*"],
        ["-ffs/*", "-x*.h", "-Fx*", "-mxfs"],
        ["--builtin", "-c"],
        ["-cq"],
        ["-l", "1-99", "--min-size", "4K", "--max-calls=9"],
        ["-o", "csv", "--no-header"],
        ["-o", "table", "-c"],
        ["-o", "json", "-q"],
        ["--inaccurate", "-s", "calls", "-rn5"],
        ["--bytes", "--interface", "text"],
    ],
    ids=" ".join,
)
def test_what_is_plain_starts_no_python(alone: Alone, argv: list[str]) -> None:
    assert alone("query", "--sample", *argv).status in (0, 1)
    assert alone.noted is None


def test_on_a_terminal_only_what_prints_no_tags_starts_no_python(alone: Alone) -> None:
    for argv, handed_over in (
        ([], True),
        (["-o", "procfs"], True),
        (["-o", "csv"], True),
        (["-c"], False),
        (["-q"], False),
    ):
        ours, theirs = pty.openpty()
        alone("query", "--sample", *argv, stdout=theirs)
        os.close(theirs)
        os.close(ours)
        assert (alone.noted is not None) == handed_over, argv


@pytest.mark.parametrize(
    "body",
    [
        "raise ImportError('a file is torn\\nsecond line')",
        "def",
        "import math.nothing",
        "1 / 0",
    ],
)
def test_a_package_that_does_not_start_is_one_clear_line(tmp_path: Path, body: str) -> None:
    result = started(tmp_path, body)
    refused(result)
    assert "hint: install " in result.err


def test_a_start_without_memory_is_said(tmp_path: Path) -> None:
    refused(started(tmp_path, "raise MemoryError"), "out of memory")


def started(tmp_path: Path, body: str) -> Result:
    """The native program where the package it starts is this."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = tmp_path / "lib" / version / "site-packages"
    (site / "allocq").mkdir(parents=True)
    (site / "allocq" / "__main__.py").write_text(body + "\n")
    (tmp_path / "bin").mkdir()
    shutil.copy(FRONT, tmp_path / "bin")
    (tmp_path / "bin" / version).symlink_to(sys.executable)
    return allocq("doctor", program=[str(tmp_path / "bin" / "allocq")])


# Where the text comes from


def by_file(data: bytes, run: Callable[[int], Result]) -> Result:
    with open("stdin", "w+b") as file:
        file.write(data)
        file.seek(0)
        return run(file.fileno())


def by_file_in_the_middle(data: bytes, run: Callable[[int], Result]) -> Result:
    with open("stdin", "w+b") as file:
        file.write(b"not to be read\n" + data)
        file.flush()
        os.lseek(file.fileno(), len(b"not to be read\n"), os.SEEK_SET)
        return run(file.fileno())


def by_pipe(data: bytes, run: Callable[[int], Result]) -> Result:
    cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert cat.stdin and cat.stdout
    cat.stdin.write(data)
    cat.stdin.close()
    with cat.stdout:
        result = run(cat.stdout.fileno())
    cat.wait()
    return result


def by_socket(data: bytes, run: Callable[[int], Result]) -> Result:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        return run(theirs.fileno())


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["odd", "snapshot with wrong count", "bad line", "empty"])
@pytest.mark.parametrize("by", [by_file, by_file_in_the_middle, by_pipe, by_socket])
def test_standard_input_gives_the_same_answers(
    by: Callable[[bytes, Callable[[int], Result]], Result],
    name: str,
    pack: Callable[[bytes], bytes],
) -> None:
    """Packed, it is handed over with nothing of it taken."""
    data = pack(TEXTS[name])
    argv = ("query", "--source", "-", "-s", "file", "-o", "csv")
    ours = by(data, lambda fd: allocq(*argv, program=[str(FRONT)], stdin=fd))
    theirs = by(data, lambda fd: allocq(*argv, program=MODULE, stdin=fd))
    assert ours == theirs
    assert (ours.status == 0) == (name != "empty")


def test_a_packed_source_is_handed_over(alone: Alone, place: Path) -> None:
    packed: Sequence[bytes] = (
        gzip.compress(TEXTS["odd"]),
        b"\x28\xb5\x2f\xfd1234",
        gzip.compress(b"")[:2],
    )
    for data in packed:
        (place / "packed").write_bytes(data)
        assert alone("query", "--source", "packed").status == HANDED_OVER
        assert alone.noted == ["query", "--source", "packed"]


def test_sources_that_cannot_be_read_are_told_alike(alone: Alone, place: Path) -> None:
    (place / "loop").symlink_to("loop")
    for path in ("nowhere", "odd/x", "loop", "x" * 5000, "/proc/version", "\udcff\n"):
        for argv in ([], ["-c"], ["--interface", "text"]):
            assert equal(alone, "query", "--source", path, *argv).status == 2
