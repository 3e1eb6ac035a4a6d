"""A question put to the running kernel: names, plan, scans, and again where modules moved."""

import posix
import time

from . import names, scan
from .model import Filter
from .plan import FILTER, SEEK, TEXT, Costs, Known, Plan, make_plan
from .source import ATTEMPTS, Info, Live, Snapshot
from .table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PROBES = 3
_PAGE = 1 << 16


class Names:
    """The kernel's tags, their whole names in its order, with their counters as last seen."""

    __slots__ = ("costs", "table")

    def __init__(self, text: bytes, costs: Costs) -> None:
        self.costs = costs
        self.table = parse(text, scan.Check(Filter()))


def parse(text: bytes, check: scan.Check) -> Table:
    """The matching tags of a whole text."""
    return scan.collect(scan.TextScan(check).from_pieces((text,)))


def answer(source: Live, filter: Filter, top: int | None) -> Snapshot:
    """Read until no module has come or gone during a scan, at most ATTEMPTS times."""
    check = scan.Check(filter)
    info = Info(source.path, "text")
    info.warnings = list(source.info.warnings)
    info.kernel = posix.uname().release
    forget = False
    for attempt in range(ATTEMPTS):
        before = source.content_id()
        info.time = time.time()
        last = attempt == ATTEMPTS - 1
        try:
            table = _scan(source, filter, check, before, top, info, forget or last)
        except scan.Stale:
            forget = source.content_id() == before
            continue
        info.content_id = before
        info.consistent = None if before is None else source.content_id() == before
        if info.consistent is not False:
            break
    else:
        info.warnings.append("modules came or went during every scan; the answer may be torn")
    source.info = info
    return Snapshot(info, table)


def known_names(source: Live, content: int | None, forget: bool = False) -> Names | None:
    """The names for this content id, if they are kept."""
    if content is None or forget:
        return None
    kept = names.load(names.boot_id(), content)
    return Names(kept.text, kept.costs) if kept else None


def plan_for(source: Live, filter: Filter, top: int | None) -> Plan:
    """The plan that `answer` would follow now."""
    content = source.content_id()
    known = known_names(source, content)
    return _plan(source, filter, scan.Check(filter), known, top)


def _plan(
    source: Live, filter: Filter, check: scan.Check, known: Names | None, top: int | None
) -> Plan:
    if not source.has_ioctl:
        reason = "asked for" if source.interface == "text" else "this kernel has no ioctl"
        return Plan(TEXT, reason)
    if source.interface == "text":
        return make_plan(filter, None, "text")
    told = describe(known, filter, check, top) if known else None
    return make_plan(filter, told, source.interface)


def describe(known: Names, filter: Filter, check: scan.Check, top: int | None) -> Known:
    """What the names say of this filter."""
    table = known.table
    flags = check.match_names(table)
    positions = runs_of(flags)
    whole, passing = _shared_fields(table, filter, positions)
    sizes = table.column("bytes")
    matching = [i for first, count in positions for i in range(first, first + count)]
    low = sizes_low = filter.min_size
    high = filter.max_size
    likely = passing
    if sizes_low is not None:
        likely = sum(1 for size in sizes if size >= sizes_low and (high is None or size <= high))
        likely = min(likely, passing)
    best = None
    if top and len(matching) > top and high is None:
        largest = sorted((sizes[i] for i in matching), reverse=True)
        threshold = largest[top - 1] - largest[top - 1] // 4
        if threshold > max(low or 0, 4096):
            best = threshold, sum(1 for size in sizes if size >= threshold)
    return Known(len(table), positions, whole, passing, likely, best, known.costs)


def runs_of(flags: bytes) -> list[tuple[int, int]]:
    """(position, count) of each run of ones."""
    runs = []
    end = 0
    while (start := flags.find(b"\1", end)) >= 0:
        end = flags.find(b"\0", start)
        if end < 0:
            end = len(flags)
        runs.append((start, end - start))
    return runs


def _shared_fields(
    table: Table, filter: Filter, runs: list[tuple[int, int]]
) -> tuple[dict[str, str | int], int]:
    """Exact field values that stand for the filter's names, and how many tags they let through."""
    fields: dict[str, str | int] = {}
    passing = len(table)
    for field, patterns in (
        ("file", filter.files),
        ("function", filter.functions),
        ("module", filter.modules),
    ):
        if not patterns:
            continue
        column = table.strings(field)
        values = {column[i] for first, count in runs for i in range(first, first + count)}
        if len(values) == 1:
            fields[field] = values.pop()
            passing = min(passing, column.count(str(fields[field])))
    return fields, passing


def _scan(
    source: Live,
    filter: Filter,
    check: scan.Check,
    content: int | None,
    top: int | None,
    info: Info,
    forget: bool,
) -> Table:
    known = known_names(source, content, forget) if source.interface != "text" else None
    if source.interface == "ioctl" and known is None:
        text, costs = read_names(source, content)
        known = Names(text, costs)
    plan = _plan(source, filter, check, known, top)
    table = _follow(plan, source, check, known, top, info)
    if table is None:
        plan = _plan(source, filter, check, known, None)
        table = _follow(plan, source, check, known, None, info)
    if table is None:
        plan = Plan(TEXT, "only the text tells the names apart")
        table = _follow(plan, source, check, known, None, info)
    assert table is not None
    source.plan = plan
    return table


def _follow(
    plan: Plan,
    source: Live,
    check: scan.Check,
    known: Names | None,
    top: int | None,
    info: Info,
) -> Table | None:
    """The matching tags, or None where the plan turns out too narrow."""
    info.interface = "text" if plan.way == TEXT else "ioctl"
    if plan.way == TEXT:
        return _read_text(source, check, known)
    table = Table()
    if plan.way == SEEK:
        assert known is not None
        info.ioctls += scan.seek(source.fd, known.table, plan.runs, check, table)
        return table
    assert plan.way == FILTER
    info.ioctls += scan.ask(source.fd, scan.KernelFilter(plan.kernel), check, table)
    if scan.has_trimmed(table):
        try:
            whole = known or Names(*read_names(source, source.content_id()))
            scan.resolve(table, whole.table)
        except scan.Ambiguous:
            return None
    check.apply(table)
    if plan.least and len(table) < (top or 0):
        return None
    return table


def _read_text(source: Live, check: scan.Check, known: Names | None) -> Table:
    content = source.content_id()
    if content is not None and known is None and source.interface == "auto":
        text, _ = read_names(source, content)
        return parse(text, check)
    posix.lseek(source.fd, 0, 0)
    return scan.collect(scan.TextScan(check).from_fd(source.fd))


def read_names(source: Live, content: int | None) -> tuple[bytes, Costs]:
    """Read the whole text, measure what asking costs, and keep both."""
    posix.lseek(source.fd, 0, 0)
    begin = time.perf_counter_ns()
    pieces = []
    while piece := posix.read(source.fd, _PAGE):
        pieces.append(piece)
    text = b"".join(pieces)
    whole = time.perf_counter_ns() - begin
    costs = measure(source, parse(text, scan.Check(Filter())), whole)
    if content is not None and source.content_id() == content:
        names.save(names.boot_id(), content, text, costs)
    return text, costs


def measure(source: Live, table: Table, text: int) -> Costs:
    """Time the kernel's steps with a few scans that cost next to nothing."""
    check = scan.Check(Filter())
    tags = max(1, len(table))
    files = table.strings("file")
    runs = _largest_file(files)
    file = files[runs[0]] if files else ""
    call = _timed(lambda: source.content_id())
    step = _timed(lambda: _ask(source, table, check, [(tags - 1, 1)])) - call
    some = _timed(lambda: _ask(source, table, check, [(0, min(64, tags))])) // min(64, tags)
    nothing: dict[str, str | int] = {"file": "no such file"}
    compare = _timed(lambda: scan.ask(source.fd, scan.KernelFilter(nothing), check, Table())) - call
    impossible: dict[str, str | int] = {"file": file, "min_size": 1 << 62, "max_size": 1 << 62}
    summed = _timed(lambda: scan.ask(source.fd, scan.KernelFilter(impossible), check, Table()))
    step = max(0, step // tags)
    return Costs(
        call=call,
        tag=max(1, some),
        step=step,
        compare=max(0, compare // tags - step),
        sum=max(0, (summed - compare - call) // runs[1]),
        text=text,
    )


def _ask(source: Live, table: Table, check: scan.Check, runs: list[tuple[int, int]]) -> None:
    scan.seek(source.fd, table, runs, check, Table())


def _largest_file(files: list[str]) -> tuple[int, int]:
    """(position, count) of the longest run of tags of one file."""
    best = start = 0
    most = 1
    for i, file in enumerate(files):
        if file != files[start]:
            start = i
        if i - start + 1 > most:
            best, most = start, i - start + 1
    return best, most


def _timed(call: "Callable[[], object]") -> int:
    """The least nanoseconds of a few tries."""
    least = 1 << 62
    for _ in range(_PROBES):
        begin = time.perf_counter_ns()
        call()
        least = min(least, time.perf_counter_ns() - begin)
    return least
