"""The exceptions of allocq; their messages are for the person at the terminal."""


class AllocqError(Exception):
    """Any failure of allocq. `str()` is one line; `hint` says what to do, or is empty."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(AllocqError):
    """An invalid argument: size, glob, regexp, range or combination of options."""


class SourceError(AllocqError):
    """The source is missing, unreadable or disappeared."""


class AccessError(SourceError):
    """The source exists, but this user has no permission."""


class InterfaceError(SourceError):
    """The kernel lacks the requested interface."""


class FormatError(SourceError):
    """The text is not a listing, or one of its lines is not valid."""


class OutputError(AllocqError):
    """The answer could not be written."""


class MissingExtraError(AllocqError, ImportError):
    """A package is missing that an extra of allocq installs."""
