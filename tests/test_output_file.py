"""--output FILE: the bytes of a pipe, in a file that is whole or not there."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import oracle
import pytest
from command import ALLOCQ, MODULE, allocq, here, refused
from terminal import on_terminal

SAMPLE = str(oracle.SAMPLE)
PROGRAMS = pytest.mark.parametrize("program", [ALLOCQ, MODULE], ids=["front", "python"])
QUERIES = [
    ["query", "--sample"],
    ["query", "--sample", "--header"],
    ["query", "--sample", "-f", "mm/slub.c", "-o", "table"],
    *(["query", "--sample", "-o", format] for format in ("json", "jsonl", "csv", "tsv", "table")),
    ["query", "--sample", "-g", "module"],
    ["query", "--sample", "-c"],
    ["query", "--sample", "--explain"],
    ["query", SAMPLE, "--list-listings"],
    ["query", "--sample", "-f", "nothing"],
    ["tree", "--sample"],
    *(["tree", "--sample", "-o", format] for format in ("json", "jsonl", "csv", "folded")),
    ["diff", SAMPLE, SAMPLE],
    ["diff", SAMPLE, "grown", SAMPLE],
    *(["diff", SAMPLE, "grown", "-o", f] for f in ("json", "jsonl", "csv", "tsv", "table")),
]
SHORT = [
    ["query", "--sample"],
    ["tree", "--sample"],
    ["memory", "--sample", "--meminfo", "../meminfo"],
    ["diff", SAMPLE, SAMPLE],
]
COMMANDS = pytest.mark.parametrize("argv", SHORT, ids=lambda argv: argv[0])


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a listing in which a tag is larger than in the sample."""
    data = oracle.SAMPLE.read_bytes()
    (tmp_path / "grown").write_bytes(data.replace(b" 16351232 ", b" 16351999 "))
    shutil.copy("/proc/meminfo", tmp_path.parent / "meminfo")  # one that stands still
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(place: Path) -> list[str]:
    return sorted(os.listdir(place))


@PROGRAMS
@pytest.mark.parametrize("argv", QUERIES, ids=" ".join)
def test_it_holds_what_a_pipe_gets(place: Path, argv: list[str], program: list[str]) -> None:
    piped = allocq(*argv, program=program)
    done = allocq(*argv, "--output", "x", program=program)
    assert piped.status in (0, 1) and done == (piped.status, b"", piped.err)
    assert (place / "x").read_bytes() == piped.out
    assert names(place) == ["grown", "x"]


@COMMANDS
def test_it_is_private_and_dash_is_standard_output(place: Path, argv: list[str]) -> None:
    old = os.umask(0)
    try:
        here(*argv, "--output", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((place / "x").stat().st_mode) == 0o600
    assert here(*argv, "--output", "-") == here(*argv)


@COMMANDS
def test_a_suffix_compresses(place: Path, argv: list[str]) -> None:
    assert here(*argv, "--output", "x.gz").out == b""
    assert gzip.decompress((place / "x.gz").read_bytes()) == here(*argv).out


@COMMANDS
def test_no_file_is_lost_without_force(place: Path, argv: list[str]) -> None:
    path = place / "x"
    path.write_text("precious")
    refused(here(*argv, "--output", "x"), "x exists")
    missing = [word if word != "--sample" else "--source=/none" for word in argv]
    if argv[0] == "diff":
        missing = ["diff", "/none", "/none"]
    refused(here(*missing, "--output", "x"), "x exists")  # before anything is read
    refused(here(*missing, "--output", "x", "--force"), "/none")
    assert path.read_text() == "precious"
    assert here(*argv, "--output", "x", "--force").status in (0, 1)
    assert path.read_bytes() == here(*argv).out and names(place) == ["grown", "x"]


@COMMANDS
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
def test_what_is_no_regular_file_is_never_replaced(
    place: Path, argv: list[str], force: list[str]
) -> None:
    (place / "link").symlink_to(place / "nowhere")
    (place / "to").symlink_to(place / "grown")
    os.mkfifo(place / "fifo")
    (place / "folder").mkdir()
    before = (place / "grown").read_bytes()
    for each in ("link", "to", "fifo", "folder"):
        refused(here(*argv, "--output", each, *force), each)
    assert names(place) == ["fifo", "folder", "grown", "link", "to"]
    assert (place / "grown").read_bytes() == before and os.listdir(place / "folder") == []


@PROGRAMS
@COMMANDS
def test_a_full_disk_leaves_nothing(place: Path, argv: list[str], program: list[str]) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))

    # Python keeps what it could write of a module that it compiles under such a limit.
    assert allocq(*argv, program=program).status in (0, 1)
    done = allocq(*argv, "--output", "x", program=program, preexec_fn=limit)
    refused(done, "cannot write x: File too large")
    (place / "x").write_text("precious")
    done = allocq(*argv, "--output", "x", "--force", program=program, preexec_fn=limit)
    refused(done, "cannot write x: File too large")
    assert (place / "x").read_text() == "precious" and names(place) == ["grown", "x"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small file system")
@COMMANDS
def test_a_full_file_system_leaves_nothing(place: Path, argv: list[str]) -> None:
    script = (
        "mkdir small && mount -t tmpfs -o size=4k none small && : >small/x && echo full >small/y"
        ' || exit 77; "$@"; status=$?; ls -A small; exit $status'
    )
    command = ["unshare", "-m", "sh", "-c", script, "sh", *ALLOCQ, *argv]
    done = subprocess.run([*command, "--output", "small/z"], capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert done.returncode == 2 and done.stdout == "x\ny\n", done
    assert done.stderr == "allocq: cannot write small/z: No space left on device\n"


@COMMANDS
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--output", "x", "--force", "--output", ""], "invalid file name"),
        (["--output", "/nonexistent/x"], "No such file"),
        (["--output", "."], "is a directory"),
        (["--output", "x.xz"], "only .gz and .zst compress"),
        (["--output", "x.yaml"], "not yaml"),
        (["--output", "x.csv", "-o", "json"], "the answer is json, not csv"),
        (["--output", "x.csv.gz", "-o", "json"], "the answer is json, not csv"),
        (["--force"], "--force needs a file"),
        (["--output", "-", "--force"], "--force needs a file"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    place: Path, argv: list[str], words: list[str], complaint: str
) -> None:
    refused(here(*argv, *words), complaint)
    assert names(place) == ["grown"]


def test_what_prints_nothing_has_nothing_to_save(place: Path) -> None:
    refused(here("query", "--sample", "-q", "--output", "x"), "--quiet and --output")
    refused(here("diff", SAMPLE, SAMPLE, "-q", "--output", "x"), "--quiet and --output")
    refused(here("tree", "--sample", "--pager", "always", "--output", "x"), "--pager always")
    refused(here("query", "--sample", "-c", "--output", "x.json"), "the answer is text")
    assert names(place) == ["grown"]


@COMMANDS
def test_a_file_is_no_terminal(place: Path, argv: list[str]) -> None:
    seen = on_terminal(*argv, "--output", str(place / "x"), PAGER="false", TERM="xterm")
    assert seen.text == "" and seen.status in (0, 1)
    assert (place / "x").read_bytes() == here(*argv).out


def test_suffix_and_format_agree(place: Path) -> None:
    for format in ("json", "jsonl", "csv", "tsv"):
        assert here("query", "--sample", "-o", format, "--output", f"x.{format}").status == 0
    assert here("query", "--sample", "--output", "x.txt").status == 0
    assert here("tree", "--sample", "-o", "csv", "--output", "y.csv.gz").status == 0
    for suffix in (".gz", ".zst"):
        done = here("query", "--sample", "--output", f"x.parquet{suffix}")
        refused(done, f"cannot write x.parquet{suffix}: Parquet is compressed in itself")


def test_a_directory_is_told_as_one(tmp_path: Path) -> None:
    for argv in (("query", "--sample", "--output"), ("snapshot", "--sample")):
        for force in ((), ("--force",)):
            refused(here(*argv, str(tmp_path), *force), "is a directory")
