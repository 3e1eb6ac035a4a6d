"""Rows, columns and totals of changes between two listings."""

from collections.abc import Iterable, Mapping, Sequence

from ..analysis.diff import Change, Count, leaves_out_pages
from ..analysis.slab import SlabRule
from ..units import format_size
from . import AtLeast, AtMost, Column, ColumnKind, Value
from .terminal import printable
from .totals import part_of


def change_words(
    shown: Sequence[Change],
    changes: Sequence[Change],
    group_by: str | None,
    rule: SlabRule,
    plain: bool = False,
) -> str:
    """The label of a table's total. plain: byte counts."""

    def size(growth: int) -> str:
        return ("+" if growth > 0 else "") + (str(growth) if plain else format_size(growth))

    left_out = leaves_out_pages(changes, rule)
    growth = (growth_of(shown, left_out)[0], growth_of(changes, left_out)[0])
    words = part_of(len(shown), len(changes), growth, f"changed {group_by or 'tag'}", size)
    slab = sum(_slab_growth(change)[0] for change in changes)
    if left_out and slab:
        words += f", without {size(slab)} of slab pages"
    elif rule is SlabRule.INCLUDE and slab:
        words += f", with {size(slab)} of slab pages, counted twice"
    elif rule is SlabRule.EXCLUDE:
        words += ", without slab pages"
    elif rule is SlabRule.ONLY:
        words += ", slab pages only"
    if any(change.is_bounded for change in shown):
        words += ", as far as is certain"
    below = sum(change.underflowed for change in changes)
    return words + (f", {below:,} underflowed" if below else "")


def _slab_growth(change: Change) -> tuple[int, int]:
    """(bytes, calls) by which the slab pages of a change grew."""
    before, after = change.before, change.after
    calls = (after.slab_calls if after else 0) - (before.slab_calls if before else 0)
    return change.bytes - change.growth(without_pages=True), 0 if change.is_bounded else calls


def kernel_growth(shown: Sequence[Change], changes: Iterable[Change], plain: bool) -> str:
    """The largest growth that is neither user memory nor slab pages, where a table begins with one
    of these; \"\" if there is none. plain: byte counts."""
    if not shown or not _is_backing(shown[0]):
        return ""
    own = [each for each in changes if not _is_backing(each)]
    largest = max(own, key=lambda each: each.bytes, default=None)
    if largest is None or largest.bytes <= 0:
        return ""
    where = " ".join(printable(text) for text in _named(largest))
    size = str(largest.bytes) if plain else format_size(largest.bytes)
    return f"largest growth of the kernel itself: {where} (+{size})"


def _named(change: Change) -> Sequence[str]:
    if len(change.key) == 1:
        return ["(built-in)" if change.key[0] is None else str(change.key[0])]
    return place_of(change)


def _is_backing(change: Change) -> bool:
    pages = change.has_slab_pages and change.growth(without_pages=True) <= 0
    return change.bytes > 0 and (change.user_pages or pages)


def growth_cell(change: Change) -> Value:
    """The growth for a table; None where nothing is certain."""
    if not change.is_bounded:
        return change.bytes
    if not change.bytes:
        return None
    return AtLeast(change.bytes) if change.bytes > 0 else AtMost(change.bytes)


def calls_cell(change: Change) -> Value:
    """The growth in calls; None where that is not known."""
    return None if change.is_bounded else change.calls


def size_cell(count: Count | None, bound: int | None) -> Value:
    """The bytes on one side for a table. bound: what it holds at most if it is not listed."""
    if count is None:
        return None if bound is None else AtMost(bound)
    return AtMost(count.bytes + count.unlisted) if count.unlisted else count.bytes


def growth_of(changes: Iterable[Change], without_pages: bool) -> tuple[int, int]:
    """(bytes, calls) by which the changes grew in all."""
    size = calls = 0
    for change in changes:
        slab = _slab_growth(change) if without_pages else (0, 0)
        size += change.bytes - slab[0]
        calls += change.calls - slab[1]
    return size, calls


class ChangeLayout:
    """Lays out changes as rows.

    table: the columns for people; otherwise all columns. seconds: between the two listings, None
    if unknown (then there are no rates). slab_left_out: totals are without slab pages.
    """

    def __init__(
        self,
        table: bool,
        group_by: str | None,
        seconds: float | None,
        slab_left_out: bool = False,
    ) -> None:
        self._table = table
        # Sums by location are rows as single tags are.
        self._group_by = None if group_by == "location" else group_by
        self._summed = group_by is not None
        self._seconds = seconds
        self._slab_left_out = slab_left_out
        self.columns = self._people() if table else self._machines()

    def _people(self) -> list[Column]:
        rate = [Column("per_second", ColumnKind.SIZE, signed=True, spare=6)]
        return [
            Column("growth", ColumnKind.SIZE, signed=True),
            Column("percent", ColumnKind.PERCENT, signed=True, spare=4),
            *(rate if self._seconds else []),
            Column("before", ColumnKind.SIZE, spare=3),
            Column("after", ColumnKind.SIZE, spare=1),
            Column("calls", ColumnKind.NUMBER, signed=True, spare=2),
            Column("change", ColumnKind.TEXT, spare=5),
            *self._names(Column("where", ColumnKind.TEXT), Column("function", ColumnKind.TEXT)),
            Column("accurate", ColumnKind.FLAG),
            Column("slab_pages", ColumnKind.FLAG),
            Column("below_zero", ColumnKind.FLAG),
            Column("user_pages", ColumnKind.FLAG),
        ]

    def _machines(self) -> list[Column]:
        tags = [Column("tags_before", ColumnKind.NUMBER), Column("tags_after", ColumnKind.NUMBER)]
        return [
            Column("change", ColumnKind.TEXT),
            Column("bytes_growth", ColumnKind.SIZE, signed=True),
            Column("calls_growth", ColumnKind.NUMBER, signed=True),
            Column("percent", ColumnKind.PERCENT, signed=True),
            Column("bytes_per_second", ColumnKind.NUMBER, signed=True),
            Column("calls_per_second", ColumnKind.NUMBER, signed=True),
            Column("bytes_before", ColumnKind.SIZE),
            Column("bytes_after", ColumnKind.SIZE),
            Column("calls_before", ColumnKind.NUMBER),
            Column("calls_after", ColumnKind.NUMBER),
            *(tags if self._summed else []),
            *self._names(
                Column("file", ColumnKind.TEXT),
                Column("line", ColumnKind.NUMBER),
                Column("module", ColumnKind.TEXT),
                Column("function", ColumnKind.TEXT),
            ),
            Column("accurate", ColumnKind.FLAG),
        ]

    def _names(self, *columns: Column) -> Sequence[Column]:
        return [Column(self._group_by, ColumnKind.TEXT)] if self._group_by else columns

    def rows(self, changes: Iterable[Change]) -> Iterable[Sequence[Value]]:
        """One row per change."""
        row = self._short if self._table else self._long
        return map(row, changes)

    def _short(self, change: Change) -> Sequence[Value]:
        before, after = change.before, change.after
        return [
            growth_cell(change),
            change.percent,
            *([None if change.is_bounded else self._rate(change.bytes)] if self._seconds else []),
            size_cell(before, change.bound),
            size_cell(after, change.bound),
            calls_cell(change),
            change.kind,
            *(change.key if self._group_by else place_of(change)),
            change.accurate,
            self._slab_left_out and change.has_slab_pages,
            change.underflowed,
            change.user_pages,
        ]

    def _long(self, change: Change) -> Sequence[Value]:
        before, after = change.before, change.after
        percent = change.percent
        tags = [before.tags if before else 0, after.tags if after else 0]
        return [
            change.kind,
            change.bytes,
            calls_cell(change),
            None if percent is None else round(percent, 3),
            self._rate(change.bytes),
            None if change.is_bounded else self._rate(change.calls),
            before.bytes if before else None,
            after.bytes if after else None,
            before.calls if before else None,
            after.calls if after else None,
            *(tags if self._summed else []),
            *change.key,
            change.accurate,
        ]

    def _rate(self, growth: int) -> float | None:
        return round(growth / self._seconds, 3) if self._seconds else None

    def total(self, changes: Sequence[Change]) -> Mapping[str, Value]:
        """The plain sums of the given changes."""
        return self._sums(changes, without_pages=False)

    def counted(self, shown: Sequence[Change], changes: Sequence[Change]) -> Mapping[str, object]:
        """The sums of the changes shown, without slab pages if these are left out, and of all."""
        out = self._slab_left_out
        sums = self._sums(shown, out)
        if self._table:
            return sums
        everything = growth_of(changes, out)
        return {
            **sums,
            "slab_left_out": out,
            "slab_growth": sum(_slab_growth(change)[0] for change in changes),
            "underflowed": sum(change.underflowed for change in changes),
            "matching": {
                "changes": len(changes),
                "bytes_growth": everything[0],
                "calls_growth": everything[1],
            },
        }

    def _sums(self, changes: Sequence[Change], without_pages: bool) -> Mapping[str, Value]:
        growth, calls = growth_of(changes, without_pages)
        slab = without_pages
        before = sum(c.before.bytes - slab * c.before.slab_bytes for c in changes if c.before)
        after = sum(c.after.bytes - slab * c.after.slab_bytes for c in changes if c.after)
        if self._table:
            total = {"growth": growth, "before": before, "after": after, "calls": calls}
            return {**total, "per_second": self._rate(growth)}
        return {
            "changes": len(changes),
            "bytes_growth": growth,
            "calls_growth": calls,
            "bytes_per_second": self._rate(growth),
            "calls_per_second": self._rate(calls),
            "bytes_before": before,
            "bytes_after": after,
        }


def place_of(change: Change) -> tuple[str, str]:
    """(FILE:LINE [MODULE], FUNCTION) of a tag; without the line if lines are ignored."""
    file, line, module, function = change.key
    where = f"{file}" if line is None else f"{file}:{line}"
    return (where if module is None else f"{where} [{module}]"), f"{function}"
