"""Man pages in mdoc(7): the head, options and list of commands come from the declarations, the
rest from man/prose.

Prose is mdoc without a head. Lines before its first .Sh are added to the NAME section; `@OPTIONS@`,
`@COMMANDS@` and `@OPERANDS@` are replaced by what is declared; in literal displays all characters
are literal.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from .declared import (
    COMMANDS,
    MAIN_OPTIONS,
    OWN_PANEL,
    Command,
    Option,
    flags,
    options,
    panels,
    sentence,
    takes_value,
)

SUMMARY = "which line of kernel source holds the memory"
# The day of the last change to what the pages say; a page must not depend on when it was made.
DATE = "November 23, 2026"
_LITERAL = str.maketrans(
    {
        "\\": r"\e",
        "-": r"\-",
        "'": r"\(aq",
        "`": r"\(ga",
        "^": r"\(ha",
        "~": r"\(ti",
    }
)


def pages(prose: Path, version: str) -> dict[str, str]:
    """The text of every page by its file name."""
    made = {"allocq.1": _page("allocq", 1, SUMMARY, prose, version, None)}
    for command in COMMANDS:
        name = f"allocq-{command.name}"
        summary = sentence(command.help)
        summary = summary[0].lower() + summary[1:]
        made[f"{name}.1"] = _page(name, 1, summary, prose, version, command)
    made["allocq-snapshot.5"] = _page(
        "allocq-snapshot", 5, "the file that allocq saves the tags to", prose, version, None
    )
    made["allocq-recording.5"] = _page(
        "allocq-recording", 5, "the samples that allocq records", prose, version, None
    )
    made["allocq-parquet.5"] = _page(
        "allocq-parquet", 5, "the Parquet files of many hosts and hours", prose, version, None
    )
    made["allocq-changes.7"] = _page(
        "allocq-changes", 7, "what changed in allocq, and what does not", prose, version, None
    )
    return made


def _page(
    name: str, section: int, summary: str, prose: Path, version: str, command: Command | None
) -> str:
    file = f"{name}.{section}"
    where = prose / f"{file}.mdoc"
    head, body = "", _plain_body(command)
    if where.exists():
        head, sh, body = where.read_text().partition(".Sh ")
        body = sh + body
    body = _literal_displays(body)
    lines = [
        f'.\\" Made by tests/generate.py from allocq/options and man/prose/{file}.mdoc.',
        f".Dd {DATE}",
        f".Dt {name.upper()} {section}",
        f".Os allocq {version}",
        ".Sh NAME",
        f".Nm {name}",
        f".Nd {_text(summary)}",
        *head.splitlines(),
    ]
    if command is not None:
        lines.append(".Sh SYNOPSIS")
        for each in command.commands or (command,):
            lines += _synopsis(each)
    text = "\n".join(lines) + "\n" + body
    if command is not None and command.commands:
        text = text.replace("@OPTIONS@\n", _options_of_group(command))
        text = text.replace("@COMMANDS@\n", _commands_of_group(command))
    chosen = MAIN_OPTIONS if command is None else options(command)
    text = text.replace("@OPTIONS@\n", _options(chosen))
    text = text.replace("@COMMANDS@\n", _commands())
    return text.replace("@OPERANDS@\n", _operands(command))


def _synopsis(command: Command) -> list[str]:
    lines = [".Nm allocq", f".Cm {command.name}", ".Op Ar option ..."]
    for operand in command.operands:
        word = f"Ar {operand.metavar}" + (" ..." if operand.many else "")
        if operand.runs:
            lines += [r".Op Fl \-", f".Ar {operand.metavar}", ".Op Ar ARG ..."]
        elif operand.behind_dashes:
            lines.append(rf".Op Fl \- Ar {operand.metavar} Op Ar ARG ...")
        else:
            lines.append(f".{word}" if operand.required else f".Op {word}")
    return lines


def _commands_of_group(group: Command) -> str:
    lines = [".Bl -tag -width percentilesx"]
    for command in group.commands:
        lines += [f".It Cm {command.word}", _text(command.help)]
    return "\n".join([*lines, ".El"]) + "\n"


def _options_of_group(group: Command) -> str:
    """The options of all its commands. What only some have says so; one that differs between them
    is listed for each."""
    holders: dict[Option, list[str]] = {}
    for command in group.commands:
        for option in options(command):
            holders.setdefault(option, []).append(command.word)
    everywhere = len(group.commands) - 1  # all but compact
    panels_of_all: dict[str, list[Option]] = {}
    for option, words in holders.items():
        if len(words) < everywhere:
            listed = " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
            option = replace(option, help=f"{option.help} Only for {listed}.")
        panels_of_all.setdefault(option.panel, []).append(option)
    ordered = [option for found in panels_of_all.values() for option in found]
    return _options(tuple(ordered))


def _plain_body(command: Command | None) -> str:
    """The sections of a page without prose."""
    about = _text(command.help) + "\n@OPERANDS@\n" if command else ""
    return f".Sh DESCRIPTION\n{about}.Sh OPTIONS\n@OPTIONS@\n.Sh SEE ALSO\n.Xr allocq 1\n"


def _commands() -> str:
    lines = [".Bl -tag -width snapshotx"]
    for command in COMMANDS:
        lines += [f".It Xr allocq-{command.name} 1", _text(sentence(command.help) + ".")]
    return "\n".join([*lines, ".El"]) + "\n"


def _operands(command: Command | None) -> str:
    if command is None or not command.operands:
        return ""
    lines = [".Bl -tag -width Ds"]
    for operand in command.operands:
        lines += [f".It Ar {operand.metavar}", _text(operand.help)]
    return "\n".join([*lines, ".El"]) + "\n"


def _options(options: tuple[Option, ...]) -> str:
    lines = []
    for panel, found in panels(options).items():
        if panel != OWN_PANEL:
            lines.append(f".Ss {panel}")
        lines.append(".Bl -tag -width Ds")
        for option in found:
            lines += _option(option)
        lines.append(".El")
    return "\n".join(lines) + "\n"


def _option(option: Option) -> list[str]:
    spelled = []
    for flag in flags(option):
        word = f"Fl {_flag(flag)}"
        if takes_value(option):
            value = option.metavar.replace("-", r"\-")
            word += f" Ns = Ns Ar {value}" if flag.startswith("--") else f" Ar {value}"
        spelled.append(word)
    lines = [f".It {' , '.join(spelled)}", _text(option.help)]
    if option.choices:
        lines += ["One of", f".Cm {' , '.join(option.choices)} ."]
    return lines


def _flag(flag: str) -> str:
    return flag[1:].replace("-", r"\-")


def _text(text: str) -> str:
    """Text of a declaration, one sentence per line, with the dashes of flags escaped."""
    text = text.replace("\\", r"\e")
    text = re.sub(
        r"(?<![\w-])--?[A-Za-z][\w-]*", lambda flag: flag.group().replace("-", r"\-"), text
    )
    text = text.replace("~", r"\(ti").replace("^", r"\(ha").replace("`", r"\(ga")
    lines = re.sub(r"(?<=[.)]) (?=[A-Z])", "\n", text).split("\n")
    return "\n".join(rf"\&{line}" if line[:1] in (".", "'") else line for line in lines)


def _literal_displays(text: str) -> str:
    """The prose with special characters in literal displays escaped."""
    return re.sub(
        r"(?<=^)(\.Bd -literal.*?\n)(.*?)(^\.Ed)",
        lambda display: (
            display[1]
            # A dot or an apostrophe would begin a request.
            + re.sub(r"^(?=[.'])", r"\\&", display[2].translate(_LITERAL), flags=re.MULTILINE)
            + display[3]
        ),
        text,
        flags=re.MULTILINE | re.DOTALL,
    )
