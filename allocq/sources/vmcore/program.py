"""A dump as drgn reads it: the only file that imports drgn."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, Literal

from ...errors import FormatError, SourceError
from .memory import Unknown, Unreadable

INSTALL = "pip install 'allocq[vmcore]'"
_DEFAULT_PAGE_SIZE = 4096


class Program:
    """A Kernel (see memory.py) in a dump. SourceError, FormatError where drgn cannot read it."""

    def __init__(self, fd: int, path: str, vmlinux: str, page_size: int) -> None:
        """fd: of the dump; drgn closes its own. vmlinux: the kernel with its debug info."""
        drgn = _drgn(path)
        self._drgn = drgn
        self._program: Any = drgn.Program()
        # Nothing is looked for by itself, least of all over the network (debuginfod).
        self._program.set_enabled_debug_info_finders([])
        self._try(path, lambda: self._program.set_core_dump(os.dup(fd)))
        self._try(vmlinux, lambda: self._program.load_debug_info([vmlinux]))
        if not self._program.flags & drgn.ProgramFlags.IS_LINUX_KERNEL:
            raise FormatError(f"{path} is not the dump of a kernel")
        if self._program.main_module().wants_debug_file():
            raise SourceError(f"drgn finds no debug info for {path} in {vmlinux}")
        platform = self._program.platform
        self.word = 8 if platform.flags & drgn.PlatformFlags.IS_64_BIT else 4
        little = platform.flags & drgn.PlatformFlags.IS_LITTLE_ENDIAN
        self.order: Literal["little", "big"] = "little" if little else "big"
        self.page_size = page_size or _DEFAULT_PAGE_SIZE
        architectures = drgn.Architecture
        self.is_upper_half = platform.arch in (
            architectures.X86_64,
            architectures.AARCH64,
            architectures.PPC64,
            architectures.RISCV64,
        )
        self._types: dict[str, Any] = {}

    def _try(self, path: str, step: Callable[[], object]) -> None:
        try:
            step()
        except MemoryError:
            raise
        except Exception as error:  # drgn raises plain ones for what libraries below it say
            words = " ".join(str(error).split()) or type(error).__name__
            raise SourceError(f"drgn cannot read {path}: {words}") from None

    def read(self, address: int, size: int) -> bytes:
        try:
            return bytes(self._program.read(address, size))
        except MemoryError:
            raise
        except Exception:  # FaultError, and what libkdumpfile says of a page that was left out
            raise Unreadable(address) from None

    def symbol(self, name: str) -> int:
        return int(self._variable(name).address_)

    def field(self, name: str, member: str) -> int:
        variable = self._variable(name)
        kind = _plain(variable.type_)
        while kind.kind.name == "ARRAY":
            kind = _plain(kind.type)
        try:
            return int(variable.address_) + int(self._drgn.offsetof(kind, member))
        except (LookupError, TypeError, ValueError):
            raise Unknown(f"{name} has no {member}") from None

    def length(self, name: str) -> int:
        return int(self._variable(name).type_.length or 0)

    def _variable(self, name: str) -> Any:
        try:
            variable = self._program[name]
        except LookupError:
            raise Unknown(name) from None
        if variable.address_ is None:
            raise Unknown(name)
        return variable

    def offset(self, type: str, member: str) -> int:
        try:
            return int(self._drgn.offsetof(self._type(type), member))
        except (LookupError, TypeError, ValueError):
            raise Unknown(f"{type} has no {member}") from None

    def size(self, type: str, member: str = "") -> int:
        found = self._type(type)
        try:
            for name in member.split(".") if member else ():
                found = _plain(found).member(name).type
            return int(self._drgn.sizeof(found))
        except (LookupError, TypeError, ValueError):
            raise Unknown(f"{type} has no {member}") from None

    def constant(self, name: str) -> int:
        try:
            return int(self._program[name])
        except (LookupError, TypeError, ValueError):
            raise Unknown(name) from None

    def _type(self, name: str) -> Any:
        if name not in self._types:
            try:
                self._types[name] = self._program.type(name)
            except LookupError:
                raise Unknown(name) from None
        return self._types[name]


def _plain(type_: Any) -> Any:
    """What a typedef names."""
    while hasattr(type_, "kind") and type_.kind.name == "TYPEDEF":
        type_ = type_.type
    return type_


def _drgn(path: str) -> Any:
    try:
        import drgn  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise SourceError(
            f"{path} is a crash dump: drgn, which reads it, is not installed", INSTALL
        ) from None
    if not hasattr(drgn.Program, "set_enabled_debug_info_finders"):
        raise SourceError(f"drgn {drgn.__version__} is too old to read {path}", INSTALL) from None
    logging.getLogger("drgn").addHandler(logging.NullHandler())
    return drgn
