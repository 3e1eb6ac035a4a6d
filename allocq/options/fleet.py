"""The options of `allocq fleet`, and their vocabularies."""

from .shared import (
    FILTER_OPTIONS,
    OUTPUT_OPTIONS,
    VIEW_OPTIONS,
    VIEW_PANEL,
    Option,
    OptionKind,
    named,
)

FLAG, TEXT, LIST, SWITCH = OptionKind
_V = VIEW_PANEL

ENGINES = ("duckdb", "spark")
FORMATS = ("table", "json", "jsonl", "csv", "parquet")
GROUPS = ("file", "directory", "function", "module")
SORTS = {
    "top": ("bytes", "calls", "hosts", "max"),
    "grown": ("growth", "calls", "before", "after", "grew", "max"),
    "outliers": ("excess", "bytes", "score"),
    "percentiles": ("p99", "p90", "p50", "max", "hosts"),
    "hosts": ("host", "last", "samples", "boots", "bytes", "ahead"),
}
"""What each question can be sorted by; the first is the default."""

DATA_PANEL = "Which data"
DATA = Option("data", ("--data",), TEXT, DATA_PANEL,
              "The directory of Parquet files that record --parquet and ship write; or one file.",
              "PATH")  # fmt: skip
_UNTIL = Option("until", ("--until",), TEXT, DATA_PANEL,
                "End at TIME (default: the newest sample).", "TIME")  # fmt: skip
_MORE = (
    Option("kernel", ("--kernel",), LIST, DATA_PANEL,
           "Only samples of kernels (uname -r) that match GLOB.", "GLOB"),
    Option("host", ("--host",), LIST, DATA_PANEL, "Only hosts that match GLOB.", "GLOB"),
    Option("engine", ("--engine",), TEXT, DATA_PANEL,
           "What runs the query: DuckDB in this process, or a Spark cluster that sees the same"
           " files (default: duckdb).", "NAME", ENGINES),
    Option("master", ("--master",), TEXT, DATA_PANEL,
           "With --engine spark, the cluster: spark://HOST:7077, local[2].", "URL"),
)  # fmt: skip


_SINCE = Option("since", ("--since",), TEXT, DATA_PANEL,
                "Begin at TIME ('6 hours ago', -1d, 2026-11-23T06:20, @SECONDS; default: 24 hours"
                " before the newest sample; with --since-rollout: all).", "TIME")  # fmt: skip


def _view(what: str) -> tuple[Option, ...]:
    """How the rows of a question are shown."""
    default = SORTS[what][0]
    order = "names ascending, numbers largest first" if default == "host" else "largest first"
    grouped = () if what == "hosts" else (
        Option("group_by", ("-g", "--group-by"), TEXT, _V,
               "Show sums per KEY instead of single tags.", "KEY", GROUPS),
    )  # fmt: skip
    return (
        *grouped,
        Option("sort", ("-s", "--sort"), TEXT, _V,
               f"Sort by KEY, {order} (default: {default}).", "KEY", SORTS[what]),
        *named(VIEW_OPTIONS, "reverse"),
        Option("limit", ("-n", "--limit"), TEXT, _V,
               "Show only the first N after sorting (default: 20 in a table, otherwise all).",
               "N"),
        Option("format", ("-o", "--format"), TEXT, _V,
               "Output format (default: table on a terminal, otherwise csv).", "FORMAT", FORMATS),
        *named(VIEW_OPTIONS, "quiet"),
        Option("header", ("--header/--no-header",), SWITCH, _V,
               "Print the header line of a table or csv (default: on)."),
        *named(VIEW_OPTIONS, "bytes", "color"),
        *OUTPUT_OPTIONS,
    )  # fmt: skip


TOP_OPTIONS = (DATA, _SINCE, _UNTIL, *_MORE, *FILTER_OPTIONS, *_view("top"))
GROWN_OPTIONS = (
    DATA,
    _SINCE,
    _UNTIL,
    Option("since_rollout", ("--since-rollout",), TEXT, DATA_PANEL,
           "Compare each host before and after it got KERNEL (uname -r, or a glob: '7.3.4*'): its"
           " last sample before its first one with KERNEL, and its last sample with KERNEL.",
           "KERNEL"),
    *_MORE,
    *FILTER_OPTIONS,
    Option("min_growth", ("--min-growth",), TEXT, _V,
           "Show only what grew by at least SIZE bytes over all hosts.", "SIZE"),
    *_view("grown"),
)  # fmt: skip
OUTLIERS_OPTIONS = (
    DATA,
    _SINCE,
    _UNTIL,
    *_MORE,
    *FILTER_OPTIONS,
    Option("min_score", ("--min-score",), TEXT, _V,
           "Show only what is at least N scaled MADs above the median of its peers (median"
           " absolute deviations, scaled to a standard deviation; default: 5).", "N"),
    Option("min_excess", ("--min-excess",), TEXT, _V,
           "Show only what is at least SIZE above the median (default: 1M).", "SIZE"),
    *_view("outliers"),
)  # fmt: skip
PERCENTILES_OPTIONS = (DATA, _SINCE, _UNTIL, *_MORE, *FILTER_OPTIONS, *_view("percentiles"))
HOSTS_OPTIONS = (DATA, _SINCE, _UNTIL, *_MORE, *FILTER_OPTIONS, *_view("hosts"))
COMPACT_OPTIONS = (DATA,)
