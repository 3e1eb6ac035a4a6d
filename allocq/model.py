"""What is asked and what comes back: plain values, no I/O."""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from .core.filter import PatternFault, pattern_fault
from .errors import UsageError

NO_MINIMUM = -(1 << 63)
NO_MAXIMUM = (1 << 63) - 1
NO_CALLS_MAXIMUM = (1 << 64) - 1

# Fields of a Filter whose options on the command line have other names.
_OPTION_NAMES = {
    "files": "file",
    "functions": "function",
    "modules": "module",
    "lines": "line",
    "regexps": "regexp",
    "excludes": "exclude",
}
_FIELD_NAMES = {option: name for name, option in _OPTION_NAMES.items()}


@dataclass(frozen=True, slots=True, repr=False)
class Tag:
    """One allocation site in the kernel's source, and what it holds.

    bytes: signed; below zero where the kernel's counter has underflowed.
    calls: live allocations, a gauge (mm/alloc_tag.c); file, function: as the kernel has them, whole
    where they could be known; module: None for built-in code; accurate: False where the kernel
    missed some allocations.
    """

    bytes: int
    calls: int
    file: str
    line: int
    module: str | None
    function: str
    accurate: bool = True

    @property
    def key(self) -> tuple[str, int, str | None, str]:
        """(file, line, module, function); not unique: a macro can place several tags on a line."""
        return self.file, self.line, self.module, self.function

    def __repr__(self) -> str:
        module = "" if self.module is None else f" [{self.module}]"
        return (
            f"<Tag {self.file}:{self.line}{module} func:{self.function}"
            f" bytes={self.bytes} calls={self.calls}{'' if self.accurate else ' inaccurate'}>"
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Filter:
    """Which tags: fields narrow, the items of one field widen. Empty, it lets everything through.

    files, excludes: whole paths, last components, or globs that must match the whole path.
    functions, modules: names or globs. builtin: only code that is in no module.
    lines: (first, last) pairs, inclusive. Sizes are bytes, inclusive; a counter below zero passes
    no min_size. accurate: True or False, None for either. regexps are searched in
    `FILE:LINE [MODULE] func:FUNCTION`; invert keeps what none of them matches.
    Raises UsageError for what cannot be meant. Sequences become tuples.
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
    regexps: Sequence[str] = ()
    ignore_case: bool = False
    invert: bool = False
    excludes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("files", "functions", "modules", "regexps", "excludes"):
            object.__setattr__(self, name, _strings(name, getattr(self, name)))
        object.__setattr__(self, "lines", _ranges("lines", self.lines))
        for name in ("min_size", "max_size", "min_calls", "max_calls"):
            _check_number(name, getattr(self, name))
        for name in ("builtin", "accurate", "ignore_case", "invert"):
            _check_flag(name, getattr(self, name))
        for what, patterns in (
            ("file", self.files),
            ("function", self.functions),
            ("module", self.modules),
            ("exclude", self.excludes),
        ):
            for pattern in patterns:
                check_pattern(what, pattern)
        if self.builtin and self.modules:
            raise UsageError(
                "built-in code is in no module", "give --builtin or --module, not both"
            )
        for first, last in self.lines:
            _check_range("line", first, last, 0, NO_CALLS_MAXIMUM)
        _check_range("size", self.min_size, self.max_size, NO_MINIMUM, NO_MAXIMUM)
        _check_range("calls", self.min_calls, self.max_calls, 0, NO_CALLS_MAXIMUM)
        if self.invert and not self.regexps:
            raise UsageError("nothing to invert", "-v goes with -e REGEX")
        self.compiled()

    def compiled(self) -> list[re.Pattern[str]]:
        """The regexps, compiled. UsageError for a bad one."""
        compiled = []
        for regexp in self.regexps:
            try:
                with warnings.catch_warnings():  # Python's are for programmers
                    warnings.simplefilter("ignore")
                    compiled.append(re.compile(regexp, re.IGNORECASE if self.ignore_case else 0))
            except (re.error, ValueError, RecursionError, OverflowError) as error:
                raise UsageError(
                    f"bad regexp '{regexp}': {error}", "regexps are Python's; -e 'a.b' is a regexp"
                ) from None
        return compiled

    @property
    def asks_counters(self) -> bool:
        """Does the answer depend on anything that moves: sizes, calls, accuracy?"""
        bounds = (self.min_size, self.max_size, self.min_calls, self.max_calls, self.accurate)
        return any(bound is not None for bound in bounds)

    def items(self) -> dict[str, object]:
        """What was asked, by name and in the order of the names; the rest is left out."""
        values = {name: getattr(self, name) for name in sorted(_FILTER_FIELDS)}
        return {
            name: value
            for name, value in values.items()
            if value not in (None, ()) and (value is not False or name == "accurate")
        }

    def as_options(self) -> dict[str, object]:
        """What was asked, under the names of the command line's options."""
        return {_OPTION_NAMES.get(name, name): value for name, value in self.items().items()}

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """The filter that `as_options` wrote down. UsageError for what is none."""
        named = {_FIELD_NAMES.get(name, name): value for name, value in values.items()}
        if unknown := named.keys() - _FILTER_FIELDS:
            raise UsageError(f"no such filter: {', '.join(sorted(unknown))}")
        return cls(**named)

    def __repr__(self) -> str:
        return f"Filter({', '.join(f'{name}={value!r}' for name, value in self.items().items())})"


_FILTER_FIELDS = {each.name for each in fields(Filter)}


@dataclass(slots=True)
class Info:
    """Where an answer is from.

    interface: ioctl or text. kernel: the release, None where a saved text does not say. content_id:
    None without the ioctl. consistent: False where modules came or went during every attempt or a
    text is cut off, None where that cannot be known. time: since 1970 in seconds, or None.
    version: of the text's format. metadata: what a snapshot says of itself. warnings: for people.
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


def _strings(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        raise UsageError(f"{name} are a list of strings, not one", f"{name}=[{value!r}]")
    if isinstance(value, Iterable):
        strings = tuple(value)
        if all(isinstance(string, str) for string in strings):
            return strings
    raise UsageError(f"{name} are a list of strings, not {value!r}")


def _ranges(name: str, value: Any) -> tuple[tuple[int, int], ...]:
    try:
        ranges = tuple((first, last) for first, last in value)
        if all(isinstance(line, int) for pair in ranges for line in pair):
            return ranges
    except (TypeError, ValueError):
        pass
    raise UsageError(f"{name} are pairs of numbers, not {value!r}", f"{name}=[(100, 200)]")


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | None):
        raise UsageError(
            f"{name} is a whole number, not {value!r}", "parse_size() reads sizes like 1M"
        )


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool) and (value is not None or name != "accurate"):
        raise UsageError(f"{name} is True or False, not {value!r}")


def check_pattern(what: str, pattern: str) -> None:
    """UsageError unless `pattern` is a name or a glob that can match something."""
    try:
        fault, at = pattern_fault(pattern)
    except UnicodeEncodeError:
        raise UsageError(f"bad {what} {pattern!r}: not valid text") from None
    if fault is PatternFault.EMPTY:
        raise UsageError(
            f"empty {what}", "--builtin finds code that is in no module" if what == "module" else ""
        )
    if fault is PatternFault.NUL:
        raise UsageError(f"bad {what} {pattern!r}: no name contains a NUL")
    if fault is PatternFault.OPEN:
        raise UsageError(f"bad glob '{pattern}': '[' is not closed", "[[] matches a '['")
    if fault is PatternFault.RANGE:
        low, high = pattern[at], pattern[at + 2]
        raise UsageError(
            f"bad glob '{pattern}': range '{low}-{high}' is empty", f"try {high}-{low}"
        )


def _check_range(what: str, low: int | None, high: int | None, least: int, most: int) -> None:
    for bound in (low, high):
        if bound is not None and not least <= bound <= most:
            raise UsageError(f"no {what} can be {bound}", f"from {least} to {most}")
    if low is not None and high is not None and low > high:
        raise UsageError(f"no {what} is at least {low} and at most {high}", "swap the two")
