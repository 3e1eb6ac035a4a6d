"""One command line: read its flags, run its command. Plain ones need neither Typer nor rich."""

from __future__ import annotations

from ..declarations.commands import COMMANDS
from ..errors import AllocqError
from ..output.stream import complain
from .reader import read_plain


def run(argv: list[str]) -> int:
    """Run a command line; returns the exit status. BrokenPipeError, KeyboardInterrupt."""
    command = next((command for command in COMMANDS if argv[:1] == [command.name]), None)
    values = None if command is None else read_plain(argv[1:], command.options, command.operands)
    if command is None or values is None:
        from .app import run_app

        return run_app(argv)
    try:
        return command.run(values)
    except AllocqError as error:
        return complain(error)
