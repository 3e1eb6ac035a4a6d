"""Chooses the samples of each host that a question compares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise


class When(IntEnum):
    """Which of the samples of a host: the earlier or the later one."""

    FIRST = 0
    LAST = 1


@dataclass(frozen=True, slots=True)
class Span:
    """A host's samples of one boot, or some of them. first, last: microseconds since 1970."""

    host: str
    boot: str
    kernel: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Pick:
    """One sample of a host. time: microseconds since 1970."""

    host: str
    boot: str
    kernel: str
    time: int
    when: When


def by_host(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """The spans of each host, the earliest first."""
    found: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        found[span.host].append(span)
    for each in found.values():
        each.sort(key=lambda span: (span.first, span.last, span.boot, span.kernel))
    return dict(sorted(found.items()))


def overlapping(spans: Iterable[Span]) -> list[str]:
    """Hosts with boots that overlap in time, as no machine has them."""
    found = []
    for host, each in by_host(spans).items():
        boots: dict[str, tuple[int, int]] = {}
        for span in each:
            first, last = boots.get(span.boot, (span.first, span.last))
            boots[span.boot] = min(first, span.first), max(last, span.last)
        ordered = sorted(boots.values())
        if any(begin < end for (_, end), (begin, _) in pairwise(ordered)):
            found.append(host)
    return found


def last_of(spans: Sequence[Span]) -> Pick:
    """The latest sample of a host."""
    span = max(spans, key=lambda span: (span.last, span.first, span.boot))
    return Pick(span.host, span.boot, span.kernel, span.last, When.LAST)


def first_of(spans: Sequence[Span]) -> Pick:
    """The earliest sample of a host."""
    span = min(spans, key=lambda span: (span.first, span.last, span.boot))
    return Pick(span.host, span.boot, span.kernel, span.first, When.FIRST)


def latest(spans: Iterable[Span]) -> list[Pick]:
    """The latest sample of each host."""
    return [last_of(each) for each in by_host(spans).values()]


@dataclass(frozen=True, slots=True)
class Compared:
    """Two samples of each host. alone: hosts that have no second one to compare; rebooted: hosts
    among the compared ones that booted between the two."""

    picks: list[Pick]
    alone: list[str]
    rebooted: list[str]


def ends(spans: Iterable[Span]) -> Compared:
    """The first and the last sample of each host."""
    pairs, alone = [], []
    for host, each in by_host(spans).items():
        first, last = first_of(each), last_of(each)
        if first.time < last.time:
            pairs.append((first, last))
        else:
            alone.append(host)
    return _compared(pairs, alone)


def around_rollout(spans: Iterable[Span], kernels: Iterable[str]) -> Compared:
    """The last sample of each host before it first ran one of `kernels`, and the last one with it.
    alone: hosts that have one of these, but not both."""
    wanted = set(kernels)
    pairs, alone = [], []
    for host, each in by_host(spans).items():
        new = [span for span in each if span.kernel in wanted]
        if not new:
            continue
        begin = min(span.first for span in new)
        old = [span for span in each if span.kernel not in wanted and span.last < begin]
        if not old:
            alone.append(host)
            continue
        before = last_of(old)
        before = Pick(before.host, before.boot, before.kernel, before.time, When.FIRST)
        pairs.append((before, last_of(new)))
    return _compared(pairs, alone)


def _compared(pairs: Sequence[tuple[Pick, Pick]], alone: list[str]) -> Compared:
    rebooted = [last.host for first, last in pairs if first.boot != last.boot]
    return Compared([pick for pair in pairs for pick in pair], alone, rebooted)


Holders = Mapping[str, Collection[Pick]]
"""Which of the picked samples are in each file."""


def superfluous(holders: Holders, rows: Mapping[tuple[str, Pick], int]) -> tuple[set[str], int]:
    """Files without which every sample is there once, of which a copy is in another one, and of how
    many samples a copy stays: none as long as a file is of one host. rows: of a sample in a file,
    where they were counted; of copies, the one with most rows stays."""
    kept: set[str] = set()
    covered: dict[Pick, int] = defaultdict(int)

    def worth(path: str) -> tuple[int, int, str]:
        return -len(holders[path]), -sum(rows.get((path, pick), 0) for pick in holders[path]), path

    for path in sorted(holders, key=worth):
        if any(not covered[pick] for pick in holders[path]):
            kept.add(path)
            for pick in holders[path]:
                covered[pick] += 1
    return set(holders) - kept, sum(1 for count in covered.values() if count > 1)
