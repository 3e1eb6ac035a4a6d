"""`allocq query`: finds tags and prints them.

The native program (core/front.c) answers plain queries itself and leaves the others to this module;
`python -m allocq query` always comes here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..analysis.groups import Group, add_groups, order_groups
from ..core.table import Table
from ..declarations.shared import FOUND, NOTHING
from ..errors import UsageError
from ..output import TAG_COLUMNS, Column, ColumnKind, Writer, writer
from ..output.json import head_of
from ..output.stream import Output, warn
from ..output.table import total_words
from ..sources.source import Live, Saved
from .arguments import Query, View, format_of, read_query, shape_of, sort_of, wanted_of
from .explain import explain
from .nearest import Words, as_meant, tell_no_match, tell_words


def query_command(values: Mapping[str, object]) -> int:
    """Run the command; returns 0 if a tag matched, 1 if none did."""
    query = read_query(values)
    return list_listings(query) if values.get("list_listings") else run_query(query)


LISTING_COLUMNS = (
    Column("number", ColumnKind.NUMBER),
    Column("line", ColumnKind.NUMBER),
    Column("kind", ColumnKind.TEXT),
    Column("time", ColumnKind.TEXT),
    Column("tags", ColumnKind.NUMBER),
    Column("bytes", ColumnKind.SIZE),
    Column("rounded", ColumnKind.TEXT),
    Column("profiling", ColumnKind.TEXT),
    Column("file", ColumnKind.TEXT),
)


def list_listings(query: Query, fd: int = 1) -> int:
    """Write what listings a source holds, one a row; returns the exit status."""
    view, terminal = query.view, os.isatty(fd)
    format = view.format or ("table" if terminal else "tsv")
    out = Output(fd, escape=terminal and format != "table")
    if format == "procfs":
        raise UsageError("--list-listings prints no tags", "-o tsv, csv, json, jsonl or table")
    with query.origin.open() as source:
        if not isinstance(source, Saved):
            raise UsageError(
                "--listing and --list-listings are for saved listings", "name one with --source"
            )
        listings = source.listings()
    write = writer(format, shape_of(view, format, terminal), LISTING_COLUMNS)
    out.write(write.begin({"source": {"path": source.path}}, "listings"))
    rows = (
        (
            each.number,
            each.line,
            each.kind.value,
            each.time or None,
            each.tags,
            each.bytes,
            "yes" if each.rounded else "no",
            each.profiling or each.metadata.get("profiling"),
            each.member or None,
        )
        for each in listings[: view.limit]
    )
    for piece in write.rows(rows):
        out.write(piece)
    out.write(write.end(None, ""))
    out.release()
    return FOUND


def run_query(query: Query, fd: int = 1) -> int:
    """Write the answer to a descriptor; returns the exit status. AllocqError, BrokenPipeError."""
    terminal = os.isatty(fd)
    out = Output(fd, escape=terminal and format_of(query.view, terminal) != "table")
    with query.origin.open() as source:
        query = replace(query, meant=as_meant(source, query.filter))
        if query.origin.explain:
            return explain(query, source, out)
        words = Words(query.filter.words if terminal else ())
        matching = _answer(query, source, out, terminal, words)
        for text in source.info.warnings:
            warn(text)
        if terminal and not query.view.quiet:
            tell_words(words, query.origin, source)
            if not matching:
                tell_no_match(query.filter, source)
    return FOUND if matching else NOTHING


def _answer(query: Query, source: Live | Saved, out: Output, terminal: bool, words: Words) -> int:
    """Write the answer; returns how many tags or groups matched, or at least 1 if quiet."""
    view = query.view
    if view.quiet:
        return _any_match(query, source)
    if view.count:
        return _count(query, source, out, words)
    if view.group_by:
        return _groups(query, source, out, terminal, words)
    return _tags(query, source, out, terminal, words)


def _any_match(query: Query, source: Live | Saved) -> int:
    if isinstance(source, Live):
        return len(source.read(query.applied, wanted_of(query.view, "none")))
    return any(map(len, source.batches(query.applied)))


def _count(query: Query, source: Live | Saved, out: Output, words: Words) -> int:
    matching = 0
    for batch in source.batches(query.applied):
        matching += len(batch)
        words.add(batch)
    out.write(f"{matching}\n".encode())
    out.release()
    return matching


def _writer(view: View, columns: Sequence[Column], terminal: bool, version: str) -> Writer:
    format = format_of(view, terminal)
    shape = shape_of(view, format, terminal)
    shape.version = version or shape.version
    return writer(format, shape, columns)


def _tags(query: Query, source: Live | Saved, out: Output, terminal: bool, words: Words) -> int:
    format = format_of(query.view, terminal)
    sort = sort_of(query.view, format)
    # What is said of a saved text in JSON's head is known at its end.
    some = isinstance(source, Live) or format != "json"
    snapshot = source.read(query.applied, wanted_of(query.view, sort) if some else None)
    words.add(snapshot.table)
    order = _order(snapshot.table, query.view, sort)
    write = _writer(query.view, TAG_COLUMNS, terminal, snapshot.info.version)
    head = head_of(query.filter, snapshot.info)
    if query.view.limit is not None:
        head["limit"] = query.view.limit
    out.write(write.begin(head, "tags"))
    for piece in write.tags(snapshot.table, order):
        out.write(piece)
    total = _total(snapshot.table, order)
    out.write(write.end(total, total_words(total["tags"])))
    out.release()
    return len(snapshot)


def _order(table: Table, view: View, sort: str) -> Sequence[int] | None:
    """The rows to show; None for all in kernel order."""
    if sort == "none" and not view.reverse and view.limit is None:
        return None
    return table.order(sort, view.reverse)[: view.limit]


def _total(table: Table, order: Sequence[int] | None) -> dict[str, int]:
    """The sums of the rows shown."""
    rows = range(len(table)) if order is None else order
    sizes, calls = table.column("bytes"), table.column("calls")
    return {
        "tags": len(rows),
        "bytes": sum(sizes[i] for i in rows),
        "calls": sum(calls[i] for i in rows),
    }


def _groups(query: Query, source: Live | Saved, out: Output, terminal: bool, words: Words) -> int:
    view, by = query.view, query.view.group_by or "file"
    groups: dict[str | None, Group] = {}
    for batch in source.batches(query.applied):
        add_groups(groups, batch, by)
        words.add(batch)
    sort = sort_of(view, format_of(view, terminal))
    shown = order_groups(list(groups.values()), sort, view.reverse, view.limit)
    columns = (
        Column("bytes", ColumnKind.SIZE),
        Column("calls", ColumnKind.NUMBER),
        Column("tags", ColumnKind.NUMBER),
        Column(by, ColumnKind.TEXT),
    )
    write = _writer(view, columns, terminal, source.info.version)
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
