"""What has to happen before a signal ends the process, and what none may interrupt."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def done_at_the_end(do: Callable[[], None]) -> Iterator[None]:
    """Do this at the end, and before SIGTERM or SIGHUP end the process. A Ctrl-C becomes a
    KeyboardInterrupt, however long that takes."""

    def end(number: int, _: FrameType | None) -> None:
        do()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    kept = {}
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            if signal.getsignal(number) == signal.SIG_DFL:
                kept[number] = signal.signal(number, end)
        if callable(signal.getsignal(signal.SIGINT)):
            kept[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        with signals_held():
            do()
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Let no signal come to this thread between a few steps that belong together."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *_ENDING))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
