"""`allocq top` on a terminal: what is on its screen, what its keys do, how it ends."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
import termios
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import oracle
import pytest
from command import MODULE, allocq, here, refused, until
from oracle import Tag
from recording_child import sample
from screens import DOWN, LEFT, RIGHT, UP, Screened, screened
from watched import IDLE, PIPE, SLAB, XFS, Kernel, record

from allocq.storage.recording.counters import Counters
from allocq.storage.recording.writer import Writer

TAGS = [
    Tag(40960, 10, "mm/slub.c", 10, None, "alloc_slab_page", True, ""),
    Tag(1 << 20, 256, "kernel/fork.c", 30, None, "dup_task", True, ""),
    Tag(4096, 64, "fs/pipe.c", 158, None, "alloc_pipe", True, ""),
    Tag(2048, 2, "fs/pipe.c", 200, None, "pipe_ring", False, ""),
    Tag(8192, 5, "fs/xfs/xfs_buf.c", 20, "xfs", "xfs_buf_alloc", True, ""),
    Tag(0, 0, "fs/xfs/xfs_log.c", 7, "xfs", "xfs_log_alloc", True, ""),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    return Kernel(tmp_path_factory.mktemp("kernel"))


@pytest.fixture
def kernel(built: Kernel) -> Kernel:
    built.boot(TAGS)
    return built


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording of two boots, six samples 10 s apart."""
    place = tmp_path / "recording"
    base = {SLAB: 40960, IDLE: 1 << 20, PIPE: 4096}
    record(
        place,
        [
            base,
            {**base, PIPE: 14336},
            {**base, PIPE: 14336, XFS: 512},
            {**base, PIPE: 10240},
            {**base, PIPE: 100},
            {**base, PIPE: 2100},
        ],
        ("boot-a", "boot-a", "boot-a", "boot-a", "boot-b", "boot-b"),
    )
    return place


def watching(kernel: Kernel, *argv: str, **options: Any) -> AbstractContextManager[Screened]:
    return screened("top", *argv, **kernel.environment, **options)


def row(seen: Screened, name: str) -> str:
    """The line of a tag."""
    return next((line for line in seen.lines if name in line), "")


def rows(seen: Screened) -> list[str]:
    """The functions in their order on the screen."""
    return [line.split()[-1] for line in seen.lines if re.search(r"\.c:\d+", line)]


# What is on the screen


def test_the_first_screen_has_all_that_is_read(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "60s") as seen:
        seen.until("dup_task")
        assert seen.lines[0].startswith("allocq top  20")
        assert os.uname().nodename in seen.lines[0] and "every 60 s" in seen.lines[0]
        # 1 MiB + 4096 + 2048 + 8192, without the slab pages
        assert seen.lines[1].startswith("1.0M in 6 tags  0 since start")
        assert "1 inaccurate" in seen.lines[1] and "without 40.0K of slab pages" in seen.lines[1]
        assert seen.lines[2] == "tags by growth per second"
        assert seen.lines[3].split() == [
            "BYTES", "CALLS", "GROWTH/S", "+START", "TREND", "WHERE", "FUNCTION",
        ]  # fmt: skip
        assert row(seen, "dup_task").split()[:3] == ["1.0M", "256", "0"]
        assert row(seen, "alloc_slab_page").split()[0] == "40.0K*"
        assert row(seen, "pipe_ring").split()[0] == "2.0K~"
        assert "fs/xfs/xfs_buf.c:20 [xfs]" in row(seen, "xfs_buf_alloc")
        assert rows(seen) == [
            "dup_task", "alloc_slab_page", "xfs_buf_alloc", "alloc_pipe", "pipe_ring",
            "xfs_log_alloc",
        ]  # fmt: skip
        assert seen.lines[-1].startswith("? help  q quit")


@pytest.mark.parametrize("interface", ["ioctl", "text"])
def test_what_grows_comes_first(kernel: Kernel, interface: str) -> None:
    with watching(kernel, "--interval", "0.3s", "--interface", interface) as seen:
        seen.until("dup_task")
        kernel.set({"pipe_ring": 2048 + (3 << 20)})
        seen.until(lambda: rows(seen)[:1] == ["pipe_ring"])
        assert row(seen, "pipe_ring").split()[0] == "3.0M~"
        seen.until(lambda: row(seen, "pipe_ring").split()[2] == "0")  # it stands still again
        assert row(seen, "pipe_ring").split()[3] == "+3.0M"
        # What grew since the start stays above what did not.
        assert rows(seen)[0] == "pipe_ring"
        kernel.set({"alloc_pipe": 4096 + 1024})
        seen.until(lambda: rows(seen)[0] == "alloc_pipe")


def test_q_leaves_the_terminal_as_it_was(kernel: Kernel) -> None:
    with watching(kernel) as seen:
        seen.until("dup_task")
        assert termios.tcgetattr(seen.slave)[3] != seen.modes[3]
        seen.type("q")
        assert seen.wait() == 0
        assert termios.tcgetattr(seen.slave) == seen.modes
        assert b"\x1b[?1049h" in seen.raw and b"\x1b[?1049l" in seen.raw.rpartition(b"dup_task")[2]


def test_orders(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "60s", "-s", "calls") as seen:
        seen.until("tags by calls")
        assert rows(seen)[:2] == ["dup_task", "alloc_pipe"]
        seen.type("o")
        seen.until("tags by growth per second")
        seen.type("<")
        seen.until("tags by calls")
        seen.type("<")
        seen.until("tags by size")
        seen.type("r")
        seen.until("tags by size  reversed")
        assert rows(seen)[0] == "xfs_log_alloc"


def test_groups_are_opened_and_left(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "60s") as seen:
        seen.until("dup_task")
        for what, first in (
            ("function", "dup_task"),
            ("file", "kernel/fork.c"),
            ("directory", "kernel"),
            ("module", "(built-in)"),
        ):
            seen.type("g")
            seen.until(f"sums by {what} by growth")
            assert first in seen.lines[4]
        assert seen.lines[3].split()[-1] == "MODULE" and "TAGS" in seen.lines[3]
        seen.type(DOWN + b"\r")
        seen.until("in module xfs")
        assert rows(seen) == ["xfs_buf_alloc", "xfs_log_alloc"]
        assert seen.lines[1].startswith("8.0K in 2 tags")
        seen.type("g")
        seen.until("sums by function")
        seen.type("\r")
        seen.until("in module xfs, function xfs_buf_alloc")
        assert rows(seen) == ["xfs_buf_alloc"]
        seen.type("\r")
        seen.until("fs/xfs/xfs_buf.c:20 [xfs] xfs_buf_alloc: 8192 bytes in 5 calls")
        seen.type("\x7f\x7f")
        seen.until("sums by module")
        assert "in module" not in seen.lines[2]


def test_a_group_that_is_open_narrows_what_the_kernel_is_asked(
    kernel: Kernel, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    own = {"SIMULATED_CALLS": str(calls)}
    argv = ("-g", "module", "--interval", "0.2s", "--interface", "ioctl", "xfs")
    with watching(kernel, *argv, **own) as seen:
        seen.until("sums by module")
        before = calls.stat().st_size
        seen.until(lambda: calls.stat().st_size > before)
        seen.type("\r")
        seen.until("in module xfs")
        kernel.set({"xfs_buf_alloc": 8192 + 4096})
        seen.until(lambda: "+4.0K" in row(seen, "xfs_buf_alloc"))


def test_growth_goes_on_after_a_group_was_left(kernel: Kernel) -> None:
    """While it is open nothing else is read; what grew in the meantime is not lost."""
    with watching(kernel, "-g", "module", "--interval", "0.3s") as seen:
        seen.until("sums by module")
        seen.type(DOWN + b"\r")
        seen.until("in module xfs")
        kernel.set({"alloc_pipe": 4096 + 10240})
        shown = seen.lines[0]
        seen.until(lambda: seen.lines[0] != shown)  # read again: the time is another one
        seen.type("\x7f")
        seen.until("sums by module")
        seen.type("gf")
        seen.until("tags by growth")
        seen.until(lambda: "+10.0K" in row(seen, "alloc_pipe"))


def test_the_filter(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "60s", "-f", "fs/pipe.c") as seen:
        seen.until("filter: --file fs/pipe.c")
        assert rows(seen) == ["alloc_pipe", "pipe_ring"]
        for typed, filter, shown in (
            ("xfs", "filter: xfs", ["xfs_buf_alloc", "xfs_log_alloc"]),
            ("-m xfs --min-size 4K", "filter: --min-size 4K --module xfs", ["xfs_buf_alloc"]),
            ("-e '_task$'", "filter: --regexp", ["dup_task"]),
            ("Uf_ALL", "searched as a regexp", ["xfs_buf_alloc"]),
            ("--inaccurate", "filter: --inaccurate", ["pipe_ring"]),
        ):
            seen.type(f"/{typed}\r")
            seen.until(filter)
            assert rows(seen) == shown, typed
        for typed, said in (
            ("-e '*'", "invalid regexp"),
            ("--min-size 1X", "invalid size"),
            ("--nope", "unknown option --nope"),
            ("-m", "-m needs a value"),
            ("'", "invalid filter: no closing quotation"),
            ("-f '['", "invalid glob"),
        ):
            seen.type(f"/{typed}\r")
            seen.until(said)
            assert rows(seen) == ["pipe_ring"], typed
        seen.type("/nothing_like_it\r")
        seen.until("no tag matches nothing_like_it")
        assert rows(seen) == []
        seen.type("/abc\x15dup_tas\x17kernel/frk\x7f\x7fork.c")
        seen.until("Filter: kernel/fork.c")
        assert seen.screen.cursor.x == len("Filter: kernel/fork.c")
        seen.type("\x1b")
        seen.until("? help")
        assert "nothing_like_it" in seen.lines[2]
        seen.type("/fé[\u4e2d]\r")
        seen.until("no tag matches fé[\u4e2d]")
        seen.type("/\r")
        seen.until("dup_task")
        assert "filter" not in seen.lines[2]


def test_the_mark(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "0.2s") as seen:
        seen.until("dup_task")
        kernel.set({"alloc_pipe": 4096 + 1024})
        seen.until(lambda: row(seen, "alloc_pipe").split()[3] == "+1.0K")
        seen.type("m")
        seen.until("+MARK")
        kernel.set({"alloc_pipe": 4096 + 4096})
        seen.until(lambda: row(seen, "alloc_pipe").split()[3:5] == ["+4.0K", "+3.0K"])
        seen.until("+3.0K since mark")
        seen.type("oo")
        seen.until("tags by growth since mark")


def test_a_pause_freezes_the_screen(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "0.1s") as seen:
        seen.until("dup_task")
        seen.type(" ")
        seen.until("PAUSED")
        seen.look(0.3)
        kernel.set({"alloc_pipe": 4096 + 1024})
        before = seen.text
        seen.look(0.5)
        assert seen.text == before
        seen.type(" ")
        seen.until(lambda: "+1.0K" in row(seen, "alloc_pipe"))
        assert "PAUSED" not in seen.text


def test_the_selection_follows_a_row(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "0.2s") as seen:
        seen.until("dup_task")
        seen.type(DOWN + DOWN + DOWN + UP)

        def selected() -> str:
            return next(
                (
                    line
                    for number, line in enumerate(seen.lines)
                    if number > 3 and seen.screen.buffer[number][0].reverse
                ),
                "",
            )

        seen.until(lambda: "xfs_buf_alloc" in selected())
        kernel.set({"alloc_pipe": 4096 + (9 << 20), "pipe_ring": 2048 + (8 << 20)})
        seen.until(lambda: rows(seen)[:2] == ["alloc_pipe", "pipe_ring"])
        assert "xfs_buf_alloc" in selected()


def test_a_module_comes_and_goes(kernel: Kernel) -> None:
    """The text shows other tags from one refresh to the next."""
    with watching(kernel, "--interval", "0.2s", "--interface", "text") as seen:
        seen.until("dup_task")
        new = Tag(65536, 16, "drivers/net/tun.c", 1, "tun", "tun_alloc", True, "")
        kernel.write_text([*TAGS, new])
        seen.until("tun_alloc")
        assert row(seen, "tun_alloc").split()[3] == "+64.0K"  # it began with nothing
        assert "7 tags" in seen.lines[1]
        kernel.write_text()
        seen.until(lambda: "tun_alloc" not in seen.text)
        assert "6 tags" in seen.lines[1]
        seen.until(lambda: "  0 since start" in seen.lines[1])
        kernel.write_text([*TAGS[:3], new])  # built-in tags never go; nothing depends on that
        seen.until("tun_alloc")
        seen.type("q")
        assert seen.wait() == 0


def test_help(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "60s") as seen:
        seen.until("dup_task")
        seen.type("?")
        seen.until("reverse the order")
        assert "any key goes back" in seen.lines[-1]
        seen.type("q")
        seen.until("dup_task")
        assert not seen.ended


# Saving


def test_a_snapshot_is_saved_and_nothing_is_replaced(kernel: Kernel, tmp_path: Path) -> None:
    saved = tmp_path / "saved.txt"
    with watching(kernel, "--interval", "60s", "-m", "xfs") as seen:
        seen.until("xfs_buf_alloc")
        seen.type("s")
        seen.until("Save to: allocq-20")
        seen.type(f"{saved}\r")
        seen.until("saved to")
        done = here("query", "--source", str(saved), "-o", "csv")
        assert done.out.decode().splitlines()[1:] == [
            "8192,5,fs/xfs/xfs_buf.c,20,xfs,xfs_buf_alloc,true",
            "0,0,fs/xfs/xfs_log.c,7,xfs,xfs_log_alloc,true",
        ]
        assert saved.stat().st_mode & 0o777 == 0o600
        before = saved.read_bytes()
        for name, words in (
            (saved, "exists"),
            (tmp_path, "is a directory"),
            (tmp_path / "no" / "where", "cannot write"),
        ):
            seen.type(f"s\x15{name}\r")
            seen.until(words)
        (tmp_path / "link").symlink_to(tmp_path / "target")
        seen.type(f"s\x15{tmp_path}/link\r")
        seen.until("link exists")
        assert saved.read_bytes() == before and not (tmp_path / "target").exists()
        seen.type("s\x15\r")
        seen.until("nothing is saved")
        seen.type("s\x1b")
        seen.until("? help")
    assert {path.name for path in tmp_path.iterdir()} == {"saved.txt", "link"}


def test_nothing_is_written_unless_asked(kernel: Kernel, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with watching(kernel, "--interval", "0.1s", HOME=str(home), XDG_STATE_HOME=str(home)) as seen:
        seen.until("dup_task")
        seen.type("g\r\x7fm? ")
        seen.look(0.5)
        seen.type("q")
        assert seen.wait() == 0
    assert list(home.iterdir()) == []


# Replays


def test_a_replay_steps_to_known_values(folder: Path) -> None:
    with screened("top", "--source", str(folder)) as seen:
        seen.until("sample 1 of 6")
        assert "PAUSED" in seen.lines[0] and "testbox" in seen.lines[0]
        assert row(seen, "alloc_pipe").split()[:3] == ["4.0K", "64", "0"]
        seen.type(RIGHT)
        seen.until("sample 2 of 6")
        assert row(seen, "alloc_pipe").split()[:4] == ["14.0K", "224", "+1.0K", "+10.0K"]
        assert seen.lines[1].startswith("1.0M in 3 tags  +1.0K/s  +10.0K since start")
        assert rows(seen)[0] == "alloc_pipe"
        seen.type(RIGHT)
        seen.until("sample 3 of 6")
        # It is new: 512 bytes in 10 s, 51 a second.
        assert row(seen, "xfs_buf_alloc").split()[:4] == ["512", "8", "+51", "+512"]
        assert row(seen, "alloc_pipe").split()[2:4] == ["0", "+10.0K"]
        seen.type(RIGHT)
        seen.until("sample 4 of 6")
        assert row(seen, "alloc_pipe").split()[2:4] == ["-410", "+6.0K"]
        assert "xfs_buf_alloc" not in seen.text
        seen.type(RIGHT)
        seen.until("sample 5 of 6")  # another boot: nothing is known of growth
        assert row(seen, "alloc_pipe").split()[:3] == ["100", "1", "0"]
        assert "/s" not in seen.lines[1]
        seen.type(RIGHT + RIGHT)
        seen.until("this is the last sample")
        assert row(seen, "alloc_pipe").split()[2:4] == ["+200", "+2.0K"]
        seen.type(LEFT + LEFT)
        seen.until("sample 4 of 6")
        assert row(seen, "alloc_pipe").split()[2:4] == ["-410", "+6.0K"]
        seen.type("{" + "{")
        seen.until("this is the first sample")


def test_a_replay_jumps_and_plays(folder: Path) -> None:
    argv = ("top", "--source", str(folder), "--at", "@1760000025", "--interval", "0.1s")
    with screened(*argv, TZ="UTC") as seen:
        seen.until("sample 3 of 6")
        seen.type("t@1760000010\r")
        seen.until("sample 2 of 6")
        seen.type("tnow\r")
        seen.until("sample 6 of 6")
        seen.type("t@5\r")
        seen.until(lambda: seen.shows("has no listing from that time"))
        assert "sample 6 of 6" in seen.text
        seen.type("t08:53:30\r")
        seen.until("sample 2 of 6")
        seen.type("tsoonish\r")
        seen.until("invalid time")
        seen.type("t@1760000000\r")
        seen.until("sample 1 of 6")
        seen.type(" ")
        seen.until("sample 6 of 6")
        seen.until("this is the last sample")
        assert "PAUSED" in seen.text


def test_a_mark_in_a_replay_stays_where_it_was_set(folder: Path) -> None:
    with screened("top", "--source", str(folder)) as seen:
        seen.until("sample 1 of 6")
        seen.type(RIGHT + b"m")
        seen.until("+MARK")
        seen.type("t@1760000030\r")
        seen.until("sample 4 of 6")
        assert row(seen, "alloc_pipe").split()[2:5] == ["-410", "+6.0K", "-4.0K"]


def test_a_replay_saves_the_sample_shown(folder: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.txt.gz"
    with screened("top", "--source", str(folder)) as seen:
        seen.until("sample 1 of 6")
        seen.type(RIGHT + b"s")
        seen.until("Save to: allocq-2025-10-09_")
        seen.type(f"\x15{saved}\r")
        seen.until("saved to")
    done = here("query", "--source", str(saved), "-F", "alloc_pipe", "-o", "csv")
    assert done.out.decode().splitlines()[1] == "14336,224,fs/pipe.c,158,,alloc_pipe,true"
    assert b"2025-10-09T08:53:30" in here("query", "--source", str(saved), "-o", "json").out


def test_a_folder_of_listings_is_replayed(tmp_path: Path) -> None:
    for hour, size in ((6, 4096), (7, 4096 + 3600 * 1024), (8, 4096)):
        text = f"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n{size} 1 {PIPE} \n"
        (tmp_path / f"2026-11-23_0{hour}00.txt").write_text(text)
    with screened("top", "--source", str(tmp_path)) as seen:
        seen.until("sample 1 of 3")
        seen.until("times in their names are used")
        seen.type(RIGHT)
        seen.until("sample 2 of 3")
        assert row(seen, "alloc_pipe").split()[2:4] == ["+1.0K", "+3.5M"]


def test_what_is_recorded_meanwhile_is_found(folder: Path) -> None:
    with screened("top", "--source", str(folder), "--at", "now") as seen:
        seen.until("sample 6 of 6")
        base = {SLAB: 40960, IDLE: 1 << 20, PIPE: 6100}
        more = folder.parent / "more"
        record(more, [base] * 7, ["boot-b"] * 7)
        for path in more.glob("*.db*"):
            path.replace(folder / path.name)
        seen.type(RIGHT)
        seen.until("sample 7 of 7")


# Terminals and sizes


@pytest.mark.parametrize("term", ["vt100", "vt220", "linux", "xterm-256color", "ansi", "screen"])
def test_kinds_of_terminals(folder: Path, term: str) -> None:
    with screened("top", "--source", str(folder), "--at", "@1760000010", TERM=term) as seen:
        seen.until("alloc_pipe")
        seen.type(b"\x1bOC" if term != "ansi" else b"\x1b[C")
        if term not in ("ansi",):
            seen.until("sample 3 of 6")
        seen.type("q")
        assert seen.wait() == 0
        if term.startswith("vt"):
            assert seen.raw.isascii()
            assert b"[3" not in seen.raw.replace(b"[3;", b"")  # no color
        assert termios.tcgetattr(seen.slave) == seen.modes


def test_no_color_where_none_is_wanted(folder: Path) -> None:
    """Marks are yellow on a terminal that has colors."""
    yellow = b"\x1b[33m"
    for own, argv, wanted in (
        ({}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({}, ["--color", "never"], False),
    ):
        with screened("top", "--source", str(folder), *argv, **own) as seen:
            seen.until("40.0K*")
            seen.type("q")
            assert seen.wait() == 0
            assert (yellow in seen.raw) == wanted, (own, argv)


def test_the_c_locale_gets_ascii(folder: Path) -> None:
    with screened("top", "--source", str(folder), LC_ALL="C") as seen:
        seen.until("alloc_pipe")
        seen.type(RIGHT + b"/\xc3\xa9\r")
        seen.until("sample 2 of 6")
        seen.look(0.3)
        assert not seen.ended and seen.raw.isascii()


@pytest.mark.parametrize(("lines", "columns"), [(1, 1), (2, 3), (5, 20), (10, 40), (60, 300)])
def test_sizes(folder: Path, lines: int, columns: int) -> None:
    argv = ("top", "--source", str(folder), "--at", "@1760000010")
    with screened(*argv, lines=lines, columns=columns) as seen:
        seen.until(lambda: seen.raw if lines == 1 else seen.text.strip())
        for key in ("g", "?", "x", "/", "abc", "\x1b", "m", "o", "\r", "\x7f"):
            seen.type(key)
            seen.look(0.05)
        assert not seen.ended
        seen.type("q")
        assert seen.wait() == 0


def test_a_size_in_the_environment_is_not_believed(folder: Path) -> None:
    argv = ("top", "--source", str(folder))
    with screened(*argv, LINES="5", COLUMNS="20") as seen:
        seen.until("? help")
        assert seen.lines[23].startswith("? help") and "FUNCTION" in seen.text


def test_a_serial_line_does_not_know_its_size(folder: Path) -> None:
    """The terminal's description has one, or the environment."""
    script = f"stty rows 0 columns 0; exec {' '.join(MODULE)} top --source {folder}"
    for own, last in (({}, 23), ({"LINES": "12", "COLUMNS": "70"}, 11)):
        with screened("-c", script, program=("/bin/sh",), TERM="vt100", **own) as seen:
            seen.until("? help")
            assert seen.lines[last].startswith("? help")
            seen.type("q")
            assert seen.wait() == 0


def test_it_ends_after_so_many_refreshes(kernel: Kernel) -> None:
    with watching(kernel, "-n", "3", "--interval", "0.1s") as seen:
        assert seen.wait() == 0
        assert b"dup_task" in seen.raw and termios.tcgetattr(seen.slave) == seen.modes


def test_small_screens_show_what_matters(folder: Path) -> None:
    argv = ("top", "--source", str(folder), "--at", "@1760000010")
    with screened(*argv, lines=5, columns=20) as seen:
        seen.until("+1.0K")
        assert seen.lines[1].split()[0] == "GROWTH/S"
        assert "c:158" in seen.lines[2]


def test_it_is_resized_while_it_runs(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "60s") as seen:
        seen.until("dup_task")
        for lines, columns in ((10, 40), (1, 1), (3, 200), (50, 132), (2, 2), (24, 80)):
            seen.resize(lines, columns)
            os.kill(seen.pid, signal.SIGWINCH)
            seen.look(0.1)
            assert not seen.ended
        seen.until("fs/pipe.c:200")
        assert max(map(len, seen.lines)) <= 80 and seen.lines[23].startswith("? help")
        assert row(seen, "BYTES").split()[-1] == "FUNCTION"


def test_hostile_names_do_not_disturb_the_screen(tmp_path: Path) -> None:
    names = [
        "\x1b[2J\x1b]0;owned\x07.c",
        "\u202egpj.c",
        "e\u0301" * 40 + ".c",
        "\u4e2d\u6587" * 60 + ".c",
        "a" * 5000 + ".c",
        "tab\tnew\rline.c",
        "\udcff\udcfe.c",
        "\U0001f9d1\u200d\U0001f680.c",
    ]
    sizes = {f"{name}:{i} func:f{i}": 4096 * (i + 1) for i, name in enumerate(names)}
    record(tmp_path / "r", [{**sizes, PIPE: 64}] * 2)
    for columns in (30, 80, 200):
        with screened("top", "--source", str(tmp_path / "r"), columns=columns) as seen:
            seen.until("pipe.c:158")
            assert len([line for line in seen.lines if line.strip()]) == 4 + len(names) + 2
            assert seen.lines[3].split()[0] in ("BYTES", "GROWTH/S")
            assert b"owned\x07" not in seen.raw and "\u202e" not in seen.text
            seen.type(DOWN * 5 + b"\r")
            seen.until(lambda seen=seen: "? help" not in seen.lines[-1])
            seen.type(DOWN + b"q")
            assert seen.wait() == 0


# Ends


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGHUP, -signal.SIGHUP),
    ],
)
def test_a_signal_leaves_the_terminal_as_it_was(kernel: Kernel, number: int, status: int) -> None:
    for typed in ("", "/abc", "?", " "):
        with watching(kernel, "--interval", "0.1s") as seen:
            seen.until("dup_task")
            seen.type(typed)
            seen.look(0.1)
            os.kill(seen.pid, number)
            assert seen.wait() == status
            assert termios.tcgetattr(seen.slave) == seen.modes
            assert seen.raw.rstrip().endswith(b"\x1b[?1049l\r\x1b[?1l\x1b>") or (
                b"\x1b[?1049l" in seen.raw[-80:]
            )
            assert b"Traceback" not in seen.raw and b"allocq: " not in seen.raw


def test_ctrl_c(kernel: Kernel) -> None:
    with watching(kernel) as seen:
        seen.until("dup_task")
        seen.type(b"\x03")
        assert seen.wait() == 130
        assert termios.tcgetattr(seen.slave) == seen.modes


def test_a_lost_terminal_ends_it(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "60s") as seen:
        seen.until("dup_task")
        seen.lose()
        assert seen.wait() == -signal.SIGHUP


def test_a_lost_terminal_ends_it_without_a_signal(kernel: Kernel) -> None:
    """nohup ignores it; there must be no loop that reads nothing for ever."""
    program = ("/usr/bin/env", "--ignore-signal=HUP", *MODULE)
    with watching(kernel, "--interval", "60s", program=program) as seen:
        seen.until("dup_task")
        seen.lose()
        assert seen.wait() == -signal.SIGHUP


def test_a_terminal_that_takes_nothing_does_not_hold_it(kernel: Kernel) -> None:
    """After Ctrl-S it goes on, and ends when it is told to."""
    with watching(kernel, "--interval", "0.1s") as seen:
        seen.until("dup_task")
        seen.type(b"\x13")
        seen.look(0.3)
        kernel.set({"alloc_pipe": 4096 + 10240})
        seen.look(0.5)
        assert "+10.0K" not in seen.text
        seen.type(b"\x11")
        seen.until("+10.0K")
        seen.type(b"\x13")
        kernel.set({"alloc_pipe": 4096 + 20480})
        seen.look(0.5)
        os.kill(seen.pid, signal.SIGTERM)
        assert seen.wait() == -signal.SIGTERM
        assert termios.tcgetattr(seen.slave) == seen.modes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_that_nobody_reads_does_not_hold_it(folder: Path, number: int) -> None:
    """Its buffer is full: even the last words wait."""
    with screened("top", "--source", str(folder), lines=100, columns=400) as seen:
        seen.until("? help")
        wait = Path(f"/proc/{seen.pid}/wchan")
        for _ in range(200):
            seen.type(b"\x0c")  # draws all of it again
            time.sleep(0.02)
            if not select.select((), (seen.slave,), (), 0)[1] and "poll" not in wait.read_text():
                break
        os.kill(seen.pid, number)
        until(lambda: os.waitpid(seen.pid, os.WNOHANG)[0])
        seen.status = 0
        assert termios.tcgetattr(seen.slave) == seen.modes


def test_it_stops_and_goes_on(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "0.2s") as seen:
        seen.until("dup_task")
        # A process group of a viewer leader alone is not stopped by the terminal.
        os.kill(seen.pid, signal.SIGSTOP)
        seen.until(lambda: Path(f"/proc/{seen.pid}/stat").read_text().split()[2] == "T")
        kernel.set({"alloc_pipe": 4096 + 10240})
        os.kill(seen.pid, signal.SIGCONT)
        seen.until(lambda: "+10.0K" in row(seen, "alloc_pipe"))
        seen.type("q")
        assert seen.wait() == 0
        assert termios.tcgetattr(seen.slave) == seen.modes


def test_ctrl_z_gives_the_terminal_back_for_a_while(kernel: Kernel) -> None:
    """Under a shell with job control."""
    shell = ("/bin/bash", "--norc", "--noprofile", "-i")
    own = {**kernel.environment, "PS1": "ready> ", "BASH_SILENCE_DEPRECATION_WARNING": "1"}
    own.pop("LD_PRELOAD")
    with screened(program=shell, **own) as seen:
        seen.until("ready>")
        command = " ".join(MODULE)
        seen.type(f"LD_PRELOAD={kernel.environment['LD_PRELOAD']} {command} top\n")
        seen.until("dup_task")
        seen.type(b"\x1a")
        seen.until("Stopped")
        seen.type("stty -a | grep -o ' icanon' | wc -l; echo here\n")
        seen.until(lambda: re.search("^here", seen.text, re.MULTILINE))
        assert re.search(r"^1$", seen.text, re.MULTILINE)
        seen.type("fg\n")
        seen.until("? help")
        seen.until("dup_task")
        seen.type("q")
        seen.until("ready>")


def test_errors_while_it_runs_are_shown_and_it_goes_on(kernel: Kernel) -> None:
    with watching(kernel, "--interval", "0.2s", "--interface", "text") as seen:
        seen.until("dup_task")
        text = (kernel.folder / "text").read_bytes()
        with open(kernel.folder / "text", "r+b", buffering=0) as file:
            file.write(b"x" * len(text))
        seen.until(lambda: "allocinfo" in seen.lines[-1])
        assert "dup_task" in seen.text
        kernel.write_text()
        seen.until(lambda: "? help" in seen.lines[-1])
        seen.type("q")
        assert seen.wait() == 0


# Before the first screen


@pytest.mark.parametrize(
    ("term", "words"),
    [
        (None, "TERM is not set"),
        ("", "TERM is not set"),
        ("dumb", "TERM=dumb"),
        ("no-such-terminal", "TERM=no-such-terminal: unknown terminal"),
        ("a/../../b", "unknown terminal"),
        ("unknown", "TERM=unknown"),
    ],
)
def test_terminals_that_will_not_do(folder: Path, term: str | None, words: str) -> None:
    own = {} if term is None else {"TERM": term}
    program = ("/usr/bin/env", "-u", "TERM", *(f"{k}={v}" for k, v in own.items()),
               *MODULE)  # fmt: skip
    with screened("top", "--source", str(folder), program=program) as seen:
        assert seen.wait() == 2
        assert seen.lines[0].startswith("allocq: ") and words in seen.lines[0], seen.text
        assert seen.lines[1] == "hint: -b prints plainly, without a terminal"
        assert seen.raw.count(b"\n") == 2


def test_no_curses(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "_curses.py").write_text("raise ModuleNotFoundError(name='_curses')")
    with screened("top", "--source", str(folder), PYTHONPATH=str(tmp_path)) as seen:
        assert seen.wait() == 2
        assert "no curses module" in seen.lines[0] and seen.lines[1].startswith("hint: install")


def test_no_terminal(folder: Path) -> None:
    refused(allocq("top", "--source", str(folder)), "standard output is not a terminal")
    command = " ".join(MODULE)
    script = f"{command} top --source {folder} </dev/null"
    with screened("-c", script, program=("/bin/sh",)) as seen:
        assert seen.wait() == 2
        assert seen.lines[0] == "allocq: standard input is not a terminal"


def test_curses_is_imported_for_this_command_alone() -> None:
    code = (
        "import sys; from allocq.cli.run import run; run(['query', '--sample', '-q']);"
        "run(['top', '-b', '--source', '/nonexistent']);"
        "sys.exit('curses' in sys.modules)"
    )
    done = allocq(program=(sys.executable, "-c", code))
    assert done.status == 0, done


def test_what_cannot_be_opened_is_one_line(tmp_path: Path, kernel: Kernel) -> None:
    listing = tmp_path / "listing.txt"
    listing.write_bytes((kernel.folder / "text").read_bytes())
    (tmp_path / "empty").mkdir()
    for source, words in (
        (str(listing), "is one listing: nothing grows in it"),
        (str(tmp_path / "empty"), "holds no recording"),
        (str(tmp_path / "none"), "no such file"),
        ("-", "standard input is one listing"),
    ):
        refused(here("top", "-b", "--source", source), words)
        with screened("top", "--source", source) as seen:
            assert seen.wait() == 2
            assert seen.shows(words), seen.text
            assert b"\x1b[?1049h" not in seen.raw


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_regexp_that_never_ends(tmp_path: Path, number: int) -> None:
    (tmp_path / "1.txt").write_bytes(oracle.HEADER + b"1 1 " + b"a" * 40 + b"/b.c:1 func:f \n")
    with screened("top", "--source", str(tmp_path)) as seen:
        seen.until("sample 1 of 1")
        seen.type("/-e '(a+)+$'\r")
        seen.look(0.5)
        os.kill(seen.pid, number)
        assert seen.wait(20) in (-number, 130)
        assert termios.tcgetattr(seen.slave) == seen.modes


@pytest.mark.parametrize("when", ["9999-12-31", "@253402300799"])
def test_a_time_far_away_is_the_last_sample(folder: Path, when: str) -> None:
    with screened("top", "--source", str(folder)) as seen:
        seen.until("sample 1 of")
        seen.type(f"t{when}\r")
        seen.until(lambda: re.search(r"sample (\d+) of \1\b", seen.text))


def test_a_recording_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "2026-11-26.0.db").write_bytes(b"junk")
    for argv in (("-b",), ("-b", "--at", "now"), ("-b", "--at", "999999999999d ago")):
        refused(here("top", "--source", str(tmp_path), *argv), "holds no listing that can be read")


def test_a_clock_that_was_set_back_does_not_turn_a_replay_around(tmp_path: Path) -> None:
    hour = 3600 * 10**9
    writer = Writer(tmp_path, {"host": "h"})
    for at in range(6):
        one = sample(at, 3)
        time_ns = one.moment.time - (hour if at >= 3 else 0)
        moment = replace(one.moment, time=time_ns, boottime=at * 10**9, boot="a")
        counters = Counters.of([1000 + at] * 3, [1] * 3, [0] * 3)
        writer.append(replace(one, moment=moment, counters=counters))
    writer.close()
    done = here("top", "-b", "--source", str(tmp_path), "-o", "jsonl", "--bytes")
    rows = [json.loads(line) for line in done.out.splitlines()]
    sizes = list(dict.fromkeys(row["bytes"] for row in rows))
    assert sizes == [1000 + at for at in range(6)] and done.status == 0


def test_the_databases_of_a_day_are_replayed_as_they_were_written(tmp_path: Path) -> None:
    """The tenth comes after the ninth, whatever order their names have."""
    writer = Writer(tmp_path, {"host": "h"})
    for at in range(12):
        one = sample(at, 3)
        moment = replace(one.moment, boottime=at, boot=str(at))
        counters = Counters.of([1000 + at] * 3, [1] * 3, [0] * 3)
        writer.append(replace(one, moment=moment, counters=counters))
        writer.renew()
    writer.close()
    assert len(list(tmp_path.glob("*.db"))) == 12
    done = here("top", "-b", "--source", str(tmp_path), "-o", "jsonl", "--bytes")
    sizes = [json.loads(line)["bytes"] for line in done.out.splitlines()]
    assert list(dict.fromkeys(sizes)) == [1000 + at for at in range(12)]
