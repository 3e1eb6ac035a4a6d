"""The kernel's caches: dropped, drained and counted, so that only what is in use remains."""

import errno
import mmap
import os
from pathlib import Path

from ..errors import AccessError, OutputError

DROP_CACHES = "/proc/sys/vm/drop_caches"


def drain_lists() -> None:
    """Have pages that wait on each CPU's list for the LRU taken off it.

    Until then freed ones among them stay allocated, up to 31 for a CPU (mm/swap.c). madvise() with
    MADV_FREE empties the list of the CPU it runs on (mm/madvise.c); it is asked for a page of our
    own. CPUs that this process may not run on are left as they are.
    """
    allowed = os.sched_getaffinity(0)
    try:
        with mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
            for cpu in allowed:
                os.sched_setaffinity(0, {cpu})
                page.madvise(mmap.MADV_FREE)
    except OSError:
        pass
    finally:
        os.sched_setaffinity(0, allowed)


def drop_caches() -> None:
    """Have page cache, dentries and inodes given back (Documentation/admin-guide/sysctl/vm.rst).

    What is dirty is written first. AccessError without the right to it.
    """
    os.sync()
    try:
        with open(DROP_CACHES, "wb", buffering=0) as file:
            file.write(b"3")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AccessError(
                "no right to drop caches", "leave --drop-caches out, or try sudo"
            ) from None
        raise OutputError(f"cannot drop caches: {error.strerror}") from None


def page_cache() -> int:
    """Bytes of files in the page cache, by /proc/meminfo; tmpfs is no cache, and left out."""
    values = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        number, *unit = rest.split()
        if unit == ["kB"]:
            values[name] = 1024 * int(number)
    return values.get("Cached", 0) + values.get("Buffers", 0) - values.get("Shmem", 0)
