"""Makes the harness in tests/vm importable, and generated tests repeatable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent / "vm"))

# A loaded machine is slow.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", unhurried)
settings.register_profile("repeatable", unhurried, derandomize=True)
settings.load_profile("repeatable")

# A shell without job control starts background jobs with it ignored; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """What a test, or a library that it calls, sets is not there for a later test."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Put processes here: they are killed when the test ends."""
    children: list[subprocess.Popen[str]] = []
    yield children
    for child in children:
        child.kill()
        child.wait()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of a report, which is made at a known time."""
    from reports import BEGUN

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(BEGUN))
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path
