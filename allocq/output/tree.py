"""Lays out a tree as a table: one line per node, with bars on a terminal."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from ..analysis.tree import Choice, Node, NodeKind
from ..units import format_size
from .terminal import cut, printable

MARK = "*"
BAR = 20
_NARROWEST = 24
_DEEPEST = 16
_BLOCKS = " ▏▎▍▌▋▊▉█"
_BOLD, _CYAN, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[36m", "\x1b[33m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class TreeLayout:
    """Layout. width: terminal columns; None: no bars and no truncation. plain: byte counts instead
    of 1.5M. utf8: draw bars with block characters. mark: mark slab pages."""

    width: int | None = None
    plain: bool = False
    utf8: bool = False
    color: bool = False
    header: bool = True
    mark: bool = False


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One line before it is laid out."""

    name: str
    bytes: int
    calls: int
    slab: int


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
        yield TreeRow("  " * indent + printable(name), entry.bytes, entry.calls, entry.slab)
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
                    sum(child.bytes for child in rest),
                    sum(child.calls for child in rest),
                    sum(child.slab for child in rest),
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
    return child if (child.bytes, child.calls) == (node.bytes, node.calls) else None


def fitting_depth(root: Node, choice: Choice, lines: int) -> int | None:
    """The most levels that fit `lines` lines, at least 2; None if all levels fit."""
    for depth in range(3, _DEEPEST):
        deeper = rows(root, replace(choice, depth=depth))
        if sum(1 for _ in islice(deeper, lines + 1)) > lines:
            return depth - 1
    return None


def lay_out(root: Node, choice: Choice, layout: TreeLayout, words: str) -> list[str]:
    """The lines of the table; `words` label the total."""
    shown = list(rows(root, choice))
    size = str if layout.plain else format_size
    sizes = [size(row.bytes) for row in shown]
    calls = [str(row.calls) for row in shown]
    total = [size(root.bytes), str(root.calls)]
    marks = [MARK if layout.mark and row.slab else "" for row in shown]
    pad = 1 if any(marks) else 0
    widths = [
        max(len(text) for text in (*column, total[i], head if layout.header else ""))
        for i, (column, head) in enumerate(((sizes, "BYTES"), (calls, "CALLS")))
    ]
    left = widths[0] + pad + 2 + widths[1] + 2 + 6 + 2
    bar = BAR if layout.width is not None and layout.width >= left + BAR + 2 + _NARROWEST else 0
    room = None
    if layout.width is not None:
        room = max(_NARROWEST, layout.width - left - (bar + 2 if bar else 0))
    lines = []
    if layout.header:
        head = f"{'BYTES':>{widths[0]}}{' ' * pad}  {'CALLS':>{widths[1]}}  {'SHARE':>6}"
        lines.append(_paint(layout, _BOLD, f"{head}  {' ' * (bar + 2) if bar else ''}WHERE"))
    for row, text, count, mark in zip(shown, sizes, calls, marks, strict=True):
        share = row.bytes / root.bytes if root.bytes > 0 else 0.0
        marked = _paint(layout, _YELLOW, mark) + " " * (pad - len(mark))
        line = f"{text:>{widths[0]}}{marked}  {count:>{widths[1]}}  {share:>6.1%}"
        if bar:
            line += "  " + _paint(layout, _CYAN, draw(share, bar, layout.utf8))
        name = row.name if room is None else cut(row.name, room)
        lines.append(f"{line}  {name}".rstrip())
    end = f"{total[0]:>{widths[0]}}{' ' * pad}  {total[1]:>{widths[1]}}  {words}"
    lines.append(_paint(layout, _BOLD, end))
    if any(marks):
        lines.append(
            f"{MARK} includes slab pages, whose objects are also counted at their own tags"
        )
    return lines


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
