"""The completion for zsh."""

from __future__ import annotations

from .declared import (
    COMMANDS,
    MAIN_OPTIONS,
    Command,
    Option,
    brief,
    flags,
    names_of,
    operand_kind,
    options,
    repeats,
    runs,
    takes_file,
    takes_value,
)

_BEGIN = r"""#compdef allocq
# allocq's completion for zsh. Made by tests/generate.py from allocq/options.

# Names of the kernel of a kind. allocq has them without starting Python.
(( $+functions[_allocq_names] )) ||
_allocq_names() {
	local -a names
	local ret=1
	names=(${(f)"$(command $program __complete $1 ${(Q)PREFIX} 2>/dev/null)"})
	compadd -S '' -- ${(M)names:#*/} && ret=0
	compadd -- ${names:#*/} && ret=0
	return ret
}

# Names of the kernel, and files of this machine.
(( $+functions[_allocq_both] )) ||
_allocq_both() {
	local ret=1
	_allocq_names words && ret=0
	_files && ret=0
	return ret
}

(( $+functions[_allocq_snapshots] )) ||
_allocq_snapshots() {
	_allocq_names snapshots || _files
}

# The command to run and its arguments, maybe after --.
(( $+functions[_allocq_run] )) ||
_allocq_run() {
	if [[ $words[1] == -- ]]; then
		shift words
		(( CURRENT-- ))
	fi
	_normal
}

(( $+functions[_allocq_commands] )) ||
_allocq_commands() {
	local -a commands=(
@COMMANDS@	)
	_describe -t commands command commands
}

_allocq() {
	local curcontext=$curcontext state state_descr line ret=1 program=${(Q)words[1]}
	local -A opt_args
	(( $+commands[$program] )) || [[ $program == */* && -x $program ]] || program=allocq

	_arguments -C -s -S : \
@OPTIONS@		'1: :_allocq_commands' \
		'*:: :->rest' && ret=0
	[[ $state == rest ]] || return ret

	case $words[1] in
"""
_END = r"""	esac
	return ret
}

if [[ $funcstack[1] == _allocq ]]; then
	_allocq "$@"
else
	compdef _allocq allocq
fi
"""


def completion() -> str:
    """The file's text."""
    commands = "".join(
        f"\t\t{_quoted(_plain(command.name) + ':' + _about(command))}\n" for command in COMMANDS
    )
    own = "".join(f"\t\t{_spec(option, '(- : *)')} \\\n" for option in MAIN_OPTIONS)
    begin = _BEGIN.replace("@COMMANDS@", commands).replace("@OPTIONS@", own)
    return begin + "".join(map(_command, COMMANDS)) + _END


def _about(command: Command) -> str:
    return brief(command.help).replace("\\", "\\\\")


def _command(command: Command) -> str:
    return _group(command) if command.commands else _leaf(command)


def _group(group: Command) -> str:
    """The commands of a group, and the options of each."""
    names = [_quoted(_plain(command.word) + ":" + _about(command)) for command in group.commands]
    own = "".join(f"\t\t\t{_spec(option, '(- : *)')} \\\n" for option in options(group))
    cases = "".join(map(_leaf, group.commands)).replace("\n", "\n\t").rstrip("\t")
    return (
        f"\t{group.word})\n"
        f"\t\tlocal -a {group.word}_commands=({' '.join(names)})\n"
        "\t\t_arguments -C -s -S : \\\n"
        f"{own}"
        f"\t\t\t'1: :{{_describe -t commands command {group.word}_commands}}' \\\n"
        "\t\t\t'*:: :->below' && ret=0\n"
        "\t\t[[ $state == below ]] || return ret\n"
        "\t\tcase $words[1] in\n"
        f"\t{cases}"
        "\t\tesac\n"
        "\t\t;;\n"
    )


def _leaf(command: Command) -> str:
    specs = [
        _spec(option, "(- : *)" if option.name == "help" else "") for option in options(command)
    ]
    if runs(command):
        specs.append("'*:: :_allocq_run'")
    action = {"words": " _allocq_both", "snapshots": " _allocq_snapshots"}.get(
        operand_kind(command), "_files"
    )
    for place, operand in enumerate(() if runs(command) else command.operands, 1):
        if operand.behind_dashes:
            continue
        where = "*" if operand.many else str(place)
        colons = ":" if operand.required or operand.many else "::"
        specs.append(_quoted(f"{where}{colons}{_message(operand.metavar)}:{action}"))
    body = " \\\n\t\t\t".join(specs)
    # -A: no option of allocq follows the command to run.
    arguments = "_arguments -s -S" + (" -A '-*'" if runs(command) else "")
    return f"\t{command.word})\n\t\t{arguments} : \\\n\t\t\t{body} && ret=0\n\t\t;;\n"


def _spec(option: Option, excluded: str) -> str:
    """An _arguments spec; a used option is offered again only if repeating it adds a value."""
    spelled = flags(option)
    if not excluded and len(spelled) > 1 and not repeats(option):
        excluded = f"({' '.join(spelled)})"
    front = "*" if repeats(option) else excluded
    about = f"[{_explained(brief(option.help))}]"
    if takes_value(option):
        about += f":{_message(option.metavar)}:{_action(option)}"
        spelled = [f"{flag}=" if flag.startswith("--") else f"{flag}+" for flag in spelled]
    if len(spelled) == 1:
        return _quoted(front + spelled[0] + about)
    return f"{_quoted(front)}{{{','.join(spelled)}}}{_quoted(about)}"


def _action(option: Option) -> str:
    if option.choices:
        return f"({' '.join(option.choices)})"
    if takes_file(option):
        return "_files"
    kind = names_of(option)
    return f" _allocq_names {kind}" if kind else " "


def _explained(text: str) -> str:
    return text.replace("\\", "\\\\").replace("[", r"\[").replace("]", r"\]")


def _message(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", r"\:")


def _plain(text: str) -> str:
    return text.replace(":", r"\:")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'" if text else ""
