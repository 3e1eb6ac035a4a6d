"""Which tags exist: the text as it was first read, kept per boot and content id.

One file, private to its owner, in a directory of its own on a file system that does not outlive
the boot. It is checked before it is used, names the boot and the content id it is for, and is
only ever a help: every tag that comes back from the kernel is held against it.
"""

import posix

from .plan import Costs

HEAD = "# allocq-names 1"
LARGEST = 64 << 20
_FLAGS = posix.O_NOFOLLOW | posix.O_CLOEXEC | posix.O_NONBLOCK


class Cached:
    """What the file holds: the text and what asking costs on this host."""

    __slots__ = ("costs", "text")

    def __init__(self, text: bytes, costs: Costs) -> None:
        self.text = text
        self.costs = costs


def directory() -> str | None:
    """Where the file is kept: /run/allocq for root, else below XDG_RUNTIME_DIR; None: nowhere."""
    if posix.geteuid() == 0:
        return "/run/allocq"
    base = posix.environ.get(b"XDG_RUNTIME_DIR", b"")
    if not base.startswith(b"/"):
        return None
    return base.decode("utf-8", "surrogateescape") + "/allocq"


def boot_id() -> str:
    """This boot's id, or an empty string."""
    try:
        fd = posix.open("/proc/sys/kernel/random/boot_id", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return posix.read(fd, 64).decode("ascii", "replace").strip()
    except OSError:
        return ""
    finally:
        posix.close(fd)


def load(boot: str, content: int | None) -> Cached | None:
    """What was saved for this boot and content id (None: any), or None, whatever the reason."""
    try:
        data = _read()
    except OSError:
        return None
    head, newline, text = data.partition(b"\n")
    fields = _parse(head)
    if not newline or fields is None:
        return None
    numbers = {
        name: int(value) for name, value in fields.items() if value.isdecimal() and len(value) < 21
    }
    if fields.get("boot") != boot or not boot:
        return None
    if content is not None and numbers.get("content") != content:
        return None
    if numbers.get("bytes") != len(text) or fields.get("hash") != _seal(head, text):
        return None
    try:
        return Cached(text, Costs(**{name: numbers[name] for name in Costs.__slots__}))
    except KeyError:
        return None


def save(boot: str, content: int, text: bytes, costs: Costs) -> None:
    """Keep the text for the next time, if it can be kept privately; silent if not."""
    if not boot or len(text) > LARGEST:
        return
    words = [HEAD, f"boot={boot}", f"content={content}", f"bytes={len(text)}"]
    words += [f"{name}={value}" for name, value in costs.items().items()]
    head = " ".join(words).encode()
    head += b" hash=" + _seal(head, text).encode()
    try:
        _write(head + b"\n" + text)
    except OSError:
        return


def _seal(head: bytes, text: bytes) -> str:
    from ..core.scan import hash_bytes

    return f"{hash_bytes(head.partition(b' hash=')[0] + text):016x}"


def _parse(head: bytes) -> dict[str, str] | None:
    line = head.decode("ascii", "replace")
    if not line.startswith(HEAD + " "):
        return None
    words = [word.partition("=") for word in line[len(HEAD) :].split()]
    return {name: value for name, _, value in words}


def _ours(status: posix.stat_result, kind: int) -> bool:
    return (
        status.st_mode & 0o170000 == kind
        and status.st_uid == posix.geteuid()
        and status.st_mode & 0o077 == 0
    )


def _open_directory(path: str) -> int:
    fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | _FLAGS)
    if not _ours(posix.fstat(fd), 0o040000):
        posix.close(fd)
        raise PermissionError(path)
    return fd


def _read() -> bytes:
    path = directory()
    if path is None:
        raise FileNotFoundError
    folder = _open_directory(path)
    try:
        fd = posix.open("names", posix.O_RDONLY | _FLAGS, dir_fd=folder)
    finally:
        posix.close(folder)
    try:
        status = posix.fstat(fd)
        if not _ours(status, 0o100000) or status.st_nlink != 1 or status.st_size > LARGEST:
            raise PermissionError("names")
        return _read_all(fd, status.st_size)
    finally:
        posix.close(fd)


def _read_all(fd: int, size: int) -> bytes:
    pieces = []
    while size > 0 and (piece := posix.read(fd, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _write(data: bytes) -> None:
    path = directory()
    if path is None:
        return
    try:
        posix.mkdir(path, 0o700)
    except FileExistsError:
        pass
    folder = _open_directory(path)
    try:
        _sweep(folder)
        name = "names." + posix.urandom(8).hex()
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | _FLAGS
        fd = posix.open(name, flags, 0o600, dir_fd=folder)
        try:
            view = memoryview(data)
            while view:
                view = view[posix.write(fd, view) :]
            posix.rename(name, "names", src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            posix.unlink(name, dir_fd=folder)
            raise
        finally:
            posix.close(fd)
    finally:
        posix.close(folder)


def _sweep(folder: int) -> None:
    """Remove what was left by writers that were killed: here, files are memory."""
    from time import time

    for name in posix.listdir(folder):
        if name.startswith("names."):
            try:
                if time() - posix.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime > 60:
                    posix.unlink(name, dir_fd=folder)
            except OSError:
                pass
