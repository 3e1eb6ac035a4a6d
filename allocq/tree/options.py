"""The options of `tree`."""

from ..options import FILTER_OPTIONS, SOURCE_OPTIONS, TEXT, VIEW_OPTIONS, VIEW_PANEL, Option, named

TREE_FORMATS = ("table", "json", "jsonl", "csv", "tsv", "folded")
TREE_SORTS = ("bytes", "calls", "name")
SLABS = ("include", "exclude", "mark")

_V = VIEW_PANEL

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
