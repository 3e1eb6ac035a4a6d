"""Compares a whole `allocq diff` of two listings with a Python that does nothing.

Target with 10,000 tags: at most three times `python -I -S -c pass`, plus the cost of the output.
`with -q` is the same without output; `writing` is a Python that writes the same bytes, minus the
bare one. Memory grows at most linearly with the tags.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path

from common import ms, pair, peak_kib, show
from startup import SAMPLE, installed

WHERE = "host"
ROUNDS = 61
TAGS = 10_000
WRITE = "import posix, sys; posix.write(1, open(sys.argv[1], 'rb').read())"


def listing(count: int) -> tuple[list[bytes], list[bytes]]:
    """The header, and the lines of the sample under as many made-up directories as needed."""
    lines = SAMPLE.read_bytes().splitlines(keepends=True)
    head, tags = lines[:2], lines[2:]
    made = []
    for i in range(count):
        round_, at = divmod(i, len(tags))
        counters, rest = tags[at][:22], tags[at][22:]
        made.append(counters + (b"copy%d/" % round_ if round_ else b"") + rest)
    return head, made


def grown(line: bytes) -> bytes:
    size, calls, rest = line.split(None, 2)
    return b"%12d %8d %s" % (int(size) + 64, int(calls) + 1, rest)


def cases(place: Path, count: int) -> dict[str, tuple[Path, Path]]:
    """Pairs of files, named by how they differ."""
    head, tags = listing(count)
    chosen = random.Random(1).sample(range(count), count // 2)

    def save(name: str, lines: list[bytes]) -> Path:
        path = place / f"{count}-{name}"
        path.write_bytes(b"".join([*head, *lines]))
        return path

    def with_grown(rows: list[int]) -> list[bytes]:
        wanted = set(rows)
        return [grown(tag) if i in wanted else tag for i, tag in enumerate(tags)]

    before = save("before", tags)
    moved = with_grown(chosen[:100])
    moved = [
        *moved[:3000],
        *moved[3200:],
        *(tag.replace(b"func:", b"func:x_") for tag in tags[:100]),
    ]
    return {
        "nothing": (before, save("same", tags)),
        "100 tags": (before, save("few", with_grown(chosen[:100]))),
        "100 tags, 200 gone, 100 new": (before, save("moved", moved)),
        "half of all": (before, save("half", with_grown(chosen))),
    }


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="allocq-bench-") as folder:
        place = Path(folder)
        command = installed(f"{place}/venv")
        bare = [str(command.with_name("python3")), "-I", "-S", "-c"]
        rows = []
        for count in (TAGS, 4 * TAGS):
            for name, (before, after) in cases(place, count).items():
                argv = [str(command), "diff", str(before), str(after)]
                output = place / "output"
                output.write_bytes(_output(argv))
                found = pair(argv, [*bare, "pass"], ROUNDS)
                writes = pair([*bare, WRITE, str(output)], [*bare, "pass"], ROUNDS)
                quiet = pair([*argv, "--quiet"], [*bare, "pass"], ROUNDS)
                peak = peak_kib(argv)
                rows.append(
                    (
                        f"{count} tags: {name}",
                        ms(found.wall),
                        ms(found.base_wall),
                        f"{found.wall_ratio:.2f}",
                        f"{quiet.wall_ratio:.2f}",
                        f"{max(0.0, writes.wall_ratio - 1):.2f}",
                        "" if peak is None else f"{peak / 1024:.1f}",
                    )
                )
        show(
            f"allocq diff, {ROUNDS} pairs",
            ("what differs", "ms", "bare ms", "ratio", "with -q", "writing", "peak MiB"),
            rows,
        )
    return 0


def _output(argv: list[str]) -> bytes:
    return subprocess.run(argv, stdout=subprocess.PIPE, check=False).stdout


if __name__ == "__main__":
    sys.exit(main())
