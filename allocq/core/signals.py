"""A signal's chance during a long call of the engine."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from .binding import ffi, lib


class Pulse:
    """Hooks for one call. `native` goes to C; `reraise` raises what a hook raised there."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._handle = ffi.new_handle(self)
        self.native = ffi.new("aq_hooks *")
        self.native.context = self._handle
        self.native.pulse = lib.aq_pulse_hook

    def reraise(self) -> None:
        """Raise the exception that stopped the call, if one did."""
        if self.error is not None:
            raise self.error


def keep_error(_: Any, error: BaseException, traceback: TracebackType) -> None:
    """What ffi.def_extern does with an exception of a hook."""
    ffi.from_handle(traceback.tb_frame.f_locals["context"]).error = error


@ffi.def_extern(error=1, onerror=keep_error)  # type: ignore[untyped-decorator]
def aq_pulse_hook(context: Any) -> int:
    """Running any Python lets a pending signal be answered."""
    return 0
