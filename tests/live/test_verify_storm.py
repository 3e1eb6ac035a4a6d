"""verify beside a parallel build and modules that come and go: nothing that moved is a difference.

ALLOCQ_VERIFY_RUNS: how often on each machine, 2 if not given.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import allocq
from test_storms import modules, storm

__all__ = ["modules"]

RUNS = int(os.environ.get("ALLOCQ_VERIFY_RUNS", "2"))
CORE = Path(__file__).parents[2] / "allocq" / "core"


@contextmanager
def build(directory: Path) -> Iterator[None]:
    """allocq is compiled again and again; without a compiler, files are read and written."""
    script = f'make -s -j2 -C {CORE} BUILD="{directory}" static clean'
    if not (shutil.which("cc") and shutil.which("make")):
        script = f"find /usr/lib -xdev; head -c 20000000 /dev/zero >{directory}/zeros"
    job = subprocess.Popen(
        ["sh", "-c", f"while :; do {script}; done"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()


def cry_wolf(modules: list[str], directory: Path) -> None:
    """Prints how many runs ended how, how many questions agreed only when repeated, and what was
    undetermined."""
    statuses, undetermined, moved = Counter[int](), Counter[str](), 0
    with storm(modules) as moves, build(directory):
        for seed in range(RUNS):
            words = ["verify", "-o", "json", "--rounds", "20", "--seed", str(seed)]
            done = allocq(*words, timeout=600)
            document = json.loads(done.out)
            wrong = [check for check in document["checks"] if check["result"] == "not ok"]
            assert not wrong and done.status in (0, 2), (seed, wrong, done.err)
            statuses[done.status] += 1
            moved += document["moved"]
            undetermined.update(
                check["name"] for check in document["checks"] if check["result"] == "undetermined"
            )
    print(f"{RUNS} runs: {dict(statuses)}; {moves[0]} modules moved, {moved} questions again")
    print(dict(undetermined))
    assert moves[0] > RUNS


def test_two_possible_processors(modules: list[str], tmp_path: Path) -> None:
    cry_wolf(modules, tmp_path)


@pytest.mark.guest(cpus=64)
def test_64_possible_processors(modules: list[str], tmp_path: Path) -> None:
    cry_wolf(modules, tmp_path)
