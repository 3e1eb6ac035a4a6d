"""Writes an answer to the file of --output, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UsageError
from ..output.stream import Output, Shows
from ..output.terminal import Screen, screen_of
from ..storage.compression import pack, packer
from ..storage.files import check_free, save
from .arguments import text


class Target:
    """Where an answer goes: a file, or standard output if path is None.

    format: what the answer is; UsageError for a file name that promises something else, and what
    saving raises where the name is taken or cannot be written.
    """

    def __init__(self, path: str | None = None, force: bool = False, format: str = "") -> None:
        self._path, self._force = path, force
        self._packing: Any = None
        if path is not None:
            self._packing = packer(path, format)
            check_free(path, force)

    def screen(self, fd: int) -> Screen:
        """The facts about where it is shown; a file is no terminal."""
        return screen_of(fd) if self._path is None else Screen(False)

    def open(self, fd: int, escape: bool = False, pager: Shows | None = None) -> Output:
        """The output for the answer, which is saved when it is released."""
        if self._path is None:
            return Output(fd, escape, pager)
        return _File(self._path, self._packing, self._force)


STANDARD_OUTPUT = Target()


class _File(Output):
    """Holds back the whole answer and saves it when it is released. OutputError."""

    def __init__(self, path: str, packing: Any, force: bool) -> None:
        super().__init__()
        self._path, self._packing, self._force = path, packing, force

    def _put(self, data: bytes) -> None:
        pieces = pack((data,), self._packing) if self._packing else (data,)
        save(self._path, pieces, self._force)


def read_target(values: Mapping[str, object], default: str) -> Target:
    """The Target from the values of --output and --force; - is standard output. default: the format
    where none is chosen. UsageError, OutputError."""
    path, force = text(values, "output"), bool(values.get("force"))
    if path is None or path == "-":
        if force:
            raise UsageError("--force needs a file", "add --output FILE")
        return Target()
    if values.get("quiet"):
        raise UsageError(
            "--quiet and --output cannot be used together", "omit --quiet: FILE gets the answer"
        )
    if values.get("pager") == "always":
        raise UsageError("--pager always and --output cannot be used together", "omit one of them")
    return Target(path, force, str(values.get("format") or default))
