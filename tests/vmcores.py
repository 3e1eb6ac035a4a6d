"""Makes a vmlinux and dumps of its memory, without a kernel: vmcore/kernel.c compiled with debug
info, and its data as they would be in memory."""

from __future__ import annotations

import functools
import platform
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent / "vmcore" / "kernel.c"
PAGE, AREA = 4096, 8192
BASE = 0xFFFFFFFF81000000
_PHYSICAL = 0xFFFFFFFF80000000
RELEASE = "7.9.9-test"
CRASHED = 1_790_000_000
# Per-CPU places of the tags in kernel.c, and what is there on CPU 0, 1, 2, and on 3, which is not
# possible.
COUNTERS: Mapping[int, Sequence[tuple[int, int]]] = {
    512: [(3 << 32, 0), (4 << 32, 0), (0, 0), (99 << 32, 0)],  # free pages on a list of the CPU
    0: [(8192, 2), (4096, 1), (0, 0), (1 << 40, 99)],
    64: [(1000, 10), (2000, 20), (4000, 40), (8000, 80)],
    128: [(100, 1), (-4096, -2), (0, 0), (5, 5)],
    192: [(0, 0), (0, 0), (640, 5), (1, 1)],
    256: [(500, 1), (0, 0), (0, 0), (1, 1)],
    6000: [(0, 0), (0, 0), (0, 0), (1, 1)],
    7000: [(64, 1), (64, 1), (-64, -1), (1, 1)],
}
LINES = b"""\
       12288        3 mm/slub.c:3347 func:alloc_slab_page accurate:no 
        7000       70 mm/slub.c:12 func:kept_on_all_cpus 
       -3996 18446744073709551615 kernel/fork.c:4000000000 func:below_zero 
           0        0 kernel/fork.c:1 func:nothing 
         640        5 fs/xfs/xfs_buf.c:7 [xfs] func:xfs_buf_alloc 
          64        1 fs/xfs/xfs_buf.c:7 [xfs] func:xfs_buf_alloc 
         500        1 /home/a directory [with] func:odd words/odd.c:11 [oddtags] func:in_a_long_path 
"""  # noqa: E501, W291


@dataclass(frozen=True)
class Kernel:
    """A compiled vmlinux. segments: the memory by address; symbols: addresses by name."""

    vmlinux: Path
    build_id: str
    segments: Mapping[int, bytes]
    symbols: Mapping[str, int]


@functools.cache
def compiled(folder: Path, *macros: str, debug: bool = True) -> Kernel:
    """The kernel with these macros."""
    if platform.machine() != "x86_64" or not shutil.which("gcc"):
        pytest.skip("dumps are made with gcc on x86_64")
    vmlinux = folder / "-".join(["vmlinux", *macros, *([] if debug else ["stripped"])])
    flags = ["-std=gnu11", "-O0", "-fno-pie", "-mcmodel=kernel", "-nostdlib", "-static", "-no-pie"]
    flags += ["-g" if debug else "-g0", "-Wall", "-Wextra", "-Werror", "-Wno-unused"]
    linking = [f"-Wl,-Ttext-segment={BASE:#x}", "-Wl,-e,_stext", "-Wl,--build-id=sha1"]
    defined = [f"-D{macro}" for macro in macros]
    subprocess.run(["gcc", *flags, *linking, *defined, "-o", str(vmlinux), str(SOURCE)], check=True)
    return Kernel(vmlinux, _build_id(vmlinux), _segments(vmlinux), _symbols(vmlinux))


def _build_id(vmlinux: Path) -> str:
    words = subprocess.run(["readelf", "-n", str(vmlinux)], capture_output=True, text=True).stdout
    return words.partition("Build ID: ")[2].split()[0]


def _segments(vmlinux: Path) -> dict[int, bytes]:
    data = vmlinux.read_bytes()
    (at,), (number,) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<H", data, 56)
    found = {}
    for each in range(number):
        fields = struct.unpack_from("<IIQQQQQQ", data, at + 56 * each)
        kind, _, offset, address, _, in_file, in_memory, _ = fields
        if kind == 1 and in_memory:
            pages = -(-in_memory // PAGE) * PAGE
            found[address] = data[offset : offset + in_file].ljust(pages, b"\0")
    return found


def _symbols(vmlinux: Path) -> dict[str, int]:
    words = subprocess.run(["readelf", "-sW", str(vmlinux)], capture_output=True, text=True).stdout
    rows = [line.split() for line in words.splitlines()]
    return {row[7]: int(row[1], 16) for row in rows if len(row) == 8 and row[0][:-1].isdigit()}


@dataclass
class Dump:
    """A dump to be written. memory: by address, to be changed at will; lost: pages that are left
    out; notes: of VMCOREINFO, None to leave one out."""

    kernel: Kernel
    memory: dict[int, bytearray] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    notes: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = {at: bytearray(data) for at, data in self.kernel.segments.items()}

    def put(self, address: int, data: bytes) -> None:
        """Write to memory."""
        for start, segment in self.memory.items():
            if start <= address < start + len(segment):
                segment[address - start : address - start + len(data)] = data
                return
        raise AssertionError(f"no memory at {address:#x}")

    def put_word(self, address: int, value: int) -> None:
        self.put(address, struct.pack("<Q", value & (1 << 64) - 1))

    def at(self, name: str) -> int:
        """The address of a variable."""
        return self.kernel.symbols[name]

    def lose(self, address: int) -> None:
        """Leave out the page of an address."""
        self.lost.add(address // PAGE * PAGE)

    def write(self, path: Path) -> Path:
        """Write the dump; returns the path."""
        loads = [(at, bytes(data)) for at, data in self._kept()]
        notes = _note(b"VMCOREINFO", self._vmcoreinfo()) if self.notes is not None else b""
        start = 64 + 56 * (1 + len(loads))
        heads, body = (
            [struct.pack("<IIQQQQQQ", 4, 0, start, 0, 0, len(notes), len(notes), 0)],
            notes,
        )
        for at, data in loads:
            sizes = (len(data), len(data), 0)
            heads.append(
                struct.pack("<IIQQQQQQ", 1, 7, start + len(body), at, at - _PHYSICAL, *sizes)
            )
            body += data
        ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
        rest = struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(heads), 0, 0, 0)
        path.write_bytes(ident + rest + b"".join(heads) + body)
        return path

    def _kept(self) -> list[tuple[int, bytearray]]:
        """Runs of pages that are not lost."""
        runs: list[tuple[int, bytearray]] = []
        for start, data in sorted(self.memory.items()):
            fresh = True
            for at in range(start, start + len(data), PAGE):
                page = data[at - start : at - start + PAGE]
                if at in self.lost:
                    fresh = True
                elif fresh:
                    runs.append((at, bytearray(page)))
                    fresh = False
                else:
                    runs[-1][1].extend(page)
        return runs

    def _vmcoreinfo(self) -> bytes:
        entries: dict[str, str | None] = {
            "OSRELEASE": RELEASE,
            "BUILD-ID": self.kernel.build_id,
            "PAGESIZE": str(PAGE),
            "SYMBOL(swapper_pg_dir)": f"{self.at('swapper_pg_dir'):x}",
            "KERNELOFFSET": "0",
            "NUMBER(phys_base)": "0",
            "NUMBER(pgtable_l5_enabled)": "0",
            "NUMBER(KERNEL_IMAGE_SIZE)": "1073741824",
            **self.notes,
        }
        lines = [f"{name}={value}\n" for name, value in entries.items() if value is not None]
        return "".join(lines).encode()


def _note(name: bytes, data: bytes) -> bytes:
    name += b"\0"
    head = struct.pack("<III", len(name), len(data), 0)
    return (
        head + name.ljust(-(-len(name) // 4) * 4, b"\0") + data.ljust(-(-len(data) // 4) * 4, b"\0")
    )


def dump(
    kernel: Kernel,
    counters: Mapping[int, Sequence[tuple[int, int]]] = COUNTERS,
    first: int = 0,
) -> Dump:
    """A dump with these counters on each CPU; first: bytes before the numbers in a counter."""
    made = Dump(kernel)
    for place, by_cpu in counters.items():
        for cpu, (size, calls) in enumerate(by_cpu):
            at = made.at("areas") + AREA * cpu + place + (first if place != 512 else 0)
            made.put_word(at, size)
            made.put_word(at + 8, calls)
    return made
