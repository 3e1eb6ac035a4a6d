"""One command line: read its flags, run its command.

What is plain needs neither Typer nor rich: they are for mistakes and for what the reader leaves.
"""

from __future__ import annotations

import sys

from ..declarations.commands import COMMANDS
from ..declarations.shared import FOUND
from ..errors import AllocqError
from ..output.stream import complain
from .help import HELP, VERSION, command_help, main_help, version_line
from .reader import read_plain


def run(argv: list[str]) -> int:
    """Run a command line; returns the exit status. BrokenPipeError, KeyboardInterrupt."""
    if text := _explanation(argv):
        sys.stdout.write(text)
        return FOUND
    command = next((command for command in COMMANDS if argv[:1] == [command.name]), None)
    values = None
    if command is not None:
        values = read_plain(argv[1:], command.options, command.operands)
    if command is None or values is None:
        from .app import run_app

        return run_app(argv)
    try:
        return command.run(values)
    except AllocqError as error:
        return complain(error)


def _explanation(argv: list[str]) -> str:
    """Help or the version, where that is all that is asked for."""
    if not argv or (len(argv) == 1 and argv[0] in HELP.flags):
        return main_help()
    if len(argv) == 1 and argv[0] in VERSION.flags:
        return version_line()
    if len(argv) == 2 and argv[1] in HELP.flags:
        return next((command_help(each) for each in COMMANDS if each.name == argv[0]), "")
    return ""
