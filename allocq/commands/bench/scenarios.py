"""What a bench asks and what came out: plain values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ...declarations.commands import BENCH_FORMATS, BENCH_RUNS, BENCH_SCENARIOS
from ...errors import UsageError
from ...model import Filter
from ...units import parse_size
from ..arguments import choice, number, strings, text
from .agreement import Agreement, SizesByTag

PUBLISHED_ON = "Xeon Platinum 8481C, 224 CPUs"
PIPELINE, IOCTL, QUERY = "pipeline", "ioctl", "query"
MOST_RUNS = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The command line, checked."""

    runs: int = BENCH_RUNS
    drop_caches: bool = False
    scenarios: Sequence[str] = BENCH_SCENARIOS
    file: str | None = None
    min_size: int | None = None
    format: str = "table"


def read_settings(values: Mapping[str, object]) -> Settings:
    """The values of the options, checked. UsageError for a bad one."""
    runs = number("runs", values.get("runs", BENCH_RUNS)) or 0
    if not 1 <= runs <= MOST_RUNS:
        raise UsageError(f"bad --runs '{values['runs']}'", f"1 to {MOST_RUNS}")
    chosen = [choice("scenario", name, BENCH_SCENARIOS) for name in strings(values, "scenario")]
    size, drop = text(values, "min_size"), bool(values.get("drop_caches"))
    if drop and values.get("warm"):
        raise UsageError("--warm keeps what --drop-caches drops", "give one of the two")
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
    """One method, run once; nanoseconds."""

    wall: float
    user: float
    system: float
    tags: SizesByTag


@dataclass(slots=True)
class Method:
    """One way to the answer. words: what was run, for people."""

    name: str
    words: str
    measure: Callable[[], Sample]
    samples: list[Sample] = field(default_factory=list)


@dataclass(slots=True)
class Scenario:
    """One question, its methods, and what came out.

    published: milliseconds of system time of cat | grep and of the ioctl, from the patches.
    plan: how `allocq query` goes about it here.
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
        """The question as allocq's own."""
        return Filter(files=[self.file] if self.file else [], min_size=self.min_size)


@dataclass(slots=True)
class Bench:
    """Everything that a report tells."""

    settings: Settings
    machine: dict[str, object]
    scenarios: list[Scenario] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    caches: str = "warm"
    tick: int = 0
    interrupted: bool = False
