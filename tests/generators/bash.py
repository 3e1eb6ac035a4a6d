"""The completion for bash (4.1 and later; the package bash-completion is not needed)."""

from __future__ import annotations

from .declared import (
    COMMANDS,
    MAIN_OPTIONS,
    Command,
    Option,
    flags,
    options,
    runs,
    spellings,
    takes_file,
    takes_module,
    takes_value,
)

_BEGIN = r"""# allocq's completion for bash. Made by tests/generate.py from allocq/declarations.

_allocq_words() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_allocq_files() {
	compopt -o default 2>/dev/null # readline's own, which quotes
}

_allocq_modules() {
	local name names=()
	while read -r name _; do
		names+=("$name")
	done 2>/dev/null </proc/modules
	_allocq_words "${names[*]}" "$1"
}

# What is behind --, if there is one: a command and its words.
_allocq_command() {
	local i
	for ((i = 2; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == -- ]] || continue
		if ((i + 1 == COMP_CWORD)); then
			mapfile -t COMPREPLY < <(compgen -c -- "$1")
		else
			_allocq_files
		fi
		return 0
	done
	return 1
}

_allocq() {
	local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} IFS=$' \t\n'
	COMPREPLY=()
	# --flag=value comes as three words.
	if [[ $current == = ]]; then
		current=
	elif [[ $before == = ]] && ((COMP_CWORD > 1)); then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if ((COMP_CWORD == 1)); then
		_allocq_words "@WORDS@" "$current"
		return
	fi
	case ${COMP_WORDS[1]} in
"""
_END = r"""	esac
}

complete -F _allocq allocq
"""


def completion() -> str:
    """The file's text."""
    words = [command.name for command in COMMANDS]
    words += [flag for option in MAIN_OPTIONS for flag in flags(option)]
    return _BEGIN.replace("@WORDS@", " ".join(words)) + "".join(map(_command, COMMANDS)) + _END


def _command(command: Command) -> str:
    lines = [f"{command.name})"]
    if runs(command):
        lines.append('\t_allocq_command "$current" && return')
    lines.append("\tcase $before in")
    for value, found in _by_value(command).items():
        lines.append(f"\t{' | '.join(found)}) {value} ;;")
    lines += ["\t*)", *(f"\t\t{line}" for line in _others(command)), "\t\t;;", "\tesac", "\t;;"]
    return "".join(f"\t{line}\n" for line in lines)


def _by_value(command: Command) -> dict[str, list[str]]:
    """What completes a value, and the flags that take such a one."""
    found: dict[str, list[str]] = {}
    for option in command.options:
        if takes_value(option):
            found.setdefault(_value(option), []).extend(flags(option))
    return found


def _value(option: Option) -> str:
    if option.choices:
        return f'_allocq_words "{" ".join(option.choices)}" "$current"'
    if takes_file(option):
        return "_allocq_files"
    return '_allocq_modules "$current"' if takes_module(option) else ":"


def _others(command: Command) -> list[str]:
    known = " ".join(spelling.flag for spelling in spellings(options(command)))
    words = f'_allocq_words "{known}" "$current"'
    if not command.operands or runs(command):
        return [words]
    return ["if [[ $current == -* ]]; then", f"\t{words}", "else", "\t_allocq_files", "fi"]
