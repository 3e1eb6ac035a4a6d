"""What the subcommands have in common: options, their vocabularies, exit statuses.

The Typer app, the man pages, the completions and the README's table are made from the same
declarations.
"""

from dataclasses import dataclass
from enum import StrEnum

FOUND, NOTHING, FAILED, CLOSED_PIPE, INTERRUPTED = 0, 1, 2, 141, 130

FORMATS = ("table", "procfs", "json", "jsonl", "csv", "tsv")
SORTS = ("bytes", "calls", "average", "file", "function", "module", "none")
GROUPS = ("file", "directory", "function", "module")
COLORS = ("auto", "always", "never")
INTERFACES = ("auto", "ioctl", "text")

FILTER_PANEL = "Which tags"
VIEW_PANEL = "How they are shown"
SOURCE_PANEL = "Where the tags come from"


class OptionKind(StrEnum):
    """What an option takes: nothing, one value, one each time it is given, or --x and --no-x."""

    FLAG = "flag"
    TEXT = "text"
    LIST = "list"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its names, what it takes, and what it is for."""

    name: str
    flags: tuple[str, ...]
    kind: OptionKind
    panel: str
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()


FLAG, TEXT, LIST, SWITCH = OptionKind
_F, _V, _S = FILTER_PANEL, VIEW_PANEL, SOURCE_PANEL

FILTER_OPTIONS = (
    Option("file", ("-f", "--file"), LIST, _F,
           "The whole path, its last components (rapl.c, events/rapl.c), or a glob held against"
           " the whole path (fs/xfs/*; * crosses /).", "PATH"),
    Option("function", ("-F", "--function"), LIST, _F, "The function's name or a glob.", "NAME"),
    Option("module", ("-m", "--module"), LIST, _F, "The module's name or a glob.", "NAME"),
    Option("builtin", ("--builtin",), FLAG, _F, "Only code that is not in a module."),
    Option("line", ("-l", "--line"), LIST, _F, "The line number, or a range of them.", "N[-M]"),
    Option("min_size", ("--min-size",), LIST, _F,
           "At least so many bytes: 4096, 64K, 1M, 1MiB (1024s), 1MB (1000s), 1.5G.", "SIZE"),
    Option("max_size", ("--max-size",), LIST, _F, "At most so many bytes.", "SIZE"),
    Option("min_calls", ("--min-calls",), LIST, _F, "At least so many live allocations.", "N"),
    Option("max_calls", ("--max-calls",), LIST, _F, "At most so many live allocations.", "N"),
    Option("inaccurate", ("--inaccurate",), FLAG, _F,
           "Only counters that are known to miss something."),
    Option("accurate", ("--accurate",), FLAG, _F, "Only the other counters."),
    Option("regexp", ("-e", "--regexp"), LIST, _F,
           "Search FILE:LINE [MODULE] func:FUNCTION for it (Python's syntax).", "REGEX"),
    Option("ignore_case", ("-i", "--ignore-case"), FLAG, _F, "Let --regexp ignore case."),
    Option("invert", ("-v", "--invert-match"), FLAG, _F, "Keep what no --regexp matches."),
    Option("exclude", ("-x", "--exclude"), LIST, _F,
           "Leave out these files, read as --file reads them.", "PATH"),
)  # fmt: skip

VIEW_OPTIONS = (
    Option("format", ("-o", "--format"), TEXT, _V,
           "How to print; table on a terminal, else procfs, the kernel's own lines.", "FORMAT",
           FORMATS),
    Option("sort", ("-s", "--sort"), TEXT, _V,
           "Order; bytes for table, else none, the kernel's own. Numbers sort largest first.",
           "KEY", SORTS),
    Option("reverse", ("-r", "--reverse"), FLAG, _V, "Turn the order round."),
    Option("limit", ("-n", "--limit"), TEXT, _V, "Only the first N after sorting.", "N"),
    Option("group_by", ("-g", "--group-by"), TEXT, _V, "Sums instead of tags.", "KEY", GROUPS),
    Option("count", ("-c", "--count"), FLAG, _V, "Only the number of matching tags."),
    Option("quiet", ("-q", "--quiet"), FLAG, _V, "Print nothing; the exit status answers."),
    Option("header", ("--header/--no-header",), SWITCH, _V,
           "Print a header; table, csv, tsv: on; procfs: off, on gives the kernel's own."),
    Option("bytes", ("--bytes",), FLAG, _V, "Plain byte counts in a table instead of 1.5M."),
    Option("color", ("--color",), TEXT, _V, "Color in a table; NO_COLOR is respected.", "WHEN",
           COLORS),
)  # fmt: skip

SOURCE_OPTIONS = (
    Option("source", ("--source",), TEXT, _S,
           "A saved /proc/allocinfo or snapshot, - for standard input; on a proc file system, a"
           " running kernel.", "PATH"),
    Option("sample", ("--sample",), FLAG, _S,
           "The recording of a real Linux 7.3 that is installed with allocq."),
    Option("interface", ("--interface",), TEXT, _S,
           "How to ask the running kernel; auto takes the cheaper way.", "KIND", INTERFACES),
    Option("explain", ("--explain",), FLAG, _S,
           "Instead of the answer: what would be asked of the kernel, what is left to do here, and"
           " why."),
)  # fmt: skip


def named(options: tuple[Option, ...], *names: str) -> tuple[Option, ...]:
    """Some of the options, in the order of `names`."""
    by_name = {option.name: option for option in options}
    return tuple(by_name[name] for name in names)
