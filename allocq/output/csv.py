"""The csv format: RFC 4180, with a plain newline at line ends."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from . import Column, Rows, Shape, Value


class Writer:
    """The names and order of the JSON members; an empty cell for null."""

    streams = True
    name = "csv"
    separator = ","

    def __init__(self, shape: Shape, columns: Sequence[Column]) -> None:
        self._header = shape.header
        self._columns = columns

    def cell(self, text: str) -> str:
        """One value, quoted if necessary."""
        if any(c in text for c in '",\n\r'):
            return '"' + text.replace('"', '""') + '"'
        return text

    def begin(self, head: Mapping[str, object], what: str) -> bytes:
        """The header line, if wanted."""
        if not self._header:
            return b""
        return (self.separator.join(column.name for column in self._columns) + "\n").encode()

    def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]:
        """One line per tag."""
        return table.render(self.name, order)

    def rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]:
        """One line per row."""
        for row in rows:
            line = self.separator.join(self.cell(plain(value)) for value in row) + "\n"
            yield line.encode("utf-8", "surrogateescape")

    def end(
        self,
        total: Mapping[str, object] | None,
        words: str,
        counted: Mapping[str, object] | None = None,
    ) -> bytes:
        """Nothing: a total is not a record."""
        return b""


def plain(value: Value) -> str:
    """A value as in JSON, but without quotes; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
