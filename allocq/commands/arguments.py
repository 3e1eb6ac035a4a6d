"""From the values of flags to what is asked: each value checked, nothing touched."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..declarations.shared import COLORS, FORMATS, GROUPS, INTERFACES, SORTS
from ..errors import UsageError
from ..model import Filter
from ..output import Shape
from ..output.terminal import terminal_width, wants_color
from ..sources.source import Live, Saved, Wanted, open_source, sample_path
from ..units import parse_count, parse_lines, parse_size


@dataclass(frozen=True, slots=True)
class View:
    """How an answer is shown. None: the default of the format and the terminal."""

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


def read_view(values: Mapping[str, object]) -> View:
    """The View that the values of the view options stand for. UsageError for a bad one."""
    header = values.get("header")
    return View(
        format=choice("format", values.get("format"), FORMATS),
        sort=choice("sort", values.get("sort"), SORTS),
        reverse=bool(values.get("reverse")),
        limit=number("limit", values.get("limit")),
        group_by=choice("group-by", values.get("group_by"), GROUPS),
        count=bool(values.get("count")),
        quiet=bool(values.get("quiet")),
        header=None if header is None else bool(header),
        bytes=bool(values.get("bytes")),
        color=choice("color", values.get("color"), COLORS) or "auto",
    )


def read_table_view(values: Mapping[str, object]) -> View:
    """The view of a command that shares only --header, --bytes and --color with `query`."""
    return read_view(
        {name: values[name] for name in ("header", "bytes", "color") if name in values}
    )


def format_of(view: View, terminal: bool) -> str:
    """The format, the default resolved."""
    return view.format or ("table" if terminal else "procfs")


def sort_of(view: View, format: str) -> str:
    """The order, the default resolved."""
    return view.sort or ("bytes" if format == "table" else "none")


def wanted_of(view: View, sort: str) -> Wanted:
    """Which of the matching tags will be shown."""
    if view.quiet:
        return Wanted(first=1)
    if view.count or view.group_by or view.reverse or view.limit is None:
        return Wanted()
    if sort == "bytes":
        return Wanted(top=view.limit)
    # One at least: whether something matched is the exit status.
    return Wanted(first=max(view.limit, 1)) if sort == "none" else Wanted()


def shape_of(view: View, format: str, terminal: bool) -> Shape:
    """The layout for a view on this terminal, or none."""
    header = format in ("table", "csv", "tsv") if view.header is None else view.header
    color = wants_color(view.color, terminal)
    return Shape(header, view.bytes, color, terminal_width() if terminal else None)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the tags come from. `path` None is the running kernel."""

    path: str | None = None
    sample: bool = False
    interface: str = "auto"
    explain: bool = False

    def open(self) -> Live | Saved:
        """The source. SourceError, AccessError, InterfaceError."""
        return open_source(sample_path() if self.sample else self.path, self.interface)


def read_origin(values: Mapping[str, object]) -> Origin:
    """The Origin that the values of the source options stand for. UsageError for a bad one."""
    path = text(values, "source")
    sample = bool(values.get("sample"))
    interface = choice("interface", values.get("interface"), INTERFACES) or "auto"
    if path == "":
        raise UsageError("empty source", "name a file, or - for standard input")
    if sample and path is not None:
        raise UsageError("--sample is a source", "give --sample or --source, not both")
    return Origin(path, sample, interface, bool(values.get("explain")))


@dataclass(frozen=True, slots=True)
class Query:
    """All of one `allocq query`."""

    filter: Filter
    view: View
    origin: Origin


def read_query(values: Mapping[str, object]) -> Query:
    """The Query that a command line's values stand for. UsageError for a bad one."""
    return Query(read_filter(values), read_view(values), read_origin(values))


def read_filter(values: Mapping[str, object]) -> Filter:
    """The Filter that the values of the filter options stand for. UsageError for a bad one."""
    inaccurate, accurate = bool(values.get("inaccurate")), bool(values.get("accurate"))
    if inaccurate and accurate:
        raise UsageError("a counter is --inaccurate or --accurate, not both")
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
        regexps=strings(values, "regexp"),
        ignore_case=bool(values.get("ignore_case")),
        invert=bool(values.get("invert")),
        excludes=strings(values, "exclude"),
    )


def strings(values: Mapping[str, object], name: str) -> list[str]:
    """The values of an option that may be given several times."""
    items = values.get(name)
    return [str(item) for item in items] if isinstance(items, (list, tuple)) else []


def text(values: Mapping[str, object], name: str) -> str | None:
    """The value of an option that is a text; None where it is not given."""
    value = values.get(name)
    return None if value is None else str(value)


def _bound(
    values: Mapping[str, object], name: str, widest: Callable[[list[int]], int]
) -> int | None:
    """One option given several times widens: the least minimum, the greatest maximum."""
    parse = parse_size if "size" in name else parse_count
    bounds = [parse(bound) for bound in strings(values, name)]
    return widest(bounds) if bounds else None


def choice(name: str, value: object, choices: tuple[str, ...]) -> str | None:
    """`value` if it is one of `choices` or None; UsageError otherwise."""
    if value is None:
        return None
    if isinstance(value, str) and value in choices:
        return value
    raise UsageError(f"bad --{name} '{value}'", f"one of {', '.join(choices)}")


def number(name: str, value: object) -> int | None:
    """A whole number or None; UsageError otherwise."""
    if value is None:
        return None
    try:
        return parse_count(str(value))
    except UsageError as error:
        raise UsageError(f"bad --{name}: {error}", error.hint) from None
