"""Runs a command of allocq in a process of its own, beside one that must not wait for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

_START = (
    "import os, sys\n"
    "paths, sys.path[:] = sys.argv.pop(1), []\n"
    "sys.path += paths.split(os.pathsep)\n"
    "os.nice(int(sys.argv.pop(1)))\n"
    "from allocq.__main__ import entry\n"
    "entry()\n"
)


class Background:
    """A running command. Its messages are kept; Ctrl-C at the terminal does not reach it."""

    def __init__(self, argv: Sequence[str], answers: bool = False, niceness: int = 10) -> None:
        """argv: of allocq. answers: keep what it prints, too. OSError if it cannot be started."""
        self._messages = open(os.memfd_create("messages", os.MFD_CLOEXEC), "w+b")  # noqa: SIM115
        self._answer = os.memfd_create("answer", os.MFD_CLOEXEC) if answers else -1
        paths = os.pathsep.join(path for path in sys.path if os.path.isabs(path))
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-c", _START, paths, str(niceness), *argv],
                stdin=subprocess.DEVNULL,
                stdout=self._answer if answers else subprocess.DEVNULL,
                stderr=self._messages,
                start_new_session=True,
            )
        except BaseException:
            self.close()
            raise
        _be_killed_first(self._child.pid)

    def ended(self, wait: float = 0.0) -> bool:
        """Has it ended? wait: the most seconds to wait for that."""
        try:
            self._child.wait(wait)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """Ask it to end, with SIGTERM."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)

    def complaint(self) -> str:
        """Once it has ended: what it complained about; "" if it did not fail."""
        with self._messages as file:
            file.seek(0)
            lines = file.read(1 << 16).decode("utf-8", "replace").splitlines()
        if self._child.returncode == 0:
            return ""
        said = [line.removeprefix("allocq: ") for line in lines if line.startswith("allocq: ")]
        return said[-1] if said else f"it ended with status {self._child.returncode}"

    def answer(self, most: int) -> bytes:
        """Once it has ended: what it printed, at most `most` bytes."""
        pieces, at = [], 0
        while at < most and (piece := os.pread(self._answer, most - at, at)):
            pieces.append(piece)
            at += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Forget what it printed and said."""
        self._messages.close()
        if self._answer >= 0:
            os.close(self._answer)
            self._answer = -1


def _be_killed_first(pid: int) -> None:
    """Undo what makes the recorder one of the last to be killed when memory runs out."""
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w") as file:
            file.write("0")
    except OSError:
        pass
