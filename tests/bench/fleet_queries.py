"""Measures `allocq fleet` on generated fleets, whole processes: time, peak memory, bytes read.

    python tests/bench/fleet_queries.py                    45 million rows, each question
    python tests/bench/fleet_queries.py --scale            1 to 64 million rows: man/fleet.svg
    python tests/bench/fleet_queries.py --work DIR         keeps the fleets there

A question is asked once to warm the page cache, and then in turn with the others.
Bytes read are those of the read system calls (rchar of /proc/PID/io), whether cached or not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from fleet import FIRST, LEAK, NEW, OUTLIER, Place, Plan, write

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = {
    "hosts": ("hosts",),
    "top": ("top",),
    "top fs": ("top", "fs"),
    "grown": ("grown",),
    "rollout": ("grown", "--since-rollout", NEW),
    "outliers": ("outliers",),
    "percentiles": ("percentiles",),
}
PLACED: dict[str, Place] = {
    "top": LEAK,
    "grown": LEAK,
    "rollout": LEAK,
    "outliers": OUTLIER,
    "percentiles": LEAK,
}
SCALE = (1, 2, 4, 8, 16, 32, 64)
MOST_SECONDS, MOST_KIB = 2.5, 512 << 10


@dataclass(frozen=True)
class Run:
    """One process: seconds, CPU seconds, peak KiB, bytes read; what it wrote."""

    wall: float
    cpu: float
    peak: int
    read: int
    out: bytes


def run(data: Path, words: Sequence[str], until: float) -> Run:
    """Ask one question."""
    command = [sys.executable, "-m", "allocq", "fleet", *words, "--data", str(data), "-o", "csv"]
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(round(until)), "PYTHONPATH": str(ROOT)}
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, cwd="/"
    )
    out: list[bytes] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: out.append(process.stdout.read()))  # type: ignore[union-attr]
    reader.start()
    # The counters of a process are there until it is waited for.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    wall = time.perf_counter() - begin
    read = int(Path(f"/proc/{process.pid}/io").read_text().split()[1])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    assert process.returncode == 0, words
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss, read, out[0])


def made(work: Path, plan: Plan) -> tuple[Path, int, float]:
    """(directory, rows, end) of a fleet, written if it is not there."""
    root = work / f"{plan.hosts}x{plan.samples}-{plan.seed}"
    note = work / f"{root.name}.rows"
    if not note.exists():
        note.write_text(str(write(root, plan)))
    return root, int(note.read_text()), (FIRST + plan.interval * plan.samples).timestamp()


def measured(work: Path, plan: Plan, names: Iterable[str], rounds: int) -> dict[str, list[Run]]:
    """Each question so often, in turns."""
    root, _, until = made(work, plan)
    found: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name, runs in found.items():
            done = run(root, QUESTIONS[name], until)
            if number:
                runs.append(done)
            elif name in PLACED:
                place = PLACED[name]
                first = b"\n".join(done.out.splitlines()[1:4])
                for word in (place.file, place.function):
                    assert word.encode() in first, (name, first)
    return found


def table(found: dict[str, list[Run]]) -> str:
    """Medians, as Markdown; the least of the times, too, for a machine that is busy otherwise."""
    lines = [
        "| question | seconds, median | least | CPU seconds | peak MiB | read MB |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        numbers = (
            f"{median(run.wall for run in runs):.2f}",
            f"{min(run.wall for run in runs):.2f}",
            f"{median(run.cpu for run in runs):.2f}",
            f"{max(run.peak for run in runs) / 1024:.0f}",
            f"{median(run.read for run in runs) / 1e6:.1f}",
        )
        lines.append(f"| `fleet {' '.join(QUESTIONS[name])}` | {' | '.join(numbers)} |")
    return "\n".join(lines)


def scaled(work: Path, rounds: int) -> list[tuple[int, dict[str, list[Run]]]]:
    """(rows, runs) from 1 to 64 million rows: more hosts, each with an hour of samples."""
    found = []
    for millions in SCALE:
        plan = Plan(hosts=max(1, round(millions * 1e6 / (60 * 3746))), samples=60)
        names = ("hosts", "top", "grown")
        runs = measured_plain(work, plan, names, rounds)
        found.append((made(work, plan)[1], runs))
    return found


def measured_plain(
    work: Path, plan: Plan, names: Iterable[str], rounds: int
) -> dict[str, list[Run]]:
    """As `measured`; small fleets have not all that is placed."""
    root, _, until = made(work, plan)
    found: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name, runs in found.items():
            done = run(root, QUESTIONS[name], until)
            if number:
                runs.append(done)
    return found


def picture(points: Sequence[tuple[int, dict[str, list[Run]]]]) -> str:
    """CPU seconds and bytes read against rows, as an SVG: a busy machine changes these least."""
    width, height, left, bottom = 720, 300, 50, 40
    most_rows = max(rows for rows, _ in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        "<style>text{font:12px sans-serif;fill:#444}polyline{fill:none;stroke-width:2}"
        "line{stroke:#ccc}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    colors = {"hosts": "#b58900", "top": "#268bd2", "grown": "#dc322f"}

    def panel(x: int, title: str, value: object, unit: str) -> None:
        assert callable(value)
        inner, tall = width // 2 - left - 20, height - bottom - 30
        values = {name: [value(runs[name]) for _, runs in points] for name in colors}
        most = max(max(each) for each in values.values()) * 1.1
        parts.append(f'<text x="{x + left}" y="18">{title}</text>')
        for share in (0, 0.5, 1):
            y = 30 + tall * (1 - share)
            parts.append(
                f'<line x1="{x + left}" y1="{y:.0f}" x2="{x + left + inner}" y2="{y:.0f}"/>'
            )
            label = f"{most * share:.3g}"
            parts.append(
                f'<text x="{x + left - 6}" y="{y + 4:.0f}" text-anchor="end">{label}</text>'
            )
        for name, each in values.items():
            spots = " ".join(
                f"{x + left + inner * rows / most_rows:.1f},{30 + tall * (1 - v / most):.1f}"
                for (rows, _), v in zip(points, each, strict=True)
            )
            parts.append(f'<polyline points="{spots}" stroke="{colors[name]}"/>')
        for rows, _ in points[3:]:
            spot, label = x + left + inner * rows / most_rows, f"{rows / 1e6:.0f}"
            parts.append(
                f'<text x="{spot:.0f}" y="{height - 22}" text-anchor="middle">{label}</text>'
            )
        parts.append(f'<text x="{x + left}" y="{height - 6}">million rows; {unit}</text>')

    panel(0, "CPU time", lambda runs: median(run.cpu for run in runs), "seconds")
    panel(width // 2, "Bytes read", lambda runs: median(run.read for run in runs) / 1e6, "MB")
    for number, (name, color) in enumerate(colors.items()):
        parts.append(
            f'<text x="{left + 60 + 60 * number}" y="18" style="fill:{color}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def scale_table(points: Sequence[tuple[int, dict[str, list[Run]]]]) -> str:
    """Medians by rows, as Markdown; the times are CPU seconds."""
    lines = [
        "| million rows | hosts | top | grown | peak MiB | read MB |",
        "|---|---|---|---|---|---|",
    ]
    for rows, runs in points:
        seconds = [f"{median(run.cpu for run in each):.2f}" for each in runs.values()]
        peak = max(run.peak for each in runs.values() for run in each) / 1024
        read = max(median(run.read for run in each) for each in runs.values()) / 1e6
        lines.append(f"| {rows / 1e6:.1f} | {' | '.join(seconds)} | {peak:.0f} | {read:.1f} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = asked.work or Path(temporary)
        work.mkdir(exist_ok=True)
        if asked.scale:
            points = scaled(work, asked.rounds)
            (ROOT / "man" / "fleet.svg").write_text(picture(points))
            print(scale_table(points))
            return 0
        plan = Plan(hosts=200, samples=60)
        found = measured(work, plan, QUESTIONS, asked.rounds)
        root, rows, _ = made(work, plan)
        size = sum(path.stat().st_size for path in root.rglob("*.parquet"))
        samples = plan.hosts * plan.samples
        print(f"{rows:,} rows in {size / 1e6:.1f} MB, {size / samples / 1e3:.2f} kB a sample\n")
        print(table(found))
        slow = [n for n, runs in found.items() if min(r.wall for r in runs) > MOST_SECONDS]
        large = [n for n, runs in found.items() if max(r.peak for r in runs) > MOST_KIB]
        print(f"\nover {MOST_SECONDS} s: {slow or 'none'}; over 512 MiB: {large or 'none'}")
        return bool(slow or large)


if __name__ == "__main__":
    sys.exit(main())
