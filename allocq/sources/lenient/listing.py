"""What was found in a text: a listing, its lines as the kernel would print them, and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise

from .restarts import Mark

Raw = bytes  # some classes have a field of that name
MOST_BYTES = (1 << 63) - 1
MOST_CALLS = (1 << 64) - 1
MOST_KEYS = 64
MOST_LISTINGS = 100_000
MOST_KEPT = 256 << 20
MOST_TAGS = 1_000_000
"""Of one listing, or of several that no header tells apart: all of them are held in memory."""


class Kind(StrEnum):
    """Where the lines of a listing are from."""

    LISTING = "listing"
    """/proc/allocinfo with its header"""
    TAGS = "tags"
    """tags without a header: a paste, the end of a sorted list"""
    LOG = "kernel log"
    """the kernel's own list of its largest tags"""
    OUTPUT = "allocq output"
    """a table, JSON, CSV or TSV of allocq's"""


@dataclass(slots=True)
class FoundTag:
    """One tag as a text had it. rounded: its size is not exact; unit: it was written with one;
    extra: words behind the function; thousands: its counters if a letter such as M means 1000s,
    where that is not known; kilo: a lower-case k says that it does; moved: the counters were not
    in front."""

    bytes: int
    calls: int
    file: str
    line: int
    module: str | None
    function: str
    rounded: bool = False
    extra: tuple[str, ...] = ()
    unit: bool = False
    thousands: tuple[int, int] | None = None
    kilo: bool = False
    moved: bool = False

    @property
    def key(self) -> tuple[str, int, str | None, str]:
        """What tells tags apart, as far as anything does."""
        return self.file, self.line, self.module, self.function

    def text(self) -> Raw:
        """The line that the kernel would print, with its newline."""
        module = "" if self.module is None else f" [{self.module}]"
        extra = "".join(f"{word} " for word in self.extra)
        line = (
            f"{self.bytes:12d} {self.calls:8d} {self.file}:{self.line}{module}"
            f" func:{self.function} {extra}\n"
        )
        try:
            return line.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # a surrogate that stands for no byte
            return line.encode("utf-8", "replace")


@dataclass(slots=True)
class Listing:
    """The tags of one moment.

    number: from 1 in its text; line: where it begins; time: when, in words, "" where that is not
    known; seconds: since 1970, where that is certain; member: its file in an archive; profiling: on
    or off, as a kernel's list says; tags, bytes: what is in it; text: its lines, unless
    they were dropped; guessed: what a letter such as M means is not known; kilo: a lower-case k
    says that it means 1000s; mixed: its tags may be those of another list; swapped, upright: tags
    with more calls than bytes, and with fewer.
    """

    kind: Kind
    line: int
    number: int = 0
    time: str = ""
    seconds: float | None = None
    member: str = ""
    version: str = ""
    profiling: str | None = None
    tags: int = 0
    bytes: int = 0
    rounded: bool = False
    cut_names: bool = False
    guessed: bool = False
    kilo: bool = False
    moved: bool = False
    mixed: bool = False
    swapped: int = 0
    upright: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    text: list[Raw] = field(default_factory=list)
    size: int = 0
    keys: set[object] = field(default_factory=set)
    marks: list[Mark] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    times: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    last_bytes: int | None = None
    rising: bool = True
    falling: bool = True
    positive: bool = True
    counting: bool = True
    _thousands: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, tag: FoundTag, text: Raw | None = None) -> None:
        """Take in a tag; text: its line, where that is to be kept as it is."""
        if self.tags < MOST_KEYS:
            self.keys.add(tag.key)
        self.rounded = self.rounded or tag.rounded
        self.moved = self.moved or tag.moved
        self.kilo = self.kilo or tag.kilo
        if tag.thousands:
            self.guessed = True
            self._thousands.append((self.tags, *tag.thousands))
        self.count(tag.bytes, tag.calls, tag.text() if text is None else text)

    def count(self, bytes_: int, calls: int, text: Raw) -> None:
        """The same without a tag's names."""
        self.swapped += 0 <= bytes_ < calls <= MOST_BYTES
        self.upright += bytes_ > calls
        last = self.last_bytes
        if last is not None:
            self.rising = self.rising and bytes_ >= last
            self.falling = self.falling and bytes_ <= last
            self.counting = self.counting and bytes_ == last + 1
        self.positive = self.positive and bytes_ > 0
        self.last_bytes = bytes_
        self.tags += 1
        self.bytes += bytes_
        self.text.append(text)
        self.size += len(text)

    def drop(self) -> None:
        """Keep the summary alone."""
        self.text, self.size, self.keys = [], 0, set()
        self.marks, self.lines, self.times, self._thousands = [], [], {}, []

    def settle(self) -> None:
        """It is complete: what the letters in its sizes mean is known, or never will be."""
        if not self.kilo:
            self._thousands = []
            return
        has_text = len(self.text) == self.tags
        for at, bytes_, calls in self._thousands:
            before = self.marks[at].size
            self.bytes += bytes_ - before
            self.marks[at] = replace(self.marks[at], size=bytes_)
            if has_text:
                names = self.text[at].split(None, 2)[2]
                self.text[at] = b"%12d %8d %b" % (bytes_, calls, names)
        self._thousands, self.guessed = [], False

    def split(self, starts: Sequence[int]) -> list[Listing]:
        """The listings that begin at its first tag and at these tags."""
        pieces = []
        has_text = len(self.text) == len(self.marks)
        for begin, end in pairwise([0, *starts, len(self.marks)]):
            piece = replace(self, tags=0, bytes=0, text=[], size=0, last_bytes=None, metadata={})
            piece.marks, piece.lines, piece.times, piece.keys = [], [], {}, set()
            piece.rising = piece.falling = piece.positive = piece.counting = True
            piece.swapped = piece.upright = 0
            if begin:
                piece.line, piece.version = self.lines[begin], ""
                piece.kind = Kind.TAGS if self.kind is Kind.LISTING else self.kind
                piece.time, piece.seconds = self.times.get(begin, ("", None))
            else:
                piece.metadata = self.metadata
            for i in range(begin, end):
                piece.count(self.marks[i].size, 0, self.text[i] if has_text else b"")
            if not has_text:
                piece.text = []
            pieces.append(piece)
        return pieces

    @property
    def is_numbered(self) -> bool:
        """Do the sizes only number the lines, as cat -n does? Then a column is missing."""
        return self.counting and self.positive and self.tags > 2 and not self.rounded

    @property
    def is_swapped(self) -> bool:
        """Are there more calls than bytes? No call holds less than a byte."""
        return self.swapped > 4 * self.upright and (self.swapped > 2 or self.moved)


@dataclass(slots=True)
class Skipped:
    """Lines that were no tags: how many, and the first of them."""

    count: int = 0
    first: str = ""
    line: int = 0

    def add(self, line: int, text: str) -> None:
        """Count a line."""
        if not self.count:
            self.first, self.line = text.strip()[:200], line
        self.count += 1


@dataclass(frozen=True, slots=True)
class Choice:
    """Which listings are wanted: the last one, the first and the last, one by number, or all.

    first, last, all: for which to keep the lines. number: 0 for none.
    """

    first: bool = False
    last: bool = True
    number: int = 0
    all: bool = False
