"""Measures a scrape of `allocq export`: CPU, by what it goes into, and memory.

    python tests/bench/export.py [SCRAPES]

The kernel is a simulated one with the tags of the installed sample (tests/fuzz/simulated.c): its
system calls cost next to nothing, so that the CPU is the exporter's own, beside what a real kernel
takes for the text. Every scrape reads, as with --max-age 0, and is compressed, as Prometheus asks;
146 tags change from one to the next, as on a machine at work.
"""

from __future__ import annotations

import os
import random
import re
import sys
import tempfile
import zlib
from operator import sub
from pathlib import Path
from statistics import median

from common import ROOT, SAMPLE, show

sys.path.insert(0, str(ROOT / "tests"))

import oracle
from exporter import Exporter
from watched import Kernel

WHERE = "host"
SCRAPES = 500
CHANGED = 146
ACCEPT = {
    "OpenMetrics, gzip": {
        "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
        "Accept-Encoding": "gzip",
    },
    "text, gzip": {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "gzip"},
    "text": {},
}


def cpu_ms(pid: int) -> float:
    """Milliseconds of CPU that a process has taken, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


def measured(
    kernel: Kernel, sizes: dict[str, int], scrapes: int, headers: dict[str, str]
) -> list[str]:
    """A row: ms of CPU, of it for reading, and the rest (medians); samples; MiB at first and at
    last."""
    dice = random.Random(1)
    running = Exporter(
        "--max-age", "0s", "--listen", "127.0.0.1:0", env={**os.environ, **kernel.environment}
    )
    try:
        body = b""
        total, reading = [], []
        first = 0
        for number in range(scrapes + 10):
            some = dice.sample(list(sizes), CHANGED)
            kernel.set({name: round(sizes[name] * dice.uniform(0.9, 1.1)) for name in some})
            before = cpu_ms(running.pid)
            body = running.get(headers=headers)[2]
            if headers.get("Accept-Encoding"):
                body = zlib.decompress(body, 31)
            if number >= 10:
                total.append(cpu_ms(running.pid) - before)
                match = re.search(rb"^allocq_read_cpu_seconds (\S+)", body, re.M)
                assert match is not None
                reading.append(float(match[1]) * 1000)
            else:
                first = running.rss
        series = len(re.findall(rb"^allocq_", body, re.M))
        return [
            f"{median(total):.2f}",
            f"{median(reading):.2f}",
            f"{median(map(sub, total, reading)):.2f}",
            str(series),
            f"{first / 1024:.1f}",
            f"{running.rss / 1024:.1f}",
        ]
    finally:
        running.end()


def main() -> int:
    scrapes = int(sys.argv[1]) if len(sys.argv) > 1 else SCRAPES
    tags = oracle.parse(SAMPLE.read_bytes())
    with tempfile.TemporaryDirectory(prefix="allocq-bench-") as place:
        kernel = Kernel(Path(place))
        kernel.boot(tags)
        sizes = {tag.function: tag.bytes for tag in tags if tag.bytes}
        rows = [
            (name, *measured(kernel, sizes, scrapes, headers)) for name, headers in ACCEPT.items()
        ]
    show(
        f"a scrape of {len(tags)} tags, {CHANGED} functions changed; {scrapes} scrapes",
        ("asked for", "ms CPU", "reading", "the rest", "samples", "MiB", "MiB at last"),
        rows,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
