"""Where another listing begins that has no header: a loop appended to a file.

The kernel lists a tag once, but for code that several files include. So a tag that comes again
belongs to another listing, which began there or somewhat before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_INCLUDED = (".h", ".rs", "binfmt_elf.c")  # as in core/seen.c
_WINDOW = 8  # tags that show whether a listing goes on like the one before
_SORTED = 3
_MIXED = 8  # more tags than macros alone repeat


@dataclass(frozen=True, slots=True)
class Mark:
    """What there is to tell of a tag. key: its names; gap: lines that are no tags stood before;
    column: how many tags are before it on its line."""

    key: object
    file: str
    size: int
    builtin: bool
    gap: bool = False
    column: int = 0

    @property
    def counts(self) -> bool:
        """Is it listed only once?"""
        return not self.file.endswith(_INCLUDED)


def restarts(marks: Sequence[Mark], header: bool = False) -> list[int]:
    """Where the second, third… listing begins. header: the first one has a header, so it begins
    like a listing of the kernel's, and only its first tag shows another one."""
    keys = {mark.key for mark in marks}
    if len(keys) == len(marks):
        return []
    if header:
        first = next((mark.key for mark in marks if mark.counts), None)
        if len(keys) == 1 or sum(mark.key == first for mark in marks) < 2:
            return []
    elif len(keys) == 1 and marks[0].counts:
        return list(range(1, len(marks)))
    return list(_restarts(marks))


def are_side_by_side(marks: Sequence[Mark]) -> bool:
    """Do listings stand in columns, as paste and pr write them? Then tags come again in another
    column. A mailer that fills lines, and one listing in columns, have each tag once."""
    beside = sum(mark.column > 0 for mark in marks)
    if beside < 2 or 4 * beside < len(marks):
        return False
    left = {mark.key for mark in marks if mark.counts and not mark.column}
    again = sum(mark.counts and mark.column > 0 and mark.key in left for mark in marks)
    return 4 * again > beside


def are_mixed(marks: Sequence[Mark], order: bool = False) -> bool:
    """Do most tags come again in what is one listing, as if several were sorted together? order:
    only if their sizes are in order."""
    counting = [mark for mark in marks if mark.counts]
    keys = {mark.key for mark in counting}
    if len(counting) < _MIXED or len(keys) == 1 or 3 * len(keys) > 2 * len(counting):
        return False
    sizes = [mark.size for mark in marks]
    in_order = sizes == sorted(sizes) or sizes == sorted(sizes, reverse=True)
    return not order or (in_order and len(set(sizes)) > 1)


def _restarts(marks: Sequence[Mark]) -> Iterator[int]:
    start, at = 0, 0
    seen: set[object] = set()
    while at < len(marks):
        mark = marks[at]
        is_again = mark.counts and mark.key in seen and mark.key != marks[at - 1].key
        if is_again and _goes_on(marks, start, at, seen):
            start = _begin(marks, start, at)
            yield start
            seen = {each.key for each in marks[start:at]}
        seen.add(mark.key)
        at += 1


def _goes_on(marks: Sequence[Mark], start: int, at: int, seen: set[object]) -> bool:
    """Are the next tags known as well? Some file may be included that nobody knows of."""
    known = [mark for mark in marks[start:at] if mark.counts]
    window = [mark for mark in marks[at : at + len(known)] if mark.counts][:_WINDOW]
    again = [mark for mark in window if mark.key in seen]
    files = {mark.file for mark in known}
    one_file = len({mark.file for mark in again}) == 1 and len(window) > 1
    return 2 * len(again) >= len(window) and not (one_file and len(files) > 3)


def _begin(marks: Sequence[Mark], start: int, at: int) -> int:
    """Where the listing began that has the tag at `at` again."""
    for rises in (True, False):
        turn = _turn(marks, start, at, rises)
        if turn - start < _SORTED or turn > at or _turn(marks, turn, at, rises) <= at:
            continue
        if marks[at].key != marks[start].key or _is_strict(marks[start:turn]):
            return turn
    if marks[at].key == marks[start].key:
        return at
    for before in range(at, start, -1):
        if marks[before].gap:
            return before
    for before in range(start + 1, at + 1):
        if marks[before].builtin and not marks[before - 1].builtin:
            return before  # the kernel lists modules last
    return at


def _turn(marks: Sequence[Mark], start: int, end: int, rises: bool) -> int:
    """The first tag from start to end that is out of order by size; end + 1 for none."""
    for i in range(start + 1, end + 1):
        before, size = marks[i - 1].size, marks[i].size
        if size < before if rises else size > before:
            return i
    return end + 1


def _is_strict(marks: Sequence[Mark]) -> bool:
    return len({mark.size for mark in marks}) == len(marks)
