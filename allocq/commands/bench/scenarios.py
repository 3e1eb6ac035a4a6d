"""The settings, queries and results of a benchmark: plain values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import UsageError
from ...model import Filter
from ...options.commands import BENCH_FORMATS, BENCH_RUNS, BENCH_SCENARIOS
from ...units import parse_size
from ..arguments import choice, number, strings, text
from .agreement import Agreement, SizesByTag

PUBLISHED_ON = "Xeon Platinum 8481C, 224 CPUs"
PIPELINE, IOCTL, QUERY = "pipeline", "ioctl", "query"
MOST_RUNS = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked options of one `allocq bench`."""

    runs: int = BENCH_RUNS
    drop_caches: bool = False
    scenarios: Sequence[str] = BENCH_SCENARIOS
    file: str | None = None
    min_size: int | None = None
    format: str = "table"


def read_settings(values: Mapping[str, object]) -> Settings:
    """Check the option values. UsageError."""
    runs = number("runs", values.get("runs", BENCH_RUNS)) or 0
    if not 1 <= runs <= MOST_RUNS:
        raise UsageError(f"invalid value '{values['runs']}' for --runs", f"use 1 to {MOST_RUNS}")
    chosen = [choice("scenario", name, BENCH_SCENARIOS) for name in strings(values, "scenario")]
    size, drop = text(values, "min_size"), bool(values.get("drop_caches"))
    if drop and values.get("warm"):
        raise UsageError("--warm and --drop-caches cannot be used together")
    return Settings(
        runs=runs,
        drop_caches=drop,
        scenarios=[name for name in BENCH_SCENARIOS if not chosen or name in chosen],
        file=text(values, "file"),
        min_size=None if size is None else parse_size(size),
        format=choice("format", values.get("format"), BENCH_FORMATS) or "table",
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one method; times in nanoseconds."""

    wall: float
    user: float
    system: float
    tags: SizesByTag


@dataclass(slots=True)
class Method:
    """One method of answering a query. words: the command, for people."""

    name: str
    words: str
    measure: Callable[[], Sample]
    samples: list[Sample] = field(default_factory=list)


@dataclass(slots=True)
class Scenario:
    """One query, its methods and their results.

    published: system time of cat | grep and of the ioctl in milliseconds, from the kernel patches.
    plan: the method that `allocq query` uses here.
    """

    name: str
    file: str | None
    min_size: int | None
    published: tuple[int, int]
    methods: list[Method] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    agreement: Agreement = field(init=False)
    plan: str = ""

    def __post_init__(self) -> None:
        self.agreement = Agreement(self.min_size is not None)

    @property
    def filter(self) -> Filter:
        """The query as a Filter."""
        return Filter(files=[self.file] if self.file else [], min_size=self.min_size)


@dataclass(slots=True)
class Bench:
    """Everything in a report. tick: resolution of CPU times in nanoseconds."""

    settings: Settings
    machine: dict[str, object]
    scenarios: list[Scenario] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    caches: str = "warm"
    tick: int = 0
    interrupted: bool = False
