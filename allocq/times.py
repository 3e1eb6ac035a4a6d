"""Parses the times that options take."""

import re
from datetime import UTC, datetime, timedelta

from .errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_NAMES = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
}
_AGO = re.compile(r"(-?)\s*(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]+)(\s+ago)?", re.ASCII)
_LONG = re.compile(r"(\d{1,99}(?:\.\d{1,6})?)\s*([a-z]*)", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?", re.ASCII)
_LONGEST = 36500 * 86400
# What a datetime can show in every zone.
_FIRST = datetime(2, 1, 1, tzinfo=UTC).timestamp()
_LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp() - 1
_DAYS = {"today": 0, "yesterday": 1}
_SECONDS = re.compile(r"@(\d{1,12}(?:\.\d{1,9})?)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds, over 0 and up to 100 years, from `10s`, `1.5 min`, `6h`, `7d`, `2w`, or `10`.
    UsageError for anything else."""
    match = _LONG.fullmatch(text.strip().lower())
    unit = _NAMES.get(match[2] or "s") if match else None
    seconds = float(match[1]) * _UNITS[unit] if match and unit else 0.0
    if not seconds:
        raise UsageError(f"invalid duration '{text}'", "use a number with a unit: 10s, 5m, 6h, 7d")
    if seconds > _LONGEST:
        raise UsageError(f"duration '{text}' is too long", "the maximum is 100 years: 36500d")
    return seconds


def parse_time(text: str, now: float) -> float:
    """Seconds since 1970 from `2026-11-23T06:20:37Z` (local time without a zone), `@SECONDS`,
    `now`, `today`, `yesterday`, `10:00` (of today), `20s ago`, `10 min ago`, `1 hour ago`, `-1h` or
    `1h`. UsageError for anything else. What is before the year 2 or after 9998 is the first or the
    last second of these, so that it can be shown."""
    return min(max(_seconds_of(text, now), _FIRST), _LAST)


def _seconds_of(text: str, now: float) -> float:
    words = text.strip()
    if words == "now":
        return now
    today = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    if words in _DAYS:
        return (today - timedelta(days=_DAYS[words])).timestamp()
    if match := _CLOCK.fullmatch(words):
        hour, minute, second = (int(part or 0) for part in match.groups())
        if hour < 24 and minute < 60 and second < 60:
            return today.replace(hour=hour, minute=minute, second=second).timestamp()
    if match := _SECONDS.fullmatch(words):
        return float(match[1])
    if (match := _AGO.fullmatch(words.lower())) and not (match[1] and match[4]):
        unit = _NAMES.get(match[3])
        if unit is not None:
            return now - float(match[2]) * _UNITS[unit]
    try:
        day = datetime.fromisoformat(words)
    except ValueError:
        raise UsageError(
            f"invalid time '{text}'", "use 2026-11-23T06:20, @SECONDS, now, '1 hour ago' or 1h"
        ) from None
    try:
        return day.timestamp()
    except (ValueError, OverflowError, OSError):
        return _FIRST if day.year < 2 else _LAST
