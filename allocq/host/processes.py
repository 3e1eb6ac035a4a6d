"""A command run as a child: no shell, signals passed on, always waited for."""

import contextlib
import signal
import subprocess

from ..errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_PATIENCE = 0.3


class Ended(BaseException):
    """A signal asked this process to end; the child got it too and was waited for."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(argv: "Sequence[str]") -> int:
    """Run a command with our standard streams; its exit status, or -N for a signal.

    SIGINT and SIGTERM reach the child as well, and end this with Ended when it has ended. Raises
    UsageError where it cannot be started.
    """
    signals = Signals()
    try:
        child = subprocess.Popen(argv)
    except OSError as error:
        raise UsageError(f"cannot run {argv[0]}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"cannot run the command: {error}") from None
    else:
        status = _wait(child, signals)
    finally:
        signals.restore()
    if signals.caught:
        raise Ended(signals.caught[0])
    return status


class Signals:
    """SIGINT and SIGTERM, noted; while `waiting`, they interrupt. Those ignored stay ignored."""

    def __init__(self) -> None:
        self.caught: list[int] = []
        self.waiting = False
        self._kept = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            if (kept := signal.getsignal(number)) != signal.SIG_IGN:
                self._kept[number] = kept
                signal.signal(number, self._catch)

    def _catch(self, number: int, frame: "FrameType | None") -> None:
        self.caught.append(number)
        if self.waiting:
            raise InterruptedError

    def restore(self) -> None:
        """Put the handlers back."""
        for number, kept in self._kept.items():
            signal.signal(number, kept or signal.SIG_DFL)


def _wait(child: "subprocess.Popen[bytes]", signals: Signals) -> int:
    """Wait; the first signal is passed on, from the second on the child is killed."""
    passed = 0
    while True:
        try:
            signals.waiting = True
            if len(signals.caught) <= passed:
                return child.wait()
            if not passed and signals.caught[0] == signal.SIGINT:
                # A terminal sends Ctrl-C to the child as well; it need not get it twice.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return child.wait(_PATIENCE)
            signals.waiting = False
            child.send_signal(signal.SIGKILL if passed else signals.caught[0])
            passed = len(signals.caught)
        except InterruptedError:
            signals.waiting = False


def describe(status: int) -> str:
    """How it ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
