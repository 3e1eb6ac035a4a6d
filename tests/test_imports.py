"""What startup imports, and what no module may do; lint-imports checks the layers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from oracle import SAMPLE

import allocq

PACKAGE = Path(allocq.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
APP = {"typer", "click", "rich"}

PROGRAM = """
import os, sys
def told(status):
    os.write(2, "\\n".join(sys.modules).encode())
    real(status)
import posix
real, os._exit = os._exit, told
posix._exit = told
from allocq.__main__ import entry
entry()
"""


def imported(*argv: str) -> set[str]:
    """The top modules that `allocq ARGV` imports."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *argv], capture_output=True)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.decode().split("\n")}


@pytest.mark.parametrize(
    "argv",
    [
        ["query", "--source", str(SAMPLE), "-o", "table", "-n", "5"],
        ["query", "--source", str(SAMPLE), "-g", "file", "-o", "json"],
        ["snapshot", "--source", str(SAMPLE)],
        ["tree", "--source", str(SAMPLE)],
        ["check", "--baseline", str(SAMPLE), "--source", str(SAMPLE), "--"],
    ],
    ids=lambda argv: argv[0],
)
def test_a_plain_command_line_needs_no_app(argv: list[str]) -> None:
    modules = imported(*argv)
    assert "allocq" in modules
    assert not modules & APP


@pytest.mark.parametrize("argv", [["--help"], ["query", "--help"], ["--version"]], ids=" ".join)
def test_help_needs_no_app(argv: list[str]) -> None:
    assert not imported(*argv) & APP


def test_the_library_imports_nothing_before_it_is_used() -> None:
    code = (
        "import sys; before = set(sys.modules); import allocq; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    assert set(done.stdout.split()) == {"allocq"}


def test_nothing_prints_but_through_one_place() -> None:
    """No print; sys.stdout and sys.stderr only where a process begins and ends."""
    for path in MODULES:
        name = str(path.relative_to(PACKAGE))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = f"{node.value.id}.{node.attr}"
                if used in ("sys.stdout", "sys.stderr", "sys.stdin"):
                    assert name in ("__main__.py", "cli/app.py"), (name, used)
                assert used not in ("os.system", "os.popen", "sys.exit"), (name, used)


def test_no_shell_is_ever_started() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                raise AssertionError(path)
