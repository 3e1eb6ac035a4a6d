"""What nobody foresaw ends in one line, and what can be foreseen ends in its own words."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from command import allocq, refused

import allocq as library
from allocq.commands.doctor import doctor, facts
from allocq.errors import SourceError, UsageError
from allocq.host import caches
from allocq.output import terminal
from allocq.storage import compression

# One command line whose body raises what argv[1] says.
RAISING = """
import sys
from allocq import __main__ as main
from allocq.options import commands
from allocq.cli import run
error, typer, *sys.argv[1:] = sys.argv[1:]
if typer == "True":
    def leave_all(*_):
        raise run.Misread(run.Fault.UNSURE)
    run.read_words = leave_all
def body(self, values):
    assert ("typer" in sys.modules) == (typer == "True")
    raise eval(error)
commands.Command.run = body
main.entry()
"""
COMMANDS = ("query", "tree", "snapshot", "doctor", "verify", "bench", "diff", "check")


def raising(
    error: str, typer: bool, command: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """typer: the quick reader leaves the command line to it."""
    operands = {"diff": ["a", "b"], "check": ["true"]}.get(command, [])
    return subprocess.run(
        [sys.executable, "-c", RAISING, error, str(typer), command, *operands],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("typer", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_exception_that_nobody_foresaw_is_one_line(command: str, typer: bool) -> None:
    done = raising("ZeroDivisionError('one\\ntwo')", typer, command)
    assert (done.returncode, done.stdout) == (2, ""), done
    first, second = done.stderr.splitlines()
    assert first == "allocq: internal error: ZeroDivisionError: one"
    assert second.startswith("hint: ALLOCQ_DEBUG=1 ")
    done = raising("ZeroDivisionError('one')", typer, command, ALLOCQ_DEBUG="1")
    assert done.returncode == 2 and done.stderr.startswith("Traceback ")


@pytest.mark.parametrize("typer", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupt_is_silent_everywhere(command: str, typer: bool) -> None:
    done = raising("KeyboardInterrupt()", typer, command)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    "error",
    ["MemoryError()", "EOFError()", "SystemExit('x')", "GeneratorExit()", "OSError(5, 'x')"],
)
@pytest.mark.parametrize("typer", [False, True])
def test_others_are_status_2(error: str, typer: bool) -> None:
    done = raising(error, typer, "query")
    assert done.returncode == 2 and len(done.stderr.splitlines()) <= 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        "MemoryError()",
        "OSError(12, 'x')",
        "ImportError('libz.so.1: cannot create shared object descriptor')",
        "ImportError('x.so: failed to map segment from shared object')",
        "ImportError('x.so: cannot allocate memory in static TLS block')",
        "ImportError('x.so: out of memory')",
    ],
)
def test_no_memory_is_said_in_the_same_words(error: str) -> None:
    done = raising(error, False, "query")
    assert (done.returncode, done.stderr) == (2, "allocq: out of memory\n")


def test_an_import_that_fails_otherwise_is_an_internal_error() -> None:
    done = raising("ImportError('cannot import name x')", False, "query")
    assert done.returncode == 2 and done.stderr.startswith("allocq: internal error: ImportError")


def test_typers_variable_for_completions_is_none_of_ours() -> None:
    done = allocq("query", "--sample", "-n", "1", "--", env={"_ALLOCQ_COMPLETE": "bash_source"})
    assert done.status == 0 and done.out.count(b"\n") == 1, done


# Refused by a seccomp filter


def fail(code: int) -> Any:
    def call(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize("calls", [["get"], ["set"], ["get", "set"]])
def test_without_the_right_to_choose_a_cpu_nothing_is_drained(
    code: int, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in calls:
        monkeypatch.setattr(f"os.sched_{call}affinity", fail(code))
    caches.drain_lists()


def test_an_unreadable_meminfo_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allocq.host.caches.read_meminfo", dict)
    with pytest.raises(SourceError, match="/proc/meminfo"):
        caches.user_memory()


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTTY])
def test_a_terminal_that_may_not_be_asked_has_80_columns(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("os.get_terminal_size", fail(code))
    assert terminal.terminal_width() == 80


def test_a_compressed_file_that_cannot_be_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.read", fail(errno.EIO))
    with pytest.raises(SourceError, match="cannot read x: Input/output error"):
        list(compression.unpack(b"\x1f\x8b\x08\0", 0, "x"))


# Doctor


def test_doctors_json_takes_any_path(monkeypatch: pytest.MonkeyPatch) -> None:
    found = facts.gather()
    found.cache.path = os.fsdecode(b"/run/\xff\xc3\xa9/allocq/names")
    document = json.loads(doctor.as_json(found))
    assert document["facts"]["cache"]["path"] == "/run/\ufffd\u00e9/allocq/names"


def test_doctors_words_take_any_path() -> None:
    found = facts.gather()
    found.cache.path = os.fsdecode(b"/run/\xff\xc3\xa9/allocq/names")
    report = doctor.in_lines(doctor.findings(found), 0, "", False)
    assert any("/run/\\xff\u00e9/allocq/names" in line for line in report)


# The library


@pytest.mark.parametrize(
    "values",
    [
        {"min_size": 1.5},
        {"max_size": "x"},
        {"min_calls": 1.0},
        {"max_calls": True},
        {"lines": [(1.5, 2)]},
        {"lines": [(1, 2, 3)]},
        {"lines": 5},
        {"accurate": "x"},
        {"builtin": 1},
        {"files": "mm/a.c"},
        {"files": [1]},
        {"functions": None},
        {"regexps": ["("]},
        {"files": ["\ud800"]},
    ],
)
def test_a_filter_of_wrong_values_is_a_usage_error(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        library.Filter(**values)


def test_errors_of_a_command_line_stay_as_they_are() -> None:
    refused(allocq("query", "--min-size", "x"), "invalid size 'x'")
    refused(allocq("query", "--no-such"), "no such option")
    refused(allocq("nothing"), "no such command")
