"""Generated questions about kernels that no test machine has. ALLOCQ_QUESTIONS: how many, 10,000 if
not given; tests/corpus.py asks a million."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import corpus
import oracle
import pytest
import simulated
from oracle import Tag

QUESTIONS = int(os.environ.get("ALLOCQ_QUESTIONS", "10000"))
MODULES, TAGS = 300, 20_000


def test_generated_questions_have_the_oracles_answers() -> None:
    status, said = corpus.ask_in_parallel(QUESTIONS)
    assert (status, said) == (0, "")


def test_the_corpus_finds_what_is_wrong() -> None:
    """An oracle that is wrong now and then is noticed."""
    tags = corpus.kernel(2)
    asked = corpus.question(0, tags)._replace(
        asked=oracle.Asked(),
        format="procfs",
        sort="none",
        group=None,
        count=False,
        limit=None,
        reverse=False,
    )
    lines = [f"{t.bytes:12d} {t.calls % (1 << 64):8d} {t.subject()} " for t in tags if t.accurate]
    out = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    accurate = [tag for tag in tags if tag.accurate]
    assert corpus.wrong(asked, accurate, corpus.Result(0, out, "")) is None
    assert corpus.wrong(asked, accurate[1:], corpus.Result(0, out, ""))
    assert corpus.wrong(asked, accurate, corpus.Result(1, out, ""))
    assert corpus.wrong(asked, accurate, corpus.Result(0, out, "allocq: warning: x\n"))


class Large:
    """A kernel of nearly 20,000 tags and 300 modules on 512 possible CPUs."""

    def __init__(self, folder: Path) -> None:
        self.shim, program = simulated.build(folder)
        self.folder = folder / "kernel"
        self.tags = simulated.tags(random.Random(7), TAGS, MODULES)
        simulated.write(self.folder, self.tags, 7)
        self.programs = {
            "front": (str(program),),
            "python": (sys.executable, "-m", "allocq"),
        }

    def ask(self, program: str, *argv: str, **environment: str) -> list[Tag]:
        done = subprocess.run(
            [*self.programs[program], "query", "-o", "procfs", *argv],
            env={**os.environ, "LD_PRELOAD": str(self.shim),
                 "SIMULATED_KERNEL": str(self.folder), **environment},
            capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        tags = oracle.parse(done.stdout)
        assert (done.returncode, done.stderr) == (0 if tags else 1, b"")
        return tags


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Large]:
    yield Large(tmp_path_factory.mktemp("simulated"))


def plain(tags: list[Tag]) -> list[tuple[object, ...]]:
    return [tag[:-1] for tag in tags]


def test_the_kernel_has_what_is_rare(large: Large) -> None:
    assert len(large.tags) > 0.9 * TAGS
    assert len({tag.module for tag in large.tags}) > 0.8 * MODULES
    names = [name for tag in large.tags for name in (tag.file, tag.function, tag.module or "")]
    assert set(range(60, 68)) <= {len(os.fsencode(name)) for name in names}
    whole = {(tag.file, tag.line, tag.module, tag.function) for tag in large.tags}
    trimmed = {(f[-63:], line, (m or "")[-63:], g[-63:]) for f, line, m, g in whole}
    assert len(trimmed) < len(whole) - 100
    assert any(tag.bytes < 0 for tag in large.tags) and any(" " in t.function for t in large.tags)


@pytest.mark.parametrize("program", ["front", "python"])
@pytest.mark.parametrize("interface", corpus.INTERFACES)
def test_a_large_kernel_is_read_whole(large: Large, interface: str, program: str) -> None:
    assert plain(large.ask(program, "--interface", interface)) == plain(large.tags)


def test_a_large_kernel_is_asked_alike_by_every_way(large: Large) -> None:
    dice = random.Random(11)
    some = 0
    for _ in range(40):
        tag = dice.choice(large.tags)
        asked = dice.choice(
            (
                oracle.Asked(files=[tag.file]),
                oracle.Asked(functions=[tag.function]),
                oracle.Asked(modules=[tag.module or "*"], min_size=4096),
                oracle.Asked(files=[tag.file.rpartition("/")[2]], lines=[(tag.line, tag.line)]),
                oracle.Asked(min_size=1 << 23),
                oracle.Asked(files=["mm/*"], accurate=False),
            )
        )
        if any(set("*?[") & set(name) for name in (tag.file, tag.function)):
            continue
        expected = plain(oracle.meant(large.tags, asked))
        for interface in corpus.INTERFACES:
            found = plain(large.ask("front", "--interface", interface, *asked.argv()))
            assert found == expected, (asked, interface)
        some += 1
    assert some > 10


def test_a_narrow_question_makes_few_calls(large: Large, tmp_path: Path) -> None:
    """The tag cache knows the positions: not every tag is asked for."""
    calls = tmp_path / "calls"
    tag = next(tag for tag in large.tags if tag.module and set(tag.function) <= set("ab_"))
    argv = ("--interface", "ioctl", "--function", tag.function)
    large.ask("front", *argv)
    found = large.ask("front", *argv, SIMULATED_CALLS=str(calls))
    assert found and calls.stat().st_size <= 4 * len(found) + 8
