"""What a terminal can show: its width, its colors, its letters."""

import errno
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def printable(text: str) -> str:
    """`text` with what a terminal could act on, or cannot show, as escapes (\\x1b)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def fit(text: str, width: int) -> str:
    """The end of `text`, which tells most of a path, in `width` columns."""
    return text if len(text) <= width else ".." + text[len(text) - width + 2 :]


def wants_color(when: str, terminal: bool) -> bool:
    """Is there to be color? when: auto, always or never; NO_COLOR speaks for auto."""
    return when == "always" or (when == "auto" and terminal and not posix.environ.get(b"NO_COLOR"))


def terminal_width() -> int:
    """Columns of the terminal on standard output; COLUMNS has the last word."""
    said = posix.environ.get(b"COLUMNS", b"")
    if said.isdigit() and len(said) < 6 and int(said) > 0:
        return int(said)
    try:
        return posix.get_terminal_size(1).columns or 80
    except OSError as error:
        assert error.errno in (errno.ENOTTY, errno.EINVAL, errno.EBADF)
        return 80


def speaks_utf8(environment: "Mapping[str, str]") -> bool:
    """Is the user's locale a UTF-8 one?

    Where it is C, Python sets LC_CTYPE=C.UTF-8 for itself (PEP 538): that is not the user's.
    """
    said = environment.get("LC_ALL") or environment.get("LC_CTYPE") or ""
    language = environment.get("LANG") or ""
    if not environment.get("LC_ALL") and said == "C.UTF-8" and language in ("", "C", "POSIX"):
        return False
    return "utf8" in (said or language).lower().replace("-", "")
