"""Process entry: standard streams, one command line, the exit status."""

# `python -m` looks for modules in the current directory first, __future__ among them. Both of these
# are loaded already.
import os
import sys


def forget_current_directory() -> None:
    """Import nothing from where `python -m allocq` was run, unless allocq itself is there."""
    try:
        here = os.getcwd()
    except OSError:
        return
    if sys.path[:1] == [here] and here != os.path.dirname(os.path.dirname(__file__)):
        del sys.path[0]


if __name__ == "__main__":
    forget_current_directory()

import _thread  # noqa: E402
import contextlib  # noqa: E402
import signal  # noqa: E402
import time  # noqa: E402
from errno import ENOMEM  # noqa: E402
from types import FrameType  # noqa: E402
from typing import NoReturn  # noqa: E402

CLOSED_PIPE, INTERRUPTED, FAILED = 141, 130, 2
PATIENCE = 0.1
_STACK = 256 << 10


def entry() -> NoReturn:
    """Run the command line and end the process with its exit status."""
    try:
        status = _flushed(_guarded())
    except BaseException:  # a Ctrl-C between two steps
        status = INTERRUPTED
    os._exit(status)


def _flushed(status: int) -> int:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            status = status or CLOSED_PIPE
        except OSError:
            status = status or FAILED
    return status


def _guarded() -> int:
    """Run the command line; turn any exception into an exit status."""
    try:
        sys.unraisablehook = end_if_unraisable
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)
        # The native program blocks Ctrl-C while Python starts.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        hold_standard_streams()
        with contextlib.suppress(OSError, RuntimeError):  # no file or no thread more
            watch_interrupts()
        from .cli.run import run

        return run(sys.argv[1:])
    except BrokenPipeError:
        return CLOSED_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED
    except BaseException as error:
        return INTERRUPTED if _is_interrupt(error) else _unexpected(error)


def _is_interrupt(error: BaseException) -> bool:
    """Whether a Ctrl-C is behind this exception: Python 3.11 raises a RuntimeError for one that
    comes while a class is made."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, KeyboardInterrupt):
        behind = behind.__cause__ or behind.__context__
    return behind is not None


def interrupt(number: int, frame: FrameType | None) -> None:
    """Unwind at the first Ctrl-C, so that nothing is left behind; end at the next one."""
    signal.signal(number, end_at_once)
    raise KeyboardInterrupt


def end_at_once(number: int, frame: FrameType | None) -> None:
    """End, whatever is going on."""
    os._exit(INTERRUPTED)


def watch_interrupts() -> None:
    """Have a Ctrl-C answered while the engine works: Python's own handler waits until it returns.

    Whoever cannot be ended like this has another handler in the meantime.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)

    def watch() -> None:
        with contextlib.suppress(OSError):
            while number := os.read(read, 1):
                if number[0] == signal.SIGINT:
                    time.sleep(PATIENCE)
                    if signal.getsignal(signal.SIGINT) is interrupt:
                        os._exit(INTERRUPTED)

    _thread.stack_size(_STACK)
    _thread.start_new_thread(watch, ())
    _thread.stack_size(0)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)


def _unexpected(error: BaseException) -> int:
    """Report an unexpected exception in one line, or as a traceback with ALLOCQ_DEBUG=1."""
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
            "hint: ALLOCQ_DEBUG=1 prints a traceback; please report it\n"
        )
    with contextlib.suppress(OSError):  # standard error may be closed
        os.write(2, message.encode("utf-8", "backslashreplace"))
    return FAILED


# What the dynamic loader says when memory runs out (glibc, elf/dl-load.c, dl-version.c, dl-tls.c).
_LOADER_OUT_OF_MEMORY = (
    "cannot allocate",
    "cannot change memory protections",
    "cannot apply additional memory protection",
    "cannot create",
    "cannot extend global scope",
    "cannot map zero-fill pages",
    "failed to map segment",
    "out of memory",
)


def _is_out_of_memory(error: BaseException) -> bool:
    """Is it one of the ways that Python says so? An import fails with the loader's words."""
    if isinstance(error, ImportError):
        words = str(error).lower()
        return any(known in words for known in _LOADER_OUT_OF_MEMORY)
    return isinstance(error, MemoryError | SystemError) or (
        isinstance(error, OSError) and error.errno == ENOMEM
    )


def end_if_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """End on an exception in a callback or a finalizer (importlib's, say), where Python would print
    a traceback and go on."""
    error = unraisable.exc_value
    if error is None or isinstance(error, KeyboardInterrupt):
        os._exit(INTERRUPTED)
    os._exit(_unexpected(error))


def hold_standard_streams() -> None:
    """Occupy the descriptors of closed standard streams, so that no file gets their number and
    receives what is written to them. Using such a stream remains an error."""
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


if __name__ == "__main__":
    entry()
