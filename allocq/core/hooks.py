"""What Python adds to a scan in C: regular expressions, and an ear for Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from .binding import ffi, lib
from .table import Table

Search = Callable[[Table], bytes]
"""One byte a row: 0 where the regular expressions drop it."""


class Hooks:
    """The hooks of one scan. `native` goes to C; `reraise` raises what a hook raised there."""

    def __init__(self, search: Search | None = None) -> None:
        self.search = search
        self.error: BaseException | None = None
        self._handle = ffi.new_handle(self)
        self.native = ffi.new("aq_hooks *")
        self.native.context = self._handle
        self.native.pulse = lib.aq_pulse_hook
        if search is not None:
            self.native.search = lib.aq_search_hook

    def reraise(self) -> None:
        """Raise the exception that stopped the scan, if one did."""
        if self.error is not None:
            raise self.error


def _keep(_: Any, error: BaseException, traceback: TracebackType) -> None:
    ffi.from_handle(traceback.tb_frame.f_locals["context"]).error = error


@ffi.def_extern(error=1, onerror=_keep)  # type: ignore[untyped-decorator]
def aq_pulse_hook(context: Any) -> int:
    """Running any Python lets a pending signal be answered."""
    return 0


@ffi.def_extern(error=1, onerror=_keep)  # type: ignore[untyped-decorator]
def aq_search_hook(context: Any, native: Any, keep: Any) -> int:
    table = Table.borrowed(native)
    flags = ffi.buffer(keep, len(table))
    passed = ffi.from_handle(context).search(table)
    flags[:] = bytes(a & b for a, b in zip(flags[:], passed, strict=True))
    return 0
