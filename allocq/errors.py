"""What can go wrong, in words for the person at the terminal."""


class AllocqError(Exception):
    """Any failure of allocq. `str()` is one line; `hint` says what to do about it, or is empty."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(AllocqError):
    """What was asked for makes no sense: a bad size, glob, regexp, range or combination."""


class SourceError(AllocqError):
    """The place to read from is missing, unreadable or vanished."""


class AccessError(SourceError):
    """It is there, but not for this user."""


class InterfaceError(SourceError):
    """The kernel does not have the interface that was asked for."""


class FormatError(SourceError):
    """A text that is not /proc/allocinfo, or a line in it that is no tag."""


class OutputError(AllocqError):
    """The answer could not be written."""
