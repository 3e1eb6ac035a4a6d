"""Opens the running kernel or a saved listing behind one interface.

`read(filter)` returns a Snapshot; `batches(filter)` yields tags as they are read.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from errno import ENOMEM
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.binding import decode, lib
from ..core.kernel import INTERFACES, NativeSource, Plan
from ..core.table import Table
from ..core.text import NotPlainError, Text, header
from ..errors import FormatError, InterfaceError, SourceError, UsageError
from ..model import NO_MAXIMUM, Filter, Info
from ..storage.compression import MAGIC, unpack
from .matcher import Matcher
from .snapshot import Snapshot as Snapshot
from .snapshot import tags_of as tags_of
from .vmcore.recognise import check_could_be_dump, dump_in, is_dump, is_kcore, open_dump

if TYPE_CHECKING:
    from typing import Self

    from .concatenated import Concatenated
    from .lenient.listing import Listing
    from .lenient.scan import Scanner

ALLOCINFO = "/proc/allocinfo"
_HEAD = 512
_LATER_HEADER = b"\nallocinfo - version: "
_LINES = 4096
_PLAIN = tuple(b"%c" % c for c in b"a# -0123456789")  # how a listing begins
_LOGGED = (
    "the kernel logs one, below 'Memory allocations:', on OOM and for: echo m > /proc/sysrq-trigger"
)
_NANOSECONDS = 1_000_000_000
_DUMP_IS_A_FILE = "name the dump, a file, with --source"
_NO_DUMP = "a crash dump is an ELF or kdump file; for any other file omit --vmlinux"


_NEEDED_RARELY = (
    "sources.concatenated",
    "sources.lenient.listing",
    "sources.lenient.notes",
    "sources.lenient.scan",
    "storage.archive",
    "storage.spool",
)


class SeveralError(NotPlainError):
    """Every line is a tag, but they may be those of several listings."""


@dataclass(frozen=True)
class Wanted:
    """How many matching tags are enough: the `top` largest, or the `first` in kernel order;
    None for all."""

    top: int | None = None
    first: int | None = None


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
        self._check_open()
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
                self._release()
            finally:
                self._busy.release()

    def _release(self) -> None:
        self._native.close()

    @property
    def repeatable(self) -> bool:
        """Can it be read more than once? A pipe cannot."""
        return self.live or self._native.is_file

    @property
    def fd(self) -> int:
        """The descriptor of the open file. SourceError if it is closed."""
        if self._closed and self._native.fd < 0:
            self._check_open()
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
            raise SourceError(f"{self.path} is closed", "open it again")
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
    """A saved listing, or a text that holds some, in a file or pipe.

    Its first bytes show whether it is compressed or an archive.

    It is read strictly first, as /proc/allocinfo prints it. What is not that is read leniently, and
    `info.warnings` says so. listing: which one if there are several, from 1, `last` or `all`.
    hint: what to do about a text that holds no tag.
    """

    def __init__(self, native: NativeSource, listing: str | None = None) -> None:
        super().__init__(native)
        self._listing = listing or "last"
        self.hint = ""
        self._spool = -1

    def _release(self) -> None:
        if self._spool >= 0:
            os.close(self._spool)
            self._spool = -1
        super()._release()

    def read(self, filter: Filter | None = None, wanted: Wanted | None = None) -> Snapshot:
        filter = _filter(filter)
        table, matcher = Table(), Matcher(filter)
        first = wanted.first if wanted else None
        with self._reading():
            self._begin()
            try:
                for batch in self._strict(matcher):
                    table.append(batch)
                    if first is not None and len(table) >= first and self.info.version:
                        self._check_rest()
                        break  # what the text says of itself at its end is not heard
            except NotPlainError as refusal:
                table.clear()
                for batch in self._lenient(matcher, refusal):
                    table.append(batch)
        return Snapshot(self.info, table, filter)

    def batches(self, filter: Filter) -> Iterator[Table]:
        matcher = Matcher(_filter(filter))
        with self._reading():
            self._begin()
            refusal = self._refusal()
            for batch in self._lenient(matcher, refusal) if refusal else self._strict(matcher):
                yield batch
                self._check_open()

    def prepare(self) -> None:
        """Import now what reading may need later, for who soon cannot read the files of Python."""
        for name in _NEEDED_RARELY:
            import_module(f"..{name}", __package__)

    def listings(self) -> list[Listing]:
        """What it holds, without the lines. FormatError where there is nothing."""
        with self._reading():
            self._begin()
            return self._scan(None, last=False, number=-1).listings

    def ends(self) -> tuple[Snapshot, Snapshot] | None:
        """The first and the last listing; None where there is only one."""
        with self._reading():
            self._begin()
            if self._refusal() is None:
                return None
            scanner = self._scan(None, first=True)
            if len(scanner.listings) < 2:
                return None
            return self._snapshot(scanner, 0), self._snapshot(scanner, -1)

    def _begin(self) -> None:
        self.info = Info(self.path, "text")
        self._native.rewind()
        if self._native.is_file:
            return
        if self._spool >= 0:
            os.close(self._spool)
            self._spool = -1
        from ..storage.archive import may_be_text
        from ..storage.spool import spool

        try:
            self._spool = spool(self.fd, self.path, may_be_text)
        except OSError as error:
            raise _failed(self.path, error) from None

    def _rewound(self) -> int:
        """A descriptor at the beginning of the text."""
        if self._spool < 0:
            self._native.rewind()
            return self.fd
        os.lseek(self._spool, 0, os.SEEK_SET)
        return self._spool

    def _refusal(self) -> NotPlainError | None:
        """Why the text cannot be read strictly."""
        try:
            for _ in self._strict(Matcher(Filter(min_calls=NO_MAXIMUM, max_size=0))):
                pass
        except NotPlainError as refusal:
            return refusal
        return None

    def _strict(self, matcher: Matcher, alone: bool = False) -> Iterator[Table]:
        text = Text(matcher.native, self.path)
        self.info = Info(self.path, "text")
        for batch in self._tables(text):
            self.info.version = text.version
            matcher.finish(batch)
            if len(batch):
                yield batch
        self._describe(text, alone)

    def _tables(self, text: Text) -> Iterator[Table]:
        fd = self._rewound()
        try:
            first = self._first(fd)
            if first.startswith(MAGIC):
                yield from text.from_pieces(unpack(first, fd, self.path))
            elif first[:1] not in _PLAIN and _is_packed(first):
                yield from text.from_pieces(_unpacked(self._rewound(), self.path))
            else:
                yield from text.feed(first)
                yield from text.from_fd(fd)
        except OSError as error:
            raise _failed(self.path, error) from None

    def _first(self, fd: int) -> bytes:
        """The first bytes, enough to recognize compression even if a pipe delivers them slowly."""
        first = os.read(fd, _HEAD)
        while 0 < len(first) < max(map(len, MAGIC)) and (more := os.read(fd, _HEAD)):
            first += more
        return first

    def _describe(self, text: Text, alone: bool) -> None:
        try:
            native = text.finish()
        except FormatError as error:
            if self._may_hold_tags():  # on one line, without a newline
                raise NotPlainError(str(error), error.hint) from None
            raise
        if text.several and not alone:
            raise SeveralError(f"{self.path} may hold several listings")
        self._check_only()
        self.info = _info(self.path, native)
        self.info.metadata = text.metadata
        self.info.kernel = self.info.metadata.get("kernel")
        self.info.rounded = self.info.metadata.get("rounded") == "yes"

    def _may_hold_tags(self) -> bool:
        head = os.read(self._rewound(), 1 << 16)
        return b"func:" in head or b"f\0u\0n\0c\0" in head

    def _check_only(self) -> None:
        """SourceError if another listing than the only one is chosen."""
        if self._listing not in ("1", "last", "all"):
            raise _no_such_listing(self.path, 1)

    def _check_rest(self) -> None:
        """SeveralError if another listing begins further on in the text."""
        kept = b""
        try:
            for _, pieces in _texts(self._rewound(), self.path):
                for piece in pieces:
                    if _LATER_HEADER in (seen := kept + piece):
                        raise SeveralError(f"{self.path} holds several listings")
                    kept = seen[-len(_LATER_HEADER) :]
        except OSError as error:
            raise _failed(self.path, error) from None
        self._check_only()

    def _lenient(self, matcher: Matcher, refusal: NotPlainError) -> Iterator[Table]:
        from .lenient.notes import default_of

        number = self._listing
        if isinstance(refusal, SeveralError) and (several := self._concatenated()):
            shown = self._choose(several.listings, several.listings[-1])
            for listing in shown:
                yield from several.read(listing, matcher)
            self._tell(shown, len(several.listings))
            return
        alone = {} if number in ("last", "all") else {"last": False, "number": int(number)}
        scanner = self._scan(refusal, all=number == "all", **alone)
        listings = scanner.listings
        if isinstance(refusal, SeveralError) and len(listings) == 1 and not scanner.skipped.count:
            yield from self._strict(matcher, alone=True)
            return
        yield from self._listed(matcher, self._choose(listings, default_of(listings)), scanner)

    def _choose(self, listings: Sequence[Listing], default: Listing) -> Sequence[Listing]:
        """The listings that are asked for. SourceError for one that is not there."""
        number = self._listing
        if number == "all":
            return listings
        if number == "last":
            return [default]
        if int(number) > len(listings):
            raise _no_such_listing(self.path, len(listings))
        return [listings[int(number) - 1]]

    def _concatenated(self) -> Concatenated | None:
        """The listings of a text that is not packed, if nothing else is in it."""
        from .concatenated import Concatenated

        fd = self._rewound()
        try:
            start = os.lseek(fd, 0, os.SEEK_CUR)
            if os.pread(fd, 1, start) not in _PLAIN:
                return None
            return Concatenated(fd, start, self.path)
        except NotPlainError:
            return None
        except OSError as error:
            raise _failed(self.path, error) from None

    def _scan(self, refusal: NotPlainError | None, **choice: Any) -> Scanner:
        """All listings of the text, found leniently; choice: whose lines to keep. `refusal`, or an
        error like it, for none."""
        # Most texts are read strictly, and nothing of this is imported for them.
        from .lenient.listing import Choice
        from .lenient.notes import sums_words
        from .lenient.scan import Scanner, scan_text

        scanner = Scanner(self.path, Choice(**choice))
        try:
            for member, pieces in _texts(self._rewound(), self.path):
                if member:
                    scanner.member(member)
                scan_text(scanner, pieces)
        except OSError as error:
            raise _failed(self.path, error) from None
        if not scanner.finish():
            if scanner.sums:
                raise FormatError(
                    f"{self.path} holds {sums_words(scanner.sums)}, not tags",
                    "save the tags themselves: allocq snapshot, or allocq query without --group-by",
                )
            if scanner.is_log:
                raise FormatError(f"{self.path} is a log without a list of tags", _LOGGED)
            words = str(refusal or f"{self.path} is not a saved /proc/allocinfo")
            raise FormatError(words, (refusal.hint if refusal else "") or self.hint)
        return scanner

    def _listed(
        self, matcher: Matcher, shown: Sequence[Listing], scanner: Scanner
    ) -> Iterator[Table]:
        text = Text(matcher.native, self.path, trusted=True)
        for batch in text.from_pieces(_lines(shown)):
            matcher.finish(batch)
            if len(batch):
                yield batch
        self._tell(shown, len(scanner.listings), scanner)

    def _tell(self, shown: Sequence[Listing], number: int, scanner: Scanner | None = None) -> None:
        from ..analysis.excerpt import noted_warnings
        from .lenient.listing import Skipped
        from .lenient.notes import metadata_warnings, note, time_of

        listing = shown[-1]
        metadata = dict(listing.metadata)
        tags = metadata.get("tags", "")
        if listing.profiling == "off":
            metadata["profiling"] = "off"
        self.info = Info(
            self.path,
            "text",
            kernel=metadata.get("kernel"),
            time=time_of(metadata.get("time", "")) or listing.seconds,
            version=listing.version,
            metadata=metadata if len(shown) == 1 else {},
            listing=listing.kind.value,
            rounded=metadata.get("rounded") == "yes" or any(each.rounded for each in shown),
            truncated=tags.isdecimal() and int(tags) != listing.tags,
        )
        skipped = scanner.skipped_in(shown) if scanner else Skipped()
        if words := note(self.path, shown, number, skipped, scanner.ending if scanner else ""):
            self.info.warnings.append(words)
        for warning in metadata_warnings(self.path, listing):
            self.info.warnings.append(warning)
        self.info.warnings += noted_warnings(self.path, listing.metadata)

    def _snapshot(self, scanner: Scanner, at: int) -> Snapshot:
        table, matcher = Table(), Matcher(Filter())
        for batch in self._listed(matcher, [scanner.listings[at]], scanner):
            table.append(batch)
        return Snapshot(self.info, table)


def _filter(filter: object) -> Filter:
    """`filter`, or the one that matches all for None. UsageError for anything else."""
    if filter is None:
        return Filter()
    if isinstance(filter, Filter):
        return filter
    raise UsageError(
        f"filter must be a Filter, not {filter!r}", 'use allocq.Filter(files=["slub.c"])'
    )


def _is_packed(first: bytes) -> bool:
    from ..storage.archive import is_packed

    return is_packed(first)


def _unpacked(fd: int, path: str) -> Iterator[bytes]:
    from ..storage.archive import unpacked

    return unpacked(fd, path)


def _texts(fd: int, path: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    from ..storage.archive import texts

    return texts(fd, path)


def _failed(path: str, error: OSError) -> Exception:
    if error.errno == ENOMEM:
        return MemoryError()
    return SourceError(f"cannot read {path}: {error.strerror}")


def _no_such_listing(path: str, listings: int) -> SourceError:
    words = "1 listing" if listings == 1 else f"{listings} listings"
    return SourceError(f"{path} holds {words}", "allocq query --list-listings shows what there is")


def _lines(shown: Sequence[Listing]) -> Iterator[bytes]:
    if shown[-1].version:
        yield header(shown[-1].version)
    for listing in shown:
        for start in range(0, len(listing.text), _LINES):
            yield b"".join(listing.text[start : start + _LINES])


class Dumped(Saved):
    """The tags in a crash dump, which was read when it was opened. said: warnings about it."""

    def __init__(self, native: NativeSource, path: str, interface: str, said: list[str]) -> None:
        super().__init__(native)
        self.path, self._interface, self._said = path, interface, said

    def _describe(self, text: Text, alone: bool) -> None:
        super()._describe(text, alone)
        self._note()

    def _tell(self, shown: Sequence[Listing], number: int, scanner: Scanner | None = None) -> None:
        super()._tell(shown, number, scanner)
        self._note()

    def _note(self) -> None:
        self.info.interface = self._interface
        self.info.warnings += self._said


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
        filter = _filter(filter)
        matcher, wanted = Matcher(filter), wanted or Wanted()
        with self._reading():
            table, native = self._native.read(
                matcher.native, matcher.hooks(), wanted.top or 0, wanted.first or 0
            )
        self.info = _info(self.path, native)
        self.info.kernel = os.uname().release
        self.info.live = True
        return Snapshot(self.info, table, filter)

    def plan(self, filter: Filter, wanted: Wanted | None = None) -> Plan:
        """The plan that `read` would follow now."""
        matcher, wanted = Matcher(_filter(filter)), wanted or Wanted()
        with self._reading():
            return self._native.plan(
                matcher.native, matcher.hooks(), wanted.top or 0, wanted.first or 0
            )


def open_live(path: str | None, interface: str = "auto") -> Live | None:
    """Open a running kernel's listing; None where `path` names anything else. Of a crash dump, no
    debug info is asked for. Raises what `open_source` raises."""
    if path is not None and is_dump(path):
        return None
    source = open_source(path, interface)
    if isinstance(source, Live):
        return source
    source.close()
    return None


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
        truncated=bool(native.truncated),
    )


def open_source(
    path: str | os.PathLike[str] | None = None,
    interface: str = "auto",
    listing: str | int | None = None,
    vmlinux: str | os.PathLike[str] | None = None,
) -> Live | Saved:
    """Open the running kernel (None), a saved listing, a crash dump, or standard input (`-`).

    A path on a proc file system is a running kernel too. interface: auto, ioctl or text. listing:
    which one of several in a file: a number from 1, `last` (the default) or `all`. vmlinux: for a
    dump, its kernel with debug info. Raises SourceError, AccessError, InterfaceError, and
    UsageError for a wrong argument.

    >>> import allocq
    >>> with allocq.open(allocq.sample_path()) as source:
    ...     len(source.read(allocq.Filter(min_size="1M")))
    10
    """
    if not isinstance(path, str | os.PathLike | None):
        raise UsageError(f"path must be a string or a path, not {path!r}")
    name = None if path is None else os.fspath(path)
    if isinstance(name, bytes):
        raise UsageError(f"path must be text, not {name!r}", "use os.fsdecode()")
    if interface not in INTERFACES:
        words = ", ".join(INTERFACES)
        raise UsageError(f"interface must be one of {words}, not {interface!r}")
    if name is not None and "\0" in name:
        raise SourceError(f"no such file: {name!r}")
    chosen = _listing_of(listing)
    if name is not None and is_kcore(name) and (fd := open_dump(name)) is not None:
        with open(fd, "rb", buffering=0):
            return _open_dumped(fd, name, interface, chosen, vmlinux)
    if vmlinux is not None and name != "-":
        if name is None:
            raise SourceError("--vmlinux is for crash dumps, and none is named", _DUMP_IS_A_FILE)
        check_could_be_dump(name)
    native = NativeSource(name, interface)
    try:
        if name is not None and native.is_file and dump_in(native.fd, native.path):
            with closing(native):
                return _open_dumped(native.fd, name, interface, chosen, vmlinux)
    except BaseException:
        native.close()
        raise
    if vmlinux is not None:
        native.close()
        if name == "-" and not native.is_file:
            raise UsageError(
                "standard input is a pipe, and a crash dump is a file", _DUMP_IS_A_FILE
            )
        hint = _DUMP_IS_A_FILE if native.live else _NO_DUMP
        raise UsageError(f"--vmlinux is for crash dumps, and {native.path} is not one", hint)
    return Live(native) if native.live else Saved(native, chosen)


def open_one(
    path: str | os.PathLike[str] | None, interface: str = "auto", vmlinux: str | None = None
) -> Live | Saved:
    """Open one source of several: vmlinux is for the crash dumps among them."""
    fits = vmlinux is not None and path is not None and is_dump(os.fspath(path))
    return open_source(path, interface, vmlinux=vmlinux if fits else None)


def check_dumps(paths: Iterable[object], vmlinux: str | None) -> None:
    """UsageError where vmlinux is given, but none of several sources is a crash dump."""
    named = [path for path in paths if isinstance(path, str)]
    if vmlinux is not None and not any(is_dump(path) for path in named):
        for path in named:
            check_could_be_dump(path)
        raise UsageError("--vmlinux is for crash dumps, and none is named", "name one, or omit it")


def _open_dumped(
    fd: int,
    name: str,
    interface: str,
    listing: str | None,
    vmlinux: str | os.PathLike[str] | None,
) -> Dumped:
    from .vmcore.dump import examine, where
    from .vmcore.listing import INTERFACE, read_dump

    path = "standard input" if name == "-" else name
    if interface == "ioctl":  # as the front says it, which looks no further
        raise InterfaceError(f"{path} is a saved listing: it has no ioctl", "omit --interface")
    dump = examine(fd, path)
    if vmlinux is None:
        what = "the running kernel's memory" if dump.is_live else "a crash dump"
        raise UsageError(f"{path} is {what}: its kernel's debug info is needed", where(dump))
    if listing not in (None, "1", "last", "all"):
        raise _no_such_listing(path, 1)
    read = read_dump(fd, dump, os.fspath(vmlinux))
    return Dumped(_memory_file(read.text, path), path, INTERFACE, read.warnings)


def in_memory(text: bytes, shown: str) -> Saved:
    """A text that only this process has, as a source. shown: what messages call it."""
    return Saved(_memory_file(text, shown))


def _memory_file(text: bytes, shown: str) -> NativeSource:
    try:
        fd = os.memfd_create("allocq", os.MFD_CLOEXEC)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(text)
            os.lseek(fd, 0, os.SEEK_SET)
        except OSError:
            os.close(fd)
            raise
    except OSError as error:
        raise SourceError(f"cannot hold {shown} in memory: {error.strerror}") from None
    # Not by its name in /proc, which there may not be.
    return NativeSource(shown, "auto", held=fd)


def _listing_of(listing: object) -> str | None:
    """`last`, `all` or a number from 1 as text. UsageError for anything else."""
    if listing is None or listing in ("last", "all"):
        return None if listing is None else str(listing)
    text = str(listing) if isinstance(listing, int | str) and not isinstance(listing, bool) else ""
    if text.isascii() and text.isdigit() and int(text) > 0:
        return str(int(text))
    raise UsageError(f"listing must be a number from 1, last or all, not {listing!r}")


def sample_path() -> str:
    """The path of the installed sample."""
    return str(Path(__file__).parents[1] / "sample.txt")
