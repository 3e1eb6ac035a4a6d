"""Every file of the field by each command, against a few lines that read them in another way; what
must be refused; and archives that are bombs."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import re
import resource
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

FIELD = Path(__file__).parent / "field"
PROGRAM = Path(sys.executable).with_name("allocq")
SAMPLE_LINE = "    4096        1 mm/slub.c:1 func:f \n"
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
TAG = re.compile(
    r"(?P<size>-?[0-9.]+) ?(?P<unit>[KMG]?)(?:i?B?) +(?P<calls>[0-9]+) "
    r"(?P<file>\S+):(?P<line>[0-9]+)"
    r"(?: \[(?P<module>\w+)\])?(?: func:|\n.*?func:)(?P<function>\w+)"
)
Tag = tuple[int, int, str, int, str | None, str]


def run(*argv: str | Path, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [PROGRAM, *argv], input=data, capture_output=True, check=False, timeout=60
    )


def expected(path: Path) -> list[Tag]:
    """The tags of the last listing, by one regular expression over the whole text."""
    text = path.read_text()
    text = re.sub(r"\x1b\[[0-9;]*[mK]|\r|(?m:^[> ]*> )|(?m:^\[ *[0-9.]+\] )", "", text)
    text = re.sub(r"\n(\[\w+\] func:|func:|\S+\.[ch]:[0-9]+ )", r" \1", text)
    text = re.split(r"allocinfo - version.*|Memory allocations.*|\$ sort|# sort -h", text)[-1]
    tags = []
    for match in TAG.finditer(text):
        whole, _, part = match["size"].partition(".")
        size = int(whole + part) * UNITS[match["unit"]] // 10 ** len(part)
        place = match["file"], int(match["line"]), match["module"], match["function"]
        tags.append((size, int(match["calls"]), *place))
    return tags


def answered(out: bytes) -> list[Tag]:
    """The tags of `-o jsonl`."""
    names = ("bytes", "calls", "file", "line", "module", "function")
    rows = [json.loads(line) for line in out.splitlines()]
    return [
        (row["bytes"], row["calls"] % (1 << 64), *(row[name] for name in names[2:])) for row in rows
    ]


FILES = sorted(path.name for path in FIELD.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_query_of_a_file_and_of_a_pipe(name: str) -> None:
    wanted = expected(FIELD / name)
    assert wanted
    file = run("query", FIELD / name, "-o", "jsonl")
    piped = run("query", "-o", "jsonl", data=(FIELD / name).read_bytes())
    assert answered(file.stdout) == wanted
    assert (piped.returncode, piped.stdout) == (0, file.stdout)


@pytest.mark.parametrize("name", FILES)
def test_tree_of_a_file(name: str) -> None:
    tags = expected(FIELD / name)
    done = run("tree", FIELD / name, "-o", "jsonl", "--slab", "include")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    files = {row["path"]: (row["bytes"], row["calls"]) for row in rows if row["kind"] == "file"}
    assert files or all(size <= 0 for size, *_ in tags), done.stderr
    for file, (size, calls) in files.items():
        own = [tag for tag in tags if tag[2] == file]
        assert size == sum(tag[0] for tag in own)
        signed = sum(tag[1] - ((tag[1] >> 63) << 64) for tag in own)
        assert calls == signed


@pytest.mark.parametrize(
    ("before", "after"), [("ice-day0-quoted", "ice-day6"), ("ice-crlf", "ice-day6-lines")]
)
def test_diff_of_two_files(before: str, after: str) -> None:
    one = {tag[2:]: tag[0] for tag in expected(FIELD / f"{before}.txt")}
    other = {tag[2:]: tag[0] for tag in expected(FIELD / f"{after}.txt")}
    done = run("diff", FIELD / f"{before}.txt", FIELD / f"{after}.txt", "-o", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = {
        (row["file"], row["line"], row["module"], row["function"]): row["bytes_growth"]
        for row in rows
        if row["change"] in ("grown", "shrunk")
    }
    assert found == {
        key: other[key] - one[key] for key in one if key in other and one[key] != other[key]
    }


# Never a wrong number

NVME = (FIELD / "nvme-bytes.txt").read_text().splitlines()


def column(*fields: int, prefix: str = "{}") -> bytes:
    """Like awk '{print $1, $3}'."""
    rows = [" ".join(line.split()[at - 1] for at in fields) for line in NVME]
    return "".join(prefix.format(at) + row + "\n" for at, row in enumerate(rows, 1)).encode()


@pytest.mark.parametrize(
    "prefix",
    ["", "     {}\t", "{} ", "[   30.98] ", "Nov 24 06:20:37 ", "node12: ", "kern.log:{}:", "> ",
     "2025-11-24 ", "<4>[ 1.5][  C0] ", "kern.log-{}-", "host-12 ", "* "],
)  # fmt: skip
@pytest.mark.parametrize("fields", [(1, 3, 4), (2, 3, 4), (1, 2, 4), (1, 2, 3), (1, 4), (3, 4)])
def test_lost_columns_are_an_error(fields: tuple[int, ...], prefix: str) -> None:
    data = column(*fields, prefix=prefix)
    done = run("query", data=data)
    assert (done.returncode, done.stdout) == (2, b""), data


def test_sizes_in_mebibytes_without_a_unit_are_an_error() -> None:
    rows = [line.split(None, 1) for line in NVME]
    data = "".join(f"{int(size) / (1 << 20):.6g} {rest}\n" for size, rest in rows).encode()
    done = run("query", data=data)
    assert (done.returncode, done.stdout) == (2, b"") and b"without a unit" in done.stderr


def test_small_sizes_that_only_begin_like_numbers_are_sizes() -> None:
    data = "".join(f"{size} 1 mm/a.c:{size} func:f \n" for size in (1, 2, 3, 512)).encode()
    done = run("query", "-o", "jsonl", data=data)
    assert [tag[0] for tag in answered(done.stdout)] == [1, 2, 3, 512]


ANSWERS = [
    *(
        (command, format)
        for command in ("tree", "diff")
        for format in ("table", "json", "jsonl", "csv", "tsv", "")
    ),
    *(("memory", format) for format in ("table", "json", "")),
]


@pytest.mark.parametrize(("command", "format"), ANSWERS)
def test_other_answers_of_allocq_are_no_listing(command: str, format: str, tmp_path: Path) -> None:
    argv: list[str | Path] = [command]
    argv += [FIELD / "ice-day0.txt", FIELD / "ice-day6.txt"] if command == "diff" else ["--sample"]
    made = run(*argv, *(["-o", format] if format else []))
    assert made.returncode == 0
    path = tmp_path / "answer"
    path.write_bytes(made.stdout)
    done = run("query", "--source", path)
    assert (done.returncode, done.stdout) == (2, b"")


# Names

NAMES = [
    "<impl Foo for Bar>::new",
    "<alloc::vec::Vec<T, A> as Clone>::clone",
    "core::ops::FnOnce<(A, B)>::call_once",
    "kernel::init::{closure#0}",
    "<fn(A) -> B as Run>::run",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", ["", "> ", "[   30.98] ", "saved.txt:12:"])
@pytest.mark.parametrize("tail", ["", " ", " accurate:no ", " 840764"])
def test_a_name_with_blanks_stays_whole(name: str, prefix: str, tail: str) -> None:
    lines = [f"4096 1 rust/a.rs:{at} [m] func:{name}{tail}" for at in (1, 2)]
    data = "".join(f"{prefix}{line}\n" for line in ["a stray line", *lines]).encode()
    done = run("query", "-o", "jsonl", data=data)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["function"] for row in rows] == [name, name]
    assert {row["accurate"] for row in rows} == {"accurate" not in tail}
    lines_out = run("query", "-o", "procfs", data=data).stdout.decode().splitlines()
    assert [line.split()[-1] for line in lines_out] == [line.split()[-1] for line in lines]


def test_unknown_numbers_are_no_part_of_a_name_and_stay(tmp_path: Path) -> None:
    source = FIELD / "accumulated-v1.1.txt"
    saved = tmp_path / "saved.txt"
    assert run("snapshot", saved, "--source", source).returncode == 0
    for path in (source, saved):
        out = run("query", path, "-F", "mm_slot_alloc").stdout.decode().splitlines()
        assert [line.split()[-1] for line in out] == ["4", "10705"]
        rows = run("query", path, "-F", "mm_slot_alloc", "-o", "jsonl").stdout.splitlines()
        assert {json.loads(row)["function"] for row in rows} == {"mm_slot_alloc"}


# Archives

MEMORY = 1 << 30


def limited(path: Path) -> subprocess.CompletedProcess[bytes]:
    """query with 1 GiB of address space."""
    return subprocess.run(
        [PROGRAM, "query", "--source", path, "-c"],
        capture_output=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )


def as_tar(write: Callable[[tarfile.TarFile], None], mode: str = "w:gz") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        write(archive)
    return made.getvalue()


def member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def as_zip(data: bytes, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", kind) as archive:
        archive.writestr("proc/allocinfo", data)
    return made.getvalue()


ZEROS = bytes(1 << 28)
LINES = (SAMPLE_LINE * 4096).encode() * 640  # 100 MiB of the same tag
BOMBS: dict[str, Callable[[], bytes]] = {
    "xz of zeros": lambda: lzma.compress(ZEROS, preset=0),
    "xz of tags": lambda: lzma.compress(LINES, preset=0),
    "bz2 of zeros": lambda: bz2.compress(ZEROS, 1),
    "zip of zeros": lambda: as_zip(ZEROS),
    "zip of tags": lambda: as_zip(LINES),
    "tar of zeros": lambda: as_tar(lambda archive: member(archive, "proc/allocinfo", ZEROS)),
    "tar of tags": lambda: as_tar(lambda archive: member(archive, "proc/allocinfo", LINES)),
    "xz in a tar": lambda: as_tar(
        lambda archive: member(archive, "a.xz", lzma.compress(ZEROS, preset=0)), "w"
    ),
}


@pytest.mark.parametrize("kind", list(BOMBS))
def test_a_bomb_is_an_error_in_little_memory(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[kind]())
    done = limited(path)
    words = done.stderr.decode().splitlines()
    assert done.returncode == 2 and done.stdout == b"" and 1 <= len(words) <= 2, done
    assert words[0].startswith("allocq: ") and "out of memory" not in words[0]


def test_zstd_that_cannot_be_read_names_the_format(tmp_path: Path) -> None:
    path = tmp_path / "saved.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(64))
    script = (
        "import sys; sys.modules.update(dict.fromkeys(('zstandard', 'compression.zstd')));"
        "from allocq.__main__ import entry;"
        "sys.argv = ['allocq', 'query', '--source', sys.argv[1]];"
        "sys.exit(entry())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, check=False, timeout=60
    )
    words = done.stderr.decode()
    assert done.returncode == 2 and "zstd" in words.splitlines()[0], words
    assert "zstd -dc" in words.splitlines()[1]
