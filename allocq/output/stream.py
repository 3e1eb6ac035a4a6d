"""Writes the answer to standard output and messages to standard error."""

import contextlib
import os
import select
from typing import Protocol

from ..errors import AllocqError, OutputError
from ..options.shared import FAILED
from .terminal import printable, printable_lines

HELD = 16 << 20


class Shows(Protocol):
    """A pager."""

    def start(self, fd: int) -> int: ...


class Output:
    """An output descriptor. Bytes are held back until `release`, so that an error leaves no partial
    answer; `full` tells the caller that more than HELD bytes are held.

    escape: for a terminal; control characters in names are escaped. Only for output without color.
    pager: what shows the answer instead; that it is left early is no error.
    Each write holds whole characters.
    """

    def __init__(self, fd: int = 1, escape: bool = False, pager: Shows | None = None) -> None:
        self._fd = fd
        self._escape = escape
        self._pager = pager
        self._left = False
        self._held: list[bytes] = []
        self._size = 0
        self._open = False

    @property
    def full(self) -> bool:
        """Are more than HELD bytes held back?"""
        return self._size > HELD and not self._open

    def write(self, data: bytes) -> None:
        """Add to the answer. OutputError, BrokenPipeError."""
        if self._escape:
            data = printable_lines(data)
        if self._open:
            self._put(data)
        else:
            self._held.append(data)
            self._size += len(data)

    def release(self) -> None:
        """Write what is held back, and from now on write immediately."""
        held, self._held = b"".join(self._held), []
        if self._pager and held and not self._open:
            self._fd = self._pager.start(self._fd)
        self._open = True
        self._put(held)

    def forget(self) -> None:
        """Discard what is held back."""
        self._held, self._size = [], 0

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self._left:
            try:
                view = view[os.write(self._fd, view) :]
            except BrokenPipeError:
                if not self._pager:
                    raise
                self._left = True
            except BlockingIOError:
                select.select((), (self._fd,), ())
            except OSError as error:
                raise OutputError(f"cannot write the answer: {error.strerror}") from None


def warn(text: str) -> None:
    """Print a warning on standard error."""
    say(f"allocq: warning: {text}")


def say(*lines: str) -> None:
    """Print lines on standard error in one write, with control characters escaped."""
    text = "".join(printable(line) + "\n" for line in lines)
    with contextlib.suppress(OSError):  # standard error may be closed
        os.write(2, text.encode("utf-8", "backslashreplace"))


def complain(error: AllocqError) -> int:
    """Print an error and its hint; returns the exit status."""
    say(f"allocq: {error}", *([f"hint: {error.hint}"] if error.hint else []))
    return FAILED
