"""Who calls this: stacks that were saved, read strictly, in a report."""

from __future__ import annotations

import copy
import gzip
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oracle
import pytest
from command import allocq, refused, unhurried
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import FIXTURES, Tag
from reports import BEGUN, listing, page, report, sample_lines
from test_report import ALLOWED, HOSTILE
from test_report_markdown import markdown, parsed
from watched import Kernel

from allocq.analysis.stacks import Stack, by_tag, read_frame
from allocq.errors import FormatError
from allocq.output.report.markdown import LONGEST_TEXT
from allocq.output.report.page import LARGEST_PAGE
from allocq.output.stacks import document
from allocq.sources import saved_stacks
from allocq.sources.saved_stacks import parse_stacks

SAMPLE = str(oracle.SAMPLE)
PIPES = FIXTURES / "stacks-pipes-7.3.4-x86.json"
LIVE = FIXTURES / "stacks-pipes-live-7.3.4-x86.json"
TEXT = PIPES.read_bytes()

pytestmark = pytest.mark.usefixtures("place")


def saved(place: Path, change: Callable[[dict[str, Any]], object], path: Path = PIPES) -> str:
    """A file of stacks that is not as it was."""
    value = json.loads(path.read_text())
    change(value)
    (place / "stacks.json").write_text(json.dumps(value))
    return "stacks.json"


def tree(rows: list[list[str]]) -> list[tuple[int, list[str]]]:
    """(depth, cells) of the rows of a tree."""
    found = []
    for row in rows[1:]:
        name = row[3].lstrip("\u00a0")
        found.append(((len(row[3]) - len(name)) // 2, [*row[:3], name]))
    return found


def test_a_page_says_who_calls() -> None:
    found = page(SAMPLE, "--stacks", str(PIPES))
    assert "callers" in found.ids and "Who calls this" in found.texts["a"]
    rows = tree(found.tables["By caller: alloc_pipe_info"])
    assert rows[0] == (0, ["256.3K", "410", "100.0%", "alloc_pipe_info"])
    # 105 pipes and 100 fifos, of two objects each.
    assert (1, ["131.3K", "210", "51.2%", "create_pipe_files+0x43"]) in rows
    assert (1, ["125.0K", "200", "48.8%", "fifo_open+0xe8"]) in rows
    assert (2, ["", "", "", "do_pipe2+0x51"]) in rows
    assert found.tables["By tag: alloc_pipe_info"][1:] == [
        ["205.0K", "205", "2", "fs/pipe.c:902"], ["51.3K", "205", "2", "fs/pipe.c:885"],
    ]  # fmt: skip
    assert any("not seen: 1.3K in 2 calls" in text for text in found.texts["li"])
    assert any(text.startswith("410 events, 0.7") for text in found.texts["li"])
    said = next(text for text in found.texts["p"] if text.startswith("Watched for"))
    assert "(262,400 bytes) in 410 allocations from 4 stacks." in said
    assert "7.3.4-allocinfo" in said
    assert f"--stacks {PIPES}" in found.facts["Command"]
    # Without such a file there is no such section.
    assert "callers" not in page(SAMPLE).ids


def test_what_is_left_is_said_to_be_that() -> None:
    found = page(SAMPLE, "--stacks", str(LIVE))
    heads, *rows = found.tables["By caller: alloc_pipe_info"]
    assert heads[0] == "Not freed"
    assert [row[3].strip("\u00a0") for row in rows][:2] == [
        "alloc_pipe_info",
        "create_pipe_files+0x43",
    ]
    assert rows[0][1] == "10"
    assert any("not freed meanwhile" in text for text in found.texts["p"])


def test_sizes_are_below_their_callers(place: Path) -> None:
    def apart(value: dict[str, Any]) -> None:
        for number, stack in enumerate(value["stacks"]):
            stack["size"] = 1 << number

    found = page(SAMPLE, "--stacks", saved(place, apart))
    rows = tree(found.tables["By caller: alloc_pipe_info"])
    assert {cells[3] for _, cells in rows} >= {f"{1 << number} bytes each" for number in range(4)}


def test_several_files() -> None:
    found = page(SAMPLE, "--stacks", str(PIPES), "--stacks", str(LIVE))
    assert found.texts["h3"].count("alloc_pipe_info") == 2


def test_markdown_has_the_same_tree() -> None:
    text = markdown(SAMPLE, "--stacks", str(PIPES))
    tokens = parsed(text)
    [fence] = [token for token in tokens if token.type == "fence"]
    rows = fence.content.splitlines()
    assert rows[1].split() == ["256.3K", "410", "100.0%", "alloc_pipe_info"]
    assert any(row.split()[-1] == "create_pipe_files+0x43" and "210" in row for row in rows)
    assert any(row.split()[-1] == "fifo_open+0xe8" and "200" in row for row in rows)
    assert "| 205.0K | 205 | 2 | `fs/pipe.c:902` |" in text
    assert "from 4 stacks." in text and "`7.3.4-allocinfo`" in text


def test_compressed_and_from_standard_input(place: Path) -> None:
    (place / "stacks.json.gz").write_bytes(gzip.compress(TEXT))
    whole = page(SAMPLE, "--stacks", "stacks.json.gz")
    assert tree(whole.tables["By caller: alloc_pipe_info"])[0][1][1] == "410"
    with PIPES.open("rb") as file:
        done = allocq("report", SAMPLE, "--stacks", "-", "-o", "markdown", stdin=file)
    assert done.status == 0 and b"create_pipe_files" in done.out
    refused(report("-", "--stacks", "-"), "standard input can be read only once")


def test_stacks_of_another_kernel_are_said_to_be(place: Path) -> None:
    (place / "here.txt").write_bytes(listing(sample_lines(), BEGUN))
    notes = " ".join(page("here.txt", "--stacks", str(PIPES)).texts["li"])
    assert "the stacks of alloc_pipe_info are of Linux 7.3.4-allocinfo, the tags of 7.3.4" in notes


def test_what_was_dropped_is_said_first(place: Path) -> None:
    path = saved(place, lambda value: value["dropped"].update({"kmalloc stacks": 7}))
    found = page(SAMPLE, "--stacks", path)
    words = "events dropped, so the sums are too small: 7 kmalloc stacks"
    assert words in found.texts["li"]
    assert f"- `{words}`" in markdown(SAMPLE, "--stacks", path)


def test_threads_are_the_outermost_callers(place: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        value["stacks"][0] |= {"pid": 7, "comm": "<b>|`x`"}

    path = saved(place, change)
    found = page(SAMPLE, "--stacks", path)
    assert any(row[3].strip("\u00a0") == "<b>|`x` (7)"
               for row in found.tables["By caller: alloc_pipe_info"])  # fmt: skip
    assert "<b>|`x` (7)" in markdown(SAMPLE, "--stacks", path)


def test_only_the_largest_are_shown(place: Path) -> None:
    found = page(SAMPLE, "--stacks", str(PIPES), "-n", "1")
    words = "Shown: the 1 largest stack, with 105.0K of 256.3K."
    assert words in found.texts["p"]
    assert "fifo_open" not in " ".join(found.texts["td"])
    assert words in markdown(SAMPLE, "--stacks", str(PIPES), "-n", "1")
    # A file may have less than all, too.
    path = saved(place, lambda value: value["stacks"].pop())
    assert (
        "Shown: the 3 largest stacks, with 231.3K of 256.3K."
        in page(SAMPLE, "--stacks", path).texts["p"]
    )


def test_nothing_was_seen(place: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        value["stacks"] = []
        value["total"] = {"stacks": 0, "bytes": 0, "calls": 0}

    path = saved(place, change)
    assert any(
        text.endswith("0 (0 bytes) in 0 allocations from 0 stacks.")
        for text in page(SAMPLE, "--stacks", path).texts["p"]
    )
    assert "from 0 stacks." in markdown(SAMPLE, "--stacks", path)


# What is read.

frames = st.builds("{}+{:#x}/{:#x}".format, st.text("abz_.", min_size=1, max_size=9),
                   st.integers(0, 99), st.integers(0, 99))  # fmt: skip
counts = st.integers(0, (1 << 40))
stacks_of = st.lists(
    st.builds(
        lambda frames, size, calls, left, tag, inner: Stack(
            tuple(frames), size, calls, min(size, left), min(calls, left), tag,
            min(inner, len(frames) - 1),
        ),
        st.lists(frames, min_size=1, max_size=4), counts, counts, counts,
        st.none() | st.just("a.c:7"), st.integers(0, 3),
    ),
    max_size=5,
)  # fmt: skip


@unhurried
@given(stacks_of, st.booleans())
def test_what_is_written_is_read(stacks: list[Stack], live: bool) -> None:
    tail = {
        key: value for key, value in json.loads(TEXT).items()
        if key not in ("version", "source", "filter", "stacks")
    }  # fmt: skip
    head = {key: json.loads(TEXT)[key] for key in ("source", "filter")}
    total = {"stacks": len(stacks), "bytes": sum(each.bytes for each in stacks),
             "calls": sum(each.calls for each in stacks),
             "live_bytes": sum(each.live_bytes for each in stacks),
             "live_calls": sum(each.live_calls for each in stacks)}  # fmt: skip
    data = b"".join(document(stacks, live, head, {**tail, "live": live, "total": total}))
    taken = parse_stacks(data, "x")
    assert (taken.live, taken.many) == (live, len(stacks))

    def told(stack: Stack) -> tuple[object, ...]:
        left = (stack.live_bytes, stack.live_calls) if live else ()
        return stack.frames, stack.bytes, stack.calls, stack.tag or "", stack.inner, left

    kept = [each for each in stacks if not live or each.live_bytes or each.live_calls]
    assert sorted(map(told, taken.stacks)) == sorted(map(told, kept))
    sums = by_tag(taken.stacks, live)
    assert sum(row[1] for row in sums) == taken.amount(live)[0]
    assert sum(row[3] for row in sums) == len(kept)


def nested(value: dict[str, Any], *path: Any) -> Callable[[Any], None]:
    def put(new: object) -> None:
        at: Any = value
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = new

    return put


WRONG = [
    (("version",), 2, "version 2"),
    (("version",), None, "no version"),
    (("version",), True, "version True"),
    (("version",), "1" * 100, "version 1111"),
    (("stacks",), {}, "no stacks"),
    (("stacks", 0), 7, "stack 1 is no object"),
    (("stacks", 1, "bytes"), -1, "stack 2: `bytes` is not valid"),
    (("stacks", 1, "bytes"), 1.5, "`bytes`"),
    (("stacks", 1, "bytes"), True, "`bytes`"),
    (("stacks", 1, "bytes"), 1 << 70, "`bytes`"),
    (("stacks", 1, "calls"), "7", "`calls`"),
    (("stacks", 1, "stack"), [], "0 frames"),
    (("stacks", 1, "stack"), ["a"] * 2000, "2,000 frames"),
    (("stacks", 1, "stack"), [7], "`frame`"),
    (("stacks", 1, "stack"), ["a" * 5000], "`frame`"),
    (("stacks", 1, "stack"), "abc", "`stack`"),
    (("stacks", 1, "tag"), 7, "`tag`"),
    (("stacks", 1, "pid"), -7, "`pid`"),
    (("stacks", 1, "pid"), "7", "`pid`"),
    (("stacks", 1, "comm"), 7, "`comm`"),
    (("stacks", 1, "size"), -7, "`size`"),
    (("stacks", 1, "size"), "96", "`size`"),
    (("stacks", 1, "allocator_frames"), 99, "of the allocator"),
    (("stacks", 1, "allocator_frames"), None, "`allocator_frames` is missing"),
    (("live",), 1, "`live`"),
    (("live",), True, "`live_bytes` is missing"),
    (("seconds",), "soon", "`seconds`"),
    (("seconds",), -1, "`seconds`"),
    (("source",), [], "`source`"),
    (("source", "time"), "yesterday", "`time`"),
    (("source", "time"), "2026-99-26T15:59:12.109766Z", "`time`"),
    (("source", "kernel"), 7, "`kernel`"),
    (("filter",), None, "`filter` is missing"),
    (("filter",), {"word": 7}, "`filter`"),
    (("filter",), {"nonsense": ["x"]}, "`filter`"),
    (("dropped",), {"x": "y"}, "`x`"),
    (("notes",), [7], "`notes`"),
    (("cost", "events"), None, "`events`"),
    (("cost", "overhead"), "x", "`overhead`"),
    (("total", "bytes"), 1, "the total is less than the stacks"),
    (("total", "stacks"), 3, "the total is less than the stacks"),
]


@pytest.mark.parametrize(("path", "new", "words"), WRONG, ids=str)
def test_what_is_not_as_it_should_be_is_one_line(
    place: Path, path: tuple[Any, ...], new: object, words: str
) -> None:
    file = saved(place, lambda value: nested(value, *path)(new))
    before = os.listdir(place)
    for argv in ((), ("--output", "x.html"), ("--output", "x.md")):
        refused(report(SAMPLE, "--stacks", file, *argv), "stacks.json: ", words)
    assert os.listdir(place) == before


@pytest.mark.parametrize("orjson", [True, False], ids=["orjson", "free-threaded"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b'{"stacks":NaN}', "not a JSON file of stacks"),
        (b"{", "not a JSON file of stacks"),
        (TEXT[: len(TEXT) // 2], "not a JSON file of stacks"),
        (b"[" * 100_000, "not a JSON file of stacks"),
        (b'{"a":"\xff"}', "not a JSON file of stacks"),
        (TEXT.replace(b"create_pipe_files", b"\\ud800", 1), "not a JSON file of stacks"),
        (b"\x00\x01\x02", "not a JSON file of stacks"),
        (b"[]", "JSON, but no stacks"),
        (b'{"tags":[],"total":{}}', "JSON, but no stacks"),
        (b"null", "JSON, but no stacks"),
        (gzip.compress(TEXT)[:-9], "the compressed data is truncated"),
        (gzip.compress(TEXT)[:50] + b"xx" * 50, "damaged"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_other_files_are_refused(
    place: Path, data: bytes, words: str, orjson: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not orjson:
        monkeypatch.setitem(sys.modules, "orjson", None)
    (place / "x").write_bytes(data)
    refused(report(SAMPLE, "--stacks", "x"), "x: ", words)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("none", "cannot read none: No such file"),
        (".", "cannot read .: it is a directory"),
        ("", "empty file name"),
        ("/dev/zero", "more than 64 MB are no stacks"),
    ],
)
def test_what_cannot_be_read(path: str, words: str) -> None:
    refused(report(SAMPLE, "--stacks", path), words)


def test_a_file_that_unpacks_to_far_more(place: Path) -> None:
    (place / "bomb.gz").write_bytes(gzip.compress(b" " * (saved_stacks.LARGEST + 1)))
    refused(report(SAMPLE, "--stacks", "bomb.gz"), "bomb.gz")


def test_not_too_many_files() -> None:
    refused(report(SAMPLE, *(["--stacks", str(PIPES)] * 21)), "--stacks is given 21 times")


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@unhurried
@given(st.data())
def test_any_damage_is_a_format_error_or_harmless(data: st.DataObject) -> None:
    value = copy.deepcopy(json.loads(LIVE.read_text()))
    at: Any = value
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
            at = at[key]
            continue
        at[key] = data.draw(junk)
        break
    try:
        parse_stacks(json.dumps(value).encode(), "x")
    except FormatError as error:
        assert str(error).startswith("x: ") and "\n" not in str(error)


# Hostile names and much of it.


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.lists(HOSTILE.map(lambda text: text.encode("utf-8", "replace").decode()),
                min_size=6, max_size=6))  # fmt: skip
def test_hostile_names_stay_text(names: list[str]) -> None:
    first, second, module, tag, note, kernel = names

    def change(value: dict[str, Any]) -> None:
        value["stacks"][0]["stack"] = [f"{first}+0x1/0x2 [{module}]", f"{second}```\n```\n# x"]
        value["stacks"][0]["tag"] = value["stacks"][1]["tag"] = tag
        value["notes"] = [note]
        value["dropped"] = {note: 3}
        value["source"]["kernel"] = kernel
        value["filter"] = {"function": [first.replace("[", "").replace("\0", "") + "x"]}

    path = saved(Path(), change)
    done = report(SAMPLE, "--stacks", path)
    if done.status == 2:  # such a filter is not valid
        assert "filter" in done.err
        return
    found = page(SAMPLE, "--stacks", path)
    tags = {tag for tag, _ in found.attributes}
    assert tags <= ALLOWED, tags - ALLOWED
    odd = "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]"
    assert not re.search(odd, done.out.decode())
    text = markdown(SAMPLE, "--stacks", path)
    assert not re.search(odd, text)
    tokens = parsed(text)
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert kinds <= {"text", "code_inline", "strong_open", "strong_close", "softbreak"}
    blocks = [token.type for token in tokens]
    assert blocks.count("fence") == 1
    assert not {"html_block", "code_block", "blockquote_open"} & set(blocks)
    assert sum(token.type == "heading_open" and token.tag == "h1" for token in tokens) == 1


def test_much_of_it_fits(place: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        value["stacks"] = [
            {
                "bytes": 8 * number, "calls": 1, "tag": f"{'d' * 200}/{number}.c:1",
                "allocator_frames": 0,
                "stack": [f"{'<' * 400}{number}_{depth}+0x1/0x2" for depth in range(31)],
            }
            for number in range(1, 2001)
        ]  # fmt: skip
        value["total"] = {"stacks": 2000, "bytes": 8 * 2001000, "calls": 2000}
        value["notes"] = ["&" * 4000] * 200

    path = saved(place, change)
    done = report(SAMPLE, *(["--stacks", path] * 20), "-n", "200")
    assert done.status == 0 and len(done.out) <= LARGEST_PAGE
    assert len(markdown(SAMPLE, *(["--stacks", path] * 20), "-n", "200").encode()) <= LONGEST_TEXT


def test_a_frame_takes_no_time_to_read() -> None:
    for text in ("a" * 4096, "a+0x1/0x1 [" + "b" * 4000, "+0x1/0x1" * 500, "a+0x" + "1" * 4000):
        assert read_frame(text).label


# From the command to the report, with what a kernel printed in place of tracefs.
TAKEN = f"""
import os, sys
sys.path.append({str(Path(__file__).parent)!r})
import allocq.commands.stacks as command, allocq.sources.stacks as sources
from allocq.host.tracefs import TraceFacts
from test_stacks import Recorded
class Instance(Recorded):
    def __init__(self, path):
        super().__init__()
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def thread_id(self):
        return os.getpid()
command.usable = lambda: TraceFacts("/nowhere", synthetic=False)
command.Instance = Instance
command.event_cost = lambda instance: 1e-6
sources.read_symbols = lambda: None
from allocq.__main__ import entry
entry()
"""


@pytest.fixture
def pipes_kernel(tmp_path: Path) -> Kernel:
    kernel = Kernel(tmp_path)
    kernel.boot(
        [
            Tag(256, 1, "fs/pipe.c", 885, None, "alloc_pipe_info", True, ""),
            Tag(1024, 1, "fs/pipe.c", 902, None, "alloc_pipe_info", True, ""),
        ]
    )
    return kernel


def test_a_kernel_that_cannot_pair_frees_says_so_all_the_way(
    pipes_kernel: Kernel, place: Path
) -> None:
    program = (sys.executable, "-c", TAKEN)
    argv = ("stacks", "alloc_pipe_info", "--live", "--for", "0.1s", "-o", "json")
    done = allocq(*argv, program=program, env=pipes_kernel.environment)
    words = "this kernel cannot pair frees (CONFIG_SYNTH_EVENTS): allocations only"
    assert done.status == 0 and done.err == f"allocq: warning: {words}\n", done
    value = json.loads(done.out)
    assert not value["live"] and words in value["notes"]
    assert value["cost"]["events_per_second"] == pytest.approx(
        1360 / value["seconds"]
    )  # two tables
    (place / "pipes.json").write_bytes(done.out)
    found = page(SAMPLE, "--stacks", "pipes.json")
    assert words in found.texts["li"]
    assert tree(found.tables["By caller: alloc_pipe_info"])[0][1][1] == "680"
    table = allocq(*argv[:-2], program=program, env=pipes_kernel.environment)
    assert words in table.out.decode() and not table.err
    assert re.search(
        r"1,360 events in 0\.\d s \([\d,]+ a second\), 1\.0 us each", table.out.decode()
    )
