"""What a whole `allocq query` costs beside a Python that does nothing, and what it is made of.

A plain query starts no Python (front.py holds it against grep and awk); every other does. What
counts is the command as it is installed, so it is installed: into a venv of its own, or give
ALLOCQ_BENCH_COMMAND.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from common import ROOT, ms, pair, peak_kib, show

WHERE = "host"
ROUNDS = 61
SAMPLE = ROOT / "allocq" / "sample.txt"
FILE = "arch/x86/events/rapl.c"
ADD = "import sys; sys.path.insert(0, {!r}); "


def installed(place: str) -> Path:
    """allocq as pip installs it, in a venv at `place`."""
    if command := os.environ.get("ALLOCQ_BENCH_COMMAND"):
        return Path(command)
    venv.create(place, with_pip=True)
    pip = [f"{place}/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, str(ROOT)], check=True)
    return Path(place, "bin", "allocq")


def parts(command: Path) -> dict[str, list[str]]:
    """What a query does, one step more each time."""
    python = str(command.with_name("python3"))
    (site,) = command.parents[1].glob("lib/python3.*/site-packages")
    add, bare = ADD.format(str(site)), [python, "-I", "-S", "-c"]
    query = "import allocq.__main__, allocq.commands.query, allocq.output.procfs"
    return {
        "python -I -S -c pass": [*bare, "pass"],
        "  the same, left by _exit": [*bare, "import posix; posix._exit(0)"],
        "  with site, as a script starts": [python, "-I", "-c", "pass"],
        "  with re, as older wrappers import": [python, "-I", "-c", "import re"],
        "  with typer": [python, "-I", "-c", "import typer"],
        "  with orjson": [python, "-I", "-c", "import orjson"],
        "sh -c :": ["/bin/sh", "-c", ":"],
        "import cffi's runtime": [*bare, add + "import _cffi_backend"],
        "import allocq._native": [*bare, add + "import allocq._native"],
        "import all that a query needs": [*bare, add + query],
        "allocq query --file PATH": [
            *[str(command), "query", "--source", str(SAMPLE), "--file", FILE],
        ],
        "  the same by python -m": [
            *[python, "-I", "-m", "allocq", "query", "--source", str(SAMPLE), "--file", FILE],
        ],
        "allocq query --format json": [
            *[str(command), "query", "--source", str(SAMPLE), "--format", "json"],
        ],
    }


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="allocq-bench-") as place:
        steps = parts(installed(f"{place}/venv"))
        base = steps["python -I -S -c pass"]
        rows = []
        for name, command in steps.items():
            found = pair(command, base, ROUNDS)
            peak = peak_kib(command)
            memory = "" if peak is None else f"{peak / 1024:.1f}"
            rows.append(
                (name, ms(found.wall), ms(found.base_wall), f"{found.wall_ratio:.2f}", memory)
            )
        show(
            f"start-up, {ROUNDS} pairs",
            ("what", "ms", "bare ms", "ratio", "peak MiB"),
            rows,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
