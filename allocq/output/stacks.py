"""Writes call stacks: a tree of callers, JSON, and the folded lines that flame graph tools read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..analysis.stacks import VERSION, Stack, call_tree, read_frame, rows_of
from ..units import format_size
from .json import dump
from .terminal import cut, printable

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_FRAME = str.maketrans(";\r\n", "___")
_LEAST = 20


@dataclass(frozen=True, slots=True)
class StackLayout:
    """How a table looks. width: columns, None for no limit; plain: byte counts instead of 1.5M."""

    width: int | None = None
    plain: bool = False
    color: bool = False
    header: bool = True
    limit: int | None = None


def table(stacks: Sequence[Stack], live: bool, layout: StackLayout) -> Iterator[str]:
    """The tree of callers, innermost first. An only caller stands below what it calls, without
    numbers."""
    root = call_tree(stacks[: layout.limit], live)
    size = str if layout.plain else format_size
    whole = sum(stack.amount(live)[0] for stack in stacks)
    calls = sum(stack.amount(live)[1] for stack in stacks)
    rows = [
        (
            *(
                (size(node.bytes), str(node.calls), f"{node.bytes / whole:.1%}" if whole else "")
                if own
                else ("", "", "")
            ),
            "  " * indent + printable(node.place),
        )
        for indent, node, own in rows_of(root)
    ]
    total = (size(whole), str(calls), "", _total(stacks, live, layout))
    head = ("LIVE" if live else "BYTES", "CALLS", "SHARE", "FUNCTION, AND BELOW IT ITS CALLERS")
    shown = [head, *rows, total] if layout.header else [*rows, total]
    widths = [max(len(row[column]) for row in shown) for column in range(3)]
    for row in shown:
        start = "  ".join(f"{row[column]:>{widths[column]}}" for column in range(3))
        text = f"{start}  {row[3]}".rstrip()
        if layout.width is not None:
            text = cut(text, max(layout.width, _LEAST))
        bold = layout.color and row in (head, total)
        yield f"{_BOLD}{text}{_PLAIN}" if bold else text


def _total(stacks: Sequence[Stack], live: bool, layout: StackLayout) -> str:
    many = f"{len(stacks):,} stack{'' if len(stacks) == 1 else 's'}"
    if layout.limit is not None and layout.limit < len(stacks):
        many = f"{many}, of which {layout.limit} are shown"
    return f"not freed in {many}" if live else f"allocated in {many}"


def folded(stacks: Sequence[Stack], live: bool) -> Iterator[bytes]:
    """Lines like `entry_SYSCALL_64;do_syscall_64;alloc_pipe_info BYTES`, outermost first, and
    innermost the size of the allocations, if it is known."""
    sums: dict[tuple[str, ...], int] = {}
    for stack in stacks:
        names = (*(read_frame(text).label for text in reversed(stack.path)), *stack.each)
        sums[names] = sums.get(names, 0) + stack.amount(live)[0]
    for names, size in sums.items():
        if size > 0:
            frames = ";".join(name.translate(_FRAME).replace(" ", "_") for name in names)
            yield f"{frames} {size}\n".encode()


def document(
    stacks: Sequence[Stack], live: bool, head: Mapping[str, object], tail: Mapping[str, object]
) -> Iterator[bytes]:
    """One JSON object; `stacks` has an object for each stack, innermost frame first."""
    members = "".join(
        f"{dump(key)}:{dump(value)},\n" for key, value in {"version": VERSION, **head}.items()
    )
    yield f'{{{members}"stacks":['.encode()
    for number, stack in enumerate(stacks):
        yield (b",\n" if number else b"\n") + dump(_values(stack, live)).encode()
    rest = "".join(f",\n{dump(key)}:{dump(value)}" for key, value in tail.items())
    yield f"\n]{rest}}}\n".encode()


def _values(stack: Stack, live: bool) -> dict[str, object]:
    values: dict[str, object] = {"bytes": stack.bytes, "calls": stack.calls}
    if live:
        values |= {"live_bytes": stack.live_bytes, "live_calls": stack.live_calls}
    return values | {
        "pid": stack.pid,
        "comm": stack.comm,
        "size": stack.size,
        "tag": stack.tag,
        "allocator_frames": stack.inner,
        "stack": list(stack.frames),
    }
