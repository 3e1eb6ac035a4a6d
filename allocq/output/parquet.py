"""The parquet format of rows: one table, whose columns are those of csv."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import MissingExtraError
from . import Column, ColumnKind, Rows, Shape, Value


class Writer:
    """Writes everything at the end: the footer of the file says what is in it."""

    streams = False

    def __init__(self, shape: Shape, columns: Sequence[Column]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise MissingExtraError(
                "Parquet needs pyarrow, which is not installed", "pip install 'allocq[fleet]'"
            ) from None
        self._arrow: Any = pyarrow
        self._columns = columns
        self._values: list[list[Value]] = [[] for _ in columns]

    def begin(self, head: Mapping[str, object], what: str) -> bytes:
        """Nothing."""
        return b""

    def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]:
        """Not here: storage.parquet writes tags, by its contract."""
        raise NotImplementedError

    def rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]:
        """Take the rows."""
        for row in rows:
            for values, value in zip(self._values, row, strict=True):
                values.append(value)
        yield from ()

    def end(
        self,
        total: Mapping[str, object] | None,
        words: str,
        counted: Mapping[str, object] | None = None,
    ) -> bytes:
        """The whole file."""
        made = {
            column.name: self._arrow.array(values, self._type(column, values))
            for column, values in zip(self._columns, self._values, strict=True)
        }
        sink = self._arrow.BufferOutputStream()
        self._arrow.parquet.write_table(self._arrow.table(made), sink, compression="zstd")
        written: bytes = sink.getvalue().to_pybytes()
        return written

    def _type(self, column: Column, values: Sequence[Value]) -> Any:
        if column.kind == ColumnKind.TEXT:
            return self._arrow.string()
        if column.kind == ColumnKind.FLAG:
            return self._arrow.bool_()
        fraction = column.kind == ColumnKind.PERCENT or any(isinstance(v, float) for v in values)
        return self._arrow.float64() if fraction else self._arrow.int64()
