"""Writes a report as Markdown that a bug tracker accepts.

Every name is a code span: in one, trackers see no mention, reference, link or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ...analysis.diff import Key
from ...analysis.memory import Account
from ...analysis.report import Place, kernel_growth, largest, most_grown, most_shrunk
from ...analysis.slab import SlabRule
from ...analysis.stacks import by_tag
from ...analysis.trend import Points, spark
from ...units import format_size
from ..memory import MemoryLayout, sentences
from ..stacks import StackLayout, table
from ..totals import left_out, quantity
from ..trend import BARS, SPARK, hours_words, why
from .contents import (
    LEGEND,
    SEVERAL_TAGS,
    BootTrends,
    Report,
    Watched,
    kernel_words,
    marks,
    memory_rows,
    moment,
    percent_words,
    shown_words,
    span,
    watched_notes,
    watched_words,
    where,
)
from .markup import name, signed

LONGEST_TEXT = 60_000
"""Bytes that a text has at most; GitHub takes 65,536 characters."""
_LONGEST_NAME = 100
_TREE = 140
_OWN_WORDS = ("Time", "Since", "Profiling", "Inaccurate", "Underflowed", "Sizes")
_FENCES = re.compile("`+")


def code(text: str, longest: int = _LONGEST_NAME) -> str:
    """A code span that is safe in a table too: a pipe would end the cell, so it is an escape."""
    shown = name(text, longest).replace("|", r"\x7c")
    fence = "`" * (max((len(each) for each in _FENCES.findall(shown)), default=0) + 1)
    if not shown.strip():
        return ""
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def markdown(report: Report) -> Iterator[bytes]:
    """The text, with as many rows as fit into LONGEST_TEXT bytes."""
    limit = report.limit
    while True:
        text = "\n".join(_lines(report, limit)) + "\n"
        if len(text.encode()) <= LONGEST_TEXT or not limit:
            yield text.encode()
            return
        limit = limit * 3 // 4


def _lines(report: Report, limit: int) -> Iterator[str]:
    yield f"# {_title(report)}"
    yield ""
    for title, text in report.facts:
        yield f"- {title}: {text if title in _OWN_WORDS else code(text, 300)}"
    yield from _totals(report)
    for warning in report.warnings:
        yield f"- Warning: {code(warning, 300)}"
    for boot in reversed(report.boots):
        yield from _boot(boot, len(report.boots) > 1, limit)
    histories = report.boots[-1].histories() if report.boots else {}

    if report.compares:
        yield from _changes("Most grown", most_grown(report.places)[:limit], histories)
        yield from _changes("Most shrunk", most_shrunk(report.places)[:limit], histories)
    yield from _largest(report, limit)
    if report.account:
        yield from _memory(report.account)
    if report.stacks:
        yield from ["", "## Who calls this"]
    for watched in report.stacks:
        yield from _callers(watched, limit)
    shown = "".join(marks(place) for place in report.places)
    legend = [f"`{mark}` {words}" for mark, words in LEGEND.items() if mark in shown]
    if legend:
        yield from ["", *("- " + each for each in legend)]
    yield from ["", f"Made by allocq {report.version} at {moment(report.made)}."]


def _title(report: Report) -> str:
    kept = "Kernel memory of "
    return f"{kept}{code(report.title.removeprefix(kept))}"


def _totals(report: Report) -> Iterator[str]:
    now = report.now
    size, calls = now.counted(SlabRule.ONCE)
    without = left_out(now, SlabRule.ONCE, format_size)
    words = f"**{format_size(size)}** ({size:,} bytes, {calls:,} allocations)"
    yield f"- Total: {words} at {quantity(now.tags, 'tag')}{without}"
    if report.compares:
        after = f" in {span(report.seconds)}" if report.seconds else ""
        yield f"- Growth: **{signed(report.grown())}** ({report.grown():+,} bytes){after}"


def _bars(values: Sequence[int]) -> str:
    return "".join(BARS[height] for height in spark(values, SPARK))


def _table(heads: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """heads: names of the columns, `>` behind those of numbers."""
    names = heads.split("|")
    yield ""
    yield f"| {' | '.join(each.rstrip('>') for each in names)} |"
    yield f"|{'|'.join('---:' if each.endswith('>') else '---' for each in names)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _boot(boot: BootTrends, several: bool, limit: int) -> Iterator[str]:
    yield ""
    yield "## Suspected leaks" + (f", boot {code(boot.id or 'unknown')}" if several else "")
    yield ""
    times = f"{moment(boot.begun)} to {moment(boot.ended)}"
    yield f"{quantity(len(boot.times), 'sample')}, {times}."
    if not boot.suspects:
        few = len(boot.times) < 2
        yield "A trend needs two samples." if few else "Nothing is suspected of a leak."
        return
    yield from _table(
        "Growth>|Per hour>|Now>|Suspicion>|Full in>|Trend|Use|Where|Function|Why",
        (
            (
                signed(row.trend.growth),
                signed(round(row.trend.per_hour)),
                format_size(row.trend.last),
                f"{row.trend.suspicion:.0%}",
                hours_words(row.hours_left),
                _bars(row.points.bytes),
                row.kind,
                code(where(row.key)),
                code(str(row.key[3])),
                why(row),
            )
            for row in boot.suspects[:limit]
        ),
    )
    if (more := len(boot.suspects) - limit) > 0:
        yield from ["", f"{quantity(more, 'suspect')} more."]


def _changes(title: str, places: Sequence[Place], histories: Mapping[Key, Points]) -> Iterator[str]:
    if not places:
        return
    yield from ["", f"## {title}"]
    if (own := kernel_growth(places)) is not None:
        yield from ["", f"{kernel_words(own)} {code(f'{where(own)} {own.function}')}"]
    trend = "Trend|" if histories else ""

    def bars(place: Place) -> tuple[str, ...]:
        points = histories.get(place.key)
        return (_bars(points.bytes) if points else "",) if histories else ()

    yield from _table(
        f"Growth>|Percent>|Now>|Calls>|{trend}Use|Where|Function",
        (
            (
                signed(place.growth or 0) + _marks(place),
                percent_words(place),
                format_size(place.bytes),
                f"{place.calls_growth or 0:+,}",
                *bars(place),
                place.use,
                code(where(place)),
                code(place.function),
            )
            for place in places
        ),
    )


def _largest(report: Report, limit: int) -> Iterator[str]:
    total = report.now.counted(SlabRule.ONCE)[0]
    yield from ["", "## Largest"]
    yield from _table(
        "Size>|Share>|Calls>|Use|Where|Function",
        (
            (
                format_size(place.bytes) + _marks(place),
                "" if place.is_slab or total <= 0 else f"{place.bytes / total:.1%}",
                f"{place.calls:,}",
                place.use,
                code(where(place)),
                code(place.function),
            )
            for place in largest(report.places)[:limit]
            if place.bytes > 0
        ),
    )


def _memory(account: Account) -> Iterator[str]:
    yield from ["", "## Memory", "", " ".join(sentences(account, MemoryLayout()))]
    rows = [
        (str(side), str(kind), _size(meminfo), _size(tags))
        for side, kind, meminfo, tags, _ in memory_rows(account)
    ]
    yield from _table("Side|Memory|meminfo>|Tags>", rows)


def _callers(watched: Watched, limit: int) -> Iterator[str]:
    taken = watched.taken
    yield from ["", f"### {code(watched.name, 300)}", "", watched_words(taken, code)]
    yield from ["", *(f"- {code(note, 300)}" for note in watched_notes(taken, limit))]
    tags = by_tag(taken.stacks, taken.live)
    if len(tags) > 1:
        yield from _table(
            "Size>|Calls>|Stacks>|Tag",
            (
                (format_size(size), f"{calls:,}", f"{many:,}", code(tag) if tag else SEVERAL_TAGS)
                for tag, size, calls, many in tags[:limit]
            ),
        )
    if words := shown_words(taken, limit):
        yield from ["", words]
    if limit and taken.stacks:
        lines = [*table(taken.stacks, taken.live, StackLayout(_TREE, limit=limit))]
        fence = "`" * (max(map(len, _FENCES.findall("\n".join(lines))), default=0) + 3)
        yield from ["", fence, *lines, fence]


def _marks(place: Place) -> str:
    return re.sub(r"([*~])", r"\\\1", marks(place))


def _size(size: int | None) -> str:
    return "" if size is None else format_size(size)
