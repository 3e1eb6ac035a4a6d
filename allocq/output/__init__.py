"""Output formats, one module each with a `Writer` that turns rows into bytes.

Call begin(), then tags() or rows() any number of times, then end(). A writer whose `streams` is
True can write before the last row is known.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Protocol


class AtMost(int):
    """A number of which only an upper bound is known."""

    sign = "<="


class AtLeast(int):
    """A number of which only a lower bound is known."""

    sign = ">="


Value = str | int | float | bool | None


class ColumnKind(StrEnum):
    """The type of a column.

    SIZE: bytes, may be negative; NUMBER: int or float; PERCENT: 12.5 is 12.5 %; FLAG: bool.
    """

    SIZE = "size"
    NUMBER = "number"
    PERCENT = "percent"
    TEXT = "text"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name (JSON key, CSV heading) and type.

    signed: tables show a plus sign before positive values. spare: a table too wide for the terminal
    drops the column with the highest number first; 0: never.
    """

    name: str
    kind: ColumnKind
    signed: bool = False
    spare: int = 0


@dataclass(slots=True)
class Shape:
    """Layout: header line, plain byte counts, color, terminal width in columns (None: unlimited),
    format version in a procfs header, an AVERAGE column in a table of tags, and are slab pages left
    out of its total?"""

    header: bool = False
    bytes: bool = False
    color: bool = False
    width: int | None = None
    version: str = "2.0"
    average: bool = False
    slab_mark: bool = False


class Rows(Protocol):
    """Tags by column, which can render themselves: a Table."""

    def __len__(self) -> int: ...
    def column(self, name: str) -> list[int]: ...
    def strings(self, name: str) -> list[str]: ...
    def render(
        self, format: str, order: Sequence[int] | None = None, first: bool = True
    ) -> Iterator[bytes]: ...


class Writer(Protocol):
    """The interface of all formats.

    begin: `head` has the JSON members before the list named `what`. rows: one value per column.
    end: `total` by column name: the sums of the rows; `words` label it. `counted`: the sums in
    which nothing is counted twice, for tables in place of the total.
    """

    streams: bool

    def __init__(self, shape: Shape, columns: Sequence[Column]) -> None: ...
    def begin(self, head: Mapping[str, object], what: str) -> bytes: ...
    def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]: ...
    def rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]: ...
    def end(
        self,
        total: Mapping[str, object] | None,
        words: str,
        counted: Mapping[str, object] | None = None,
    ) -> bytes: ...


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
    """The writer of a format in options.shared.FORMATS."""
    made: Writer = import_module(f"{__name__}.{name}").Writer(shape, columns)
    return made
