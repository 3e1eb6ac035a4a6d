"""Sizes and times as they are written and read."""

from time import gmtime, strftime

from .core.numbers import NumberFault, read_count, read_size
from .errors import UsageError

_LETTERS = "KMGTPE"


def parse_size(text: str) -> int:
    """Bytes for `4096`, `64K`, `1M`, `1MiB` (1024s), `1MB` (1000s) or `1.5G`.

    Case does not matter and a fraction of a byte is dropped. 0 to 2**63-1; UsageError otherwise.
    """
    fault, size = read_size(text)
    if fault is NumberFault.BAD:
        raise UsageError(
            f"bad size '{text}'", "a size is a number with K, M, G, T, P or E: 4096, 64K, 1.5G, 1MB"
        )
    if fault is NumberFault.LARGE:
        raise UsageError(f"size '{text}' is too large", "the largest is 2**63-1 bytes")
    return size


def parse_count(text: str, most: int = (1 << 64) - 1) -> int:
    """A whole number from 0 to `most`; UsageError otherwise."""
    fault, count = read_count(text)
    if fault is NumberFault.BAD:
        raise UsageError(f"bad number '{text}'", "a number is 0 or more, without a fraction")
    if fault is NumberFault.LARGE or count > most:
        raise UsageError(f"number '{text}' is too large", f"the largest is {most}")
    return count


def parse_lines(text: str) -> tuple[int, int]:
    """(first, last) for `N` or `N-M`; UsageError otherwise."""
    first, dash, last = text.partition("-")
    try:
        low = parse_count(first)
        high = parse_count(last) if dash else low
    except UsageError:
        raise UsageError(
            f"bad line '{text}'", "a line is a number or a range: 120, 100-200"
        ) from None
    if low > high:
        raise UsageError(f"bad line '{text}': the range is empty", f"try {high}-{low}")
    return low, high


def format_size(size: int) -> str:
    """At most seven characters and a sign: `0`, `1023`, `1.5K`, `-20.0M` (1024s)."""
    value = abs(size)
    if value < 1024:
        return str(size)
    sign = "-" if size < 0 else ""
    for letter in _LETTERS:
        tenths = (value * 10 + 512) // 1024
        if tenths < 10240 or letter == _LETTERS[-1]:
            return f"{sign}{tenths // 10}.{tenths % 10}{letter}"
        value = (value + 512) // 1024
    raise AssertionError("unreachable")


def format_time(seconds: float) -> str:
    """UTC with microseconds: `2026-11-23T06:20:37.123456Z`."""
    whole, micro = divmod(round(seconds * 1_000_000), 1_000_000)
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(whole)) + f".{micro:06d}Z"
