"""What a bench asks and what came out: plain values."""

from collections.abc import Callable, Mapping

from ...declarations.commands import BENCH_FORMATS, BENCH_RUNS, BENCH_SCENARIOS
from ...errors import UsageError
from ...model import Filter
from ...units import parse_size
from ..arguments import choice, number, strings
from .agreement import Agreement, Found

PUBLISHED_ON = "Xeon Platinum 8481C, 224 CPUs"
PIPELINE, IOCTL, QUERY = "pipeline", "ioctl", "query"
MOST_RUNS = 1_000_000


class Settings:
    """The command line, checked."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.runs = number("runs", values.get("runs", BENCH_RUNS)) or 0
        if not 1 <= self.runs <= MOST_RUNS:
            raise UsageError(f"bad --runs '{values['runs']}'", f"1 to {MOST_RUNS}")
        self.warm = bool(values.get("warm"))
        chosen = [choice("scenario", name, BENCH_SCENARIOS) for name in strings(values, "scenario")]
        self.scenarios = [name for name in BENCH_SCENARIOS if not chosen or name in chosen]
        self.file = None if values.get("file") is None else str(values["file"])
        size = values.get("min_size")
        self.min_size = None if size is None else parse_size(str(size))
        self.format = choice("format", values.get("format"), BENCH_FORMATS) or "table"


class Sample:
    """One way, run once; nanoseconds."""

    __slots__ = ("found", "system", "user", "wall")

    def __init__(self, wall: float, user: float, system: float, tags: Found) -> None:
        self.wall = wall
        self.user = user
        self.system = system
        self.found = tags


class Way:
    """One way to the answer. words: what was run, for people."""

    def __init__(self, name: str, words: str, measure: Callable[[], Sample]) -> None:
        self.name = name
        self.words = words
        self.measure = measure
        self.samples: list[Sample] = []


class Scenario:
    """One question, its ways, and what came out.

    published: milliseconds of system time of cat | grep and of the ioctl, from the patches.
    plan: how `allocq query` goes about it here.
    """

    def __init__(
        self, name: str, file: str | None, min_size: int | None, published: tuple[int, int]
    ) -> None:
        self.name = name
        self.file = file
        self.min_size = min_size
        self.published = published
        self.ways: list[Way] = []
        self.missing: list[str] = []
        self.agreement = Agreement(min_size is not None)
        self.plan = ""

    @property
    def filter(self) -> Filter:
        """The question as allocq's own."""
        return Filter(files=[self.file] if self.file else [], min_size=self.min_size)


class Bench:
    """Everything that a report tells."""

    def __init__(self, settings: Settings, machine: dict[str, object]) -> None:
        self.settings = settings
        self.machine = machine
        self.scenarios: list[Scenario] = []
        self.notes: list[str] = []
        self.caches = "kept"
        self.tick = 0
        self.interrupted = False
