"""Boots a kernel with debug info, lets it print /proc/allocinfo, and dumps its memory at once."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cpio
import madt
from guest import ONLINE_CPUS, GuestError

HERE = Path(__file__).resolve().parent
_SECONDS = 300
_MEMORY = "192M"
HOW_TO_GET_A_DEBUG_KERNEL = "set ALLOCQ_TEST_KERNEL_DEBUG (tests/README.md)"


@dataclass(frozen=True)
class DebugKernel:
    """A bzImage, its vmlinux (or vmlinux.xz) and its modules, side by side."""

    image: Path

    def has(self, module: str) -> bool:
        """Does it come with the module as a file?"""
        return bool(self.modules([module]))

    def vmlinux(self, folder: Path) -> Path:
        """The vmlinux, unpacked to a folder if it is packed."""
        plain, packed = (self.image.with_name(name) for name in ("vmlinux", "vmlinux.xz"))
        if plain.is_file():
            return plain
        if not packed.is_file():
            raise GuestError(f"no vmlinux or vmlinux.xz beside {self.image}")
        unpacked = folder / "vmlinux"
        with lzma.open(packed) as source, unpacked.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        return unpacked

    def modules(self, names: Sequence[str]) -> dict[str, bytes]:
        """The files of modules by name; those that this kernel does not have are left out."""
        folder = self.image.with_name("modules")
        found = {path.name: path for path in sorted(folder.rglob("*.ko"))}
        return {name: found[name].read_bytes() for name in names if name in found}


def find_debug_kernel() -> DebugKernel | None:
    """ALLOCQ_TEST_KERNEL_DEBUG: a bzImage, or the directory that it is in. GuestError if it is
    neither."""
    named = os.environ.get("ALLOCQ_TEST_KERNEL_DEBUG")
    if not named:
        return None
    image = Path(named) / "bzImage" if Path(named).is_dir() else Path(named)
    if not image.is_file():
        raise GuestError(f"ALLOCQ_TEST_KERNEL_DEBUG: no such file: {image}")
    return DebugKernel(image)


@dataclass(frozen=True)
class Dumped:
    """A dump, and what the kernel printed right before: parts by name, `text` among them."""

    core: Path
    printed: dict[str, str]


def dump(
    kernel: DebugKernel, folder: Path, modules: Sequence[str] = (), more_cpus: int = 0
) -> Dumped:
    """Boot, load modules, print, dump to `folder`, which is empty; more_cpus: possible, but never
    online. GuestError."""
    if shutil.which("qemu-system-x86_64") is None:
        raise GuestError("a bzImage needs qemu-system-x86_64 (Debian package qemu-system-x86)")
    core, said = folder / "vmcore", folder / "printed"
    tables = madt.initrd(ONLINE_CPUS + more_cpus) if more_cpus else b""
    (folder / "initrd").write_bytes(tables + _initrd(kernel, folder, modules))
    command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-M", "q35"]
    command += [
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        str(ONLINE_CPUS),
        "-m",
        _MEMORY,
    ]
    command += ["-display", "none", "-vga", "none", "-nic", "none", "-no-reboot"]
    command += ["-device", "vmcoreinfo", "-monitor", "stdio"]
    command += ["-serial", f"file:{folder}/console", "-serial", f"file:{said}"]
    command += ["-kernel", str(kernel.image), "-initrd", f"{folder}/initrd", "-append"]
    # An emulated timer is late on a busy machine: not a reason to panic.
    words = ["console=ttyS0", "quiet", "panic=-1", "no_timer_check", f"maxcpus={ONLINE_CPUS}"]
    command += [" ".join([*words, "--", *modules])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    ) as qemu:
        try:
            _wait(qemu, said, folder / "console")
            qemu.communicate(f'stop\ndump-guest-memory "{core}"\nquit\n'.encode(), _SECONDS)
        except BaseException:
            qemu.kill()
            raise
    printed = dict(re.findall(r"^\[(.*)\n((?:.*\n)*?)\]$", said.read_text(), re.MULTILINE))
    (folder / "initrd").unlink()
    if "failed" in printed:
        raise GuestError(f"the guest could not load {printed['failed'].strip()}")
    return Dumped(core, printed)


def _wait(qemu: subprocess.Popen[bytes], said: Path, console: Path) -> None:
    """Until the guest has printed all. GuestError if it does not."""
    end = time.monotonic() + _SECONDS
    while not (said.exists() and said.read_bytes().endswith(b"[end\n]\n")):
        if time.monotonic() > end or qemu.poll() is not None:
            last = console.read_text(errors="replace")[-2000:] if console.exists() else ""
            raise GuestError(f"the guest printed no end; its console:\n{last}")
        time.sleep(0.02)


def _initrd(kernel: DebugKernel, folder: Path, modules: Sequence[str]) -> bytes:
    init = folder / "init"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-static"]
    subprocess.run(["cc", *flags, "-o", str(init), str(HERE / "dump-init.c")], check=True)
    files = dict.fromkeys(("proc", "sys", "dev", "tmp", "modules"), (cpio.DIRECTORY, b""))
    files["init"] = (cpio.PROGRAM, init.read_bytes())
    for name, data in kernel.modules(modules).items():
        files[f"modules/{name}"] = (cpio.FILE, data)
    return cpio.archive(files)


def put_headers_first(core: Path) -> None:
    """Move the program headers of a QEMU dump to where makedumpfile takes them for granted, right
    behind the ELF header; QEMU leaves room there."""
    with core.open("r+b") as file:
        head = bytearray(file.read(4096))
        (at,) = struct.unpack_from("<Q", head, 32)
        (number,) = struct.unpack_from("<H", head, 56)
        notes = min(struct.unpack_from("<Q", head, at + 56 * i + 8)[0] for i in range(number))
        assert 64 + 56 * number <= notes, "no room for the headers"
        head[64 : 64 + 56 * number] = head[at : at + 56 * number]
        struct.pack_into("<QQ", head, 32, 64, 0)
        struct.pack_into("<HH", head, 60, 0, 0)
        file.seek(0)
        file.write(head)


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Where dumps are put; larger than what pytest should keep of its last runs."""
    return tempfile.TemporaryDirectory(prefix="allocq-dump-")
