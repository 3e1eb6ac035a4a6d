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
    names_of,
    operand_kind,
    options,
    runs,
    takes_file,
    takes_value,
)

_BEGIN = """\
# allocq's completion for fish. Made by tests/generate.py from allocq/options.

function __allocq_no_command
    test (count (commandline -opc)) -eq 1
end

# Is it the command $argv, of one word, or of two in a group?
function __allocq_command
    set -l words (commandline -opc)
    set -l last (math 1 + (count $argv))
    test (count $words) -ge $last; and test "$words[2..$last]" = "$argv"
end

# Is the group $argv[1] named, but none of its commands?
function __allocq_group
    set -l words (commandline -opc)
    test (count $words) -eq 2; and test $words[2] = $argv[1]
end

# Names of the kernel of a kind. allocq has them without starting Python.
function __allocq_names
    set -l words (commandline -opc)
    set -l word (string replace -r -- '^--[^=]*=' '' (commandline -ct) | string unescape)
    command -q $words[1]; or return
    command $words[1] __complete $argv[1] "$word" 2>/dev/null
end

function __allocq_snapshots
    set -l found (__allocq_names snapshots)
    if set -q found[1]
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end

# Print the command to run and its arguments so far: from the first word that is no option, or
# after --. The status says whether the current word belongs to it. $argv: the options that take a
# value.
function __allocq_words
    set -l words (commandline -opc)
    set -e words[1..2]
    while set -q words[1]
        set -l word $words[1]
        if test "$word" = --
            set -e words[1]
            set -q words[1]; and printf '%s\\n' $words
            return 0
        else if not string match -q -- '-?*' $word
            printf '%s\\n' $words
            return 0
        else if string match -q -- '--*' $word
            contains -- $word $argv; and set -e words[1]
        else
            # In a bundle (-qo) the first option with a value takes the rest or the next word.
            set -l letters (string split '' -- (string sub -s 2 -- $word))
            while set -q letters[1]
                if contains -- -$letters[1] $argv
                    set -q letters[2]; or set -e words[1]
                    break
                end
                set -e letters[1]
            end
        end
        set -q words[1]; or return 1 # the current word is a value
        set -e words[1]
    end
    set -l current (commandline -ct)
    not string match -q -- '-*' "$current"
end

function __allocq_run
    set -l words (__allocq_words $argv); or return
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
    return _group(command) if command.commands else _leaf(command)


def _group(group: Command) -> str:
    """The commands of a group, and the options of each."""
    here = _quoted(f"__allocq_group {group.word}")
    lines = [
        f"complete -c allocq -n {here} -a {command.word} -d {_quoted(brief(command.help))}"
        for command in group.commands
    ]
    lines += [_option(here, option) for option in options(group)]
    return "\n" + "\n".join(lines) + "\n" + "".join(map(_leaf, group.commands))


def _leaf(command: Command) -> str:
    here = f"__allocq_command {command.name}"
    if runs(command):
        values = " ".join(
            flag for option in command.options if takes_value(option) for flag in flags(option)
        )
        run = f"complete -c allocq -n {_quoted(here)} -a '(__allocq_run {values})'"
        here += f"; and not __allocq_words {values} >/dev/null"
    here = _quoted(here)
    lines = [_option(here, option) for option in options(command)]
    if runs(command):
        lines.append(run)
    elif command.operands:
        lines.append(f"complete -c allocq -n {here} {_operands(command)}")
    return "\n" + "\n".join(lines) + "\n"


def _operands(command: Command) -> str:
    kind = operand_kind(command)
    if kind == "words":
        return "-F -a '(__allocq_names words)'"
    return "-a '(__allocq_snapshots)'" if kind == "snapshots" else "-F"


def _option(where: str, option: Option) -> str:
    """One line per option, two if it has a --no- form."""
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
    if kind := names_of(option):
        return f" -x -a '(__allocq_names {kind})'"
    return f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -x"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
