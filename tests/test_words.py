"""What a terminal is told about names: how bare words were read, and what is near no match."""

from __future__ import annotations

import gzip
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from command import ALLOCQ, MODULE, allocq, here, refused
from oracle import SAMPLE

PLAIN = {"NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}


def told(*argv: str, program: tuple[str, ...] = MODULE, cwd: Path | None = None) -> list[str]:
    """What allocq writes to a terminal that is both of its streams, by line."""
    control, terminal = pty.openpty()
    process = subprocess.Popen(
        [*program, *argv],
        stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, cwd=cwd,
        env={**os.environ, **PLAIN, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    os.close(terminal)
    pieces = []
    while True:
        try:
            piece = os.read(control, 1 << 16)
        except OSError:
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(control)
    process.wait()
    return b"".join(pieces).decode().replace("\r", "").splitlines()


def both(*argv: str) -> list[str]:
    """The same by the native program and by Python."""
    said = told(*argv)
    assert told(*argv, program=tuple(ALLOCQ)) == said
    return said


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (["-m", "xsf"], "--module xsf", "nearest: xfs"),
        (["-m", "[xsf]"], "--module '[xsf]'", "nearest: xfs"),
        (["-m", "zrma"], "--module zrma", "nearest: zram"),
        (["-f", "mm/slob.c"], "--file mm/slob.c", "nearest: mm/slub.c"),
        (["-f", "kernal/"], "--file kernal/", "nearest: kernel"),
        (["-f", "slub.c:3346"], "--file slub.c:3346", "nearest: mm/slub.c:3345, mm/slub.c:3347"),
        (["-F", "alloc_slab_pag"], "--function alloc_slab_pag", "nearest: alloc_slab_page"),
        (["slbu"], "slbu", "nearest: slub"),
        (["MM/SLUB.C"], "MM/SLUB.C", "nearest: mm/slub.c"),
        (
            ["-f", "mm/slub.c", "--min-size", "1G"],
            "--file mm/slub.c --min-size 1G",
            "18 tags match without --min-size 1G; the largest holds 8.9M",
        ),
        (
            ["-f", "mm/slub.c", "-m", "xfs"],
            "--file mm/slub.c --module xfs",
            "each of these matches tags, but no tag matches all",
        ),
        (["-e", "zzzz"], "--regexp zzzz", ""),
        (["-l", "999999"], "--line 999999", ""),
    ],
    ids=str,
)
def test_no_match_is_told_on_a_terminal(argv: list[str], message: str, hint: str) -> None:
    for command in ("query", "tree"):
        lines = both(command, "--sample", *argv)
        if command == "tree" and "--min-size" in argv:
            continue  # a bound of tree hides, and does not filter
        assert lines[0] == f"allocq: no tag matches {message}"
        assert "\n".join(lines[1:]).startswith(f"hint: {hint}" if hint else ""), lines
        assert hint or len(lines) == 1


@pytest.mark.parametrize("view", [["-c"], ["-g", "module"], ["-o", "procfs"], ["-o", "jsonl"]])
def test_no_match_is_told_in_every_view(view: list[str]) -> None:
    lines = both("query", "--source", str(SAMPLE), "-m", "xsf", *view)
    assert lines[-2:] == ["allocq: no tag matches --module xsf", "hint: nearest: xfs"]
    assert (lines[0] == "0") == (view == ["-c"])


def test_no_match_in_a_pipe_or_with_quiet_is_silent() -> None:
    for argv in (["-m", "xsf"], ["slbu"], ["-c", "-m", "xsf"]):
        result = allocq("query", "--sample", *argv)
        assert (result.status, result.err) == (1, "")
    assert both("query", "--sample", "-q", "-m", "xsf") == []


@pytest.mark.parametrize(
    ("words", "notes"),
    [
        (["xfs"], ["xfs: read as a directory and a module"]),
        (["slub"], ["slub: read as a file"]),
        (["mm/slub.c:3347"], ["mm/slub.c:3347: read as a file and line"]),
        (["kernel/"], ["kernel/: read as a directory"]),
        (["[zram]"], ["[zram]: read as a module"]),
        (["zram.ko"], ["zram.ko: read as a module"]),
        (["func:alloc_slab_page"], ["func:alloc_slab_page: read as a function"]),
        (["alloc_slab_page()"], ["alloc_slab_page(): read as a function"]),
        (
            ["slub", "xsf"],
            ["slub: read as a file", "xsf: no tag has this name; nearest: xfs"],
        ),
    ],
    ids=str,
)
def test_a_terminal_is_told_how_words_were_read(words: list[str], notes: list[str]) -> None:
    for view in ([], ["-c"], ["-g", "file"]):
        lines = both("query", "--sample", *words, *view)
        said = [line.removeprefix("allocq: ") for line in lines if line.startswith("allocq: ")]
        assert said == notes
    assert allocq("query", "--sample", *words).err == ""
    assert allocq("query", "--sample", *words).out


def test_a_word_that_is_a_file_is_the_source(tmp_path: Path) -> None:
    (tmp_path / "saved").write_bytes(SAMPLE.read_bytes())
    (tmp_path / "saved.txt.gz").write_bytes(gzip.compress(SAMPLE.read_bytes()))
    for name in ("saved", "saved.txt.gz", "./saved"):
        for command in ("query", "tree"):
            given = allocq(command, name, "-m", "zram", cwd=tmp_path)
            assert given == allocq(command, "--source", name, "-m", "zram", cwd=tmp_path)
            assert given.status == 0 and given.err == ""
    lines = told("query", "saved", "-c", "slub", cwd=tmp_path)
    assert lines == [
        "18", "allocq: saved: read as a saved listing", "allocq: slub: read as a file",
    ]  # fmt: skip
    refused(allocq("query", "saved", "saved.txt.gz", cwd=tmp_path), "second source")
    refused(allocq("query", "--sample", "saved", cwd=tmp_path), "second source")


def test_pipes_are_sources_too(tmp_path: Path) -> None:
    with SAMPLE.open("rb") as text:
        assert allocq("query", "-", "-c", stdin=text).out == b"3746\n"
    script = f"{sys.executable} -m allocq query -c <(cat '{SAMPLE}')"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout == b"3746\n"


def test_kernel_names_stay_names_where_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mm").mkdir()
    for name in ("mm/slub.c", "zram.ko", "zram.ko.xz"):
        (tmp_path / name).write_bytes(b"not a listing\n")
    expected = {"mm/slub.c": b"18\n", "mm": b"173\n", "zram.ko": b"10\n", "zram.ko.xz": b"10\n"}
    monkeypatch.chdir(tmp_path)
    for word, count in expected.items():
        assert here("query", "--sample", "-c", word) == (0, count, "")


def test_a_word_that_no_file_can_have_is_a_name() -> None:
    assert here("query", "--sample", "-c", "a" * 5000).status == 1
    assert here("query", "--sample", "-c", "a/" * 3000).status == 1
