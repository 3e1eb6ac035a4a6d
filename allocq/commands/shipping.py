"""Ships what a recorder records, hour by hour, in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

from ..host.background import Background
from ..output.stream import warn

_HOUR = 3600
_RETRY = 600.0
_MOST_AT_END = 80.0
"""systemd kills a service that takes longer than 90 s to stop."""


class HourlyShipping:
    """From the recording in `folder` to the Parquet files below `root`. What could not be shipped
    stays in the recording, and is tried again."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._argv = ["ship", "--source", str(folder.absolute()), "--to", str(root.absolute())]
        self._argv.append("--quiet")
        self._running: Background | None = None
        self._hour: float | None = None
        self._due = 0.0
        self._said = ""
        self.tried = False
        """Has it been tried once to ship what was there?"""

    def step(self) -> None:
        """Begin when an hour is over. Call it after a sample."""
        self.look()
        hour = time.time() // _HOUR
        if not self._running and (hour != self._hour or time.monotonic() >= self._due):
            self._hour = hour
            self._begin(self._argv)

    def look(self) -> None:
        """See what became of it."""
        if self._running and self._running.ended():
            self._take_result()

    def end(self, open_too: bool) -> None:
        """Ship what is left, and wait until it is there; open_too: the hour that is not over,
        too."""
        deadline = time.monotonic() + _MOST_AT_END
        if self._running and self._running.ended(max(0.0, deadline - time.monotonic())):
            self._take_result()
        if not self._running:
            self._begin([*self._argv, "--all"] if open_too else self._argv)
        if self._running and self._running.ended(max(0.0, deadline - time.monotonic())):
            self._take_result()
        elif self._running:
            warn("the last samples are still being shipped")

    def _begin(self, argv: list[str]) -> None:
        self._due = float("inf")
        try:
            self._running = Background(argv)
        except OSError as error:
            self.tried = True
            self._fail(f"cannot start: {error.strerror}")

    def _take_result(self) -> None:
        assert self._running
        complaint, self._running = self._running.complaint(), None
        self.tried = True
        if complaint:
            self._fail(complaint)
        elif self._said:
            self._said = ""
            warn("shipping again")

    def _fail(self, words: str) -> None:
        self._due = time.monotonic() + _RETRY
        if words != self._said:
            self._said = words
            warn(f"not shipped, trying again: {words}")
