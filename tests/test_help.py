"""--help lists every command and option; --version prints the version."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from command import allocq
from generators.declared import COMMANDS, LEAVES, Command, flags

import allocq as package
from allocq.host.installation import installation
from allocq.options.reader import read_words

ROOT = Path(__file__).parents[1]
# What the versions of Typer show of a type, in place of a metavar or beside it.
PYTHON_TYPE = r"<\w+[>\[]|\b(BOOLEAN|TEXT|INTEGER)\b|list\[|\[\[|\[\{|\[required\]"


def shown(*argv: str) -> str:
    result = allocq(*argv, env={"COLUMNS": "200", "TERM": "dumb"})
    assert (result.status, result.err) == (0, "")
    return " ".join(result.out.decode().split())


@pytest.mark.parametrize("command", LEAVES, ids=lambda command: command.name)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_of_a_command(command: Command, flag: str) -> None:
    text = shown(*command.name.split(), flag)
    usage, _, _ = text.partition(command.help[:20])
    assert f"Usage: allocq {command.name} [OPTIONS]" in usage
    assert command.help.split(". ")[0] in text
    for option in command.options:
        assert all(flag in text.replace(",", " ").split() for flag in flags(option)), option.name
        assert all(choice in text for choice in option.choices), option.name
        assert option.metavar in text
    for operand in command.operands:
        assert operand.metavar in usage
        assert operand.usage in usage
        assert f"{operand.metavar} {operand.help}" in text
    assert not re.search(PYTHON_TYPE, text)


def test_the_help_of_a_group() -> None:
    text = shown("fleet", "--help")
    assert text == shown("fleet", "-h") and text.startswith("Usage: allocq fleet COMMAND ")
    for command in LEAVES:
        if command.name.startswith("fleet "):
            assert re.search(rf"\b{command.word} \w", text)
    assert not re.search(PYTHON_TYPE, text)


def test_the_help_of_all() -> None:
    text = shown("--help")
    assert text == shown("-h") == shown()
    for command in COMMANDS:
        assert re.search(rf"\b{command.name} \w", text)
    assert not re.search(PYTHON_TYPE, text)


def test_the_usage_of_operands() -> None:
    usage = {command.name: [operand.usage for operand in command.operands] for command in COMMANDS}
    assert usage["check"] == ["[--] COMMAND [ARG...]"]
    assert usage["diff"] == ["[BEFORE]", "[AFTER]", "[LATER...]"]
    assert usage["query"] == ["[WORD...]"]


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version(flag: str) -> None:
    answer = f"allocq {package.__version__} ({installation(package.__version__)})\n"
    assert allocq(flag) == (0, answer.encode(), "")


def page(*argv: str, columns: int = 80, **env: str) -> list[str]:
    result = allocq(*argv, env={"COLUMNS": str(columns), "TERM": "dumb", **env})
    assert (result.status, result.err) == (0, "")
    return result.out.decode().splitlines()


def test_the_help_of_query_fits_two_screens() -> None:
    """Of 24 lines and 80 columns, the least that a terminal has."""
    lines = page("query", "--help")
    assert len(lines) <= 2 * 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", ["", "fleet", *(command.name for command in LEAVES)])
def test_no_word_is_cut_where_the_terminal_is_narrow(name: str) -> None:
    argv = [*name.split(), "--help"]
    wide, narrow = page(*argv, columns=200), page(*argv, columns=40)
    assert max(map(len, narrow)) <= 40
    words = [word for line in narrow for word in line.removesuffix(" \\").split()]
    assert words == [word for line in wide for word in line.split()]


@pytest.mark.parametrize("command", LEAVES, ids=lambda command: command.name)
def test_a_help_ends_with_examples_that_are_understood(command: Command) -> None:
    lines = page(*command.name.split(), "--help", columns=200)
    assert command.examples
    assert lines[-len(command.examples) - 1 :] == [
        "Examples:",
        *(f"  {e}" for e in command.examples),
    ]
    for example in command.examples:
        program, *words = shlex.split(example.partition(" | ")[0])
        name = command.name.split()
        assert (program, words[: len(name)]) == ("allocq", name)
        read_words(words[len(name) :], command.options, command.operands)


@pytest.mark.parametrize("name", ["", "fleet", *(command.name for command in LEAVES)])
def test_the_c_locale_gets_ascii(name: str) -> None:
    for argv in (["--help"], ["--nope"], ["--source", "/nonexistent"]):
        result = allocq(*name.split(), *argv, env={"LC_ALL": "C", "LANG": "C"})
        assert result.out.isascii() and result.err.isascii()


def test_tables_are_ascii_in_the_c_locale() -> None:
    for argv in (["query", "-o", "table"], ["tree"], ["tree", "-d", "3"]):
        result = allocq(*argv, "--sample", env={"LC_ALL": "C", "COLUMNS": "120"})
        assert result.status == 0 and result.out.isascii()


def test_the_readme_has_the_commands_in_the_same_order() -> None:
    rows = re.findall(r"^\| `allocq (\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == [command.name for command in COMMANDS]
