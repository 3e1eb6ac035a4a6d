"""The table format, for people: aligned, fitted to the terminal, with a total."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..units import format_size
from . import Column, ColumnKind, Rows, Shape, Value
from .terminal import fit, pad, printable, width

MARK = "~"
LEGEND = f"{MARK} inaccurate: the kernel missed allocations"
_BOLD, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[33m", "\x1b[0m"
_NARROWEST = 12
_WIDEST = 256  # what all rows are padded to; one name may have a million characters
_TAGS = (
    Column("bytes", ColumnKind.SIZE),
    Column("calls", ColumnKind.NUMBER),
    Column("where", ColumnKind.TEXT),
    Column("function", ColumnKind.TEXT),
)


class Writer:
    """Writes everything at the end, because the widths depend on all rows.

    FLAG columns are not shown: a row whose flag is False gets a mark after its first cell.
    """

    streams = False

    def __init__(self, shape: Shape, columns: Sequence[Column]) -> None:
        self._shape = shape
        self._columns = list(columns)
        self._rows: list[list[Value]] = []
        self._marked: list[bool] = []

    def begin(self, head: Mapping[str, object], what: str) -> bytes:
        """Nothing: the widths are not known yet."""
        return b""

    def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]:
        """One row per tag: BYTES CALLS WHERE FUNCTION."""
        self._columns = list(_TAGS)
        sizes, calls = table.column("bytes"), table.column("calls")
        files, lines = table.strings("file"), table.column("line")
        modules, functions = table.strings("module"), table.strings("function")
        inaccurate = table.column("inaccurate")
        for i in range(len(table)) if order is None else order:
            module = f" [{modules[i]}]" if modules[i] else ""
            self._rows.append([sizes[i], calls[i], f"{files[i]}:{lines[i]}{module}", functions[i]])
            self._marked.append(inaccurate[i] != 0)
        yield from ()

    def rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]:
        """One line per row; module None is built-in code."""
        flags = [i for i, column in enumerate(self._columns) if column.kind == ColumnKind.FLAG]
        for row in rows:
            self._rows.append([value for i, value in enumerate(row) if i not in flags])
            self._marked.append(any(row[i] is False for i in flags))
        self._columns = [column for column in self._columns if column.kind != ColumnKind.FLAG]
        yield from ()

    def end(self, total: Mapping[str, Value] | None, words: str) -> bytes:
        """The whole table: header, rows, total, and a legend if a row is marked."""
        if not self._rows:
            return b""
        columns = self._columns
        lines = [
            [self._cell(c, v) for c, v in zip(columns, row, strict=True)] for row in self._rows
        ]
        sums = [self._cell(c, total[c.name]) if total and c.name in total else "" for c in columns]
        heads = [column.name.upper() for column in columns]
        shown = [*lines, sums, heads] if self._shape.header else [*lines, sums]
        most = max(_WIDEST, self._shape.width or 0)
        widths = [min(most, max(width(line[i]) for line in shown)) for i in range(len(columns))]
        self._fit(widths, heads)
        out = []
        if self._shape.header:
            out.append(self._paint(_BOLD, self._line(heads, widths)))
        for line, marked in zip(lines, self._marked, strict=True):
            out.append(self._line(line, widths, marked))
        if total is not None:
            numbers = [i for i, column in enumerate(columns) if column.kind != ColumnKind.TEXT]
            start = self._line(sums, widths, only=numbers)
            out.append(self._paint(_BOLD, f"{start}  {words}"))
        if any(self._marked):
            out.append(LEGEND)
        return "".join(line + "\n" for line in out).encode()

    def _cell(self, column: Column, value: Value) -> str:
        if value is None:
            return "(built-in)" if column.name == "module" else ""
        if column.kind == ColumnKind.TEXT:
            return printable(str(value))
        sign = "+" if column.signed and isinstance(value, (int, float)) and value > 0 else ""
        if column.kind == ColumnKind.SIZE and not self._shape.bytes:
            return sign + format_size(
                round(float(value)) if isinstance(value, float) else int(value)
            )
        if column.kind == ColumnKind.PERCENT:
            return f"{sign}{value:.1f}%"
        return sign + (f"{value:.1f}" if isinstance(value, float) else str(value))

    def _fit(self, widths: list[int], heads: list[str]) -> None:
        """Narrow the text columns, widest first, until lines fit the terminal. Without a terminal,
        nothing is cut."""
        if self._shape.width is None:
            return
        texts = [i for i, column in enumerate(self._columns) if column.kind == ColumnKind.TEXT]
        over = sum(widths) + 2 * (len(widths) - 1) - self._shape.width
        while over > 0:
            widest = max(texts, key=lambda i: widths[i], default=None)
            if widest is None or widths[widest] <= max(_NARROWEST, len(heads[widest])):
                return
            widths[widest] -= 1
            over -= 1

    def _line(
        self,
        cells: list[str],
        widths: list[int],
        marked: bool = False,
        only: Sequence[int] | None = None,
    ) -> str:
        parts = []
        for i in range(len(cells)) if only is None else only:
            if self._columns[i].kind == ColumnKind.TEXT:
                whole = self._shape.width is None
                parts.append(pad(cells[i] if whole else fit(cells[i], widths[i]), widths[i]))
            else:
                parts.append(cells[i].rjust(widths[i]))
        if marked:
            mark = self._paint(_YELLOW, MARK)
            return (parts[0] + mark + " " + "  ".join(parts[1:])).rstrip()
        return "  ".join(parts).rstrip()

    def _paint(self, how: str, text: str) -> str:
        return how + text + _PLAIN if self._shape.color else text


def total_words(tags: int) -> str:
    """The label of a table's total."""
    return f"total of {tags} {'tag' if tags == 1 else 'tags'}"
