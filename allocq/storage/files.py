"""Writes files whole or not at all."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable

from ..errors import OutputError, UsageError

PRIVATE = 0o600
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def check_free(path: str, force: bool) -> None:
    """Raise what `save` would raise for this name, before any work is done."""
    folder, name = _open_folder(path)
    try:
        _check(path, folder, name, force)
    finally:
        os.close(folder)


def save(path: str, pieces: Iterable[bytes], force: bool = False) -> None:
    """Write a file with mode 0600 and sync it to disk.

    Without `force` an existing file is never replaced, not even one created in the meantime; with
    it, only regular files are. A failure leaves nothing behind. OutputError, UsageError.
    """
    folder, name = _open_folder(path)
    try:
        _check(path, folder, name, force)
        _save(folder, name, pieces, force)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
    finally:
        os.close(folder)


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
    if not force:
        raise _exists(path)
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(
            f"cannot replace {path}: not a regular file",
            "name another file, or use - for standard output",
        )


def _exists(path: str) -> OutputError:
    return OutputError(f"{path} exists", "use --force to replace it")


def _save(folder: int, name: str, pieces: Iterable[bytes], force: bool) -> None:
    temporary = f".allocq-{secrets.token_hex(8)}"
    fd = os.open(temporary, _CREATE, PRIVATE, dir_fd=folder)
    try:
        try:
            for piece in pieces:
                _write(fd, piece)
            os.fsync(fd)
        finally:
            os.close(fd)
        if force:
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            _publish(folder, temporary, name)
    except BaseException:
        _remove(folder, temporary)
        raise
    os.fsync(folder)


def _publish(folder: int, temporary: str, name: str) -> None:
    """Give the file its name; FileExistsError if the name is taken."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        _remove(folder, temporary)
        return
    # Without hard links: reserve the name by creating it, then rename over it.
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
