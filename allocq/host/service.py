"""What a service needs of the system: to say that it is ready, to stay alive, to know the time."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import time

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # include/uapi/asm-generic/mman.h


def notify(*states: str) -> None:
    """Tell the service manager, as sd_notify(3) does; nothing where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto("\n".join(states).encode(), address)


def watchdog_seconds() -> float | None:
    """How often the service manager wants a sign of life at least; None if it does not."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None


def survive() -> None:
    """Be among the last that the kernel kills when memory runs out, and stay in memory; as far as
    this user may."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("-900")
    with contextlib.suppress(AttributeError, ImportError, OSError):
        import ctypes

        ctypes.CDLL(None).mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)


def settle() -> None:
    """Give back the memory that only starting took, and look no more for garbage in the rest."""
    gc.collect()
    gc.freeze()
    give_back()


def give_back() -> None:
    """Give memory that is not used any more back to the system."""
    with contextlib.suppress(AttributeError, ImportError, OSError):  # glibc alone has it
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)


def boottime_ns() -> int:
    """Nanoseconds since the boot, suspended time included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
