"""The subcommands: what each is for, its operands and options, and where its body is.

The app, the man pages and the completions are made from this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from . import fleet
from .shared import (
    COLORS,
    FILTER_OPTIONS,
    OUTPUT_OPTIONS,
    SOURCE_OPTIONS,
    SOURCE_PANEL,
    TABULAR_OPTIONS,
    VIEW_OPTIONS,
    VIEW_PANEL,
    Option,
    OptionKind,
    named,
)


@dataclass(frozen=True, slots=True)
class Operand:
    """A word on the command line that is no option. many: any number of them, kept in order.
    runs: the words are another command with its arguments, so no option of allocq follows them.
    behind_dashes: they are that, and begin behind `--`; other operands come before."""

    name: str
    metavar: str
    help: str
    required: bool = True
    many: bool = False
    runs: bool = False
    behind_dashes: bool = False

    @property
    def usage(self) -> str:
        """The word in a usage line."""
        if self.runs:
            return f"[--] {self.metavar} [ARG...]"
        if self.behind_dashes:
            return f"[-- {self.metavar} [ARG...]]"
        word = self.metavar + ("..." if self.many else "")
        return word if self.required else f"[{word}]"


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand. body: `module:function` of allocq; it takes the values by name (absent where
    not given) and returns the exit status. examples: command lines for the end of --help.
    commands: what a group of subcommands consists of, which has no body; `fleet top` is the name of
    one in the group `fleet`."""

    name: str
    help: str
    body: str
    options: tuple[Option, ...]
    operands: tuple[Operand, ...] = ()
    examples: tuple[str, ...] = ()
    commands: tuple["Command", ...] = ()

    @property
    def word(self) -> str:
        """What is typed: the last word of the name."""
        return self.name.rpartition(" ")[2]

    @property
    def runs(self) -> bool:
        """Does it run another command?"""
        return any(operand.runs for operand in self.operands)

    def run(self, values: Mapping[str, object]) -> int:
        """Import the body and call it; returns the exit status."""
        module, _, name = self.body.partition(":")
        return int(getattr(import_module(f"allocq.{module}"), name)(values))


FLAG, TEXT, LIST, SWITCH = OptionKind
_V, _S = VIEW_PANEL, SOURCE_PANEL

QUERY_OPTIONS = (
    *FILTER_OPTIONS,
    *VIEW_OPTIONS,
    *OUTPUT_OPTIONS,
    *SOURCE_OPTIONS,
    Option("list_listings", ("--list-listings",), FLAG, _S,
           "List the listings that a file holds instead of tags: number, line, kind, time, tags,"
           " bytes."),
)  # fmt: skip

PUBLISHED_FILE = "arch/x86/events/rapl.c"
BENCH_SCENARIOS = ("file", "file-size", "size")
BENCH_FORMATS = ("table", "json")
BENCH_RUNS = 20

BENCH_PANEL = "Options"
BENCH_OPTIONS = (
    Option("runs", ("-n", "--runs"), TEXT, BENCH_PANEL,
           f"Run each method N times (default: {BENCH_RUNS}).", "N"),
    Option("drop_caches", ("--drop-caches",), FLAG, BENCH_PANEL,
           "Drop the page cache, dentries and inodes of this machine before each run, as for the"
           " published figures. Slows down everything else that runs here."),
    Option("warm", ("--warm",), FLAG, BENCH_PANEL, "Keep this machine's caches (the default)."),
    Option("scenario", ("-S", "--scenario"), LIST, BENCH_PANEL,
           "Time only this question: one file, a file and a minimum size, or a minimum size.",
           "NAME", BENCH_SCENARIOS),
    Option("file", ("-f", "--file"), TEXT, BENCH_PANEL,
           f"The file to ask for (default: {PUBLISHED_FILE} if the kernel has it).", "PATH"),
    Option("min_size", ("--min-size",), TEXT, BENCH_PANEL,
           "The minimum size to ask for (default: 1M; with a file, half of its largest tag).",
           "SIZE"),
    Option("format", ("-o", "--format"), TEXT, BENCH_PANEL, "Output format (default: table).",
           "FORMAT", BENCH_FORMATS),
)  # fmt: skip

SAVE_PANEL = "Where to save"
GATE_PANEL = "What is a leak"
MAX_GROWTH = "128K"
RETRIES = 10
INTERVAL = 0.5
CHECK_FORMATS = ("table", "json", "junit", "tap")
DIFF_SORTS = ("bytes", "calls", "percent", "after", "file", "function", "module", "none")
DIFF_FORMATS = ("table", "json", "jsonl", "csv", "tsv")

RECORD_PANEL = "How to record"
RECORD_OPTIONS = (
    Option("directory", ("-d", "--directory"), TEXT, RECORD_PANEL,
           "The recording (default: /var/lib/allocq for root, otherwise ~/.local/state/allocq).",
           "DIR"),
    Option("interval", ("--interval",), TEXT, RECORD_PANEL,
           "Take a sample every TIME (default: 10s).", "TIME"),
    Option("keep", ("--keep",), TEXT, RECORD_PANEL,
           "Remove days that ended more than TIME ago (default: 7d).", "TIME"),
    Option("most", ("--max-size",), TEXT, RECORD_PANEL,
           "Remove the oldest days while the recording is larger than SIZE (default: 1G). Today is"
           " never removed.", "SIZE"),
    Option("thin", ("--thin",), LIST, RECORD_PANEL,
           "Thin days that ended more than AGE ago to one sample every TIME, with the lowest and"
           " the highest counters of that time; none keeps all samples (default: 1d:1m 3d:10m).",
           "AGE:TIME"),
    Option("once", ("--once",), FLAG, RECORD_PANEL, "Take one sample and exit, for cron."),
    Option("parquet", ("--parquet",), TEXT, RECORD_PANEL,
           "Ship the samples to ROOT as Parquet, as ship --to ROOT does: a file for each completed"
           " hour, and the rest at the end.", "ROOT"),
    Option("host", ("--host",), TEXT, RECORD_PANEL,
           "Record NAME as the host name (default: what uname -n prints); in a container, give its"
           " node's.", "NAME"),
    *(option for option in FILTER_OPTIONS if option.name != "max_size"),
    Option("source", ("--source",), TEXT, _S,
           "The running kernel's /proc/allocinfo on another path, as a container has it:"
           " /host/proc/allocinfo.", "PATH"),
    *named(SOURCE_OPTIONS, "interface"),
)  # fmt: skip

SHIP_PANEL = "What goes where"
SHIP_OPTIONS = (
    Option("to", ("--to",), TEXT, SHIP_PANEL,
           "The root of the Parquet files: a directory, created if missing, or s3://BUCKET/PREFIX."
           " Endpoint, region and credentials of a store are read from"
           " AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and the other AWS variables.", "ROOT"),
    Option("source", ("--source",), TEXT, SHIP_PANEL,
           "The recording (default: the one that record writes).", "DIR"),
    Option("all", ("--all",), FLAG, SHIP_PANEL,
           "Also ship the current hour. Samples recorded later in that hour go to another file."),
    Option("delete", ("--delete",), FLAG, SHIP_PANEL,
           "Afterwards remove the days of the recording that are shipped completely, but not today"
           " or the newest."),
    Option("quiet", ("-q", "--quiet"), FLAG, SHIP_PANEL, "Print nothing but warnings and errors."),
)  # fmt: skip

SNAPSHOT_OPTIONS = (
    Option("output", ("--output",), TEXT, SAVE_PANEL, "The same as the operand FILE.", "FILE"),
    Option("old_output", ("-o",), TEXT, SAVE_PANEL,
           "The old spelling of --output; it still works, with a warning.", "FILE"),
    Option("force", ("--force",), FLAG, SAVE_PANEL, "Replace FILE if it exists."),
    *FILTER_OPTIONS,
    *(option for option in SOURCE_OPTIONS if option.name != "explain"),
)  # fmt: skip

DIFF_OPTIONS = (
    *FILTER_OPTIONS,
    Option("ignore_lines", ("-L", "--ignore-lines"), FLAG, _V,
           "Match by file, module and function only, because lines move between kernels. The lines"
           " of a function are summed."),
    Option("source", ("--source",), TEXT, _S,
           "Compare two listings of DIR, a recording or a folder of saved listings; needs --since.",
           "DIR"),
    Option("since", ("--since",), TEXT, _S,
           "Compare with the last listing at or before TIME in DIR, or in BEFORE if that is a"
           " directory ('1 hour ago', 1h, 2026-11-23T06:20, @SECONDS).", "TIME"),
    Option("until", ("--until",), TEXT, _S,
           "Compare up to the last listing at or before TIME (default: the last one of"
           " DIR; with BEFORE, the running kernel).", "TIME"),
    *named(SOURCE_OPTIONS, "vmlinux"),
    Option("min_growth", ("--min-growth",), TEXT, _V,
           "Show only what grew by at least SIZE bytes.", "SIZE"),
    *named(VIEW_OPTIONS, "group_by", "slab"),
    Option("sort", ("-s", "--sort"), TEXT, _V,
           "Sort by KEY: growth in bytes, calls or percent, or bytes after; largest first"
           " (default: bytes).", "KEY", DIFF_SORTS),
    *named(VIEW_OPTIONS, "reverse"),
    Option("limit", ("-n", "--limit", "--top"), TEXT, _V,
           "Show only the first N after sorting.", "N"),
    Option("format", ("-o", "--format"), TEXT, _V,
           "Output format (default: table on a terminal, otherwise tsv).", "FORMAT",
           DIFF_FORMATS),
    *named(VIEW_OPTIONS, "quiet"),
    Option("header", ("--header/--no-header",), SWITCH, _V,
           "Print the header line of a table, csv or tsv (default: on)."),
    *named(VIEW_OPTIONS, "bytes", "color"),
    *OUTPUT_OPTIONS,
    *named(SOURCE_OPTIONS, "interface"),
)  # fmt: skip

CHECK_OPTIONS = (
    Option("max_growth", ("--max-growth",), TEXT, GATE_PANEL,
           f"Let each tag grow by SIZE (default {MAX_GROWTH}: the kernel caches a little after any"
           " command). Page cache and anonymous user pages are not leaks, nor are slab pages"
           " (mm/slub.c alloc_slab_page), whose objects are counted at their own tags; --file or"
           " --function counts slab pages too.", "SIZE"),
    Option("repeat", ("--repeat",), TEXT, GATE_PANEL,
           "Run COMMAND once to warm up and then N times (5 or more). A tag that grows in nearly"
           " every run is a leak, however small.", "N"),
    Option("baseline", ("--baseline",), TEXT, GATE_PANEL,
           "Compare with a snapshot or a saved /proc/allocinfo instead of readings taken before"
           " the command.", "FILE"),
    Option("retries", ("--retries",), TEXT, GATE_PANEL,
           f"Read again up to N times while something is over the limit (default: {RETRIES}).",
           "N"),
    Option("interval", ("--interval",), TEXT, GATE_PANEL,
           f"Wait SECONDS before each retry (default: {INTERVAL}).", "SECONDS"),
    Option("drop_caches", ("--drop-caches",), FLAG, GATE_PANEL,
           "Sync and drop the page cache, dentries and inodes before the command and before each"
           " retry, so that cached files do not count as leaks."),
    Option("ignore_lines", ("-L", "--ignore-lines"), FLAG, GATE_PANEL,
           "Match by file, module and function only, for a baseline from another kernel."),
    *FILTER_OPTIONS,
    Option("format", ("-o", "--format"), TEXT, _V, "Report format (default: table).",
           "FORMAT", CHECK_FORMATS),
    Option("report", ("--report",), TEXT, _V,
           "Write the report to FILE instead of standard output, which the command shares.",
           "FILE"),
    Option("quiet", ("-q", "--quiet"), FLAG, _V, "Print no report on standard output."),
    Option("header", ("--header/--no-header",), SWITCH, _V,
           "Print the header line of the table (default: on)."),
    *named(VIEW_OPTIONS, "bytes", "color"),
    Option("source", ("--source",), TEXT, _S,
           "Compare --baseline with a saved listing instead of the running kernel.", "PATH"),
    *named(SOURCE_OPTIONS, "interface"),
)  # fmt: skip

DOCTOR_FORMATS = ("table", "json")
VERIFY_FORMATS = ("tap", "json")

DOCTOR_OPTIONS = (
    Option("format", ("-o", "--format"), TEXT, _V, "Output format (default: table).",
           "FORMAT", DOCTOR_FORMATS),
    Option("color", ("--color",), TEXT, _V,
           "Colorize the report. NO_COLOR turns auto off (default: auto).", "WHEN", COLORS),
)  # fmt: skip

PROFILING_ACTIONS = ("status", "on", "off")
PROFILING_FORMATS = ("table", "json")
PROFILING_OPTIONS = (
    Option("persist", ("--persist",), FLAG, "What to do",
           "Also set it at each boot: write /etc/sysctl.d/90-allocq.conf, and show the boot"
           " parameter. The boot loader is not touched."),
    Option("dry_run", ("--dry-run",), FLAG, "What to do",
           "Show what on or off would print and do; change nothing."),
    Option("format", ("-o", "--format"), TEXT, _V, "Output format of status (default: table).",
           "FORMAT", PROFILING_FORMATS),
    *named(VIEW_OPTIONS, "color"),
)  # fmt: skip

VERIFY_OPTIONS = (
    Option("load_module", ("--load-module",), TEXT, "What to check",
           "Load a module, check, and unload it: a name, or the path of a .ko file. It must not be"
           " loaded yet.", "NAME"),
    Option("rounds", ("--rounds",), TEXT, "What to check",
           "Try N random filters, and at most N values of each field (default: 100).", "N"),
    Option("seed", ("--seed",), TEXT, "What to check",
           "Seed the random choices with N; every run prints its seed.", "N"),
    Option("format", ("-o", "--format"), TEXT, _V,
           "Output format; kselftest and prove read tap (default: tap).", "FORMAT",
           VERIFY_FORMATS),
)  # fmt: skip

TREE_FORMATS = ("table", "json", "jsonl", "csv", "tsv", "folded")
TREE_SORTS = ("bytes", "calls", "name")

TREE_OPTIONS = (
    *(option for option in FILTER_OPTIONS if option.name not in ("min_size", "max_size")),
    Option("depth", ("-d", "--depth"), TEXT, _V,
           "Show N levels of directories, files, functions and lines (default: all; in a table, as"
           " many as fit 60 lines, at least 2).", "N"),
    Option("min_size", ("--min-size",), TEXT, _V,
           "Hide what holds less than SIZE; sums still include it (default: tables hide what holds"
           " nothing).", "SIZE"),
    Option("sort", ("-s", "--sort"), TEXT, _V,
           "Sort each level by KEY, numbers largest first (default: bytes).", "KEY", TREE_SORTS),
    Option("limit", ("-n", "--limit"), TEXT, _V,
           "Show only the first N at each level; a table adds a line for the rest.", "N"),
    *named(VIEW_OPTIONS, "slab"),
    Option("format", ("-o", "--format"), TEXT, _V,
           "Output format; folded is for flame graph tools, with paths instead of stacks and only"
           " sizes above zero (default: table).", "FORMAT", TREE_FORMATS),
    *named(TABULAR_OPTIONS, "header", "bytes", "color", "pager"),
    *OUTPUT_OPTIONS,
    *(option for option in SOURCE_OPTIONS if option.name != "explain"),
)  # fmt: skip

MEMORY_FORMATS = ("table", "json")
MEMORY_OPTIONS = (
    Option("limit", ("-n", "--limit"), TEXT, _V,
           "Show the N largest tags of the kernel (default: 5).", "N"),
    Option("format", ("-o", "--format"), TEXT, _V, "Output format (default: table).", "FORMAT",
           MEMORY_FORMATS),
    *named(VIEW_OPTIONS, "bytes", "color"),
    *OUTPUT_OPTIONS,
    Option("meminfo", ("--meminfo",), TEXT, _S,
           "Read /proc/meminfo from FILE (default: the running kernel's, or the one in a"
           " snapshot).", "FILE"),
    *(option for option in SOURCE_OPTIONS if option.name != "explain"),
)  # fmt: skip

TREND_FORMATS = ("table", "json", "jsonl", "csv", "tsv")
TREND_OPTIONS = (
    *(
        option
        for option in FILTER_OPTIONS
        if option.name not in ("inaccurate", "accurate", "underflowed")
    ),
    Option("since", ("--since",), TEXT, _S,
           "Begin at TIME ('6 hours ago', -1d, 2026-11-23T06:20, @SECONDS; default: all).", "TIME"),
    Option("until", ("--until",), TEXT, _S, "End at TIME (default: all).", "TIME"),
    *named(VIEW_OPTIONS, "group_by"),
    Option("suspects", ("--suspects",), FLAG, _V,
           "Show only suspected leaks. Exit status 1: there are none."),
    Option("until_full", ("--until-full",), FLAG, _V,
           "Show when each tag or group alone would fill the available memory at its current"
           " rate."),
    Option("explain", ("--explain",), FLAG, _V,
           "Explain below a table why each row is suspected or not."),
    Option("limit", ("-n", "--limit", "--top"), TEXT, _V,
           "Show only the first N (default: 20 in a table).", "N"),
    Option("format", ("-o", "--format"), TEXT, _V,
           "Output format (default: table on a terminal, otherwise tsv).", "FORMAT",
           TREND_FORMATS),
    *named(TABULAR_OPTIONS, "header", "bytes", "color"),
    *OUTPUT_OPTIONS,
    Option("source", ("--source",), TEXT, _S, "The same as the operand SOURCE.", "PATH"),
    *named(SOURCE_OPTIONS, "vmlinux"),
)  # fmt: skip

TOP_PANEL = "How it runs"
TOP_INTERVAL = "2s"
TOP_SORTS = ("growth", "start", "bytes", "calls")
TOP_FORMATS = ("table", "jsonl", "csv", "tsv")
TOP_OPTIONS = (
    Option("interval", ("--interval",), TEXT, TOP_PANEL,
           f"Refresh every TIME (default: {TOP_INTERVAL}).", "TIME"),
    Option("batch", ("-b", "--batch"), FLAG, TOP_PANEL,
           "Print tables or data, for logs and pipes, instead of the full screen."),
    Option("count", ("-n", "--count"), TEXT, TOP_PANEL, "Exit after N refreshes.", "N"),
    *FILTER_OPTIONS,
    Option("sort", ("-s", "--sort"), TEXT, _V,
           "Sort by KEY, largest first: growth per second, growth since the start, bytes or calls"
           " (default: growth).", "KEY", TOP_SORTS),
    *named(VIEW_OPTIONS, "reverse", "group_by"),
    Option("limit", ("--limit",), TEXT, _V,
           "With --batch, print only the first N (default: 20 in a table).", "N"),
    Option("format", ("-o", "--format"), TEXT, _V,
           "With --batch, the output format; jsonl, csv and tsv have a row for each tag and"
           " refresh, with its time (default: table).", "FORMAT", TOP_FORMATS),
    Option("header", ("--header/--no-header",), SWITCH, _V,
           "With --batch, print the header line of tables, csv and tsv (default: on)."),
    *named(VIEW_OPTIONS, "bytes", "color"),
    Option("source", ("--source",), TEXT, _S,
           "Replay DIR, a recording or a folder of saved listings. A path on a proc file system is"
           " a running kernel.", "DIR"),
    Option("at", ("--at",), TEXT, _S,
           "Start the replay at the last listing at or before TIME ('10 min ago', 1h,"
           " 2026-11-23T06:20, @SECONDS; default: the first).", "TIME"),
    *named(SOURCE_OPTIONS, "interface"),
)  # fmt: skip

WATCH_PANEL = "What to watch"
WATCH_TIME = "10s"
MAX_RATE = 100_000
STACKS_FORMATS = ("table", "folded", "pprof", "speedscope", "json")
STACKS_OPTIONS = (
    *named(
        FILTER_OPTIONS, "file", "function", "module", "builtin", "line", "regexp", "ignore_case",
        "invert", "exclude",
    ),
    Option("span", ("--for",), TEXT, WATCH_PANEL,
           f"Watch for TIME (default: {WATCH_TIME}; with COMMAND, until it ends).", "TIME"),
    Option("live", ("--live",), FLAG, WATCH_PANEL,
           "Pair frees with allocations, and show what was allocated while watching and not"
           " freed."),
    Option("by_process", ("--by-process",), FLAG, WATCH_PANEL,
           "Keep threads apart: the outermost caller is the thread that allocated, with its name"
           " if it lives long enough."),
    Option("by_size", ("--by-size",), FLAG, WATCH_PANEL,
           "Tell apart the sizes that one call stack allocates."),
    Option("map_size", ("--map-size",), TEXT, WATCH_PANEL,
           "Size the kernel's tables for N allocations (with --live) and N / 8 stacks, at least"
           " 2048; events that find a table full are counted as dropped (default: 16384).", "N"),
    Option("max_rate", ("--max-rate",), TEXT, WATCH_PANEL,
           f"Stop when more than N allocations a second are counted (default: {MAX_RATE}).", "N"),
    Option("limit", ("-n", "--limit"), TEXT, _V, "Show only the N largest stacks.", "N"),
    Option("format", ("-o", "--format"), TEXT, _V,
           "Output format; flame graph tools read folded, go tool pprof reads pprof (default:"
           " table).", "FORMAT", STACKS_FORMATS),
    *named(TABULAR_OPTIONS, "header", "bytes", "color"),
    *OUTPUT_OPTIONS,
    Option("source", ("--source",), TEXT, _S,
           "The tags of the running kernel in another proc file system, as"
           " /host/proc/allocinfo in a container (default: /proc/allocinfo).", "PATH"),
)  # fmt: skip

REPORT_FORMATS = ("html", "markdown")
REPORT_OPTIONS = (
    *FILTER_OPTIONS,
    Option("limit", ("-n", "--limit"), TEXT, _V,
           "Show the N largest tags and the N that grew most above the table of all tags (default:"
           " 20, at"
           " most 200).",
           "N"),
    Option("format", ("-o", "--format"), TEXT, _V,
           "Output format (default: by the suffix of FILE, otherwise html).", "FORMAT",
           REPORT_FORMATS),
    *OUTPUT_OPTIONS,
    Option("since", ("--since",), TEXT, _S,
           "In a recording, begin at TIME ('6 hours ago', -1d, 2026-11-23T06:20, @SECONDS; default:"
           " all).", "TIME"),
    Option("until", ("--until",), TEXT, _S, "In a recording, end at TIME (default: all).", "TIME"),
    *named(MEMORY_OPTIONS, "meminfo"),
    Option("stacks", ("--stacks",), LIST, _S,
           "Also show the callers in FILE, which allocq stacks -o json wrote; - is standard input."
           " Can be repeated.", "FILE"),
    *(option for option in SOURCE_OPTIONS if option.name != "explain"),
)  # fmt: skip

EXPORT_PANEL = "How they are exported"
EXPORT_SERVER_PANEL = "How they are served"
EXPORT_LISTEN = "127.0.0.1:9836"
EXPORT_TOP = 100
EXPORT_HOLD, EXPORT_MAX_AGE = "10m", "5s"
EXPORT_OPTIONS = (
    Option("listen", ("--listen",), LIST, EXPORT_SERVER_PANEL,
           "Serve metrics at HOST:PORT, [IPV6]:PORT, or :PORT for every address; can be repeated"
           f" (default: {EXPORT_LISTEN}, this machine only).", "ADDRESS"),
    Option("max_age", ("--max-age",), TEXT, EXPORT_SERVER_PANEL,
           "Reuse an answer for TIME before reading again (default:"
           f" {EXPORT_MAX_AGE}; 0s always reads).", "TIME"),
    Option("user", ("--user",), TEXT, EXPORT_SERVER_PANEL,
           "As root, switch to USER, a name or a number, once everything is open (default: allocq"
           " if"
           " that user exists, otherwise nobody).", "USER"),
    Option("tls_cert", ("--tls-cert",), TEXT, EXPORT_SERVER_PANEL,
           "Serve HTTPS with this certificate and its chain (PEM).", "FILE"),
    Option("tls_key", ("--tls-key",), TEXT, EXPORT_SERVER_PANEL,
           "The private key of the certificate (PEM, without a password).", "FILE"),
    Option("tls_client_ca", ("--tls-client-ca",), TEXT, EXPORT_SERVER_PANEL,
           "Serve only clients with a certificate that one of these authorities (PEM) signed.",
           "FILE"),
    Option("passwords", ("--passwords",), TEXT, EXPORT_SERVER_PANEL,
           "Require a name and password (HTTP basic authentication): FILE has lines NAME:PASSWORD"
           " and must be readable by its owner only.", "FILE"),
    Option("textfile", ("--textfile",), TEXT, EXPORT_PANEL,
           "Write FILE once, whole or not at all, for the textfile collector of node_exporter, and"
           " serve nothing. - is standard output.", "FILE"),
    Option("top", ("--top",), TEXT, EXPORT_PANEL,
           "Export the N largest series, and the N / 4 others that grew most; the rest is summed"
           " in one series, 'other' (default: {EXPORT_TOP}).", "N"),
    Option("min_size", ("--min-size",), LIST, EXPORT_PANEL,
           "Export only series of at least SIZE; smaller ones are in 'other'.", "SIZE"),
    Option("hold", ("--hold",), TEXT, EXPORT_PANEL,
           "Keep exporting a series for TIME after it drops out of the top (default:"
           f" {EXPORT_HOLD}). There are never more than 2 N.", "TIME"),
    Option("line_label", ("--line-label",), FLAG, EXPORT_PANEL,
           "Add the line as a label. Lines move between kernels."),
    *(
        Option(f"{label}_{word}", (f"--{label}-{word}",), TEXT, EXPORT_PANEL,
               f"Export only series whose {label} {verb} REGEX (Python syntax, found anywhere);"
               " the rest is in 'other'.", "REGEX")
        for label in ("file", "function", "module")
        for word, verb in (("include", "matches"), ("exclude", "does not match"))
    ),
    *(option for option in FILTER_OPTIONS if option.name != "min_size"),
    *named(SOURCE_OPTIONS, "source", "listing", "sample", "interface"),
)  # fmt: skip

WORDS = Operand(
    "words",
    "WORD",
    "A file, directory, FILE:LINE, function or module; or a saved listing to read (- is stdin).",
    required=False,
    many=True,
)

NAMES = Operand(
    "words",
    "WORD",
    "A file, directory, FILE:LINE, function or module.",
    required=False,
    many=True,
)


def _fleet(word: str, help: str, options: tuple[Option, ...], *examples: str) -> Command:
    """One command of the group `fleet`."""
    operands = () if word == "compact" else (NAMES,)
    module = "compact" if word == "compact" else "command"
    body = f"commands.fleet.{module}:{word}_command"
    return Command(f"fleet {word}", help, body, options, operands, examples)


FLEET = (
    _fleet(
        "hosts",
        "List the hosts: kernel, boots, first and last sample, and whether the clock is ahead.",
        fleet.HOSTS_OPTIONS,
        "allocq fleet hosts --data /srv/allocq",
        "allocq fleet hosts --data /srv/allocq --kernel '6.12.*' -s bytes",
    ),
    _fleet(
        "top",
        "Show which tags hold most across the fleet, by the latest sample of each host.",
        fleet.TOP_OPTIONS,
        "allocq fleet top --data /srv/allocq",
        "allocq fleet top --data /srv/allocq drivers/net -g module",
    ),
    _fleet(
        "grown",
        "Show what grew across the fleet, from the first to the last sample of each host. Where"
        " lines moved between kernels, tags are matched by file and function. Exit status 1:"
        " nothing grew.",
        fleet.GROWN_OPTIONS,
        "allocq fleet grown --data /srv/allocq --since '6 hours ago'",
        "allocq fleet grown --data /srv/allocq --since-rollout 7.3.4",
    ),
    _fleet(
        "outliers",
        "Show hosts that hold far more at a tag than others with the same kernel, by median and"
        " MAD. Exit status 1: there are none.",
        fleet.OUTLIERS_OPTIONS,
        "allocq fleet outliers --data /srv/allocq",
        "allocq fleet outliers --data /srv/allocq --min-excess 64M -m xfs",
    ),
    _fleet(
        "percentiles",
        "Show what the hosts hold at each tag: p50, p90, p99 and the maximum.",
        fleet.PERCENTILES_OPTIONS,
        "allocq fleet percentiles --data /srv/allocq fs/xfs",
    ),
    _fleet(
        "compact",
        "Join the many small Parquet files of a host and hour into one. Safe to interrupt at any"
        " time.",
        fleet.COMPACT_OPTIONS,
        "allocq fleet compact --data /srv/allocq",
    ),
)

COMMANDS = (
    Command(
        "query",
        "Find tags and print them.",
        "commands.query:query_command",
        QUERY_OPTIONS,
        (WORDS,),
        examples=(
            "allocq query --file mm/slub.c --min-size 64K",
            "allocq query slub xfs",
            "allocq query saved.txt -g module -s bytes -n 10",
        ),
    ),
    Command(
        "tree",
        "Show memory by source directory, file, function and line, like du. Exit status 1: no tag"
        " matches.",
        "commands.tree:tree_command",
        TREE_OPTIONS,
        (WORDS,),
        examples=(
            "allocq tree -d 2",
            "allocq tree drivers/net",
            "allocq tree saved.txt.gz --min-size 1M",
        ),
    ),
    Command(
        "memory",
        "Compare the tags with /proc/meminfo: cache or leak, user or kernel, and what neither"
        " explains.",
        "commands.memory:memory_command",
        MEMORY_OPTIONS,
        (
            Operand(
                "path",
                "FILE",
                "A saved listing to read, as with --source; - is standard input.",
                required=False,
            ),
        ),
        examples=(
            "allocq memory",
            "allocq memory before.txt.gz",
        ),
    ),
    Command(
        "top",
        "Show what is growing, live and full screen: growth per second, since the start and since a"
        " mark. Replays recordings.",
        "commands.top.command:top_command",
        TOP_OPTIONS,
        (NAMES,),
        examples=(
            "allocq top",
            "allocq top drivers/net -g module",
            "allocq top --source /var/lib/allocq --at '1 hour ago'",
            "allocq top -b -n 3 --interval 10s",
        ),
    ),
    Command(
        "snapshot",
        "Save the tags to a file that cat, grep and every allocq command can read, with the time,"
        " host, kernel and boot. Exit status 1: no tag matches (the file is saved anyway).",
        "commands.snapshot:snapshot_command",
        SNAPSHOT_OPTIONS,
        operands=(
            Operand(
                "path",
                "FILE",
                "Write to FILE, whole or not at all; .gz and .zst compress. - is standard output"
                " (default: -).",
                required=False,
            ),
        ),
        examples=(
            "allocq snapshot before.txt.gz",
            "allocq snapshot --module xfs | gzip >xfs.txt.gz",
        ),
    ),
    Command(
        "record",
        "Take samples of the running kernel until interrupted, for query, tree, diff and others to"
        " read with --source DIR.",
        "commands.record:record_command",
        RECORD_OPTIONS,
        operands=(Operand("folder", "DIR", "The same as --directory DIR.", required=False),),
        examples=(
            "allocq record -d /var/lib/allocq --interval 10s --keep 7d",
            "allocq record --once /var/lib/allocq",
        ),
    ),
    Command(
        "ship",
        "Move a recording to a directory or an object store as Parquet: one file for each host and"
        " completed hour, every sample exactly once. Exit status 0: everything is shipped.",
        "commands.ship:ship_command",
        SHIP_OPTIONS,
        examples=(
            "allocq ship --to /srv/allocq",
            "allocq ship --source /var/lib/allocq --to s3://metrics/allocq --delete",
        ),
    ),
    Command(
        "trend",
        "Show likely leaks: what rises in a recording, keeps rising and never falls back, the most"
        " suspicious first. User memory, the page cache and slab pages are ranked separately.",
        "commands.trend:trend_command",
        TREND_OPTIONS,
        operands=(
            Operand(
                "sources",
                "SOURCE",
                "A recording, a folder of saved listings, or saved listings (default: the recording"
                " that record writes).",
                required=False,
                many=True,
            ),
        ),
        examples=(
            "allocq trend /var/lib/allocq --since '6 hours ago'",
            "allocq trend monday.gz tuesday.gz wednesday.gz -g module",
            "allocq trend --suspects -g module -o json",
        ),
    ),
    Command(
        "diff",
        "Show what grew between two or more listings, or since one. Tags are matched by file,"
        " line, module and function. With size and call filters, a tag is shown if it passes in"
        " any of them. Exit status 0: something differs; 1: nothing differs.",
        "commands.diff:diff_command",
        DIFF_OPTIONS,
        (
            Operand(
                "before",
                "BEFORE",
                "A snapshot or a saved /proc/allocinfo; - is standard input.",
                required=False,
            ),
            Operand(
                "after",
                "AFTER",
                "A later listing (default: the running kernel).",
                required=False,
            ),
            Operand(
                "later",
                "LATER",
                "More listings: the growth from each to the next gets a column.",
                required=False,
                many=True,
            ),
        ),
        examples=(
            "allocq diff before.txt.gz",
            "allocq diff before.txt.gz after.txt.gz -g module",
            "allocq diff monday.gz tuesday.gz wednesday.gz",
            "allocq diff --source /var/lib/allocq --since '1 hour ago'",
        ),
    ),
    Command(
        "report",
        "Write a report to send, one HTML or Markdown file: a treemap, what grew, likely leaks,"
        " all tags, and how they compare with /proc/meminfo. The page needs no network and no"
        " other file. Exit status 1: no"
        " tag matches (the file is written anyway).",
        "commands.report:report_command",
        REPORT_OPTIONS,
        operands=(
            Operand(
                "sources",
                "SOURCE",
                "A saved listing; two to compare; three or more, a folder of them or a recording"
                " for a trend (default: the running kernel).",
                required=False,
                many=True,
            ),
        ),
        examples=(
            "allocq report --output report.html",
            "allocq report before.txt.gz after.txt.gz --output report.html",
            "allocq report /var/lib/allocq --since '6 hours ago' --output report.html",
            "allocq report saved.txt --output report.md",
        ),
    ),
    Command(
        "export",
        "Serve the tags as metrics for Prometheus, or write them to a file for node_exporter. The"
        " largest sums and those that grew most get a series each; the rest is one series.",
        "commands.export.command:export_command",
        EXPORT_OPTIONS,
        (
            Operand(
                "words",
                "WORD",
                "A file, directory, FILE:LINE, function or module.",
                required=False,
                many=True,
            ),
        ),
        examples=(
            "allocq export",
            "allocq export --listen [::1]:9836 --top 200 --min-size 1M",
            "allocq export --textfile /var/lib/node_exporter/allocq.prom",
        ),
    ),
    Command(
        "check",
        "Run COMMAND and fail if a tag grew more than allowed: a leak gate for CI. Growth is"
        " measured from the highest of several readings before to the lowest after. Exit status"
        " 0: nothing leaked; 1: something leaked; 2: undetermined; 3: COMMAND failed.",
        "commands.check:check_command",
        CHECK_OPTIONS,
        (
            Operand(
                "command",
                "COMMAND",
                "The command to run, without a shell. allocq's options end here: all words that"
                " follow belong to the command. Without a command, --baseline is compared with the"
                " running kernel.",
                required=False,
                many=True,
                runs=True,
            ),
        ),
        examples=(
            "allocq check -- ./run-tests.sh",
            "allocq check --max-growth 4K --module xfs -o junit --report leak.xml -- mount /mnt",
        ),
    ),
    Command(
        "stacks",
        "Watch which call stacks allocate through a tag, file, function or module. Exit status 1:"
        " none did; 3: COMMAND failed.",
        "commands.stacks:stacks_command",
        STACKS_OPTIONS,
        (
            Operand(
                "words",
                "WORD",
                "A file, directory, FILE:LINE, function or module.",
                required=False,
                many=True,
            ),
            Operand(
                "command",
                "COMMAND",
                "The command to run and watch, without a shell: all words after -- belong to it.",
                required=False,
                many=True,
                behind_dashes=True,
            ),
        ),
        examples=(
            "allocq stacks alloc_pipe_info --for 30s",
            "allocq stacks mm/slub.c:3347 --live -- ./run-tests.sh",
            "allocq stacks xfs -o pprof --output xfs.pb.gz",
        ),
    ),
    Command(
        "doctor",
        "Report what this kernel supports, what is enabled, and how to fix what is not.",
        "commands.doctor.doctor:doctor_command",
        DOCTOR_OPTIONS,
        examples=(
            "allocq doctor",
            "allocq doctor -o json",
        ),
    ),
    Command(
        "profiling",
        "Show whether the kernel counts allocations, or turn that on or off (vm.mem_profiling)."
        " Exit status of status: 0: it counts; 1: it does not.",
        "commands.profiling:profiling_command",
        PROFILING_OPTIONS,
        (
            Operand(
                "action",
                "ACTION",
                "status, on or off (default: status).",
                required=False,
            ),
        ),
        examples=(
            "allocq profiling",
            "allocq profiling on --persist",
            "allocq profiling off",
        ),
    ),
    Command(
        "verify",
        "Check that the ioctl and the text file agree on this kernel. Exit status 0: they agree;"
        " 1: they differ; 2: undetermined.",
        "commands.verify.verify:verify_command",
        VERIFY_OPTIONS,
        examples=(
            "allocq verify",
            "allocq verify --load-module xfs --rounds 1000",
        ),
    ),
    Command(
        "bench",
        "Time cat, grep and awk against allocq on this machine.",
        "commands.bench.command:bench_command",
        BENCH_OPTIONS,
        examples=(
            "allocq bench",
            "allocq bench --drop-caches --runs 5",
        ),
    ),
    Command(
        "fleet",
        "Query the Parquet files of many hosts: what holds most, what grew since a rollout, which"
        " host is"
        " an outlier.",
        "",
        (),
        commands=FLEET,
    ),
)


def leaves() -> tuple[Command, ...]:
    """The commands that can be run: in place of a group, its commands."""
    return tuple(each for command in COMMANDS for each in (command.commands or (command,)))
