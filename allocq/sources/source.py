"""Where tags come from: `open_source()` gives a running kernel or a saved text behind one seam.

`read(filter)` answers with a Snapshot; `batches(filter)` hands the tags on as they come. Every
errno of a source becomes words here.
"""

import errno
import posix

from ..core import scan
from ..core.table import Table
from ..errors import AccessError, FormatError, InterfaceError, SourceError
from ..model import Filter, Info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

    from ..model import Tag
    from .plan import Plan

ALLOCINFO = "/proc/allocinfo"
ATTEMPTS = 11
_HEAD = 512


class Wanted:
    """Which of the matching tags are enough: the `top` largest, or the `first` in the kernel's
    order; None for all of them."""

    __slots__ = ("first", "top")

    def __init__(self, top: int | None = None, first: int | None = None) -> None:
        self.top = top
        self.first = first


class Snapshot:
    """The tags that matched, in the kernel's order, and where they are from."""

    __slots__ = ("info", "table")

    def __init__(self, info: Info, table: Table) -> None:
        self.info = info
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> "Iterator[Tag]":
        return iter(self.table.tags())

    @property
    def tags(self) -> "list[Tag]":
        """Every tag as an object, made anew at each call."""
        return self.table.tags()

    @property
    def total(self) -> tuple[int, int]:
        """(bytes, calls) summed over the tags."""
        return self.table.total()


class Source:
    """An open source. Close it, or use it in a `with`."""

    path: str
    live = False
    info: Info

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back. Closing twice is harmless."""
        if self._fd > 2:
            posix.close(self._fd)
        self._fd = -1

    def read(self, filter: Filter | None = None, wanted: "Wanted | None" = None) -> Snapshot:
        """All matching tags.

        Where only some of them are `wanted`, more may come. Raises SourceError, FormatError.
        """
        raise NotImplementedError

    def batches(self, filter: Filter) -> "Iterator[Table]":
        """The matching tags as they come, each batch gone when the next is asked for.

        `info` is complete when the last batch has been taken.
        """
        raise NotImplementedError


class Saved(Source):
    """A saved text: a file, a pipe, standard input; gzip and zstd are seen by their first bytes."""

    def __init__(self, path: str, fd: int) -> None:
        super().__init__(path, fd)
        self.info = Info(path, "text")
        self.repeatable = posix.fstat(fd).st_mode & 0o170000 == 0o100000
        self._start = posix.lseek(fd, 0, 1) if self.repeatable else 0
        self._begun = False

    def read(self, filter: Filter | None = None, wanted: "Wanted | None" = None) -> Snapshot:
        table = scan.collect(self.batches(filter or Filter()))
        return Snapshot(self.info, table)

    def batches(self, filter: Filter) -> "Iterator[Table]":
        text = scan.TextScan(scan.Check(filter))
        self.info = Info(self.path, "text")
        try:
            self._rewind()
            first = self._first()
            if first[:2] == b"\x1f\x8b" or first[:4] == b"\x28\xb5\x2f\xfd":
                from ..storage.compression import unpack

                pieces = unpack(first, self._fd, self.path)
                yield from self._named(text, text.from_pieces(pieces))
            else:
                yield from self._named(text, text.feed(first) if first else ())
                yield from self._named(text, text.from_fd(self._fd))
        except OSError as error:
            raise unreadable(self.path, error) from None
        except scan.BadLine as error:
            raise bad_line(self.path, error, text) from None
        self._finish(text)

    def _rewind(self) -> None:
        """Go back to where the text began, if it has been read."""
        if self._begun and not self.repeatable:
            raise SourceError(f"{self.path} is no file: it can be read only once")
        if self._begun:
            posix.lseek(self._fd, self._start, 0)
        self._begun = True

    def _first(self) -> bytes:
        """The first bytes: enough to see what they begin, however slowly they come."""
        first = posix.read(self._fd, _HEAD)
        while 0 < len(first) < 4 and (more := posix.read(self._fd, _HEAD)):
            first += more
        return first

    def _named(self, text: scan.TextScan, batches: "Iterable[Table]") -> "Iterator[Table]":
        for batch in batches:
            self.info.version = text.version
            yield batch

    def _finish(self, text: scan.TextScan) -> None:
        info = self.info
        if not text.headers and not text.tags:
            if not text.bytes:
                raise FormatError(
                    f"{self.path} is empty", "was it saved without the rights to read the original?"
                )
            raise FormatError(f"{self.path} is not a saved /proc/allocinfo")
        info.version = text.version
        if text.notes:
            from ..storage.metadata import describe

            describe(info, text.notes, text.headers, text.tags)
        if text.unfinished:
            info.consistent = False
            info.warnings.append(
                f"{self.path}: the last line has no end; it may be cut off and was left out"
            )


class Live(Source):
    """The running kernel."""

    live = True
    repeatable = False

    def __init__(self, path: str, fd: int, interface: str) -> None:
        super().__init__(path, fd)
        self.interface = interface
        self.info = Info(path, "text")
        self.plan: Plan | None = None
        self._content = self._content_id()
        if interface == "ioctl" and self._content is None:
            raise InterfaceError(
                f"{path} has no ioctl on this kernel",
                "it is in Linux since 7.3; --interface text gives the same answers",
            )
        # What holds for every reading; --explain says it too.
        self.warnings = self._warnings()
        self.info.warnings = list(self.warnings)

    def batches(self, filter: Filter) -> "Iterator[Table]":
        yield self.read(filter).table

    def read(self, filter: Filter | None = None, wanted: "Wanted | None" = None) -> Snapshot:
        from .live import answer

        try:
            return answer(self, filter or Filter(), wanted or Wanted())
        except OSError as error:
            raise self.vanished(error) from None
        except scan.BadLine as error:
            raise FormatError(f"{self.path}, line {error.line} is no tag") from None

    @property
    def fd(self) -> int:
        """The open file; its cursor is the reader's alone."""
        return self._fd

    @property
    def has_ioctl(self) -> bool:
        """Does this kernel answer the ioctl?"""
        return self._content is not None

    def content_id(self) -> int | None:
        """The content id now; None without the ioctl."""
        if self._content is None:
            return None
        now = self._content_id()
        if now is None:
            raise self.vanished(OSError(errno.ENOTTY, ""))
        return now

    def _content_id(self) -> int | None:
        try:
            return scan.content_id(self._fd)
        except OSError as error:
            raise unreadable(self.path, error) from None

    def vanished(self, error: OSError) -> SourceError:
        """What an error in the middle of a scan means."""
        if error.errno in (errno.ENOTTY, errno.EIO, errno.ENODEV, errno.ENOENT):
            return SourceError(
                f"{self.path} vanished while it was read",
                "the kernel has shut its allocation profiling down; dmesg says why",
            )
        return unreadable(self.path, error)

    def _warnings(self) -> list[str]:
        if profiling_switch(self.path) != "0":
            return []
        return ["vm.mem_profiling is 0: the counters stand still (sysctl vm.mem_profiling=1)"]


def open_source(path: str | None = None, interface: str = "auto") -> Live | Saved:
    """Open the running kernel (None), a saved text, or standard input (`-`).

    A path on a proc file system is a running kernel. Raises SourceError, AccessError,
    InterfaceError.
    """
    if path == "-":
        return _standard_input(interface)
    where = ALLOCINFO if path is None else path
    try:
        fd = posix.open(where, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        if path is None or where == ALLOCINFO:
            raise _no_allocinfo(error) from None
        raise unreadable(where, error) from None
    except ValueError:
        raise SourceError(f"no such file: {where!r}") from None
    try:
        if posix.fstat(fd).st_mode & 0o170000 == 0o040000:
            raise SourceError(f"{where} is a directory", "name the file in it")
        if scan.is_proc(fd):
            return Live(where, fd, interface)
        return _saved(where, fd, interface)
    except BaseException:
        posix.close(fd)
        raise


def _standard_input(interface: str) -> Saved:
    try:
        return _saved("standard input", 0, interface)
    except OSError as error:
        raise unreadable("standard input", error) from None


def _saved(path: str, fd: int, interface: str) -> Saved:
    if interface == "ioctl":
        raise InterfaceError(f"{path} is a saved text: it has no ioctl", "leave --interface out")
    return Saved(path, fd)


def sample_path() -> str:
    """The installed recording."""
    return __file__.rpartition("/sources/")[0] + "/sample.txt"


def profiling_switch(allocinfo: str = ALLOCINFO) -> str | None:
    """What vm.mem_profiling says beside this allocinfo, or None if it does not exist or hides."""
    path = allocinfo.rpartition("/")[0] + "/sys/vm/mem_profiling"
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return None
    try:
        return posix.read(fd, 64).decode("ascii", "replace").strip()
    except OSError:
        return None
    finally:
        posix.close(fd)


def unreadable(path: str, error: OSError) -> SourceError:
    """An OSError on a source, in words."""
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = "it is for root only; try sudo" if path == ALLOCINFO else ""
        return AccessError(f"no right to read {path}", hint)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SourceError(f"no such file: {path}")
    return SourceError(f"cannot read {path}: {error.strerror or error}")


def bad_line(path: str, error: scan.BadLine, text: scan.TextScan) -> FormatError:
    """A line that is no tag, in words."""
    if not text.headers and not text.tags:
        return FormatError(f"{path} is not a saved /proc/allocinfo (line {error.line} is no tag)")
    what = "is longer than 1 MiB" if error.long else "is no tag"
    return FormatError(f"{path}, line {error.line} {what}")


def _no_allocinfo(error: OSError) -> SourceError:
    if error.errno != errno.ENOENT:
        return unreadable(ALLOCINFO, error)
    if posix.uname().sysname != "Linux":
        return SourceError(
            f"no {ALLOCINFO}: this is not Linux", "--source FILE and --sample work everywhere"
        )
    if profiling_switch() is not None:
        return SourceError(
            f"no {ALLOCINFO}: this kernel was booted with its allocation profiling off for good",
            "boot with sysctl.vm.mem_profiling=1",
        )
    return SourceError(
        f"no {ALLOCINFO}: this kernel was built without CONFIG_MEM_ALLOC_PROFILING",
        "boot a kernel that has it, or read a saved file with --source",
    )
