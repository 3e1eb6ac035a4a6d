"""The Test Anything Protocol, version 13, as used by kselftest and prove."""

from collections.abc import Sequence
from enum import StrEnum

from .terminal import printable

VERSION = "TAP version 13"


class TapResult(StrEnum):
    """How a test ended."""

    OK = "ok"
    NOT_OK = "not ok"
    SKIP = "skip"
    UNDECIDED = "undetermined"


def plan(tests: int) -> str:
    """The version line and the number of tests."""
    return f"{VERSION}\n1..{tests}\n"


def nothing(why: str) -> str:
    """A whole document without tests."""
    return f"{VERSION}\n1..0 # SKIP {comment(why)}\n"


def line(
    number: int, name: str, result: TapResult, why: str = "", details: Sequence[str] = ()
) -> str:
    """One test line, followed by its details as comments."""
    state = "not ok" if result == TapResult.NOT_OK else "ok"
    directive = ""
    if result == TapResult.SKIP:
        directive = f" # SKIP {comment(why)}"
    elif result == TapResult.UNDECIDED:
        directive = f" # SKIP undetermined: {comment(why)}"
    lines = [f"{state} {number} - {comment(name)}{directive}"]
    if result in (TapResult.OK, TapResult.NOT_OK) and why:
        details = [why, *details]
    return "".join(text + "\n" for text in lines + [f"# {comment(words)}" for words in details])


def comment(words: str) -> str:
    """Words on one line, with control characters and # escaped."""
    return printable(words).replace("#", "\\#") if "#" in words else printable(words)
