"""Hostile input costs work and memory in proportion to its size, or is refused."""

from __future__ import annotations

import collections
import gzip
import json
import resource
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import allocq

from allocq.analysis import diff
from allocq.analysis.diff import Count
from allocq.analysis.tree import LEVELS, Choice, build, split_path, walk
from allocq.commands.listings import LONGEST_FILTER, read_filter_metadata
from allocq.core import signals, text
from allocq.core.binding import ffi
from allocq.core.filter import NativeFilter
from allocq.core.table import Table
from allocq.errors import FormatError
from allocq.model import Filter
from allocq.output import Shape, writer
from allocq.storage import compression

HEADER = b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"
LINE = b"           5        1 mm/a.c:1 func:f \n"
MEGABYTE = 1 << 20


def listing(*lines: bytes, filter: str | None = None) -> bytes:
    head = b"" if filter is None else b"# allocq-snapshot: 1\n# filter: %s\n" % filter.encode()
    return HEADER + head + b"".join(lines)


# Trees


def test_a_path_has_a_bounded_number_of_levels() -> None:
    parts = split_path("/".join(["a"] * 20_000) + "/x.c")
    assert len(parts) == LEVELS
    assert parts[0] == "a" and "/".join(parts).count("/") == 20_000
    assert split_path("/" + "b/" * 20_000 + "c")[0] == "/"


def test_a_tree_writes_bytes_in_proportion_to_the_text() -> None:
    file = "/".join(["a"] * 20_000) + "/x.c"
    root = build([file], ["f"], [1], [5], [1], [False])
    written = sum(sum(len(step.name) + 1 for step in node.path()) for node in walk(root, Choice()))
    assert written < 8 * len(file)


def test_common_depths_are_as_they_were() -> None:
    deep = "/".join(f"d{n}" for n in range(LEVELS - 1)) + "/x.c"
    assert len(split_path(deep)) == LEVELS
    assert split_path("/a//b/c.c") == ["/", "a", "b", "c.c"]


# Diff


class Number(int):
    """A number that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Number.compared += 1
        return int(self) == other

    __hash__ = int.__hash__


@pytest.mark.parametrize("shift", [0, 1, 10**9])
def test_many_tags_of_one_key_are_paired_in_few_steps(shift: int) -> None:
    many = 20_000
    before = [Count(Number(n), 1) for n in range(many)]
    after = [Count(Number(n + shift), 1) for n in reversed(range(many))]
    Number.compared = 0
    changes = list(diff._pair(("a.c", 1, None, "f"), before, after))
    assert len(changes) == many
    assert Number.compared <= 60 * many  # sorting included


def test_pairing_is_as_before() -> None:
    """Equal ones first, then the largest with the largest."""
    before = [Count(1, 1), Count(5, 1), Count(1, 1), Count(9, 9)]
    after = [Count(1, 1), Count(7, 1), Count(2, 2)]
    pairs = [
        (change.before and change.before.bytes, change.after and change.after.bytes)
        for change in diff._pair(("k",), before, after)
    ]
    assert pairs == [(1, 1), (9, 7), (5, 2), (1, None)]


# Compression


def packed(kind: str, data: Iterator[bytes]) -> bytes:
    packer = compression.packer("x.gz" if kind == "gzip" else "x.zst")
    return b"".join(compression.pack(data, packer))


def zeros(megabytes: int) -> Iterator[bytes]:
    for _ in range(megabytes):
        yield bytes(MEGABYTE)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_pieces_are_small_whatever_the_data(kind: str, tmp_path: Path) -> None:
    if kind == "zstd":
        pytest.importorskip("zstandard")
    bomb = tmp_path / "bomb"
    bomb.write_bytes(packed(kind, zeros(48)))
    with bomb.open("rb", buffering=0) as file:
        first = file.read(512)
        sizes = [len(piece) for piece in compression.unpack(first, file.fileno(), "bomb")]
    assert sum(sizes) == 48 * MEGABYTE
    assert max(sizes) <= 4 * MEGABYTE


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_is_refused_in_words(kind: str, tmp_path: Path) -> None:
    if kind == "zstd":
        pytest.importorskip("zstandard")
    bomb = tmp_path / "bomb"
    bomb.write_bytes(packed(kind, zeros(256)))
    given = 0
    words = pytest.raises(FormatError, match="100 times its size")
    with bomb.open("rb", buffering=0) as file, words as raised:
        for piece in compression.unpack(file.read(512), file.fileno(), "bomb"):
            given += len(piece)
    assert kind in raised.value.hint
    assert given <= compression.LEAST


def small() -> None:
    """1 GiB of address space, far less than a bomb would take."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize("content", ["zeros", "lines"])
def test_a_bomb_takes_little_memory(kind: str, content: str, tmp_path: Path) -> None:
    if kind == "zstd":
        pytest.importorskip("zstandard")
    bomb = tmp_path / "bomb"
    data = zeros(900) if content == "zeros" else iter([HEADER, *[LINE * 20_000] * 400])
    bomb.write_bytes(packed(kind, data))
    done = allocq("query", "--source", str(bomb), "--count", preexec_fn=small)
    assert done.status == 2 and "Traceback" not in done.err
    assert done.err.startswith("allocq: ") and "memory" not in done.err


def test_a_window_that_takes_much_memory_is_refused(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    file = tmp_path / "far.zst"
    file.write_bytes(packer.compress(listing(LINE)) + packer.flush())
    done = allocq("query", "--source", str(file))
    assert done.status == 2 and "memory to unpack" in done.err


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_several_members_are_read_as_one(kind: str, tmp_path: Path) -> None:
    if kind == "zstd":
        pytest.importorskip("zstandard")
    file = tmp_path / "two"
    file.write_bytes(packed(kind, iter([HEADER, LINE])) + packed(kind, iter([LINE * 3000])))
    assert allocq("query", "--source", str(file), "--count").out == b"3001\n"
    file.write_bytes(file.read_bytes()[:-5])
    done = allocq("query", "--source", str(file), "--count")
    assert done.status == 2 and "truncated" in done.err


@pytest.mark.parametrize("zeros_", [1, 511, 200_000])
def test_zeros_behind_gzip_are_padding(zeros_: int, tmp_path: Path) -> None:
    file = tmp_path / "tape.gz"
    file.write_bytes(gzip.compress(listing(LINE)) + bytes(zeros_))
    done = allocq("query", "--source", str(file))
    assert (done.status, done.out, done.err) == (0, LINE, "")
    file.write_bytes(gzip.compress(listing(LINE)) + bytes(zeros_) + gzip.compress(LINE))
    assert allocq("query", "--source", str(file), "-c").out == b"2\n"


def test_other_bytes_behind_gzip_are_damage(tmp_path: Path) -> None:
    file = tmp_path / "tape.gz"
    file.write_bytes(gzip.compress(listing(LINE)) + b"\0\0rubbish")
    done = allocq("query", "--source", str(file))
    assert done.status == 2 and "damaged" in done.err
    assert zlib.decompressobj(31).decompress(file.read_bytes()) == listing(LINE)


# A snapshot's filter


@pytest.mark.parametrize(
    "metadata",
    [
        '{"min_size":1.5}',
        '{"accurate":"x"}',
        '{"line":[[1.5,2]]}',
        '{"line":[[1,2,3]]}',
        '{"line":5}',
        '{"file":[null]}',
        '{"file":["\\ud800"]}',
        '{"file":["["]}',
        '{"nothing":1}',
        '{"min_size":1e999}',
        '{"min_size":' + "9" * 4000 + "}",
        "[" * 50_000,
        '{"a":' * 500,
        "[1,2]",
        "NaN",
        '"x"',
        "{",
        '{"regexp":["(a+)+$"]}',
        '{"regexp":["harmless"],"file":["a.c"]}',
        '{"exclude":' + json.dumps(["*a*b*c*d"] * 3000) + "}",
    ],
)
def test_a_filter_that_is_not_applied_is_said(metadata: str, tmp_path: Path) -> None:
    assert read_filter_metadata(metadata) is None
    name = b"a" * 40 + b"!"
    long = b"           5        1 %s:1 func:%s \n" % (name, name)
    (tmp_path / "one").write_bytes(listing(long, filter=metadata))
    (tmp_path / "two").write_bytes(listing(long.replace(b"5 ", b"6 ")))
    done = allocq("diff", "one", "two", cwd=tmp_path)
    assert done.status == 0 and b"grown" in done.out, done
    assert all(line.startswith("allocq: warning: ") for line in done.err.splitlines())
    assert max(map(len, done.err.splitlines())) < 500
    if len(metadata) < 60_000:
        assert "one was saved with a filter, so it lacks other tags" in done.err


def test_a_filter_of_usual_size_is_applied() -> None:
    asked = Filter(files=["mm/*"], excludes=[f"file{n}.c" for n in range(100)], min_size=5)
    text = json.dumps(asked.as_options(), separators=(",", ":"))
    assert len(text) < LONGEST_FILTER
    assert read_filter_metadata(text) == asked


# Tables


def test_one_huge_name_does_not_widen_every_row() -> None:
    write = writer("table", Shape(header=True))
    rows = [[1, 1, "x" * 1_000_000, 1, None, "f", True], *[[1, 1, "y.c", 1, None, "g", True]] * 500]
    list(write.rows(rows))
    tracemalloc.start()
    table = write.end(None, "")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table.count(b"x") == 1_000_000
    assert len(table) < 1_000_000 + 501 * 600
    assert peak < 40 * MEGABYTE


def test_a_huge_name_fits_a_terminal_in_few_steps() -> None:
    write = writer("table", Shape(header=True, width=80))
    list(write.rows([[1, 1, "x" * 1_000_000, 1, None, "f", True]]))
    assert max(map(len, write.end(None, "").splitlines())) <= 80


class CountingLib:
    """The engine, with its calls counted by name."""

    def __init__(self, lib: Any) -> None:
        self._lib = lib
        self.calls: collections.Counter[str] = collections.Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._lib, name)


def test_metadata_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, for an entry that is repeated does not hide the one behind it."""
    counting = CountingLib(text.lib)
    monkeypatch.setattr(text, "lib", counting)
    read = text.Text(NativeFilter(), "many")
    data = HEADER + b"# allocq-snapshot: 1\n" + b"# a:\n" * 12_000 + b"# b: 1\n" + LINE
    assert sum(len(batch) for batch in read.from_pieces((data,))) == 1
    began = time.process_time()
    assert read.metadata == {"allocq-snapshot": "1", "a": "", "b": "1"}
    assert time.process_time() - began < 5  # quadratic: 12,000 times 60 KB
    assert counting.calls["aq_text_metadata"] == 12_003


# Signals: a long call of the engine asks now and then whether to stop.


class Pulses:
    """Counts the questions; answers yes to the one numbered `stop`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.stop = 0
        self.aq_pulse_hook = ffi.callback("int(void *)", self._answer)
        monkeypatch.setattr(signals, "lib", self)

    def _answer(self, _: Any) -> int:
        self.asked += 1
        return self.asked == self.stop


def many_tags(tags: int, name: bytes = b"a.c") -> Table:
    lines = (b"%12d %8d %s:%d func:f \n" % (n * 7919 % tags, 1, name, n) for n in range(tags))
    return text.parse(HEADER + b"".join(lines), NativeFilter())


def globs(tags: int) -> NativeFilter:
    made = NativeFilter()
    made.add_names("file", [f"*no{n}" for n in range(1000)])
    return made


@pytest.mark.parametrize(
    ("call", "least"),
    [
        (lambda table: table.order("bytes"), 500),
        (lambda table: table.order("file", True), 100),
        (lambda table: table.cancel(many_tags(len(table), b"b.c")), 500),
        (lambda table: globs(1000).apply(table), 500),
    ],
)
def test_a_long_call_can_be_stopped_early(
    call: Callable[[Table], object], least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulses = Pulses(monkeypatch)
    table = many_tags(50_000)
    pulses.asked, pulses.stop = 0, 3
    with pytest.raises(OSError, match="cancel"):
        call(table)
    assert (pulses.asked, len(table)) == (3, 50_000)
    pulses.stop = 0
    call(table)
    assert pulses.asked >= least


def test_work_on_one_row_with_many_patterns_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    pulses = Pulses(monkeypatch)
    table = many_tags(20, b"a" * 100_000)
    globs(1000).apply(table)
    assert pulses.asked == 20


def test_reading_returns_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where nothing matches, so that a signal is answered between two calls."""
    counting = CountingLib(text.lib)
    monkeypatch.setattr(text, "lib", counting)
    data = HEADER + LINE * 100_000
    read = text.Text(globs(1000), "many")
    assert not list(read.from_pieces((data,)))
    assert counting.calls["aq_text_take"] >= len(data) * 1000 >> 24
