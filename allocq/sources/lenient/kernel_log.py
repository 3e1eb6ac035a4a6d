"""The kernel's own list in its log (show_mem(), lib/show_mem.c): its ten largest tags.

Printed on an OOM, on an allocation failure and for sysrq-m, behind the prefix of whatever kept the
log. CPUs that report at once interleave their lists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from .listing import FoundTag, Kind, Listing

MOST_TAGS = 10
_TOGETHER = 1.0  # seconds within which two lists can be interleaved
_MOST_OPEN = 16

_HEADING = re.compile(
    r"Memory allocations(?: \(profiling is currently turned (?P<profiling>on|off)\))?:"
    r"(?:\\[rn]|#01[25]){0,2}[\"'`*|,}\]\s]{0,8}(?:(?<=,)[^\s,]{1,64})?$"
)
_SINCE_BOOT = re.compile(r"\[\s{0,8}([0-9]{1,10}\.[0-9]{3,9})\]")
_CALLER = re.compile(r"\[\s{0,8}([CT][0-9]{1,10})\]")
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
    r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_CTIME = re.compile(r"\[([A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9]{4})\]")
_SYSLOG = re.compile(r"[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}")


def heading(text: str) -> tuple[str | None] | None:
    """(on, off or None where it is not said) for the line above a list; None for another line."""
    if "Memory allocations" not in text:
        return None
    match = _HEADING.search(text)
    return (match.group("profiling"),) if match else None


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the prefix of a line tells: seconds since the boot, a time in words and, where that is
    certain, since 1970, and the CPU or task that printed it."""

    boot: float | None = None
    words: str = ""
    seconds: float | None = None
    caller: str = ""


NO_STAMP = Stamp()


def read_stamp(text: str) -> Stamp:
    """The prefix of a line of a log."""
    head = text[:200]
    boot = _SINCE_BOOT.search(head)
    caller = _CALLER.search(head)
    words, seconds = "", None
    if match := _ISO.search(head):
        words = match.group()
        if match.group("zone"):
            seconds = _iso_seconds(words)
    elif match := _CTIME.search(head):
        words = match.group(1)
    elif match := _SYSLOG.search(head):
        words = match.group()
    since = float(boot.group(1)) if boot else None
    if not words and since is not None:
        words = f"{boot.group(1) if boot else ''} s after boot"
    return Stamp(since, words, seconds, caller.group(1) if caller else "")


def _iso_seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text.replace(",", ".")).timestamp()
    except (ValueError, OverflowError):
        return None


@dataclass(slots=True)
class _Open:
    """A list that may still get tags."""

    listing: Listing
    caller: str
    boot: float | None
    keys: set[object] = field(default_factory=set)
    last: int | None = None
    disturbed: bool = False


@dataclass(slots=True)
class Lists:
    """The lists that are being printed. A tag goes to that of its caller or, where the log does not
    say who printed it, to that in which the sizes keep falling. Where several could have it, they
    are said to be mixed."""

    _open: list[_Open] = field(default_factory=list)

    def begin(self, line: int, profiling: str | None, stamp: Stamp) -> Listing:
        """A heading was read."""
        self._open = [each for each in self._open if _still_open(each, stamp)][-_MOST_OPEN:]
        listing = Listing(
            Kind.LOG, line, time=stamp.words, seconds=stamp.seconds, profiling=profiling
        )
        self._open.append(_Open(listing, stamp.caller, stamp.boot))
        return listing

    def disturb(self) -> None:
        """A line of something else was read."""
        for each in self._open:
            each.disturbed = each.disturbed or each.last is not None

    @property
    def any(self) -> bool:
        """Is a list open?"""
        return bool(self._open)

    def close(self) -> None:
        """No list goes on."""
        self._open = []

    def take(self, tag: FoundTag, stamp: Stamp) -> Listing | None:
        """The list that this tag is in; None where it is in none."""
        if not tag.unit:
            return None
        candidates = self._open
        if stamp.caller and any(each.caller == stamp.caller for each in candidates):
            candidates = [each for each in candidates if each.caller == stamp.caller][-1:]
        several = len(self._open) > 1
        fitting = [each for each in candidates if _fits(each, tag, stamp, several)]
        if not fitting:
            return None
        best = min(fitting, key=lambda each: (each.last is None, each.last or 0))
        if len(fitting) > 1:
            for each in fitting:
                each.listing.mixed = True
        best.last = tag.bytes
        best.keys.add(tag.key)
        if stamp.boot is not None:
            best.boot = stamp.boot
        return best.listing


def _still_open(each: _Open, stamp: Stamp) -> bool:
    if len(each.keys) >= MOST_TAGS:
        return False
    if stamp.boot is not None and each.boot is not None:
        return abs(stamp.boot - each.boot) < _TOGETHER
    return not each.disturbed


def _fits(each: _Open, tag: FoundTag, stamp: Stamp, several: bool) -> bool:
    if several and (len(each.keys) >= MOST_TAGS or tag.key in each.keys):
        return False
    if stamp.boot is not None and each.boot is not None and stamp.boot - each.boot > 60:
        return False
    return each.last is None or tag.bytes <= each.last
