"""The only importer of the extension, and the one place where its results become exceptions."""

from __future__ import annotations

import os
from errno import ENOMEM
from typing import Any, NoReturn

from .._native import ffi, lib
from ..errors import AccessError, AllocqError, FormatError, InterfaceError, SourceError

__all__ = ["check", "decode", "encode", "ffi", "lib", "new_problem", "owned", "raise_problem"]

_PROBLEMS: dict[int, type[AllocqError]] = {
    lib.AQ_P_SOURCE: SourceError,
    lib.AQ_P_ACCESS: AccessError,
    lib.AQ_P_INTERFACE: InterfaceError,
    lib.AQ_P_FORMAT: FormatError,
}


def encode(text: str) -> bytes:
    """The bytes of a name; surrogates stand for bytes that are not UTF-8 (PEP 383)."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: Any, length: int | None = None) -> str:
    """The text of a C string: NUL-terminated, or `length` bytes."""
    raw = ffi.string(data) if length is None else ffi.buffer(data, length)[:]
    return str(raw, "utf-8", "surrogateescape")


def owned(native: Any, free: Any) -> Any:
    """A handle that is freed with its Python object. MemoryError for NULL."""
    if native == ffi.NULL:
        raise MemoryError
    return ffi.gc(native, free)


def check(error: int) -> None:
    """Raise what -errno stands for."""
    if error == -ENOMEM:
        raise MemoryError
    if error < 0:
        raise OSError(-error, os.strerror(-error))


def new_problem() -> Any:
    """Room for the engine's words about what went wrong."""
    return ffi.new("aq_problem *")


def raise_problem(problem: Any) -> NoReturn:
    """Raise the exception that a filled aq_problem stands for."""
    if problem.kind == lib.AQ_P_MEMORY:
        raise MemoryError
    error = _PROBLEMS.get(problem.kind, SourceError)
    raise error(decode(problem.message), decode(problem.hint))
