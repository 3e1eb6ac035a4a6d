"""Measures the cost of writing samples to a recording: CPU, memory and disk, over many of them.

    python tests/bench/recorder.py [SAMPLES]

The tags are those of the installed sample; from one sample to the next, 146 of them and half of the
lines of /proc/meminfo change, as on a machine at work. What the kernel does for a sample is not in
it: see recorder_live. A recorder that keeps what it should let go of grows from the first thousand
samples to the last.
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from common import SAMPLE, show

from allocq.core.filter import NativeFilter
from allocq.core.text import parse
from allocq.storage.recording.counters import Counters
from allocq.storage.recording.reader import Recording
from allocq.storage.recording.sample import Moment, Sample
from allocq.storage.recording.writer import Writer

WHERE = "host"
SAMPLES = 5000
CHANGED = 146
_NANOSECONDS = 1_000_000_000
_MEMINFO = {f"Line{number}": number << 12 for number in range(55)}


def resident_kib() -> int:
    """The memory of this process that is in RAM now."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1])


def written() -> int:
    """Bytes that this process had written to disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(x for x in lines if x.startswith("write_bytes")).split()[1])


def main() -> int:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES
    table = parse(SAMPLE.read_bytes(), NativeFilter(), str(SAMPLE))
    subjects = [name.encode() for name in table.strings("subject")]
    sizes, calls = table.column("bytes"), table.column("calls")
    flags = table.column("inaccurate")
    dice = random.Random(1)
    rows = []
    with tempfile.TemporaryDirectory(prefix="allocq-bench-", dir=".") as place:
        folder = Path(place, "recording")
        writer = Writer(folder, {"host": "bench"})
        start = 20_000 * 86_400 * _NANOSECONDS
        block = max(1, samples // 10)
        cpu = wall = 0.0
        before = written()
        for number in range(1, samples + 1):
            sizes, calls = sizes[:], calls[:]
            for at in dice.sample(range(len(sizes)), min(CHANGED, len(sizes))):
                difference = dice.randrange(-64, 64)
                sizes[at] += 4096 * difference
                calls[at] = max(0, calls[at] + difference)
            meminfo = {k: v + (i % 2 * number << 12) for i, (k, v) in enumerate(_MEMINFO.items())}
            time_ns = start + number * 10 * _NANOSECONDS  # 8640 samples a day
            sample = Sample(
                Moment(time_ns, number, "boot", "7.3", "ioctl", 1, True, True),
                subjects,
                Counters.of(sizes, calls, flags),
                meminfo,
            )
            begun, begun_wall = time.process_time(), time.perf_counter()
            writer.append(sample)
            cpu += time.process_time() - begun
            wall += time.perf_counter() - begun_wall
            if number % block == 0:
                size = sum(path.stat().st_size for path in folder.glob("*.db"))
                rows.append(
                    (
                        number,
                        f"{cpu / block * 1000:.2f}",
                        f"{wall / block * 1000:.2f}",
                        f"{size / number:.0f}",
                        f"{(written() - before) / number:.0f}",
                        f"{resident_kib() / 1024:.1f}",
                    )
                )
                cpu = wall = 0.0
        writer.close()
        begun = time.process_time()
        found = Recording(folder).at(start + samples * 10 * _NANOSECONDS)
        last = (time.process_time() - begun) * 1000
        assert found is not None and found.counters == Counters.of(sizes, calls, flags)
    show(
        f"{len(subjects)} tags, {CHANGED} of them changed from sample to sample;"
        f" the last was read in {last:.1f} ms; peak"
        f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f} MiB",
        ("samples", "ms CPU", "ms", "bytes", "bytes written", "MiB resident"),
        rows,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
