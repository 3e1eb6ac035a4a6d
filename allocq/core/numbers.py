"""Sizes, whole numbers and times as the engine reads them."""

from __future__ import annotations

from enum import IntEnum

from .binding import encode, ffi, lib


class NumberFault(IntEnum):
    """What is wrong with a number."""

    NONE = lib.AQ_NUMBER_OK
    BAD = lib.AQ_NUMBER_BAD
    LARGE = lib.AQ_NUMBER_LARGE


def read_size(text: str) -> tuple[NumberFault, int]:
    """Bytes for `4096`, `64K`, `1MiB` or `1.5G`, from 0 to 2**63-1."""
    size, data = ffi.new("int64_t *"), encode(text)
    return NumberFault(lib.aq_parse_size(data, len(data), size)), int(size[0])


def read_bound(text: str, is_size: bool) -> tuple[NumberFault, int]:
    """A size, or a count of calls, that may be below zero: `-1`, `-4K`."""
    bound, data = ffi.new("int64_t *"), encode(text)
    return NumberFault(lib.aq_parse_bound(data, len(data), is_size, bound)), int(bound[0])


def read_count(text: str) -> tuple[NumberFault, int]:
    """A whole number from 0 to 2**64-1."""
    count, data = ffi.new("uint64_t *"), encode(text)
    return NumberFault(lib.aq_parse_count(data, len(data), count)), int(count[0])
