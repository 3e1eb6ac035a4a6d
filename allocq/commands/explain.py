"""The plan of a query in words and numbers, instead of its answer."""

import posix

from ..core.scan import KernelFilter
from ..sources.plan import FILTER, SEEK, TEXT, Plan
from ..sources.source import Live, Saved
from .arguments import Query, format_of, sort_of, wanted_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..output.stream import Output

_WAYS = {
    SEEK: "take the tags at known positions (GET_AT without a filter, then GET_NEXT)",
    FILTER: "let the kernel filter (GET_AT, then GET_NEXT to the end)",
    TEXT: "read the text",
}


def explain(query: Query, source: Live | Saved, out: "Output") -> int:
    """Write the plan; returns exit status 0."""
    plan = _plan(query, source)
    if query.view.format in ("json", "jsonl"):
        from ..output.json import dump

        out.write((dump(as_json(plan, query)) + "\n").encode())
    else:
        out.write("".join(line + "\n" for line in in_words(plan, query)).encode())
    out.release()
    return 0


def _plan(query: Query, source: Live | Saved) -> Plan:
    if isinstance(source, Saved):
        return Plan(TEXT, "it is a saved text")
    from ..sources.live import plan_for

    sort = sort_of(query.view, format_of(query.view, posix.isatty(1)))
    return plan_for(source, query.filter, wanted_of(query.view, sort))


def as_json(plan: Plan, query: Query) -> dict[str, object]:
    """The plan as plain values; costs in nanoseconds."""
    return {
        "way": plan.way,
        "why": plan.reason,
        "kernel_filter": _kernel_filter(plan),
        "runs": [list(run) for run in plan.runs],
        "expected_tags": plan.expected,
        "ioctls": plan.ioctls,
        "cost": plan.cost,
        "checked_here": left_here(plan, query),
        "others": [{"way": other.way, "cost": other.cost} for other in plan.others],
    }


def in_words(plan: Plan, query: Query) -> list[str]:
    """The plan as lines."""
    lines = [f"way: {_WAYS[plan.way]}", f"why: {plan.reason}"]
    if plan.way == FILTER:
        kernel = KernelFilter(plan.kernel)
        fields = ", ".join(f"{name}={value!r}" for name, value in plan.kernel.items())
        lines.append(f"kernel filter: mask {kernel.mask:#04x}: {fields}")
    if plan.way == SEEK:
        shown = ", ".join(f"{at}+{count}" for at, count in plan.runs[:8])
        more = f" and {len(plan.runs) - 8} more" if len(plan.runs) > 8 else ""
        lines.append(f"positions: {shown or 'none'}{more}")
    if plan.way != TEXT:
        expected = "not known" if plan.expected is None else f"{plan.expected}"
        made = "not known" if plan.ioctls is None else f"{plan.ioctls}, and 2 for the content id"
        lines += [f"tags expected: {expected}", f"ioctls: {made}"]
    if plan.way == SEEK:
        lines.append("names: those kept for this boot and content id were matched here")
    checked = left_here(plan, query)
    lines.append(f"checked here: {', '.join(checked) or 'nothing'}")
    if plan.cost is not None:
        lines.append(f"cost: {_microseconds(plan.cost)}")
    lines += [
        f"instead of: {_microseconds(other.cost)}, {_WAYS[other.way]}"
        for other in plan.others
        if other.cost is not None
    ]
    return lines


def left_here(plan: Plan, query: Query) -> list[str]:
    """The parts of the filter that the kernel does not decide, by name."""
    asked = query.filter.items()
    if plan.way == TEXT or plan.joined:
        return list(asked)
    if plan.way == SEEK:
        counters = ("min_size", "max_size", "min_calls", "max_calls", "accurate")
        return [name for name in asked if name in counters]
    exact = {
        "files": "file",
        "functions": "function",
        "modules": "module",
        "builtin": "module",
        "lines": "line",
        "accurate": "inaccurate",
    }
    return [name for name in asked if exact.get(name, name) not in plan.kernel]


def _kernel_filter(plan: Plan) -> dict[str, object] | None:
    if plan.way != FILTER:
        return None
    return {"mask": KernelFilter(plan.kernel).mask, **plan.kernel}


def _microseconds(cost: float | None) -> str:
    return "not known" if cost is None else f"{cost / 1000:.0f} us"
