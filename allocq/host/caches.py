"""Drops, drains and measures the kernel's caches."""

import contextlib
import errno
import mmap
import os
from pathlib import Path

from ..errors import AccessError, OutputError, SourceError
from .machine import read_meminfo

DROP_CACHES = "/proc/sys/vm/drop_caches"


def drain_lists() -> None:
    """Drain the lists of pages waiting for the LRU on all CPUs that this process may use.

    Freed pages on these lists stay allocated, up to 31 per CPU (mm/swap.c). madvise(MADV_FREE) on
    any page drains the list of the current CPU (mm/madvise.c). Other CPUs are left as they are, and
    so are all if a seccomp filter forbids changing the affinity.
    """
    try:
        allowed = os.sched_getaffinity(0)
    except OSError:
        return
    try:
        with mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
            for cpu in allowed:
                os.sched_setaffinity(0, {cpu})
                page.madvise(mmap.MADV_FREE)
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, allowed)


def drop_caches() -> None:
    """Sync, then drop page cache, dentries and inodes (Documentation/admin-guide/sysctl/vm.rst).

    AccessError without permission, OutputError for other failures.
    """
    os.sync()
    try:
        with open(DROP_CACHES, "wb", buffering=0) as file:
            file.write(b"3")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "only root can; omit --drop-caches" if os.geteuid() else "omit --drop-caches"
            raise AccessError(f"cannot drop caches: {error.strerror}", hint) from None
        raise OutputError(f"cannot drop caches: {error.strerror}") from None


def refresh_counters() -> None:
    """Have every CPU add its share to the counters of /proc/meminfo (vm.stat_refresh; root)."""
    with contextlib.suppress(OSError):
        Path("/proc/sys/vm/stat_refresh").read_bytes()


def user_memory() -> dict[str, int]:
    """The amounts of /proc/meminfo in bytes, exact where this process may have them refreshed.
    SourceError if they cannot be read."""
    refresh_counters()
    amounts = read_meminfo()
    if not amounts:
        raise SourceError("cannot read /proc/meminfo")
    return amounts
