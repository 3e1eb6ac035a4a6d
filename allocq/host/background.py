"""Runs a command of allocq in a process of its own, beside a recorder that must not wait."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence

_START = (
    "import os, sys\n"
    "paths, sys.path[:] = sys.argv.pop(1), []\n"
    "sys.path += paths.split(os.pathsep)\n"
    "os.nice(10)\n"
    "from allocq.__main__ import entry\n"
    "entry()\n"
)


class Background:
    """A running command. Its messages are kept; Ctrl-C at the terminal does not reach it."""

    def __init__(self, argv: Sequence[str]) -> None:
        """argv: of allocq. OSError if it cannot be started."""
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115
        paths = os.pathsep.join(path for path in sys.path if os.path.isabs(path))
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-c", _START, paths, *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._messages,
                start_new_session=True,
            )
        except BaseException:
            self._messages.close()
            raise
        _be_killed_first(self._child.pid)

    def ended(self, wait: float = 0.0) -> bool:
        """Has it ended? wait: at most so many seconds for that."""
        try:
            self._child.wait(wait)
        except subprocess.TimeoutExpired:
            return False
        return True

    def complaint(self) -> str:
        """Once it has ended: what it complained about; "" if it did not fail."""
        with self._messages as file:
            file.seek(0)
            lines = file.read(1 << 16).decode("utf-8", "replace").splitlines()
        if self._child.returncode == 0:
            return ""
        said = [line.removeprefix("allocq: ") for line in lines if line.startswith("allocq: ")]
        return said[-1] if said else f"it ended with status {self._child.returncode}"


def _be_killed_first(pid: int) -> None:
    """The recorder is among the last that the kernel kills for want of memory; not its child."""
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w") as file:
            file.write("0")
    except OSError:
        pass
