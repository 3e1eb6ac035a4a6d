"""Compares filtering of a large saved listing with grep and mawk, and measures peak memory.

Targets, on 1 GB: by file name at most 1.5 times `LC_ALL=C grep -F`; by size at most a fifth of
mawk; below 32 MiB. ALLOCQ_BENCH_GB sets another size.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from common import ROOT, Cost, allocq_command, in_turn, ms, peak_kib, ratio, show, spend

WHERE = "host"
ROUNDS = 7
SAMPLE = ROOT / "allocq" / "sample.txt"
C = {**os.environ, "LC_ALL": "C"}


def make_text(path: Path, size: int) -> None:
    """One listing: each copy of the sample has directories of its own, as no tag comes twice."""
    header, separator, tags = SAMPLE.read_bytes().partition(b"<tag info>\n")
    lines = [line[:22] + b"copy%d/" + line[22:] for line in tags.replace(b"%", b"%%").splitlines()]
    copy = b"\n".join(lines) + b"\n"
    with path.open("wb") as file:
        file.write(header + separator)
        for number in range(size // len(tags) + 1):
            file.write(copy % ((number,) * len(lines)))


def main() -> int:
    size = int(float(os.environ.get("ALLOCQ_BENCH_GB", "1")) * 10**9)
    with tempfile.TemporaryDirectory(prefix="allocq-bench-", dir="/var/tmp") as place:
        text = Path(place, "text")
        make_text(text, size)
        answers = [str(Path(place, name)) for name in ("theirs", "ours")]
        allocq = [*allocq_command(), "query", "--source", str(text)]
        rows = []
        for what, theirs, options in (
            ("by file name, grep -F", ["grep", "-F", "events/rapl.c:"], ["-f", "events/rapl.c"]),
            ("by size, mawk", ["mawk", "$1 + 0 >= 10485760"], ["--min-size", "10M"]),
        ):
            tool = shutil.which(theirs[0])
            if tool is None:
                print(f"no {theirs[0]} here")
                continue
            commands = ([tool, *theirs[1:], str(text)], [*allocq, *options])

            def run(i: int, commands: tuple[list[str], list[str]] = commands) -> float:
                cost: Cost = spend(commands[i], stdout=answers[i], env=C)
                assert cost.status == 0, commands[i]
                return cost.wall

            walls = in_turn({"theirs": lambda: run(0), "ours": lambda: run(1)}, ROUNDS)
            same = Path(answers[0]).read_bytes() == Path(answers[1]).read_bytes()
            middle = {name: sorted(values)[len(values) // 2] for name, values in walls.items()}
            peak = peak_kib(commands[1], tries=1)
            rows.append(
                (
                    what,
                    ms(middle["theirs"]),
                    ms(middle["ours"]),
                    f"{ratio(walls['ours'], walls['theirs']):.2f}",
                    "" if peak is None else f"{peak / 1024:.1f}",
                    "yes" if same else "NO",
                )
            )
        show(
            f"a text of {size / 10**9:g} GB, {ROUNDS} rounds",
            ("what", "theirs ms", "allocq ms", "ratio", "peak MiB", "same answer"),
            rows,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
