"""The kernel's own lines, to the byte: what old one-liners read."""

from . import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..model import Filter
    from ..source import Info
    from ..view import Group
    from . import Rows

COLUMNS = b"#     <size>  <calls> <tag info>\n"


class Writer:
    """Lines of format version 2.0, or those of the text that was read."""

    streams = True

    def __init__(self, shape: Shape) -> None:
        self._header = shape.header

    def begin(self, info: "Info", filter: "Filter") -> bytes:
        """The file's two header lines, if asked for."""
        if not self._header:
            return b""
        version = info.version or "2.0"
        return f"allocinfo - version: {version}\n".encode() + COLUMNS

    def tags(self, table: "Rows", order: "Sequence[int] | None") -> "Iterator[bytes]":
        """A line a tag."""
        return table.render("procfs", order)

    def groups(self, groups: "list[Group]") -> "Iterator[bytes]":
        """Size, calls and name in the same columns, no name for built-in code."""
        for group in groups:
            name = (group.key or "").encode("utf-8", "surrogateescape")
            yield f"{group.bytes:12d} {group.calls:8d} ".encode() + name + b"\n"

    def end(self, tags: int, bytes: int, calls: int) -> bytes:
        """Nothing: a total line is no tag."""
        return b""
