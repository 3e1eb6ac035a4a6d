"""The static program on a running kernel, in a root directory of nothing but it and /proc."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import oracle
import pytest
import still
from oracle import Asked

if TYPE_CHECKING:
    from conftest import Modprobe

CORE = Path(__file__).resolve().parents[2] / "allocq" / "core"
INTERFACES = ("ioctl", "text", "auto")
Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if not shutil.which("cc") or not shutil.which("make"):
        pytest.skip("needs make and a C compiler")
    root = tmp_path_factory.mktemp("root")
    command = ["make", "-s", "-C", str(CORE), "static", f"BUILD={root}", "CFLAGS=-O1"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    (root / "proc").mkdir()
    subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
    yield root
    subprocess.run(["umount", str(root / "proc")], check=True)
    assert {path.name for path in root.iterdir()} - {"run"} == {"allocq-static", "proc"}


@pytest.fixture
def run(root: Path) -> Run:
    def run(*argv: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["/allocq-static", "query", *argv],
            capture_output=True,
            env={},
            preexec_fn=lambda: os.chroot(root),
        )

    return run


def ask(run: Run, asked: Asked, interface: str) -> list[oracle.Tag]:
    done = run("--interface", interface, *asked.argv())
    tags = oracle.parse(done.stdout)
    assert (done.returncode, done.stderr) == (0 if tags else 1, b""), (asked, done)
    return tags


def check(run: Run, seed: int) -> None:
    """Questions by names alone: their answers stay, whatever is allocated meanwhile."""
    chosen = random.Random(seed)
    tags = still.read()
    pick = lambda: chosen.choice(tags)  # noqa: E731
    modules = sorted({tag.module for tag in tags if tag.module})
    questions = [Asked(), Asked(builtin=True), Asked(files=["no/such.c"]), Asked(files=["*.h"])]
    questions += [Asked(files=[pick().file]) for _ in range(4)]
    questions += [Asked(files=["*/" + pick().file.rpartition("/")[2]]) for _ in range(2)]
    questions += [Asked(functions=[pick().function, pick().function]) for _ in range(3)]
    questions += [Asked(modules=[module]) for module in modules]
    questions += [Asked(modules=["*"], excludes=["*.h"]), Asked(lines=[(1, 400)], builtin=True)]
    for asked in questions:
        expected = [still.key(tag) for tag in oracle.select(tags, asked)]
        for interface in INTERFACES:
            answer = [still.key(tag) for tag in ask(run, asked, interface)]
            assert answer == expected, (asked, interface)


def test_questions_by_name(run: Run) -> None:
    check(run, 1)


def test_questions_by_name_with_modules(run: Run, modprobe: Modprobe) -> None:
    modprobe("xfs")
    check(run, 2)


def test_questions_with_the_tag_cache(run: Run, root: Path, modprobe: Modprobe) -> None:
    """With a /run, what was learnt is kept there, and the answers are the same."""
    (root / "run").mkdir()
    check(run, 3)
    assert [path.name for path in (root / "run" / "allocq").iterdir()] == ["names"]
    modprobe("xfs")
    check(run, 4)


def test_sizes(run: Run) -> None:
    """What stands still and is large is there, by each interface; nothing small is."""
    before = still.read()
    answers = {name: ask(run, Asked(min_size=1 << 20), name) for name in INTERFACES}
    after = still.read()
    stays = {tag[:6] for tag in before} & {tag[:6] for tag in after}
    large = {still.key(tag) for tag in before if tag.bytes >= 1 << 20 and tag[:6] in stays}
    assert large
    for answer in answers.values():
        assert all(tag.bytes >= 1 << 20 for tag in answer)
        assert large <= {still.key(tag) for tag in answer}
