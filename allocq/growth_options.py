"""The options of `snapshot`, `diff` and `check`, apart from their bodies: the app reads them for
every command line. Those of `query` are in options.py."""

from .diff import SORTS as DIFF_SORTS
from .options import (
    COLORS,
    FILTER_OPTIONS,
    FLAG,
    GROUPS,
    INTERFACES,
    SOURCE_OPTIONS,
    SOURCE_PANEL,
    SWITCH,
    TEXT,
    VIEW_PANEL,
    Option,
)

SAVE_PANEL = "Where it is kept"
DIFF_FORMATS = ("table", "json", "jsonl", "csv", "tsv")

_V, _S = VIEW_PANEL, SOURCE_PANEL

SNAPSHOT_OPTIONS = (
    Option("output", ("-o", "--output"), TEXT, SAVE_PANEL,
           "The file to write, whole or not at all; .gz and .zst are packed. - and no -o: standard"
           " output.", "FILE"),
    Option("force", ("--force",), FLAG, SAVE_PANEL, "Replace the file if it exists."),
    *FILTER_OPTIONS,
    *(option for option in SOURCE_OPTIONS if option.name != "explain"),
)  # fmt: skip

DIFF_OPTIONS = (
    *FILTER_OPTIONS,
    Option("ignore_lines", ("-L", "--ignore-lines"), FLAG, _V,
           "Match by file, module and function, for lines move between kernels; what a function"
           " has on several lines is summed."),
    Option("min_growth", ("--min-growth",), TEXT, _V,
           "Only what grew by so many bytes or more.", "SIZE"),
    Option("group_by", ("-g", "--group-by"), TEXT, _V, "Sums instead of tags.", "KEY", GROUPS),
    Option("sort", ("-s", "--sort"), TEXT, _V,
           "Order; bytes: the largest growth in bytes first. after: the bytes now.", "KEY",
           DIFF_SORTS),
    Option("reverse", ("-r", "--reverse"), FLAG, _V, "Turn the order round."),
    Option("limit", ("-n", "--limit", "--top"), TEXT, _V, "Only the first N after sorting.", "N"),
    Option("format", ("-o", "--format"), TEXT, _V,
           "How to print; table on a terminal, else tsv.", "FORMAT", DIFF_FORMATS),
    Option("quiet", ("-q", "--quiet"), FLAG, _V, "Print nothing; the exit status answers."),
    Option("header", ("--header/--no-header",), SWITCH, _V,
           "Print a header; table, csv, tsv: on."),
    Option("bytes", ("--bytes",), FLAG, _V, "Plain byte counts in a table instead of 1.5M."),
    Option("color", ("--color",), TEXT, _V, "Color in a table; NO_COLOR is respected.", "WHEN",
           COLORS),
    Option("interface", ("--interface",), TEXT, _S,
           "How to ask the running kernel; auto takes the cheaper way.", "KIND", INTERFACES),
)  # fmt: skip
