"""The Test Anything Protocol, version 13, as kselftest writes it and prove reads it."""

from collections.abc import Sequence
from enum import StrEnum

from .terminal import printable

VERSION = "TAP version 13"


class TapResult(StrEnum):
    """How a test ended."""

    OK = "ok"
    NOT_OK = "not ok"
    SKIP = "skip"
    UNDECIDED = "could not tell"


def plan(tests: int) -> str:
    """The head: the version and how many tests will follow."""
    return f"{VERSION}\n1..{tests}\n"


def nothing(why: str) -> str:
    """A whole document without a test."""
    return f"{VERSION}\n1..0 # SKIP {comment(why)}\n"


def line(
    number: int, name: str, result: TapResult, why: str = "", details: Sequence[str] = ()
) -> str:
    """One test and, as comments, what there is to say of it."""
    state = "not ok" if result == TapResult.NOT_OK else "ok"
    directive = ""
    if result == TapResult.SKIP:
        directive = f" # SKIP {comment(why)}"
    elif result == TapResult.UNDECIDED:
        directive = f" # SKIP could not tell: {comment(why)}"
    lines = [f"{state} {number} - {comment(name)}{directive}"]
    if result in (TapResult.OK, TapResult.NOT_OK) and why:
        details = [why, *details]
    return "".join(text + "\n" for text in lines + [f"# {comment(words)}" for words in details])


def comment(words: str) -> str:
    """Words that stay on their line and show what a terminal would act on."""
    return printable(words).replace("#", "\\#") if "#" in words else printable(words)
