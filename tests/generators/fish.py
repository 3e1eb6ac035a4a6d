"""The completion for fish."""

from __future__ import annotations

from .declared import (
    COMMANDS,
    MAIN_OPTIONS,
    Command,
    Option,
    brief,
    flags,
    is_switch,
    options,
    runs,
    takes_file,
    takes_module,
    takes_value,
)

_BEGIN = """\
# allocq's completion for fish. Made by tests/generate.py from allocq/declarations.

function __allocq_no_command
    test (count (commandline -opc)) -eq 1
end

function __allocq_command
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test $words[2] = $argv[1]
end

function __allocq_modules
    test -r /proc/modules; and string replace -r ' .*' '' </proc/modules
end

# What is behind --, if there is one: a command and its words.
function __allocq_run
    set -l words (commandline -opc)
    set -l at (contains -i -- -- $words); or return
    set -e words[1..$at]
    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))
end

complete -c allocq -f
"""


def completion() -> str:
    """The file's text."""
    lines = [
        f"complete -c allocq -n __allocq_no_command -a {command.name}"
        f" -d {_quoted(brief(command.help))}"
        for command in COMMANDS
    ]
    lines += [_option("__allocq_no_command", option) for option in MAIN_OPTIONS]
    return _BEGIN + "\n".join(lines) + "\n" + "".join(map(_command, COMMANDS))


def _command(command: Command) -> str:
    here = _quoted(f"__allocq_command {command.name}")
    lines = [_option(here, option) for option in options(command)]
    if runs(command):
        lines.append(f"complete -c allocq -n {here} -a '(__allocq_run)'")
    elif command.operands:
        lines.append(f"complete -c allocq -n {here} -F")
    return "\n" + "\n".join(lines) + "\n"


def _option(where: str, option: Option) -> str:
    """One line, or two where --no-… is its opposite."""
    spelled = flags(option)
    groups = [[flag] for flag in spelled] if is_switch(option) else [spelled]
    return "\n".join(
        f"complete -c allocq -n {where} {' '.join(map(_flag, group))}{_value(option)}"
        f" -d {_quoted(brief(option.help))}"
        for group in groups
    )


def _flag(flag: str) -> str:
    return f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"


def _value(option: Option) -> str:
    if not takes_value(option):
        return ""
    if takes_file(option):
        return " -r -F"
    if takes_module(option):
        return " -x -a '(__allocq_modules)'"
    return f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -x"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
