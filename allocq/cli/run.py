"""Runs one command line: parses its flags and calls its command.

Typer is imported only for what the plain reader leaves, because it is slow.
"""

from __future__ import annotations

import os

from ..errors import AccessError, AllocqError
from ..options.commands import COMMANDS, Command
from ..options.reader import HELP_NAME, Fault, Misread, read_words
from ..options.shared import FOUND
from ..output.stream import Output, complain
from .help import HELP, VERSION, command_help, main_help, version_line

_SAVED_INSTEAD = ", or read a saved listing with --source"
_DEBUG_INFO = "--vmlinux "


def run(argv: list[str]) -> int:
    """Run a command line; returns the exit status. BrokenPipeError, KeyboardInterrupt."""
    try:
        return _run(argv)
    except AccessError as error:
        return complain(_with_root_command(error, argv))
    except AllocqError as error:
        return complain(_with_fitting_hint(error, argv))


def _with_fitting_hint(error: AllocqError, argv: list[str]) -> AllocqError:
    """The error without the advice to use an option that the command does not have."""
    command = _command(argv[0]) if argv else None
    if command and error.hint.startswith(_DEBUG_INFO) and not _has(command, "vmlinux"):
        error.hint = f"save its tags first: allocq snapshot --source DUMP {_DEBUG_INFO}FILE SAVED"
    if command and _SAVED_INSTEAD in error.hint:
        instead = _SAVED_INSTEAD
        if command.name == "diff":
            instead = ", or name a second listing"
        elif command.name == "top":
            instead = ", or replay a recording with --source DIR"
        elif command.name == "stacks" or not _has(command, "source"):
            instead = ""
        error.hint = error.hint.replace(_SAVED_INSTEAD, instead)
    return error


def _has(command: Command, name: str) -> bool:
    return any(option.name == name for option in command.options)


def _with_root_command(error: AccessError, argv: list[str]) -> AccessError:
    """The error with the command that root would run. core/front.c does the same."""
    from ..host.root import as_root

    if error.hint and os.geteuid() and (command := as_root(argv)):
        error.hint += f"; try: {command}"
    return error


def _run(argv: list[str]) -> int:
    if not argv:
        return _print(main_help())
    command = _command(argv[0])
    if command is None:
        return _without_command(argv)
    rest = argv[1:]
    if command.commands:
        if rest[:1] and rest[0] in HELP.flags:
            return _print(command_help(command))
        group, word = command, rest[0] if rest else ""
        command = next((each for each in group.commands if each.word == word), None)
        if command is None:
            from .mistakes import no_command_of

            raise no_command_of(group, rest)
        rest = rest[1:]
    try:
        values = read_words(rest, (*command.options, HELP), command.operands)
    except Misread as error:
        if error.fault is Fault.UNSURE:
            from .app import run_app

            return run_app(argv)
        from .mistakes import words_of

        raise words_of(error, command) from None
    if values.get(HELP_NAME):
        return _print(command_help(command))
    return command.run(values)


def _command(name: str) -> Command | None:
    return next((command for command in COMMANDS if command.name == name), None)


def _without_command(argv: list[str]) -> int:
    if argv[0] in HELP.flags:
        command = _command(argv[1]) if len(argv) > 1 else None
        return _print(command_help(command) if command else main_help())
    if argv[0] in VERSION.flags:
        return _print(version_line())
    from .mistakes import no_command

    raise no_command(argv)


def _print(text: str) -> int:
    out = Output()
    out.write(text.encode())
    out.release()
    return FOUND
