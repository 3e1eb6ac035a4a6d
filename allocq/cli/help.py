"""Formats `--help` and `--version` from the declarations."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from .. import __version__
from ..options.briefs import BRIEFS, ROWS
from ..options.commands import COMMANDS, Command
from ..options.shared import (
    FILTER_OPTIONS,
    OUTPUT_OPTIONS,
    SOURCE_OPTIONS,
    VIEW_OPTIONS,
    Option,
    OptionKind,
)
from ..output.terminal import terminal_width

NAME = "allocq"
SUMMARY = "Show which lines of kernel source hold the memory (/proc/allocinfo)."
EXAMPLES = (
    "sudo allocq query --min-size 1M",
    "allocq tree --sample",
    "dmesg | allocq query -",
)
OWN_PANEL = "Options"
HELP = Option("help", ("-h", "--help"), OptionKind.FLAG, OWN_PANEL, "Show this message and exit.")
VERSION = Option(
    "version", ("-V", "--version"), OptionKind.FLAG, OWN_PANEL, "Print the version and exit."
)
_WIDEST, _NARROWEST = 100, 20
_COLUMN = 24


def main_help() -> str:
    """`allocq --help`."""
    rows = [(command.name, summary(command)) for command in COMMANDS]
    sections = [("Commands", rows), _section(OWN_PANEL, (HELP, VERSION))]
    usage = f"Usage: {NAME} COMMAND [OPTIONS] [ARG...]"
    end = f"{NAME} COMMAND --help explains a command; man {NAME} has the rest."
    return _page(usage, [SUMMARY], sections, [end], EXAMPLES)


def command_help(command: Command) -> str:
    """`allocq COMMAND --help`."""
    if command.commands:
        return _group_help(command)
    words = [NAME, command.name, "[OPTIONS]", *(operand.usage for operand in command.operands)]
    panels: dict[str, list[Option]] = {}
    for option in command.options:
        panels.setdefault(option.panel, []).append(option)
    sections = [(panel, _rows(options, command.name)) for panel, options in panels.items()]
    sections[-1][1].extend(_rows([HELP], command.name))
    if command.operands:
        operands = [(operand.metavar, operand.help) for operand in command.operands]
        sections.insert(0, ("", operands))
    usage = f"Usage: {' '.join(words)}"
    return _page(usage, [command.help], sections, [], command.examples)


def _group_help(group: Command) -> str:
    rows = [(command.word, summary(command)) for command in group.commands]
    sections = [("Commands", rows), _section(OWN_PANEL, (HELP,))]
    usage = f"Usage: {NAME} {group.name} COMMAND [OPTIONS] [ARG...]"
    end = f"{NAME} {group.name} COMMAND --help explains a command."
    examples = [command.examples[0] for command in group.commands if command.examples]
    return _page(usage, [group.help], sections, [end], examples)


def version_line() -> str:
    """`allocq --version`. core/front.c prints it where there is no Python."""
    from ..host.installation import installation

    return f"{NAME} {__version__} ({installation(__version__)})\n"


def summary(command: Command) -> str:
    """The first sentence of a command's help."""
    return command.help.partition(". ")[0].rstrip(".") + "."


def describe(option: Option, short: str = "") -> str:
    """The words for an option and the values it takes, which {} in `short` stands for."""
    choices = ", ".join(option.choices)
    text = short.replace("{}", choices) if "{}" in short else short or option.help
    return f"{text} One of: {choices}." if choices and choices not in text else text


def _section(title: str, options: Sequence[Option]) -> tuple[str, list[tuple[str, str]]]:
    return title, [(_spelling(option), describe(option)) for option in options]


def _rows(options: Sequence[Option], command: str) -> list[tuple[str, str]]:
    """The rows of a panel. Only options that mean the same everywhere have short words."""
    everywhere = (*FILTER_OPTIONS, *VIEW_OPTIONS, *OUTPUT_OPTIONS, *SOURCE_OPTIONS)
    shared = {id(option) for option in everywhere}
    by_name = {option.name: option for option in options if id(option) in shared}
    rows, done = [], set()
    for option in options:
        if option.name in done:
            continue
        names, words = ROWS.get(option.name, ((option.name,), ""))
        together = [by_name[name] for name in names if name in by_name]
        if len(together) > 1:
            done |= set(names)
            spelled = [_spelling(each, each is together[-1]).strip() for each in together]
            rows.append((" " * 4 + ", ".join(spelled), words))
        else:
            known = option.name in by_name or option.name == "list_listings"
            short = BRIEFS.get(option.name, "") if known else ""
            rows.append((_spelling(option), describe(option, short)))
    return rows


def _spelling(option: Option, with_value: bool = True) -> str:
    flags = [flag for pair in option.flags for flag in pair.split("/")]
    short = [flag for flag in flags if len(flag) == 2]
    long = [flag for flag in flags if len(flag) > 2]
    indent = "" if short else "    "
    value = f" {option.metavar}" if option.metavar and with_value else ""
    return indent + ", ".join([*short, *long]) + value


def _page(
    usage: str,
    paragraphs: Sequence[str],
    sections: Sequence[tuple[str, list[tuple[str, str]]]],
    end: Sequence[str],
    examples: Sequence[str] = (),
) -> str:
    width = max(_NARROWEST, min(terminal_width(), _WIDEST))
    lines = textwrap.wrap(usage, width, subsequent_indent="    ", break_on_hyphens=False)
    for paragraph in paragraphs:
        lines += ["", *_wrapped(paragraph, width, "")]
    for title, rows in sections:
        lines += ["", f"{title}:"] if title else []
        for row in rows:
            lines += _row(*row, width)
    if examples:
        lines += ["", "Examples:"]
        for example in examples:
            lines += _example(example, width)
    for paragraph in end:
        lines += ["", *_wrapped(paragraph, width, "")]
    return "".join(line + "\n" for line in lines)


def _row(name: str, text: str, width: int) -> Iterator[str]:
    """A name and its help: beside it, or below if there is no room."""
    column = _COLUMN if width >= 2 * _COLUMN + 8 else 6
    lines = _wrapped(text, width, " " * column)
    start = f"  {name if column == _COLUMN else name.strip()}"
    if len(start) + 2 <= column:
        yield start.ljust(column) + lines[0].lstrip()
        lines = lines[1:]
    elif len(start) + 2 + len(text) <= width:
        yield f"{start}  {text}"
        return
    else:
        yield from _wrapped(start.strip(), width, "  ", "      ")
    yield from lines


def _example(command: str, width: int) -> list[str]:
    """A command line, broken as a shell allows where it is too wide."""
    lines = _wrapped(command, width - 2, "  ", "      ")
    return [line + (" \\" if line is not lines[-1] else "") for line in lines]


def _wrapped(text: str, width: int, indent: str, later: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent if later is None else later,
        break_long_words=False,
        break_on_hyphens=False,
    )
