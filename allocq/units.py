"""Sizes and times as they are written and read."""

from .errors import UsageError

LARGEST = (1 << 63) - 1
_LETTERS = "KMGTPE"
_MOST_DIGITS = 4000


def parse_size(text: str) -> int:
    """Bytes for `4096`, `64K`, `1M`, `1MiB` (1024s), `1MB` (1000s) or `1.5G`.

    Case does not matter and a fraction of a byte is dropped. 0 to 2**63-1; UsageError otherwise.
    """
    number, factor = text.strip().upper(), 1
    base = 1024
    if number.endswith("IB") and number[-3:-2] in _LETTERS:
        number = number[:-2]
    elif number.endswith("B"):
        number, base = number[:-1], 1000
    if number and number[-1] in _LETTERS:
        factor = base ** (1 + _LETTERS.index(number[-1]))
        number = number[:-1]
    whole, point, fraction = number.partition(".")
    digits = whole + fraction
    if not _is_number(digits) or (point and not fraction):
        raise UsageError(
            f"bad size '{text}'", "a size is a number with K, M, G, T, P or E: 4096, 64K, 1.5G, 1MB"
        )
    size: int = int(digits) * factor // 10 ** len(fraction)
    if size > LARGEST:
        raise UsageError(f"size '{text}' is too large", "the largest is 2**63-1 bytes")
    return size


def parse_count(text: str, most: int = (1 << 64) - 1) -> int:
    """A whole number from 0 to `most`; UsageError otherwise."""
    if not _is_number(text):
        raise UsageError(f"bad number '{text}'", "a whole number is wanted, 0 or more")
    if (value := int(text)) > most:
        raise UsageError(f"number '{text}' is too large", f"the largest is {most}")
    return value


def _is_number(text: str) -> bool:
    """Are these digits, and no more of them than int() takes?"""
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


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


def parse_time(text: str) -> float | None:
    """Seconds since 1970 for `2026-11-23T06:20:37.123456Z`, else None."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def format_time(seconds: float) -> str:
    """UTC with microseconds: `2026-11-23T06:20:37.123456Z`."""
    from time import gmtime, strftime

    whole, micro = divmod(round(seconds * 1_000_000), 1_000_000)
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(whole)) + f".{micro:06d}Z"
