"""A saved listing on its way through the engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import FormatError
from .binding import decode, ffi, lib, new_problem, owned, raise_problem
from .filter import NativeFilter
from .table import Table

BATCH = 8192


def header(version: str) -> bytes:
    """The two lines that a listing begins with (lib/codetag.c, mm/alloc_tag.c)."""
    return f"allocinfo - version: {version}\n#     <size>  <calls> <tag info>\n".encode(
        "utf-8", "surrogateescape"
    )


class NotPlainError(FormatError):
    """The text is not only what /proc/allocinfo prints; a lenient reader may understand it."""


class Text:
    """A text being read. `path` is what messages call it; `table` holds the batch at hand; trusted:
    its lines were looked at already."""

    def __init__(self, filter: NativeFilter, path: str, trusted: bool = False) -> None:
        self._filter = filter
        self._path = path.encode("utf-8", "surrogateescape")
        self.table = Table()
        self._text = owned(lib.aq_text_new(filter.native, self.table.native), lib.aq_text_free)
        if trusted:
            lib.aq_text_trust(self._text)

    def from_fd(self, fd: int) -> Iterator[Table]:
        """Batches of at most BATCH matches, each gone when the next is asked for."""
        while self._checked(lib.aq_text_read(self._text, fd, BATCH)) == lib.AQ_MORE:
            yield from self._batch()
        yield from self._batch()

    def from_pieces(self, pieces: Iterable[bytes]) -> Iterator[Table]:
        """The same from bytes in memory; the text ends with the pieces."""
        for piece in pieces:
            yield from self.feed(piece)
        yield from self.feed(b"")
        yield from self._batch()

    def feed(self, piece: bytes) -> Iterator[Table]:
        """Take in some bytes; from_pieces says what ends a text."""
        self._checked(lib.aq_text_feed(self._text, piece, len(piece)))
        while self._checked(lib.aq_text_take(self._text, BATCH)) == lib.AQ_MORE:
            yield from self._batch()

    def _batch(self) -> Iterator[Table]:
        if len(self.table):
            yield self.table
        self.table.clear()

    def _checked(self, result: int) -> int:
        if result not in (lib.AQ_DONE, lib.AQ_MORE):
            problem = new_problem()
            lib.aq_text_problem(self._text, self._path, result, problem)
            if result in (lib.AQ_BAD_LINE, lib.AQ_LONG_LINE):
                raise NotPlainError(decode(problem.message), decode(problem.hint))
            raise_problem(problem)
        return result

    def finish(self) -> Any:
        """The aq_info of the whole text. FormatError where it is not a listing."""
        info, problem = ffi.new("aq_info *"), new_problem()
        if lib.aq_text_finish(self._text, self._path, info, problem):
            raise_problem(problem)
        return info

    @property
    def several(self) -> bool:
        """Did a header come behind another, or behind a tag? Then it may be several listings."""
        return bool(lib.aq_text_several(self._text))

    @property
    def tags(self) -> int:
        """How many tags were read, matching or not."""
        return int(lib.aq_text_tags(self._text))

    @property
    def version(self) -> str:
        """The format version of the first header, or an empty string."""
        return decode(lib.aq_text_version(self._text))

    @property
    def metadata(self) -> dict[str, str]:
        """What a snapshot says of itself; empty for another text, or several together."""
        key, value = ffi.new("const char **"), ffi.new("const char **")
        key_len, value_len = ffi.new("size_t *"), ffi.new("size_t *")
        at = ffi.new("size_t *")
        entries: dict[str, str] = {}
        while lib.aq_text_metadata(self._text, at, key, key_len, value, value_len):
            name = decode(key[0], key_len[0])
            entries.setdefault(name, decode(value[0], value_len[0]))
        return entries


def is_plain(line: bytes) -> bool:
    """Is it strictly a tag, as the kernel prints one? line: without its newline."""
    return bool(lib.aq_text_is_tag(line, len(line)))


def parse(data: bytes, filter: NativeFilter, path: str = "the text") -> Table:
    """The matching tags of a whole text. FormatError where a line is not valid."""
    table = Table()
    for batch in Text(filter, path).from_pieces((data,)):
        table.append(batch)
    return table
