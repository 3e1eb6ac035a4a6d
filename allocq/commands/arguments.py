"""Checks the values of options and turns them into typed requests; opens nothing."""

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..analysis.slab import SlabRule
from ..core.kernel import idle_pipe, stdin_is_meant
from ..errors import SourceError, UsageError
from ..model import Filter
from ..options.shared import (
    BOUNDS,
    COLORS,
    FORMATS,
    GROUPS,
    INTERFACES,
    PAGERS,
    SLABS,
    SORTS,
)
from ..output import Shape
from ..output.stream import say, warn
from ..output.terminal import Screen, wants_color
from ..sources.source import Live, Saved, Wanted, open_source, sample_path
from ..times import parse_time
from ..units import parse_bound, parse_count, parse_lines
from .file_names import missing_file, quoted

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)


def scheme_of(place: str) -> str:
    """What is before :// in an address; "" for the path of a file."""
    scheme, separator, _ = place.partition("://")
    return scheme if separator and _SCHEME.fullmatch(scheme) else ""


@dataclass(frozen=True, slots=True)
class View:
    """How to show an answer. None: the default for the format and terminal."""

    format: str | None = None
    sort: str | None = None
    reverse: bool = False
    limit: int | None = None
    group_by: str | None = None
    count: bool = False
    quiet: bool = False
    header: bool | None = None
    bytes: bool = False
    color: str = "auto"
    bounds: str = "sums"
    slab: SlabRule = SlabRule.ONCE
    pager: str = "auto"

    @property
    def is_default(self) -> bool:
        """Is nothing asked for but how a table looks?"""
        return self == View(
            header=self.header, bytes=self.bytes, color=self.color, slab=self.slab, pager=self.pager
        )


def read_slab(values: Mapping[str, object]) -> SlabRule:
    """--slab; `mark` is its old spelling of `once`. UsageError for other values."""
    value = values.get("slab")
    return SlabRule(choice("slab", None if value == "mark" else value, SLABS) or "once")


def read_view(values: Mapping[str, object]) -> View:
    """The View from the values of the view options. UsageError if invalid."""
    header = values.get("header")
    view = View(
        format=_format(values.get("format")),
        sort=choice("sort", values.get("sort"), SORTS),
        reverse=bool(values.get("reverse")),
        limit=number("limit", values.get("limit")),
        group_by=choice("group-by", values.get("group_by"), GROUPS),
        count=bool(values.get("count")),
        quiet=bool(values.get("quiet")),
        header=None if header is None else bool(header),
        bytes=bool(values.get("bytes")),
        color=choice("color", values.get("color"), COLORS) or "auto",
        bounds=choice("bounds", values.get("bounds"), BOUNDS) or "sums",
        slab=read_slab(values),
        pager=choice("pager", values.get("pager"), PAGERS) or "auto",
    )
    if values.get("bounds") is not None and view.group_by is None:
        raise UsageError("--bounds needs --group-by", "without sums, bounds hold for the tags")
    _refuse_ignored(view)
    return view


def _format(value: object) -> str | None:
    """A format; UsageError for others, and for what is rather the name of a file."""
    try:
        return choice("format", value, FORMATS)
    except UsageError as error:
        if isinstance(value, str) and ("." in value or "/" in value):
            raise UsageError(str(error), f"--output {quoted(value)} writes to a file") from None
        raise


def _refuse_ignored(view: View) -> None:
    """UsageError for sums that cannot be sorted or headed as was asked."""
    if view.group_by is None:
        return
    names = {"directory": ("file",), "location": ("file", "function", "module")}
    keys = names.get(view.group_by, (view.group_by,))
    if view.sort in ("file", "function", "module") and view.sort not in keys:
        raise UsageError(
            f"--group-by {view.group_by} has no {view.sort} to sort by",
            "sort sums by bytes or calls, or by what they are grouped by",
        )
    if view.format == "procfs" and view.header:
        raise UsageError(
            "--header cannot be used with sums in procfs format",
            "the kernel's header is for its own lines; -o tsv has one for sums",
        )


def read_table_view(values: Mapping[str, object]) -> View:
    """The View of a command that only has --header, --bytes and --color."""
    return read_view(
        {name: values[name] for name in ("header", "bytes", "color") if name in values}
    )


def format_of(view: View, terminal: bool) -> str:
    """The format, with its default resolved."""
    return view.format or ("table" if terminal else "procfs")


def sort_of(view: View, format: str) -> str:
    """The sort key, with its default resolved."""
    return view.sort or ("bytes" if format == "table" else "none")


def wanted_of(view: View, sort: str) -> Wanted:
    """How many of the matching tags the view needs."""
    if view.slab.keeps_pages is not None:
        return Wanted()
    if view.quiet:
        return Wanted(first=1)
    if view.count or view.group_by or view.reverse or view.limit is None:
        return Wanted()
    if sort == "bytes":
        return Wanted(top=view.limit)
    # At least one, because the exit status says whether a tag matched.
    return Wanted(first=max(view.limit, 1)) if sort == "none" else Wanted()


def shape_of(view: View, format: str, screen: Screen | bool) -> Shape:
    """The layout for a view. screen: where it is shown, or whether that is a terminal."""
    header = format in ("table", "csv", "tsv") if view.header is None else view.header
    if isinstance(screen, bool):
        screen = Screen(screen)
    color = wants_color(view.color, screen.terminal)
    return Shape(header, view.bytes, color, screen.width, average=view.sort == "average")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the tags come from; `path` None is the running kernel. is_word: it was a bare word.
    idle: nothing came through the pipe on standard input. is_implied: nobody named the source, but
    something is piped in. words: bare words that are none."""

    path: str | None = None
    sample: bool = False
    interface: str = "auto"
    explain: bool = False
    listing: str | None = None
    is_word: bool = False
    idle: bool = False
    is_implied: bool = False
    words: tuple[str, ...] = ()
    at: float | None = None
    vmlinux: str | None = None

    def open(self) -> Live | Saved:
        """Open the source. SourceError, AccessError, InterfaceError."""
        if self.path is not None and os.path.isdir(self.path):
            if self.vmlinux is not None:
                raise UsageError(f"--vmlinux is for crash dumps, and {self.path} is a directory")
            return self._open_series(self.path)
        if self.at is not None:
            raise UsageError(
                f"--at needs a directory, and {self.path} is not one",
                "name a recording, or a folder of saved listings, with --source",
            )
        path = sample_path() if self.sample else self.path
        try:
            source = open_source(path, self.interface, self.listing, self.vmlinux)
        except SourceError as error:
            if path is None and (missing := missing_file(self.words)):
                raise SourceError(f"no such file: {missing}", f"otherwise: {error}") from None
            raise
        if self.idle:
            warn(idle_pipe())
        if self.is_implied and isinstance(source, Saved):
            source.hint = "what is piped in is the source; </dev/null asks the running kernel"
        return source

    def _open_series(self, folder: str) -> Saved:
        from ..sources.series import open_series

        series = open_series(folder)
        point = series.at(time.time() if self.at is None else self.at)
        if os.isatty(2):
            say(f"allocq: {point.words}")
        source = series.open(point)
        for warning in series.warnings:
            warn(warning)
        return source


def read_origin(values: Mapping[str, object], piped: bool = True) -> Origin:
    """The Origin from the values of the source options. UsageError if invalid.

    piped: without one, what is piped in is the source.
    """
    path = text(values, "source")
    if values.get("second_source") is not None:
        raise UsageError(f"{values['second_source']} is a second source", "give one --source")
    sample = bool(values.get("sample"))
    interface = choice("interface", values.get("interface"), INTERFACES) or "auto"
    if path == "":
        raise UsageError("--source is empty", "name a file, or use - for standard input")
    if sample and path is not None:
        raise UsageError("--sample and --source cannot be used together")
    explain = bool(values.get("explain"))
    idle = is_implied = False
    if path is None and not sample and interface == "auto" and piped and not explain:
        came = stdin_is_meant()
        is_implied = bool(came)
        path, idle = ("-" if came else None), came is None
    listing = read_listing(values)
    if (listing or values.get("list_listings")) and path is None and not sample:
        raise UsageError(
            "--listing and --list-listings are for saved listings", "name one with --source"
        )
    is_word = bool(values.get("source_is_word"))
    words = tuple(strings(values, "words"))
    when = text(values, "at")
    if when is not None and path is None:
        raise UsageError("--at needs --source DIR", "name a recording")
    at = None if when is None else parse_time(when, time.time())
    return Origin(
        path,
        sample,
        interface,
        explain,
        listing,
        is_word,
        idle,
        is_implied,
        words,
        at,
        read_vmlinux(values),
    )


def read_vmlinux(values: Mapping[str, object]) -> str | None:
    """--vmlinux. UsageError if it is empty."""
    vmlinux = text(values, "vmlinux")
    if vmlinux == "":
        raise UsageError("--vmlinux is empty", "name the kernel with its debug info")
    return vmlinux


def read_listing(values: Mapping[str, object]) -> str | None:
    """--listing as a number without leading zeros, `last` or `all`. UsageError for other values."""
    value = text(values, "listing")
    if value is None or value in ("last", "all"):
        return value
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value)):
        raise UsageError(
            f"invalid value '{value}' for --listing", "use a number from 1, last or all"
        )
    return str(int(value))


@dataclass(frozen=True, slots=True)
class Query:
    """The checked options of one `allocq query`. meant: the filter to apply, if not `filter`."""

    filter: Filter
    view: View
    origin: Origin
    meant: Filter | None = None

    @property
    def applied(self) -> Filter:
        """The filter to apply."""
        return self.meant or self.filter


def read_query(values: Mapping[str, object]) -> Query:
    """The Query from the values of a command line. UsageError if invalid."""
    values = resolve_words(values)
    return Query(read_filter(values), read_view(values), read_origin(values))


# Of a kernel tree and of /lib/modules: names that tags have, although there may be such a file.
_KERNEL_NAME = re.compile(r"\.(?:c|h|S|rs|ko(?:\.\w+)?)$")


def resolve_words(values: Mapping[str, object]) -> dict[str, object]:
    """The values with a bare word that is a saved listing turned into `source`.

    An existing file or pipe is one, and `-`, standard input; but not a file with the name of kernel
    source code or of a module: in a kernel tree mm/slub.c exists too. UsageError for two sources.
    """
    words, resolved = [], dict(values)
    for word in strings(values, "words"):
        if not _is_listing(word):
            words.append(word)
        elif resolved.get("source") is not None or resolved.get("sample"):
            raise UsageError(
                f"{word} is a second source", "give one saved listing; diff compares two"
            )
        else:
            resolved |= {"source": word, "source_is_word": True}
    return {**resolved, "words": words}


def with_file(values: Mapping[str, object]) -> dict[str, object]:
    """The values with the operand `path`, a saved listing, as `source`. UsageError for two
    sources."""
    resolved = dict(values)
    if (path := text(values, "path")) is None:
        return resolved
    if resolved.get("source") is not None or resolved.get("sample"):
        raise UsageError(f"{path} is a second source", "give one saved listing")
    if not path:
        raise UsageError("empty file name")
    return {**resolved, "source": path}


def _is_listing(word: str) -> bool:
    if word == "-":
        return True
    if _KERNEL_NAME.search(word) or "\0" in word:
        return False
    path = Path(word)
    try:
        return path.is_file() or path.is_fifo()
    except (OSError, ValueError):  # too long a name, say, or one that cannot be encoded
        return False


def read_filter(values: Mapping[str, object]) -> Filter:
    """The Filter from the values of the filter options. UsageError if invalid."""
    for name, flag in (("ignore_case", "--ignore-case"), ("invert", "--invert-match")):
        if values.get(name) and not strings(values, "regexp"):
            raise UsageError(f"{flag} needs --regexp", "add -e REGEX")
    inaccurate, accurate = bool(values.get("inaccurate")), bool(values.get("accurate"))
    if inaccurate and accurate:
        raise UsageError("--inaccurate and --accurate cannot be used together")
    return Filter(
        files=strings(values, "file"),
        functions=strings(values, "function"),
        modules=strings(values, "module"),
        builtin=bool(values.get("builtin")),
        lines=[parse_lines(line) for line in strings(values, "line")],
        min_size=_bound(values, "min_size", min),
        max_size=_bound(values, "max_size", max),
        min_calls=_bound(values, "min_calls", min),
        max_calls=_bound(values, "max_calls", max),
        accurate=accurate if accurate or inaccurate else None,
        underflowed=bool(values.get("underflowed")),
        regexps=strings(values, "regexp"),
        ignore_case=bool(values.get("ignore_case")),
        invert=bool(values.get("invert")),
        excludes=strings(values, "exclude"),
        words=strings(values, "words"),
    )


def strings(values: Mapping[str, object], name: str) -> list[str]:
    """The values of an option that can be repeated."""
    items = values.get(name)
    return [str(item) for item in items] if isinstance(items, (list, tuple)) else []


def text(values: Mapping[str, object], name: str) -> str | None:
    """The value of an option as text; None if not given."""
    value = values.get(name)
    return None if value is None else str(value)


def text_or(values: Mapping[str, object], name: str, default: str) -> str:
    """The value of an option as text, also an empty one; `default` if not given."""
    value = text(values, name)
    return default if value is None else value


def _bound(
    values: Mapping[str, object], name: str, widest: Callable[[list[int]], int]
) -> int | None:
    """The bound of a repeated option, which widens: smallest minimum, largest maximum."""
    bounds = [parse_bound(bound, "size" in name) for bound in strings(values, name)]
    return widest(bounds) if bounds else None


def choice(name: str, value: object, choices: tuple[str, ...]) -> str | None:
    """`value` if it is None or one of `choices`; UsageError otherwise."""
    if value is None:
        return None
    if isinstance(value, str) and value in choices:
        return value
    raise UsageError(f"invalid value '{value}' for --{name}", f"use one of: {', '.join(choices)}")


def number(name: str, value: object) -> int | None:
    """A whole number, or None if not given. UsageError if invalid."""
    if value is None:
        return None
    try:
        return parse_count(str(value))
    except UsageError as error:
        raise UsageError(f"--{name}: {error}", error.hint) from None
