"""What file a crash dump is, told by its content, and whether its debug info fits it.

All of this is known before drgn is asked: the kind, what is missing at its end, VMCOREINFO.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import struct
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from ...errors import AccessError, FormatError, SourceError, UsageError
from ...host.opening import open_at_once
from ...storage.archive import unpacking
from .elf import Elf, ElfType, build_id_of_notes
from .recognise import ELF, FLATTENED, KDUMP, LONGEST, read_at

_VMCOREINFO = b"VMCOREINFO"
_LONGEST_INFO = 1 << 20
_KERNEL_NOTES = "/sys/kernel/notes"
_DEBUG_INFO = (b".debug_info", b".zdebug_info")
_DEBUG_LINK = b".gnu_debuglink"
_INCOMPLETE = 8  # DUMP_DH_COMPRESSED_INCOMPLETE
_LAST_PAGES = 4096
_HEAD = 1024
_OF_A_PROCESS = (3, 6, 0x46494C45)  # NT_PRPSINFO, NT_AUXV, NT_FILE
_BOOT_IMAGES = ((514, b"HdrS"), (56, b"ARM\x64"), (56, b"RSC\x05"))


class DumpKind(StrEnum):
    """How a dump is written; KCORE is the memory of the running kernel."""

    ELF = "ELF"
    KDUMP = "kdump-compressed"
    KCORE = "kcore"


@dataclass(frozen=True, slots=True)
class Dump:
    """A dump. vmcoreinfo: what the kernel noted about itself, by name. level: which pages were left
    out (makedumpfile -d), None if unknown."""

    path: str
    kind: DumpKind
    vmcoreinfo: dict[str, str]
    level: int | None = None

    @property
    def is_live(self) -> bool:
        """Is it the memory of the running kernel?"""
        return self.kind is DumpKind.KCORE

    @property
    def release(self) -> str:
        """The kernel's release, or an empty string."""
        return self.vmcoreinfo.get("OSRELEASE", "")

    @property
    def build_id(self) -> str:
        """The kernel's build id, or an empty string."""
        own = self.vmcoreinfo.get("BUILD-ID", "").lower()
        if own or not self.is_live:
            return own
        with contextlib.suppress(OSError), open(_KERNEL_NOTES, "rb") as file:
            return build_id_of_notes(file.read(1 << 16)) or ""
        return ""

    @property
    def page_size(self) -> int:
        """Bytes in a page; 0 if unknown."""
        value = self.vmcoreinfo.get("PAGESIZE", "")
        size = int(value) if value.isascii() and value.isdigit() and len(value) < 8 else 0
        return size if size in (1 << bits for bits in range(12, 17)) else 0

    @property
    def crash_time(self) -> float | None:
        """When the kernel crashed, in seconds since 1970; None if it did not say."""
        value = self.vmcoreinfo.get("CRASHTIME", "")
        return float(value) if value.isascii() and value.isdigit() and len(value) < 12 else None


def examine(fd: int, path: str) -> Dump:
    """What dump it is. FormatError where it is none, or not whole."""
    try:
        size = os.fstat(fd).st_size
        head = read_at(fd, LONGEST, 0)
        if head.startswith(FLATTENED):
            raise FormatError(
                f"{path} is a flattened dump, as makedumpfile -F writes it",
                f"put it together: makedumpfile -R vmcore <{path}",
            )
        if head.startswith(KDUMP):
            return _kdump(fd, path, size)
        return _elf(fd, path, size)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None


def _elf(fd: int, path: str, size: int) -> Dump:
    elf = Elf(partial(read_at, fd), path)
    if elf.type is not ElfType.CORE:
        raise FormatError(
            f"{path} is an ELF file, but not a crash dump",
            "name the dump with --source, and the kernel's debug info with --vmlinux",
        )
    is_kcore = _is_in_proc(fd)
    if not is_kcore and elf.end > size:
        raise FormatError(f"{path} is truncated: it has {size:,} of {elf.end:,} bytes")
    is_process = False
    for note in elf.notes():
        if note.name == _VMCOREINFO:
            return Dump(path, DumpKind.KCORE if is_kcore else DumpKind.ELF, _entries(note.data))
        is_process |= note.name == b"CORE" and note.type in _OF_A_PROCESS
    if is_kcore:
        return Dump(path, DumpKind.KCORE, {})
    if is_process:
        raise FormatError(f"{path} is the core dump of a process, not of a kernel")
    raise FormatError(
        f"{path} is a dump without VMCOREINFO, which says what kernel it is of",
        "a dump of a QEMU guest has it with: -device vmcoreinfo",
    )


def _is_in_proc(fd: int) -> bool:
    try:
        return os.fstat(fd).st_dev == os.stat("/proc/self").st_dev
    except OSError:
        return False


def _kdump(fd: int, path: str, size: int) -> Dump:
    """include/linux/diskdump.h of makedumpfile: a header, a second one, two bitmaps, descriptors of
    pages, pages."""
    truncated = FormatError(f"{path} is truncated, or makedumpfile could not finish it")
    head = read_at(fd, 464, 0)
    if len(head) < 464:
        raise truncated
    order = "<" if 0 < int.from_bytes(head[8:12], "little") < 1 << 16 else ">"
    status, block, more, bitmaps = struct.unpack_from(f"{order}IiII", head, 424)
    if block not in (1 << bits for bits in range(9, 21)):
        raise FormatError(f"{path} is damaged: blocks of {block} bytes in a dump")
    if status & _INCOMPLETE:
        raise truncated
    second = read_at(fd, 64, block)
    if len(second) < 64:
        raise truncated
    level, is_part = struct.unpack_from(f"{order}ii", second, 8)
    if is_part:
        raise FormatError(
            f"{path} is a part of a dump, as makedumpfile --split writes it",
            "put it together: makedumpfile --reassemble PART... vmcore",
        )
    info_at, info_size = struct.unpack_from(f"{order}QQ", second, 32)
    if not 0 < info_size <= _LONGEST_INFO:
        raise FormatError(f"{path} has no VMCOREINFO: it was made of a dump without it")
    info = read_at(fd, info_size, info_at)
    descriptors = block * (1 + more + bitmaps)
    if len(info) < info_size or descriptors > size:
        raise truncated
    if _end_of_pages(fd, descriptors, block * (1 + more), block * bitmaps, order) > size:
        raise truncated
    return Dump(path, DumpKind.KDUMP, _entries(info), level)


def _end_of_pages(fd: int, at: int, bitmaps_at: int, bitmaps_size: int, order: str) -> int:
    """Where the last pages end, by the descriptors of the last ones."""
    pages, half, read = 0, bitmaps_size // 2, 0
    while read < half and (
        piece := read_at(fd, min(1 << 20, half - read), bitmaps_at + half + read)
    ):
        pages += int.from_bytes(piece, "little").bit_count()
        read += len(piece)
    layout = struct.Struct(f"{order}QIIQ")
    first = max(0, pages - _LAST_PAGES)
    end = at + pages * layout.size
    data = read_at(fd, (pages - first) * layout.size, at + first * layout.size)
    whole = len(data) - len(data) % layout.size
    ends: list[int] = [at + size for at, size, _, _ in layout.iter_unpack(data[:whole])]
    return max([end, *ends])


def _entries(data: bytes) -> dict[str, str]:
    text = data[:_LONGEST_INFO].rstrip(b"\0").decode("utf-8", "replace")
    entries: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and value.isprintable():
            entries.setdefault(name, value)
    return entries


def check_vmlinux(vmlinux: str, dump: Dump) -> None:
    """Is this the kernel of the dump, with its debug info? SourceError, FormatError."""
    try:
        with open(vmlinux, "rb", buffering=0, opener=open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"--vmlinux {vmlinux}: not a regular file", where(dump))
            _check(file.fileno(), vmlinux, dump)
    except FileNotFoundError:
        raise SourceError(f"no such file: {vmlinux}", where(dump)) from None
    except PermissionError:
        raise AccessError(f"{vmlinux}: permission denied") from None
    except OSError as error:
        raise SourceError(f"cannot read {vmlinux}: {error.strerror}", where(dump)) from None


def _check(fd: int, vmlinux: str, dump: Dump) -> None:
    head = read_at(fd, _HEAD, 0)
    if not head:
        raise FormatError(f"{vmlinux} is empty", where(dump))
    if command := unpacking(head, vmlinux):
        raise FormatError(
            f"{vmlinux} is compressed, and a vmlinux is read uncompressed",
            f"decompress it: {command}",
        )
    if any(head[at:].startswith(magic) for at, magic in _BOOT_IMAGES):
        raise FormatError(f"{vmlinux} is a boot image, which has no debug info", where(dump))
    if not head.startswith(ELF):
        raise FormatError(f"{vmlinux} is not a vmlinux, which is an ELF file", where(dump))
    elf = Elf(partial(read_at, fd), vmlinux)
    if elf.type not in (ElfType.PROGRAM, ElfType.SHARED):
        raise FormatError(f"{vmlinux} is an ELF file, but not a kernel", where(dump))
    section_names = elf.section_names()  # they are at the end: FormatError if it is cut off
    own = elf.build_id()
    if not dump.build_id:
        raise FormatError(f"{dump.path} has no build id: cannot tell whether {vmlinux} fits")
    if own != dump.build_id:
        raise FormatError(
            f"{vmlinux} is another build than the kernel of {dump.path}: build id"
            f" {own or 'missing'}, not {dump.build_id}",
            where(dump),
        )
    if not section_names.intersection(_DEBUG_INFO):
        raise FormatError(f"{vmlinux} has no debug info", _beside(vmlinux, elf) or where(dump))


def _beside(vmlinux: str, elf: Elf) -> str:
    """The debug info that a stripped vmlinux says it has beside it, if that is there."""
    name = os.fsdecode(elf.section(_DEBUG_LINK).partition(b"\0")[0])
    folder = os.path.dirname(vmlinux)
    for place in (os.path.join(folder, name), os.path.join(folder, ".debug", name)):
        if name and "/" not in name and os.path.isfile(place):
            return f"--vmlinux {shlex.quote(place)}"
    return ""


def where(dump: Dump) -> str:
    """Where the debug info of a dump's kernel usually is."""
    release = dump.release or (os.uname().release if dump.is_live else "RELEASE")
    places = [
        f"/usr/lib/debug/boot/vmlinux-{release}",
        f"/usr/lib/debug/lib/modules/{release}/vmlinux",
    ]
    if build_id := dump.build_id:
        places.append(f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug")
    for place in places:
        if os.path.isfile(place):
            return f"--vmlinux {place}"
    words = f"--vmlinux {places[0]}, of the kernel's debug package"
    if dump.build_id:
        words += f", or what 'debuginfod-find debuginfo {dump.build_id}' downloads"
    return words
