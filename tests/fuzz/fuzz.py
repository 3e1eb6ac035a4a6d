"""Fuzzes the C: `python tests/fuzz/fuzz.py` (needs clang with libFuzzer; see tests/README.md).

Each harness starts from its corpus and from pieces of real texts; what adds coverage is merged
into the corpus, which the tests replay. A report ends the run, its input kept as crash-* here.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from math import ceil
from pathlib import Path

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parents[1] / "allocq" / "core"
CORPUS = HERE / "corpus"
CASES = HERE / "cases"  # made by hand: what only luck would find
TEXTS = (HERE.parents[1] / "allocq" / "sample.txt", *sorted((HERE.parent / "fixtures").glob("*")))
SOURCES = ("table.c", "filter.c", "line.c", "skim.c", "text.c", "ioctl.c", "render.c")
LONGEST = {"text": 512, "glob": 96, "kernel": 512}
SHARES = {"text": 0.4, "glob": 0.4, "kernel": 0.2}
RECOVER = ("-fno-sanitize-recover=all",)
WARNINGS = ("-Wall", "-Wextra", "-Werror")


def build(harness: str, program: Path, compiler: str, *more: str) -> None:
    """Compile a harness with the C that it is for."""
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", f"-I{NATIVE}", f"-I{HERE}", *WARNINGS]
    if harness == "kernel":
        flags.append("-Dioctl=fake_ioctl")
    sources = [str(HERE / f"{harness}.c"), *(str(NATIVE / name) for name in SOURCES)]
    subprocess.run([compiler, *flags, *more, *sources, "-o", str(program)], check=True)


def seeds(harness: str) -> Iterator[bytes]:
    """Inputs to begin with: pieces of what kernels have said, and what was thought of."""
    yield from (path.read_bytes() for path in sorted((CASES / harness).glob("*")))
    chosen = random.Random(1)
    for text in TEXTS:
        lines = text.read_bytes().splitlines(keepends=True)
        for _ in range(60):
            begin = chosen.randrange(len(lines))
            piece = b"".join(lines[begin : begin + 4])
            names = [word for word in piece.split() if b"/" in word or word[:5] == b"func:"]
            if harness == "text":
                yield chosen.randbytes(24).replace(b"|", b"") + b"|" + piece[: 512 - 25]
            elif harness == "glob":
                name = chosen.choice(names)
                cut = chosen.randrange(len(name))
                yield name[:cut] + chosen.choice((b"*", b"?", b"[a-z]", b"*[!/]")) + b"|" + name
            else:
                yield chosen.randbytes(256)


def unpack(harness: str, to: Path) -> list[Path]:
    """The inputs of a harness as files in a new directory."""
    to.mkdir()
    with zipfile.ZipFile(CORPUS / f"{harness}.zip") as packed:
        packed.extractall(to)
    return sorted(to.iterdir())


def pack(harness: str, files: list[Path]) -> int:
    """Keep these inputs, the same ones always as the same bytes; returns the size."""
    target = CORPUS / f"{harness}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(files):
            packed.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return target.stat().st_size


def fuzz(harness: str, runs: int, work: Path) -> int:
    """Run one harness, keep what it learnt; returns the executions."""
    program, found = work / harness, work / f"{harness}-found"
    corpus = work / f"{harness}-corpus"
    unpack(harness, corpus)
    build(harness, program, "clang", "-fsanitize=fuzzer,address,undefined", *RECOVER)
    found.mkdir()
    for i, seed in enumerate(seeds(harness)):
        (found / f"seed{i}").write_bytes(seed[: LONGEST[harness]])
    options = [f"-max_len={LONGEST[harness]}", f"-artifact_prefix={HERE}/crash-", "-verbosity=1"]
    options += [f"-dict={HERE}/{harness}.dict"] if (HERE / f"{harness}.dict").exists() else []
    environment = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=4:detect_leaks=1"}
    done = subprocess.run(
        [str(program), f"-runs={runs}", "-print_final_stats=1", *options, str(found), str(corpus)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{done.stderr[-8000:]}\n{harness}: a report; its input is {HERE}/crash-*")
    merged = work / f"{harness}-merged"
    merged.mkdir()
    quiet = {"check": True, "stderr": subprocess.DEVNULL}
    subprocess.run(
        [str(program), "-merge=1", *options, str(merged), str(corpus), str(found)], **quiet
    )
    kept = list(merged.iterdir())
    size = pack(harness, kept)
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    speed = re.search(r"average_exec_per_sec: +(\d+)", done.stderr)
    assert executed and speed
    print(
        f"{harness}: {executed[1]} executions, {speed[1]} a second; {len(kept)} inputs in {size}",
        flush=True,
    )
    return int(executed[1])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("harness", nargs="*", default=[*SHARES], metavar="HARNESS")
    parser.add_argument("--runs", type=int, default=10_000_000, help="of all together")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        whole = sum(SHARES[harness] for harness in given.harness)
        runs = {name: ceil(given.runs * SHARES[name] / whole) for name in given.harness}
        total = sum(fuzz(name, number, Path(work)) for name, number in runs.items())
    print(f"{total} executions")


if __name__ == "__main__":
    main()
