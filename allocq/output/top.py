"""Lays out the screen of top: lines of text with attributes, for any size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..analysis.board import Figures
from ..analysis.diff import Key
from ..analysis.stacks import Taken
from ..units import format_size
from .stacks import StackLayout, table
from .table import MARK, USER_MARK
from .terminal import cut, fit, head, pad, printable, tail, width, wrapped
from .totals import SLAB_MARK, UNDERFLOW_MARK, quantity
from .trend import SPARK, bars, group_name

ORDERS = {
    "growth": "growth per second",
    "start": "growth since start",
    "mark": "growth since mark",
    "bytes": "size",
    "calls": "calls",
}
KEYS = (
    ("q", "quit"),
    ("Up Down", "select; Page Up, Page Down, Home, End too"),
    ("o < >", "sort by growth per second, since start, since the mark, size, calls"),
    ("r", "reverse the order"),
    ("g", "show tags, or sums by function, file, directory, module"),
    ("Enter", "open a group; show all of a tag"),
    ("Backspace", "leave the group"),
    ("/", "filter by what query takes: xfs, mm/slub.c, -e REGEX, --min-size 1M;"),
    ("", "a word that no tag has is searched as a regexp; nothing shows all"),
    ("w", "who calls this: take the call stacks of the selected row for some seconds;"),
    ("", "there l shows what is not freed, w takes them again, Escape goes back"),
    ("m", "mark: count growth from now on in a column of its own"),
    ("Space", "pause, go on"),
    ("s", "save a snapshot of the matching tags"),
    ("Left Right", "replay: the sample before, the next; { } ten of them"),
    ("t", "replay: jump to a time: 10:30, '10 min ago', 2026-11-23T06:20"),
    ("Ctrl-L", "draw the screen again"),
    ("? h", "this help"),
)
MARKS = (
    f"{MARK} inaccurate  {SLAB_MARK} slab pages, not in the total  {UNDERFLOW_MARK} underflowed  "
    f"{USER_MARK} memory of programs, page cache, tmpfs"
)
_LEAST_PLACE = 24
_GOOD_PLACE = 40
_SHORT_SPARK = 6
_MOST_STACKS = 200
_MOST_NAME = 4096
"""Of a name, no more is looked at: it may have a million characters."""


class Style:
    """How a text looks, to be combined with `|`; what a terminal lacks, it leaves out. Numbers: an
    enum's flags take a tenth of a refresh."""

    PLAIN = 0
    BOLD = 1
    REVERSE = 2
    NOTE = 4


Line = list[tuple[str, int]]


@dataclass(slots=True)
class Page:
    """Lines for the screen. first: the position at the top of the list; cursor: (line, column) of a
    prompt, None without one; scrolled: the line at the top of the stacks."""

    lines: list[Line]
    first: int
    cursor: tuple[int, int] | None = None
    scrolled: int = 0


@dataclass(slots=True)
class Callers:
    """Who calls a tag. taken: None while the stacks are being taken, which takes `seconds`; so_far:
    how many have passed, with setting it up; live: of what is not freed; first: the line at the
    top."""

    what: str
    live: bool
    seconds: int
    so_far: float = 0
    taken: Taken | None = None
    first: int = 0
    _kept: tuple[tuple[int, bool], list[Line]] | None = None

    def lines(self, columns: int, plain: bool) -> list[Line]:
        """The tree and what is to be known of it."""
        if self.taken is None:
            words = f"taking call stacks for {self.seconds} s, {self.so_far:.0f} s so far"
            return [[(f"{words} with setting up; Escape ends it", Style.PLAIN)]]
        if self._kept is None or self._kept[0] != (columns, plain):
            self._kept = (columns, plain), self._laid_out(self.taken, columns, plain)
        return self._kept[1]

    def _laid_out(self, taken: Taken, columns: int, plain: bool) -> list[Line]:
        lines: list[Line] = []
        if taken.stacks:
            layout = StackLayout(columns, plain, limit=_MOST_STACKS)
            rows = list(table(taken.stacks, taken.live, layout))
            lines = [[(rows[0], Style.REVERSE)], *([(row, Style.PLAIN)] for row in rows[1:])]
        elif taken.live:
            lines.append([("nothing was allocated in that time and not freed in it", Style.PLAIN)])
        else:
            lines.append([("nothing was allocated in that time", Style.PLAIN)])
        cost = f"{quantity(taken.events, 'event')} in {taken.seconds:.1f} s"
        if taken.overhead is not None:
            cost += f", {taken.overhead:.2%} of the time of all CPUs"
        for note in (cost, *taken.notes):
            lines += [[(text, Style.PLAIN)] for text in wrapped(_shown(note), columns)]
        return lines


@dataclass(slots=True)
class Scene:
    """What is to be shown. order: positions in `figures`; selected, first: positions in `order`;
    within: kinds and names of the open groups; replay: (number, of how many); every: seconds;
    stale: why there is no newer reading; prompt: its label and what was typed."""

    figures: Figures
    order: Sequence[int]
    sort: str = "growth"
    reverse: bool = False
    selected: int = 0
    first: int = 0
    within: Sequence[tuple[str, str]] = ()
    filter: str = ""
    every: float = 0
    time: float | None = None
    host: str = ""
    kernel: str = ""
    profiling: bool | None = None
    paused: bool = False
    replay: tuple[int, int] | None = None
    stale: str = ""
    message: str = ""
    prompt: tuple[str, str] | None = None
    help: bool = False
    callers: Callers | None = None
    bytes: bool = False
    utf8: bool = True


def lay_out(scene: Scene, lines: int, columns: int) -> Page:
    """At most `lines` lines, none wider than `columns` cells."""
    if lines < 1 or columns < 1:
        return Page([], scene.first)
    below = _below(scene, lines, columns)
    room = lines - len(below)
    scrolled = 0
    if scene.help:
        body, first = _help(room, columns), scene.first
    elif scene.callers:
        body, scrolled = _stacks(scene, scene.callers, room, columns)
        first = scene.first
    else:
        body, first = _table(scene, room, columns)
    body = body[:room]
    cursor = None
    if below:
        body += [[] for _ in range(room - len(body))]
    if scene.prompt:
        below[-1], column = _prompt(*scene.prompt, columns)
        cursor = lines - 1, column
    body += below
    return Page([_cut(line, columns) for line in body], first, cursor, scrolled)


def _below(scene: Scene, lines: int, columns: int) -> list[Line]:
    """What is asked or said, on up to three lines, else the most important keys; nothing where
    there is no room."""
    if scene.prompt:
        return [[]]
    said = scene.message or scene.stale
    if said:
        texts = wrapped(_shown(said), columns, 0)
        return [[(text, Style.BOLD)] for text in texts[: max(1, min(3, lines // 4))]]
    if scene.help:
        return [[("any key goes back", Style.BOLD)]] if lines > 3 else []
    if lines < 8:
        return []
    names = ["? help", "q quit"]
    if scene.callers:
        again = "l all" if scene.callers.live else "l not freed"
        names = ["Escape back"]
        names += ["Up Down scroll", again, "w again"] if scene.callers.taken else []
        return [_joined([(name, Style.PLAIN) for name in names], columns, whole=True)]
    if scene.replay:
        names += ["Left Right step", "t jump"]
    names += ["/ filter", "g group", "o order", "w who calls", "m mark", "Space pause", "s save"]
    return [_joined([(name, Style.PLAIN) for name in names], columns, whole=True)]


def _prompt(label: str, typed: str, columns: int) -> tuple[Line, int]:
    """The end of what was typed, and where the cursor stands."""
    label = head(label, max(0, columns - 4))
    shown = tail(printable(typed), max(0, columns - width(label) - 1))
    return [(label, Style.BOLD), (shown, Style.PLAIN)], min(columns - 1, width(label + shown))


def _help(lines: int, columns: int) -> list[Line]:
    column = 11
    rows: list[Line] = [
        [(name.ljust(column), Style.BOLD), (words, Style.PLAIN)] for name, words in KEYS
    ]
    if lines > len(rows) + 3:
        rows = [[("allocq top", Style.BOLD)], [], *rows, [], [(MARKS, Style.PLAIN)]]
    return rows[:lines]


def _stacks(scene: Scene, callers: Callers, lines: int, columns: int) -> tuple[list[Line], int]:
    """The pane of who calls a tag, and the first line of the tree that it shows."""
    parts: Line = [("who calls", Style.BOLD), (_shown(callers.what), Style.BOLD)]
    if callers.live:
        parts.append(("not freed", Style.PLAIN))
    heads = [_joined(_first_head(scene), columns), _joined(parts, columns), []]
    above = heads if lines >= 8 else heads[1:2] if lines >= 3 else []
    rows = callers.lines(columns, scene.bytes)
    room = max(0, lines - len(above))
    first = max(0, min(callers.first, len(rows) - room))
    return [*above, *rows[first : first + room]], first


def _table(scene: Scene, lines: int, columns: int) -> tuple[list[Line], int]:
    heads = _heads(scene, columns)
    # Of few lines most are for the tags.
    above = heads[: 3 if lines >= 8 else 1 if lines >= 4 else 0]
    titled = lines >= 2
    room = lines - len(above) - titled
    first = _scrolled(scene, room)
    shown = list(scene.order[first : first + room])
    layout = _Columns(scene, shown, columns)
    body = [*above]
    if titled:
        body.append([(pad(head(layout.title(), columns), columns), Style.REVERSE)])
    for number, at in enumerate(shown, first):
        body.append(layout.row(at, number == scene.selected))
    if not shown and room > 0:
        body.append([("no tag matches", Style.PLAIN)])
    return body, first


def _scrolled(scene: Scene, room: int) -> int:
    """The first position to show, so that the selected one is seen and no line is wasted."""
    first = min(scene.first, max(0, len(scene.order) - room))
    if scene.selected < first:
        first = scene.selected
    elif room > 0 and scene.selected >= first + room:
        first = scene.selected - room + 1
    return max(0, first)


def _heads(scene: Scene, columns: int) -> list[Line]:
    return [
        _joined(_first_head(scene), columns),
        _joined(_second_head(scene), columns),
        _joined(_third_head(scene), columns),
    ]


def headline(scene: Scene) -> str:
    """What a log needs to know above a table, in one line."""
    parts = (*_first_head(scene), *_second_head(scene)[1:])
    return "  ".join(text for text, _ in parts)


def _first_head(scene: Scene) -> Line:
    parts: Line = [("allocq top", Style.BOLD)]
    if scene.paused:
        parts.append(("PAUSED", Style.REVERSE))
    if scene.time is not None:
        parts.append((when(scene.time), Style.PLAIN))
    if scene.replay:
        number, many = scene.replay
        parts.append((f"sample {number:,} of {many:,}", Style.PLAIN))
    parts += [(printable(text), Style.PLAIN) for text in (scene.host, scene.kernel) if text]
    if scene.every and not scene.replay:
        parts.append((f"every {scene.every:.10g} s", Style.PLAIN))
    return parts


def _second_head(scene: Scene) -> Line:
    total = scene.figures.total
    size = str if scene.bytes else format_size
    parts: Line = [(f"{size(total.bytes)} in {quantity(total.tags, 'tag')}", Style.BOLD)]
    if scene.profiling is False:
        parts.append(("profiling is off: the counters are frozen", Style.NOTE))
    if scene.figures.seconds:
        rate = round(total.growth / scene.figures.seconds)
        parts.append((f"{_signed(rate, scene.bytes)}/s", Style.PLAIN))
    parts.append((f"{_signed(total.start, scene.bytes)} since start", Style.PLAIN))
    if total.mark is not None:
        parts.append((f"{_signed(total.mark, scene.bytes)} since mark", Style.PLAIN))
    if total.inaccurate:
        parts.append((f"{total.inaccurate:,} inaccurate", Style.PLAIN))
    if total.without_slab:
        parts.append((f"without {size(total.slab)} of slab pages", Style.PLAIN))
    if total.underflowed:
        parts.append((f"without {total.underflowed:,} underflowed", Style.PLAIN))
    return parts


def _third_head(scene: Scene) -> Line:
    by = scene.figures.by
    shown = f"sums by {by}" if by else "tags"
    parts: Line = [(f"{shown} by {ORDERS[scene.sort]}", Style.PLAIN)]
    if scene.reverse:
        parts.append(("reversed", Style.PLAIN))
    if scene.within:
        inside = ", ".join(f"{kind} {_shown(name)}" for kind, name in scene.within)
        parts.append((f"in {inside}", Style.BOLD))
    if scene.filter:
        parts.append((f"filter: {printable(scene.filter)}", Style.BOLD))
    return parts


def _joined(parts: Line, columns: int, whole: bool = False) -> Line:
    """As many parts as fit, two blanks between them; the last one is cut, or if they are to be
    whole, only the first where even it does not fit."""
    line: Line = []
    left = columns
    for text, style in parts:
        need = width(text) + (2 if line else 0)
        if line and need > left:
            if left > 12 and not whole:
                line += [("  ", Style.PLAIN), (cut(text, left - 2), style)]
            break
        line += [("  ", Style.PLAIN)] * bool(line) + [(text, style)]
        left -= need
    return line


def _cut(line: Line, columns: int) -> Line:
    """The beginning of a line that fits."""
    out: Line = []
    for text, style in line:
        need = width(text)
        if need > columns:
            out.append((head(text, columns), style))
            break
        out.append((text, style))
        columns -= need
    return out


def when(seconds: float) -> str:
    """A time as people read it: local, to the second."""
    try:
        return f"{datetime.fromtimestamp(seconds):%F %T}"
    except (ValueError, OverflowError, OSError):
        return f"@{seconds:.0f}"


def _signed(size: int, plain: bool) -> str:
    return ("+" if size > 0 else "") + (str(size) if plain else format_size(size))


class _Columns:
    """The columns that fit, and their widths. Those that tell least are dropped first, but never
    the one that the rows are sorted by."""

    def __init__(self, scene: Scene, shown: Sequence[int], columns: int) -> None:
        self._scene = scene
        figures = scene.figures
        plain = scene.bytes
        size = str if plain else format_size
        self._marks = {at: marks_of(figures, at) for at in shown}
        marks = max(map(len, self._marks.values()), default=0)
        cells: dict[str, list[str]] = {
            "bytes": [size(figures.bytes[at]) for at in shown],
            "calls": [str(figures.calls[at]) for at in shown],
            "growth": [self._rate(at) for at in shown],
            "start": [_signed(figures.start[at], plain) for at in shown],
        }
        if figures.mark is not None:
            cells["mark"] = [_signed(figures.mark[at], plain) for at in shown]
        if figures.tags is not None:
            cells["tags"] = [str(figures.tags[at]) for at in shown]
        cells["trend"] = [bars(figures.values(at), scene.utf8) for at in shown]
        self._heads = {
            "bytes": "BYTES",
            "calls": "CALLS",
            "growth": "GROWTH/S",
            "start": "+START",
            "mark": "+MARK",
            "tags": "TAGS",
            "trend": "TREND",
        }
        least = {"bytes": 7, "calls": 5, "growth": 8, "start": 7, "mark": 7, "trend": SPARK}
        self._widths = {
            name: max(least.get(name, 4), len(self._heads[name]), *map(len, column), 0)
            for name, column in cells.items()
        }
        spare = [
            name
            for name in ("trend", "tags", "start", "calls", "mark", "growth", "bytes")
            if name in cells and name != scene.sort
        ]
        if self._taken(marks) + _GOOD_PLACE > columns:
            cells["trend"] = [bars(figures.values(at), scene.utf8, _SHORT_SPARK) for at in shown]
            self._widths["trend"] = _SHORT_SPARK
        while spare and self._taken(marks) + _LEAST_PLACE > columns:
            name = spare.pop(0)
            del cells[name], self._widths[name]
        self._mark_width = marks if "bytes" in cells else 0
        self._cells = {
            at: {name: column[i] for name, column in cells.items()} for i, at in enumerate(shown)
        }
        self._place(shown, columns - self._taken(self._mark_width))

    def _taken(self, marks: int) -> int:
        return sum(self._widths.values()) + 2 * len(self._widths) + marks

    def _rate(self, at: int) -> str:
        rate = self._scene.figures.per_second(at)
        return "" if rate is None else _signed(round(rate), self._scene.bytes)

    def _place(self, shown: Sequence[int], room: int) -> None:
        """The widths of what names a tag."""
        figures = self._scene.figures
        self._names = {at: names_of(figures, at) for at in shown}
        room = max(room, 1)
        if figures.by not in (None, "location"):
            self._where, self._function = room, 0
            return
        functions = max((width(names[1]) for names in self._names.values()), default=8)
        wheres = max((width(names[0]) for names in self._names.values()), default=5)
        if room < _LEAST_PLACE:
            self._where, self._function = room, 0
            return
        spare = room - 2
        function = min(max(functions, 8), max(8, spare * 9 // 20))
        where = min(max(wheres, 5), spare - function)
        self._where, self._function = where, spare - where

    def title(self) -> str:
        """The names of the columns."""
        parts = []
        for name, size in self._widths.items():
            text = self._heads[name]
            parts.append(text.ljust(size) if name == "trend" else text.rjust(size))
            if name == "bytes":
                parts[-1] += " " * self._mark_width
        by = self._scene.figures.by
        place = "WHERE" if by in (None, "location") else str(by).upper()
        parts.append(pad(fit(place, self._where), self._where))
        if self._function:
            parts.append("FUNCTION")
        return "  ".join(parts)

    def row(self, at: int, selected: bool) -> Line:
        """One tag or sum; the selected one is shown reversed."""
        plain = Style.REVERSE if selected else Style.PLAIN
        line: Line = []
        text = ""
        for name, size in self._widths.items():
            cell = self._cells[at][name]
            if name == "growth" and cell[:1] == "+":
                line += [(text, plain), (cell.rjust(size), plain | Style.BOLD)]
                text = ""
            else:
                text += cell.ljust(size) if name == "trend" else cell.rjust(size)
            if name == "bytes" and self._mark_width:
                if self._marks[at]:
                    line += [(text, plain), (self._marks[at], plain | Style.NOTE)]
                    text = ""
                text += " " * (self._mark_width - len(self._marks[at]))
            text += "  "
        where, function = self._names[at]
        text += pad(fit(where, self._where), self._where)
        if self._function:
            text += "  " + pad(cut(function, self._function), self._function)
        return [*line, (text, plain)]


def marks_of(figures: Figures, at: int) -> str:
    """What a table marks a row with."""
    below = figures.bytes[at] < 0 or figures.calls[at] < 0
    return (
        MARK * bool(figures.inaccurate[at])
        + SLAB_MARK * bool(figures.slab[at] and figures.total.without_slab)
        + UNDERFLOW_MARK * below
        + USER_MARK * figures.is_user_memory(at)
    )


def names_of(figures: Figures, at: int) -> tuple[str, str]:
    """(FILE:LINE [MODULE], FUNCTION) of a tag, or the name of a sum and nothing; for a terminal."""
    where, function = place_of(figures.keys[at], figures.by)
    return _shown(where), _shown(function)


def _shown(name: str) -> str:
    """A name for a terminal; of a very long one both ends."""
    if len(name) > _MOST_NAME:
        name = name[: _MOST_NAME // 2] + name[-_MOST_NAME // 2 :]
    return printable(name)


def place_of(key: Key, by: str | None) -> tuple[str, str]:
    """The same as it is."""
    if by is None or by == "location":
        file, line, module, function = key
        where = f"{file}:{line}" if module is None else f"{file}:{line} [{module}]"
        return where, str(function)
    name = group_name(key, by)
    return ("(built-in)" if name is None else name), ""


def texts(lines: Iterable[Line]) -> list[str]:
    """The lines without attributes."""
    return ["".join(text for text, _ in line) for line in lines]
