"""--help lists every command and option; --version prints the version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command import allocq
from generators.declared import COMMANDS, Command, flags

import allocq as package

ROOT = Path(__file__).parents[1]
# What the versions of Typer show of a type, in place of a metavar or beside it.
PYTHON_TYPE = r"<\w+[>\[]|\b(BOOLEAN|TEXT|INTEGER)\b|list\[|\[\[|\[\{|\[required\]"


def shown(*argv: str) -> str:
    result = allocq(*argv, env={"COLUMNS": "200", "TERM": "dumb"})
    assert (result.status, result.err) == (0, "")
    return " ".join(result.out.decode().split())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_of_a_command(command: Command, flag: str) -> None:
    text = shown(command.name, flag)
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


def test_the_help_of_all() -> None:
    text = shown("--help")
    assert text == shown("-h") == shown()
    for command in COMMANDS:
        assert re.search(rf"\b{command.name} \w", text)
    assert not re.search(PYTHON_TYPE, text)


def test_the_usage_of_operands() -> None:
    usage = {command.name: [operand.usage for operand in command.operands] for command in COMMANDS}
    assert usage["check"] == ["[--] COMMAND [ARG...]"]
    assert usage["diff"] == ["BEFORE", "[AFTER]"]
    assert usage["query"] == ["[WORD...]"]


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version(flag: str) -> None:
    assert allocq(flag) == (0, f"allocq {package.__version__}\n".encode(), "")


def test_the_version_is_the_projects() -> None:
    assert f'\nversion = "{package.__version__}"\n' in (ROOT / "pyproject.toml").read_text()
