"""Small fleets for tests: samples written as Parquet, and slow, independent answers about them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil
from pathlib import Path
from statistics import median_low
from typing import Any

import pyarrow as pa
from bench.fleet import SCHEMA, save
from command import Result, here
from hypothesis import strategies as st
from oracle import Tag

NOW = 1_795_000_000
HOUR = 3600


@dataclass(frozen=True)
class Sample:
    """What a host held at one moment. time: seconds since 1970."""

    host: str
    time: float
    tags: tuple[Tag, ...]
    boot: str = "boot"
    kernel: str = "7.3.4"

    @property
    def microseconds(self) -> int:
        return round(self.time * 1_000_000)


def table_of(samples: Sequence[Sample]) -> pa.Table:
    """Their rows in the order of the contract."""
    rows = sorted(
        (tag.file, tag.line, tag.module or "", tag.function, sample.microseconds, at, number)
        for at, sample in enumerate(samples)
        for number, tag in enumerate(sample.tags)
    )
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    for file, line, module, function, time, at, number in rows:
        sample = samples[at]
        tag = sample.tags[number]
        values = (
            sample.host, time, sample.boot, sample.kernel, None, file, line, module, function,
            tag.bytes, tag.calls, tag.accurate, True,
        )  # fmt: skip
        for name, value in zip(SCHEMA.names, values, strict=True):
            columns[name].append(value)
    arrays = []
    for field in SCHEMA:
        plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        plain = pa.int64() if pa.types.is_timestamp(plain) else plain
        made = pa.array(columns[field.name], plain)
        arrays.append(made.cast(field.type) if field.name == "time" else made)
        if pa.types.is_dictionary(field.type):
            arrays[-1] = made.dictionary_encode()
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def write(root: Path, samples: Iterable[Sample]) -> list[Path]:
    """A file for each host, boot, kernel and hour, where the contract wants it."""
    files: dict[tuple[object, ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        hour = int(sample.time // HOUR)
        files[sample.host, sample.boot, sample.kernel, hour].append(sample)
    paths = []
    for number, ((host, boot, kernel, hour), some) in enumerate(files.items()):
        when = datetime.fromtimestamp(int(str(hour)) * HOUR, UTC)
        folder = root / f"date={when:%Y-%m-%d}" / f"hour={when:%H}"
        folder.mkdir(parents=True, exist_ok=True)
        paths.append(folder / f"{host}.{when:%Y%m%dT%H}.{boot}.{kernel}.{number}.parquet")
        save(paths[-1], table_of(some))
    return paths


def fleet(what: str, root: Path, *argv: str) -> Result:
    """`allocq fleet WHAT --data ROOT ARGV`, in this process."""
    return here("fleet", what, "--data", str(root), *argv)


def rows(result: Result) -> list[dict[str, Any]]:
    """The objects of jsonl."""
    assert result.status in (0, 1), result
    found = [json.loads(line) for line in result.out.splitlines()]
    assert (result.status == 0) == bool(found), result
    return found


def ask(what: str, root: Path, *argv: str) -> list[dict[str, Any]]:
    """The rows of an answer."""
    return rows(fleet(what, root, "-o", "jsonl", *argv))


# Independent answers, in plain Python: from samples to rows.

Place = tuple[str, int | None, str | None, str]


def moved(samples: Iterable[Sample]) -> set[tuple[str, str | None, str]]:
    """Functions whose lines differ between kernels."""
    lines: dict[Any, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for sample in samples:
        for tag in sample.tags:
            lines[tag.file, tag.module, tag.function][sample.kernel].add(tag.line)
    return {key for key, each in lines.items() if len(set(map(frozenset, each.values()))) > 1}


def held(sample: Sample, gone: set[tuple[str, str | None, str]]) -> dict[Place, tuple[int, int]]:
    """Bytes and calls at each place."""
    sums: dict[Place, tuple[int, int]] = {}
    for tag in sample.tags:
        line = None if (tag.file, tag.module, tag.function) in gone else tag.line
        size, calls = sums.get((tag.file, line, tag.module, tag.function), (0, 0))
        if tag.bytes >= 0 and tag.calls >= 0:
            size, calls = size + tag.bytes, calls + tag.calls
        sums[tag.file, line, tag.module, tag.function] = size, calls
    return sums


def last(samples: Iterable[Sample]) -> dict[str, Sample]:
    """The latest sample of each host."""
    found: dict[str, Sample] = {}
    for sample in sorted(samples, key=lambda sample: sample.time):
        found[sample.host] = sample
    return found


def first(samples: Iterable[Sample]) -> dict[str, Sample]:
    """The earliest one."""
    return last(replace(sample, time=-sample.time) for sample in samples)


def expected_top(samples: Sequence[Sample]) -> dict[Place, tuple[int, int, int, int, str]]:
    """(bytes, calls, hosts, max, max_host)."""
    chosen = last(samples)
    gone = moved(chosen.values())
    by_place: dict[Place, list[tuple[int, int, str]]] = defaultdict(list)
    for host, sample in chosen.items():
        for place, (size, calls) in held(sample, gone).items():
            by_place[place].append((size, calls, host))
    found = {}
    for place, each in by_place.items():
        most = max(size for size, _, _ in each)
        found[place] = (
            sum(size for size, _, _ in each),
            sum(calls for _, calls, _ in each),
            sum(1 for size, calls, _ in each if size or calls),
            most,
            min(host for size, _, host in each if size == most),
        )
    return found


def expected_grown(
    before: Mapping[str, Sample], after: Mapping[str, Sample]
) -> dict[Place, tuple[int, int, int, int, str]]:
    """(growth, grew, before, max, max_host) of what grew."""
    gone = moved([*before.values(), *after.values()])
    growth: dict[Place, dict[str, int]] = defaultdict(Counter)
    was: dict[Place, int] = Counter()
    for host in after:
        old, new = held(before[host], gone), held(after[host], gone)
        for place in {*old, *new}:
            was[place] += old.get(place, (0, 0))[0]
            growth[place][host] = new.get(place, (0, 0))[0] - old.get(place, (0, 0))[0]
    found = {}
    for place, each in growth.items():
        most = max(each.values())
        if sum(each.values()) > 0:
            found[place] = (
                sum(each.values()),
                sum(1 for grown in each.values() if grown > 0),
                was[place],
                most,
                min(host for host, grown in each.items() if grown == most),
            )
    return found


def expected_percentiles(samples: Sequence[Sample]) -> dict[Place, tuple[int, ...]]:
    """(p50, p90, p99, max, hosts)."""
    chosen = last(samples)
    gone = moved(chosen.values())
    sizes: dict[Place, list[int]] = defaultdict(list)
    for sample in chosen.values():
        for place, (size, _) in held(sample, gone).items():
            sizes[place].append(size)
    found = {}
    for place, each in sizes.items():
        each.sort()
        ranks = [each[ceil(Fraction(q * len(each), 100)) - 1] for q in (50, 90, 99)]
        found[place] = (*ranks, each[-1], len(each))
    return found


def expected_outliers(
    samples: Sequence[Sample], score: float, excess: int
) -> dict[tuple[str, Place], tuple[int, int, int]]:
    """(bytes, median, mad) by host and place."""
    chosen = last(samples)
    gone = moved(chosen.values())
    peers: dict[tuple[str, Place], dict[str, int]] = defaultdict(dict)
    for host, sample in chosen.items():
        for place, (size, _) in held(sample, gone).items():
            peers[sample.kernel, place][host] = size
    found = {}
    for (_, place), sizes in peers.items():
        middle = _median(list(sizes.values()))
        mad = _median([abs(size - middle) for size in sizes.values()])
        spread = max(1.4826 * mad, 0.05 * middle, 4096.0)
        for host, size in sizes.items():
            if len(sizes) >= 5 and size - middle >= max(excess, spread * score):
                found[host, place] = (size, middle, mad)
    return found


def _median(values: list[int]) -> int:
    """The middle value; of two, their mean, rounded down."""
    low = median_low(values)
    high = -median_low([-value for value in values])
    return (low + high) // 2


# Generated fleets.

FILES = ("mm/slub.c", "fs/pipe.c", "drivers/net/ice/a.c")
_sizes = st.sampled_from([0, 1, 4096, 1 << 20, 3 << 20, 1 << 40, -5]) | st.integers(0, 1 << 24)


@st.composite
def fleets(draw: st.DrawFn) -> list[Sample]:
    """A few hosts with a few samples and tags: other lines on another kernel, tags of the same
    names, modules that are not everywhere, reboots, counters below zero."""
    samples = []
    for number in range(draw(st.integers(1, 7))):
        kernel, boot = draw(st.sampled_from(["6.12", "7.3"])), 0
        moment = float(NOW - 4 * HOUR)
        for _ in range(draw(st.integers(1, 3))):
            moment += draw(st.integers(1, HOUR - 1)) + draw(st.sampled_from([0, 0.000_001, 0.5]))
            if draw(st.integers(0, 3)) == 0:
                boot += 1
                kernel = draw(st.sampled_from(["6.12", "7.3"]))
            samples.append(
                Sample(
                    f"h{number}", moment, tuple(draw(_tags(kernel))), f"b{number}-{boot}", kernel
                )
            )
    return samples


@st.composite
def _tags(draw: st.DrawFn, kernel: str) -> list[Tag]:
    tags = []
    for file in FILES:
        moves = 3 if kernel == "7.3" and file != FILES[0] else 0
        for line, function in ((10, "one"), (20, "one"), (30, "two")):
            module = "ice" if file == FILES[2] else None
            if module and draw(st.booleans()):
                continue
            for _ in range(2 if line == 30 else 1):
                size, calls = draw(_sizes), draw(st.integers(0, 99))
                tags.append(Tag(size, calls, file, line + moves, module, function, True))
    return tags
