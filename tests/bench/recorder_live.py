"""Measures `allocq record` on a running kernel: CPU beside the kernel's own work, memory, disk.

    python tests/bench/recorder_live.py [SECONDS [INTERVAL]]

One row is the recorder as a process, a sample a second for a minute if nothing else is said; the
others are its parts, one after the other in this process. `alone` is only what reads the same
counters in the same way, which is mostly the kernel's work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import show

from allocq.core import kernel
from allocq.core.table import Table
from allocq.model import Filter
from allocq.sources.sampling import Sampler, facts
from allocq.sources.source import Live, open_source
from allocq.storage.recording.reader import Recording
from allocq.storage.recording.writer import Writer

WHERE = "kernel"
ALLOCINFO = "/proc/allocinfo"
ROUNDS = 200


def cpu_clock(pid: int) -> int:
    """The clock of the CPU time of a process: clock_getcpuclockid(3)."""
    return ~pid << 3 | 2


def field_kib(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def read_alone(interface: str) -> Callable[[], None]:
    """Reads all counters through an interface, and nothing else."""
    fd = os.open(ALLOCINFO, os.O_RDONLY)

    def text() -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        while os.read(fd, 1 << 16):
            pass

    def ioctl() -> None:
        kernel.scan(fd, kernel.KernelFilter({}), Table())

    return text if interface == "text" else ioctl


def cpu_ms(call: Callable[[], object]) -> float:
    """The CPU time of one call, the mean of many after a few."""
    for _ in range(5):
        call()
    begun = time.process_time_ns()
    for _ in range(ROUNDS):
        call()
    return (time.process_time_ns() - begun) / ROUNDS / 1e6


def parts(folder: Path, interface: str) -> list[tuple[str, str]]:
    source = open_source(None, interface)
    assert isinstance(source, Live)
    with source:
        sampler = Sampler(source, Filter())
        writer = Writer(folder, facts(Filter(), "bench"))
        alone = cpu_ms(read_alone(interface))
        taken = cpu_ms(lambda: sampler.take(time.time_ns()))
        both = cpu_ms(lambda: writer.append(sampler.take(time.time_ns())))
        writer.close()
    return [
        (f"{interface} alone", f"{alone:.2f}"),
        ("taking a sample", f"{taken:.2f}"),
        ("taking and writing it", f"{both:.2f}"),
        ("beside the kernel's work", f"{both - alone:.2f}"),
    ]


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    interval = sys.argv[2] if len(sys.argv) > 2 else "1s"
    with tempfile.TemporaryDirectory(prefix="allocq-bench-") as place:
        folder = Path(place, "recording")
        child = subprocess.Popen(
            [sys.executable, "-m", "allocq", "record", "-d", str(folder), "--interval", interval],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stderr
        child.stderr.readline()  # it has written its first sample
        clock = cpu_clock(child.pid)
        first, begun = len(Recording(folder).points()), time.clock_gettime_ns(clock)
        early = field_kib(child.pid, "VmRSS")
        time.sleep(seconds)
        spent = time.clock_gettime_ns(clock) - begun
        late, peak = field_kib(child.pid, "VmRSS"), field_kib(child.pid, "VmHWM")
        recording = Recording(folder)
        points = recording.points()
        child.send_signal(signal.SIGTERM)
        said = child.stderr.read()
        assert child.wait() == 0, said
        samples = len(points) - first
        last = recording.read(points[-1])
        assert last is not None and samples > 0
        size = sum(path.stat().st_size for path in folder.glob("*.db*")) / len(points)
        show(
            f"allocq record --interval {interval} for {seconds:g} s: {samples} samples of"
            f" {len(last.counters)} tags through the {last.moment.interface}",
            ("ms CPU a sample", "MiB resident", "then", "peak", "bytes a sample"),
            [
                (
                    f"{spent / samples / 1e6:.2f}",
                    f"{early / 1024:.1f}",
                    f"{late / 1024:.1f}",
                    f"{peak / 1024:.1f}",
                    f"{size:.0f}",
                )
            ],
        )
        if said:
            print(said, end="")
        show("its parts", ("what", "ms CPU"), parts(Path(place, "parts"), last.moment.interface))
    return 0


if __name__ == "__main__":
    sys.exit(main())
