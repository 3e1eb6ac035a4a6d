"""Formats the results of a benchmark as text and JSON."""

from collections.abc import Sequence
from statistics import median

from ...output.json import dump
from ...units import format_size
from .scenarios import IOCTL, PIPELINE, PUBLISHED_ON, QUERY, Bench, Method, Scenario

_TIMES = ("wall", "user", "system")
_NAMES = {PIPELINE: "pipeline", IOCTL: "ioctl", QUERY: "allocq"}
_WIDTH = 10
_PLANS = {"seek": "cached positions", "filter": "the kernel filter", "text": "the text"}
_TITLES = {
    "file": "one file",
    "file-size": "one file and a minimum size",
    "size": "a minimum size",
}


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Median, minimum and maximum; None if empty."""
    if not values:
        return None
    return {"median": median(values), "min": min(values), "max": max(values)}


def ratios(scenario: Scenario, time: str, other: str) -> list[float]:
    """The time of the pipeline divided by that of `other`, for each run."""
    methods = {method.name: method for method in scenario.methods}
    if PIPELINE not in methods or other not in methods:
        return []
    pairs = zip(methods[PIPELINE].samples, methods[other].samples, strict=True)
    return [getattr(a, time) / getattr(b, time) for a, b in pairs if getattr(b, time)]


def as_json(bench: Bench) -> str:
    """One object; times in nanoseconds."""
    settings = bench.settings
    report = {
        "machine": bench.machine,
        "runs": settings.runs,
        "caches": bench.caches,
        "clock_step": bench.tick,
        "interrupted": bench.interrupted,
        "notes": bench.notes,
        "published_on": PUBLISHED_ON,
        "scenarios": [_scenario(scenario, bench.tick) for scenario in bench.scenarios],
    }
    return dump(report) + "\n"


def _scenario(scenario: Scenario, tick: int) -> dict[str, object]:
    agreement = scenario.agreement
    cat, ioctl = scenario.published
    return {
        "name": scenario.name,
        "file": scenario.file,
        "min_size": scenario.min_size,
        "plan": scenario.plan,
        "tags": agreement.tags,
        "compared": agreement.runs,
        "moved": agreement.moved,
        "torn": agreement.torn,
        "differences": agreement.differences,
        "missing": scenario.missing,
        "ways": [
            {
                "way": method.name,
                "command": method.words,
                "runs": len(method.samples),
                **{time: spread(_column(method, time)) for time in _TIMES},
            }
            for method in scenario.methods
        ],
        "ratios": {
            "system_ioctl": spread(ratios(scenario, "system", IOCTL)),
            "wall_query": spread(ratios(scenario, "wall", QUERY)),
            "system_query": spread(_system_ratios(scenario, tick)),
        },
        "published": {"pipeline": cat * 1_000_000, "ioctl": ioctl * 1_000_000},
    }


def _column(method: Method, time: str) -> list[float]:
    return [getattr(sample, time) for sample in method.samples]


def in_words(bench: Bench) -> str:
    """The report for people: one table per scenario."""
    machine, settings = bench.machine, bench.settings
    facts = [
        f"Linux {machine['kernel']} ({machine['machine']})",
        str(machine["cpu"] or "unknown CPU"),
        f"possible CPUs: {_or_unknown(machine['possible_cpus'])},"
        f" online: {_or_unknown(machine['online_cpus'])}",
        f"{machine['tags']} tags in {machine['files']} files and {machine['modules']} modules",
    ]
    lines = [
        "; ".join(facts),
        f"{settings.runs} runs of each, interleaved; caches: {bench.caches};"
        " milliseconds: median (min - max)",
    ]
    lines += [f"note: {note}" for note in bench.notes]
    for scenario in bench.scenarios:
        lines += ["", *_table(scenario, bench.tick)]
    if any(method.name == IOCTL for scenario in bench.scenarios for method in scenario.methods):
        lines += [
            "",
            "ioctl: only the scan, no program is started; SYSTEM is all CPU time of its thread.",
            "pipeline, allocq: whole processes, from start to exit.",
            f"published: system time given with the kernel patches, on a {PUBLISHED_ON}.",
        ]
    if bench.interrupted:
        lines.append("interrupted: only finished runs are counted")
    return "".join(line + "\n" for line in lines)


def _or_unknown(value: object) -> str:
    return "?" if value is None else str(value)


def _table(scenario: Scenario, tick: int) -> list[str]:
    lines = [_title(scenario)]
    lines += [f"  {_NAMES[method.name]:<{_WIDTH}}{method.words}" for method in scenario.methods]
    lines += [f"  missing: {text}" for text in scenario.missing]
    rows = [["", *(time.upper() for time in _TIMES)]]
    for method in scenario.methods:
        cells = [_cell(_column(method, "wall"))]
        if method.name == IOCTL:
            cells += ["-", _cell(_column(method, "system"))]
        else:
            cells += [_cell(_column(method, time), tick) for time in ("user", "system")]
        rows.append([_NAMES[method.name], *cells])
    for row in rows:
        lines.append(f"  {row[0]:<{_WIDTH}}" + "".join(f"{cell:>22}" for cell in row[1:]))
    return lines + [f"  {line}" for line in (*_comparisons(scenario, tick), *_agreement(scenario))]


def _title(scenario: Scenario) -> str:
    parts = [scenario.file] if scenario.file else []
    if scenario.min_size is not None:
        parts.append(f"at least {format_size(scenario.min_size)}")
    return f"{_TITLES[scenario.name]}: {', '.join(parts)}"


def _system_ratios(scenario: Scenario, tick: int) -> list[float]:
    """Those of allocq; none where a run took less than the clock can tell."""
    if any(
        sample.system < max(tick, 1)
        for method in scenario.methods
        if method.name != IOCTL
        for sample in method.samples
    ):
        return []
    return ratios(scenario, "system", QUERY)


def _comparisons(scenario: Scenario, tick: int) -> list[str]:
    lines = []
    cat, ioctl = scenario.published
    wall = spread([1 / ratio for ratio in ratios(scenario, "wall", QUERY)])
    if wall:
        plan = f" (by {_PLANS[scenario.plan]})" if scenario.plan else ""
        lines.append(f"allocq{plan} takes {_times(wall)} times as long as the pipeline")
    cpu = spread([1 / ratio for ratio in _system_ratios(scenario, tick)])
    if cpu:
        lines.append(f"allocq takes {_times(cpu)} times the system time of the pipeline")
    system = spread(ratios(scenario, "system", IOCTL))
    if system:
        lines.append(
            f"the pipeline, starting its programs included, takes {_times(system)} times the system"
            f" time of the scan alone; published: {cat} ms against {ioctl} ms"
        )
    return lines


def _agreement(scenario: Scenario) -> list[str]:
    agreement = scenario.agreement
    if not agreement.runs:
        return ["no run finished"]
    if len(scenario.methods) < 2:
        return [f"tags: {agreement.tags}"]
    if agreement.differences:
        shown = agreement.differences[:5]
        more = len(agreement.differences) - len(shown)
        lines = ["the methods did NOT find the same tags:", *(f"  {text}" for text in shown)]
        return [*lines, f"  and {more} more"] if more else lines
    words = f"tags: {agreement.tags}; all methods agree in every run"
    if agreement.moved:
        words += f"; counters moved in {agreement.moved} of {agreement.runs} runs"
    if agreement.torn:
        words += f"; modules were loaded or unloaded in {agreement.torn}, which are not compared"
    return [words]


def _times(values: dict[str, float], least: float = 0) -> str:
    """Median and range; what is below `least` is not known any closer."""
    middle, low, high = (
        f"<{_number(least)}" if value < least else _number(value)
        for value in (values["median"], values["min"], values["max"])
    )
    return middle if values["max"] < least else f"{middle} ({low} - {high})"


def _cell(values: Sequence[float], tick: int = 0) -> str:
    """Nanoseconds as milliseconds. tick: the resolution of the clock."""
    milliseconds = spread([value / 1e6 for value in values])
    return _times(milliseconds, tick / 1e6) if milliseconds else "-"


def _number(value: float) -> str:
    """A number with about three significant digits."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
