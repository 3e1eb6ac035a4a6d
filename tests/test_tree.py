"""`allocq tree`: sums, what is shown, and every format."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import terminal
from command import allocq, here, saved
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import HEADER, SAMPLE, TEXTS, Tag, parse

from allocq.analysis.tree import (
    Choice,
    Node,
    NodeKind,
    build,
    fold,
    split_path,
    walk,
)
from allocq.output.terminal import speaks_utf8
from allocq.output.tree import TreeLayout, draw, lay_out, rows

NAMES = ("a", "b", "c.c", "arch", "mm")
SLAB = ("mm/slub.c", "alloc_slab_page")


def is_slab(tag: Tag) -> bool:
    in_slub = ("/" + tag.file).endswith("/" + SLAB[0])
    return in_slub and tag.function == SLAB[1] and tag.module is None


def tree_of(tags: Sequence[Tag]) -> Node:
    return build(
        [tag.file for tag in tags],
        [tag.function for tag in tags],
        [tag.line for tag in tags],
        [tag.bytes for tag in tags],
        [tag.calls for tag in tags],
        [is_slab(tag) for tag in tags],
    )


def places(tag: Tag) -> Iterator[tuple[str, ...]]:
    """The way to a tag, and to everything above it; the kind first."""
    parts = tag.file.split("/")
    for i in range(1, len(parts)):
        yield (NodeKind.DIRECTORY, "/".join(parts[:i]))
    yield (NodeKind.FILE, tag.file)
    yield (NodeKind.FUNCTION, tag.file, tag.function)
    yield (NodeKind.LINE, tag.file, tag.function, str(tag.line))


def sums(tags: Sequence[Tag]) -> dict[tuple[str, ...], tuple[int, int, int, int]]:
    """(bytes, calls, tags, slab bytes) of every place, by adding up each one's own tags."""
    found: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for tag in tags:
        for place in places(tag):
            for i, more in enumerate((tag.bytes, tag.calls, 1, tag.bytes * is_slab(tag))):
                found[place][i] += more * (i == 2 or (tag.bytes >= 0 and tag.calls >= 0))
    return {place: (a, b, c, d) for place, (a, b, c, d) in found.items()}


def place_of(node: Node) -> tuple[str, ...]:
    way = node.path()
    path = "/".join(step.name for step in way if step.kind in (NodeKind.DIRECTORY, NodeKind.FILE))
    return (
        node.kind,
        path,
        *(step.name for step in way if step.kind in (NodeKind.FUNCTION, NodeKind.LINE)),
    )


def all_of(root: Node) -> dict[tuple[str, ...], tuple[int, int, int, int]]:
    return {place_of(n): (n.bytes, n.calls, n.tags, n.slab) for n in walk(root, Choice())}


tags_strategy = st.lists(
    st.builds(
        Tag,
        bytes=st.integers(-(1 << 40), 1 << 62) | st.sampled_from([0, 1, 4096]),
        calls=st.integers(0, 1 << 63) | st.just(0),
        file=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
        | st.just(SLAB[0]),
        line=st.integers(0, 5),
        module=st.none() | st.just("m"),
        function=st.sampled_from(["f", "g", SLAB[1]]),
        accurate=st.booleans(),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(tags_strategy)
def test_every_sum_is_that_of_its_tags(tags: list[Tag]) -> None:
    assert all_of(tree_of(tags)) == sums(tags)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_sum_is_that_of_its_tags_on_real_data(text: Any) -> None:
    tags = parse(text.read_bytes())
    root = tree_of(tags)
    assert all_of(root) == sums(tags)
    assert (root.bytes, root.calls) == (sum(t.bytes for t in tags), sum(t.calls for t in tags))
    assert root.slab == sum(t.bytes for t in tags if t.function == SLAB[1]) > 0


@settings(deadline=None)
@given(tags_strategy)
def test_children_add_up(tags: list[Tag]) -> None:
    root = tree_of(tags)
    for node in [root, *walk(root, Choice())]:
        if below := node.children.values():
            assert node.bytes == sum(child.bytes for child in below)
            assert node.tags == sum(child.tags for child in below)


choices = st.builds(
    Choice,
    depth=st.none() | st.integers(1, 6),
    least=st.none() | st.integers(0, 10000),
    sort=st.sampled_from(["bytes", "calls", "name"]),
    limit=st.none() | st.integers(0, 3),
    holding=st.booleans(),
    once=st.booleans(),
)


@settings(deadline=None)
@given(tags_strategy, choices)
def test_what_is_shown(tags: list[Tag], choice: Choice) -> None:
    root = tree_of(tags)
    shown = list(walk(root, choice))
    assert len({id(node) for node in shown}) == len(shown)
    for node in shown:
        assert choice.depth is None or node.depth <= choice.depth
        assert choice.least is None or node.bytes >= choice.least
        assert not choice.holding or node.bytes or node.calls or node.underflowed
        assert node.parent is root or node.parent in shown
    for node in [root, *shown]:
        below = [child for child in shown if child.parent is node]
        assert choice.limit is None or len(below) <= choice.limit
        if choice.sort != "name":
            values = [getattr(child, choice.sort) for child in below]
            assert values == sorted(values, reverse=True)
    if (choice.limit, choice.least, choice.depth, choice.holding) == (None, None, None, False):
        assert {place_of(node) for node in shown} == set(all_of(root))


@settings(deadline=None)
@given(tags_strategy.map(lambda tags: [t._replace(bytes=abs(t.bytes)) for t in tags]), choices)
def test_folded_loses_nothing(tags: list[Tag], choice: Choice) -> None:
    """Whatever is left out of the leaves is at the nodes above them, but for the very top."""
    root = tree_of(tags)
    total = sum(size for _, size in fold(root, choice))
    assert total == sum(child.bytes for child in choice.children(root))


@settings(deadline=None)
@given(tags_strategy, choices)
def test_the_table_has_every_shown_node_or_joins_it(tags: list[Tag], choice: Choice) -> None:
    root = tree_of(tags)
    shown = list(walk(root, choice))
    lines = [row for row in rows(root, choice) if not row.name.endswith("more)")]
    assert len(lines) <= len(shown)
    assert {line.bytes for line in lines} == {node.counters[0] for node in shown}
    words = " ".join(line.name for line in lines)
    assert all(node.name in words for node in shown)


def test_thousands_of_levels() -> None:
    deep = "/".join(["d"] * 3000) + "/f.c"
    data = HEADER + f"  5  1 {deep}:3 func:f \n".encode()
    with saved(data) as path:
        for format in ("table", "json", "folded"):
            done = here("tree", "--source", path, "-o", format)
            assert done.status == 0 and done.err == ""


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        ("mm/slub.c", ["mm", "slub.c"]),
        ("/home/x/m.c", ["/", "home", "x", "m.c"]),
        ("../a.c", ["..", "a.c"]),
        ("a//b.c", ["a", "b.c"]),
        ("a.c", ["a.c"]),
        ("/", ["/"]),
    ],
)
def test_paths(file: str, parts: list[str]) -> None:
    assert split_path(file) == parts


# The command


def tree(*argv: str) -> bytes:
    done = here("tree", "--sample", *argv)
    assert done.status == 0 and done.err == ""
    return done.out


SAMPLE_TAGS = parse(SAMPLE.read_bytes())


def test_json() -> None:
    document = json.loads(tree("-o", "json"))
    expected = sums(SAMPLE_TAGS)
    found: dict[tuple[str, ...], tuple[int, ...]] = {}
    stack: list[tuple[Any, tuple[tuple[str, str], ...]]] = [(document["tree"], ())]
    while stack:
        node, above = stack.pop()
        names = (*above, (node["kind"], node["name"]))
        for child in node["children"]:
            stack.append((child, names))
        path = "/".join(
            name for kind, name in names[1:] if kind in (NodeKind.DIRECTORY, NodeKind.FILE)
        )
        rest = tuple(name for kind, name in names[1:] if kind in (NodeKind.FUNCTION, NodeKind.LINE))
        if above:
            values = (node["bytes"], node["calls"], node["tags"], node["slab_bytes"])
            place = (node["kind"], path, *rest)
            found[place] = values
    assert found == expected
    assert document["total"]["bytes"] == document["tree"]["bytes"]
    assert document["total"]["tags"] == len(SAMPLE_TAGS)
    assert document["slab"] == "once"


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl"])
def test_rows(format: str) -> None:
    text = tree("-o", format).decode()
    if format == "jsonl":
        records = [json.loads(line) for line in text.splitlines()]
    else:
        separator = "," if format == "csv" else "\t"
        records = list(csv.DictReader(io.StringIO(text), delimiter=separator))
    found = {}
    for r in records:
        place = (r["kind"], r["path"], r["function"], r["line"])
        key = tuple(str(part) for part in place if part not in (None, ""))
        found[key] = tuple(int(r[name]) for name in ("bytes", "calls", "tags", "slab_bytes"))
    assert found == sums(SAMPLE_TAGS)


def test_folded() -> None:
    lines = tree("-o", "folded").decode().splitlines()
    found: dict[str, int] = {}
    for line in lines:
        frames, _, size = line.rpartition(" ")
        assert frames not in found
        found[frames] = int(size)
    expected: dict[str, int] = defaultdict(int)
    for tag in SAMPLE_TAGS:
        expected[";".join([*tag.file.split("/"), tag.function, str(tag.line)])] += tag.bytes
    assert found == {frames: size for frames, size in expected.items() if size > 0}


def test_folded_names_cannot_break_a_frame() -> None:
    with saved(HEADER + b"  5  1 a;b/c d.c:3 func:f \n") as path:
        out = here("tree", "--source", path, "-o", "folded").out
    assert out == b"a_b;c d.c;f;3 5\n"


def test_slab_pages() -> None:
    pages = sum(tag.bytes for tag in SAMPLE_TAGS if is_slab(tag))
    total = sum(tag.bytes for tag in SAMPLE_TAGS)
    once, marked, included, excluded = (
        tree("--bytes", "-d", "9", "--slab", how).decode().splitlines()
        for how in ("once", "mark", "include", "exclude")
    )
    assert once == marked and marked[-1].startswith("* slab pages, not in the total")
    assert marked[-2].split()[0] == str(total - pages)
    assert marked[-2].endswith(f", without {pages} of slab pages")
    top = next(line for line in marked if line.endswith(" mm/"))
    size = sum(tag.bytes for tag in SAMPLE_TAGS if tag.file.startswith("mm/"))
    share = (size - pages) / (total - pages)
    assert top.split()[0] == f"{size - pages}" and top.split()[2] == f"{share:.1%}"
    own = [line for line in marked if "*" in line[:20] and not line.startswith("*")]
    assert own and all(re.fullmatch(r" *\d+\* +\d+ +\S+", line) for line in own)
    assert "counted twice" in included[-1] and "*" not in "".join(included)
    assert excluded[-1].split()[0] == str(total - pages) and "without slab pages" in excluded[-1]
    assert included[-1].split()[0] == str(total)
    for how in ("mark", "include"):
        document = json.loads(tree("-o", "json", "--slab", how))
        assert document["total"]["bytes"] == total
        counted = total if how == "include" else total - pages
        assert document["counted"]["bytes"] == counted
        assert document["counted"]["slab_bytes"] == pages
    document = json.loads(tree("-o", "json", "--slab", "exclude"))
    assert document["total"]["bytes"] == total - pages
    assert document["total"]["slab_bytes"] == 0
    assert document["total"]["tags"] == len([tag for tag in SAMPLE_TAGS if not is_slab(tag)])


def test_filters_are_those_of_query() -> None:
    document = json.loads(tree("-o", "json", "-f", "fs/*", "-x", "*.h", "--min-calls", "2"))
    due = [t for t in SAMPLE_TAGS if t.file.startswith("fs/") and t.calls >= 2]
    due = [tag for tag in due if not tag.file.endswith(".h")]
    assert document["total"]["tags"] == len(due) > 0
    assert document["filter"] == {"file": ["fs/*"], "exclude": ["*.h"], "min_calls": 2}


def test_min_size_leaves_out_and_keeps_the_sums() -> None:
    rows = list(csv.DictReader(io.StringIO(tree("-o", "csv", "--min-size", "1M").decode())))
    assert rows and all(int(row["bytes"]) >= 1 << 20 for row in rows)
    due = {place for place, values in sums(SAMPLE_TAGS).items() if values[0] >= 1 << 20}
    assert len(rows) == len(due)
    total = sum(tag.bytes for tag in SAMPLE_TAGS)
    last = tree("--min-size", "1M", "--bytes", "--slab", "include").decode().splitlines()[-1]
    assert last.split()[0] == str(total)


def test_depth_and_limit() -> None:
    shown = tree("-d", "1", "-n", "2", "--no-header", "--bytes").decode().splitlines()
    tops = [values for place, values in sums([t for t in SAMPLE_TAGS if not is_slab(t)]).items()
            if place[0] == NodeKind.DIRECTORY and "/" not in place[1]]  # fmt: skip
    sizes = sorted((values[0] for values in tops), reverse=True)
    found = [int(line.split()[0]) for line in shown[:4]]
    assert found == [*sizes[:2], sum(sizes[2:]), sum(sizes)]
    holding = [values for values in tops if values[0] or values[1]]
    assert f"({len(holding) - 2} more)" in shown[2]


def test_narrow_questions_are_shown_to_the_line() -> None:
    text = tree("-f", "mm/slub.c", "--bytes").decode()
    assert "alloc_slab_page" in text and ":3347" in text
    assert len(tree().decode().splitlines()) > 60  # two levels, however long


@pytest.mark.parametrize(
    "words",
    [("-d", "0"), ("-d", "x"), ("--min-size", "x"), ("--slab", "no"), ("-o", "procfs"),
     ("-s", "file"), ("-n", "-1"), ("-e", "[")],
)  # fmt: skip
def test_mistakes(words: tuple[str, ...]) -> None:
    done = here("tree", "--sample", *words)
    assert done.status == 2 and done.out == b"" and done.err.startswith("allocq: ")


def test_nothing_matches() -> None:
    done = here("tree", "--sample", "-f", "nowhere.c")
    assert (done.status, done.out) == (1, b"")
    document = json.loads(here("tree", "--sample", "-f", "nowhere.c", "-o", "json").out)
    assert document["tree"]["children"] == [] and document["total"]["tags"] == 0


def test_names_reach_the_terminal_escaped() -> None:
    with saved(HEADER + b"  5  1 a/\x1b[2J.c:3 func:f\x07 \n") as path:
        out = here("tree", "--source", path).out
    assert b"\x1b" not in out and b"\x07" not in out and b"\\x1b[2J.c" in out


# The terminal


def on_terminal(columns: int, *argv: str, **variables: str) -> str:
    """What `allocq tree --sample` writes to a terminal of so many columns, without a pager."""
    own = {"PAGER": "", **variables}
    return terminal.on_terminal("tree", "--sample", *argv, columns=columns, lines=50, **own).text


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 120])
def test_lines_fit_the_terminal(columns: int) -> None:
    text = on_terminal(columns, "--color", "never", "--depth", "9", LANG="en_US.UTF-8")
    lines = text.splitlines()
    assert len(lines) > 100
    assert max(len(line) for line in lines) <= columns
    assert ("█" in text) == (columns >= 80)
    assert ("CALLS" in lines[0]) == (columns >= 60) and "BYTES" in lines[0]


def test_bars_are_ascii_where_the_locale_is() -> None:
    text = on_terminal(100, "--color", "never", LC_ALL="C")
    assert "##" in text and text.isascii()
    assert "█" in on_terminal(100, LC_ALL="C.UTF-8")


def test_color() -> None:
    assert "\x1b[" in on_terminal(100, LANG="C.UTF-8")
    assert "\x1b[" not in on_terminal(100, NO_COLOR="1")
    assert "\x1b[" not in on_terminal(100, "--color", "never")
    assert b"\x1b[" in tree("--color", "always")


@pytest.mark.parametrize(
    ("variables", "due"),
    [
        ({}, False),
        ({"LANG": "C"}, False),
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "de_DE.utf8"}, True),
        ({"LANG": "de_DE"}, False),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, False),
        ({"LC_ALL": "C.UTF-8"}, True),
        ({"LC_CTYPE": "C.UTF-8", "LANG": "C"}, False),
        ({"LC_CTYPE": "UTF-8"}, True),
        ({"LC_CTYPE": "C.UTF-8", "LANG": "en_US.UTF-8"}, True),
    ],
)
def test_locales(variables: dict[str, str], due: bool) -> None:
    assert speaks_utf8(variables) is due


@settings(deadline=None)
@given(st.floats(-1, 2), st.integers(1, 60), st.booleans())
def test_bars(share: float, width: int, utf8: bool) -> None:
    bar = draw(share, width, utf8)
    assert len(bar) == width
    if share >= 1:
        assert bar == ("█" if utf8 else "#") * width
    if share <= 0:
        assert bar == " " * width


@settings(deadline=None)
@given(tags_strategy, choices, st.none() | st.integers(1, 200), st.booleans())
def test_any_layout(tags: list[Tag], choice: Choice, width: int | None, utf8: bool) -> None:
    root = tree_of(tags)
    lines = lay_out(root, choice, TreeLayout(width, utf8=utf8), "total")
    assert len(lines) >= len(list(rows(root, choice))) + 2
    assert width is None or max(map(len, lines)) <= max(width, 12)


def test_counters_below_zero_are_marked_and_left_out_of_sums() -> None:
    lines = [b"-8192 18446744073709551614 a/x.c:1 func:f ", b"4096 1 a/x.c:2 func:g ",
             b"-5 1 b/y.c:1 func:h "]  # fmt: skip
    with saved(HEADER + b"".join(line + b"\n" for line in lines)) as path:
        table = here("tree", "--source", path, "--bytes", "-d", "9").out.decode().splitlines()
        document = json.loads(here("tree", "--source", path, "-o", "json").out)
    cells = {line.split()[-1]: line.split()[:-1] for line in table[1:-2]}
    assert cells["a/"] == ["4096!", "1", "100.0%"]  # what is sound of it
    assert cells["f:1"] == ["-8192!", "-2"] and cells["b/"] == ["-5!", "1"]
    assert cells["g:2"] == ["4096", "1", "100.0%"]
    assert table[-2].split(None, 2) == ["4096", "1", "total of 3 tags, without 2 underflowed"]
    assert table[-1].startswith("! underflowed")
    assert document["counted"]["bytes"] == 4096 and document["counted"]["underflowed"] == 2


def test_a_whole_process() -> None:
    done = allocq("tree", "--sample", "-o", "folded")
    assert (done.status, done.err) == (0, "")
    assert done.out == tree("-o", "folded")


@pytest.mark.parametrize("how", ["once", "include", "exclude", "only"])
@pytest.mark.parametrize("argv", [(), ("mm/",), ("mm/slub.c",), ("-n", "3"), ("-s", "calls")])
def test_sizes_and_shares_of_the_first_level_add_up_to_the_total(
    how: str, argv: tuple[str, ...]
) -> None:
    shown = tree("-d", "1", "--bytes", "--no-header", "--slab", how, *argv).decode()
    *rows, total = shown.splitlines()
    if total.startswith("*"):
        *rows, total = rows
    size, calls = map(int, total.split()[:2])
    cells = [row.split() for row in rows]
    assert not [row for row in cells if "*" in row[0]]
    assert sum(int(row[0]) for row in cells) == size
    assert sum(int(row[1]) for row in cells) == calls
    for row in cells:
        assert row[2] == f"{int(row[0]) / size:.1%}"
    if not argv or argv[0] == "-s":
        sorted_by = [int(row[1 if argv else 0]) for row in cells]
        assert sorted_by == sorted(sorted_by, reverse=True)
