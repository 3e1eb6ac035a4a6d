"""What top counts, how it lays it out, what it prints: without a terminal."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from command import allocq, here, refused, unhurried
from hypothesis import given
from hypothesis import strategies as st
from watched import IDLE, PIPE, SLAB, XFS, record

from allocq.analysis.board import HISTORY, Board, Figures
from allocq.analysis.diff import Key, keys_of
from allocq.analysis.histories import group_key
from allocq.analysis.narrow import narrowed
from allocq.analysis.reading import Reading
from allocq.commands.top.prompt import Ask, Prompt
from allocq.commands.top.terminal import joined
from allocq.model import Filter
from allocq.output.terminal import width
from allocq.output.top import ORDERS, Scene, lay_out, texts
from allocq.sources.matcher import Matcher
from allocq.sources.replay import Replay
from allocq.sources.series import open_series
from allocq.sources.source import open_source, sample_path

A: Key = ("mm/a.c", 1, None, "a")
B: Key = ("mm/b.c", 2, None, "b")
M: Key = ("drivers/m.c", 3, "m", "probe")
PAGES: Key = ("mm/slub.c", 4, None, "alloc_slab_page")


def reading(
    moment: float,
    tags: Sequence[tuple[Key, int]],
    filter: Filter | None = None,
    boot: str = "b",
    calls: Sequence[int] | None = None,
) -> Reading:
    sizes = [size for _, size in tags]
    return Reading(
        moment, moment, boot, filter or Filter(), [key for key, _ in tags], sizes,
        calls or [max(0, size // 64) for size in sizes], [0] * len(tags),
    )  # fmt: skip


def at(figures: Figures, key: Key) -> int:
    return list(figures.keys).index(key)


# Counting


def test_growth_since_the_last_reading_the_start_and_a_mark() -> None:
    board = Board()
    board.feed(reading(0, [(A, 100), (B, 50)]))
    figures = board.figures()
    assert figures.per_second(0) is None and figures.mark is None
    board.feed(reading(2, [(A, 300), (B, 50)]))
    board.mark()
    board.feed(reading(4, [(A, 260), (B, 51)]))
    figures = board.figures()
    assert [figures.per_second(i) for i in (0, 1)] == [-20.0, 0.5]
    assert list(figures.start) == [160, 1]
    assert figures.mark is not None and list(figures.mark) == [-40, 1]
    assert figures.values(0) == [100, 300, 260]
    total = figures.total
    assert (total.bytes, total.growth, total.start, total.mark) == (311, -39, 161, -39)


def test_a_module_that_comes_goes_and_comes_back() -> None:
    board = Board()
    board.feed(reading(0, [(A, 100)]))
    board.feed(reading(1, [(A, 100), (M, 4096)]))
    figures = board.figures()
    new = at(figures, M)
    assert (figures.per_second(new), figures.start[new], figures.values(new)) == (
        4096.0,
        4096,
        [0, 4096],
    )
    board.feed(reading(2, [(A, 100)]))
    figures = board.figures()
    assert list(figures.keys) == [A] and figures.total.tags == 1
    assert figures.total.growth == -4096 and figures.total.start == 0
    modules = board.figures("module")
    gone = at(modules, (None, None, "m", None))
    assert (modules.bytes[gone], modules.growth[gone], modules.start[gone]) == (0, -4096, 0)
    board.feed(reading(3, [(A, 100), (M, 1024)]))
    figures = board.figures()
    assert figures.per_second(at(figures, M)) == 1024.0
    assert figures.values(at(figures, M)) == [0, 4096, 0, 1024]


def test_what_another_filter_brings_has_no_rate_yet() -> None:
    board = Board()
    narrow = Filter(modules=["m"])
    board.feed(reading(0, [(M, 64)], narrow))
    board.feed(reading(1, [(M, 128)], narrow))
    board.feed(reading(3, [(A, 1000), (M, 128)]))
    figures = board.figures()
    assert figures.per_second(at(figures, A)) is None and figures.start[at(figures, A)] == 0
    assert figures.per_second(at(figures, M)) == 0.0 and figures.start[at(figures, M)] == 64
    # Out of sight for a while: the rate is that of the whole time.
    board.feed(reading(4, [(M, 128)], narrow))
    board.feed(reading(8, [(M, 128)], narrow))
    board.feed(reading(13, [(A, 2000), (M, 128)]))
    figures = board.figures()
    assert figures.per_second(at(figures, A)) == 100.0 and figures.start[at(figures, A)] == 1000


def test_a_reading_instead_of_another_makes_no_rate_of_a_moment() -> None:
    board = Board()
    board.feed(reading(0, [(A, 0)]))
    board.feed(reading(2, [(A, 200)]))
    board.feed(reading(2.01, [(A, 201)]), instead=True)
    figures = board.figures()
    assert figures.per_second(0) == pytest.approx(100, rel=0.01)
    assert figures.values(0) == [0, 201]


def test_a_bound_does_not_make_growth_of_what_was_there() -> None:
    bound = Filter(min_size=1000)
    board = Board()
    board.feed(reading(0, [(B, 5000)], bound))
    board.feed(reading(1, [(A, 1001), (B, 5000)], bound))
    figures = board.figures()
    assert figures.start[at(figures, A)] == 0 and figures.per_second(at(figures, A)) is None


def test_twins_are_told_apart() -> None:
    board = Board()
    board.feed(reading(0, [(A, 1), (A, 2), (B, 9)]))
    board.feed(reading(1, [(M, 1), (A, 1), (A, 5), (B, 9)]))
    figures = board.figures()
    tags = zip(figures.keys, figures.bytes, strict=True)
    grown = dict(zip(tags, figures.growth, strict=True))
    assert grown == {(A, 1): 0, (A, 5): 3, (B, 9): 0, (M, 1): 1}
    assert list(board.figures("location").tags or ()) == [1, 2, 1]


def test_the_same_tags_in_another_order() -> None:
    board = Board()
    board.feed(reading(0, [(A, 1), (B, 2)]))
    for moment in (1, 2):
        last = reading(moment, [(B, 2), (A, 1 + 9 * moment)])
        board.feed(last)
    board.feed(Reading(**{n: getattr(last, n) for n in Reading.__slots__} | {"moment": 3}))
    figures = board.figures()
    assert dict(zip(figures.keys, figures.bytes, strict=True)) == {A: 19, B: 2}
    assert dict(zip(figures.keys, figures.growth, strict=True)) == {A: 0, B: 0}


def test_a_boot_begins_anew() -> None:
    board = Board()
    board.feed(reading(100, [(A, 100)], boot="one"))
    board.mark()
    board.feed(reading(1, [(A, 5)], boot="two"))
    figures = board.figures()
    assert figures.per_second(0) is None and figures.start[0] == 0 and not board.has_mark


def test_slab_pages_and_underflowed_counters_are_not_in_totals() -> None:
    board = Board()
    board.feed(reading(0, [(A, 100), (PAGES, 4096), (B, -5)], calls=[1, 1, -1]))
    board.feed(reading(1, [(A, 8000), (PAGES, 4196), (B, -5)], calls=[1, 1, -1]))
    total = board.figures().total
    assert (total.bytes, total.slab, total.without_slab, total.underflowed) == (8000, 4196, True, 1)
    assert (total.growth, total.start) == (7900, 7900)
    sums = board.figures("directory")
    assert list(sums.bytes) == [12196] and list(sums.growth) == [8000]


_KEYS = [
    (f"{folder}/{file}.c", line, module, function)
    for folder in ("mm", "fs/xfs")
    for file in "ab"
    for line in (1, 2)
    for module in (None, "m")
    for function in "fg"
]


@unhurried
@given(st.data())
def test_figures_are_those_of_a_slow_way(data: st.DataObject) -> None:
    """Any tags, coming and going, against sums from dictionaries."""
    size = st.integers(-3, 1 << 40)
    listing = st.dictionaries(st.sampled_from(_KEYS), size, min_size=1)
    listings = data.draw(st.lists(listing, min_size=1, max_size=2 * HISTORY))
    marked = data.draw(st.integers(0, len(listings)))
    board = Board()
    for moment, tags in enumerate(listings):
        board.feed(reading(moment, list(tags.items()), calls=[1] * len(tags)))
        if moment == marked:
            board.mark()
        if data.draw(st.booleans()):
            board.figures(data.draw(st.sampled_from((None, "file", "module"))))
    first = listings[0]
    mark = listings[marked] if marked < len(listings) else None
    now, before = listings[-1], listings[-2] if len(listings) > 1 else listings[-1]
    figures = board.figures()
    assert list(figures.keys) and set(figures.keys) == set(now)
    for i, key in enumerate(figures.keys):
        assert figures.bytes[i] == now[key]
        assert figures.growth[i] == now[key] - before.get(key, 0)
        assert figures.start[i] == now[key] - first.get(key, 0)
        if mark is not None:
            assert figures.mark is not None
            assert figures.mark[i] == now[key] - mark.get(key, 0)
        assert figures.values(i) == [tags.get(key, 0) for tags in listings[-HISTORY:]]
    for by in ("file", "directory", "function", "module", "location"):
        sums = board.figures(by)

        def total(tags: dict[Key, int], group: Key, by: str = by) -> int:
            return sum(max(0, size) for key, size in tags.items() if group_key(key, by) == group)

        for i, group in enumerate(sums.keys):
            assert sums.bytes[i] == total(now, group)
            assert sums.start[i] == total(now, group) - total(first, group)
            assert sums.values(i) == [total(tags, group) for tags in listings[-HISTORY:]]
        inside = board.figures(None, ((by, sums.keys[0]),))
        assert {key for key in now if group_key(key, by) == sums.keys[0]} == set(inside.keys)
    for sort in ("growth", "start", "bytes", "calls"):
        order = figures.order(sort)
        column = {"bytes": figures.bytes, "calls": figures.calls}.get(
            sort, figures.growth if sort == "growth" else figures.start
        )
        assert [column[i] for i in order] == sorted(column, reverse=True)
        assert [column[i] for i in figures.order(sort, True)] == sorted(column)


def test_a_narrowed_filter_finds_every_tag_of_the_group() -> None:
    """Each group of the sample; and it leaves out nearly all others."""
    with open_source(sample_path()) as source:
        table = source.read().table
        keys = keys_of(table)
        for by in ("file", "directory", "function", "module", "location"):
            groups = list(dict.fromkeys(group_key(key, by) for key in keys))
            for group in random.Random(by).sample(groups, min(25, len(groups))):
                member = next(key for key in keys if group_key(key, by) == group)
                filter = narrowed(Filter(), by, group if by != "location" else member)
                wanted = [key for key in keys if group_key(key, by) == group]
                assert filter != Filter() or group[0] == "."
                found = source.read(filter).table
                Matcher(filter).apply(found)
                assert not set(wanted) - set(keys_of(found)), (by, group)


def test_names_that_a_filter_would_read_otherwise_are_not_narrowed() -> None:
    for key in (("mm/[x].c", 1, None, "f*"), ("a:1.c", 1, "m?", "f[")):
        for by in ("file", "function"):
            assert narrowed(Filter(), by, key) == Filter()
    given_files = Filter(files=["mm/*"])
    assert narrowed(given_files, "file", A) == given_files


# Laying out

NAMES = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\x1b\x07\n\u202e\u4e2d\u0301"), max_size=80
)


@unhurried
@given(
    st.lists(
        st.tuples(NAMES, st.integers(0, 1 << 64), st.none() | NAMES, NAMES,
                  st.integers(-(1 << 63), (1 << 63) - 1)),
        max_size=40,
    ),
    st.integers(-1, 60),
    st.integers(-1, 250),
    st.data(),
)  # fmt: skip
def test_no_line_is_wider_and_no_page_longer_than_the_screen(
    tags: list[tuple[str, int, str | None, str, int]], lines: int, columns: int, data: st.DataObject
) -> None:
    board = Board()
    first = [((file, line, module, function), 7) for file, line, module, function, _ in tags]
    board.feed(reading(0, first))
    board.mark()
    board.feed(reading(1, [(key, tag[4]) for (key, _), tag in zip(first, tags, strict=True)]))
    by = data.draw(st.sampled_from((None, "file", "module", "location")))
    figures = board.figures(by)
    sort = data.draw(st.sampled_from(sorted(ORDERS)))
    order = figures.order(sort)
    scene = Scene(
        figures,
        order,
        sort,
        selected=data.draw(st.integers(0, max(0, len(order) - 1))),
        first=data.draw(st.integers(0, 50)),
        within=data.draw(st.sampled_from(((), (("file", "x" * 300),)))),
        filter=data.draw(NAMES),
        every=2,
        time=data.draw(st.sampled_from((None, 0.0, 1e300, -1e9, 1.7e9))),
        host=data.draw(NAMES),
        kernel="7.3",
        profiling=data.draw(st.none() | st.booleans()),
        paused=data.draw(st.booleans()),
        replay=data.draw(st.sampled_from((None, (5, 123456)))),
        message=data.draw(NAMES),
        stale=data.draw(NAMES),
        prompt=data.draw(st.none() | st.tuples(st.sampled_from(Ask), NAMES)),
        help=data.draw(st.booleans()),
        bytes=data.draw(st.booleans()),
        utf8=data.draw(st.booleans()),
    )
    page = lay_out(scene, lines, columns)
    assert len(page.lines) <= max(0, lines)
    for text in texts(page.lines):
        assert width(text) <= columns
        assert "\x1b" not in text and "\n" not in text and "\u202e" not in text
    if page.cursor:
        assert page.cursor[0] < lines and page.cursor[1] < columns
    assert page.first >= 0


def test_the_selected_row_is_always_seen() -> None:
    board = Board()
    board.feed(reading(0, [((f"mm/{i:03}.c", i, None, "f"), 1000 - i) for i in range(300)]))
    figures = board.figures()
    first = 0
    for lines in (24, 10, 5, 3, 2, 1):
        for selected in (0, 5, 23, 150, 299, 12, 0):
            scene = Scene(figures, figures.order("bytes"), "bytes", selected=selected, first=first)
            page = lay_out(scene, lines, 100)
            first = page.first
            assert any(f"mm/{selected:03}.c" in text for text in texts(page.lines)), (
                lines,
                selected,
            )


def test_typing_replaces_a_default_and_editing_keeps_it() -> None:
    prompt = Prompt(Ask.SAVE, "default.txt")
    for key in "mine":
        prompt.press(key)
    assert prompt.text == "mine"
    prompt = Prompt(Ask.SAVE, "default.txt")
    for key in ("backspace", "backspace", "g"):
        prompt.press(key)
    assert prompt.text == "default.tg"
    prompt = Prompt(Ask.SAVE, "default.txt")
    assert prompt.press("enter") and prompt.text == "default.txt"


def test_the_prompt() -> None:
    prompt = Prompt(Ask.FILTER)
    for key in ("a", "b", " ", "c", "é", "left"):
        assert prompt.press(key) is None
    assert prompt.text == "ab cé"
    prompt.press("backspace")
    prompt.press("ctrl-w")
    assert prompt.text == "ab "
    prompt.press("ctrl-w")
    assert prompt.text == ""
    prompt.press("x")
    prompt.press("ctrl-u")
    prompt.press("backspace")
    assert prompt.text == ""
    assert prompt.press("enter") is True and prompt.press("escape") is False


def test_arrows_in_the_other_mode() -> None:
    assert joined(["escape", "[", "A", "q"]) == ["up", "q"]
    assert joined(["escape", "O", "D"]) == ["left"]
    assert joined(["[", "A", "escape", "A", "escape", "[", "x"]) == [
        "[", "A", "escape", "A", "escape", "[", "x",
    ]  # fmt: skip


# Replays


def shown(board: Board) -> dict[Key, tuple[object, ...]]:
    figures = board.figures()
    return {
        key: (figures.bytes[i], figures.calls[i], figures.per_second(i), figures.start[i],
              figures.values(i))
        for i, key in enumerate(figures.keys)
    }  # fmt: skip


def test_stepping_shows_what_jumping_shows(tmp_path: Path) -> None:
    """Through two boots, tags that come and go, in both directions and at random."""
    dice = random.Random(5)
    names = [f"mm/{i}.c:{i} func:f{i}" for i in range(12)]
    samples = [
        {name: dice.randrange(1 << 20) for name in sorted(dice.sample(names, 9))} for _ in range(40)
    ]
    record(tmp_path / "r", samples, ["one"] * 25 + ["two"] * 15)
    filter = Filter(excludes=["mm/3.c"])
    expected = {}
    for position in dice.sample(range(40), 40):
        replay = Replay(open_series(tmp_path / "r"))
        expected[position] = shown(replay.board_at(position, filter))
    replay = Replay(open_series(tmp_path / "r"))
    board = replay.board_at(0, filter)
    for position in range(1, 40):
        if not replay.step(board, position, filter):
            assert position == 25
            board = replay.board_at(position, filter)
        assert shown(board) == expected[position], position
    for position in reversed(range(40)):
        assert shown(replay.board_at(position, filter)) == expected[position], position
    # And both are what was recorded.
    for position, tags in expected.items():
        first = 0 if position < 25 else 25
        for key, (size, _, rate, start, _) in tags.items():
            name = f"{key[0]}:{key[1]} func:{key[3]}"
            assert size == samples[position][name]
            assert start == size - samples[first].get(name, 0)
            if position > first:
                assert rate == (size - samples[position - 1].get(name, 0)) / 10
            else:
                assert rate is None


def test_boots_of_a_folder(tmp_path: Path) -> None:
    for number, (boot, size) in enumerate((("a", 1), ("a", 5), ("b", 100), ("b", 140))):
        (tmp_path / f"2026-11-23_0{number}00.txt").write_text(
            "allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"
            f"# allocq-snapshot: 1\n# boot-id: {boot}\n# tags: 1\n"
            f"{size:12d} {1:8d} {PIPE} \n"
        )
    replay = Replay(open_series(tmp_path))
    boards = [replay.board_at(position, Filter()) for position in range(4)]
    assert [board.figures().start[0] for board in boards] == [0, 4, 0, 40]
    assert [board.figures().per_second(0) for board in boards] == [None, 4 / 3600, None, 40 / 3600]


# Batch

HEADS = ["BYTES", "CALLS", "GROWTH/S", "+START", "TREND"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "recording"
    base = {SLAB: 40960, IDLE: 1 << 20, PIPE: 4096}
    record(place, [base, {**base, PIPE: 14336}, {**base, PIPE: 14336, XFS: 512}])
    return place


def test_tables_of_a_recording(folder: Path) -> None:
    done = here("top", "-b", "--source", str(folder))
    assert (done.status, done.err) == (0, "")
    tables = done.out.decode().split("\n\n")
    assert len(tables) == 3
    lines = tables[1].splitlines()
    assert lines[0].startswith("allocq top  2025-10-09 ") and "sample 2 of 3" in lines[0]
    assert "+1.0K/s  +10.0K since start" in lines[0] and "PAUSED" not in lines[0]
    assert lines[1].split() == [
        "BYTES",
        "CALLS",
        "GROWTH/S",
        "+START",
        "TREND",
        "WHERE",
        "FUNCTION",
    ]
    assert lines[2].split()[:4] == ["14.0K", "224", "+1.0K", "+10.0K"]
    assert lines[3].split()[:4] == ["1.0M", "16384", "0", "0"]
    assert lines[5].split()[:4] == ["1.0M", "16608", "+1.0K", "+10.0K"]
    assert "total of 3 tags" in lines[5] and lines[6].startswith("* slab pages")


def test_a_count_a_limit_and_a_time(folder: Path) -> None:
    done = here("top", "-b", "-n", "1", "--limit", "1", "--at", "@1760000015", "--source",
                str(folder), "--no-header", "--bytes")  # fmt: skip
    lines = done.out.decode().splitlines()
    assert "sample 2 of 3" in lines[0]
    assert lines[1].split()[:4] == ["14336", "224", "+1024", "+10240"]
    assert "1 of 3 tags" in lines[2]
    assert len(lines) == 3


def test_rows_of_data(folder: Path) -> None:
    done = here("top", "-b", "-o", "jsonl", "--source", str(folder))
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert len(rows) == 3 + 3 + 4
    assert rows[3] == {
        "time": "2025-10-09T08:53:30.000000Z", "bytes": 14336, "calls": 224,
        "bytes_per_second": 1024.0, "bytes_growth": 10240, "calls_growth": 160,
        "file": "fs/pipe.c", "line": 158, "module": None, "function": "alloc_pipe",
        "accurate": True,
    }  # fmt: skip
    assert rows[0]["bytes_per_second"] is None
    done = here("top", "-b", "-o", "csv", "-g", "module", "--source", str(folder))
    table = list(csv.DictReader(io.StringIO(done.out.decode())))
    assert [row["module"] for row in table if row["time"].startswith("2025-10-09T08:53:40")] == [
        "xfs",
        "",
    ]
    assert done.out.count(b"bytes_per_second") == 1


def test_bounds_hold_for_sums(folder: Path) -> None:
    done = here("top", "-b", "-g", "file", "--min-size", "14K", "--source", str(folder),
                "-o", "tsv", "--no-header")  # fmt: skip
    files = [line.split("\t") for line in done.out.decode().splitlines()]
    seen = [row[-2] for row in files if row[0].startswith("2025-10-09T08:53:20")]
    assert seen == ["kernel/fork.c", "mm/slub.c"]
    seen = [row[-2] for row in files if row[0].startswith("2025-10-09T08:53:30")]
    assert seen == ["fs/pipe.c", "kernel/fork.c", "mm/slub.c"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-b", "-n", "0"], "--count must be at least 1"),
        (["-b", "-n", "x"], "--count"),
        (["-b", "--interval", "0.001"], "the interval is too short"),
        (["-b", "--interval", "soon"], "invalid duration"),
        (["-b", "-s", "name"], "invalid value 'name' for --sort"),
        (["-b", "-o", "json"], "invalid value 'json' for --format"),
        (["-o", "jsonl"], "--format needs --batch"),
        (["--limit", "5"], "--limit needs --batch"),
        (["-b", "--at", "now"], "--at needs --source DIR"),
        (["-b", "--source", ""], "--source is empty"),
        (["-b", "-e", "*"], "invalid regexp"),
        (["-b", "--source", sample_path()], "is one listing: nothing grows in it"),
    ],
    ids=str,
)
def test_what_cannot_be_asked(argv: list[str], words: str) -> None:
    refused(here("top", *argv), words)


def test_no_match_is_said(folder: Path) -> None:
    done = here("top", "-b", "-n", "1", "--source", str(folder), "-m", "xsf")
    assert done.status == 0 and done.err == "allocq: warning: no tag matches --module xsf\n"
    done = here("top", "-b", "-n", "1", "--source", str(folder), str(folder))
    assert f"--source {folder} replays a recording" in done.err


def test_a_closed_pipe_and_a_full_disk(folder: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = allocq("top", "-b", "--source", str(folder), stdout=write)
    os.close(write)
    assert (done.status, done.err) == (141, "")
    with open("/dev/full", "wb") as full:
        done = allocq("top", "-b", "--source", str(folder), stdout=full)
    assert done.status == 2 and done.err.startswith("allocq: cannot write the answer")


def test_a_damaged_sample_is_passed_over(folder: Path) -> None:
    import sqlite3

    (path,) = folder.glob("*.db")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE samples SET counters = x'00' WHERE id = 2")
    done = here("top", "-b", "-o", "jsonl", "--source", str(folder))
    assert done.status == 0 and "damaged" in done.err
    assert "Traceback" not in done.err


def test_a_large_kernel_costs_little_cpu_a_refresh(tmp_path: Path) -> None:
    """Everything but reading the tags: counting, ordering, laying out. tests/bench/top.py has the
    figures; here is room for a slow machine."""
    with open_source(sample_path()) as source:
        table = source.read().table
    keys, sizes, calls = keys_of(table), table.column("bytes"), table.column("calls")
    flags, dice, board = table.column("inaccurate"), random.Random(1), Board()
    spent = []
    for moment in range(30):
        for row in dice.sample(range(len(sizes)), 146):
            sizes[row] += 64
        begun = time.process_time()
        board.feed(Reading(0, moment, "b", Filter(), keys, sizes[:], calls[:], flags))
        figures = board.figures()
        lay_out(Scene(figures, figures.order("growth")), 50, 160)
        spent.append(time.process_time() - begun)
    assert sorted(spent)[len(spent) // 2] < 0.1
