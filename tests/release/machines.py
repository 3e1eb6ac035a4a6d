"""The machines that a release is for, and what each is called by whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """name: as wheels, rpm and uname call it.

    glibc: the oldest that its wheel runs with. policies: the wheel tags of that glibc. headers: the
    oldest glibc whose headers zig has, if that is newer; the symbols are checked. pythons:
    those for which the compiled packages that allocq needs are to be had as wheels.
    flags: more for the compiler with glibc.
    """

    name: str
    zig: str
    deb: str
    rpm: str
    qemu: str
    bits: int = 64
    big_endian: bool = False
    glibc: str = "2.17"
    policies: tuple[str, ...] = ("manylinux_2_17", "manylinux2014")
    headers: str = ""
    abi: str = ""
    cpu: str = ""
    flags: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ("3.11", "3.12", "3.13", "3.14")

    @property
    def emulated(self) -> bool:
        """x86_64 runs i686 too."""
        return self.name not in ("x86_64", "i686")

    def target(self, libc: str) -> list[str]:
        """The compiler's flags for "gnu" or "musl"."""
        version = f".{self.headers or self.glibc}" if libc == "gnu" else ""
        cpu = [f"-mcpu={self.cpu}"] if self.cpu else []
        flags = self.flags if libc == "gnu" else ()
        return ["-target", f"{self.zig}-linux-{libc}{self.abi}{version}", *cpu, *flags]

    def platforms(self, libc: str) -> list[str]:
        """The platform tags of a wheel."""
        policies = self.policies if libc == "gnu" else ("musllinux_1_2",)
        return [f"{policy}_{self.name}" for policy in policies]


MACHINES = (
    Machine("x86_64", "x86_64", "amd64", "x86_64", "x86_64"),
    Machine("aarch64", "aarch64", "arm64", "aarch64", "aarch64"),
    Machine("armv7l", "arm", "armhf", "armv7hl", "arm", bits=32, abi="eabihf", pythons=()),
    Machine(
        "i686", "x86", "i386", "i686", "i386", bits=32, cpu="i686", pythons=("3.11", "3.12", "3.13")
    ),
    # With the other long double, printf() is one that glibc has from 2.32.
    Machine(
        "ppc64le",
        "powerpc64le",
        "ppc64el",
        "ppc64le",
        "ppc64le",
        headers="2.19",
        flags=("-mabi=ibmlongdouble",),
    ),
    Machine("s390x", "s390x", "s390x", "s390x", "s390x", big_endian=True),
    Machine(
        "riscv64",
        "riscv64",
        "riscv64",
        "riscv64",
        "riscv64",
        glibc="2.31",
        policies=("manylinux_2_31",),
        pythons=(),
    ),
)
LIBCS = ("gnu", "musl")
"""A wheel for each; the static program is always musl's."""


def machine_called(name: str) -> Machine:
    """Raises KeyError."""
    return {machine.name: machine for machine in MACHINES}[name]


@dataclass(frozen=True)
class Machinery:
    """Where a release is built. tools: a virtual environment with what tools.txt lists."""

    tools: Path
    cache: Path
    scratch: Path
    epoch: int
    compiled: Path | None = None
    """The compiler's own cache, if it is elsewhere."""

    @property
    def python(self) -> Path:
        return self.tools / "bin" / "python"
