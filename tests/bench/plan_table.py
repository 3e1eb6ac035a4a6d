"""Is the way that allocq chooses the cheapest? Each query by every way there is, and by the plan's.

What is compared is what the scans cost in this thread, with the names of the tags known. `cat` is
reading the whole text and looking at nothing. A query's ways are run in turn; the one that allocq
chose is measured as one of them, so that the same scan has the same figure. The best way is the
quickest of those that do not cost the kernel more than `cat` does.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from common import cpu_clock, ms, show

WHERE = "kernel"
IN_GUEST = ("--load", "xfs")

from allocq.core.binding import ffi, lib  # noqa: E402
from allocq.core.filter import NativeFilter  # noqa: E402
from allocq.core.kernel import KernelFilter, Plan, scan  # noqa: E402
from allocq.core.table import Table  # noqa: E402
from allocq.core.text import Text  # noqa: E402
from allocq.model import Filter  # noqa: E402
from allocq.sources.matcher import Matcher  # noqa: E402
from allocq.sources.source import Live, Wanted, open_source  # noqa: E402

Fields = dict[str, str | int]
Runs = list[tuple[int, int]]
ALL = (1 << 8 * ffi.sizeof("size_t")) - 1
COSTS = ("call", "compare", "step", "sum", "tag", "text")
MOST_FILTERS = 16
HOPELESS = 4.0  # a way that takes so many times the best after the first rounds is left alone
FIRST_ROUNDS = 3
NOISE = 1.05


@dataclass
class Query:
    """A kind of query, as people would type it, and as allocq has it."""

    words: str
    filter: Filter
    wanted: Wanted = field(default_factory=Wanted)


@dataclass
class Way:
    """One way to the answer; `key` says which scan it is."""

    words: str
    key: tuple[Any, ...]
    run: Callable[[], Table]
    by_wall: bool = False
    seconds: list[float] = field(default_factory=list)
    kernel_seconds: list[float] = field(default_factory=list)

    @property
    def cost(self) -> float:
        """The median of CPU times; of wall clock, which others lengthen, the lower quartile."""
        times = sorted(self.seconds)
        return times[len(times) // 4] if self.by_wall else median(times)

    @property
    def kernel_cost(self) -> float:
        """The kernel's part: the mean, for it is counted in ticks. All, where only a wall clock is
        right."""
        return self.cost if self.by_wall else mean(self.kernel_seconds)


def queries(line: int) -> list[Query]:
    """More than a dozen kinds."""
    slub, fs = ["mm/slub.c"], ["fs/*"]
    several = ["slub.c", "mm/page_alloc.c", "fork.c", "fs/dcache.c"]
    return [
        Query("--file slub.c", Filter(files=["slub.c"])),
        Query("--file mm/slub.c", Filter(files=slub)),
        Query("--file arch/x86/events/rapl.c", Filter(files=["arch/x86/events/rapl.c"])),
        Query("--file 'fs/xfs/*'", Filter(files=["fs/xfs/*"])),
        Query("--file 'fs/*'", Filter(files=fs)),
        Query("--file, four of them", Filter(files=several)),
        Query("--file nosuch.c", Filter(files=["nosuch.c"])),
        Query("--function alloc_slab_page", Filter(functions=["alloc_slab_page"])),
        Query("--function '*alloc*'", Filter(functions=["*alloc*"])),
        Query("--module xfs", Filter(modules=["xfs"])),
        Query("--builtin", Filter(builtin=True)),
        Query(f"--file slub.c --line {line}", Filter(files=["slub.c"], lines=[(line, line)])),
        Query(f"--line {line}", Filter(lines=[(line, line)])),
        Query("--min-size 1M", Filter(min_size=1 << 20)),
        Query("--min-size 64K", Filter(min_size=64 << 10)),
        Query("--min-size 4K", Filter(min_size=4 << 10)),
        Query("--max-size 4K", Filter(max_size=4 << 10)),
        Query("--min-calls 1000", Filter(min_calls=1000)),
        Query("--file slub.c --min-size 64K", Filter(files=["slub.c"], min_size=64 << 10)),
        Query("--file 'fs/*' --min-size 64K", Filter(files=fs, min_size=64 << 10)),
        Query("--regexp 'func:.*_init'", Filter(regexps=["func:.*_init"])),
        Query("--inaccurate", Filter(accurate=False)),
        Query("--exclude 'drivers/*'", Filter(excludes=["drivers/*"])),
        Query("everything", Filter()),
        Query("-n 5 -s bytes", Filter(), Wanted(top=5)),
        Query("-n 5 -s bytes --file 'fs/*'", Filter(files=fs), Wanted(top=5)),
        Query("-n 10 --file 'fs/*'", Filter(files=fs), Wanted(first=10)),
    ]


class Bench:
    """An open kernel, the names of its tags, and a clock."""

    def __init__(self, source: Live) -> None:
        self.source = source
        source.read(Filter(files=["no such file"]))  # makes the tag cache
        costs = ffi.new("aq_costs *")
        if not lib.aq_cache_fits(source.content_id(), costs):
            sys.exit("plan_table: there is no tag cache; is there room in /run?")
        self.costs = {name: int(getattr(costs, name)) for name in COSTS}
        self.known = self.text(Matcher(Filter()))
        self.clock_name, self.clock = cpu_clock()

    def ask(self, filters: list[Fields], matcher: Matcher) -> Table:
        """Every kernel filter in turn, what they let through given its whole names and checked."""
        table = Table()
        for fields in filters:
            scan(self.source.fd, KernelFilter(fields), table)
        result = lib.aq_table_resolve(table.native, self.known.native)
        assert result == lib.AQ_DONE, "modules came or went, or two names end alike"
        matcher.apply(table)
        return table

    def seek(self, runs: Runs, matcher: Matcher, exact: bool) -> Table:
        """The tags at known positions, whose names all match where the runs are `exact`."""
        table, ioctls = Table(), ffi.new("uint64_t *")
        first = ffi.new("uint32_t[]", [position for position, _ in runs])
        count = ffi.new("uint32_t[]", [count for _, count in runs])
        native = matcher.native.native if exact else NativeFilter().native
        result = lib.aq_seek(
            *(self.source.fd, self.known.native, first, count, len(runs), native, ALL),
            *(matcher.hooks().native, table.native, ioctls),
        )
        assert result == lib.AQ_DONE, "modules came or went"
        if not exact:
            matcher.apply(table)
        return table

    def text(self, matcher: Matcher) -> Table:
        """The whole text, read and filtered."""
        os.lseek(self.source.fd, 0, 0)
        table = Table()
        for batch in Text(matcher.native, self.source.path).from_fd(self.source.fd):
            table.append(batch)
        matcher.finish(table)
        return table

    def cat(self) -> Table:
        """The whole text, read."""
        os.lseek(self.source.fd, 0, 0)
        while os.read(self.source.fd, 1 << 17):
            pass
        return Table()

    def ways(self, query: Query) -> list[Way]:
        """By hand."""
        matcher = Matcher(query.filter)
        flags = self._matching(matcher)
        runs = runs_of(flags)
        if query.wanted.first is not None:
            runs = first_of(runs, query.wanted.first)
        ways: dict[tuple[Any, ...], Way] = {}

        def add(words: str, key: tuple[Any, ...], run: Callable[[], Table]) -> None:
            ways.setdefault(key, Way(words, key, run))

        def add_runs(words: str, some: Runs) -> None:
            add(words, ("seek", *some), lambda: self.seek(some, matcher, some == runs))

        def add_filters(words: str, filters: list[Fields]) -> None:
            add(words, filters_key(filters), lambda: self.ask(filters, matcher))

        add("text", ("text",), lambda: self.text(matcher))
        add_filters("all by ioctl", [{}])
        fields = kernel_fields(query.filter)
        if fields:
            add_filters("filter " + "+".join(fields), [fields])
        counters = {name: fields[name] for name in fields if name in _COUNTERS}
        if counters:
            add_filters("filter " + "+".join(counters), [counters])
        if not runs:
            return list(ways.values())
        add_runs("seek", runs)
        for gap in (4, 16, 64):
            add_runs(f"seek over {gap}", join(runs, gap))
        add_runs("seek over all", [(runs[0][0], runs[-1][0] + runs[-1][1] - runs[0][0])])
        for name in ("file", "function", "module", "line"):
            values = self._values(name, flags)
            if 0 < len(values) <= MOST_FILTERS:
                exact: list[Fields] = [{name: value} for value in values]
                add_filters(f"{len(exact)} x {name}", exact)
                if counters:
                    both = [{**one, **counters} for one in exact]
                    add_filters(f"{len(exact)} x {name}+{'+'.join(counters)}", both)
        if query.wanted.top:
            self._add_top(query, add_filters, flags)
        return list(ways.values())

    def _matching(self, matcher: Matcher) -> bytes:
        """One byte a tag: 1 where its names match."""
        keep = ffi.new("uint8_t[]", len(self.known))
        matching = ffi.new("size_t *")
        native = matcher.native.native
        lib.aq_table_match_names(self.known.native, native, ffi.NULL, keep, matching)
        names = ffi.buffer(keep)[:]
        if not matcher.hooks().native.search:
            return names
        return bytes(a & b for a, b in zip(names, matcher.search(self.known), strict=True))

    def _values(self, name: str, flags: bytes) -> list[str | int]:
        table = self.known
        column: Any = table.column(name) if name == "line" else table.strings(name)
        return list(dict.fromkeys(v for v, flag in zip(column, flags, strict=True) if flag))

    def _add_top(
        self, query: Query, add_filters: Callable[[str, list[Fields]], None], flags: bytes
    ) -> None:
        sizes = self.known.column("bytes")
        largest = sorted((s for s, flag in zip(sizes, flags, strict=True) if flag), reverse=True)
        for part in (0.5, 0.75, 0.9):
            size = int(largest[min(query.wanted.top or 1, len(largest)) - 1] * part)
            if size > 0:
                add_filters(f"min_size {part:g} of the last", [{"min_size": size}])

    def chosen(self, query: Query, ways: list[Way]) -> tuple[Way, Plan]:
        """The plan's way, one of `ways` if it is the same scan."""
        plan = self.source.plan(query.filter, query.wanted)
        matcher = Matcher(query.filter)
        runs = list(plan.runs)
        fields = dict(plan.kernel)
        if plan.method == "text":
            key: tuple[Any, ...] = ("text",)
            made = Way("text", key, lambda: self.text(matcher))
        elif plan.method == "seek":
            key = ("seek", *runs)
            made = Way(
                f"seek {len(runs)} runs", key, lambda: self.seek(runs, matcher, not plan.joined)
            )
        else:
            key = filters_key([fields])
            made = Way("filter " + "+".join(fields), key, lambda: self.ask([fields], matcher))
        same = next((way for way in ways if way.key == key), None)
        if same is None:
            ways.append(made)
        return same or made, plan

    def measure(self, ways: list[Way], rounds: int, keep: list[Way]) -> None:
        """Run the ways in turn; those without a chance only in the first rounds."""
        for way in ways:
            way.by_wall = self.clock is time.perf_counter
            way.run()
        trying = list(ways)
        for turn in range(rounds):
            if turn == FIRST_ROUNDS:
                best = min(way.cost for way in ways)
                trying = [w for w in ways if w.cost < HOPELESS * best or w in keep]
            for i in range(len(trying)):
                way = trying[(i + turn) % len(trying)]
                system, begin = kernel_time(), self.clock()
                way.run()
                way.seconds.append(self.clock() - begin)
                way.kernel_seconds.append(kernel_time() - system)


def kernel_time() -> float:
    """Seconds that this thread has spent in the kernel."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_stime


_COUNTERS = ("min_size", "max_size", "inaccurate")


def kernel_fields(filter: Filter) -> Fields:
    """What of a filter the kernel can check exactly as it is written."""
    fields: Fields = {}
    for name, values in (("function", filter.functions), ("module", filter.modules)):
        if len(values) == 1 and not set(values[0]) & set("*?["):
            fields[name] = values[0]
    if filter.builtin:
        fields["module"] = ""
    if len(filter.lines) == 1 and filter.lines[0][0] == filter.lines[0][1]:
        fields["line"] = filter.lines[0][0]
    if filter.accurate is not None:
        fields["inaccurate"] = int(not filter.accurate)
    if filter.min_size is not None:
        fields["min_size"] = filter.min_size
    if filter.max_size is not None:
        fields["max_size"] = filter.max_size
    return fields


def runs_of(flags: bytes) -> Runs:
    """Where the tags are that match, neighbours together."""
    runs: Runs = []
    for position, flag in enumerate(flags):
        if flag and runs and sum(runs[-1]) == position:
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        elif flag:
            runs.append((position, 1))
    return runs


def first_of(runs: Runs, most: int) -> Runs:
    """The runs as far as their first `most` tags."""
    taken: Runs = []
    for first, count in runs:
        if most > 0:
            taken.append((first, min(count, most)))
        most -= count
    return taken


def filters_key(filters: list[Fields]) -> tuple[Any, ...]:
    return ("filter", *sorted(tuple(sorted(fields.items())) for fields in filters))


def join(runs: Runs, gap: int) -> Runs:
    """Runs with at most `gap` other tags between them made one."""
    joined = [runs[0]]
    for first, count in runs[1:]:
        start, length = joined[-1]
        if first - (start + length) <= gap:
            joined[-1] = start, first + count - start
        else:
            joined.append((first, count))
    return joined


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--load", action="append", default=[], help="kernel module to load before")
    parser.add_argument("--only", help="only queries with this in their words")
    parser.add_argument("-v", "--verbose", action="store_true", help="every way's figure too")
    args = parser.parse_args()
    for module in args.load:
        subprocess.run(["modprobe", module], check=False)
    with open_source() as source:
        assert isinstance(source, Live)
        if not source.has_ioctl:
            print("plan_table: this kernel has no ioctl: there is nothing to choose")
            return 0
        report(Bench(source), args.rounds, args.only, args.verbose)
    return 0


def report(bench: Bench, rounds: int, only: str | None, verbose: bool) -> None:
    files, lines = bench.known.strings("file"), bench.known.column("line")
    line = next((n for f, n in zip(files, lines, strict=True) if f == "mm/slub.c"), lines[0])
    rows: list[tuple[object, ...]] = []
    details = []
    late = 0
    for query in queries(line):
        if only and only not in query.words:
            continue
        ways = bench.ways(query)
        chosen, plan = bench.chosen(query, ways)
        cat = Way("cat", ("cat",), bench.cat)
        bench.measure([*ways, cat], rounds, [chosen, cat])
        ways.sort(key=lambda way: way.cost)
        most = NOISE * cat.kernel_cost
        best = next(way for way in ways if way.key == ("text",) or way.kernel_cost <= most)
        times = chosen.cost / best.cost if best.cost else 1.0
        # What is checked of the text is no cost of the kernel's.
        dear = plan.method != "text" and chosen.kernel_cost > most
        late += times > 1.1 or dear
        mark = ("> best " if times > 1.1 else "") + ("> cat" if dear else "")
        planned = "" if plan.cost is None else ms(plan.cost / 1e9)
        rows.append((query.words, len(chosen.run()), best.words, ms(best.cost), chosen.words,
                     ms(chosen.cost), planned, f"{times:.2f}", ms(cat.cost), mark))  # fmt: skip
        ways.append(cat)
        details.append(f"  {query.words}: " + ", ".join(f"{w.words} {ms(w.cost)}" for w in ways))
    heads = ("query", "tags", "best way", "ms", "chosen", "ms", "planned", "ratio", "cat ms", "")
    show(f"the plan, {bench.clock_name}, {rounds} rounds", heads, rows)
    print(f"  {late} of {len(rows)} more than 10 % above the best way, or above cat")
    print("  costs, ns: " + ", ".join(f"{k} {v}" for k, v in bench.costs.items()))
    if verbose:
        print("  every way, ms:", *details, sep="\n  ")


if __name__ == "__main__":
    sys.exit(main())
