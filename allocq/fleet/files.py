"""Finds the data files of a fleet: ROOT/date=YYYY-MM-DD/hour=HH/NAME.parquet, in UTC."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from errno import ELOOP
from pathlib import Path

from ..errors import AccessError, SourceError
from ..host.opening import open_at_once
from ..storage.parquet.schema import SUFFIX, hour_of_partition, is_data, stamp, stamp_of

MICROSECONDS = 1_000_000
HOUR = 3600 * MICROSECONDS
_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_SMALLEST = 12


class Skip(StrEnum):
    """Why a file is left out, in words behind `1 file skipped: ` or `3 files skipped: `."""

    EMPTY = "empty"
    CUT_OFF = "half-written or cut off"
    NOT_PARQUET = "not Parquet"
    ENCRYPTED = "encrypted"
    DENIED = "permission denied"
    UNREADABLE = "cannot be read"
    NOT_A_FILE = "not a regular file"
    BROKEN_LINK = "the link leads nowhere"
    OTHER_NAME = f"the name does not end in {SUFFIX}"
    ODD_NAME = "the path has a backslash and a wildcard, which DuckDB cannot open"
    DAMAGED = "damaged"
    NO_VERSION = "not written by allocq"
    OTHER_VERSION = "written by a newer allocq"
    OTHER_SCHEMA = "other columns than allocq writes"
    NULLS = "NULL where allocq writes a value"


class Lost(Exception):
    """Files that were to be read are gone or damaged: their paths."""

    def __init__(self, gone: Sequence[str], damaged: Sequence[str]) -> None:
        super().__init__(f"{len(gone)} files are gone, {len(damaged)} damaged")
        self.gone, self.damaged = gone, damaged


@dataclass
class Skipped:
    """Files that are left out, by reason."""

    names: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, why: Skip, name: str) -> None:
        """Leave out a file."""
        self.names[why].append(name)

    def __len__(self) -> int:
        return sum(map(len, self.names.values()))

    @property
    def lines(self) -> list[str]:
        """One line a reason, with how many files and the name of the first."""
        return [
            f"{counted(names)} skipped: {why} ({first_of(names)})"
            for why, names in sorted(self.names.items())
        ]


def counted(files: Sequence[object]) -> str:
    """How many files these are, in words."""
    return "1 file" if len(files) == 1 else f"{len(files):,} files"


def first_of(names: Sequence[str]) -> str:
    """The first name, and whether there are more."""
    return f"{min(names)}{', ...' if names[1:] else ''}"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file to read. hour: when the hour of its partition begins, in microseconds since 1970; None
    outside of partitions. misplaced: its name says another hour."""

    path: str
    name: str
    size: int
    hour: int | None
    misplaced: bool = False

    @property
    def sure_hour(self) -> int | None:
        """The hour that its samples are from; None if only its footer can tell."""
        return None if self.misplaced else self.hour


def find_files(root: str, skipped: Skipped) -> list[DataFile]:
    """The Parquet files at or below `root`, the oldest partition first. Opens none of them.

    SourceError, AccessError if `root` is missing or cannot be listed.
    """
    path = Path(root)
    try:
        mode = path.stat()
    except PermissionError:
        raise AccessError(f"cannot read {root}: permission denied") from None
    except FileNotFoundError:
        raise SourceError(f"no such directory: {root}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "invalid name"
        raise SourceError(f"cannot read {root}: {reason}") from None
    if not stat.S_ISDIR(mode.st_mode):
        if not stat.S_ISREG(mode.st_mode):
            raise SourceError(f"{root} is neither a directory nor a file")
        return [DataFile(str(path.absolute()), path.name, mode.st_size, None)]
    found = list(_walk(path.absolute(), path.absolute(), None, skipped, set()))
    return sorted(found, key=lambda file: (file.hour is not None, file.hour or 0, file.name))


def _walk(
    folder: Path, root: Path, hour: int | None, skipped: Skipped, seen: set[tuple[int, int]]
) -> Iterator[DataFile]:
    try:
        facts = folder.stat()
        if (facts.st_dev, facts.st_ino) in seen:  # a link to a directory that was read already
            return
        seen.add((facts.st_dev, facts.st_ino))
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        if folder == root:
            denied = isinstance(error, PermissionError)
            kind = AccessError if denied else SourceError
            raise kind(f"cannot read {root}: {(error.strerror or '').lower()}") from None
        skipped.add(_why(error), _relative(folder, root))
        return
    expected = "" if hour is None else stamp(datetime.fromtimestamp(hour // MICROSECONDS, UTC))
    for entry in entries:
        if entry.name.startswith((".", "_")) or entry.name.endswith(".tmp"):
            continue
        name = _relative(folder / entry.name, root)
        try:
            if entry.is_dir():
                begin = hour_of_partition(folder.name, entry.name)
                at = hour if begin is None else int(begin.timestamp()) * MICROSECONDS
                yield from _walk(folder / entry.name, root, at, skipped, seen)
            elif not is_data(entry.name):
                skipped.add(Skip.OTHER_NAME, name)
            elif not entry.is_file():
                skipped.add(_odd(entry), name)
            else:
                misplaced = hour is not None and stamp_of(entry.name) not in (None, expected)
                path = str(folder / entry.name)
                yield DataFile(path, name, entry.stat().st_size, hour, misplaced)
        except OSError as error:
            skipped.add(_why(error), name)


def _odd(entry: os.DirEntry[str]) -> Skip:
    return Skip.BROKEN_LINK if entry.is_symlink() and not os.path.exists(entry) else Skip.NOT_A_FILE


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path != root else str(path)


def _why(error: OSError) -> Skip:
    if isinstance(error, PermissionError):
        return Skip.DENIED
    return Skip.BROKEN_LINK if error.errno == ELOOP else Skip.UNREADABLE


def escaped(path: str) -> str:
    """A path that DuckDB does not read as a glob."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def begun_well(file: DataFile, skipped: Skipped) -> bool:
    """Has the file the first and the last bytes of Parquet? Otherwise it is left out. Lost if it is
    gone since it was listed: another one may be in its place."""
    why = _fault(file)
    if why is not None:
        skipped.add(why, file.name)
    return why is None


def _fault(file: DataFile) -> Skip | None:
    if "\\" in file.path and escaped(file.path) != file.path:
        return Skip.ODD_NAME
    try:
        fd = open_at_once(file.path)
    except FileNotFoundError:
        raise Lost([file.path], []) from None
    except OSError as error:
        return _why(error)
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            return Skip.NOT_A_FILE
        if not facts.st_size:
            return Skip.EMPTY
        begin = os.pread(fd, 4, 0)
        end = os.pread(fd, 8, max(0, facts.st_size - 8))
    except OSError as error:
        return _why(error)
    finally:
        os.close(fd)
    if _ENCRYPTED in (begin, end[4:]):
        return Skip.ENCRYPTED
    if begin != _MAGIC:
        return Skip.CUT_OFF if _MAGIC.startswith(begin) else Skip.NOT_PARQUET
    footer = int.from_bytes(end[:4], "little")
    if facts.st_size < _SMALLEST or end[4:] != _MAGIC or footer > facts.st_size - _SMALLEST:
        return Skip.CUT_OFF
    return None
