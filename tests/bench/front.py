"""Compares the whole command with the pipeline that it replaces, on a saved listing.

Each row is the median of the ratios of pairs, whole processes run in turn, both writing to a file.
`python` is `python3 -I -c pass`. Caches are dropped before each run of a cold row, as root only.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from common import (
    SAMPLE,
    allocq_command,
    compile_rust,
    drop_caches,
    in_turn,
    ms,
    peak_kib,
    program,
    ratio,
    show,
    spend_pipeline,
)

WHERE = "host"
ROUNDS, COLD_ROUNDS = 61, 31
FILE = "mm/memory.c"
Commands = list[list[str]]


def main() -> int:
    allocq = allocq_command()
    sample = str(SAMPLE)
    python = [sys.executable, "-I", "-c", "pass"]
    query = [*allocq, "query", "--source", sample]
    one_file = [*query, "--file", FILE]
    pipeline = [[program("cat"), sample], [program("grep"), "-F", FILE]]
    rows = []
    with tempfile.TemporaryDirectory(prefix="allocq-bench-") as place:
        answers = [str(Path(place, name)) for name in ("ours", "theirs")]

        def measure(
            what: str,
            ours: Commands,
            theirs: Commands,
            most: float,
            rounds: int = ROUNDS,
            before: Callable[[], object] = lambda: None,
        ) -> None:
            def run(side: int) -> float:
                before()
                return spend_pipeline((ours, theirs)[side], answers[side]).wall

            walls = in_turn({"ours": lambda: run(0), "theirs": lambda: run(1)}, rounds)
            middle = {name: sorted(values)[len(values) // 2] for name, values in walls.items()}
            found = ratio(walls["ours"], walls["theirs"])
            rows.append((what, ms(middle["ours"]), ms(middle["theirs"]), f"{found:.2f}", most))

        measure("query --file, cat | grep -F", [one_file], pipeline, 0.6)
        if os.geteuid() == 0:
            measure("the same, cold", [one_file], pipeline, 0.8, COLD_ROUNDS, drop_caches)
        if rust := compile_rust("top20"):
            top = [*query, "-s", "bytes", "-n", "20"]
            measure("query -s bytes -n 20, Rust", [top], [[rust, sample]], 1.0)
        for words in (["--help"], ["query", "--help"], ["tree", "--source", sample]):
            name = " ".join(word for word in words if word not in ("--source", sample))
            measure(f"{name}, python", [[*allocq, *words]], [python], 4.0)
        other = Path(place, "other")
        other.write_bytes(SAMPLE.read_bytes().replace(b" 1 mm/", b" 2 mm/"))
        diff = [*allocq, "diff", sample, str(other)]
        measure("diff, python", [diff], [python], 4.0)
    show(f"whole commands, {ROUNDS} pairs", ("what", "ms", "theirs", "ratio", "at most"), rows)
    peak = peak_kib(one_file)
    if peak is not None:
        print(f"  peak memory of query --file: {peak / 1024:.1f} MiB (at most 4)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
