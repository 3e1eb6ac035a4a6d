"""The tags of an answer, kept in C: nothing becomes a Python object before it has to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .binding import check, decode, encode, ffi, lib, owned
from .signals import Pulse

_CHUNK, _LARGEST_CHUNK = 1 << 14, 1 << 18
_FORMATS = {
    "procfs": lib.AQ_F_PROCFS,
    "json": lib.AQ_F_JSON,
    "jsonl": lib.AQ_F_JSONL,
    "csv": lib.AQ_F_CSV,
    "tsv": lib.AQ_F_TSV,
}
_COLUMNS = {
    "bytes": lib.AQ_BYTES,
    "calls": lib.AQ_CALLS,
    "line": lib.AQ_LINE,
    "inaccurate": lib.AQ_INACCURATE,
    "builtin": lib.AQ_BUILTIN,
    "extra": lib.AQ_EXTRA,
}
_STRINGS = {
    "file": lib.AQ_S_FILE,
    "module": lib.AQ_S_MODULE,
    "function": lib.AQ_S_FUNCTION,
    "subject": lib.AQ_S_SUBJECT,
}
_SORTS = {
    "none": lib.AQ_SORT_NONE,
    "bytes": lib.AQ_SORT_BYTES,
    "calls": lib.AQ_SORT_CALLS,
    "average": lib.AQ_SORT_AVERAGE,
    "file": lib.AQ_SORT_FILE,
    "function": lib.AQ_SORT_FUNCTION,
    "module": lib.AQ_SORT_MODULE,
}


class Table:
    """Tags in kernel order. `native` is for callers of the engine."""

    __slots__ = ("native",)

    def __init__(self) -> None:
        self.native = owned(lib.aq_table_new(), lib.aq_table_free)

    @classmethod
    def borrowed(cls, native: Any) -> Table:
        """A table that somebody else owns."""
        table = cls.__new__(cls)
        table.native = native
        return table

    def __len__(self) -> int:
        return int(lib.aq_table_rows(self.native))

    def clear(self) -> None:
        """Drop all rows, keep the memory."""
        lib.aq_table_clear(self.native)

    def append(self, other: Table) -> None:
        """Add the rows of another table, which is emptied where that is cheaper."""
        if len(self):
            check(lib.aq_table_append(self.native, other.native))
        else:
            lib.aq_table_swap(self.native, other.native)

    def total(self) -> tuple[int, int]:
        """(bytes, calls), each summed over all rows, however large."""
        return sum(self.column("bytes")), sum(self.column("calls"))

    def column(self, name: str) -> list[int]:
        """The numbers of one column: bytes and calls, which are signed, line, inaccurate or builtin
        (0 or 1), or extra, which is 0 where the whole line is known."""
        numbers = self._column(name)
        wanted = ffi.cast("uint64_t *", numbers) if name == "line" else numbers
        return list(ffi.unpack(wanted, len(self)))

    def raw_column(self, name: str) -> bytes:
        """The same numbers as int64_t, one after the other."""
        return bytes(ffi.buffer(self._column(name), 8 * len(self)))

    def _column(self, name: str) -> Any:
        numbers = ffi.new("int64_t[]", len(self))
        lib.aq_table_column(self.native, _COLUMNS[name], numbers)
        return numbers

    def strings(self, name: str) -> list[str]:
        """The strings of one column: file, module ("" for built-in code), function or subject.

        The subject is `FILE:LINE [MODULE] func:FUNCTION`. Bytes that are not UTF-8 become
        surrogates, as in file names.
        """
        return decode(*self._strings(name)).split("\0")[:-1]

    def raw_strings(self, name: str) -> bytes:
        """The same in one piece, each with a NUL behind it: to see quickly whether they changed."""
        buffer, need = self._strings(name)
        return bytes(ffi.buffer(buffer, need))

    def _strings(self, name: str) -> tuple[Any, int]:
        need = lib.aq_table_strings(self.native, _STRINGS[name], ffi.NULL, 0)
        buffer = ffi.new("char[]", need)
        lib.aq_table_strings(self.native, _STRINGS[name], buffer, need)
        return buffer, need

    def keep(self, flags: bytes) -> None:
        """Keep the rows whose byte in `flags` is not 0; one byte a row."""
        assert len(flags) == len(self)
        lib.aq_table_keep(self.native, flags)

    def cancel(self, other: Table) -> None:
        """Drop from both the tags that are in both, one for one, with the same counters.

        What is left is what changed.
        """
        pulse = Pulse()
        error = lib.aq_table_cancel(self.native, other.native, pulse.native)
        pulse.reraise()
        check(error)

    def order(self, sort: str, reverse: bool = False) -> list[int]:
        """Row numbers by `sort`: bytes, calls or average largest first; file, function or module
        ascending; none, kernel order. `reverse` turns that around; equal rows keep kernel order."""
        rows = ffi.new("uint32_t[]", len(self))
        pulse = Pulse()
        error = lib.aq_order(self.native, _SORTS[sort], reverse, pulse.native, rows)
        pulse.reraise()
        check(error)
        return list(rows)

    def render(
        self, format: str, order: Sequence[int] | None = None, first: bool = True
    ) -> Iterator[bytes]:
        """The rows, or those that `order` names, as bytes of a format, in pieces.

        `first`: no JSON element came before.
        """
        rows = ffi.NULL if order is None else ffi.new("uint32_t[]", list(order))
        end = len(self) if order is None else len(order)
        size = _CHUNK
        buffer, after = ffi.new("char[]", size), ffi.new("size_t *")
        at = 0
        while at < end:
            used = lib.aq_render(
                self.native, rows, at, end, _FORMATS[format], first and at == 0, buffer, size, after
            )
            if after[0] == at:
                size *= 2
                buffer = ffi.new("char[]", size)
                continue
            yield ffi.buffer(buffer, used)[:]
            at = after[0]
            if size < _LARGEST_CHUNK and at < end:
                size = _LARGEST_CHUNK
                buffer = ffi.new("char[]", size)


def quote_json(text: str) -> str:
    """`text` as a JSON string; bytes that are not UTF-8 become U+FFFD."""
    data = encode(text)
    size = 6 * len(data) + 2
    buffer = ffi.new("char[]", size)
    return decode(buffer, lib.aq_quote_json(data, len(data), buffer, size))


def printable(text: str) -> str:
    """`text` with what a terminal acts on or hides as escapes: \\x1b, \\u202e."""
    if text.isascii() and text.isprintable():
        return text
    try:
        data = encode(text)
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        data = text.encode("utf-8", "backslashreplace")
    size = 4 * len(data)
    buffer = ffi.new("char[]", size)
    return decode(buffer, lib.aq_printable(data, len(data), buffer, size))
