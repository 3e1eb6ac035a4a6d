"""Listings appended to a file without a header are told apart; single ones are left whole."""

from __future__ import annotations

import random
from pathlib import Path

import oracle
import pytest
from command import Result, here, saved

from allocq.sources.lenient.restarts import Mark, restarts

LINES = [
    line
    for line in oracle.SAMPLE.read_bytes().splitlines(keepends=True)
    if line[:1] not in (b"a", b"#")
]


def size(line: bytes) -> int:
    return int(line.split()[0])


def query(data: bytes, *argv: str) -> Result:
    with saved(data) as path:
        return here("query", "--source", path, *argv)


def moved(lines: list[bytes], by: int) -> list[bytes]:
    """The same tags a while later."""
    return [b"%12d%s" % (size(line) + by * (1 + i % 7), line[12:]) for i, line in enumerate(lines)]


CHOSEN = {
    "whole": lambda lines: lines,
    "a directory": lambda lines: [
        line for line in lines if b" fs/ext4/" in line or b" fs/j" in line
    ],
    "a module": lambda lines: [line for line in lines if b"[xfs]" in line],
    "large": lambda lines: [line for line in lines if size(line) >= 1 << 20],
    "sort -n | tail": lambda lines: sorted(lines, key=size)[-12:],
    "sort -rn | head": lambda lines: sorted(lines, key=size, reverse=True)[:12],
    "sorted": lambda lines: sorted(lines, key=size),
    "one tag": lambda lines: [line for line in lines if b"func:alloc_slab_page" in line][:1],
    "two tags": lambda lines: [line for line in lines if b" mm/slub.c" in line][:2],
}


@pytest.mark.parametrize("times", [2, 3, 5])
@pytest.mark.parametrize("kind", CHOSEN)
def test_of_what_a_loop_appended_the_last_is_answered(kind: str, times: int) -> None:
    texts = [CHOSEN[kind](moved(LINES, 4096 * i)) for i in range(times)]
    done = query(b"".join(line for text in texts for line in text))
    assert done.out == b"".join(texts[-1])
    assert f"this is listing {times} of {times}" in done.err
    with saved(b"".join(line for text in texts for line in text)) as path:
        for number, text in enumerate(texts, 1):
            done = here("query", "--source", path, "--listing", str(number))
            assert done.out == b"".join(text)


@pytest.mark.parametrize("limit", [["-c"], ["-s", "bytes", "-n", "3"], ["-f", "rapl.c"]])
def test_a_header_in_front_of_the_first_alone_changes_nothing(limit: list[str]) -> None:
    data = oracle.HEADER + b"".join(LINES) + b"".join(moved(LINES, 4096))
    done = query(data, *limit)
    assert "this is listing 2 of 2" in done.err
    assert done.out == query(oracle.HEADER + b"".join(moved(LINES, 4096)), *limit).out


@pytest.mark.parametrize("text", oracle.TEXTS, ids=lambda path: path.stem)
def test_a_listing_without_its_header_is_one(text: Path) -> None:
    """The kernel has some tags twice."""
    lines = text.read_bytes().removeprefix(oracle.HEADER).splitlines(keepends=True)[2:]
    for chosen in (
        lines,
        sorted(lines, key=size),
        [line for line in lines if b" include/" in line],
        [line for line in lines if b"binfmt_elf.c" in line] or lines,
        [line for line in lines if size(line)],
    ):
        done = query(b"".join(chosen))
        assert (done.status, done.out, done.err) == (0, b"".join(chosen), "")


def test_any_part_of_a_listing_in_any_order_is_one() -> None:
    rng = random.Random(7)
    marks = [
        Mark(line.split(None, 2)[2], line.split()[2].rpartition(b":")[0].decode(), size(line),
             b"[" not in line)
        for line in LINES
    ]  # fmt: skip
    for _ in range(200):
        part = rng.sample(marks, rng.randrange(1, 400))
        if rng.random() < 0.5:
            part.sort(key=lambda mark: mark.size)
        assert restarts(part) == []
