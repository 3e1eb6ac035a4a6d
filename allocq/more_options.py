"""The options of `doctor`, `verify` and `tree`. Those of `query` are in options.py."""

from .options import (
    COLORS,
    FILTER_OPTIONS,
    SOURCE_OPTIONS,
    TEXT,
    VIEW_OPTIONS,
    VIEW_PANEL,
    Option,
)

DOCTOR_FORMATS = ("table", "json")
VERIFY_FORMATS = ("tap", "json")
TREE_FORMATS = ("table", "json", "jsonl", "csv", "tsv", "folded")
TREE_SORTS = ("bytes", "calls", "name")
SLABS = ("include", "exclude", "mark")


_V = VIEW_PANEL

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
    *(option for option in VIEW_OPTIONS if option.name in ("header", "bytes", "color")),
    *(option for option in SOURCE_OPTIONS if option.name != "explain"),
)  # fmt: skip
