"""Measures the Parquet files of an hour: size, time and memory.

    python tests/bench/parquet.py [SAMPLES...]

Of an hour with so many samples (default: 60 and 3600) of the installed sample's tags, 146 of which
change from one to the next as on a machine at work: shipping it from a recording to a directory, in
a process of its own; one file for each of 60 samples, for comparison; and the recorder itself with
and without --parquet, on a simulated kernel, and its child.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from common import SAMPLE, show

from allocq.core.filter import NativeFilter
from allocq.core.text import parse
from allocq.storage.parquet import arrow
from allocq.storage.parquet.hour import Hour
from allocq.storage.recording.counters import Counters
from allocq.storage.recording.sample import Moment, Sample
from allocq.storage.recording.writer import Writer

WHERE = "host"
CHANGED = 146
_SECOND = 1_000_000_000
_HOUR = 3600 * _SECOND
_START = 497_222 * _HOUR
_COMMAND = (sys.executable, "-m", "allocq")


def samples(count: int) -> Iterator[Sample]:
    """An hour of them."""
    table = parse(SAMPLE.read_bytes(), NativeFilter(), str(SAMPLE))
    subjects = [name.encode() for name in table.strings("subject")]
    sizes, calls = table.column("bytes"), table.column("calls")
    flags = table.column("inaccurate")
    dice = random.Random(1)
    for number in range(count):
        sizes, calls = sizes[:], calls[:]
        for at in dice.sample(range(len(sizes)), CHANGED):
            difference = dice.randrange(-64, 64)
            sizes[at] += 4096 * difference
            calls[at] = max(0, calls[at] + difference)
        time_ns = _START + number * _HOUR // count
        moment = Moment(time_ns, time_ns - _START, "boot", "7.3.4", "ioctl", 1, True, True)
        yield Sample(moment, subjects, Counters.of(sizes, calls, flags), {})


def measured(*command: str) -> tuple[float, float, int]:
    """Seconds, seconds of CPU and KiB at most of a process."""
    begun = time.perf_counter()
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    assert status == 0
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss


def shipped(place: Path, count: int) -> tuple[object, ...]:
    """One hour from a recording to its file."""
    folder, root = place / f"recording-{count}", place / f"root-{count}"
    writer = Writer(folder, {"host": "bench"})
    for each in samples(count):
        writer.append(each)
    writer.close()
    database = sum(path.stat().st_size for path in folder.glob("*.db"))
    command = (*_COMMAND, "ship", "--source", str(folder), "--to", str(root), "-q")
    seconds, cpu, most = measured(*command)
    (file,) = root.glob("*/*/*.parquet")
    size = file.stat().st_size
    return (
        count,
        f"{database / count:.0f}",
        f"{size / count:.0f}",
        f"{size / 1e6:.2f}",
        f"{seconds:.2f}",
        f"{cpu:.2f}",
        f"{most / 1024:.1f}",
    )


def single_files() -> float:
    """Bytes of a sample in a file of its own, the mean of 60."""
    sizes = []
    schema = arrow.schema()
    for each in samples(60):
        hour = Hour("bench", "boot", "7.3.4")
        hour.add(each.moment.time // 1000, 1, True, each.subjects, each.counters)
        with tempfile.TemporaryFile() as file:
            arrow.write(file, schema, hour.batches(schema))
            sizes.append(file.tell())
    return sum(sizes) / len(sizes)


def recorder(place: Path, *options: str) -> tuple[float, float]:
    """MiB at most of a recorder that takes samples and ends, and of all its children."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import oracle
    import simulated

    shim, _ = simulated.build(place)
    simulated.write(place / "kernel", oracle.parse(SAMPLE.read_bytes()), 1)
    env = {**os.environ, "LD_PRELOAD": str(shim), "SIMULATED_KERNEL": str(place / "kernel")}
    command = (*_COMMAND, "record", str(place / f"r{len(options)}"), "--interval", "0.1s", *options)
    child = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    time.sleep(12)
    status = Path(f"/proc/{child.pid}/status").read_text()
    most = int(next(x for x in status.splitlines() if x.startswith("VmHWM")).split()[1])
    child.send_signal(signal.SIGTERM)
    _, ended, used = os.wait4(child.pid, 0)
    assert ended == 0
    return most / 1024, used.ru_maxrss / 1024


def imported(code: str) -> tuple[float, float]:
    """MiB at most, and milliseconds, of a Python that runs it."""
    tell = "; print(next(x for x in open('/proc/self/status') if x.startswith('VmHWM')).split()[1])"
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + tell], capture_output=True, check=True)
    return int(done.stdout) / 1024, (time.perf_counter() - begun) * 1000


def main() -> int:
    counts = [int(word) for word in sys.argv[1:]] or [60, 3600]
    with tempfile.TemporaryDirectory(prefix="allocq-bench-", dir=".") as name:
        place = Path(name).absolute()
        rows = [shipped(place, count) for count in counts]
        plain, with_parquet = recorder(place), recorder(place, "--parquet", str(place / "root"))
    tags = len(parse(SAMPLE.read_bytes(), NativeFilter(), str(SAMPLE)))
    show(
        f"an hour of {tags} tags, {CHANGED} of them changed from sample to sample;"
        f" a sample alone in a file: {single_files():.0f} bytes",
        ("samples", "bytes in the recording", "bytes of Parquet", "MB", "s", "s CPU", "MiB peak"),
        rows,
    )
    python, arro3 = imported("pass"), imported("import arro3.core, arro3.io")
    show(
        "memory",
        ("what", "MiB peak", "ms"),
        [
            ("record", f"{plain[0]:.1f}", ""),
            ("record --parquet", f"{with_parquet[0]:.1f}", ""),
            ("the process beside it that ships", f"{with_parquet[1]:.1f}", ""),
            ("Python", f"{python[0]:.1f}", f"{python[1]:.0f}"),
            ("Python with arro3", f"{arro3[0]:.1f}", f"{arro3[1]:.0f}"),
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
