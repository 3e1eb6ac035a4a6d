"""Joins the files of one host and hour into one.

A sample that several of them have, of one boot and time, is taken from one of them: the one that
has most of its rows.

The hour gets a new directory, which changes places with the old one in a single step: whoever lists
`date=*/hour=*/*.parquet` finds either all files from before or the joined ones, and a file that was
listed before and is opened after is missing, never read twice. Where the file system cannot let
two directories change places, the hour is missing for a moment between two renames instead.

Killed at any point, nothing is lost and no such list has a row twice; the next compaction finishes
or undoes what was left. Beside `hour=HH` there may be:

    .compact-HH     the new directory before they changed places, the old one after that
    .old-HH         the old directory, where the file system cannot let them change places
    hour=HH/.joined made last in the new directory: what of the old one was joined (JSON), until the
                    old one is gone
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import heapq
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.exchange import exchange
from ...errors import AccessError, AllocqError, FormatError, OutputError, SourceError
from ...host.opening import open_regular
from ..files import save_at
from . import arrow
from .folder import FOLDER_BELOW, names_in
from .reading import Instant, Run, parts_of, rows_by_sample, runs_of, without
from .schema import PARTS_KEY, file_name, hour_of_partition, is_data

if TYPE_CHECKING:
    from arro3.core import RecordBatch

_MARK = ".joined"
_UNREADY = ".tmp"
_LEFT = re.compile(r"\.allocq-[0-9a-f]{16}")
"""What a writer that was killed left."""
_CANNOT_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of an hour. path: its directory; joined: how many files became `made`; rows: in
    these; before, after: their bytes; repeated: how often a sample was there once more."""

    path: Path
    joined: int
    made: int
    rows: int
    before: int
    after: int
    repeated: int = 0


def compact(root: Path, warn: Warn) -> Iterator[Compacted]:
    """Join the files of each host and hour below the root, one hour after the other, oldest first;
    hours in which nothing is to do are left out. warn: takes what was passed over and why.

    MissingExtraError; SourceError or AccessError if the root cannot be read, OutputError if it
    cannot be written or is full. What was yielded stays done.
    """
    arrow.check_extra()
    for date_name, hours in _partitions(root, warn):
        try:
            date = os.open(root / date_name, FOLDER_BELOW)
        except OSError as error:
            warn(f"skipped {root / date_name}: {error.strerror}")
            continue
        try:
            for hour_name in hours:
                if (done := _compact_hour(root, date, date_name, hour_name, warn)) is not None:
                    yield done
        finally:
            os.close(date)


def _partitions(root: Path, warn: Warn) -> Iterator[tuple[str, Sequence[str]]]:
    try:
        dates = sorted(os.listdir(root))
    except PermissionError as error:
        raise AccessError(f"cannot read {root}: {error.strerror}") from None
    except OSError as error:
        raise SourceError(f"cannot read {root}: {error.strerror}") from None
    for date in dates:
        if not date.startswith("date="):
            continue
        try:
            names = os.listdir(root / date)
        except OSError as error:
            warn(f"skipped {root / date}: {error.strerror}")
            continue
        # An hour whose compaction was interrupted between two renames has no hour=HH.
        hours = {f"hour={name.rpartition('-')[2]}" for name in names if _is_passing(name)}
        hours.update(name for name in names if name.startswith("hour="))
        good = [hour for hour in sorted(hours) if hour_of_partition(date, hour)]
        if good:
            yield date, good


def _is_passing(name: str) -> bool:
    return name.startswith((".compact-", ".old-"))


def _compact_hour(
    root: Path, date: int, date_name: str, hour_name: str, warn: Warn
) -> Compacted | None:
    path = root / date_name / hour_name
    try:
        fcntl.flock(date, fcntl.LOCK_EX)
    except OSError as error:
        raise OutputError(
            f"cannot lock {path.parent}: {error.strerror}",
            "compact on a file system that has locks",
        ) from None
    try:
        return _Hour(date, path, warn).compact()
    except OSError as error:
        raise OutputError(f"cannot compact {path}: {error.strerror or error}") from None
    finally:
        fcntl.flock(date, fcntl.LOCK_UN)


@dataclass(slots=True)
class _Group:
    """Files of one host. parts: what they were made from."""

    name: str
    files: list[str]
    parts: list[str]


class _Hour:
    """One hour in an open directory of a date, which is locked."""

    def __init__(self, date: int, path: Path, warn: Warn) -> None:
        self._date, self._path, self._warn = date, path, warn
        self._hour = path.name
        number = self._hour.removeprefix("hour=")
        self._work, self._old = f".compact-{number}", f".old-{number}"

    def compact(self) -> Compacted | None:
        """None if nothing is to do. OSError, OutputError."""
        self._heal()
        try:
            live = os.open(self._hour, FOLDER_BELOW, dir_fd=self._date)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            self._warn(f"skipped {self._path}: not a directory")
            return None
        try:
            groups = self._groups(live)
            if not groups:
                return None
            return self._join(live, groups)
        finally:
            os.close(live)

    def _groups(self, live: int) -> list[_Group]:
        """The files that can be joined, by host."""
        groups: dict[str, _Group] = {}
        hour = hour_of_partition(self._path.parent.name, self._hour)
        assert hour is not None
        for name in sorted(names_in(live)):
            if not is_data(name):
                continue
            try:
                with open_regular(live, name) as file:
                    host, parts = parts_of(file, str(self._path / name))
            except (AllocqError, OSError) as error:
                self._warn(f"skipped {_words(error, self._path / name)}")
                continue
            if host is not None:
                group = groups.setdefault(host, _Group("", [], []))
                group.files.append(name)
                group.parts += parts or [name]
        for host, group in groups.items():
            group.parts = sorted(set(group.parts))
            group.name = file_name(host, hour, "joined", *group.parts)
        return [group for group in groups.values() if len(group.files) > 1]

    def _join(self, live: int, groups: Sequence[_Group]) -> Compacted | None:
        os.mkdir(self._work, 0o700, dir_fd=self._date)
        work = os.open(self._work, FOLDER_BELOW, dir_fd=self._date)
        try:
            status = os.fstat(live)
            os.fchmod(work, stat.S_IMODE(status.st_mode))
            with contextlib.suppress(PermissionError):
                os.fchown(work, status.st_uid, status.st_gid)
            joined = []
            rows = after = before = repeated = 0
            for group in groups:
                try:
                    counts = self._write(live, work, group)
                except (FormatError, SourceError) as error:
                    self._warn(f"skipped {_words(error, self._path)}")
                    continue
                rows, repeated = rows + counts.rows_out, repeated + counts.repeated
                joined += group.files
                after += os.stat(_unready(group.name), dir_fd=work).st_size
                before += sum(os.stat(name, dir_fd=live).st_size for name in group.files)
            if not joined:
                self._discard(self._work)
                return None
            made = [_unready(group.name) for group in groups if group.files[0] in joined]
            self._put_in_place(live, work, joined, made)
        except BaseException:
            # After the exchange this is the old directory, and what is in it is sorted out.
            with contextlib.suppress(OSError):
                self._heal()
            raise
        finally:
            os.close(work)
        return Compacted(self._path, len(joined), len(made), rows, before, after, repeated)

    def _write(self, live: int, work: int, group: _Group) -> _Counts:
        """Write the rows of some files into one, whose name is not yet that of data."""
        counts = _Counts()
        tallies = []
        for name in group.files:
            with open_regular(live, name) as file:
                tallies.append(rows_by_sample(file, str(self._path / name)))
        elsewhere = _elsewhere(tallies)
        counts.repeated = sum(map(len, elsewhere))
        expected = sum(
            rows
            for tally, others in zip(tallies, elsewhere, strict=True)
            for sample, rows in tally.items()
            if sample not in others
        )
        schema = arrow.schema({PARTS_KEY: json.dumps(group.parts)})
        with contextlib.ExitStack() as stack:
            streams = []
            for name, others in zip(group.files, elsewhere, strict=True):
                file = stack.enter_context(open_regular(live, name))
                runs = runs_of(file, str(self._path / name))
                streams.append(without(runs, others) if others else runs)
            modes = [os.stat(name, dir_fd=live).st_mode & 0o044 for name in group.files]

            def fill(fd: int) -> None:
                with open(fd, "wb", closefd=False) as out:
                    arrow.write(out, schema, counts.out(_merged(streams)))
                if counts.rows_out != expected:
                    raise OutputError(f"{self._path}: rows were lost in joining its files")
                os.fchmod(fd, 0o600 | min(modes))

            save_at(work, _unready(group.name), str(self._path / group.name), fill)
        return counts

    def _put_in_place(
        self, live: int, work: int, joined: Sequence[str], made: Sequence[str]
    ) -> None:
        for name in set(os.listdir(live)) - set(joined):
            if _LEFT.fullmatch(name):
                continue
            status = os.stat(name, dir_fd=live, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                os.link(name, name, src_dir_fd=live, dst_dir_fd=work, follow_symlinks=False)
        for name in made:
            os.rename(name, name.removesuffix(_UNREADY), src_dir_fd=work, dst_dir_fd=work)
        save_at(work, _MARK, str(self._path / _MARK), lambda fd: _put(fd, json.dumps(list(joined))))
        os.fsync(work)
        try:
            exchange(self._date, self._work, self._hour)
        except OSError as error:
            if error.errno not in _CANNOT_EXCHANGE:
                raise
            os.rename(self._hour, self._old, src_dir_fd=self._date, dst_dir_fd=self._date)
            os.rename(self._work, self._hour, src_dir_fd=self._date, dst_dir_fd=self._date)
        os.fsync(self._date)
        self._heal()

    def _heal(self) -> None:
        """Finish or undo what was interrupted."""
        if self._exists(self._old):
            if self._exists(self._work):
                self._move_in()
            self._sort_out(self._old)
        elif self._exists(self._work):
            if self._exists(f"{self._hour}/{_MARK}"):
                self._sort_out(self._work)
            else:
                self._discard(self._work)
        if self._exists(f"{self._hour}/{_MARK}"):
            os.unlink(f"{self._hour}/{_MARK}", dir_fd=self._date)

    def _exists(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._date, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _move_in(self) -> None:
        """The new directory did not get its name: whoever made another one gets its files."""
        try:
            os.rename(self._work, self._hour, src_dir_fd=self._date, dst_dir_fd=self._date)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return
        with _folder(self._date, self._work) as work, _folder(self._date, self._hour) as live:
            for name in sorted(os.listdir(work), key=lambda name: name != _MARK):
                os.rename(name, name, src_dir_fd=work, dst_dir_fd=live)
            os.fsync(live)
        os.rmdir(self._work, dir_fd=self._date)

    def _sort_out(self, name: str) -> None:
        """Empty the old directory: what was joined is removed, what came in meanwhile is kept."""
        with _folder(self._date, name) as old, _folder(self._date, self._hour) as live:
            joined = set(_read_mark(live))
            for _ in range(100):
                for each in os.listdir(old):
                    if each in joined or _LEFT.fullmatch(each) or _is_newer(live, old, each):
                        os.unlink(each, dir_fd=old)
                    else:
                        os.rename(each, each, src_dir_fd=old, dst_dir_fd=live)
                os.fsync(live)
                try:
                    os.rmdir(name, dir_fd=self._date)
                except OSError as error:
                    if error.errno != errno.ENOTEMPTY:
                        raise
                else:
                    return
        raise OutputError(f"{self._path}: files are being written to its old directory")

    def _discard(self, name: str) -> None:
        with _folder(self._date, name) as work:
            for each in os.listdir(work):
                os.unlink(each, dir_fd=work)
        os.rmdir(name, dir_fd=self._date)


class _Counts:
    """How many rows went out, and how often a sample was there once more."""

    def __init__(self) -> None:
        self.rows_out = self.repeated = 0

    def out(self, batches: Iterator[RecordBatch]) -> Iterator[RecordBatch]:
        for rows in batches:
            self.rows_out += rows.num_rows
            yield rows


def _elsewhere(tallies: Sequence[Counter[Instant]]) -> list[set[Instant]]:
    """Of each file, the samples that are taken from another one."""
    owners: dict[Instant, int] = {}
    for number, tally in enumerate(tallies):
        for sample, rows in tally.items():
            if sample not in owners or tallies[owners[sample]][sample] < rows:
                owners[sample] = number
    return [
        {sample for sample in tally if owners[sample] != number}
        for number, tally in enumerate(tallies)
    ]


def _merged(streams: Sequence[Iterator[Run]]) -> Iterator[RecordBatch]:
    """The rows of some files that are each in order, in order."""
    merged = heapq.merge(*streams, key=lambda run: run.key)
    for _, runs in groupby(merged, key=lambda run: run.key):
        some = sorted(runs, key=lambda run: run.first)
        if all(one.last <= other.first for one, other in pairwise(some)):
            yield from (run.rows for run in some)
            continue
        times = [time for run in some for time in run.rows.column("time").to_pylist()]
        order = sorted(range(len(times)), key=times.__getitem__)
        yield arrow.joined((run.rows for run in some), order)


@contextlib.contextmanager
def _folder(date: int, name: str) -> Iterator[int]:
    fd = os.open(name, FOLDER_BELOW, dir_fd=date)
    try:
        yield fd
    finally:
        os.close(fd)


def _words(error: Exception, path: Path) -> str:
    if isinstance(error, OSError) and not isinstance(error, AllocqError):
        return f"{path}: {error.strerror or error}"
    return str(error)


def _unready(name: str) -> str:
    return name + _UNREADY


def _read_mark(folder: int) -> list[str]:
    """What was joined; nothing if there is no mark, so that nothing is removed."""
    try:
        with open_regular(folder, _MARK) as file:
            names = json.loads(file.read(1 << 24))
    except (OSError, ValueError, RecursionError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _is_newer(live: int, old: int, name: str) -> bool:
    """Is there a file of this name that is the same or was written later?"""
    try:
        one, other = (os.stat(name, dir_fd=each, follow_symlinks=False) for each in (live, old))
    except FileNotFoundError:
        return False
    return one.st_mtime_ns >= other.st_mtime_ns


def _put(fd: int, text: str) -> None:
    with open(fd, "w", closefd=False) as file:
        file.write(text)
