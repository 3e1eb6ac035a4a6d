"""Whole listings one behind the other and nothing between them: the engine reads each alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..core.table import Table
from ..core.text import NotPlainError, Text
from ..model import NO_MAXIMUM, Filter
from .lenient.listing import MOST_LISTINGS, Kind, Listing
from .matcher import Matcher

_HEADER = b"\nallocinfo - version: "
_BLOCK = 1 << 20


def find_headers(fd: int) -> list[tuple[int, int]]:
    """(offset from where `fd` stands, line from 1) of each header."""
    found: list[tuple[int, int]] = []
    text, base, line = b"\n", -1, 0
    while block := os.read(fd, _BLOCK):
        text += block
        counted = 0
        while (at := text.find(_HEADER, counted)) >= 0:
            line += text.count(b"\n", counted, at + 1)
            found.append((base + at + 1, line))
            counted = at + 1
        cut = max(counted, len(text) - len(_HEADER))
        line += text.count(b"\n", counted, cut)
        base += cut
        text = text[cut:]
    return found


class Concatenated:
    """The listings of a text that is not packed and holds only valid lines.

    NotPlainError where some of it is not a whole listing with a header of its own.
    """

    def __init__(self, fd: int, start: int, path: str) -> None:
        self._fd, self._start, self._path = fd, start, path
        os.lseek(fd, start, os.SEEK_SET)
        headers = find_headers(fd)
        if len(headers) < 2 or headers[0][0] or len(headers) > MOST_LISTINGS:
            raise NotPlainError(path)
        self._bounds = [offset for offset, _ in headers] + [os.lseek(fd, 0, os.SEEK_CUR) - start]
        self.listings = [self._look_at(number, line) for number, (_, line) in enumerate(headers, 1)]

    def read(self, listing: Listing, matcher: Matcher) -> Iterator[Table]:
        """The tags of one that match, in batches."""
        text = Text(matcher.native, self._path)
        for batch in text.from_pieces(self._pieces(listing.number)):
            matcher.finish(batch)
            if len(batch):
                yield batch

    def _look_at(self, number: int, line: int) -> Listing:
        text = Text(Matcher(Filter(min_calls=NO_MAXIMUM, max_size=0)).native, self._path)
        for _ in text.from_pieces(self._pieces(number)):
            pass
        info, metadata = text.finish(), text.metadata
        if text.several or not text.tags or (info.warnings and not metadata):
            raise NotPlainError(self._path)
        return Listing(
            Kind.LISTING,
            line,
            number,
            time=metadata.get("time", ""),
            version=text.version,
            metadata=metadata,
            tags=text.tags,
        )

    def _pieces(self, number: int) -> Iterator[bytes]:
        at, end = self._bounds[number - 1], self._bounds[number]
        while at < end:
            piece = os.pread(self._fd, min(_BLOCK, end - at), self._start + at)
            if not piece:
                raise NotPlainError(self._path)
            at += len(piece)
            yield piece
