"""Lays out the memory of a machine as one screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis.memory import NOTABLE, Account, Kind, Row, Side
from ..units import format_size
from .terminal import cut, fit, head, printable, width, wrapped

NOTES = {
    Kind.ANONYMOUS: "of programs",
    Kind.SHARED: "tmpfs, shared memory; kept",
    Kind.HUGE: "reserved for programs",
    Kind.PAGE_CACHE: "files; given back on demand",
    Kind.PAGE_TABLES: "of programs",
}
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_NARROWEST = 4
_SIDED, _NOTED = 48, 64  # the columns that the side, and the notes, need


@dataclass(frozen=True, slots=True)
class MemoryLayout:
    """Layout. width: terminal columns, None for no limit; plain: byte counts instead of 1.5M."""

    width: int | None = None
    plain: bool = False
    color: bool = False

    def size(self, value: int | None) -> str:
        """A size; - where it is not known."""
        return "-" if value is None else str(value) if self.plain else format_size(value)


def lay_out(
    account: Account, largest: Sequence[tuple[int, str, str]], layout: MemoryLayout
) -> list[str]:
    """The lines. largest: (bytes, FILE:LINE [MODULE], function) of the kernel's own tags."""
    rows = [_row(row, account, layout) for row in account.rows if row.meminfo or row.tags]
    if account.used is not None:
        alone = "tagged, but not in meminfo"
        rows.append(("kernel", "tags only", layout.size(account.tags_only), "", alone))
        words = "in no counter and at no tag"
        rows.append(("", "neither", layout.size(account.neither), "", words))
        if account.on_cpus is not None:
            words = "on their own lists"
            rows.append(("", "free on CPUs", layout.size(account.on_cpus), "", words))
        rows.append(("", "free", layout.size(account.free), "", ""))
    last = ("", "total", layout.size(account.total), layout.size(account.tags), "slab once")
    heads = ("SIDE", "MEMORY", "MEMINFO", "TAGS", "")
    lines = _columns([heads, *rows, last], layout)
    lines[0] = _bold(lines[0], layout)
    lines[-1] = _bold(lines[-1], layout)
    for sentence in sentences(account, layout):
        lines += [sentence] if layout.width is None else wrapped(sentence, layout.width)
    if largest:
        lines.append(_bold("LARGEST OF THE KERNEL", layout))
        sizes = [layout.size(size) for size, _, _ in largest]
        widest = max(map(len, sizes))
        for size, (_, where, function) in zip(sizes, largest, strict=True):
            room = None if layout.width is None else max(12, layout.width - widest - 4)
            lines.append(f"{size:>{widest}}  {_place(where, function, room)}")
    return lines


def _place(where: str, function: str, room: int | None) -> str:
    where, function = printable(where), printable(function)
    if room is None or width(where) + width(function) + 2 <= room:
        return f"{where}  {function}"
    return fit(where, room)


def _row(row: Row, account: Account, layout: MemoryLayout) -> tuple[str, str, str, str, str]:
    note = NOTES.get(row.kind, "")
    if row.kind is Kind.SLAB and account.reclaimable:
        note = f"{layout.size(account.reclaimable)} given back on demand"
    if row.kind is Kind.OTHER:
        note = "drivers, network, the rest"
    return row.kind.side, row.kind, layout.size(row.meminfo), layout.size(row.tags), note


def _columns(rows: Sequence[tuple[str, str, str, str, str]], layout: MemoryLayout) -> list[str]:
    sided = layout.width is None or layout.width >= _SIDED
    noted = layout.width is None or layout.width >= _NOTED
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    if layout.width is not None and not sided:  # rather a part of a name than of a number
        widths[1] = max(_NARROWEST, min(widths[1], layout.width - widths[2] - widths[3] - 4))
    lines = []
    for side, name, meminfo, tags, note in rows:
        cells = [side.ljust(widths[0])] * sided + [cut(name, widths[1]).ljust(widths[1])]
        cells += [meminfo.rjust(widths[2]), tags.rjust(widths[3])] + [note] * noted
        line = "  ".join(cells).rstrip()
        lines.append(line if layout.width is None else head(line, layout.width).rstrip())
    return lines


def sentences(account: Account, layout: MemoryLayout) -> list[str]:
    """What the numbers say: whose memory it is, and what is not explained."""
    sides, used = account.sides(), account.used
    whole = sum(sides.values()) or 1
    shares = ", ".join(
        f"{side} {layout.size(size)} ({size / whole:.0%})" for side, size in sides.items()
    )
    said = [f"{'In use' if used is not None else 'At tags'}: {shares}."]
    verdict = account.verdict()
    if not any(sides.values()):
        return said
    if verdict is Side.USER and account.is_mostly_shared():
        said.append("Shared memory is the largest part: df -t tmpfs and ipcs -m show which.")
    else:
        said.append(
            {
                Side.USER: "Programs hold the largest part: ps and smem show which ones.",
                Side.CACHE: "Cache is the largest part, given back when memory is short;"
                " allocq diff shows what else grows.",
                Side.KERNEL: "The kernel holds the largest part: a leak if it grows (allocq diff).",
            }[verdict]
        )
    if used and account.neither is not None and account.neither > NOTABLE * used:
        why = "allocated before profiling was on"
        if account.on_cpus is None:
            why += ", or free pages kept by CPUs"
        said.append(f"{layout.size(account.neither)} is at no tag: {why}.")
    return said


def _bold(line: str, layout: MemoryLayout) -> str:
    return _BOLD + line + _PLAIN if layout.color else line
