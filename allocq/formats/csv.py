"""Comma-separated values (RFC 4180, lines ended by a newline alone)."""

from . import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..model import Filter
    from ..source import Info
    from ..view import Group
    from . import Rows

TAG_COLUMNS = ("bytes", "calls", "file", "line", "module", "function", "accurate")


class Writer:
    """The names and the order of the JSON objects; an empty cell where those say null."""

    streams = True
    name = "csv"
    separator = ","

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def cell(self, text: str) -> str:
        """One value, quoted if it must be."""
        if any(c in text for c in '",\n\r'):
            return '"' + text.replace('"', '""') + '"'
        return text

    def begin(self, info: "Info", filter: "Filter") -> bytes:
        """The columns' names, unless not wanted."""
        if not self._shape.header:
            return b""
        by = self._shape.group_by
        columns = ("bytes", "calls", "tags", by) if by else TAG_COLUMNS
        return (self.separator.join(columns) + "\n").encode()

    def tags(self, table: "Rows", order: "Sequence[int] | None") -> "Iterator[bytes]":
        """A line a tag."""
        return table.render(self.name, order)

    def groups(self, groups: "list[Group]") -> "Iterator[bytes]":
        """A line a group."""
        for group in groups:
            cells = (
                str(group.bytes),
                str(group.calls),
                str(group.tags),
                self.cell(group.key or ""),
            )
            yield (self.separator.join(cells) + "\n").encode("utf-8", "surrogateescape")

    def end(self, tags: int, bytes: int, calls: int) -> bytes:
        """Nothing: a total is no record."""
        return b""
