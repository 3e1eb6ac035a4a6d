"""The declarations, in the form that pages and completions need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from allocq.cli.help import HELP, OWN_PANEL, VERSION
from allocq.options.commands import COMMANDS, Command, leaves
from allocq.options.shared import Option, OptionKind

MAIN_OPTIONS = (HELP, VERSION)

LEAVES = leaves()

__all__ = ["COMMANDS", "HELP", "LEAVES", "MAIN_OPTIONS", "OWN_PANEL", "Command", "Option"]


class Spelling(NamedTuple):
    """One flag of an option: `-f` or `--file`."""

    flag: str
    option: Option

    @property
    def is_long(self) -> bool:
        return self.flag.startswith("--")


def options(command: Command) -> tuple[Option, ...]:
    """The options of a subcommand, and --help."""
    return (*command.options, HELP)


def flags(option: Option) -> list[str]:
    """Every flag; `--header/--no-header` are two."""
    return [flag for flag_pair in option.flags for flag in flag_pair.split("/")]


def spellings(options: tuple[Option, ...]) -> Iterator[Spelling]:
    """Every flag of every option."""
    for option in options:
        for flag in flags(option):
            yield Spelling(flag, option)


def takes_value(option: Option) -> bool:
    """Does the option take a value?"""
    return option.kind in (OptionKind.TEXT, OptionKind.LIST)


def takes_file(option: Option) -> bool:
    """Is the value a file of this machine? (That of --file is one of the kernel.)"""
    return takes_value(option) and (option.name in ("source", "data") or option.metavar == "FILE")


_KINDS = {"file": "files", "exclude": "files", "function": "functions", "module": "modules"}


def names_of(option: Option) -> str:
    """The kind of the kernel's names that the value is one of, as `allocq __complete` has it."""
    if not takes_value(option) or takes_file(option):
        return ""
    return _KINDS.get(option.name, "modules" if option.metavar == "MODULE" else "")


def operand_kind(command: Command) -> str:
    """What its operands are: "words" (names or files), "snapshots", "files" or ""."""
    if not command.operands or runs(command):
        return ""
    operand = command.operands[0]
    if operand.name == "words":
        return "words"
    return "snapshots" if operand.name in ("before", "listings", "snapshots") else "files"


def repeats(option: Option) -> bool:
    """Does repeating the option add a value?"""
    return option.kind == OptionKind.LIST


def panels(options: tuple[Option, ...]) -> dict[str, list[Option]]:
    """The options by panel, in the order of the declaration."""
    found: dict[str, list[Option]] = {}
    for option in options:
        found.setdefault(option.panel, []).append(option)
    return found


def sentence(text: str) -> str:
    """The first sentence, without its full stop."""
    return text.partition(". ")[0].rstrip(".")


def brief(help: str) -> str:
    """A few words for a list of completions."""
    words = re.sub(r" \([^)]*\)", "", sentence(help))
    return words.partition("; ")[0].partition(": ")[0]


def runs(command: Command) -> bool:
    """Does it run another command, whose words are not options of allocq?"""
    return command.runs


def is_switch(option: Option) -> bool:
    """Does the option have a --no- form?"""
    return option.kind == OptionKind.SWITCH
