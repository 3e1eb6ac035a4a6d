"""What a kernel's memory says of the machine: host, release, boot, time, profiling on or off."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from .memory import Memory, Unknown, Unreadable

_UTS, _NAME = "struct uts_namespace", "struct new_utsname"
_NO_BOOT_ID = bytes(16)


def _known(ask: Callable[[Memory], str | None], memory: Memory) -> str | None:
    try:
        return ask(memory)
    except (Unknown, Unreadable):
        return None


def host(memory: Memory) -> str | None:
    """The name of the machine; None if it cannot be read."""
    return _known(lambda memory: _uts(memory, "nodename"), memory)


def release(memory: Memory) -> str | None:
    """The kernel's release; None if it cannot be read."""
    return _known(lambda memory: _uts(memory, "release"), memory)


def _uts(memory: Memory, member: str) -> str | None:
    kernel = memory.kernel
    at = kernel.offset(_UTS, f"name.{member}")
    data = memory.small(kernel.symbol("init_uts_ns") + at, kernel.size(_NAME, member))
    text = data.partition(b"\0")[0].decode("utf-8", "replace")
    return text if text.isprintable() and text else None


def boot_id(memory: Memory) -> str | None:
    """/proc/sys/kernel/random/boot_id; None where nothing asked for it, as it is made when it is
    read for the first time."""

    def ask(memory: Memory) -> str | None:
        data = memory.small(memory.kernel.symbol("sysctl_bootid"), 16)
        return None if data == _NO_BOOT_ID else str(uuid.UUID(bytes=data))

    return _known(ask, memory)


def content_id(memory: Memory) -> str | None:
    """What the ioctl would return as the content id; None on kernels without it."""

    def ask(memory: Memory) -> str | None:
        kernel = memory.kernel
        at = kernel.offset("struct codetag_type", "content_id")
        size = kernel.size("struct codetag_type", "content_id")
        type_at = memory.pointer(kernel.symbol("alloc_tag_cttype"))
        return str(memory.unsigned(type_at + at, size))

    return _known(ask, memory)


def seconds(memory: Memory) -> float | None:
    """The kernel's clock when it stopped: seconds since 1970, as of its last tick."""
    for name in ("timekeeper_data", "tk_core"):  # an array of them, or the only one
        try:
            return _xtime(memory, memory.kernel.field(name, "timekeeper"))
        except (Unknown, Unreadable):
            continue
    return None


def _xtime(memory: Memory, at: int) -> float | None:
    kernel, type_ = memory.kernel, "struct timekeeper"
    whole = memory.unsigned(at + kernel.offset(type_, "xtime_sec"), 8)
    shift = memory.unsigned(at + kernel.offset(type_, "tkr_mono.shift"), 4)
    part = memory.unsigned(at + kernel.offset(type_, "tkr_mono.xtime_nsec"), 8)
    nanoseconds = part >> shift if shift < 64 else 0
    if not 0 < whole < 1 << 40 or nanoseconds > 10**10:
        return None
    return whole + nanoseconds / 10**9


def profiling(memory: Memory) -> bool | None:
    """Is it counting (vm.mem_profiling)? None if unknown."""
    kernel = memory.kernel
    try:
        at = kernel.symbol("mem_alloc_profiling_key") + kernel.offset(
            "struct static_key", "enabled"
        )
        return memory.signed(at, 4) > 0
    except (Unknown, Unreadable):
        return None
