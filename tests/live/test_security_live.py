"""The tag cache and the command, as root on a running kernel with others about."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import oracle
import pytest
import tagcache
from command import ALLOCQ, allocq, refused

CACHE = Path("/run/allocq")
NAMES = CACHE / "names"
MOVED = Path("/run/moved")
ASKED = oracle.Asked(files=["kernel/fork.c"])

Names = Counter[tuple[object, ...]]


def names_of(tags: list[oracle.Tag]) -> Names:
    return Counter((tag.file, tag.line, tag.module, tag.function) for tag in tags)


@pytest.fixture(autouse=True)
def no_cache() -> Iterator[None]:
    remove(CACHE)
    yield
    for path in (CACHE, MOVED):
        remove(path)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@pytest.fixture
def right(cat_allocinfo: Callable[[], str]) -> Names:
    return names_of(oracle.select(oracle.parse(cat_allocinfo().encode()), ASKED))


def check(right: Names, cwd: Path | None = None) -> None:
    """The right answer, in silence, without being kept waiting."""
    done = allocq("query", "-o", "procfs", *ASKED.argv(), timeout=60, cwd=cwd)
    assert (done.status, done.err) == (0, "")
    assert names_of(oracle.parse(done.out)) == right


def is_sound() -> bool:
    status = NAMES.lstat()
    return (status.st_mode, status.st_uid, status.st_nlink) == (0o100600, 0, 1)


def test_the_cache_is_private_whatever_the_umask(right: Names) -> None:
    for mask in (0, 0o077, 0o777):
        remove(CACHE)
        before = os.umask(mask)
        try:
            check(right)
        finally:
            os.umask(before)
        if CACHE.exists() and NAMES.exists():
            assert CACHE.stat().st_mode & 0o77 == 0
            assert NAMES.stat().st_mode & 0o7177 == 0
    remove(CACHE)
    check(right)
    assert CACHE.stat().st_mode == 0o40700 and is_sound()


def test_others_can_read_nothing(
    right: Names, unprivileged: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    check(right)
    assert unprivileged(["cat", str(NAMES)]).returncode != 0
    assert unprivileged(["ls", str(CACHE)]).returncode != 0
    done = unprivileged([*ALLOCQ, "query"])
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("allocq: /proc/allocinfo: permission denied\nhint: ")


def poisoned() -> bytes:
    """A cache that is well sealed, of this boot and content, with the tags the wrong way round."""
    head, text = tagcache.parted(NAMES.read_bytes())
    lines = text.splitlines(keepends=True)
    return tagcache.sealed(head, b"".join(lines[:2] + lines[2:][::-1]))


@pytest.mark.parametrize("how", ["foreign", "group", "world", "fifo", "link", "hard link", "large"])
def test_a_cache_that_is_not_ours_alone_is_not_believed(right: Names, how: str) -> None:
    check(right)
    false = poisoned()
    if how == "fifo":
        NAMES.unlink()
        os.mkfifo(NAMES, 0o600)
    elif how == "link":
        other = CACHE / "other"
        other.write_bytes(false)
        other.chmod(0o600)
        NAMES.unlink()
        NAMES.symlink_to(other)
    else:
        NAMES.write_bytes(false)
    if how == "foreign":
        os.chown(NAMES, 65534, 65534)
    elif how == "group":
        NAMES.chmod(0o620)
    elif how == "world":
        NAMES.chmod(0o606)
    elif how == "hard link":
        (CACHE / "second").hardlink_to(NAMES)
    elif how == "large":
        os.truncate(NAMES, 65 << 20)
    check(right)
    assert is_sound()


def test_even_a_sound_cache_is_held_against_the_kernel(right: Names) -> None:
    """Whatever it says, each tag that comes back is compared with it."""
    check(right)
    NAMES.write_bytes(poisoned())
    assert is_sound()
    check(right)


@pytest.mark.parametrize("how", ["foreign", "open", "link", "file", "fifo"])
def test_a_directory_that_is_not_ours_alone_is_not_used(right: Names, how: str) -> None:
    check(right)
    false = poisoned()
    NAMES.write_bytes(false)
    if how == "foreign":
        os.chown(CACHE, 65534, 65534)
    elif how == "open":
        CACHE.chmod(0o777)
    elif how == "link":
        shutil.copytree(CACHE, MOVED)
        remove(CACHE)
        CACHE.symlink_to(MOVED)
    else:
        remove(CACHE)
        if how == "file":
            CACHE.write_text("in the way")
        else:
            os.mkfifo(CACHE)
    check(right)
    if how in ("foreign", "open", "link"):
        assert NAMES.read_bytes() == false


def test_a_full_run_is_no_error(right: Names) -> None:
    CACHE.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k,mode=700", "none", CACHE], check=True)
    try:
        check(right)
        assert not list(CACHE.iterdir())
    finally:
        subprocess.run(["umount", CACHE], check=True)


def test_proc_of_another_mount_is_the_kernel_as_well(right: Names, tmp_path: Path) -> None:
    place = tmp_path / "proc"
    place.mkdir()
    subprocess.run(["mount", "-t", "proc", "none", place], check=True)
    try:
        done = allocq("query", "--source", f"{place}/allocinfo", "-o", "procfs", *ASKED.argv())
        assert (done.status, done.err) == (0, "")
        assert names_of(oracle.parse(done.out)) == right
    finally:
        subprocess.run(["umount", place], check=True)


def test_other_files_of_proc_are_refused() -> None:
    for path in ("/proc/version", "/proc/self/status", "/proc/modules", "/proc/self/mem"):
        refused(allocq("query", "--source", path), path)
