"""Is a listing a whole, or an excerpt in which a missing tag only held less than what is shown?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeGuard

from ..model import Info

# Chance does not sort this many sizes; this many tags are never all in use.
_SORTED_BY_INTENT, _SOME_EMPTY = 8, 50
_LONGEST_WHY = 200
_MINIMUM = "saved with a minimum size"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """why: how it is known, in words; smallest: what a tag that is missing holds at most."""

    why: str
    smallest: int


def excerpt_of(sizes: Sequence[int], info: Info) -> Excerpt | None:
    """What is known of a listing's completeness by its sizes in order; None for a whole one.

    A snapshot is a whole, unless it is one of an excerpt, its filter had a minimum size or its rows
    were limited. A filter by name makes no excerpt: the other side is filtered alike.
    """
    metadata = info.metadata
    noted, least = noted_excerpt(metadata), _least(metadata)
    if noted is not None:
        return noted if least is None else Excerpt(noted.why, max(noted.smallest, least - 1))
    if not sizes:
        return None
    smallest = min((size for size in sizes if size > 0), default=0)
    if info.listing == "kernel log":
        return Excerpt("the kernel's ten largest tags", smallest)
    if "limit" in metadata:
        return Excerpt(f"limited to {metadata['limit']} tags", smallest)
    if least is not None:
        return Excerpt(_MINIMUM, max(0, least - 1))
    if "allocq-snapshot" in metadata or (info.listing == "allocq output" and metadata):
        return None
    if info.listing == "allocq output":
        return Excerpt("no tag in it is empty", smallest) if all(sizes) else None
    if not info.version:
        return Excerpt("it has no header", smallest)
    pairs = list(pairwise(sizes))
    if len(sizes) >= _SORTED_BY_INTENT and (
        all(a <= b for a, b in pairs) or all(a >= b for a, b in pairs)
    ):
        return Excerpt("it is sorted", smallest)
    if len(sizes) >= _SOME_EMPTY and all(sizes):
        return Excerpt("no tag in it is empty", smallest)
    return None


def note_of(sizes: Sequence[int], info: Info) -> str:
    """What a snapshot of a listing notes: `4096 it has no header`; "" for a whole, and where the
    filter, which is noted too, says all."""
    excerpt = excerpt_of(sizes, info)
    if excerpt is None or excerpt.why == _MINIMUM:
        return ""
    return f"{excerpt.smallest} {excerpt.why}"


def noted_excerpt(metadata: Mapping[str, str]) -> Excerpt | None:
    """What a snapshot says that it is an excerpt of; None if it does not."""
    number, _, why = metadata.get("excerpt", "").partition(" ")
    if not (number.isascii() and number.isdigit() and len(number) < 20):
        return None
    smallest = min(int(number), (1 << 63) - 1)
    return Excerpt(why.strip()[:_LONGEST_WHY] or "it says so", smallest)


def noted_warnings(path: str, metadata: Mapping[str, str]) -> list[str]:
    """What to say of a snapshot that is read leniently; core/saved.c says it of all others."""
    warnings = excerpt_warnings(path, metadata)
    if metadata.get("rounded") == "yes":
        warnings.append(f"{path}: sizes are rounded")
    return warnings


def excerpt_warnings(path: str, metadata: Mapping[str, str]) -> list[str]:
    """What is said on reading a snapshot of an excerpt."""
    excerpt = noted_excerpt(metadata)
    return [f"{path}: an excerpt ({excerpt.why})"] if excerpt else []


def _is_size(value: object) -> TypeGuard[int]:
    """A file can say anything."""
    return type(value) is int and 0 < value < 1 << 63


def _least(metadata: Mapping[str, str]) -> int | None:
    """The largest min_size of the filters that a listing was saved with."""
    try:
        filters = json.loads(metadata.get("filter", "{}"))
    except (ValueError, RecursionError):
        return None
    sizes = [
        size
        for each in (filters if isinstance(filters, list) else [filters])
        if isinstance(each, dict) and _is_size(size := each.get("min_size"))
    ]
    return max(sizes, default=None)
