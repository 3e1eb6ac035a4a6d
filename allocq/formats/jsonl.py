"""One JSON object a line."""

from . import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..model import Filter
    from ..source import Info
    from ..view import Group
    from . import Rows


class Writer:
    """The objects of `json` without what is around them."""

    streams = True

    def __init__(self, shape: Shape) -> None:
        self._by = shape.group_by

    def begin(self, info: "Info", filter: "Filter") -> bytes:
        """Nothing."""
        return b""

    def tags(self, table: "Rows", order: "Sequence[int] | None") -> "Iterator[bytes]":
        """A line a tag."""
        return table.render("jsonl", order)

    def groups(self, groups: "list[Group]") -> "Iterator[bytes]":
        """A line a group."""
        from .json import group_object

        for group in groups:
            yield group_object(group, self._by or "key") + b"\n"

    def end(self, tags: int, bytes: int, calls: int) -> bytes:
        """Nothing."""
        return b""
