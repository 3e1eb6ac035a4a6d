"""Tags in pasted text, wherever a mailer or a terminal has broken the lines.

Text is taken as words. A word `func:NAME` ends a tag, and what stands before it is looked at from
the right: [MODULE], FILE:LINE, calls, size. So prefixes do not matter, and a tag may lie on several
lines, or several on one. A line that is a tag in another order (awk '{print $3,$4,$1,$2}') is told
apart: its counters never become those of the next line.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import NamedTuple

from ...core.numbers import NumberFault, read_size
from .kernel_log import NO_STAMP, Stamp
from .listing import MOST_BYTES, MOST_CALLS, FoundTag

_MOST_LINES = 6  # that a tag may be spread over
_MOST_WORDS = 64
_MOST_BLANKS = 8  # in the name of a file
_FUNCTION = "func:"
_CLOSING = "\"'`,;|<>)}]\\$*"
_C_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_.$]*)(?=[\"'`,;|*^\\#)\]}>&])")
_SEPARATORS = ",;|"
_SIZE = re.compile(
    r"(?P<sign>-?)(?P<number>[0-9]+(?:[.,'_][0-9]+)*)(?P<unit>(?:[KMGTPEkmgtpe]i?)?(?:[Bb]|bytes)?)"
)
_UNIT = re.compile(r"(?:[KMGTPEkmgtpe]i?[Bb]?|B|bytes?)")
_FRACTION = re.compile(r"-?[0-9]{1,20}\.[0-9]{1,20}(?:e\+[0-9]{1,3})?")
_GROUPED = re.compile(r"[0-9]{1,3}(?:[,'_][0-9]{3})+")
_LOCATION = re.compile(r"(?P<file>.*[^:\s]):(?P<line>[0-9]{1,20})")
_PLACE = re.compile(r"(?P<file>[^\s:]*[A-Za-z_][^\s:]*\.[A-Za-z]{1,3}):(?P<line>[0-9]{1,9})")
_VALUE = re.compile(r"[0-9]{1,40}|[a-z_][a-z0-9_]*:(?!:)\S+")
_GLUE = ":;>|\"'=]~`+*(<"
_TIME = re.compile(r"[0-9T-]*[0-2]?[0-9]:[0-5][0-9]:[0-5][0-9]|[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CONTEXT = re.compile(r"(?:\S*[./]\S*-)?(?:[0-9]+-)?(-?[0-9].*)")
_BRACKETS = dict(zip(">)]}", "<([{", strict=True))
_LONGEST_NAME = 24  # words
_MOST_MOVED = 8
_INACCURATE = "accurate:no"
_COMMAND = re.compile(r"--to=(si|iec-i|iec|auto)\b")


@dataclass(slots=True)
class Units:
    """What a letter stands for: 1024s, unless a command in the text said otherwise.

    unitless, unitless_line: how many tags had a size such as 11.5 without a unit, and where; moved:
    lines with the counters behind the names; unclear, unclear_line: tags of which it cannot be told
    whether the counters are in front or behind, and where; failed, failed_line: names without
    counters, and where; torn: no tag can be trusted.
    """

    thousands: bool = False
    forced: bool = False
    unitless: int = 0
    unitless_line: int = 0
    moved: int = 0
    unclear: int = 0
    unclear_line: int = 0
    failed: int = 0
    failed_line: int = 0
    torn: bool = False

    @property
    def is_torn(self) -> bool:
        """Are there tags in another order that are only by chance on one line?"""
        return self.torn or 4 * self.failed > self.moved > 0

    def heed(self, text: str) -> None:
        """Note which units a numfmt command on a line without a tag chose: --to=si or --to=iec."""
        if "--to=" in text and (match := _COMMAND.search(text)):
            self.thousands = match.group(1) == "si"
            self.forced = True


def is_open(name: str) -> bool:
    """Does a bracket in it still wait for its end?"""
    if "<" not in name and "(" not in name:
        return False
    plain = name.replace("->", "")
    return any(plain.count(begin) > plain.count(end) for end, begin in _BRACKETS.items())


def close_name(text: str) -> str:
    """Without what stands behind a name: quotes, commas, brackets that it does not open. What the C
    compiler named ends where no more of it can follow."""
    match = _C_NAME.match(text)
    if match and "::" not in text:
        text = match[1]
    while text and text[-1] in _CLOSING:
        begin = _BRACKETS.get(text[-1])
        if begin and text.count(begin) >= text.replace("->", "").count(text[-1]):
            break
        text = text[:-1]
    return text


def read_number(word: str, most: int = MOST_CALLS) -> int | None:
    """A whole number, perhaps with 1,234 grouped digits; None for what is none."""
    sign = -1 if word[:1] == "-" else 1
    digits = word[1:] if sign < 0 else word
    if not (digits.isascii() and digits.isdigit()):
        if not _GROUPED.fullmatch(digits):
            return None
        digits = re.sub(r"[,'_]", "", digits)
    if len(digits) > 20:
        return None
    value = sign * int(digits)
    return value if -most - 1 <= value <= most else None


class Amount(NamedTuple):
    """A number. thousands: what it is if its letter means 1000s, where that is not known; kilo: it
    has the lower-case k that only 1000s have."""

    value: int
    rounded: bool = False
    thousands: int | None = None
    kilo: bool = False


def read_amount(word: str, unit: str, units: Units) -> Amount | None:
    """The size in `38.4` and `MiB`, `12M`, `512`; None for what is no size.

    A fraction of a byte is dropped.
    """
    match = _SIZE.fullmatch(word)
    if not match or (unit and match.group("unit")):
        return None
    letter = unit or match.group("unit")
    digits = match.group("number")
    bare = letter.rstrip("bB") if letter not in ("byte", "bytes") else ""
    if not bare:
        value = read_number(match.group("sign") + digits, MOST_BYTES)
        return None if value is None else Amount(value)
    if _GROUPED.fullmatch(digits) and "," not in digits:
        digits = re.sub(r"['_]", "", digits)
    digits = digits.replace(",", ".")
    if digits.count(".") > 1 or len(digits) > 30:
        return None
    decimal = units.thousands if units.forced else len(bare) == 1 and letter[1:] in ("B", "b")
    if len(bare) == 2:
        decimal = False
    fault, size = read_size(f"{digits}{bare[0].upper()}{'B' if decimal else ''}")
    if fault is not NumberFault.NONE:
        return None
    sign = -1 if match.group("sign") else 1
    if units.forced or len(letter) > 1:
        return Amount(sign * size, True)
    _, thousands = read_size(f"{digits}{bare[0].upper()}B")
    return Amount(sign * size, True, sign * thousands, bare == "k")


@dataclass(slots=True)
class Line:
    """A line whose words are not all spoken for.

    stamp: what its prefix tells; used: a tag has taken some of its words.
    """

    number: int
    text: str
    stamp: Stamp
    used: bool = False


Found = list[tuple[FoundTag, Line, Line]]


@dataclass(slots=True)
class Words:
    """Words on their way to becoming tags.

    feed() gives the tags that are complete; the last one is held until it is known which of the
    words behind it are its own. skipped: lines no tag wanted, taken by the caller.
    """

    units: Units = field(default_factory=Units)
    skipped: list[tuple[int, str]] = field(default_factory=list)
    _words: deque[tuple[str, Line]] = field(default_factory=deque)
    _lines: deque[Line] = field(default_factory=deque)
    _held: tuple[FoundTag, Line, Line] | None = None
    _name: list[str] = field(default_factory=list)
    _orphaned: bool = False  # counters were missing in front of the names last seen
    _doubted: bool = False  # then a whole tag on a line of its own was seen: so is the next one

    @property
    def idle(self) -> bool:
        """Is nothing held back?"""
        return self._held is None and not self._words and not self._lines

    def feed(self, number: int, text: str, stamp: Stamp = NO_STAMP) -> Found:
        """Tags, each with the line on which it begins and the one on which it ends."""
        found: Found = []
        line = Line(number, text, stamp)
        self._lines.append(line)
        if "--to=" in text and _FUNCTION not in text:
            self.units.heed(text)
        while len(self._lines) > _MOST_LINES:
            self._forget_line(found)
        if _FUNCTION in text and self._take_moved(text, line, found):
            return found
        for word in text.split():
            if self._name:
                self._go_on(word, line, found)
                continue
            if word[-1] in _SEPARATORS and _FUNCTION not in word:
                word = word.rstrip(_SEPARATORS)
                if not word:
                    continue
            at = word.find(_FUNCTION)
            name = close_name(word[at + len(_FUNCTION) :]) if at >= 0 else ""
            if name and is_open(name):
                self._name = [word[at + len(_FUNCTION) :]]
                if at > 0:
                    self._words.append((word[:at], line))
                continue
            if not name:
                self._words.append((word, line))
                if len(self._words) > _MOST_WORDS:
                    self._words.popleft()
                continue
            if at > 0:
                self._words.append((word[:at], line))
            self._take(name, line, found)
        return found

    def _take_moved(self, text: str, line: Line, found: Found) -> bool:
        """A whole tag in another order, where nothing in front waits for its names."""
        if self._name or any(_PLACE.fullmatch(word) for word, _ in self._words):
            return False
        waiting = list(takewhile(_is_amount, reversed(self._words)))
        is_table = len(waiting) > 2 and _FUNCTION not in waiting[0][1].text  # free's, for example
        if waiting and not is_table:
            return False
        tag = moved_tag(text.split(), self.units)
        if tag is None:
            return False
        self._release(len(self._words), found)
        self._words.clear()
        self.units.moved += 1
        line.used = True
        self._orphaned = False
        found.append((tag, line, line))
        return True

    def _go_on(self, word: str, line: Line, found: Found) -> None:
        """A name with blanks in it, `<impl Foo for Bar>::new`, goes on until its brackets close."""
        self._name.append(word)
        name = close_name(" ".join(self._name))
        if _FUNCTION in word or len(self._name) > _LONGEST_NAME:
            self._drop_name(found)
        elif not is_open(name):
            self._name = []
            self._take(name, line, found)

    def _drop_name(self, found: Found) -> None:
        """A name that does not end is none, and what stands before it is skipped."""
        self._release(len(self._words), found)
        self._name = []
        self._words.clear()

    def flush(self) -> Found:
        """The tag that was held back; what is left of the lines is skipped."""
        found: Found = []
        if self._name:
            self._drop_name(found)
        self._release(len(self._words), found)
        self._words.clear()
        while self._lines:
            self._forget_line(found)
        return found

    def _forget_line(self, found: Found) -> None:
        line = self._lines.popleft()
        if self._held is not None and self._held[2] is line:
            self._release(len(self._words), found)
        if not line.used and line.text.strip():
            self.skipped.append((line.number, line.text))
        while self._words and self._words[0][1] is line:
            self._words.popleft()

    def _take(self, name: str, line: Line, found: Found) -> None:
        words = [word for word, _ in self._words]
        match = tag_before(words, name, self.units)
        if match is not None and self._is_of_a_table(match[1], line):
            match = None
        is_alone = match is not None and self._is_alone(match[1], line)
        is_unclear = match is not None and self._orphaned and not is_alone
        if self._doubted and not is_alone:
            self.units.torn = True
        self._doubted = self._orphaned and is_alone
        if is_unclear:
            self.units.unclear += 1
            self.units.unclear_line = self.units.unclear_line or line.number
        if match is None or is_unclear:
            if lacks_unit(words):
                self.units.unitless += 1
                self.units.unitless_line = self.units.unitless_line or line.number
            if is_unclear or lacks_counters(words, line):
                self._orphaned = True
            self.units.failed += 1
            self.units.failed_line = self.units.failed_line or line.number
            self._release(len(words), found)
            self._words.clear()
            return
        tag, begin = match
        owners = [owner for _, owner in self._words][begin:]
        for owner in owners:
            owner.used = True
        line.used = True
        self._orphaned = False
        self._release(begin, found)
        self._words.clear()
        self._held = tag, owners[0], line

    def _is_of_a_table(self, begin: int, line: Line) -> bool:
        """Are its counters the last numbers of a line above that has more, such as free's?"""
        owner = self._words[begin][1]
        before = list(islice(self._words, max(0, begin - 2), begin))
        return (
            owner is not line
            and len(before) == 2
            and all(each is owner and word.isdigit() for word, each in before)
        )

    def _is_alone(self, begin: int, line: Line) -> bool:
        """Is the tag from this word on the only one on its line, and all of it?"""
        if self._words[begin][1] is not line or line.text.count(_FUNCTION) > 1:
            return False
        behind = line.text.rpartition(_FUNCTION)[2].split()[1:]
        return len(behind) < 3 and sum(word.isdigit() for word in behind) < 2

    def _release(self, own: int, found: Found) -> None:
        """Give the held tag the words of its line among the first `own`."""
        if self._held is None:
            return
        tag, first, line = self._held
        self._held = None
        extra = [word for word, owner in list(self._words)[:own] if owner is line]
        tag.extra = tuple(takewhile(_VALUE.fullmatch, extra))
        found.append((tag, first, line))


def _is_amount(each: tuple[str, Line]) -> bool:
    return bool(_SIZE.fullmatch(each[0]) or _UNIT.fullmatch(each[0]))


def tag_before(words: list[str], function: str, units: Units) -> tuple[FoundTag, int] | None:
    """The tag whose `func:` stands behind these words, and where in them it begins."""
    end = len(words)
    module = None
    if end and words[end - 1][:1] == "[" and words[end - 1][-1:] == "]" and len(words[end - 1]) > 2:
        module = words[end - 1][1:-1]
        end -= 1
    match = _LOCATION.fullmatch(words[end - 1]) if end else None
    if not match or int(match.group("line")) > MOST_CALLS:
        return None
    for blanks in range(min(_MOST_BLANKS, end - 2)):
        begin = end - 1 - blanks
        counters = counters_before(words, begin, units)
        if counters is None:
            continue
        size, calls, unit, start = counters
        file = " ".join([*words[begin : end - 1], match.group("file")])
        line = int(match.group("line"))
        tag = FoundTag(size.value, calls.value, file, line, module, function)
        tag.rounded, tag.unit = size.rounded or calls.rounded, unit
        tag.thousands, tag.kilo = _thousands(size, calls), size.kilo or calls.kilo
        return tag, start
    return None


def lacks_counters(words: list[str], line: Line) -> bool:
    """Is it FILE:LINE [MODULE] without them, or nothing and func: begins the line?"""
    if not words:
        return line.text.lstrip().startswith(_FUNCTION)
    end = len(words) - (words[-1][:1] == "[")
    return end > 0 and _PLACE.fullmatch(words[end - 1]) is not None


def moved_tag(words: list[str], units: Units) -> FoundTag | None:
    """The tag whose words these are in any order but the kernel's: one FILE:LINE, one func:,
    perhaps a [MODULE], and two numbers, the size first unless the second one has the unit."""
    places, functions, modules, extra = [], [], [], []
    numbers: list[tuple[int, str, str]] = []
    for at, word in enumerate(words[: _MOST_MOVED + 1]):
        if match := _PLACE.fullmatch(word):
            places.append((at, match))
        elif word.startswith(_FUNCTION):
            functions.append((at, close_name(word[len(_FUNCTION) :])))
        elif word[:1] == "[" and word[-1:] == "]":
            modules.append(word[1:-1])
        elif _UNIT.fullmatch(word) and numbers and numbers[-1][0] == at - 1:
            numbers[-1] = at, numbers[-1][1], word
        elif _SIZE.fullmatch(word):
            numbers.append((at, word, ""))
        elif word == _INACCURATE:
            extra.append(word)
        else:
            return None
    if len(words) > _MOST_MOVED or len(modules) > 1:
        return None
    if not (len(places) == len(functions) == 1 and len(numbers) == 2):
        return None
    (place_at, place), (function_at, function) = places[0], functions[0]
    if numbers[1][0] < place_at < function_at or not function or is_open(function):
        return None
    size, calls = (read_amount(word, unit, units) for _, word, unit in numbers)
    if size is None or calls is None:
        return None
    if calls.rounded and not size.rounded:
        size, calls = calls, size
    if calls.value < 0:
        return None
    return FoundTag(
        size.value,
        calls.value,
        place["file"],
        int(place["line"]),
        modules[0] if modules else None,
        function,
        size.rounded or calls.rounded,
        tuple(extra),
        bool(numbers[0][2] or numbers[1][2]) or size.rounded,
        thousands=_thousands(size, calls),
        kilo=size.kilo or calls.kilo,
        moved=True,
    )


def _thousands(size: Amount, calls: Amount) -> tuple[int, int] | None:
    """Both counters if letters mean 1000s; None where no letter has two meanings."""
    if size.thousands is None and calls.thousands is None:
        return None
    return (
        size.value if size.thousands is None else size.thousands,
        calls.value if calls.thousands is None else calls.thousands,
    )


def lacks_unit(words: list[str]) -> bool:
    """Is it `11.5 CALLS FILE:LINE [MODULE]`?"""
    end = len(words) - (bool(words) and words[-1][:1] == "[")
    return (
        end > 2
        and _LOCATION.fullmatch(words[end - 1]) is not None
        and words[end - 2].isdigit()
        and _FRACTION.fullmatch(words[end - 3]) is not None
    )


def counters_before(
    words: list[str], end: int, units: Units
) -> tuple[Amount, Amount, bool, int] | None:
    """(size, calls, with a unit, where it begins) of `SIZE [UNIT] CALLS`."""
    if end < 2:
        return None
    calls = _calls(words[end - 1], units)
    if calls is None:
        return None
    unit = end >= 3 and _UNIT.fullmatch(words[end - 2]) is not None
    if unit:
        size = _size(words[end - 3], words[end - 2], units)
        begin = end - 3
    else:
        size = _size(words[end - 2], "", units)
        begin = end - 2
    if size is None:
        return None
    return size, calls, unit or size.rounded, begin


def _calls(word: str, units: Units) -> Amount | None:
    if word.isascii() and word.isdigit() and len(word) <= 20:
        calls = int(word)
        return Amount(calls) if calls <= MOST_CALLS else None
    amount = read_amount(word, "", units)
    return None if amount is None or amount.value < 0 else amount


def _size(word: str, unit: str, units: Units) -> Amount | None:
    """A size, perhaps with a prefix that has no blank behind it: `saved.txt:12:4096`."""
    amount = read_amount(word, unit, units)
    if amount is not None or _TIME.fullmatch(word):
        return amount
    glued = max(map(word.rfind, _GLUE))
    if glued >= 0:
        amount = read_amount(word[glued + 1 :], unit, units)
    if amount is None and "--" in word:
        return read_amount(word[word.rindex("--") + 1 :], unit, units)
    if amount is None and (match := _CONTEXT.fullmatch(word)):  # grep's: saved.txt-12-4096
        amount = read_amount(match[1], unit, units)
    return amount
