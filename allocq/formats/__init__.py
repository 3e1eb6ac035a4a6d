"""One file a format, in a table. A writer knows rows and gives bytes; it knows nothing of sources.

Each module has a `Writer` with begin(), tags(), groups() and end(); `streams` says that it can
begin before the last tag is known.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    from ..model import Filter
    from ..source import Info
    from ..view import Group

    class Rows(Protocol):
        """Tags that can give their columns and render themselves: a Table."""

        def __len__(self) -> int: ...
        def column(self, name: str) -> list[int]: ...
        def strings(self, name: str) -> list[str]: ...
        def render(
            self, format: str, order: Sequence[int] | None = None, first: bool = True
        ) -> Iterator[bytes]: ...

    class Writer(Protocol):
        """What formats have in common."""

        streams: bool

        def __init__(self, shape: "Shape") -> None: ...
        def begin(self, info: Info, filter: Filter) -> bytes: ...
        def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]: ...
        def groups(self, groups: list[Group]) -> Iterator[bytes]: ...
        def end(self, tags: int, bytes: int, calls: int) -> bytes: ...


class Shape:
    """How to lay out: header or not, plain byte counts, color, columns of the terminal (None: any
    width), and the name of the groups' key (None for tags)."""

    __slots__ = ("bytes", "color", "group_by", "header", "width")

    def __init__(
        self,
        header: bool = False,
        bytes: bool = False,
        color: bool = False,
        width: int | None = None,
        group_by: str | None = None,
    ) -> None:
        self.header = header
        self.bytes = bytes
        self.color = color
        self.width = width
        self.group_by = group_by


def writer(name: str, shape: Shape) -> "Writer":
    """The writer of a format that options.FORMATS names."""
    module = __import__(f"{__name__}.{name}", fromlist=("Writer",))
    made: Writer = module.Writer(shape)
    return made
