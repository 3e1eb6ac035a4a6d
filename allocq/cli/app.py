"""The Typer app, built from the declarations: parses what the plain reader leaves."""

import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ..errors import AllocqError, OutputError
from ..options.commands import COMMANDS, Command, Operand
from ..options.reader import Fault, Misread, dashes
from ..options.shared import FAILED, INTERRUPTED, Option, OptionKind
from ..output.stream import complain, say
from .help import HELP, NAME, VERSION, command_help, main_help, version_line
from .mistakes import words_of


def run_app(argv: list[str]) -> int:
    """Run a command line through Typer; returns the exit status. Raises BrokenPipeError and
    KeyboardInterrupt."""
    try:
        status = _run(argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        raise
    except OSError as error:
        return complain(OutputError(f"{error.filename or 'cannot write'}: {error.strerror}"))


def _run(argv: list[str]) -> int:
    """Typer's parser alone: what it would do about exceptions is decided elsewhere."""
    app: Any = typer.main.get_command(make_app())
    try:
        with app.make_context(NAME, list(argv) or ["--help"]) as context:
            result = app.invoke(context)
    except AllocqError as error:
        return complain(error)
    except typer.Abort:
        return INTERRUPTED
    except typer.Exit as stop:
        return stop.exit_code
    except OSError:
        raise
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _misused(error, argv)
    return result if isinstance(result, int) else 0


class _Dashed(TyperCommand):
    """A command with an operand behind `--`."""

    operand: Operand
    options: tuple[Option, ...]

    def parse_args(self, context: Any, args: list[str]) -> list[str]:
        at = dashes(args, self.options)
        left: list[str] = super().parse_args(context, args[:at])
        if at < len(args):
            context.obj = {self.operand.name: args[at + 1 :]}
        return left


def _misused(error: Any, argv: list[str]) -> int:
    """Report a mistake that Typer's parser found, in allocq's style."""
    known = argv[0] in [command.name for command in COMMANDS]
    say(
        f"{NAME}: {str(error.format_message()).rstrip('.')}",
        f"hint: {NAME} {argv[0]} --help" if known else f"hint: {NAME} --help",
    )
    return FAILED


def make_app() -> typer.Typer:
    """The app with every declared command. help.py prints the help, not Typer."""
    app = typer.Typer(name=NAME, add_completion=False, pretty_exceptions_enable=False)

    @app.callback(add_help_option=False)
    def main(
        version: Annotated[
            bool, typer.Option(*VERSION.flags, is_eager=True, callback=_version)
        ] = False,
        help: Annotated[
            bool, typer.Option(*HELP.flags, is_eager=True, callback=_help(main_help))
        ] = False,
    ) -> None:
        """The options before the command."""

    for command in COMMANDS:
        if command.commands:
            app.add_typer(_group(command), name=command.word)
        else:
            _add(app, command)
    return app


def _group(group: Command) -> typer.Typer:
    """The app of a group of subcommands."""
    app = typer.Typer(add_completion=False)

    @app.callback(add_help_option=False)
    def main(
        help: Annotated[
            bool,
            typer.Option(*HELP.flags, is_eager=True, callback=_help(lambda: command_help(group))),
        ] = False,
    ) -> None:
        """The options before the command."""

    for command in group.commands:
        _add(app, command)
    return app


def _add(app: typer.Typer, command: Command) -> None:
    behind = next((each for each in command.operands if each.behind_dashes), None)
    kind: type[TyperCommand] = TyperCommand
    if behind is not None:
        kind = type("Dashed", (_Dashed,), {"operand": behind, "options": command.options})
    app.command(
        command.word,
        cls=kind,
        add_help_option=False,
        context_settings={"allow_interspersed_args": not command.runs},
    )(_function(command))


def _help(text: Callable[[], str]) -> Callable[[bool], None]:
    def show(asked: bool) -> None:
        if asked:
            sys.stdout.write(text())
            raise typer.Exit(0)

    return show


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(version_line())
        raise typer.Exit(0)


def _function(command: Command) -> Callable[..., int]:
    """A function whose signature gives Typer the command's parameters."""

    def run(help: bool, context: typer.Context | None = None, **values: Any) -> int:
        given = {
            name: value
            for name, value in values.items()
            if value is not None and value is not False and value != [] and value != ()
        }
        for option in command.options:
            if option.kind == OptionKind.SWITCH and values[option.name] is not None:
                given[option.name] = values[option.name]
        given |= (context.obj if context else None) or {}
        for operand in command.operands:
            # Typer 0.16 does not miss one under Click 8.3 and later.
            if operand.required and operand.name not in given:
                raise words_of(Misread(Fault.MISSING_OPERAND, operand.metavar), command)
        return command.run(given)

    operands = [operand for operand in command.operands if not operand.behind_dashes]
    parameters = [_parameter("context", typer.Context, None)]
    parameters += [_operand(operand) for operand in operands]
    parameters += [_option(option) for option in command.options]
    show = _help(lambda: command_help(command))
    info = typer.Option(*HELP.flags, is_eager=True, callback=show)
    parameters.append(_parameter("help", Annotated[bool, info], False))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__name__ = command.word
    return run


def _operand(operand: Operand) -> inspect.Parameter:
    info = typer.Argument(metavar=operand.metavar)
    kind: Any = list[str] if operand.many else str
    if operand.required:
        return _parameter(operand.name, Annotated[kind, info], inspect.Parameter.empty)
    return _parameter(operand.name, Annotated[kind | None, info], None)


def _option(option: Option) -> inspect.Parameter:
    info = typer.Option(*option.flags, metavar=option.metavar)
    if option.kind == OptionKind.FLAG:
        return _parameter(option.name, Annotated[bool, info], False)
    if option.kind == OptionKind.SWITCH:
        return _parameter(option.name, Annotated[bool | None, info], None)
    kind: Any = list[str] if option.kind == OptionKind.LIST else str
    return _parameter(option.name, Annotated[kind | None, info], None)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
