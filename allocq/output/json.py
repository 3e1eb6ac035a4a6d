"""The json format: one object with the source, the filter, the list and the total.

Tags are rendered and quoted in C, because orjson refuses names that are not UTF-8; they get U+FFFD.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..core.table import quote_json
from ..model import Filter, Info
from ..units import format_time
from . import Column, Rows, Shape, Value


class Writer:
    """One document with one row per line."""

    streams = False

    def __init__(self, shape: Shape, columns: Sequence[Column]) -> None:
        self._keys = [quote_json(column.name) for column in columns]
        self._lead = b"\n"

    def begin(self, head: Mapping[str, object], what: str) -> bytes:
        """Everything before the items of the list."""
        members = "".join(f"{quote_json(key)}:{dump(value)},\n" for key, value in head.items())
        return f"{{{members}{quote_json(what)}:[".encode()

    def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]:
        """One object per tag."""
        yield from table.render("json", order, self._lead == b"\n")
        if len(table):
            self._lead = b",\n"

    def rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]:
        """One object per row, with the column names as keys."""
        for row in rows:
            yield self._lead + row_object(self._keys, row)
            self._lead = b",\n"

    def end(
        self,
        total: Mapping[str, object] | None,
        words: str,
        counted: Mapping[str, object] | None = None,
    ) -> bytes:
        """The end of the list, the total, and what of it is counted."""
        tail = "" if total is None else f',\n"total":{dump(total)}'
        tail += "" if counted is None else f',\n"counted":{dump(counted)}'
        return f"\n]{tail}}}\n".encode()


def row_object(keys: Sequence[str], row: Sequence[Value]) -> bytes:
    """One row as an object; `keys` are already quoted."""
    members = ",".join(f"{key}:{dump(value)}" for key, value in zip(keys, row, strict=True))
    return f"{{{members}}}".encode()


def dump(value: object) -> str:
    """Plain values as JSON without blanks. Numbers must be finite; TypeError for other types."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return quote_json(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{quote_json(k)}:{dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(dump(item) for item in value) + "]"
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def head_of(filter: Filter, info: Info) -> dict[str, object]:
    """The members before the list: the source and the filter."""
    source = {
        "path": info.path,
        "interface": info.interface,
        "kernel": info.kernel,
        "content_id": info.content_id,
        "consistent": info.consistent,
        "time": None if info.time is None else format_time(info.time),
    }
    return {"source": source, "filter": filter.as_options()}
