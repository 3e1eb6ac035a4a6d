"""Words and values of totals: what was counted, and what was left out."""

from __future__ import annotations

from collections.abc import Callable

from ..analysis.slab import SlabRule, Sum
from ..units import format_size

SLAB_MARK = "*"
UNDERFLOW_MARK = "!"
SLAB_LEGEND = (
    f"{SLAB_MARK} slab pages, not in the total: their objects are counted at their own tags"
)
UNDERFLOW_LEGEND = f"{UNDERFLOW_MARK} underflowed, not in sums: the counter is below zero"
_PLURALS = {"directory": "directories"}


def plural(what: str) -> str:
    """`tags`, `directories`, `changed directories`."""
    first, _, last = what.rpartition(" ")
    return f"{first} {_PLURALS.get(last, last + 's')}".strip()


def quantity(number: int, what: str) -> str:
    """`1 tag`, `3,746 tags`."""
    return f"{number:,} {what if number == 1 else plural(what)}"


def part_of(
    shown: int, matching: int, sizes: tuple[int, int], what: str, size: Callable[[int], str]
) -> str:
    """`total of 10 tags`, or `10 of 3,746 tags: 51.3M of 60.9M` where a limit cut off the rest."""
    if shown == matching:
        return f"total of {quantity(matching, what)}"
    return f"{shown:,} of {quantity(matching, what)}: {size(sizes[0])} of {size(sizes[1])}"


def left_out(matching: Sum, rule: SlabRule, size: Callable[[int], str]) -> str:
    """What the total does not count, or counts twice: `, without 8.9M of slab pages`."""
    words = []
    if matching.leaves_out_pages(rule):
        words.append(f"without {size(matching.slab_bytes)} of slab pages")
    elif rule is SlabRule.INCLUDE and matching.slab_bytes:
        words.append(f"with {size(matching.slab_bytes)} of slab pages, counted twice")
    elif rule is SlabRule.EXCLUDE:
        words.append("without slab pages")
    elif rule is SlabRule.ONLY:
        words.append("slab pages only")
    if matching.underflowed:
        words.append(f"without {matching.underflowed:,} underflowed")
    return "".join(f", {word}" for word in words)


def total_words(
    shown: Sum,
    matching: Sum,
    rule: SlabRule,
    plain: bool = False,
    groups: tuple[int, int, str] | None = None,
) -> str:
    """The label of a table's total. plain: byte counts; groups: (shown, matching, what they are)
    where the rows are sums."""
    size = str if plain else format_size
    counts = groups or (shown.tags, matching.tags, "tag")
    sizes = shown.counted(rule)[0], matching.counted(rule)[0]
    return part_of(counts[0], counts[1], sizes, counts[2], size) + left_out(matching, rule, size)


def counted_values(shown: Sum, matching: Sum, rule: SlabRule) -> dict[str, object]:
    """What a total counts. bytes, calls: of the rows shown, by the rule and without underflowed
    counters; matching: the same of all rows, also those that a limit cut off."""
    size, calls = shown.counted(rule)
    everything = matching.counted(rule)
    return {
        "slab": rule,
        "tags": shown.tags,
        "bytes": size,
        "calls": calls,
        "slab_bytes": shown.slab_bytes,
        "underflowed": shown.underflowed,
        "matching": {"tags": matching.tags, "bytes": everything[0], "calls": everything[1]},
    }
