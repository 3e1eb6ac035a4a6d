"""The table of query's options in the README."""

from __future__ import annotations

from .declared import COMMANDS, Option, flags, panels, takes_value

BEGIN, END = "<!-- options -->\n", "<!-- end of options -->\n"


def with_table(readme: str) -> str:
    """The README with the text between the two marks replaced; unchanged without marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + begin + _table() + end + after if end else readme


def _table() -> str:
    query = next(command for command in COMMANDS if command.name == "query")
    lines = []
    for panel, options in panels(query.options).items():
        lines += ["", f"| {panel} | |", "|---|---|"]
        lines += [
            f"| {_flags(option)} | {_cell(option.help)}{_choices(option)} |" for option in options
        ]
    return "\n".join([*lines, "", ""])


def _flags(option: Option) -> str:
    spelled = flags(option)
    value = f" {option.metavar}" if takes_value(option) else ""
    return ", ".join(f"`{flag}`" for flag in spelled[:-1]) + (
        f", `{spelled[-1]}{value}`" if spelled[:-1] else f"`{spelled[-1]}{value}`"
    )


def _choices(option: Option) -> str:
    words = ", ".join(f"`{choice}`" for choice in option.choices)
    return f" One of {words}." if words else ""


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*").replace("<", "&lt;")
