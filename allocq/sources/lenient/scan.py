"""From a text to the listings in it: each line goes to the parser that knows it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

from ...core.text import is_plain
from ...errors import FormatError
from ...units import format_time
from . import normalise
from .kernel_log import NO_STAMP, Lists, Stamp, heading, read_stamp
from .listing import (
    MOST_BYTES,
    MOST_CALLS,
    MOST_KEPT,
    MOST_LISTINGS,
    MOST_TAGS,
    Choice,
    FoundTag,
    Kind,
    Listing,
    Skipped,
)
from .own_output import MOST_JSON, Output, read_document, read_strings
from .paste import Found, Line, Words, is_open
from .restarts import Mark, are_mixed, are_side_by_side, restarts

_PLAIN = re.compile(
    rb" {0,32}(-?[0-9]{1,19}) {1,32}([0-9]{1,20}) ([!#-%(-;?-\[\]-~]+):([0-9]{1,20})"
    rb"(?: \[([!#-%(-;?-\[^-~]+)\])? func:([A-Za-z_](?:[\w.$]*[\w.])?)"
    rb"((?: [a-z_]+:[a-z0-9_]+)*) ?\r?"
)
"""A tag as the kernel prints it, with nothing in its names that has to be cleaned."""
_COUNTERS = re.compile(rb" {0,40}(-?[0-9]{1,40}) {1,40}([0-9]{1,40}) ")
_TRAILING = re.compile(r"(?: [a-z_][a-z0-9_]*:(?!:)\S*| )+$")
_HEADER = re.compile(
    r"(?:^|[\s:>|\"'\]-])allocinfo - version: {0,4}(?P<version>[0-9][^\s\"',]{0,14})"
)
_COLUMNS = re.compile(r"#\s*<size>\s+<calls>\s+<tag info>")
_METADATA = re.compile(r"# (?P<key>[a-z][a-z-]{0,40}): ?(?P<value>.*)")
_FILES = re.compile(r"==> .* <==\s*")
_PREFIX = re.compile(
    r"\s{0,8}(?!\S{1,512}\.(?:c|h|rs|S):[0-9]+\s)"  # a tag's FILE:LINE
    r"(?P<file>[^\s:\[\]]{0,512}?[./][^\s:\[\]]{0,512}?)[:-](?:[0-9]+[:-])?"
    r"(?=\s*-?[0-9]\S*\s+(?:[A-Za-z]{1,3}\s+)?[0-9])"
)
_SEARCHED = re.compile(r"allocinfo[^\s:]*[:-](?:[0-9]+[:-])?\s*-?[0-9]\S*(?:\s|$)")
_DATE = re.compile(
    r"[A-Z][a-z]{2},? +(?:[0-9]{1,2} )?[A-Z][a-z]{2} +[0-9]{1,2},?(?: [0-9]{4})? [0-9:]{5,8}"
    r"(?: [AP]M)?(?: [A-Z+0-9-]{1,6})?(?: [0-9]{4})?"
)
_REALTIME = re.compile(r"__REALTIME_TIMESTAMP=([0-9]{1,18})$")
_MESSAGES = ("MESSAGE", "message", "msg", "log")
_WORTH_READING = (b"func:", b"llocations", b"allocinfo", b"bytes", b"BYTES", b"F\0U\0N\0C")
_EVENT = re.compile(  # quotes; journald's json-seq and json-sse
    rb"^(?:(?:\s{0,8}[A-Z]{0,4}>)+ ?|\s{0,3}[|:]\s)?(?:\x1e|data: )?(?=\{)"
)
_MEMBER = re.compile(rb"\s{1,16}(\"(?:MESSAGE|message|msg|log)\"\s?:\s?\".*\"),?\s{0,4}")
_NAME_AT_END = re.compile(rb"func:[^\s]{0,4096}[A-Za-z0-9_]\r?$")
_READ_WHOLE = 1 << 20
_LOGS_KEPT = 32
_LONGEST_TABLE_ROW = 8192
_LONGEST_SOFT = 1 << 16
_INACCURATE = "accurate:no"
_SNAPSHOT = "allocq-snapshot"
_CUT = "ignored the last line, which has no newline; the file may be truncated"
_ORDER = "keep the kernel's columns: SIZE CALLS FILE:LINE [MODULE] func:FUNCTION"


Key = tuple[bytes, int, bytes | None, bytes]


class Scanner:
    """Lines in, listings out. Only what `choice` asks for keeps its lines."""

    def __init__(self, path: str, choice: Choice) -> None:
        self._path = path
        self._choice = choice
        self.listings: list[Listing] = []
        self.skipped = Skipped()
        self._skipped: dict[str, Skipped] = {}  # of the members before
        self.ending = ""
        self._blank_ends: bool | None = None
        self._texts = self._stamped = self._swapped_line = 0
        self._member = ""
        self._number = 0
        self._kept = 0
        self._bulk: Listing | None = None
        self._words = Words()
        self._lists = Lists()
        self.output = Output()
        self._soft = b""
        self._keys: dict[Key, Key] = {}  # one object for each, however often it comes
        self._reset()

    def _reset(self) -> None:
        self._boundary = True
        self._version = ""
        self._late_header = False
        self._metadata: dict[str, str] = {}
        self._begins = 0
        self._time: Stamp = NO_STAMP
        self._realtime: float | None = None
        self._last_line = self._row = self._column = 0
        self._prefix = ""
        self._header_seen = False

    @property
    def sums(self) -> str:
        """What the text has sums of, where it is an answer to --group-by."""
        return self.output.sums

    @property
    def idle(self) -> bool:
        """May lines without a keyword be passed over?"""
        return self._words.idle and not self._soft and not self.output.format

    def member(self, name: str) -> None:
        """What follows is another file."""
        self.flush()
        self._reset()
        self._close()
        if any(each.member == self._member for each in self.listings):
            self._skipped[self._member] = self.skipped
        self.skipped, self.ending, self._blank_ends = Skipped(), "", None
        self._bulk, self._number, self._member = None, 0, name
        self._words, self._lists, self.output = Words(), Lists(), Output()

    def skipped_in(self, shown: Sequence[Listing]) -> Skipped:
        """The lines that were skipped in the files of these listings."""
        found = Skipped()
        for name in {each.member: None for each in shown}:
            own = self.skipped if name == self._member else self._skipped.get(name, Skipped())
            if not found.count:
                found.first, found.line = own.first, own.line
            found.count += own.count
        return found

    @property
    def is_log(self) -> bool:
        """Do most lines begin like those of a log?"""
        return 2 * self._stamped > self._texts

    def pass_over(self, block: bytes) -> None:
        """Count the lines of a block without a keyword."""
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        if lines and not self.skipped.count:
            self.skipped.add(self._number + 1, normalise.clean(block.partition(b"\n")[0]))
            lines -= 1
            self._number += 1
        self.skipped.count += lines
        self._number += lines

    def feed_last(self, raw: bytes) -> None:
        """The last line, which has no newline. The kernel ends a tag with a blank; where no line
        has it, a name may be cut off."""
        if _NAME_AT_END.search(raw):
            if self._header_seen if self._blank_ends is None else self._blank_ends:
                self._number += 1
                self._flush_words()
                self.ending = _CUT
                return
            self.ending = "the last line has no newline; its function may be cut off"
        self.feed(raw)

    def feed(self, raw: bytes) -> None:
        """One line."""
        self._number += 1
        if self._blank_ends is None and b"func:" in raw:
            self._blank_ends = raw.rstrip(b"\r").endswith(b" ")
        plain = not self._soft and _PLAIN.fullmatch(raw)
        if plain and self._take_plain(plain, raw):
            return
        raw = raw.strip(b"\r")
        if not plain and not self._soft and self._take_strict(raw):
            return
        for part in raw.split(b"\r"):
            self._feed_part(part)

    def _feed_part(self, raw: bytes) -> None:
        if self._soft:
            raw = self._soft + raw
            self._soft = b""
        if normalise.ends_softly(raw) and len(raw) < _LONGEST_SOFT:
            self._soft = raw[:-1]
            return
        if raw[:1] == b"\0" and len(raw) > normalise.LONGEST_LINE:
            self._flush_words()
            self.skipped.add(self._number, normalise.clean(raw[1:200]))
            return
        if b"\0" in raw:
            raw = raw.strip(b"\0")  # a log's, after the power failed
            if b"\0" in raw or not raw:
                self._flush_words()
                self.skipped.add(self._number, normalise.clean(raw))
                return
        if self._take_json(raw):
            return
        self._take_text(raw)

    def finish(self) -> list[Listing]:
        """The end of all of it."""
        self.flush()
        self._close()
        self._check_columns()
        if not self.listings and self._header_seen and not self.skipped.count:
            self.listings.append(Listing(Kind.LISTING, self._begins or 1, 1, version=self._version))
        return self.listings

    def _check_columns(self) -> None:
        """FormatError where the sizes are none: a wrong number is worse than no answer."""
        for listing in self.listings:
            if listing.is_numbered and listing.kind is Kind.TAGS:
                raise FormatError(
                    f"{self._path}: line {listing.line}: the sizes only number the lines;"
                    " a column is missing",
                    _ORDER,
                )
        tags = sum(listing.tags for listing in self.listings)
        units = self._words.units
        if units.is_torn or (units.unclear and 4 * units.unclear >= tags):
            line = units.unclear_line or units.failed_line
            raise FormatError(
                f"{self._path}: line {line}: cannot tell whether a tag's counters come before or"
                " after it",
                _ORDER,
            )
        if units.unitless and 4 * units.unitless >= tags:
            raise FormatError(
                f"{self._path}: line {units.unitless_line}: a size with a fraction but without a"
                " unit",
                "use numfmt --to=iec, which writes the unit",
            )
        if self._swapped_line:
            raise FormatError(
                f"{self._path}: line {self._swapped_line}: more calls than bytes: the columns are"
                " swapped, or the sizes are not in bytes",
                _ORDER,
            )

    def flush(self) -> None:
        """The end of a text."""
        if self._soft:
            soft, self._soft = self._soft, b""
            self._take_text(soft)
        self._flush_words()

    # Lines

    def _take_plain(self, match: re.Match[bytes], raw: bytes) -> bool:
        size, calls, line = int(match[1]), int(match[2]), int(match[4])
        if not -MOST_BYTES - 1 <= size <= MOST_BYTES or calls > MOST_CALLS or line > MOST_CALLS:
            return False
        self._flush_words()
        bulk, number = self._bulk, self._number
        if (
            bulk is None
            or self._boundary
            or self._late_header
            or bulk.tags < 64
            or number - self._last_line > 1
        ):
            tag = FoundTag(
                size,
                calls,
                match[3].decode(),
                line,
                match[5].decode() if match[5] else None,
                match[6].decode(),
                extra=tuple(match[7].decode().split()),
            )
            self._place(tag, number, number, NO_STAMP, Kind.TAGS)
            return True
        text = raw.rstrip(b"\r ") + b" \n"
        key = (match[3], line, match[5], match[6])
        bulk.marks.append(
            Mark(
                self._keys.setdefault(key, key),
                sys.intern(match[3].decode()),
                size,
                match[5] is None,
            )
        )
        bulk.lines.append(number)
        bulk.count(size, calls, text)
        self._keep(bulk, len(text))
        self._last_line = number
        return True

    def _take_strict(self, raw: bytes) -> bool:
        """A tag with an odd name, as the kernel would print it."""
        match = _COUNTERS.match(raw)
        if not match or b"\x1b[" in raw or not is_plain(raw):
            return False
        names, _, function = (
            raw[match.end() :].decode("utf-8", "surrogateescape").partition(" func:")
        )
        if " " in (rest := _TRAILING.sub("", function)) and not is_open(rest.partition(" ")[0]):
            return False  # words of the next tag, or of an unknown kernel
        self._flush_words()
        place, _, module = names.partition(" [")
        file, _, line = place.rpartition(":")
        tag = FoundTag(
            int(match[1]),
            int(match[2]),
            file or names,
            int(line) if line.isdecimal() else 0,
            module or None,
            rest,
        )
        self._place(tag, self._number, self._number, NO_STAMP, Kind.TAGS, raw + b"\n")
        return True

    def _take_json(self, raw: bytes) -> bool:
        """A line of a log that is JSON, or a line of an object that has one for each value."""
        if b"{" in raw[:80]:
            raw = _EVENT.sub(b"", raw)
        if raw[:1] == b"{":
            return self._take_object(raw)
        match = _MEMBER.fullmatch(raw)
        return match is not None and self._take_object(b"{%b}" % match[1])

    def _take_object(self, raw: bytes) -> bool:
        """A line of a log that is JSON: journald's, a container's."""
        if not any(b'"%s"' % name.encode() in raw for name in _MESSAGES):
            return False
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            return False
        if not isinstance(value, dict):
            return False
        message = next((value[name] for name in _MESSAGES if name in value), None)
        if isinstance(message, list):
            try:
                message = bytes(message).decode("utf-8", "surrogateescape")
            except (TypeError, ValueError):
                return False
        if not isinstance(message, str):
            return False
        stamp = _stamp_of(value)
        for line in message.splitlines():
            self._take_text(_encoded(line), stamp)
        return True

    def _take_text(self, raw: bytes, stamp: Stamp | None = None) -> None:
        text = normalise.clean(raw)
        if not text.strip():
            self._flush_words()
            return
        self._texts += 1
        if text.lstrip().startswith(_INACCURATE):
            text = self._take_mark(text.lstrip())
            if not text:
                return
        if self._take_heading(text, stamp):
            return
        if self._take_comment(text):
            return
        has_function = "func:" in text
        if self._take_own(raw, text, has_function):
            return
        if not has_function:
            self._lists.disturb()
            named = "allocinfo" in text and not _SEARCHED.search(text)
            if named or (text.startswith("==>") and _FILES.fullmatch(text)):
                self._flush_words()
                self._separate(text)
                self.skipped.add(self._number, text)
                return
            self._note_time(text)
        if stamp is None:
            stamp = read_stamp(text) if self._lists.any and has_function else NO_STAMP
        else:
            self._stamped += stamp != NO_STAMP
        if stamp.seconds is None and not stamp.words and self._realtime is not None:
            stamp = _realtime(self._realtime, stamp)
        if has_function and (match := _PREFIX.match(text)):
            if match["file"] != self._prefix and self._prefix:
                self._flush_words()
                self._separate("")
            self._prefix = match["file"]
        self._place_all(self._words.feed(self._number, text, stamp))
        self._take_skipped()

    def _take_mark(self, text: str) -> str:
        """A line that begins with the mark of the tag above it; returns the rest of the line."""
        self._flush_words()
        bulk, rest = self._bulk, text[len(_INACCURATE) :]
        if (rest and rest[0] != " ") or not bulk or not bulk.text:
            return text
        if self._last_line == self._number - 1:
            bulk.text[-1] = bulk.text[-1][:-1] + f"{_INACCURATE} \n".encode()
        return rest.strip()

    def _take_heading(self, text: str, stamp: Stamp | None) -> bool:
        """The line above a list of the kernel's, or above a listing."""
        if (found := heading(text)) is not None:
            self._flush_words()
            stamp = stamp or read_stamp(text)
            if not stamp.words and self._realtime is not None:
                stamp = _realtime(self._realtime, stamp)
            self._lists.begin(self._number, found[0], stamp).member = self._member
            return True
        if "allocinfo - version:" in text and (match := _HEADER.search(text)):
            self._flush_words()
            self._take_header(match["version"])
            return True
        return "<tag info>" in text and _COLUMNS.search(text) is not None

    def _take_header(self, version: str) -> None:
        self._lists.close()
        self._header_seen = True
        bulk = self._bulk
        # sort -rn puts the header among the tags that hold nothing.
        self._late_header = bool(
            bulk and not self._boundary and not bulk.version and bulk.falling and bulk.tags > 1
        )
        self._boundary = not self._late_header
        self._version, self._begins = version, self._number
        self._metadata = {}

    def _take_comment(self, text: str) -> bool:
        if text[:1] != "#":
            return False
        self._flush_words()
        if "allocinfo" in text:
            self._separate(text)
        elif match := _METADATA.fullmatch(text):
            key, value = match["key"], match["value"].strip()
            if key == _SNAPSHOT and value != "1":
                raise FormatError(
                    f"{self._path}: line {self._number}: a newer snapshot format than this allocq"
                    " can read (1)",
                    "update allocq",
                )
            if key == _SNAPSHOT or _SNAPSHOT in self._metadata:
                self._metadata.setdefault(key, value)
        else:
            self._note_time(text)
        return True

    def _take_own(self, raw: bytes, text: str, has_function: bool) -> bool:
        """A line of an answer of allocq's."""
        output = self.output
        if has_function or len(text) > _LONGEST_TABLE_ROW:
            return False
        before = output.format
        line = normalise.strip_escapes(normalise.decode_line(raw))
        tag = output.feed(line, text)
        if not output.taken:
            return False
        self._flush_words()
        if tag is None:
            if output.format != before or "BYTES" in text or text.startswith("bytes"):
                self._separate("")
            return True
        self._place(tag, self._number, self._number, NO_STAMP, Kind.OUTPUT)
        if self._bulk is not None:
            self._bulk.cut_names = output.cut
        return True

    def _separate(self, text: str) -> None:
        """What follows is another listing."""
        self._lists.close()
        self._boundary, self._late_header = True, False
        self._version, self._metadata, self._begins = "", {}, 0
        self._words.units.heed(text)

    def _note_time(self, text: str) -> None:
        if match := _REALTIME.match(text):
            self._realtime = int(match[1]) / 1e6
        elif len(text) < 200:
            match = _DATE.search(text)
            stamp = Stamp(words=match.group()) if match else read_stamp(text)
            if stamp.words:
                self._time = stamp
                self._stamped += 1

    # Tags

    def take_document(self, tags: list[FoundTag], metadata: dict[str, str]) -> None:
        """A listing that was read as a whole."""
        self._metadata = metadata
        for tag in tags:
            self._place(tag, self._number or 1, self._number or 1, NO_STAMP, Kind.OUTPUT)

    def _flush_words(self) -> None:
        if not self._words.idle:
            self._place_all(self._words.flush())
        self._take_skipped()

    def _take_skipped(self) -> None:
        if self._words.skipped:
            for number, text in self._words.skipped:
                self.skipped.add(number, text)
            self._words.skipped.clear()

    def _place_all(self, found: Found) -> None:
        for tag, first, last in found:
            self._column = self._column + 1 if first.number == last.number == self._row else 0
            self._row = last.number
            self._place(tag, first.number, last.number, _stamp_on(first, last), Kind.TAGS)
        self._column = 0

    def _place(
        self,
        tag: FoundTag,
        first: int,
        last: int,
        stamp: Stamp,
        kind: Kind,
        text: bytes | None = None,
    ) -> None:
        """Add a tag to the listing that it is in. text: its line, where that is known."""
        if listing := self._lists.take(tag, stamp):
            if not listing.tags:
                self._register(listing)
            self._add(listing, tag)
            return
        bulk = self._bulk
        if bulk is None or self._boundary or self._begins_anew(bulk, tag, first):
            bulk = self._begin(tag, first, stamp, kind)
        elif self._late_header:
            bulk.version, bulk.kind = self._version, Kind.LISTING
        self._boundary = self._late_header = False
        self._mark(bulk, tag, first)
        self._add(bulk, tag, text)
        self._last_line = last

    def _mark(self, bulk: Listing, tag: FoundTag, first: int) -> None:
        gap = bool(bulk.marks) and first - self._last_line > 1
        if gap and self._time.words:
            bulk.times[len(bulk.marks)] = self._time.words, self._time.seconds
            self._time = NO_STAMP
        module = None if tag.module is None else tag.module.encode("utf-8", "replace")
        key = (
            tag.file.encode("utf-8", "replace"),
            tag.line,
            module,
            tag.function.encode("utf-8", "replace"),
        )
        key = self._keys.setdefault(key, key)
        builtin = tag.module is None
        bulk.marks.append(Mark(key, tag.file, tag.bytes, builtin, gap, self._column))
        bulk.lines.append(first)

    def _close(self) -> None:
        """The listing at hand is complete: if a loop appended to it, it is several."""
        bulk = self._bulk
        if bulk is None:
            return
        bulk.settle()
        self._check_order(bulk)
        starts = restarts(bulk.marks, bool(bulk.version))
        bounds = [0, *starts, len(bulk.marks)]
        if any(are_mixed(bulk.marks[begin:end]) for begin, end in pairwise(bounds)):
            raise self._mixed(bulk)
        if not starts:
            return
        pieces = bulk.split(starts)
        at = max(i for i, each in enumerate(self.listings) if each is bulk)
        self.listings[at : at + 1] = pieces
        if len(self.listings) > MOST_LISTINGS:
            raise FormatError(f"{self._path} holds more than {MOST_LISTINGS} listings")
        for number, listing in enumerate(self.listings[at:], at + 1):
            listing.number = number
        for piece in pieces[:-1]:
            if self._choice.last and not self._choice.all:
                self._drop(piece)
        self._bulk = pieces[-1]

    def _check_order(self, bulk: Listing) -> None:
        """FormatError where its numbers cannot be those of one listing, in the kernel's columns."""
        if bulk.is_swapped and not self._swapped_line:
            self._swapped_line = bulk.line
        if are_side_by_side(bulk.marks):
            raise FormatError(
                f"{self._path}: line {bulk.line}: several listings are side by side on one line",
                "read each from a file of its own: allocq diff BEFORE AFTER compares two",
            )
        if are_mixed(bulk.marks, order=True):
            raise self._mixed(bulk)

    def _mixed(self, bulk: Listing) -> FormatError:
        return FormatError(
            f"{self._path}: line {bulk.line}: most tags are repeated: several listings are mixed",
            "read each from a file of its own: allocq diff BEFORE AFTER compares two",
        )

    def _begins_anew(self, bulk: Listing, tag: FoundTag, first: int) -> bool:
        """Does this tag begin another listing, though nothing says so?"""
        if self._late_header:
            return tag.bytes > 0
        last = bulk.last_bytes or 0
        turns = bulk.tags > 1 and (
            (bulk.rising and tag.bytes < last) or (bulk.falling and tag.bytes > last)
        )
        if bulk.version or bulk.tags < 3:
            return False
        return turns and bool(self._time.words) and first - self._last_line > 1

    def _begin(self, tag: FoundTag, first: int, stamp: Stamp, kind: Kind) -> Listing:
        if self._version and kind is Kind.TAGS:
            kind = Kind.LISTING
        time = stamp if stamp.words else self._time
        listing = Listing(
            kind,
            self._begins or first,
            time=self._metadata.get("time", time.words),
            seconds=time.seconds,
            member=self._member,
            version=self._version,
            metadata=self._metadata,
        )
        self._close()
        old, self._bulk = self._bulk, listing
        if old is not None and self._choice.last and not self._choice.all:
            self._drop(old)
        self._register(listing)
        self._metadata, self._version, self._begins, self._time = {}, "", 0, NO_STAMP
        return listing

    def _register(self, listing: Listing) -> None:
        self.listings.append(listing)
        listing.number = len(self.listings)
        if listing.number > MOST_LISTINGS:
            raise FormatError(f"{self._path} holds more than {MOST_LISTINGS} listings")
        if listing.number > _LOGS_KEPT:
            old = self.listings[-_LOGS_KEPT - 1]
            if old.kind is Kind.LOG:
                self._drop(old)

    def _drop(self, listing: Listing) -> None:
        choice = self._choice
        if choice.all or choice.number > 0 or (choice.first and listing.number == 1):
            return
        self._kept -= listing.size
        listing.drop()

    def _add(self, listing: Listing, tag: FoundTag, text: bytes | None = None) -> None:
        before = listing.size
        listing.add(tag, text)
        self._keep(listing, listing.size - before)

    def _keep(self, listing: Listing, size: int) -> None:
        choice = self._choice
        if listing.tags > MOST_TAGS:
            raise FormatError(f"{self._path} has more than {MOST_TAGS} tags without a header")
        if choice.number < 0:
            listing.text, listing.size = [], 0
            return
        self._kept += size
        if self._kept > MOST_KEPT:
            raise FormatError(
                f"{self._path} is too large for a text that is not only a listing",
                "extract the listing first, for example with grep func:",
            )


def _stamp_on(first: Line, last: Line) -> Stamp:
    return first.stamp if first.stamp != NO_STAMP else last.stamp


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "replace")


def _realtime(seconds: float, stamp: Stamp) -> Stamp:
    try:
        words = format_time(seconds)
    except (ValueError, OverflowError):
        return stamp
    return Stamp(stamp.boot, words, seconds, stamp.caller)


def _stamp_of(value: dict[str, object]) -> Stamp:
    """When journald, or a container's log, says that a message was written."""
    try:
        real = value.get("__REALTIME_TIMESTAMP")
        boot = value.get("_SOURCE_MONOTONIC_TIMESTAMP", value.get("__MONOTONIC_TIMESTAMP"))
        since = int(boot) / 1e6 if isinstance(boot, str) else None
        if isinstance(real, str):
            return _realtime(int(real) / 1e6, Stamp(since))
    except ValueError:
        return NO_STAMP
    time = value.get("time", value.get("timestamp", value.get("ts")))
    if isinstance(time, str):
        return read_stamp(time)
    return Stamp(since)


def scan_text(scanner: Scanner, pieces: Iterable[bytes]) -> None:
    """All lines of one text. FormatError where it is too much."""
    pieces = normalise.as_utf8(pieces)
    head: list[bytes] = []
    size = 0
    for piece in pieces:
        head.append(piece)
        size += len(piece)
        first = b"".join(head).lstrip()[:1] if len(head) < 8 else b"x"
        if (first and first not in b'{["') or size > MOST_JSON:
            break
    else:
        if document := read_document(b"".join(head).decode("utf-8", "surrogateescape")):
            scanner.output.sums = document.sums
            scanner.take_document(document.tags, document.metadata)
            for _ in range(document.skipped):
                scanner.skipped.add(0, "an object that is not a tag")
            return
        if strings := read_strings(b"".join(head), _MESSAGES):
            for line in strings:
                scanner.feed(_encoded(line))
            scanner.flush()
            return
    _scan_lines(scanner, chain(head, pieces))
    scanner.flush()


def _scan_lines(scanner: Scanner, pieces: Iterable[bytes]) -> None:
    seen = 0
    for block in _blocks(pieces):
        seen += len(block)
        if seen > _READ_WHOLE and scanner.idle and not any(w in block for w in _WORTH_READING):
            scanner.pass_over(block)
            continue
        *lines, last = normalise.split_lines((block,))
        for line in lines:
            scanner.feed(line)
        if block.endswith(b"\n"):
            scanner.feed(last)
        else:
            scanner.feed_last(last)


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines together; one that is over 1 MiB loses its end."""
    left: list[bytes] = []
    size = 0
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join([*left, piece[:end]])
            left, size = [piece[end:]], len(piece) - end
        elif size <= normalise.LONGEST_LINE:
            left.append(piece)
            size += len(piece)
    if size:
        yield b"".join(left)
