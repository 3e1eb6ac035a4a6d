"""Reads a recording, beside its writer or without one.

A damaged page or sample costs the samples that depend on it and no others; `warnings` says so.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from ...errors import AccessError, FormatError, SourceError
from . import schema
from .counters import (
    DamagedError,
    apply_changes,
    unpack_all,
    unpack_positions,
)
from .sample import Moment, Sample
from .sqlite import sqlite3

_COLUMNS = (
    "id, time, boottime, boot, kernel, interface, content_id, consistent, profiling, layout, base,"
    " counters, lowest, highest, seconds, meminfo, keys"
)
_TAKEN = "SELECT id, time, boottime, boot, kernel FROM samples"


@dataclass(frozen=True)
class Point:
    """A sample in the table of contents: which database, which row, when (nanoseconds), and whether
    it is a whole one, which is read by itself."""

    path: Path
    id: int
    time: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """When a sample was taken, without its counters: nanoseconds since 1970 and since the boot."""

    path: Path
    id: int
    time: int
    boottime: int
    boot: str
    kernel: str


class Recording:
    """The recording in a directory. SourceError if there is none."""

    def __init__(self, folder: str | os.PathLike[str], paths: Sequence[Path] | None = None) -> None:
        """paths: only these of its databases."""
        self.folder = folder = Path(folder)
        self.warnings: list[str] = []
        if paths is not None:
            self.paths = list(paths)
            return
        try:
            self.paths = schema.databases(folder)
        except PermissionError as error:
            raise AccessError(f"cannot read {folder}: {error.strerror}") from None
        except OSError as error:
            raise SourceError(f"cannot read {folder}: {error.strerror}") from None
        if not self.paths:
            raise SourceError(f"{folder} holds no recording")

    @classmethod
    def of(cls, path: Path) -> Recording:
        """One database alone."""
        return cls(path.parent, [path])

    def facts(self, path: Path) -> dict[str, str]:
        """What a database says of all its samples: host, possible-cpus, filter."""
        try:
            with _Database(path) as database:
                return database.facts()
        except (sqlite3.Error, FormatError) as error:
            self._damaged(path, error)
            return {}

    def read(self, point: Point) -> Sample | None:
        """One sample; None, and a warning, if it is damaged."""
        try:
            with _Database(point.path) as database:
                return database.sample(point.id)
        except (sqlite3.Error, DamagedError, FormatError) as error:
            self._damaged(point.path, error)
            return None

    def taken(self, path: Path) -> list[Taken]:
        """When the samples of a database were taken, in the order they were; what cannot be read is
        left out, with a warning."""
        found = []
        try:
            with _Database(path) as database:
                with contextlib.suppress(sqlite3.DatabaseError, DamagedError):
                    return [Taken(path, *row) for row in database.all_taken()]
                ids, lost = database.ids(-(1 << 63), (1 << 63) - 1)
                if lost is not None:
                    self._damaged(path, lost)
                for id, _, _ in ids:
                    try:
                        found.append(Taken(path, id, *database.taken(id)))
                    except (sqlite3.DatabaseError, DamagedError) as error:
                        self._damaged(path, error)
        except (sqlite3.Error, FormatError) as error:
            self._damaged(path, error)
        return found

    def boot_of(self, point: Point) -> str | None:
        """The boot of a sample; None if it cannot be read."""
        try:
            with _Database(point.path) as database:
                return database.since_boot(point.id)[0] or None
        except (sqlite3.Error, DamagedError, FormatError) as error:
            self._damaged(point.path, error)
            return None

    def points(self, since: int | None = None, until: int | None = None) -> list[Point]:
        """The samples from `since` to `until`, both included, in the order they were taken; times
        are nanoseconds since 1970."""
        found: list[Point] = []
        for path in self.paths:
            start = schema.start_of(schema.day_in_name(path))
            if until is not None and start > until:
                continue
            if since is not None and start + 86_400 * schema.NANOSECONDS <= since:
                continue
            found += self._points(path, since, until)
        return found

    def _points(self, path: Path, since: int | None, until: int | None) -> Iterator[Point]:
        low = -(1 << 63) if since is None else since
        high = (1 << 63) - 1 if until is None else until
        try:
            with _Database(path) as database:
                ids, lost = database.ids(low, high)
                if lost is not None:
                    self._damaged(path, lost)
        except (sqlite3.Error, FormatError) as error:
            self._damaged(path, error)
            return
        for id, time, whole in ids:
            yield Point(path, id, time, bool(whole))

    def at(self, time: int) -> Sample | None:
        """The last sample at or before `time`, in nanoseconds since 1970; None if there is none."""
        for path in reversed(self.paths):
            if schema.start_of(schema.day_in_name(path)) > time:
                continue
            points = sorted(
                self._points(path, None, time), key=lambda point: (point.time, point.id)
            )
            for point in reversed(points):
                sample = self.read(point)
                if sample is not None:
                    return sample
        return None

    def samples(self, since: int | None = None, until: int | None = None) -> Iterator[Sample]:
        """The samples from `since` to `until`, both included, in nanoseconds since 1970, one after
        the other; damaged ones are left out, with a warning."""
        yield from self.each(self.points(since, until))

    def in_order(self, points: Sequence[Point]) -> list[Point]:
        """As they were taken, boot by boot, whatever the clock said; what cannot be read is left
        out."""
        boots: dict[str, list[tuple[int, Point]]] = {}
        for path, some in groupby(points, key=lambda point: point.path):
            try:
                with _Database(path) as database:
                    for point in some:
                        try:
                            boot, boottime = database.since_boot(point.id)
                        except (sqlite3.DatabaseError, DamagedError) as error:
                            self._damaged(path, error)
                        else:
                            boots.setdefault(boot, []).append((boottime, point))
            except (sqlite3.Error, FormatError) as error:
                self._damaged(path, error)
        taken = (sorted(each, key=lambda pair: pair[0]) for each in boots.values())
        return [point for each in taken for _, point in each]

    def each(self, points: Sequence[Point]) -> Iterator[Sample]:
        """These samples, in this order; damaged ones are left out."""
        for path, some in groupby(points, key=lambda point: point.path):
            yield from self._samples(path, [point.id for point in some])

    def _samples(self, path: Path, ids: Sequence[int]) -> Iterator[Sample]:
        try:
            with _Database(path) as database:
                for id in ids:
                    try:
                        yield database.sample(id)
                    except (sqlite3.DatabaseError, DamagedError) as error:
                        self._damaged(path, error)
        except (sqlite3.Error, FormatError) as error:
            self._damaged(path, error)

    def __arrow_c_schema__(self) -> object:
        """The columns of allocq-parquet(5), by Arrow's PyCapsule interface. MissingExtraError."""
        from ..parquet.arrow import schema

        return schema().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """All samples, one after the other, for pandas, polars, DuckDB, pyarrow and others, by
        Arrow's PyCapsule interface. MissingExtraError."""
        from ..parquet.arrow import reader, schema
        from ..parquet.hour import each_sample

        made = schema()
        return reader(made, each_sample(self._with_hosts(), made)).__arrow_c_stream__(
            requested_schema
        )

    def _with_hosts(self) -> Iterator[tuple[str, Sample]]:
        for path in self.paths:
            host = self.facts(path).get("host", "")
            for sample in self.each(list(self._points(path, None, None))):
                yield host, sample

    def _damaged(self, path: Path, error: Exception) -> None:
        if isinstance(error, FormatError):
            words = str(error)
        else:
            words = f"{path} is damaged ({error}); what can be read of it is used"
        if words not in self.warnings:
            self.warnings.append(words)


class _Database:
    """One database, open for reading; it remembers the sample that the next one may build on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = read_only(path)
        self._last_id = 0
        self._last: Sample | None = None
        self._layouts: dict[int, Sequence[bytes]] = {}

    def __enter__(self) -> _Database:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def facts(self) -> dict[str, str]:
        return {
            str(key): str(value) for key, value in self._connection.execute("SELECT * FROM facts")
        }

    def ids(self, since: int, until: int) -> tuple[list[tuple[int, int, int]], Exception | None]:
        """(id, time, whole) of the samples in this time, in the order they were taken, and why they
        may not be all. sqlite3.DatabaseError if none can be found."""
        try:
            return self._connection.execute(
                "SELECT id, time, base IS NULL FROM samples WHERE time BETWEEN ? AND ? ORDER BY id",
                (since, until),
            ).fetchall(), None
        except sqlite3.DatabaseError as error:
            found = sorted({*self._salvaged()})
            if not found:
                raise
            return [(id, time, False) for id, time in found if since <= time <= until], error

    def _salvaged(self) -> Iterator[tuple[int, int]]:
        """The rows that can be read of a damaged table, from both of its ends and through its
        index."""
        for select in (
            "SELECT id, time FROM samples INDEXED BY samples_by_time ORDER BY time",
            "SELECT id, time FROM samples NOT INDEXED ORDER BY id",
            "SELECT id, time FROM samples NOT INDEXED ORDER BY id DESC",
        ):
            rows: dict[int, int] = {}
            try:
                for id, time in self._connection.execute(select):
                    rows[id] = time
            except sqlite3.DatabaseError:
                pass
            yield from rows.items()

    def taken(self, id: int) -> tuple[int, int, str, str]:
        """time, boottime, boot and kernel of a sample."""
        row = self._connection.execute(f"{_TAKEN} WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise DamagedError("a sample is missing")
        return _taken(row)[1:]

    def all_taken(self) -> list[tuple[int, int, int, str, str]]:
        """id, time, boottime, boot and kernel of all samples in the order they were taken."""
        return [_taken(row) for row in self._connection.execute(f"{_TAKEN} ORDER BY id")]

    def since_boot(self, id: int) -> tuple[str, int]:
        """The boot of a sample, and its nanoseconds since then."""
        row = self._connection.execute(
            "SELECT boot, boottime FROM samples WHERE id = ?", (id,)
        ).fetchone()
        if row is None:
            raise DamagedError("a sample is missing")
        return str(row[0]), _integer(row[1])

    def sample(self, id: int) -> Sample:
        """A sample by its row. sqlite3.DatabaseError, DamagedError."""
        chain = []
        at: int | None = id
        while at is not None and (at != self._last_id or self._last is None):
            row = self._connection.execute(
                f"SELECT {_COLUMNS} FROM samples WHERE id = ?", (at,)
            ).fetchone()
            if row is None:
                raise DamagedError("a sample that others build on is missing")
            chain.append(row)
            if row[10] is not None and row[10] >= at:
                raise DamagedError("a sample builds on a later one")
            at = row[10]
        before = self._last if at is not None else None
        for row in reversed(chain):
            before = self._decoded(row, before)
        assert before is not None
        self._last_id, self._last = id, before
        return before

    def _decoded(self, row: Sequence[object], before: Sample | None) -> Sample:
        (_, time, boottime, boot, kernel, interface, content, consistent, profiling, layout, base,
         counters, lowest, highest, seconds, meminfo, keys) = row  # fmt: skip
        subjects = self._layout(_integer(layout))
        if base is None:
            now = unpack_all(_blob(counters))
        elif before is None or len(before.counters) != len(subjects):
            raise DamagedError("a sample builds on one of other tags")
        else:
            now = apply_changes(before.counters, _blob(counters))
        if len(now) != len(subjects):
            raise DamagedError("not as many counters as tags")
        moment = Moment(
            _integer(time),
            _integer(boottime),
            str(boot),
            str(kernel),
            str(interface),
            None if content is None else int(str(content)),
            None if consistent is None else bool(consistent),
            None if profiling is None else bool(profiling),
        )
        before_meminfo = before.meminfo if before and base is not None else {}
        return Sample(
            moment,
            subjects,
            now,
            {k: v for k, v in {**before_meminfo, **_numbers(meminfo)}.items() if v >= 0},
            {int(k): v for k, v in _object(keys).items() if isinstance(v, str)},
            _integer(seconds),
            None if lowest is None else apply_changes(now, _blob(lowest)),
            None if highest is None else apply_changes(now, _blob(highest)),
        )

    def _layout(self, id: int) -> Sequence[bytes]:
        if id not in self._layouts:
            row = self._connection.execute(
                "SELECT tags FROM layouts WHERE id = ?", (id,)
            ).fetchone()
            if row is None:
                raise DamagedError("a list of tags is missing")
            ids = unpack_positions(_blob(row[0]))
            subjects = dict(self._connection.execute("SELECT id, subject FROM tags"))
            try:
                self._layouts = {id: [subjects[i] for i in ids]}
            except KeyError:
                raise DamagedError("the name of a tag is missing") from None
        return self._layouts[id]


def read_only(path: Path) -> sqlite3.Connection:
    """A database to read from; where nothing may be written, as it is.

    sqlite3.Error; FormatError also where its log would be left out.
    """
    name = f"file:{quote(str(path.absolute()))}?mode=ro"
    for uri in (name, name + "&immutable=1"):
        # Readers of Arrow take the samples of a stream in another thread than the first.
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=5, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA query_only = 1")
            schema.check_version(connection, path)
        except sqlite3.OperationalError:
            # A read-only file system has no room for the index of the write-ahead log.
            connection.close()
            if uri != name:
                raise
            with contextlib.suppress(FileNotFoundError):
                if os.stat(f"{path}-wal").st_size:
                    raise FormatError(
                        f"{path} has samples in its log, which cannot be read where nothing may be"
                        " written: copy the directory to read them"
                    ) from None
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise AssertionError("unreachable")


def _taken(row: Sequence[object]) -> tuple[int, int, int, str, str]:
    return _integer(row[0]), _integer(row[1]), _integer(row[2]), str(row[3]), str(row[4])


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise DamagedError("a number is missing")
    return value


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise DamagedError("counters are missing")
    return value


def _object(text: object) -> Mapping[str, object]:
    if text is None:
        return {}
    try:
        value = json.loads(str(text))
    except (ValueError, RecursionError):
        raise DamagedError("not JSON") from None
    if not isinstance(value, dict):
        raise DamagedError("not a JSON object")
    return value


def _numbers(text: object) -> dict[str, int]:
    return {k: v for k, v in _object(text).items() if isinstance(v, int)}
