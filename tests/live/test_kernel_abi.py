"""Tests the kernel's own ioctl and text, without any code of allocq.

The interface is include/uapi/linux/alloc_tag.h and mm/alloc_tag.c of Linux 7.3.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from conftest import Modprobe

ALLOCINFO = Path("/proc/allocinfo")
CONTENT_ID, GET_AT, GET_NEXT = 0x8008A600, 0xC1D0A601, 0x80E0A602
MODNAME, FUNCTION, FILENAME, LINENO, INACCURATE, MIN_SIZE, MAX_SIZE = (1 << bit for bit in range(7))
NAME_BYTES = 63

TAG_DATA = struct.Struct("=64s64s64sQQQB7x")
FILTER = struct.Struct("=Q64s64s64sQQQQ")
U64_MAX = 2**64 - 1

LINE = re.compile(
    r"(?P<bytes> *-?\d+) (?P<calls> *\d+) (?P<file>.+):(?P<line>\d+)(?: \[(?P<module>[^\]]+)\])? "
    r"func:(?P<function>\S+)(?P<inaccurate> accurate:no)? \n"
)


class Name(NamedTuple):
    """A tag's name as the ioctl has it: of each string the last 63 bytes, "" for built-in code."""

    module: str
    function: str
    file: str
    line: int


class Tag(NamedTuple):
    name: Name
    bytes: int
    calls: int
    accurate: bool


@dataclass(frozen=True)
class Filter:
    mask: int = 0
    module: str = ""
    function: str = ""
    file: str = ""
    line: int = 0
    min_size: int = 0
    max_size: int = 0
    inaccurate: int = 0

    def pack(self) -> bytes:
        names = [name.encode() for name in (self.module, self.function, self.file)]
        numbers = [self.line, self.min_size, self.max_size, self.inaccurate]
        return FILTER.pack(self.mask, *names, *numbers)


def named(name: Name) -> Filter:
    mask = MODNAME | FUNCTION | FILENAME | LINENO
    return Filter(mask, name.module, name.function, name.file, name.line)


def unpack(data: bytes) -> Tag:
    module, function, file, line, size, calls, accurate = TAG_DATA.unpack(data)
    module, function, file = (name.split(b"\0")[0].decode() for name in (module, function, file))
    return Tag(Name(module, function, file, line), size, calls, bool(accurate))


class Allocinfo:
    """One open /proc/allocinfo, and its three commands."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def command(self, number: int, data: bytes) -> bytes:
        buffer = bytearray(data)
        fcntl.ioctl(self.fd, number, buffer)
        return bytes(buffer)

    def content_id(self) -> int:
        return int(struct.unpack("=Q", self.command(CONTENT_ID, bytes(8)))[0])

    def get_at(self, pos: int = 0, wanted: Filter = Filter()) -> Tag:
        head = struct.pack("=Q", pos) + wanted.pack()
        answer = self.command(GET_AT, head + bytes(TAG_DATA.size))
        assert answer[: len(head)] == head, "what was asked comes back as it was"
        return unpack(answer[len(head) :])

    def get_next(self) -> Tag:
        return unpack(self.command(GET_NEXT, bytes(TAG_DATA.size)))

    def scan(self, wanted: Filter = Filter()) -> list[Tag]:
        try:
            tags = [self.get_at(0, wanted)]
        except FileNotFoundError:
            return []
        with contextlib.suppress(FileNotFoundError):
            while True:
                tags.append(self.get_next())
        return tags


@pytest.fixture
def open_allocinfo() -> Iterator[Callable[[], Allocinfo]]:
    fds: list[int] = []

    def opened() -> Allocinfo:
        fds.append(os.open(ALLOCINFO, os.O_RDONLY))
        return Allocinfo(fds[-1])

    yield opened
    for fd in fds:
        os.close(fd)


@pytest.fixture
def allocinfo(open_allocinfo: Callable[[], Allocinfo]) -> Allocinfo:
    return open_allocinfo()


@pytest.fixture
def oddtags(modprobe: Modprobe) -> None:
    """The module with the odd tags (tests/vm/oddtags), which build-kernel adds to its kernels."""
    if not modprobe.has("allocq_oddtags"):
        pytest.skip("this kernel has no module allocq_oddtags; tests/vm/build-kernel builds both")
    modprobe("allocq_oddtags")


def parse(text: str) -> list[tuple[str, str, str, int, int, int, bool]]:
    """The text's tags: module, function, file, line, bytes, calls, accurate."""
    tags = []
    for line in text.splitlines(keepends=True)[2:]:
        match = LINE.fullmatch(line)
        assert match, line
        group = match.groupdict()
        names = (group["module"] or "", group["function"], group["file"], int(group["line"]))
        tags.append((*names, int(group["bytes"]), int(group["calls"]), not group["inaccurate"]))
    return tags


def trimmed(text: str) -> list[Tag]:
    """The text's tags as the ioctl should tell them."""
    return [
        Tag(
            Name(module[-NAME_BYTES:], function[-NAME_BYTES:], file[-NAME_BYTES:], line),
            size % 2**64,
            calls,
            accurate,
        )
        for module, function, file, line, size, calls, accurate in parse(text)
    ]


def fails(number: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError) as raised:
        call()
    assert raised.value.errno == number, raised.value


# The commands


def test_the_sizes_are_those_of_the_structs() -> None:
    assert (FILTER.size, TAG_DATA.size, 8 + FILTER.size + TAG_DATA.size) == (232, 224, 464)


@pytest.mark.parametrize("command", [CONTENT_ID, GET_AT, GET_NEXT], ids=hex)
def test_only_the_right_size_and_direction_is_a_command(allocinfo: Allocinfo, command: int) -> None:
    room = bytes(1024)
    allocinfo.command(command, room)
    others = {command & ~(0x3FFF << 16) | size << 16 for size in (*range(1025), 4096, 0x3FFF)}
    others |= {command & 0x3FFFFFFF | direction << 30 for direction in range(4)}
    for other in others - {command}:
        fails(errno.ENOTTY, lambda other=other: allocinfo.command(other, room))  # type: ignore[misc]


def test_there_are_three_commands(allocinfo: Allocinfo) -> None:
    for command in (CONTENT_ID, GET_AT, GET_NEXT):
        for number in range(256):
            if number != command & 0xFF:
                other = command & ~0xFF | number
                fails(errno.ENOTTY, lambda other=other: allocinfo.command(other, bytes(1024)))  # type: ignore[misc]


@pytest.mark.parametrize("command", [CONTENT_ID, GET_AT, GET_NEXT], ids=hex)
def test_a_bad_address_is_efault(allocinfo: Allocinfo, command: int) -> None:
    fails(errno.EFAULT, lambda: fcntl.ioctl(allocinfo.fd, command, 0))


@pytest.mark.parametrize("bit", range(7, 64))
def test_unknown_mask_bits_are_einval(allocinfo: Allocinfo, bit: int) -> None:
    fails(errno.EINVAL, lambda: allocinfo.get_at(0, Filter(1 << bit)))
    fails(errno.EINVAL, lambda: allocinfo.get_at(U64_MAX, Filter(1 << bit | LINENO)))


def test_a_minimum_above_the_maximum_is_einval_only_with_both_bits(allocinfo: Allocinfo) -> None:
    crossed = Filter(MIN_SIZE | MAX_SIZE, min_size=2, max_size=1)
    fails(errno.EINVAL, lambda: allocinfo.get_at(0, crossed))
    negative = Filter(MIN_SIZE | MAX_SIZE, min_size=U64_MAX, max_size=1)
    fails(errno.EINVAL, lambda: allocinfo.get_at(0, negative))
    assert allocinfo.get_at(0, Filter(MIN_SIZE, min_size=2, max_size=1)).bytes >= 2
    assert allocinfo.get_at(0, Filter(MAX_SIZE, min_size=2, max_size=1)).bytes <= 1


# The cursor


def test_get_next_alone_starts_at_the_first_tag(
    open_allocinfo: Callable[[], Allocinfo],
) -> None:
    first, *others = [tag.name for tag in open_allocinfo().scan()]
    fresh = open_allocinfo()
    assert fresh.get_next().name == first
    assert [fresh.get_next().name for _ in others] == others


def test_the_end_is_enoent_once_and_then_the_start_again(allocinfo: Allocinfo) -> None:
    wanted = Filter(FILENAME, file=allocinfo.get_at().name.file)
    names = [tag.name for tag in allocinfo.scan(wanted)]  # scan meets the first ENOENT
    for _ in range(3):
        assert [allocinfo.get_next().name for _ in names] == names
        fails(errno.ENOENT, allocinfo.get_next)


def test_pos_counts_matching_tags(allocinfo: Allocinfo) -> None:
    everything = [tag.name for tag in allocinfo.scan()]
    file = max({name.file for name in everything}, key=[name.file for name in everything].count)
    wanted = Filter(FILENAME, file=file)
    matching = [name for name in everything if name.file == file]
    assert 1 < len(matching) < len(everything)
    assert [allocinfo.get_at(pos, wanted).name for pos in range(len(matching))] == matching
    for pos in (len(matching), len(everything) - 1, len(everything), U64_MAX):
        fails(errno.ENOENT, lambda pos=pos: allocinfo.get_at(pos, wanted))  # type: ignore[misc]
    assert allocinfo.get_at(len(everything) - 1).name == everything[-1]
    fails(errno.ENOENT, lambda: allocinfo.get_at(len(everything)))


def test_get_next_goes_on_from_pos_with_the_filter(allocinfo: Allocinfo) -> None:
    files = [tag.name.file for tag in allocinfo.scan()]
    wanted = Filter(FILENAME, file=max(set(files), key=files.count))
    names = [tag.name for tag in allocinfo.scan(wanted)]
    assert allocinfo.get_at(1, wanted).name == names[1]
    assert [allocinfo.get_next().name for _ in names[2:]] == names[2:]
    fails(errno.ENOENT, allocinfo.get_next)


def test_a_mask_of_zero_takes_the_filter_away(allocinfo: Allocinfo) -> None:
    everything = [tag.name for tag in allocinfo.scan()]
    allocinfo.get_at(0, named(everything[5]))
    assert [tag.name for tag in allocinfo.scan(Filter(0, file="nothing"))] == everything


@pytest.mark.parametrize(
    ("pos", "refused"),
    [
        (0, Filter(1 << 7)),
        (0, Filter(MIN_SIZE | MAX_SIZE, min_size=2, max_size=1)),
        (U64_MAX, Filter(FILENAME, file="nothing")),
    ],
    ids=["unknown bit", "minimum above maximum", "pos beyond all tags"],
)
def test_a_refused_get_at_leaves_filter_and_cursor(
    allocinfo: Allocinfo, pos: int, refused: Filter
) -> None:
    files = [tag.name.file for tag in allocinfo.scan()]
    wanted = Filter(FILENAME, file=max(set(files), key=files.count))
    names = [tag.name for tag in allocinfo.scan(wanted)]
    allocinfo.get_at(0, wanted)
    with pytest.raises(OSError):
        allocinfo.get_at(pos, refused)
    assert allocinfo.get_next().name == names[1]


def test_cursor_and_filter_belong_to_the_open_file_description(
    open_allocinfo: Callable[[], Allocinfo],
) -> None:
    one, other = open_allocinfo(), open_allocinfo()
    names = [tag.name for tag in one.scan()]
    assert one.get_at(0).name == names[0]
    assert other.get_at(5).name == names[5]
    same = Allocinfo(os.dup(one.fd))
    try:
        assert same.get_next().name == names[1]
        assert one.get_next().name == names[2]
        assert other.get_next().name == names[6]
        same.get_at(0, named(names[7]))
        fails(errno.ENOENT, one.get_next)
    finally:
        os.close(same.fd)


def test_reading_and_asking_do_not_disturb_each_other(
    allocinfo: Allocinfo, cat_allocinfo: Callable[[], str]
) -> None:
    names = [tag.name for tag in trimmed(cat_allocinfo())]
    parts, asked = [], [allocinfo.get_at().name]
    while part := os.read(allocinfo.fd, 4096):
        parts.append(part)
        asked.append(allocinfo.get_next().name)
    assert [tag.name for tag in trimmed(b"".join(parts).decode())] == names
    assert len(parts) > 5
    assert asked == names[: len(asked)]


# The filters


def test_names_match_as_a_whole_only(allocinfo: Allocinfo) -> None:
    name = next(tag.name for tag in allocinfo.scan() if tag.name.file.count("/") == 2)
    assert allocinfo.get_at(0, Filter(FILENAME, file=name.file)).name.file == name.file
    parts = name.file.split("/")
    wrong = [
        parts[-1],
        "/".join(parts[1:]),
        "/".join(parts[:-1]),
        "/" + name.file,
        "./" + name.file,
    ]
    wrong += [name.file[:-1], name.file + "x", name.file.upper(), "*", "*" + parts[-1], ""]
    for file in wrong:
        assert allocinfo.scan(Filter(FILENAME, file=file)) == []
    for function in (name.function[:-1], name.function[1:], name.function + "x", "*", ""):
        assert allocinfo.scan(Filter(FUNCTION, function=function)) == []
    for module in ("*", "built-in", "vmlinux", " "):
        assert allocinfo.scan(Filter(MODNAME, module=module)) == []


def test_each_name_finds_its_tags_and_all_of_them(allocinfo: Allocinfo, modprobe: Modprobe) -> None:
    modprobe("tun")
    everything = [tag.name for tag in allocinfo.scan()]
    for name in everything[::97] + everything[-1:]:
        cases = [
            (named(name), [other for other in everything if other == name]),
            (
                Filter(FUNCTION, function=name.function),
                [other for other in everything if other.function == name.function],
            ),
            (
                Filter(FILENAME, file=name.file),
                [other for other in everything if other.file == name.file],
            ),
            (
                Filter(LINENO, line=name.line),
                [other for other in everything if other.line == name.line],
            ),
        ]
        for wanted, expected in cases:
            assert [tag.name for tag in allocinfo.scan(wanted)] == expected


def test_module_filter_and_the_empty_one_for_built_in_code(
    allocinfo: Allocinfo, modprobe: Modprobe, cat_allocinfo: Callable[[], str]
) -> None:
    modprobe("tun")
    modprobe("bfq")
    names = [tag.name for tag in trimmed(cat_allocinfo())]
    for module in ("tun", "bfq", ""):
        expected = [name for name in names if name.module == module]
        found = [tag.name for tag in allocinfo.scan(Filter(MODNAME, module=module))]
        assert found == expected and found


def test_sizes_are_inclusive(allocinfo: Allocinfo) -> None:
    for _ in range(10):  # a counter may move in between
        tags = allocinfo.scan()
        tag = max(tags, key=lambda tag: tag.bytes if tag.bytes < 2**63 else 0)
        same = [other for other in tags if other.name == tag.name]
        answers = [
            bool(allocinfo.scan(Filter(MIN_SIZE | MAX_SIZE, min_size=low, max_size=high)))
            for low, high in ((tag.bytes, tag.bytes), (tag.bytes + 1, 2**62), (tag.bytes, 2**62))
        ]
        if len(same) == 1 and answers == [True, False, True]:
            return
    pytest.fail(f"bounds are not inclusive: {answers}")


def test_size_filters_compare_unsigned(
    allocinfo: Allocinfo, oddtags: None, cat_allocinfo: Callable[[], str]
) -> None:
    [line] = [line for line in cat_allocinfo().splitlines() if "func:below_zero" in line]
    assert line.split()[:2] == ["-4096", str(U64_MAX)]
    [tag] = allocinfo.scan(Filter(MIN_SIZE, min_size=2**62))
    assert (tag.name.function, tag.bytes, tag.calls) == ("below_zero", 2**64 - 4096, U64_MAX)
    found = allocinfo.scan(Filter(FUNCTION | MAX_SIZE, function="below_zero", max_size=2**62))
    assert found == []


def test_inaccurate_is_zero_or_not(allocinfo: Allocinfo, cat_allocinfo: Callable[[], str]) -> None:
    expected = [tag.name for tag in trimmed(cat_allocinfo()) if tag.accurate]
    found = allocinfo.scan(Filter(INACCURATE, inaccurate=0))
    assert [tag.name for tag in found] == expected
    assert all(tag.accurate for tag in found)


@pytest.mark.parametrize("value", [1, 2, 2**63])
def test_inaccurate_tags(allocinfo: Allocinfo, oddtags: None, value: int) -> None:
    [tag] = allocinfo.scan(Filter(INACCURATE, inaccurate=value))
    assert (tag.name.function, tag.bytes, tag.calls) == ("inaccurate", 12345, 3)
    assert not tag.accurate
    assert allocinfo.scan(Filter(INACCURATE | FUNCTION, function="inaccurate")) == []


def test_long_names_are_known_by_their_last_63_bytes(
    allocinfo: Allocinfo, oddtags: None, cat_allocinfo: Callable[[], str]
) -> None:
    ours = [tag for tag in parse(cat_allocinfo()) if tag[0] == "allocq_oddtags"]
    functions = {tag[1] for tag in ours if len(tag[1]) > NAME_BYTES}
    files = {tag[2] for tag in ours if len(tag[2]) > NAME_BYTES}
    assert len(functions) == len(files) == 2
    for long, mask in ((functions, FUNCTION), (files, FILENAME)):
        [end] = {name[-NAME_BYTES:] for name in long}  # they look alike
        found = allocinfo.scan(Filter(mask, function=end, file=end))
        assert len(found) == 2
        assert {tag.name.function if mask == FUNCTION else tag.name.file for tag in found} == {end}
        for wrong in (*(name[-64:] for name in long), *(name[:63] for name in long), end[1:]):
            assert allocinfo.scan(Filter(mask, function=wrong, file=wrong)) == []


def test_several_tags_share_a_line(
    allocinfo: Allocinfo, oddtags: None, cat_allocinfo: Callable[[], str]
) -> None:
    twins = [tag for tag in trimmed(cat_allocinfo()) if tag.name.function == "oddtags_init"]
    assert len(twins) == 2 and len({tag.name for tag in twins}) == 1
    assert allocinfo.scan(named(twins[0].name)) == twins


# The two ways, and modules


def test_the_order_is_that_of_the_text_built_in_code_first(
    allocinfo: Allocinfo, modprobe: Modprobe, cat_allocinfo: Callable[[], str]
) -> None:
    modprobe("tun")
    modprobe("bfq")
    names = [tag.name for tag in allocinfo.scan()]
    assert names == [tag.name for tag in trimmed(cat_allocinfo())]
    built_in = [name.module == "" for name in names]
    assert built_in == sorted(built_in, reverse=True)
    assert not all(built_in)


def test_counters_that_stand_still_are_the_same_in_both(
    allocinfo: Allocinfo,
) -> None:
    def text() -> list[Tag]:  # by the same open file: another one would be counted too
        os.lseek(allocinfo.fd, 0, os.SEEK_SET)
        return trimmed(b"".join(iter(lambda: os.read(allocinfo.fd, 4096), b"")).decode())

    text()
    for _ in range(10):
        pairs = list(zip(text(), allocinfo.scan(), text(), strict=True))
        still = [(text, ioctl) for text, ioctl, again in pairs if text == again]
        if all(text == ioctl for text, ioctl in still):
            assert len(still) > 0.9 * len(pairs)
            assert sum(text.bytes > 0 for text, _ in still) > 100
            return
    pytest.fail(str([(text, ioctl) for text, ioctl in still if text != ioctl]))


def test_calls_is_a_gauge(allocinfo: Allocinfo) -> None:
    def pipes() -> int:
        wanted = Filter(FILENAME | FUNCTION, file="fs/pipe.c", function="alloc_pipe_info")
        return max(tag.calls for tag in allocinfo.scan(wanted))

    before = pipes()
    ends = [end for _ in range(100) for end in os.pipe()]
    during = pipes()
    for end in ends:
        os.close(end)
    assert during >= before + 100
    assert pipes() <= during - 100


def test_the_content_id_tells_of_modules_with_tags_only(
    allocinfo: Allocinfo, modprobe: Modprobe, open_allocinfo: Callable[[], Allocinfo]
) -> None:
    start = allocinfo.content_id()
    assert allocinfo.content_id() == open_allocinfo().content_id() == start
    modprobe("tun")
    loaded = allocinfo.content_id()
    modprobe.remove("tun")
    unloaded = allocinfo.content_id()
    assert len({start, loaded, unloaded}) == 3
    modprobe("dummy")
    assert allocinfo.scan(Filter(MODNAME, module="dummy")) == []
    modprobe.remove("dummy")
    assert allocinfo.content_id() == unloaded


def test_the_content_id_tells_of_a_module_that_fails_to_load(allocinfo: Allocinfo) -> None:
    start = allocinfo.content_id()
    failed = subprocess.run(["modprobe", "nbd", "max_part=-1"], capture_output=True)
    assert failed.returncode != 0
    assert not Path("/sys/module/nbd").exists()
    assert allocinfo.content_id() != start


def test_a_module_that_goes_takes_its_tags_from_a_scan_under_way(
    allocinfo: Allocinfo, modprobe: Modprobe
) -> None:
    modprobe("tun")
    allocinfo.get_at(0, Filter(MODNAME, module="tun"))
    modprobe.remove("tun")
    fails(errno.ENOENT, allocinfo.get_next)


# The text


def test_the_text_has_two_header_lines_and_every_line_its_blank(
    modprobe: Modprobe, cat_allocinfo: Callable[[], str]
) -> None:
    modprobe("tun")
    header, columns, *lines = cat_allocinfo().splitlines(keepends=True)
    assert header == "allocinfo - version: 2.0\n"
    assert columns == "#     <size>  <calls> <tag info>\n"
    for line in lines:
        match = LINE.fullmatch(line)
        assert match, line
        size, calls = int(match["bytes"]), int(match["calls"])
        assert line.startswith(f"{size:12d} {calls:8d} ")


def test_the_text_has_the_odd_tags_whole(oddtags: None, cat_allocinfo: Callable[[], str]) -> None:
    ours = [line[22:] for line in cat_allocinfo().splitlines() if "[allocq_oddtags]" in line]
    assert len(ours) == 8
    path = "a directory [with] func:odd words/that is longer than/the ioctl/hands out/oddtags.c"
    long = [line for line in ours if line.startswith("/home/someone/first/" + path + ":")]
    assert len(long) == 1
    assert [line for line in ours if line.endswith("func:inaccurate accurate:no ")]


@pytest.mark.parametrize("asked", [1 << 20, 65536, 4096, 100])
def test_read_gives_a_page_at_most(
    allocinfo: Allocinfo, cat_allocinfo: Callable[[], str], asked: int
) -> None:
    parts = []
    while part := os.read(allocinfo.fd, asked):
        parts.append(part)
    assert max(map(len, parts)) <= min(asked, os.sysconf("SC_PAGE_SIZE"))
    text = b"".join(parts).decode()
    names = [tag.name for tag in trimmed(text)]
    assert names == [tag.name for tag in trimmed(cat_allocinfo())]


# Access and switches


def test_others_may_not_open_it(
    unprivileged: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert ALLOCINFO.stat().st_mode & 0o777 == 0o400
    code = f"import os; os.open('{ALLOCINFO}', os.O_RDONLY)"
    denied = unprivileged([sys.executable, "-S", "-c", code])
    assert "PermissionError: [Errno 13]" in denied.stderr


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=never",))
def test_booted_with_never() -> None:
    assert not ALLOCINFO.exists()
    switch = Path("/proc/sys/vm/mem_profiling")
    assert switch.read_text() == "0\n"
    with pytest.raises(OSError):
        switch.write_text("1\n")


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=0",))
def test_booted_switched_off(allocinfo: Allocinfo, cat_allocinfo: Callable[[], str]) -> None:
    assert Path("/proc/sys/vm/mem_profiling").read_text() == "0\n"
    before = cat_allocinfo()
    ends = [end for _ in range(100) for end in os.pipe()]
    assert cat_allocinfo() == before
    assert trimmed(before) == allocinfo.scan()
    for end in ends:
        os.close(end)


@pytest.mark.guest(cpus=64)
def test_many_possible_processors(allocinfo: Allocinfo, cat_allocinfo: Callable[[], str]) -> None:
    assert Path("/sys/devices/system/cpu/possible").read_text() == "0-63\n"
    assert [tag.name for tag in allocinfo.scan()] == [tag.name for tag in trimmed(cat_allocinfo())]


@pytest.mark.guest(kernel="old")
def test_an_old_kernel_has_the_text_alone(
    allocinfo: Allocinfo, cat_allocinfo: Callable[[], str]
) -> None:
    assert cat_allocinfo().startswith(
        "allocinfo - version: 1.0\n#     <size>  <calls> <tag info>\n"
    )
    assert len(parse(cat_allocinfo())) > 500
    for command in (CONTENT_ID, GET_AT, GET_NEXT):
        fails(errno.ENOTTY, lambda command=command: allocinfo.command(command, bytes(464)))  # type: ignore[misc]
