"""What a terminal shows without being asked for more, the pager, and watch(1)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import oracle
import pytest
from command import ALLOCQ, allocq, shell
from oracle import SAMPLE
from terminal import environment, on_terminal

from allocq.output.terminal import wrapped

TAGS = oracle.parse(SAMPLE.read_bytes())
SIZES = [(80, 24), (40, 24), (132, 50), (80, 8), (200, 120)]
less = pytest.mark.skipif(not shutil.which("less"), reason="less is not installed")
watch = pytest.mark.skipif(not shutil.which("watch"), reason="watch is not installed")


@pytest.mark.parametrize(("columns", "lines"), SIZES)
@pytest.mark.parametrize("command", ["query", "tree"])
def test_bare_it_fits_the_screen(command: str, columns: int, lines: int) -> None:
    seen = on_terminal(command, "--sample", columns=columns, lines=lines, PAGER="false")
    assert seen.status == 0
    assert max(map(len, seen.lines)) <= columns
    # One line is the prompt's. The screen is used: a row or two less are what a sentence takes.
    assert len(seen.lines) <= max(lines - 1, 6)
    assert len(seen.lines) >= min(lines - 3, 60) or lines == 8
    assert "shows all" in " ".join(seen.lines[-2:]) and "not shown" in " ".join(seen.lines[-3:])


def test_bare_it_is_the_largest_and_says_what_is_left_out() -> None:
    lines = on_terminal("query", "--sample", "--bytes").lines
    rows = [line for line in lines if re.match(r" *\d+[~*]* +\d+ +\S+:\d+ ", line)]
    largest = oracle.ordered(TAGS, "bytes", False, len(rows))
    assert [int(re.match(r" *(\d+)", row)[1]) for row in rows] == [t.bytes for t in largest]  # type: ignore[index]
    hidden = len(TAGS) - len(rows)
    empty = sum(not tag.bytes and not tag.calls for tag in TAGS)
    assert lines[-1] == f"{hidden:,} tags not shown, {empty:,} of them empty: -o table shows all"
    size, every = oracle.once(largest)[0], oracle.once(TAGS)[0]
    assert f"{len(rows)} of 3,746 tags: {size} of {every}, without" in " ".join(lines[-5:-1])


def test_a_tree_shows_the_largest_whatever_its_level() -> None:
    lines = on_terminal("tree", "--sample", "--bytes", LANG="C").lines
    rows = [line for line in lines[1:] if re.match(r" *\d+\*? +\d+ .*%? ", line)][:-1]
    # A file with slab pages is there as the way to them, however little else it has.
    sizes = [int(row.split()[0].rstrip("*")) for row in rows if not row.endswith("slub.c")]
    hidden = re.match(r"([0-9,]+) lines below (\S+) not shown: --depth (\d+) shows all", lines[-1])
    assert hidden and min(sizes) > 0
    whole = on_terminal("tree", "--sample", "--depth", hidden[3], "--bytes", PAGER="").lines
    shown = [
        int(row.split()[0].rstrip("*"))
        for row in whole[1:]
        if re.match(r" *\d+\*? +\d+ ", row) and not row.endswith("slub.c")
    ]
    shown.remove(oracle.once(TAGS)[0])  # the total
    assert sorted(shown, reverse=True)[: len(sizes)] == sorted(sizes, reverse=True)


def test_a_listing_that_fits_is_shown_whole(tmp_path: Path) -> None:
    path = tmp_path / "listing"
    path.write_bytes(oracle.HEADER + b"4096 1 a.c:1 func:f \n0 0 a.c:2 func:g \n")
    lines = on_terminal("query", "--source", str(path)).lines
    assert lines[-1] == "1 tag not shown, empty: -o table shows all"
    path.write_bytes(oracle.HEADER + b"4096 1 a.c:1 func:f \n")
    lines = on_terminal("query", "--source", str(path)).lines
    assert len(lines) == 3 and "not shown" not in " ".join(lines)
    path.write_bytes(oracle.HEADER + b"0 0 a.c:1 func:f \n")
    seen = on_terminal("query", "--source", str(path))
    assert seen.status == 0 and "1 tag not shown, empty" in seen.text


@pytest.mark.parametrize(
    "argv",
    [
        ["-o", "table"],
        ["-f", "mm/"],
        ["-s", "calls"],
        ["-g", "file"],
        ["--min-size", "0"],
        ["slub"],
    ],
)
def test_what_is_asked_for_is_shown_in_full(argv: list[str]) -> None:
    seen = on_terminal("query", "--sample", "--no-header", *argv, PAGER="cat")
    whole = allocq("query", "--sample", "--no-header", "-o", "table", *argv)
    assert len(seen.lines) >= len(whole.out.splitlines()) and "not shown" not in seen.text


def test_in_a_pipe_nothing_is_left_out() -> None:
    plain = allocq("query", "--sample", env={"COLUMNS": "40", "PAGER": "false"})
    assert oracle.parse(plain.out) == TAGS
    assert len(allocq("tree", "--sample").out.splitlines()) > 60


# The pager


@less
@pytest.mark.parametrize("command", ["query", "tree"])
def test_less_shows_what_does_not_fit_and_quitting_is_silent(command: str) -> None:
    argv = [command, "--sample", *(["-o", "table"] if command == "query" else ["-d", "9"])]
    seen = on_terminal(*argv, keys=[(":\x1b[K", b"q")], NO_COLOR="1")
    assert seen.status == 0
    assert "allocq:" not in seen.text and "not shown" not in seen.text
    assert "total of" not in seen.text  # the end was not reached
    # LESS=FRX: the screen is not cleared, so what was seen stays.
    assert "\x1b[?1049h" not in seen.text


@less
def test_less_ends_by_itself_where_a_screen_is_enough() -> None:
    seen = on_terminal("query", "--sample", "-n", "5")
    assert seen.status == 0 and "\x1b[1mBYTES" in seen.text
    assert seen.lines[-1].startswith("* slab pages")


@less
def test_a_ctrl_c_is_of_the_pager_and_the_status_is_the_answers() -> None:
    # At less's prompt; it answers with a bell.
    keys = [(":\x1b[K", b"\x03"), ("\x07", b"G"), ("total of", b"q")]
    seen = on_terminal("query", "--sample", "-f", "mm/", keys=keys, NO_COLOR="1")
    assert seen.status == 0 and "Traceback" not in seen.text and "allocq:" not in seen.text


@less
def test_no_match_needs_no_pager() -> None:
    seen = on_terminal("query", "--sample", "-f", "nothing.c")
    assert seen.status == 1 and seen.lines[0] == "allocq: no tag matches --file nothing.c"


def test_a_long_answer_whose_pager_ends_at_once_is_silent(tmp_path: Path) -> None:
    for pager in ("true", "head -n 1", "exit 3;"):
        seen = on_terminal("query", "--sample", "-o", "procfs", PAGER=pager)
        assert seen.status == 0 and "allocq" not in seen.text, pager
        assert len(seen.lines) <= 1


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        ({"PAGER": "tr a-z A-Z"}, "MM/"),  # a dash is a plain word
        ({"PAGER": "sed s/^/one:/ | tail -n 1"}, "one:"),  # a line of shell
        ({"PAGER": "sed 's/^/two: /'"}, "two: "),
        ({"ALLOCQ_PAGER": "sed s/^/three:/", "PAGER": "false"}, "three:"),
        ({"ALLOCQ_PAGER": "cat", "PAGER": "false"}, "mm/"),
        ({"ALLOCQ_PAGER": "", "PAGER": "false"}, "mm/"),
        ({"PAGER": ""}, "mm/"),
        ({"PAGER": "cat"}, "mm/"),
        ({"PAGER": "  "}, "mm/"),
        ({"TERM": "dumb"}, "mm/"),
        ({"TERM": "dumb", "PAGER": "sed s/^/four:/"}, "four:"),
        ({"PAGER": "/bin/sed s/^/five:/"}, "five:"),
    ],
)
def test_which_pager(own: dict[str, str], shown: str) -> None:
    seen = on_terminal("query", "--sample", "-o", "procfs", "-F", "alloc_slab_page", **own)
    assert seen.status == 0 and shown in seen.text and "allocq:" not in seen.text
    assert ("mm/" in seen.text) == (shown != "MM/")


def test_a_pager_that_does_not_exist_is_said_and_the_answer_shown() -> None:
    seen = on_terminal("query", "--sample", "-F", "alloc_slab_page", PAGER="no-such-pager -x")
    assert seen.status == 0 and "slub.c" in seen.text
    assert "allocq: warning: cannot find the pager no-such-pager -x" in seen.text


def test_no_less_no_pager(tmp_path: Path) -> None:
    seen = on_terminal("query", "--sample", "-f", "mm/", PATH=str(tmp_path))
    assert seen.status == 0 and "total of" in seen.text and "allocq:" not in seen.text


def test_the_pager_is_not_looked_for_in_the_current_directory(tmp_path: Path) -> None:
    trap = tmp_path / "less"
    trap.write_text("#!/bin/sh\necho trapped\n")
    trap.chmod(0o755)
    words = shell(f'cd {tmp_path} && PATH=.::"$PATH" exec "$@" query --sample -F alloc_slab_page')
    seen = on_terminal(program=[str(shutil.which("sh")), *words[1:]])
    assert seen.status == 0 and "slub.c" in seen.text and "trapped" not in seen.text


def test_the_pagers_environment(tmp_path: Path) -> None:
    printed = "printenv LESS LV LESSSECURE; cat > /dev/null"
    argv = ["query", "--sample", "-F", "alloc_slab_page"]
    root = ["1"] if os.geteuid() == 0 else []
    assert on_terminal(*argv, PAGER=printed).lines == ["FRX", "-c", *root]
    lines = on_terminal(*argv, PAGER=printed, LESS="-S", LV="x", LESSSECURE="0").lines
    assert lines == ["-S", "x", "0"]


def test_pager_never_and_always() -> None:
    seen = on_terminal("query", "--sample", "-f", "mm/", "--pager", "never", PAGER="false")
    assert seen.status == 0 and "total of" in seen.text
    seen = on_terminal("query", "--sample", "--pager=always", PAGER="tail -n 2")
    assert "not shown" not in seen.text and len(seen.lines) == 2
    assert on_terminal("query", "--sample", "--pager", "x").status == 2
    piped = allocq("query", "--sample", "--pager", "always", env={"PAGER": "false"})
    assert oracle.parse(piped.out) == TAGS


def test_a_terminal_that_nobody_types_at_gets_no_pager() -> None:
    """As that of a program that records what it runs."""
    import pty

    main, other = pty.openpty()
    done = subprocess.Popen(
        [*ALLOCQ, "query", "--sample", "-F", "alloc_slab_page"],
        stdout=other,
        env=environment({"PAGER": "false"}),
        start_new_session=True,
    )
    assert done.wait(60) == 0
    assert b"slub.c" in os.read(main, 1 << 16)
    os.close(main)
    os.close(other)


def test_errors_and_counts_need_no_pager() -> None:
    seen = on_terminal("query", "--sample", "--count", PAGER="false")
    assert (seen.status, seen.lines) == (0, ["3746"])
    seen = on_terminal("query", "--source", "/nowhere", PAGER="false")
    assert seen.status == 2 and seen.lines == ["allocq: no such file: /nowhere"]


# watch(1)


def in_one_pipe(*argv: str, **own: str) -> list[str]:
    """The lines of allocq with standard output and standard error in one pipe."""
    done = subprocess.run(
        [*ALLOCQ, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(own),
        check=True,
        timeout=60,
    )
    return done.stdout.decode().splitlines()


@watch
@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 24), (132, 50)])
@pytest.mark.parametrize("command", ["query", "tree"])
def test_watch_shows_the_table(command: str, columns: int, lines: int) -> None:
    program = [str(shutil.which("watch")), "-n", "60", *ALLOCQ]
    seen = on_terminal(
        command, "--sample", program=program, columns=columns, lines=lines,
        keys=[("shows", b""), ("all", b"\x03")],
    )  # fmt: skip
    assert "ahead.c" in seen.text and "WHERE" in seen.text and "func:" not in seen.text


def test_what_watch_sets_and_what_scripts_set() -> None:
    lines = in_one_pipe("query", "--sample", COLUMNS="60", LINES="20")
    assert lines[0].split() == ["BYTES", "CALLS", "WHERE", "FUNCTION"]
    assert len(lines) == 18 and max(map(len, lines)) <= 60
    assert "\x1b" not in "".join(lines)
    for own in ({"COLUMNS": "60"}, {"LINES": "20"}, {"COLUMNS": "60", "LINES": ""}, {}):
        assert len(in_one_pipe("query", "--sample", **own)) == len(TAGS), own
    apart = allocq("query", "--sample", env={"COLUMNS": "60", "LINES": "20"})
    assert oracle.parse(apart.out) == TAGS
    asked = in_one_pipe("query", "--sample", "-o", "procfs", COLUMNS="60", LINES="20")
    assert len(asked) == len(TAGS)
    assert in_one_pipe("query", "--sample", "-c", COLUMNS="60", LINES="20") == ["3746"]


def test_a_bare_query_on_a_terminal_is_quick() -> None:
    begin = time.monotonic()
    on_terminal("query", "--sample")
    assert time.monotonic() - begin < 20  # no waiting for keys


# diff


def snapshot_at(path: Path, time: str, data: bytes) -> str:
    lines = data.split(b"\n", 2)
    head = f"\n# allocq-snapshot: 1\n# time: {time}\n".encode()
    path.write_bytes(b"\n".join(lines[:2]) + head + lines[2])
    return str(path)


@pytest.mark.parametrize(
    ("columns", "dropped"),
    [
        (200, []),
        (80, ["PER_SECOND", "CHANGE", "PERCENT"]),
        (60, ["PER_SECOND", "CHANGE", "PERCENT", "BEFORE", "CALLS", "AFTER"]),
        (40, ["PER_SECOND", "CHANGE", "PERCENT", "BEFORE", "CALLS", "AFTER"]),
        (20, ["PER_SECOND", "CHANGE", "PERCENT", "BEFORE", "CALLS", "AFTER"]),
    ],
)
@pytest.mark.parametrize("argv", [[], ["-g", "directory"], ["--bytes"], ["-n", "3"]])
def test_diff_drops_what_tells_least_and_never_wraps(
    tmp_path: Path, columns: int, dropped: list[str], argv: list[str]
) -> None:
    data = SAMPLE.read_bytes()
    grown = re.sub(rb"(?m)^ *([1-9]\d{3,}) ", lambda size: b"%12d " % (int(size[1]) * 3), data)
    one = snapshot_at(tmp_path / "one", "2026-11-23T06:20:37Z", data)
    two = snapshot_at(tmp_path / "two", "2026-11-23T06:20:47Z", grown)
    seen = on_terminal("diff", one, two, "-o", "table", *argv, columns=columns, PAGER="false")
    assert seen.status == 0 and max(map(len, seen.lines)) <= columns
    names = ["GROWTH", "PERCENT", "PER_SECOND", "BEFORE", "AFTER", "CALLS", "CHANGE"]
    found = [name for name in seen.lines[0].split() if name in names]
    assert found[0] == "GROWTH" and found == [name for name in names if name in found]
    if not argv:
        assert [name for name in names if name not in found] == [n for n in names if n in dropped]
    # Whatever is left out, a number less telling is never kept in place of another.
    order = ["PER_SECOND", "CHANGE", "PERCENT", "BEFORE", "CALLS", "AFTER"]
    gone = [name not in found for name in order]
    assert gone == sorted(gone, reverse=True)


@pytest.mark.parametrize("columns", [30, 40, 60, 80])
@pytest.mark.parametrize("command", ["query", "tree"])
def test_a_sentence_does_not_break_behind_a_number(command: str, columns: int) -> None:
    lines = on_terminal(command, "--sample", columns=columns, lines=30).lines
    assert not [line for line in lines if len(line) > columns]
    for line, after in pairwise(lines):
        if re.match(r" {0,2}[a-z]", after):
            assert not re.search(r"(^| )[0-9][0-9.,]*[KMG]?$", line), (line, after)


@pytest.mark.parametrize("columns", [40, 80, 132])
def test_doctor_fits_the_terminal(columns: int) -> None:
    seen = on_terminal("doctor", columns=columns)
    assert max(map(len, seen.lines)) <= columns
    whole = allocq("doctor").out.decode()  # for a program, one line each
    assert "".join(seen.text.split()) != "" and max(map(len, whole.splitlines())) > 80
    plain = re.sub(r"\s+", "", "\n".join(seen.lines))
    assert re.sub(r"\s+", "", whole) == plain


def test_lines_break_where_they_may() -> None:
    assert wrapped("total of 3,746 tags, without 8.9M of slab pages", 14) == [
        "total of", "3,746 tags,", "without", "8.9M of slab", "pages",
    ]  # fmt: skip
    assert wrapped("12 lines not shown: --depth 9 shows all", 24) == [
        "12 lines not shown:", "  --depth 9 shows all",
    ]  # fmt: skip
    assert wrapped("a-b-c d-e", 6) == ["a-b-c", "d-e"]


@pytest.mark.parametrize("columns", [36, 40, 60, 80])
def test_a_list_of_listings_has_whole_numbers(columns: int) -> None:
    whole = allocq("query", "--sample", "--list-listings", "-o", "table").out.decode()
    size = whole.splitlines()[1].split()[4]
    seen = on_terminal("query", "--sample", "--list-listings", columns=columns)
    assert max(map(len, seen.lines)) <= columns and size in seen.lines[1].split()
