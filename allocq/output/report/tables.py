"""The tables of a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

from ...analysis.diff import Key
from ...analysis.memory import Account
from ...analysis.report import Place
from ...analysis.trend import Points
from ...units import format_size
from ..trend import Row, hours_words, why
from .contents import BootTrends, marks, memory_rows, percent_words, where
from .markup import Content, el, name, number_cell, signed, size_cell, text_of
from .plot import spark

_RATES = 3600.0


def table(
    caption: str, heads: Sequence[tuple[str, str]], rows: Iterable[Element], **attributes: str
) -> Element:
    """A table that scrolls sideways in a narrow window. heads: name and class of each column."""
    cells = [el("th", words, class_=kind or None, scope="col") for words, kind in heads]
    whole = el(
        "table",
        el("caption", caption),
        el("thead", el("tr", *cells)),
        el("tbody", *rows),
        **attributes,
    )
    return el("div", whole, class_="scroll", tabindex=0, role="group", aria_label=caption)


def _place_cells(key: Key) -> tuple[Element, Element]:
    return el("td", name(where(key)), class_="m"), el("td", name(str(key[3])), class_="m")


def largest(places: Sequence[Place], total: int, histories: Mapping[Key, Points]) -> Element:
    """The places that hold most. total: what the shares are of, in bytes."""
    compares = any(place.change for place in places)
    heads = [("Size", "n"), ("Share", "n")]
    heads += [("Growth", "n"), ("Trend", "")] if compares else [("Average", "n")]
    heads += [("Calls", "n"), ("Use", ""), ("Where", ""), ("Function", "")]

    def row(place: Place) -> Element:
        share = place.bytes / total if total > 0 else 0.0
        average = place.bytes // place.calls if place.calls > 0 else 0
        more = [*_growth(place, histories)] if compares else [size_cell(average)]
        return el(
            "tr",
            _marked(size_cell(place.bytes), place),
            _share(0.0 if place.is_slab else share),
            *more,
            number_cell(place.calls),
            el("td", place.use),
            *_place_cells(place.key),
        )

    return table("The largest", heads, map(row, places))


def _marked(cell: Element, place: Place) -> Element:
    if shown := marks(place):
        cell.text = (cell.text or "") + shown
    return cell


def _share(share: float) -> Element:
    """A cell with a share as a bar and a number."""
    width = round(max(0.0, min(1.0, share)) * 60, 1)
    bar = el(
        "svg",
        el("rect", width=60, height=8, class_="trough"),
        el("rect", width=f"{width:g}", height=8, class_="bar"),
        width=60, height=8, aria_hidden="true",
    )  # fmt: skip
    return el("td", f"{share:.1%} ", bar, class_="n") if share else el("td")


def _growth(place: Place, histories: Mapping[Key, Points]) -> Iterator[Element]:
    yield size_cell(place.growth or 0, with_sign=True)
    yield el("td", _history(place, histories))


def _history(place: Place, histories: Mapping[Key, Points]) -> Element | None:
    points = histories.get(place.key)
    if points is not None:
        return spark(points.times, points.bytes)
    if not place.growth:
        return None
    # Between its ends, every line of two points is alike.
    return spark((0, 1), (place.bytes - place.growth, place.bytes), from_zero=True)


def changes(
    caption: str,
    places: Sequence[Place],
    histories: Mapping[Key, Points],
    seconds: float | None,
) -> Element:
    """The places that grew or shrank most. seconds: between before and after, if that is known."""
    heads = [("Growth", "n"), ("Percent", "n")]
    heads += [("Per hour", "n")] if seconds else []
    heads += [("Now", "n"), ("Calls", "n"), ("Trend", ""), ("Use", ""), ("Where", "")]
    heads += [("Function", "")]

    def row(place: Place) -> Element:
        growth = place.growth or 0
        rate = [size_cell(round(growth * _RATES / seconds), with_sign=True)] if seconds else []
        return el(
            "tr",
            _marked(size_cell(growth, with_sign=True), place),
            el("td", percent_words(place), class_="n"),
            *rate,
            size_cell(place.bytes),
            number_cell(place.calls_growth or 0, with_sign=True),
            el("td", _history(place, histories)),
            el("td", place.use),
            *_place_cells(place.key),
        )

    return table(caption, heads, map(row, places))


def suspects(caption: str, boot: BootTrends, limit: int) -> Element:
    """What is suspected of a leak, and why."""
    heads = [("Where and why", ""), ("Growth", "n"), ("Per hour", "n"), ("Now", "n")]
    heads += [("Suspicion", "n"), ("Full in", "n"), ("Trend", ""), ("Use", "")]

    def cells(row: Row) -> Element:
        trend = row.trend
        place, function = name(where(row.key)), name(str(row.key[3]))
        return el(
            "tr",
            el("td", el("b", place), " ", function, el("small", why(row)), class_="m"),
            size_cell(trend.growth, with_sign=True),
            size_cell(round(trend.per_hour), with_sign=True),
            size_cell(trend.last),
            el("td", f"{trend.suspicion:.0%}", class_="n"),
            el("td", hours_words(row.hours_left) or "-", class_="n"),
            el("td", spark(row.points.times, row.points.bytes)),
            el("td", row.kind),
        )

    return table(caption, heads, map(cells, boot.suspects[:limit]))


def memory(account: Account) -> Element:
    """/proc/meminfo and the tags side by side."""
    known = account.used is not None
    heads = (
        [("Side", ""), ("Memory", "")] + [("meminfo", "n")] * known + [("Tags", "n"), ("Note", "")]
    )

    def line(side: str, kind: str, meminfo: int | None, tags: int | None, note: str) -> Element:
        cells: list[Content] = [el("td", side), el("th", kind, scope="row")]
        cells += [_optional(meminfo)] * known
        return el("tr", *cells, _optional(tags), el("td", note, class_="quiet"))

    rows = [line(*row) for row in memory_rows(account)]
    return table("The tags beside /proc/meminfo" if known else "Memory at tags", heads, rows)


def _optional(size: int | None) -> Element:
    return el("td") if size is None else size_cell(size)


def meminfo(before: Mapping[str, int], now: Mapping[str, int]) -> Element:
    """All of /proc/meminfo, with what it was before."""
    heads = [("Name", ""), ("Size", "n")] + [("Growth", "n")] * bool(before)
    rows = []
    for key, size in now.items():
        change = size_cell(size - before[key], with_sign=True) if key in before else el("td")
        cells = [change] if before else []
        rows.append(el("tr", el("th", name(key), scope="row"), size_cell(size), *cells))
    return table("/proc/meminfo", heads, rows)


def all_heads(compares: bool) -> list[tuple[str, str]]:
    """The columns of the table of all tags."""
    heads = [("Size", "n")] + [("Growth", "n")] * compares
    return [*heads, ("Calls", "n"), ("Where", ""), ("Function", "")]


def all_rows(places: Iterable[Place], compares: bool, room: int) -> tuple[list[str], int]:
    """The rows of the table of all tags, as far as they fit into `room` characters, and how many
    they are."""
    rows: list[str] = []
    for place in places:
        cells = [_marked(size_cell(place.bytes), place)]
        cells += [size_cell(place.growth or 0, with_sign=True)] * compares
        cells.append(number_cell(place.calls))
        cells += [el("td", name(where(place))), el("td", name(place.function))]
        row = text_of(el("tr", *cells))
        room -= len(row.encode()) + 1
        if room < 0:
            break
        rows.append(row)
    return rows, len(rows)


def rest_words(rest: Sequence[Place], compares: bool) -> str:
    """What is said of the tags that the table has no room for."""
    held = sum(place.bytes for place in rest if not place.underflowed)
    words = f"{len(rest):,} smaller tags are left out; they hold {format_size(held)} in all"
    if compares:
        words += f", {signed(sum(place.growth or 0 for place in rest))} of growth"
    return words + "."
