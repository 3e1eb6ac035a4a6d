"""`allocq diff` of more than two listings, compared with sums computed here."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import oracle
import pytest
from command import Result, allocq, here, saved, unhurried
from hypothesis import given
from hypothesis import strategies as st
from terminal import on_terminal
from test_diff import ROWS, Row, text_of

Counts = dict[Any, tuple[int, int]]


def diff(texts: Sequence[bytes], *argv: str) -> Result:
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(saved(text)) for text in texts]
        return here("diff", *paths, *argv)


def lines(texts: Sequence[bytes], *argv: str) -> list[dict[str, Any]]:
    done = diff(texts, "-o", "jsonl", *argv)
    found = [json.loads(line) for line in done.out.splitlines()]
    assert done.status == (0 if found else 1), done
    return found


def summed(rows: Sequence[Row], key: Any) -> Counts:
    sums: Counts = {}
    for row in rows:
        size, calls = sums.get(key(row), (0, 0))
        sums[key(row)] = size + row.bytes, calls + row.calls
    return sums


def differing(listings: Sequence[Counts]) -> set[Any]:
    """The keys that are not the same throughout; holding nothing is as not being there."""
    keys = {key for counts in listings for key in counts}
    return {key for key in keys if _changes([counts.get(key) for counts in listings])}


def _changes(counts: Sequence[tuple[int, int] | None]) -> bool:
    return any(
        one != two and not ((one or (0, 0)) == (two or (0, 0)) == (0, 0))
        for one, two in zip(counts, [*counts[1:], counts[0]], strict=True)
    )


KEYS = {
    "location": (lambda row: (row.file, row.line, row.module, row.function), ()),
    "place": (lambda row: (row.file, None, row.module, row.function), ("--ignore-lines",)),
    "file": (lambda row: (row.file,), ("-g", "file")),
    "module": (lambda row: (row.module,), ("-g", "module")),
}


@unhurried
@given(st.lists(ROWS, min_size=3, max_size=5), st.sampled_from(sorted(KEYS)))
def test_every_listing_has_its_counters(listings: list[list[Row]], by: str) -> None:
    key, argv = KEYS[by]
    names = ("file", "line", "module", "function") if by in ("location", "place") else (by,)
    found = lines([text_of(rows) for rows in listings], *argv)
    sums = [summed(rows, key) for rows in listings]
    assert {tuple(row[name] for name in names) for row in found} == differing(sums)
    for row in found:
        at = tuple(row[name] for name in names)
        counts = [each.get(at) for each in sums]
        for number, count in enumerate(counts, 1):
            shown = row[f"bytes_{number}"], row[f"calls_{number}"]
            assert shown == (count or (None, None)), (row, counts)
        held = [count or (0, 0) for count in counts]
        steps = [
            (after[0] - before[0]) or (after[1] - before[1]) for before, after in pairwise(held)
        ]
        assert row["rises"] == sum(step > 0 for step in steps)
        assert row["bytes_growth"] == held[-1][0] - held[0][0]
        assert row["calls_growth"] == held[-1][1] - held[0][1]
        assert (row["bytes_before"], row["bytes_after"]) == (
            counts[0] and counts[0][0], counts[-1] and counts[-1][0],
        )  # fmt: skip
    growth = [row["bytes_growth"] for row in found]
    assert growth == sorted(growth, reverse=True)


@unhurried
@given(ROWS, ROWS, ROWS)
def test_the_keys_of_two_listings_mean_the_same(
    one: list[Row], two: list[Row], three: list[Row]
) -> None:
    texts = [text_of(rows) for rows in (one, two, three)]
    ends = {row["file"]: row for row in lines([texts[0], texts[2]], "-g", "file")}
    for row in lines(texts, "-g", "file"):
        if row["file"] in ends:
            assert {name: row[name] for name in ends[row["file"]] if name != "accurate"} == {
                name: value for name, value in ends[row["file"]].items() if name != "accurate"
            }
        else:
            assert row["bytes_growth"] == row["calls_growth"] == 0


LEAK = [Row(4096 * n, n, "fs/leak.c", 7, "xfs", "get") for n in (1, 2, 3)]
CACHE = [Row(size, 1, "mm/cache.c", 9, None, "fill") for size in (4096, 1 << 20, 1 << 20)]
PASSED = Row(512, 1, "fs/passed.c", 1, None, "brief")
LISTINGS = [
    text_of([LEAK[0], CACHE[0]]),
    text_of([LEAK[1], CACHE[1], PASSED]),
    text_of([LEAK[2], CACHE[2]]),
]


def test_the_table_has_a_column_for_each_step() -> None:
    table = diff(LISTINGS, "-o", "table", "--bytes").out.decode().splitlines()
    assert table[0].split() == [
        "GROWTH",
        "RISES",
        "1-2",
        "2-3",
        "AFTER",
        "CALLS",
        "WHERE",
        "FUNCTION",
    ]
    assert table[1].split() == [
        "+1044480", "1/2", "+1044480", "0", "1048576", "0", "mm/cache.c:9", "fill",
    ]  # fmt: skip
    assert table[2].split()[:6] == ["+8192", "2/2", "+4096", "+4096", "12288", "+2"]
    assert table[3].split() == ["0", "1/2", "+512", "-512", "0", "fs/passed.c:1", "brief"]
    assert table[4].split()[:5] == ["+1052672", "+1049088", "+3584", "1060864", "+2"]
    assert "total of 3 changed tags" in table[4]


def test_all_formats_say_the_same() -> None:
    rows = lines(LISTINGS)
    document = json.loads(diff(LISTINGS, "-o", "json").out)
    assert document["changes"] == rows and len(document["listings"]) == 3
    assert document["listings"][0] == document["before"]
    assert document["listings"][-1] == document["after"]
    assert [document["total"][f"bytes_{n}"] for n in (1, 2, 3)] == [8192, 1057280, 1060864]
    two = list(lines([LISTINGS[0], LISTINGS[2]])[0])
    for format, dialect in (("csv", "excel"), ("tsv", "excel-tab")):
        text = diff(LISTINGS, "-o", format).out.decode()
        records = list(csv.DictReader(io.StringIO(text), dialect=dialect))
        assert list(records[0]) == list(rows[0]) and list(rows[0])[: len(two)] == two
        assert [record["bytes_2"] for record in records] == [str(row["bytes_2"]) for row in rows]
        assert records[2]["bytes_1"] == "" and rows[2]["change"] == "same"


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["-n", "1"], ["fill"]),
        (["-r"], ["brief", "get", "fill"]),
        (["-s", "calls"], ["get", "fill", "brief"]),
        (["-s", "file"], ["get", "brief", "fill"]),
        (["--min-growth", "1"], ["fill", "get"]),
        (["--max-size", "512"], ["brief"]),
        (["--min-calls", "3"], ["get"]),
        (["-f", "fs/"], ["get", "brief"]),
        (["-m", "xfs"], ["get"]),
    ],
)
def test_what_is_asked_is_shown(argv: list[str], wanted: list[str]) -> None:
    done = diff(LISTINGS, "-o", "jsonl", *argv)
    assert [json.loads(line)["function"] for line in done.out.splitlines()] == wanted


def test_nothing_differs_among_equals() -> None:
    assert diff([LISTINGS[1]] * 4, "-o", "jsonl") == (1, b"", "")


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_a_table_fits_the_terminal(columns: int, tmp_path: Path) -> None:
    grown = tmp_path / "grown"
    grown.write_bytes(oracle.SAMPLE.read_bytes().replace(b"slub.c:3347", b"slub.c:3348"))
    argv = ["diff", *[str(oracle.SAMPLE), str(grown)] * 6, "--min-size", "1M"]
    seen = on_terminal(*argv, columns=columns)
    assert seen.status == 0 and max(map(len, seen.lines)) <= columns
    assert seen.lines[0].split()[:2] == ["GROWTH", "RISES"] and "FUNCTION" in seen.lines[0]


def test_slab_pages_are_left_out_of_the_total() -> None:
    pages = [Row(n << 20, n, "mm/slub.c", 3, None, "alloc_slab_page") for n in (1, 2, 4)]
    texts = [text_of([page, leak]) for page, leak in zip(pages, LEAK, strict=True)]
    table = diff(texts, "-o", "table", "--bytes").out.decode().splitlines()
    assert table[3].split()[:3] == ["+8192", "+4096", "+4096"]
    assert "without +3145728 of slab pages" in table[3]
    assert [row["function"] for row in lines(texts, "--slab", "exclude")] == ["get"]
    assert [row["function"] for row in lines(texts, "--slab", "only")] == ["alloc_slab_page"]


def test_a_tag_that_an_excerpt_does_not_list_is_neither_new_nor_gone() -> None:
    excerpt = LEAK[2].text().encode() + CACHE[1].text().encode()
    other = Row(1 << 20, 1, "fs/more.c", 1, None, "more")
    done = diff([text_of([LEAK[0], other]), excerpt, text_of([LEAK[2], other])], "-o", "jsonl")
    rows = {row["function"]: row for row in map(json.loads, done.out.splitlines())}
    assert rows["more"]["bytes_2"] is None and rows["more"]["bytes_growth"] == 0
    assert rows["more"]["rises"] == 1 and "is an excerpt" in done.err


def test_one_filter_holds_for_all() -> None:
    part = text_of([LEAK[0]], filter='{"module":["xfs"]}')
    done = diff([part, *LISTINGS[1:]], "-o", "jsonl")
    assert [json.loads(line)["function"] for line in done.out.splitlines()] == ["get"]
    assert done.err.count("warning") == 1 and "2 others are filtered like" in done.err


def test_standard_input_is_one_of_them(tmp_path: Path) -> None:
    one, three = tmp_path / "one", tmp_path / "three"
    one.write_bytes(LISTINGS[0])
    three.write_bytes(LISTINGS[2])
    done = allocq("diff", str(one), "-", str(three), "-o", "jsonl", input=LISTINGS[1])
    assert [json.loads(line) for line in done.out.splitlines()] == lines(LISTINGS)
