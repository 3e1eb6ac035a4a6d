"""Rows and columns of trends, and words that say why a place is suspected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..analysis.diff import Key
from ..analysis.histories import APART
from ..analysis.trend import Points, Trend, spark
from ..units import format_size
from . import Column, ColumnKind, Value

SPARK = 12
BARS, _PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.,-=+*#"


@dataclass(frozen=True, slots=True)
class Row:
    """One place in one boot. available: bytes that the machine had left at its last sample."""

    key: Key
    kind: str
    boot: str | None
    trend: Trend
    points: Points
    available: int | None

    @property
    def is_suspect(self) -> bool:
        """Is it suspected, and neither memory of users nor counted twice?"""
        return self.kind not in APART and self.trend.is_suspect

    @property
    def hours_left(self) -> float | None:
        """Until it alone has taken what is left, at its rate."""
        if self.available is None or self.trend.per_hour <= 0:
            return None
        return self.available / self.trend.per_hour


def ordered(rows: Iterable[Row]) -> list[Row]:
    """Suspects first, the largest suspicious growth first; what is ranked apart last."""
    return sorted(
        rows,
        key=lambda row: (
            row.kind in APART,
            not row.is_suspect,
            -row.trend.suspicion * max(0, row.trend.growth),
            -row.trend.growth,
            str(row.key),
        ),
    )


class TrendLayout:
    """Lays out rows for a table or for machines. until_full, boots: with columns for these."""

    def __init__(
        self, table: bool, group_by: str | None, until_full: bool, boots: bool, utf8: bool
    ) -> None:
        self._table = table
        self._group_by = None if group_by == "location" else group_by
        self._until_full = until_full
        self._boots = boots
        self._utf8 = utf8
        self.columns = self._people() if table else self._machines()

    def _people(self) -> list[Column]:
        place = [Column("where", ColumnKind.TEXT), Column("function", ColumnKind.TEXT)]
        return [
            Column("growth", ColumnKind.SIZE, signed=True),
            Column("per_hour", ColumnKind.SIZE, signed=True),
            Column("last", ColumnKind.SIZE, spare=3),
            Column("calls", ColumnKind.NUMBER, signed=True, spare=4),
            Column("steady", ColumnKind.PERCENT, spare=5),
            Column("suspect", ColumnKind.PERCENT),
            *([Column("full_in", ColumnKind.TEXT)] if self._until_full else []),
            Column("trend", ColumnKind.TEXT, spare=2),
            Column("kind", ColumnKind.TEXT, spare=1),
            *([Column("boot", ColumnKind.TEXT, spare=6)] if self._boots else []),
            *([Column(self._group_by, ColumnKind.TEXT)] if self._group_by else place),
        ]

    def _machines(self) -> list[Column]:
        number, size, text = ColumnKind.NUMBER, ColumnKind.SIZE, ColumnKind.TEXT
        return [
            Column("suspect", ColumnKind.FLAG),
            Column("suspicion", number),
            Column("kind", text),
            *(Column(name, size) for name in ("first", "last", "lowest", "highest", "growth")),
            Column("per_hour", number),
            Column("calls_growth", number),
            *(
                Column(name, number)
                for name in ("steadiness", "chance", "fell_back", "persistence")
            ),
            Column("kept", size),
            Column("survived_drop", ColumnKind.FLAG),
            Column("hours_until_full", number),
            Column("boot", text),
            *self._keys(),
        ]

    def _keys(self) -> list[Column]:
        if self._group_by:
            return [Column(self._group_by, ColumnKind.TEXT)]
        return [
            Column("file", ColumnKind.TEXT),
            Column("line", ColumnKind.NUMBER),
            Column("module", ColumnKind.TEXT),
            Column("function", ColumnKind.TEXT),
        ]

    def rows(self, rows: Iterable[Row]) -> Iterable[Sequence[Value]]:
        """One row a place."""
        return map(self._short if self._table else self._long, rows)

    def _short(self, row: Row) -> Sequence[Value]:
        trend = row.trend
        return [
            trend.growth,
            round(trend.per_hour),
            trend.last,
            trend.calls_growth,
            100 * trend.steadiness,
            100 * trend.suspicion if row.is_suspect else None,
            *([hours_words(row.hours_left)] if self._until_full else []),
            bars(row.points.bytes, self._utf8),
            row.kind,
            *([(row.boot or "")[:8]] if self._boots else []),
            *(self._names(row) if not self._group_by else [group_name(row.key, self._group_by)]),
        ]

    def _names(self, row: Row) -> Sequence[Value]:
        file, line, module, function = row.key
        where = f"{file}:{line}"
        return [where if module is None else f"{where} [{module}]", function]

    def _long(self, row: Row) -> Sequence[Value]:
        trend, left = row.trend, row.hours_left
        return [
            row.is_suspect,
            round(trend.suspicion, 4),
            row.kind,
            trend.first,
            trend.last,
            trend.lowest,
            trend.highest,
            trend.growth,
            round(trend.per_hour, 3),
            trend.calls_growth,
            round(trend.steadiness, 4),
            float(f"{trend.chance:.3g}"),
            round(trend.fell_back, 4),
            round(trend.persistence, 4),
            trend.kept,
            trend.survived,
            None if left is None else round(left, 3),
            row.boot,
            *(row.key if not self._group_by else [group_name(row.key, self._group_by)]),
        ]

    def total(self, rows: Sequence[Row]) -> Mapping[str, Value]:
        """The plain sums of the given rows."""
        names = ("growth", "last", *(() if self._table else ("first",)))
        sums: dict[str, Value] = {
            name: sum(getattr(row.trend, name) for row in rows) for name in names
        }
        calls = sum(row.trend.calls_growth for row in rows)
        return {**sums, "calls" if self._table else "calls_growth": calls}


def bars(values: Sequence[int], utf8: bool, columns: int = SPARK) -> str:
    """Values, oldest first, as a sparkline of at most `columns` characters."""
    heights = BARS if utf8 else _PLAIN_BARS
    return "".join(heights[height] for height in spark(values, columns))


def group_name(key: Key, group_by: str) -> str | None:
    """The name of a sum: built-in code, by module, has none."""
    file, _, module, function = key
    value = {"module": module, "function": function}.get(group_by, file)
    return None if value is None else str(value)


def hours_words(hours: float | None) -> str:
    """`3d 4h`, `5h 10m`, `12m`; nothing if it is unknown, or over a year."""
    if hours is None or hours > 24 * 365:
        return ""
    minutes = round(hours * 60)
    days, rest = divmod(minutes, 1440)
    if days:
        return f"{days}d {rest // 60}h"
    return f"{rest // 60}h {rest % 60}m" if rest >= 60 else f"{rest}m"


def why(row: Row) -> str:
    """Why a place is suspected, or is not, in one line."""
    trend = row.trend
    spans = f"grew in {round(trend.persistence * 6)} of 6 spans"
    parts = [
        f"kept {format_size(trend.kept)}",
        spans + ("" if trend.goes_on else ", not in both of the last"),
        f"rises in {round((1 + trend.steadiness) * 50)}% of pairs (by chance {trend.chance:.2g})",
        f"fell back {round(trend.fell_back * 100)}% of its rise",
    ]
    if trend.survived is not None:
        parts.append("kept when caches were dropped" if trend.survived else "freed with the caches")
    if trend.growth > 0 and trend.calls_growth <= 0:
        parts.append("no more calls than before")
    if row.kind in APART:
        parts.append(f"{row.kind}: ranked apart")
    return "; ".join(parts)
