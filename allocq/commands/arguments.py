"""From the values of flags to what is asked: each value checked, nothing touched."""

from ..declarations.shared import COLORS, FORMATS, GROUPS, INTERFACES, SORTS
from ..errors import UsageError
from ..model import Filter
from ..output import Shape
from ..output.terminal import terminal_width, wants_color
from ..sources.source import Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class View:
    """How an answer is shown. None: the default of the format and the terminal."""

    __slots__ = (
        "bytes",
        "color",
        "count",
        "format",
        "group_by",
        "header",
        "limit",
        "quiet",
        "reverse",
        "sort",
    )

    def __init__(self, values: "Mapping[str, object]") -> None:
        self.format = choice("format", values.get("format"), FORMATS)
        self.sort = choice("sort", values.get("sort"), SORTS)
        self.reverse = bool(values.get("reverse"))
        self.limit = number("limit", values.get("limit"))
        self.group_by = choice("group-by", values.get("group_by"), GROUPS)
        self.count = bool(values.get("count"))
        self.quiet = bool(values.get("quiet"))
        header = values.get("header")
        self.header = None if header is None else bool(header)
        self.bytes = bool(values.get("bytes"))
        self.color = choice("color", values.get("color"), COLORS) or "auto"


def shape_asked(values: "Mapping[str, object]") -> View:
    """The view of a command that shares only --header, --bytes and --color with `query`."""
    return View({name: values[name] for name in ("header", "bytes", "color") if name in values})


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


class Origin:
    """Where the tags come from. `path` None is the running kernel."""

    __slots__ = ("explain", "interface", "path", "sample")

    def __init__(self, values: "Mapping[str, object]") -> None:
        path = values.get("source")
        self.path = None if path is None else str(path)
        self.sample = bool(values.get("sample"))
        self.interface = choice("interface", values.get("interface"), INTERFACES) or "auto"
        self.explain = bool(values.get("explain"))
        if self.path == "":
            raise UsageError("empty source", "name a file, or - for standard input")
        if self.sample and self.path is not None:
            raise UsageError("--sample is a source", "give --sample or --source, not both")


class Query:
    """All of one `allocq query`."""

    __slots__ = ("filter", "origin", "view")

    def __init__(self, values: "Mapping[str, object]") -> None:
        self.filter = read_filter(values)
        self.view = View(values)
        self.origin = Origin(values)


def read_filter(values: "Mapping[str, object]") -> Filter:
    """The Filter that the values of the filter options stand for. UsageError for a bad one."""
    inaccurate, accurate = bool(values.get("inaccurate")), bool(values.get("accurate"))
    if inaccurate and accurate:
        raise UsageError("a counter is --inaccurate or --accurate, not both")
    lines = strings(values, "line")
    if lines:
        from ..units import parse_lines

        ranges = tuple(parse_lines(text) for text in lines)
    else:
        ranges = ()
    return Filter(
        files=strings(values, "file"),
        functions=strings(values, "function"),
        modules=strings(values, "module"),
        builtin=bool(values.get("builtin")),
        lines=ranges,
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


def strings(values: "Mapping[str, object]", name: str) -> list[str]:
    """The values of an option that may be given several times."""
    found = values.get(name)
    return [str(item) for item in found] if isinstance(found, (list, tuple)) else []


def _bound(
    values: "Mapping[str, object]", name: str, widest: "Callable[[list[int]], int]"
) -> int | None:
    """One option given several times widens: the least minimum, the greatest maximum."""
    found = strings(values, name)
    if not found:
        return None
    from ..units import parse_count, parse_size

    return widest([parse_size(text) if "size" in name else parse_count(text) for text in found])


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
    from ..units import parse_count

    try:
        return parse_count(str(value))
    except UsageError as error:
        raise UsageError(f"bad --{name}: {error}", error.hint) from None
