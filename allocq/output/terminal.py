"""Facts about the terminal: width, color, character set."""

import os
import re
from collections.abc import Mapping

from ..core.table import printable as printable

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


def _columns(char: str) -> int:
    if char.isascii():
        return 1
    import unicodedata  # here, for most names are ASCII

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
    """The end of `text`, which tells most of a path, in so many columns."""
    return text if width(text) <= columns else ".." + tail(text, columns - 2)


def cut(text: str, columns: int) -> str:
    """The beginning of `text`, and `..` for the rest, in so many columns."""
    return text if width(text) <= columns else head(text, columns - 2) + ".."


def pad(text: str, columns: int) -> str:
    """`text` with blanks behind it up to so many columns."""
    return text + " " * (columns - width(text))


def wants_color(when: str, terminal: bool) -> bool:
    """Colorize? when: auto, always or never; NO_COLOR turns auto off."""
    return when == "always" or (when == "auto" and terminal and not os.environ.get("NO_COLOR"))


def terminal_width() -> int:
    """The width of the terminal on standard output in columns; COLUMNS overrides it."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and len(columns) < 6 and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:  # no terminal, or a seccomp filter forbids to ask it
        return 80


def speaks_utf8(environment: Mapping[str, str]) -> bool:
    """Does the user's locale use UTF-8?

    In the C locale Python sets LC_CTYPE=C.UTF-8 for itself (PEP 538), which does not count.
    """
    ctype = environment.get("LC_ALL") or environment.get("LC_CTYPE") or ""
    language = environment.get("LANG") or ""
    if not environment.get("LC_ALL") and ctype == "C.UTF-8" and language in ("", "C", "POSIX"):
        return False
    return "utf8" in (ctype or language).lower().replace("-", "")
