"""`allocq snapshot`: the tags as text, with what is needed to judge them later.

The text is a saved /proc/allocinfo: the kernel's two header lines, then `# key: value` lines (read
back by storage/metadata.py), then the kernel's own lines.
"""

import posix

from ..declarations.shared import FOUND, NOTHING
from ..errors import UsageError
from ..host.machine import count_cpus, possible_cpus
from ..model import Filter, asked
from ..output.json import dump
from ..output.procfs import HEADER
from ..output.stream import Output, warn
from ..sources.names import boot_id
from ..sources.source import open_source, sample_path
from ..storage.metadata import MARK
from ..units import format_time
from .arguments import Origin, read_filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..model import Info
    from ..sources.source import Snapshot

VERSION = "1"
_KEPT = ("time", "host", "kernel", "boot-id", "content-id", "possible-cpus", "consistent")


def snapshot_command(values: "Mapping[str, object]") -> int:
    """The subcommand's body: 0, or 1 where no tag matches (the snapshot is made all the same)."""
    filter, origin = read_filter(values), Origin(values)
    path, force = str(values.get("output", "-")), bool(values.get("force"))
    packing = None
    if path != "-":
        from ..storage.compression import packer
        from ..storage.files import check_free

        packing = packer(path)
        check_free(path, force)
    elif force:
        raise UsageError("--force replaces a file", "name it with --output")
    where = sample_path() if origin.sample else origin.path
    with open_source(where, origin.interface) as source:
        snapshot = source.read(filter)
    pieces = text_of(snapshot, filter, source.live)
    for warning in snapshot.info.warnings:
        warn(warning)
    if path == "-":
        out = Output(1)
        for piece in pieces:
            out.write(piece)
        out.release()
    else:
        from ..storage.compression import pack
        from ..storage.files import save

        save(path, pack(pieces, packing) if packing else pieces, force)
    return FOUND if len(snapshot) else NOTHING


def text_of(snapshot: "Snapshot", filter: Filter, live: bool) -> "Iterator[bytes]":
    """A snapshot's bytes, in pieces. live: it was just read from the running kernel."""
    info = snapshot.info
    notes = live_notes(info) if live else {k: info.notes[k] for k in _KEPT if k in info.notes}
    if not live and info.consistent is False:
        notes["consistent"] = "no"
    notes["interface"] = info.interface if live else info.notes.get("interface", "text")
    if filtered := joined_filters(info.notes.get("filter", ""), filter):
        notes["filter"] = filtered
    notes["tags"] = str(len(snapshot))
    head = HEADER.format(info.version or "2.0") + f"# {MARK}: {VERSION}\n"
    head += "".join(f"# {key}: {_one_line(value)}\n" for key, value in notes.items())
    yield head.encode("utf-8", "surrogateescape")
    yield from snapshot.table.render("procfs")


def live_notes(info: "Info") -> dict[str, str]:
    """What is known of a reading of the running kernel."""
    cpus = count_cpus(possible_cpus())
    notes = {
        "time": None if info.time is None else format_time(info.time),
        "host": posix.uname().nodename,
        "kernel": info.kernel,
        "boot-id": boot_id(),
        "content-id": None if info.content_id is None else str(info.content_id),
        "possible-cpus": None if cpus is None else str(cpus),
        "consistent": {True: "yes", False: "no", None: None}[info.consistent],
    }
    return {key: value for key, value in notes.items() if value}


def joined_filters(before: str, filter: Filter) -> str:
    """The filter as JSON; with the one that the source itself was made with, a list of both."""
    if not filter.items():
        return before
    now = dump(asked(filter))
    if not before or before == now:
        return now
    return f"[{before[1:-1]},{now}]" if before[:1] == "[" else f"[{before},{now}]"


def _one_line(value: str) -> str:
    return value.replace("\n", " ").replace("\r", " ")
