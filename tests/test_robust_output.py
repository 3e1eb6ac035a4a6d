"""Odd names in every answer: on a terminal they are shown, in a pipe no byte is touched."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from command import ALLOCQ, FRONT, MODULE, allocq
from hypothesis import given
from hypothesis import strategies as st
from oracle import SAMPLE

from allocq.analysis.groups import directory_of
from allocq.analysis.tree import split_path
from allocq.commands.listings import read_filter_metadata
from allocq.commands.verify.rawioctl import parse
from allocq.model import Filter
from allocq.output.terminal import cut, fit, head, pad, printable_lines, tail, width
from allocq.storage.snapshot import joined_filters

HEADER = b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"
ODD = "a\x1b[31m\u202eb\x9b5n\u00e9/x.c".encode() + b"\xff"


def line(file: bytes, size: int = 5, function: bytes = b"f") -> bytes:
    return b"%12d %8d %s:1 func:%s \n" % (size, 1, file, function)


def on_terminal(*words: str, columns: int = 200, program: Sequence[str] = ALLOCQ) -> bytes:
    """What `allocq WORDS` writes to a terminal."""
    main, other = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1"}
    with subprocess.Popen(
        [*program, *words], stdout=other, stderr=subprocess.DEVNULL, env=environment
    ):
        os.close(other)
        pieces = []
        while True:
            try:
                piece = os.read(main, 1 << 16)
            except OSError:  # EIO: nobody has the other end any more
                break
            if not piece:
                break
            pieces.append(piece)
    os.close(main)
    return b"".join(pieces).replace(b"\r\n", b"\n")


@pytest.fixture
def odd(tmp_path: Path) -> str:
    path = tmp_path / "odd"
    path.write_bytes(HEADER + line(ODD))
    return str(path)


@pytest.mark.skipif(not FRONT.exists(), reason="allocq is not installed beside Python")
@pytest.mark.parametrize("form", ["procfs", "csv", "tsv", "jsonl"])
@pytest.mark.parametrize("sort", [[], ["-s", "file"], ["-n", "1"]], ids=str)
def test_without_python_a_terminal_gets_the_same(
    odd: str, form: str, sort: list[str], tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    alone = shutil.copy(FRONT, tmp_path / "bin")
    argv = ["query", "--source", odd, "-o", form, *sort]
    shown = on_terminal(*argv, program=[alone])
    assert shown == on_terminal(*argv, program=MODULE)
    assert b"\x1b" not in shown and (b"\\x1b" in shown or b"\\u001b" in shown)
    plain = ["query", "--source", str(SAMPLE), "-o", form, *sort]
    assert on_terminal(*plain, program=[alone]) == allocq(*plain).out


QUERIES = [["query", "-o", form] for form in ("procfs", "csv", "tsv", "jsonl", "json", "table")]
QUERIES += [["query", "-g", "file", "-o", form] for form in ("procfs", "csv", "tsv", "json")]
QUERIES += [["tree", "-o", form] for form in ("folded", "csv", "jsonl", "json", "table")]
QUERIES += [["snapshot"], ["query", "--explain"]]


@pytest.mark.parametrize("words", QUERIES, ids=" ".join)
def test_a_terminal_gets_nothing_to_act_on(words: list[str], odd: str) -> None:
    shown = on_terminal(words[0], "--source", odd, *words[1:])
    text = shown.decode()  # and it is text
    if words[-1] != "--explain":
        assert "x.c" in text and "\u00e9" in text
    assert not any(unicodedata.category(c) in ("Cc", "Cf") for c in text if c not in "\n\t"), text


def test_diff_to_a_terminal(odd: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(HEADER + line(ODD, 6))
    for form in ("tsv", "csv", "json", "table"):
        text = on_terminal("diff", odd, str(other), "-o", form).decode()
        assert "x.c" in text
        assert not any(c in text for c in "\x1b\x9b\u202e")


@pytest.mark.parametrize("form", ["procfs", "csv", "tsv"])
def test_a_pipe_gets_every_byte(form: str, odd: str) -> None:
    assert ODD in allocq("query", "--source", odd, "-o", form).out
    assert ODD in allocq("query", "--source", odd, "-o", form, "-g", "file").out
    assert ODD in allocq("snapshot", "--source", odd).out


def test_plain_lines_are_as_they_were_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_bytes(HEADER + line(b"mm/a.c") * 3)
    for form in ("procfs", "tsv"):
        words = ("query", "--source", str(path), "-o", form)
        assert on_terminal(*words) == allocq(*words).out


@given(st.binary())
def test_printable_lines_keep_lines_and_tabs(data: bytes) -> None:
    shown = printable_lines(data)
    assert shown.count(b"\n") == data.count(b"\n") and shown.count(b"\t") == data.count(b"\t")
    assert not any(c < 32 and c not in b"\n\t" for c in shown)
    assert printable_lines(shown) == shown


# Width


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", 0),
        ("abc", 3),
        ("\u4e2d\u6587", 4),
        ("\uff21", 2),  # full-width A
        ("e\u0301", 1),
        ("\u00e9", 1),
        ("\U0001f600", 2),
        ("a\u200db", 2),
    ],
)
def test_width(text: str, columns: int) -> None:
    assert width(text) == columns


texts = st.text(st.sampled_from("abc/\u4e2d\u6587e\u0301\u00e9\U0001f600"))


@given(texts, st.integers(2, 30))
def test_texts_are_cut_to_columns(text: str, columns: int) -> None:
    assert width(head(text, columns)) <= columns and text.startswith(head(text, columns))
    assert width(tail(text, columns)) <= columns and text.endswith(tail(text, columns))
    assert width(fit(text, columns)) <= columns and width(cut(text, columns)) <= columns
    assert not tail(text, columns).startswith("\u0301") or tail(text, columns) == text
    assert width(pad(fit(text, columns), columns)) == columns
    if width(text) <= columns:
        assert head(text, columns) == text
        assert fit(text, columns) == cut(text, columns) == text


WIDE = "\u4e2d\u6587/" * 30 + "e\u0301.c"


@pytest.mark.parametrize("words", [("query", "-o", "table"), ("tree",)])
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_wide_names_fit_the_terminal(words: tuple[str, ...], columns: int, tmp_path: Path) -> None:
    path = tmp_path / "wide"
    path.write_bytes(HEADER + line(WIDE.encode()) + line(b"mm/slub.c", function=b"g"))
    shown = on_terminal(words[0], "--source", str(path), *words[1:], columns=columns).decode()
    assert "\u4e2d" in shown
    assert max(map(width, shown.splitlines())) <= columns


def test_columns_are_aligned_beside_wide_names(tmp_path: Path) -> None:
    path = tmp_path / "wide"
    path.write_bytes(
        HEADER + line("\u4e2d\u6587.c".encode(), function=b"one") + line(b"a.c", function=b"two")
    )
    rows = allocq("query", "--source", str(path), "-o", "table").out.decode().splitlines()
    starts = {
        width(row[: row.index(name)]) for row in rows for name in ("one", "two") if name in row
    }
    assert len(starts) == 1


# Directories


@pytest.mark.parametrize(
    ("file", "directory"),
    [("x.c", "."), ("/x.c", "/"), ("a/x.c", "a"), ("/a/x.c", "/a"), ("../a/x.c", "../a")],
)
def test_directories_are_named_as_the_tree_names_them(file: str, directory: str) -> None:
    assert directory_of(file) == directory
    above = split_path(file)[:-1]
    assert "/".join(above).replace("//", "/", 1) == ("" if directory == "." else directory)


def test_groups_and_diffs_name_the_root(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(HEADER + line(b"/x.c") + line(b"x.c"))
    two.write_bytes(HEADER + line(b"/x.c", 6) + line(b"x.c", 7))
    grouped = allocq("query", "--source", str(one), "-g", "directory", "-o", "tsv", "--no-header")
    assert [row.split(b"\t")[3] for row in grouped.out.splitlines()] == [b"/", b"."]
    changed = allocq("diff", str(one), str(two), "-g", "directory", "-o", "json")
    assert {c["directory"] for c in json.loads(changed.out)["changes"]} == {"/", "."}


# Times


def test_a_baseline_from_the_future_has_no_rates(tmp_path: Path) -> None:
    for name, time, size in (("now", "2026-01-01", 1 << 20), ("later", "2027-01-01", 5)):
        note = f"# allocq-snapshot: 1\n# time: {time}T00:00:00.000000Z\n".encode()
        (tmp_path / name).write_bytes(HEADER + note + line(b"a.c", size))
    done = allocq(
        "check", "--baseline", "later", "--source", "now", "-o", "json", "--max-growth", "1",
        cwd=tmp_path,
    )  # fmt: skip
    document = json.loads(done.out)
    assert done.status == 1 and document["seconds"] is None
    assert document["grown"][0]["bytes_per_second"] is None
    assert document["total"]["calls_per_second"] is None
    assert "newer" in done.err


# Metadata


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5))
def test_a_filter_of_any_bytes_comes_back(names: list[bytes]) -> None:
    words = [os.fsdecode(name.translate(None, b"\0[*?") or b"x") for name in names]
    asked = Filter(files=words, functions=words)
    text = joined_filters("", asked)
    assert text.isascii()
    assert read_filter_metadata(text) == asked


def test_a_snapshots_filter_of_other_bytes_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "all"
    path.write_bytes(HEADER + line(b"a\xff.c") + line(b"b.c"))
    part = tmp_path / "part"
    name = os.fsdecode(b"a\xff.c")
    saved = allocq("snapshot", "--source", str(path), "-f", name, "--output", str(part))
    assert saved.status == 0, saved
    done = allocq("diff", str(part), str(path))
    assert done.status == 1 and done.out.count(b"\n") <= 1, done


# Names with blanks


def test_verify_reads_a_name_with_blanks() -> None:
    name = b"<impl Foo for Bar>::new"
    text = HEADER + line(b"a.rs", function=name) + line(b"a.rs", function=name + b" accurate:no")
    rows = parse(text)
    assert [row.function for row in rows] == [name, name]
    assert [row.accurate for row in rows] == [True, False]
    odd = parse(HEADER + line(b"a.rs", function=b"core::x y::z later:word accurate:no"))
    assert (odd[0].function, odd[0].accurate) == (b"core::x y::z", False)
