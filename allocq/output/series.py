"""Rows, columns and totals of changes over more than two listings."""

from collections.abc import Iterable, Mapping, Sequence

from ..analysis.diff import Change
from ..analysis.series import Series
from . import Column, ColumnKind, Value
from .changes import (
    ChangeLayout,
    calls_cell,
    growth_cell,
    growth_of,
    place_of,
    size_cell,
)


class SeriesLayout:
    """Lays out series as rows: for machines, those of a change from the first listing to the last
    with the counters in each listing behind them; for people, the growth from each to the next.

    table, group_by, seconds, slab_left_out: as in ChangeLayout. listings: how many.
    """

    def __init__(
        self,
        table: bool,
        group_by: str | None,
        seconds: float | None,
        listings: int,
        slab_left_out: bool = False,
    ) -> None:
        self._table = table
        self._group_by = None if group_by == "location" else group_by
        self._slab_left_out = slab_left_out
        self._steps = [f"{step}-{step + 1}" for step in range(1, listings)]
        self._whole = ChangeLayout(table, group_by, seconds, slab_left_out)
        self._sizes = [f"bytes_{number}" for number in range(1, listings + 1)]
        self._calls = [f"calls_{number}" for number in range(1, listings + 1)]
        self.columns = self._people() if table else self._machines()

    def _people(self) -> list[Column]:
        """A narrow terminal loses the calls, the size at the end, and then the oldest steps."""
        count = len(self._steps)
        names = [Column("where", ColumnKind.TEXT), Column("function", ColumnKind.TEXT)]
        return [
            Column("growth", ColumnKind.SIZE, signed=True),
            Column("rises", ColumnKind.NUMBER),
            *(
                Column(name, ColumnKind.SIZE, signed=True, spare=count - i)
                for i, name in enumerate(self._steps)
            ),
            Column("after", ColumnKind.SIZE, spare=count + 1),
            Column("calls", ColumnKind.NUMBER, signed=True, spare=count + 2),
            *([Column(self._group_by, ColumnKind.TEXT)] if self._group_by else names),
            Column("accurate", ColumnKind.FLAG),
            Column("slab_pages", ColumnKind.FLAG),
            Column("below_zero", ColumnKind.FLAG),
            Column("user_pages", ColumnKind.FLAG),
        ]

    def _machines(self) -> list[Column]:
        return [
            *self._whole.columns,
            Column("rises", ColumnKind.NUMBER),
            *(Column(name, ColumnKind.SIZE) for name in self._sizes),
            *(Column(name, ColumnKind.NUMBER) for name in self._calls),
        ]

    def rows(self, series: Iterable[Series]) -> Iterable[Sequence[Value]]:
        """One row per series."""
        return map(self._short if self._table else self._long, series)

    def _short(self, each: Series) -> Sequence[Value]:
        whole = each.whole
        changes = _changes(each)
        return [
            growth_cell(whole),
            f"{each.rises}/{len(each.steps)}",
            *(growth_cell(step) if step else None for step in each.steps),
            size_cell(whole.after, whole.bound),
            calls_cell(whole),
            *(each.key if self._group_by else place_of(whole)),
            all(change.accurate for change in changes),
            self._slab_left_out and any(change.has_slab_pages for change in changes),
            any(change.underflowed for change in changes),
            all(change.user_pages for change in changes),
        ]

    def _long(self, each: Series) -> Sequence[Value]:
        counts = each.counts
        (row,) = self._whole.rows([each.whole])
        accurate = all(change.accurate for change in _changes(each))
        return [
            *row[:-1],
            accurate,
            each.rises,
            *(count.bytes if count else None for count in counts),
            *(count.calls if count else None for count in counts),
        ]

    def total(self, series: Sequence[Series]) -> Mapping[str, Value]:
        """The plain sums of the given series."""
        sums = dict(self._whole.total([each.whole for each in series]))
        for number, name in enumerate(self._sizes):
            sums[name] = sum(count.bytes for each in series if (count := each.counts[number]))
        return sums

    def counted(self, shown: Sequence[Series], series: Sequence[Series]) -> Mapping[str, object]:
        """The sums of the series shown, without slab pages if these are left out, and of all."""
        wholes = [each.whole for each in shown]
        sums = dict(self._whole.counted(wholes, [each.whole for each in series]))
        steps = [
            growth_of(
                (step for each in shown if (step := each.steps[number])), self._slab_left_out
            )[0]
            for number in range(len(self._steps))
        ]
        return {**sums, **(dict(zip(self._steps, steps, strict=True)) if self._table else {})}


def _changes(each: Series) -> list[Change]:
    return [change for change in (each.whole, *each.steps) if change]
