"""Order, the first few, and sums: what is shown of the tags, and how they are gathered."""

from ..errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    class Columns(Protocol):
        """What gives columns of numbers and strings: a Table."""

        def __len__(self) -> int: ...
        def column(self, name: str) -> list[int]: ...
        def strings(self, name: str) -> list[str]: ...


NAMES = ("file", "function", "module")


class Group:
    """A sum: key is None for built-in code when grouped by module."""

    __slots__ = ("bytes", "calls", "key", "tags")

    def __init__(self, key: str | None) -> None:
        self.key = key
        self.tags = 0
        self.bytes = 0
        self.calls = 0


def order_of(
    table: "Columns", sort: str, reverse: bool, limit: int | None
) -> "Sequence[int] | None":
    """Row numbers in the order to be shown, None for all as they are.

    Numbers sort largest first, names ascending; `reverse` turns that round. Equals stay in the
    kernel's order.
    """
    rows: Sequence[int] = range(len(table))
    if sort == "none":
        if reverse:
            rows = rows[::-1]
        elif limit is None:
            return None
    else:
        rows = _sorted(rows, _key(table, sort), (sort in NAMES) != reverse)
    return rows if limit is None else rows[:limit]


def order_groups(
    groups: "list[Group]", sort: str, reverse: bool, limit: int | None
) -> "list[Group]":
    """Groups in the order to be shown; any name as the key sorts by the group's own."""
    if sort == "none":
        groups = groups[::-1] if reverse else groups
    else:
        key: Callable[[Group], Any]
        if sort in NAMES:
            key = lambda group: group.key or ""  # noqa: E731
        elif sort == "average":
            key = lambda group: group.bytes / group.calls if group.calls else 0  # noqa: E731
        else:
            key = lambda group: getattr(group, sort)  # noqa: E731
        groups = _sorted(groups, key, (sort in NAMES) != reverse)
    return groups[:limit]


def group(table: "Columns", by: str) -> "list[Group]":
    """Sums by file, directory, function or module, in the order their first tags come."""
    groups: dict[str | None, Group] = {}
    add_groups(groups, table, by)
    return list(groups.values())


def add_groups(groups: "dict[str | None, Group]", table: "Columns", by: str) -> None:
    """Add the tags of one batch to the sums."""
    keys: list[str | None]
    if by == "directory":
        keys = [file.rpartition("/")[0] or "." for file in table.strings("file")]
    elif by == "module":
        builtin = table.column("builtin")
        keys = [None if b else m for m, b in zip(table.strings("module"), builtin, strict=True)]
    elif by in NAMES:
        keys = list(table.strings(by))
    else:
        raise UsageError(f"cannot group by '{by}'")
    for key, bytes_, calls in zip(keys, table.column("bytes"), table.column("calls"), strict=True):
        found = groups.get(key)
        if found is None:
            found = groups[key] = Group(key)
        found.tags += 1
        found.bytes += bytes_
        found.calls += calls


def _key(table: "Columns", sort: str) -> "Callable[[int], Any]":
    if sort == "average":
        averages = [
            bytes_ / calls if calls else 0
            for bytes_, calls in zip(table.column("bytes"), table.column("calls"), strict=True)
        ]
        return averages.__getitem__
    if sort == "file":
        return list(zip(table.strings("file"), table.column("line"), strict=True)).__getitem__
    if sort in NAMES:
        return table.strings(sort).__getitem__
    return table.column(sort).__getitem__


def _sorted(items: "Sequence[Any]", key: "Callable[[Any], Any]", ascending: bool) -> "list[Any]":
    return sorted(items, key=key, reverse=not ascending)
