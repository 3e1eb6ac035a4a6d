"""A filter in the engine: names by literal, last components or glob; counters."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from .binding import check, decode, encode, ffi, lib, owned
from .signals import Pulse
from .table import Table

NO_MINIMUM, NO_MAXIMUM = -(1 << 63), (1 << 63) - 1
_FIELDS = {
    "file": lib.AQ_FILE,
    "module": lib.AQ_MODULE,
    "function": lib.AQ_FUNCTION,
    "exclude": lib.AQ_EXCLUDE,
    "word": lib.AQ_WORD,
}


class NativeFilter:
    """What the engine checks of a Filter; regular expressions are not its business."""

    __slots__ = ("native",)

    def __init__(self) -> None:
        self.native = owned(lib.aq_filter_new(), lib.aq_filter_free)

    def add_names(self, field: str, patterns: Iterable[str]) -> None:
        """Names or globs of a field: file, module, function, exclude or word."""
        for pattern in patterns:
            data = encode(pattern)
            check(lib.aq_filter_name(self.native, _FIELDS[field], data, len(data)))

    def add_lines(self, first: int, last: int) -> None:
        """A range of line numbers, inclusive."""
        check(lib.aq_filter_line(self.native, first, last))

    def set_builtin(self) -> None:
        """Only code in no module."""
        lib.aq_filter_builtin(self.native)

    def set_accuracy(self, accurate: bool) -> None:
        """Only counters flagged inaccurate by the kernel (False), or only unflagged ones (True)."""
        lib.aq_filter_accuracy(self.native, accurate)

    def set_sizes(self, low: int | None, high: int | None) -> None:
        """Bytes, inclusive; None for no bound."""
        lib.aq_filter_sizes(
            self.native,
            NO_MINIMUM if low is None else min(low, NO_MAXIMUM),
            NO_MAXIMUM if high is None else min(high, NO_MAXIMUM),
        )

    def set_calls(self, low: int | None, high: int | None) -> None:
        """Live allocations, inclusive; None for no bound."""
        lib.aq_filter_calls(
            self.native,
            NO_MINIMUM if low is None else low,
            NO_MAXIMUM if high is None else high,
        )

    def set_underflowed(self) -> None:
        """Only counters below zero."""
        lib.aq_filter_underflowed(self.native)

    def count(self, table: Table) -> int:
        """How many rows have matching names and lines, whatever their counters."""
        keep, matching = ffi.new("uint8_t[]", max(len(table), 1)), ffi.new("size_t *")
        pulse = Pulse()
        error = lib.aq_table_match_names(table.native, self.native, pulse.native, keep, matching)
        pulse.reraise()
        check(error)
        return int(matching[0])

    def apply(self, table: Table) -> None:
        """Drop the rows that do not match."""
        pulse = Pulse()
        error = lib.aq_table_filter(table.native, self.native, pulse.native)
        pulse.reraise()
        check(error)


class PatternFault(IntEnum):
    """What is wrong with a name or glob."""

    NONE = lib.AQ_PATTERN_OK
    EMPTY = lib.AQ_PATTERN_EMPTY
    NUL = lib.AQ_PATTERN_NUL
    OPEN = lib.AQ_PATTERN_OPEN
    RANGE = lib.AQ_PATTERN_RANGE


def pattern_fault(pattern: str) -> tuple[PatternFault, int]:
    """(what is wrong, the character where an empty range begins). UnicodeEncodeError for surrogates
    that stand for no byte."""
    at = ffi.new("size_t *")
    data = encode(pattern)
    fault = PatternFault(lib.aq_pattern_check(data, len(data), at))
    return fault, len(data[: at[0]].decode("utf-8", "surrogateescape"))


def widened(pattern: str) -> str | None:
    """A relative glob or directory that begins at any component of a path, `*/ice/*` for `ice`;
    `mm` for `./mm`; None where the pattern is none of these."""
    data = encode(pattern)
    out = ffi.new("char[]", len(data) + 4)
    length = lib.aq_pattern_widen(data, len(data), out, len(out))
    return decode(out, length) if length else None
