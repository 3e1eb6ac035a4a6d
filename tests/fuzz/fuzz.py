"""Fuzzes the C: `python tests/fuzz/fuzz.py` (needs clang with libFuzzer; see tests/README.md).

Each harness starts from its corpus and from pieces of real texts; what adds coverage is merged
into the corpus, which the tests replay. A report ends the run, its input kept as crash-* here.
"""

from __future__ import annotations

import argparse
import ast
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
# Calls that a harness answers itself, for the C that it is built with.
MEMORY = ("malloc", "calloc", "realloc", "strdup", "asprintf")  # failing.h
PLACE = ("open", "mkdir", "getenv")  # place.h
WRAPPED = {
    "kernel": ("ioctl",),
    "order": MEMORY,
    "front": ("write", *MEMORY),
    "cache": (*PLACE, *MEMORY),
    "answer": ("ioctl", "read", "lseek", "aq_now_ns", *PLACE, *MEMORY),
}
# Little room, so that small inputs outgrow it.
ROOM = {"front": ("-DCHUNK=128", "-DLONGEST_LINE=300", "-DHELD=160", "-DBATCH=3")}
FRONT = ("flags.c", "deliver.c")
LONGEST = {
    "text": 512,
    "glob": 96,
    "kernel": 512,
    "order": 512,
    "values": 64,
    "front": 1024,
    "cache": 1024,
    "answer": 256,
}
SHARES = {
    "text": 0.3,
    "glob": 0.3,
    "kernel": 0.2,
    "order": 0.05,
    "values": 0.1,
    "front": 0.03,
    "cache": 0.02,
    "answer": 0.02,
}
VALUES = (
    *(b"4096", b" 64K", b"1MiB\n", b"1.5GB", b"0.0001k", b"7.999999999999999999E", b"8E", b".5P"),
    *(b"18446744073709551615", b"18446744073709551616", b"1KiBB", b"1i", b"12B"),
    *(b"2026-11-23T06:20:37.123456Z", b"2024-02-29 23:59:59+01:00", b"2023-02-29T00:00:00"),
    *(b"1677-09-21T00:12:43.145224192Z", b"2262-04-11T23:47:16.854775807-00:00"),
    *(
        b"1677-09-21T00:12:43.145224191Z",
        b"2262-04-11T23:47:16.854775808Z",
        b"0000-01-01T00:00:00Z",
    ),
    *(
        "é€😀\u200b\u202e".encode(),
        b"\xed\xa0\x80\xf4\x90\x80\x80\xe0\x80\x80\xc0\xaf\xff",
        b"\x1b[2J",
    ),
)
HEADER = b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"
WORDS = (
    *(b"-f\n*.c", b"--file=mm/*", b"-F*alloc*", b"-mxfs", b"--builtin", b"-l\n1-900", b"-x\nfs/*"),
    *(b"--min-size\n1", b"--max-size=1M", b"--min-calls\n2", b"--max-calls=9", b"--accurate"),
    *(b"-ocsv", b"-o\ntsv", b"--format=jsonl", b"-oprocfs", b"-s\nbytes", b"-saverage", b"-sfile"),
    *(b"-r", b"-n\n2", b"-n0", b"-c", b"-q", b"-cq", b"--header", b"--no-header", b"--bytes"),
    *(b"--inaccurate", b"-smodule", b"--source\n-", b"--interface=text", b"--sample", b"-rn3"),
)
RECOVER = ("-fno-sanitize-recover=all",)
WARNINGS = ("-Wall", "-Wextra", "-Werror")


def engine() -> list[Path]:
    """The C files that allocq/core/build.py names; read, not run, for it needs cffi."""
    for statement in ast.parse((NATIVE / "build.py").read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "ENGINE":
            return [NATIVE / name for name in ast.literal_eval(statement.value)]
    raise LookupError("allocq/core/build.py has no ENGINE")


def build(harness: str, program: Path, compiler: str, *more: str) -> None:
    """Compile a harness with the C that it is for."""
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", f"-I{NATIVE}", f"-I{HERE}", *WARNINGS]
    flags += [f"-Wl,--wrap={call}" for call in WRAPPED.get(harness, ())]
    flags += ROOM.get(harness, ())
    sources = [str(HERE / f"{harness}.c"), *map(str, engine())]
    if harness == "front":
        sources += [str(NATIVE / name) for name in FRONT]
    subprocess.run([compiler, *flags, *more, *sources, "-o", str(program)], check=True)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A directory in memory, where there is one: the tag cache's harnesses write files."""
    memory = "/dev/shm"
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def seeds(harness: str) -> Iterator[bytes]:
    """Inputs to begin with: pieces of what kernels have said, and what was thought of."""
    yield from (path.read_bytes() for path in sorted((CASES / harness).glob("*")))
    if harness == "values":
        yield from VALUES
        return
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
            elif harness == "front":
                words = b"\n".join(chosen.sample(WORDS, chosen.randrange(4)))
                yield chosen.randbytes(2) + words + b"|" + HEADER + piece
            elif harness == "cache" and chosen.randrange(2):
                yield b"\x80" + chosen.randbytes(9).replace(b"|", b"") + b"|" + piece
            elif harness == "cache":
                head = b"# allocq-names 2 boot=0123abcd-boot content=7 bytes=%d call=1 compare=2"
                head += b" step=3 sum=4 tag=5 text=6\n"
                yield (
                    bytes([chosen.choice((0x40, 0x50, 0x58, 0x60, 0x68))])
                    + head % len(piece)
                    + piece
                )
            else:
                yield chosen.randbytes(256)


def unpack(harness: str, to: Path) -> list[Path]:
    """The inputs of a harness as files in a new directory."""
    to.mkdir()
    if (CORPUS / f"{harness}.zip").exists():
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
        cwd=work,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{done.stderr[-8000:]}\n{harness}: a report; its input is {HERE}/crash-*")
    merged = work / f"{harness}-merged"
    merged.mkdir()
    quiet = {"check": True, "cwd": work, "stderr": subprocess.DEVNULL}
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
    with scratch() as work:
        whole = sum(SHARES[harness] for harness in given.harness)
        runs = {name: ceil(given.runs * SHARES[name] / whole) for name in given.harness}
        total = sum(fuzz(name, number, Path(work)) for name, number in runs.items())
    print(f"{total} executions")


if __name__ == "__main__":
    main()
