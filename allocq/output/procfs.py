"""The procfs format: the kernel's own lines, byte for byte, for existing scripts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..core.text import header
from . import Column, ColumnKind, Rows, Shape, Value

_WIDTHS = {ColumnKind.SIZE: 12, ColumnKind.NUMBER: 8}


class Writer:
    """Lines of format version 2.0, or of the version of the text that was read."""

    streams = True

    def __init__(self, shape: Shape, columns: Sequence[Column]) -> None:
        self._shape = shape
        self._columns = columns

    def begin(self, head: Mapping[str, object], what: str) -> bytes:
        """The two header lines, if wanted."""
        return header(self._shape.version) if self._shape.header else b""

    def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]:
        """One line per tag."""
        return table.render("procfs", order)

    def rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]:
        """Numbers padded as the kernel does, texts as they are, empty for None."""
        widths = [_WIDTHS.get(column.kind, 0) for column in self._columns]
        for row in rows:
            cells = (f"{'' if v is None else v:>{w}}" for v, w in zip(row, widths, strict=True))
            yield (" ".join(cells) + "\n").encode("utf-8", "surrogateescape")

    def end(
        self,
        total: Mapping[str, object] | None,
        words: str,
        counted: Mapping[str, object] | None = None,
    ) -> bytes:
        """Nothing: a total is not a tag."""
        return b""
