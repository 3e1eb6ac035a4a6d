"""`allocq query`: finds tags and prints them.

The native program (core/front.c) answers plain queries itself and leaves the others to this module;
`python -m allocq query` always comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..analysis.groups import Group, Key, add_groups, order_groups
from ..analysis.slab import SlabRule, merged, slab_pages, sum_of
from ..core.table import Table
from ..errors import UsageError
from ..model import Filter
from ..options.shared import FOUND, NOTHING
from ..output import TAG_COLUMNS, Column, ColumnKind, Writer, writer
from ..output.json import head_of
from ..output.stream import Output, warn
from ..output.sums import GroupLayout
from ..output.terminal import Screen, wrapped
from ..output.totals import counted_values, quantity, total_words
from ..sources.source import Live, Saved, sample_path
from .arguments import (
    Query,
    View,
    format_of,
    read_query,
    shape_of,
    sort_of,
    text,
    wanted_of,
)
from .explain import explain
from .nearest import Words, as_meant, tell_missing_files, tell_no_match, tell_words
from .paging import pager_for
from .parquet import check_parquet, parquet_of
from .saving import STANDARD_OUTPUT, Target, read_target


def query_command(values: Mapping[str, object]) -> int:
    """Run the command; returns 0 if a tag matched, 1 if none did."""
    values = _named_format(values)
    query = read_query(values)
    if query.view.format == "parquet":
        check_parquet(query, values)
    if values.get("list_listings"):
        return list_listings(query, target=read_target(values, "tsv"))
    target = read_target(_what_is_text(query, values), "procfs")
    return run_query(query, target=target)


def _named_format(values: Mapping[str, object]) -> Mapping[str, object]:
    """The values, with the format that the name of the file asks for where none is chosen."""
    path = text(values, "output")
    named = path is not None and path.lower().removesuffix(".gz").removesuffix(".zst").endswith(
        ".parquet"
    )
    plain = any(values.get(name) for name in ("format", "count", "explain", "list_listings"))
    return {**values, "format": "parquet"} if named and not plain else values


def _what_is_text(query: Query, values: Mapping[str, object]) -> Mapping[str, object]:
    """The values, with the format that a number and a plan have."""
    plain = query.view.count or query.origin.explain
    return {**values, "format": "text"} if plain else values


LISTING_COLUMNS = (
    Column("number", ColumnKind.NUMBER),
    Column("line", ColumnKind.NUMBER, spare=3),
    Column("kind", ColumnKind.TEXT),
    Column("time", ColumnKind.TEXT, spare=2),
    Column("tags", ColumnKind.NUMBER),
    Column("bytes", ColumnKind.SIZE),
    Column("rounded", ColumnKind.TEXT, spare=4),
    Column("profiling", ColumnKind.TEXT, spare=5),
    Column("file", ColumnKind.TEXT, spare=1),
)


def list_listings(query: Query, fd: int = 1, target: Target = STANDARD_OUTPUT) -> int:
    """Write what listings a source holds, one a row; returns the exit status."""
    view, terminal = query.view, target.screen(fd).terminal
    format = view.format or ("table" if terminal else "tsv")
    out = target.open(fd, escape=terminal and format != "table")
    if format in ("procfs", "openmetrics"):
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


def run_query(query: Query, fd: int = 1, target: Target = STANDARD_OUTPUT) -> int:
    """Write the answer; returns the exit status. fd: standard output. AllocqError,
    BrokenPipeError."""
    screen = target.screen(fd)
    bare = is_bare(query, screen)
    view = query.view
    short = bare or view.count or view.quiet or query.origin.explain
    binary = view.format == "parquet"
    if binary and screen.terminal and not short:
        raise UsageError("parquet is not for a terminal", "add --output FILE")
    pager = None if short or binary else pager_for(view.pager, screen, fd)
    escape = screen.terminal and format_of(view, screen.people) != "table"
    out = target.open(fd, escape, pager)
    with query.origin.open() as source:
        asked = _tag_filter(query)
        if (meant := as_meant(source, asked)) is not asked:
            query = replace(query, meant=replace(query.filter, files=meant.files))
        if query.origin.explain:
            return explain(query, source, out)
        words = Words(query.filter.words if screen.terminal else ())
        try:
            matching = _answer(query, source, out, screen, bare, words)
        finally:
            if pager:
                pager.finish()
        for warning in source.info.warnings:
            warn(warning)
        if screen.terminal and not query.view.quiet:
            tell_words(words, query.origin, source)
            if not matching:
                tell_no_match(query.filter, source)
        elif not query.view.quiet:
            tell_missing_files(query.filter, source, bool(matching))
    return FOUND if matching else NOTHING


def is_bare(query: Query, screen: Screen) -> bool:
    """Is nothing in particular asked for, so that what fits the screen is enough?"""
    view = query.view
    asked = query.filter.items() or query.origin.explain or not view.is_default
    return screen.people and view.pager != "always" and not asked


def _answer(
    query: Query, source: Live | Saved, out: Output, screen: Screen, bare: bool, words: Words
) -> int:
    """Write the answer; returns how many tags or groups matched, or at least 1 if quiet."""
    view = query.view
    if view.group_by:
        return _groups(query, source, out, screen, words)
    if view.quiet:
        return _any_match(query, source)
    if view.count:
        return _count(sum(map(len, _batches(query, source, words))), out)
    if view.format == "parquet":
        return _parquet(query, source, out, words)
    return _tags(query, source, out, screen, bare, words)


def _tag_filter(query: Query) -> Filter:
    """What tags must match: with --group-by, bounds are for the sums."""
    sums = query.view.group_by and query.view.bounds == "sums"
    return query.applied.without_bounds() if sums else query.applied


def _batches(query: Query, source: Live | Saved, words: Words) -> Iterator[Table]:
    """The matching tags that the slab rule keeps."""
    for batch in source.batches(_tag_filter(query)):
        _keep(batch, query.view.slab)
        words.add(batch)
        yield batch


def _keep(table: Table, rule: SlabRule) -> None:
    if rule.keeps_pages is not None:
        pages = slab_pages(table)
        table.keep(bytes(bool(page) == rule.keeps_pages for page in pages))


def _any_match(query: Query, source: Live | Saved) -> int:
    if isinstance(source, Live) and query.view.slab.keeps_pages is None:
        return len(source.read(query.applied, wanted_of(query.view, "none")))
    return any(map(len, _batches(query, source, Words(()))))


def _count(matching: int, out: Output) -> int:
    out.write(f"{matching}\n".encode())
    out.release()
    return matching


def _writer(
    view: View, columns: Sequence[Column], screen: Screen, version: str, slab_mark: bool = False
) -> Writer:
    format = format_of(view, screen.people)
    shape = shape_of(view, format, screen)
    shape.version = version or shape.version
    shape.slab_mark = slab_mark
    return writer(format, shape, columns)


def _tags(
    query: Query, source: Live | Saved, out: Output, screen: Screen, bare: bool, words: Words
) -> int:
    view = query.view
    format = format_of(view, screen.people)
    sort = sort_of(view, format)
    # What is said of a saved text in JSON's head is known at its end; a total is of all tags.
    some = format not in ("table", "json")
    snapshot = source.read(query.applied, wanted_of(view, sort) if some else None)
    table = snapshot.table
    _keep(table, view.slab)
    words.add(table)
    order = _order(table, view, sort)
    head = head_of(query.filter, snapshot.info)
    if view.limit is not None:
        head["limit"] = view.limit
    if some:
        write = _writer(view, TAG_COLUMNS, screen, snapshot.info.version)
        pieces = [write.begin(head, "tags"), *write.tags(table, order), write.end(None, "")]
    else:
        pages = slab_pages(table)
        sums = (table.column("bytes"), table.column("calls"), pages)
        matching = sum_of(*sums)

        def render(order: Sequence[int] | None) -> list[bytes]:
            mark = matching.leaves_out_pages(view.slab)
            write = _writer(view, TAG_COLUMNS, screen, snapshot.info.version, mark)
            rows = range(len(table)) if order is None else order
            shown = sum_of(*([column[i] for i in rows] for column in sums))
            said = total_words(shown, matching, view.slab, view.bytes)
            counted = counted_values(shown, matching, view.slab)
            total = _total(sums, rows)
            return [
                write.begin(head, "tags"),
                *write.tags(table, order),
                write.end(total, said, counted),
            ]

        pieces = _fitting(render, table, order, screen) if bare else render(order)
    for piece in pieces:
        out.write(piece)
    out.release()
    return len(table)


def _parquet(query: Query, source: Live | Saved, out: Output, words: Words) -> int:
    """One file by allocq-parquet(5), in its order unless another is asked for."""
    view = query.view
    sort = view.sort or "none"
    snapshot = source.read(query.applied, wanted_of(view, sort))
    table = snapshot.table
    _keep(table, view.slab)
    words.add(table)
    order = _order(table, view, sort)
    out.write(parquet_of(snapshot, order, view.sort is None and not view.reverse))
    out.release()
    if snapshot.info.time is None and snapshot.info.path != sample_path():
        warn(f"{snapshot.info.path} does not say when it was saved: its time is 1970-01-01")
    return len(table)


def _total(columns: Sequence[Sequence[int]], rows: Sequence[int]) -> dict[str, int]:
    """The plain sums of the rows."""
    sizes, calls = columns[0], columns[1]
    return {
        "tags": len(rows),
        "bytes": sum(sizes[i] for i in rows),
        "calls": sum(calls[i] for i in rows),
    }


def _fitting(
    render: Callable[[Sequence[int]], list[bytes]],
    table: Table,
    order: Sequence[int] | None,
    screen: Screen,
) -> list[bytes]:
    """The first rows of a table that fit the screen, without empty tags, and a line that says what
    is left out."""
    sizes, calls = table.column("bytes"), table.column("calls")
    rows = range(len(table)) if order is None else order
    holding = [i for i in rows if sizes[i] or calls[i]]
    shown = min(len(holding), screen.height)
    while True:
        pieces = render(holding[:shown])
        note = "".join(f"{line}\n" for line in _rest(table, holding, shown, screen)).encode()
        lines = sum(piece.count(b"\n") for piece in pieces) + note.count(b"\n")
        if lines <= screen.height or shown <= 1:
            return [*pieces, note]
        shown = max(1, shown - (lines - screen.height))


def _rest(table: Table, holding: Sequence[int], shown: int, screen: Screen) -> list[str]:
    hidden, empty = len(table) - shown, len(table) - len(holding)
    if not hidden:
        return []
    words = f"{quantity(hidden, 'tag')} not shown"
    if empty:
        words += f", {empty:,} of them empty" if empty < hidden else ", empty"
    return wrapped(f"{words}: -o table shows all", screen.width or 80)


def _order(table: Table, view: View, sort: str) -> Sequence[int] | None:
    """The rows to show; None for all in kernel order."""
    if sort == "none" and not view.reverse and view.limit is None:
        return None
    return table.order(sort, view.reverse)[: view.limit]


def _groups(query: Query, source: Live | Saved, out: Output, screen: Screen, words: Words) -> int:
    view, by = query.view, query.view.group_by or "file"
    groups: dict[Key, Group] = {}
    for batch in _batches(query, source, words):
        add_groups(groups, batch, by)
    passing = list(groups.values())
    if view.bounds == "sums":
        passing = [each for each in passing if query.applied.passes(each.bytes, each.calls)]
    if view.quiet:
        return len(passing)
    if view.count:
        return _count(len(passing), out)
    format = format_of(view, screen.people)
    shown = order_groups(passing, sort_of(view, format), view.reverse, view.limit)
    showing, matching = merged(shown), merged(passing)
    mark = matching.leaves_out_pages(view.slab)
    layout = GroupLayout(by, format == "table", view.sort == "average", mark)
    write = _writer(view, layout.columns, screen, source.info.version)
    out.write(write.begin(head_of(query.filter, source.info), "groups"))
    for piece in write.rows(map(layout.row, shown)):
        out.write(piece)
    groups_shown = (len(shown), len(passing), by)
    said = total_words(showing, matching, view.slab, view.bytes, groups_shown)
    counted = counted_values(showing, matching, view.slab)
    total = {"tags": showing.tags, "bytes": showing.bytes, "calls": showing.calls}
    out.write(write.end(total, said, {**counted, "groups": len(passing)}))
    out.release()
    return len(passing)
