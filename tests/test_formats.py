"""Every output format, read back by an independent reader and compared with the text."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import oracle
import orjson
import pytest
from command import Result, allocq, query, unhurried
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import NAMES, SAMPLE, TEXTS
from test_text import lines

GROUPS = ("file", "directory", "function", "module")


def cells(tag: oracle.Tag) -> list[str]:
    """A tag's values as CSV and TSV have them."""
    values = list(tag.as_json().values())
    return ["" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for v in values]


def lossy(value: object) -> object:
    """JSON has no bytes: what is no UTF-8 becomes U+FFFD."""
    if isinstance(value, str):
        return "".join("\ufffd" if "\udc80" <= c <= "\udcff" else c for c in value)
    return value


def as_json(tag: oracle.Tag) -> dict[str, object]:
    return {name: lossy(value) for name, value in tag.as_json().items()}


def read_csv(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(oracle.decode(data), newline=""), strict=True))


def read_tsv(data: bytes) -> list[list[str]]:
    escapes = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}

    def unescape(cell: str) -> str:
        out, i = "", 0
        while i < len(cell):
            step = 2 if cell[i] == "\\" else 1
            out += escapes[cell[i : i + 2]] if step == 2 else cell[i]
            i += step
        return out

    rows = oracle.decode(data).split("\n")
    assert rows.pop() == ""
    return [[unescape(cell) for cell in row.split("\t")] for row in rows]


def tags_of(result: Result) -> list[dict[str, Any]]:
    """The tags of a JSON document, the same for two readers."""
    document = json.loads(result.out)
    tags = document["tags"]
    assert orjson.loads(result.out)["tags"] == tags
    assert isinstance(tags, list)
    return tags


def check_all(data: bytes, tags: list[oracle.Tag], *argv: str) -> None:
    """Each format says these tags."""
    assert query(data, "-o", "procfs", *argv).out == b"".join(
        f"{tag.text}\n".encode("utf-8", "surrogateescape") for tag in tags
    )
    assert tags_of(query(data, "-o", "json", *argv)) == [as_json(tag) for tag in tags]
    rows = query(data, "-o", "jsonl", *argv).out
    assert [json.loads(row) for row in rows.splitlines()] == [as_json(tag) for tag in tags]
    assert [orjson.loads(row) for row in rows.splitlines()] == [as_json(tag) for tag in tags]
    expected = [list(NAMES), *(cells(tag) for tag in tags)]
    assert read_csv(query(data, "-o", "csv", *argv).out) == expected
    assert read_csv(query(data, "-o", "csv", "--no-header", *argv).out) == expected[1:]
    assert read_tsv(query(data, "-o", "tsv", *argv).out) == expected
    assert read_tsv(query(data, "-o", "tsv", "--no-header", *argv).out) == expected[1:]


def identity(text: str) -> tuple[object, ...] | None:
    """What makes a tag itself: if it comes again, that can begin another listing."""
    tag = oracle.parse_line(text)
    return tag and tag[2:6]


@settings(unhurried, max_examples=60)
@given(st.lists(lines().filter(identity), max_size=5, unique_by=identity))
def test_odd_names_survive_every_format(texts: list[str]) -> None:
    data = oracle.HEADER + "".join(f"{text}\n" for text in texts).encode("utf-8", "surrogateescape")
    check_all(data, oracle.parse(data))


@settings(unhurried, max_examples=60)
@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), min_size=1, max_size=5)
)
def test_any_character_survives_every_format(names: list[str]) -> None:
    texts = dict.fromkeys(name.replace("\n", "").replace("\0", "") or "x" for name in names)
    lines = [f"1 1 {name}:1 [{name}] func:{name.replace(' ', '') or 'f'} " for name in texts]
    known = [line for line in lines if oracle.parse_line(line)]
    data = oracle.HEADER + "".join(f"{line}\n" for line in known).encode()
    check_all(data, oracle.parse(data))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "argv",
    [[], ["-f", "mm/*"], ["--inaccurate"], ["-m", "*"], ["-e", "alloc", "-i"], ["-f", "nothing.c"]],
    ids=" ".join,
)
def test_real_texts_in_every_format(path: Path, argv: list[str]) -> None:
    asked = {
        "": oracle.Asked(),
        "-f mm/*": oracle.Asked(files=["mm/*"]),
        "--inaccurate": oracle.Asked(accurate=False),
        "-m *": oracle.Asked(modules=["*"]),
        "-e alloc -i": oracle.Asked(regexps=["alloc"], ignore_case=True),
        "-f nothing.c": oracle.Asked(files=["nothing.c"]),
    }[" ".join(argv)]
    data = path.read_bytes()
    check_all(data, oracle.meant(oracle.parse(data), asked), *argv)


# JSON


def test_json_is_one_object_with_the_source_the_question_and_the_total() -> None:
    argv = [
        "-f",
        "mm/*",
        "-f",
        "slub.c",
        "--min-size",
        "1K",
        "-l",
        "1-99999",
        "-x",
        "mm/page_alloc.c",
    ]
    result = allocq("query", "--source", str(SAMPLE), "-o", "json", *argv)
    document = json.loads(result.out)
    assert list(document) == ["source", "filter", "tags", "total", "counted"]
    assert document["source"] == {
        "path": str(SAMPLE),
        "interface": "text",
        "kernel": None,
        "content_id": None,
        "consistent": None,
        "time": None,
    }
    assert document["filter"] == {
        "file": ["mm/*", "slub.c"],
        "line": [[1, 99999]],
        "min_size": 1024,
        "exclude": ["mm/page_alloc.c"],
    }
    tags = document["tags"]
    assert tags
    assert document["total"] == {
        "tags": len(tags),
        "bytes": sum(tag["bytes"] for tag in tags),
        "calls": sum(tag["calls"] for tag in tags),
    }


@pytest.mark.parametrize(
    "argv", [[], ["-s", "bytes"], ["-n", "3"], ["-n", "0"], ["-f", "nothing.c"]]
)
def test_the_total_is_of_what_is_listed(argv: list[str]) -> None:
    document = json.loads(query(SAMPLE.read_bytes(), "-o", "json", *argv).out)
    tags = document["tags"]
    assert document["total"] == {
        "tags": len(tags),
        "bytes": sum(tag["bytes"] for tag in tags),
        "calls": sum(tag["calls"] for tag in tags),
    }


@pytest.mark.parametrize("argv", [["-n", "9"], ["-s", "bytes"]])
def test_a_total_beyond_64_bits_is_right(argv: list[str]) -> None:
    data = oracle.HEADER + b"%d %d a.c:1 func:f \n" % (2**63 - 1, 2**63 - 1) * 3
    document = json.loads(query(data, "-o", "json", *argv).out)
    assert document["total"] == {"tags": 3, "bytes": 3 * (2**63 - 1), "calls": 3 * (2**63 - 1)}


def test_a_total_beyond_64_bits_is_right_unsorted() -> None:
    data = oracle.HEADER + b"%d %d a.c:1 func:f \n" % (2**63 - 1, 2**63 - 1) * 3
    document = json.loads(query(data, "-o", "json").out)
    assert document["total"] == {"tags": 3, "bytes": 3 * (2**63 - 1), "calls": 3 * (2**63 - 1)}


def test_nothing_found_is_still_a_document() -> None:
    result = query(SAMPLE.read_bytes(), "-f", "nothing.c", "-o", "json")
    assert result.status == 1
    assert json.loads(result.out)["tags"] == []
    result = query(SAMPLE.read_bytes(), "-f", "nothing.c", "-o", "json", "-g", "file")
    assert result.status == 1
    assert json.loads(result.out)["groups"] == []


def test_json_quotes_what_was_asked() -> None:
    regexp = 'a"b\\\t\x01é'
    document = json.loads(query(SAMPLE.read_bytes(), "-e", regexp, "-o", "json").out)
    assert document["filter"] == {"regexp": [regexp]}
    result = allocq("query", "--sample", "-f", "\udcff*", "-o", "json")
    assert json.loads(result.out)["filter"] == {"file": ["\ufffd*"]}


@pytest.mark.parametrize("by", GROUPS)
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_groups_in_every_format(path: Path, by: str) -> None:
    data = path.read_bytes()
    sums = oracle.grouped(oracle.parse(data), by)
    expected = [(size, calls, tags, key) for key, (size, calls, tags) in sums.items()]
    names = ["bytes", "calls", "tags", by]

    document = json.loads(query(data, "-g", by, "-o", "json").out)
    assert list(document) == ["source", "filter", "groups", "total", "counted"]
    assert [tuple(group.values()) for group in document["groups"]] == expected
    assert all(list(group) == names for group in document["groups"])
    assert document["total"] == oracle.total(oracle.parse(data))
    rows = query(data, "-g", by, "-o", "jsonl").out.splitlines()
    assert [tuple(json.loads(row).values()) for row in rows] == expected
    texts = [["" if value is None else str(value) for value in row] for row in expected]
    assert read_csv(query(data, "-g", by, "-o", "csv").out) == [names, *texts]
    assert read_tsv(query(data, "-g", by, "-o", "tsv", "--no-header").out) == texts
    lines = query(data, "-g", by, "-o", "procfs").out.decode().splitlines()
    assert [tuple(line.split()) for line in lines] == [tuple(" ".join(t).split()) for t in texts]


# The kernel's own lines


SCRIPTS = [
    "$1 > 4096",
    "{print $1, $2, $3}",
    "/rapl.c/ {n += $1} END {print n}",
    "NF != 4",
    '{split($3, at, ":"); bytes[at[1]] += $1} END {for (f in bytes) print bytes[f], f | "sort"}',
    "/accurate:no/ {print $NF, length($0)}",
]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_old_awk_scripts_read_procfs_as_they_read_the_file(path: Path, script: str) -> None:
    for argv in ([], ["--header"]):
        body = allocq("query", "--source", str(path), "-o", "procfs", *argv).out
        file = path.read_bytes() if argv else b"".join(path.read_bytes().splitlines(True)[2:])
        ours = subprocess.run(["awk", script], input=body, stdout=subprocess.PIPE, check=True)
        theirs = subprocess.run(["awk", script], input=file, stdout=subprocess.PIPE, check=True)
        assert ours.stdout == theirs.stdout


def test_procfs_is_what_a_pipe_gets_by_default() -> None:
    result = allocq("query", "--sample", "-f", "mm/*")
    assert result.out == allocq("query", "--sample", "-f", "mm/*", "-o", "procfs").out
    grep = [line for line in SAMPLE.read_bytes().splitlines(True) if b" mm/" in line]
    assert result.out == b"".join(grep)


def test_the_header_is_that_of_the_text() -> None:
    for path in TEXTS:
        head = b"".join(path.read_bytes().splitlines(True)[:2])
        for argv in ([], ["-s", "bytes"], ["-n", "1"], ["-f", "nothing.c"]):
            shown = query(path.read_bytes(), "-o", "procfs", "--header", *argv).out
            assert shown.startswith(head)
            assert shown.count(b"allocinfo - version") == 1


# Count and quiet


def test_count_prints_the_number_of_matching_tags_alone() -> None:
    data = SAMPLE.read_bytes()
    tags = oracle.parse(data)
    everything = len(tags)
    mm = len(oracle.meant(tags, oracle.Asked(files=["mm/*"])))
    assert query(data, "-c") == Result(0, b"%d\n" % everything, "")
    for argv in ([], ["-n", "1"], ["-o", "json"], ["-o", "csv"], ["-s", "bytes", "-r"]):
        assert query(data, "-c", "-f", "mm/*", *argv) == Result(0, b"%d\n" % mm, "")
    assert query(data, "-c", "-f", "nothing.c") == Result(1, b"0\n", "")


def test_quiet_prints_nothing_and_answers_by_its_status() -> None:
    data = SAMPLE.read_bytes()
    for argv in ([], ["-c"], ["-o", "json"], ["-o", "table"], ["-g", "file"]):
        assert query(data, "-q", *argv) == Result(0, b"", "")
        assert query(data, "-q", "-f", "nothing.c", *argv) == Result(1, b"", "")


@pytest.mark.parametrize("format", ["procfs", "json", "jsonl", "csv", "tsv", "table"])
def test_the_status_says_whether_something_matched(format: str) -> None:
    data = SAMPLE.read_bytes()
    for argv in ([], ["-n", "0"], ["-n", "1"], ["-g", "module"]):
        assert query(data, "-o", format, "-f", "mm/*", *argv).status == 0
        assert query(data, "-o", format, "-f", "nothing.c", *argv).status == 1
