"""Runs a command on a terminal of some size, as a person would see it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from command import ALLOCQ

# What a person's own environment would change.
_OWN = ("COLUMNS", "LINES", "NO_COLOR", "TERM", "PAGER", "ALLOCQ_PAGER", "LESS", "LANG")


class Seen(NamedTuple):
    """How a command ended, and all that it wrote to its terminal."""

    status: int
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines, without what moves the cursor or colors."""
        return re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|[=>])|\r", "", self.text).splitlines()


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """This environment without what a person's own would change, and with `own`."""
    base = {n: v for n, v in os.environ.items() if n not in _OWN and not n.startswith("LC_")}
    return {**base, "TERM": "xterm", **own}


def on_terminal(
    *argv: str,
    columns: int = 80,
    lines: int = 24,
    program: Sequence[str] = ALLOCQ,
    keys: Sequence[tuple[str, bytes]] = (),
    seconds: float = 60,
    **own: str,
) -> Seen:
    """Run `program ARGV` on a terminal until it ends. keys: once a text is on the screen, these are
    typed; each text is looked for behind the one before."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    pid = os.fork()
    if pid == 0:
        try:
            os.close(master)
            os.login_tty(slave) if hasattr(os, "login_tty") else _login(slave)
            os.execve(program[0], [*program, *argv], environment(own))
        finally:
            os._exit(127)
    os.close(slave)
    out, seen, waiting, end = b"", 0, list(keys), time.monotonic() + seconds
    typed, quiet = b"", 0
    while True:
        assert time.monotonic() < end, f"it does not end: {out[-2000:]!r}"
        if not select.select([master], [], [], 0.2)[0]:
            quiet += 1
            if typed and quiet % 10 == 0:  # what is typed while less is busy may get lost
                os.write(master, typed)
            continue
        quiet = 0
        try:
            piece = os.read(master, 1 << 16)
        except OSError:
            break
        if not piece:
            break
        out += piece
        while waiting and (at := out.find(waiting[0][0].encode(), seen)) >= 0:
            seen = at + len(waiting[0][0])
            typed = waiting.pop(0)[1]
            os.write(master, typed)
    os.close(master)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Seen(status, out.decode("utf-8", "replace").replace("\r\n", "\n"))


def _login(slave: int) -> None:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    os.close(slave)
