"""Which tags allocate memory of users: page cache, pages of programs, files on a tmpfs."""

from __future__ import annotations

from collections.abc import Sequence

PAGE_CACHE = ("mm/filemap.c", "mm/readahead.c")
ANONYMOUS_FILES = (
    "mm/memory.c",
    "mm/huge_memory.c",
    "mm/khugepaged.c",
    "mm/ksm.c",
    "mm/swap_state.c",
    "mm/userfaultfd.c",
)
ANONYMOUS_FUNCTIONS = ("vma_alloc_zeroed_movable_folio",)  # in a header, or in the arch's code
SHMEM = ("mm/shmem.c",)


def user_memory(key: Sequence[str | int | None]) -> str | None:
    """Which kind of user memory the tag (file, line, module, function) allocates: cache, anonymous,
    shmem, or None."""
    file, _, module, function = key
    if module is not None:
        return None
    if file in PAGE_CACHE:
        return "cache"
    if file in ANONYMOUS_FILES or function in ANONYMOUS_FUNCTIONS:
        return "anonymous"
    return "shmem" if file in SHMEM and "folio" in str(function) else None
