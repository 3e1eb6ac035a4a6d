"""The entry of the process: standard streams, one command line, the exit status."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from errno import ENOMEM
from pathlib import Path
from typing import NoReturn

CLOSED_PIPE, INTERRUPTED, FAILED = 141, 130, 2


def entry() -> NoReturn:
    """Run the process's command line and end the process."""
    status = _guarded()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            status = status or CLOSED_PIPE
        except OSError:
            status = status or FAILED
    os._exit(status)


def _guarded() -> int:
    """The one place where an exception becomes an exit status, whatever it is."""
    try:
        # The program in front blocks Ctrl-C while Python starts.
        sys.unraisablehook = end_if_interrupted
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        hold_standard_streams()
        from .cli.run import run

        return run(sys.argv[1:])
    except BrokenPipeError:
        return CLOSED_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED
    except BaseException as error:
        return _unexpected(error)


def _unexpected(error: BaseException) -> int:
    """One line for what nobody foresaw; with ALLOCQ_DEBUG=1 the traceback."""
    if os.environ.get("ALLOCQ_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
        return FAILED
    if _is_out_of_memory(error):
        message = "allocq: out of memory\n"
    elif isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] != "allocq":
        message = (
            f"allocq: {sys.executable} has no module {error.name}, which allocq needs\n"
            "hint: install allocq again, with its dependencies\n"
        )
    else:
        first = (str(error).splitlines() or [""])[0]
        message = (
            f"allocq: internal error: {type(error).__name__}: {first}\n"
            "hint: ALLOCQ_DEBUG=1 shows where; please report it\n"
        )
    with contextlib.suppress(OSError):  # nobody may be there to be told
        os.write(2, message.encode("utf-8", "backslashreplace"))
    return FAILED


def _is_out_of_memory(error: BaseException) -> bool:
    """Is it one of the ways that Python says so? The import system has two more."""
    return (
        isinstance(error, MemoryError | SystemError)
        or (isinstance(error, OSError) and error.errno == ENOMEM)
        or "failed to map segment" in str(error)
    )


def end_if_interrupted(error: sys.UnraisableHookArgs) -> None:
    """End on a Ctrl-C that arrives in a callback (importlib's, say), where Python would print and
    ignore it."""
    if error.exc_type is KeyboardInterrupt:
        os._exit(INTERRUPTED)
    sys.__unraisablehook__(error)


def hold_standard_streams() -> None:
    """Let no file get the number of a standard stream that is closed: what is written to that
    stream would go into the file. Using the stream stays an error."""
    for fd, useless in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(fd)
        except OSError:
            try:
                os.open(os.devnull, useless)
            except OSError:
                return
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def forget_current_directory() -> None:
    """Import nothing from where `python -m allocq` was run, unless allocq itself is there."""
    try:
        here = os.getcwd()
    except OSError:
        return
    if sys.path[:1] == [here] and Path(here) != Path(__file__).parents[1]:
        del sys.path[0]


if __name__ == "__main__":
    forget_current_directory()
    entry()
