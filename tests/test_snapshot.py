"""`allocq snapshot`: the tags come back as they were, and a file is whole or is not there."""

from __future__ import annotations

import gzip
import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import oracle
import pytest
from command import ALLOCQ, allocq, here, refused

from allocq.errors import AllocqError, OutputError
from allocq.storage.files import save

SAMPLE = str(oracle.SAMPLE)


def notes_of(data: bytes) -> dict[str, str]:
    lines = data.decode().splitlines()[2:]
    marked = [line[2:] for line in lines if line.startswith("# ")]
    return dict(line.split(": ", 1) for line in marked)


def tag_lines(data: bytes) -> list[bytes]:
    return [x for x in data.split(b"\n") if x and not x.startswith((b"#", b"allocinfo"))]


def test_standard_output_is_the_default_and_holds_the_same_lines() -> None:
    done = here("snapshot", "--source", SAMPLE)
    assert done.status == 0 and done.err == ""
    assert tag_lines(done.out) == tag_lines(oracle.SAMPLE.read_bytes())
    assert done.out.startswith(oracle.HEADER + b"# allocq-snapshot: 1\n")
    assert here("snapshot", "--output", "-", "--source", SAMPLE).out == done.out


def test_notes_of_a_plain_text_claim_nothing_that_is_not_known() -> None:
    notes = notes_of(here("snapshot", "--source", SAMPLE).out)
    count = len(oracle.parse(oracle.SAMPLE.read_bytes()))
    assert notes == {"allocq-snapshot": "1", "interface": "text", "tags": str(count)}


def test_a_filter_is_applied_and_noted() -> None:
    done = here("snapshot", "--source", SAMPLE, "-f", "mm/*", "--min-size", "4K", "-l", "1-9999")
    asked = oracle.Asked(files=["mm/*"], min_size=4096, lines=[(1, 9999)])
    wanted = oracle.select(oracle.parse(oracle.SAMPLE.read_bytes()), asked)
    assert [t.text for t in oracle.parse(done.out)] == [t.text for t in wanted] != []
    notes = notes_of(done.out)
    assert json.loads(notes["filter"]) == {
        "file": ["mm/*"], "line": [[1, 9999]], "min_size": 4096,
    }  # fmt: skip
    assert notes["tags"] == str(len(wanted))


def test_a_snapshot_of_a_snapshot_keeps_its_words(tmp_path: Path) -> None:
    first = tmp_path / "first"
    words = (
        b"# allocq-snapshot: 1\n# time: 2026-11-23T06:20:37.123456Z\n# host: a b\n"
        b"# kernel: 7.3.4\n# boot-id: abc\n# content-id: 5\n# possible-cpus: 2\n"
        b"# consistent: no\n# interface: ioctl\n# filter: {\"file\":[\"fs/*\"]}\n# tags: 2\n"
    )  # fmt: skip
    lines = b"           0        0 fs/a.c:1 func:f \n          64        1 fs/b.c:2 [m] func:g \n"
    first.write_bytes(oracle.HEADER + words + lines)
    again = here("snapshot", "--source", str(first))
    assert again.out == first.read_bytes()
    narrowed = here("snapshot", "--source", str(first), "-F", "g")
    notes = notes_of(narrowed.out)
    assert json.loads(notes.pop("filter")) == [{"file": ["fs/*"]}, {"function": ["g"]}]
    kept = notes_of(first.read_bytes())
    del kept["filter"]
    assert notes == {**kept, "tags": "1"}


def test_a_text_that_was_cut_off_is_not_called_consistent(tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(oracle.SAMPLE.read_bytes()[:-5])
    done = here("snapshot", "--source", str(cut))
    assert notes_of(done.out)["consistent"] == "no"
    assert "truncated" in done.err


@pytest.mark.parametrize("name", ["plain", "x.gz", "dir/x.txt.gz"])
def test_a_file_is_private_and_reads_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    old = os.umask(0)
    try:
        done = here("snapshot", "--source", SAMPLE, "--output", str(path))
    finally:
        os.umask(old)
    assert done == (0, b"", "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = path.read_bytes()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    assert text == here("snapshot", "--source", SAMPLE).out
    read = here("query", "--source", str(path))
    assert tag_lines(read.out) == tag_lines(text)
    assert os.listdir(path.parent) == [path.name]


def test_without_zstd_a_snapshot_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("compression", "zstandard"):
        monkeypatch.setitem(sys.modules, module, None)
    refused(
        here("snapshot", "--source", "/nonexistent", "--output", str(tmp_path / "x.zst")), "zstd"
    )
    assert os.listdir(tmp_path) == []


def test_zstd_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "x.zst"
    assert here("snapshot", "--source", SAMPLE, "--output", str(path)) == (0, b"", "")
    assert path.read_bytes().startswith(b"\x28\xb5\x2f\xfd")
    read = here("query", "--source", str(path))
    assert tag_lines(read.out) == tag_lines(oracle.SAMPLE.read_bytes())


def test_no_file_is_lost_without_force(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("precious")
    refused(here("snapshot", "--source", SAMPLE, "--output", str(path)), "exists")
    refused(
        here("snapshot", "--source", "/nonexistent", "--output", str(path)), "exists"
    )  # told first
    assert path.read_text() == "precious"
    assert here("snapshot", "--source", SAMPLE, "--output", str(path), "--force").status == 0
    assert path.read_bytes().startswith(oracle.HEADER)
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path, force: list[str]) -> None:
    link, fifo, folder = tmp_path / "link", tmp_path / "fifo", tmp_path / "folder"
    link.symlink_to(tmp_path / "nowhere")
    os.mkfifo(fifo)
    folder.mkdir()
    for path in (link, fifo, folder):
        refused(here("snapshot", "--source", SAMPLE, "--output", str(path), *force), str(path))
    assert link.is_symlink() and not link.exists()
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["fifo", "folder", "link"]
    assert os.listdir(folder) == []


def test_a_target_that_appears_while_it_is_written_wins(tmp_path: Path) -> None:
    def pieces():  # type: ignore[no-untyped-def]
        yield b"mine"
        (tmp_path / "x").write_text("theirs")

    with pytest.raises(AllocqError, match="exists"):
        save(str(tmp_path / "x"), pieces())
    assert (tmp_path / "x").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize(
    ("end", "raised"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(28, "No space left on device"), OutputError),
    ],
)
def test_what_ends_it_leaves_nothing_behind(
    tmp_path: Path, end: BaseException, raised: type[BaseException]
) -> None:
    def pieces():  # type: ignore[no-untyped-def]
        yield b"begun"
        raise end

    with pytest.raises(raised):
        save(str(tmp_path / "x"), pieces())
    assert os.listdir(tmp_path) == []


def test_without_hard_links_a_name_still_has_one_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    save(str(tmp_path / "x"), [b"first"])
    with pytest.raises(AllocqError, match="exists"):
        save(str(tmp_path / "x"), [b"second"])
    assert (tmp_path / "x").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["x"]


def test_a_write_that_fails_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    # Python keeps what it could write of a module that it compiles under such a limit.
    assert allocq("snapshot", "--source", SAMPLE).status == 0
    done = allocq("snapshot", "--source", SAMPLE, "--output", str(tmp_path / "x"), preexec_fn=limit)
    refused(done, "cannot write", "File too large")
    assert os.listdir(tmp_path) == []


def test_a_full_standard_output_is_an_error() -> None:
    with open("/dev/full", "wb") as full:
        done = allocq("snapshot", "--source", SAMPLE, stdout=full)
    refused(done, "No space left")


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["--output", "/nonexistent/x"], "No such file"),
        (["--output", ""], "invalid file name"),
        (["--output", "/"], "directory"),
        (["--output", "./"], "directory"),
        (["--force"], "--force"),
        (["--min-size", "x", "--output", "/nonexistent/x"], "invalid size"),
        (["--sample"], "--sample"),
    ],
)
def test_what_cannot_be_meant_is_refused(argv: list[str], word: str) -> None:
    refused(here("snapshot", "--source", SAMPLE, *argv), word)


def test_nothing_found_is_status_1_and_an_empty_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "x"
    done = here("snapshot", "--source", SAMPLE, "-m", "nosuch", "--output", str(path))
    assert done == (1, b"", "")
    assert notes_of(path.read_bytes())["tags"] == "0"
    assert here("query", "--source", str(path)) == (1, b"", "")


def test_ten_at_once_and_one_wins(tmp_path: Path) -> None:
    argv = [*ALLOCQ, "snapshot", "--source", SAMPLE, "--output", str(tmp_path / "x")]
    running = [subprocess.Popen(argv, stderr=subprocess.PIPE) for _ in range(10)]
    errors = [process.communicate(timeout=60)[1] for process in running]
    assert sorted(process.returncode for process in running) == [0] + [2] * 9
    assert sum(b"exists" in error for error in errors) == 9
    assert os.listdir(tmp_path) == ["x"]
    assert len(oracle.parse((tmp_path / "x").read_bytes())) == len(
        oracle.parse(oracle.SAMPLE.read_bytes())
    )


def test_a_host_with_line_ends_in_its_words_cannot_forge_notes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from allocq.core.table import Table
    from allocq.model import Filter, Info
    from allocq.storage.snapshot import snapshot_text

    class Uname:
        nodename = "a\n# tags: 0"

    monkeypatch.setattr("os.uname", lambda: Uname)
    info = Info("/proc/allocinfo", "ioctl")
    head = next(snapshot_text(info, Table(), Filter(), live=True))
    assert [line for line in head.decode().splitlines() if line.startswith("# tags")] == [
        "# tags: 0"
    ]
    assert "# host: a # tags: 0\n" in head.decode()


def test_each_way_to_name_the_file_saves_the_same(tmp_path: Path) -> None:
    ways = {"a": ("{}",), "b": ("--output", "{}"), "c": ("-o", "{}")}
    for name, way in ways.items():
        done = here("snapshot", "--sample", *(word.format(tmp_path / name) for word in way))
        assert done.status == 0 and done.out == b""
        assert ("warning: -o" in done.err) == (name == "c"), done
    assert len({(tmp_path / name).read_bytes() for name in ways}) == 1
    refused(here("snapshot", "--sample", "x", "--output", "y"), "second file")


@pytest.mark.parametrize(
    "name", ["x.xz", "x.BZ2", "x.zip", "x.tar.gz", "x.tgz", "x.json", "x.parquet", "x.csv"]
)
def test_a_suffix_that_cannot_be_written_is_refused(name: str, tmp_path: Path) -> None:
    refused(here("snapshot", "--sample", str(tmp_path / name)), f"cannot write {tmp_path}/{name}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x", "x.txt", "allocinfo.7.3", ".json", "x.log"])
def test_other_names_are_plain_text(name: str, tmp_path: Path) -> None:
    assert here("snapshot", "--sample", str(tmp_path / name)).status == 0
    assert (tmp_path / name).read_bytes().startswith(oracle.HEADER)
