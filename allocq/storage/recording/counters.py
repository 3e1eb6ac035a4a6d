"""Packs the counters of a sample: all of them, or what changed since the sample before.

Numbers are stored in planes: the first bytes of all numbers, then the second bytes, and so on,
which deflate packs about twice as well. Differences are modulo 2**64, with the sign in the lowest
bit.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, compress
from operator import ne

_WORD = 1 << 64
_LEVEL = 6
_LARGEST = 1 << 28


class DamagedError(ValueError):
    """Packed counters that are not what `pack` made."""


@dataclass
class Counters:
    """One number a tag, in the order of the layout. bytes are signed; inaccurate is 0 or 1."""

    bytes: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    inaccurate: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.bytes)


def pack_all(now: Counters) -> bytes:
    """Every counter. At most 2**32-1 tags."""
    flags = [i for i, flag in enumerate(now.inaccurate) if flag]
    return _deflate(
        struct.pack("<II", len(now), len(flags)),
        _planes("Q", map(_folded, now.bytes)),
        _planes("Q", map(_folded, now.calls)),
        _planes("I", _gaps(flags)),
    )


def unpack_all(packed: bytes) -> Counters:
    """What `pack_all` was given. DamagedError."""
    data = _Unpacked(packed)
    tags, flags = data.head("<II")
    now = Counters(
        [_signed(_unfolded(n)) for n in data.planes("Q", tags)],
        [_unfolded(n) for n in data.planes("Q", tags)],
        [0] * tags,
    )
    for at in data.positions(flags, tags):
        now.inaccurate[at] = 1
    data.end()
    return now


def pack_changes(before: Counters, now: Counters) -> bytes:
    """The difference between two samples of one layout, so of equal length."""
    changed = sorted({*_different(before.bytes, now.bytes), *_different(before.calls, now.calls)})
    flips = list(_different(before.inaccurate, now.inaccurate))
    return _deflate(
        struct.pack("<II", len(changed), len(flips)),
        _planes("I", _gaps(changed)),
        _planes("Q", (_folded(now.bytes[i] - before.bytes[i]) for i in changed)),
        _planes("Q", (_folded(now.calls[i] - before.calls[i]) for i in changed)),
        _planes("I", _gaps(flips)),
    )


def apply_changes(before: Counters, packed: bytes) -> Counters:
    """The sample after `before`, from what `pack_changes` made. DamagedError."""
    data = _Unpacked(packed)
    changed, flips = data.head("<II")
    now = Counters(before.bytes[:], before.calls[:], before.inaccurate[:])
    positions = data.positions(changed, len(now))
    for at, difference in zip(positions, data.planes("Q", changed), strict=True):
        now.bytes[at] = _signed((now.bytes[at] + _unfolded(difference)) % _WORD)
    for at, difference in zip(positions, data.planes("Q", changed), strict=True):
        now.calls[at] = (now.calls[at] + _unfolded(difference)) % _WORD
    for at in data.positions(flips, len(now)):
        now.inaccurate[at] ^= 1
    data.end()
    return now


def pack_positions(positions: Sequence[int]) -> bytes:
    """Any numbers from 0 to 2**31-2, which mostly rise by 1: the tags of a layout."""
    steps = [b - a for a, b in zip((0, *positions), positions, strict=False)]
    return _deflate(struct.pack("<I", len(positions)), _planes("I", (_folded(n) for n in steps)))


def unpack_positions(packed: bytes) -> list[int]:
    """What `pack_positions` was given. DamagedError."""
    data = _Unpacked(packed)
    (count,) = data.head("<I")
    steps = [(n >> 1) ^ -(n & 1) for n in data.planes("I", count)]
    data.end()
    return list(accumulate(steps, initial=0))[1:]


def _different(before: Sequence[int], now: Sequence[int]) -> Iterator[int]:
    """Where two columns differ; fast, as it runs over all tags at every sample."""
    assert len(before) == len(now)
    return iter(()) if before == now else compress(range(len(now)), map(ne, before, now))


def _folded(number: int) -> int:
    number = _signed(number % _WORD)
    return ((number << 1) ^ (number >> 63)) % _WORD


def _unfolded(number: int) -> int:
    return ((number >> 1) ^ -(number & 1)) % _WORD


def _signed(number: int) -> int:
    return number - _WORD if number >= _WORD >> 1 else number


def _gaps(positions: Iterable[int]) -> Iterator[int]:
    last = -1
    for at in positions:
        yield at - last
        last = at


def _planes(code: str, numbers: Iterable[int]) -> bytes:
    values = array(code, numbers)
    if sys.byteorder == "big":
        values.byteswap()
    raw, size = values.tobytes(), values.itemsize
    return b"".join(raw[i::size] for i in range(size))


def _deflate(*parts: bytes) -> bytes:
    return zlib.compress(b"".join(parts), _LEVEL)


class _Unpacked:
    """The parts of packed counters, one after the other."""

    def __init__(self, packed: bytes) -> None:
        inflater = zlib.decompressobj()
        try:
            self._data = inflater.decompress(packed, _LARGEST)
        except zlib.error as error:
            raise DamagedError(str(error)) from None
        if not inflater.eof:
            raise DamagedError("cut short")
        self._at = 0

    def _take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) < size:
            raise DamagedError("cut short")
        self._at += size
        return piece

    def head(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))

    def planes(self, code: str, count: int) -> array[int]:
        values = array(code)
        size = values.itemsize
        raw = self._take(size * count)
        woven = bytearray(len(raw))
        for i in range(size):
            woven[i::size] = raw[i * count : (i + 1) * count]
        values.frombytes(bytes(woven))
        if sys.byteorder == "big":
            values.byteswap()
        return values

    def positions(self, count: int, tags: int) -> list[int]:
        found = list(accumulate(self.planes("I", count), initial=-1))[1:]
        if found and (found[0] < 0 or found[-1] >= tags):
            raise DamagedError("a position beyond the last tag")
        return found

    def end(self) -> None:
        if self._at != len(self._data):
            raise DamagedError("more than was announced")
