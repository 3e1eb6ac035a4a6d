"""Measures `allocq top` on a running kernel: CPU a refresh beside the kernel's own work, memory.

    python tests/bench/top_live.py [SECONDS]

The process runs on a pseudo-terminal of 50 lines and 160 columns and refreshes five times a second.
What it spends is counted between two moments of its life and divided by the refreshes in between.
`alone` is a process that reads the same counters in the same way, as often, and does nothing with
them: nearly all of it is the kernel's work.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from common import on_terminal, show
from recorder_live import cpu_clock, field_kib, read_alone

WHERE = "kernel"
INTERVAL = 0.2
LINES, COLUMNS = 50, 160


def spent(seconds: float, *argv: str) -> tuple[float, float]:
    """(milliseconds of CPU a refresh, MiB resident in the end)."""
    words = [sys.executable, "-m", "allocq", "top", "--interval", f"{INTERVAL}s", *argv]
    pid, master = on_terminal(lambda: os.execv(sys.executable, words), LINES, COLUMNS)
    time.sleep(3)
    clock = cpu_clock(pid)
    begun = time.clock_gettime_ns(clock)
    time.sleep(seconds)
    cpu = time.clock_gettime_ns(clock) - begun
    memory = field_kib(pid, "VmRSS") / 1024
    os.write(master, b"q")
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
    return cpu / (seconds / INTERVAL) / 1e6, memory


def alone(seconds: float, interface: str) -> float:
    """Milliseconds of CPU a reading, of a process that only reads."""
    pid = os.fork()
    if pid == 0:
        try:
            read = read_alone(interface)
            while True:
                read()
                time.sleep(INTERVAL)
        finally:
            os._exit(1)
    clock = cpu_clock(pid)
    time.sleep(1)
    begun = time.clock_gettime_ns(clock)
    time.sleep(seconds)
    cpu = time.clock_gettime_ns(clock) - begun
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return cpu / (seconds / INTERVAL) / 1e6


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    rows = []
    for interface in ("ioctl", "text"):
        reading = alone(seconds, interface)
        for view, argv in (("tags", ()), ("sums by file", ("-g", "file"))):
            cpu, memory = spent(seconds, "--interface", interface, *argv)
            rows.append(
                (f"{view}, {interface}", f"{cpu:.2f}", f"{reading:.2f}", f"{cpu - reading:.2f}",
                 f"{memory:.1f}")
            )  # fmt: skip
    with open("/proc/allocinfo", "rb") as file:
        tags = file.read().count(b"\n") - 2
    show(
        f"allocq top, {tags} tags, a refresh every {INTERVAL:g} s",
        ("view", "ms CPU a refresh", "alone", "beside it", "MiB resident"),
        rows,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
