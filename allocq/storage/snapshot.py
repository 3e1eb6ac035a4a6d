"""Writes the snapshot format: a listing with metadata.

The kernel's two header lines, then `# key: value` lines (read back by core/saved.c), then the
kernel's own lines.
"""

import json
import os
from collections.abc import Iterator, Mapping

from ..core.kernel import boot_id, profiling_switch
from ..core.table import Table
from ..core.text import header
from ..host.machine import count_cpus, possible_cpus, read_cpu_lists, read_meminfo
from ..model import Filter, Info
from ..units import format_time

MARK, VERSION = "allocq-snapshot", "1"
_KEPT = (
    "time",
    "host",
    "kernel",
    "boot-id",
    "content-id",
    "possible-cpus",
    "consistent",
    "profiling",
    "meminfo",
    "free-on-cpus",
    "limit",
    "rounded",
)


def snapshot_text(
    info: Info, table: Table, filter: Filter, live: bool, excerpt: str = ""
) -> Iterator[bytes]:
    """The bytes of a snapshot, in pieces. live: the tags are from the running kernel; excerpt: what
    to note if they are not all that it had."""
    before = info.metadata
    metadata = live_metadata(info) if live else _kept_metadata(info)
    if excerpt:
        metadata["excerpt"] = excerpt
    metadata["interface"] = info.interface if live else before.get("interface", "text")
    if filtered := joined_filters(before.get("filter", ""), filter):
        metadata["filter"] = filtered
    # What lacks tags goes on lacking them; of those that a filter selects, it is not known.
    lacking = info.truncated and not filter.items()
    metadata["tags"] = before.get("tags", "") if lacking else ""
    metadata["tags"] = metadata["tags"] or str(len(table))
    head = f"# {MARK}: {VERSION}\n" + "".join(
        f"# {key}: {_one_line(value)}\n" for key, value in metadata.items()
    )
    yield header(info.version or "2.0") + head.encode("utf-8", "surrogateescape")
    yield from table.render("procfs")


def _kept_metadata(info: Info) -> dict[str, str]:
    """What a saved listing says of itself, in the order of the keys."""
    known = dict(info.metadata)
    if "time" not in known and info.time is not None:
        known["time"] = format_time(info.time)
    if info.consistent is False:
        known["consistent"] = "no"
    if info.rounded:
        known["rounded"] = "yes"
    return {key: known[key] for key in _KEPT if key in known}


def live_metadata(info: Info) -> dict[str, str]:
    """The metadata of tags that were just read from the running kernel."""
    # The file system of the tags, which may be another than /proc.
    proc = os.path.dirname(info.path) or "/proc"
    cpus, meminfo, on_cpus = count_cpus(possible_cpus()), read_meminfo(proc), read_cpu_lists(proc)
    metadata = {
        "time": None if info.time is None else format_time(info.time),
        "host": os.uname().nodename,
        "kernel": info.kernel,
        "boot-id": boot_id(),
        "content-id": None if info.content_id is None else str(info.content_id),
        "possible-cpus": None if cpus is None else str(cpus),
        "consistent": {True: "yes", False: "no", None: None}[info.consistent],
        "profiling": "off" if profiling_switch(info.path) == "0" else None,
        "meminfo": json.dumps(meminfo, separators=(",", ":")) if meminfo else None,
        "free-on-cpus": None if on_cpus is None else str(on_cpus),
    }
    return {key: value for key, value in metadata.items() if value}


def saved_meminfo(metadata: Mapping[str, str]) -> dict[str, int]:
    """The /proc/meminfo in a snapshot's metadata: bytes by name; what is no size is left out."""
    try:
        amounts = json.loads(metadata.get("meminfo", "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(amounts, dict):
        return {}
    return {name: size for name, size in amounts.items() if _is_size(size)}


def saved_cpu_lists(metadata: Mapping[str, str]) -> int | None:
    """The bytes in a snapshot's metadata that CPUs keep free on lists of their own."""
    kept = metadata.get("free-on-cpus", "")
    return int(kept) if kept.isascii() and kept.isdigit() and len(kept) < 19 else None


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def joined_filters(before: str, filter: Filter) -> str:
    """The filter as JSON; a list if the source was itself saved with a filter."""
    if not filter.items():
        return before
    now = json.dumps(filter.as_options(), separators=(",", ":"))
    if not before or before == now:
        return now
    return f"[{before[1:-1]},{now}]" if before[:1] == "[" else f"[{before},{now}]"


def _one_line(value: str) -> str:
    return value.replace("\n", " ").replace("\r", " ")
