"""Runs one command line: parses its flags and calls its command.

Typer is imported only for mistakes and for what the plain reader leaves, because it is slow.
"""

from __future__ import annotations

from ..declarations.commands import COMMANDS
from ..declarations.shared import FOUND
from ..errors import AllocqError
from ..output.stream import Output, complain
from .help import HELP, VERSION, command_help, main_help, version_line
from .reader import read_plain


def run(argv: list[str]) -> int:
    """Run a command line; returns the exit status. BrokenPipeError, KeyboardInterrupt."""
    command = next((command for command in COMMANDS if argv[:1] == [command.name]), None)
    values = None
    if command is not None:
        values = read_plain(argv[1:], command.options, command.operands)
    try:
        if text := _explanation(argv):
            return _print(text)
        if command is not None and values is not None:
            return command.run(values)
    except AllocqError as error:
        return complain(error)
    from .app import run_app

    return run_app(argv)


def _print(text: str) -> int:
    out = Output()
    out.write(text.encode())
    out.release()
    return FOUND


def _explanation(argv: list[str]) -> str:
    """The help or version text, if the command line asks for nothing else."""
    if not argv or (len(argv) == 1 and argv[0] in HELP.flags):
        return main_help()
    if len(argv) == 1 and argv[0] in VERSION.flags:
        return version_line()
    if len(argv) == 2 and argv[1] in HELP.flags:
        return next((command_help(each) for each in COMMANDS if each.name == argv[0]), "")
    return ""
