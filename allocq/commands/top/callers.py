"""The stacks that top takes: `allocq stacks` in a process of its own, so that keys are never dead
and nothing is left in tracefs however top ends."""

from __future__ import annotations

import re
import time

from ...analysis.board import Within
from ...analysis.diff import Key
from ...analysis.stacks import Taken
from ...errors import SourceError, UsageError
from ...host.background import Background
from ...host.tracefs import usable
from ...sources.saved_stacks import LARGEST, parse_stacks

SECONDS = 5
_PATIENCE = 6.0
_SPECIAL = re.compile(r"[*?\[:]")


def words_of(key: Key, by: str | None, within: Within = ()) -> list[str]:
    """The options of `allocq stacks` that select a tag or a group; within: the groups that it is
    in. UsageError for what cannot be watched."""
    file, line, module, function = key
    words = []
    if by in (None, "file", "directory", "location"):
        words.append(f"--file={_exactly(str(file))}")
    if by in (None, "location"):
        words.append(f"--line={line}")
    if by in (None, "function", "location"):
        words.append(f"--function={_exactly(str(function))}")
    if by == "module" and module is None:
        raise UsageError("built-in code is too much to watch", "open the group and select a tag")
    if by in (None, "module", "location") and module is not None:
        words.append(f"--module={_exactly(str(module))}")
    for kind, group in within:
        if kind == "module" and group[2] is None:
            continue  # no option of stacks leaves modules out
        given = {word.partition("=")[0] for word in words}
        more = words_of(group, kind)
        # An option that is given twice would widen.
        words += [word for word in more if word.partition("=")[0] not in given]
    return words


def _exactly(name: str) -> str:
    """A pattern that only this name matches."""
    return _SPECIAL.sub(lambda found: f"[{found[0]}]", name)


class Taking:
    """Stacks that are being taken. what: the tag, for people; live: of what is not freed."""

    def __init__(self, what: str, words: list[str], live: bool) -> None:
        """Begin. live: of what is not freed. AccessError, InterfaceError where this kernel cannot
        trace; SourceError."""
        usable()
        self.what = what
        self.live = live
        self._began = time.monotonic()
        argv = ["stacks", *words, "--for", f"{SECONDS}s", "-o", "json"]
        argv += ["--live"] if live else []
        try:
            self._child = Background(argv, answers=True, niceness=0)
        except (OSError, ValueError) as error:
            words_ = getattr(error, "strerror", None) or error
            raise SourceError(f"cannot start allocq stacks: {words_}") from None

    @property
    def seconds(self) -> float:
        """How long it has taken so far, with what is to be done before and after watching."""
        return time.monotonic() - self._began

    def look(self) -> Taken | None:
        """The stacks, once they are there. SourceError and its kinds if they cannot be taken."""
        if not self._child.ended():
            return None
        try:
            data = self._child.answer(LARGEST)
            if not data:
                words = self._child.complaint() or "allocq stacks printed nothing"
                raise SourceError(f"no stacks of {self.what}: {words}")
            return parse_stacks(data, f"stacks of {self.what}")
        finally:
            self._child.close()

    def end(self) -> None:
        """Give up: it removes what it made, and ends."""
        self._child.end()

    def ended(self, wait: float = _PATIENCE) -> bool:
        """Has it ended? wait: at most, in seconds. What has not ended still cleans up."""
        if not self._child.ended(wait):
            return False
        self._child.close()
        return True
