"""Wheels and static programs, and what must be true of them."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from .compilers import basic_environment, compiler, environment
from .machines import Machine, Machinery
from .tree import backend, unpack


def make_wheel(
    machinery: Machinery, sdist: Path, machine: Machine, libc: str, output: Path
) -> Path:
    """The wheel for one machine and C library, by its tags."""
    work = machinery.scratch / f"wheel-{machine.name}-{libc}"
    tree = unpack(sdist, work / "tree", machinery.epoch)
    env = environment(machinery, machine, libc)
    name = backend(machinery, tree, f"build_wheel({str(work)!r})", env)
    platform = ".".join(machine.platforms(libc))
    words = ["wheel", "tags", "--remove", f"--platform-tag={platform}", str(work / name)]
    run(machinery, [machinery.python, "-m", *words])
    (wheel,) = work.glob("*.whl")
    check_wheel(machinery, wheel, machine, libc, work / "check")
    path = output / wheel.name
    shutil.copyfile(wheel, path)
    shutil.rmtree(work)
    return path


def run(machinery: Machinery, words: list[str | Path]) -> str:
    """Run a tool; returns its output. Raises RuntimeError."""
    done = subprocess.run(words, env=basic_environment(machinery), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def check_wheel(machinery: Machinery, wheel: Path, machine: Machine, libc: str, work: Path) -> None:
    """Its extension needs no newer C library than its tags say, and only the stable ABI."""
    run(machinery, [machinery.python, "-m", "abi3audit", "--strict", str(wheel)])
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (script,) = [name for name in names if name.endswith(".data/scripts/allocq")]
        archive.extract("allocq/_native.abi3.so", work)
        archive.extract(script, work)
    check_program(machinery, work / script, machine)
    extension = work / "allocq" / "_native.abi3.so"
    is_for(machinery, extension, machine)
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", readelf(extension, "-d")))
    if libc == "musl":
        if needed - {"libc.so"}:
            raise RuntimeError(f"{wheel.name}: needs {sorted(needed)}")
        return
    # It links all the same, as it does without Python: a newer glibc may have them.
    if unknown := unversioned(readelf(extension, "--dyn-syms")):
        raise RuntimeError(f"{wheel.name}: glibc {machine.glibc} has no {', '.join(unknown)}")
    versions = set(re.findall(r"\bGLIBC_([0-9.]+)", readelf(extension, "-V")))
    newest = max((tuple(map(int, version.split("."))) for version in versions), default=(0,))
    if newest > tuple(map(int, machine.glibc.split("."))):
        raise RuntimeError(f"{wheel.name}: needs glibc {'.'.join(map(str, newest))}")
    if not needed <= {"libc.so.6", "libpthread.so.0", "ld64.so.1", "ld-linux-armhf.so.3"}:
        raise RuntimeError(f"{wheel.name}: needs {sorted(needed)}")


def unversioned(symbols: str) -> list[str]:
    """What readelf lists as needed that is neither Python's nor of a library that was linked."""
    return re.findall(r"GLOBAL +DEFAULT +UND +((?!_?Py)[^@\s]+)$", symbols, re.MULTILINE)


def make_static(machinery: Machinery, tree: Path, machine: Machine, output: Path) -> Path:
    """The program by itself, for a rescue system."""
    work = machinery.scratch / f"static-{machine.name}"
    # Zig's compiler knows no -static-pie: it makes one with -static and -fPIE.
    words = [
        f"BUILD={work}",
        f"CC={compiler(machinery, machine, 'musl')}",
        "STATIC=-static",
        "static",
    ]
    run(machinery, ["make", "-s", "-C", str(tree / "allocq" / "core"), *words])
    path = output / f"allocq-{machine.name}-static"
    shutil.copyfile(work / "allocq-static", path)
    path.chmod(0o755)
    check_program(machinery, path, machine)
    return path


def check_program(machinery: Machinery, program: Path, machine: Machine) -> None:
    """It is for this machine, needs no library, and runs at an address chosen at random."""
    is_for(machinery, program, machine)
    if "INTERP" in readelf(program, "-l") or "NEEDED" in readelf(program, "-d"):
        raise RuntimeError(f"{program}: not linked statically")
    if "DYN (" not in readelf(program, "-h"):
        raise RuntimeError(f"{program}: not position-independent")


_ELF = {
    "x86_64": "X86-64",
    "aarch64": "AArch64",
    "armv7l": "ARM",
    "i686": "80386",
    "ppc64le": "PowerPC64",
    "s390x": "S/390",
    "riscv64": "RISC-V",
}


def is_for(machinery: Machinery, file: Path, machine: Machine) -> None:
    """Raises RuntimeError where the file is another machine's."""
    header = readelf(file, "-h")
    endian = "big endian" if machine.big_endian else "little endian"
    for word in (_ELF[machine.name], f"ELF{machine.bits}", endian):
        if word not in header:
            raise RuntimeError(f"{file}: not for {machine.name}:\n{header}")


def readelf(file: Path, what: str) -> str:
    return subprocess.run(
        ["readelf", "-W", what, str(file)], check=True, capture_output=True, text=True
    ).stdout
