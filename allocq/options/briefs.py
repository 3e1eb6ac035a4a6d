"""Short words for --help: man pages have the long ones.

A help that fits two screens is read; one that explains everything is scrolled past.
"""

# By option name. {} stands for the choices.
BRIEFS = {
    "file": "A path, its end, a directory, FILE:LINE or a glob.",
    "function": "A function, by name or glob.",
    "module": "A module, by name or glob.",
    "line": "A line number or a range.",
    "regexp": "Search FILE:LINE [MODULE] func:FUNCTION.",
    "exclude": "Leave out files, named as for --file.",
    "format": "As {}.",
    "sort": "By {}.",
    "group_by": "Sums by {}.",
    "limit": "Show only the first N after sorting.",
    "bounds": "With -g, apply size and call bounds to {}.",
    "slab": "Slab pages in totals: {}.",
    "count": "Print only the number of matches.",
    "quiet": "Print nothing; use the exit status.",
    "header": "Print the header line (default: on, except procfs).",
    "bytes": "Show plain byte counts instead of 1.5M.",
    "color": "Colors: {}.",
    "pager": "Page long answers: {}.",
    "source": "A listing, log, archive, dump, recording; - is stdin.",
    "vmlinux": "The kernel of a crash dump, with its debug info.",
    "listing": "Which of several listings: 1, 2, last or all.",
    "list_listings": "List the listings of a source instead.",
    "at": "Read a recording as of TIME: '10 min ago'.",
    "sample": "Read the installed sample, a real Linux 7.3.",
    "interface": "How to ask the running kernel: {}.",
    "explain": "Print the plan instead of the answer.",
}

# Options in one row, by the name of the first, with words for all.
ROWS = {
    "ignore_case": (("ignore_case", "invert"), "Ignore case; invert the match."),
    "min_size": (("min_size", "max_size"), "At least, at most SIZE: 64K, 1.5G, 1MB."),
    "min_calls": (("min_calls", "max_calls"), "At least, at most N live allocations."),
    "color": (("color", "pager"), "Colors, paging: auto, always, never."),
    "reverse": (("reverse", "limit"), "Reverse the order; show the first N."),
    "count": (("count", "quiet"), "Print only a count; print nothing."),
    "output": (("force", "output"), "Write to FILE; --force replaces it."),
    "inaccurate": (
        ("inaccurate", "accurate", "underflowed"),
        "Only counters of this kind.",
    ),
}
