"""The table format, for people: aligned, fitted to the terminal, with a total."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..analysis.slab import slab_pages
from ..units import format_size
from . import AtLeast, AtMost, Column, ColumnKind, Rows, Shape, Value
from .terminal import fit, head, pad, printable, width, wrapped
from .totals import SLAB_LEGEND, SLAB_MARK, UNDERFLOW_LEGEND, UNDERFLOW_MARK

MARK = "~"
LEGEND = f"{MARK} inaccurate: the kernel missed allocations"
USER_MARK = "^"
USER_LEGEND = f"{USER_MARK} memory of programs, page cache and tmpfs, not of the kernel itself"
NEW_MARK = "#"
NEW_LEGEND = f"{NEW_MARK} new: no host had this place before"
BELOW_ZERO_LEGEND = f"{UNDERFLOW_MARK} underflowed: a counter is or was below zero"
_LEGENDS = {MARK: LEGEND, SLAB_MARK: SLAB_LEGEND, UNDERFLOW_MARK: UNDERFLOW_LEGEND}
# The mark of a FLAG column, the value that it marks, and what the mark means.
_FLAGS = {
    "accurate": (MARK, False, LEGEND),
    "slab_pages": (SLAB_MARK, True, SLAB_LEGEND),
    "underflowed": (UNDERFLOW_MARK, True, UNDERFLOW_LEGEND),
    "below_zero": (UNDERFLOW_MARK, True, BELOW_ZERO_LEGEND),
    "user_pages": (USER_MARK, True, USER_LEGEND),
    "new": (NEW_MARK, True, NEW_LEGEND),
}
_BOLD, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[33m", "\x1b[0m"
_READABLE = 20  # columns are dropped before a text gets less room than this
_NARROWEST = 12
_WIDEST = 256  # what all rows are padded to; one name may have a million characters
_CALLS = Column("calls", ColumnKind.NUMBER, spare=1)
_AVERAGE = Column("average", ColumnKind.SIZE, spare=2)
_PLACE = (Column("where", ColumnKind.TEXT), Column("function", ColumnKind.TEXT))


def average_of(size: int, calls: int) -> int | None:
    """Bytes a call, rounded down; None without calls, or below zero."""
    return size // calls if calls > 0 and size >= 0 else None


class Writer:
    """Writes everything at the end, because the widths depend on all rows.

    FLAG columns are not shown: they mark a row after its first cell.
    """

    streams = False

    def __init__(self, shape: Shape, columns: Sequence[Column]) -> None:
        self._shape = shape
        self._columns = list(columns)
        self._rows: list[list[Value]] = []
        self._marks: list[str] = []
        self._legends = dict(_LEGENDS)

    def begin(self, head: Mapping[str, object], what: str) -> bytes:
        """Nothing: the widths are not known yet."""
        return b""

    def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]:
        """One row per tag: BYTES CALLS [AVERAGE] WHERE FUNCTION."""
        average = self._shape.average
        extra = [_AVERAGE] if average else []
        self._columns = [Column("bytes", ColumnKind.SIZE), _CALLS, *extra, *_PLACE]
        sizes, calls = table.column("bytes"), table.column("calls")
        files, lines = table.strings("file"), table.column("line")
        modules, functions = table.strings("module"), table.strings("function")
        inaccurate = table.column("inaccurate")
        pages = slab_pages(table) if self._shape.slab_mark else bytes(len(table))
        for i in range(len(table)) if order is None else order:
            module = f" [{modules[i]}]" if modules[i] else ""
            row: list[Value] = [sizes[i], calls[i]]
            if average:
                row.append(average_of(sizes[i], calls[i]))
            self._rows.append([*row, f"{files[i]}:{lines[i]}{module}", functions[i]])
            below = sizes[i] < 0 or calls[i] < 0
            self._marks.append(
                MARK * (inaccurate[i] != 0) + SLAB_MARK * pages[i] + UNDERFLOW_MARK * below
            )
        yield from ()

    def rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]:
        """One line per row; module None is built-in code."""
        for column in self._columns:
            if column.kind == ColumnKind.FLAG:
                mark, _, legend = _FLAGS[column.name]
                self._legends[mark] = legend
        flags = {
            i: _FLAGS[column.name][:2]
            for i, column in enumerate(self._columns)
            if column.kind == ColumnKind.FLAG
        }
        for row in rows:
            self._rows.append([value for i, value in enumerate(row) if i not in flags])
            marks = (mark for i, (mark, when) in flags.items() if row[i] is when)
            self._marks.append("".join(marks))
        self._columns = [column for column in self._columns if column.kind != ColumnKind.FLAG]
        yield from ()

    def end(
        self,
        total: Mapping[str, object] | None,
        words: str,
        counted: Mapping[str, object] | None = None,
    ) -> bytes:
        """The whole table: header, rows, total, and a legend if a row is marked."""
        total = total if counted is None else counted
        if not self._rows:
            return b""
        columns = self._columns
        lines = [
            [self._cell(c, v) for c, v in zip(columns, row, strict=True)] for row in self._rows
        ]
        sums = [self._sum(column, total) for column in columns]
        heads = [column.name.upper() for column in columns]
        shown = [*lines, sums, heads] if self._shape.header else [*lines, sums]
        most = max(_WIDEST, self._shape.width or 0)
        widths = [min(most, max(width(line[i]) for line in shown)) for i in range(len(columns))]
        marks = max(map(len, self._marks), default=0)
        self._fit(widths, heads, max(0, marks - 1))
        out = []
        if self._shape.header:
            out.append(self._paint(_BOLD, self._line(heads, widths, " " * marks)))
        for line, mark in zip(lines, self._marks, strict=True):
            out.append(self._line(line, widths, mark.ljust(marks)))
        if total is not None:
            numbers = [i for i, column in enumerate(columns) if column.kind != ColumnKind.TEXT]
            start = self._line(sums, widths, " " * marks, only=numbers)
            out += [self._paint(_BOLD, line) for line in self._sentence(f"{start}  {words}")]
        for mark, legend in self._legends.items():
            if any(mark in marked for marked in self._marks):
                out += self._sentence(legend)
        return "".join(line + "\n" for line in out).encode()

    def _sum(self, column: Column, total: Mapping[str, object] | None) -> str:
        value = total.get(column.name) if total else None
        return self._cell(column, value) if isinstance(value, (int, float, str)) else ""

    def _cell(self, column: Column, value: Value) -> str:
        if value is None:
            return "(built-in)" if column.name == "module" else ""
        if column.kind == ColumnKind.TEXT:
            return printable(str(value))
        sign = value.sign if isinstance(value, (AtLeast, AtMost)) else ""
        sign += "+" if column.signed and isinstance(value, (int, float)) and value > 0 else ""
        if column.kind == ColumnKind.SIZE and not self._shape.bytes:
            return sign + format_size(
                round(float(value)) if isinstance(value, float) else int(value)
            )
        if column.kind == ColumnKind.PERCENT:
            return f"{sign}{value:.1f}%"
        return sign + (f"{value:.1f}" if isinstance(value, float) else str(value))

    def _fit(self, widths: list[int], heads: list[str], marks: int) -> None:
        """Make lines fit the terminal: drop the columns that can be spared while a text column
        would be hard to read, then narrow the text columns, widest first. A dropped column has the
        width -1. Without a terminal, nothing is cut."""
        room = self._shape.width
        if room is None:
            return
        texts = [i for i, column in enumerate(self._columns) if column.kind == ColumnKind.TEXT]

        def over() -> int:
            kept = [size for size in widths if size >= 0]
            return sum(kept) + 2 * (len(kept) - 1) + marks - room

        def give() -> int:
            return sum(max(0, widths[i] - _READABLE) for i in texts)

        while over() > give():
            spare = max(
                (i for i, column in enumerate(self._columns) if column.spare and widths[i] >= 0),
                key=lambda i: self._columns[i].spare,
                default=None,
            )
            if spare is None:
                break
            widths[spare] = -1
        excess = over()
        while excess > 0:
            widest = max(texts, key=lambda i: widths[i], default=None)
            if widest is None or widths[widest] <= max(_NARROWEST, len(heads[widest])):
                return
            widths[widest] -= 1
            excess -= 1

    def _line(
        self,
        cells: list[str],
        widths: list[int],
        mark: str = "",
        only: Sequence[int] | None = None,
    ) -> str:
        parts = []
        for i in range(len(cells)) if only is None else only:
            if widths[i] < 0:
                continue
            if self._columns[i].kind == ColumnKind.TEXT:
                whole = self._shape.width is None
                parts.append(pad(cells[i] if whole else fit(cells[i], widths[i]), widths[i]))
            else:
                parts.append(cells[i].rjust(widths[i]))
        first, mark = parts[0], mark.ljust(1)
        line = f"{first}{mark} {'  '.join(parts[1:])}".rstrip()
        room = self._shape.width
        if room is not None:
            line = head(line, room)
        end = len(first) + len(mark.rstrip())
        if mark.strip() and len(line) >= end:
            return first + self._paint(_YELLOW, mark.rstrip()) + line[end:]
        return line

    def _sentence(self, text: str) -> list[str]:
        """A sentence on as many lines as it takes on the terminal."""
        room = self._shape.width
        if room is None or width(text) <= room:
            return [text]
        return wrapped(text, room)

    def _paint(self, how: str, text: str) -> str:
        return how + text + _PLAIN if self._shape.color else text
