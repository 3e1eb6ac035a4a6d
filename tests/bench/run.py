"""Run the benchmarks and print their tables.

    python tests/bench/run.py [NAME]... [--machine IMAGE:CPUS]... [--here]

Each program in this directory says in WHERE what it needs: `host`, any machine; `kernel`, a Linux
with /proc/allocinfo and its ioctl. The latter run on this machine with --here, otherwise in guests
(tests/README.md): User-Mode Linux with 2 and 64 possible CPUs, and with an x86
kernel QEMU with 2 and 224.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "vm")]

import guest  # noqa: E402
from common import compile_c, compile_rust  # noqa: E402

NO_PROGRAMS = ("common", "run", "__init__", "__main__")
SECONDS = 3600
CPUS = {"uml": (2, 64), "qemu": (2, 224)}


def programs() -> dict[str, str]:
    """The benchmarks by name, and where each must run."""
    names = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NO_PROGRAMS)
    return {name: importlib.import_module(name).WHERE for name in names}


def machines(asked: list[str]) -> list[guest.Machine]:
    """The guests to boot. GuestError for an invalid image."""
    if asked:
        parts = [text.rpartition(":") for text in asked]
        return [guest.Machine(Path(image), int(cpus)) for image, _, cpus in parts]
    images = []
    if found := guest.find_kernel():
        images.append(found)
        beside = found.resolve().parent.parent / "x86" / "bzImage"
        if beside.is_file() and beside != found:
            images.append(beside)
    return [
        guest.Machine(image, cpus) for image in images for cpus in CPUS[guest.kernel_kind(image)]
    ]


def run_here(name: str) -> int:
    print(f"\n== {name}, on this machine", flush=True)
    module = importlib.import_module(name)
    argv, sys.argv = sys.argv, [name]
    try:
        return int(module.main())
    finally:
        sys.argv = argv


def run_in(machine: guest.Machine, name: str) -> int:
    kind = guest.kernel_kind(machine.kernel)
    print(f"\n== {name}, in {kind} with {machine.cpus} possible CPUs", flush=True)
    options = getattr(importlib.import_module(name), "IN_GUEST", ())
    command = [sys.executable, str(HERE / f"{name}.py"), *options]
    usable = os.sched_getaffinity(0)
    if kind == "uml":
        # Its system calls go from process to process, and cost five times more between two CPUs.
        os.sched_setaffinity(0, [max(usable)])
    try:
        return int(guest.run(machine, command, SECONDS))
    finally:
        os.sched_setaffinity(0, usable)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these programs")
    parser.add_argument("--machine", action="append", default=[], metavar="IMAGE:CPUS")
    parser.add_argument("--here", action="store_true", help="all on this machine, no guests")
    args = parser.parse_args()
    found = programs()
    if unknown := [name for name in args.names if name not in found]:
        parser.error(f"no program {', '.join(unknown)}; there are {', '.join(found)}")
    worst = 0
    try:
        with tempfile.TemporaryDirectory(prefix="allocq-bench-") as built:
            os.environ["ALLOCQ_BENCH_BUILT"] = built
            guests = [] if args.here else machines(args.machine)
            if guests:
                compile_c("reference")
                compile_rust("top20")
            for name, where in found.items():
                if args.names and name not in args.names:
                    continue
                if where == "host" or args.here:
                    worst = max(worst, run_here(name))
                elif not guests:
                    print(f"\n== {name}: no test kernel; {guest.HOW_TO_GET_A_KERNEL}")
                else:
                    worst = max(worst, *(run_in(machine, name) for machine in guests))
    except guest.GuestError as error:
        print(f"run: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return worst


if __name__ == "__main__":
    sys.exit(main())
