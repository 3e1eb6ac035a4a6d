"""What top shows and what its keys do; knows nothing of terminals."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...analysis.board import Figures, Within
from ...analysis.diff import Key
from ...analysis.narrow import narrowed
from ...errors import AllocqError, OutputError, UsageError
from ...model import Filter
from ...options.commands import WORDS
from ...options.reader import Fault, Misread, read_words
from ...options.shared import FILTER_OPTIONS
from ...output.top import ORDERS, Callers, Page, Scene, lay_out, place_of
from ...times import parse_time
from ..arguments import read_filter
from ..nearest import options_of
from .callers import SECONDS, Taking
from .feed import Feed, default_name
from .prompt import Ask, Prompt

GROUPS = (None, "function", "file", "directory", "module")
_FAR = 10
_ALL = 1 << 30
_SCROLLING = {
    "up": (-1, ""),
    "k": (-1, ""),
    "down": (1, ""),
    "j": (1, ""),
    "page-up": (-1, "page"),
    "page-down": (1, "page"),
    "home": (-1, "all"),
    "end": (1, "all"),
}
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?")


@dataclass(slots=True)
class Choices:
    """What the command line asks for. seconds: between refreshes."""

    filter: Filter
    sort: str = "growth"
    reverse: bool = False
    by: str | None = None
    seconds: float = 2.0
    bytes: bool = False


def typed_filter(text: str) -> Filter:
    """The filter in a line like the words behind `allocq query`. UsageError."""
    try:
        words = shlex.split(text)
        values = read_words(words, FILTER_OPTIONS, (WORDS,))
    except ValueError as error:
        raise UsageError(f"invalid filter: {str(error).lower()}") from None
    except Misread as mistake:
        if mistake.fault is Fault.NO_VALUE:
            raise UsageError(f"{mistake.word} needs a value") from None
        if mistake.fault is Fault.NEEDLESS_VALUE:
            raise UsageError(f"{mistake.word} takes no value") from None
        raise UsageError(f"unknown option {mistake.word or text}") from None
    return read_filter(values)


class Viewer:
    """The state of the screen. ended: it was left with `q`; at_end: there is no later sample;
    stale: why the last reading failed."""

    def __init__(self, feed: Feed, choices: Choices, utf8: bool = True) -> None:
        self.ended = False
        self.paused = feed.position is not None
        self.at_end = False
        self.stale = ""
        self._feed = feed
        self._utf8 = utf8
        self._filter = choices.filter
        self._sort, self._reverse = choices.sort, choices.reverse
        self._by = choices.by
        self._seconds = choices.seconds
        self._bytes = choices.bytes
        self._within: Within = ()
        self._selected, self._first = 0, 0
        self._followed: tuple[Key, int] | None = None
        self._prompt: Prompt | None = None
        self._help = False
        self._message = ""
        self._rows = 1
        self._figures: Figures | None = None
        self._order: Sequence[int] = ()
        self._callers: Callers | None = None
        self._asked_for: tuple[Key, str | None, Within, Filter] | None = None
        self._taking: Taking | None = None
        self._given_up: list[Taking] = []

    @property
    def asked(self) -> Filter:
        """What is read: the filter, narrowed to the groups that are open. With sums, bounds are for
        these."""
        filter = self._filter.without_bounds() if self._by else self._filter
        for by, key in self._within:
            filter = narrowed(filter, by, key)
        return filter

    def refresh(self) -> None:
        """Take the next reading; if it cannot be, say so and keep what is shown."""
        try:
            self.at_end = not self._feed.advance(self.asked)
            if self.at_end:
                self.paused = True
                self._message = "this is the last sample"
            self.stale = ""
        except AllocqError as error:
            self.stale = _words_of(error)
            self.paused = self.paused or self._feed.position is not None
        self._figures = None

    @property
    def busy(self) -> bool:
        """Are stacks being taken?"""
        return self._taking is not None

    def look(self) -> None:
        """See how far the stacks are that are being taken."""
        self._given_up = [taking for taking in self._given_up if not taking.ended(0)]
        taking, callers = self._taking, self._callers
        if taking is None or callers is None:
            return
        callers.so_far = taking.seconds
        try:
            callers.taken = taking.look()
        except AllocqError as error:
            self._message = _words_of(error)
            self._taking = self._callers = None
        if callers.taken:
            self._taking = None

    def close(self) -> None:
        """End what takes stacks, and wait until it has removed what it made."""
        self._give_up()
        for taking in self._given_up:
            taking.ended()

    def _give_up(self) -> None:
        if self._taking:
            self._taking.end()
            self._given_up.append(self._taking)
            self._taking = None

    def say(self, message: str) -> None:
        """Show a message until a key is pressed."""
        self._message = message

    def page(self, lines: int, columns: int) -> Page:
        """What is on a screen of this size."""
        page = lay_out(self.scene(), lines, columns)
        self._first, self._rows = page.first, max(1, lines - 5)
        if self._callers:
            self._callers.first = page.scrolled
        return page

    def scene(self) -> Scene:
        """What is to be shown, in whatever size."""
        figures, order = self._shown()
        reading = self._feed.board.reading
        scene = Scene(
            figures,
            order,
            self._sort,
            self._reverse,
            self._selected,
            self._first,
            tuple((by, self._name(by, key)) for by, key in self._within),
            options_of(self._filter),
            self._seconds,
            paused=self.paused,
            replay=self._feed.position,
            stale=self.stale,
            message=self._message,
            prompt=(self._prompt.ask, self._prompt.text) if self._prompt else None,
            help=self._help,
            callers=self._callers,
            bytes=self._bytes,
            utf8=self._utf8,
        )
        if reading:
            scene.time, scene.host, scene.kernel = reading.time, reading.host, reading.kernel
            scene.profiling = reading.profiling
        return scene

    @staticmethod
    def _name(by: str, key: Key) -> str:
        return " ".join(filter(None, place_of(key, by)))

    def _shown(self) -> tuple[Figures, Sequence[int]]:
        """The figures and their order; the selection follows what was selected."""
        if self._figures is not None:
            return self._figures, self._order
        board = self._feed.board
        figures = board.figures(self._by, self._within)
        sort = "growth" if self._sort == "mark" and figures.mark is None else self._sort
        order: Sequence[int] = figures.order(sort, self._reverse)
        if self._by and self._filter.asks_bounds:
            sizes, calls = figures.bytes, figures.calls
            order = [at for at in order if self._filter.passes(sizes[at], calls[at])]
        self._figures, self._order = figures, order
        if self._followed is not None:
            followed = self._followed
            found = (i for i, at in enumerate(order) if self._identity(figures, at) == followed)
            self._selected = next(found, self._selected)
        self._selected = max(0, min(self._selected, len(order) - 1))
        return figures, order

    @staticmethod
    def _identity(figures: Figures, at: int) -> tuple[Key, int]:
        return figures.keys[at], 0 if figures.by else figures.places[at]

    def press(self, key: str) -> None:
        """Do what a key is for: a character, or a name like `up`, `enter`, `ctrl-u`."""
        if self._prompt:
            done = self._prompt.press(key)
            if done is None:
                return
            prompt, self._prompt = self._prompt, None
            if done:
                self._message = ""
                self._answer(prompt)
            return
        self._message = ""
        if self._help:
            self._help = False
            if key in ("q", "escape", "?", "h"):
                return
        if self._callers and self._in_callers(key, self._callers):
            return
        actions: dict[str, Callable[[], None]] = {
            "q": self._quit,
            "?": self._show_help,
            "h": self._show_help,
            "g": self._next_group,
            "enter": self._open,
            "backspace": self._leave,
            "escape": self._leave,
            "o": lambda: self._next_order(1),
            ">": lambda: self._next_order(1),
            "<": lambda: self._next_order(-1),
            "r": self._turn,
            "w": self._who_calls,
            "m": self._set_mark,
            " ": self._pause,
            "/": lambda: self._ask(Ask.FILTER),
            "s": lambda: self._ask(Ask.SAVE, default_name(self._time())),
            "t": lambda: self._ask(Ask.TIME),
            "up": lambda: self._move(-1),
            "k": lambda: self._move(-1),
            "down": lambda: self._move(1),
            "j": lambda: self._move(1),
            "page-up": lambda: self._move(-self._rows),
            "page-down": lambda: self._move(self._rows),
            "home": lambda: self._move(-len(self._order)),
            "end": lambda: self._move(len(self._order)),
            "left": lambda: self._step(-1),
            "right": lambda: self._step(1),
            "{": lambda: self._step(-_FAR),
            "}": lambda: self._step(_FAR),
        }
        if key not in actions:
            return
        try:
            actions[key]()
        except AllocqError as error:
            self._message = _words_of(error)
        self._figures = None

    def _time(self) -> float | None:
        """When what is shown was read; None for now."""
        reading = self._feed.board.reading
        frozen = self.paused or self._feed.position is not None
        return reading.time if reading and frozen else None

    def _quit(self) -> None:
        self.ended = True

    def _show_help(self) -> None:
        self._help = True

    def _ask(self, ask: Ask, text: str = "") -> None:
        if ask is Ask.TIME and self._feed.position is None:
            self._message = "t is for replays: allocq top --source DIR"
            return
        self._prompt = Prompt(ask, text)

    def _answer(self, prompt: Prompt) -> None:
        try:
            if prompt.ask is Ask.FILTER:
                self._set_filter(prompt.text)
            elif prompt.ask is Ask.TIME and prompt.text.strip():
                self._feed.jump(self.asked, self._moment(prompt.text.strip()))
            elif prompt.ask is Ask.SAVE:
                self._save(prompt.text)
        except AllocqError as error:
            self._message = _words_of(error)
        self._figures = None

    def _moment(self, text: str) -> float:
        """A time; `10:30` is of the day that is shown. UsageError."""
        reading = self._feed.board.reading
        of_day = reading and _CLOCK.fullmatch(text)
        return parse_time(text, reading.time if reading and of_day else time.time())

    def _save(self, path: str) -> None:
        if not path.strip():
            self._message = "nothing is saved"
            return
        try:
            self._feed.save(path, self.asked, not self.paused)
        except OutputError as error:
            self._message = str(error)  # its hint names options of the command line
        else:
            self._message = f"saved to {path}"

    def _set_filter(self, text: str) -> None:
        asked = typed_filter(text)
        said, filter = self._meant(asked, text)
        before = self._filter, self._within
        self._filter, self._within = filter, ()
        try:
            self._feed.ask(self.asked)
        except AllocqError:
            self._filter, self._within = before
            raise
        self._message = said
        self._followed, self._selected = None, 0

    def _meant(self, asked: Filter, text: str) -> tuple[str, Filter]:
        """The filter, or where it matches nothing the one that is probably meant, and what to say
        about that."""
        if not asked.items() or self._feed.matches(asked):
            return "", asked
        wider = asked.widened()
        if wider and self._feed.matches(wider):
            return "", wider
        if asked.items().keys() == {"words"}:
            search = replace(asked, words=(), regexps=asked.words, ignore_case=True)
            if self._feed.matches(search):
                return f"no tag has the name {text.strip()}: searched as a regexp", search
        return f"no tag matches {text.strip()}", asked

    def _next_group(self) -> None:
        at = GROUPS.index(self._by) if self._by in GROUPS else 0
        self._group_by(GROUPS[(at + 1) % len(GROUPS)])

    def _group_by(self, by: str | None) -> None:
        before, self._by = self.asked, by
        self._followed, self._selected = None, 0
        if self.asked != before:
            self._feed.ask(self.asked)

    def _open(self) -> None:
        figures, order = self._shown()
        if not order:
            return
        at = order[self._selected]
        if self._by is None:
            place = " ".join(place_of(figures.keys[at], None))
            self._message = f"{place}: {figures.bytes[at]} bytes in {figures.calls[at]} calls"
            return
        self._within = (*self._within, (self._by, figures.keys[at]))
        self._group_by(None)

    def _who_calls(self) -> None:
        """Take the stacks of what is selected."""
        figures, order = self._shown()
        if order:
            at = order[self._selected]
            self._take(figures.keys[at], figures.by, self._within, self._filter, live=False)

    def _take(self, key: Key, by: str | None, within: Within, filter: Filter, live: bool) -> None:
        self._give_up()
        self._callers = None
        self._taking = self._feed.take(key, by, within, filter, live)
        self._callers = Callers(self._taking.what, live, SECONDS)
        self._asked_for = key, by, within, filter

    def _in_callers(self, key: str, callers: Callers) -> bool:
        """Do what a key is for while the stacks are shown; False: it is for all screens."""
        if key in ("q", "escape", "backspace"):
            self._message = "no stacks were taken" if self._taking else ""
            self._give_up()
            self._callers = None
        elif key in ("w", "l") and self._asked_for:
            try:
                self._take(*self._asked_for, live=callers.live != (key == "l"))
            except AllocqError as error:
                self._message = _words_of(error)
        elif key in _SCROLLING:
            lines = {"page": self._rows, "all": _ALL}.get(_SCROLLING[key][1], 1)
            callers.first = max(0, callers.first + _SCROLLING[key][0] * lines)
        else:
            return key not in ("?", "h", " ")
        return True

    def _leave(self) -> None:
        if not self._within:
            return
        by, key = self._within[-1]
        before, self._within = self.asked, self._within[:-1]
        self._by = by
        if self.asked != before:
            self._feed.ask(self.asked)
        self._followed = key, 0

    def _next_order(self, by: int) -> None:
        orders = [name for name in ORDERS if name != "mark" or self._feed.board.has_mark]
        at = orders.index(self._sort) if self._sort in orders else 0
        self._sort = orders[(at + by) % len(orders)]
        self._followed, self._selected = None, 0

    def _turn(self) -> None:
        self._reverse = not self._reverse
        self._followed, self._selected = None, 0

    def _set_mark(self) -> None:
        self._feed.mark()
        self._message = "marked: +MARK counts from here"

    def _pause(self) -> None:
        self.paused = not self.paused

    def _move(self, by: int) -> None:
        figures, order = self._shown()
        if not order:
            return
        self._selected = max(0, min(self._selected + by, len(order) - 1))
        # At the top it stays there, whatever comes up.
        at = order[self._selected]
        self._followed = self._identity(figures, at) if self._selected else None

    def _step(self, by: int) -> None:
        if self._feed.position is None:
            self._message = "the arrows step through a replay: allocq top --source DIR"
            return
        self.paused = True
        if not self._feed.step(self.asked, by):
            self._message = f"this is the {'first' if by < 0 else 'last'} sample"


def _words_of(error: AllocqError) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)
