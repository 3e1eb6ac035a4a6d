"""A Query answered: read, order, write. Returns the exit status."""

import posix

from ..declarations.shared import FOUND, NOTHING
from ..output import NUMBER, SIZE, TEXT, Column, Shape, writer
from ..output.json import head_of
from ..output.stream import Output, warn
from ..output.table import total_words
from ..sources.source import open_source, sample_path
from .arguments import Query, format_of, shape_of, sort_of, wanted_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..core.table import Table
    from ..output import Writer
    from ..sources.source import Live, Saved


def open_origin(query: "Query") -> "Live | Saved":
    """The source that a query names."""
    origin = query.origin
    path = sample_path() if origin.sample else origin.path
    return open_source(path, origin.interface)


def run_query(query: "Query", fd: int = 1) -> int:
    """Answer a query on a descriptor; returns the exit status. AllocqError, BrokenPipeError."""
    with open_origin(query) as source:
        if query.origin.explain:
            from .explain import explain

            return explain(query, source, Output(fd))
        found = _answer(query, source, Output(fd), posix.isatty(fd))
        for text in source.info.warnings:
            warn(text)
        return FOUND if found else NOTHING


def _answer(query: "Query", source: "Live | Saved", out: Output, terminal: bool) -> int:
    """Write the answer; returns how many tags matched, or 1 for "at least one" if quiet."""
    view = query.view
    if view.quiet or view.count:
        return _count(query, source, out)
    format = format_of(view, terminal)
    shape = shape_of(view, format, terminal)
    sort = sort_of(view, format)
    if view.group_by:
        return _groups(
            query, source, out, writer(format, shape, group_columns(view.group_by)), sort
        )
    write = writer(format, shape)
    if write.streams and sort == "none" and not view.reverse and not source.live:
        return _stream(query, source, out, write, shape)
    snapshot = source.read(query.filter, wanted_of(view, sort))
    order = None
    if sort != "none" or view.reverse or view.limit is not None:
        from ..analysis.order import order_of

        order = order_of(snapshot.table, sort, view.reverse, view.limit)
    shape.version = snapshot.info.version or shape.version
    head = head_of(query.filter, snapshot.info) if format == "json" else {}
    out.write(write.begin(head, "tags"))
    for piece in write.tags(snapshot.table, order):
        out.write(piece)
    if not write.streams:
        tags, bytes_, calls = _sum(snapshot.table, order)
        total = {"tags": tags, "bytes": bytes_, "calls": calls}
        out.write(write.end(total, total_words(tags)))
    out.release()
    return len(snapshot)


def group_columns(by: str) -> "tuple[Column, ...]":
    """The columns of sums."""
    return (
        Column("bytes", SIZE),
        Column("calls", NUMBER),
        Column("tags", NUMBER),
        Column(by, TEXT),
    )


def _sum(table: "Table", order: "Iterable[int] | None") -> tuple[int, int, int]:
    """(tags, bytes, calls) of the rows that are shown."""
    if order is None:
        return len(table), *table.total()
    rows = list(order)
    sizes, calls = table.column("bytes"), table.column("calls")
    return len(rows), sum(sizes[i] for i in rows), sum(calls[i] for i in rows)


def _count(query: "Query", source: "Live | Saved", out: Output) -> int:
    if query.view.quiet and source.live:
        return len(source.read(query.filter, wanted_of(query.view, "none")))
    found = 0
    for batch in source.batches(query.filter):
        found += len(batch)
        if found and query.view.quiet:
            return found
    if not query.view.quiet:
        out.write(f"{found}\n".encode())
        out.release()
    return found


def _groups(query: "Query", source: "Live | Saved", out: Output, write: "Writer", sort: str) -> int:
    from ..analysis.order import Group, add_groups, order_groups

    view = query.view
    groups: dict[str | None, Group] = {}
    for batch in source.batches(query.filter):
        add_groups(groups, batch, view.group_by or "file")
    shown = order_groups(list(groups.values()), sort, view.reverse, view.limit)
    out.write(write.begin(head_of(query.filter, source.info), "groups"))
    for piece in write.rows((g.bytes, g.calls, g.tags, g.key) for g in shown):
        out.write(piece)
    total = {
        "tags": sum(group.tags for group in shown),
        "bytes": sum(group.bytes for group in shown),
        "calls": sum(group.calls for group in shown),
    }
    out.write(write.end(total, "total"))
    out.release()
    return len(groups)


def _stream(
    query: "Query", source: "Live | Saved", out: Output, write: "Writer", shape: Shape
) -> int:
    """Write matches as they come. Nothing is written before the text has been found good, as far
    as it can be read twice or held back."""
    found = _pass(query, source, out, write, shape)
    if out.full:
        out.forget()
        out.release()
        found = _pass(query, source, out, write, shape)
    out.release()
    return found


def _pass(
    query: "Query", source: "Live | Saved", out: Output, write: "Writer", shape: Shape
) -> int:
    """Once through the text; what outgrows `out` is dropped where it can be read again."""
    found, limit = 0, query.view.limit
    again = source.repeatable and limit is None
    for batch in source.batches(query.filter):
        if not found:
            shape.version = source.info.version or shape.version
            out.write(write.begin({}, "tags"))
        order = None
        if limit is not None and found + len(batch) >= limit:
            order = range(limit - found)
        found += len(batch)
        if out.full and again:
            continue
        if out.full:
            out.release()
        for piece in write.tags(batch, order):
            out.write(piece)
        if order is not None:
            break
    if not found:
        shape.version = source.info.version or shape.version
        out.write(write.begin({}, "tags"))
    out.write(write.end(None, ""))
    return found


def query_command(values: "dict[str, object]") -> int:
    """`allocq query` on its slow way."""
    return run_query(Query(values))
