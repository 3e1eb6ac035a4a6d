"""A bench in words and as JSON."""

from collections.abc import Sequence
from statistics import median

from ...output.json import dump
from ...units import format_size
from .scenarios import IOCTL, PIPELINE, PUBLISHED_ON, QUERY, Bench, Scenario, Way

_TIMES = ("wall", "user", "system")
_NAMES = {PIPELINE: "pipeline", IOCTL: "ioctl", QUERY: "allocq"}
_WIDTH = 10
_PLANS = {"seek": "known positions", "filter": "the kernel's filter", "text": "the text"}
_TITLES = {
    "file": "one file",
    "file-size": "that file and a minimum size",
    "size": "a minimum size alone",
}


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Median, least and greatest; None of nothing."""
    if not values:
        return None
    return {"median": median(values), "min": min(values), "max": max(values)}


def ratios(scenario: Scenario, time: str, other: str) -> list[float]:
    """Run by run, how many times what `other` took the pipeline took."""
    ways = {way.name: way for way in scenario.ways}
    if PIPELINE not in ways or other not in ways:
        return []
    pairs = zip(ways[PIPELINE].samples, ways[other].samples, strict=True)
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
        "scenarios": [_scenario(scenario) for scenario in bench.scenarios],
    }
    return dump(report) + "\n"


def _scenario(scenario: Scenario) -> dict[str, object]:
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
                "way": way.name,
                "command": way.words,
                "runs": len(way.samples),
                **{time: spread(_column(way, time)) for time in _TIMES},
            }
            for way in scenario.ways
        ],
        "ratios": {
            "system_ioctl": spread(ratios(scenario, "system", IOCTL)),
            "wall_query": spread(ratios(scenario, "wall", QUERY)),
        },
        "published": {"pipeline": cat * 1_000_000, "ioctl": ioctl * 1_000_000},
    }


def _column(way: Way, time: str) -> list[float]:
    return [getattr(sample, time) for sample in way.samples]


def in_words(bench: Bench) -> str:
    """For people: one small table a scenario."""
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
        f"{settings.runs} runs of each, interleaved; caches {bench.caches};"
        " milliseconds: median (least - most)",
    ]
    lines += [f"note: {note}" for note in bench.notes]
    for scenario in bench.scenarios:
        lines += ["", *_table(scenario)]
    if any(way.name == IOCTL for scenario in bench.scenarios for way in scenario.ways):
        lines += [
            "",
            "ioctl: the scan inside this process; all its thread's CPU time is under SYSTEM.",
            f"published: with the kernel's patches, system time on a {PUBLISHED_ON}.",
        ]
    if bench.interrupted:
        lines.append("interrupted: only the runs that were finished are told")
    return "".join(line + "\n" for line in lines)


def _or_unknown(value: object) -> str:
    return "?" if value is None else str(value)


def _table(scenario: Scenario) -> list[str]:
    lines = [_title(scenario)]
    lines += [f"  {_NAMES[way.name]:<{_WIDTH}}{way.words}" for way in scenario.ways]
    lines += [f"  missing: {text}" for text in scenario.missing]
    rows = [["", *(time.upper() for time in _TIMES)]]
    for way in scenario.ways:
        cells = [_cell(_column(way, time)) for time in _TIMES]
        if way.name == IOCTL:
            cells[1] = "-"
        rows.append([_NAMES[way.name], *cells])
    for row in rows:
        lines.append(f"  {row[0]:<{_WIDTH}}" + "".join(f"{cell:>22}" for cell in row[1:]))
    return lines + [f"  {line}" for line in (*_comparisons(scenario), *_agreement(scenario))]


def _title(scenario: Scenario) -> str:
    parts = [scenario.file] if scenario.file else []
    if scenario.min_size is not None:
        parts.append(f"at least {format_size(scenario.min_size)}")
    return f"{_TITLES[scenario.name]}: {', '.join(parts)}"


def _comparisons(scenario: Scenario) -> list[str]:
    lines = []
    cat, ioctl = scenario.published
    system = spread(ratios(scenario, "system", IOCTL))
    if system:
        lines.append(
            f"system time, pipeline / ioctl: {_times(system)} times;"
            f" published: {cat} ms / {ioctl} ms"
        )
    wall = spread(ratios(scenario, "wall", QUERY))
    if wall:
        way = f" (by {_PLANS[scenario.plan]})" if scenario.plan else ""
        lines.append(f"wall clock, pipeline / allocq{way}: {_times(wall)} times")
    return lines


def _agreement(scenario: Scenario) -> list[str]:
    agreement = scenario.agreement
    if not agreement.runs:
        return ["no run was finished"]
    if len(scenario.ways) < 2:
        return [f"tags: {agreement.tags}"]
    if agreement.differences:
        shown = agreement.differences[:5]
        more = len(agreement.differences) - len(shown)
        lines = ["the ways did NOT find the same tags:", *(f"  {text}" for text in shown)]
        return [*lines, f"  and {more} more"] if more else lines
    words = f"tags: {agreement.tags}, the same by all ways in each run"
    if agreement.moved:
        words += f"; counters moved between them in {agreement.moved} of {agreement.runs}"
    if agreement.torn:
        words += f"; modules came or went in {agreement.torn}, which tell nothing"
    return [words]


def _times(values: dict[str, float]) -> str:
    return f"{_number(values['median'])} ({_number(values['min'])} - {_number(values['max'])})"


def _cell(values: Sequence[float]) -> str:
    found = spread([value / 1e6 for value in values])
    return _times(found) if found else "-"


def _number(value: float) -> str:
    """Three digits that tell something."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
