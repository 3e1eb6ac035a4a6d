"""`allocq tree`: shows memory by directory, file, function and line."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ..analysis.slab import is_slab_page
from ..analysis.tree import Choice, Node, NodeKind, build, fold, path_of, walk
from ..declarations.commands import SLABS, TREE_FORMATS, TREE_SORTS
from ..declarations.shared import COLORS, FOUND, NOTHING
from ..errors import UsageError
from ..output import Column, ColumnKind, Shape, writer
from ..output.json import dump, head_of
from ..output.stream import Output, warn
from ..output.table import total_words
from ..output.terminal import speaks_utf8, terminal_width, wants_color
from ..output.tree import TreeLayout, fitting_depth, lay_out
from ..units import format_size, parse_size
from .arguments import choice, number, read_filter, read_origin, resolve_words, text
from .nearest import Words, as_meant, tell_no_match, tell_words

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
    slab: str
    color: str
    header: bool
    bytes: bool
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
        slab=choice("slab", values.get("slab"), SLABS) or "mark",
        color=choice("color", values.get("color"), COLORS) or "auto",
        header=bool(values.get("header", True)),
        bytes=bool(values.get("bytes")),
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
    origin = read_origin(values)
    with origin.open() as source:
        asked, filter = filter, as_meant(source, filter)
        snapshot = source.read(filter)
        table = snapshot.table
        words = Words(filter.words)
        words.add(table)
        slab = list(
            map(is_slab_page, table.strings("file"), table.strings("function"),
                table.strings("module"))
        )  # fmt: skip
        if request.slab == "exclude":
            table.keep(bytes(not page for page in slab))
            slab = [False] * len(table)
        root = build(
            table.strings("file"),
            table.strings("function"),
            table.column("line"),
            table.column("bytes"),
            table.column("calls"),
            slab,
        )
        out = Output(fd, escape=os.isatty(fd) and request.format != "table")
        for piece in _render(root, request, head_of(filter, snapshot.info), fd):
            out.write(piece)
        out.release()
        for warning in snapshot.info.warnings:
            warn(warning)
        if os.isatty(fd):
            tell_words(words, origin, source)
            if not root.tags:
                tell_no_match(asked, source)
    return FOUND if root.tags else NOTHING


def _render(root: Node, request: TreeRequest, head: dict[str, object], fd: int) -> Iterator[bytes]:
    if request.format == "table":
        shown = request.choice
        if shown.depth is None:
            shown = replace(shown, depth=fitting_depth(root, shown, LINES))
        lines = lay_out(root, shown, _layout(request, fd), words(root, request.slab))
        page = "".join(line + "\n" for line in lines) if root.tags else ""
        return iter((page.encode("utf-8", "backslashreplace"),))
    if request.format == "folded":
        return folded(root, request.choice)
    if request.format == "json":
        return document(root, request.choice, {**head, "slab": request.slab})
    return _flat(root, request)


def _layout(request: TreeRequest, fd: int) -> TreeLayout:
    terminal = os.isatty(fd)
    color = wants_color(request.color, terminal)
    width = terminal_width() if terminal else None
    mark = request.slab == "mark"
    return TreeLayout(width, request.bytes, speaks_utf8(os.environ), color, request.header, mark)


def words(root: Node, slab: str) -> str:
    """The label of the total."""
    total = total_words(root.tags)
    if slab == "exclude":
        return f"{total}, without slab pages"
    if root.slab:
        without = format_size(root.bytes - root.slab)
        return (
            f"{total}; slab pages ({format_size(root.slab)}) counted twice, {without} without them"
        )
    return total


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
    sums = (node.bytes, node.calls, node.tags, node.slab)
    return (*sums, node.kind, path_of(path), function, line)


def document(root: Node, choice: Choice, head: Mapping[str, object]) -> Iterator[bytes]:
    """One JSON object; `tree` is the root, `children` of a node are those shown."""
    for key, value in head.items():
        yield f"{'{' if key == next(iter(head)) else ''}{dump(key)}:{dump(value)},\n".encode()
    yield b'"tree":'
    yield from _nested(root, choice)
    total = {"tags": root.tags, "bytes": root.bytes, "calls": root.calls, "slab_bytes": root.slab}
    yield f',\n"total":{dump(total)}}}\n'.encode()


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
    sums = f'"bytes":{node.bytes},"calls":{node.calls},"tags":{node.tags},"slab_bytes":{node.slab}'
    return f'{{"name":{dump(node.name)},"kind":"{node.kind}",{sums},"children":['.encode()
