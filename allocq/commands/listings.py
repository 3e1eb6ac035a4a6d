"""Reads two listings to compare and warns about differences in their metadata."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..analysis.diff import Count, is_cut, keys_of, names_only, passes
from ..analysis.excerpt import Excerpt, excerpt_of, excerpt_warnings
from ..core.table import Table
from ..errors import UsageError
from ..model import Filter, Info
from ..output.json import head_of
from ..sources.matcher import Matcher
from ..sources.series import Point, Series
from ..sources.source import Live, Saved, open_one, open_source
from ..storage.snapshot import live_metadata
from ..units import format_size

LONGEST_FILTER = 4096
LINES_HINT = " (try --ignore-lines)"
"""Behind a warning, of a command that has that option."""
_SHOWN = 200


@dataclass(slots=True)
class Side:
    """One listing. name: for messages; metadata: empty if it has none; is_empty: it has no tags at
    all, whatever was asked."""

    name: str
    info: Info
    table: Table
    metadata: dict[str, str]
    excerpt: Excerpt | None = None
    is_empty: bool = False

    @property
    def filter(self) -> Filter | None:
        """The filter that the listing was saved with; None if there was none, or several."""
        text = self.metadata.get("filter", "")
        return read_filter_metadata(text) if text else None

    @property
    def least(self) -> int | None:
        """What a tag that it does not list holds at most; None if it is a whole."""
        return self.excerpt.smallest if self.excerpt else None

    def narrow(self, filter: Filter) -> None:
        """Drop the tags that do not match the filter."""
        Matcher(filter).apply(self.table)

    def narrow_like(self, other: "Side", filter: Filter, ignore_lines: bool) -> None:
        """Drop the tags that `other` lacks because of its filter. What it lists stays, whatever the
        counters are here."""
        self.narrow(names_only(filter))
        if not filter.asks_counters:
            return
        columns = (self.table.column(name) for name in ("bytes", "calls", "inaccurate"))
        counts = (Count(size, calls, not bad) for size, calls, bad in zip(*columns, strict=True))
        self.keep_listed(other, ignore_lines, [passes(count, filter) for count in counts])

    def keep_listed(
        self, other: "Side", ignore_lines: bool, also: Sequence[bool] | None = None
    ) -> None:
        """Drop the tags that `other` does not list, but for those marked in `also`."""
        listed = set(keys_of(other.table, ignore_lines))
        keys = keys_of(self.table, ignore_lines)
        kept = also or [False] * len(keys)
        self.table.keep(bytes(key in listed or keep for key, keep in zip(keys, kept, strict=True)))


@dataclass(frozen=True, slots=True)
class Moment:
    """One listing of a series."""

    series: Series
    point: Point

    def __str__(self) -> str:
        return self.point.words


def read_side(
    path: str | Moment | None,
    filter: Filter,
    interface: str = "auto",
    described: bool = True,
    vmlinux: str | None = None,
) -> Side:
    """Read a saved listing, or the running kernel for None. SourceError, FormatError.

    described: collect the metadata that a snapshot of the running kernel would have. vmlinux: for
    a crash dump.
    """
    with (
        path.series.open(path.point)
        if isinstance(path, Moment)
        else open_one(path, interface, vmlinux)
    ) as source:
        return side_of(source, str(path or "the running kernel"), filter, described)


def side_of(source: Live | Saved, name: str, filter: Filter, described: bool = True) -> Side:
    """Read an open source; the rest as for `read_side`."""
    # Whether a saved listing is a whole shows in all of it.
    snapshot = source.read(filter if source.live else Filter())
    metadata = snapshot.info.metadata
    if source.live and described:
        metadata = live_metadata(snapshot.info)
    side = Side(name, snapshot.info, snapshot.table, metadata)
    if not source.live:
        side.excerpt = excerpt_of(side.table.column("bytes"), side.info)
        side.is_empty = not len(side.table)
        for said in excerpt_warnings(source.path, metadata):  # more is said of a side
            side.info.warnings[:] = [each for each in side.info.warnings if each != said]
        side.narrow(filter)
    return side


def read_ends(path: str, filter: Filter) -> tuple[Side, Side] | None:
    """The first and the last listing of a file; None where it has only one."""
    with open_source(path) as source:
        ends = source.ends() if isinstance(source, Saved) else None
    if ends is None:
        return None
    sides = []
    for snapshot, name in zip(ends, ("the first listing", "the last listing"), strict=True):
        snapshot.info.warnings.clear()
        side = Side(f"{name} of {path}", snapshot.info, snapshot.table, snapshot.info.metadata)
        side.excerpt = excerpt_of(side.table.column("bytes"), side.info)
        side.narrow(filter)
        sides.append(side)
    return sides[0], sides[1]


def read_filter_metadata(text: str) -> Filter | None:
    """The Filter of a snapshot's `filter` key; None for several filters, an unknown one, and one
    that is not applied: regular expressions from a file may take forever, as may many globs."""
    if len(text) > LONGEST_FILTER:
        return None
    try:
        values = json.loads(text)
        if not isinstance(values, dict) or values.get("regexp"):
            return None
        return Filter.from_options(values)
    except (ValueError, RecursionError, UsageError):
        return None


def filter_alike(*sides: Side, ignore_lines: bool = False) -> list[str]:
    """Apply the filter of each listing to the others; returns warnings about it."""
    warnings = []
    for side in sides:
        text = side.metadata.get("filter")
        others = [other for other in sides if other.metadata.get("filter") != text]
        if not text or not others:
            continue
        filter = side.filter
        if filter is None:
            words = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
            warnings.append(f"{side.name} was saved with a filter, so it lacks other tags: {words}")
            continue
        for other in others:
            other.narrow_like(side, filter, ignore_lines)
        names = f"{others[0].name} is" if len(others) == 1 else f"{len(others)} others are"
        warnings.append(f"{names} filtered like {side.name}, which was saved with a filter: {text}")
    return warnings


def leave_out_cut(*sides: Side, ignore_lines: bool = False) -> list[str]:
    """Drop the tags that are missing in a listing without its end, as nothing is known of them;
    returns warnings about it."""
    warnings = []
    for side in sides:
        others = [other for other in sides if other is not side]
        if not (side.info.truncated or any(lacks_end(side, other) for other in others)):
            continue
        for other in others:
            other.keep_listed(side, ignore_lines)
        warnings.append(f"{side.name} may be truncated: only the tags in it are compared")
    return warnings


def lacks_end(side: Side, other: Side) -> bool:
    """Does a saved listing that looks whole lack the last tags that another of its kernel has?"""
    claims = side.excerpt or side.metadata.get("filter") or side.metadata.get("tags")
    return not claims and is_cut(side.table, other.table)


def made_comparable(*sides: Side, ignore_lines: bool = False, in_order: bool = False) -> list[str]:
    """Leave in each what can be compared with the others; returns all warnings about them.

    in_order: they were taken in this order, whatever the clock said.
    """
    warnings = [words for side in sides for words in side.info.warnings]
    warnings += filter_alike(*sides, ignore_lines=ignore_lines)
    warnings += differences(*sides, in_order=in_order)
    warnings += leave_out_cut(*sides, ignore_lines=ignore_lines)
    return warnings + [
        f"{side.name} is an excerpt ({side.excerpt.why}): a tag missing in it is 'unlisted'"
        f" and held at most {format_size(side.excerpt.smallest)}"
        for side in sides
        if side.excerpt
    ]


def differences(*sides: Side, in_order: bool = False) -> list[str]:
    """Warnings about what makes each hard to compare with the next; in_order as above."""
    warnings = [words for pair in pairwise(sides) for words in _differences(*pair)]
    for side in sides:
        if side.metadata.get("consistent") == "no":
            warnings.append(
                f"modules were loaded or unloaded while {side.name} was read; it may be torn"
            )
    for before, after in pairwise(sides):
        if not in_order and (elapsed(before, after) or 0) < 0:
            warnings.append(f"{before.name} is newer than {after.name}")
    return warnings


def _differences(before: Side, after: Side) -> list[str]:
    warnings = []
    for key, words in (
        ("host", "different hosts"),
        ("kernel", f"different kernels, whose line numbers may differ{LINES_HINT}"),
        ("boot-id", "the host rebooted in between: all counters restarted at zero"),
    ):
        one, two = before.metadata.get(key), after.metadata.get(key)
        if one and two and one != two:
            if key == "boot-id":
                same = before.metadata.get("host") == after.metadata.get("host")
                warnings.append(words if same else "different boots")
            else:
                warnings.append(f"{words}: {one}, {two}")
    return warnings


def elapsed(before: Side, after: Side) -> float | None:
    """Seconds from `before` to `after`; None if a time is unknown."""
    if before.info.time is None or after.info.time is None:
        return None
    return after.info.time - before.info.time


def interval(before: Side, after: Side) -> float | None:
    """Seconds that growth can be divided by; None where `after` is not the later one, and across
    boots and hosts, whose counters have nothing to do with each other."""
    for key in ("boot-id", "host", "kernel"):
        one, two = before.metadata.get(key), after.metadata.get(key)
        if one and two and one != two:
            return None
    seconds = elapsed(before, after)
    return seconds if seconds is not None and seconds > 0 else None


def heading(before: Side, after: Side, filter: Filter, seconds: float | None) -> dict[str, object]:
    """The members before the list in a JSON document."""
    sides = {"before": source_of(before), "after": source_of(after)}
    return {**sides, "seconds": seconds, "filter": filter.as_options()}


def source_of(side: Side) -> dict[str, object]:
    """Where and when a listing was read, for a JSON document."""
    source = head_of(Filter(), side.info)["source"]
    assert isinstance(source, dict)
    return {
        **source,
        "host": side.metadata.get("host"),
        "boot_id": side.metadata.get("boot-id"),
    }
