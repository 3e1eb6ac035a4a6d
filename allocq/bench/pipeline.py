"""Programs joined by pipes, without a shell; what each one cost is taken from wait4."""

import contextlib
import os
import signal
import time
from collections.abc import Sequence

from ..errors import SourceError

_CHUNK = 1 << 16
_DEFAULTS = (signal.SIGPIPE, signal.SIGXFSZ)  # what Python ignores and a program does not


class Spent:
    """One run. wall, user, system: nanoseconds, user and system summed over the processes.

    output: what the last program printed; statuses: one a program, below zero for a signal;
    complaints: what all of them said on standard error.
    """

    __slots__ = ("complaints", "output", "statuses", "system", "user", "wall")

    def __init__(self) -> None:
        self.wall = self.user = self.system = 0
        self.output = b""
        self.statuses: list[int] = []
        self.complaints = b""


def find(program: str) -> str | None:
    """The absolute path of a program on PATH, or None. Relative places on PATH are passed over."""
    for place in os.environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(place, program)
        if os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def run(commands: Sequence[Sequence[str]]) -> Spent:
    """Run the programs side by side, each reading the one before; wait for all of them.

    The first word of each is its path. SourceError where one cannot be started.
    """
    spent = Spent()
    errors = os.memfd_create("errors", os.MFD_CLOEXEC)
    children: list[int] = []
    fds: list[int] = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
    begin = time.perf_counter_ns()
    try:
        for command in commands:
            read, write = os.pipe()
            fds += [read, write]
            children.append(_spawn(command, fds[0], write, errors))
            os.close(fds.pop(0))
            os.close(fds.pop())
        pieces = []
        while piece := os.read(fds[0], _CHUNK):
            pieces.append(piece)
        while children:
            pid, status, used = os.wait4(children[0], 0)
            children.pop(0)
            spent.statuses.append(os.waitstatus_to_exitcode(status))
            spent.user += round(used.ru_utime * 1e9)
            spent.system += round(used.ru_stime * 1e9)
        spent.wall = time.perf_counter_ns() - begin
        spent.output = b"".join(pieces)
        spent.complaints = os.pread(errors, _CHUNK, 0)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        for fd in (*fds, errors):
            os.close(fd)
    return spent


def _spawn(command: Sequence[str], stdin: int, stdout: int, stderr: int) -> int:
    actions = [
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
    ]
    try:
        return os.posix_spawn(
            command[0], [*command], os.environ, file_actions=actions, setsigdef=_DEFAULTS
        )
    except OSError as error:
        raise SourceError(f"cannot run {command[0]}: {error.strerror}") from None
