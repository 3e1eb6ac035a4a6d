"""What a recorder costs: processor time and disk a sample, memory, and how they grow.

Targets: at most 1 ms of processor time a sample beside the kernel's own reading, below 32 MiB
resident, no growth. ALLOCQ_BENCH_SAMPLES sets how many samples are taken, at 5 a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from common import allocq_command

import allocq
from allocq.storage.recording.reader import Recording

WHERE = "kernel"
SAMPLES = int(os.environ.get("ALLOCQ_BENCH_SAMPLES", "400"))
INTERVAL = 0.2
TICK = os.sysconf("SC_CLK_TCK")


def spent(pid: int) -> tuple[float, float, int]:
    """User and system seconds, and resident KiB, of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    resident = int(next(line for line in status.splitlines() if "VmRSS" in line).split()[1])
    return int(fields[11]) / TICK, int(fields[12]) / TICK, resident


def reading() -> float:
    """System seconds of one read of the kernel, as the recorder does it."""
    with allocq.open() as source:
        source.read()
        before = os.times().system
        for _ in range(50):
            source.read()
        return (os.times().system - before) / 50


def main() -> int:
    """Prints the figures; returns 0 if they meet the targets."""
    with tempfile.TemporaryDirectory(prefix="allocq-bench-", dir="/var/tmp") as place:
        folder = Path(place, "recorded")
        child = subprocess.Popen(
            [*allocq_command(), "record", "-d", str(folder), "--interval", str(INTERVAL)]
        )
        rows = []
        try:
            time.sleep(3)
            for _ in range(4):
                at = len(Recording(folder).points())
                user, system, resident = spent(child.pid)
                until = at + SAMPLES // 4
                while len(Recording(folder).points()) < until:
                    time.sleep(1)
                taken = len(Recording(folder).points()) - at
                user_after, system_after, after = spent(child.pid)
                rows.append(
                    (
                        (user_after - user) / taken,
                        (system_after - system) / taken,
                        after,
                        after - resident,
                    )
                )
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait()
        samples = len(Recording(folder).points())
        size = sum(path.stat().st_size for path in folder.iterdir())
        tags = len(next(iter(Recording(folder).samples())).subjects)
    kernel = reading()
    for number, (user, system, resident, grown) in enumerate(rows, 1):
        print(
            f"quarter {number}: user {user * 1e3:.2f} ms, system {system * 1e3:.2f} ms a sample,"
            f" {resident / 1024:.1f} MiB resident (+{grown} KiB)"
        )
    beside = sorted(user + system for user, system, _, _ in rows)[len(rows) // 2] - kernel
    print(f"{tags} tags; the kernel's reading alone: {kernel * 1e3:.2f} ms of system time")
    print(f"beside it: {beside * 1e3:.2f} ms a sample; {size / samples:.0f} bytes a sample")
    return 0 if beside <= 0.001 and rows[-1][2] < 32 << 10 else 1


if __name__ == "__main__":
    raise SystemExit(main())
