"""`allocq query --explain`: shows the plan of a query instead of its answer."""

from __future__ import annotations

from ..core.kernel import Plan
from ..options.shared import FOUND
from ..output.json import dump
from ..output.stream import Output
from ..output.terminal import screen_of
from ..sources.source import Dumped, Live, Saved
from .arguments import Query, format_of, sort_of, wanted_of

_METHODS = {
    "seek": "seek: read the tags at known positions (GET_AT without a filter, then GET_NEXT)",
    "filter": "filter: the kernel filters (GET_AT, then GET_NEXT to the end)",
    "text": "text: read the whole file and filter it here",
}
_COUNTERS = ("min_size", "max_size", "min_calls", "max_calls", "accurate", "underflowed")
_KERNEL_FIELDS = {
    "files": "file",
    "functions": "function",
    "modules": "module",
    "builtin": "module",
    "lines": "line",
    "accurate": "inaccurate",
}


def explain(query: Query, source: Live | Saved, out: Output) -> int:
    """Write the plan; returns exit status 0."""
    plan = _plan(query, source)
    if query.view.format in ("json", "jsonl"):
        out.write((dump(as_json(plan, query)) + "\n").encode())
    else:
        out.write("".join(line + "\n" for line in in_words(plan, query)).encode())
    out.release()
    return FOUND


def _plan(query: Query, source: Live | Saved) -> Plan:
    if isinstance(source, Saved):
        kind = "crash dump" if isinstance(source, Dumped) else "saved listing"
        return Plan("text", f"the source is a {kind}", {}, 0, [], None, None, False)
    format = format_of(query.view, screen_of(1).people)
    sort = sort_of(query.view, format)
    # A table has a total of all tags. --format json is that of the plan.
    wanted = None if format == "table" else wanted_of(query.view, sort)
    return source.plan(query.applied, wanted)


def as_json(plan: Plan, query: Query) -> dict[str, object]:
    """The plan as JSON values; costs in nanoseconds."""
    return {
        "method": plan.method,
        "reason": plan.reason,
        "kernel_filter": {"mask": plan.mask, **plan.kernel} if plan.kernel else None,
        "runs": [list(run) for run in plan.runs],
        "expected_tags": plan.expected,
        "ioctls": plan.ioctls,
        "cost": plan.cost,
        "checked_here": checked_here(plan, query),
        "others": [{"method": other.method, "cost": other.cost} for other in plan.others],
    }


def in_words(plan: Plan, query: Query) -> list[str]:
    """The plan as lines of text."""
    lines = [f"method: {_METHODS[plan.method]}", f"reason: {plan.reason}"]
    if plan.kernel:
        fields = ", ".join(f"{name}={value!r}" for name, value in plan.kernel.items())
        lines.append(f"kernel filter: mask {plan.mask:#04x}: {fields}")
    if plan.method == "seek":
        shown = ", ".join(f"{position}+{count}" for position, count in plan.runs[:8])
        more = f" and {len(plan.runs) - 8} more" if len(plan.runs) > 8 else ""
        lines.append(f"positions: {shown or 'none'}{more}")
    if plan.method != "text":
        expected = "unknown" if plan.expected is None else f"{plan.expected}"
        ioctls = "unknown" if plan.ioctls is None else f"{plan.ioctls}, plus 2 for the content ID"
        lines += [f"tags expected: {expected}", f"ioctls: {ioctls}"]
    if plan.method == "seek":
        lines.append("names: matched in the tag cache")
    lines.append(f"checked here: {', '.join(checked_here(plan, query)) or 'nothing'}")
    if plan.cost is not None:
        lines.append(f"cost: {_microseconds(plan.cost)}")
    lines += [
        f"alternative: {_METHODS[other.method]}: {_microseconds(other.cost)}"
        for other in plan.others
        if other.cost is not None
    ]
    return lines


def checked_here(plan: Plan, query: Query) -> list[str]:
    """The names of the filter fields that are checked here, not by the kernel."""
    fields = query.applied.items()
    if plan.method == "text" or plan.joined:
        return list(fields)
    if plan.method == "seek":
        return [name for name in fields if name in _COUNTERS]
    return [name for name in fields if _KERNEL_FIELDS.get(name, name) not in plan.kernel]


def _microseconds(cost: int) -> str:
    return f"{cost / 1000:.0f} us"
