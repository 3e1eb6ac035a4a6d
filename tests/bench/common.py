"""Shared by the benchmarks: interleaved runs, medians, ratios of pairs, and tables.

On a busy machine, measurements at different times differ anyway. So all commands take turns, and
only runs of the same round are compared.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NATIVE = ROOT / "allocq" / "core"
SAMPLE = ROOT / "allocq" / "sample.txt"
COARSE_NS = 100_000


@dataclass(frozen=True)
class Cost:
    """The cost of one process: wall clock, user and system time in seconds, and its exit status."""

    wall: float
    user: float
    system: float
    status: int

    @property
    def cpu(self) -> float:
        return self.user + self.system


def spend(
    command: Sequence[str],
    stdout: str = os.devnull,
    stdin: str = os.devnull,
    env: Mapping[str, str] | None = None,
) -> Cost:
    """Run a process and wait for it; the first word is a path. Its output goes to a file."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    ]
    begin = time.perf_counter()
    pid = os.posix_spawn(
        command[0],
        list(command),
        os.environ if env is None else env,
        file_actions=actions,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
    )
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - begin
    return Cost(wall, used.ru_utime, used.ru_stime, os.waitstatus_to_exitcode(status))


def spend_pipeline(commands: Sequence[Sequence[str]], stdout: str = os.devnull) -> Cost:
    """Run programs joined by pipes, the last one's output to a file; its status is the cost's."""
    source: int | None = None
    children: list[int] = []
    begin = time.perf_counter()
    for command in commands:
        last = len(children) == len(commands) - 1
        read, write = (-1, -1) if last else os.pipe()
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
            if source is None
            else (os.POSIX_SPAWN_DUP2, source, 0),
            (os.POSIX_SPAWN_OPEN, 1, stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            if last
            else (os.POSIX_SPAWN_DUP2, write, 1),
        ]
        signals = [signal.SIGPIPE, signal.SIGXFSZ]
        children.append(
            os.posix_spawn(
                command[0], list(command), os.environ, file_actions=actions, setsigdef=signals
            )
        )
        if source is not None:
            os.close(source)
        if not last:
            os.close(write)
            source = read
    ends = [os.wait4(pid, 0) for pid in children]
    wall = time.perf_counter() - begin
    return Cost(
        wall,
        sum(used.ru_utime for _, _, used in ends),
        sum(used.ru_stime for _, _, used in ends),
        os.waitstatus_to_exitcode(ends[-1][1]),
    )


def program(name: str) -> str:
    """The path of a program; ends the benchmark if it is missing."""
    path = shutil.which(name)
    if path is None:
        sys.exit(f"no {name} on PATH")
    return path


def drop_caches() -> None:
    """Drop the page cache, dentries and inodes. Root only."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def peak_kib(command: Sequence[str], tries: int = 3) -> int | None:
    """The peak memory of a process in KiB, the least of a few runs; None without a C compiler.

    wait4 would count the memory of whoever spawned it: until the exec they share it, and the
    kernel keeps the peak (fs/exec.c, exec_mmap). So a program of a few pages spawns it.
    """
    spawn = compile_c("peak")
    if spawn is None:
        return None
    peaks = []
    for _ in range(tries):
        done = subprocess.run(
            [spawn, *command], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True
        )
        peaks.append(int(done.stdout.split()[-1]))
    return min(peaks)


def in_turn(
    ways: Mapping[str, Callable[[], float]], rounds: int, warm: int = 1
) -> dict[str, list[float]]:
    """Run each command once per round, starting with another one each time, after `warm` rounds."""
    names = list(ways)
    results: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-warm, rounds):
        for i in range(len(names)):
            name = names[(i + turn) % len(names)]
            value = ways[name]()
            if turn >= 0:
                results[name].append(value)
    return results


def ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of the ratios of pairs."""
    return median(a / b for a, b in zip(values, base, strict=True) if b)


@dataclass(frozen=True)
class Pair:
    """Two commands run in turn; seconds, medians, and the median of the ratios of pairs."""

    wall: float
    base_wall: float
    cpu: float
    base_cpu: float
    wall_ratio: float
    cpu_ratio: float


def pair(command: Sequence[str], base: Sequence[str], rounds: int = 31) -> Pair:
    """Run two commands in turn. The first words are paths."""
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for turn in range(-1, rounds):
        both = [(command, ours), (base, theirs)]
        for words, costs in both if turn % 2 else both[::-1]:
            cost = spend(words)
            if turn >= 0:
                costs.append(cost)
    return Pair(
        wall=median(cost.wall for cost in ours),
        base_wall=median(cost.wall for cost in theirs),
        cpu=median(cost.cpu for cost in ours),
        base_cpu=median(cost.cpu for cost in theirs),
        wall_ratio=ratio([cost.wall for cost in ours], [cost.wall for cost in theirs]),
        cpu_ratio=ratio([cost.cpu for cost in ours], [cost.cpu for cost in theirs]),
    )


def cpu_clock() -> tuple[str, Callable[[], float]]:
    """(name, clock in seconds) for work inside this thread.

    Its CPU time where the kernel counts it finely, else (User-Mode Linux: ticks of 10 ms) the
    clock on the wall.
    """
    from allocq.commands.bench.command import clock_step

    if clock_step() > COARSE_NS:
        return "wall clock (this kernel counts CPU time in ticks)", time.perf_counter
    return "CPU time of the thread", time.thread_time


def compile_c(name: str) -> str | None:
    """The path of NAME.c compiled, or None without a compiler.

    run.py compiles once, for the guests too, and says where in ALLOCQ_BENCH_BUILT.
    """
    built = Path(os.environ.get("ALLOCQ_BENCH_BUILT") or _scratch()) / name
    if not built.exists():
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            return None
        options = ["-O2", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}"]
        subprocess.run([compiler, *options, "-o", built, HERE / f"{name}.c"], check=True)
    return str(built)


def compile_rust(name: str) -> str | None:
    """The path of NAME.rs compiled, or None without a Rust compiler. See compile_c."""
    built = Path(os.environ.get("ALLOCQ_BENCH_BUILT") or _scratch()) / name
    if not built.exists():
        compiler = shutil.which("rustc")
        if compiler is None:
            print(f"no rustc: {name} is left out")
            return None
        subprocess.run([compiler, "-O", "-o", built, HERE / f"{name}.rs"], check=True)
    return str(built)


_scratches: list[tempfile.TemporaryDirectory[str]] = []


def _scratch() -> str:
    if not _scratches:
        _scratches.append(tempfile.TemporaryDirectory(prefix="allocq-bench-"))
    return _scratches[0].name


def allocq_command() -> list[str]:
    """The installed command beside this Python, else its module."""
    beside = Path(sys.executable).with_name("allocq")
    if os.access(beside, os.X_OK):
        return [str(beside)]
    return [sys.executable, "-I", "-m", "allocq"]


def machine() -> str:
    """One line that describes this machine."""
    system = os.uname()
    parts = [f"Linux {system.release}", f"Python {sys.version.split()[0]}"]
    try:
        cpus = Path("/sys/devices/system/cpu/possible").read_text().strip()
        parts.append(f"possible CPUs {cpus}")
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                parts.insert(1, line.partition(":")[2].strip())
                break
    except OSError:
        pass
    return ", ".join(parts)


def on_terminal(child: Callable[[], object], lines: int, columns: int) -> tuple[int, int]:
    """Fork a process that runs `child` on a terminal of its own, of this size; its output is thrown
    away. Returns (process, our side of the terminal)."""
    pid, master = pty.fork()
    if pid == 0:
        try:
            os.environ["TERM"] = "xterm-256color"
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            child()
        finally:
            os._exit(1)

    def drain() -> None:
        with contextlib.suppress(OSError):  # the process has ended
            while os.read(master, 1 << 16):
                continue

    threading.Thread(target=drain, daemon=True).start()
    return pid, master


def show(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table with the first column left-aligned, the others right-aligned."""
    lines = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(f"\n{title}\n  {machine()}")
    for line in lines:
        cells = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        print("  " + "  ".join([line[0].ljust(widths[0]), *cells[1:]]).rstrip())
    sys.stdout.flush()


def ms(seconds: float) -> str:
    """Milliseconds with about three significant digits."""
    value = seconds * 1000
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.3f}"
