"""The options of `snapshot`, `diff` and `check`, apart from their bodies: the app reads them for
every command line. Those of `query` are in options.py."""

from ..options import (
    FILTER_OPTIONS,
    FLAG,
    SOURCE_OPTIONS,
    SOURCE_PANEL,
    SWITCH,
    TEXT,
    VIEW_OPTIONS,
    VIEW_PANEL,
    Option,
    named,
)
from .diff import SORTS as DIFF_SORTS

SAVE_PANEL = "Where it is kept"
GATE_PANEL = "What is a leak"
MAX_GROWTH = "128K"
RETRIES = 10
INTERVAL = 0.5
CHECK_FORMATS = ("table", "json", "junit")
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
    *named(VIEW_OPTIONS, "group_by"),
    Option("sort", ("-s", "--sort"), TEXT, _V,
           "Order; bytes: the largest growth in bytes first. after: the bytes now.", "KEY",
           DIFF_SORTS),
    *named(VIEW_OPTIONS, "reverse"),
    Option("limit", ("-n", "--limit", "--top"), TEXT, _V, "Only the first N after sorting.", "N"),
    Option("format", ("-o", "--format"), TEXT, _V,
           "How to print; table on a terminal, else tsv.", "FORMAT", DIFF_FORMATS),
    *named(VIEW_OPTIONS, "quiet"),
    Option("header", ("--header/--no-header",), SWITCH, _V,
           "Print a header; table, csv, tsv: on."),
    *named(VIEW_OPTIONS, "bytes", "color"),
    *named(SOURCE_OPTIONS, "interface"),
)  # fmt: skip

CHECK_OPTIONS = (
    Option("max_growth", ("--max-growth",), TEXT, GATE_PANEL,
           f"How much each place in the source may grow; {MAX_GROWTH}, for a kernel keeps a little"
           " back after any command. Slab pages (mm/slub.c alloc_slab_page), which are counted"
           " again as objects, and what the page cache grew by are no leak; --file or --function"
           " brings the slab pages back.", "SIZE"),
    Option("baseline", ("--baseline",), TEXT, GATE_PANEL,
           "A snapshot or a saved /proc/allocinfo to compare with, instead of a reading right"
           " before the command.", "FILE"),
    Option("retries", ("--retries",), TEXT, GATE_PANEL,
           f"How often to read again while something is over; {RETRIES}.", "N"),
    Option("interval", ("--interval",), TEXT, GATE_PANEL,
           f"Seconds to wait before each of these; {INTERVAL}.", "SECONDS"),
    Option("drop_caches", ("--drop-caches",), FLAG, GATE_PANEL,
           "Before the command and before each retry, sync and drop the page cache, dentries and"
           " inodes: what files leave in them is no leak."),
    Option("ignore_lines", ("-L", "--ignore-lines"), FLAG, GATE_PANEL,
           "Match by file, module and function, for a baseline of another kernel."),
    *FILTER_OPTIONS,
    Option("format", ("-o", "--format"), TEXT, _V, "How to report; table.", "FORMAT",
           CHECK_FORMATS),
    Option("report", ("--report",), TEXT, _V,
           "Write the report there instead of standard output, which is the command's as well.",
           "FILE"),
    Option("quiet", ("-q", "--quiet"), FLAG, _V, "No report on standard output."),
    Option("header", ("--header/--no-header",), SWITCH, _V, "Print a header in the table; on."),
    *named(VIEW_OPTIONS, "bytes", "color"),
    Option("source", ("--source",), TEXT, _S,
           "A saved listing to hold against --baseline instead of the running kernel.", "PATH"),
    *named(SOURCE_OPTIONS, "interface"),
)  # fmt: skip
