"""The options of `bench`, apart from its body: the app reads them for every command line."""

from ..options import FLAG, LIST, TEXT, Option

PUBLISHED_FILE = "arch/x86/events/rapl.c"
SCENARIOS = ("file", "file-size", "size")
FORMATS = ("table", "json")
RUNS = 20

_PANEL = "Options"
BENCH_OPTIONS = (
    Option("runs", ("-n", "--runs"), TEXT, _PANEL, f"How often each way is run; {RUNS}.", "N"),
    Option("warm", ("--warm",), FLAG, _PANEL,
           "Leave the kernel's file caches alone instead of dropping them before each run."),
    Option("scenario", ("-S", "--scenario"), LIST, _PANEL,
           "Only this: one file, that file and a minimum size, a minimum size alone.", "NAME",
           SCENARIOS),
    Option("file", ("-f", "--file"), TEXT, _PANEL,
           f"The file to look for; {PUBLISHED_FILE}, or the first that the kernel has.", "PATH"),
    Option("min_size", ("--min-size",), TEXT, _PANEL,
           "The minimum size; 1M, and with a file half of what its largest tag holds.", "SIZE"),
    Option("format", ("-o", "--format"), TEXT, _PANEL, "How to print; table.", "FORMAT", FORMATS),
)  # fmt: skip
