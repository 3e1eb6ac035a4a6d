"""Queries while modules are loaded and unloaded, many at once, and short of memory.

ALLOCQ_STORM_SECONDS: how long modules move, 10 if not given.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import oracle
import pytest
from command import ALLOCQ, Result, allocq, refused
from oracle import Asked

SECONDS = float(os.environ.get("ALLOCQ_STORM_SECONDS", "10"))
MODULES = ("tun", "dummy", "slip", "loop")
TORN = "modules were loaded or unloaded during every scan"

Names = Counter[tuple[object, ...]]

QUESTIONS = (
    ([], Asked()),
    (["--interface", "ioctl"], Asked()),
    (["--interface", "text"], Asked()),
    ([], Asked(modules=["tun"])),
    ([], Asked(modules=["dummy", "slip"])),
    ([], Asked(files=["drivers/net/*"])),
    ([], Asked(files=["drivers/net/tun.c"], excludes=["*.h"])),
    ([], Asked(functions=["alloc_slab_page"])),
    (["--interface", "ioctl"], Asked(functions=["*init*"])),
    ([], Asked(builtin=True, files=["mm/*"])),
    ([], Asked(regexps=["tun|dummy"])),
)


def names_of(tags: list[oracle.Tag]) -> Names:
    return Counter((tag.file, tag.line, tag.module, tag.function) for tag in tags)


def move(module: str, load: bool) -> None:
    words = ["modprobe", module] if load else ["modprobe", "-r", module]
    subprocess.run(words, check=True, capture_output=True)


@contextmanager
def storm(modules: list[str]) -> Iterator[list[int]]:
    """Modules are loaded and unloaded at random; how often is in the list."""
    moves, stop, failed = [0], threading.Event(), []
    loaded: set[str] = set()

    def blow() -> None:
        chosen = random.Random(1)
        try:
            while not stop.is_set():
                module = chosen.choice(modules)
                move(module, module not in loaded)
                loaded.symmetric_difference_update({module})
                moves[0] += 1
                time.sleep(chosen.choice((0, 0, 0.05, 0.3)))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=blow)
    thread.start()
    try:
        yield moves
    finally:
        stop.set()
        thread.join()
        for module in loaded:
            move(module, False)
    assert not failed, failed


@pytest.fixture
def modules(modprobe: Any) -> list[str]:
    found = [module for module in MODULES if modprobe.has(module)]
    if len(found) < 2:
        pytest.skip("this kernel has too few modules")
    return found


@pytest.fixture
def serial(
    modules: list[str], cat_allocinfo: Callable[[], str]
) -> dict[tuple[str, ...], list[oracle.Tag]]:
    """The tags of every set of modules, read while nothing moves."""
    answers = {}
    for size in range(len(modules) + 1):
        for chosen in combinations(modules, size):
            for module in chosen:
                move(module, True)
            answers[chosen] = oracle.parse(cat_allocinfo().encode())
            for module in chosen:
                move(module, False)
    assert len({len(tags) for tags in answers.values()}) > 2
    return answers


def test_answers_in_a_storm_are_those_of_some_moment_or_marked(
    modules: list[str], serial: dict[tuple[str, ...], list[oracle.Tag]]
) -> None:
    right = [
        [names_of(oracle.select(tags, asked)) for tags in serial.values()] for _, asked in QUESTIONS
    ]
    kept, wrong, ended = Counter[bool](), [], Counter[int]()
    chosen = random.Random(2)
    with storm(modules) as moves:
        end = time.monotonic() + SECONDS

        def ask() -> None:
            while time.monotonic() < end:
                i = chosen.randrange(len(QUESTIONS))
                more, asked = QUESTIONS[i]
                if chosen.random() < 0.2:
                    shutil.rmtree("/run/allocq", ignore_errors=True)
                done = allocq("query", "-o", "json", *more, *asked.argv())
                if done.status not in (0, 1):
                    wrong.append(("failed", i, done))
                    continue
                document = json.loads(done.out)
                consistent = document["source"]["consistent"]
                kept[consistent] += 1
                ended[done.status] += 1
                found = Counter(
                    (tag["file"], tag["line"], tag["module"], tag["function"])
                    for tag in document["tags"]
                )
                if (done.status == 0) != bool(found) or (done.err == "") != consistent:
                    wrong.append(("status or warning", i, done.status, done.err))
                if consistent and found not in right[i]:
                    nearest = min(
                        right[i], key=lambda names: (names - found + (found - names)).total()
                    )
                    wrong.append(("names", i, found - nearest, nearest - found))
                if not consistent and TORN not in done.err:
                    wrong.append(("not said", i, done.err))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(f"{moves[0]} moves, {kept.total()} answers, {kept[False]} of them marked")
    assert not wrong, (len(wrong), wrong[:3])
    assert moves[0] > SECONDS / 4 and kept[True] > SECONDS / 4
    assert ended[0] and set(kept) <= {True, False}


def test_a_snapshot_in_a_storm_is_whole_or_marked(
    modules: list[str], serial: dict[tuple[str, ...], list[oracle.Tag]]
) -> None:
    right = [names_of(tags) for tags in serial.values()]
    with storm(modules):
        for _ in range(5):
            done = allocq("snapshot")
            assert done.status == 0, done
            assert (b"# consistent: yes\n" in done.out) == (done.err == ""), done.err
            tags = oracle.parse(done.out)
            assert f"# tags: {len(tags)}\n".encode() in done.out
            if done.err == "":
                assert names_of(tags) in right


@pytest.mark.guest(mem="2G")
def test_two_hundred_at_once(cat_allocinfo: Callable[[], str]) -> None:
    """None disturbs another, whether names are known or all read them for the first time."""
    asked = Asked(files=["kernel/*"])
    right = names_of(oracle.select(oracle.parse(cat_allocinfo().encode()), asked))
    shutil.rmtree("/run/allocq", ignore_errors=True)
    argv = [*ALLOCQ, "query", "-o", "procfs", *asked.argv()]
    processes = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(200)
    ]
    answered = 0
    for process in processes:
        out, err = process.communicate(timeout=600)
        result = Result(process.returncode, out, err.decode())
        if result.status == 2:
            refused(result)
            continue
        assert (result.status, result.err) == (0, "")
        assert names_of(oracle.parse(result.out)) == right
        answered += 1
    assert answered > 150
    assert [path for path in os.listdir("/run/allocq") if path != "names"] == []


@pytest.mark.guest(mem="128M")
def test_in_a_guest_with_little_memory(cat_allocinfo: Callable[[], str]) -> None:
    """Most of it is taken: answers are right, or what is missing is said."""
    right = names_of(oracle.parse(cat_allocinfo().encode()))
    hold = "/run/hold"
    os.makedirs(hold)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100%", "none", hold], check=True)
    try:
        with open("/proc/meminfo") as file:
            free = int(next(line for line in file if line.startswith("MemAvailable")).split()[1])
        taken = max(0, (free << 10) - (24 << 20))
        with open(f"{hold}/block", "wb") as block:
            for _ in range(taken >> 20):
                block.write(bytes(1 << 20))
        for argv in (["-o", "procfs"], ["--interface", "ioctl", "-o", "procfs"], ["-e", "."]):
            result = allocq("query", *argv)
            if result.status == 0:
                assert names_of(oracle.parse(result.out)) == right
            else:
                refused(result, "out of memory")
    finally:
        subprocess.run(["umount", hold], check=True)
