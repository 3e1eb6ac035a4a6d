"""The subcommands: what each is for, its operands and options, and where its body is.

The app, the man pages and the completions are made from this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from .shared import (
    COLORS,
    FILTER_OPTIONS,
    SOURCE_OPTIONS,
    SOURCE_PANEL,
    VIEW_OPTIONS,
    VIEW_PANEL,
    Option,
    OptionKind,
    named,
)


@dataclass(frozen=True, slots=True)
class Operand:
    """A word on the command line that is no option. many: any number of them, kept in order."""

    name: str
    metavar: str
    help: str
    required: bool = True
    many: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand. body: `module:function` of allocq; it takes the values by name (absent where
    not given) and returns the exit status."""

    name: str
    help: str
    body: str
    options: tuple[Option, ...]
    operands: tuple[Operand, ...] = ()

    def run(self, values: Mapping[str, object]) -> int:
        """Import the body and call it; returns the exit status."""
        module, _, name = self.body.partition(":")
        return int(getattr(import_module(f"allocq.{module}"), name)(values))


FLAG, TEXT, LIST, SWITCH = OptionKind
_V, _S = VIEW_PANEL, SOURCE_PANEL

QUERY_OPTIONS = FILTER_OPTIONS + VIEW_OPTIONS + SOURCE_OPTIONS

PUBLISHED_FILE = "arch/x86/events/rapl.c"
BENCH_SCENARIOS = ("file", "file-size", "size")
BENCH_FORMATS = ("table", "json")
BENCH_RUNS = 20

BENCH_PANEL = "Options"
BENCH_OPTIONS = (
    Option("runs", ("-n", "--runs"), TEXT, BENCH_PANEL,
           f"How often each way is run; {BENCH_RUNS}.", "N"),
    Option("warm", ("--warm",), FLAG, BENCH_PANEL,
           "Leave the kernel's file caches alone instead of dropping them before each run."),
    Option("scenario", ("-S", "--scenario"), LIST, BENCH_PANEL,
           "Only this: one file, that file and a minimum size, a minimum size alone.", "NAME",
           BENCH_SCENARIOS),
    Option("file", ("-f", "--file"), TEXT, BENCH_PANEL,
           f"The file to look for; {PUBLISHED_FILE}, or the first that the kernel has.", "PATH"),
    Option("min_size", ("--min-size",), TEXT, BENCH_PANEL,
           "The minimum size; 1M, and with a file half of what its largest tag holds.", "SIZE"),
    Option("format", ("-o", "--format"), TEXT, BENCH_PANEL, "How to print; table.", "FORMAT",
           BENCH_FORMATS),
)  # fmt: skip

SAVE_PANEL = "Where it is kept"
GATE_PANEL = "What is a leak"
MAX_GROWTH = "128K"
RETRIES = 10
INTERVAL = 0.5
CHECK_FORMATS = ("table", "json", "junit")
DIFF_SORTS = ("bytes", "calls", "percent", "after", "file", "function", "module", "none")
DIFF_FORMATS = ("table", "json", "jsonl", "csv", "tsv")

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

DOCTOR_FORMATS = ("table", "json")
VERIFY_FORMATS = ("tap", "json")

DOCTOR_OPTIONS = (
    Option("format", ("-o", "--format"), TEXT, _V, "How to print.", "FORMAT", DOCTOR_FORMATS),
    Option("color", ("--color",), TEXT, _V, "Color; NO_COLOR is respected.", "WHEN", COLORS),
)  # fmt: skip

VERIFY_OPTIONS = (
    Option("load_module", ("--load-module",), TEXT, "What is checked",
           "Load this module that is not loaded yet, a name or a .ko file's path, check, and unload"
           " it again.", "NAME"),
    Option("rounds", ("--rounds",), TEXT, "What is checked",
           "Random filters, and values of each field at most (default: 100).", "N"),
    Option("seed", ("--seed",), TEXT, "What is checked",
           "What the random choices are made from; a run says its own.", "N"),
    Option("format", ("-o", "--format"), TEXT, _V,
           "How to print; tap is what kselftest and prove read.", "FORMAT", VERIFY_FORMATS),
)  # fmt: skip

TREE_FORMATS = ("table", "json", "jsonl", "csv", "tsv", "folded")
TREE_SORTS = ("bytes", "calls", "name")
SLABS = ("include", "exclude", "mark")

TREE_OPTIONS = (
    *(option for option in FILTER_OPTIONS if option.name not in ("min_size", "max_size")),
    Option("depth", ("-d", "--depth"), TEXT, _V,
           "Levels: directories, then files, functions, lines (default: all; in a table as many as"
           " take 60 lines, but 2 at least).", "N"),
    Option("min_size", ("--min-size",), TEXT, _V,
           "Leave out what holds less; the sums keep it. A table leaves out what holds nothing"
           " unless this is given.", "SIZE"),
    Option("sort", ("-s", "--sort"), TEXT, _V, "Order at each level; numbers sort largest first.",
           "KEY", TREE_SORTS),
    Option("limit", ("-n", "--limit"), TEXT, _V,
           "Only the first N at each level; a table sums up the others.", "N"),
    Option("slab", ("--slab",), TEXT, _V,
           "Pages of slab objects (mm/slub.c, alloc_slab_page), which are counted again at the"
           " objects' own tags: mark them (the default), leave them out, or neither.", "HOW",
           SLABS),
    Option("format", ("-o", "--format"), TEXT, _V,
           "How to print; folded is for flame graph tools, paths in place of stacks, without what"
           " is zero or less.", "FORMAT", TREE_FORMATS),
    *named(VIEW_OPTIONS, "header", "bytes", "color"),
    *(option for option in SOURCE_OPTIONS if option.name != "explain"),
)  # fmt: skip

COMMANDS = (
    Command("query", "Find tags and print them.", "commands.query:query_command", QUERY_OPTIONS),
    Command(
        "bench",
        "Time cat, grep and awk against the ioctl.",
        "commands.bench.command:bench_command",
        BENCH_OPTIONS,
    ),
    Command(
        "snapshot",
        "Save the tags to a file, with what is needed to judge them later: a text that cat, grep"
        " and every command here can read. Exit status 1: no tag matches (saved all the same).",
        "commands.snapshot:snapshot_command",
        SNAPSHOT_OPTIONS,
    ),
    Command(
        "diff",
        "What grew between two listings, or a listing and now. Tags are matched by file, line,"
        " module and function; those filtered by their counters are shown if they pass before or"
        " after. Exit status 0: something differs; 1: nothing does.",
        "commands.diff:diff_command",
        DIFF_OPTIONS,
        (
            Operand(
                "before", "BEFORE", "A snapshot or a saved /proc/allocinfo; - reads standard input."
            ),
            Operand(
                "after",
                "AFTER",
                "The same, later; without it, the running kernel now.",
                required=False,
            ),
        ),
    ),
    Command(
        "check",
        "Fail when something grew more than allowed while COMMAND ran: a leak gate for CI. Growth"
        " is from the highest of several readings before to the lowest after. Exit status 0:"
        " nothing leaked; 1: something did; 2: that could not be told; 3: COMMAND failed.",
        "commands.check:check_command",
        CHECK_OPTIONS,
        (
            Operand(
                "command",
                "COMMAND",
                "The command and its arguments, run without a"
                " shell; without one, --baseline is compared with now.",
                required=False,
                many=True,
            ),
        ),
    ),
    Command(
        "doctor",
        "Say what this kernel offers, what is switched on, and what to do about what is not.",
        "commands.doctor.doctor:doctor_command",
        DOCTOR_OPTIONS,
    ),
    Command(
        "verify",
        "Hold the ioctl against the text on this kernel. Exit status 0: all holds, 1: they differ,"
        " 2: could not tell.",
        "commands.verify.verify:verify_command",
        VERIFY_OPTIONS,
    ),
    Command(
        "tree",
        "Memory by source directory, file, function and line, like du. Exit status 1: no tag"
        " matches.",
        "commands.tree:tree_command",
        TREE_OPTIONS,
    ),
)
