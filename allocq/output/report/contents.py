"""What a report holds, whatever it is drawn as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from ...analysis.diff import Key
from ...analysis.memory import Account
from ...analysis.report import Place, sum_before, sum_now
from ...analysis.slab import SlabRule, Sum
from ...analysis.stacks import Taken
from ...analysis.trend import Points
from ...units import format_size
from ..memory import NOTES
from ..totals import quantity
from ..trend import Row
from .markup import signed

LIMIT, LARGEST_LIMIT = 20, 200
BOOTS = 8
"""How many boots are shown, of which the last count."""
PLOTTED = 8
CANDIDATES = 32
"""How many places a plot shows at first, and how many there are to choose from."""
PLOTTED_MEMINFO = ("MemAvailable", "MemFree", "AnonPages", "Cached", "Slab", "SUnreclaim", "Shmem")
"""The counters of /proc/meminfo that are plotted."""


@dataclass(frozen=True, slots=True)
class BootTrends:
    """One boot of a series. rows: what changed, the most suspicious first; begun, ended: the times
    of its first and last sample, in seconds since 1970; times: of its samples, in seconds since its
    boot; meminfo: bytes at the samples by name, where all of them have it; total: bytes of all
    tags at the samples, slab memory once."""

    id: str | None
    begun: float
    ended: float
    times: Sequence[float]
    rows: Sequence[Row]
    total: Sequence[int] = ()
    meminfo: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From the first to the last sample, whatever was done to the clock."""
        return self.times[-1] - self.times[0]

    @property
    def suspects(self) -> list[Row]:
        """What is suspected of a leak."""
        return [row for row in self.rows if row.is_suspect]

    def histories(self) -> dict[Key, Points]:
        """The counters of each place at the samples."""
        return {row.key: row.points for row in self.rows}


@dataclass(frozen=True, slots=True)
class Watched:
    """Call stacks that were taken of some tags. name: of what was watched."""

    name: str
    taken: Taken


@dataclass(frozen=True)
class Report:
    """A report. title: whose memory it is; facts: what is known of the source, by name; warnings:
    what makes it doubtful; places: all that matched; compares: is there a listing before, to grow
    from? seconds: since that, None if unknown; what: `samples`, `two listings` or `a listing`;
    account, meminfo: /proc/meminfo beside the tags, bytes by name, empty if not known; boots: of a
    series, in order, the one that everything else is of last; limit: rows of the largest and of the
    most grown, and stacks; stacks: who called; made: when, in seconds since 1970."""

    title: str
    facts: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    places: Sequence[Place]
    compares: bool
    account: Account | None
    made: float
    version: str
    seconds: float | None = None
    meminfo: Mapping[str, int] = field(default_factory=dict)
    meminfo_before: Mapping[str, int] = field(default_factory=dict)
    boots: Sequence[BootTrends] = ()
    limit: int = LIMIT
    stacks: Sequence[Watched] = ()

    @cached_property
    def now(self) -> Sum:
        """The sum of all places."""
        return sum_now(self.places)

    @cached_property
    def before(self) -> Sum:
        """What they held before."""
        return sum_before(self.places)

    def grown(self) -> int:
        """The growth of all, slab memory once."""
        return self.now.counted(SlabRule.ONCE)[0] - self.before.counted(SlabRule.ONCE)[0]


def where(place: Place | Key) -> str:
    """`mm/slub.c:3347`, with the module behind it."""
    file, line, module, _ = place.key if isinstance(place, Place) else place
    return f"{file}:{line}" + ("" if module is None else f" [{module}]")


def moment(seconds: float) -> str:
    """A time in words: `2026-11-23 07:00:00 +0000`."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%F %T %z}"


def span(seconds: float) -> str:
    """How long something took: `3d 4h`, `5h 10m`, `12m`, `40s`."""
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes = round(seconds / 60)
    days, rest = divmod(minutes, 1440)
    if days:
        return f"{days}d {rest // 60}h"
    return f"{rest // 60}h {rest % 60}m" if rest >= 60 else f"{rest}m"


def marks(place: Place) -> str:
    """What is to be known of a counter: inaccurate, underflowed, slab pages."""
    return (
        ("" if place.accurate else "~")
        + ("!" if place.underflowed else "")
        + ("*" if place.is_slab else "")
    )


def kernel_words(place: Place) -> str:
    """What is said of the largest growth of the kernel itself, before its name."""
    return f"Most of the kernel itself ({signed(place.growth or 0)}):"


def percent_words(place: Place) -> str:
    """Its growth in percent, or what it is where that says more: `new`, `gone`, `unlisted`."""
    if place.change is None:
        return ""
    percent = place.change.percent if place.after else None
    return str(place.change.kind) if percent is None else f"{percent:+,.1f}%"


MemoryRow = tuple[str, str, int | None, int | None, str]


def memory_rows(account: Account) -> list[MemoryRow]:
    """(side, kind, bytes of /proc/meminfo, bytes at tags, note) of the memory of a machine."""
    rows: list[MemoryRow] = [
        (row.kind.side, row.kind, row.meminfo, row.tags, NOTES.get(row.kind, ""))
        for row in account.rows
        if row.meminfo or row.tags
    ]
    if account.used is not None:
        alone = "tagged, but not in meminfo"
        rows.append(("kernel", "tags only", account.tags_only, None, alone))
        rows.append(("", "neither", account.neither, None, "in no counter and at no tag"))
        if account.on_cpus is not None:
            rows.append(("", "free on CPUs", account.on_cpus, None, "on their own lists"))
        rows.append(("", "free", account.free, None, ""))
    return [*rows, ("", "total", account.total, account.tags, "slab once")]


LEGEND = {
    "~": "inaccurate: the kernel missed some allocations here",
    "!": "underflowed, not in sums: the counter is below zero",
    "*": "slab pages, not in the total: their objects are counted at their own tags",
}


SEVERAL_TAGS = "one of several tags of a function"
LEAST_NOTES, MOST_NOTES = 3, 12
"""How many notes of stacks are shown, if there are as many."""


def watched_words(taken: Taken, shown: Callable[[str], str]) -> str:
    """When stacks were taken, and how much they saw. shown: what makes a name harmless."""
    words = f"Watched for {span(taken.seconds)}"
    words += f" at {moment(taken.time)}" if taken.time is not None else ""
    words += f" on Linux {shown(taken.kernel)}" if taken.kernel else ""
    size, calls = taken.amount(taken.live)
    words += f": {format_size(size)} ({size:,} bytes) in {quantity(calls, 'allocation')}"
    words += f" from {quantity(taken.many, 'stack')}"
    return words + (", not freed meanwhile." if taken.live else ".")


def watched_notes(taken: Taken, limit: int) -> list[str]:
    """What is to be known of stacks: what was dropped, what could not be seen, what it cost."""
    notes = []
    if taken.dropped:
        words = ", ".join(f"{count:,} {name}" for name, count in taken.dropped.items())
        notes.append(f"events dropped, so the sums are too small: {words}")
    # The same, with what to do about it, is among the notes of who took them.
    notes += [note for note in taken.notes if not (taken.dropped and note.startswith("dropped,"))]
    cost = f"{quantity(taken.events, 'event')}"
    if taken.overhead is not None:
        cost += f", {taken.overhead:.2%} of the time of all CPUs"
    notes.append(cost)
    most = max(LEAST_NOTES, min(limit, MOST_NOTES))
    more = len(notes) - most
    return notes[:most] + ([f"{quantity(more, 'note')} more"] if more > 0 else [])


def shown_words(taken: Taken, limit: int) -> str:
    """What is said where not all stacks are shown; empty where they are."""
    shown = taken.stacks[:limit]
    if len(shown) == taken.many:
        return ""
    held = sum(stack.amount(taken.live)[0] for stack in shown)
    size = taken.amount(taken.live)[0]
    largest = f"the {quantity(len(shown), 'largest stack')}" if shown else "no stack"
    return f"Shown: {largest}, with {format_size(held)} of {format_size(size)}."
