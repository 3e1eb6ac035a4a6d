"""Ships a recording: what is noted as begun is finished, then comes what is missing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol

from ..parquet import arrow
from ..parquet.folder import Fill
from ..parquet.hour import Hour
from ..parquet.reading import Content
from ..parquet.schema import hour_of
from ..recording import schema
from ..recording.reader import Recording
from ..recording.thinning import remove
from .hours import Batch, Contents, gathered, without
from .ledger import Entry, Ledger

Warn = Callable[[str], None]


class Destination(Protocol):
    """Where files go. name: tells it from others, always the same."""

    name: str

    def put(self, hour: datetime, name: str, fill: Fill) -> None: ...
    def put_again(self, hour: datetime, name: str, fill: Fill) -> None: ...
    def samples(self, hour: datetime, host: str) -> set[Content] | None: ...
    def lacks(self, hour: datetime, host: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Shipped:
    """A file that was shipped: its name, and how many samples it has."""

    name: str
    samples: int


def ship(
    folder: Path, destination: Destination, warn: Warn, open_too: bool = False
) -> Iterator[Shipped]:
    """Ship the hours of a recording that are over, one after the other; open_too: the one that is
    not, too. What was yielded is noted as shipped.

    SourceError if there is no recording, UsageError if another process ships it, OutputError.
    """
    arrow.check_extra()
    with contextlib.closing(Ledger(folder)) as ledger:
        recording = Recording(folder)
        contents = Contents(recording)
        identity = ledger.fact("recording", contents.identity())
        blind = False
        for entry in list(ledger.entries(destination.name, done=False)):
            yield from _put(recording, contents.batch_of(entry), entry, destination, ledger, warn)
        shipped = list(ledger.entries(destination.name, done=True))
        noted = {(each.hour, each.host) for each in shipped}
        if noted and all(destination.lacks(_start(hour), host) for hour, host in noted):
            warn(
                f"{destination.name} has nothing of what was shipped to it:"
                f" remove {ledger.path} to ship it again"
            )
        for whole in list(contents.missing(shipped, time.time_ns(), open_too)):
            there = destination.samples(_start(whole.hour), whole.host)
            batch = _left(recording, whole, there or set(), destination, ledger, identity)
            if not batch.taken:
                continue
            entry = batch.entry(identity)
            yield from _put(recording, batch, entry, destination, ledger, warn)
            if there is None and not (noted or blind):
                blind = True
                warn(
                    f"{destination.name} may not be read: what was shipped to it with another"
                    " ledger is shipped again"
                )
        for words in recording.warnings:
            warn(words)
        days = {schema.day_in_name(path) for path in contents.paths}
        ledger.forget(hour for hour in ledger.hours() if schema.day_of(_ns(hour)) not in days)


def _start(hour: int) -> datetime:
    return hour_of(hour * 3_600_000_000)


def remove_shipped(folder: Path, destination: Destination) -> list[Path]:
    """Remove the databases of which every sample was shipped there, but for today's and the newest;
    returns them. SourceError, UsageError, OutputError."""
    with contextlib.closing(Ledger(folder)) as ledger:
        contents = Contents(Recording(folder))
        today = schema.day_of(time.time_ns())
        removed = []
        for path in contents.shipped_whole(ledger.entries(destination.name, done=True)):
            if path != contents.paths[-1] and schema.day_in_name(path) != today:
                remove(path)
                removed.append(path)
    return removed


def _left(
    recording: Recording,
    whole: Batch,
    there: set[Content],
    destination: Destination,
    ledger: Ledger,
    identity: str,
) -> Batch:
    """What has to be shipped of samples that are not noted: a ledger was lost, or is an old one, if
    some are there."""
    left = without(recording, whole, there)
    missing = {(each.path, each.id) for each in left.taken}
    found = [each for each in whole.taken if (each.path, each.id) not in missing]
    if found:
        batch = Batch(whole.hour, whole.host, whole.boot, whole.kernel, found)
        ledger.begin(destination.name, batch.entry(identity), done=True)
    return left


def _put(
    recording: Recording,
    batch: Batch,
    entry: Entry,
    destination: Destination,
    ledger: Ledger,
    warn: Warn,
) -> Iterator[Shipped]:
    resumed = bool(entry.id)
    hour = gathered(recording, batch)
    id = entry.id or ledger.begin(destination.name, entry)
    if hour.rows:
        put = destination.put_again if resumed else destination.put
        put(_start(entry.hour), entry.name, _filling(hour))
    elif resumed and not len(hour):
        warn(f"{entry.name}: its samples were removed from the recording before they were shipped")
    ledger.finish(id)
    if hour.rows:
        yield Shipped(entry.name, len(hour))


def _filling(hour: Hour) -> Fill:
    def fill(file: IO[bytes]) -> None:
        made = arrow.schema()
        arrow.write(file, made, hour.batches(made))

    return fill


def _ns(hour: int) -> int:
    return hour * 3600 * schema.NANOSECONDS
