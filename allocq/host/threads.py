"""The names of threads, while they live."""

from __future__ import annotations

import os

from .machine import read_line

_FIRST_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of include/linux/proc_ns.h
_IDLE = "swapper"


class ThreadNames:
    """Names by the numbers that the kernel traces, which are those of the first PID namespace."""

    def __init__(self) -> None:
        self._names: dict[int, str | None] = {0: _IDLE}
        try:
            self._ours = os.readlink("/proc/self/ns/pid") == _FIRST_NAMESPACE
        except OSError:
            self._ours = False

    def look(self, pid: int | None) -> str | None:
        """The name (comm) of a thread; None if it is gone and was not looked at before."""
        if pid is None:
            return None
        if self._names.get(pid) is None:
            self._names[pid] = read_line(f"/proc/{pid}/comm") if self._ours else None
        return self._names[pid]
