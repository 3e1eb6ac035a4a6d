"""The completion for bash (4.1 and later; the package bash-completion is not needed)."""

from __future__ import annotations

from .declared import (
    COMMANDS,
    MAIN_OPTIONS,
    Command,
    Option,
    flags,
    names_of,
    operand_kind,
    options,
    runs,
    spellings,
    takes_file,
    takes_value,
)

_BEGIN = r"""# allocq's completion for bash. Made by tests/generate.py from allocq/options.

_allocq_words() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_allocq_files() {
	compopt -o default 2>/dev/null # readline's own, which quotes
}

# Names of the kernel of a kind ($1) that begin with $2. allocq has them without starting Python.
_allocq_names() {
	local program name word=$2 trim=
	program=$(type -P -- "${COMP_WORDS[0]}" || type -P allocq) || return
	word=${word#[\'\"]}
	word=${word//\\/}
	# Of a word with colons, readline replaces what is behind the last one.
	[[ $COMP_WORDBREAKS == *:* && $word == *:* ]] && trim=${word%"${word##*:}"}
	while IFS= read -r name; do
		COMPREPLY+=("${name#"$trim"}")
	done < <("$program" __complete "$1" "$word" 2>/dev/null)
	compopt -o filenames 2>/dev/null # readline then quotes
	[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
	[[ ${#COMPREPLY[@]} -gt 0 ]]
}

_allocq_snapshots() {
	_allocq_names snapshots "$1" || _allocq_files
}

# Names of the kernel, and files of this machine.
_allocq_both() {
	local name
	_allocq_names words "$1"
	while IFS= read -r name; do
		COMPREPLY+=("$name")
	done < <(compgen -f -- "$1")
	[[ ${#COMPREPLY[@]} -gt 0 ]] || _allocq_files
}

# Complete the command to run and its arguments, if the current word ($1) is one of them: it begins
# at the first word that is no option, or after --. $2: the options that take a value.
_allocq_command() {
	local word i
	for ((i = 2; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--) ((i++)) && break ;;
		--*)
			if [[ ${COMP_WORDS[i + 1]} == = ]]; then
				((i += 2))
			elif [[ " $2 " == *" $word "* ]]; then
				((i++))
			fi
			;;
		-?*)
			# In a bundle (-qo) the first option with a value takes the rest or the next word.
			while word=${word#?} && [[ $word ]]; do
				[[ " $2 " == *" -${word:0:1} "* ]] || continue
				[[ $word == ? ]] && ((i++))
				break
			done
			;;
		*) break ;;
		esac
	done
	if ((i > COMP_CWORD)); then
		return 1
	elif ((i < COMP_CWORD)); then
		_allocq_files
	elif [[ ${COMP_WORDS[i - 1]} == -- || ${1:--} != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -c -- "$1")
	else
		return 1
	fi
	return 0
}

_allocq() {
	local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} IFS=$' \t\n'
	local i=$COMP_CWORD
	COMPREPLY=()
	# mm/slub.c:33 comes as three words, and so does --flag=value.
	while ((i > 2)) && [[ ${COMP_WORDS[i]} == :* || $before == *: ]]; do
		current=$before$current
		((i--))
		before=${COMP_WORDS[i - 1]}
	done
	if [[ $current == = ]]; then
		current=
	elif [[ $before == = ]] && ((i > 1)); then
		before=${COMP_WORDS[i - 2]}
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
    return _group(command) if command.commands else _leaf(command)


def _group(group: Command) -> str:
    """The commands of a group, and the options of each: one word further on."""
    words = [command.word for command in group.commands]
    words += [flag for option in options(group) for flag in flags(option)]
    lines = [
        f"{group.word})",
        "\tif ((COMP_CWORD == 2)); then",
        f'\t\t_allocq_words "{" ".join(words)}" "$current"',
        "\t\treturn",
        "\tfi",
        "\tcase ${COMP_WORDS[2]} in",
    ]
    body = "".join(map(_leaf, group.commands)).splitlines()
    lines += [*body, "\tesac", "\t;;"]
    return "".join(f"\t{line}\n" for line in lines)


def _leaf(command: Command) -> str:
    lines = [f"{command.word})"]
    if runs(command):
        values = " ".join(
            flag for option in command.options if takes_value(option) for flag in flags(option)
        )
        lines.append(f'\t_allocq_command "$current" "{values}" && return')
    lines.append("\tcase $before in")
    for value, found in _by_value(command).items():
        lines.append(f"\t{' | '.join(found)}) {value} ;;")
    lines += ["\t*)", *(f"\t\t{line}" for line in _others(command)), "\t\t;;", "\tesac", "\t;;"]
    return "".join(f"\t{line}\n" for line in lines)


def _by_value(command: Command) -> dict[str, list[str]]:
    """Completers of values, and the flags that use each."""
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
    kind = names_of(option)
    return f'_allocq_names {kind} "$current"' if kind else ":"


def _others(command: Command) -> list[str]:
    known = " ".join(spelling.flag for spelling in spellings(options(command)))
    words = f'_allocq_words "{known}" "$current"'
    if not command.operands or runs(command):
        return [words]
    operands = {
        "words": '_allocq_both "$current"',
        "snapshots": '_allocq_snapshots "$current"',
    }.get(operand_kind(command), "_allocq_files")
    return ["if [[ $current == -* ]]; then", f"\t{words}", "else", f"\t{operands}", "fi"]
