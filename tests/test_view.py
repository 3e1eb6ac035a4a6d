"""Sorting, limits and sums compared with Python's sort, and the table for people."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import oracle
import pytest
import terminal
from command import allocq, query, unhurried
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import SAMPLE, TEXTS

from allocq.units import format_size

SORTS = ("bytes", "calls", "average", "file", "function", "module", "none")
GROUPS = ("file", "directory", "function", "module", "location")

names = st.sampled_from(["a", "b", "ab", "B", "é", "a/b", "_"])
numbers = st.integers(-3, 3) | st.integers(-(2**62), 2**62)
tag_lines = st.builds(
    lambda size, calls, file, line, module, function: (
        f"{size:12d} {calls:8d} {file}:{line}{module} func:{function} "
    ),
    numbers,
    st.integers(0, 3) | st.integers(0, 2**62),
    names,
    st.integers(0, 12),
    st.sampled_from(["", " [xfs]", " [ext4]", " [a b]"]),
    names,
)
# A tag that comes again can begin another listing.
texts = st.lists(tag_lines, max_size=12, unique_by=lambda line: line.split(None, 2)[2]).map(
    lambda lines: oracle.HEADER + "".join(f"{line}\n" for line in lines).encode()
)
limits = st.none() | st.integers(0, 14) | st.just(2**64 - 1)


def view_argv(sort: str | None, reverse: bool, limit: int | None) -> list[str]:
    argv = [] if sort is None else ["-s", sort]
    argv += ["-r"] if reverse else []
    return argv + ([] if limit is None else ["-n", str(limit)])


@settings(unhurried, max_examples=100)
@given(texts, st.sampled_from(SORTS), st.booleans(), limits)
def test_order_and_limit(data: bytes, sort: str, reverse: bool, limit: int | None) -> None:
    result = query(data, "-o", "procfs", *view_argv(sort, reverse, limit))
    assert oracle.parse(result.out) == oracle.ordered(oracle.parse(data), sort, reverse, limit)
    assert result.status == (0 if oracle.parse(data) else 1)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_order_of_real_texts(path: Path, sort: str) -> None:
    data = path.read_bytes()
    tags = oracle.parse(data)
    for reverse in (False, True):
        for limit in (None, 7):
            shown = query(data, "-o", "procfs", *view_argv(sort, reverse, limit)).out
            assert oracle.parse(shown) == oracle.ordered(tags, sort, reverse, limit)


def test_the_default_order_is_the_kernels_but_in_a_table_by_size() -> None:
    data = SAMPLE.read_bytes()
    tags = [tag.as_json() for tag in oracle.parse(data)]
    assert json.loads(query(data, "-o", "json").out)["tags"] == tags
    assert json.loads(query(data, "-o", "json", "-s", "none").out)["tags"] == tags
    assert query(data, "-o", "table").out == query(data, "-o", "table", "-s", "bytes").out


def test_an_order_with_a_filter_and_a_limit_is_of_what_matches() -> None:
    data = SAMPLE.read_bytes()
    asked = oracle.Asked(files=["*.h"])
    expected = oracle.ordered(oracle.meant(oracle.parse(data), asked), "calls", False, 5)
    result = query(data, "-f", "*.h", "-s", "calls", "-n", "5", "-o", "procfs")
    assert oracle.parse(result.out) == expected


# Groups

Group = tuple[Any, int, int, int]


def name_of(key: Any, sort: str) -> Any:
    if not isinstance(key, tuple):
        return key or ""
    file, line, module, function = key
    return {"file": (file, line), "function": function, "module": module or ""}[sort]


def expected_groups(
    data: bytes, by: str, sort: str, reverse: bool, limit: int | None
) -> list[Group]:
    groups = [(key, *sums) for key, sums in oracle.grouped(oracle.parse(data), by).items()]
    if sort == "none":
        groups = groups[::-1] if reverse else groups
    elif sort in ("bytes", "calls", "average"):
        groups.sort(
            key=lambda g: {"bytes": g[1], "calls": g[2]}.get(sort, oracle.average(g[1], g[2])),
            reverse=not reverse,
        )
    else:
        groups.sort(key=lambda g: name_of(g[0], sort), reverse=reverse)
    return groups[:limit]


def has(by: str, sort: str) -> bool:
    """Does such a group have what it is to be sorted by?"""
    return (
        sort not in ("file", "function", "module")
        or by in (sort, "location")
        or (sort == "file" and by == "directory")
    )


@settings(unhurried, max_examples=100)
@given(texts, st.sampled_from(GROUPS), st.data(), st.booleans(), limits)
def test_groups_and_their_order(
    data: bytes, by: str, draw: st.DataObject, reverse: bool, limit: int | None
) -> None:
    sort = draw.draw(st.sampled_from(SORTS).filter(lambda sort: has(by, sort)))
    result = query(data, "-g", by, "-o", "json", *view_argv(sort, reverse, limit))
    document = json.loads(result.out)
    keys = ("file", "line", "module", "function")
    groups = [
        (
            tuple(g[key] for key in keys) if by == "location" else g[by],
            g["bytes"],
            g["calls"],
            g["tags"],
        )
        for g in document["groups"]
    ]
    expected = expected_groups(data, by, sort, reverse, limit)
    assert groups == expected
    assert document["total"] == {
        "tags": sum(g[3] for g in expected),
        "bytes": sum(g[1] for g in expected),
        "calls": sum(g[2] for g in expected),
    }
    assert result.status == (0 if oracle.parse(data) else 1)


def test_a_group_of_built_in_code_has_no_name_and_no_files_directory_is_a_dot() -> None:
    data = oracle.HEADER + b"1 1 a.c:1 func:f \n1 1 /b.c:1 [m] func:f \n"
    by_module = json.loads(query(data, "-g", "module", "-o", "json").out)["groups"]
    assert [group["module"] for group in by_module] == [None, "m"]
    assert b"(built-in)" in query(data, "-g", "module", "-o", "table").out
    assert b"\n1,1,1,m\n" in query(data, "-g", "module", "-o", "csv").out
    assert b"\n1,1,1,\n" in query(data, "-g", "module", "-o", "csv").out


# The table


def table(data: bytes, *argv: str, **env: str) -> str:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in env.items():
            patched.setenv(name, value)
        return query(data, "-o", "table", *argv).out.decode()


@settings(unhurried, max_examples=70)
@given(texts, st.booleans())
def test_a_table_says_what_json_says(data: bytes, plain: bool) -> None:
    tags = oracle.ordered(oracle.parse(data), "bytes", False, None)
    shown = table(data, *(["--bytes"] if plain else []))
    if not tags:
        assert shown == ""
        return
    lines = shown.splitlines()
    head, rows, total = lines[0], lines[1 : len(tags) + 1], lines[len(tags) + 1]
    assert head.split() == ["BYTES", "CALLS", "WHERE", "FUNCTION"]
    size = str if plain else format_size
    for row, tag in zip(rows, tags, strict=True):
        module = "" if tag.module is None else f" [{tag.module}]"
        below = "!" * (tag.bytes < 0 or tag.calls < 0)
        expected = [f"{size(tag.bytes)}{below}", tag.calls, f"{tag.file}:{tag.line}{module}"]
        assert row.split() == " ".join(map(str, [*expected, tag.function])).split()
        assert row.rindex(tag.function) == head.index("FUNCTION")
    sums = oracle.once(tags)
    below = sum(tag.bytes < 0 or tag.calls < 0 for tag in tags)
    words = f"total of {len(tags)} {'tag' if len(tags) == 1 else 'tags'}"
    words += f", without {below} underflowed" if below else ""
    assert total.split(None, 2) == [size(sums[0]), str(sums[1]), words]
    assert lines[len(tags) + 2 :] == (
        ["! underflowed, not in sums: the counter is below zero"] if below else []
    )


def test_a_table_marks_counters_that_miss_something_and_says_so() -> None:
    data = oracle.HEADER + b"2 1 a.c:1 func:f accurate:no \n1 1 a.c:2 func:g \n"
    lines = table(data).splitlines()
    assert [("~" in line) for line in lines] == [False, True, False, False, True]
    assert lines[1].index("a.c") == lines[2].index("a.c")
    assert lines[-1] == "~ inaccurate: the kernel missed allocations"
    assert "~" not in table(data, "--accurate")


def test_a_table_has_a_header_unless_it_is_not_wanted() -> None:
    data = oracle.HEADER + b"2 1 a.c:1 func:f \n"
    assert table(data).splitlines()[0].startswith("BYTES")
    assert table(data, "--header") == table(data)
    lines = table(data, "--no-header").splitlines()
    assert len(lines) == 2 and "a.c:1" in lines[0] and "total" in lines[1]


def test_what_a_terminal_could_act_on_is_shown_escaped() -> None:
    evil = "\r\x1b[2J\x07\x9b\u202e\u2028\x7f"
    data = (
        oracle.HEADER
        + f"2 1 {evil}.c:1 [{evil}] func:{evil} \n".encode()
        + b"1 1 \xff\xfe.c:1 func:f \n"
    )
    for argv in ([], ["--color", "always"], ["-g", "file"], ["-g", "module"], ["-g", "function"]):
        shown = table(data, *argv)
        bare = re.sub(r"\x1b\[(1|33|0)m", "", shown) if "always" in argv else shown
        assert not [c for c in bare if c != "\n" and unicodedata.category(c)[0] == "C"], shown
        assert "\u2028" not in bare
        assert "\\x1b[2J\\x07\\x9b\\u202e\\u2028\\x7f" in shown
    assert "\\xff\\xfe.c" in table(data)


# On a terminal


def on_terminal(*argv: str, columns: int = 0, env: dict[str, str] | None = None) -> str:
    """What `allocq query` writes to a terminal this wide, without a pager."""
    own = {"PAGER": "", **(env or {})}
    return terminal.on_terminal("query", *argv, columns=columns or 80, **own).text


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_terminal_gets_a_table_in_color() -> None:
    shown = on_terminal("--sample", "-n", "5", columns=80)
    assert bare(shown).startswith("BYTES")
    assert "\x1b[" in shown
    assert bare(shown) == allocq("query", "--sample", "-n", "5", "-o", "table").out.decode()


@pytest.mark.parametrize("columns", [200, 80, 60, 44, 40, 10])
@pytest.mark.parametrize("way", ["terminal", "COLUMNS"])
def test_a_table_fits_the_terminal(columns: int, way: str) -> None:
    argv = ["--sample", "-F", "*alloc*", "-n", "60"]
    if way == "terminal":
        shown = on_terminal(*argv, columns=columns)
    else:
        shown = on_terminal(*argv, columns=500, env={"COLUMNS": str(columns)})
    lines = bare(shown).splitlines()
    rows, rest = lines[:61], " ".join(" ".join(lines[61:]).split())
    assert max(map(len, lines)) <= columns
    assert "60 of" in rest and "slab pages" in rest
    if columns >= 40:
        assert all(line.split()[-1] for line in rows)
        assert [line.split()[0][-1].rstrip("~*") for line in rows]
    assert ("CALLS" in rows[0]) == (columns >= 60)
    if columns == 200:
        assert not any(".." in line for line in rows)


@pytest.mark.parametrize("columns", ["", "0", "-5", "x", "99999", "9" * 5000])
def test_columns_that_make_no_sense_are_passed_over(columns: str) -> None:
    shown = on_terminal("--sample", "-n", "1", columns=100, env={"COLUMNS": columns})
    assert bare(shown).splitlines()[1].endswith("ractl_alloc_folio")
    assert bare(shown).startswith("BYTES")
    assert "Traceback" not in shown


def test_a_table_in_a_file_is_whole() -> None:
    shown = allocq("query", "--sample", "-o", "table", env={"COLUMNS": "40"}).out.decode()
    assert max(map(len, shown.splitlines())) > 80
    for tag in oracle.parse(SAMPLE.read_bytes())[::50]:
        assert f"{tag.file}:{tag.line}" in shown


@pytest.mark.parametrize(
    ("argv", "env", "colored"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"NO_COLOR": ""}, True),
        (["--color", "never"], {}, False),
        ([], {"TERM": "dumb"}, False),
        (["--color", "always"], {"TERM": "dumb"}, True),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "auto"], {"NO_COLOR": "1"}, False),
        (["-o", "procfs"], {}, False),
        (["-o", "json"], {}, False),
    ],
)
def test_color_is_for_terminals_that_want_it(
    argv: list[str], env: dict[str, str], colored: bool
) -> None:
    shown = on_terminal("--sample", "-n", "3", *argv, columns=80, env=env)
    assert ("\x1b[" in shown) == colored


def test_no_color_in_a_pipe_unless_always() -> None:
    assert b"\x1b" not in allocq("query", "--sample", "-o", "table", "--inaccurate").out
    assert b"\x1b" in allocq("query", "--sample", "-o", "table", "--color", "always").out
