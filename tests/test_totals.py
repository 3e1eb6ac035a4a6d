"""Totals: slab pages once, what a limit cut off, counters below zero, and bounds of sums."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import oracle
import pytest
from command import here, query, saved, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracle import FIXTURES, SAMPLE, TEXTS

FIELD = Path(__file__).parent / "field"
UNDERFLOW = (FIELD / "underflow-6.12.txt").read_bytes()
PLACES = (
    "mm/slub.c:10 func:alloc_slab_page",
    "mm/slub.c:11 func:other",
    "x/mm/slub.c:9 func:alloc_slab_page",
    "mm/slub.c:10 [m] func:alloc_slab_page",
    "a/b.c:1 func:f",
    "a/c.c:2 func:f",
    "d.c:3 [m] func:g",
)
numbers = st.integers(-3, 3) | st.integers(0, 1 << 40)
texts = st.lists(
    st.tuples(numbers, numbers, st.sampled_from(PLACES)),
    min_size=1,
    unique_by=lambda tag: tag[2],  # a tag that comes again can begin another listing
).map(
    lambda tags: (
        oracle.HEADER
        + "".join(f"{size} {calls % (1 << 64)} {place} \n" for size, calls, place in tags).encode()
    )
)


def document(data: bytes, *argv: str) -> Any:
    return json.loads(query(data, "-o", "json", *argv).out)


def total_line(data: bytes, *argv: str) -> str:
    """The total of a table with plain byte counts."""
    lines = query(data, "-o", "table", "--bytes", *argv).out.decode().splitlines()
    return next(line for line in reversed(lines) if re.search(r"total of| of [0-9,]+ ", line))


@unhurried
@given(
    texts, st.none() | st.integers(0, 12), st.sampled_from(["once", "include", "exclude", "only"])
)
def test_what_is_counted(data: bytes, limit: int | None, rule: str) -> None:
    tags = oracle.parse(data)
    if rule in ("exclude", "only"):
        tags = [tag for tag in tags if oracle.is_slab_page(tag) == (rule == "only")]
    shown = oracle.ordered(tags, "bytes", False, limit)
    argv = ["-s", "bytes", "--slab", rule, *([] if limit is None else ["-n", str(limit)])]
    answer = document(data, *argv)
    assert [tag["bytes"] for tag in answer["tags"]] == [tag.bytes for tag in shown]
    assert answer["total"] == oracle.total(shown)
    for found, due in ((answer["counted"], shown), (answer["counted"]["matching"], tags)):
        sound = [tag for tag in due if tag.bytes >= 0 and tag.calls >= 0]
        plain = sum(tag.bytes for tag in sound), sum(tag.calls for tag in sound)
        assert found["tags"] == len(due)
        assert (found["bytes"], found["calls"]) == (oracle.once(due) if rule == "once" else plain)
    below = sum(tag.bytes < 0 or tag.calls < 0 for tag in shown)
    assert answer["counted"]["underflowed"] == below and answer["counted"]["slab"] == rule


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_the_total_of_real_texts_counts_slab_once_and_says_so(path: Path) -> None:
    data = path.read_bytes()
    tags = oracle.parse(data)
    pages = sum(tag.bytes for tag in tags if oracle.is_slab_page(tag))
    size, calls = oracle.once(tags)
    assert size == sum(tag.bytes for tag in tags) - pages
    assert total_line(data).split(None, 2) == [
        str(size),
        str(calls),
        f"total of {len(tags):,} tags, without {pages} of slab pages",
    ]
    twice = total_line(data, "--slab", "include")
    assert twice.split()[0] == str(size + pages)
    assert twice.endswith(f", with {pages} of slab pages, counted twice")
    without = total_line(data, "--slab", "exclude")
    assert without.split()[0] == str(size) and without.endswith(" tags, without slab pages")
    only = total_line(data, "--slab", "only")
    assert only.split()[0] == str(pages) and only.endswith(", slab pages only")


def test_a_limit_says_of_how_much() -> None:
    data = SAMPLE.read_bytes()
    tags = oracle.parse(data)
    shown = oracle.ordered(tags, "bytes", False, 10)
    size, every = oracle.once(shown)[0], oracle.once(tags)[0]
    assert f"10 of 3,746 tags: {size} of {every}, without " in total_line(data, "-n", "10")
    assert "10 of 2,978 functions: " in total_line(data, "-g", "function", "-n", "10")
    assert "2 of 170 directories: " in total_line(data, "-g", "directory", "-n", "2")


def test_pages_alone_are_counted() -> None:
    data = SAMPLE.read_bytes()
    pages = sum(tag.bytes for tag in oracle.parse(data) if oracle.is_slab_page(tag))
    line = total_line(data, "-F", "alloc_slab_page")
    assert line.split(None, 2)[0] == str(pages) and line.endswith("total of 3 tags")


def test_a_whole_listing_of_a_slab_rule_in_every_format() -> None:
    """--slab exclude and only choose tags, whatever shows them."""
    data = SAMPLE.read_bytes()
    tags = oracle.parse(data)
    for rule, want in (("only", True), ("exclude", False)):
        due = [tag for tag in tags if oracle.is_slab_page(tag) == want]
        assert oracle.parse(query(data, "--slab", rule, "-o", "procfs").out) == due
        assert query(data, "--slab", rule, "--count").out == f"{len(due)}\n".encode()
        largest = oracle.ordered(due, "bytes", False, 1)
        assert oracle.parse(query(data, "--slab", rule, "-s", "bytes", "-n", "1").out) == largest
    assert query(data, "--slab", "only", "-f", "fs/", "-q").status == 1


# Counters below zero


def test_underflowed_counters_are_signed_marked_and_left_out() -> None:
    tags = oracle.parse(UNDERFLOW)
    lines = query(UNDERFLOW, "-o", "table", "--bytes").out.decode().splitlines()
    rows, total, legend = lines[1:9], lines[9], lines[10]
    assert [row.split()[0].endswith("!") for row in rows] == [False] + [True] * 7
    assert {int(row.split()[1]) for row in rows} == {tag.calls for tag in tags}
    assert total.split(None, 2) == ["10547565210", "0", "total of 8 tags, without 7 underflowed"]
    assert legend == "! underflowed, not in sums: the counter is below zero"
    assert query(UNDERFLOW, "--underflowed", "-c").out == b"7\n"
    assert query(UNDERFLOW, "--max-size=-1", "-c").out == b"7\n"
    counted = document(UNDERFLOW)["counted"]
    assert (counted["bytes"], counted["underflowed"]) == (10547565210, 7)
    groups = {row["file"]: row for row in document(UNDERFLOW, "-g", "file")["groups"]}
    assert (groups["mm/memory.c"]["bytes"], groups["mm/memory.c"]["tags"]) == (0, 2)


def test_a_table_with_underflowed_counters_can_be_read_back() -> None:
    for argv in ([], ["-s", "average"], ["--slab", "include"], ["-n", "7"]):
        table = query(UNDERFLOW, "-o", "table", "--bytes", *argv).out
        back = query(table, "-o", "jsonl", "-s", "bytes").out
        due = query(UNDERFLOW, "-o", "jsonl", "-s", "bytes", *argv[-2:] * (argv == ["-n", "7"])).out
        assert back == due, argv
    for format in ("json", "jsonl", "csv", "tsv"):
        shown = query(UNDERFLOW, "-o", format).out
        assert query(shown, "-o", "csv").out == query(UNDERFLOW, "-o", "csv").out, format


def test_diff_marks_and_says_underflowed_counters() -> None:
    with (
        saved(oracle.HEADER + b"4096 1 a.c:1 func:f \n") as one,
        saved(oracle.HEADER + b"-4096 18446744073709551615 a.c:1 func:f \n") as two,
    ):
        lines = here("diff", one, two, "-o", "table", "--bytes").out.decode().splitlines()
        change = json.loads(here("diff", one, two, "-o", "jsonl").out)
        counted = json.loads(here("diff", one, two, "-o", "json").out)["counted"]
    assert lines[1].split()[:2] == ["-8192!", "-200.0%"] and "-2" in lines[1].split()
    assert "1 underflowed" in lines[2] and lines[3].startswith("! ")
    assert (change["bytes_after"], change["calls_after"], change["calls_growth"]) == (-4096, -1, -2)
    assert counted["underflowed"] == 1


# Sums


@pytest.mark.parametrize("by", ["file", "directory", "function", "module", "location"])
@pytest.mark.parametrize(
    ("flag", "bound"),
    [("--min-size", 65536), ("--max-size", 65536), ("--min-calls", 100), ("--max-calls", 3)],
)
def test_bounds_hold_for_the_sums(by: str, flag: str, bound: int) -> None:
    data = SAMPLE.read_bytes()
    tags = oracle.parse(data)
    value = 0 if "size" in flag else 1

    def passes(number: int) -> bool:
        return number >= bound if "min" in flag else number <= bound

    sums = oracle.grouped(tags, by)
    due = {key: sum_ for key, sum_ in sums.items() if passes(sum_[value])}
    assert 0 < len(due) < len(sums) or by == "module"
    assert query(data, "-g", by, flag, str(bound), "-c").out == f"{len(due)}\n".encode()
    groups = document(data, "-g", by, flag, str(bound))["groups"]
    assert [(g["bytes"], g["calls"], g["tags"]) for g in groups] == list(due.values())
    chosen = [tag for tag in tags if passes(tag[value])]
    single = document(data, "-g", by, "--bounds", "tags", flag, str(bound))["groups"]
    by_tag = oracle.grouped(chosen, by)
    assert [(g["bytes"], g["calls"], g["tags"]) for g in single] == list(by_tag.values())


def test_bounds_of_sums_do_not_widen_a_pattern() -> None:
    """`a/*` has tags, though none of them is large enough by itself."""
    lines = [b"600 1 a/x.c:1 func:f \n", b"600 1 a/x.c:2 func:f \n", b"5000 1 b/a/y.c:1 func:f \n"]
    data = oracle.HEADER + b"".join(lines)
    groups = document(data, "-f", "a/*", "-g", "file", "--min-size", "1000")["groups"]
    assert [group["file"] for group in groups] == ["a/x.c"]


def test_no_sum_within_the_bounds_is_no_match() -> None:
    data = SAMPLE.read_bytes()
    for argv in (["-c"], ["-q"], []):
        result = query(data, "-g", "file", "--min-size", "1G", *argv)
        assert result.status == 1 and result.out == (b"0\n" if argv == ["-c"] else b"")
    assert query(data, "-g", "directory", "--min-size", "40M", "-q").status == 0  # no tag is


def test_sums_by_location_join_what_a_macro_put_on_one_line() -> None:
    data = oracle.HEADER + b"1 1 a.c:1 func:f \n2 1 a.c:1 func:f \n4 1 a.c:1 [m] func:f \n"
    groups = document(data, "-g", "location")["groups"]
    place = {"file": "a.c", "line": 1, "function": "f"}
    assert groups == [
        {"bytes": 3, "calls": 2, "tags": 2, "module": None, **place},
        {"bytes": 4, "calls": 1, "tags": 1, "module": "m", **place},
    ]
    assert query(data, "-g", "location", "-o", "csv").out.splitlines()[0] == (
        b"bytes,calls,tags,file,line,module,function"
    )
    shown = query(data, "-g", "location", "-o", "table").out.decode().splitlines()
    assert shown[1].split() == ["4", "1", "1", "a.c:1", "[m]", "f"]
    with saved(data) as one, saved(data.replace(b"4 1", b"9 1")) as two:
        change = json.loads(here("diff", one, two, "-g", "location", "-o", "jsonl").out)
    assert (change["module"], change["line"], change["bytes_growth"]) == ("m", 1, 5)
    assert (change["tags_before"], change["tags_after"]) == (1, 1)


def test_sorted_by_average_a_table_shows_it() -> None:
    data = FIXTURES / "allocinfo-7.3.4-uml.txt"
    tags = oracle.ordered(oracle.parse(data.read_bytes()), "average", False, 20)
    lines = query(data.read_bytes(), "-s", "average", "-n", "20", "-o", "table", "--bytes").out
    head, *rows = lines.decode().splitlines()[:21]
    assert head.split() == ["BYTES", "CALLS", "AVERAGE", "WHERE", "FUNCTION"]
    assert [int(row.split()[2]) for row in rows] == [tag.bytes // tag.calls for tag in tags]
    grouped = query(data.read_bytes(), "-s", "average", "-g", "file", "-o", "table", "--bytes").out
    head, first = grouped.decode().splitlines()[:2]
    size, calls, average = map(int, first.split()[:3])
    assert head.split()[:3] == ["BYTES", "CALLS", "AVERAGE"] and average == size // calls
    assert b"AVERAGE" not in query(data.read_bytes(), "-o", "table").out


# The same rule in diff


def test_diff_counts_slab_pages_once() -> None:
    one = oracle.HEADER + b"100 1 mm/slub.c:1 func:alloc_slab_page \n10 1 a.c:1 func:f \n"
    two = oracle.HEADER + b"500 5 mm/slub.c:1 func:alloc_slab_page \n30 3 a.c:1 func:f \n"
    with saved(one) as before, saved(two) as after:

        def last(*argv: str) -> str:
            out = here("diff", before, after, "-o", "table", "--bytes", *argv).out.decode()
            return next(line for line in out.splitlines() if "total of" in line or " of 2 " in line)

        assert last().split()[0] == "+20" and last().endswith("tags, without +400 of slab pages")
        assert last("-g", "file").split()[0] == "+20"
        assert last("--slab", "include").split()[0] == "+420"
        assert last("--slab", "exclude").split()[0] == "+20"
        assert last("--slab", "only").split()[0] == "+400"
        assert "1 of 2 changed tags: 0 of +20" in last("-n", "1")
        answer = json.loads(here("diff", before, after, "-o", "json").out)
    assert answer["total"]["bytes_growth"] == 420
    counted = answer["counted"]
    assert (counted["bytes_growth"], counted["calls_growth"]) == (20, 2)
    assert (counted["slab_growth"], counted["slab_left_out"]) == (400, True)


def test_a_sum_with_slab_pages_in_it_is_counted_once_in_a_diff() -> None:
    one = oracle.HEADER + b"100 1 mm/slub.c:1 func:alloc_slab_page \n10 1 a.c:1 func:f \n"
    two = oracle.HEADER + b"500 5 mm/slub.c:1 func:alloc_slab_page \n30 3 a.c:1 func:f \n"
    with saved(one) as before, saved(two) as after:
        done = here("diff", before, after, "-g", "module", "-o", "table", "--bytes")
        document = json.loads(here("diff", before, after, "-g", "module", "-o", "json").out)
    _, row, total, legend = done.out.decode().splitlines()
    assert row.split()[0] == "+420*" and total.split()[0] == "+20"
    assert total.endswith("total of 1 changed module, without +400 of slab pages")
    assert legend.startswith("* slab pages")
    assert document["counted"]["bytes_growth"] == 20 and document["counted"]["slab_left_out"]
