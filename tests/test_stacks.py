"""`allocq stacks` without a kernel: histograms, symbols, pairing, and what is written."""

from __future__ import annotations

import errno
import fcntl
import gzip
import itertools
import json
import os
import re
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from command import here, refused, unhurried
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st
from oracle import FIXTURES

from allocq import sample_path
from allocq.analysis.stacks import (
    Frame,
    Freed,
    Stack,
    call_tree,
    coalesced,
    ordered,
    read_frame,
    rows_of,
    subtract,
)
from allocq.commands.stacks import _unseen
from allocq.errors import AccessError, FormatError, InterfaceError, SourceError, UsageError
from allocq.host import threads, tracefs
from allocq.host.symbols import Code, Function, Symbols, _is_operand
from allocq.model import Tag
from allocq.output.pprof import pprof
from allocq.output.speedscope import speedscope
from allocq.output.stacks import StackLayout, document, folded, table
from allocq.sources.histogram import Histogram, Row, parse_histograms
from allocq.sources.stacks import (
    _VMALLOC,
    KINDS,
    Kind,
    Seen,
    Sites,
    Watch,
    _bytes,
    find_sites,
    kinds_of,
)

# Rust's names are long and have what C's do not.
names = st.text("az_AZ09.$", min_size=1, max_size=30)
offsets = st.integers(0, 1 << 20)
frames = st.one_of(
    st.builds("{}+{:#x}/{:#x}".format, names, offsets, offsets),
    st.builds("{}+{:#x}/{:#x} [{}]".format, names, offsets, offsets, names),
    st.integers(1 << 62, (1 << 64) - 1).map("{:#x}".format),
)
call_stacks = st.lists(frames, min_size=1, max_size=6).map(tuple)
counts = st.integers(0, 1 << 62)
rows = st.builds(
    Row,
    call_stacks,
    st.dictionaries(st.sampled_from(["order", "size", "call_site"]), counts, max_size=2),
    st.dictionaries(st.sampled_from(["bytes_alloc", "b"]), counts, max_size=1),
)


def printed(table: Histogram, synthetic: bool) -> str:
    """A table as hist_trigger_show() prints it."""
    lines = ["# event histogram", "#", f"# trigger info: {table.trigger}", "#", ""]
    for row in table.rows:
        first, *rest = row.stack
        if synthetic:
            lines.append(f"{{ stack.stacktrace         {first}")
        else:
            lines += ["{ common_stacktrace:", f"         {first}"]
        lines += [f"         {frame}" for frame in rest]
        keys = "".join(f", {name}: {value:10}" for name, value in row.keys.items())
        values = "".join(f"  {name}: {value:10}" for name, value in row.values.items()
                         if name != "hitcount")  # fmt: skip
        lines.append(f"{keys}}} hitcount: {row.hits:10}{values}")
    lines += ["", "Totals:", f"    Hits: {table.hits}", f"    Entries: {table.entries}"]
    return "\n".join([*lines, f"    Dropped: {table.dropped}", "", ""])


@unhurried
@given(st.lists(st.tuples(st.lists(rows, max_size=4), st.lists(counts, min_size=7, max_size=7)),
                max_size=3), st.booleans())  # fmt: skip
def test_what_the_kernel_prints_is_read(
    found: list[tuple[list[Row], list[int]]], synthetic: bool
) -> None:
    tables = [
        Histogram(
            "hist:keys=common_stacktrace:vals=hitcount [active]",
            [
                Row(row.stack, row.keys, {"hitcount": hits, **row.values})
                for row, hits in zip(several, numbers, strict=False)
            ],
            *numbers[4:],
        )
        for several, numbers in found
    ]
    assert parse_histograms("".join(printed(table, synthetic) for table in tables)) == tables


@unhurried
@given(st.lists(st.one_of(st.text(max_size=40), st.sampled_from(
    ["# trigger info: hist:keys=x", "{ common_stacktrace:", "         a+0x1/0x2", "Totals:",
     "} hitcount:          1  bytes_alloc: 8", "{ ptr: 1 } hitcount: 2", "    Hits: 4", "{ ", "#"]
))).map("\n".join))  # fmt: skip
def test_other_text_is_refused_or_read(text: str) -> None:
    try:
        parse_histograms(text)
    except FormatError as error:
        assert "\n" not in str(error)


@unhurried
@given(st.lists(rows, min_size=1, max_size=3), st.data())
def test_a_text_that_ends_early_is_noticed_in_a_stack(
    several: list[Row], data: st.DataObject
) -> None:
    text = printed(Histogram("t", several), False)
    start = text.index("{ common_stacktrace:")
    end = text.index("} hitcount", start)
    cut = text[: data.draw(st.integers(start + len("{ common_stacktrace:"), end))]
    with pytest.raises(FormatError):
        parse_histograms(cut)


def test_a_real_histogram() -> None:
    pointers, stacks = parse_histograms((FIXTURES / "hist-kmalloc-7.3.4-x86.txt").read_text())
    assert (pointers.hits, pointers.entries, pointers.dropped) == (680, 104, 0)
    assert len(pointers.rows) == 104 and sum(row.hits for row in pointers.rows) == 680
    assert [(row.hits, row.values["bytes_alloc"]) for row in stacks.rows] == [
        (40, 40960), (40, 10240), (300, 307200), (300, 76800)
    ]  # fmt: skip
    assert stacks.rows[2].stack[:2] == (
        "alloc_pipe_info+0xf4/0x270",
        "create_pipe_files+0x43/0x260",
    )
    [freed] = parse_histograms((FIXTURES / "hist-synthetic-7.3.4-x86.txt").read_text())
    # The stacks that the kernel remembers are those that it counts.
    assert [row.stack for row in freed.rows] == [row.stack for row in stacks.rows]


def test_frames() -> None:
    assert read_frame("xfs_iget+0x1f/0x90 [xfs]") == Frame("xfs_iget", 31, 144, "xfs")
    assert read_frame("f.isra.0+0x0/0x10").plain == "f"
    assert read_frame("xfs_iget+0x1f/0x90 [xfs]").label == "xfs_iget [xfs]"
    assert read_frame("0xffffffffc060102b").label == "0xffffffffc060102b"


stack_values = st.lists(
    st.tuples(call_stacks, counts, st.integers(0, 1 << 30)),
    max_size=6,
    unique_by=lambda each: each[0],
)


@unhurried
@given(stack_values, st.data())
def test_what_is_freed_is_taken_off_its_stack(
    values: list[tuple[tuple[str, ...], int, int]], data: st.DataObject
) -> None:
    stacks = [Stack(*each) for each in values]
    freed = [
        Freed(
            stack.frames,
            data.draw(st.integers(0, stack.bytes)),
            data.draw(st.integers(0, stack.calls)),
        )
        for stack in stacks
        if data.draw(st.booleans())
    ]
    by_frames = {each.frames: each for each in freed}
    assert subtract(stacks, freed) == 0
    for stack in stacks:
        gone = by_frames.get(stack.frames, Freed((), 0, 0))
        assert (stack.live_bytes, stack.live_calls) == (
            stack.bytes - gone.bytes, stack.calls - gone.calls
        )  # fmt: skip


def test_a_stack_that_the_kernel_remembers_shorter() -> None:
    stacks = [Stack(("a", "b", "c"), 100, 10), Stack(("a", "x"), 50, 5)]
    assert subtract(stacks, [Freed(("a", "b"), 30, 3), Freed(("z",), 8, 2)]) == 2
    assert (stacks[0].live_bytes, stacks[0].live_calls) == (70, 7)
    # More than was counted is freed where the counting began late: never below zero.
    subtract(stacks, [Freed(("a", "x"), 80, 9)])
    assert (stacks[1].live_bytes, stacks[1].live_calls) == (0, 0)
    assert ordered(stacks, live=True) == stacks[:1]


@unhurried
@given(stack_values)
def test_the_tree_has_every_stack(values: list[tuple[tuple[str, ...], int, int]]) -> None:
    stacks = [Stack(*each) for each in values]
    root = call_tree(stacks, live=False)
    assert (root.bytes, root.calls) == (
        sum(stack.bytes for stack in stacks), sum(stack.calls for stack in stacks)
    )  # fmt: skip
    shown = list(rows_of(root))
    assert sum(node.bytes for indent, node, own in shown if own and not indent) == root.bytes
    labels = {node.label for _, node, _ in shown}
    assert labels == {read_frame(text).label for stack in stacks for text in stack.frames}


def test_an_offset_is_shown_where_there_is_one() -> None:
    calls = [("f+0x10/0x20 [m]", "g+0x5/0x9"), ("f+0x10/0x20 [m]", "g+0x7/0x9"), ("0xffff",)]
    root = call_tree([Stack(frames, 8, 1) for frames in calls], live=False)
    assert [node.place for _, node, _ in rows_of(root)] == ["f+0x10 [m]", "g", "0xffff"]


@unhurried
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 50)), max_size=30), st.integers(1, 5)
)
def test_ranges_are_covered(found: list[tuple[int, int]], most: int) -> None:
    ranges = [(start, start + length) for start, length in found]
    joined = coalesced(ranges, most)
    assert len(joined) <= most and joined == sorted(joined)
    covered = {at for start, end in joined for at in range(start, end)}
    assert {at for start, end in ranges for at in range(start, end)} <= covered
    if len({at for start, end in ranges for at in (start, end)}) and most == 5:
        assert all(left[1] < right[0] for left, right in itertools.pairwise(joined))


KALLSYMS = b"""\
ffffffff81000000 T _stext
ffffffff81000000 T startup_64
ffffffff81000100 T alloc_pipe_info
ffffffff81000200 t helper.isra.0
ffffffff81000200 t helper_alias
ffffffff81000300 t copy_process
ffffffff81000400 t s_start
ffffffff81000500 t s_start
ffffffff81001000 T _etext
ffffffff82000000 T __start_alloc_tags
ffffffff82000078 T __stop_alloc_tags
ffffffff82000100 D some_data
ffffffffc0000000 t xfs_iget\t[xfs]
ffffffffc0000100 t alloc_pipe_info\t[xfs]
"""


def test_symbols() -> None:
    symbols = Symbols(KALLSYMS)
    assert not symbols.hidden
    assert symbols.text == (0xFFFFFFFF81000000, 0xFFFFFFFF81001000)
    [pipe] = symbols.named("alloc_pipe_info", None)
    assert (pipe.start, pipe.end) == (0xFFFFFFFF81000100, 0xFFFFFFFF81000200)
    assert [each.module for each in symbols.named("alloc_pipe_info", "xfs")] == ["xfs"]
    [helper] = symbols.named("helper", None)
    assert (helper.name, helper.end - helper.start) == ("helper.isra.0", 0x100)
    assert len(symbols.named("s_start", None)) == 2
    assert symbols.named("some_data", None) == symbols.named("pipe_info", None) == []
    found = symbols.at(0xFFFFFFFF81000110)
    assert found is not None and found.name == "alloc_pipe_info"
    assert symbols.at(0x1000) is None
    assert Symbols(KALLSYMS.replace(b"ffffffff8", b"000000000").replace(b"ffffffffc", b"0" * 9)
                   .translate(bytes.maketrans(b"123456789", b"000000000"))).hidden  # fmt: skip
    assert Symbols(b"").hidden


TAG, SIZE = 0xFFFFFFFF82000000, 40
# movq $TAG, disp(%reg), as compilers write it for current->alloc_tag.
MOVES = {
    "8-bit displacement": b"\x49\xc7\x45\x38",
    "8-bit displacement, r12": b"\x49\xc7\x44\x24\x38",
    "32-bit displacement": b"\x48\xc7\x80\x38\x0b\x00\x00",
    "32-bit displacement, rsp": b"\x48\xc7\x84\x24\x38\x0b\x00\x00",
    "register": b"\x48\xc7\xc0",
}


@pytest.mark.parametrize("how", MOVES)
def test_the_code_that_sets_a_tag_is_found(how: str) -> None:
    text = bytearray(0x1000)
    address = 0x300 + len(MOVES[how])
    for place, tag in ((0x110, 0), (0x180, 1), (0x300, 2)):
        move = MOVES[how] + struct.pack("<I", (TAG + tag * SIZE) & 0xFFFFFFFF)
        text[place : place + len(move)] = move
    text[0x350:0x354] = struct.pack("<I", TAG & 0xFFFFFFFF)  # a number of the same value
    symbols = Symbols(KALLSYMS)
    code = Code(bytes(text), 0xFFFFFFFF81000000, TAG, SIZE, 3)
    assert list(code.places(2)) == [0xFFFFFFFF81000000 + address]
    assert len(list(code.places(0))) == 1
    [pipe] = symbols.named("alloc_pipe_info", None)
    assert [tag for _, tag in code.tags_in(pipe)] == [0, 1]


@pytest.mark.parametrize("shift", [0, 8, 0x1FFF8, 0x8808])
def test_all_tags_are_found_at_once(shift: int) -> None:
    """Tags lie across several 64 KiB; each is where a search for its own address finds it."""
    random = Random(shift)
    first, count, start = 0xFFFFFFFF82FE0000 + shift, 5000, 0xFFFFFFFF81000000
    text = bytearray(random.randbytes(1 << 14))
    for place in range(0, len(text) - 16, 16):
        address = (first + random.randrange(-2, count + 2) * SIZE) & 0xFFFFFFFF
        move = random.choice(list(MOVES.values())) + struct.pack("<I", address)
        text[place : place + len(move)] = move
    code = Code(bytes(text), start, first, SIZE, count)
    expected = [
        (start + place, rest // SIZE)
        for place in range(len(text) - 3)
        if (rest := (int.from_bytes(text[place : place + 4], "little") - first) & 0xFFFFFFFF)
        < count * SIZE and rest % SIZE == 0 and _is_operand(bytes(text), place)
    ]  # fmt: skip
    assert len(expected) > 900
    assert code.tags_in(Function(start, start + len(text), "f")) == expected
    for number in {tag for _, tag in expected}:
        assert list(code.places(number)) == [at for at, tag in expected if tag == number]
    middle = start + len(text) // 2
    assert code.tags_in(Function(start, middle, "f")) == [
        each for each in expected if each[0] + 4 <= middle
    ]


def test_other_instructions_set_no_tag() -> None:
    for before in (b"", b"\x48\x8d\x05", b"\x49\xc7\x4d\x38", b"\x00\xc7\x45\x38", b"\xb8"):
        assert not _is_operand(bytes(8) + before + bytes(4), 8 + len(before)), before


def made_sites(monkeypatch: pytest.MonkeyPatch, wanted: Sequence[Tag]) -> Sites:
    """The sites of tags: alloc_pipe_info sets tags 0 and 1, and copy_process tag 2."""
    text = bytearray(0x1000)
    for place, tag in ((0x110, 0), (0x180, 1), (0x300, 2)):
        text[place : place + 8] = MOVES["8-bit displacement"] + struct.pack(
            "<I", (TAG + tag * SIZE) & 0xFFFFFFFF
        )
    code = Code(bytes(text), 0xFFFFFFFF81000000, TAG, SIZE, 3)
    monkeypatch.setattr("allocq.sources.stacks.read_symbols", lambda: Symbols(KALLSYMS))
    monkeypatch.setattr("allocq.sources.stacks.read_code", lambda symbols, lines: code)
    return find_sites(wanted, TAGS)


TAGS = [
    Tag(256, 1, "fs/pipe.c", 885, None, "alloc_pipe_info"),
    Tag(1024, 1, "fs/pipe.c", 902, None, "alloc_pipe_info"),
    Tag(1024, 1, "kernel/fork.c", 1763, None, "copy_signal"),
    Tag(64, 1, "fs/xfs/xfs_icache.c", 90, "xfs", "xfs_iget"),
    Tag(64, 1, "fs/xfs/xfs_icache.c", 99, "xfs", "xfs_inlined"),
]


def test_tags_of_one_function_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = made_sites(monkeypatch, TAGS[1:2])
    assert sites.match(read_frame("alloc_pipe_info+0x20/0x100")) == (False, None)
    assert sites.match(read_frame("alloc_pipe_info+0x90/0x100")) == (True, "fs/pipe.c:902")
    assert sites.match(read_frame("alloc_pipe_info+0x90/0x100 [xfs]")) == (False, None)
    assert sites.match(read_frame("other+0x90/0x100")) == (False, None)
    assert sites.condition() == ("call_site>=0xffffffff81000100&&call_site<0xffffffff81000200")


def test_inlined_functions_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = made_sites(monkeypatch, TAGS)
    assert sites.match(read_frame("copy_process+0x20/0x100")) == (True, "kernel/fork.c:1763")
    assert sites.match(read_frame("xfs_iget+0x20/0x100 [xfs]")) == (True, None)
    assert "inlined: copy_signal into copy_process" in sites.notes
    assert any("not seen: xfs_inlined" in note for note in sites.notes)


HIDDEN = re.sub(rb"(?m)^[0-9a-f]+", b"0" * 16, KALLSYMS)


@pytest.mark.parametrize("symbols", [None, Symbols(HIDDEN)], ids=["no symbols", "no addresses"])
def test_without_addresses_there_are_names(
    monkeypatch: pytest.MonkeyPatch, symbols: Symbols | None
) -> None:
    monkeypatch.setattr("allocq.sources.stacks.read_symbols", lambda: symbols)
    helper = Tag(1, 1, "fs/a.c", 7, None, "helper")
    sites = find_sites([*TAGS[:3], helper], [*TAGS, helper])
    names = ["alloc_pipe_info", "copy_signal", "helper"]
    if symbols:  # it has the name that the compiler made, and what is not there is refused
        names = ["alloc_pipe_info", "helper.isra.0"]
        assert any(note.endswith("not seen: copy_signal") for note in sites.notes)
    assert sites.condition() == "|| ".join(f"call_site.function == {name} " for name in names)
    assert sites.match(read_frame("alloc_pipe_info+0x90/0x100")) == (True, None)
    assert sites.match(read_frame("helper.isra.0+0x9/0x10")) == (True, "fs/a.c:7")
    assert any("hides the addresses" in note for note in sites.notes)


def test_pages_are_watched_only_where_there_may_be_some() -> None:
    assert "pages" not in {kind.name for kind in kinds_of(TAGS)}
    for tag in (
        Tag(0, 0, "a.c", 1, None, "f"),
        Tag(8192, 2, "a.c", 1, None, "f"),
        Tag(100, 1, "a.c", 1, None, "f", accurate=False),
        Tag(-8, 1, "a.c", 1, None, "f"),
    ):
        assert {"pages", "vmalloc"} <= {kind.name for kind in kinds_of([*TAGS, tag])}


# What is written.

SEEN = [
    Stack(("kalloc+0x1/0x9 [m]", "caller+0x2/0x9", "entry+0x3/0x9"), 3072, 3, 1024, 1, "a.c:7"),
    Stack(("kalloc+0x1/0x9 [m]", "other+0x2/0x9", "entry+0x3/0x9"), 1024, 1, 1024, 1),
]


def test_the_table() -> None:
    assert list(table(SEEN, False, StackLayout(plain=True))) == [
        "BYTES  CALLS   SHARE  FUNCTION, AND BELOW IT ITS CALLERS",
        " 4096      4  100.0%  kalloc+0x1 [m]",
        " 3072      3   75.0%    caller+0x2",
        "                          entry+0x3",
        " 1024      1   25.0%    other+0x2",
        "                          entry+0x3",
        " 4096      4          allocated in 2 stacks",
    ]
    live = list(table(ordered(SEEN, True), True, StackLayout(width=40, header=False)))
    assert live[0] == "2.0K  2  100.0%  kalloc+0x1 [m]"
    assert "not freed in 1 stack" in live[-1] and all(len(line) <= 40 for line in live)


def test_folded_lines() -> None:
    assert (
        b"".join(folded(SEEN, False))
        == b"entry;caller;kalloc_[m] 3072\nentry;other;kalloc_[m] 1024\n"
    )
    assert b"".join(folded(SEEN, True)) == b"entry;caller;kalloc_[m] 2048\n"


def test_json() -> None:
    read = json.loads(b"".join(document(SEEN, True, {"a": 1}, {"z": [2]})))
    assert list(read) == ["version", "a", "stacks", "z"]
    assert read["stacks"][0] == {
        "bytes": 3072, "calls": 3, "live_bytes": 2048, "live_calls": 2, "pid": None, "comm": None,
        "size": None,
        "tag": "a.c:7", "allocator_frames": 0,
        "stack": ["kalloc+0x1/0x9 [m]", "caller+0x2/0x9", "entry+0x3/0x9"],
    }  # fmt: skip
    assert json.loads(b"".join(document([], False, {"a": 1}, {})))["stacks"] == []


@unhurried
@given(stack_values)
def test_speedscope(values: list[tuple[tuple[str, ...], int, int]]) -> None:
    stacks = [Stack(*each) for each in values]
    read = json.loads(speedscope(stacks, False, "n", "allocq"))
    assert read["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    shared = read["shared"]["frames"]
    for profile, place in zip(read["profiles"], ("bytes", "calls"), strict=True):
        assert (profile["type"], profile["startValue"]) == ("sampled", 0)
        assert profile["unit"] in ("none", "bytes")
        assert profile["weights"] == [getattr(stack, place) for stack in stacks]
        assert profile["endValue"] == sum(profile["weights"])
        for sample, stack in zip(profile["samples"], stacks, strict=True):
            found = [(shared[at]["name"], shared[at].get("file")) for at in reversed(sample)]
            expected = map(read_frame, stack.frames)
            assert found == [(frame.name, frame.module) for frame in expected]


def profile_message() -> Any:
    """The class of perftools.profiles.Profile, from the fields of the published profile.proto."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="profile.proto", package="perftools.profiles", syntax="proto3"
    )
    messages = {
        "Profile": "*ValueType sample_type 1, *Sample sample 2, *Location location 4,"
        " *Function function 5, *string string_table 6, int64 time_nanos 9,"
        " int64 duration_nanos 10, int64 default_sample_type 14",
        "ValueType": "int64 type 1, int64 unit 2",
        "Sample": "*uint64 location_id 1, *int64 value 2, *Label label 3",
        "Label": "int64 key 1, int64 str 2, int64 num 3, int64 num_unit 4",
        "Location": "uint64 id 1, uint64 mapping_id 2, uint64 address 3, *Line line 4",
        "Line": "uint64 function_id 1, int64 line 2",
        "Function": "uint64 id 1, int64 name 2, int64 system_name 3, int64 filename 4,"
        " int64 start_line 5",
    }
    scalars = {
        "int64": kinds.TYPE_INT64, "uint64": kinds.TYPE_UINT64, "string": kinds.TYPE_STRING
    }  # fmt: skip
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for each in fields.split(", "):
            kind, field, number = each.split()
            made = message.field.add(name=field, number=int(number), label=kinds.LABEL_OPTIONAL)
            if kind.startswith("*"):
                made.label = kinds.LABEL_REPEATED
            if scalar := scalars.get(kind.lstrip("*")):
                made.type = scalar
            else:
                made.type = kinds.TYPE_MESSAGE
                made.type_name = f".perftools.profiles.{kind.lstrip('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("perftools.profiles.Profile"))


Profile = profile_message()


@unhurried
@given(stack_values, st.booleans())
def test_pprof_is_read_by_protobuf(
    values: list[tuple[tuple[str, ...], int, int]], live: bool
) -> None:
    stacks = [Stack(*each) for each in values]
    read = Profile.FromString(pprof(stacks, live, 1_700_000_000_000_000_000, 5))
    assert not len(UnknownFieldSet(read))
    text = list(read.string_table)
    assert text[0] == "" and len(set(text)) == len(text)
    types = [(text[kind.type], text[kind.unit]) for kind in read.sample_type]
    expected = [("alloc_objects", "count"), ("alloc_space", "bytes")]
    assert types == expected + [("inuse_objects", "count"), ("inuse_space", "bytes")] * live
    assert (read.time_nanos, read.duration_nanos) == (1_700_000_000_000_000_000, 5)
    assert text[read.default_sample_type] == ("inuse_space" if live else "alloc_space")
    functions = {function.id: function for function in read.function}
    locations = {location.id: functions[location.line[0].function_id] for location in read.location}
    assert 0 not in functions and 0 not in locations
    for sample, stack in zip(read.sample, stacks, strict=True):
        assert list(sample.value)[:2] == [stack.calls, stack.bytes]
        assert len(sample.value) == len(types)
        found = [locations[number] for number in sample.location_id]
        frames = list(map(read_frame, stack.frames))
        assert [text[each.name] for each in found] == [frame.name for frame in frames]
        assert [text[each.filename] for each in found] == [frame.module or "" for frame in frames]


# What is refused, and what is left.


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "stacks needs a WORD"),
        (["--", "true"], "stacks needs a WORD"),
        (["x", "--"], "no command after --"),
        (["x", "--for", "1s", "--", "true"], "--for and a command"),
        (["x", "--for", "soon"], "invalid duration"),
        (["x", "--for", ""], "invalid duration ''"),
        (["x", "--map-size", "100"], "invalid value '100' for --map-size"),
        (["x", "--map-size", "1000000"], "invalid value '1000000'"),
        (["x", "--max-rate", "0"], "--max-rate must be at least 1"),
        (["x", "-o", "perf"], "invalid value 'perf' for --format"),
        (["x", "-o", "speedscope", "--output", "x.csv"], "the answer is json, not csv"),
        (["x", "--source", ""], "stacks are of the running kernel"),
        (["x", "--source", "-"], "stacks are of the running kernel"),
        (["x", "--source", "a", "--source", "b"], "b is a second source"),
        (["x", "--source", sample_path()], "has no call stacks: they are of the running kernel"),
        (["-e", "("], "invalid regexp"),
        (["x", "-v"], "--invert-match needs --regexp"),
    ],
)
def test_mistakes(argv: list[str], words: str) -> None:
    refused(here("stacks", *argv), words)


@pytest.mark.parametrize(
    ("before", "after", "live", "words"),
    [
        ((64, 2), (64, 2), 0, "grew by 0 and 0 calls"),
        ((64, 2), (1088, 3), 64, "grew by 1.0K and 1 call"),
        ((1088, 3), (64, 2), 0, "shrank by 1.0K and 1 call"),
        ((64, 2), (96, 3), 64, "grew by 32 and 1 call: what is live here and not there was freed"),
        (
            (96, 3),
            (64, 2),
            64,
            "shrank by 32 and 1 call: what is live here and not there was freed",
        ),
    ],
)
def test_what_the_tags_did_meanwhile(
    before: tuple[int, int], after: tuple[int, int], live: int, words: str
) -> None:
    stacks = [Stack(("a",), 64, 1, 64 - live, int(not live))]
    ends = [[Tag(*each, "a.c", 7, None, "f")] for each in (before, after)]
    note = _unseen(stacks, Seen(stacks), True, *ends)[-1]
    assert note.startswith(f"meanwhile the tags {words}")
    assert ("what is live here" in note) == ("what is live here" in words)


def test_names_that_are_ours(tmp_path: Path) -> None:
    assert tracefs._suffix("allocq-12-345") == "12-345"
    assert tracefs._suffix("allocq_12_345_kmalloc") == "12-345"
    for other in ("allocq", "allocqX-1-1", "allocq-1", "my-allocq-1-2", "allocq-1-2-3"):
        assert tracefs._suffix(other) == "", other


def test_where_tracefs_is_mounted(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("proc /proc proc rw 0 0\n")
    assert tracefs.mounted(str(mounts)) is None
    mounts.write_text("tracefs /a\\040b tracefs rw 0 0\n")
    assert tracefs.mounted(str(mounts)) == "/a b"
    mounts.write_text(
        "t /sys/kernel/debug/tracing tracefs rw 0 0\nt /sys/kernel/tracing tracefs rw 0 0\n"
    )
    assert tracefs.mounted(str(mounts)) == "/sys/kernel/tracing"
    assert tracefs.mounted(str(tmp_path / "none")) is None


def test_tracefs_in_debugfs(tmp_path: Path) -> None:
    """The kernel mounts it at DEBUGFS/tracing when that is looked at, and /proc/mounts has it only
    then."""
    mounts, debugfs = tmp_path / "mounts", tmp_path / "debug"
    mounts.write_text(f"none /other debugfs rw 0 0\nnone {debugfs} debugfs rw 0 0\n")
    assert tracefs.mounted(str(mounts)) is None
    (debugfs / "tracing" / "instances").mkdir(parents=True)
    assert tracefs.mounted(str(mounts)) == f"{debugfs}/tracing"


def test_pprof_is_not_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    from allocq.commands.stacks import stacks_command
    from allocq.output.terminal import Screen

    monkeypatch.setattr("allocq.commands.saving.screen_of", lambda fd: Screen(True))
    with pytest.raises(UsageError, match="pprof is binary"):
        stacks_command({"words": ["x"], "format": "pprof"})


def test_pprof_is_compressed() -> None:
    data = gzip.compress(pprof(SEEN, False, 0, 0), mtime=0)
    assert len(Profile.FromString(gzip.decompress(data)).sample) == 2


# Watching, with what a kernel prints in place of one.


class Recorded:
    """An instance that keeps what is set, and has histograms that were recorded."""

    def __init__(self, missing: Sequence[str] = ()) -> None:
        self.set: list[tuple[str, str]] = []
        self._missing = missing

    def has(self, event: str) -> bool:
        return event not in self._missing

    def add_event(self, name: str, fields: str) -> str:
        self.set.append(("synthetic_events", f"{name} {fields}"))
        return f"ours_{name}"

    def trigger(self, event: str, text: str) -> None:
        self.set.append((event, text))

    def histogram(self, event: str) -> str:
        name = {"kmem/kmalloc": "kmalloc", "synthetic/ours_kmalloc": "synthetic"}.get(event)
        return (FIXTURES / f"hist-{name}-7.3.4-x86.txt").read_text() if name else ""

    def stop(self) -> None:
        self.set.append(("", "stop"))


@pytest.fixture
def pipe_sites(monkeypatch: pytest.MonkeyPatch) -> Sites:
    monkeypatch.setattr("allocq.sources.stacks.read_symbols", lambda: None)
    return find_sites(TAGS[:2], TAGS)


def test_a_watch(pipe_sites: Sites) -> None:
    instance: Any = Recorded()
    watch = Watch(instance, pipe_sites, kinds_of(TAGS[:2]), False, 16384, [7, 9])
    watch.start()
    # Set while it is paused, then let go.
    ours = [text for event, text in instance.set if event == "kmem/kmalloc"]
    condition = "common_pid!=7&&common_pid!=9&&ptr!=0&&(call_site.function == alloc_pipe_info )"
    assert ours == [
        f"hist:keys=common_stacktrace:vals=bytes_alloc:size=2048:{state} if {condition}"
        for state in ("pause", "continue")
    ]
    assert watch.events() == 680
    seen = watch.stop()
    assert instance.set[-1] == ("", "stop")
    assert sorted((stack.calls, stack.bytes) for stack in seen.stacks) == [
        (40, 10240), (40, 40960), (300, 76800), (300, 307200)
    ]  # fmt: skip
    assert all(stack.freed_bytes is None for stack in seen.stacks) and not seen.dropped


def test_a_watch_of_what_is_freed(pipe_sites: Sites) -> None:
    instance: Any = Recorded()
    watch = Watch(instance, pipe_sites, kinds_of(TAGS[:2]), True, 16384, [7])
    watch.start()
    by_event: dict[str, list[str]] = {}
    for event, text in instance.set:
        by_event.setdefault(event, []).append(text)
    assert by_event["synthetic_events"][0] == "kmalloc u64 size; unsigned long[] stack"
    # The free that reads the size of an allocation by an expression makes the kernel forget it.
    assert by_event["kmem/kfree"][0] == (
        "hist:keys=ptr:kcf0=$kcs+0:size=16384:onmatch(kmem.kmalloc).trace(ours_kmalloc,$kcf0,$kct)"
    )
    # No free is missed between an allocation that counts and what notices frees.
    order = [event for event, _ in instance.set]
    assert order.index("kmem/kfree") < len(order) - 1 - order[::-1].index("kmem/kmalloc")
    seen = watch.stop()
    assert [(stack.live_calls, stack.live_bytes) for stack in seen.stacks] == [(0, 0)] * 4
    assert seen.unpaired == 0


def test_a_watch_that_tells_threads_apart(pipe_sites: Sites) -> None:
    instance: Any = Recorded()
    watch = Watch(instance, pipe_sites, kinds_of(TAGS[:2]), True, 16384, [7], by_process=True)
    watch.start()
    by_event: dict[str, list[str]] = {}
    for event, text in instance.set:
        by_event.setdefault(event, []).append(text)
    counter, pairs, again = by_event["kmem/kmalloc"]
    assert counter.startswith("hist:keys=common_stacktrace,common_pid:vals=bytes_alloc:size=2048")
    assert again.startswith("hist:keys=common_stacktrace,common_pid:vals=bytes_alloc:size=2048")
    assert "kct=common_stacktrace,kcp=common_pid:size=" in pairs
    assert by_event["synthetic_events"][0].endswith("unsigned long[] stack; pid_t pid")
    assert by_event["kmem/kfree"][0].endswith(".trace(ours_kmalloc,$kcf0,$kct,$kcp)")
    assert by_event["synthetic/ours_kmalloc"][0].startswith("hist:keys=stack.stacktrace,pid:vals=")


@pytest.mark.parametrize("by_process", [False, True])
def test_a_watch_that_tells_sizes_apart(pipe_sites: Sites, by_process: bool) -> None:
    instance: Any = Recorded()
    watch = Watch(instance, pipe_sites, KINDS, True, 16384, [7], by_process, by_size=True)
    watch.start()
    process, pid = (",common_pid", ",pid") if by_process else ("", "")
    counted = {"kmem/kmalloc": "bytes_alloc", "kmem/kmem_cache_alloc": "bytes_alloc",
               "percpu/percpu_alloc_percpu": "size", "kmem/mm_page_alloc": "order",
               "vmalloc/alloc_vmap_area": "size"}  # fmt: skip
    for event, size in counted.items():
        [start] = [text for at, text in instance.set if at == event and ":pause" in text]
        assert start.startswith(f"hist:keys=common_stacktrace{process},{size}:size="), start
        assert start.partition(":size=")[0].count(",") < 3  # the kernel has three keys at most
    freed = [text for at, text in instance.set if at.startswith("synthetic/")]
    assert len(freed) == len(counted)
    assert all(text.startswith(f"hist:keys=stack.stacktrace{pid},size:size=") for text in freed)


@unhurried
@given(
    st.lists(
        st.tuples(st.sampled_from(list(KINDS)), st.integers(0, 10), st.integers(1, 1000)),
        max_size=8,
    )
)
def test_rows_of_sizes_are_kept_apart(several: list[tuple[Kind, int, int]]) -> None:
    """The kernel gives the size as a key; what a row holds is that, as often as it was counted."""
    watch = object.__new__(Watch)
    for by_size in (True, False):
        watch._by_size = by_size
        for kind, power, hits in several:
            key = power if kind.is_order else (4096 << power) + (4096 if kind is _VMALLOC else 0)
            for name in (kind.size, "size"):  # of an allocation, and of a free
                row = Row(("a",), {name: key}, {"hitcount": hits})
                assert watch._size_of(kind, row) == ((4096 << power) if by_size else None)
                assert _bytes(kind, row) == (4096 << power) * hits


def sized() -> list[Stack]:
    stacks = [Stack(("a+0x1/0x2", "b+0x1/0x2"), 96 * 8, 8, size=96),
              Stack(("a+0x1/0x2", "b+0x1/0x2"), 192 * 3, 3, size=192),
              Stack(("a+0x1/0x2", "c+0x1/0x2"), 64, 1, size=64, pid=5, comm="x")]  # fmt: skip
    assert subtract(stacks, [Freed(("a+0x1/0x2", "b+0x1/0x2"), 96 * 2, 2, size=96),
                             Freed(("a+0x1/0x2",), 192, 1, size=192),
                             Freed(("a+0x1/0x2", "b+0x1/0x2"), 64, 1, size=64)]) == 1  # fmt: skip
    return stacks


def test_sizes_in_every_format() -> None:
    stacks = sized()
    assert [(stack.live_bytes, stack.live_calls) for stack in stacks] == [
        (96 * 6, 6), (192 * 2, 2), (64, 1)
    ]  # fmt: skip
    assert [line.split("  ")[-1] for line in table(stacks[:2], False, StackLayout())][1:-1] == [
        "a+0x1", "b+0x1", "96 bytes each", "192 bytes each"
    ]  # fmt: skip
    text = "\n".join(table(stacks, False, StackLayout()))
    assert text.index("x (5)") < text.index("64 bytes each")
    assert b"".join(folded(stacks, False)).splitlines() == [
        b"b;a;96_bytes_each 768", b"b;a;192_bytes_each 576", b"x_(5);c;a;64_bytes_each 64"
    ]  # fmt: skip
    values = json.loads(b"".join(document(stacks, True, {}, {})))["stacks"]
    assert [each["size"] for each in values] == [96, 192, 64]
    value = json.loads(speedscope(stacks, True, "t", "x"))
    names = [frame["name"] for frame in value["shared"]["frames"]]
    assert [names[sample[-1]] for sample in value["profiles"][0]["samples"]] == [
        "96 bytes each", "192 bytes each", "64 bytes each"
    ]  # fmt: skip
    profile = Profile.FromString(pprof(stacks, True, 1, 2))
    labels = [[(profile.string_table[each.key], each.num, profile.string_table[each.num_unit])
               for each in sample.label] for sample in profile.sample]  # fmt: skip
    assert labels == [[("bytes", size, "bytes")] for size in (96, 192, 64)]
    plain = Profile.FromString(pprof([Stack(("a",), 8, 1)], False, 1, 2))
    assert not plain.sample[0].label


def test_rows_of_threads_are_kept_apart(pipe_sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    instance: Any = Recorded()
    real, us = Recorded.histogram, os.getpid()
    pids = itertools.cycle([us, us, 1 << 30, 0])

    def histogram(self: Recorded, event: str) -> str:
        text = real(self, event)
        return re.sub(
            r"(?m)^\}( hitcount)", lambda m: f", common_pid: {next(pids):10}}}{m[1]}", text
        )

    monkeypatch.setattr(Recorded, "histogram", histogram)
    watch = Watch(instance, pipe_sites, kinds_of(TAGS[:2]), False, 16384, [7], by_process=True)
    watch._names._ours = True
    watch.start()
    stacks = watch.stop().stacks
    comm = Path("/proc/self/comm").read_text().strip()
    assert {(stack.pid, stack.comm) for stack in stacks} == {
        (us, comm), (1 << 30, None), (0, "swapper")
    }  # fmt: skip
    assert {stack.path[-1] for stack in stacks} == {
        f"{comm} ({us})", f"process ({1 << 30})", "swapper (0)"
    }  # fmt: skip
    assert sum(stack.calls for stack in stacks) == 680
    values = json.loads(b"".join(document(stacks, False, {}, {})))["stacks"]
    assert {(each["pid"], each["comm"]) for each in values} == {
        (stack.pid, stack.comm) for stack in stacks
    }


def test_frees_are_those_of_the_thread_that_allocated() -> None:
    stacks = [Stack(("a", "b"), 80, 8, pid=1), Stack(("a", "b"), 80, 8, pid=2)]
    assert subtract(stacks, [Freed(("a", "b"), 30, 3, 2), Freed(("a",), 10, 1, 1),
                             Freed(("a", "b"), 10, 1, 3)]) == 1  # fmt: skip
    assert [stack.live_calls for stack in stacks] == [7, 5]
    assert [node.label for node in call_tree(stacks, False).ordered()] == ["a"]
    assert b"".join(folded(stacks, False)) == b"process_(1);b;a 80\nprocess_(2);b;a 80\n"


def test_threads_of_another_namespace_have_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allocq.host.threads._FIRST_NAMESPACE", "pid:[1]")
    assert threads.ThreadNames().look(os.getpid()) is None
    assert threads.ThreadNames().look(None) is None
    assert threads.ThreadNames().look(0) == "swapper"


def test_events_that_a_kernel_has_not(pipe_sites: Sites) -> None:
    instance: Any = Recorded(missing=["kmem/kmem_cache_alloc"])
    watch = Watch(instance, pipe_sites, kinds_of(TAGS[:2]), False, 16384, [7, 9])
    assert watch.missing == ["kmem_cache"]
    nothing: Any = Recorded(missing=[kind.event for kind in kinds_of(TAGS)])
    with pytest.raises(InterfaceError, match="no events"):
        Watch(nothing, pipe_sites, kinds_of(TAGS), False, 16384, [7, 9])


# tracefs, in a directory that looks like it.


@pytest.fixture
def fake_tracefs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "instances").mkdir()
    event = tmp_path / "events/kmem/kmalloc"
    event.mkdir(parents=True)
    (event / "format").touch()
    (event / "hist").touch()
    (tmp_path / "README").write_text("hist trigger\ncommon_stacktrace\n")
    (tmp_path / "synthetic_events").touch()
    monkeypatch.setattr(tracefs, "mounted", lambda: str(tmp_path))
    monkeypatch.setattr(tracefs, "locked_down", lambda: False)
    return tmp_path


def test_a_kernel_that_can_trace(fake_tracefs: Path) -> None:
    facts = tracefs.usable()
    assert (facts.why, facts.synthetic, facts.left) == ("", True, 0)
    (fake_tracefs / "synthetic_events").unlink()
    assert not tracefs.usable().synthetic


@pytest.mark.parametrize(
    ("without", "words"),
    [
        ("events/kmem/kmalloc/hist", "no histogram triggers (CONFIG_HIST_TRIGGERS)"),
        ("events/kmem/kmalloc/format", "no events of allocations"),
        ("README", "no events of allocations"),
    ],
)
def test_a_kernel_that_cannot(fake_tracefs: Path, without: str, words: str) -> None:
    (fake_tracefs / without).unlink()
    with pytest.raises(InterfaceError, match=re.escape(words)) as refusal:
        tracefs.usable()
    assert refusal.value.hint


def test_a_kernel_without_stack_traces(fake_tracefs: Path) -> None:
    (fake_tracefs / "README").write_text("hist trigger\n")
    with pytest.raises(InterfaceError, match="CONFIG_STACKTRACE"):
        tracefs.usable()


@pytest.mark.parametrize("locked", [True, False])
def test_what_may_not_be_read(
    fake_tracefs: Path, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(errno.EPERM, "Operation not permitted", path)

    monkeypatch.setattr("allocq.host.tracefs.os.listdir", refuse)
    monkeypatch.setattr(tracefs, "locked_down", lambda: locked)
    with pytest.raises(InterfaceError if locked else AccessError) as refusal:
        tracefs.usable()
    assert ("lockdown" if locked else "permission denied") in str(refusal.value)


def test_lockdown(tmp_path: Path) -> None:
    state = tmp_path / "lockdown"
    for text, expected in (
        ("none integrity [confidentiality]", True),
        ("none [integrity] confidentiality", False),
    ):
        state.write_text(text)
        assert tracefs.locked_down(str(state)) == expected
    assert not tracefs.locked_down(str(tmp_path / "none"))


def test_only_what_dead_processes_left_is_removed(fake_tracefs: Path) -> None:
    start = tracefs._start_time(os.getpid())
    instances = fake_tracefs / "instances"
    alive = f"allocq-{os.getpid()}-{start}"
    reused = f"allocq-{os.getpid()}-{start - 1}"  # another process had this number
    elsewhere = "allocq-4999998-7"  # of another PID namespace: it holds its lock
    for name in (alive, reused, elsewhere, "allocq-4999999-1", "allocq", "theirs"):
        (instances / name).mkdir()
    lock = os.open(instances / elsewhere, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert tracefs.trace_facts().left == 2
        assert tracefs.remove_left(str(fake_tracefs)) == 2
        assert sorted(os.listdir(instances)) == sorted([alive, elsewhere, "allocq", "theirs"])
    finally:
        os.close(lock)


@pytest.mark.parametrize(
    ("trace", "offset"),
    [
        ("# tracer: nop\n  <...>-4000404 [000] ..... 1.5: tracing_mark_write: allocq {}\n", 1),
        (" a-1 b [x]-4000404 (  12) [001] d.h.1  12.345678: tracing_mark_write: allocq {}\n", 1),
        ("  <...>-4000404 [000] ..... 1.5: tracing_mark_write: allocq {}7\n", 0),
        ("", 0),
    ],
)
def test_a_thread_is_known_as_events_name_it(fake_tracefs: Path, trace: str, offset: int) -> None:
    """Events have the number of the first PID namespace, getpid() that of a container."""
    with tracefs.Instance(str(fake_tracefs)) as instance:
        own = threading.get_native_id()
        for name in ("trace", "trace_marker"):
            Path(instance.path, name).write_text(trace.format(own) if name == "trace" else "")
        assert instance.thread_id() == (4000404 if offset else own)
        assert Path(instance.path, "trace_marker").read_text() == f"allocq {own}\n"
        for name in ("trace", "trace_marker"):
            Path(instance.path, name).unlink()
        assert instance.thread_id() == own


def test_an_instance_is_private_and_goes_again(fake_tracefs: Path) -> None:
    with tracefs.Instance(str(fake_tracefs)) as instance:
        path = Path(instance.path)
        assert path.stat().st_mode & 0o777 == 0o700
        assert tracefs.remove_left(str(fake_tracefs)) == 0 and path.is_dir()
        with pytest.raises(SourceError, match="trigger"):
            instance.trigger("kmem/kfree", "hist:keys=ptr")
    assert not path.exists()
    with pytest.raises(KeyError), tracefs.Instance(str(fake_tracefs)):
        raise KeyError
    assert os.listdir(fake_tracefs / "instances") == []
