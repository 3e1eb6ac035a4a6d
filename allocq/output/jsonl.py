"""The jsonl format: one JSON object per line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..core.table import quote_json
from . import Column, Rows, Shape, Value
from .json import row_object


class Writer:
    """The objects of `json`, without the document around them."""

    streams = True

    def __init__(self, shape: Shape, columns: Sequence[Column]) -> None:
        self._keys = [quote_json(column.name) for column in columns]

    def begin(self, head: Mapping[str, object], what: str) -> bytes:
        """Nothing."""
        return b""

    def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]:
        """One line per tag."""
        return table.render("jsonl", order)

    def rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]:
        """One line per row."""
        for row in rows:
            yield row_object(self._keys, row) + b"\n"

    def end(
        self,
        total: Mapping[str, object] | None,
        words: str,
        counted: Mapping[str, object] | None = None,
    ) -> bytes:
        """Nothing."""
        return b""
