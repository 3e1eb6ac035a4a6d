"""Sums of tags by file, directory, function, module or location, and their order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import UsageError
from .slab import Sum, slab_pages

NAMES = ("file", "function", "module")
LOCATION = ("file", "line", "module", "function")


class Columns(Protocol):
    """Columns of numbers and strings: a Table."""

    def __len__(self) -> int: ...
    def column(self, name: str) -> list[int]: ...
    def strings(self, name: str) -> list[str]: ...


def directory_of(file: str) -> str:
    """The directory that a path names: `.` for a name alone, `/` for one at the root."""
    directory = file.rpartition("/")[0].rstrip("/")
    return directory or ("/" if file.startswith("/") else ".")


Key = str | None | tuple[str, int, str | None, str]
"""None: built-in code, by module; (file, line, module, function) by location."""


@dataclass(slots=True)
class Group(Sum):
    """The sum of one group."""

    key: Key = None


def order_groups(groups: list[Group], sort: str, reverse: bool, limit: int | None) -> list[Group]:
    """The first `limit` groups, sorted; sorting by any name sorts by the key of the group."""
    if sort == "none":
        groups = groups[::-1] if reverse else groups
    else:
        groups = sorted(groups, key=_group_key(sort), reverse=(sort in NAMES) == reverse)
    return groups[:limit]


def _group_key(sort: str) -> Callable[[Group], Any]:
    if sort in NAMES:
        return lambda group: _name(group.key, sort)
    if sort == "average":
        from fractions import Fraction  # which costs others half a megabyte

        return lambda group: Fraction(group.bytes, group.calls) if group.calls else Fraction(0)
    return lambda group: getattr(group, sort)


def _name(key: Key, sort: str) -> Any:
    if not isinstance(key, tuple):
        return key or ""
    file, line, module, function = key
    return {"file": (file, line), "function": function}.get(sort, module or "")


def add_groups(groups: dict[Key, Group], table: Columns, by: str) -> None:
    """Add the tags of one batch to the sums. UsageError for an unknown `by`."""
    keys: list[Any]
    if by == "location":
        keys = list(zip(*(_names(table, name) for name in LOCATION), strict=True))
    elif by == "directory":
        keys = [directory_of(file) for file in table.strings("file")]
    elif by == "module":
        keys = _names(table, "module")
    elif by in NAMES:
        keys = list(table.strings(by))
    else:
        raise UsageError(f"cannot group by '{by}'")
    counters = zip(table.column("bytes"), table.column("calls"), slab_pages(table), strict=True)
    for key, (size, calls, slab_page) in zip(keys, counters, strict=True):
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(key=key)
        group.add(size, calls, slab_page)


def _names(table: Columns, name: str) -> list[Any]:
    """One part of the location of every tag; None for the module of built-in code."""
    if name == "line":
        return table.column("line")
    if name != "module":
        return list(table.strings(name))
    builtin = table.column("builtin")
    return [None if b else m for m, b in zip(table.strings("module"), builtin, strict=True)]
