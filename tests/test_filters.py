"""Every filter of `query` on generated and real texts, compared with an independent reader."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import oracle
import pytest
from asking import only, questions
from command import query, unhurried
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from oracle import TEXTS, Asked

TAGS = {path: tuple(oracle.parse(path.read_bytes())) for path in TEXTS}


def text_of(files: list[str], module: str = "") -> bytes:
    """A text with one tag a file."""
    lines = [
        f"{4096 * i:12d} {i:8d} {file}:{i + 1}{module} func:f{i} " for i, file in enumerate(files)
    ]
    return oracle.HEADER + "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")


def found(data: bytes, *argv: str) -> list[oracle.Tag]:
    result = query(data, "-o", "procfs", *argv)
    assert result.err == "", result
    tags = oracle.parse(result.out)
    assert result.status == (0 if tags else 1)
    return tags


# Names

# A small alphabet, so that patterns meet names; ü, € and 😀 take two to four bytes, \udcff is a
# byte that is no UTF-8.
CHARS = "ab/.-]!^\\ü€😀\udcff"
names = st.text(CHARS, min_size=1, max_size=8)
glob_parts = st.one_of(
    st.text(CHARS, min_size=1, max_size=2),
    st.sampled_from(["*", "?", "**", "*?", "[[]", "[]]", "[!]]", "[a-b]", "[!a]", "[^a]", "[a-]"]),
    st.sampled_from(
        ["[--/]", "[]-a]", "[!]-a]", "[ü-😀]", "[!ü€]", "[a-ab]", "[\\a]", "[*]", "[?]"]
    ),
    st.text("ab-]!", min_size=1, max_size=4).map(lambda members: f"[{members}]"),
)
globs = st.lists(glob_parts, min_size=1, max_size=5).map("".join)


@settings(unhurried, max_examples=600)
@given(pattern=globs, files=st.lists(names, min_size=1, max_size=12))
@example(pattern="*a*b*a*b", files=["ab" * 4, "ab" * 4 + "a"])
@example(pattern="a*", files=["a", "b"])
@example(pattern="[!]", files=["!"])
@example(pattern="[]", files=["]"])
@example(pattern="[a-b-]", files=["-", "a", "b", "c"])
@example(pattern="[b-a]", files=["a", "b", "-"])
def test_a_file_glob_is_that_of_fnmatch_on_the_whole_path(pattern: str, files: list[str]) -> None:
    result = query(text_of(files), "-f", pattern, "-o", "procfs")
    if result.status == 2:
        assert "invalid glob" in result.err
        # Refused is only what fnmatch takes for something that can hardly be meant.
        assert "is not closed" in result.err or "is empty" in result.err
        return
    tags = oracle.parse(text_of(files))
    meant = oracle.meant(tags, oracle.Asked(files=[pattern]))
    if oracle.is_glob(pattern) and any(fnmatchcase(file, pattern) for file in files):
        assert [tag.file for tag in meant] == [f for f in files if fnmatchcase(f, pattern)]
    assert oracle.parse(result.out) == meant
    assert found(text_of(files), "-x", pattern) == [
        tag for tag in tags if not oracle.file_matches(tag, pattern)
    ]


@pytest.mark.parametrize(
    "pattern", ["[", "a[", "[!", "[!]", "[]", "*[a", "[a-b", "[]a", "[b-a]", "[9-0]x"]
)
def test_a_glob_that_cannot_be_meant_is_refused(pattern: str) -> None:
    for flag in ("-f", "-F", "-m", "-x"):
        result = query(text_of(["a"]), flag, pattern)
        assert (result.status, result.out) == (2, b"")
        assert result.err.startswith(f"allocq: invalid glob '{pattern}'")


@unhurried
@given(
    pattern=st.text("ab/.", min_size=1, max_size=6),
    files=st.lists(st.text("ab/.", min_size=1, max_size=9)),
)
@example(pattern="a.c", files=["a.c", "x/a.c", "xa.c", "a.c/x", "x/a.cx", "a/.c"])
@example(pattern="b/a.c", files=["b/a.c", "a/b/a.c", "ab/a.c", "a.c"])
@example(pattern="/a.c", files=["/a.c", "x/a.c", "x//a.c"])
def test_a_plain_file_is_the_whole_path_or_its_last_components(
    pattern: str, files: list[str]
) -> None:
    expected = oracle.meant(oracle.parse(text_of(files)), oracle.Asked(files=[pattern]))
    assert found(text_of(files), "-f", pattern) == expected


@unhurried
@given(
    pattern=(globs | names).filter(lambda pattern: not pattern.endswith("/")),
    functions=st.lists(names.filter(lambda s: " " not in s), max_size=8),
)
def test_functions_and_modules_are_whole_names_or_globs(pattern: str, functions: list[str]) -> None:
    lines = [
        f"           1        1 a.c:{i + 1} [{name}] func:{name} \n"
        for i, name in enumerate(functions)
    ] + ["           1        1 a.c:99 func:main \n"]
    data = oracle.HEADER + "".join(lines).encode("utf-8", "surrogateescape")
    tags = oracle.parse(data)
    for flag in ("-F", "-m"):
        result = query(data, flag, pattern, "-o", "procfs")
        if result.status == 2:
            assert "invalid glob" in result.err and oracle.is_glob(pattern)
            continue
        asked = Asked(functions=[pattern]) if flag == "-F" else Asked(modules=[pattern])
        expected = oracle.meant(tags, asked)
        assert oracle.parse(result.out) == expected
        assert result.status == (0 if expected else 1)


PLACES = (
    b"          16        1 fs/xfs/xfs_buf.c:7 [xfs] func:a \n"
    b"          32        1 include/linux/slab.h:9 [xfs] func:b \n"
    b"          64        1 include/linux/slab.h:9 [zram] func:b \n"
    b"         128        1 include/linux/slab.h:9 func:c \n"
    b"         256        1 drivers/net/ethernet/intel/ice/ice_main.c:3 [ice] func:d \n"
    b"         512        1 kernel/sched/core.c:5 func:e \n"
)


@pytest.mark.parametrize(
    ("argv", "sizes"),
    [
        (["-f", "fs/xfs/xfs_buf.c:7 [xfs]"], [16]),
        (["-f", "fs/xfs/xfs_buf.c:7 [zram]"], []),
        (["-f", "xfs_buf.c:7"], [16]),
        (["-f", "xfs_buf.c:7:"], [16]),
        (["-f", "xfs_buf.c:7,"], [16]),
        (["-f", "slab.h:9"], [32, 64, 128]),
        (["-f", "slab.h:9 [zram]"], [64]),
        (["-f", "slab.h:1-20 [zram] func:b"], [64]),
        (["-f", "slab.h:9 func:c"], [128]),
        (["-f", "slab.h:9 func:c accurate:no"], [128]),
        (["-f", "*.h:9 [xfs]"], [32]),
        (["-x", "slab.h:9 [zram]", "-f", "include"], [32, 128]),
        (["-f", "./kernel/"], [512]),
        (["-f", "./kernel/sched/core.c:5"], [512]),
        (["-f", "ice"], [256]),
        (["-f", "ice/"], [256]),
        (["-f", "ice/*"], [256]),
        (["-f", "intel/ice"], [256]),
        (["-f", "sched"], [512]),
        (["-f", "ched"], []),
        (["-f", "xfs"], [16]),
        (["-m", "fs/xfs/xfs.ko"], [16, 32]),
        (["-m", "/lib/modules/7.3/kernel/fs/xfs/xfs.ko.zst"], [16, 32]),
        (["-F", "d()"], [256]),
        (["-F", "func:d+0x1c/0x80"], [256]),
        (["-F", "d.isra.0+0x1c"], [256]),
        (["-F", "d.cold"], [256]),
        (["slab.h:9 [zram]"], [64]),
        (["slab.h:9 [zram] func:b"], [64]),
        (["ice_main"], [256]),
        (["ice", "sched"], [256, 512]),
        (["e()"], [512]),
        (["kernel/fs/xfs/xfs.ko.xz"], [16, 32]),
    ],
    ids=str,
)
def test_names_are_read_as_they_are_printed_elsewhere(argv: list[str], sizes: list[int]) -> None:
    assert [tag.bytes for tag in found(oracle.HEADER + PLACES, *argv)] == sizes


def test_a_case_matters_in_names() -> None:
    assert found(text_of(["fs/a.c"]), "-f", "A.c") == []
    assert found(text_of(["fs/a.c"]), "-f", "*A.c") == []


# Counters

counts = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**63, 2**64 - 1])
sizes = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 1, -(2**63), 2**63 - 1])
bounds = st.integers(-(2**63) + 1, 2**63 - 1) | st.sampled_from([0, 1, -1, 4096, 2**63 - 1])


def counters_text(counters: list[tuple[int, int]]) -> bytes:
    return oracle.HEADER + b"".join(
        b"%12d %8d a.c:%d func:f \n" % (size, calls, i + 1)
        for i, (size, calls) in enumerate(counters)
    )


@unhurried
@given(counters=st.lists(st.tuples(sizes, counts), max_size=20), data=st.data())
def test_sizes_and_calls_are_inclusive_and_signed(
    counters: list[tuple[int, int]], data: st.DataObject
) -> None:
    tags = oracle.parse(counters_text(counters))
    size_bounds = st.none() | bounds | st.sampled_from([0, *(tag.bytes for tag in tags)])
    call_bounds = st.none() | bounds | st.sampled_from([0, *(tag.calls for tag in tags)])
    asked = Asked(
        min_size=data.draw(size_bounds),
        max_size=data.draw(size_bounds),
        min_calls=data.draw(call_bounds),
        max_calls=data.draw(call_bounds),
        underflowed=data.draw(st.booleans()),
    )
    assume(-(2**63) not in (asked.min_size, asked.max_size, asked.min_calls, asked.max_calls))
    text = counters_text(counters)
    impossible = any(
        low is not None and high is not None and low > high
        for low, high in ((asked.min_size, asked.max_size), (asked.min_calls, asked.max_calls))
    )
    if impossible:
        assert query(text, *asked.argv()).status == 2
    else:
        assert found(text, *asked.argv()) == oracle.meant(oracle.parse(text), asked)


def test_calls_below_zero_are_signed_and_found() -> None:
    """As the kernel prints them: bytes signed, calls as a huge number."""
    text = oracle.HEADER + (
        b"       -4096 18446744073709551615 mm/filemap.c:3787 func:do_read_cache_folio \n"
        b"        4096 18446744073709551614 a.c:1 func:only_calls \n"
        b"          -1        5 a.c:2 func:only_bytes \n"
        b"   105475652        0 mm/compaction.c:1880 func:compaction_alloc \n"
    )
    for way in (["--underflowed"], ["--max-calls=-1"], ["--max-size", "-1"]):
        tags = [json.loads(line) for line in query(text, "-o", "jsonl", *way).out.splitlines()]
        assert all(tag["bytes"] < 0 or tag["calls"] < 0 for tag in tags)
        assert len(tags) == (3 if way == ["--underflowed"] else 2)
    csv = query(text, "-o", "csv", "-n", "1").out.splitlines()[1]
    assert csv == b"-4096,-1,mm/filemap.c,3787,,do_read_cache_folio,true"
    assert found(text, "--min-calls", "0")[0].function == "only_bytes"
    assert query(text, "-o", "procfs").out == text.split(b"\n", 2)[2]  # the kernel's own bytes
    assert query(text, "-c", "--underflowed", "-x", "mm/").out == b"2\n"
    listed = [tag.function for tag in oracle.parse(query(text, "-s", "calls").out)]
    assert listed == ["only_bytes", "compaction_alloc", "do_read_cache_folio", "only_calls"]


def test_a_counter_below_zero_passes_no_minimum() -> None:
    text = counters_text([(-4096, 1), (0, 1), (-(2**63), 1)])
    assert [tag.bytes for tag in found(text, "--min-size", "0")] == [0]
    assert [tag.bytes for tag in found(text, "--max-size", "0")] == [-4096, 0, -(2**63)]
    assert b"-4096" in query(text, "-o", "json").out


def test_an_option_given_several_times_widens() -> None:
    text = counters_text([(size, size) for size in (0, 10, 20, 30, 40)])
    assert [tag.bytes for tag in found(text, "--min-size", "30", "--min-size", "10")] == [
        10,
        20,
        30,
        40,
    ]
    assert [tag.bytes for tag in found(text, "--max-size", "10", "--max-size", "30")] == [
        0,
        10,
        20,
        30,
    ]
    assert [tag.calls for tag in found(text, "--min-calls", "30", "--min-calls", "40")] == [30, 40]
    assert [tag.calls for tag in found(text, "--max-calls", "0", "--max-calls", "10")] == [0, 10]
    assert [tag.line for tag in found(text, "-l", "1", "-l", "4-5")] == [1, 4, 5]


def test_lines_are_numbers_or_inclusive_ranges() -> None:
    text = oracle.HEADER + b"".join(
        b"           0        0 a.c:%d func:f \n" % line for line in (0, 9, 10, 11, 2**64 - 1)
    )
    assert [tag.line for tag in found(text, "-l", "0")] == [0]
    assert [tag.line for tag in found(text, "-l", "9-10")] == [9, 10]
    assert [tag.line for tag in found(text, "-l", f"11-{2**64 - 1}")] == [11, 2**64 - 1]
    assert found(text, "-l", "12") == []


# Everything together, on real texts


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
@settings(unhurried, max_examples=70)
@given(data=st.data())
def test_filters_together_on_real_texts(path: Path, data: st.DataObject) -> None:
    asked = data.draw(questions(TAGS[path]))
    fields = data.draw(st.sets(st.sampled_from(Asked._fields), min_size=1, max_size=4))
    asked = only(asked, fields)
    assert found(path.read_bytes(), *asked.argv()) == oracle.meant(TAGS[path], asked)
    counted = query(path.read_bytes(), "-c", *asked.argv())
    assert counted.out == b"%d\n" % len(oracle.meant(TAGS[path], asked))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_each_way_to_name_each_file_finds_it(path: Path) -> None:
    """Whole, by its last component, and under its directory."""
    data, tags = path.read_bytes(), TAGS[path]
    for file in sorted({tag.file for tag in tags})[::29]:
        directory, _, name = file.rpartition("/")
        for pattern in (file, name, f"{directory}/*", f"*/{name}"):
            asked = Asked(files=[pattern])
            assert found(data, "-f", pattern) == oracle.meant(tags, asked) != []


def test_everything_is_the_file_itself() -> None:
    for path in TEXTS:
        assert query(path.read_bytes(), "--header", "-o", "procfs").out == path.read_bytes()


def test_a_regexp_is_searched_in_place_module_and_function() -> None:
    data = (
        oracle.HEADER + b"           0        0 fs/a.c:7 [m] func:f accurate:no more:words \n"
        b"           0        0 fs/b.c:8 func:g \n"
    )
    whole = {1: r"^fs/a\.c:7 \[m\] func:f$", 2: r"^fs/b\.c:8 func:g$"}
    for i, regexp in whole.items():
        assert [tag.file for tag in found(data, "-e", regexp)] == [f"fs/{'ab'[i - 1]}.c"]
        assert len(found(data, "-e", regexp, "-v")) == 1
    assert len(found(data, "-e", "f$", "-e", "g$")) == 2
    assert len(found(data, "-e", "f$", "-e", "g$", "-v")) == 0
    assert len(found(data, "-e", "FUNC:G", "-i")) == 1
    assert len(found(data, "-e", "FUNC:G")) == 0
    assert len(found(data, "-e", "accurate")) == 0


def test_a_name_longer_than_the_kernels_ioctl_can_say_is_matched_whole() -> None:
    long = "abc/" * 30 + "x.c"
    data = text_of([long, "abd/" * 30 + "x.c"], f" [{'m' * 80}]")
    assert [tag.file for tag in found(data, "-f", long)] == [long]
    assert len(found(data, "-m", "m" * 80)) == 2
    assert found(data, "-m", "m" * 63) == []
    assert found(data, "-f", long[-62:]) == []
