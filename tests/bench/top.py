"""Measures the CPU of a refresh of `allocq top` with the tags of the installed sample.

    python tests/bench/top.py [ROUNDS]

From one refresh to the next 146 tags change, as on a machine at work; the screen has 50 lines of
160 columns. Parsing the text stands for what the kernel and the engine do; everything else is top's
own: numbers out of the engine, growth, sums, order, layout, curses.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Sequence
from statistics import mean

from common import SAMPLE, on_terminal, show

from allocq.analysis.board import Board
from allocq.analysis.diff import Key, keys_of
from allocq.analysis.reading import Reading
from allocq.commands.top.terminal import need_terminal
from allocq.commands.top.terminal import on_terminal as screen
from allocq.commands.top.viewer import Choices, Viewer
from allocq.core.filter import NativeFilter
from allocq.core.table import Table
from allocq.core.text import parse
from allocq.model import Filter

WHERE = "host"
ROUNDS = 300
CHANGED = 146
LINES, COLUMNS = 50, 160
VIEWS = {
    "tags": Choices(Filter()),
    "tags, by size": Choices(Filter(), sort="bytes"),
    "sums by file": Choices(Filter(), by="file"),
    "sums by directory": Choices(Filter(), by="directory"),
}


class Changing:
    """Feeds what the sample would be if it lived. reading: CPU seconds spent to make and
    parse the text."""

    position = None

    def __init__(self) -> None:
        self.board = Board()
        self.reading = 0.0
        self._lines = SAMPLE.read_bytes().split(b"\n")
        self._dice = random.Random(1)
        self._names = b""
        self._keys: Sequence[Key] = ()
        self._moment = 0.0

    def advance(self, filter: Filter) -> bool:
        begun = time.process_time()
        for at in self._dice.sample(range(2, len(self._lines) - 1), CHANGED):
            size, calls, rest = self._lines[at].split(None, 2)
            grown = max(0, int(size) + 64 * self._dice.randrange(-64, 65))
            self._lines[at] = b"%12d %8s %s" % (grown, calls, rest)
        text = b"\n".join(self._lines)
        table: Table = parse(text, NativeFilter())
        self.reading += time.process_time() - begun
        names = table.raw_strings("subject")
        if names != self._names:
            self._names, self._keys = names, keys_of(table)
        self._moment += 2
        self.board.feed(
            Reading(time.time(), self._moment, "boot", filter, self._keys, table.column("bytes"),
                    table.column("calls"), table.column("inaccurate"), "host", "7.3")
        )  # fmt: skip
        return True


def measured(rounds: int) -> dict[str, tuple[float, float]]:
    """(refreshing, laying out and drawing) in milliseconds, by view; on this terminal."""
    found = {}
    with screen(need_terminal(), True) as terminal:
        for name, choices in VIEWS.items():
            feed = Changing()
            viewer = Viewer(feed, choices)  # type: ignore[arg-type]
            refreshing, drawing = [], []
            for number in range(rounds + 10):
                before, prepared = feed.reading, time.process_time()
                viewer.refresh()
                refreshed = time.process_time()
                terminal.draw(viewer.page(*terminal.size()))
                drawn = time.process_time()
                if number >= 10:
                    refreshing.append(refreshed - prepared - (feed.reading - before))
                    drawing.append(drawn - refreshed)
            found[name] = mean(refreshing) * 1000, mean(drawing) * 1000
    return found


def on_pty(rounds: int) -> dict[str, tuple[float, float]]:
    """The same in a process on a terminal of its own."""
    read, write = os.pipe()

    def child() -> None:
        os.write(write, json.dumps(measured(rounds)).encode())

    pid, _ = on_terminal(child, LINES, COLUMNS)
    os.close(write)
    with open(read) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return dict(json.loads(answer))


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    tags = SAMPLE.read_bytes().count(b"\n") - 2
    show(
        f"a refresh of {tags} tags, {CHANGED} of them changed; {LINES} lines of {COLUMNS} columns",
        ("view", "ms CPU", "counting", "laying out, drawing"),
        [
            (name, f"{one + two:.2f}", f"{one:.2f}", f"{two:.2f}")
            for name, (one, two) in on_pty(rounds).items()
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
