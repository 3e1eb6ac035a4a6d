"""Writes files whole or not at all."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable

from ..errors import OutputError, UsageError
from ..host.signals import done_at_the_end, signals_held

PRIVATE = 0o600
Fill = Callable[[int], None]
"""Writes a whole file to a descriptor."""
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS, errno.ENOENT)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def check_free(path: str, force: bool) -> None:
    """Raise what `save` would raise for this name, before any work is done."""
    folder, name = _open_folder(path)
    try:
        _check(path, folder, name, force)
    finally:
        os.close(folder)


def save(path: str, pieces: Iterable[bytes], force: bool = False, mode: int = PRIVATE) -> None:
    """Write a file with this mode and sync it to disk.

    Without `force` an existing file is never replaced, not even one created in the meantime; with
    it, only regular files are. A failure leaves nothing behind. OutputError, UsageError.
    """

    def fill(fd: int) -> None:
        for piece in pieces:
            _write(fd, piece)
        if mode != PRIVATE:
            os.fchmod(fd, mode)

    save_filled(path, fill, force)


def save_filled(path: str, fill: Fill, force: bool = False) -> None:
    """The same for a file that `fill` writes to a descriptor, at which it may seek."""
    folder, name = _open_folder(path)
    try:
        save_at(folder, name, path, fill, force)
    finally:
        os.close(folder)


def save_at(folder: int, name: str, path: str, fill: Fill, force: bool = False) -> None:
    """The same in an open directory. path: what messages call the file."""
    try:
        _check(path, folder, name, force)
        _save(folder, name, fill, force)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None


def _open_folder(path: str) -> tuple[int, str]:
    parent, slash, name = path.rpartition("/")
    if not path or "\0" in path:
        raise UsageError(f"invalid file name {path!r}")
    if name in ("", ".", ".."):
        raise UsageError(f"{path} is a directory", "name a file in it")
    try:
        return os.open((parent or "/") if slash else ".", _OPEN), name
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None


def _check(path: str, folder: int, name: str, force: bool) -> None:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
    if stat.S_ISDIR(status.st_mode):
        raise UsageError(f"{path} is a directory", "name a file in it")
    if not force:
        raise _exists(path)
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(
            f"cannot replace {path}: not a regular file",
            "name another file, or use - for standard output",
        )


def _exists(path: str) -> OutputError:
    return OutputError(f"{path} exists", "use --force to replace it")


def _save(folder: int, name: str, fill: Fill, force: bool) -> None:
    fd = _open_nameless(folder)
    if fd is None:
        _save_named(folder, name, fill, force)
        return
    try:
        fill(fd)
        os.fsync(fd)
        if not _give_name(folder, fd, name, force):
            _save_named(folder, name, lambda to: _copy(fd, to), force)
            return
    finally:
        os.close(fd)
    os.fsync(folder)


def _open_nameless(folder: int) -> int | None:
    """A file that is gone with this process, however that ends; None where there is no such thing
    (O_TMPFILE of the file system, and /proc to name it)."""
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, PRIVATE, dir_fd=folder)
    except OSError as error:
        if error.errno in _NO_NAMELESS:
            return None
        raise
    if os.path.exists(f"/proc/self/fd/{fd}"):
        return fd
    os.close(fd)
    return None


def _give_name(folder: int, fd: int, name: str, force: bool) -> bool:
    """Put a nameless file into the directory. False where that cannot be done; FileExistsError."""
    source = f"/proc/self/fd/{fd}"
    try:
        if not force:
            os.link(source, name, dst_dir_fd=folder)
            return True
        passing = _passing_name()
        with signals_held():
            os.link(source, passing, dst_dir_fd=folder)
            try:
                os.rename(passing, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                _remove(folder, passing)
                raise
    except OSError as error:
        if error.errno in _NO_LINKS or error.errno == errno.ENOENT:
            return False
        raise
    return True


def _copy(fd: int, to: int) -> None:
    os.lseek(fd, 0, os.SEEK_SET)
    while piece := os.read(fd, 1 << 16):
        _write(to, piece)
    os.fchmod(to, stat.S_IMODE(os.fstat(fd).st_mode))


def _passing_name() -> str:
    return f".allocq-{secrets.token_hex(8)}"


def _save_named(folder: int, name: str, fill: Fill, force: bool) -> None:
    """The same by a file that has another name until it is whole."""
    passing = _passing_name()
    with done_at_the_end(lambda: _remove(folder, passing)):
        fd = os.open(passing, _CREATE, PRIVATE, dir_fd=folder)
        try:
            fill(fd)
            os.fsync(fd)
        finally:
            os.close(fd)
        if force:
            os.rename(passing, name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            _publish(folder, passing, name)
    os.fsync(folder)


def _publish(folder: int, temporary: str, name: str) -> None:
    """Give the file its name; FileExistsError if the name is taken."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        return
    # A file system without hard links: whoever creates the name may rename over it.
    with signals_held():
        os.close(os.open(name, _CREATE, PRIVATE, dir_fd=folder))
        try:
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            _remove(folder, name)
            raise


def _remove(folder: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
