"""An independent reader of listings: uses split, re and fnmatch, and nothing of allocq."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

FIXTURES = Path(__file__).parent / "fixtures"
SAMPLE = Path(__file__).parents[1] / "allocq" / "sample.txt"
UML_7_3 = FIXTURES / "allocinfo-7.3.4-uml.txt"
UML_6_12 = FIXTURES / "allocinfo-6.12-uml.txt"
TEXTS = (SAMPLE, UML_7_3, UML_6_12)

HEADER = b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"
NAMES = ("bytes", "calls", "file", "line", "module", "function", "accurate")

_COUNTERS = re.compile(r" *(-?[0-9]+) +([0-9]+) ")
_PLACE = re.compile(r"(.+):([0-9]+)(?: \[(.+)\])?", re.DOTALL)
_FUNCTION = re.compile(
    r"([^ ]+(?: +[^ ]+)*?)((?: +(?:[a-z_][a-z0-9_]*:(?!:)[^ ]*|[0-9]+(?= |\Z)))*) *", re.DOTALL
)
_U64, _S64 = 1 << 64, 1 << 63


class Tag(NamedTuple):
    """One line of a text; `text` is that line without what ends it."""

    bytes: int
    calls: int
    file: str
    line: int
    module: str | None
    function: str
    accurate: bool
    text: str = ""

    def as_json(self) -> dict[str, object]:
        return dict(zip(NAMES, self[:-1], strict=True))

    def subject(self) -> str:
        module = "" if self.module is None else f" [{self.module}]"
        return f"{self.file}:{self.line}{module} func:{self.function}"


class Asked(NamedTuple):
    """Filter options as they are given; lines and sizes are numbers already."""

    files: Sequence[str] = ()
    functions: Sequence[str] = ()
    modules: Sequence[str] = ()
    builtin: bool = False
    lines: Sequence[tuple[int, int]] = ()
    min_size: int | None = None
    max_size: int | None = None
    min_calls: int | None = None
    max_calls: int | None = None
    accurate: bool | None = None
    regexps: Sequence[str] = ()
    ignore_case: bool = False
    invert: bool = False
    excludes: Sequence[str] = ()
    underflowed: bool = False

    def argv(self) -> list[str]:
        """The options of `allocq query` that ask for it."""
        words = []
        for flag, values in (
            ("--file", self.files),
            ("--function", self.functions),
            ("--module", self.modules),
            ("--exclude", self.excludes),
            ("--regexp", self.regexps),
            ("--line", [str(a) if a == b else f"{a}-{b}" for a, b in self.lines]),
        ):
            for value in values:
                words += [flag, value]
        for flag, number in (
            ("--min-size", self.min_size),
            ("--max-size", self.max_size),
            ("--min-calls", self.min_calls),
            ("--max-calls", self.max_calls),
        ):
            if number is not None:
                words += [flag, str(number)]
        for flag, on in (
            ("--builtin", self.builtin),
            ("--underflowed", self.underflowed),
            ("--accurate", self.accurate is True),
            ("--inaccurate", self.accurate is False),
            ("--ignore-case", self.ignore_case and self.regexps),
            ("--invert-match", self.invert),
        ):
            if on:
                words.append(flag)
        return words


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def parse_line(line: str) -> Tag | None:
    """The tag of a line without its newline, None if it is none.

    A file's name may hold anything, so the first ` func:` with FILE:LINE in front of it counts. A
    function's name may hold blanks: it ends where only `key:value` words and numbers are left.
    """
    counters = _COUNTERS.match(line)
    if not counters or "\0" in line:
        return None
    size, calls = int(counters[1]), int(counters[2])
    if not -_S64 <= size < _S64 or calls >= _U64:
        return None
    calls -= _U64 if calls >= _S64 else 0
    head, *parts = line[counters.end() :].split(" func:")
    for i in range(len(parts)):
        place = _PLACE.fullmatch(" func:".join([head, *parts[:i]]))
        name = _FUNCTION.fullmatch(" func:".join(parts[i:]))
        if place and name and int(place[2]) < _U64:
            number, module = int(place[2]), place[3]
            if _is_mangled(line, place[1], name[1], name[0]):
                return None
            known = "accurate:no" not in name[2].split(" ")
            return Tag(size, calls, place[1], number, module, name[1], known, line)
    return None


def _is_mangled(line: str, file: str, function: str, tail: str) -> bool:
    """Does it only look like a tag: colored, numbered, quoted, of a page, or two tags joined?"""
    before = tail.partition(" func:")[0] if " func:" in tail else ""
    return bool(
        re.search(r"=(20|0D)?\Z", line)
        or "\x1b[K" in line
        or "\x1b[m" in line
        or "\\_" in line
        or re.search("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]", line)
        or (" " in file and re.search(r"\A |(?:\A| )[0-9]+ +[^ ]*\Z", file))
        or re.search("  +[-0-9]", tail)
        or function[-1] in "`\"',;|*$"
        or re.search(r"[\t\r][ \t]*([-0-9]|\Z)", function)
        or "</" in function
        or "<br" in function
        or (";" in function and re.search("&(lt;|gt;|amp;|nbsp;|#)", function))
        or (re.search(r".:[0-9]+\Z|\]\Z", before) and re.search(" [-0-9][^ ]* +[0-9]", before))
    )


def parse(data: bytes) -> list[Tag]:
    """The tags of a good text; what is behind the last newline only if its end is the kernel's, or
    if no line has that end."""
    tags: list[Tag] = []
    *lines, last = decode(data).split("\n")
    for raw in lines if is_cut(data) else [*lines, last]:
        line = raw.removesuffix("\r")
        if line.startswith(("#", "allocinfo - version: ")):
            continue
        tag = parse_line(line)
        assert tag is not None, line
        tags.append(tag)
    return tags


def is_cut(data: bytes) -> bool:
    """Is what is behind the last newline no whole tag?"""
    *lines, last = (line.removesuffix("\r") for line in decode(data).split("\n"))
    first = next((line for line in lines if parse_line(line)), None)
    has_blanks = data.startswith(HEADER[:9]) if first is None else first.endswith(" ")
    return parse_line(last) is None or (has_blanks and not last.endswith(" "))


def is_glob(pattern: str) -> bool:
    return any(c in pattern for c in "*?[")


def name_matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) if is_glob(pattern) else name == pattern


class Place(NamedTuple):
    """A file as it is asked for: `FILE`, or `FILE:LINES [MODULE] func:FUNCTION`."""

    path: str
    lines: range | None = None
    module: str = ""
    function: str = ""


_ASKED = re.compile(
    r"(?P<path>.+?):(?P<first>[0-9]+)(?:-(?P<last>[0-9]+))?"
    r"(?:[:,]|(?: \[(?P<module>[^\[]+)\])?(?: func:(?P<function>[^ ]+)(?: .*)?)?)",
    re.DOTALL,
)


def split_place(pattern: str) -> Place:
    """`FILE:N`, `FILE:N-M` or what tables and lines print taken apart."""
    parts = _ASKED.fullmatch(pattern)
    if not parts:
        return Place(pattern)
    first, last = int(parts["first"]), int(parts["last"] or parts["first"])
    if first > last:
        return Place(pattern)
    found = parts["module"] or "", parts["function"] or ""
    return Place(parts["path"], range(first, last + 1), *found)


def file_matches(tag: Tag, pattern: str) -> bool:
    pattern, lines, module, function = split_place(pattern)
    if lines is not None and tag.line not in lines:
        return False
    if (module and tag.module != module) or (function and tag.function != function):
        return False
    if is_glob(pattern):
        return fnmatchcase(tag.file, pattern)
    below = tag.file.startswith(pattern.removesuffix("/") + "/")
    if pattern.endswith("/"):
        return below
    if pattern[:1] == "/" and "." in pattern.rpartition("/")[2]:
        return tag.file == pattern
    return below or ("/" + tag.file).endswith("/" + pattern)


def module_matches(module: str, pattern: str) -> bool:
    """As people write it: xfs, [xfs], xfs.ko, nf-conntrack, kernel/fs/xfs/xfs.ko.xz."""
    if inner := re.fullmatch(r"\[([^!\[][^\[]*)\]", pattern):
        pattern = inner[1]
    if is_glob(pattern):
        return fnmatchcase(module, pattern)
    pattern = re.sub(r"^.*/(?=.)", "", pattern)
    return module == re.sub(r"(?<=.)\.ko(\..*)?$", "", pattern).replace("-", "_")


def function_matches(function: str, pattern: str) -> bool:
    """As C and stack traces write it too: f(), f.isra.0+0x10/0x20."""
    if pattern.startswith("func:") and pattern != "func:":
        pattern = pattern.removeprefix("func:")
    if not is_glob(pattern):
        pattern = re.sub(r"(?<=.)(\+0x|\.isra\.|\.constprop\.|\.part\.|\.cold|\(\)).*", "", pattern)
    return name_matches(function, pattern)


def matches(tag: Tag, asked: Asked) -> bool:
    if asked.files and not any(file_matches(tag, p) for p in asked.files):
        return False
    if any(file_matches(tag, p) for p in asked.excludes):
        return False
    if asked.functions and not any(function_matches(tag.function, p) for p in asked.functions):
        return False
    if asked.builtin and tag.module is not None:
        return False
    if asked.modules and (
        tag.module is None or not any(module_matches(tag.module, p) for p in asked.modules)
    ):
        return False
    if asked.lines and not any(low <= tag.line <= high for low, high in asked.lines):
        return False
    for value, low, high in (
        (tag.bytes, asked.min_size, asked.max_size),
        (tag.calls, asked.min_calls, asked.max_calls),
    ):
        if (low is not None and value < low) or (high is not None and value > high):
            return False
    if asked.underflowed and tag.bytes >= 0 and tag.calls >= 0:
        return False
    if asked.accurate is not None and tag.accurate != asked.accurate:
        return False
    flags = re.IGNORECASE if asked.ignore_case else 0
    if asked.regexps:
        found = any(re.search(regexp, tag.subject(), flags) for regexp in asked.regexps)
        return found != asked.invert
    return True


def select(tags: Iterable[Tag], asked: Asked) -> list[Tag]:
    """To the letter, as the library reads a filter."""
    return [tag for tag in tags if matches(tag, asked)]


def widened(pattern: str) -> str:
    """A relative glob or directory, at any component of a path; ./ is taken off."""
    if pattern[:2] == "./" and len(pattern) > 2:
        return pattern[2:]
    place = split_place(pattern)
    if pattern[:1] in ("*", "/") or (place.lines is not None and not is_glob(place.path)):
        return pattern
    if pattern.endswith("/"):
        return f"*/{pattern}*"
    if is_glob(pattern):
        return f"*/{pattern}"
    return pattern if "." in pattern.rpartition("/")[2] else f"*/{pattern}/*"


def meant(tags: Sequence[Tag], asked: Asked) -> list[Tag]:
    """As `query` reads it: where nothing matches, relative patterns may begin anywhere."""
    return select(tags, asked) or select(
        tags, asked._replace(files=[widened(pattern) for pattern in asked.files])
    )


def average(size: int, calls: int) -> Fraction:
    return Fraction(size, calls) if calls > 0 else Fraction(0)


def ordered(tags: Sequence[Tag], sort: str, reverse: bool, limit: int | None) -> list[Tag]:
    """The first `limit` in order; equals stay as they are, whichever way round."""
    shown = list(tags)
    if sort == "none":
        shown = shown[::-1] if reverse else shown
    elif sort in ("bytes", "calls", "average"):
        value = {
            "bytes": lambda tag: tag.bytes,
            "calls": lambda tag: tag.calls,
            "average": lambda tag: average(tag.bytes, tag.calls),
        }[sort]
        shown.sort(key=value, reverse=not reverse)
    else:
        name = {
            "file": lambda tag: (tag.file, tag.line),
            "function": lambda tag: tag.function,
            "module": lambda tag: tag.module or "",
        }[sort]
        shown.sort(key=name, reverse=reverse)
    return shown[:limit]


def grouped(tags: Iterable[Tag], by: str, signed: bool = False) -> dict[Any, tuple[int, int, int]]:
    """(bytes, calls, tags) by key, in the order the keys first come. What is below zero is not in
    the sums, unless signed."""
    sums: dict[Any, tuple[int, int, int]] = {}
    for tag in tags:
        key = {
            "file": tag.file,
            "directory": os.path.dirname(tag.file) or ".",
            "function": tag.function,
            "module": tag.module,
            "location": tag[2:6],
        }[by]
        size, calls, count = sums.get(key, (0, 0, 0))
        below = not signed and (tag.bytes < 0 or tag.calls < 0)
        sums[key] = size + tag.bytes * (not below), calls + tag.calls * (not below), count + 1
    return sums


def ordered_groups(
    groups: Sequence[tuple[int, int, int, str | None]], sort: str, reverse: bool, limit: int | None
) -> list[tuple[int, int, int, str | None]]:
    """The first `limit` groups (bytes, calls, tags, key) in order; any name sorts by the key."""
    shown = list(groups)
    if sort == "none":
        shown = shown[::-1] if reverse else shown
    elif sort in ("file", "function", "module"):
        shown.sort(key=lambda group: group[3] or "", reverse=reverse)
    else:
        value = {
            "bytes": lambda group: group[0],
            "calls": lambda group: group[1],
            "average": lambda group: average(group[0], group[1]),
        }[sort]
        shown.sort(key=value, reverse=not reverse)
    return shown[:limit]


def is_slab_page(tag: Tag) -> bool:
    in_slub = ("/" + tag.file).endswith("/mm/slub.c")
    return in_slub and tag.function == "alloc_slab_page" and tag.module is None


def once(tags: Sequence[Tag]) -> tuple[int, int]:
    """(bytes, calls) with nothing counted twice and nothing below zero."""
    sound = [tag for tag in tags if tag.bytes >= 0 and tag.calls >= 0]
    objects = [tag for tag in sound if not is_slab_page(tag)]
    counted = objects if any(tag.bytes for tag in objects) else sound
    return sum(tag.bytes for tag in counted), sum(tag.calls for tag in counted)


def total(tags: Sequence[Tag]) -> dict[str, int]:
    return {
        "tags": len(tags),
        "bytes": sum(tag.bytes for tag in tags),
        "calls": sum(tag.calls for tag in tags),
    }
