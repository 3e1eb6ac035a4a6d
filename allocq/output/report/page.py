"""Lays out a report as one HTML page that asks nothing of the network and runs no script but its
own.

Drawn here rather than by a library, measured with the sample: plotly makes a page of 4.9 MB, where
2 MB are allowed; bokeh brings 1.3 MB of script and has no treemap; the scripts of echarts (1.1 MB)
and d3 (0.3 MB) are in no Python package; and without scripts all of them show nothing. This makes
0.9 MB in 0.26 s of CPU.

The elements of the standard library escape what they are given and need nothing installed. For
3,746 rows they take 59 ms, jinja2 takes 12 ms and 32 ms to import.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

from ...analysis.diff import Key
from ...analysis.memory import Account
from ...analysis.report import kernel_growth, largest, most_grown, most_shrunk
from ...analysis.slab import SlabRule
from ...analysis.treemap import LEAST, areas_of, views_of
from ...analysis.trend import Points
from ...units import format_size
from ..memory import MemoryLayout, sentences
from ..totals import left_out, quantity
from . import callers, tables, treemap
from .contents import (
    CANDIDATES,
    LEGEND,
    PLOTTED,
    PLOTTED_MEMINFO,
    BootTrends,
    Report,
    kernel_words,
    marks,
    moment,
    span,
    where,
)
from .markup import Content, el, exact, link, name, signed, text_of
from .plot import Line, plot

LARGEST_PAGE = 2_000_000
"""Bytes that a page has at most."""
_MOST_SECTIONS = 800_000
_FOLDER = Path(__file__).parent


def page(report: Report) -> Iterator[bytes]:
    """The page in pieces, at most LARGEST_PAGE bytes in all."""
    style = (_FOLDER / "report.css").read_text("utf-8")
    script = (_FOLDER / "report.js").read_text("utf-8")
    head = text_of(_head(report, style, script))
    sections = _fitting(report)
    before = f'<!doctype html>\n<html lang="en">{head}<body>\n' + text_of(_top(report))
    end = f"</main>\n{text_of(_foot(report))}\n<script>{script}</script></body></html>\n"
    drawn = _treemap(report)
    body = f'{before}\n<main id="content">\n{sections[0]}\n{drawn}\n' + "\n".join(sections[1:])
    taken = len((body + end).encode())
    body += _all_tags(report, LARGEST_PAGE - taken - 4096)
    yield body.encode()
    yield end.encode()


def _fitting(report: Report) -> list[str]:
    """The sections, with fewer rows where names are so long that they would take it all."""
    while True:
        sections = [text_of(section) for section in _sections(report)]
        if sum(len(section.encode()) for section in sections) <= _MOST_SECTIONS:
            return sections
        report = replace(report, limit=report.limit // 2, boots=report.boots[-1:])


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _head(report: Report, style: str, script: str) -> Element:
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)};"
        " base-uri 'none'; form-action 'none'"
    )
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content=f"allocq {report.version}"),
        el("title", name(report.title)),
        el("style", style),
    )


def _top(report: Report) -> Element:
    facts = dict(report.facts)
    line = [name(facts[key]) for key in ("Host", "Kernel", "Time") if key in facts]
    switch = el("button", "Theme: auto", type="button", id="theme", hidden="hidden")
    places = [("treemap", "Treemap")]
    places += [("trend", "Trend")] if report.boots else []
    places += [("grown", "Most grown")] if report.compares else []
    places.append(("largest", "Largest"))
    if report.account:
        places.append(("memory", "Memory"))
    places += [("callers", "Who calls this")] if report.stacks else []
    places.append(("tags", "All tags"))
    return el(
        "header",
        link("content", "Skip to content", class_="skip"),
        el("div", el("h1", name(report.title)), el("p", " · ".join(line), class_="quiet")),
        switch,
        el(
            "nav",
            el("ul", *(el("li", link(target, words)) for target, words in places)),
            aria_label="Sections",
        ),
    )


def _foot(report: Report) -> Element:
    words = f"Made by allocq {report.version} at {moment(report.made)}."
    return el("footer", el("p", words))


def _section(ident: str, title: str, *content: Content) -> Element:
    return el("section", el("h2", title), *content, id=ident, aria_label=title)


def _sections(report: Report) -> Iterator[Element]:
    """All but the treemap and the table of all tags, which are bounded by what is left."""
    yield _summary(report)
    if report.boots:
        yield _trends(report)
    histories = report.boots[-1].histories() if report.boots else {}
    if report.compares:
        yield _changes(report, histories)
    total = report.now.counted(SlabRule.ONCE)[0]
    top = [place for place in largest(report.places)[: report.limit] if place.bytes > 0]
    yield _section(
        "largest",
        "Largest",
        tables.largest(top, total, histories) if top else el("p", "Nothing is held."),
    )
    if report.account:
        yield _memory(report, report.account)
    if report.stacks:
        yield _section("callers", "Who calls this", *callers.parts(report.stacks, report.limit))


def _changes(report: Report, histories: Mapping[Key, Points]) -> Element:
    """What grew and shrank most."""
    parts: list[Content] = []
    grown = most_grown(report.places)
    if (own := kernel_growth(grown)) is not None:
        named = el("code", name(f"{where(own)} {own.function}"))
        parts.append(el("p", f"{kernel_words(own)} ", named, class_="quiet"))
    for title, places in (("grown", grown), ("shrunk", most_shrunk(report.places))):
        if some := places[: report.limit]:
            parts.append(tables.changes(f"The most {title}", some, histories, report.seconds))
    return _section("grown", "Most grown", el("p", "Nothing grew.") if not grown else None, *parts)


def _summary(report: Report) -> Element:
    now, facts = report.now, []
    size, calls = now.counted(SlabRule.ONCE)
    cards = [_card("Allocated", format_size(size), exact(size))]
    if report.compares:
        grown = report.grown()
        title = f"Growth in {span(report.seconds)}" if report.seconds else "Growth"
        cards.append(_card(title, signed(grown), exact(grown)))
    if report.boots:
        number = len(report.boots[-1].suspects)
        cards.append(_card("Suspected leaks", str(number) if number else "none", ""))
    cards.append(_card("Live allocations", f"{calls:,}", ""))
    held = sum(place.bytes > 0 for place in report.places)
    cards.append(_card("Tags", f"{now.tags:,}", f"{held:,} of them hold memory"))
    for title, text in report.facts:
        facts += [el("dt", title), el("dd", name(text, 400))]
    notes = [el("li", name(warning, 400)) for warning in report.warnings]
    return el(
        "section",
        el("h2", "Summary"),
        el("ul", *cards, class_="cards"),
        el("div", el("h3", "Warnings"), el("ul", *notes), class_="notes") if notes else None,
        el("details", el("summary", "About this report"), el("dl", *facts), open="open"),
        id="summary",
        aria_label="Summary",
    )


def _card(title: str, value: str, more: str) -> Element:
    return el("li", el("span", title), el("b", value, title=more or None))


def _treemap(report: Report) -> str:
    root = areas_of(report.places)
    if not root.bytes:
        return text_of(_section("treemap", "Treemap", el("p", "Nothing is held.")))
    most, least, drawn = treemap.MOST_TILES, LEAST, ""
    while not drawn:
        views = views_of(root, treemap.ROOM, most, least)
        drawn = treemap.drawings(views, report.compares)
        most, least = most // 2, 2 * least
    words = "Each area is the memory that a part of the source holds. "
    words += (
        "Its color is how much of that grew: orange grew, blue shrank; the signs say the same."
        if report.compares
        else "Its color is what most of it is used for."
    )
    words += " Choose a part to zoom in; Escape zooms out."
    left = left_out(report.now, SlabRule.ONCE, format_size)
    if left:
        words += f" Drawn{left.replace(',', '', 1)}."
    legend = treemap.legend(views, report.compares)
    section = text_of(_section("treemap", "Treemap", el("p", words, class_="quiet"), legend))
    return section.removesuffix("</section>") + f'<div class="map">{drawn}</div></section>'


def _trends(report: Report) -> Element:
    parts: list[Content] = []
    several = len(report.boots) > 1
    for number, boot in enumerate(reversed(report.boots)):
        parts += _boot(boot, number, several, report.limit)
    words = (
        "A suspect rises more steadily than by chance, goes on to the end, keeps what it took and"
        " falls back little. User memory, the page cache and slab pages are never suspects."
    )
    return _section("trend", "Trend", el("p", words, class_="quiet"), *parts)


def _boot(boot: BootTrends, number: int, several: bool, limit: int) -> Iterator[Content]:
    times = f"{moment(boot.begun)} to {moment(boot.ended)}"
    what = f"Boot {name(boot.id or 'unknown', 36)}, " if several else ""
    yield el("h3", f"{what}{quantity(len(boot.times), 'sample')}, {times}")
    if len(boot.times) < 2:
        yield el("p", "A trend needs two samples.")
        return
    if boot.suspects:
        more = len(boot.suspects) - limit
        of = f" of the boot that ended at {moment(boot.ended)}" if several else ""
        yield tables.suspects(f"Suspected leaks{of}", boot, limit)
        if more > 0:
            yield el("p", f"{quantity(more, 'suspect')} more: allocq trend --suspects.")
    else:
        yield el("p", "Nothing is suspected of a leak.")
    lines = _lines(boot, CANDIDATES if not number else PLOTTED)
    if lines:
        yield el("h4", "Growth since the first sample")
        yield plot(
            lines, boot.ended - boot.seconds, boot.ended, f"places{number}",
            f"Growth of {quantity(sum(line.shown for line in lines), 'place')} from {times}",
        )  # fmt: skip
    if meminfo := _meminfo_lines(boot):
        yield el("h4", "/proc/meminfo since the first sample")
        yield plot(
            meminfo, boot.ended - boot.seconds, boot.ended, f"meminfo{number}",
            f"Changes in /proc/meminfo from {times}",
        )  # fmt: skip


def _lines(boot: BootTrends, most: int) -> list[Line]:
    """The places to choose from: suspects, then what grew most, then what changed most."""
    by_growth = sorted(boot.rows, key=lambda row: -row.trend.growth)
    by_range = sorted(boot.rows, key=lambda row: row.trend.lowest - row.trend.highest)
    first = boot.suspects[:PLOTTED] or by_growth[:PLOTTED]
    keys = dict.fromkeys(id(row) for row in (*first, *boot.suspects, *by_growth, *by_range))
    rows = {id(row): row for row in boot.rows}
    chosen = [rows[key] for key in keys][:most]
    lines = [
        Line(where(row.key), str(row.key[3]), boot.times, row.points.bytes, row in first)
        for row in chosen
    ]
    if boot.total:
        lines.append(Line("all tags", "slab memory once", boot.times, boot.total, False))
    return lines


def _meminfo_lines(boot: BootTrends) -> list[Line]:
    shown = ("MemAvailable", "AnonPages", "Cached", "Slab")
    return [
        Line(key, "", boot.times, boot.meminfo[key], key in shown)
        for key in PLOTTED_MEMINFO
        if key in boot.meminfo
    ]


def _memory(report: Report, account: Account) -> Element:
    words = " ".join(sentences(account, MemoryLayout()))
    more: Content = None
    if report.meminfo:
        rows = tables.meminfo(report.meminfo_before, report.meminfo)
        more = el("details", el("summary", "All of /proc/meminfo"), rows)
    return _section("memory", "Memory", el("p", words), tables.memory(account), more)


def _all_tags(report: Report, room: int) -> str:
    """The section with the table of all tags, in at most `room` bytes and a little."""
    places = largest(report.places)
    rows, number = tables.all_rows(places, report.compares, room)
    rest = places[number:]
    legend = [
        el("li", el("b", mark), f" {words}")
        for mark, words in LEGEND.items()
        if any(mark in marks(place) for place in places)
    ]
    search = el(
        "p",
        el("label", "Search ", el("input", type="search", id="search", autocomplete="off")),
        " ",
        el("output", id="found", for_="search"),
        class_="search",
        hidden="hidden",
    )
    words = f"{quantity(number, 'tag')}, the largest first."
    if rest:
        words += " " + tables.rest_words(rest, report.compares)
    head = tables.table(
        "All tags" if not rest else f"The {number:,} largest tags",
        tables.all_heads(report.compares),
        (),
        id="all",
    )
    section = _section(
        "tags",
        "All tags",
        el("p", words),
        el("p", "The printed page has the first 200.", class_="print") if number > 200 else None,
        el("ul", *legend, class_="legend"),
        search,
        head,
    )
    start, body, end = text_of(section).partition("<tbody></tbody>")
    assert body
    return f"{start}<tbody>\n" + "\n".join(rows) + f"</tbody>{end}\n"
