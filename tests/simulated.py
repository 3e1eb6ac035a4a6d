"""A kernel that no test machine has, behind fuzz/simulated.c.

It has hundreds of modules, tens of thousands of tags, 512 possible CPUs, names of any length and
tags that look alike once trimmed.
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from oracle import Tag

HERE = Path(__file__).resolve().parent
CORE = HERE.parent / "allocq" / "core"
KERNEL_NAME = 63
CPUS = 512
_U64 = 1 << 64
_LENGTHS = (1, 2, 8, 20, *range(60, 68), 100, 100, 150, 200, 200)


def build(folder: Path) -> tuple[Path, Path]:
    """(the shim, a native program that it reaches), compiled; skips the test where that cannot be.

    The installed program may be linked statically.
    """
    shim = folder / "simulated.so"
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{CORE}"]
    try:
        subprocess.run(
            ["cc", *flags, str(HERE / "fuzz" / "simulated.c"), "-o", str(shim)], check=True
        )
        subprocess.run(["make", "-s", "-C", str(CORE), f"BUILD={folder}"], check=True)
    except FileNotFoundError:
        import pytest  # where another machine's Python reads this, there is none

        pytest.skip("needs make and a C compiler")
    return shim, folder / "allocq"


def _line(tag: Tag) -> bytes:
    """As the kernel prints it."""
    end = "" if tag.accurate else "accurate:no "
    text = f"{tag.bytes:12d} {tag.calls % _U64:8d} {tag.subject()} {end}"
    return text.encode("utf-8", "surrogateescape")


def _name(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")[-KERNEL_NAME:]


def write(folder: Path, tags: Sequence[Tag], content_id: int, cpus: int = CPUS) -> None:
    """The kernel with these tags. Their `text` is not looked at."""
    folder.mkdir(exist_ok=True)
    header = b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"
    (folder / "text").write_bytes(header + b"".join(_line(tag) + b"\n" for tag in tags))
    data = [struct.pack("=QQ", content_id, cpus)]
    for tag in tags:
        names = (_name(tag.module or ""), _name(tag.function), _name(tag.file))
        numbers = (tag.line, tag.bytes % _U64, tag.calls % _U64, tag.accurate)
        data.append(struct.pack("=64s64s64sQQQB7x", *names, *numbers))
    (folder / "tags").write_bytes(b"".join(data))


def _word(dice: random.Random, length: int) -> str:
    """A few letters, so that names are alike; some that only a careless reader stumbles over."""
    word = "".join(dice.choices("ab_", k=length))
    return word if dice.random() < 0.9 else dice.choice(("\udcff", "é", "[m]", "*", "x:1")) + word


def _file(dice: random.Random) -> str:
    length = dice.choice(_LENGTHS)
    parts = dice.choice((1, 2, 2, 3, 5))
    name = "/".join(_word(dice, max(1, length // parts)) for _ in range(parts))
    start = dice.choice(("", "", "", "", "mm/", "fs/xfs/", "../", "/usr/src/my module/", "./"))
    return start + name + dice.choice((".c", ".c", ".h", ".rs"))


def _function(dice: random.Random) -> str:
    name = _word(dice, dice.choice(_LENGTHS)).replace(":", "")  # not `key:value`
    if dice.random() < 0.1:
        return f"<{name} as {name[:3]}>::new"
    return name


def _counters(dice: random.Random) -> tuple[int, int, bool]:
    """(bytes, calls, accurate), with what is rare."""
    kind = dice.random()
    if kind < 0.3:
        return 0, 0, True
    if kind < 0.33:
        return -dice.randrange(1, 1 << 20), -dice.randrange(1, 99), True
    if kind < 0.35:
        return dice.choice(((1 << 63) - 1, -(1 << 63))), -1, False
    return (
        dice.choice((64, 4096, 4096 * dice.randrange(1, 4096))),
        dice.randrange(1, 200),
        kind < 0.9,
    )


def tags(dice: random.Random, count: int, modules: int) -> list[Tag]:
    """About `count` tags, some of them in `modules` modules; names are shared as in a kernel."""
    names = [_word(dice, dice.choice(_LENGTHS)).replace("]", "").replace("[", "") + str(n)
             for n in range(modules)]  # fmt: skip
    owners = [
        None,
        *sorted(dice.choices([None, *names], k=max(1, count // 4)), key=lambda n: n or ""),
    ]
    made: list[Tag] = []
    for owner in owners:
        file = _file(dice)
        for _ in range(dice.choice((1, 2, 4, 8))):
            if len(made) >= count:
                break
            *counters, accurate = _counters(dice)
            twin = dice.choice(made) if made and dice.random() < 0.1 else None
            if twin is not None and dice.random() < 0.5:
                # Another beginning, the same last 63 bytes.
                made.append(Tag(*counters, "other/" + twin.file, *twin[3:6], accurate))
                continue
            if twin is not None:
                made.append(Tag(*counters, *twin[2:4], owner, twin.function, accurate))
                continue
            line = dice.choice((1, 2, 3, 99, dice.randrange(1, 5000)))
            made.append(Tag(*counters, file, line, owner, _function(dice), accurate))
    return made
