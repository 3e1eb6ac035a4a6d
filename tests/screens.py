"""Runs a program on a terminal that is emulated by pyte, to see what is on its screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyte
from command import MODULE
from terminal import _login, environment

UP, DOWN, RIGHT, LEFT = (b"\x1bOA", b"\x1bOB", b"\x1bOC", b"\x1bOD")


class Screened:
    """A process on a terminal. raw: all that it wrote to it."""

    def __init__(self, argv: Sequence[str], lines: int, columns: int, env: dict[str, str]) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, slave = pty.openpty()
        self.resize(lines, columns)
        self.modes = termios.tcgetattr(slave)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.master)
                _login(slave)
                os.execve(argv[0], list(argv), env)
            finally:
                os._exit(127)
        # The terminal lives as long as somebody has it: its modes can be looked at in the end.
        self.slave = slave
        self.status: int | None = None

    def resize(self, lines: int, columns: int) -> None:
        """Change the size of the window, as a terminal does."""
        self.screen.resize(lines, columns)
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def type(self, keys: bytes | str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """The same in one piece."""
        return "\n".join(self.lines)

    def shows(self, words: str) -> bool:
        """Are these words on the screen, wherever their lines are broken?"""
        return "".join(words.split()) in "".join(self.text.split())

    def look(self, seconds: float = 0.05) -> None:
        """Take in what it writes, until it is silent for so long."""
        while select.select([self.master], [], [], seconds)[0]:
            try:
                piece = os.read(self.master, 1 << 16)
            except OSError:
                return
            if not piece:
                return
            self.raw += piece
            self._stream.feed(piece)

    def until(self, seen: str | Callable[[], Any], seconds: float = 60) -> None:
        """Wait until a text is on the screen, or something holds."""
        end = time.monotonic() + seconds
        while not (seen in self.text if isinstance(seen, str) else seen()):
            assert time.monotonic() < end, f"it does not show {seen!r}:\n{self.text}"
            assert not self.ended, f"it ended with {self.status}:\n{self.text}\n{self.raw[-500:]!r}"
            self.look()
        self._settle()

    def _settle(self) -> None:
        """Take in the rest of what it draws, until it is seen asleep twice: what it wrote may still
        be on its way through the terminal; for a few seconds at most."""
        asleep = 0
        for _ in range(50):
            self.look(0.04)
            if self.ended:
                return
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2][0]
            silent = not select.select([self.master], [], [], 0)[0]
            asleep = asleep + 1 if state == "S" and silent else 0
            if asleep == 2:
                return

    @property
    def ended(self) -> bool:
        """Has it ended? `status` is then its exit status, or the signal, below zero."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                if self.master >= 0:
                    self.look(0)
        return self.status is not None

    def wait(self, seconds: float = 60) -> int:
        """Wait for the end; returns `status`."""
        end = time.monotonic() + seconds
        while not self.ended:
            assert time.monotonic() < end, f"it does not end:\n{self.text}"
            if self.master >= 0:
                self.look(0.02)
            else:
                time.sleep(0.02)
        assert self.status is not None
        return self.status

    def lose(self) -> None:
        """Take the terminal away."""
        os.close(self.slave)
        os.close(self.master)
        self.slave = self.master = -1

    def close(self) -> None:
        if not self.ended:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)


@contextlib.contextmanager
def screened(
    *argv: str,
    lines: int = 24,
    columns: int = 100,
    program: Sequence[str] = MODULE,
    **own: str,
) -> Iterator[Screened]:
    """`allocq ARGV` on a terminal."""
    env = environment({"LANG": "C.UTF-8", **own})
    found = Screened([*program, *argv], lines, columns, env)
    try:
        yield found
    finally:
        found.close()
