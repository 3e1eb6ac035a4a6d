"""What Python adds to a scan in C: regular expressions, and an ear for Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .binding import ffi, lib
from .signals import Pulse, keep_error
from .table import Table

Search = Callable[[Table], bytes]
"""One byte a row: 0 where the regular expressions drop it."""


class Hooks(Pulse):
    """The hooks of one scan."""

    def __init__(self, search: Search | None = None) -> None:
        super().__init__()
        self.search = search
        if search is not None:
            self.native.search = lib.aq_search_hook


@ffi.def_extern(error=1, onerror=keep_error)  # type: ignore[untyped-decorator]
def aq_search_hook(context: Any, native: Any, keep: Any) -> int:
    table = Table.borrowed(native)
    flags = ffi.buffer(keep, len(table))
    passed = ffi.from_handle(context).search(table)
    flags[:] = bytes(a & b for a, b in zip(flags[:], passed, strict=True))
    return 0
