"""Facts about the terminal: width, color, character set."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from ..core.table import printable as printable
from ..core.under_watch import is_watched

_ODD = re.compile(rb"[^ -~\n\t]")
_PIECES = re.compile(r"[\n\t]|[^\n\t]+")


def printable_lines(data: bytes) -> bytes:
    """Lines of text with what a terminal acts on as escapes, but for newlines and tabs."""
    if not _ODD.search(data):
        return data
    text = data.decode("utf-8", "surrogateescape")
    pieces = (piece if piece in "\n\t" else printable(piece) for piece in _PIECES.findall(text))
    return "".join(pieces).encode("utf-8", "surrogateescape")


def width(text: str) -> int:
    """The columns that a terminal shows `text` in: East Asian wide characters take two, combining
    ones none."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


@lru_cache(maxsize=1024)
def _columns(char: str) -> int:
    if char.isascii():
        return 1
    import unicodedata  # here, because most names are ASCII

    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def head(text: str, columns: int) -> str:
    """As much of the beginning of `text` as fits."""
    if text.isascii():
        return text[: max(columns, 0)]
    for end, char in enumerate(text):
        columns -= _columns(char)
        if columns < 0:
            return text[:end]
    return text


def tail(text: str, columns: int) -> str:
    """As much of the end of `text` as fits; it does not begin with half a character."""
    if text.isascii():
        return text[len(text) - max(columns, 0) :] if columns < len(text) else text
    start = len(text)
    for at in range(len(text) - 1, -1, -1):
        taken = _columns(text[at])
        columns -= taken
        if columns < 0:
            break
        if taken:
            start = at
    return text[start:]


def fit(text: str, columns: int) -> str:
    """The end of `text`, the telling part of a path, in at most `columns` columns."""
    return text if width(text) <= columns else ".." + tail(text, columns - 2)


def cut(text: str, columns: int) -> str:
    """The beginning of `text`, and `..` for the rest, in at most `columns` columns."""
    return text if width(text) <= columns else head(text, columns - 2) + ".."


def pad(text: str, columns: int) -> str:
    """`text`, padded with blanks to `columns` columns."""
    return text + " " * (columns - width(text))


# Between these a line does not break: a number and its unit, an option and its value.
_TOGETHER = re.compile(r"(?<!\S)([+-]?[0-9][0-9,.]*[KMGTPE]?%?|--?[a-z][a-z-]*) (?=[\w(])")


def wrapped(text: str, columns: int, later: int = 2) -> list[str]:
    """`text` in lines of at most `columns` columns; the first line keeps its blanks, the later ones
    are indented by as many if there is room."""
    import textwrap  # few answers have a sentence that is too long

    indent = text[: len(text) - len(text.lstrip())]
    lines = textwrap.wrap(
        _TOGETHER.sub("\\1\0", text.strip()),
        max(1, columns),
        initial_indent=indent if len(indent) < columns else "",
        subsequent_indent=" " * later if columns > later + 18 else "",
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in lines] or [text]


def is_dumb() -> bool:
    """Does the terminal know no more than text?"""
    return os.environ.get("TERM") == "dumb"


def wants_color(when: str, terminal: bool) -> bool:
    """Colorize? when: auto, always or never; NO_COLOR and TERM=dumb turn auto off."""
    plain = not terminal or is_dumb() or os.environ.get("NO_COLOR")
    return when == "always" or (when == "auto" and not plain)


def terminal_width() -> int:
    """The width of the terminal on standard output in columns; COLUMNS overrides it."""
    return _set("COLUMNS") or _size()[0] or 80


def terminal_height() -> int:
    """The lines of the terminal on standard output; LINES overrides them."""
    return _set("LINES") or _size()[1] or 24


def _set(name: str) -> int:
    """A positive number in the environment, or 0."""
    value = os.environ.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else 0


def _size() -> tuple[int, int]:
    try:
        return os.get_terminal_size(1)
    except OSError:  # no terminal, or a seccomp filter forbids to ask it
        return 0, 0


@dataclass(frozen=True, slots=True)
class Screen:
    """Where the answer is shown. terminal: on one; watched: by watch(1), in its pipe."""

    terminal: bool
    watched: bool = False

    @property
    def people(self) -> bool:
        """Is it read by a person, and not by a program?"""
        return self.terminal or self.watched

    @property
    def width(self) -> int | None:
        """Columns; None where lines may be of any length."""
        return terminal_width() if self.people else None

    @property
    def height(self) -> int:
        """Lines that fit without scrolling: a prompt follows, or watch(1) has a title."""
        return max(4, terminal_height() - (2 if self.watched else 1))


def screen_of(fd: int) -> Screen:
    """The facts about an output descriptor."""
    terminal = os.isatty(fd)
    return Screen(terminal, not terminal and fd == 1 and is_watched())


def speaks_utf8(environment: Mapping[str, str]) -> bool:
    """Does the user's locale use UTF-8?

    In the C locale Python sets LC_CTYPE=C.UTF-8 for itself (PEP 538), which does not count.
    """
    ctype = environment.get("LC_ALL") or environment.get("LC_CTYPE") or ""
    language = environment.get("LANG") or ""
    if not environment.get("LC_ALL") and ctype == "C.UTF-8" and language in ("", "C", "POSIX"):
        return False
    return "utf8" in (ctype or language).lower().replace("-", "")
