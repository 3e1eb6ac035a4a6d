"""Words for mistakes in a command line, with what was probably meant."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping

from ..errors import UsageError
from ..options.commands import COMMANDS, Command, leaves
from ..options.reader import Fault, Misread, by_flag
from ..options.shared import Option, OptionKind
from .help import HELP, NAME, VERSION

_QUERY = next(command for command in COMMANDS if command.name == "query")

# What other tools call it.
_COMMAND_HABITS = {
    "query": "cat find get grep list ls print search select show tags",
    "tree": "du size sizes stat stats sum summary usage",
    "memory": "free meminfo vmstat",
    "top": "htop live monitor replay watch",
    "snapshot": "dump save",
    "record": "collect daemon",
    "ship": "archive push upload",
    "trend": "leak leaks",
    "diff": "compare delta growth",
    "report": "html markdown treemap",
    "export": "metrics openmetrics prometheus serve",
    "check": "gate leak leaks run test",
    "stacks": "callers callstack callstacks stack stacktrace trace who",
    "doctor": "config env info probe status",
    "profiling": "disable enable off on",
    "verify": "selftest self-test",
    "bench": "benchmark perf time",
}
_OPTION_HABITS = {
    "limit": "--top --head --tail --first --max --max-count --number --lines --rows --num -N -k",
    "sort": "--order --order-by --sort-by --sortby --key -S",
    "group_by": "--group --groupby --by --sum --aggregate",
    "file": "--path --dir --directory --filename --source-file -p",
    "function": "--func --fn --symbol --caller",
    "module": "--mod --driver -M",
    "regexp": "--grep --pattern --regex --match --search -E -P -G",
    "ignore_case": "--icase --nocase --no-case",
    "invert": "--invert --not --inverse",
    "exclude": "--ignore --without -X",
    "min_size": "--min --min-bytes --larger --size --threshold --minimum",
    "max_size": "--max-bytes --smaller --maximum",
    "source": "--input --from --in --read --path -I",
    "format": "--type --as --output-format --fmt -O -T",
    "quiet": "--silent",
    "explain": "--verbose --dry-run --plan --debug --why -vv",
    "interval": "--delay --every --refresh",
    "depth": "--levels --max-depth --level",
    "max_growth": "--growth --max-leak --tolerance --allowed",
    "min_growth": "--growth --threshold",
    "baseline": "--before --base",
    "bytes": "--raw --exact --plain -b",
    "header": "--headers --title",
    "color": "--colour --colors --colours",
}
_COLOR_OFF = ("--no-color", "--no-colour", "--nocolor", "--mono")
_READABLE = ("--human", "--human-readable", "--humanize", "-H")
_CLOSE, _MOST = 0.6, 3


def words_of(error: Misread, command: Command) -> UsageError:
    """The mistake in the words behind a command."""
    usage = f"{NAME} {command.name}"
    for operand in command.operands:
        usage += f" {operand.usage}"
    if error.fault is Fault.UNKNOWN_OPTION:
        return UsageError(f"no such option: {error.word}", _other_option(command, error.word))
    if error.fault is Fault.NO_VALUE and error.option is not None:
        return UsageError(f"{error.word} needs a value", _values(error.option, error.word))
    if error.fault is Fault.NEEDLESS_VALUE:
        return UsageError(f"{error.word} takes no value", f"give {error.word} alone")
    if error.fault is Fault.MISSING_OPERAND:
        return UsageError(f"{command.name} needs {error.word}", usage)
    save = next((option for option in command.options if option.metavar == "FILE"), None)
    if save is not None and not command.operands:
        usage = f"did you mean {_spelled(save, error.word)}?"
    elif not command.operands:
        usage = f"it takes only options; see {usage} {HELP.flags[-1]}"
    return UsageError(f"unexpected extra argument '{error.word}'", usage)


def _values(option: Option, flag: str) -> str:
    if option.choices:
        return f"use one of: {', '.join(option.choices)}"
    return f"{flag} {option.metavar}: {option.help.partition('. ')[0].rstrip('.')}"


def no_command(argv: list[str]) -> UsageError:
    """The mistake in a command line that does not begin with a command."""
    word = argv[0]
    if word.startswith("-"):
        return UsageError(f"no such option: {_flag_of(word)}", _meant_without_command(argv))
    if word == "version":
        hint = f"{NAME} {VERSION.flags[-1]}"
    elif word == "help":
        known = len(argv) > 1 and _command(argv[1])
        hint = f"{NAME} {argv[1]} {HELP.flags[-1]}" if known else f"{NAME} {HELP.flags[-1]}"
    elif near := _near_commands(word):
        hint = f"did you mean {NAME} {f' or {NAME} '.join(near)}?"
    else:
        hint = f"to find tags: {NAME} query {shlex.join(argv)}"
    return UsageError(f"no such command: {word}", hint)


def no_command_of(group: Command, rest: list[str]) -> UsageError:
    """The mistake in a command line that names no command of a group."""
    words = [command.word for command in group.commands]
    if not rest:
        return UsageError(f"{group.name} needs a command", f"use one of: {', '.join(words)}")
    word = rest[0]
    if word.startswith("-"):
        known = next((each for each in rest if each in words), None)
        if known is None:
            return UsageError(f"{group.name} needs a command", f"use one of: {', '.join(words)}")
        at = rest.index(known)
        meant = shlex.join([known, *rest[:at], *rest[at + 1 :]])
        return UsageError(f"no such command: {group.name} {word}", f"{NAME} {group.name} {meant}")
    near = [each for each in words if each.startswith(word)] or difflib.get_close_matches(
        word.lower(), words, n=1, cutoff=_CLOSE
    )
    hint = f"did you mean {NAME} {group.name} {near[0]}?" if near else ""
    return UsageError(
        f"no such command: {group.name} {word}", hint or f"use one of: {', '.join(words)}"
    )


def _command(word: str) -> Command | None:
    return next((command for command in COMMANDS if command.name == word), None)


def _near_commands(word: str) -> list[str]:
    names = [command.name for command in COMMANDS]
    habits = _COMMAND_HABITS.items()
    if found := [name for name, words in habits if word in words.split()]:
        return found
    if len(word) > 1 and (found := [name for name in names if name.startswith(word)]):
        return found[:_MOST]
    return difflib.get_close_matches(word.lower(), names, n=1, cutoff=_CLOSE)


def _meant_without_command(argv: list[str]) -> str:
    """Options before a command, or without one, belong to query."""
    main = [flag for flag in (*HELP.flags, *VERSION.flags) if flag.startswith("--")]
    for at, word in enumerate(argv):
        if _command(word) and word != "check":
            return f"{NAME} {shlex.join([word, *argv[:at], *argv[at + 1 :]])}"
    flag = _flag_of(argv[0])
    if flag in by_flag(_QUERY.options):
        return f"{NAME} query {shlex.join(argv)}"
    if flag not in ("--verbose", "-v") and (
        near := difflib.get_close_matches(flag, main, n=1, cutoff=0.75)
    ):
        return f"did you mean {NAME} {near[0]}?"
    if meant := _habit(_QUERY, flag) or next(iter(_near(_QUERY, flag)), ""):
        words = [word for word in meant.split() if not word.isupper()]
        value = [argv[0].partition("=")[2]] if "=" in argv[0] else []
        return f"{NAME} query {shlex.join([*words, *value, *argv[1:]])}"
    return f"{NAME} {HELP.flags[-1]}"


def _flag_of(word: str) -> str:
    return word.partition("=")[0]


def _other_option(command: Command, flag: str) -> str:
    listing = f"{NAME} {command.name} --help"
    if flag in _READABLE and _named(command, "bytes"):
        return "tables show sizes like 1.5M already; --bytes shows plain counts"
    if flag in VERSION.flags:
        return f"{NAME} {VERSION.flags[-1]}"
    if habit := _habit(command, flag):
        return f"did you mean {habit}? See {listing}"
    others = [
        each.name for each in leaves() if each is not command and flag in by_flag(each.options)
    ]
    if others and len(flag) > 2:
        return f"{flag} is an option of {NAME} {', '.join(others[:_MOST])}; see {listing}"
    if near := _near(command, flag):
        return f"did you mean {' or '.join(near)}? See {listing}"
    return listing


def _named(command: Command, name: str) -> Option | None:
    return next((option for option in command.options if option.name == name), None)


def _habit(command: Command, flag: str) -> str:
    """What other tools, or other options of this one, lead to expect."""
    format = _named(command, "format")
    bare = flag.lstrip("-").lower()
    if format and bare in format.choices:
        return f"-o {bare}"
    if flag in _COLOR_OFF and _named(command, "color"):
        return "--color never"
    if re.fullmatch("-[0-9]+", flag) and _named(command, "limit"):
        return f"-n {flag[1:]}"
    for name, habits in _OPTION_HABITS.items():
        option = _named(command, name)
        if option and flag in habits.split():
            return _spelled(option)
    return ""


def _near(command: Command, flag: str) -> list[str]:
    """Options that are spelled nearly so."""
    known = by_flag(command.options)
    if len(flag) > 2 and "-" + flag in known:  # -verbose
        return [_spelling("-" + flag, known)]
    if len(flag) < 4 or not flag.startswith("--"):
        return []
    long = [each for each in known if each.startswith("--")]
    near = [each for each in long if each.startswith(flag)][:_MOST]
    near = near or difflib.get_close_matches(flag, long, n=1, cutoff=0.75)
    return [_spelling(each, known) for each in near]


def _spelling(flag: str, known: Mapping[str, tuple[Option, bool]]) -> str:
    metavar = known[flag][0].metavar
    return f"{flag} {metavar}" if metavar else flag


def _spelled(option: Option, value: str = "") -> str:
    """The long flag of an option, with a value or its metavar."""
    flags: Iterable[str] = (pair.partition("/")[0] for pair in option.flags)
    flag = next(each for each in flags if each.startswith("--"))
    if option.kind in (OptionKind.FLAG, OptionKind.SWITCH):
        return flag
    return f"{flag} {shlex.quote(value) if value else option.metavar}"
