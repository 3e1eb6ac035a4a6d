"""Writes the Parquet of a believable fleet, with what a query has to find placed in it.

The tags are those of the sample. The fleet runs an old kernel and rolls out a new one, in which
lines have moved; hosts reboot, some into the new kernel, and their counters begin anew. A place
leaks on the new kernel, another on one host of the old one; one host holds far more at a place than
its peers; one has a clock that is days ahead. The same seed writes the same fleet.

    python tests/bench/fleet.py DIR --hosts 200 --samples 60
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from allocq.core.table import Table  # noqa: E402
from allocq.sources.source import open_source, sample_path  # noqa: E402

OLD, NEW = "6.12.48-fleet", "7.3.4-fleet"
FIRST = datetime(2025, 11, 20, 8, 0, tzinfo=UTC)
AHEAD = timedelta(days=3)
SCHEMA = pa.schema(
    [
        pa.field("host", pa.dictionary(pa.int32(), pa.string()), False),
        pa.field("time", pa.timestamp("us", "UTC"), False),
        pa.field("boot_id", pa.dictionary(pa.int32(), pa.string()), False),
        pa.field("kernel", pa.dictionary(pa.int32(), pa.string()), False),
        pa.field("content_id", pa.int64(), True),
        pa.field("file", pa.dictionary(pa.int32(), pa.string()), False),
        pa.field("line", pa.int64(), False),
        pa.field("module", pa.dictionary(pa.int32(), pa.string()), False),
        pa.field("function", pa.dictionary(pa.int32(), pa.string()), False),
        pa.field("bytes", pa.int64(), False),
        pa.field("calls", pa.int64(), False),
        pa.field("accurate", pa.bool_(), False),
        pa.field("consistent", pa.bool_(), False),
    ]
)


@dataclass(frozen=True)
class Place:
    """A file and a function of the sample: where something was placed."""

    file: str
    function: str


LEAK = Place("fs/pipe.c", "alloc_pipe_info")
OUTLIER = Place("net/netfilter/nf_conntrack_core.c", "nf_ct_alloc_hashtable")
LONELY = Place("fs/kernfs/dir.c", "__kernfs_new_node")


@dataclass(frozen=True)
class Plan:
    """How large a fleet is, and what is placed in it. rolled_out: hosts that boot the new kernel in
    the middle; rebooted: hosts that boot the old one again; hosts are known by their number."""

    hosts: int = 6
    samples: int = 8
    interval: timedelta = timedelta(minutes=1)
    first: datetime = FIRST
    seed: int = 1
    tags: int | None = None
    leak: int = 1 << 20
    """Bytes that the place LEAK grows by a sample on each host with the new kernel."""

    @property
    def names(self) -> list[str]:
        return [f"host{number:05}" for number in range(self.hosts)]

    @property
    def rolled_out(self) -> list[int]:
        return list(range(0, self.hosts, 3))

    @property
    def rebooted(self) -> list[int]:
        return list(range(1, self.hosts, 6))

    @property
    def outlier(self) -> int:
        return 2 if self.hosts > 2 else 0

    @property
    def ahead(self) -> int | None:
        """The host whose clock is ahead: the last one, but in no small fleet."""
        return self.hosts - 1 if self.hosts > 4 else None


@dataclass
class Kernel:
    """The tags of one kernel, in the order of the files."""

    release: str
    files: list[str]
    lines: np.ndarray
    modules: list[str]
    functions: list[str]
    bytes: np.ndarray
    calls: np.ndarray
    accurate: np.ndarray
    encoded: dict[str, tuple[pa.Array, np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    def at(self, place: Place) -> list[int]:
        """The positions of a place."""
        return [
            i
            for i, names in enumerate(zip(self.files, self.functions, strict=True))
            if names == (place.file, place.function)
        ]


def kernels(plan: Plan) -> tuple[Kernel, Kernel]:
    """The old and the new one: in one of three files, lines moved by a few."""
    with open_source(sample_path()) as source:
        table = source.read().table
    old = _kernel(OLD, table, plan.tags, lambda file: 0)
    new = _kernel(NEW, table, plan.tags, _moved)
    return old, new


def _moved(file: str) -> int:
    number = sum(file.encode())
    return number % 19 + 1 if number % 3 == 0 or file == LEAK.file else 0


def _kernel(release: str, table: Table, tags: int | None, moved: object) -> Kernel:
    assert callable(moved)
    rows = sorted(
        zip(
            table.strings("file"),
            table.column("line"),
            table.strings("module"),
            table.strings("function"),
            table.column("bytes"),
            table.column("calls"),
            table.column("inaccurate"),
            strict=True,
        )
    )
    if tags is not None:
        keep = {LEAK.file, OUTLIER.file, LONELY.file}
        rest = [row for row in rows if row[0] not in keep]
        few = [row for row in rows if row[0] in keep]
        rows = sorted(few + rest[:: max(1, len(rest) // max(1, tags - len(few)))])
    files, lines, modules, functions, sizes, calls, inaccurate = zip(*rows, strict=True)
    shifted = [line + moved(file) for file, line in zip(files, lines, strict=True)]
    kernel = Kernel(
        release,
        list(files),
        np.array(shifted, np.int64),
        list(modules),
        list(functions),
        np.array(sizes, np.int64),
        np.array(calls, np.int64),
        ~np.array(inaccurate, bool),
    )
    for name in ("files", "modules", "functions"):
        words = getattr(kernel, name)
        values = sorted(set(words))
        number = {word: i for i, word in enumerate(values)}
        kernel.encoded[name] = (
            pa.array(values, pa.string()),
            np.array([number[word] for word in words], np.int32),
        )
    return kernel


def write(root: Path, plan: Plan) -> int:
    """Write the fleet below `root`; returns how many rows."""
    old, new = kernels(plan)
    written = 0
    for number, name in enumerate(plan.names):
        chance = np.random.default_rng([plan.seed, number])
        scale = chance.lognormal(0, 0.15)
        late = AHEAD if number == plan.ahead else timedelta(0)
        jitter = timedelta(microseconds=int(chance.integers(0, 900_000)))
        times = [
            plan.first + late + jitter + plan.interval * sample for sample in range(plan.samples)
        ]
        middle = plan.samples // 2
        boots = [(old, 0, plan.samples)]
        if number in plan.rolled_out:
            boots = [(old, 0, middle), (new, middle, plan.samples)]
        elif number in plan.rebooted:
            boots = [(old, 0, middle), (old, middle, plan.samples)]
        for boot, (kernel, begin, end) in enumerate(boots):
            boot_id = f"{plan.seed:08x}-{number:04x}-4000-8000-{boot:012x}"
            sizes, calls = _counters(plan, kernel, number, end - begin, scale, chance)
            for hour, start, stop in _hours(times[begin:end]):
                folder = root / f"date={hour:%Y-%m-%d}" / f"hour={hour:%H}"
                folder.mkdir(parents=True, exist_ok=True)
                table = _table(
                    kernel,
                    name,
                    boot_id,
                    times[begin:end][start:stop],
                    sizes[:, start:stop],
                    calls[:, start:stop],
                )
                path = folder / f"{name}-{boot_id}-{hour:%Y%m%d%H}.parquet"
                save(path, table)
                written += len(table)
    return written


def save(path: Path, table: pa.Table, metadata: dict[str, str] | None = None) -> None:
    """Write rows as the contract has them. metadata: in place of the version of the schema."""
    names = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    with pq.ParquetWriter(
        path, table.schema, compression="zstd", use_dictionary=names, store_schema=False
    ) as file:
        file.write_table(table, row_group_size=1 << 20)
        file.add_key_value_metadata({"allocq.schema": "1"} if metadata is None else metadata)


def _counters(
    plan: Plan,
    kernel: Kernel,
    number: int,
    samples: int,
    scale: float,
    chance: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and calls by tag and sample: of one boot, which begins with little."""
    warm = np.minimum(1.0, 0.9 + 0.1 * np.arange(samples) / max(1, samples - 1))
    waves = np.ones((len(kernel), samples))
    busy = kernel.bytes > 4096
    waves[busy] += chance.normal(0, 0.01, (int(busy.sum()), samples))
    shape = scale * warm * waves
    calls = np.maximum(0, np.rint(kernel.calls[:, None] * shape)).astype(np.int64)
    average = np.where(kernel.calls > 0, kernel.bytes // np.maximum(1, kernel.calls), 0)
    sizes = calls * average[:, None]
    at = np.arange(samples)
    if kernel.release == NEW:
        place = kernel.at(LEAK)[0]
        sizes[place] += plan.leak * at
        calls[place] += at
    if number == plan.outlier:
        place = kernel.at(OUTLIER)[0]
        sizes[place] += 512 << 20
        lonely = kernel.at(LONELY)[0]
        sizes[lonely] += 3 * plan.leak * at
        calls[lonely] += at
    return sizes, calls


def _hours(times: Sequence[datetime]) -> Iterator[tuple[datetime, int, int]]:
    """(hour, first, end) of the samples of each hour."""
    start = 0
    for at in range(1, len(times) + 1):
        hour = times[start].replace(minute=0, second=0, microsecond=0)
        if at == len(times) or times[at] >= hour + timedelta(hours=1):
            yield hour, start, at
            start = at


def _table(
    kernel: Kernel,
    host: str,
    boot_id: str,
    times: Sequence[datetime],
    sizes: np.ndarray,
    calls: np.ndarray,
) -> pa.Table:
    tags, samples = sizes.shape
    rows = tags * samples
    stamps = np.array([round(time.timestamp() * 1_000_000) for time in times], np.int64)

    def same(text: str) -> pa.Array:
        return pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(rows, np.int32)), pa.array([text], pa.string())
        )

    def names(name: str) -> pa.Array:
        values, numbers = kernel.encoded[name]
        return pa.DictionaryArray.from_arrays(pa.array(np.repeat(numbers, samples)), values)

    columns = [
        same(host),
        pa.array(np.tile(stamps, tags)).view(pa.timestamp("us", "UTC")),
        same(boot_id),
        same(kernel.release),
        pa.nulls(rows, pa.int64())
        if kernel.release == OLD
        else pa.array(np.full(rows, 7, np.int64)),
        names("files"),
        pa.array(np.repeat(kernel.lines, samples)),
        names("modules"),
        names("functions"),
        pa.array(sizes.ravel()),
        pa.array(calls.ravel()),
        pa.array(np.repeat(kernel.accurate, samples)),
        pa.array(np.ones(rows, bool)),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def main() -> None:
    """Write a fleet and say how many rows it has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(write(asked.root, Plan(asked.hosts, asked.samples, seed=asked.seed)))


if __name__ == "__main__":
    main()
