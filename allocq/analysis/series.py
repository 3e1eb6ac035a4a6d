"""Finds what changed over more than two listings: each with the next, and the first with the last.

Tags of one location are summed, because nothing says which of the twins of one listing is which of
the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..model import Filter
from .diff import Change, Count, Key, bound, changed, match, ordered, passing, sums
from .groups import Columns


@dataclass(slots=True)
class Series:
    """One key over all listings. whole: from the first to the last; steps: from each to the next,
    None where neither has it."""

    key: Key
    whole: Change
    steps: list[Change | None]

    @property
    def counts(self) -> list[Count | None]:
        """The counters in each listing; None where it does not exist, or is not listed."""
        first = self.steps[0]
        rest = [step.after if step else None for step in self.steps]
        return [first.before if first else None, *rest]

    @property
    def rises(self) -> int:
        """In how many steps it grew; calls decide if the bytes are equal."""
        return sum((step.bytes or step.calls) > 0 for step in self.steps if step)


def series_of(
    listings: Sequence[tuple[Columns, int | None]],
    filter: Filter,
    ignore_lines: bool,
    group_by: str | None,
) -> list[Series]:
    """What differs anywhere over the listings, each with what a tag that it does not list holds at
    most (None for a whole listing). Counters pass the filter if they do in any listing."""
    pairs = [(listings[0], listings[-1]), *pairwise(listings)]
    columns = []
    for (before, before_bound), (after, after_bound) in pairs:
        changes = match(before, after)
        bound(changes, before_bound, after_bound)
        columns.append(_by_place(changes) if ignore_lines else _by_location(changes))
    if filter.asks_counters:
        kept = {change.key for column in columns for change in passing(column.values(), filter)}
        columns = [{key: column[key] for key in column if key in kept} for column in columns]
    if group_by:
        columns = [
            {change.key: change for change in sums(column.values(), group_by)} for column in columns
        ]
    keys = dict.fromkeys(key for column in columns for key in column)
    found = []
    for key in keys:
        whole, *steps = (column.get(key) for column in columns)
        if changed(change for change in (whole, *steps) if change):
            found.append(Series(key, whole or Change(key, None, None), steps))
    return found


def _by_place(changes: Iterable[Change]) -> dict[Key, Change]:
    return {change.key: change for change in sums(changes, "place")}


def _by_location(changes: Iterable[Change]) -> dict[Key, Change]:
    """Sums of twins alone, as a sum does not tell what is only not listed."""
    twins: dict[Key, list[Change]] = {}
    for change in changes:
        twins.setdefault(change.key, []).append(change)
    return {
        key: each[0] if len(each) == 1 else sums(each, "location")[0] for key, each in twins.items()
    }


def ordered_series(series: Iterable[Series], sort: str, reverse: bool) -> list[Series]:
    """Sorted by what changed from the first listing to the last."""
    by_key = {each.key: each for each in series}
    wholes = ordered([each.whole for each in by_key.values()], sort, reverse)
    return [by_key[change.key] for change in wholes]
