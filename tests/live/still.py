"""Compares an answer of a running kernel with its text, read before and after.

Counters move all the time; names only when a module is loaded or unloaded. A tag that did not move
must be in the answer exactly if it matches; one that moved may have matched in between. A query
itself allocates memory, which is freed before the second reading: such tags are found first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import oracle
from oracle import Asked, Tag

ALLOCINFO = Path("/proc/allocinfo")


def key(tag: Tag) -> tuple[object, ...]:
    return tag[2:6]


def names_of(asked: Asked) -> Asked:
    """The part of the question that no counter decides."""
    return asked._replace(
        min_size=None,
        max_size=None,
        min_calls=None,
        max_calls=None,
        accurate=None,
        underflowed=False,
    )


def read() -> list[Tag]:
    return oracle.parse(ALLOCINFO.read_bytes())


def restless(ask: Callable[[], Iterable[Sequence[Tag]]]) -> frozenset[tuple[object, ...]]:
    """The names of the tags that move while `ask` gives all tags in every way there is."""
    seen: dict[tuple[object, ...], set[tuple[object, ...]]] = {}
    for _ in range(8):
        for tags in (read(), *ask(), read()):
            for place, tag in enumerate(tags):
                seen.setdefault((place, *key(tag)), set()).add(tag)
    moving = {name[1:] for name, tags in seen.items() if len(tags) > 1}
    assert len(moving) < len(seen) / 5, "a guest as busy as this proves nothing"
    return frozenset(moving)


def why_not(
    answer: Sequence[Tag],
    asked: Asked,
    before: Sequence[Tag],
    after: Sequence[Tag],
    moving: frozenset[tuple[object, ...]],
) -> str | None:
    """None if `answer` is the tags that match, in the kernel's order; else what is wrong."""
    if [key(tag) for tag in before] != [key(tag) for tag in after]:
        return "modules came or went"
    if not oracle.select(before, asked):
        asked = asked._replace(files=[oracle.widened(pattern) for pattern in asked.files])
    for tag in answer:
        if not oracle.matches(tag, asked):
            return f"it does not match: {tag}"
    by_name = names_of(asked)
    reached = {0}  # how much of the answer the text so far can account for
    for old, new in zip(before, after, strict=True):
        if not oracle.matches(old, by_name):
            continue
        taken = {at + 1 for at in reached if at < len(answer) and key(answer[at]) == key(old)}
        if old == new and key(old) not in moving:
            if not oracle.matches(old, asked):
                continue
            taken = {at for at in taken if answer[at - 1] == old}
            if not taken:
                nearest = answer[max(reached)] if max(reached) < len(answer) else "the end"
                return f"missing or different: {old}, not {nearest}"
            reached = taken
        else:
            reached |= taken
    if len(answer) not in reached:
        return f"more than there is: {answer[max(reached)]}"
    return None


def same_names(answer: Sequence[Tag], asked: Asked, before: Sequence[Tag]) -> bool:
    """Exactly the tags of these names; for questions that ask nothing of the counters."""
    return [key(tag) for tag in answer] == [key(tag) for tag in oracle.meant(before, asked)]
