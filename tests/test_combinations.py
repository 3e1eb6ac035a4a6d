"""Options that would silently do nothing together are refused, whoever reads them."""

from __future__ import annotations

import itertools
import subprocess
import sys

import oracle
import pytest
from command import ALLOCQ, here, refused

SAMPLE = str(oracle.SAMPLE)
REFUSED = [
    (("-i",), "--ignore-case needs --regexp"),
    (("-v",), "--invert-match needs --regexp"),
    (("-g", "module", "-s", "file"), "no file to sort by"),
    (("-g", "file", "-s", "function"), "no function to sort by"),
    (("-g", "file", "-o", "procfs", "--header"), "--header cannot be used"),
    (("--source", SAMPLE), "second source"),
]


@pytest.mark.parametrize(("argv", "words"), REFUSED)
def test_what_would_do_nothing_is_refused(argv: tuple[str, ...], words: str) -> None:
    refused(here("query", "--source", SAMPLE, *argv), words)


@pytest.mark.parametrize(
    "argv",
    [
        ("-i", "-e", "XFS"),
        ("-v", "-e", "mm/"),
        ("-g", "module", "-s", "module"),
        ("-g", "directory", "-s", "file"),
        ("-g", "file", "-o", "tsv", "--header"),
        ("-r", "-s", "none"),
        ("--bytes", "-o", "json"),
    ],
)
def test_what_does_something_or_no_harm_is_kept(argv: tuple[str, ...]) -> None:
    assert here("query", "--source", SAMPLE, *argv).status == 0


PARTS = (
    ("-i",), ("-v",), ("-e", "mm"), ("-g", "module"), ("-s", "file"), ("-s", "module"),
    ("-o", "procfs"), ("--header",), ("--source", SAMPLE), ("-r",), ("-c",), ("--builtin",),
    ("-n", "3"),
)  # fmt: skip


def test_the_program_and_python_agree_on_every_pair() -> None:
    python = [sys.executable, "-m", "allocq"]
    for one, two in itertools.combinations(PARTS, 2):
        argv = ["query", "--source", SAMPLE, *one, *two]
        done = [
            subprocess.run([*way, *argv], capture_output=True, check=False)
            for way in (ALLOCQ, python)
        ]
        first, second = ((each.returncode, each.stdout, each.stderr) for each in done)
        assert first == second, argv
