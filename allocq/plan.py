"""How to ask a running kernel: which scans to make, and what is left to check here.

Costs come from KERNEL.md's facts in numbers measured on this host: a filter on names costs a walk
over all tags, a size costs a sum over the possible CPUs for each of them, a tag handed out costs a
system call and a sum (mm/alloc_tag.c, matches_filter()).
"""

from .model import Filter, is_glob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SEEK, FILTER, TEXT = "seek", "filter", "text"


class Costs:
    """What things cost on this host, in nanoseconds.

    call: a system call; tag: one handed out by GET_NEXT, its sum included; step: passing one by;
    compare: its names; sum: its counters; text: reading all of it.
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


class Known:
    """What the names say of a filter.

    tags: how many the kernel has; runs: (position, count) of those whose names match;
    whole: the field values that all matching tags share and the kernel can compare, so that a
    filter on them lets `passing` tags through; likely: how many of these the counters, as they last
    were, would pass; top: for the largest `limit` tags, (a safe minimum size, how many pass it).
    """

    __slots__ = ("costs", "likely", "passing", "runs", "tags", "top", "whole")

    def __init__(
        self,
        tags: int,
        runs: "Sequence[tuple[int, int]]",
        whole: dict[str, str | int],
        passing: int,
        likely: int,
        top: tuple[int, int] | None,
        costs: Costs,
    ) -> None:
        self.tags = tags
        self.runs = list(runs)
        self.whole = whole
        self.passing = passing
        self.likely = likely
        self.top = top
        self.costs = costs

    @property
    def matching(self) -> int:
        """How many tags match by name."""
        return sum(count for _, count in self.runs)


class Plan:
    """One way to the answer. `cost` is in nanoseconds, None where it is not known.

    kernel: what GET_AT's filter says; runs: the positions sought; expected: tags the kernel will
    hand out, None if not known; least: with fewer answers than this the plan was too narrow.
    """

    __slots__ = ("cost", "expected", "kernel", "least", "others", "reason", "runs", "way")

    def __init__(
        self,
        way: str,
        reason: str,
        kernel: dict[str, str | int] | None = None,
        runs: "Sequence[tuple[int, int]]" = (),
        expected: int | None = None,
        cost: float | None = None,
        least: int = 0,
    ) -> None:
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
        if self.way == TEXT or self.expected is None:
            return 0 if self.way == TEXT else None
        return self.expected if self.way == SEEK else self.expected + 1


def kernel_fields(filter: Filter) -> dict[str, str | int]:
    """What of a filter the kernel checks exactly, without knowing which tags there are.

    A file's name is only its end unless it is absolute; a maximum size alone would drop counters
    below zero, which the kernel compares unsigned.
    """
    fields: dict[str, str | int] = {}
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
    if filter.min_size is not None:
        fields["min_size"] = filter.min_size
        if filter.max_size is not None:
            fields["max_size"] = filter.max_size
    return fields


def is_narrow(fields: dict[str, str | int]) -> bool:
    """Do these fields alone keep most tags from being handed out?"""
    return (
        "function" in fields
        or "file" in fields
        or bool(fields.get("module"))
        or "line" in fields
        or fields.get("inaccurate") == 1
        or int(fields.get("min_size", 0)) >= 65536
    )


def _filter_cost(known: Known, fields: dict[str, str | int], expected: int) -> float:
    costs = known.costs
    cost = costs.call + known.tags * costs.step + expected * costs.tag
    if fields.keys() - {"min_size", "max_size"}:
        cost += known.tags * costs.compare
    if "min_size" in fields:
        cost += max(0, known.passing - expected) * costs.sum
    return cost


def _seek_cost(known: Known) -> float:
    costs = known.costs
    cost = 0.0
    for position, count in known.runs:
        cost += position * costs.step + count * costs.tag
    return cost


def make_plan(filter: Filter, known: Known | None, interface: str) -> Plan:
    """The cheapest way that the interface allows; `known` None while the names are not."""
    fields = kernel_fields(filter)
    if interface == "text":
        return Plan(TEXT, "asked for")
    if known is None:
        if is_narrow(fields):
            return Plan(FILTER, "the kernel can check it and hand out little", fields)
        return Plan(TEXT, "which tags there are is not known yet; the text tells it")
    if not known.runs:
        return Plan(SEEK, "no tag has such names: nothing to ask", expected=0, cost=0)
    plans = []
    matching = known.matching
    plans.append(
        Plan(
            SEEK,
            f"the positions of the {matching} tags that match by name are known",
            runs=known.runs,
            expected=matching,
            cost=_seek_cost(known),
        )
    )
    whole = {**fields, **known.whole}
    if whole:
        plans.append(
            Plan(
                FILTER,
                "the kernel can check it",
                whole,
                expected=known.likely,
                cost=_filter_cost(known, whole, known.likely),
            )
        )
    if known.top is not None:
        size, expected = known.top
        narrowed = {**whole, "min_size": max(size, int(whole.get("min_size", 0)))}
        plans.append(
            Plan(
                FILTER,
                "the largest were at least this large when last seen",
                narrowed,
                expected=expected,
                cost=_filter_cost(known, narrowed, expected),
                least=1,
            )
        )
    if interface == "auto":
        plans.append(Plan(TEXT, "reading everything is cheaper here", cost=known.costs.text))
    plans.sort(key=lambda plan: plan.cost or 0)
    best = plans[0]
    best.others = plans[1:]
    return best
