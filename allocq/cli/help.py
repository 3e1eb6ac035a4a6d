"""Formats `--help` and `--version` from the declarations."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from .. import __version__
from ..declarations.commands import COMMANDS, Command
from ..declarations.shared import Option, OptionKind
from ..output.terminal import terminal_width

NAME = "allocq"
SUMMARY = "Ask Linux which line of kernel source holds the memory (/proc/allocinfo)."
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
    return _page(usage, [SUMMARY], sections, [end])


def command_help(command: Command) -> str:
    """`allocq COMMAND --help`."""
    words = [NAME, command.name, "[OPTIONS]", *(operand.usage for operand in command.operands)]
    panels: dict[str, list[Option]] = {}
    for option in (*command.options, HELP):
        panels.setdefault(option.panel, []).append(option)
    sections = [_section(panel, options) for panel, options in panels.items()]
    operands = [(operand.metavar, operand.help) for operand in command.operands]
    if operands:
        sections.insert(0, ("Arguments", operands))
    return _page(f"Usage: {' '.join(words)}", [command.help], sections, [])


def version_line() -> str:
    """`allocq --version`."""
    return f"{NAME} {__version__}\n"


def summary(command: Command) -> str:
    """The first sentence of a command's help."""
    return command.help.partition(". ")[0].rstrip(".") + "."


def describe(option: Option) -> str:
    """The help of an option and the values it takes."""
    if not option.choices:
        return option.help
    return f"{option.help} One of: {', '.join(option.choices)}."


def _section(title: str, options: Sequence[Option]) -> tuple[str, list[tuple[str, str]]]:
    return title, [(_spelling(option), describe(option)) for option in options]


def _spelling(option: Option) -> str:
    flags = [flag for pair in option.flags for flag in pair.split("/")]
    short = [flag for flag in flags if len(flag) == 2]
    long = [flag for flag in flags if len(flag) > 2]
    indent = "" if short else "    "
    value = f" {option.metavar}" if option.metavar else ""
    return indent + ", ".join([*short, *long]) + value


def _page(
    usage: str,
    paragraphs: Sequence[str],
    sections: Sequence[tuple[str, list[tuple[str, str]]]],
    end: Sequence[str],
) -> str:
    width = max(_NARROWEST, min(terminal_width(), _WIDEST))
    lines = textwrap.wrap(usage, width, subsequent_indent="    ", break_on_hyphens=False)
    for paragraph in paragraphs:
        lines += ["", *_wrapped(paragraph, width, "")]
    for title, rows in sections:
        lines += ["", f"{title}:"]
        for row in rows:
            lines += _row(*row, width)
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
    else:
        yield start
    yield from lines


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
