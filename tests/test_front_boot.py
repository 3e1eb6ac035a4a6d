"""The static program in a guest that has no other file: no shell, no library, no Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import guest
import oracle
import pytest
from test_front import make

HERE = Path(__file__).resolve().parent
FILES = ("mm/slub.c", "fs/proc/generic.c")
QUESTIONS = [
    *(f"-f,{file},-o,{format},--interface,{interface}" for file in FILES
      for format in ("procfs", "jsonl") for interface in ("ioctl", "text", "auto")),
    "-c",
    "-f,no/such.c,--interface,ioctl",
    "-s,bytes,-n,20,-o,csv",
    "-s,file,-o,tsv,--min-size,1,--interface,ioctl",
]  # fmt: skip


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """What each question was answered with: the exit status and what was printed."""
    kernel = guest.find_kernel()
    if kernel is None or guest.kernel_kind(kernel) != "uml":
        pytest.skip(f"needs a User-Mode Linux: {guest.HOW_TO_GET_A_KERNEL}")
    if not shutil.which("cc") or not shutil.which("make"):
        pytest.skip("needs make and a C compiler")
    root = tmp_path_factory.mktemp("root")
    program = make(tmp_path_factory.mktemp("static"), static=True)
    shutil.copy(program, root / "allocq")
    source = HERE / "vm" / "bare-init.c"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-static"]
    subprocess.run(["cc", *flags, "-o", str(root / "init"), str(source)], check=True)
    for place in ("proc", "dev"):
        (root / place).mkdir()
    uml = tmp_path_factory.mktemp("uml")
    command = ["setpriv", "--pdeathsig", "KILL", str(kernel.resolve()), "mem=64M", "seccomp=auto"]
    command += ["rootfstype=hostfs", f"rootflags={root}", "ro", "init=/init", f"uml_dir={uml}/"]
    command += ["con0=null,fd:1", "con=null", "ssl=null", "quiet", "loglevel=1", "panic=-1"]
    done = subprocess.run(
        [*command, "--", *QUESTIONS],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    console = done.stdout.decode().replace("\r", "")
    answers: dict[str, tuple[int, str]] = {}
    for piece in console.split("\n[")[1:]:
        question, _, rest = piece.partition("\n")
        answer, _, status = rest.rpartition("]")
        answers[question] = int(status.split()[0]), answer
    assert list(answers) == ["text", *QUESTIONS], console[-4000:]
    assert sorted(path.name for path in root.iterdir()) == ["allocq", "dev", "init", "proc"]
    return answers


def names(tags: list[oracle.Tag]) -> list[tuple[object, ...]]:
    """What of tags stays, whatever is allocated meanwhile."""
    return [tag[2:6] for tag in tags]


@pytest.fixture(scope="module")
def tags(said: dict[str, tuple[int, str]]) -> list[oracle.Tag]:
    """All tags, as the kernel itself printed them."""
    return oracle.parse(said["text"][1].encode())


@pytest.mark.parametrize("interface", ["ioctl", "text", "auto"])
@pytest.mark.parametrize("file", FILES)
def test_a_file(
    said: dict[str, tuple[int, str]], tags: list[oracle.Tag], file: str, interface: str
) -> None:
    expected = [tag for tag in tags if tag.file == file]
    assert len(expected) > 1
    status, lines = said[f"-f,{file},-o,procfs,--interface,{interface}"]
    assert (status, names(oracle.parse(lines.encode()))) == (0, names(expected))
    status, lines = said[f"-f,{file},-o,jsonl,--interface,{interface}"]
    rows = [json.loads(line) for line in lines.splitlines()]
    found = [tuple(row[name] for name in oracle.NAMES[2:6]) for row in rows]
    assert (status, found) == (0, names(expected))


def test_all_of_them(said: dict[str, tuple[int, str]], tags: list[oracle.Tag]) -> None:
    assert said["-c"] == (0, f"{len(tags)}\n")
    assert said["-f,no/such.c,--interface,ioctl"] == (1, "")


def test_the_largest(said: dict[str, tuple[int, str]]) -> None:
    status, lines = said["-s,bytes,-n,20,-o,csv"]
    header, *rows = lines.splitlines()
    sizes = [int(row.split(",")[0]) for row in rows]
    assert (status, header) == (0, ",".join(oracle.NAMES))
    assert len(sizes) == 20 and sizes == sorted(sizes, reverse=True) and sizes[-1] > 4096


def test_sizes_by_the_ioctl(said: dict[str, tuple[int, str]]) -> None:
    status, lines = said["-s,file,-o,tsv,--min-size,1,--interface,ioctl"]
    rows = [line.split("\t") for line in lines.splitlines()[1:]]
    places = [(row[2], int(row[3])) for row in rows]
    assert status == 0 and len(rows) > 100 and all(int(row[0]) >= 1 for row in rows)
    assert places == sorted(places)
