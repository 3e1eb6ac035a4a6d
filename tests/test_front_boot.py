"""The static program in a guest that has no other file: no shell, no library, no Python.

On User-Mode Linux, and on an arm64 one in QEMU where ALLOCQ_TEST_KERNEL_ARM64 is its image.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import cpio
import guest
import oracle
import pytest
from test_front import make

HERE = Path(__file__).resolve().parent
FILES = ("mm/slub.c", "fs/proc/generic.c")
QUESTIONS = [
    *(f"-f,{file},-o,{format},--interface,{interface}" for file in FILES
      for format in ("procfs", "jsonl") for interface in ("ioctl", "text", "auto")),
    *(f"-o,procfs,--interface,{interface}" for interface in ("ioctl", "text", "auto")),
    "-c",
    "-f,no/such.c,--interface,ioctl",
    "-s,bytes,-n,20,-o,csv",
    "-s,file,-o,tsv,--min-size,1,--interface,ioctl",
]  # fmt: skip


ARM64 = "aarch64-linux-gnu-gcc"


def compiled(folder: Path, compiler: str) -> tuple[bytes, bytes]:
    """The first process and the static program."""
    if not shutil.which(compiler) or not shutil.which("make"):
        pytest.skip(f"needs make and {compiler}")
    program = make(folder, f"CC={compiler}", static=True)
    source = HERE / "vm" / "bare-init.c"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-static"]
    subprocess.run([compiler, *flags, "-o", str(folder / "init"), str(source)], check=True)
    return (folder / "init").read_bytes(), program.read_bytes()


def boot_uml(folder: Path) -> Sequence[str]:
    """The command line that boots it."""
    kernel = guest.find_kernel()
    if kernel is None or guest.kernel_kind(kernel) != "uml":
        pytest.skip(f"needs a User-Mode Linux: {guest.HOW_TO_GET_A_KERNEL}")
    root = folder / "root"
    for place in ("proc", "dev"):
        (root / place).mkdir(parents=True)
    for name, data in zip(("init", "allocq"), compiled(folder, "cc"), strict=True):
        (root / name).write_bytes(data)
        (root / name).chmod(0o755)
    command = [str(kernel.resolve()), "mem=64M", "seccomp=auto"]
    command += ["rootfstype=hostfs", f"rootflags={root}", "ro", "init=/init", f"uml_dir={folder}/"]
    return [*command, "con0=null,fd:1", "con=null", "ssl=null", *QUIET, "--", *QUESTIONS]


def boot_arm64(folder: Path) -> Sequence[str]:
    """The command line that boots it."""
    kernel = guest.find_arm64_kernel()
    if kernel is None:
        pytest.skip("no arm64 test kernel: ALLOCQ_TEST_KERNEL_ARM64 (tests/README.md)")
    if not shutil.which("qemu-system-aarch64"):
        pytest.skip("needs qemu-system-aarch64 (Debian package qemu-system-arm)")
    init, program = compiled(folder, ARM64)
    root = dict.fromkeys(("proc", "dev"), (cpio.DIRECTORY, b""))
    root |= {"init": (cpio.PROGRAM, init), "allocq": (cpio.PROGRAM, program)}
    (folder / "initrd").write_bytes(cpio.archive(root))
    words = ["console=ttyAMA0", *QUIET, "--", *QUESTIONS]
    command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on", "-m", "512M"]
    command += ["-nographic", "-no-reboot", "-nic", "none", "-kernel", str(kernel)]
    return [*command, "-initrd", str(folder / "initrd"), "-append", " ".join(words)]


QUIET = ("quiet", "loglevel=1", "panic=-1")
MACHINES = {"uml": boot_uml, "arm64": boot_arm64}


@pytest.fixture(scope="module", params=MACHINES)
def answered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[str, tuple[int, str]]]:
    """Each question, and what it was answered with: the exit status and what was printed."""
    command = MACHINES[request.param](tmp_path_factory.mktemp(request.param))
    done = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    console = done.stdout.decode().replace("\r", "")
    answers = [
        (question, (int(status), answer))
        for question, answer, status in re.findall(
            r"^\[(text|-.*)\n((?:.*\n)*?)\]([0-9]+)$", console, re.MULTILINE
        )
    ]
    assert [question for question, _ in answers] == ["text", *QUESTIONS, "text"], console[-4000:]
    return answers


@pytest.fixture(scope="module")
def said(answered: list[tuple[str, tuple[int, str]]]) -> dict[str, tuple[int, str]]:
    """By question; the first text."""
    return dict(reversed(answered))


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


@pytest.mark.parametrize("interface", ["ioctl", "text", "auto"])
def test_the_lines_are_those_of_the_kernel(
    answered: list[tuple[str, tuple[int, str]]], interface: str
) -> None:
    """All in their order and to the byte, but for the counters that the question itself moves."""
    before, after = (answered[at][1][1].splitlines()[2:] for at in (0, -1))
    status, lines = dict(answered)[f"-o,procfs,--interface,{interface}"]
    answer = lines.splitlines()
    assert status == 0 and [line[22:] for line in answer] == [line[22:] for line in before]
    still = [at for at, line in enumerate(before) if line == after[at]]
    assert len(still) > len(before) * 0.9
    assert sum(answer[at] == before[at] for at in still) > len(still) * 0.95


def test_all_of_them(said: dict[str, tuple[int, str]], tags: list[oracle.Tag]) -> None:
    assert said["-c"] == (0, f"{len(tags)}\n")
    assert said["-f,no/such.c,--interface,ioctl"] == (1, "allocq: no tag matches\n")


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
