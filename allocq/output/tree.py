"""Lays out a tree as a table: one line per node, with bars on a terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from ..analysis.tree import Choice, Node, NodeKind, walk
from ..units import format_size
from .terminal import cut, printable, wrapped
from .totals import SLAB_LEGEND, SLAB_MARK, UNDERFLOW_LEGEND, UNDERFLOW_MARK

BAR = 20
_HEADS = ("BYTES", "CALLS", "SHARE")
_NARROWEST = 24
_DEEPEST = 16
_BLOCKS = " ▏▎▍▌▋▊▉█"
_BOLD, _CYAN, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[36m", "\x1b[33m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class TreeLayout:
    """Layout. width: terminal columns; None: no bars and no truncation. plain: byte counts instead
    of 1.5M. utf8: draw bars with block characters."""

    width: int | None = None
    plain: bool = False
    utf8: bool = False
    color: bool = False
    header: bool = True


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One line before it is laid out. pages: of slab pages alone, which are not in the total."""

    name: str
    bytes: int
    calls: int
    pages: bool
    underflowed: int = 0


def rows(root: Node, choice: Choice) -> Iterator[TreeRow]:
    """The shown nodes, indented; a directory that contains only a directory is joined with it."""
    stack = _level(root, choice, 0)
    while stack:
        entry, indent = stack.pop()
        if isinstance(entry, TreeRow):
            yield entry
            continue
        names = [entry.name]
        while (only := _only_child(entry, choice)) is not None:
            entry = only
            names.append(entry.name)
        if entry.kind == NodeKind.LINE:
            name = f"{names[0]}:{entry.name}" if len(names) > 1 else f":{entry.name}"
        else:
            name = "/".join(names).replace("//", "/", 1)
            name += "/" * (entry.kind == NodeKind.DIRECTORY and not name.endswith("/"))
        label = "  " * indent + printable(name)
        pages = choice.once and entry.has_only_pages()
        yield TreeRow(label, *entry.counted(choice.once), pages, entry.underflowed)
        stack += _level(entry, choice, indent + 1)


def _level(node: Node, choice: Choice, indent: int) -> list[tuple[Node | TreeRow, int]]:
    """The children to show, last first, and a row for those over the limit."""
    candidates = choice.large_enough(node)
    shown = candidates[: choice.limit]
    level: list[tuple[Node | TreeRow, int]] = []
    if rest := candidates[len(shown) :]:
        level.append(
            (
                TreeRow(
                    f"{'  ' * indent}({len(rest)} more)",
                    sum(child.counted(choice.once)[0] for child in rest if child.bytes),
                    sum(child.counted(choice.once)[1] for child in rest if child.bytes),
                    False,
                    sum(child.underflowed for child in rest),
                ),
                indent,
            )
        )
    return level + [(child, indent) for child in reversed(shown)]


def _only_child(node: Node, choice: Choice) -> Node | None:
    """The only directory in a directory, or line in a function, if it holds all of its memory."""
    if node.kind not in (NodeKind.DIRECTORY, NodeKind.FUNCTION) or choice.limit == 0:
        return None
    only = NodeKind.DIRECTORY if node.kind == NodeKind.DIRECTORY else NodeKind.LINE
    shown = choice.large_enough(node)
    if len(shown) != 1 or shown[0].kind != only:
        return None
    child = shown[0]
    same = child.counters == node.counters and child.underflowed == node.underflowed
    return child if same else None


def fitting_depth(root: Node, choice: Choice, lines: int) -> int | None:
    """The most levels that fit `lines` lines, at least 2; None if all levels fit."""
    for depth in range(3, _DEEPEST):
        deeper = rows(root, replace(choice, depth=depth))
        if sum(1 for _ in islice(deeper, lines + 1)) > lines:
            return depth - 1
    return None


def fitting_size(root: Node, choice: Choice, lines: int) -> int | None:
    """The least size of a node from which on the rows fit `lines` lines; None if all fit.

    What is above a node is at least as large, so the largest are shown with the way to them.
    """

    def fits(least: int | None) -> bool:
        shown = rows(root, replace(choice, least=least))
        return sum(1 for _ in islice(shown, lines + 1)) <= lines

    if fits(None):
        return None
    sizes = sorted({node.bytes for node in walk(root, choice) if node.bytes > 0}, reverse=True)
    good, bad = 0, len(sizes)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(sizes[middle]) else (good, middle)
    return sizes[good] if sizes else None


def lay_out(
    root: Node, choice: Choice, layout: TreeLayout, words: str, total: tuple[int, int] | None = None
) -> list[str]:
    """The lines of the table; `words` label the total, which is the root's if there is none."""
    whole = (root.bytes, root.calls) if total is None else total
    shown = list(rows(root, choice))
    size = str if layout.plain else format_size
    cells = [[size(row.bytes), str(row.calls), _share(row, whole[0])] for row in shown]
    sums = [size(whole[0]), str(whole[1]), ""]
    marks = [_marks(row) for row in shown]
    pad = max(map(len, marks), default=0)
    widths = [
        max(len(text) for text in (*column, sums[i], head if layout.header else ""))
        for i, (column, head) in enumerate(
            zip(zip(*cells, strict=True) if cells else ((), (), ()), _HEADS, strict=True)
        )
    ]
    kept = _kept(widths, pad, layout)
    left = sum(widths[i] + 2 for i in kept) + pad
    bar = BAR if layout.width is not None and layout.width >= left + BAR + 2 + _NARROWEST else 0
    room = None if layout.width is None else layout.width - left - (bar + 2 if bar else 0)
    lines = []
    if layout.header:
        head = _joined(_HEADS, widths, kept, " " * pad)
        lines.append(
            _paint(layout, _BOLD, _cut(f"{head}  {' ' * (bar + 2) if bar else ''}WHERE", layout))
        )
    for row, texts, mark in zip(shown, cells, marks, strict=True):
        marked = _paint(layout, _YELLOW, mark) + " " * (pad - len(mark))
        line = _joined(texts, widths, kept, marked)
        if bar:
            share = 0.0 if row.pages or whole[0] <= 0 else row.bytes / whole[0]
            line += "  " + _paint(layout, _CYAN, draw(share, bar, layout.utf8))
        name = row.name if room is None else cut(row.name, max(room, 2))
        lines.append(f"{line}  {name}".rstrip())
    end = _joined(sums, widths, [i for i in kept if i < 2], " " * pad)
    lines += [_paint(layout, _BOLD, line) for line in _sentence(f"{end}  {words}", layout)]
    for mark, text in ((SLAB_MARK, SLAB_LEGEND), (UNDERFLOW_MARK, UNDERFLOW_LEGEND)):
        if any(mark in marked for marked in marks):
            lines += _sentence(text, layout)
    return lines


def _share(row: TreeRow, whole: int) -> str:
    if row.bytes < 0 or row.pages:
        return ""
    return f"{row.bytes / whole if whole > 0 else 0.0:.1%}"


def _marks(row: TreeRow) -> str:
    return SLAB_MARK * row.pages + UNDERFLOW_MARK * (row.underflowed > 0)


def _kept(widths: list[int], pad: int, layout: TreeLayout) -> list[int]:
    """The columns that a narrow terminal has room for: bytes, then the share, then calls."""
    kept = [0, 1, 2]
    for spare in (1, 2):
        if (
            layout.width is None
            or sum(widths[i] + 2 for i in kept) + pad + _NARROWEST <= layout.width
        ):
            break
        kept.remove(spare)
    return kept


def _joined(texts: Sequence[str], widths: list[int], kept: list[int], mark: str) -> str:
    cells = [f"{texts[i]:>{widths[i]}}" for i in kept]
    return "  ".join([cells[0] + mark, *cells[1:]])


def _cut(line: str, layout: TreeLayout) -> str:
    return line if layout.width is None else line[: layout.width]


def _sentence(text: str, layout: TreeLayout) -> list[str]:
    if layout.width is None or len(text) <= layout.width:
        return [text]
    return wrapped(text, layout.width)


def draw(share: float, width: int, utf8: bool) -> str:
    """A bar `width` columns wide for a share from 0 to 1."""
    share = min(1.0, max(0.0, share))
    if not utf8:
        full = round(share * width)
        return ("#" * full).ljust(width)
    eighths = round(share * width * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (_BLOCKS[part] if part else "")).ljust(width)


def _paint(layout: TreeLayout, how: str, text: str) -> str:
    return how + text + _PLAIN if layout.color and text.strip() else text
