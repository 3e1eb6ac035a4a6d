"""Live tests run as root inside a real kernel (tests/README.md); the host only reports them.

Nothing here imports allocq: the kernel is the oracle.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import live_in_guest
import pytest

ALLOCINFO = "/proc/allocinfo"
NOBODY = 65534


def pytest_configure(config: pytest.Config) -> None:
    live_in_guest.register(config)
    if live_in_guest.in_guest():
        # What a guest writes is gone with it, and its clock is not a real machine's.
        slow = hypothesis.HealthCheck.too_slow
        hypothesis.settings.register_profile(
            "guest", database=None, deadline=None, suppress_health_check=[slow]
        )
        hypothesis.settings.load_profile("guest")


class Modprobe:
    """Loads and unloads kernel modules; what it loaded is unloaded when the test ends."""

    def __init__(self) -> None:
        self._loaded: list[str] = []

    def __call__(self, module: str) -> None:
        if not self._is_loaded(module):
            if not self.has(module):
                pytest.skip(f"this kernel has no module {module}")
            self._run(module)
            self._loaded.append(module)

    def remove(self, module: str) -> None:
        self._run("-r", module)
        self._loaded.remove(module)

    def has(self, module: str) -> bool:
        """Whether this kernel comes with the module as a file of its own."""
        modules = Path("/lib/modules", os.uname().release)
        if not modules.is_dir():
            pytest.fail(f"the kernel image has no directory modules/{modules.name} beside it")
        return any(modules.glob(f"**/{module}.ko*"))

    def remove_all(self) -> None:
        for module in reversed(self._loaded[:]):
            self.remove(module)

    @staticmethod
    def _is_loaded(module: str) -> bool:
        return Path("/sys/module", module).is_dir()

    @staticmethod
    def _run(*args: str) -> None:
        if shutil.which("modprobe") is None:
            pytest.fail("modprobe is missing (Debian package kmod)")
        done = subprocess.run(["modprobe", *args], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.fail(f"modprobe {' '.join(args)}: {done.stderr.strip()}")


@pytest.fixture
def modprobe() -> Iterator[Modprobe]:
    modprobe = Modprobe()
    yield modprobe
    modprobe.remove_all()


@pytest.fixture
def cat_allocinfo() -> Callable[[], str]:
    """The whole text of /proc/allocinfo, by plain reads."""

    def cat() -> str:
        parts = []
        fd = os.open(ALLOCINFO, os.O_RDONLY)
        try:
            while part := os.read(fd, 1 << 16):
                parts.append(part)
        finally:
            os.close(fd)
        return b"".join(parts).decode()

    return cat


@pytest.fixture
def unprivileged() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command as uid 65534 with no other rights; keywords as for subprocess.run."""

    def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        settings = {
            "user": NOBODY,
            "group": NOBODY,
            "extra_groups": [],
            "capture_output": True,
            "text": True,
        }
        return subprocess.run(command, **{**settings, **options})

    return run
