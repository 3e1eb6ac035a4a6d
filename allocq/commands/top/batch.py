"""`allocq top -b`: prints a table, or rows of data, after each interval."""

from __future__ import annotations

from collections.abc import Sequence

from ...output import Column, ColumnKind, Shape, Value, Writer, writer
from ...output.stream import Output
from ...output.top import Scene, headline, place_of
from ...output.totals import part_of
from ...output.trend import bars
from ...units import format_size, format_time

ROWS = 20


class Batch:
    """Prints scenes one after the other. limit: rows; None: 20 of a table, all of data."""

    def __init__(
        self, out: Output, format: str, shape: Shape, limit: int | None, by: str | None, utf8: bool
    ) -> None:
        self._out = out
        self._format = format
        self._shape = shape
        self._table = format == "table"
        self._limit = ROWS if limit is None and self._table else limit
        self._by = None if by == "location" else by
        self._sums = by is not None
        self._utf8 = utf8
        self._data: Writer | None = None
        self._first = True

    def print(self, scene: Scene) -> None:
        """Print what was read last. OutputError, BrokenPipeError."""
        scene.paused = False
        rows = list(scene.order[: self._limit])
        if self._table:
            self._print_table(scene, rows)
        else:
            self._print_data(scene, rows)
        self._out.release()

    def _print_table(self, scene: Scene, rows: Sequence[int]) -> None:
        write = writer("table", self._shape, self._people())
        pieces = [*write.rows(self._short(scene, at) for at in rows)]
        total = scene.figures.total
        sums: dict[str, object] = {
            "bytes": total.bytes,
            "calls": total.calls,
            "+start": total.start,
        }
        if scene.figures.seconds:
            sums["growth/s"] = round(total.growth / scene.figures.seconds)
        size = str if self._shape.bytes else format_size
        shown = sum(scene.figures.bytes[at] for at in rows)
        what = self._by or "tag"
        words = part_of(len(rows), len(scene.order), (shown, total.bytes), what, size)
        pieces.append(write.end(sums, words))
        head = f"{headline(scene)}\n".encode("utf-8", "backslashreplace")
        self._out.write(b"".join((b"" if self._first else b"\n", head, *pieces)))
        self._first = False

    def _print_data(self, scene: Scene, rows: Sequence[int]) -> None:
        if self._data is None:
            self._data = writer(self._format, self._shape, self._machines())
            self._out.write(self._data.begin({}, "tags"))
        for piece in self._data.rows(self._long(scene, at) for at in rows):
            self._out.write(piece)

    def _people(self) -> list[Column]:
        flags = ("accurate", "slab_pages", "underflowed", "user_pages")
        place = [Column("where", ColumnKind.TEXT), Column("function", ColumnKind.TEXT)]
        return [
            Column("bytes", ColumnKind.SIZE),
            Column("calls", ColumnKind.NUMBER, spare=2),
            Column("growth/s", ColumnKind.SIZE, signed=True),
            Column("+start", ColumnKind.SIZE, signed=True, spare=1),
            *([Column("tags", ColumnKind.NUMBER, spare=3)] if self._sums else []),
            Column("trend", ColumnKind.TEXT, spare=4),
            *([Column(self._by, ColumnKind.TEXT)] if self._by else place),
            *(Column(name, ColumnKind.FLAG) for name in flags),
        ]

    def _short(self, scene: Scene, at: int) -> Sequence[Value]:
        figures = scene.figures
        rate = figures.per_second(at)
        where, function = place_of(figures.keys[at], figures.by)
        return [
            figures.bytes[at],
            figures.calls[at],
            None if rate is None else round(rate),
            figures.start[at],
            *([figures.tags[at]] if figures.tags is not None else []),
            bars(figures.values(at), self._utf8),
            *([where] if self._by else [where, function]),
            not figures.inaccurate[at],
            bool(figures.slab[at]) and figures.total.without_slab,
            figures.bytes[at] < 0 or figures.calls[at] < 0,
            figures.is_user_memory(at),
        ]

    def _machines(self) -> list[Column]:
        number, text = ColumnKind.NUMBER, ColumnKind.TEXT
        names = ("file", "module", "function")
        place = [Column(name, text) for name in names]
        place.insert(1, Column("line", number))
        return [
            Column("time", text),
            Column("bytes", ColumnKind.SIZE),
            Column("calls", number),
            Column("bytes_per_second", number),
            Column("bytes_growth", ColumnKind.SIZE),
            Column("calls_growth", number),
            *([Column("tags", number)] if self._sums else []),
            *([Column(self._by, text)] if self._by else place),
            Column("accurate", ColumnKind.FLAG),
        ]

    def _long(self, scene: Scene, at: int) -> Sequence[Value]:
        figures = scene.figures
        rate = figures.per_second(at)
        key = figures.keys[at]
        module = key[2] if self._by == "module" else place_of(key, self._by)[0]
        return [
            None if scene.time is None else format_time(scene.time),
            figures.bytes[at],
            figures.calls[at],
            None if rate is None else round(rate, 3),
            figures.start[at],
            figures.start_calls[at],
            *([figures.tags[at]] if figures.tags is not None else []),
            *([module] if self._by else key),
            not figures.inaccurate[at],
        ]
