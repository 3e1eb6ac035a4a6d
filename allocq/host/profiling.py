"""Turns memory allocation profiling on and off, now and at each boot. `root` is prepended to all
paths."""

import os
from pathlib import Path

from ..errors import OutputError, SourceError
from .machine import read_line

SYSCTL = "vm.mem_profiling"
SWITCH = "/proc/sys/vm/mem_profiling"
PERSISTENT = "/etc/sysctl.d/90-allocq.conf"
_WRITTEN_BY = "# Written by `allocq profiling --persist`."
# systemd-sysctl and `sysctl --system` read these, in the order of the files' names; of two files
# of one name the first counts (sysctl.d(5)).
_FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d",
            "/lib/sysctl.d")  # fmt: skip


def turn(on: bool, root: str = "") -> None:
    """Set vm.mem_profiling and check that the kernel has it.

    Raises OSError as the kernel does: EINVAL where support is off until the next boot, EACCES under
    CONFIG_MEM_ALLOC_PROFILING_DEBUG and, before Linux 7.0, after `never` (mm/alloc_tag.c).
    SourceError if the kernel takes the value and does not keep it.
    """
    value = str(int(on))
    fd = os.open(root + SWITCH, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode() + b"\n")
    finally:
        os.close(fd)
    if (now := read_line(root + SWITCH)) != value:
        raise SourceError(f"{SYSCTL} is {now} after {value} was written to it")


def persistent_text(on: bool) -> bytes:
    """The file that sets vm.mem_profiling at each boot."""
    return f"{_WRITTEN_BY}\n{SYSCTL} = {int(on)}\n".encode()


def check_persistent(root: str = "") -> None:
    """OutputError if PERSISTENT is there and not written by allocq."""
    path = Path(root + PERSISTENT)
    if path.is_symlink() or path.exists():
        text = None if path.is_symlink() else read_line(str(path))
        if text is None or not text.startswith(_WRITTEN_BY):
            raise OutputError(
                f"{path} was not written by allocq: it is left alone", f"set {SYSCTL} in it"
            )


def read_later(root: str = "") -> list[str]:
    """The files of sysctl.d that set vm.mem_profiling and are read after PERSISTENT."""
    name = os.path.basename(PERSISTENT)
    seen: dict[str, str] = {}
    for folder in _FOLDERS:
        for path in sorted(Path(root + folder).glob("*.conf")):
            seen.setdefault(path.name, str(path))
    later = [path for other, path in sorted(seen.items()) if other > name]
    if not any(os.path.realpath(path) == f"{root}/etc/sysctl.conf" for path in later):
        later.append(f"{root}/etc/sysctl.conf")
    return [path for path in later if _sets(read_line(path) or "")]


def _sets(text: str) -> bool:
    for line in text.splitlines():
        key = line.partition("=")[0].strip().removeprefix("-").strip()
        if key.replace("/", ".") == SYSCTL:
            return True
    return False
