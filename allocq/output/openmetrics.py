"""The openmetrics format, and Prometheus text for node_exporter: written by prometheus-client.

The metrics that exist, their names and what they mean are declared here, for `allocq query` and
`allocq export` alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..analysis.labelled import BUILT_IN, Labels, Summing
from ..analysis.slab import slab_pages
from ..core.table import printable
from ..errors import OutputError
from . import Column, Rows, Shape, Value

if TYPE_CHECKING:
    from prometheus_client import Metric


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, what it means, the names of its labels. kind: gauge, counter or info;
    names of counters end in _total, of infos in _info. unit: what the name of a gauge ends in."""

    name: str
    help: str
    labels: Labels = ()
    kind: str = "gauge"
    unit: str = ""

    @property
    def stem(self) -> str:
        """The name without what prometheus-client adds."""
        return self.name.removesuffix({"counter": "_total", "info": "_info"}.get(self.kind, ""))


PLACE = ("file", "function", "module")
PLACE_WITH_LINE = ("file", "line", "function", "module")
_ALLOCATED = "memory that kernel code allocated and did not free"
_CALLS = "allocations that were not freed"


def sums_by(labels: Labels, rest: bool = False) -> tuple[Family, Family]:
    """The two metrics of sums: their bytes and their live allocations. rest: may all others be one
    series?"""
    of = {PLACE: "", PLACE_WITH_LINE: ""}.get(labels, f"_{'_'.join(labels)}")
    by = {
        PLACE: "file, function and module",
        PLACE_WITH_LINE: "file, line, function and module",
    }.get(labels, " and ".join(labels))
    said = ["module '' is built-in code"] if "module" in labels else []
    said += ["'other' is all that has no series of its own"] if rest else []
    note = f" ({', '.join(said)})" if said else ""
    return (
        Family(f"allocq{of}_bytes", f"Bytes of {_ALLOCATED}, by {by}{note}.", labels, unit="bytes"),
        Family(f"allocq{of}_calls", f"Live allocations: {_CALLS}, by {by}{note}.", labels),
    )


TAGS = Family("allocq_tags", "Tags (allocation sites) in the answer.")
INACCURATE = Family(
    "allocq_inaccurate_tags", "Tags that the kernel flags inaccurate: it missed some allocations."
)
UNDERFLOWED = Family("allocq_underflowed_tags", "Tags with a counter below zero.")
SLAB_PAGES = Family(
    "allocq_slab_page_bytes",
    "Bytes of slab pages, whose objects are also counted at their own tags: sum(allocq_bytes) -"
    " allocq_slab_page_bytes counts slab memory once.",
    unit="bytes",
)
SERIES = Family(
    "allocq_series", "Sums by file, function and module that have a series of their own."
)
PROFILING = Family(
    "allocq_profiling_enabled",
    "Whether the kernel counts allocations (vm.mem_profiling): with 0, the counters are frozen.",
)
KERNEL = Family(
    "allocq_kernel_info",
    "The kernel that the tags are from, and how it was asked: ioctl or text.",
    ("release", "interface"),
    "info",
)
BUILD = Family("allocq_build_info", "The version of allocq.", ("version",), "info")
UP = Family("allocq_up", "Whether the last reading of the tags succeeded.")
READ_SECONDS = Family(
    "allocq_read_duration_seconds", "How long the last reading took.", unit="seconds"
)
READ_CPU = Family(
    "allocq_read_cpu_seconds", "CPU time of the last reading, in the kernel too.", unit="seconds"
)
READ_AT = Family(
    "allocq_read_timestamp_seconds", "When the tags were last read, as a Unix time.", unit="seconds"
)
READS = Family("allocq_reads_total", "Readings of the tags, failed ones too.", kind="counter")
READ_ERRORS = Family("allocq_read_errors_total", "Readings that failed.", kind="counter")

Row = tuple[Labels, float]
Samples = tuple[Family, Iterable[Row]]


def need_library() -> None:
    """OutputError where prometheus-client is not installed."""
    try:
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError:
        raise OutputError(
            "metrics need prometheus-client, which is not installed",
            "pip install 'allocq[metrics]'",
        ) from None


def metric(family: Family, rows: Iterable[Row] = ()) -> Metric:
    """One metric of prometheus-client, with its samples."""
    from prometheus_client import Metric
    from prometheus_client.samples import Sample

    made = Metric(family.stem, family.help, family.kind, family.unit)
    name, names = family.name, family.labels
    made.samples = [
        Sample(name, dict(zip(names, labels, strict=True)), value) for labels, value in rows
    ]
    return made


class _Once:
    """Gives what is written once, as a registry."""

    def __init__(self, samples: Iterable[Samples]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        return (metric(family, rows) for family, rows in self._samples)


def openmetrics_text(samples: Iterable[Samples]) -> bytes:
    """The text of OpenMetrics 1.0."""
    from prometheus_client.openmetrics.exposition import generate_latest

    write: Any = generate_latest
    return bytes(write(_Once(samples)))


def prometheus_text(samples: Iterable[Samples]) -> bytes:
    """The text format of Prometheus, 0.0.4."""
    from prometheus_client import generate_latest

    registry: Any = _Once(samples)
    return generate_latest(registry)


def alone(value: float | None) -> list[Row]:
    """The row of a metric without labels; none where the value is not known."""
    return [] if value is None else [((), value)]


class Writer:
    """One text for the whole answer: sums of the tags whose labels are the same, or the groups."""

    streams = False

    def __init__(self, shape: Shape, columns: Sequence[Column]) -> None:
        need_library()
        self._columns = [column.name for column in columns]
        self._samples: list[Samples] = []
        self._head: list[Samples] = []

    def begin(self, head: Mapping[str, object], what: str) -> bytes:
        """Nothing yet."""
        source = head.get("source")
        if isinstance(source, dict) and source.get("kernel"):
            labels = str(source["kernel"]), str(source["interface"])
            self._head = [(KERNEL, [(tuple(map(printable, labels)), 1)])]
        return b""

    def tags(self, table: Rows, order: Sequence[int] | None) -> Iterator[bytes]:
        """Nothing yet."""
        rows = range(len(table)) if order is None else order
        columns = [table.strings(name) for name in PLACE]
        places = Summing(tuple(printable(column[at]) for column in columns) for at in rows)
        sizes, calls = ([table.column(name)[at] for at in rows] for name in ("bytes", "calls"))
        pages, inaccurate = slab_pages(table), table.column("inaccurate")
        self._add(PLACE, places.keys, places(sizes), places(calls))
        self._samples += [
            (TAGS, alone(len(rows))),
            (INACCURATE, alone(sum(inaccurate[at] for at in rows))),
            (UNDERFLOWED, alone(sum(a < 0 or b < 0 for a, b in zip(sizes, calls, strict=True)))),
            (SLAB_PAGES, alone(sum(n for at, n in zip(rows, sizes, strict=True) if pages[at]))),
        ]
        return iter(())

    def rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]:
        """Nothing yet. The rows are groups: bytes, calls, tags and what they are grouped by."""
        keys = [name for name in self._columns if name not in ("bytes", "calls", "tags")]
        names = PLACE_WITH_LINE if len(keys) > 1 else (keys[0],)
        at = [self._columns.index(name) for name in (*names, "bytes", "calls")]
        labels, counters = [], []
        for row in rows:
            *key, size, calls = (row[each] for each in at)
            labels.append(tuple(BUILT_IN if v is None else printable(str(v)) for v in key))
            counters.append((_number(size), _number(calls)))
        sums = Summing(labels)
        self._add(
            names,
            sums.keys,
            sums([size for size, _ in counters]),
            sums([calls for _, calls in counters]),
        )
        return iter(())

    def _add(
        self, names: Labels, labels: Sequence[Labels], sizes: Sequence[int], calls: Sequence[int]
    ) -> None:
        for family, values in zip(sums_by(names), (sizes, calls), strict=True):
            self._samples.append((family, zip(labels, values, strict=True)))

    def end(
        self,
        total: Mapping[str, object] | None,
        words: str,
        counted: Mapping[str, object] | None = None,
    ) -> bytes:
        """The text."""
        return openmetrics_text([*self._samples, *self._head])


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0
