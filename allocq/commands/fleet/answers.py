"""Answers a question to a fleet: which samples it is about, and what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ...fleet import queries
from ...fleet.engine import Engine
from ...fleet.files import MICROSECONDS, Skipped, counted, first_of
from ...fleet.places import Name, Places, places_of, seem_doubled
from ...fleet.samples import (
    Compared,
    Pick,
    Span,
    around_rollout,
    by_host,
    ends,
    last_of,
    latest,
    overlapping,
)
from ...model import Filter
from ...output.fleet import HostRow, Row, duration_words, is_slab_key
from ...output.totals import quantity
from ...storage.parquet.schema import Kind
from .reading import TOLERANCE, Data, read_data
from .request import FleetRequest

_NAMED = 3
"""So many hosts are named in a message."""


@dataclass
class Answer:
    """Rows in their order, and what is to be said beside them. since, until: microseconds since
    1970; hosts: how many the answer is about."""

    rows: Sequence[Any] = ()
    notes: list[str] = field(default_factory=list)
    since: int | None = None
    until: int | None = None
    hosts: int = 0


def answer(
    request: FleetRequest, engine: Engine, skipped: Skipped, damaged: Iterable[str]
) -> Answer:
    """Answer the question. damaged: paths to leave out. SourceError; Lost where files are gone or
    turn out to be damaged."""
    data = read_data(request, engine, skipped, damaged)
    found = Answer(since=data.since, until=data.end)
    if data.left_over:
        found.notes.append(
            f"{quantity(data.left_over, 'file')} left over from a compaction not counted again"
        )
    if names := data.misplaced:
        found.notes.append(
            f"{counted(names)} in the directory of another hour ({first_of(names)}):"
            " questions about other times may miss samples"
        )
    spans = data.spans
    if request.what == "hosts":
        spans = [*spans, *data.future]
    elif data.ahead:
        found.notes.append(_ahead(request, data))
    if not spans:
        found.notes.append(_no_sample(request, data))
        return found
    _tell_hosts(data, found)
    if request.what == "hosts":
        found.rows = _hosts(request, engine, data)
        found.hosts = len({span.host for span in spans})
        _tell_copies(data, found)
        return found
    picks = _picks(request, spans, found)
    if request.what == "outliers":
        _tell_few(picks, found)
    found.hosts = len({pick.host for pick in picks})
    if picks:
        held, places, hosts, kernels = _held(request, engine, data, picks, found)
        rows = _ROWS[request.what](request, engine, held, _Names(places.keys, hosts, kernels))
        found.rows = _ordered(request, rows)
    _tell_copies(data, found)
    return found


def _ahead(request: FleetRequest, data: Data) -> str:
    most = max(data.ahead.values()) - request.now
    return (
        f"{quantity(len(data.ahead), 'host')} with a clock in the future, by up to"
        f" {duration_words(most // MICROSECONDS)}: {_some(data.ahead)}; those samples are left out"
    )


def _tell_hosts(data: Data, found: Answer) -> None:
    """Say which hosts are not in the answer, or are more than one."""
    if silent := data.silent:
        found.notes.append(
            f"{len(silent):,} of {quantity(len(data.named), 'host')}"
            f" {'has' if len(silent) == 1 else 'have'} no sample {data.window}: {_some(silent)}"
        )
    if hosts := overlapping(data.spans):
        found.notes.append(
            f"{quantity(len(hosts), 'host')} with boots that overlap in time: {_some(hosts)};"
            " several machines have one name, or a clock was set back"
        )


def _no_sample(request: FleetRequest, data: Data) -> str:
    for globs, what, others in (
        (request.kernels, "kernel", data.other_kernels),
        (request.hosts, "host", data.other_hosts),
    ):
        if globs and others:
            return (
                f"no {what} with a sample {data.window} matches {' or '.join(globs)};"
                f" there {'is' if len(others) == 1 else 'are'} {_some(others)}"
            )
    chosen = " of these hosts and kernels" if request.hosts or request.kernels else ""
    return f"{request.path} holds no sample{chosen} {data.window}"


def _some(hosts: Iterable[str]) -> str:
    names = sorted(name or "''" for name in hosts)
    return ", ".join(names[:_NAMED]) + (", ..." if names[_NAMED:] else "")


def _picks(request: FleetRequest, spans: Sequence[Span], found: Answer) -> Sequence[Pick]:
    """The samples that the question compares."""
    if request.what != "grown":
        return latest(spans)
    if request.rollout is not None:
        glob = request.rollout
        new = {span.kernel for span in spans if fnmatchcase(span.kernel, glob)}
        compared = around_rollout(spans, new)
        if not new:
            kernels = sorted({span.kernel for span in spans})
            found.notes.append(f"no host runs {glob}; there are {_some(kernels)}")
        alone = "without a sample before the rollout"
    else:
        compared = ends(spans)
        alone = "with a single sample"
    _tell_compared(request, compared, alone, found)
    return compared.picks


def _tell_compared(request: FleetRequest, compared: Compared, alone: str, found: Answer) -> None:
    if compared.alone:
        hosts = quantity(len(compared.alone), "host")
        found.notes.append(f"{hosts} {alone} left out: {_some(compared.alone)}")
    if compared.rebooted and request.rollout is None:
        hosts = quantity(len(compared.rebooted), "host")
        found.notes.append(
            f"{hosts} booted meanwhile ({_some(compared.rebooted)}): growth there is from what was"
            " held before the boot to what is held now"
        )


def _tell_few(picks: Sequence[Pick], found: Answer) -> None:
    peers = Counter(pick.kernel for pick in picks)
    few = sum(count for count in peers.values() if count < queries.LEAST_PEERS)
    if few:
        found.notes.append(
            f"{quantity(few, 'host')} {'has' if few == 1 else 'have'} fewer than"
            f" {queries.LEAST_PEERS} with their kernel to compare with"
        )


@dataclass(frozen=True, slots=True)
class _Names:
    """What the numbers in the engine's rows stand for."""

    keys: Sequence[Any]
    hosts: Sequence[str]
    kernels: Sequence[str]


def _held(
    request: FleetRequest, engine: Engine, data: Data, picks: Sequence[Pick], found: Answer
) -> tuple[Any, Places, list[str], list[str]]:
    """What each host holds at each place that matches."""
    hosts = sorted({pick.host for pick in picks})
    kernels = sorted({pick.kernel for pick in picks})
    host_number = {host: number for number, host in enumerate(hosts)}
    kernel_number = {kernel: number for number, kernel in enumerate(kernels)}
    numbers = range(len(picks))
    chosen = engine.table(
        {
            "host": (Kind.STRING, [pick.host for pick in picks]),
            "boot_id": (Kind.STRING, [pick.boot for pick in picks]),
            "time": (Kind.TIME, [pick.time for pick in picks]),
            "pick": (Kind.INTEGER, numbers),
        }
    )
    facts = engine.table(
        {
            "pick": (Kind.INTEGER, numbers),
            "host": (Kind.INTEGER, [host_number[pick.host] for pick in picks]),
            "kernel": (Kind.INTEGER, [kernel_number[pick.kernel] for pick in picks]),
            "when": (Kind.INTEGER, [int(pick.when) for pick in picks]),
        }
    )
    rows = engine.data(data.files(picks, engine) or [footer.file for footer in data.footers])
    chosen_tags = engine.keep(queries.tags(rows, chosen, request.filter))
    samples = Counter(pick.kernel for pick in picks)
    names = _tag_names(engine, chosen_tags, facts, kernels)
    if seem_doubled(names, samples):
        whole = chosen_tags if _has_whole(request) else queries.tags(rows, chosen, Filter())
        doubled = {row["pick"]: row["times"] for row in engine.rows(queries.copies(whole))}
        data.doubled = len(doubled)
        if doubled:
            copies = {
                "pick": (Kind.INTEGER, list(doubled)),
                "times": (Kind.INTEGER, list(doubled.values())),
            }
            chosen_tags = engine.keep(queries.once(chosen_tags, engine.table(copies)))
            names = _tag_names(engine, chosen_tags, facts, kernels)
    places = places_of(names, request.filter, request.group_by, samples)
    _tell_places(places, found)
    tags = list(places.numbers)
    by_number = engine.table(
        {
            "file": (Kind.STRING, [tag[0] for tag in tags]),
            "line": (Kind.INTEGER, [tag[1] for tag in tags]),
            "module": (Kind.STRING, [tag[2] for tag in tags]),
            "function": (Kind.STRING, [tag[3] for tag in tags]),
            "key": (Kind.INTEGER, places.numbers.values()),
        }
    )
    held = queries.held(chosen_tags, facts, by_number, request.filter)
    if request.what == "outliers":  # its question goes over them more than once
        held = engine.keep(held)
    return held, places, hosts, kernels


def _has_whole(request: FleetRequest) -> bool:
    """Does the filter leave whole samples? What is left of one tells less of copies."""
    return request.filter.accurate is None and not request.filter.underflowed


def _tag_names(engine: Engine, tags: Any, facts: Any, kernels: Sequence[str]) -> list[Name]:
    return [
        Name(**{**row, "kernel": kernels[row["kernel"]]})
        for row in engine.rows(queries.names(tags, facts))
    ]


def _tell_copies(data: Data, found: Answer) -> None:
    if data.copies:
        found.notes.append(
            f"{quantity(data.copies, 'file')} left out, whose samples other files have, too:"
            " allocq fleet compact removes copies in one directory"
        )
    if data.doubled:
        found.notes.append(
            f"{quantity(data.doubled, 'sample')} several times in one file counted once"
        )
    if data.repeated:
        found.notes.append(
            f"{quantity(data.repeated, 'sample')} counted several times: in files of several hosts"
            " that have some of their samples in common"
        )


def _tell_places(places: Places, found: Answer) -> None:
    for kernel, functions in sorted(places.unclear.items()):
        found.notes.append(
            f"kernel {kernel} is several builds under one name: {quantity(functions, 'function')}"
            " on other lines; joined by file and function"
        )
    if places.odd:
        found.notes.append(f"{quantity(places.odd, 'tag')} left out: no kernel prints such names")


def _top(request: FleetRequest, engine: Engine, held: Any, names: _Names) -> Iterable[Row]:
    for row in engine.rows(queries.top(held)):
        numbers = {
            "bytes": row["size"],
            "calls": row["calls"],
            "hosts": row["hosts"],
            "max": row["largest"],
            "max_host": names.hosts[row["largest_host"]],
        }
        if request.filter.passes(row["size"], row["calls"]):
            below, inaccurate = bool(row["below"]), bool(row["inaccurate"])
            yield Row(numbers, names.keys[row["key"]], inaccurate, below)


def _grown(request: FleetRequest, engine: Engine, held: Any, names: _Names) -> Iterable[Row]:
    for row in engine.rows(queries.growth(held)):
        if row["growth"] < request.min_growth:
            continue
        if request.filter.passes(row["after"], row["calls_after"]):
            numbers = {
                **row,
                "max": row["largest"],
                "max_host": names.hosts[row["largest_host"]],
            }
            yield Row(numbers, names.keys[row["key"]], new=not row["known"])


def _percentiles(request: FleetRequest, engine: Engine, held: Any, names: _Names) -> Iterable[Row]:
    for row in engine.rows(queries.percentiles(held)):
        if request.filter.passes(row["largest"], row["calls"]):
            numbers = {
                **row,
                "max": row["largest"],
                "max_host": names.hosts[row["largest_host"]],
            }
            yield Row(numbers, names.keys[row["key"]])


def _outliers(request: FleetRequest, engine: Engine, held: Any, names: _Names) -> Iterable[Row]:
    query = queries.outliers(held, request.min_score, request.min_excess)
    for row in engine.rows(query):
        if request.filter.passes(row["size"], row["calls"]):
            excess = row["size"] - row["median"]
            numbers = {
                "host": names.hosts[row["host"]],
                "kernel": names.kernels[row["kernel"]],
                "bytes": row["size"],
                "calls": row["calls"],
                "median": row["median"],
                "mad": row["mad"],
                "peers": row["peers"],
                "excess": excess,
                "score": round(excess / queries.spread(row["median"], row["mad"]), 1),
            }
            yield Row(numbers, names.keys[row["key"]])


_ROWS: Mapping[str, Callable[[FleetRequest, Engine, Any, _Names], Iterable[Row]]] = {
    "top": _top,
    "grown": _grown,
    "percentiles": _percentiles,
    "outliers": _outliers,
}


def _ordered(request: FleetRequest, rows: Iterable[Row]) -> list[Row]:
    """Largest first; rows that are equal in that by name, so that every engine gives the same.
    Without --sort, memory of users and slab pages come after the others."""

    def key(row: Row) -> tuple[Any, ...]:
        names = tuple(str(part) for part in row.key)
        return (-row.numbers[request.sort], names, row.key[1] or 0, str(row.numbers.get("host")))

    ordered = sorted(rows, key=key)
    if request.reverse:
        ordered.reverse()
    return ordered if request.sort_given else sorted(ordered, key=lambda row: row.is_apart)


def _hosts(request: FleetRequest, engine: Engine, data: Data) -> list[HostRow]:
    """One row a host: also of those whose clock is in the future."""
    counted = _counted(request, engine, data)
    picks = [last_of(spans) for spans in by_host(counted).values()]
    held, places, hosts, _ = _held(request, engine, data, picks, Answer())
    slab = [number for number, key in enumerate(places.keys) if is_slab_key(key)]
    if len(slab) < len(places.keys) and slab:
        held = held.filter(~held.key.isin(slab))
    sums = {hosts[row["host"]]: row for row in engine.rows(queries.totals(held))}
    rows = []
    for host, spans in by_host(counted).items():
        total = sums.get(host)
        if total is None or not request.filter.passes(total["size"], total["calls"]):
            continue
        last = last_of(spans)
        rows.append(
            HostRow(
                host,
                last.kernel,
                tuple(dict.fromkeys(span.kernel for span in spans)),
                len({span.boot for span in spans}),
                min(span.first for span in spans),
                last.time,
                sum(counted[span] for span in spans),
                total["size"],
                total["calls"],
                max(0, data.ahead.get(host, 0) - request.now),
            )
        )
    if request.sort == "host":
        return sorted(rows, key=lambda row: row.host, reverse=request.reverse)
    rows.sort(key=lambda row: (-getattr(row, request.sort), row.host))
    return rows[::-1] if request.reverse else rows


def _counted(request: FleetRequest, engine: Engine, data: Data) -> dict[Span, int]:
    """How many samples there are of each boot."""
    beyond = request.now + TOLERANCE if data.ahead else None
    rows = engine.data([footer.file for footer in data.footers])
    query = queries.counted_spans(queries.between(rows, data.since, data.until, beyond))
    counted = {}
    for row in engine.rows(query):
        if request.wants(row["host"], row["kernel"]):
            span = Span(row["host"], row["boot_id"], row["kernel"], row["first"], row["last"])
            counted[span] = row["samples"]
    return counted
