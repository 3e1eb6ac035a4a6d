"""Generated questions on other machines: their Python, emulated, asks the extension and the program
about simulated kernels, and compares the answers with the oracle's (tests/corpus.py)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .compilers import basic_environment, compiler
from .machines import Machine, Machinery
from .packages import SITE
from .roots import Root, debootstrap, run
from .tree import ROOT
from .wheels import run as run_tool

# Suite, and what its Python needs beside what the deb brings along.
SUITES = {"s390x": "bookworm", "ppc64le": "bookworm", "riscv64": "trixie", "armv7l": "trixie"}
OTHERS = ("python3-cffi-backend", "python3-orjson")
# Of hypothesis, command.py has only settings.
STAND_IN = "def settings(**_):\n    pass\n"
RECORD = """
import random, sys
from pathlib import Path
sys.path.insert(0, "/t/tests")
import simulated
simulated.write(Path("/t/kernel"), simulated.tags(random.Random(5), 600, 8), 9, 4)
"""


def check_foreign(
    machinery: Machinery, machine: Machine, deb: Path, static: Path, questions: int
) -> None:
    """Ask so many questions; then read here what was saved there. Raises RuntimeError."""
    root = prepare(machinery, machine, deb)
    emulator = _emulator(machine)
    try:
        program = " ".join([*emulator, "/t/allocq"])
        words = ["/t/tests/corpus.py", "--worker", program, "--questions", str(questions)]
        said = python(root, machine, *words)
        if said:
            raise RuntimeError(f"{machine.name}: {said[:3000]}")
        check_static(root, machine, static)
        check_saved(root, machine)
    finally:
        shutil.rmtree(root.path)


def _emulator(machine: Machine) -> list[str]:
    return [f"/usr/bin/qemu-{machine.qemu}-static"] if machine.emulated else []


def prepare(machinery: Machinery, machine: Machine, deb: Path) -> Root:
    """A root of that machine with Python, what the deb brings along, the tests and the shim."""
    suite = SUITES.get(machine.name, "trixie")
    include = ("python3", *(OTHERS if not machine.pythons else ()))
    made = debootstrap(machinery, suite, machine.deb, include)
    root = Root(machinery.scratch / f"foreign-{machine.name}")
    run(["cp", "-a", made, root.path])
    for archive in (*(root.path / "var/cache/apt/archives").glob("*.deb"), deb):
        unpacked = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE)
        words = ["tar", "-x", "-C", root.path, "--keep-directory-symlink"]
        subprocess.run(words, stdin=unpacked.stdout, check=True)
        if unpacked.wait():
            raise RuntimeError(f"{archive}: cannot be unpacked")
    for emulator in _emulator(machine):
        shutil.copy(emulator, root.path / "usr/bin")
    place = root.path / "t"
    core = ROOT / "allocq" / "core"
    (place / "allocq").mkdir(parents=True)
    shutil.copytree(
        ROOT / "tests", place / "tests", ignore=shutil.ignore_patterns("corpus", "cases")
    )
    (place / "lib").mkdir()
    (place / "lib" / "hypothesis.py").write_text(STAND_IN)
    cc = compiler(machinery, machine, "gnu")
    shim = ROOT / "tests" / "fuzz" / "simulated.c"
    run_tool(machinery, [cc, "-shared", "-fPIC", "-O2", f"-I{core}", shim, "-o", place / "shim.so"])
    (place / "allocq").rmdir()
    words = ["make", "-s", "-C", core, f"CC={cc}", f"BUILD={place / 'build'}"]
    subprocess.run(words, env=basic_environment(machinery), check=True)
    shutil.move(place / "build" / "allocq", place / "allocq")
    return root


def python(root: Root, machine: Machine, *words: str) -> str:
    """Run its Python on the simulated kernel."""
    (interpreter,) = (path for path in (root.path / "usr/bin").glob("python3.??"))
    emulated = [*_emulator(machine), "-E", "LD_PRELOAD=/t/shim.so"]
    if not _emulator(machine):
        emulated = ["/usr/bin/env", "LD_PRELOAD=/t/shim.so"]
    return root.run(
        *emulated, f"/usr/bin/{interpreter.name}", *words,
        PYTHONPATH=f"/{SITE}:/t/lib", PYTHONHASHSEED="0", SIMULATED_KERNEL="/t/kernel",
    )  # fmt: skip


def check_static(root: Root, machine: Machine, static: Path) -> None:
    """The released program answers from a saved text as this machine's does."""
    shutil.copy(static, root.path / "t" / "static")
    shutil.copy(ROOT / "allocq" / "sample.txt", root.path / "t")
    emulator = [str(root.path) + word for word in _emulator(machine)]
    sample = str(root.path / "t" / "sample.txt")
    for words in (
        ("-o", "jsonl"), ("-o", "csv", "--sort", "bytes", "-n", "40"), ("--min-size", "1M"),
        ("-f", "rapl.c", "--count"), ("-x", "mm/", "-o", "tsv", "--sort", "calls", "--reverse"),
    ):  # fmt: skip
        query = ["query", "--source", sample, *words]
        there = run([*emulator, root.path / "t" / "static", *query])
        if there != run([here(root), *query]):
            raise RuntimeError(f"{machine.name}: the static program answers {words} otherwise")


def check_saved(root: Root, machine: Machine) -> None:
    """A snapshot and a recording that were made there are the same when read here."""
    python(root, machine, "-c", RECORD)
    python(root, machine, "-m", "allocq", "snapshot", "/t/saved.gz")
    for _ in range(3):
        python(root, machine, "-m", "allocq", "record", "--directory", "/t/recording", "--once")
    for name in ("saved.gz", "recording"):
        query = ["query", "-o", "csv", "--source"]
        there = python(root, machine, "-m", "allocq", *query, f"/t/{name}")
        if there.count("\n") < 100 or there != run([here(root), *query, root.path / "t" / name]):
            raise RuntimeError(f"{machine.name}: {name} is read otherwise here")


def here(root: Root) -> Path:
    """This machine's allocq, installed by roots.environment()."""
    return root.path.parent / "here" / "bin" / "allocq"
