"""A question put to the running kernel: names, plan, scans, and again where modules moved."""

import posix
import time

from ..core import scan
from ..core.table import Table
from ..errors import FormatError
from ..model import Filter, Info
from . import names
from .plan import FILTER, SEEK, TEXT, Costs, Known, Option, Plan, kernel_fields, make_plan
from .source import ATTEMPTS, Live, Snapshot, Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .plan import Fields

_LEAST_TOP = 4096


class Names:
    """The kernel's tags, their whole names in its order, with their counters as last seen."""

    __slots__ = ("costs", "table")

    def __init__(self, text: bytes, costs: Costs) -> None:
        self.costs = costs
        self.table = scan.parse(text, scan.Check(Filter()))


class Question:
    """What `answer` works on: a source, what is asked of it, and the filter made ready for C."""

    __slots__ = ("check", "filter", "source", "wanted")

    def __init__(self, source: Live, filter: Filter, wanted: Wanted) -> None:
        self.source = source
        self.filter = filter
        self.wanted = wanted
        self.check = scan.Check(filter)


def answer(source: Live, filter: Filter, wanted: Wanted) -> Snapshot:
    """Read until no module has come or gone during a scan, at most ATTEMPTS times."""
    question = Question(source, filter, wanted)
    info = Info(source.path, "text")
    info.kernel = posix.uname().release
    trusted = True
    for attempt in range(ATTEMPTS):
        before = source.content_id()
        info.warnings, info.cut = list(source.warnings), False
        info.time = time.time()
        last = attempt == ATTEMPTS - 1
        known = known_names(source, before) if trusted and not last else None
        try:
            table = _anyhow(question, info) if last else _scan(question, before, known, info)
        except scan.Stale:
            trusted = source.content_id() != before
            continue
        info.content_id = before
        same = None if before is None else source.content_id() == before
        info.consistent = False if info.cut else same
        if same is not False:
            break
    else:
        info.consistent = False
        info.warnings.append("modules came or went during every scan; the answer may be torn")
    source.info = info
    return Snapshot(info, table)


def plan_for(source: Live, filter: Filter, wanted: Wanted) -> Plan:
    """The plan that `answer` would follow now."""
    question = Question(source, filter, wanted)
    content = source.content_id()
    return _plan(question, _needed(source, content, known_names(source, content)), wanted)


def known_names(source: Live, content: int | None) -> Names | None:
    """The names for this content id, if they are kept and may be used."""
    if content is None or source.interface == "text":
        return None
    kept = names.load(names.boot_id(), content)
    return Names(kept.text, kept.costs) if kept else None


def _needed(source: Live, content: int | None, known: Names | None) -> Names | None:
    """`known`, or the names read now where the ioctl alone may answer and cannot without them."""
    if known is None and source.interface == "ioctl":
        return _learn(source, content)
    return known


def _learn(source: Live, content: int | None) -> Names:
    from .learn import read_names

    return Names(*read_names(source, content))


def _told(reader: scan.TextScan, table: Table, source: Live, info: Info) -> Table:
    """`table` as it was read, and in `info` what the text said of itself."""
    if not reader.headers and not reader.tags:
        raise FormatError(f"{source.path} is not /proc/allocinfo or its like")
    info.version = reader.version
    if reader.unfinished:
        info.cut = True
        info.warnings.append(f"{source.path}: the last line has no end and was left out")
    return table


def _anyhow(question: Question, info: Info) -> Table:
    """Everything once, however the tags move: what is left when nothing else came to an end."""
    source, check = question.source, question.check
    if source.interface != "ioctl":
        info.interface = "text"
        return _stream_text(source, check, info)
    table = Table()
    info.interface = "ioctl"
    info.ioctls += scan.ask(source.fd, scan.KernelFilter({}), check, table)
    if scan.has_trimmed(table):
        info.interface = "text"  # which has the whole names
        return _stream_text(source, check, info)
    check.apply(table)
    return table


def _scan(question: Question, content: int | None, known: Names | None, info: Info) -> Table:
    source, wanted = question.source, question.wanted
    known = _needed(source, content, known)
    plan = _plan(question, known, wanted)
    table = _follow(plan, question, known, info)
    if table is None and plan.least:
        plan = _plan(question, known, Wanted())
        table = _follow(plan, question, known, info)
    if table is None:
        plan = Plan(TEXT, "only the text tells the names apart")
        table = _follow(plan, question, known, info)
    assert table is not None
    source.plan = plan
    return table


def _plan(question: Question, known: Names | None, wanted: Wanted) -> Plan:
    source = question.source
    if not source.has_ioctl:
        asked = source.interface == "text"
        return Plan(TEXT, "asked for" if asked else "this kernel has no ioctl")
    told = describe(known, question, wanted) if known else None
    return make_plan(question.filter, told, source.interface)


def describe(known: Names, question: Question, wanted: Wanted) -> Known:
    """What the names say of this question."""
    table, filter, check = known.table, question.filter, question.check
    flags = check.match_names(table)
    runs = runs_of(flags)
    if wanted.first is not None and not filter.asks_counters:
        runs = first_of(runs, wanted.first)
    fields = {**kernel_fields(filter), **_shared_fields(table, filter, flags)}
    options = []
    if fields:
        summed = scan.count(table, _names_only(fields))
        options.append(Option(fields, summed, scan.count(table, fields)))
    if wanted.top and filter.max_size is None and runs:
        largest = _top_option(table, fields, runs, wanted.top)
        if largest:
            options.append(largest)
    return Known(len(table), runs, options, known.costs, joinable=wanted.first is None)


def _top_option(
    table: Table, fields: "Fields", runs: list[tuple[int, int]], top: int
) -> Option | None:
    """A minimum size that the `top` largest should still pass, with room for what moved."""
    sizes = table.column("bytes")
    matching = [size for first, count in runs for size in sizes[first : first + count]]
    if len(matching) <= top:
        return None
    matching.sort(reverse=True)
    size = matching[top - 1] - matching[top - 1] // 8
    if size <= max(_LEAST_TOP, int(fields.get("min_size", 0))):
        return None
    narrowed: Fields = {**fields, "min_size": size}
    summed = scan.count(table, _names_only(fields))
    return Option(narrowed, summed, scan.count(table, narrowed), least=top)


def _names_only(fields: "Fields") -> "Fields":
    return {name: value for name, value in fields.items() if not name.endswith("_size")}


def _shared_fields(table: Table, filter: Filter, flags: bytes) -> "Fields":
    """Names that all matching tags share and the kernel can compare."""
    fields: Fields = {}
    for field, patterns in (
        ("file", filter.files),
        ("function", filter.functions),
        ("module", filter.modules),
    ):
        if patterns and (shared := table.shared(field, flags)) is not None:
            fields[field] = shared
    return fields


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


def first_of(runs: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """The first `most` positions of the runs."""
    kept = []
    for position, count in runs:
        if most <= 0:
            break
        kept.append((position, min(count, most)))
        most -= count
    return kept


def _follow(plan: Plan, question: Question, known: Names | None, info: Info) -> Table | None:
    """The matching tags, or None where the plan turns out too narrow."""
    source, check = question.source, question.check
    info.interface = "text" if plan.way == TEXT else "ioctl"
    if plan.way == TEXT:
        return _read_text(source, check, known, info)
    table = Table()
    if plan.way == SEEK:
        assert known is not None
        first = question.wanted.first
        info.ioctls += scan.seek(source.fd, known.table, plan.runs, check, table, first)
        if plan.joined:
            check.apply(table)
        return table
    assert plan.way == FILTER
    info.ioctls += scan.ask(source.fd, scan.KernelFilter(plan.kernel), check, table)
    if scan.has_trimmed(table):
        try:
            whole = known or _learn(source, source.content_id())
            scan.resolve(table, whole.table)
        except scan.Ambiguous:
            return None
    check.apply(table)
    # Counters below zero pass the kernel's minimum; they are not among the largest.
    enough = (
        not plan.least or scan.count(table, {"min_size": plan.kernel["min_size"]}) >= plan.least
    )
    return table if enough else None


def _read_text(source: Live, check: scan.Check, known: Names | None, info: Info) -> Table:
    content = source.content_id()
    if content is not None and known is None and source.interface == "auto":
        from .learn import read_names

        text, _ = read_names(source, content)
        reader = scan.TextScan(check)
        return _told(reader, scan.collect(reader.from_pieces((text,))), source, info)
    return _stream_text(source, check, info)


def _stream_text(source: Live, check: scan.Check, info: Info) -> Table:
    posix.lseek(source.fd, 0, 0)
    reader = scan.TextScan(check)
    return _told(reader, scan.collect(reader.from_fd(source.fd)), source, info)
