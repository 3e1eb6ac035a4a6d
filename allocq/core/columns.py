"""Columns of numbers outside a table: what differs, and the sign in the lowest bit."""

from __future__ import annotations

from array import array

from .binding import ffi, lib


def changed(before: array[int], now: array[int]) -> array[int]:
    """Where two columns of equal length differ, ascending."""
    assert len(before) == len(now) and before.typecode == now.typecode == "q"
    places = array("I", bytes(4 * len(now)))
    found = lib.aq_changed(
        _signed(before), _signed(now), len(now), ffi.from_buffer("uint32_t[]", places, True)
    )
    return places[:found]


def folded(numbers: array[int]) -> array[int]:
    """From -1, 1, -2 to 1, 2, 3: the sign in the lowest bit."""
    result = array("Q", bytes(8 * len(numbers)))
    lib.aq_fold(_signed(numbers), len(numbers), ffi.from_buffer("uint64_t[]", result, True))
    return result


def unfolded(numbers: array[int]) -> array[int]:
    """What `folded` was given."""
    result = array("q", bytes(8 * len(numbers)))
    lib.aq_unfold(
        ffi.from_buffer("uint64_t[]", numbers),
        len(numbers),
        ffi.from_buffer("int64_t[]", result, True),
    )
    return result


def _signed(numbers: array[int]) -> object:
    return ffi.from_buffer("int64_t[]", numbers)
