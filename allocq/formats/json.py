"""One JSON object: source, filter, tags (or groups) and total.

Importing orjson takes more than twice as long as starting Python does, so the tags are written in
C and the little around them here; tests hold both to what orjson and json read back.
"""

from ..notes import format_time
from ..table import quote_json
from . import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..model import Filter
    from ..source import Info
    from ..view import Group
    from . import Rows

_ASKED = {
    "files": "file",
    "functions": "function",
    "modules": "module",
    "lines": "line",
    "regexps": "regexp",
    "excludes": "exclude",
}


class Writer:
    """A whole document; one tag a line."""

    streams = False

    def __init__(self, shape: Shape) -> None:
        self._by = shape.group_by

    def begin(self, info: "Info", filter: "Filter") -> bytes:
        """Everything in front of the tags."""
        source = {
            "path": info.path,
            "interface": info.interface,
            "kernel": info.kernel,
            "content_id": info.content_id,
            "consistent": info.consistent,
            "time": None if info.time is None else format_time(info.time),
        }
        asked = {_ASKED.get(name, name): value for name, value in filter.items().items()}
        what = "groups" if self._by else "tags"
        return f'{{"source":{dump(source)},\n"filter":{dump(asked)},\n"{what}":['.encode()

    def tags(self, table: "Rows", order: "Sequence[int] | None") -> "Iterator[bytes]":
        """An object a tag."""
        return table.render("json", order)

    def groups(self, groups: "list[Group]") -> "Iterator[bytes]":
        """An object a group: bytes, calls, tags and the key."""
        lead = b"\n"
        for group in groups:
            yield lead + group_object(group, self._by or "key")
            lead = b",\n"

    def end(self, tags: int, bytes: int, calls: int) -> bytes:
        """The sums of what is listed."""
        total = dump({"tags": tags, "bytes": bytes, "calls": calls})
        return f'\n],\n"total":{total}}}\n'.encode()


def group_object(group: "Group", by: str) -> bytes:
    """One group as a JSON object."""
    return dump(
        {"bytes": group.bytes, "calls": group.calls, "tags": group.tags, by: group.key}
    ).encode()


def dump(value: object) -> str:
    """Plain values as JSON without blanks."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return quote_json(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{quote_json(k)}:{dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(dump(item) for item in value) + "]"
    raise TypeError(f"{type(value).__name__} is not for JSON")
