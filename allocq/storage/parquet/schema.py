"""The contract of the files: names and types of their columns, version, places in a directory.

allocq-parquet(5) is its description.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

VERSION = 1
VERSION_KEY = "allocq.schema"
"""In the metadata of a file: the version, in digits."""
PARTS_KEY = "allocq.parts"
"""In the metadata of a file: the names of the files it was made from, a JSON array."""
SUFFIX = ".parquet"
GLOB = "date=*/hour=*/*.parquet"
"""Below the root, what matches the data and nothing that is in the making, which ** would match."""


class Kind(StrEnum):
    """The type of a column. TIME: microseconds since 1970, in UTC."""

    STRING = "string"
    TIME = "time"
    INTEGER = "integer"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    kind: Kind
    nullable: bool = False


COLUMNS = (
    Column("host", Kind.STRING),
    Column("time", Kind.TIME),
    Column("boot_id", Kind.STRING),
    Column("kernel", Kind.STRING),
    Column("content_id", Kind.INTEGER, nullable=True),
    Column("file", Kind.STRING),
    Column("line", Kind.INTEGER),
    Column("module", Kind.STRING),
    Column("function", Kind.STRING),
    Column("bytes", Kind.INTEGER),
    Column("calls", Kind.INTEGER),
    Column("accurate", Kind.FLAG),
    Column("consistent", Kind.FLAG),
)
TAG = ("file", "line", "module", "function")
"""The rows of a file are in ascending order of these and then of time."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]", re.ASCII)
_DATE = re.compile(r"date=(\d{4}-\d{2}-\d{2})", re.ASCII)
_HOUR = re.compile(r"hour=([01]\d|2[0-3])", re.ASCII)
_FILE_NAME = re.compile(r"(.+?)\.(\d{8}T\d\d)\.", re.ASCII)
_LONGEST_HOST = 100


def is_data(name: str) -> bool:
    """Is a file of this name one of the data, and not one in the making?"""
    return name.endswith(SUFFIX) and not name.startswith((".", "_"))


def partition(hour: datetime) -> tuple[str, str]:
    """The directories of an hour, one in the other: ("date=2026-11-23", "hour=07")."""
    utc = hour.astimezone(UTC)
    return f"date={utc.date().isoformat()}", f"hour={utc.hour:02d}"


def hour_of_partition(date_name: str, hour_name: str) -> datetime | None:
    """The inverse of `partition`; None for other names."""
    date, hour = _DATE.fullmatch(date_name), _HOUR.fullmatch(hour_name)
    try:
        return (
            datetime.fromisoformat(date[1]).replace(tzinfo=UTC, hour=int(hour[1]))
            if date and hour
            else None
        )
    except ValueError:
        return None


def hour_of(time_us: int) -> datetime:
    """The beginning of the hour of a time in microseconds since 1970. OverflowError before the year
    1 and after 9999."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=time_us // 3_600_000_000)


def digits_of(text: str) -> int | None:
    """A content id as a snapshot notes it; None if it is none of 64 bits."""
    if text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 1 << 64:
        return int(text)
    return None


def safe_host(host: str) -> str:
    """A host as part of a file name. Different hosts get different ones."""
    safe = _UNSAFE.sub("-", host)[:_LONGEST_HOST]
    if safe.startswith((".", "_", "-")) or not safe:
        safe = f"host{safe}"
    return safe if safe == host else f"{safe}~{digest(host)}"


def file_name(host: str, hour: datetime, *origin: str) -> str:
    """The name of the file of a host and an hour. origin: what else makes its content unique; the
    same content always gets the same name."""
    return f"{name_prefix(host, hour)}{digest(*origin)}{SUFFIX}"


def name_prefix(host: str, hour: datetime) -> str:
    """How the names of all files of a host and an hour begin."""
    return f"{safe_host(host)}.{stamp(hour)}."


def stamp(hour: datetime) -> str:
    """An hour as the names of its files have it: `20261123T07`."""
    return f"{hour.astimezone(UTC):%Y%m%dT%H}"


def host_of(name: str) -> str | None:
    """The `safe_host` that the name of a file begins with; None if it has no such name."""
    found = _FILE_NAME.match(name)
    return found[1] if found else None


def stamp_of(name: str) -> str | None:
    """The `stamp` of the hour in the name of a file; None if it has no such name."""
    found = _FILE_NAME.match(name)
    return found[2] if found else None


def digest(*words: str) -> str:
    """16 hexadecimal digits that stand for some words."""
    data = "\0".join(words).encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()[:16]
