"""Facts about the terminal: width, color, character set."""

import errno
import os
from collections.abc import Mapping

from ..core.table import printable as printable


def fit(text: str, width: int) -> str:
    """The last `width` columns of `text`: the end of a path says the most."""
    return text if len(text) <= width else ".." + text[len(text) - width + 2 :]


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
    except OSError as error:
        assert error.errno in (errno.ENOTTY, errno.EINVAL, errno.EBADF)
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
