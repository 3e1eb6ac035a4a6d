"""Names as people write them, asked of the running kernel in every way."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import oracle
import pytest
from command import ALLOCQ, MODULE, allocq, here
from oracle import Asked

if TYPE_CHECKING:
    from conftest import Modprobe

FILES = (
    "fs/xfs", "fs/xfs/", "xfs/", "xfs", "xfs/*", "kernel/", "./kernel/", "kernel", "sched",
    "sched/*", "mm/slub.c", "slub.c", "*/slub.c", "mm/*", "include/linux/slab.h", "libxfs",
    "fs/xfs/libxfs/",
)  # fmt: skip
MODULES = (
    "xfs",
    "[xfs]",
    "xfs.ko",
    "xfs.ko.xz",
    "x*",
    "fs/xfs/xfs.ko",
    "/lib/modules/7/xfs.ko.zst",
)
FUNCTIONS = ("*kmalloc*", "func:alloc_slab_page", "alloc_slab_page()", "alloc_slab_page+0x1c/0x80")


def place_of(tag: oracle.Tag) -> str:
    module = f" [{tag.module}]" if tag.module else ""
    return f"{tag.file}:{tag.line}{module}"


def names(tags: list[oracle.Tag]) -> list[tuple[object, ...]]:
    return [(tag.file, tag.line, tag.module, tag.function) for tag in tags]


def ask(*argv: str) -> list[tuple[object, ...]]:
    """By the native program and by Python, through the ioctl and the text: all the same names."""
    found = []
    for run in (allocq, here):
        for interface in ("auto", "ioctl", "text"):
            result = run("query", "-o", "procfs", "--interface", interface, *argv)
            assert result.err == "", (argv, result)
            found.append(names(oracle.parse(result.out)))
    assert all(each == found[0] for each in found), argv
    return found[0]


def test_names_as_people_write_them(modprobe: Modprobe, cat_allocinfo: Callable[[], str]) -> None:
    modprobe("xfs")
    tags = oracle.parse(cat_allocinfo().encode())
    some = [tag for tag in tags if tag.module == "xfs"][:3] + tags[:3]
    for file in (*FILES, *map(place_of, some), *(f"{tag.file}:{tag.line}:" for tag in some)):
        expected = names(oracle.meant(tags, Asked(files=[file])))
        assert ask("--file", file) == expected, file
    for module in MODULES:
        expected = names(oracle.select(tags, Asked(modules=[module])))
        assert ask("--module", module) == expected != [], module
    for function in FUNCTIONS:
        expected = names(oracle.select(tags, Asked(functions=[function])))
        assert ask("-F", function) == expected != [], function


def test_bare_words(modprobe: Modprobe, cat_allocinfo: Callable[[], str]) -> None:
    modprobe("xfs")
    tags = oracle.parse(cat_allocinfo().encode())
    xfs = next(tag for tag in tags if tag.module == "xfs")
    for word, matches in {
        "slub": lambda tag: tag.file == "mm/slub.c",
        "xfs": lambda tag: tag.module == "xfs" or "/xfs/" in f"/{tag.file}",
        "[xfs]": lambda tag: tag.module == "xfs",
        place_of(xfs): lambda tag: place_of(tag) == place_of(xfs),
        f"{xfs.file}:{xfs.line}": lambda tag: (tag.file, tag.line) == (xfs.file, xfs.line),
        "alloc_slab_page": lambda tag: tag.function == "alloc_slab_page",
    }.items():
        assert ask(word) == names([tag for tag in tags if matches(tag)]) != [], word


@pytest.mark.guest(kernel="old")
def test_an_older_kernel_understands_the_same(cat_allocinfo: Callable[[], str]) -> None:
    tags = oracle.parse(cat_allocinfo().encode())
    for file in ("kernel/", "sched", "slub.c", place_of(tags[0]), f"{tags[0].file}:{tags[0].line}"):
        for program in (ALLOCQ, MODULE):
            result = allocq("query", "--file", file, program=program)
            expected = names(oracle.meant(tags, Asked(files=[file])))
            assert names(oracle.parse(result.out)) == expected != [], file


@pytest.mark.guest(kernel="old")
def test_names_are_completed_from_the_text_of_an_older_kernel() -> None:
    done = allocq("__complete", "files", "mm/slu", program=ALLOCQ)
    assert (done.status, done.out, done.err) == (0, b"mm/slub.c\n", "")


def test_names_are_completed_from_the_running_kernel(modprobe: Modprobe) -> None:
    modprobe("xfs")
    for _ in range(2):  # without a tag cache and with one
        done = allocq("__complete", "files", "fs/xfs/libx", program=ALLOCQ)
        assert (done.status, done.out, done.err) == (0, b"fs/xfs/libxfs/\n", "")
        done = allocq("__complete", "modules", "[xf", program=ALLOCQ)
        assert (done.status, done.out, done.err) == (0, b"[xfs]\n", "")
        allocq("query", "-f", "mm/slub.c")


def test_a_terminal_is_told_what_is_near(modprobe: Modprobe) -> None:
    modprobe("xfs")
    for words, told in (
        (["-m", "xsf"], "hint: nearest: xfs"),
        (["-c", "-m", "xsf"], "hint: nearest: xfs"),
        (["slbu"], "hint: nearest: slub"),
        (["-f", "mm/slub.c", "--min-size", "1T"], "without --min-size 1T; the largest holds"),
    ):
        for program in (ALLOCQ, MODULE):
            command = shlex.join([*program, "query", *words])
            done = subprocess.run(
                ["script", "-qec", command, "/dev/null"], capture_output=True, text=True
            )
            assert "allocq: no tag matches" in done.stdout and told in done.stdout, done.stdout
