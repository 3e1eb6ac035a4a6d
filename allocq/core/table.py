"""The tags of an answer, kept in C: nothing becomes a Python object before it has to."""

from .._native import ffi, lib
from ..model import Tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
}
_STRINGS = {
    "file": lib.AQ_S_FILE,
    "module": lib.AQ_S_MODULE,
    "function": lib.AQ_S_FUNCTION,
    "subject": lib.AQ_S_SUBJECT,
}


class Table:
    """Tags in the kernel's order. `native` is for the callers of C."""

    __slots__ = ("native",)

    def __init__(self) -> None:
        self.native = ffi.gc(lib.aq_table_new(), lib.aq_table_free)
        if self.native == ffi.NULL:
            raise MemoryError

    def __len__(self) -> int:
        return int(lib.aq_table_rows(self.native))

    def clear(self) -> None:
        """Forget all rows, keep the memory."""
        lib.aq_table_clear(self.native)

    def total(self) -> tuple[int, int]:
        """(bytes, calls), each summed over all rows, however large."""
        return sum(self.column("bytes")), sum(self.column("calls"))

    def column(self, name: str) -> list[int]:
        """The numbers of one column: bytes, calls, line, inaccurate or builtin (0 or 1)."""
        rows = len(self)
        numbers = ffi.new("int64_t[]", rows)
        lib.aq_table_column(self.native, _COLUMNS[name], numbers)
        if name in ("calls", "line"):
            return list(ffi.unpack(ffi.cast("uint64_t *", numbers), rows))
        return list(ffi.unpack(numbers, rows))

    def strings(self, name: str) -> list[str]:
        """The strings of one column: file, module ("" for built-in code), function or subject.

        The subject is `FILE:LINE [MODULE] func:FUNCTION`. Bytes that are no UTF-8 become
        surrogates, as in file names.
        """
        need = lib.aq_table_strings(self.native, _STRINGS[name], ffi.NULL, 0)
        buffer = ffi.new("char[]", need)
        lib.aq_table_strings(self.native, _STRINGS[name], buffer, need)
        return str(ffi.buffer(buffer, need), "utf-8", "surrogateescape").split("\0")[:-1]

    def string(self, name: str, row: int) -> str:
        """One string of one row, as `strings` gives it."""
        length = ffi.new("size_t *")
        data = lib.aq_table_string(self.native, row, _STRINGS[name], length)
        return str(ffi.buffer(data, length[0])[:], "utf-8", "surrogateescape")

    def shared(self, name: str, flags: bytes) -> str | None:
        """The string that all rows whose byte in `flags` is not 0 have, if it is one."""
        row = ffi.new("size_t *")
        if not lib.aq_table_shared(self.native, flags, _STRINGS[name], row):
            return None
        return self.string(name, row[0])

    def keep(self, flags: bytes) -> None:
        """Keep the rows whose byte in `flags` is not 0; one byte a row."""
        assert len(flags) == len(self)
        lib.aq_table_keep(self.native, flags)

    def cancel(self, other: "Table") -> None:
        """Take out of both the tags that are in both, one for one, with the same counters.

        What is left is what changed.
        """
        if lib.aq_table_cancel(self.native, other.native):
            raise MemoryError

    def tags(self) -> "list[Tag]":
        """Every row as a Tag."""
        return [
            Tag(bytes_, calls, file, line, None if builtin else module, function, not inaccurate)
            for bytes_, calls, file, line, builtin, module, function, inaccurate in zip(
                self.column("bytes"),
                self.column("calls"),
                self.strings("file"),
                self.column("line"),
                self.column("builtin"),
                self.strings("module"),
                self.strings("function"),
                self.column("inaccurate"),
                strict=True,
            )
        ]

    def render(
        self, format: str, order: "Sequence[int] | None" = None, first: bool = True
    ) -> "Iterator[bytes]":
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
    """`text` as a JSON string; what is no UTF-8 becomes U+FFFD."""
    data = text.encode("utf-8", "surrogateescape")
    size = 6 * len(data) + 2
    buffer = ffi.new("char[]", size)
    used = lib.aq_quote_json(data, len(data), buffer, size)
    return str(ffi.buffer(buffer, used)[:], "utf-8")
