"""Compares the whole command with the pipeline that it replaces, on a running kernel.

The tag cache is filled. `net` is the ratio without the time to start `true`, which dominates in an
emulator. `system` is the same ratio of CPU time in the kernel, summed over the processes of all
runs. Every answer is first checked against that of the pipeline.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from common import Cost, allocq_command, compile_rust, ms, program, ratio, show, spend_pipeline

WHERE = "kernel"
ROUNDS = 31
ALLOCINFO = "/proc/allocinfo"
WANTED = "arch/x86/events/rapl.c"


def one_file() -> str:
    """The file of the published figures, or one in the middle of the list."""
    lines = Path(ALLOCINFO).read_text().splitlines()[2:]
    files = [line.split()[2].rpartition(":")[0] for line in lines]
    return WANTED if WANTED in files else files[len(files) // 2]


def names(path: str) -> list[str]:
    """The lines of an answer without their counters."""
    return [line.split(None, 2)[2] for line in Path(path).read_text().splitlines()]


def main() -> int:
    allocq = allocq_command()
    file = one_file()
    base = file.rpartition("/")[2]
    cat = [program("cat"), ALLOCINFO]
    questions = [
        (f"--file {base}, cat | grep", ["--file", base], [cat, [program("grep"), f"/{base}:"]]),
        (
            "--min-size 1M, cat | awk",
            ["--min-size", "1M"],
            [cat, [program("awk"), "$1 + 0 >= 1048576"]],
        ),
    ]
    if rust := compile_rust("top20"):
        questions.append(("-s bytes -n 20, Rust", ["-s", "bytes", "-n", "20"], [[rust]]))
    nothing = [[program("true")]]
    subprocess.run([*allocq, "query", "-q"], check=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="allocq-bench-") as place:
        answers = [str(Path(place, name)) for name in ("ours", "theirs", "true")]
        for what, options, theirs in questions:
            sides = ([[*allocq, "query", *options]], theirs, nothing)
            costs: list[list[Cost]] = [[], [], []]
            for turn in range(-1, ROUNDS):
                for side in (0, 1, 2) if turn % 2 else (2, 1, 0):
                    cost = spend_pipeline(sides[side], answers[side])
                    if turn >= 0:
                        costs[side].append(cost)
            if "--file" in what:
                assert names(answers[0]) == names(answers[1]), what
            walls = [[cost.wall for cost in side] for side in costs]
            start = median(walls[2])
            net = [[max(wall - start, 1e-6) for wall in side] for side in walls]
            kernel = [sum(cost.system for cost in side) for side in costs]
            ours_kernel = kernel[0] - kernel[2]
            theirs_kernel = kernel[1] - kernel[2]
            rows.append(
                (
                    what,
                    ms(median(walls[0])),
                    ms(median(walls[1])),
                    ms(start),
                    f"{ratio(walls[0], walls[1]):.2f}",
                    f"{ratio(net[0], net[1]):.2f}",
                    ms(kernel[0] / ROUNDS),
                    ms(kernel[1] / ROUNDS),
                    f"{theirs_kernel / ours_kernel:.1f}" if ours_kernel > 0 else "-",
                )
            )
    show(
        f"running kernel, {file}, {ROUNDS} rounds",
        ("what", "ms", "theirs", "true", "ratio", "net", "system", "theirs", "less system"),
        rows,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
