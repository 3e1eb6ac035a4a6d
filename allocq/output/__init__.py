"""One file a format, in a table. A writer knows rows and gives bytes; it knows nothing of sources.

Each module of a format has a `Writer`. An answer is begin(), then tags() or rows() any number of
times, then end(). `streams` says that it can begin before the last row is known.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Protocol

Value = str | int | float | bool | None


class ColumnKind(StrEnum):
    """What the values of a column are.

    SIZE: bytes, may be below zero; NUMBER: an int or float; PERCENT: 12.5 is 12.5 %; FLAG: a bool.
    """

    SIZE = "size"
    NUMBER = "number"
    PERCENT = "percent"
    TEXT = "text"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name (a JSON key, a CSV heading) and what its values are.

    signed: a table shows a plus in front of what grew.
    """

    name: str
    kind: ColumnKind
    signed: bool = False


@dataclass(slots=True)
class Shape:
    """How to lay out: header or not, plain byte counts, color, columns of the terminal (None: any
    width), the version that a procfs header names."""

    header: bool = False
    bytes: bool = False
    color: bool = False
    width: int | None = None
    version: str = "2.0"


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

    begin: `head` is what JSON says in front of the list called `what`. rows: one value for each
    column. end: `total` by column name, `words` say of what it is the total.
    """

    streams: bool

    def __init__(self, shape: Shape, columns: Sequence[Column]) -> None: ...
    def begin(self, head: Mapping[str, object], what: str) -> bytes: ...
    def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]: ...
    def rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]: ...
    def end(self, total: Mapping[str, Value] | None, words: str) -> bytes: ...


TAG_COLUMNS = (
    Column("bytes", ColumnKind.SIZE),
    Column("calls", ColumnKind.NUMBER),
    Column("file", ColumnKind.TEXT),
    Column("line", ColumnKind.NUMBER),
    Column("module", ColumnKind.TEXT),
    Column("function", ColumnKind.TEXT),
    Column("accurate", ColumnKind.FLAG),
)


def writer(name: str, shape: Shape, columns: Sequence[Column] = TAG_COLUMNS) -> Writer:
    """The writer of a format that declarations.shared.FORMATS names."""
    made: Writer = import_module(f"{__name__}.{name}").Writer(shape, columns)
    return made
