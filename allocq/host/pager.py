"""Shows a long answer with a pager, as git does."""

import contextlib
import os
import re
import signal
from collections.abc import Callable, Mapping

from .processes import find_program

DEFAULT = "less"
_PLAIN_WORDS = re.compile(r"[\w@%+=:,./ -]+")
_DEFAULTS = (signal.SIGPIPE, signal.SIGXFSZ)  # Python ignores these; programs expect the default


def chosen(environment: Mapping[str, str]) -> str | None:
    """The pager that ALLOCQ_PAGER or PAGER names; "" for none, None where neither is set."""
    for name in ("ALLOCQ_PAGER", "PAGER"):
        if name in environment:
            value = environment[name].strip()
            return "" if value == "cat" else value
    return None


def command(value: str) -> list[str] | None:
    """The program and its arguments; None if there is no such program.

    Plain words are run as they are. Anything else is a line of shell, as PAGER is everywhere.
    """
    if not _PLAIN_WORDS.fullmatch(value):
        return ["/bin/sh", "-c", value]
    words = value.split()
    program = find_program(words[0])
    return [program, *words[1:]] if program else None


def environment_of(base: Mapping[str, str], root: bool) -> dict[str, str]:
    """The environment of the pager: less quits where a screen is enough, shows color and leaves the
    screen as it is. A less that root runs starts no other program and writes no file."""
    kept = {"LESS": "FRX", "LV": "-c"}
    if root:
        kept["LESSSECURE"] = "1"
    return {**kept, **base}


def has_keys(fd: int) -> bool:
    """Is it the terminal that controls this process, so that a pager gets what is typed there?"""
    try:
        os.tcgetpgrp(fd)
    except OSError:
        return False
    return True


class Pager:
    """A pager that starts with the first output. complain: is told what is wrong with it."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._child = 0
        self._pipe = -1

    def start(self, fd: int) -> int:
        """Start it on this terminal; returns the descriptor to write to: `fd` without a pager."""
        value = chosen(os.environ)
        if value == "":
            return fd
        argv = command(value or DEFAULT)
        if argv is None:
            if value:
                self._complain(f"cannot find the pager {value}")
            return fd
        read, write = os.pipe()
        try:
            actions = [(os.POSIX_SPAWN_DUP2, read, 0), (os.POSIX_SPAWN_DUP2, fd, 1)]
            self._child = os.posix_spawn(
                argv[0],
                argv,
                environment_of(os.environ, os.geteuid() == 0),
                file_actions=actions,
                setsigdef=_DEFAULTS,
            )
        except OSError as error:
            os.close(write)
            self._complain(f"cannot run the pager {argv[0]}: {error.strerror}")
            return fd
        finally:
            os.close(read)
        self._pipe = write
        return write

    def finish(self) -> None:
        """Wait until it is left; Ctrl-C is the pager's until then."""
        if self._pipe < 0:
            return
        kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            os.close(self._pipe)
            self._pipe = -1
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._child, 0)
        finally:
            signal.signal(signal.SIGINT, kept or signal.SIG_DFL)
