"""Listings in the order of time: a recording, or a folder of saved listings.

Both are read alike: `points` says what there is, `open` gives one of them as any command reads it,
`samples` walks through many.
"""

from __future__ import annotations

import contextlib
import os
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.diff import Key, keys_of
from ..core.kernel import looks_like_listing
from ..core.text import header
from ..errors import AccessError, AllocqError, SourceError
from ..model import NO_MAXIMUM, Filter
from ..storage.recording import schema
from ..storage.snapshot import saved_meminfo
from .matcher import Matcher
from .source import Saved, in_memory, open_one

if TYPE_CHECKING:
    from ..storage.recording.reader import Point as Row

_NANOSECONDS = 1_000_000_000
_MAKES_ONE = "allocq record -d DIR makes one"


class TimeFrom(StrEnum):
    """How the time of a listing is known."""

    SAMPLE = "sample"
    HEADER = "header"
    NAME = "name"
    MODIFIED = "modification"


@dataclass(frozen=True, slots=True)
class Point:
    """One listing of a series. time: seconds since 1970; path: of its file; row: in a database;
    whole: it is read by itself, not as what changed since others.

    Its boot is in `Listed`: many points are found without reading what they hold.
    """

    time: float
    origin: TimeFrom
    path: Path
    row: int = 0
    whole: bool = True

    @property
    def words(self) -> str:
        """What and when it is: `saved/7.txt at 2026-11-23 07:00:00 +0000`."""
        name = self.path.parent if self.row else self.path
        return f"{name} at {datetime.fromtimestamp(self.time).astimezone():%F %T %z}"


@dataclass(frozen=True, slots=True)
class Listed:
    """The counters of one listing, one a tag. time: seconds, since the boot where that is known,
    since 1970 otherwise; taken: when that was, in seconds since 1970; boot: its id, None if
    unknown; keys: the same object as before where the tags are the same; meminfo: bytes, empty if
    unknown; inaccurate: 0 or not; profiling, consistent: as a snapshot says it, None if unknown."""

    time: float
    taken: float
    boot: str | None
    keys: Sequence[Key]
    bytes: array[int]
    calls: array[int]
    meminfo: Mapping[str, int]
    inaccurate: Sequence[int]
    host: str = ""
    kernel: str = ""
    profiling: bool | None = None
    consistent: bool | None = None


class Series:
    """A folder of listings. `warnings` says what cannot be read and how times are known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []

    def points(self, since: float | None = None, until: float | None = None) -> list[Point]:
        """What was taken from `since` to `until`, both included, in seconds since 1970, oldest
        first."""
        raise NotImplementedError

    def open(self, point: Point) -> Saved:
        """One listing, to be read like a file. SourceError, FormatError."""
        raise NotImplementedError

    def boot_of(self, point: Point) -> str | None:
        """The id of the boot of a listing; None if unknown."""
        raise NotImplementedError

    def samples(self, points: Sequence[Point], filter: Filter) -> Iterator[Listed]:
        """The matching tags of each, those of a boot in the order in which they were taken; what
        cannot be read is left out, with a warning."""
        raise NotImplementedError

    def in_order(self, points: Sequence[Point]) -> list[Point]:
        """As they were taken, boot by boot, whatever the clock said."""
        return list(points)

    def at(self, when: float) -> Point:
        """The last listing at or before `when`, in seconds since 1970. SourceError if there is
        none."""
        points = self.points(until=when)
        if points:
            return points[-1]
        later = self.points()
        if not later:
            raise SourceError(f"{self.folder} holds no listing that can be read")
        raise SourceError(
            f"{self.folder} has no listing from that time or before",
            f"the oldest is of {datetime.fromtimestamp(later[0].time).astimezone():%F %T %z}",
        )


class _Recorded(Series):
    """What `allocq record` writes."""

    def __init__(self, folder: Path) -> None:
        from ..storage.recording.reader import Recording

        super().__init__(folder)
        self._recording = Recording(folder)
        self.warnings = self._recording.warnings

    def points(self, since: float | None = None, until: float | None = None) -> list[Point]:
        found = self._recording.points(_nanoseconds(since), _nanoseconds(until))
        points = [
            Point(at.time / _NANOSECONDS, TimeFrom.SAMPLE, at.path, at.id, at.whole) for at in found
        ]
        # A clock that was set back puts later rows at earlier times.
        return sorted(points, key=lambda point: (point.time, str(point.path), point.row))

    def in_order(self, points: Sequence[Point]) -> list[Point]:
        by_row = {(point.path, point.row): point for point in points}
        # As they were written, one database after the other.
        order = {path: number for number, path in enumerate(self._recording.paths)}
        rows = _rows_of(sorted(points, key=lambda point: (order[point.path], point.row)))
        return [by_row[row.path, row.id] for row in self._recording.in_order(rows)]

    def open(self, point: Point) -> Saved:
        from ..storage.recording.listing import snapshot_of

        sample = self._recording.read(*_rows_of([point]))
        if sample is None:
            raise SourceError(self.warnings[-1])
        facts = self._recording.facts(point.path)
        return in_memory(b"".join(snapshot_of(sample, facts)), point.words)

    def boot_of(self, point: Point) -> str | None:
        return self._recording.boot_of(*_rows_of([point]))

    def samples(self, points: Sequence[Point], filter: Filter) -> Iterator[Listed]:
        subjects: Sequence[bytes] | None = None
        keys: list[Key] = []
        rows: list[int] = []
        host = self._recording.facts(points[0].path).get("host", "") if points else ""
        for sample in self._recording.each(self._recording.in_order(_rows_of(points))):
            if sample.subjects is not subjects:
                subjects = sample.subjects
                keys, rows = _matching(subjects, filter)
            now = sample.counters
            sizes, calls = now.bytes, now.calls
            if len(rows) < len(now):
                sizes, calls = (
                    array("q", [column[row] for row in rows]) for column in (sizes, calls)
                )
            yield Listed(
                sample.moment.boottime / _NANOSECONDS,
                sample.moment.time / _NANOSECONDS,
                sample.moment.boot or None,
                keys,
                sizes,
                calls,
                sample.meminfo,
                [now.inaccurate[row] for row in rows],
                host,
                sample.moment.kernel,
                sample.moment.profiling,
                sample.moment.consistent,
            )


def _matching(subjects: Sequence[bytes], filter: Filter) -> tuple[list[Key], list[int]]:
    """The keys of the tags that match, and their places among the subjects."""
    # Each tag holds its own number.
    lines = b"".join(b"%12d %8d %b \n" % (at, 0, each) for at, each in enumerate(subjects))
    with in_memory(header("2.0") + lines, "the tags of a recording") as source:
        table = source.read().table
    Matcher(filter).apply(table)
    return keys_of(table), table.column("bytes")


class _Folder(Series):
    """Snapshots, and what a loop of `cat /proc/allocinfo` saved, gzip or not."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str] = (),
        points: Sequence[Point] | None = None,
        vmlinux: str | None = None,
    ) -> None:
        """names: the files in the folder that may be listings; points: those that are, if known;
        vmlinux: for the crash dumps among them."""
        super().__init__(folder)
        self._vmlinux = vmlinux
        self._names = names
        self._found: list[Point] | None = None
        if points is not None:
            self._keep(points)

    def points(self, since: float | None = None, until: float | None = None) -> list[Point]:
        low = float("-inf") if since is None else since
        high = float("inf") if until is None else until
        return [point for point in self._all() if low <= point.time <= high]

    def _all(self) -> list[Point]:
        if self._found is None:
            found = []
            for name in self._names:
                path = self.folder / name
                try:
                    if _may_be_listing(path):
                        found.append(_point_of(path))
                except AllocqError as error:
                    self.warnings.append(f"skipped {path}: {error}")
            return self._keep(found)
        return self._found

    def _keep(self, points: Sequence[Point]) -> list[Point]:
        self._found = sorted(points, key=lambda point: (point.time, str(point.path)))
        self._tell_times(self._found)
        return self._found

    def _tell_times(self, points: Sequence[Point]) -> None:
        """Say which times are guessed."""
        for origin, whose in (
            (TimeFrom.NAME, ("the time in its name is", "the times in their names are")),
            (TimeFrom.MODIFIED, ("its modification time is", "their modification times are")),
        ):
            some = [point for point in points if point.origin == origin]
            if len(some) == 1:
                self.warnings.append(f"{some[0].path} has no time in it: {whose[0]} used")
            elif some:
                self.warnings.append(f"{len(some)} files have no time in them: {whose[1]} used")

    def boot_of(self, point: Point) -> str | None:
        with self.open(point) as source:
            nothing = Filter(min_calls=NO_MAXIMUM, max_size=0)
            return source.read(nothing).info.metadata.get("boot-id")

    def open(self, point: Point) -> Saved:
        source = open_one(point.path, vmlinux=self._vmlinux)
        assert isinstance(source, Saved)
        return source

    def samples(self, points: Sequence[Point], filter: Filter) -> Iterator[Listed]:
        for point in points:
            try:
                with self.open(point) as source:
                    snapshot = source.read(filter)
            except AllocqError as error:
                self.warnings.append(f"skipped {point.path}: {error}")
                continue
            table, metadata = snapshot.table, snapshot.info.metadata
            yield Listed(
                point.time,
                point.time,
                metadata.get("boot-id"),
                keys_of(table),
                array("q", table.raw_column("bytes")),
                array("q", table.raw_column("calls")),
                saved_meminfo(metadata),
                table.column("inaccurate"),
                metadata.get("host", ""),
                snapshot.info.kernel or "",
                False if metadata.get("profiling") == "off" else None,
                {"yes": True, "no": False}.get(metadata.get("consistent", "")),
            )


def _point_of(path: Path, vmlinux: str | None = None) -> Point:
    """A saved listing, and when it was saved. AllocqError if it is none."""
    with open_one(path, vmlinux=vmlinux) as source:
        info = source.read(Filter()).info
    if info.time is not None:
        return Point(info.time, TimeFrom.HEADER, path)
    named = time_in_name(path.name)
    if named is not None:
        return Point(named, TimeFrom.NAME, path)
    return Point(os.stat(path).st_mtime, TimeFrom.MODIFIED, path)


def open_series(folder: str | os.PathLike[str]) -> Series:
    """The recording, or the saved listings, in a folder. SourceError, AccessError."""
    path = Path(folder)
    try:
        if os.stat(path).st_dev in _not_on_disk():
            raise SourceError(f"{path} holds no saved listings")
        names = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
    except PermissionError as error:
        raise AccessError(f"cannot read {path}: {error.strerror}") from None
    except FileNotFoundError:
        raise SourceError(f"no such directory: {path}", _MAKES_ONE) from None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    if any(schema.NAME.fullmatch(name) for name in names):
        return _Recorded(path)
    names = [name for name in names if not name.startswith(".")]
    if not names:
        raise SourceError(f"{path} holds no recording and no saved listing", _MAKES_ONE)
    return _Folder(path, names)


def _not_on_disk() -> set[int]:
    """The file systems whose files are better not read to see what is in them. In a bare root, the
    places are plain directories."""
    found = set()
    for path in ("/proc", "/sys", "/dev"):
        with contextlib.suppress(OSError):
            if os.path.ismount(path):
                found.add(os.stat(path).st_dev)
    return found


def _may_be_listing(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return looks_like_listing(file.fileno())
    except OSError as error:
        raise AccessError(f"cannot read {path}: {error.strerror}") from None


def open_files(paths: Sequence[str], vmlinux: str | None = None) -> Series:
    """Some saved listings as a series; vmlinux: for crash dumps. SourceError, FormatError if one
    cannot be read."""
    points = [_point_of(Path(path), vmlinux) for path in paths]
    return _Folder(Path(paths[0]), points=points, vmlinux=vmlinux)


_DATE = r"(?P<y>(?:19|20)\d\d)[-_.]?(?P<m>0[1-9]|1[0-2])[-_.]?(?P<d>0[1-9]|[12]\d|3[01])"
_CLOCK = (
    r"(?:[-_.T ]+(?P<H>[01]\d|2[0-3])[-_.:h]?(?P<M>[0-5]\d)(?:[-_.:m]?(?P<S>[0-5]\d))?(?P<Z>Z)?)?"
)
_IN_NAME = re.compile(rf"(?<!\d){_DATE}(?:{_CLOCK})(?!\d)")
_EPOCH = re.compile(r"(?<!\d)(1\d{9})(?!\d)")


def time_in_name(name: str) -> float | None:
    """Seconds since 1970 from a file name like `allocinfo-2025-11-23_0620.txt`, `20251123T062037Z`
    or `alloc.1763879237`; local time without a Z. None if there is none."""
    if match := _IN_NAME.search(name):
        parts = [int(match[key] or 0) for key in "ymdHMS"]
        try:
            when = datetime(*parts)  # type: ignore[arg-type]
            return (when.replace(tzinfo=UTC) if match["Z"] else when).timestamp()
        except (ValueError, OverflowError):
            return None
    match = _EPOCH.search(name)
    return float(match[1]) if match else None


def _rows_of(points: Sequence[Point]) -> list[Row]:
    """The same in their databases."""
    from ..storage.recording.reader import Point as Row

    return [Row(at.path, at.row, 0, at.whole) for at in points]


def _nanoseconds(seconds: float | None) -> int | None:
    """Cut to what a database holds: until the year 2262."""
    if seconds is None:
        return None
    most = (1 << 63) - 1
    return round(min(max(seconds * _NANOSECONDS, -most), most))
