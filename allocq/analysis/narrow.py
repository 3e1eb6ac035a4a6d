"""Narrows a filter to one group of tags, so that nothing else is read."""

from __future__ import annotations

import re
from dataclasses import replace

from ..model import Filter
from .diff import Key

# What --file and the others read as more than a name.
_SPECIAL = re.compile(r"[*?\[\]\0\n]|:[0-9]")


def narrowed(filter: Filter, by: str, key: Key) -> Filter:
    """A filter that matches at least the tags of the group that match `filter`, and few others.
    by: file, directory, function, module or location."""
    file, line, module, function = key
    if by == "module":
        return _by_module(filter, module)
    if by == "function":
        name = str(function)
        return filter if filter.functions or not _plain(name) else replace(filter, functions=[name])
    path = str(file)
    if filter.files or not _plain(path) or path in (".", "/"):
        return filter
    if by == "location" and not filter.lines:
        return replace(filter, files=[path], lines=[(int(line or 0), int(line or 0))])
    return replace(filter, files=[path])


def _by_module(filter: Filter, module: str | int | None) -> Filter:
    if filter.modules or filter.builtin:
        return filter
    if module is None:
        return replace(filter, builtin=True)
    return replace(filter, modules=[str(module)]) if _plain(str(module)) else filter


def _plain(name: str) -> bool:
    return bool(name) and not _SPECIAL.search(name)
