"""The report as Markdown: what a tracker makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import oracle
import pytest
from command import allocq, here
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from reports import BEGUN, LEAK, listing, recording, report, sample_lines
from test_report import HOSTILE, grown

from allocq.output.report.markdown import code
from allocq.units import format_size

SAMPLE = str(oracle.SAMPLE)


pytestmark = pytest.mark.usefixtures("place")


def parsed(text: str) -> list[Token]:
    """As GitHub does: tables, strikethrough, links, and HTML where it is one."""
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)


def markdown(*argv: str, status: int = 0) -> str:
    done = report(*argv, "-o", "markdown")
    assert done.status == status, done.err
    return done.out.decode()


def tables(tokens: list[Token]) -> list[list[list[Token]]]:
    """The cells of the tables."""
    found: list[list[list[Token]]] = []
    for at, token in enumerate(tokens):
        if token.type == "table_open":
            found.append([])
        if token.type == "tr_open":
            found[-1].append([])
        if token.type in ("td_open", "th_open"):
            found[-1][-1].append(tokens[at + 1])
    return found


def text_of(cell: Token) -> str:
    return "".join(child.content for child in cell.children or ())


def by_heading(tokens: list[Token]) -> dict[str, list[list[str]]]:
    """The tables as text, by the heading above them."""
    names = [
        tokens[at].content
        for at, before in enumerate(tokens[:-1], 1)
        if before.type == "heading_open" and before.tag == "h2"
    ]
    found = [[[text_of(cell) for cell in row] for row in table] for table in tables(tokens)]
    return dict(zip(names, found, strict=True))


def test_a_listing() -> None:
    tags = oracle.parse(oracle.SAMPLE.read_bytes())
    text = markdown(SAMPLE)
    size, calls = oracle.once(tags)
    assert f"- Total: **{format_size(size)}** ({size:,} bytes, {calls:,} allocations)" in text
    found = by_heading(parsed(text))
    assert list(found) == ["Largest", "Memory"]
    first = sorted(tags, key=lambda tag: (-tag.bytes, -tag.calls, tag.file, tag.line))[:20]
    shown = [row[0].rstrip("~*") for row in found["Largest"][1:]]
    assert shown == [format_size(tag.bytes) for tag in first]
    assert [row[-1] for row in found["Largest"][1:]] == [tag.function for tag in first]


def test_two_listings(place: Path) -> None:
    (place / "a").write_bytes(listing(sample_lines(), BEGUN))
    (place / "b").write_bytes(listing(grown(), BEGUN + 3600))
    found = by_heading(parsed(markdown("a", "b")))
    assert list(found) == ["Most grown", "Most shrunk", "Largest", "Memory"]
    assert [row[0] for row in found["Most grown"][1:]] == ["+1.0M", "+4.9K"]
    assert [row[1] for row in found["Most shrunk"][1:]] == ["gone", "-0.1%"]
    assert "Trend" not in found["Most grown"][0]
    assert ["user", "anonymous", "200.0M", "192.0K"][:3] in [row[:3] for row in found["Memory"]]


def test_a_recording(place: Path) -> None:
    recording(place / "r", 30, sample_lines())
    found = by_heading(parsed(markdown("r")))
    first = found["Suspected leaks"][1]
    assert (first[0], first[7]) == ("+29.0K", LEAK.partition(" ")[0])
    assert first[5] == "".join(sorted(first[5])) and first[5][0] + first[5][-1] == "▁█"
    assert "grew in 6 of 6 spans" in first[-1]
    leak = next(row for row in found["Most grown"] if row[6] == LEAK.partition(" ")[0])
    assert leak[4] == first[5]


@settings(deadline=None, max_examples=200)
@given(st.one_of(HOSTILE, st.text(alphabet="`|\\ ab<@#~*_[]()", min_size=1, max_size=20)))
def test_a_code_span_holds_any_name(name: str) -> None:
    span = code(name)
    for text in (f"x {span}", f"| a | b |\n|---|---|\n| {span} | x |\n"):
        tokens = parsed(text)
        cells = tables(tokens)
        inline = cells[0][1][0] if cells else next(each for each in tokens if each.type == "inline")
        kinds = [child.type for child in inline.children or () if child.type != "text"]
        assert kinds == (["code_inline"] if span else [])
        assert not cells or text_of(cells[0][1][1]) == "x"


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE), min_size=1, max_size=6))
def test_hostile_names_are_code(names: list[tuple[str, str, str]]) -> None:
    lines = [
        (4096 * at, at, f"fs/{file}.c:{at} func:{function}")
        for at, (file, function, _) in enumerate(names, 1)
    ]
    Path("hostile").write_bytes(listing(lines, BEGUN, host=names[0][2]).replace(b"\0", b""))
    if allocq("query", "hostile", "-q").status:
        return
    tokens = parsed(markdown("hostile"))
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert kinds <= {"text", "code_inline", "strong_open", "strong_close", "softbreak"}
    blocks = {token.type for token in tokens}
    assert not blocks & {"html_block", "fence", "code_block", "blockquote_open"}
    for row in by_heading(tokens)["Largest"]:
        assert len(row) == 6


def test_mentions_and_references_are_in_code(place: Path) -> None:
    lines = [(4096, 1, "fs/@torvalds/#1.c:1 [<b>] func:GH-1_https://x.invalid/@me")]
    (place / "x").write_bytes(listing(lines, BEGUN, host="@everyone", kernel="7.3 #1"))
    for token in parsed(markdown("x")):
        for child in token.children or ():
            if child.type == "text":
                assert not re.search(r"[@#<]|https?:|GH-", child.content), child.content


@pytest.mark.parametrize("limit", ["0", "1", "200"])
def test_it_fits_a_tracker(place: Path, limit: str) -> None:
    lines = [
        (size, calls, f"{'d' * 90}/{rest.replace(' func:', ' func:' + 'f' * 90)}")
        for size, calls, rest in sample_lines()
    ]
    (place / "long").write_bytes(listing(lines, BEGUN))
    lines = [(3 * size, 3 * calls, rest) for size, calls, rest in lines]
    (place / "longer").write_bytes(listing(lines, BEGUN + 1))
    text = markdown("long", "longer", "-n", limit)
    assert len(text.encode()) <= 60_000
    rows = by_heading(parsed(text)).get("Largest", [[]])
    assert len(rows) - 1 <= int(limit) and (limit == "0") == (len(rows) == 1)


@pytest.mark.parametrize("argv", [("-f", "mm/slub.c"), ("-f", "nosuch")])
def test_memory_is_not_judged_where_tags_are_left_out(argv: tuple[str, ...]) -> None:
    for format in ("markdown", "html"):
        done = here("report", "--sample", *argv, "-o", format)
        assert b"holds the largest part" not in done.out and b"## Memory" not in done.out
        assert b'id="memory"' not in done.out
    assert b"## Memory" in here("report", "--sample", "-o", "markdown").out


def test_nothing_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "zero.txt").write_bytes(oracle.HEADER + b"0 0 a.c:1 func:f \n0 0 b.c:2 func:g \n")
    done = here("report", str(tmp_path / "zero.txt"), "-o", "markdown")
    assert done.status == 0 and b"largest part" not in done.out
