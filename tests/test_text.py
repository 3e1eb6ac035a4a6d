"""The reader of texts: any line, any bytes, any place where a text can be cut."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import oracle
import pytest
from command import ALLOCQ, Result, here, query, refused, saved, unhurried, unread, until
from hypothesis import example, given, settings
from hypothesis import strategies as st

import allocq

TAG = b"        4096        1 mm/slub.c:12 func:alloc_slab_page \n"
LAST = b"           1        1 mm/last.c:1 func:last \n"
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
OLD_HEADER = oracle.HEADER.replace(b"2.0", b"1.0")


def read(data: bytes) -> tuple[list[oracle.Tag], allocq.Info]:
    """What the library reads, as the oracle's tags without their texts."""
    with saved(data) as path, allocq.open(path) as source:
        snapshot = source.read()
        tags = [
            oracle.Tag(t.bytes, t.calls, t.file, t.line, t.module, t.function, t.accurate)
            for t in snapshot
        ]
        return tags, snapshot.info


def plain(tags: Iterable[oracle.Tag]) -> list[oracle.Tag]:
    return [tag._replace(text="") for tag in tags]


# Lines

odd = st.text(st.sampled_from("ab .:/-[]()func0129é€\t\udcfe"), min_size=1, max_size=12)
words = odd.map(lambda text: text.replace(" ", "") or "w")
files = st.one_of(
    st.sampled_from(
        ["mm/slub.c", "../x/y.h", "/usr/src/my module/a b.c", "a[0].c", "[m] x.c", "f.c:12"]
    ),
    odd,
)


@st.composite
def lines(draw: st.DrawFn) -> str:
    size = draw(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5))
    calls = draw(st.integers(0, 2**64 - 1) | st.integers(0, 5))
    calls = min(calls, size) if size >= 0 else calls  # more are refused: columns are swapped
    module = draw(st.none() | words | st.sampled_from(["xfs", "a b", "a] b", "[", "x [y"]))
    where = f"{draw(files)}:{draw(st.integers(0, 2**64 - 1) | st.integers(0, 99))}"
    place = where if module is None else f"{where} [{module}]"
    known = st.sampled_from(
        [
            "accurate:no",
            "accurate:yes",
            "numa:0",
            "xaccurate:no",
            "accurate:no2",
            "",
            "func:x",
            "[m]",
            "Bar>::new",
            "core::fmt",
            "a:",
            "_0:b:c",
            "0a:b",
            "A:b",
        ]
    )
    more = draw(st.lists(known | words, max_size=3))
    tail = draw(st.sampled_from(["", " "])) + draw(st.sampled_from(["", "\r"]))
    return f"{size:12d} {calls:8d} {place} func:{' '.join([draw(words), *more])}{tail}"


@settings(unhurried, max_examples=150)
@given(st.lists(lines(), max_size=6), st.sampled_from([oracle.HEADER, OLD_HEADER, b""]))
@example(["1 1 a.c:1 func:f accurate:no accurate:yes "], oracle.HEADER)
@example(["1 1 a func:b.c:7 func:real "], oracle.HEADER)
@example(["1 1 a:1 [m]:5 func:f "], oracle.HEADER)
@example(["1 1 x [a] y:3 [b] c] func:f "], oracle.HEADER)
@example(["-0 0 a.c:1 func:f "], oracle.HEADER)
@example(["1 1 a.rs:1 [m] func:<A as B>::new accurate:no "], oracle.HEADER)
@example(["1 1 a.rs:1 func:<impl Foo for Bar>::new accurate:no  new_key:v  "], oracle.HEADER)
@example(["1 1 a.rs:1 func:accurate:no accurate:no"], oracle.HEADER)
def test_lines_are_read_as_they_are_written(texts: list[str], header: bytes) -> None:
    known = [(text, oracle.parse_line(text.removesuffix("\r"))) for text in texts]
    # A tag that comes again can begin another listing.
    texts = list({tag[2:6]: text for text, tag in known if tag}.values())
    data = header + "".join(f"{text}\n" for text in texts).encode("utf-8", "surrogateescape")
    expected = oracle.parse(data)
    if not header and not texts:
        return
    tags, info = read(data)
    assert tags == plain(expected)
    assert info.warnings == []
    assert info.version == (header[21:24].decode())
    # And are given back to the byte, but for a carriage return.
    shown = query(data, "-o", "procfs").out
    assert shown == "".join(f"{tag.text}\n" for tag in expected).encode("utf-8", "surrogateescape")


@unhurried
@given(st.one_of(st.text(max_size=30), lines()).filter(lambda s: "\n" not in s), st.integers(0, 3))
@example("", 1)
@example("1 1 a.c:1 func:", 1)
@example("1 1 a.c:1 func: f", 1)
@example("1 1 :1 func:f", 1)
@example("1 1 a.c: func:f", 1)
@example("1 1 a.c func:f", 1)
@example("1 1 a.c:1 [] func:f", 1)
@example("1 1 a.c:1 [m]func:f", 1)
@example("1 1  a.c:1 func:f", 1)
@example("1 -1 a.c:1 func:f", 1)
@example("+1 1 a.c:1 func:f", 1)
@example("1.5 1 a.c:1 func:f", 1)
@example(f"{2**63} 1 a.c:1 func:f", 1)
@example(f"{-(2**63)} 1 a.c:1 func:f", 1)
@example(f"{-(2**63) - 1} 1 a.c:1 func:f", 1)
@example(f"1 {2**64} a.c:1 func:f", 1)
@example(f"1 {2**64 - 1} a.c:1 func:f", 1)
@example(f"1 1 a.c:{2**64} func:f", 1)
@example(f"1 1 a.c:{'0' * 30}7 func:f", 1)
@example("1 1 a\0.c:1 func:f", 1)
@example("\ufeffallocinfo - version: 2.0", 0)
@example("allocinfo - version:2.0", 1)
@example("allocinfo - version: 2.0", 1)
@example("# a note", 2)
def test_a_line_is_a_tag_or_an_error_that_names_it(text: str, at: int) -> None:
    raw = text.encode("utf-8", "surrogateescape")
    tag = oracle.parse_line(oracle.decode(raw).removesuffix("\r"))
    good = [TAG] * at
    data = oracle.HEADER + b"".join([*good, raw + b"\n", LAST])
    if raw.startswith(b"#"):
        assert len(read(data)[0]) == at + 1
    elif b"allocinfo" in raw:  # a header begins another listing
        assert len(read(data)[0]) == 1
    elif tag is not None:
        assert read(data)[0] == plain([*oracle.parse(b"".join(good)), tag, *oracle.parse(LAST)])
    elif not raw.strip() or b"func:" not in raw:
        with saved(data) as path:
            result = here("query", "--source", path)
        assert (result.status, result.out) == (0, TAG * at + LAST)
        said = re.search(rf"skipped [12] lines? .* line {at + 3}: ", result.err)
        if any(c.isalnum() for c in text) and "\x1b" not in text:  # not blanks and controls alone
            assert said
        elif not raw.strip():
            assert not said


@settings(unhurried, max_examples=300)
@given(
    st.lists(
        st.binary(max_size=20)
        | st.sampled_from(
            [
                oracle.HEADER,
                OLD_HEADER,
                TAG,
                TAG[:-1],
                b"\n",
                b"\r\n",
                b"# k: v\n",
                b"\0",
                b"\x1f\x8b",
                b"\x28\xb5\x2f\xfd",
            ]
        ),
        max_size=6,
    ).map(b"".join)
)
@example(b"# allocq-snapshot: 1\n# tags: " + b"9" * 5000 + b"\n" + TAG)
@example(b"# allocq-snapshot: 1\n# content-id: " + b"9" * 5000 + b"\n" + TAG)
@example(b"# allocq-snapshot: 1\n# content-id: \xd9\xa3\n# tags: \xc2\xb2\n" + TAG)
@example(b"# allocq-snapshot: 1\n# time: 0001-01-01T00:00:00\n" + TAG)
@example(b"# allocq-snapshot: 1\n# time: 9999-12-31T23:59:59-23:59\n" + TAG)
@example(b"# allocq-snapshot: 1\n# time: 2026-11-23T06:20:37.123456789Z\n" + TAG)
@example(b"# allocq-snapshot: 1\n# kernel: \xff\x1b[2J\n" + TAG)
@example(b"allocinfo - version: " + b"\xff" * 15 + b"\n" + TAG)
@example(b"allocinfo - version: " + b"9" * 100 + b"\n" + TAG)
@example(b"allocinfo - version: \n" + TAG)
@example(b"allocinfo - version: 2\0\n" + TAG)
def test_any_bytes_give_tags_or_one_error(data: bytes) -> None:
    for format in ("json", "procfs", "table", "csv"):
        result = query(data, "-o", format, "--header")
        if result.status == 2:
            refused(result, "/proc/self/fd/")
        else:
            assert result.status in (0, 1)
            assert all(line.startswith("allocq: warning: ") for line in result.err.splitlines())


# What is no allocinfo at all


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello\n", "is not a saved /proc/allocinfo (line 1: not a valid allocinfo line)"),
        (b"\n", "is not a saved /proc/allocinfo"),
        (b"hello", "is not a saved /proc/allocinfo"),
        (b"\0" * 100, "is not a saved /proc/allocinfo"),
        (b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + b"\x02\0" + b"\1" * 64, "not a crash dump"),
        (b"MemTotal:       16318496 kB\n", "is not a saved /proc/allocinfo"),
        (b'{"tags":[]}\n', "is not a saved /proc/allocinfo"),
        (b"bytes,calls,file,line,module,function,accurate\n", "is not a saved /proc/allocinfo"),
        (b"\xff\xfea\0l\0l\0o\0c\0", "is not a saved /proc/allocinfo"),
    ],
)
def test_what_is_not_allocinfo_is_said(data: bytes, words: str) -> None:
    refused(query(data), words)
    refused(query(data, "-c"), words)
    refused(query(data, "-q"), words)


def test_a_header_alone_is_a_text_without_tags() -> None:
    result = query(oracle.HEADER)
    assert result == Result(1, b"", "")


@pytest.mark.parametrize("line", [b"\0\0\0\0\n", TAG.replace(b"slub", b"sl\0b")])
def test_a_line_with_a_nul_is_skipped(line: bytes) -> None:
    result = query(oracle.HEADER + TAG + line)
    assert (result.status, result.out) == (0, TAG)
    assert "skipped 1 line that is not a tag, line 4: '" in result.err
    refused(query(oracle.HEADER + line), "line 3: not a valid allocinfo line")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_line_without_end_does_not_fill_the_memory(pack: Callable[[bytes], bytes]) -> None:
    result = query(pack(oracle.HEADER + TAG + b"x" * (3 << 20)))
    assert (result.status, result.out) == (0, TAG)
    assert "skipped 1 line that is not a tag, line 4: 'xxx" in result.err
    assert len(result.err) < 500
    refused(query(pack(oracle.HEADER + b"x" * (3 << 20))), "line 3 is longer than 1 MiB")


def test_a_long_name_is_no_error() -> None:
    name = "n" * 100_000
    data = oracle.HEADER + f"1 1 {name}.c:1 [{name}] func:{name} \n".encode()
    (tag,), _ = read(data)
    assert (tag.file, tag.module, tag.function) == (name + ".c", name, name)
    assert query(data, "-o", "jsonl").status == 0


# Ends and beginnings


@pytest.mark.parametrize("header", [oracle.HEADER, OLD_HEADER], ids=["2.0", "1.0"])
def test_a_text_cut_anywhere_loses_what_is_not_whole_and_says_so(header: bytes) -> None:
    text = (
        header
        + TAG
        + b"        -512 18446744073709551615 fs/a b.c:7 [x] func:f accurate:no \n"
        + TAG.replace(b":12 ", b":13 ")
    )
    for cut in range(1, len(text)):
        data = text[:cut]
        whole = data[: data.rfind(b"\n") + 1]
        result = query(data, "-o", "procfs")
        if not whole:
            refused(result, "is not a saved /proc/allocinfo")
            continue
        assert oracle.parse(result.out) == oracle.parse(data)
        assert result.status == (0 if oracle.parse(data) else 1)
        if whole == data or not oracle.is_cut(data):
            assert result.err == ""
        else:
            assert re.fullmatch(
                r"allocq: warning: \S+: ignored the last line, which has no newline; .*\n",
                result.err,
            )
            with saved(data) as path, allocq.open(path) as source:
                assert source.read().info.consistent is False


@pytest.mark.parametrize(
    "argv", [["-c"], ["-o", "json"], ["-o", "table"], ["-g", "file"], ["-s", "bytes"]]
)
def test_every_way_to_show_says_that_a_text_is_cut(argv: list[str]) -> None:
    result = query(oracle.HEADER + TAG + TAG[:-2], *argv)
    assert result.status == 0
    assert "ignored the last line" in result.err
    assert result.err.count("\n") == 1


def test_json_says_that_a_text_is_cut() -> None:
    assert b'"consistent":false' in query(oracle.HEADER + TAG + TAG[:-2], "-o", "json").out
    assert b'"consistent":null' in query(oracle.HEADER + TAG, "-o", "json").out


def test_of_saves_put_together_the_last_is_read() -> None:
    texts = [path.read_bytes() for path in oracle.TEXTS]
    tags, info = read(b"".join(texts))
    assert tags == plain(oracle.parse(texts[-1]))
    (warning,) = info.warnings
    assert f"this is listing {len(texts)} of {len(texts)}" in warning


def test_all_saves_put_together_are_read_where_that_is_asked_for() -> None:
    texts = [path.read_bytes() for path in oracle.TEXTS]
    with saved(b"".join(texts)) as path:
        for number, text in enumerate(texts, 1):
            with allocq.open(path, listing=str(number)) as source:
                assert [tag.calls for tag in source.read()] == [t.calls for t in oracle.parse(text)]
        with allocq.open(path, listing="all") as source:
            assert len(source.read()) == sum(len(oracle.parse(text)) for text in texts)


def test_a_save_that_is_cut_in_front_of_another_is_passed_over() -> None:
    first = oracle.HEADER + TAG + TAG[:-20]
    result = query(first + oracle.HEADER + TAG + LAST)
    assert (result.status, result.out) == (0, TAG + LAST)
    assert "this is listing 2 of 2" in result.err


def test_lines_may_end_as_on_windows() -> None:
    for path in oracle.TEXTS:
        data = path.read_bytes()
        assert query(data.replace(b"\n", b"\r\n"), "-o", "procfs", "--header").out == data


def test_a_snapshot_says_of_itself_when_and_where() -> None:
    notes = (
        b"# allocq-snapshot: 1\n# time: 2026-11-23T06:20:37.123456Z\n# kernel: 7.3.4\n"
        b"# content-id: 5\n# consistent: yes\n# tags: 2\n"
    )
    _, info = read(oracle.HEADER + notes + TAG * 2)
    assert (info.kernel, info.content_id, info.consistent) == ("7.3.4", 5, True)
    assert info.time == pytest.approx(1795414837.123456)
    assert info.warnings == []


def test_a_snapshot_that_lost_whole_lines_says_so() -> None:
    notes = b"# allocq-snapshot: 1\n# consistent: yes\n# tags: 3\n"
    _, info = read(oracle.HEADER + notes + TAG * 2)
    assert info.consistent is False
    assert info.warnings and "has 2 tags, but its metadata says 3" in info.warnings[0]
    result = query(oracle.HEADER + notes + TAG * 2, "-f", "nothing.c")
    assert "may be truncated" in result.err


# Compressed


@unhurried
@given(st.integers(1, 60_000), st.sampled_from([1, 9]))
def test_gzip_is_read_as_what_is_in_it(size: int, level: int) -> None:
    data = oracle.UML_7_3.read_bytes()
    data = data[: data.find(b"\n", size) + 1]
    parts = data[: len(data) // 2], data[len(data) // 2 :]
    for packed in (
        gzip.compress(data, level),
        b"".join(gzip.compress(part, level) for part in parts),
    ):
        assert read(packed)[0] == plain(oracle.parse(data))


def test_gzip_cut_anywhere_is_an_error_that_names_the_file() -> None:
    packed = gzip.compress(oracle.HEADER + TAG * 50)
    for cut in range(2, len(packed)):
        with saved(packed[:cut]) as path:
            refused(here("query", "--source", path), path)


def test_damaged_gzip_is_an_error_that_names_the_file() -> None:
    packed = bytearray(gzip.compress(oracle.SAMPLE.read_bytes()))
    packed[len(packed) // 2] ^= 0xFF
    with saved(bytes(packed)) as path:
        refused(here("query", "--source", path), path)


def test_gzip_of_something_else_is_said() -> None:
    refused(query(gzip.compress(b"hello\n")), "is not a saved /proc/allocinfo")
    refused(query(gzip.compress(b"")), "is empty")


def test_zstd_is_read() -> None:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        import zstandard as zstd
    data = oracle.HEADER + TAG * 3
    assert read(zstd.compress(data))[0] == plain(oracle.parse(data))


def test_without_zstd_the_hint_says_what_to_do() -> None:
    code = (
        "import sys; sys.modules['compression'] = sys.modules['zstandard'] = None;"
        "from allocq.__main__ import entry; entry()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "query", "--source", "-"],
        input=b"\x28\xb5\x2f\xfd1234", capture_output=True,
    )  # fmt: skip
    refused(Result(done.returncode, done.stdout, done.stderr.decode()), "zstd")
    (extra,) = re.findall(r"\nhint: .*pip install 'allocq\[(\w+)\]'", done.stderr.decode())
    assert f"\n{extra} = [" in PYPROJECT.read_text()


# Pipes


def trickle(pieces: Iterable[bytes], *argv: str) -> Result:
    """Standard input in these pieces, each read before the next is written."""
    with subprocess.Popen(
        [*ALLOCQ, "query", "--source", "-", *argv],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout and process.stderr
        stdin = process.stdin

        def feed() -> None:
            for piece in pieces:
                os.write(stdin.fileno(), piece)
                until(lambda: not unread(stdin.fileno()))
            stdin.close()

        thread = threading.Thread(target=feed)
        thread.start()
        out, err = process.stdout.read(), process.stderr.read()
        thread.join()
        return Result(process.wait(), out, err.decode())


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_standard_input_may_come_byte_by_byte(packed: bool) -> None:
    data = oracle.HEADER + TAG + TAG.replace(b"4096", b"-512")
    stream = gzip.compress(data) if packed else data
    result = trickle((stream[i : i + 1] for i in range(len(stream))), "-o", "procfs")
    assert result == Result(0, data.removeprefix(oracle.HEADER), "")


def test_standard_input_may_be_a_file_read_from_its_middle(tmp_path: Path) -> None:
    """What was read of it before is not read again, however much is printed."""
    path = tmp_path / "text"
    path.write_bytes(b"not allocinfo\n" + oracle.HEADER + TAG * 300_000)
    with path.open("rb", buffering=0) as file:
        file.read(14)
        done = subprocess.run(
            [*ALLOCQ, "query", "--source", "-"], stdin=file, capture_output=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == TAG * 300_000


def test_a_pipe_with_a_name_is_a_source(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(
        [*ALLOCQ, "query", "--source", str(pipe)], stdout=subprocess.PIPE
    ) as process:
        pipe.write_bytes(oracle.HEADER + TAG)
        assert process.stdout
        assert process.stdout.read() == TAG
