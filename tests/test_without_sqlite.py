"""A Python that was built without sqlite3: recordings are refused, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import oracle
import pytest
from command import Result, refused
from recording_child import sample

from allocq.storage.recording.writer import Writer

WITHOUT = """
import sys
sys.modules["sqlite3"] = None
from allocq.cli.run import run
sys.exit(run(sys.argv[1:]))
"""


def without(*argv: str) -> Result:
    done = subprocess.run([sys.executable, "-c", WITHOUT, *argv], capture_output=True)
    return Result(done.returncode, done.stdout, done.stderr.decode())


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    writer = Writer(tmp_path / "r", {})
    writer.append(sample(1, 3))
    writer.close()
    return str(tmp_path / "r")


@pytest.mark.parametrize(
    "argv",
    [
        ("query", "--source"),
        ("diff", "--since", "@1", "--source"),
        ("record", "--once"),
    ],
)
def test_a_recording_is_refused(argv: tuple[str, ...], recorded: str) -> None:
    refused(without(*argv, recorded), "this Python has no sqlite3")


def test_folders_of_listings_are_read(tmp_path: Path) -> None:
    for number in (1, 2):
        text = oracle.HEADER + b"%d 1 a.c:1 func:f \n" % number
        (tmp_path / f"2025-11-2{number}.txt").write_bytes(text)
    assert without("query", "--source", str(tmp_path), "-c").out == b"1\n"
    assert without("diff", "--source", str(tmp_path), "--since", "2025-11-21T12:00").status == 0


def test_doctor_does_without() -> None:
    done = without("doctor", "-o", "json")
    assert done.err == "" and '"item": "recorder"' in done.out.decode()
