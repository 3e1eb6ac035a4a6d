"""`allocq tree`: shows memory by directory, file, function and line."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ..analysis.slab import SlabRule, Sum, slab_pages, sum_of
from ..analysis.tree import Choice, Node, NodeKind, build, fold, path_of, walk
from ..errors import UsageError
from ..options.commands import TREE_FORMATS, TREE_SORTS
from ..options.shared import COLORS, FOUND, NOTHING, PAGERS
from ..output import Column, ColumnKind, Shape, writer
from ..output.json import dump, head_of
from ..output.stream import warn
from ..output.terminal import Screen, speaks_utf8, wants_color, wrapped
from ..output.totals import counted_values, quantity, total_words
from ..output.tree import TreeLayout, fitting_depth, fitting_size, lay_out
from ..units import format_size, parse_size
from .arguments import choice, number, read_filter, read_origin, read_slab, resolve_words, text
from .nearest import Words, as_meant, tell_missing_files, tell_no_match, tell_words
from .paging import pager_for
from .saving import read_target

LINES = 60
_FRAME = str.maketrans(";\r\n", "___")
COLUMNS = (
    Column("bytes", ColumnKind.SIZE),
    Column("calls", ColumnKind.NUMBER),
    Column("tags", ColumnKind.NUMBER),
    Column("slab_bytes", ColumnKind.SIZE),
    Column("kind", ColumnKind.TEXT),
    Column("path", ColumnKind.TEXT),
    Column("function", ColumnKind.TEXT),
    Column("line", ColumnKind.NUMBER),
)


@dataclass(frozen=True, slots=True)
class TreeRequest:
    """The checked options of one `allocq tree`."""

    format: str
    slab: SlabRule
    color: str
    header: bool
    bytes: bool
    pager: str
    is_default: bool
    choice: Choice


def read_request(values: Mapping[str, object]) -> TreeRequest:
    """Check the option values. UsageError."""
    format = choice("format", values.get("format"), TREE_FORMATS) or "table"
    depth = number("depth", values.get("depth"))
    if depth == 0:
        raise UsageError("--depth must be at least 1", "1 shows the top-level directories")
    least = text(values, "min_size")
    return TreeRequest(
        format=format,
        slab=read_slab(values),
        color=choice("color", values.get("color"), COLORS) or "auto",
        header=bool(values.get("header", True)),
        bytes=bool(values.get("bytes")),
        pager=choice("pager", values.get("pager"), PAGERS) or "auto",
        is_default=not {"format", "depth", "min_size", "sort", "limit"} & values.keys(),
        choice=Choice(
            depth=depth,
            least=None if least is None else parse_size(least),
            sort=choice("sort", values.get("sort"), TREE_SORTS) or "bytes",
            limit=number("limit", values.get("limit")),
            holding=format == "table" and least is None,
        ),
    )


def tree_command(values: Mapping[str, object], fd: int = 1) -> int:
    """Run the command; returns 0 if tags matched, 1 if none did."""
    values = resolve_words(values)
    request = read_request(values)
    filter = read_filter({name: value for name, value in values.items() if name != "min_size"})
    target = read_target(values, "table")
    screen = target.screen(fd)
    bare = screen.people and request.is_default and not filter.items()
    bare = bare and request.pager != "always"
    pager = None if bare else pager_for(request.pager, screen, fd)
    origin = read_origin(values)
    with origin.open() as source:
        asked, filter = filter, as_meant(source, filter)
        snapshot = source.read(filter)
        table = snapshot.table
        words = Words(filter.words)
        words.add(table)
        pages = slab_pages(table)
        if (kept := request.slab.keeps_pages) is not None:
            table.keep(bytes(bool(page) == kept for page in pages))
            pages = slab_pages(table)
        sizes, calls = table.column("bytes"), table.column("calls")
        root = build(
            table.strings("file"), table.strings("function"), table.column("line"),
            sizes, calls, pages,
        )  # fmt: skip
        total = sum_of(sizes, calls, pages)
        escape = screen.terminal and request.format != "table"
        out = target.open(fd, escape, pager)
        try:
            for piece in _render(
                root, total, request, head_of(filter, snapshot.info), screen, bare
            ):
                out.write(piece)
            out.release()
        finally:
            if pager:
                pager.finish()
        for warning in snapshot.info.warnings:
            warn(warning)
        if screen.terminal:
            tell_words(words, origin, source)
            if not root.tags:
                tell_no_match(asked, source)
        else:
            tell_missing_files(asked, source, bool(root.tags))
    return FOUND if root.tags else NOTHING


def _render(
    root: Node,
    total: Sum,
    request: TreeRequest,
    head: dict[str, object],
    screen: Screen,
    bare: bool,
) -> Iterator[bytes]:
    if request.format == "table":
        lines = _lines(root, total, request, screen, bare) if root.tags else []
        page = "".join(line + "\n" for line in lines)
        return iter((page.encode("utf-8", "backslashreplace"),))
    if request.format == "folded":
        return folded(root, request.choice)
    if request.format == "json":
        values = counted_values(total, total, request.slab)
        return document(root, request.choice, {**head, "slab": request.slab}, values)
    return _flat(root, request)


def _lines(root: Node, total: Sum, request: TreeRequest, screen: Screen, bare: bool) -> list[str]:
    layout = _layout(request, screen)
    words = total_words(total, total, request.slab, request.bytes)
    counted = total.counted(request.slab)
    shown = replace(request.choice, once=total.leaves_out_pages(request.slab))
    if not bare:
        if shown.depth is None:
            shown = replace(shown, depth=fitting_depth(root, shown, LINES))
        return lay_out(root, shown, layout, words, counted)
    room = screen.height
    while True:
        least = fitting_size(root, shown, room)
        fitting = replace(shown, least=least)
        lines = lay_out(root, fitting, layout, words, counted)
        lines += _rest(root, shown, least, screen)
        if len(lines) <= screen.height or room <= 1:
            return lines
        room -= max(1, len(lines) - screen.height)


def _rest(root: Node, choice: Choice, least: int | None, screen: Screen) -> list[str]:
    """What a screen left out, and how to see it."""
    if least is None:
        return []
    hidden = [node for node in walk(root, choice) if node.bytes < least and not node.children]
    deepest = max(node.depth for node in walk(root, choice))
    words = f"{quantity(len(hidden), 'line')} below {format_size(least)} not shown"
    return wrapped(f"{words}: --depth {deepest} shows all", screen.width or 80)


def _layout(request: TreeRequest, screen: Screen) -> TreeLayout:
    return TreeLayout(
        screen.width,
        request.bytes,
        speaks_utf8(os.environ),
        wants_color(request.color, screen.terminal),
        request.header,
    )


def folded(root: Node, choice: Choice) -> Iterator[bytes]:
    """Lines like `arch;x86;events;rapl.c;init_rapl_pmu;745 BYTES`, for flame graph tools."""
    for names, size in fold(root, choice):
        frames = ";".join(_frame(name) for name in names)
        yield f"{frames} {size}\n".encode("utf-8", "surrogateescape")


def _frame(name: str) -> str:
    """A name without the characters that end a frame or a line."""
    return name.translate(_FRAME)


def _flat(root: Node, request: TreeRequest) -> Iterator[bytes]:
    """One row per node."""
    write = writer(request.format, Shape(header=request.header), COLUMNS)
    yield write.begin({}, "nodes")
    yield from write.rows(_row(node) for node in walk(root, request.choice))


def _row(node: Node) -> tuple[int | str | None, ...]:
    path = node.path()
    function = next((step.name for step in path if step.kind == NodeKind.FUNCTION), None)
    line = node.number if node.kind == NodeKind.LINE else None
    return (*node.counters, node.tags, node.slab, node.kind, path_of(path), function, line)


def document(
    root: Node, choice: Choice, head: Mapping[str, object], counted: dict[str, object]
) -> Iterator[bytes]:
    """One JSON object; `tree` is the root, `children` of a node are those shown."""
    for key, value in head.items():
        yield f"{'{' if key == next(iter(head)) else ''}{dump(key)}:{dump(value)},\n".encode()
    yield b'"tree":'
    yield from _nested(root, choice)
    total = {"tags": root.tags, "bytes": root.bytes, "calls": root.calls, "slab_bytes": root.slab}
    yield f',\n"total":{dump(total)},\n"counted":{dump(counted)}}}\n'.encode()


def _nested(root: Node, choice: Choice) -> Iterator[bytes]:
    """The nodes as nested JSON, without recursion: a stack has the open levels."""
    yield _opened(root)
    stack: list[Iterator[Node]] = [iter(choice.children(root))]
    first = True
    while stack:
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
            yield b"]}"
            first = False
            continue
        yield (b"\n" if first else b",\n") + _opened(node)
        below = choice.children(node)
        if below:
            stack.append(iter(below))
        else:
            yield b"]}"
        first = bool(below)


def _opened(node: Node) -> bytes:
    size, calls = node.counters
    sums = f'"bytes":{size},"calls":{calls},"tags":{node.tags},"slab_bytes":{node.slab}'
    return f'{{"name":{dump(node.name)},"kind":"{node.kind}",{sums},"children":['.encode()
