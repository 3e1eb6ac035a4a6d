"""The scans that C makes: a text read, the kernel asked.

What fails is an OSError, a MemoryError, or one of the exceptions here.
"""

import errno
import posix

from .._native import ffi, lib
from ..model import NO_CALLS_MAXIMUM, NO_MAXIMUM, NO_MINIMUM, Filter, is_glob
from .table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BATCH = 8192
_ALL = (1 << 64) - 1 if ffi.sizeof("size_t") == 8 else (1 << 32) - 1
_KERNEL_FIELDS = {
    "module": lib.AQ_K_MODULE,
    "function": lib.AQ_K_FUNCTION,
    "file": lib.AQ_K_FILE,
    "line": lib.AQ_K_LINE,
    "inaccurate": lib.AQ_K_INACCURATE,
    "min_size": lib.AQ_K_MIN_SIZE,
    "max_size": lib.AQ_K_MAX_SIZE,
}


_NAMES = {"file": lib.AQ_FILE, "function": lib.AQ_FUNCTION, "module": lib.AQ_MODULE}


class Stale(Exception):
    """The kernel's tags are not those that the names say."""


class Ambiguous(Exception):
    """Two whole names end in the same 63 bytes: only their positions tell them apart."""


class BadLine(Exception):
    """A line that is no tag; `line` counts from 1."""

    def __init__(self, line: int, long: bool) -> None:
        super().__init__(line)
        self.line = line
        self.long = long


class Check:
    """A Filter made ready for C. What C cannot check, the regexps, is left to `regexps`."""

    __slots__ = ("invert", "native", "regexps")

    def __init__(self, filter: Filter) -> None:
        self.native = _made(lib.aq_filter_new(), lib.aq_filter_free)
        names = (
            (lib.AQ_FILE, lib.AQ_TAIL, filter.files),
            (lib.AQ_EXCLUDE, lib.AQ_TAIL, filter.excludes),
            (lib.AQ_FUNCTION, lib.AQ_EXACT, filter.functions),
            (lib.AQ_MODULE, lib.AQ_EXACT, filter.modules),
        )
        for field, plain, patterns in names:
            for pattern in patterns:
                data = pattern.encode("utf-8", "surrogateescape")
                whole = lib.AQ_EXACT if pattern.startswith("/") else plain
                kind = lib.AQ_GLOB if is_glob(pattern) else whole
                _raise(lib.aq_filter_name(self.native, field, kind, data, len(data)))
        for first, last in filter.lines:
            _raise(lib.aq_filter_line(self.native, first, last))
        if filter.builtin:
            lib.aq_filter_builtin(self.native)
        if filter.accurate is not None:
            lib.aq_filter_accuracy(self.native, filter.accurate)
        if filter.min_size is not None or filter.max_size is not None:
            low, high = filter.min_size, filter.max_size
            lib.aq_filter_sizes(
                self.native,
                NO_MINIMUM if low is None else min(low, NO_MAXIMUM),
                NO_MAXIMUM if high is None else min(high, NO_MAXIMUM),
            )
        if filter.min_calls is not None or filter.max_calls is not None:
            most = filter.max_calls
            lib.aq_filter_calls(
                self.native, filter.min_calls or 0, NO_CALLS_MAXIMUM if most is None else most
            )
        self.regexps = filter.compiled() if filter.regexps else []
        self.invert = filter.invert

    def search(self, table: Table) -> bytes:
        """One byte a row: 1 where the regexps let it through."""
        searches = [regexp.search for regexp in self.regexps]
        if len(searches) == 1 and not self.invert:
            search = searches[0]
            return bytes(search(subject) is not None for subject in table.strings("subject"))
        return bytes(
            any(search(subject) for search in searches) != self.invert
            for subject in table.strings("subject")
        )

    def finish(self, table: Table) -> None:
        """Drop the rows that only the regexps can tell."""
        if self.regexps and len(table):
            table.keep(self.search(table))

    def apply(self, table: Table) -> None:
        """Drop all rows that do not match."""
        lib.aq_table_filter(table.native, self.native)
        self.finish(table)

    def match_names(self, table: Table) -> bytes:
        """One byte a row: 1 where names, line and regexps match, whatever the counters."""
        flags = ffi.new("uint8_t[]", len(table))
        found = lib.aq_table_match_names(table.native, self.native, flags)
        matched: bytes = ffi.buffer(flags)[:]
        if not self.regexps or not found:
            return matched
        return bytes(a & b for a, b in zip(matched, self.search(table), strict=True))


def count(table: Table, fields: "Mapping[str, str | int]") -> int:
    """How many rows a kernel filter with these fields would let through."""
    native = _made(lib.aq_filter_new(), lib.aq_filter_free)
    for name, field in _NAMES.items():
        if name == "module" and fields.get(name) == "":
            lib.aq_filter_builtin(native)
        elif name in fields:
            data = str(fields[name]).encode("utf-8", "surrogateescape")
            _raise(lib.aq_filter_name(native, field, lib.AQ_EXACT, data, len(data)))
    if "line" in fields:
        _raise(lib.aq_filter_line(native, int(fields["line"]), int(fields["line"])))
    if "inaccurate" in fields:
        lib.aq_filter_accuracy(native, not fields["inaccurate"])
    if "min_size" in fields or "max_size" in fields:
        low, high = int(fields.get("min_size", NO_MINIMUM)), int(fields.get("max_size", NO_MAXIMUM))
        lib.aq_filter_sizes(native, low, high)
    return int(lib.aq_table_count(table.native, native))


class TextScan:
    """A text on its way through C. `table` holds the matches of the batch at hand."""

    __slots__ = ("_check", "_text", "table")

    def __init__(self, check: Check) -> None:
        self._check = check
        self.table = Table()
        self._text = _made(lib.aq_text_new(check.native, self.table.native), lib.aq_text_free)

    def from_fd(self, fd: int) -> "Iterator[Table]":
        """Batches of at most BATCH matches, each gone when the next is asked for."""
        while self._took(lib.aq_text_read(self._text, fd, BATCH)) == lib.AQ_MORE:
            yield from self._batch()
        yield from self._batch()

    def from_pieces(self, pieces: "Iterable[bytes]") -> "Iterator[Table]":
        """The same from bytes in memory. The end is the end of the pieces."""
        for piece in pieces:
            yield from self.feed(piece)
        yield from self.feed(b"")
        yield from self._batch()

    def feed(self, piece: bytes) -> "Iterator[Table]":
        """Take in some bytes; b"" says that there are no more."""
        self._took(lib.aq_text_feed(self._text, piece, len(piece)))
        while self._took(lib.aq_text_take(self._text, BATCH)) == lib.AQ_MORE:
            yield from self._batch()

    def _batch(self) -> "Iterator[Table]":
        self._check.finish(self.table)
        if len(self.table):
            yield self.table
        self.table.clear()

    def _took(self, result: int) -> int:
        if result in (lib.AQ_BAD_LINE, lib.AQ_LONG_LINE):
            raise BadLine(lib.aq_text_line(self._text), result == lib.AQ_LONG_LINE)
        return _raise(result)

    @property
    def tags(self) -> int:
        """Tags seen, matching or not."""
        return int(lib.aq_text_tags(self._text))

    @property
    def headers(self) -> int:
        """Headers seen; more than one where saves were put together."""
        return int(lib.aq_text_headers(self._text))

    @property
    def bytes(self) -> int:
        """Bytes taken in."""
        return int(lib.aq_text_bytes(self._text))

    @property
    def unfinished(self) -> int:
        """Bytes behind the last newline, known at the end: a line that was cut off."""
        return int(lib.aq_text_unfinished(self._text))

    @property
    def version(self) -> str:
        """The format's version in the first header, or an empty string."""
        return str(ffi.string(lib.aq_text_version(self._text)), "utf-8", "replace")

    @property
    def notes(self) -> str:
        """The lines that begin with `#`, but for the kernel's own."""
        return str(ffi.string(lib.aq_text_notes(self._text)), "utf-8", "replace")


def collect(batches: "Iterable[Table]") -> Table:
    """All batches in one table."""
    whole = Table()
    for batch in batches:
        if len(whole):
            _raise(lib.aq_table_append(whole.native, batch.native))
        else:
            lib.aq_table_swap(whole.native, batch.native)
    return whole


class KernelFilter:
    """The filter of GET_AT. `fields` keeps what was set, for people to read."""

    __slots__ = ("fields", "native")

    def __init__(self, fields: "Mapping[str, str | int]") -> None:
        """Fields: module ("": built-in), function, file; line, inaccurate, min_size, max_size."""
        self.fields = dict(fields)
        self.native = _made(lib.aq_kfilter_new(), lib.aq_kfilter_free)
        for name, value in fields.items():
            if isinstance(value, str):
                data = value.encode("utf-8", "surrogateescape")
                lib.aq_kfilter_name(self.native, _KERNEL_FIELDS[name], data, len(data))
            else:
                lib.aq_kfilter_number(self.native, _KERNEL_FIELDS[name], value)

    @property
    def mask(self) -> int:
        """struct allocinfo_filter's mask."""
        return int(lib.aq_kfilter_mask(self.native))


def parse(text: bytes, check: Check) -> Table:
    """The matching tags of a whole text."""
    return collect(TextScan(check).from_pieces((text,)))


def content_id(fd: int) -> int | None:
    """What changes when a module comes or goes; None where the kernel has no ioctl."""
    found = ffi.new("uint64_t *")
    error = lib.aq_content_id(fd, found)
    if error in (-errno.ENOTTY, -errno.EINVAL):
        return None
    _raise(error)
    return int(found[0])


def ask(fd: int, kernel: KernelFilter, check: Check, table: Table, limit: int | None = None) -> int:
    """Add to `table` what the kernel's filter lets through and the counters' checks keep.

    Names are as the kernel gives them, at most 63 bytes. Returns the ioctls made.
    """
    made = ffi.new("uint64_t *")
    most = _ALL if limit is None else limit
    _raise(lib.aq_scan(fd, kernel.native, check.native, most, table.native, made))
    return int(made[0])


def seek(
    fd: int,
    names: Table,
    runs: "list[tuple[int, int]]",
    check: Check,
    table: Table,
    limit: int | None = None,
) -> int:
    """Add to `table` the tags at (position, count) that the counters' checks keep.

    Names are whole. Stale where a position holds another tag than `names` says. Returns the ioctls
    made.
    """
    made = ffi.new("uint64_t *")
    first = ffi.new("uint32_t[]", [position for position, _ in runs])
    count = ffi.new("uint32_t[]", [count for _, count in runs])
    most = _ALL if limit is None else limit
    _raise(
        lib.aq_seek(
            fd, names.native, first, count, len(runs), check.native, most, table.native, made
        )
    )
    return int(made[0])


def resolve(table: Table, names: Table) -> None:
    """Give trimmed names their whole form. Stale or Ambiguous where that cannot be."""
    _raise(lib.aq_table_resolve(table.native, names.native))


def has_trimmed(table: Table) -> bool:
    """Is there a name that may be the end of a longer one?"""
    return bool(lib.aq_table_trimmed(table.native))


def is_proc(fd: int) -> bool:
    """Is the file on a proc file system, and so a running kernel's?"""
    return bool(lib.aq_is_proc(fd))


def hash_bytes(data: bytes) -> int:
    """64 bits that find damage, not malice."""
    return int(lib.aq_hash(data, len(data)))


def _made(native: object, free: object) -> object:
    """What C has made, freed when Python lets go of it."""
    if native == ffi.NULL:
        raise MemoryError
    return ffi.gc(native, free)


def _raise(result: int) -> int:
    """Pass a result on, or raise what it stands for. The one place that knows."""
    if result >= 0:
        if result == lib.AQ_STALE:
            raise Stale
        if result == lib.AQ_AMBIGUOUS:
            raise Ambiguous
        return result
    if result == -errno.ENOMEM:
        raise MemoryError
    raise OSError(-result, posix.strerror(-result))
