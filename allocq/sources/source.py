"""Where tags come from: `open_source()` gives a running kernel or a saved listing behind one seam.

`read(filter)` answers with a Snapshot; `batches(filter)` hands the tags on as they come.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.binding import decode, lib
from ..core.kernel import NativeSource, Plan
from ..core.table import Table
from ..core.text import Text
from ..errors import SourceError
from ..model import Filter, Info, Tag
from ..storage.compression import MAGIC, unpack
from .check import Check

if TYPE_CHECKING:
    from typing import Self

ALLOCINFO = "/proc/allocinfo"
_HEAD = 512
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Wanted:
    """Which of the matching tags are enough: the `top` largest, or the `first` in kernel order;
    None for all of them."""

    top: int | None = None
    first: int | None = None


def tags_of(table: Table) -> list[Tag]:
    """Every row as an object."""
    return [
        Tag(bytes_, calls, file, line, None if builtin else module, function, not inaccurate)
        for bytes_, calls, file, line, builtin, module, function, inaccurate in zip(
            table.column("bytes"),
            table.column("calls"),
            table.strings("file"),
            table.column("line"),
            table.column("builtin"),
            table.strings("module"),
            table.strings("function"),
            table.column("inaccurate"),
            strict=True,
        )
    ]


class Snapshot:
    """The tags that matched, in kernel order, and where they are from."""

    def __init__(self, info: Info, table: Table) -> None:
        self.info = info
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[Tag]:
        return iter(self.tags)

    @property
    def tags(self) -> list[Tag]:
        """Every tag as an object, made anew at each call."""
        return tags_of(self.table)

    @property
    def total(self) -> tuple[int, int]:
        """(bytes, calls) summed over the tags."""
        return self.table.total()


class Source:
    """An open source. Close it, or use it in a `with`. One reading at a time: the cursor of the
    open file is shared, so a second reading in another thread is refused."""

    live = False
    info: Info

    def __init__(self, native: NativeSource) -> None:
        self._native = native
        self._busy = threading.Lock()
        self.path = native.path
        self.info = Info(native.path, "text")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back. Closing twice is harmless."""
        self._native.close()

    @property
    def fd(self) -> int:
        """The open file; its cursor is the reader's alone."""
        return self._native.fd

    @contextmanager
    def _reading(self) -> Iterator[None]:
        if self._native.closed:
            raise SourceError(f"{self.path} is closed")
        if not self._busy.acquire(blocking=False):
            raise SourceError(
                f"{self.path} is being read already", "open it again for a second reader"
            )
        try:
            yield
        finally:
            self._busy.release()

    def read(self, filter: Filter | None = None, wanted: Wanted | None = None) -> Snapshot:
        """All matching tags.

        Where only some of them are `wanted`, more may come. Raises SourceError, FormatError.
        """
        raise NotImplementedError

    def batches(self, filter: Filter) -> Iterator[Table]:
        """The matching tags as they come, each batch gone when the next is asked for.

        `info` is complete when the last batch has been taken.
        """
        raise NotImplementedError


class Saved(Source):
    """A saved listing: a file, a pipe, standard input; compression is seen by its first bytes."""

    def read(self, filter: Filter | None = None, wanted: Wanted | None = None) -> Snapshot:
        table = Table()
        for batch in self.batches(filter or Filter()):
            table.append(batch)
        return Snapshot(self.info, table)

    def batches(self, filter: Filter) -> Iterator[Table]:
        with self._reading():
            check = Check(filter)
            text = Text(check.native, self.path)
            self.info = Info(self.path, "text")
            self._native.rewind()
            for batch in self._pieces(text):
                self.info.version = text.version
                check.finish(batch)
                if len(batch):
                    yield batch
            self._describe(text)

    def _pieces(self, text: Text) -> Iterator[Table]:
        try:
            first = self._first()
        except OSError as error:
            raise SourceError(f"cannot read {self.path}: {error.strerror}") from None
        if first.startswith(MAGIC):
            yield from text.from_pieces(unpack(first, self.fd, self.path))
            return
        yield from text.feed(first)
        yield from text.from_fd(self.fd)

    def _first(self) -> bytes:
        """The first bytes: enough to see what they begin, however slowly they come."""
        first = os.read(self.fd, _HEAD)
        while 0 < len(first) < max(map(len, MAGIC)) and (more := os.read(self.fd, _HEAD)):
            first += more
        return first

    def _describe(self, text: Text) -> None:
        native = text.finish()
        self.info = _info(self.path, native)
        self.info.metadata = text.metadata
        self.info.kernel = self.info.metadata.get("kernel")


class Live(Source):
    """The running kernel."""

    live = True

    def __init__(self, native: NativeSource) -> None:
        super().__init__(native)
        if native.warning:
            self.info.warnings.append(native.warning)

    @property
    def has_ioctl(self) -> bool:
        """Does this kernel answer the ioctl?"""
        return self._native.has_ioctl

    def content_id(self) -> int | None:
        """The content id now; None without the ioctl. SourceError where it vanished."""
        try:
            return self._native.content_id()
        except OSError as error:
            raise SourceError(f"{self.path} vanished while it was read: {error.strerror}") from None

    def batches(self, filter: Filter) -> Iterator[Table]:
        yield self.read(filter).table

    def read(self, filter: Filter | None = None, wanted: Wanted | None = None) -> Snapshot:
        check, wanted = Check(filter or Filter()), wanted or Wanted()
        with self._reading():
            table, native = self._native.read(
                check.native, check.hooks(), wanted.top or 0, wanted.first or 0
            )
        self.info = _info(self.path, native)
        self.info.kernel = os.uname().release
        return Snapshot(self.info, table)

    def plan(self, filter: Filter, wanted: Wanted | None = None) -> Plan:
        """The plan that `read` would follow now."""
        check, wanted = Check(filter), wanted or Wanted()
        with self._reading():
            return self._native.plan(
                check.native, check.hooks(), wanted.top or 0, wanted.first or 0
            )


def _info(path: str, native: Any) -> Info:
    """What the engine says of an answer."""
    return Info(
        path,
        "ioctl" if native.interface == lib.AQ_IOCTL else "text",
        content_id=native.content_id if native.has_content_id else None,
        consistent={1: True, 0: False}.get(native.consistent),
        time=native.time_ns / _NANOSECONDS if native.time_ns else None,
        version=decode(native.version),
        ioctls=native.ioctls,
        warnings=[decode(native.warning[i]) for i in range(native.warnings)],
    )


def open_source(path: str | None = None, interface: str = "auto") -> Live | Saved:
    """Open the running kernel (None), a saved listing, or standard input (`-`).

    A path on a proc file system is a running kernel. Raises SourceError, AccessError,
    InterfaceError.
    """
    if path is not None and "\0" in path:
        raise SourceError(f"no such file: {path!r}")
    native = NativeSource(path, interface)
    return Live(native) if native.live else Saved(native)


def sample_path() -> str:
    """The installed sample."""
    return str(Path(__file__).parents[1] / "sample.txt")
