"""The section of a report that says who called: trees of call stacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from ...analysis.stacks import Taken, by_tag, call_tree, rows_of
from . import tables
from .contents import SEVERAL_TAGS, Watched, shown_words, watched_notes, watched_words
from .markup import Content, el, name, number_cell, size_cell

_DEEPEST = 60
"""The most steps that rows are indented by."""


def parts(stacks: Sequence[Watched], limit: int) -> Iterator[Content]:
    """What the section holds. limit: stacks of each tree, and rows of each other table."""
    words = "Call stacks that allocated while they were watched, from the innermost function:"
    words += " below a function are its callers, and an only caller has no numbers of its own."
    yield el("p", words, class_="quiet")
    for watched in stacks:
        yield from _watched(watched, limit)


def _watched(watched: Watched, limit: int) -> Iterator[Content]:
    taken, title = watched.taken, name(watched.name)
    yield el("h3", title)
    yield el("p", watched_words(taken, name))
    yield el(
        "ul", *(el("li", name(note, 300)) for note in watched_notes(taken, limit)), class_="quiet"
    )
    tags = by_tag(taken.stacks, taken.live)
    if len(tags) > 1:
        yield _tags(f"By tag: {title}", tags[:limit])
    if words := shown_words(taken, limit):
        yield el("p", words)
    if limit and taken.stacks:
        yield _tree(f"By caller: {title}", taken, limit)


def _tags(caption: str, rows: Sequence[tuple[str | None, int, int, int]]) -> Element:
    heads = [("Size", "n"), ("Calls", "n"), ("Stacks", "n"), ("Tag", "")]
    return tables.table(
        caption,
        heads,
        (
            el(
                "tr",
                size_cell(size),
                number_cell(calls),
                number_cell(many),
                el("td", name(tag) if tag else SEVERAL_TAGS, class_="m" if tag else None),
            )
            for tag, size, calls, many in rows
        ),
    )


def _tree(caption: str, taken: Taken, limit: int) -> Element:
    whole = taken.amount(taken.live)[0]
    heads = [("Not freed" if taken.live else "Size", "n"), ("Calls", "n"), ("Share", "n")]
    rows = []
    for indent, node, own in rows_of(call_tree(taken.stacks[:limit], taken.live)):
        share = f"{node.bytes / whole:.1%}" if whole else ""
        cells: list[Content] = [el("td"), el("td"), el("td")]
        if own:
            cells = [size_cell(node.bytes), number_cell(node.calls), el("td", share, class_="n")]
        blanks = "\u00a0\u00a0" * min(indent, _DEEPEST)
        rows.append(el("tr", *cells, el("td", blanks + name(node.place), class_="m")))
    return tables.table(caption, [*heads, ("Function", "")], rows)
