"""Measures the overhead of allocq: its scans compared with a bare C loop of the same ioctls."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from statistics import median

from common import compile_c, cpu_clock, ms, ratio, show

WHERE = "kernel"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    from allocq.core.kernel import KernelFilter, scan
    from allocq.core.table import Table
    from allocq.sources.source import ALLOCINFO, open_source

    reference = compile_c("reference")
    if reference is None:
        print("reference: no C compiler", file=sys.stderr)
        return 2
    with open_source() as source:
        file = source.read().table.strings("file")[0]
    name, clock = cpu_clock()
    questions: list[tuple[str, dict[str, str | int]]] = [
        (f"file {file}", {"file": file}),
        ("min-size 1M", {"min_size": 1 << 20}),
        ("file and min-size", {"file": file, "min_size": 4096}),
        ("everything", {}),
    ]
    rows = []
    for words, fields in questions:
        kernel = KernelFilter(fields)
        options = []
        for field, flag in (("file", "-f"), ("min_size", "-s")):
            options += [flag, str(fields[field])] if field in fields else []
        ours: list[float] = []
        theirs: list[float] = []
        for turn in range(-1, args.rounds):
            # Three at a time: the first of a process finds cold caches.
            done = subprocess.run([reference, *options, "-r3"], check=True, capture_output=True)
            lines = [line.split() for line in done.stdout.splitlines()]
            column = 3 if "wall" in name else 2
            bare = min(int(line[column]) for line in lines) / 1e9
            best = float("inf")
            for _ in range(3):
                table = Table()
                begin = clock()
                fd = os.open(ALLOCINFO, os.O_RDONLY | os.O_CLOEXEC)
                made = scan(fd, kernel, table)
                os.close(fd)
                best = min(best, clock() - begin)
            if turn >= 0:
                ours.append(best)
                theirs.append(bare)
        times = f"{ratio(ours, theirs):.2f}"
        rows.append((words, len(table), made, ms(median(theirs)), ms(median(ours)), times))
    show(
        f"allocq's scan against a bare C loop, {name}, medians of {args.rounds}",
        ("question", "tags", "ioctls", "C ms", "allocq ms", "allocq/C"),
        rows,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
