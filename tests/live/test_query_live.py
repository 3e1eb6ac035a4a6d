"""`allocq query` of the running kernel: the ioctl, the text and an independent reading agree."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import oracle
import pytest
import still
from asking import only, questions
from command import Result, allocq, here, refused, unhurried
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from oracle import Asked

import allocq as library
from allocq.core.binding import ffi, lib

if TYPE_CHECKING:
    from conftest import Modprobe

INTERFACES = ("ioctl", "text", "auto")
ANSWERS = {"ioctl": ("ioctl",), "text": ("text",), "auto": ("ioctl", "text")}
CACHE = Path("/run/allocq")


def forget() -> None:
    """As on a fresh boot: no names are known."""
    shutil.rmtree(CACHE, ignore_errors=True)


def ask(asked: Asked, interface: str, *argv: str) -> list[oracle.Tag]:
    result = here("query", "-o", "procfs", "--interface", interface, *asked.argv(), *argv)
    assert result.err == "", result
    tags = oracle.parse(result.out)
    assert result.status == (0 if tags else 1)
    return tags


@functools.cache
def moving(_content_id: int) -> frozenset[tuple[object, ...]]:
    """What moves whenever something is asked; the modules loaded have their own."""

    def every_way() -> Iterator[list[oracle.Tag]]:
        for forgetful in (True, False):
            for interface in INTERFACES:
                if forgetful:
                    forget()
                yield ask(Asked(), interface)

    return still.restless(every_way)


def content_id() -> int:
    out = here("query", "-n", "0", "-o", "json").out.decode()
    return int(re.findall(r'"content_id":(\d+)', out)[0])


def check(asked: Asked) -> None:
    """All interfaces give what the text says; tried again where something else was at work."""
    restless = moving(content_id())
    wrong: list[str] = []
    for _ in range(4):
        before = still.read()
        answers = [ask(asked, interface) for interface in INTERFACES]
        after = still.read()
        for interface, answer in zip(INTERFACES, answers, strict=True):
            if still.names_of(asked) == asked:
                assert still.same_names(answer, asked, before), interface
            if why := still.why_not(answer, asked, before, after, restless):
                wrong.append(f"{interface}: {why}")
                break
        else:
            return
    pytest.fail("\n".join(wrong))


def generated(examples: int) -> None:
    """Hold generated questions about the tags of now against the text."""
    tags = tuple(still.read())

    @settings(unhurried, max_examples=examples, phases=[Phase.generate])
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        asked = data.draw(questions(tags))
        fields = data.draw(st.sets(st.sampled_from(Asked._fields), min_size=1, max_size=4))
        if data.draw(st.integers(0, 9)) == 0:
            forget()
        check(only(asked, fields))

    holds()


def test_generated_filters_say_the_same_in_every_interface() -> None:
    generated(150)


@pytest.fixture
def with_xfs(modprobe: Modprobe) -> None:
    if not modprobe.has("xfs"):
        pytest.skip("this kernel has no module xfs")
    modprobe("xfs")


@pytest.mark.usefixtures("with_xfs")
def test_generated_filters_with_a_module_loaded() -> None:
    assert any(tag.module == "xfs" for tag in still.read())
    generated(50)


@pytest.fixture
def oddtags(modprobe: Modprobe) -> None:
    if not modprobe.has("allocq_oddtags"):
        pytest.skip("this kernel has no module allocq_oddtags; tests/vm/build-kernel builds both")
    modprobe("allocq_oddtags")


ODD = "allocq_oddtags"


@pytest.mark.usefixtures("oddtags")
@pytest.mark.parametrize("known", [False, True], ids=["names unknown", "names known"])
def test_odd_tags_are_found_whole_by_any_of_their_names(known: bool) -> None:
    odd = [tag for tag in still.read() if tag.module == ODD]
    assert any(len(tag.file) > 63 for tag in odd)
    assert any(len(tag.function) > 63 for tag in odd)
    assert any(tag.bytes < 0 for tag in odd)
    assert any(not tag.accurate for tag in odd)
    for tag in odd:
        file = tag.file.replace("[", "[[]")
        for asked in (
            Asked(files=[file]),
            Asked(files=["*/" + file.rpartition("/")[2]]),
            Asked(functions=[tag.function]),
            Asked(functions=[tag.function[-63:]]),
            Asked(modules=[ODD], lines=[(tag.line, tag.line)]),
            Asked(modules=[ODD], functions=[tag.function], files=[file]),
            Asked(regexps=[re.escape(tag.subject())]),
        ):
            if not known:
                forget()
            check(asked)


@pytest.mark.usefixtures("oddtags")
def test_counters_below_zero_pass_no_minimum_in_any_interface() -> None:
    negative = [tag for tag in still.read() if tag.bytes < 0 and tag.module == ODD]
    for argv in (
        Asked(min_size=0),
        Asked(min_size=0, modules=[ODD]),
        Asked(max_size=0, modules=[ODD]),
        Asked(min_size=1, max_size=1 << 40),
        Asked(min_size=2**63 - 1),
        Asked(max_size=2**63 - 1, functions=[negative[0].function]),
    ):
        for _ in range(2):
            check(argv)
            forget()
    for interface in INTERFACES:
        shown = ask(Asked(functions=[negative[0].function]), interface)
        assert [tag.bytes for tag in shown] == [tag.bytes for tag in negative]


@pytest.mark.usefixtures("oddtags")
@pytest.mark.parametrize("known", [False, True], ids=["names unknown", "names known"])
def test_counters_below_zero_are_found_in_any_interface(known: bool) -> None:
    below = [tag for tag in still.read() if tag.bytes < 0 or tag.calls < 0]
    assert [tag.function for tag in below if tag.module == ODD] == ["below_zero"]
    for asked in (
        Asked(underflowed=True),
        Asked(underflowed=True, modules=[ODD]),
        Asked(underflowed=True, max_size=-1),
        Asked(max_size=-1),
        Asked(max_size=-1, min_size=-4096, modules=[ODD]),
        Asked(max_calls=-1, functions=["below_*"]),
        Asked(min_size=-4096, max_size=-4096),
        Asked(min_size=-4095, max_size=-1),
    ):
        if not known:
            forget()
        check(asked)


@pytest.mark.usefixtures("oddtags")
def test_the_kernel_itself_finds_bytes_below_zero() -> None:
    """Its bounds are unsigned, in which all that is below zero comes last."""
    forget()
    argv = ("query", "--interface", "ioctl", "--max-size=-1")
    plan = json.loads(allocq(*argv, "--explain", "-o", "json").out)
    assert plan["method"] == "filter" and plan["checked_here"] == []
    assert plan["kernel_filter"]["min_size"] == 1 << 63
    assert plan["kernel_filter"]["max_size"] == (1 << 64) - 1
    answer = json.loads(allocq(*argv, "-o", "json").out)
    assert {"below_zero"} <= {tag["function"] for tag in answer["tags"]}
    assert all(tag["bytes"] < 0 and tag["calls"] < 0 for tag in answer["tags"])
    assert answer["counted"]["bytes"] == 0
    assert answer["counted"]["underflowed"] == len(answer["tags"])


@pytest.mark.usefixtures("oddtags")
def test_the_largest_are_found_although_some_shrank_and_one_is_below_zero() -> None:
    """The counters that are kept with the names are old, and the kernel takes one below zero for a
    huge one."""

    def five() -> list[int]:
        return sorted((tag.bytes for tag in still.read()), reverse=True)[:5]

    text = still.ALLOCINFO.read_bytes()
    lines = text.splitlines(keepends=True)
    lines[2:] = [
        b"%12d" % (five()[3]) + line[12:] if line[:13] == b"           0 " and i == 2 else line
        for i, line in enumerate(lines[2:], 2)
    ]
    assert lines[2] != text.splitlines(keepends=True)[2], "the first tag was empty"
    with library.open() as source:
        content = source.read(library.Filter(files=["mm/slub.c"])).info.content_id
    assert content is not None
    # A kernel where sums are free and calls dear: the largest are asked for by size.
    costs = {"call": 10**6, "tag": 10**6, "step": 1, "compare": 1, "sum": 0, "text": 10**12}
    kept = b"".join(lines)
    lib.aq_cache_save(content, kept, len(kept), ffi.new("aq_costs *", costs))
    plan = explained("-n", "5", "-s", "bytes", "--interface", "ioctl")
    assert plan["method"] == "filter" and "largest" in str(plan["reason"]), plan
    before = five()
    result = here("query", "-n", "5", "-s", "bytes", "-o", "procfs", "--interface", "ioctl")
    after = five()
    shown = [tag.bytes for tag in oracle.parse(result.out)]
    assert len(shown) == 5
    for old, size, new in zip(before, shown, after, strict=True):
        assert min(old, new) * 0.9 <= size <= max(old, new) * 1.1
    forget()


# What asking moves by itself: pages of a Python, and the names kept on a tmpfs.
MOVED = 1 << 20


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("known", [False, True], ids=["names unknown", "names known"])
@pytest.mark.parametrize("file", ["*", "fs/*"])
def test_the_first_few_by_size_are_the_largest(interface: str, known: bool, file: str) -> None:
    asked = Asked() if file == "*" else Asked(files=[file])
    wrong = []
    for _ in range(5):
        if not known:
            forget()
        before = still.read()
        shown = ask(asked, interface, "-s", "bytes", "-n", "5")
        after = still.read()
        assert shown == oracle.ordered(shown, "bytes", False, None) and len(shown) == 5
        least = min(tag.bytes for tag in shown)
        most = {still.key(tag): tag.bytes for tag in (*before, *after)}
        names = {still.key(tag) for tag in shown}
        larger = [
            tag
            for tag, now in zip(before, after, strict=True)
            if oracle.matches(tag, asked)
            and min(tag.bytes, now.bytes) > least
            and still.key(tag) not in names
        ]
        if not larger and all(abs(tag.bytes - most[still.key(tag)]) <= MOVED for tag in shown):
            return
        wrong.append((shown, larger))
    pytest.fail(str(wrong))


@pytest.mark.parametrize("limit", [0, 1, 7, 10**6])
def test_a_limit_takes_the_first_in_the_kernels_order(limit: int) -> None:
    for asked in (Asked(), Asked(files=["fs/*"]), Asked(builtin=True), Asked(min_size=1)):
        before = still.read()
        for interface in INTERFACES:
            result = here(
                "query", "-o", "procfs", "--interface", interface, "-n", str(limit), *asked.argv()
            )
            shown = oracle.parse(result.out)
            matching = oracle.meant(before, asked)
            if asked.min_size is None:
                assert [still.key(t) for t in shown] == [still.key(t) for t in matching[:limit]]
            assert len(shown) <= limit
            assert result.status == 0


# What is asked of the kernel


def explained(*argv: str) -> dict[str, object]:
    result = here("query", "--explain", "-o", "json", *argv)
    assert (result.status, result.err) == (0, "")
    document = json.loads(result.out)
    assert isinstance(document, dict)
    return document


def test_the_ioctl_is_really_used() -> None:
    with library.open(interface="ioctl") as source:
        source.read(library.Filter(files=["mm/slub.c"]))
        info = source.read(library.Filter(files=["mm/slub.c"])).info
        tags = len([tag for tag in still.read() if tag.file == "mm/slub.c"])
        assert info.interface == "ioctl"
        assert tags <= info.ioctls <= 2 * tags + 2
        assert info.consistent is True
        assert info.content_id is not None
        assert source.read(library.Filter(files=["no/such.c"])).info.ioctls <= 1
    with library.open(interface="text") as source:
        info = source.read(library.Filter(files=["mm/slub.c"])).info
        assert (info.interface, info.ioctls) == ("text", 0)


def test_one_file_costs_a_few_ioctls_by_any_of_its_names() -> None:
    tags = len([tag for tag in still.read() if tag.file == "mm/slub.c"])
    with library.open(interface="ioctl") as source:
        source.read()
        for file in ("mm/slub.c", "slub.c", "*/slub.c", "mm/slub.?"):
            assert source.read(library.Filter(files=[file])).info.ioctls <= tags + 1


@pytest.mark.parametrize("known", [False, True], ids=["names unknown", "names known"])
def test_explain_tells_what_would_be_asked(known: bool) -> None:
    if known:
        here("query", "-q", "--interface", "ioctl")
    else:
        forget()
    plan = explained("--min-size", "1M", "--interface", "ioctl")
    assert plan["method"] in ("filter", "seek")
    if plan["method"] == "filter":
        assert plan["kernel_filter"] == {"mask": 32, "min_size": 1 << 20}
    plan = explained("-F", "alloc_slab_page", "--interface", "ioctl")
    assert plan["method"] in ("filter", "seek")
    assert explained("--interface", "text", "-f", "slub.c")["method"] == "text"
    words = here("query", "--explain", "--min-size", "1M").out.decode()
    assert words.startswith("method: ")
    assert "checked here: " in words


@pytest.mark.parametrize("argv", [[], ["-f", "slub.c"], ["-f", "*.h", "-e", "x"]], ids=str)
def test_explain_with_the_ioctl_asked_for_never_says_text(argv: list[str]) -> None:
    forget()
    assert explained("--interface", "ioctl", *argv)["method"] != "text"


def test_json_says_where_an_answer_is_from() -> None:
    for interface in ("ioctl", "text"):
        result = here("query", "-f", "mm/slub.c", "-o", "json", "--interface", interface)
        document = json.loads(result.out)
        source = document["source"]
        assert source["path"] == "/proc/allocinfo"
        assert source["interface"] == interface
        assert source["kernel"] == os.uname().release
        assert isinstance(source["content_id"], int)
        assert source["consistent"] is True
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", source["time"])
        assert [tag["file"] for tag in document["tags"]] == [
            tag.file for tag in still.read() if tag.file == "mm/slub.c"
        ]


# Byte for byte


@pytest.mark.parametrize("interface", INTERFACES)
def test_procfs_with_its_header_is_the_file(interface: str) -> None:
    """To the byte, but for the counters that a new process moves."""
    wrong = []
    for _ in range(4):
        before = still.ALLOCINFO.read_bytes().splitlines(keepends=True)
        result = allocq("query", "-o", "procfs", "--header", "--interface", interface)
        after = still.ALLOCINFO.read_bytes().splitlines(keepends=True)
        assert (result.status, result.err) == (0, "")
        shown = result.out.splitlines(keepends=True)
        assert [line[21:] for line in shown] == [line[21:] for line in before]
        moved = [
            (old, got)
            for old, got, new in zip(before, shown, after, strict=True)
            if got not in (old, new)
        ]
        if len(moved) < len(before) / 10:
            for old, got in moved:
                assert got == b"%12d %8d" % tuple(map(int, got.split()[:2])) + old[21:]
            return
        wrong = moved
    pytest.fail(str(wrong))


def test_the_default_in_a_pipe_is_the_kernels_lines() -> None:
    shown = allocq("query", "-f", "mm/*").out.splitlines(keepends=True)
    grepped = subprocess.run(["grep", " mm/", "/proc/allocinfo"], stdout=subprocess.PIPE).stdout
    lines = grepped.splitlines(keepends=True)
    assert [line[22:] for line in shown] == [line[22:] for line in lines]


@pytest.mark.parametrize("argv", [["-g", "file"], ["-g", "module"], ["-c"], ["-q"]], ids=" ".join)
def test_sums_and_counts_are_of_the_same_tags(argv: list[str]) -> None:
    before = still.read()
    for interface in INTERFACES:
        result = here("query", "--interface", interface, "-f", "fs/*", "-o", "json", *argv)
        assert result.status == 0
        tags = oracle.meant(before, Asked(files=["fs/*"]))
        if argv == ["-c"]:
            assert result.out == b"%d\n" % len(tags)
        elif argv == ["-q"]:
            assert result.out == b""
        else:
            sums = oracle.grouped(tags, argv[1])
            groups = json.loads(result.out)["groups"]
            assert [(g[argv[1]], g["tags"]) for g in groups] == [(k, s[2]) for k, s in sums.items()]


# Where the file is


@pytest.fixture
def other_proc(tmp_path: Path) -> Iterator[Path]:
    """A proc file system at another place, as a container sees its host's."""
    subprocess.run(["mount", "-t", "proc", "proc", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_path_on_another_proc_is_a_running_kernel(other_proc: Path) -> None:
    path = str(other_proc / "allocinfo")
    for interface in ("ioctl", "auto"):
        result = here(
            "query", "--source", path, "--interface", interface, "-f", "slub.c", "-o", "json"
        )
        source = json.loads(result.out)["source"]
        assert source["path"] == path and source["interface"] in ANSWERS[interface]
        assert source["consistent"] is True and source["content_id"] is not None
    link = other_proc.parent / "link"
    link.symlink_to(path)
    result = here("query", "--source", str(link), "--interface", "ioctl", "-c")
    assert result == Result(0, b"%d\n" % len(still.read()), "")


def test_a_copy_of_the_file_is_a_saved_text(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.write_bytes(still.ALLOCINFO.read_bytes())
    result = here("query", "--source", str(saved), "-o", "procfs", "--header")
    assert result == Result(0, saved.read_bytes(), "")
    refused(here("query", "--source", str(saved), "--interface", "ioctl"), "saved listing")


def test_the_file_on_standard_input_is_read_as_a_text() -> None:
    with still.ALLOCINFO.open("rb") as file:
        result = allocq("query", "--source", "-", "-c", stdin=file)
    assert result == Result(0, b"%d\n" % len(still.read()), "")


def test_the_library_reads_the_running_kernel() -> None:
    with library.open() as source:
        assert source.live
        snapshot = source.read(library.Filter(files=["mm/*"]))
        keys = [tag.key for tag in snapshot]
        again = [tag.key for tag in source.read(library.Filter(files=["mm/*"]))]
    assert keys == again == [still.key(t) for t in still.read() if t.file.startswith("mm/")]
    assert snapshot.info.kernel == os.uname().release
    assert snapshot.info.time is not None


@pytest.mark.guest(cpus=64)
def test_many_possible_cpus_change_no_answer() -> None:
    assert (os.sysconf("SC_NPROCESSORS_CONF")) == 64
    generated(20)
