"""How to ask a running kernel: which scans to make, and what is left to check here.

A filter on names costs a walk over all tags, a size a sum over the possible CPUs for each tag that
passed the names, a tag handed out a system call and a sum (mm/alloc_tag.c, matches_filter()). A
position costs the steps up to it: GET_AT counts them (allocinfo_ioctl_get_at()). What these cost is
measured on the host.
"""

from ..model import Filter, is_glob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Fields = dict[str, str | int]

SEEK, FILTER, TEXT = "seek", "filter", "text"
NAME_FIELDS = frozenset(("module", "function", "file", "line", "inaccurate"))
_SMALL = 65536
_NO_DIFFERENCE = 1.05
# What is taken along has to be sorted out again.
_WORTHWHILE = 0.75


class Costs:
    """What things cost on this host, in nanoseconds.

    call: a scan that hands out nothing; tag: one handed out by GET_NEXT, its sum included; step:
    passing one by; compare: its names; sum: its counters; text: reading all of it.
    """

    __slots__ = ("call", "compare", "step", "sum", "tag", "text")

    def __init__(self, call: int, tag: int, step: int, compare: int, sum: int, text: int) -> None:
        self.call = call
        self.tag = tag
        self.step = step
        self.compare = compare
        self.sum = sum
        self.text = text

    def items(self) -> dict[str, int]:
        """By name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Option:
    """A filter that the kernel could check: its fields, how many tags it sums and hands out."""

    __slots__ = ("fields", "handed", "least", "summed")

    def __init__(self, fields: "Fields", summed: int, handed: int, least: int = 0) -> None:
        self.fields = fields
        self.summed = summed
        self.handed = handed
        self.least = least


class Known:
    """What the names say of a query: how many tags the kernel has, the (position, count) of those
    whose names match, the filters that the kernel could check, and what things cost. joinable: may
    tags between the runs be taken along?"""

    __slots__ = ("costs", "joinable", "options", "runs", "tags")

    def __init__(
        self,
        tags: int,
        runs: "Sequence[tuple[int, int]]",
        options: "Sequence[Option]",
        costs: Costs,
        joinable: bool = True,
    ) -> None:
        self.tags = tags
        self.runs = list(runs)
        self.options = list(options)
        self.costs = costs
        self.joinable = joinable

    @property
    def matching(self) -> int:
        """How many tags match by name."""
        return sum(count for _, count in self.runs)


class Plan:
    """One way to the answer. `cost` is in nanoseconds, None where it is not known.

    kernel: what GET_AT's filter says; runs: the positions sought; expected: tags the kernel will
    hand out, None if not known; least: with fewer answers than this the plan was too narrow;
    joined: some of the positions do not match.
    """

    __slots__ = (
        "cost",
        "expected",
        "joined",
        "kernel",
        "least",
        "others",
        "reason",
        "runs",
        "way",
    )

    def __init__(
        self,
        way: str,
        reason: str,
        kernel: "Fields | None" = None,
        runs: "Sequence[tuple[int, int]]" = (),
        expected: int | None = None,
        cost: float | None = None,
        least: int = 0,
        joined: bool = False,
    ) -> None:
        self.joined = joined
        self.way = way
        self.reason = reason
        self.kernel = kernel or {}
        self.runs = list(runs)
        self.expected = expected
        self.cost = cost
        self.least = least
        self.others: list[Plan] = []

    @property
    def ioctls(self) -> int | None:
        """How many GET_AT and GET_NEXT are expected; None if not known."""
        if self.way == TEXT:
            return 0
        if self.expected is None:
            return None
        return self.expected if self.way == SEEK else self.expected + 1


def kernel_fields(filter: Filter) -> "Fields":
    """What of a filter the kernel checks exactly, without knowing which tags there are.

    A file's name is only its end unless it is absolute; a maximum size alone would drop counters
    below zero, which the kernel compares unsigned.
    """
    fields: Fields = {}
    if filter.builtin:
        fields["module"] = ""
    for name, patterns in (
        ("module", filter.modules),
        ("function", filter.functions),
        ("file", filter.files),
    ):
        exact = len(patterns) == 1 and not is_glob(patterns[0])
        if exact and (name != "file" or patterns[0].startswith("/")):
            fields[name] = patterns[0]
    if len(filter.lines) == 1 and filter.lines[0][0] == filter.lines[0][1]:
        fields["line"] = filter.lines[0][0]
    if filter.accurate is not None:
        fields["inaccurate"] = 0 if filter.accurate else 1
    if filter.min_size is not None and filter.min_size >= 0:
        fields["min_size"] = filter.min_size
        if filter.max_size is not None:
            fields["max_size"] = filter.max_size
    return fields


def is_narrow(fields: "Fields") -> bool:
    """Do these fields alone keep most tags from being handed out?"""
    return (
        "function" in fields
        or "file" in fields
        or bool(fields.get("module"))
        or "line" in fields
        or fields.get("inaccurate") == 1
        or int(fields.get("min_size", 0)) >= _SMALL
    )


def make_plan(filter: Filter, known: Known | None, interface: str) -> Plan:
    """The cheapest way that the interface allows; `known` None while the names are not."""
    if interface == "text":
        return Plan(TEXT, "asked for")
    if known is None:
        fields = kernel_fields(filter)
        if is_narrow(fields):
            return Plan(FILTER, "the kernel can check it and hand out little", fields)
        return Plan(TEXT, "which tags there are is not known yet; the text tells it")
    if not known.runs:
        return Plan(SEEK, "no tag has such names: nothing to ask", expected=0, cost=0)
    plans = [_seek(known), *(_ask(known, option) for option in known.options)]
    plans.sort(key=lambda plan: plan.cost or 0)
    if interface == "auto":
        text = Plan(TEXT, "reading everything is cheaper here", cost=known.costs.text)
        # The text has to be taken apart here as well: where the kernel does not mind, it is slower.
        dear = (plans[0].cost or 0) > _NO_DIFFERENCE * known.costs.text
        plans.insert(0 if dear else 1, text)
    best = plans[0]
    best.others = plans[1:]
    return best


def _seek(known: Known) -> Plan:
    costs, matching = known.costs, known.matching
    runs = join_runs(known.runs, costs) if known.joinable else known.runs
    handed = sum(count for _, count in runs)
    steps = sum(position for position, _ in runs)
    noun = "tag that matches" if matching == 1 else "tags that match"
    return Plan(
        SEEK,
        f"the positions of the {matching} {noun} by name are known",
        runs=runs,
        expected=handed,
        cost=costs.call + steps * costs.step + handed * costs.tag,
        joined=handed > matching,
    )


def join_runs(runs: "Sequence[tuple[int, int]]", costs: Costs) -> list[tuple[int, int]]:
    """Runs with the gaps taken along where that is cheaper than to step up to the next one."""
    joined: list[tuple[int, int]] = []
    for position, count in runs:
        if joined:
            start, before = joined[-1]
            gap = position - start - before
            if gap * costs.tag < _WORTHWHILE * position * costs.step:
                joined[-1] = (start, before + gap + count)
                continue
        joined.append((position, count))
    return joined


def _ask(known: Known, option: Option) -> Plan:
    costs, fields = known.costs, option.fields
    cost = costs.call + known.tags * costs.step + option.handed * costs.tag
    if NAME_FIELDS & fields.keys():
        cost += known.tags * costs.compare
    if "min_size" in fields:
        cost += max(0, option.summed - option.handed) * costs.sum
    reason = "the kernel can check it and hand out little"
    if option.least:
        reason = "the largest had at least this when last seen"
    return Plan(
        FILTER,
        reason,
        fields,
        expected=option.handed,
        cost=cost,
        least=option.least,
    )
