"""What counts as one place across kernels, and which places a filter matches.

The filter is that of query, checked by the same code: the engine of a fleet is asked for the names
that there are, and gets back the numbers of those that match.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..analysis.diff import names_only
from ..analysis.groups import directory_of
from ..core.table import Table
from ..core.text import is_plain, parse
from ..model import Filter
from ..sources.matcher import Matcher

_LONGEST = 1 << 16

Tag = tuple[str, int, str, str]
"""(file, line, module, function); module "" for built-in code."""


@dataclass(frozen=True, slots=True)
class Name:
    """A tag's names in one kernel. module: "" for built-in code. rows: how many it has."""

    kernel: str
    file: str
    line: int
    module: str
    function: str
    rows: int = 1

    @property
    def tag(self) -> Tag:
        """The names without the kernel."""
        return self.file, self.line, self.module, self.function


Key = tuple[str | None, int | None, str | None, str | None]
"""(file, line, module, function); None for what a group does not have, and for the line where lines
moved between kernels."""


@dataclass(frozen=True, slots=True)
class Places:
    """Keys by number, and the number of the key of each tag that matches. unclear: kernels whose
    name stands for several builds, with how many functions have other lines; odd: how many tags
    have names that no kernel prints."""

    keys: Sequence[Key]
    numbers: Mapping[Tag, int]
    unclear: Mapping[str, int]
    odd: int = 0


def places_of(
    names: Sequence[Name], filter: Filter, group_by: str | None, samples: Mapping[str, int]
) -> Places:
    """Number the places that match the names of `filter`. samples: how many are of each kernel."""
    unclear = unclear_kernels(names, samples)
    moved = moved_functions(names, unclear)
    matching, odd = match(sorted({name.tag for name in names}), filter)
    numbers: dict[Key, int] = {}
    found = {
        tag: numbers.setdefault(key_of(tag, group_by, moved), len(numbers)) for tag in matching
    }
    return Places(list(numbers), found, unclear, odd)


def key_of(tag: Tag, group_by: str | None, moved: set[tuple[str, str, str]]) -> Key:
    """What is summed under one key."""
    file, line, module, function = tag
    if group_by == "file":
        return file, None, None, None
    if group_by == "directory":
        return directory_of(file), None, None, None
    if group_by == "function":
        return None, None, None, function
    if group_by == "module":
        return None, None, module or None, None
    return file, None if (file, module, function) in moved else line, module or None, function


def moved_functions(
    names: Iterable[Name], unclear: Iterable[str] = ()
) -> set[tuple[str, str, str]]:
    """(file, module, function) whose lines are not the same in every kernel that has them, or are
    those of a kernel that stands for several builds."""
    lines: dict[tuple[str, str, str], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for name in names:
        lines[name.file, name.module, name.function][name.kernel].add(name.line)
    several = set(unclear)
    return {
        function
        for function, by_kernel in lines.items()
        if len({frozenset(each) for each in by_kernel.values()}) > 1
        or any(kernel in several and len(each) > 1 for kernel, each in by_kernel.items())
    }


def unclear_kernels(names: Iterable[Name], samples: Mapping[str, int]) -> dict[str, int]:
    """Kernels of one name that have other lines on other hosts, with how many functions: built-in
    ones that have several lines, but every sample has a row for one of them."""
    seen: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for name in names:
        if not name.module:
            seen[name.kernel, name.file, name.function].append(name.rows)
    found: dict[str, int] = defaultdict(int)
    for (kernel, _, _), counts in seen.items():
        if len(counts) > 1 and sum(counts) == samples.get(kernel):
            found[kernel] += 1
    return dict(found)


_FEW_ROWS = 1 << 16
_ALIKE = 32


def seem_doubled(names: Sequence[Name], samples: Mapping[str, int]) -> bool:
    """Is it worth to look for samples that are there several times? Among few rows whenever that
    can be; otherwise if more than a 32nd of a kernel's tags have more rows than there are samples:
    of tags, about one in a hundred has the names of another. samples: of each kernel."""
    if sum(name.rows for name in names) <= _FEW_ROWS:
        return any(name.rows > 1 for name in names)
    tags, more = Counter[str](), Counter[str]()
    for name in names:
        tags[name.kernel] += 1
        more[name.kernel] += name.rows > samples[name.kernel]
    return any(more[kernel] * _ALIKE > count for kernel, count in tags.items())


def match(tags: Sequence[Tag], filter: Filter) -> tuple[Sequence[Tag], int]:
    """The tags whose names a filter matches, as query reads it, and how many it cannot be asked
    about, because no kernel prints such names. Its counters are not looked at."""
    wanted = names_only(filter)
    if not wanted.items():
        return tags, 0
    lines: list[bytes] = []
    plain: list[Tag] = []
    for tag in tags:
        line = _line(len(plain), tag)
        if len(line) < _LONGEST and b"\n" not in line and is_plain(line):
            lines.append(line + b"\n")
            plain.append(tag)
    text = b"".join(lines)
    found = _matching(text, plain, wanted)
    if not found and (wider := wanted.widened()) is not None:
        found = _matching(text, plain, wider)
    return found, len(tags) - len(plain)


def _line(number: int, tag: Tag) -> bytes:
    """A tag as the kernel prints it, with a number in place of its bytes."""
    file, line, module, function = tag
    inside = f" [{module}]" if module else ""
    text = f"{number:>12} {0:>8} {file}:{line}{inside} func:{function} "
    return text.encode("utf-8", "surrogateescape")


def _matching(text: bytes, tags: Sequence[Tag], filter: Filter) -> list[Tag]:
    matcher = Matcher(filter)
    table = parse(text, matcher.native) if text else Table()
    matcher.finish(table)
    return [tags[number] for number in table.column("bytes")]
