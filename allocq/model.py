"""Tags, filters and facts about a source: plain values, no I/O."""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import index
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

from .core.filter import PatternFault, pattern_fault, widened
from .errors import UsageError
from .units import exact_size, parse_bound, parse_lines

NO_MINIMUM = -(1 << 63)
NO_MAXIMUM = (1 << 63) - 1
NO_CALLS_MAXIMUM = (1 << 64) - 1

# Fields of a Filter whose command line options have other names.
_OPTION_NAMES = {
    "files": "file",
    "functions": "function",
    "modules": "module",
    "lines": "line",
    "regexps": "regexp",
    "excludes": "exclude",
    "words": "word",
}
_FIELD_NAMES = {option: name for name, option in _OPTION_NAMES.items()}


@dataclass(frozen=True, slots=True, repr=False)
class Tag:
    """One allocation site in the kernel source and what it holds.

    bytes: signed; negative if the counter underflowed.
    calls: live allocations, a gauge (mm/alloc_tag.c); signed, as bytes are. The text prints what is
    below zero as a huge number.
    file, function: as the kernel spells them; the ioctl returns only the last 63 bytes, which are
    completed where possible.
    module: None for built-in code.
    accurate: False if the kernel missed some allocations.
    """

    bytes: int
    calls: int
    file: str
    line: int
    module: str | None
    function: str
    accurate: bool = True

    @property
    def underflowed(self) -> bool:
        """Is the counter below zero?"""
        return self.bytes < 0 or self.calls < 0

    @property
    def key(self) -> tuple[str, int, str | None, str]:
        """(file, line, module, function); not unique: a macro can put several tags on one line."""
        return self.file, self.line, self.module, self.function

    def __repr__(self) -> str:
        module = "" if self.module is None else f" [{self.module}]"
        return (
            f"<Tag {self.file}:{self.line}{module} func:{self.function}"
            f" bytes={self.bytes} calls={self.calls}{'' if self.accurate else ' inaccurate'}>"
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Filter:
    """Selects tags: different fields narrow, several items in one field widen; empty matches all.

    files, excludes: whole paths, last components, or globs that must match the whole path.
    functions, modules: names or globs. builtin: only built-in code.
    lines: numbers, (first, last) pairs, inclusive, or texts like "100-200"; become pairs.
    min_size, max_size: bytes, inclusive, or texts like "1M", which become numbers; may be below
    zero, to find underflowed counters.
    min_calls, max_calls: live allocations, inclusive; may be below zero too.
    underflowed: only counters whose bytes or calls are below zero.
    accurate: True, False, or None for both.
    regexps: searched in `FILE:LINE [MODULE] func:FUNCTION`; invert keeps what none matches.
    words: each a file, its name without suffix, a directory, FILE:LINE, a function or a module,
    whichever exists. Raises UsageError for values that are invalid or of a wrong type. Sequences
    become tuples.

    >>> Filter(min_size="1M", lines=[1938, (10, 20)])
    Filter(lines=((1938, 1938), (10, 20)), min_size=1048576)
    """

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
    underflowed: bool = False
    regexps: Sequence[str] = ()
    ignore_case: bool = False
    invert: bool = False
    excludes: Sequence[str] = ()
    words: Sequence[str] = ()

    if TYPE_CHECKING:  # what is accepted is more than what is kept

        def __init__(
            self,
            *,
            files: Iterable[str] = (),
            functions: Iterable[str] = (),
            modules: Iterable[str] = (),
            builtin: bool = False,
            lines: Iterable[int | str | tuple[int, int]] = (),
            min_size: int | str | None = None,
            max_size: int | str | None = None,
            min_calls: int | str | None = None,
            max_calls: int | str | None = None,
            accurate: bool | None = None,
            underflowed: bool = False,
            regexps: Iterable[str] = (),
            ignore_case: bool = False,
            invert: bool = False,
            excludes: Iterable[str] = (),
            words: Iterable[str] = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        for name in ("files", "functions", "modules", "regexps", "excludes", "words"):
            object.__setattr__(self, name, _strings(name, getattr(self, name)))
        object.__setattr__(self, "lines", _ranges("lines", self.lines))
        for name in ("min_size", "max_size", "min_calls", "max_calls"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        for name in ("builtin", "accurate", "underflowed", "ignore_case", "invert"):
            _check_flag(name, getattr(self, name))
        for what, patterns in (
            ("file", self.files),
            ("function", self.functions),
            ("module", self.modules),
            ("exclude", self.excludes),
            ("word", self.words),
        ):
            for pattern in patterns:
                check_pattern(what, pattern)
        if self.builtin and self.modules:
            raise UsageError(
                "--builtin and --module cannot be used together",
                "use --builtin for built-in code, --module for modules",
            )
        for first, last in self.lines:
            _check_range("line", first, last, 0, NO_CALLS_MAXIMUM)
        _check_range("size", self.min_size, self.max_size, NO_MINIMUM, NO_MAXIMUM)
        _check_range("calls", self.min_calls, self.max_calls, NO_MINIMUM, NO_MAXIMUM)
        if self.invert and not self.regexps:
            raise UsageError("--invert-match needs --regexp", "add -e REGEX")
        self.compiled()

    def compiled(self) -> list[re.Pattern[str]]:
        """The regexps, compiled. UsageError for a bad one."""
        compiled = []
        for regexp in self.regexps:
            try:
                with warnings.catch_warnings():  # warnings address programmers
                    warnings.simplefilter("ignore")
                    compiled.append(re.compile(regexp, re.IGNORECASE if self.ignore_case else 0))
            except (re.error, ValueError, RecursionError, OverflowError) as error:
                raise UsageError(
                    f"invalid regexp '{regexp}': {error}", "regexps use Python syntax"
                ) from None
        return compiled

    def widened(self) -> Self | None:
        """The filter to try where nothing matched: relative globs and directories begin at any
        component of a path. None where there are none."""
        files = tuple(widened(pattern) or pattern for pattern in self.files)
        return None if files == self.files else replace(self, files=files)

    @property
    def asks_counters(self) -> bool:
        """Does the filter use counters (sizes, calls, accuracy, underflow)?"""
        return self.underflowed or self.accurate is not None or self.asks_bounds

    @property
    def asks_bounds(self) -> bool:
        """Does the filter bound sizes or calls?"""
        bounds = (self.min_size, self.max_size, self.min_calls, self.max_calls)
        return any(bound is not None for bound in bounds)

    def passes(self, bytes: int, calls: int) -> bool:
        """Are these counters within the bounds?"""
        return (
            (self.min_size is None or bytes >= self.min_size)
            and (self.max_size is None or bytes <= self.max_size)
            and (self.min_calls is None or calls >= self.min_calls)
            and (self.max_calls is None or calls <= self.max_calls)
        )

    def without_bounds(self) -> Self:
        """The filter without bounds of sizes and calls."""
        return replace(self, min_size=None, max_size=None, min_calls=None, max_calls=None)

    def items(self) -> dict[str, object]:
        """The fields that are set, sorted by name."""
        values = {name: getattr(self, name) for name in sorted(_FILTER_FIELDS)}
        return {
            name: value
            for name, value in values.items()
            if value not in (None, ()) and (value is not False or name == "accurate")
        }

    def as_options(self) -> dict[str, object]:
        """The fields that are set, under the names of the command line options."""
        return {_OPTION_NAMES.get(name, name): value for name, value in self.items().items()}

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `as_options`. UsageError for unknown or invalid fields."""
        named = {_FIELD_NAMES.get(name, name): value for name, value in values.items()}
        if unknown := named.keys() - _FILTER_FIELDS:
            raise UsageError(f"unknown filter: {', '.join(sorted(unknown))}")
        return cls(**named)

    def __repr__(self) -> str:
        return f"Filter({', '.join(f'{name}={value!r}' for name, value in self.items().items())})"


_FILTER_FIELDS = {each.name for each in fields(Filter)}


@dataclass(slots=True)
class Info:
    """Facts about the source of an answer.

    interface: ioctl, text, or vmcore for a crash dump. kernel: the release, None if a saved listing
    does not say. content_id: None without the ioctl.
    consistent: False if modules were loaded or unloaded during every attempt, or the text is
    truncated; None if unknown.
    time: seconds since 1970, or None. version: of the text format. ioctls: how many were made.
    metadata: of a snapshot. warnings: messages for people.
    live: is it a running kernel?
    listing: the kind of text (tags, kernel log, allocq output, listing) if it is not strictly
    /proc/allocinfo. rounded: the sizes are not exact. truncated: its end is missing, so that tags
    are, too.
    """

    path: str
    interface: str
    kernel: str | None = None
    content_id: int | None = None
    consistent: bool | None = None
    time: float | None = None
    version: str = ""
    ioctls: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    listing: str = ""
    rounded: bool = False
    truncated: bool = False
    live: bool = False


def _strings(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        raise UsageError(
            f"{name} must be a list of strings, not a string", f"use {name}=[{value!r}]"
        )
    if isinstance(value, Iterable):
        strings = tuple(value)
        if all(isinstance(string, str) for string in strings):
            return strings
    raise UsageError(f"{name} must be a list of strings, not {value!r}")


def _ranges(name: str, value: object) -> tuple[tuple[int, int], ...]:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return tuple(_range(name, item) for item in value)
    raise UsageError(
        f"{name} must be a list of numbers or pairs, not {value!r}", f"use {name}=[100, (200, 300)]"
    )


def _range(name: str, item: object) -> tuple[int, int]:
    if isinstance(item, str):
        return parse_lines(item)
    if (number := _index(item)) is not None:
        return number, number
    pair = tuple(item) if isinstance(item, Sequence) and not isinstance(item, bytes) else ()
    first, last = map(_index, pair) if len(pair) == 2 else (None, None)
    if first is None or last is None:
        raise UsageError(
            f"{name} must be numbers or pairs of numbers, not {item!r}",
            f"use {name}=[100, (200, 300)]",
        )
    return first, last


def _index(value: object) -> int | None:
    """A whole number, also one of numpy; None for anything else."""
    return (
        index(value) if isinstance(value, SupportsIndex) and not isinstance(value, bool) else None
    )


def _number(name: str, value: object) -> int | None:
    size = name.endswith("_size")
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return parse_bound(value, size)
        except UsageError as error:
            raise UsageError(f"{name}: {error}", error.hint) from None
    if (number := _index(value)) is not None:
        return number
    raise UsageError(
        f"{name} must be a whole number{' or a size' if size else ''}, not {value!r}",
        f'use {name}=4096 or {name}="4K"' if size else f"use {name}=100",
    )


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool) and (value is not None or name != "accurate"):
        raise UsageError(f"{name} must be True or False, not {value!r}")


def check_pattern(what: str, pattern: str) -> None:
    """Raise UsageError unless `pattern` is a valid name or glob."""
    try:
        fault, at = pattern_fault(pattern)
    except UnicodeEncodeError:
        raise UsageError(f"invalid {what} {pattern!r}: not valid Unicode") from None
    if fault is PatternFault.EMPTY:
        raise UsageError(
            f"empty {what} pattern",
            "use --builtin for built-in code" if what == "module" else "",
        )
    if fault is PatternFault.NUL:
        raise UsageError(f"invalid {what} {pattern!r}: contains a NUL byte")
    if fault is PatternFault.OPEN:
        raise UsageError(f"invalid glob '{pattern}': '[' is not closed", "use [[] to match a '['")
    if fault is PatternFault.RANGE:
        low, high = pattern[at], pattern[at + 2]
        raise UsageError(
            f"invalid glob '{pattern}': range '{low}-{high}' is empty", f"try {high}-{low}"
        )


def _check_range(what: str, low: int | None, high: int | None, least: int, most: int) -> None:
    for bound in (low, high):
        if bound is not None and not least <= bound <= most:
            raise UsageError(f"{what} {bound} is out of range", f"use {least} to {most}")
    if low is not None and high is not None and low > high:
        if what == "line":
            raise UsageError(f"line range {low}-{high} is empty", f"try {high}-{low}")
        shown = [exact_size(bound) if what == "size" else str(bound) for bound in (low, high)]
        raise UsageError(
            f"--min-{what} ({shown[0]}) is larger than --max-{what} ({shown[1]})",
            "lower the minimum or raise the maximum",
        )
