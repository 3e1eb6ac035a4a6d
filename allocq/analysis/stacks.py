"""Call stacks that allocated: whose they are, what was freed of them, and the tree of callers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

VERSION = 1
"""Of the JSON that stacks are saved as."""
_FRAME = re.compile(r"(\S+?)\+0x([0-9a-f]+)/0x([0-9a-f]++)(?: \[([^\]\s]++)[^\]]*+\])?")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stack. name: of the function, as in /proc/kallsyms, or an address where the
    kernel has no name any more (the start code of a module). module: None for built-in code."""

    name: str
    offset: int = 0
    size: int = 0
    module: str | None = None

    @property
    def plain(self) -> str:
        """The name in the source code: without a suffix of the compiler, like .isra.0."""
        return self.name.partition(".")[0]

    @property
    def label(self) -> str:
        """`xfs_iget [xfs]`: what is the same wherever in the function the call is."""
        return self.name + (f" [{self.module}]" if self.module else "")


def read_frame(text: str) -> Frame:
    """A frame as the kernel prints it: `alloc_pipe_info+0x72/0x270 [module]`."""
    match = _FRAME.fullmatch(text)
    if match is None:
        return Frame(text)
    return Frame(match[1], int(match[2], 16), int(match[3], 16), match[4])


@dataclass(slots=True)
class Stack:
    """What was allocated with one call stack while we looked. frames: innermost first, as the
    kernel prints them. tag: FILE:LINE, None if several are in the function. freed_bytes and
    freed_calls: of what was allocated here in that time, what was freed in it; None if frees were
    not watched. inner: how many frames, from the innermost, are the allocator's. pid: of the thread
    that allocated, None if threads are not told apart; comm: its name, if that is known. size: of
    each allocation, in bytes; None if sizes are not told apart."""

    frames: tuple[str, ...]
    bytes: int = 0
    calls: int = 0
    freed_bytes: int | None = None
    freed_calls: int | None = None
    tag: str | None = None
    inner: int = 0
    pid: int | None = None
    comm: str | None = None
    size: int | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The frames, and behind them the process, if it is known."""
        if self.pid is None:
            return self.frames
        return (*self.frames, f"{self.comm or 'process'} ({self.pid})")

    @property
    def each(self) -> tuple[str, ...]:
        """The size of its allocations in words, if sizes are told apart."""
        return () if self.size is None else (f"{self.size} bytes each",)

    @property
    def live_bytes(self) -> int:
        """What is left of it."""
        return self.bytes - (self.freed_bytes or 0)

    @property
    def live_calls(self) -> int:
        """How many allocations are left."""
        return self.calls - (self.freed_calls or 0)

    def amount(self, live: bool) -> tuple[int, int]:
        """(bytes, calls): what is left, or all."""
        return (self.live_bytes, self.live_calls) if live else (self.bytes, self.calls)


@dataclass(frozen=True, slots=True)
class Freed:
    """What was freed of one call stack's allocations."""

    frames: tuple[str, ...]
    bytes: int
    calls: int
    pid: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """Stacks that were taken, and what is known of them. stacks: the largest first, maybe not all;
    many, bytes, calls, live_bytes, live_calls: of all. live: were frees watched, too? time: when
    they were taken, in seconds since 1970; seconds: how long; dropped: events that found a table
    full, by table; overhead: part of the time of all CPUs; filter: as options."""

    stacks: Sequence[Stack]
    live: bool
    seconds: float
    many: int
    bytes: int
    calls: int
    live_bytes: int = 0
    live_calls: int = 0
    time: float | None = None
    kernel: str = ""
    filter: Mapping[str, object] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    events: int = 0
    overhead: float | None = None
    notes: Sequence[str] = ()

    def amount(self, live: bool) -> tuple[int, int]:
        """(bytes, calls) of all stacks: what is left, or all."""
        return (self.live_bytes, self.live_calls) if live else (self.bytes, self.calls)


def by_tag(stacks: Iterable[Stack], live: bool) -> list[tuple[str | None, int, int, int]]:
    """(FILE:LINE, bytes, calls, stacks) of each tag, the largest first; None for the stacks that
    belong to one of several tags of a function."""
    sums: dict[str | None, list[int]] = {}
    for stack in stacks:
        size, calls = stack.amount(live)
        of_tag = sums.setdefault(stack.tag, [0, 0, 0])
        of_tag[0], of_tag[1], of_tag[2] = of_tag[0] + size, of_tag[1] + calls, of_tag[2] + 1
    rows = [(tag, size, calls, many) for tag, (size, calls, many) in sums.items()]
    return sorted(rows, key=lambda row: (-row[1], -row[2], row[0] or ""))


def subtract(stacks: Iterable[Stack], freed: Iterable[Freed]) -> int:
    """Take what was freed off the stacks that allocated it; returns the calls that belong to none.

    The kernel may keep a frame less of a stack that it remembers than of one that it counts.
    """
    by_frames = {(stack.pid, stack.size, stack.frames): stack for stack in stacks}
    for stack in by_frames.values():
        stack.freed_bytes, stack.freed_calls = stack.freed_bytes or 0, stack.freed_calls or 0
    unknown = 0
    for each in freed:
        found = by_frames.get((each.pid, each.size, each.frames))
        if found is None:
            longer = [
                stack
                for (pid, size, frames), stack in by_frames.items()
                if (pid, size) == (each.pid, each.size)
                and each.frames
                and frames[: len(each.frames)] == each.frames
            ]
            found = max(longer, key=lambda stack: stack.live_bytes, default=None)
        if found is None:
            unknown += each.calls
            continue
        # What was allocated just before the stacks were counted may be freed after.
        found.freed_bytes = min(found.bytes, (found.freed_bytes or 0) + each.bytes)
        found.freed_calls = min(found.calls, (found.freed_calls or 0) + each.calls)
    return unknown


def ordered(stacks: Iterable[Stack], live: bool) -> list[Stack]:
    """The largest first; with `live`, those of which something is left."""
    kept = [stack for stack in stacks if not live or stack.live_bytes or stack.live_calls]
    return sorted(
        kept,
        key=lambda stack: (*(-each for each in stack.amount(live)), stack.path, stack.size or 0),
    )


@dataclass(slots=True)
class Caller:
    """A function in the tree of callers, and the sums of the stacks that go through it. offsets: of
    the calls in it."""

    label: str
    bytes: int = 0
    calls: int = 0
    callers: dict[str, Caller] = field(default_factory=dict)
    offsets: set[int] = field(default_factory=set)

    @property
    def place(self) -> str:
        """`xfs_iget+0x1f [xfs]`; without the offset if there are several calls in the function."""
        if len(self.offsets) != 1:
            return self.label
        name, blank, module = self.label.partition(" ")
        return f"{name}+{min(self.offsets):#x}{blank}{module}"

    def ordered(self) -> list[Caller]:
        """Its callers, the largest first."""
        return sorted(
            self.callers.values(), key=lambda each: (-each.bytes, -each.calls, each.label)
        )


def call_tree(stacks: Sequence[Stack], live: bool) -> Caller:
    """The tree of callers; its root stands for all stacks, its first level for the functions of the
    tags. The allocator's own are left out. Below the outermost are the sizes, if they are known."""
    root = Caller("")
    for stack in stacks:
        size, calls = stack.amount(live)
        node = root
        node.bytes, node.calls = node.bytes + size, node.calls + calls
        for text in (*stack.path[stack.inner :], *stack.each):
            frame = read_frame(text)
            node = node.callers.setdefault(frame.label, Caller(frame.label))
            node.offsets |= {frame.offset} if frame.size else set()
            node.bytes, node.calls = node.bytes + size, node.calls + calls
    return root


def rows_of(root: Caller) -> Iterator[tuple[int, Caller, bool]]:
    """(indent, function, has it sums of its own?) from the top of the table to its end.

    An only caller stands right below what it calls, with neither sums nor an indent of its own.
    """
    stack: list[tuple[int, Caller, bool]] = [(0, node, True) for node in root.ordered()[::-1]]
    while stack:
        indent, node, own = stack.pop()
        yield indent, node, own
        callers = node.ordered()
        only = len(callers) == 1 and (callers[0].bytes, callers[0].calls) == (
            node.bytes,
            node.calls,
        )
        if only:
            stack.append((indent + (1 if own else 0), callers[0], False))
        else:
            stack += [(indent + 1, caller, True) for caller in callers[::-1]]


def coalesced(ranges: Iterable[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """At most `most` ranges that cover all of these: those with the smallest gaps are joined."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    while len(joined) > max(most, 1):
        at = min(range(len(joined) - 1), key=lambda i: joined[i + 1][0] - joined[i][1])
        joined[at : at + 2] = [(joined[at][0], joined[at + 1][1])]
    return joined
