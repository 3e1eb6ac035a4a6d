"""Opens what is exported, and sees that a file was replaced."""

from __future__ import annotations

import errno
import os
import stat

from ...errors import AccessError, SourceError, UsageError
from ...sources.source import Live, Saved
from ..arguments import Origin

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Opening:
    """Opens the source. A kernel without tags is no reason to end, it is an answer; what can only
    be a mistake is one: SourceError, AccessError, UsageError."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._source: Live | Saved | None = None
        # A file that is named can be replaced; one without a name (/dev/fd/3) cannot.
        self._path: str | None = None
        if origin.path is None and not origin.sample:
            try:
                self._source = origin.open()
            except AccessError:
                raise
            except SourceError:
                return
        else:
            if origin.path not in (None, "-") and _mode(origin.path) == stat.S_IFIFO:
                raise UsageError(f"{origin.path} cannot be read again", "name a file")
            self._source = origin.open()
            if not self._source.repeatable:
                self._source.close()
                raise UsageError(f"{self._source.path} cannot be read again", "name a file")
            if isinstance(self._source, Saved):
                self._source.prepare()
                if origin.path not in (None, "-") and _mode(origin.path) == stat.S_IFREG:
                    self._path = origin.path if os.fstat(self._source.fd).st_nlink else None

    def __call__(self) -> Live | Saved:
        """The source. SourceError, and AccessError where this user may not read it."""
        source, self._source = self._source, None
        if source is not None:
            return source
        # Whatever took the place of a file: opening a FIFO would wait.
        if self._path is not None and _mode(self._path) not in (0, stat.S_IFREG):
            raise SourceError(f"cannot read {self._path}: not a regular file")
        try:
            return self._origin.open()
        except UsageError as error:
            raise SourceError(str(error)) from None
        except ImportError:
            # Such as a crash dump: what reads it was not needed while everything could be opened.
            raise SourceError(f"{self._path} is another kind of file than at the start") from None

    def is_stale(self, source: Live | Saved) -> bool:
        """Does the name stand for another file than the open one, or for none?

        What this user may not look up is taken as unchanged, unless the open file lost its name.
        """
        if self._path is None:
            return False
        opened = os.fstat(source.fd)
        try:
            named = os.stat(self._path)
        except OSError as error:
            return error.errno in _GONE or opened.st_nlink == 0
        return not os.path.samestat(named, opened)


def _mode(path: str) -> int:
    """The type of a file; 0 if there is none, or none that this user may look up."""
    try:
        return stat.S_IFMT(os.stat(path).st_mode)
    except (OSError, ValueError):
        return 0
