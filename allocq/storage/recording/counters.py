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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from ...core.columns import changed, folded, unfolded

_HALF = 1 << 63
_LEVEL = 6
_LARGEST = 1 << 28


class DamagedError(ValueError):
    """Packed counters that are not what `pack` made."""


@dataclass
class Counters:
    """One number a tag, in the order of the layout: int64_t, as the engine has them; inaccurate is
    0 or 1."""

    bytes: array[int] = field(default_factory=lambda: array("q"))
    calls: array[int] = field(default_factory=lambda: array("q"))
    inaccurate: array[int] = field(default_factory=lambda: array("q"))

    @classmethod
    def of(cls, *columns: Iterable[int]) -> Counters:
        """From any numbers."""
        return cls(*(array("q", column) for column in columns))

    def __len__(self) -> int:
        return len(self.bytes)


def pack_all(now: Counters) -> bytes:
    """Every counter. At most 2**32-1 tags."""
    flags = [i for i, flag in enumerate(now.inaccurate) if flag]
    return _deflate(
        struct.pack("<II", len(now), len(flags)),
        _planes(folded(now.bytes)),
        _planes(folded(now.calls)),
        _planes(_gaps(flags)),
    )


def unpack_all(packed: bytes) -> Counters:
    """What `pack_all` was given. DamagedError."""
    data = _Unpacked(packed)
    tags, flags = data.head("<II")
    now = Counters(unfolded(data.planes("Q", tags)), unfolded(data.planes("Q", tags)))
    now.inaccurate = array("q", bytes(8 * tags))
    for at in data.positions(flags, tags):
        now.inaccurate[at] = 1
    data.end()
    return now


def pack_changes(before: Counters, now: Counters) -> bytes:
    """The difference between two samples of one layout, so of equal length."""
    places = sorted({*changed(before.bytes, now.bytes), *changed(before.calls, now.calls)})
    flips = changed(before.inaccurate, now.inaccurate)
    return _deflate(
        struct.pack("<II", len(places), len(flips)),
        _planes(_gaps(places)),
        _planes(folded(_differences(before.bytes, now.bytes, places))),
        _planes(folded(_differences(before.calls, now.calls, places))),
        _planes(_gaps(flips)),
    )


def apply_changes(before: Counters, packed: bytes) -> Counters:
    """The sample after `before`, from what `pack_changes` made. DamagedError."""
    data = _Unpacked(packed)
    count, flips = data.head("<II")
    now = Counters(before.bytes[:], before.calls[:], before.inaccurate[:])
    places = data.positions(count, len(now))
    for column in (now.bytes, now.calls):
        for at, difference in zip(places, unfolded(data.planes("Q", count)), strict=True):
            column[at] = _signed(column[at] + difference)
    for at in data.positions(flips, len(now)):
        now.inaccurate[at] ^= 1
    data.end()
    return now


def pack_positions(positions: Sequence[int]) -> bytes:
    """Any numbers from 0 to 2**31-2, which mostly rise by 1: the tags of a layout."""
    steps = (b - a for a, b in zip((0, *positions), positions, strict=False))
    packed = array("I", ((step << 1) ^ (step >> 63) for step in steps))
    return _deflate(struct.pack("<I", len(positions)), _planes(packed))


def unpack_positions(packed: bytes) -> list[int]:
    """What `pack_positions` was given. DamagedError."""
    data = _Unpacked(packed)
    (count,) = data.head("<I")
    steps = [(n >> 1) ^ -(n & 1) for n in data.planes("I", count)]
    data.end()
    return list(accumulate(steps, initial=0))[1:]


def _differences(before: array[int], now: array[int], places: Sequence[int]) -> array[int]:
    return array("q", [_signed(now[at] - before[at]) for at in places])


def _signed(number: int) -> int:
    """Modulo 2**64, from -2**63 to 2**63-1."""
    return (number + _HALF) % (2 * _HALF) - _HALF


def _gaps(positions: Iterable[int]) -> array[int]:
    return array("I", [b - a for a, b in pairwise((-1, *positions))])


def _planes(values: array[int]) -> bytes:
    if sys.byteorder == "big":
        values = values[:]
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
