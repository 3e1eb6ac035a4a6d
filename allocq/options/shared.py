"""What the subcommands have in common: options, their vocabularies, exit statuses.

The Typer app, the man pages, the completions and the README's table are made from the same
declarations.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

FOUND, NOTHING, FAILED, CLOSED_PIPE, INTERRUPTED = 0, 1, 2, 141, 130

FORMATS = ("table", "procfs", "json", "jsonl", "csv", "tsv", "openmetrics", "parquet")
SORTS = ("bytes", "calls", "average", "file", "function", "module", "none")
GROUPS = ("file", "directory", "function", "module", "location")
SLABS = ("once", "include", "exclude", "only")
BOUNDS = ("sums", "tags")
PAGERS = ("auto", "always", "never")
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
           "Match the whole path, its last components (rapl.c, events/rapl.c), a directory"
           " (fs/xfs), FILE:LINE, or a glob of the whole path (fs/xfs/*; * crosses /).",
           "PATH"),
    Option("function", ("-F", "--function"), LIST, _F, "Match the function by name or glob.",
           "NAME"),
    Option("module", ("-m", "--module"), LIST, _F, "Match the module by name or glob.", "NAME"),
    Option("builtin", ("--builtin",), FLAG, _F, "Only built-in code, not modules."),
    Option("line", ("-l", "--line"), LIST, _F, "Match a line number or a range.", "N[-M]"),
    Option("min_size", ("--min-size",), LIST, _F,
           "At least SIZE bytes: 4096, 64K, 1M, 1MiB (1024s), 1MB (1000s), 1.5G.", "SIZE"),
    Option("max_size", ("--max-size",), LIST, _F,
           "At most SIZE bytes; -1 finds what is below zero.", "SIZE"),
    Option("min_calls", ("--min-calls",), LIST, _F, "At least N live allocations.", "N"),
    Option("max_calls", ("--max-calls",), LIST, _F, "At most N live allocations.", "N"),
    Option("inaccurate", ("--inaccurate",), FLAG, _F,
           "Only counters that the kernel flags inaccurate."),
    Option("accurate", ("--accurate",), FLAG, _F, "Only counters not flagged inaccurate."),
    Option("underflowed", ("--underflowed",), FLAG, _F,
           "Only counters below zero, which sums leave out."),
    Option("regexp", ("-e", "--regexp"), LIST, _F,
           "Search FILE:LINE [MODULE] func:FUNCTION for REGEX (Python syntax).", "REGEX"),
    Option("ignore_case", ("-i", "--ignore-case"), FLAG, _F, "Ignore case in --regexp."),
    Option("invert", ("-v", "--invert-match"), FLAG, _F, "Keep what no --regexp matches."),
    Option("exclude", ("-x", "--exclude"), LIST, _F,
           "Leave out files that match PATH, in any form that --file takes.", "PATH"),
)  # fmt: skip

VIEW_OPTIONS = (
    Option("format", ("-o", "--format"), TEXT, _V,
           "Output format (default: table on a terminal, otherwise procfs, the kernel's own"
           " lines; parquet if FILE ends in .parquet).", "FORMAT", FORMATS),
    Option("sort", ("-s", "--sort"), TEXT, _V,
           "Sort by KEY, numbers largest first (default: bytes for tables, kernel order"
           " otherwise).", "KEY", SORTS),
    Option("reverse", ("-r", "--reverse"), FLAG, _V, "Reverse the sort order."),
    Option("limit", ("-n", "--limit"), TEXT, _V, "Show only the first N after sorting.", "N"),
    Option("group_by", ("-g", "--group-by"), TEXT, _V,
           "Show sums per KEY instead of single tags; location is file, line, module and"
           " function.", "KEY", GROUPS),
    Option("bounds", ("--bounds",), TEXT, _V,
           "With --group-by, what the size and call bounds apply to (default: sums).", "WHAT",
           BOUNDS),
    Option("slab", ("--slab",), TEXT, _V,
           "Slab pages, whose objects are also counted at their own tags: once leaves the pages out"
           " of totals, include counts both, exclude and only drop tags (default: once).", "HOW",
           SLABS),
    Option("count", ("-c", "--count"), FLAG, _V,
           "Print only the number of matching tags or groups, a plain number in any format."),
    Option("quiet", ("-q", "--quiet"), FLAG, _V,
           "Print nothing; report only through the exit status."),
    Option("header", ("--header/--no-header",), SWITCH, _V,
           "Print the header line (default: on, except procfs)."),
    Option("bytes", ("--bytes",), FLAG, _V, "Show plain byte counts in tables instead of 1.5M."),
    Option("color", ("--color",), TEXT, _V,
           "Colorize tables. NO_COLOR turns auto off (default: auto).", "WHEN", COLORS),
    Option("pager", ("--pager",), TEXT, _V,
           "On a terminal, show a full answer with $PAGER; always shows all tags, even without"
           " options (default: auto).", "WHEN", PAGERS),
)  # fmt: skip

OUTPUT_OPTIONS = (
    Option("output", ("--output",), TEXT, _V,
           "Write the answer to FILE, whole or not at all, instead of standard output; .gz and .zst"
           " compress.", "FILE"),
    Option("force", ("--force",), FLAG, _V, "Replace the FILE of --output if it exists."),
)  # fmt: skip

SOURCE_OPTIONS = (
    Option("source", ("--source",), TEXT, _S,
           "Read a saved /proc/allocinfo, a snapshot, a kernel log, a paste, an archive with one,"
           " or a crash dump; - is standard input. A path on a proc file system is a running"
           " kernel. A directory is a recording, or a folder of saved listings: --at chooses one.",
           "PATH"),
    Option("vmlinux", ("--vmlinux",), TEXT, _S,
           "The kernel of a crash dump: the same build, with debug info.", "FILE"),
    Option("at", ("--at",), TEXT, _S,
           "In a directory, read the last listing at or before TIME ('2026-11-23 10:00', '10 min"
           " ago', 1h, @SECONDS; default: now).", "TIME"),
    Option("listing", ("--listing",), TEXT, _S,
           "Which listing of a file that holds several: a number from 1, last or all (default:"
           " last).", "N"),
    Option("sample", ("--sample",), FLAG, _S,
           "Read the sample installed with allocq: a real Linux 7.3."),
    Option("interface", ("--interface",), TEXT, _S,
           "How to ask the running kernel; auto chooses the cheaper one (default: auto).", "KIND",
           INTERFACES),
    Option("explain", ("--explain",), FLAG, _S,
           "Print the plan instead of the answer: what the kernel is asked, what allocq checks"
           " itself, and why."),
)  # fmt: skip


TABULAR_OPTIONS = tuple(
    replace(option, help="Print the header line (default: on).")
    if option.name == "header"
    else option
    for option in VIEW_OPTIONS
)
"""The options of a command that does not print the kernel's own lines."""


def named(options: tuple[Option, ...], *names: str) -> tuple[Option, ...]:
    """Some of the options, in the order of `names`."""
    by_name = {option.name: option for option in options}
    return tuple(by_name[name] for name in names)
