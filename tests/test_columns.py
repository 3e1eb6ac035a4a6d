"""Listings whose columns awk, paste, pr or a spreadsheet moved: read right, or refused."""

from __future__ import annotations

import random
import textwrap
from itertools import permutations

import oracle
import pytest
from command import Result, here, saved

LINES = [
    line
    for line in oracle.decode(oracle.SAMPLE.read_bytes()).splitlines()
    if " func:" in line and line.split()[0] != "0" and "accurate" not in line
]
ROWS = [tuple(line.split()) for line in LINES if "[" not in line][:40]  # size, calls, place, func
KNOWN = {row[2:]: row[:2] for row in ROWS}
SHUFFLED = random.Random(3).sample(ROWS, len(ROWS))


def query(lines: list[str], *argv: str) -> Result:
    with saved("".join(line + "\n" for line in lines).encode()) as path:
        return here("query", "--source", path, *argv)


def rows(done: Result) -> list[tuple[str, ...]]:
    return [tuple(line.split()) for line in oracle.decode(done.out).splitlines()]


def refused(done: Result, words: str) -> None:
    assert (done.status, done.out) == (2, b"")
    first, *rest = done.err.splitlines()
    assert words in first, first
    assert len(rest) <= 1


ORDERS = [order for order in permutations(range(4)) if order.index(0) < order.index(1)]
SWAPPED = [order for order in permutations(range(4)) if order.index(0) > order.index(1)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("number", [1, 2, 3, 40])
def test_moved_columns_are_read_line_by_line(order: tuple[int, ...], number: int) -> None:
    done = query([" ".join(row[at] for at in order) for row in SHUFFLED[:number]])
    if order[:2] == (0, 1):
        assert rows(done) == SHUFFLED[:number]
    elif done.status == 2:
        assert order not in ((2, 3, 0, 1), (3, 2, 0, 1), (2, 0, 1, 3))
    else:
        assert rows(done) == SHUFFLED[:number]
        assert "the first number is taken as the size" in done.err


@pytest.mark.parametrize("order", SWAPPED)
def test_swapped_counters_are_refused(order: tuple[int, ...]) -> None:
    done = query([" ".join(row[at] for at in order) for row in ROWS])
    assert (done.status, done.out) == (2, b"")


def test_swapped_counters_say_so() -> None:
    words = "more calls than bytes: the columns are swapped"
    refused(query([f"{calls} {size} {place} {name}" for size, calls, place, name in ROWS]), words)
    refused(query([f"{place} {name} {calls} {size}" for size, calls, place, name in ROWS]), words)


@pytest.mark.parametrize("width", [30, 40, 50, 60, 72, 78, 100, 120, 160])
@pytest.mark.parametrize("order", ORDERS[1:])
def test_moved_columns_that_a_mailer_wrapped_are_never_wrong(
    order: tuple[int, ...], width: int
) -> None:
    lines = [" ".join(row[at] for at in order) for row in SHUFFLED]
    for text in (
        textwrap.wrap(" ".join(lines), width, break_on_hyphens=False, break_long_words=False),
        [part for line in lines for part in textwrap.wrap(line, width, break_on_hyphens=False)],
        ["> host1: " + line for line in lines],
        [f"{at}\t{line}" for at, line in enumerate(lines, 1)],
    ):
        for *counters, place, name in (row[:4] for row in rows(query(text))):
            assert KNOWN.get((place, name)) == tuple(counters), text[:4]


def test_one_line_of_names_alone_takes_no_counters() -> None:
    for stray in (" ".join(ROWS[0][2:]), f"[  1.5] {ROWS[0][2]} {ROWS[0][3]}"):
        done = query([stray, *(" ".join(row) for row in ROWS[1:])])
        assert rows(done) == ROWS[1:]


@pytest.mark.parametrize(
    "columns", [(0,), (2,), (2, 0), (0, 2, 3), (2, 3, 0), (1, 2, 3), (0, 1, 2)]
)
def test_lost_columns_are_refused(columns: tuple[int, ...]) -> None:
    done = query([" ".join(row[at] for at in columns) for row in ROWS])
    assert (done.status, done.out) == (2, b"")


# Tables


@pytest.mark.parametrize("separator", [",", ";", "|", ", ", " | ", "\t"])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("cells", [3, 4])
def test_cells_of_a_table(separator: str, quote: str, cells: int) -> None:
    if cells == 3:  # SIZE and CALLS, the rest as it was
        text = [[row[0], row[1], f"{row[2]}{separator}{row[3]}"] for row in ROWS]
        text = [[f"{quote}{cell}{quote}" for cell in row[:2]] + row[2:] for row in text]
    else:
        text = [[f"{quote}{cell}{quote}" for cell in row] for row in ROWS]
    done = query([separator.join(row) for row in text])
    assert rows(done) == ROWS
    table = [f"| {' | '.join(row)} |" for row in ROWS]
    assert rows(query(["| SIZE | CALLS | WHERE | WHO |", "|---|--:|:-|---|", *table])) == ROWS


def test_cells_of_a_page_are_words() -> None:
    page = [f"<tr><td>{'</td><td align=right>'.join(row)}</td></tr>" for row in ROWS]
    assert rows(query(["<table>", *page, "</table>"])) == ROWS
    assert rows(query(["".join(["<table>", *page, "</table>"])])) == ROWS


# Side by side


@pytest.mark.parametrize("gap", ["\t", "   ", " | ", "\t\t\t> "])
@pytest.mark.parametrize("order", ["same", "other", "sorted"])
@pytest.mark.parametrize("count", [2, 3])
def test_listings_side_by_side_are_not_summed(gap: str, order: str, count: int) -> None:
    columns = [[" ".join(row) for row in ROWS] for _ in range(count)]
    if order == "other":
        columns[1] = [" ".join(row) for row in SHUFFLED]
    if order == "sorted":
        columns = [sorted(each, key=lambda line: -int(line.split()[0])) for each in columns]
    refused(query([gap.join(parts) for parts in zip(*columns, strict=True)]), "side by side")


def test_one_listing_in_columns_is_one() -> None:
    lines = [" ".join(row) for row in ROWS]
    done = query([f"{one}\t{other}" for one, other in zip(lines[:20], lines[20:], strict=True)])
    assert sorted(rows(done)) == sorted(ROWS)


@pytest.mark.parametrize("key", [lambda line: int(line.split()[0]), lambda line: line.split()[2]])
def test_listings_that_were_sorted_together_are_refused(key: object) -> None:
    before = [" ".join(row) for row in ROWS]
    after = [" ".join((str(int(row[0]) + 64), *row[1:])) for row in ROWS]
    refused(query(sorted(before + after, key=key)), "several listings are mixed")  # type: ignore[call-overload]


# Units


def test_a_lower_case_k_says_that_letters_are_thousands() -> None:
    lines = ["9.9G 1200 mm/a.c:1 func:a", "1.1k 12 mm/b.c:2 func:b", "17M 1.5k mm/c.c:3 func:c"]
    done = query(lines)
    assert [row[:2] for row in rows(done)] == [
        ("9900000000", "1200"), ("1100", "12"), ("17000000", "1500"),
    ]  # fmt: skip
    assert "sizes are rounded, in powers of 1000 (k)" in done.err
    listed = query(lines, "--list-listings").out.split()
    assert str(9900000000 + 1100 + 17000000).encode() in listed


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (["9.9G", "17M"], ", units taken as powers of 1024"),
        (["1.1K", "17M"], ", units taken as powers of 1024"),
        (["9.9Gi", "17Mi"], ""),
        (["9.9 GiB", "17.0 MiB"], ""),
    ],
)
def test_where_powers_are_not_known_they_are_said(sizes: list[str], said: str) -> None:
    done = query([f"{size} 1 mm/a.c:{at} func:f" for at, size in enumerate(sizes, 1)])
    assert done.err.rstrip().endswith(f"sizes are rounded{said}")
    done = query(
        ["$ numfmt --to=iec", *(f"{size} 1 mm/a.c:{n} func:f" for n, size in enumerate(sizes))]
    )
    assert "powers" not in done.err
