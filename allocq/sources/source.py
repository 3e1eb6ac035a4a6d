"""Opens the running kernel or a saved listing behind one interface.

`read(filter)` returns a Snapshot; `batches(filter)` yields tags as they are read.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOMEM
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
    """How many matching tags are enough: the `top` largest, or the `first` in kernel order;
    None for all."""

    top: int | None = None
    first: int | None = None


def tags_of(table: Table) -> list[Tag]:
    """Every row as a Tag."""
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
    """The matching tags in kernel order, with facts about their source."""

    def __init__(self, info: Info, table: Table) -> None:
        self.info = info
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[Tag]:
        return iter(self.tags)

    @property
    def tags(self) -> list[Tag]:
        """Every tag as an object, created at each access."""
        return tags_of(self.table)

    @property
    def total(self) -> tuple[int, int]:
        """(bytes, calls) summed over the tags."""
        return self.table.total()


class Source:
    """An open source; close it, or use it in a `with` statement.

    Only one read at a time: they would share the cursor of the open file, so a concurrent second
    read, in another thread or in a child process, raises SourceError.
    """

    live = False
    info: Info

    def __init__(self, native: NativeSource) -> None:
        self._native = native
        self._busy = threading.Lock()
        self._closed = False
        self._process = os.getpid()
        self.path = native.path
        self.info = Info(native.path, "text")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"unclosed source {self.path!r}", ResourceWarning, 2, source=self)
            self.close()

    def close(self) -> None:
        """Close the file; a read in progress closes it when it ends. Closing twice is harmless."""
        self._closed = True
        if self._busy.acquire(blocking=False):
            try:
                self._native.close()
            finally:
                self._busy.release()

    @property
    def repeatable(self) -> bool:
        """Can it be read more than once? A pipe cannot."""
        return self.live or self._native.is_file

    @property
    def fd(self) -> int:
        """The descriptor of the open file."""
        return self._native.fd

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self._check_open()
        if not self._busy.acquire(blocking=False):
            raise SourceError(
                f"{self.path} is already being read", "open it again for a second reader"
            )
        try:
            self._check_open()
            yield
        finally:
            self._busy.release()
            if self._closed:
                self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise SourceError(f"{self.path} is closed")
        if self._process != os.getpid():
            raise SourceError(
                f"{self.path} was opened by another process, whose cursor it shares",
                "open it again after the fork",
            )

    def read(self, filter: Filter | None = None, wanted: Wanted | None = None) -> Snapshot:
        """The matching tags; all of them, or at least those that `wanted` names.

        Raises SourceError, FormatError.
        """
        raise NotImplementedError

    def batches(self, filter: Filter) -> Iterator[Table]:
        """Yield the matching tags in batches; a batch is valid until the next one.

        `info` is complete after the last batch. Raises SourceError, FormatError.
        """
        raise NotImplementedError


class Saved(Source):
    """A saved listing in a file or pipe; its first bytes show whether it is compressed."""

    def read(self, filter: Filter | None = None, wanted: Wanted | None = None) -> Snapshot:
        table, first = Table(), wanted.first if wanted else None
        for batch in self.batches(filter or Filter()):
            table.append(batch)
            if first is not None and len(table) >= first:
                break  # what the text says of itself at its end is not heard
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
                    self._check_open()
            self._describe(text)

    def _pieces(self, text: Text) -> Iterator[Table]:
        try:
            first = self._first()
            if first.startswith(MAGIC):
                yield from text.from_pieces(unpack(first, self.fd, self.path))
                return
            yield from text.feed(first)
            yield from text.from_fd(self.fd)
        except OSError as error:
            if error.errno == ENOMEM:
                raise MemoryError from None
            raise SourceError(f"cannot read {self.path}: {error.strerror}") from None

    def _first(self) -> bytes:
        """The first bytes, enough to recognize compression even if a pipe delivers them slowly."""
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
        """Does this kernel support the ioctl?"""
        return self._native.has_ioctl

    def content_id(self) -> int | None:
        """The current content ID; None without the ioctl. SourceError if the file vanished."""
        with self._reading():
            try:
                return self._native.content_id()
            except OSError as error:
                words = f"{self.path} vanished while it was read: {error.strerror}"
                raise SourceError(words) from None

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
    """The engine's facts about an answer as an Info."""
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

    A path on a proc file system is a running kernel too. interface: auto, ioctl or text. Raises
    SourceError, AccessError, InterfaceError.
    """
    if path is not None and "\0" in path:
        raise SourceError(f"no such file: {path!r}")
    native = NativeSource(path, interface)
    return Live(native) if native.live else Saved(native)


def sample_path() -> str:
    """The path of the installed sample."""
    return str(Path(__file__).parents[1] / "sample.txt")
