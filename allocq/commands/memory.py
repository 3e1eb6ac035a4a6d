"""`allocq memory`: compares the tags with /proc/meminfo."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..analysis.excerpt import excerpt_of, noted_excerpt
from ..analysis.memory import Account, Tagged, account, missing_counters, tagged
from ..core.table import Table
from ..errors import FormatError, SourceError, UsageError
from ..host.machine import parse_meminfo, read_cpu_lists, read_meminfo, read_small
from ..host.opening import open_at_once
from ..model import Filter, Info
from ..options.commands import MEMORY_FORMATS
from ..options.shared import COLORS, FOUND
from ..output.json import dump, head_of
from ..output.memory import MemoryLayout, lay_out
from ..output.stream import warn
from ..output.terminal import Screen, wants_color
from ..sources.source import ALLOCINFO, Live, Saved
from ..storage.snapshot import saved_cpu_lists, saved_meminfo
from .arguments import choice, number, read_origin, text, with_file
from .saving import read_target

LARGEST = 5


def memory_command(values: Mapping[str, object], fd: int = 1) -> int:
    """Run the command; returns 0."""
    format = choice("format", values.get("format"), MEMORY_FORMATS) or "table"
    color = choice("color", values.get("color"), COLORS) or "auto"
    limit = number("limit", values.get("limit"))
    target = read_target(values, "table")
    given, screen = text(values, "meminfo"), target.screen(fd)
    with read_origin(with_file(values)).open() as source:
        meminfo = read_saved_meminfo(given) if given is not None else None
        on_cpus = None
        if _is_meminfo(source.path):
            raise UsageError(
                f"{source.path} holds meminfo, not tags", f"use --meminfo {source.path}"
            )
        snapshot = source.read(Filter())
        table, info = snapshot.table, snapshot.info
        if meminfo is None:
            meminfo, on_cpus = _beside(source, info)
        warnings = [*info.warnings, *_doubts(source, info, table, meminfo)]
    tags = tagged(table)
    whole = account(tags, meminfo, on_cpus)
    largest = list(tags.largest[: LARGEST if limit is None else limit])
    out = target.open(fd, escape=screen.terminal and format == "json")
    if format == "json":
        for piece in _document(whole, tags, table, largest, info, meminfo):
            out.write(piece)
    else:
        layout = _layout(screen, bool(values.get("bytes")), color)
        lines = lay_out(whole, _places(table, largest), layout)
        while screen.people and limit is None and largest and len(lines) > screen.height:
            largest.pop()
            lines = lay_out(whole, _places(table, largest), layout)
        out.write("".join(line + "\n" for line in lines).encode("utf-8", "backslashreplace"))
    out.release()
    for warning in warnings:
        warn(warning)
    return FOUND


def _layout(screen: Screen, plain: bool, color: str) -> MemoryLayout:
    return MemoryLayout(screen.width, plain, wants_color(color, screen.terminal))


def read_saved_meminfo(path: str) -> dict[str, int]:
    """A saved /proc/meminfo: bytes by name. SourceError, FormatError."""
    data = read_small(path)
    if data is None:
        raise SourceError(f"cannot read {path}: {_why_unreadable(path)}")
    meminfo = parse_meminfo(data.decode("utf-8", "replace"))
    if "MemTotal" not in meminfo:
        raise FormatError(f"{path} is not a /proc/meminfo", "save it: cat /proc/meminfo > FILE")
    return meminfo


def _why_unreadable(path: str) -> str:
    try:
        os.close(open_at_once(path))
    except OSError as error:
        return str(error.strerror)
    return "it is a directory" if os.path.isdir(path) else "it is not a regular file"


def _is_meminfo(path: str) -> bool:
    if os.path.basename(path) == "allocinfo" or not os.path.isfile(path):
        return False
    return (read_small(path, 1) or b"").startswith(b"MemTotal:")


def _beside(source: Live | Saved, info: Info) -> tuple[dict[str, int] | None, int | None]:
    """/proc/meminfo of the same machine, and what its CPUs keep free: beside a running kernel's
    file, or in a snapshot. None: not known."""
    if source.live:
        proc = str(Path(info.path or ALLOCINFO).parent)
        return read_meminfo(proc) or None, read_cpu_lists(proc)
    meminfo = saved_meminfo(info.metadata)
    if "MemTotal" not in meminfo:
        return None, None
    return meminfo, saved_cpu_lists(info.metadata)


def _doubts(
    source: Live | Saved, info: Info, table: Table, meminfo: dict[str, int] | None
) -> Iterator[str]:
    """What keeps the two sides from fitting together."""
    if not meminfo:
        yield f"{info.path} has no /proc/meminfo with it: --meminfo FILE adds one"
    elif missing := missing_counters(meminfo):
        yield f"{info.path} has a /proc/meminfo without {', '.join(missing)}: taken as 0"
    if source.live:
        return
    if info.metadata.get("filter"):
        yield f"{info.path} was saved with a filter: it lacks other tags"
    elif not noted_excerpt(info.metadata) and (excerpt := excerpt_of(table.column("bytes"), info)):
        yield f"{info.path} is an excerpt ({excerpt.why}): it lacks other tags"


def _places(table: Table, rows: list[int]) -> list[tuple[int, str, str]]:
    sizes, lines = table.column("bytes"), table.column("line")
    files, functions = table.strings("file"), table.strings("function")
    modules = table.strings("module")
    return [
        (
            sizes[i],
            f"{files[i]}:{lines[i]}" + (f" [{modules[i]}]" if modules[i] else ""),
            functions[i],
        )
        for i in rows
    ]


def _document(
    whole: Account,
    tags: Tagged,
    table: Table,
    largest: list[int],
    info: Info,
    meminfo: dict[str, int] | None,
) -> Iterator[bytes]:
    """One JSON object; all sizes are bytes."""
    members = {
        "source": head_of(Filter(), info)["source"],
        "memory": [
            {"name": row.kind, "side": row.kind.side, "meminfo": row.meminfo, "tags": row.tags}
            for row in whole.rows
        ],
        "total": {
            "memory": whole.total,
            "free": whole.free,
            "free_on_cpus": whole.on_cpus,
            "used": whole.used,
            "tags": whole.tags,
            "tags_only": whole.tags_only,
            "neither": whole.neither,
            "slab_reclaimable": whole.reclaimable,
            "underflowed": tags.underflowed,
        },
        "sides": dict(whole.sides()),
        "most": whole.verdict(),
        "meminfo": meminfo,
    }
    yield b"{"
    for name, value in members.items():
        yield f"{dump(name)}:{dump(value)},\n".encode()
    yield b'"largest":['
    yield from table.render("json", largest)
    yield b"\n]}\n"
