"""Parse and format sizes, counts, line ranges and times."""

from time import gmtime, strftime

from .core.numbers import NumberFault, read_bound, read_count, read_size
from .errors import UsageError

_LETTERS = "KMGTPE"


def parse_size(text: str) -> int:
    """Bytes, 0 to 2**63-1, from `4096`, `64K`, `1M`, `1MiB` (1024s), `1MB` (1000s) or `1.5G`.

    Case is ignored and fractions of a byte are dropped. UsageError if invalid or too large.

    >>> parse_size("1.5K"), parse_size("1MB")
    (1536, 1000000)
    """
    if not isinstance(text, str):
        raise UsageError(f"a size must be text, not {text!r}", 'use parse_size("4K")')
    fault, size = read_size(text)
    if fault is NumberFault.BAD:
        raise UsageError(
            f"invalid size '{text}'", "use a number with an optional unit: 4096, 64K, 1.5G, 1MB"
        )
    if fault is NumberFault.LARGE:
        raise UsageError(f"size '{text}' is too large", "the maximum is 2**63-1 bytes")
    return size


def parse_bound(text: str, is_size: bool) -> int:
    """A size or a count of calls as a bound of counters, which may be below zero: `-1`, `-4K`.

    UsageError if invalid or too large.
    """
    fault, bound = read_bound(text, is_size)
    if fault is NumberFault.NONE:
        return bound
    digits = text.removeprefix("-")
    return parse_size(digits) if is_size else parse_count(digits, (1 << 63) - 1)


def parse_count(text: str, most: int = (1 << 64) - 1) -> int:
    """A whole number from 0 to `most`. UsageError if invalid or too large."""
    fault, count = read_count(text)
    if fault is NumberFault.BAD:
        raise UsageError(f"invalid number '{text}'", "use a whole number, 0 or more")
    if fault is NumberFault.LARGE or count > most:
        raise UsageError(f"number '{text}' is too large", f"the maximum is {most}")
    return count


def parse_lines(text: str) -> tuple[int, int]:
    """(first, last), inclusive, from `N` or `N-M`. UsageError if invalid or empty."""
    first, dash, last = text.partition("-")
    try:
        low = parse_count(first)
        high = parse_count(last) if dash else low
    except UsageError:
        raise UsageError(
            f"invalid line '{text}'", "use a number or a range: 120, 100-200"
        ) from None
    if low > high:
        raise UsageError(f"invalid line '{text}': the range is empty", f"try {high}-{low}")
    return low, high


def format_size(size: int) -> str:
    """A size in powers of 1024, rounded, in at most 7 characters and a sign.

    >>> format_size(1023), format_size(-20971520)
    ('1023', '-20.0M')
    """
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


def exact_size(size: int) -> str:
    """A size without rounding, in the largest unit that divides it: `2M`, `1536`, `0`."""
    unit = ""
    for letter in _LETTERS:
        if not size or size % 1024:
            break
        size //= 1024
        unit = letter
    return f"{size}{unit}"


def format_time(seconds: float) -> str:
    """ISO 8601 in UTC with microseconds, from seconds since 1970: `2026-11-23T06:20:37.123456Z`."""
    whole, micro = divmod(round(seconds * 1_000_000), 1_000_000)
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(whole)) + f".{micro:06d}Z"
