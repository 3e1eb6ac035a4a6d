"""Sums of tags whose labels are the same, and of what is left beside those that are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from .groups import directory_of

Labels = tuple[str, ...]
Key = tuple[Any, ...]
"""(file, line, module, function) of a tag; module None: built-in code."""
OTHER = "other"
BUILT_IN = ""


def place_of(key: Key) -> Labels:
    """(file, function, module) of a tag."""
    file, _, module, function = key
    return file, function, module or BUILT_IN


def place_with_line_of(key: Key) -> Labels:
    """(file, line, function, module) of a tag."""
    file, line, module, function = key
    return file, str(line), function, module or BUILT_IN


def directory_labels(key: Key) -> Labels:
    """(directory,) of a tag."""
    return (directory_of(key[0]),)


def module_labels(key: Key) -> Labels:
    """(module,) of a tag."""
    return (key[2] or BUILT_IN,)


class Summing:
    """Adds up columns of tags by labels. labels: of each tag; keys: each of them once."""

    def __init__(self, labels: Iterable[Labels]) -> None:
        places: dict[Labels, int] = {}
        self._at = [places.setdefault(each, len(places)) for each in labels]
        self.keys: Sequence[Labels] = list(places)

    def __call__(self, column: Sequence[int]) -> list[int]:
        """The sum for each of the keys."""
        sums = [0] * len(self.keys)
        # Most tags hold nothing.
        for at, value in zip(compress(self._at, column), filter(None, column), strict=True):
            sums[at] += value
        return sums


@dataclass(frozen=True, slots=True)
class Labelled:
    """Sums by labels: one row each, all labels different. rest: the last row is all others."""

    labels: Sequence[Labels]
    bytes: Sequence[int]
    calls: Sequence[int]
    rest: bool = False


def shown_and_rest(
    keys: Sequence[Labels], sizes: Sequence[int], calls: Sequence[int], shown: Sequence[int]
) -> Labelled:
    """The sums at these positions, and all others as one, `other`; none are left out.

    Where a file, function and module are all called `other`, they are in that sum.
    """
    if len(shown) == len(keys):
        return Labelled(keys, sizes, calls)
    other = (OTHER,) * len(keys[0])
    kept = [at for at in shown if keys[at] != other]
    shown_sizes, shown_calls = [sizes[at] for at in kept], [calls[at] for at in kept]
    return Labelled(
        [*(keys[at] for at in kept), other],
        [*shown_sizes, sum(sizes) - sum(shown_sizes)],
        [*shown_calls, sum(calls) - sum(shown_calls)],
        rest=True,
    )


def cleaned(labels: Iterable[Labels], clean: Callable[[str], str]) -> Iterator[Labels]:
    """The labels with each name made fit to be written."""
    return (tuple(map(clean, each)) for each in labels)
