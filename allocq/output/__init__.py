"""One file a format, in a table. A writer knows rows and gives bytes; it knows nothing of sources.

Each module has a `Writer`. An answer is begin(), then tags() or rows() any number of times, then
end(). `streams` says that it can begin before the last row is known.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Protocol

    Value = str | int | float | bool | None

    class Rows(Protocol):
        """Tags that can give their columns and render themselves: a Table."""

        def __len__(self) -> int: ...
        def column(self, name: str) -> list[int]: ...
        def strings(self, name: str) -> list[str]: ...
        def render(
            self, format: str, order: Sequence[int] | None = None, first: bool = True
        ) -> Iterator[bytes]: ...

    class Writer(Protocol):
        """What formats have in common.

        begin: `head` is what JSON says in front of the list called `what`. rows: one value for
        each column. end: `total` by column name, `words` say of what it is the total.
        """

        streams: bool

        def __init__(self, shape: "Shape", columns: Sequence["Column"]) -> None: ...
        def begin(self, head: Mapping[str, object], what: str) -> bytes: ...
        def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]: ...
        def rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]: ...
        def end(self, total: Mapping[str, Value] | None, words: str) -> bytes: ...


SIZE, NUMBER, PERCENT, TEXT, FLAG = "size", "number", "percent", "text", "flag"


class Column:
    """One column: its name (a JSON key, a CSV heading) and what its values are.

    SIZE: bytes, may be below zero; NUMBER: an int or float; PERCENT: 12.5 is 12.5 %; TEXT; FLAG: a
    bool. signed: a table shows a plus in front of what grew.
    """

    __slots__ = ("kind", "name", "signed")

    def __init__(self, name: str, kind: str, signed: bool = False) -> None:
        self.name = name
        self.kind = kind
        self.signed = signed


class Shape:
    """How to lay out: header or not, plain byte counts, color, columns of the terminal (None: any
    width), the version that a procfs header names."""

    __slots__ = ("bytes", "color", "header", "version", "width")

    def __init__(
        self,
        header: bool = False,
        bytes: bool = False,
        color: bool = False,
        width: int | None = None,
        version: str = "2.0",
    ) -> None:
        self.header = header
        self.bytes = bytes
        self.color = color
        self.width = width
        self.version = version


TAG_COLUMNS = (
    Column("bytes", SIZE),
    Column("calls", NUMBER),
    Column("file", TEXT),
    Column("line", NUMBER),
    Column("module", TEXT),
    Column("function", TEXT),
    Column("accurate", FLAG),
)


def writer(name: str, shape: Shape, columns: "Sequence[Column]" = TAG_COLUMNS) -> "Writer":
    """The writer of a format that options.FORMATS names."""
    module = __import__(f"{__name__}.{name}", fromlist=("Writer",))
    made: Writer = module.Writer(shape, columns)
    return made
