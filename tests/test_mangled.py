"""A listing that logs, mailers, terminals and tools have mangled is read back, or refused."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import mangling
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mangling import MANGLERS, Mangler

import allocq

HERE = Path(__file__).parent
SAMPLE = Path(allocq.sample_path())
BY_NAME = {each.name: each for each in MANGLERS}
LEFT_OUT = "no newline at the end"  # its last tag is left out, with a warning
unhurried = settings(deadline=None, max_examples=150)


class Known(NamedTuple):
    """A tag by what tells it apart and its counters; calls without a sign."""

    bytes: int
    calls: int
    file: str
    line: int
    module: str | None
    function: str


def lines_of(path: Path) -> list[str]:
    """The tags of a plain listing."""
    return [line for line in path.read_text().splitlines() if " func:" in line]


TEXTS = {
    "ice": lines_of(HERE / "field" / "ice-day0-lines.txt"),
    "nvme": lines_of(HERE / "field" / "nvme-bytes.txt"),
    "underflow": lines_of(HERE / "field" / "underflow-6.12.txt"),
    "sample": lines_of(SAMPLE)[5::120],
}


def wanted(lines: list[str], manglers: list[Mangler]) -> list[Known]:
    """What the lines say, by their columns, and with the sizes rounded."""
    tags = []
    sizes = [int(line.split()[0]) for line in lines]
    for line in lines:
        size, calls, place, *rest = line.split()
        amount = int(size)
        for each in manglers:
            amount = each.rounds(amount, sizes) if each.rounds else amount
        file, _, number = place.rpartition(":")
        module = rest[0][1:-1] if rest[0].startswith("[") else None
        function = next(word[5:] for word in rest if word.startswith("func:"))
        tags.append(Known(amount, int(calls), file, int(number), module, function))
    return sorted(tags, key=str)


def found(data: bytes, path: Path) -> list[Known]:
    """The tags that allocq reads. AllocqError."""
    path.write_bytes(data)
    with allocq.open(path, listing="all") as source:
        tags = source.read().tags
    known = [
        Known(tag.bytes, tag.calls % (1 << 64), tag.file, tag.line, tag.module, tag.function)
        for tag in tags
    ]
    return sorted(known, key=str)


def check(lines: list[str], manglers: list[Mangler], path: Path) -> None:
    names = " + ".join(each.name for each in manglers)
    expected = wanted(lines, manglers)
    tags = found(mangling.mangled(lines, manglers), path)
    if LEFT_OUT in names:
        assert len(tags) >= len(expected) - 1 and set(tags) <= set(expected), names
    else:
        assert tags == expected, names


@pytest.mark.parametrize("text", list(TEXTS))
@pytest.mark.parametrize("name", list(BY_NAME))
def test_one_mangler(name: str, text: str, tmp_path: Path) -> None:
    check(TEXTS[text], [BY_NAME[name]], tmp_path / "text")


@pytest.mark.parametrize("text", ["underflow", "sample"])
def test_every_two_manglers(text: str, tmp_path: Path) -> None:
    for one, other in combinations(MANGLERS, 2):
        if mangling.fit(one, other):
            check(TEXTS[text], [one, other], tmp_path / "text")


names = st.from_regex(r"[a-z_][a-z0-9_]{0,30}", fullmatch=True)
files = st.builds(
    lambda parts, end: "/".join(parts) + end,
    st.lists(names, min_size=1, max_size=5),
    st.sampled_from([".c", ".h", ".rs"]),
)


@st.composite
def tag_lines(draw: st.DrawFn) -> str:
    size = draw(st.integers(-(1 << 50), 1 << 50) | st.integers(0, 1 << 20))
    calls = draw(st.integers(0, (1 << 64) - 1) | st.integers(0, 99))
    calls = min(calls, size) if size >= 0 else calls  # more are refused: columns are swapped
    module = draw(st.none() | names)
    place = f"{draw(files)}:{draw(st.integers(1, 99999))}" + (f" [{module}]" if module else "")
    tail = draw(st.sampled_from(["", " ", " ", " accurate:no "]))
    return f"{size:12d} {calls:8d} {place} func:{draw(names)}{tail}"


@unhurried
@given(
    st.lists(tag_lines(), min_size=2, max_size=20),
    st.sampled_from(MANGLERS),
    st.sampled_from(MANGLERS),
)
def test_any_tags_and_two_manglers(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], one: Mangler, other: Mangler
) -> None:
    pair = [one, other] if mangling.fit(one, other) else [one]
    check(lines, pair, tmp_path_factory.getbasetemp() / "any")


@pytest.mark.parametrize("prefix", ["", "> ", ">> | ", "boot.export:", "12-"])
@pytest.mark.parametrize("size", [2097152, 100000000000, 3145728])
def test_a_field_of_the_journal_is_no_quoted_printable(
    prefix: str, size: int, tmp_path: Path
) -> None:
    lines = [f"{size:12d} {1:8d} mm/slub.c:3075 func:alloc_slab_page "]
    text = f"{prefix}_HOSTNAME=a\n{prefix}MESSAGE={lines[0]}\n".encode()
    assert found(text, tmp_path / "text") == wanted(lines, [])
