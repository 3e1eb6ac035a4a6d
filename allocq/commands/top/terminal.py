"""The terminal of top: keys in, lines out, signals; whatever happens, it is left as it was."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ...output.top import Page, Style

if TYPE_CHECKING:
    import curses

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
_WAKING = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL
_SECONDS_TO_END = 1.0
_PLAINLY = "-b prints plainly, without a terminal"
_CONTROL = {
    "\n": "enter",
    "\r": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x1b": "escape",
    "\x15": "ctrl-u",
    "\x17": "ctrl-w",
    "\x0c": "ctrl-l",
}
_NAMES = {
    "KEY_UP": "up",
    "KEY_DOWN": "down",
    "KEY_LEFT": "left",
    "KEY_RIGHT": "right",
    "KEY_PPAGE": "page-up",
    "KEY_NPAGE": "page-down",
    "KEY_HOME": "home",
    "KEY_END": "end",
    "KEY_ENTER": "enter",
    "KEY_BACKSPACE": "backspace",
    "KEY_DC": "backspace",
}
_ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end"}


def need_terminal() -> ModuleType:
    """The curses module, set up for this terminal. UsageError, in one line, where there is none
    that a screen can be shown on."""
    for fd, name in ((1, "output"), (0, "input")):
        if not os.isatty(fd):
            raise UsageError(f"standard {name} is not a terminal", _PLAINLY)
    try:
        import curses
    except ImportError:
        raise UsageError(
            "this Python has no curses module, which the screen needs",
            f"install it (python3-curses on some distributions); {_PLAINLY}",
        ) from None
    name = os.environ.get("TERM", "")
    if not name:
        raise UsageError("TERM is not set", _PLAINLY)
    try:
        curses.setupterm(name, 1)
    except (curses.error, ValueError):
        raise UsageError(f"TERM={name}: unknown terminal", _PLAINLY) from None
    if not curses.tigetstr("cup"):
        raise UsageError(f"TERM={name}: the cursor of this terminal cannot be moved", _PLAINLY)
    return curses


class EndedError(KeyboardInterrupt):
    """A signal asked for the end while something took its time, a regular expression say. It passes
    through the engine as Ctrl-C does."""


class Terminal:
    """The screen while top has it. ended_by: the signal that ended it, 0 for none."""

    def __init__(self, curses: Any, color: bool) -> None:
        self.ended_by = 0
        self._curses = curses
        self._color = color
        self._stop = self._again = False
        self._read, self._write = os.pipe()
        for fd in (self._read, self._write):
            os.set_blocking(fd, False)
        self._screen: curses.window
        self._keys = {getattr(curses, name): key for name, key in _NAMES.items()}

    def _enter(self) -> None:
        curses = self._curses
        with contextlib.suppress(AttributeError):
            curses.set_escdelay(100)
        self._screen = curses.initscr()
        curses.noecho()
        curses.cbreak()
        curses.nonl()
        curses.typeahead(-1)  # no look for keys in the middle of an update
        self._screen.keypad(True)
        self._screen.nodelay(True)
        self._note = curses.A_BOLD
        if self._color:
            with contextlib.suppress(curses.error):
                curses.start_color()
                curses.use_default_colors()
                if curses.has_colors():
                    curses.init_pair(1, curses.COLOR_YELLOW, -1)
                    self._note = curses.color_pair(1)
        self._cursor(False)

    def _cursor(self, seen: bool) -> None:
        with contextlib.suppress(self._curses.error):  # many terminals have no such thing
            self._curses.curs_set(1 if seen else 0)

    def on_signal(self, number: int, _: FrameType | None) -> None:
        """Note a signal; `wait` ends."""
        if number in _ENDING:
            self.ended_by = self.ended_by or number
            signal.setitimer(signal.ITIMER_REAL, _SECONDS_TO_END / 3)
        elif number == signal.SIGTSTP:
            self._stop = True
        elif number == signal.SIGCONT:
            self._again = True
        with contextlib.suppress(OSError):
            os.write(self._write, b"!")

    def size(self) -> tuple[int, int]:
        """(lines, columns) now."""
        curses = self._curses
        try:
            columns, lines = os.get_terminal_size(1)
        except OSError:
            lines = columns = 0
        if lines < 1 or columns < 1:  # a serial line does not know
            return curses.LINES, curses.COLS
        if (lines, columns) != self._screen.getmaxyx():
            with contextlib.suppress(curses.error):
                curses.resizeterm(lines, columns)
            self._screen.clear()
        at_most: tuple[int, int] = self._screen.getmaxyx()
        return min(lines, at_most[0]), min(columns, at_most[1])

    def draw(self, page: Page) -> None:
        """Show a page; not where the terminal takes nothing, as after Ctrl-S: that would wait, and
        no signal be answered."""
        if not select.select((), (1,), (), 0)[1]:
            return
        screen, error = self._screen, self._curses.error
        screen.erase()
        for number, line in enumerate(page.lines):
            with contextlib.suppress(error):  # the last cell of the screen
                screen.move(number, 0)
                for text, style in line:
                    screen.addstr(self._encoded(text), self._attributes(style))
        with contextlib.suppress(error):
            if page.cursor:
                screen.move(*page.cursor)
            self._cursor(page.cursor is not None)
            screen.refresh()

    def _encoded(self, text: str) -> bytes:
        return text.replace("\0", "").encode(self._screen.encoding, "backslashreplace")

    def _attributes(self, style: int) -> int:
        curses = self._curses
        found = curses.A_NORMAL
        if style & Style.BOLD:
            found |= curses.A_BOLD
        if style & Style.REVERSE:
            found |= curses.A_REVERSE
        if style & Style.NOTE:
            found |= self._note
        return int(found)

    def again(self) -> None:
        """Draw everything anew at the next refresh, whatever else wrote to the terminal."""
        self._screen.clearok(True)

    def wait(self, seconds: float | None) -> list[str]:
        """The keys that are pressed within this time, in order; it ends early with the first, or
        with a signal. None: however long it takes."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self._read, select.POLLIN)
        limit = None if seconds is None else max(0, round(seconds * 1000 + 0.5))
        events = dict(poll.poll(limit))
        if self._read in events:
            with contextlib.suppress(OSError):
                os.read(self._read, 4096)
        if events.get(0, 0) & _GONE or (0 in events and not _is_there()):
            self.ended_by = self.ended_by or signal.SIGHUP
        if self.ended_by:
            return []
        if self._stop:
            self._stop = False
            self._pause()
        if self._again:
            self._again = False
            self._come_back()
        return joined(self._typed()) if 0 in events else []

    def _typed(self) -> Iterator[str]:
        """All keys that wait."""
        for _ in range(4096):
            try:
                key = self._screen.get_wch()
            except self._curses.error:
                return
            if isinstance(key, int):
                if key in self._keys:
                    yield self._keys[key]
            elif key in _CONTROL:
                yield _CONTROL[key]
            elif key.isprintable():
                yield key

    def _pause(self) -> None:
        """Stop like any program on Ctrl-Z, with the terminal as it was."""
        self._leave()
        kept = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, kept)
        self._again = True

    def _come_back(self) -> None:
        with contextlib.suppress(self._curses.error):
            self._curses.endwin()
            self._screen.refresh()
        self.again()

    def _leave(self) -> None:
        error = self._curses.error
        with contextlib.suppress(termios.error):
            # Goes on after Ctrl-S: only what TCOOFF stopped is started by TCOON.
            termios.tcflow(1, termios.TCOOFF)
            termios.tcflow(1, termios.TCOON)
        with contextlib.suppress(error):
            # Where there is no second screen, the prompt comes on this line.
            self._screen.move(self._screen.getmaxyx()[0] - 1, 0)
            self._screen.clrtoeol()
            self._screen.refresh()
        with contextlib.suppress(error):
            self._cursor(True)
            self._curses.endwin()


def joined(keys: Iterable[str]) -> list[str]:
    """The keys, with arrows for what terminals send of these that are in another mode than TERM
    says."""
    found: list[str] = []
    for key in keys:
        if key in _ARROWS and found[-1:] in (["["], ["O"]) and found[-2:-1] == ["escape"]:
            found[-2:] = [_ARROWS[key]]
        else:
            found.append(key)
    return found


def _is_there() -> bool:
    """Is the terminal still there?"""
    try:
        termios.tcgetattr(0)
    except (termios.error, OSError):
        return False
    return True


def _give_up(*_: object) -> None:
    raise EndedError


class _Patience:
    """Ends the process if it does not end by itself after a signal: while it writes to a terminal
    that nobody reads, say, or waits for the kernel."""

    def __init__(self, last_words: bytes) -> None:
        self._last_words = last_words
        self._modes = termios.tcgetattr(0)
        self._done = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while number := os.read(self._read, 1):
            if number[0] in _ENDING:
                time.sleep(_SECONDS_TO_END)
                if not self._done:
                    self._end(128 + number[0])
        os.close(self._read)

    def _end(self, status: int) -> None:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(0, termios.TCSANOW, self._modes)
        if select.select((), (1,), (), 0)[1]:
            with contextlib.suppress(OSError):
                os.write(1, self._last_words)
        os._exit(status)

    def close(self) -> None:
        self._done = True
        signal.set_wakeup_fd(self._before)
        os.close(self._write)


@contextlib.contextmanager
def on_terminal(curses: ModuleType, color: bool) -> Iterator[Terminal]:
    """Have the terminal, and give it back."""
    terminal = Terminal(curses, color)
    kept = {}
    patience = _Patience(curses.tigetstr("rmcup") or b"")
    try:
        # curses leaves alone what has a handler.
        for number in (*_ENDING, *_WAKING):
            if signal.getsignal(number) is not signal.SIG_IGN:
                kept[number] = signal.signal(number, terminal.on_signal)
        kept[signal.SIGALRM] = signal.signal(signal.SIGALRM, _give_up)
        try:
            terminal._enter()
            yield terminal
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            terminal._leave()
    finally:
        patience.close()
        for number, handler in kept.items():
            signal.signal(number, handler or signal.SIG_DFL)
