"""The Typer app, made from the declarations: flags to values, errors to one line, no logic."""

import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .. import __version__
from ..declarations.commands import COMMANDS, Command, Operand
from ..declarations.shared import FAILED, INTERRUPTED, Option, OptionKind
from ..errors import AllocqError, OutputError
from ..output.stream import complain, say

NAME = "allocq"
HELP_FLAGS = ["-h", "--help"]
SUMMARY = "Ask Linux which line of kernel source holds the memory (/proc/allocinfo)."


def run_app(argv: list[str]) -> int:
    """Run a command line through Typer; returns the exit status, lets BrokenPipeError pass."""
    try:
        status = _run(argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        raise
    except OSError as error:
        return complain(OutputError(f"{error.filename or 'cannot write'}: {error.strerror}"))


def _run(argv: list[str]) -> int:
    app = make_app()
    try:
        result = app(args=argv or ["--help"], prog_name=NAME, standalone_mode=False)
    except AllocqError as error:
        return complain(error)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except typer.Exit as stop:
        return stop.exit_code
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # Typer makes it status 1
            raise stop.__context__ from None
        raise
    except OSError:
        raise
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _misused(error, argv)
    return result if isinstance(result, int) else 0


def _misused(error: Any, argv: list[str]) -> int:
    """A mistake that Typer's parser found, in our form."""
    say(f"{NAME}: {str(error.format_message()).rstrip('.')}")
    known = argv[0] in [command.name for command in COMMANDS]
    say(f"hint: {NAME} {argv[0]} --help" if known else f"hint: {NAME} --help")
    return FAILED


class _Subcommand(TyperCommand):
    """Typer's own, with the same usage line in all its versions."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        operands = next(command.operands for command in COMMANDS if command.name == self.name)
        return ["[OPTIONS]", *map(_usage, operands)]


def _usage(operand: Operand) -> str:
    word = operand.metavar + ("..." if operand.many else "")
    if operand.name == "command":
        word = f"-- {word}"  # its options are its own
    return word if operand.required else f"[{word}]"


def make_app() -> typer.Typer:
    """The app with every command of the declarations."""
    app = typer.Typer(
        name=NAME,
        help=SUMMARY,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": HELP_FLAGS},
    )

    @app.callback(add_help_option=False)
    def main(
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                "-V",
                help="Print the version and end.",
                metavar="",
                is_eager=True,
                callback=_version,
            ),
        ] = False,
        help: Annotated[bool, _help_option()] = False,
    ) -> None:
        """No option of its own but --version and --help."""

    for command in COMMANDS:
        short = command.help.partition(". ")[0].rstrip(".") + "."
        app.command(
            command.name,
            cls=_Subcommand,
            help=command.help,
            short_help=short,
            add_help_option=False,
        )(_function(command))
    return app


def _help_option() -> Any:
    """Typer's own --help, but shown without a type."""
    return typer.Option(
        *HELP_FLAGS,
        help="Say what there is and end.",
        metavar="",
        show_default=False,
        is_eager=True,
        callback=_help_asked,
    )


def _help_asked(context: typer.Context, asked: bool) -> None:
    if asked:
        typer.echo(context.get_help())
        raise typer.Exit(0)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"{NAME} {__version__}\n")
        raise typer.Exit(0)


def _function(command: Command) -> Callable[..., int]:
    """A function with the signature that Typer makes the command's parameters from."""

    def run(help: bool, **values: Any) -> int:
        given = {
            name: value
            for name, value in values.items()
            if value is not None and value is not False and value != [] and value != ()
        }
        for option in command.options:
            if option.kind == OptionKind.SWITCH and values[option.name] is not None:
                given[option.name] = values[option.name]
        return command.run(given)

    parameters = [_operand(operand) for operand in command.operands]
    parameters += [_option(option) for option in command.options]
    parameters.append(_parameter("help", Annotated[bool, _help_option()], False))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__name__ = command.name
    return run


def _operand(operand: Operand) -> inspect.Parameter:
    info = typer.Argument(metavar=operand.metavar, help=operand.help, show_default=False)
    kind: Any = list[str] if operand.many else str
    if operand.required:
        return _parameter(operand.name, Annotated[kind, info], inspect.Parameter.empty)
    return _parameter(operand.name, Annotated[kind | None, info], None)


def _option(option: Option) -> inspect.Parameter:
    info = typer.Option(
        *option.flags,
        help=_about(option),
        metavar=option.metavar,
        show_default=False,
        rich_help_panel=option.panel,
    )
    if option.kind == OptionKind.FLAG:
        return _parameter(option.name, Annotated[bool, info], False)
    if option.kind == OptionKind.SWITCH:
        return _parameter(option.name, Annotated[bool | None, info], None)
    kind: Any = list[str] if option.kind == OptionKind.LIST else str
    return _parameter(option.name, Annotated[kind | None, info], None)


def _about(option: Option) -> str:
    return f"{option.help} One of {', '.join(option.choices)}." if option.choices else option.help


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
