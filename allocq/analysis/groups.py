"""Sums of tags by file, directory, function or module, and their order."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from ..errors import UsageError

NAMES = ("file", "function", "module")


class Columns(Protocol):
    """Columns of numbers and strings: a Table."""

    def __len__(self) -> int: ...
    def column(self, name: str) -> list[int]: ...
    def strings(self, name: str) -> list[str]: ...


def directory_of(file: str) -> str:
    """The directory that a path names: `.` for a name alone, `/` for one at the root."""
    directory = file.rpartition("/")[0].rstrip("/")
    return directory or ("/" if file.startswith("/") else ".")


@dataclass(slots=True)
class Group:
    """The sum of one group; key is None for built-in code when grouped by module."""

    key: str | None
    tags: int = 0
    bytes: int = 0
    calls: int = 0


def order_groups(groups: list[Group], sort: str, reverse: bool, limit: int | None) -> list[Group]:
    """The first `limit` groups, sorted; sorting by any name sorts by the key of the group."""
    if sort == "none":
        groups = groups[::-1] if reverse else groups
    else:
        groups = sorted(groups, key=_group_key(sort), reverse=(sort in NAMES) == reverse)
    return groups[:limit]


def _group_key(sort: str) -> Callable[[Group], Any]:
    if sort in NAMES:
        return lambda group: group.key or ""
    if sort == "average":
        return lambda group: Fraction(group.bytes, group.calls) if group.calls else Fraction(0)
    return lambda group: getattr(group, sort)


def add_groups(groups: dict[str | None, Group], table: Columns, by: str) -> None:
    """Add the tags of one batch to the sums. UsageError for an unknown `by`."""
    keys: list[str | None]
    if by == "directory":
        keys = [directory_of(file) for file in table.strings("file")]
    elif by == "module":
        builtin = table.column("builtin")
        keys = [None if b else m for m, b in zip(table.strings("module"), builtin, strict=True)]
    elif by in NAMES:
        keys = list(table.strings(by))
    else:
        raise UsageError(f"cannot group by '{by}'")
    for key, bytes_, calls in zip(keys, table.column("bytes"), table.column("calls"), strict=True):
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(key)
        group.tags += 1
        group.bytes += bytes_
        group.calls += calls
