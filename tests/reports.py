"""Listings to report on, and a reader of the pages that come of them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path

import oracle
from command import Result, here

from allocq.storage.recording.counters import Counters
from allocq.storage.recording.sample import Moment, Sample
from allocq.storage.recording.writer import Writer

HEADER = b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"
MEMINFO = {
    "MemTotal": 2 << 30, "MemFree": 1 << 30, "MemAvailable": 3 << 29, "Buffers": 0,
    "Cached": 90 << 20, "Shmem": 10 << 20, "AnonPages": 200 << 20, "Slab": 12 << 20,
    "SReclaimable": 5 << 20, "SUnreclaim": 7 << 20, "PageTables": 1 << 20,
    "KernelStack": 1 << 20, "Percpu": 2 << 20, "VmallocUsed": 9 << 20,
}  # fmt: skip
LEAK = "fs/pipe.c:902 func:alloc_pipe_info"
BEGUN = 1_795_600_000
VOID = {"meta", "input", "br", "hr", "img", "link"}

Line = tuple[int, int, str]


def listing(lines: Sequence[Line], when: float | None = None, **notes: str) -> bytes:
    """The text of a listing; a snapshot if its time is given. notes: more of its metadata."""
    head = HEADER
    if when is not None:
        time = datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        known = {"time": time, "host": "web-7.example", "kernel": "7.3.4", "boot-id": "6f1c"}
        known |= {"meminfo": json.dumps(MEMINFO), **notes, "tags": str(len(lines))}
        head += b"# allocq-snapshot: 1\n"
        head += "".join(f"# {key}: {value}\n" for key, value in known.items()).encode()
    return head + b"".join(
        b"%12d %8d %b \n" % (size, calls % (1 << 64), rest.encode("utf-8", "surrogateescape"))
        for size, calls, rest in lines
    )


def sample_lines() -> list[Line]:
    """The tags of the installed sample."""
    match = re.compile(r" *(-?\d+) +(\d+) (.*?) *$").match
    lines = oracle.SAMPLE.read_text().splitlines()[2:]
    return [(int(found[1]), int(found[2]), found[3]) for found in map(match, lines) if found]


def many_lines(count: int, longest: int, seed: int = 1) -> list[Line]:
    """Tags with long names, most of which hold something."""
    chance = random.Random(seed)
    lines = []
    for at in range(count):
        long = chance.randrange(20, longest)
        folder = "/".join(f"dir{at % (7 + depth)}" for depth in range(1 + at % 9))
        file = f"{folder}/{'n' * (long // 2)}{at % (count // 5 + 1)}.c:{at}"
        size = chance.randrange(1 << chance.randrange(1, 26))
        lines.append((size, size // 64, f"{file} [mod_{at % 40}] func:{'f' * (long // 3)}_{at}"))
    return lines


def recording(
    folder: Path, samples: int, lines: Sequence[Line], boots: Sequence[str] = ("boot-1",)
) -> None:
    """One sample every 10 s; the tag LEAK grows in each, some others come and go. Each boot has its
    share of the samples."""
    subjects = [rest.encode() for _, _, rest in lines]
    leak = next(at for at, (_, _, rest) in enumerate(lines) if rest == LEAK)
    chance = random.Random(7)
    sizes, calls = ([line[at] for line in lines] for at in (0, 1))
    held = [at for at, size in enumerate(sizes) if size > 0 and calls[at] > 0 and at != leak]
    writer = Writer(folder, {"host": "web-7.example", "possible-cpus": "4"})
    for number in range(samples):
        boot = boots[number * len(boots) // samples]
        sizes, calls = list(sizes), list(calls)
        sizes[leak], calls[leak] = 4096 + 1024 * number, 4 + number
        for at in chance.sample(held, 60):
            more, each = chance.randint(-1, 1), sizes[at] // max(1, calls[at])
            if calls[at] + more > 0:
                sizes[at], calls[at] = sizes[at] + more * each, calls[at] + more
        when = (BEGUN + 10 * number) * 10**9
        meminfo = {**MEMINFO, "MemFree": MEMINFO["MemFree"] - 4096 * number}
        moment = Moment(when, (100 + 10 * number) * 10**9, boot, "7.3.4", "text", None, True, True)
        inaccurate = [0] * len(lines)
        writer.append(Sample(moment, subjects, Counters.of(sizes, calls, inaccurate), meminfo, {}))
    writer.close()


class Page(HTMLParser):
    """A page as a browser without scripts has it. AssertionError if it is not well formed.

    tables: rows of cells by caption, the first row the heads; titles: of the cells, alike;
    attributes: (tag, attributes) in order.
    """

    def __init__(self, html: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.titles: dict[str, list[list[str | None]]] = {}
        self.pieces: dict[str, list[list[str]]] = {}
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self._caption = ""
        self.feed(html.decode("utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert len(found) == len(attrs), (tag, attrs)
        self.attributes.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag not in VOID:
            self.open.append(tag)
            self.pieces.setdefault(tag, []).append([])
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.tables[self._caption].append([])
            self.titles[self._caption].append([])
        if tag in ("td", "th"):
            self.tables[self._caption][-1].append("")
            self.titles[self._caption][-1].append(found.get("title"))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()
        if tag == "caption":
            self.tables[self._caption] = []
            self.titles[self._caption] = []

    def handle_data(self, data: str) -> None:
        around = set(self.open)
        for tag in around:
            self.pieces[tag][-1].append(data)
        if "caption" in around:
            self._caption += data
        elif {"td", "th"} & around:
            self.tables[self._caption][-1][-1] += data

    @cached_property
    def texts(self) -> dict[str, list[str]]:
        """The texts of each kind of element, in order."""
        return {tag: ["".join(each) for each in found] for tag, found in self.pieces.items()}

    @property
    def facts(self) -> dict[str, str]:
        """What the head of the report says."""
        return dict(zip(self.texts["dt"], self.texts["dd"], strict=True))

    def all_tags(self) -> list[list[str]]:
        """The rows of the last table, without its heads."""
        return list(self.tables.values())[-1][1:]


def report(*argv: str) -> Result:
    """`allocq report ARGV` in this process."""
    return here("report", *argv)


def page(*argv: str, status: int = 0) -> Page:
    """The page that a report is."""
    done = report(*argv)
    assert done.status == status, done.err
    assert "Traceback" not in done.err
    return Page(done.out)


def exact(cell: str, title: str | None) -> int:
    """The bytes of a cell."""
    shown = title.partition(" ")[0] if title else cell.rstrip("~!*")
    return int(shown.replace(",", ""))
