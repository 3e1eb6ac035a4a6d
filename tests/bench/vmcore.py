"""What a query of a crash dump takes: drgn's part, and ours.

    ALLOCQ_TEST_KERNEL_DEBUG=DIR python tests/bench/vmcore.py [POSSIBLE_CPUS]

A kernel with so many possible CPUs (default: 64) and all modules that it comes with is dumped in
QEMU. Peak memory is that of a process that does only this.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

from common import ROOT, peak_kib, show

sys.path.insert(0, str(ROOT / "tests" / "vm"))
import dumps

ROUNDS = 5
MODULES = (
    "xfs.ko",
    "zsmalloc.ko",
    "zram.ko",
    "tun.ko",
    "bfq.ko",
    "loop.ko",
    "isofs.ko",
    "dummy.ko",
)
WHERE = "host"
# Each step goes on where the one before ended, and prints its seconds.
STEPS = """
import os, sys, time
core, vmlinux, last = sys.argv[1:4]
began = time.perf_counter()
def lap():
    global began
    now = time.perf_counter()
    print(now - began)
    began = time.perf_counter()
import drgn
lap()
from allocq.sources.vmcore.dump import check_vmlinux, examine
from allocq.sources.vmcore.program import Program
fd = os.open(core, os.O_RDONLY)
dump = examine(fd, core)
check_vmlinux(vmlinux, dump)
lap()
program = Program(fd, core, vmlinux, dump.page_size)
lap()
if last == "drgn":
    sys.exit()
from allocq.sources.vmcore.listing import listing_of
listing = listing_of(program, dump)
lap()
print(listing.text.count(b" func:"))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cpus", type=int, nargs="?", default=64, help="possible CPUs")
    cpus = parser.parse_args().cpus
    kernel = dumps.find_debug_kernel()
    if kernel is None:
        print(f"no debug kernel: {dumps.HOW_TO_GET_A_DEBUG_KERNEL}", file=sys.stderr)
        return 2
    with dumps.temporary_folder() as name:
        folder = Path(name)
        vmlinux = kernel.vmlinux(folder)
        modules = [module for module in MODULES if kernel.has(module)]
        dumped = dumps.dump(kernel, folder, modules, cpus - dumps.ONLINE_CPUS)
        command = [sys.executable, "-c", STEPS, str(dumped.core), str(vmlinux)]
        runs = [
            subprocess.run([*command, "all"], capture_output=True, text=True, check=True)
            for _ in range(ROUNDS)
        ]
        laps = [[float(word) for word in run.stdout.split()] for run in runs]
        names = ("import drgn", "build ids", "debug info, by drgn", "tags, counters and facts")
        rows = [(what, f"{median(lap[at] for lap in laps):.3f}") for at, what in enumerate(names)]
        query = [sys.executable, "-m", "allocq", "query", "--source", str(dumped.core)]
        query += ["--vmlinux", str(vmlinux)]
        peaks = [
            (what, f"{(peak_kib(each) or 0) / 1024:.0f}")
            for what, each in (
                ("drgn with the debug info", [*command, "drgn"]),
                ("all of a query", query),
            )
        ]
        show(
            f"a dump with {laps[0][-1]:,.0f} tags and {cpus} possible CPUs, median of {ROUNDS}",
            ("step", "seconds"),
            rows,
        )
        show("peak memory", ("process", "MiB"), peaks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
