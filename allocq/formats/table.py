"""A table for people: numbers to the right, fitted to the terminal, a total at the end."""

from ..units import format_size
from . import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..model import Filter
    from ..source import Info
    from ..view import Group
    from . import Rows

MARK = "~"
LEGEND = f"{MARK} the counter is known to miss something"
_BOLD, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[33m", "\x1b[0m"
_NARROWEST = 12


class Writer:
    """Everything is laid out together, so nothing is written before all is known."""

    streams = False

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._sizes = 0
        self._calls = 0
        self._marked = False

    def begin(self, info: "Info", filter: "Filter") -> bytes:
        """Nothing: the widths are not known yet."""
        return b""

    def tags(self, table: "Rows", order: "Sequence[int] | None") -> "Iterator[bytes]":
        """BYTES CALLS WHERE FUNCTION; `~` behind a counter that is known to miss something."""
        rows = range(len(table)) if order is None else order
        sizes, calls = table.column("bytes"), table.column("calls")
        files, lines = table.strings("file"), table.column("line")
        modules, functions = table.strings("module"), table.strings("function")
        inaccurate = table.column("inaccurate")
        total_size, total_calls = sum(sizes[i] for i in rows), sum(calls[i] for i in rows)
        cells = [
            (
                self._size(sizes[i]),
                str(calls[i]),
                f"{files[i]}:{lines[i]}" + (f" [{modules[i]}]" if modules[i] else ""),
                functions[i],
                inaccurate[i] != 0,
            )
            for i in rows
        ]
        places = [printable(cell[2]) for cell in cells]
        names = [printable(cell[3]) for cell in cells]
        place, name = self._measure(
            [cell[0] for cell in cells] + [self._size(total_size)],
            [cell[1] for cell in cells] + [str(total_calls)],
            max(map(len, places), default=0),
            max(map(len, names), default=0),
        )
        if self._shape.header:
            yield self._head("WHERE".ljust(place) + "  FUNCTION")
        for cell, where, function in zip(cells, places, names, strict=True):
            text = f"{fit(where, place).ljust(place)}  {fit(function, name)}"
            yield self._row(cell[0], cell[1], text.rstrip(), cell[4])
            self._marked |= cell[4]

    def groups(self, groups: "list[Group]") -> "Iterator[bytes]":
        """BYTES CALLS TAGS and the key."""
        by = self._shape.group_by or "key"
        keys = [printable("(built-in)" if g.key is None else g.key) for g in groups]
        counts = [str(group.tags) for group in groups]
        tags = max(map(len, [*counts, "TAGS"]))
        sizes = [self._size(group.bytes) for group in groups]
        sizes.append(self._size(sum(group.bytes for group in groups)))
        calls = [str(group.calls) for group in groups]
        calls.append(str(sum(group.calls for group in groups)))
        self._measure(sizes, calls, 0, 0)
        if self._shape.header:
            yield self._head(f"{'TAGS':>{tags}}  {by.upper()}")
        room = self._room()
        for key, count, size, call in zip(keys, counts, sizes, calls, strict=False):
            key = key if room is None else fit(key, max(_NARROWEST, room - tags - 2))
            yield self._row(size, call, f"{count:>{tags}}  {key}", False)

    def end(self, tags: int, bytes: int, calls: int) -> bytes:
        """The total of what is listed, and what the mark means if it is there."""
        if not tags:
            return b""
        noun = "tag" if tags == 1 else "tags"
        total = (
            f"{self._size(bytes):>{self._sizes}}  {calls:>{self._calls}}  total of {tags} {noun}"
        )
        text = self._paint(_BOLD, total) + "\n"
        if self._marked:
            text += LEGEND + "\n"
        return text.encode()

    def _size(self, size: int) -> str:
        return str(size) if self._shape.bytes else format_size(size)

    def _measure(
        self, sizes: list[str], calls: list[str], place: int, name: int
    ) -> tuple[int, int]:
        """Set the widths of the numbers; returns those of place and name that fit the terminal."""
        self._sizes = max(map(len, [*sizes, "BYTES"]))
        self._calls = max(map(len, [*calls, "CALLS"]))
        room = self._room()
        place = max(place, len("WHERE"))
        if room is None or place + 2 + name <= room:
            return place, name
        name = min(name, max(_NARROWEST, room * 2 // 5, room - 2 - place))
        return max(_NARROWEST, room - 2 - name), name

    def _room(self) -> int | None:
        width = self._shape.width
        return None if width is None else max(0, width - self._sizes - self._calls - 5)

    def _head(self, rest: str) -> bytes:
        text = f"{'BYTES':>{self._sizes}}  {'CALLS':>{self._calls}}  {rest}"
        return (self._paint(_BOLD, text) + "\n").encode()

    def _row(self, size: str, calls: str, rest: str, marked: bool) -> bytes:
        mark = self._paint(_YELLOW, MARK) if marked else " "
        return f"{size:>{self._sizes}}{mark} {calls:>{self._calls}}  {rest}\n".encode()

    def _paint(self, how: str, text: str) -> str:
        return how + text + _PLAIN if self._shape.color else text


def printable(text: str) -> str:
    """`text` with what a terminal could act on, or cannot show, as escapes (\\x1b)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def fit(text: str, width: int) -> str:
    """The end of `text`, which tells most of a path, in `width` columns."""
    return text if len(text) <= width else ".." + text[len(text) - width + 2 :]
