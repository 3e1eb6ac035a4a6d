"""Runs child processes without a shell and waits for them.

`run` shares the standard streams and forwards signals; `run_pipeline` connects programs by pipes
and measures them.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType

from ..errors import SourceError, UsageError

_PATIENCE = 0.3
_CHUNK = 1 << 16
_SHELL = frozenset(" |&;<>$*")
_DEFAULTS = (signal.SIGPIPE, signal.SIGXFSZ)  # Python ignores these; programs expect the default


class Ended(BaseException):
    """This process got SIGINT or SIGTERM; the child got it too and has ended."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(argv: Sequence[str]) -> int:
    """Run a command with our standard streams; returns its exit status, or -N for signal N.

    SIGINT, SIGTERM and SIGHUP are forwarded, and raise Ended once the child has ended. Raises
    UsageError if the command cannot be started.
    """
    signals = Signals()
    try:
        child = subprocess.Popen(argv)
    except OSError as error:
        raise _cannot_run(argv[0], error) from None
    except ValueError as error:
        raise UsageError(f"cannot run the command: {error}") from None
    else:
        status = _wait(child, signals)
    finally:
        signals.restore()
    if signals.caught:
        raise Ended(signals.caught[0])
    return status


def _cannot_run(name: str, error: OSError) -> UsageError:
    if not name:
        return UsageError("cannot run '': the name of the command is empty")
    hint = ""
    if isinstance(error, FileNotFoundError) and ("/" not in name or _SHELL.intersection(name)):
        hint = "there is no shell: builtins, pipes and redirections need sh -c '...'"
    return UsageError(f"cannot run {name}: {error.strerror}", hint)


class Signals:
    """Records SIGINT, SIGTERM and SIGHUP; while `waiting`, the first one interrupts. Ignored ones
    stay ignored."""

    def __init__(self) -> None:
        self.caught: list[int] = []
        self.waiting = False
        self._kept = {}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if (kept := signal.getsignal(number)) != signal.SIG_IGN:
                self._kept[number] = kept
                signal.signal(number, self._catch)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.caught.append(number)
        if self.waiting:
            self.waiting = False  # two at once must not interrupt what answers the first
            raise InterruptedError

    def restore(self) -> None:
        """Restore the previous handlers."""
        for number, kept in self._kept.items():
            signal.signal(number, kept or signal.SIG_DFL)


def _wait(child: subprocess.Popen[bytes], signals: Signals) -> int:
    """Wait for the child; forward the first signal, kill the child at the second."""
    passed = 0
    while True:
        try:
            signals.waiting = True
            if len(signals.caught) <= passed:
                return child.wait()
            if not passed and signals.caught[0] == signal.SIGINT:
                # A terminal sends Ctrl-C to the child too: do not send it twice.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return child.wait(_PATIENCE)
            signals.waiting = False
            child.send_signal(signal.SIGKILL if passed else signals.caught[0])
            passed = len(signals.caught)
        except InterruptedError:
            signals.waiting = False


def describe(status: int) -> str:
    """An exit status, or -N for signal N, in words."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


@dataclass(slots=True)
class Spent:
    """One run of a pipeline. wall, user, system: nanoseconds, the latter two over all processes.

    output: standard output of the last program; statuses: one per program, -N for signal N;
    complaints: standard error of all programs.
    """

    wall: int = 0
    user: int = 0
    system: int = 0
    output: bytes = b""
    statuses: list[int] = field(default_factory=list)
    complaints: bytes = b""


def find_program(program: str) -> str | None:
    """The absolute path of a program, or None. Relative directories in PATH are skipped."""
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which(program, path=os.pathsep.join(filter(os.path.isabs, places)))


def run_pipeline(commands: Sequence[Sequence[str]]) -> Spent:
    """Run the programs connected by pipes and wait for all of them.

    The first word of each command is a path. SourceError if one cannot be started.
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
