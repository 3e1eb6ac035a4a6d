"""Where top gets its readings: the running kernel, or a recording at any of its samples."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from ...analysis.board import Board, Within
from ...analysis.diff import Key
from ...analysis.excerpt import note_of
from ...errors import SourceError, UsageError
from ...model import Filter, Info
from ...output.top import place_of
from ...sources.matcher import Matcher
from ...sources.replay import Replay
from ...sources.source import ALLOCINFO
from ...sources.watching import Watcher
from ...storage.compression import pack, packer
from ...storage.files import save
from ...storage.snapshot import live_metadata, snapshot_text
from .callers import Taking, words_of


class Feed(Protocol):
    """Gives a board its readings. All but `position` raise SourceError and its kinds."""

    board: Board

    @property
    def position(self) -> tuple[int, int] | None:
        """Which sample of how many is shown, from 1; None for the running kernel."""

    def advance(self, filter: Filter) -> bool:
        """Take the next reading. False if there is none yet."""

    def ask(self, filter: Filter) -> None:
        """Read again, for another filter."""

    def matches(self, filter: Filter) -> bool:
        """Does a tag match?"""

    def mark(self) -> None:
        """Set the mark at what is shown."""

    def step(self, filter: Filter, by: int) -> bool:
        """Show another sample. False if that is as far as it goes."""

    def jump(self, filter: Filter, when: float) -> None:
        """Show the last sample at or before `when`, in seconds since 1970."""

    def take(self, key: Key, by: str | None, within: Within, filter: Filter, live: bool) -> Taking:
        """Begin to take the stacks that allocate through a tag or a group, within others.

        filter: of the list; live: only what is not freed. UsageError.
        """

    def save(self, path: str, filter: Filter, fresh: bool) -> None:
        """Save a snapshot of the tags that match. fresh: of now, not of what was read last.
        OutputError, UsageError."""


class LiveFeed:
    """The running kernel."""

    def __init__(self, watcher: Watcher) -> None:
        self.board = Board()
        self._watcher = watcher

    @property
    def position(self) -> None:
        return None

    def advance(self, filter: Filter) -> bool:
        self.board.feed(self._watcher.read(filter))
        return True

    def ask(self, filter: Filter) -> None:
        self.board.feed(self._watcher.read(filter), instead=True)

    def matches(self, filter: Filter) -> bool:
        return len(self._watcher.source.read(filter)) > 0

    def mark(self) -> None:
        self.board.mark()

    def step(self, filter: Filter, by: int) -> bool:
        return False

    def jump(self, filter: Filter, when: float) -> None:
        raise SourceError("only a recording can be replayed", "allocq top --source DIR")

    def take(self, key: Key, by: str | None, within: Within, filter: Filter, live: bool) -> Taking:
        what = " ".join(part for part in place_of(key, by) if part)
        what += " and below" if by == "directory" else ""
        words = words_of(key, by, within, filter)
        path = self._watcher.source.path
        if path != ALLOCINFO:
            words.insert(0, f"--source={path}")
        return Taking(what, words, live)

    def save(self, path: str, filter: Filter, fresh: bool) -> None:
        packing = packer(path)
        snapshot = self._watcher.snapshot
        if fresh or snapshot is None:
            snapshot = self._watcher.source.read(filter)
            pieces = snapshot_text(snapshot.info, snapshot.table, snapshot.filter, True)
        else:
            info = _frozen(snapshot.info)
            pieces = snapshot_text(info, snapshot.table, snapshot.filter, False)
        save(path, pack(pieces, packing) if packing else pieces)


def _frozen(info: Info) -> Info:
    """The facts about tags that were read some time ago: memory was not looked at then."""
    metadata = live_metadata(info)
    for name in ("meminfo", "free-on-cpus"):
        metadata.pop(name, None)
    return replace(info, metadata=metadata | {"interface": info.interface})


class ReplayFeed:
    """A recording, or a folder of saved listings. at: where to begin; None: with the first."""

    def __init__(self, replay: Replay, filter: Filter, at: float | None) -> None:
        self._replay = replay
        self._mark: int | None = None
        self.board = Board()
        first = 0 if at is None else replay.find(at)
        for position in range(first, len(replay.points)):
            try:
                self._show(position, filter)
            except SourceError:  # damaged
                if position + 1 == len(replay.points):
                    raise
            else:
                break

    @property
    def position(self) -> tuple[int, int]:
        return self._replay.position + 1, len(self._replay.points)

    def advance(self, filter: Filter) -> bool:
        return self.step(filter, 1)

    def ask(self, filter: Filter) -> None:
        self._show(self._replay.position, filter)

    def matches(self, filter: Filter) -> bool:
        board = self._replay.board_at(self._replay.position, filter)
        return board.reading is not None and len(board.reading.keys) > 0

    def mark(self) -> None:
        self._mark = self._replay.position
        self.board.mark()

    def step(self, filter: Filter, by: int) -> bool:
        replay = self._replay
        if by > 0 and replay.position + by >= len(replay.points):
            replay.look_again()
        wanted = min(max(0, replay.position + by), len(replay.points) - 1)
        if wanted == replay.position:
            return False
        if wanted == replay.position + 1 and replay.step(self.board, wanted, filter):
            replay.position = wanted
        else:
            self._show(wanted, filter)
        return True

    def jump(self, filter: Filter, when: float) -> None:
        self._replay.look_again()
        self._show(self._replay.find(when), filter)

    def _show(self, position: int, filter: Filter) -> None:
        self._replay.position = position
        self.board = self._replay.board_at(position, filter, self._mark)

    def take(self, key: Key, by: str | None, within: Within, filter: Filter, live: bool) -> Taking:
        raise UsageError("w is for the running kernel: a recording has no stacks")

    def save(self, path: str, filter: Filter, fresh: bool) -> None:
        packing = packer(path)
        replay = self._replay
        with replay.series.open(replay.points[replay.position]) as source:
            snapshot = source.read(Filter())
        excerpt = note_of(snapshot.table.column("bytes"), snapshot.info)
        Matcher(filter).apply(snapshot.table)
        pieces = snapshot_text(snapshot.info, snapshot.table, filter, False, excerpt)
        save(path, pack(pieces, packing) if packing else pieces)


def default_name(when: float | None) -> str:
    """A name for a snapshot, with a time that allocq reads back."""
    moment = datetime.fromtimestamp(time.time() if when is None else when)
    return f"allocq-{moment:%F_%H%M%S}.txt.gz"
