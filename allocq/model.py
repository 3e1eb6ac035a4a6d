"""What is asked and what comes back: plain values, no I/O."""

from .errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable

OPTION_NAMES = {
    "files": "file",
    "functions": "function",
    "modules": "module",
    "lines": "line",
    "regexps": "regexp",
    "excludes": "exclude",
}
NO_MINIMUM = -(1 << 63)
NO_MAXIMUM = (1 << 63) - 1
NO_CALLS_MAXIMUM = (1 << 64) - 1


class Tag:
    """One place in the kernel's source that allocates, and what it holds.

    bytes: signed; below zero where the kernel's counter has gone wrong.
    calls: live allocations, a gauge (mm/alloc_tag.c); file, function: as the kernel has them, whole
    where they could be known; module: None for built-in code; accurate: False where the kernel
    knows that it missed something.
    """

    __slots__ = ("accurate", "bytes", "calls", "file", "function", "line", "module")

    def __init__(
        self,
        bytes: int,
        calls: int,
        file: str,
        line: int,
        module: str | None,
        function: str,
        accurate: bool = True,
    ) -> None:
        self.bytes = bytes
        self.calls = calls
        self.file = file
        self.line = line
        self.module = module
        self.function = function
        self.accurate = accurate

    @property
    def key(self) -> tuple[str, int, str | None, str]:
        """(file, line, module, function); not unique: a macro can place several tags on a line."""
        return self.file, self.line, self.module, self.function

    def _fields(self) -> tuple[object, ...]:
        return (self.bytes, self.calls, *self.key, self.accurate)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tag) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        module = "" if self.module is None else f" [{self.module}]"
        return (
            f"<Tag {self.file}:{self.line}{module} func:{self.function}"
            f" bytes={self.bytes} calls={self.calls}{'' if self.accurate else ' inaccurate'}>"
        )


class Filter:
    """Which tags: fields narrow, the items of one field widen. Empty, it lets everything through.

    files, excludes: whole paths, last components, or globs held against the whole path.
    functions, modules: names or globs. builtin: only code that is in no module.
    lines: (first, last) pairs, inclusive. Sizes are bytes, inclusive; a counter below zero passes
    no min_size. accurate: True or False, None for either. regexps are searched in
    `FILE:LINE [MODULE] func:FUNCTION`; invert keeps what none of them matches.
    Raises UsageError for what cannot be meant.
    """

    __slots__ = (
        "accurate",
        "builtin",
        "excludes",
        "files",
        "functions",
        "ignore_case",
        "invert",
        "lines",
        "max_calls",
        "max_size",
        "min_calls",
        "min_size",
        "modules",
        "regexps",
    )

    def __init__(
        self,
        *,
        files: "Iterable[str]" = (),
        functions: "Iterable[str]" = (),
        modules: "Iterable[str]" = (),
        builtin: bool = False,
        lines: "Iterable[tuple[int, int]]" = (),
        min_size: int | None = None,
        max_size: int | None = None,
        min_calls: int | None = None,
        max_calls: int | None = None,
        accurate: bool | None = None,
        regexps: "Iterable[str]" = (),
        ignore_case: bool = False,
        invert: bool = False,
        excludes: "Iterable[str]" = (),
    ) -> None:
        self.files = _names("files", files)
        self.functions = _names("functions", functions)
        self.modules = _names("modules", modules)
        self.builtin = builtin
        self.lines = tuple((first, last) for first, last in lines)
        self.min_size = min_size
        self.max_size = max_size
        self.min_calls = min_calls
        self.max_calls = max_calls
        self.accurate = accurate
        self.regexps = _names("regexps", regexps)
        self.ignore_case = ignore_case
        self.invert = invert
        self.excludes = _names("excludes", excludes)
        self._check()

    def _check(self) -> None:
        for what, names in (
            ("file", self.files),
            ("function", self.functions),
            ("module", self.modules),
            ("exclude", self.excludes),
        ):
            for name in names:
                check_pattern(what, name)
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
        if self.regexps:
            self.compiled()

    def compiled(self) -> "list[re.Pattern[str]]":
        """The regexps, compiled. UsageError for a bad one."""
        import re
        import warnings

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
        """What was asked, by name; what was not asked is left out."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: value
            for name, value in values.items()
            if value not in (None, ()) and (value is not False or name == "accurate")
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self.items() == other.items()

    def __hash__(self) -> int:
        return hash(tuple(self.items().items()))

    def __repr__(self) -> str:
        return f"Filter({', '.join(f'{name}={value!r}' for name, value in self.items().items())})"


def asked(filter: Filter) -> dict[str, object]:
    """What was asked for, under the names of its options."""
    return {OPTION_NAMES.get(name, name): value for name, value in filter.items().items()}


class Info:
    """Where an answer is from.

    interface: ioctl or text. kernel: the release, None where a saved text does not say. content_id:
    None without the ioctl. consistent: False where modules came or went during every attempt or a
    text is cut off (`cut`), None where that cannot be known. time: since 1970 in seconds, or None.
    version: of the text's format. notes: what a snapshot says of itself. warnings: for people.
    """

    __slots__ = (
        "consistent",
        "content_id",
        "cut",
        "interface",
        "ioctls",
        "kernel",
        "notes",
        "path",
        "time",
        "version",
        "warnings",
    )

    def __init__(self, path: str, interface: str) -> None:
        self.path = path
        self.interface = interface
        self.kernel: str | None = None
        self.content_id: int | None = None
        self.consistent: bool | None = None
        self.time: float | None = None
        self.version = ""
        self.ioctls = 0
        self.cut = False
        self.notes: dict[str, str] = {}
        self.warnings: list[str] = []


def _names(field: str, names: "Iterable[str]") -> tuple[str, ...]:
    if isinstance(names, str):
        raise UsageError(f"{field} are a list of strings, not one", f"{field}=[{names!r}]")
    return tuple(names)


def is_glob(pattern: str) -> bool:
    """Is it a glob, not a plain name?"""
    return "*" in pattern or "?" in pattern or "[" in pattern


def check_pattern(what: str, pattern: str) -> None:
    """UsageError unless `pattern` is a name or a glob that can match something."""
    if not pattern:
        raise UsageError(
            f"empty {what}", "--builtin finds code that is in no module" if what == "module" else ""
        )
    if "\0" in pattern:
        raise UsageError(f"bad {what} {pattern!r}: no name holds a NUL")
    try:
        pattern.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UsageError(f"bad {what} {pattern!r}: it is no text") from None
    at = 0
    while (at := pattern.find("[", at)) >= 0:
        start = at + 2 if pattern[at + 1 : at + 2] == "!" else at + 1
        end = pattern.find("]", start + 1)
        if end < 0:
            raise UsageError(f"bad glob '{pattern}': '[' is not closed", "[[] stands for a '['")
        _check_class(pattern, pattern[start:end])
        at = end + 1


def _check_class(pattern: str, members: str) -> None:
    at = 0
    while at < len(members):
        if members[at + 1 : at + 2] == "-" and at + 2 < len(members):
            if members[at] > members[at + 2]:
                raise UsageError(
                    f"bad glob '{pattern}': range '{members[at : at + 3]}' is empty",
                    f"try {members[at + 2]}-{members[at]}",
                )
            at += 3
        else:
            at += 1


def _check_range(what: str, low: int | None, high: int | None, least: int, most: int) -> None:
    for bound in (low, high):
        if bound is not None and not least <= bound <= most:
            raise UsageError(f"no {what} can be {bound}", f"from {least} to {most}")
    if low is not None and high is not None and low > high:
        raise UsageError(f"no {what} is at least {low} and at most {high}", "swap the two")
