"""`allocq snapshot`: saves the tags with metadata."""

import os
from collections.abc import Mapping

from ..analysis.excerpt import note_of
from ..errors import UsageError
from ..model import Filter
from ..options.shared import FOUND, NOTHING
from ..output.stream import Output, warn
from ..sources.matcher import Matcher
from ..storage.compression import pack, packer
from ..storage.files import check_free, save
from ..storage.snapshot import snapshot_text
from .arguments import read_filter, read_origin, text


def snapshot_command(values: Mapping[str, object]) -> int:
    """Run the command; returns 0, or 1 if no tag matches (the file is saved anyway)."""
    filter, origin = read_filter(values), read_origin(values, piped=False)
    path, force = _path(values), bool(values.get("force"))
    packing = None
    if path != "-":
        packing = packer(path)
        check_free(path, force)
    elif force:
        raise UsageError("--force needs a file", "allocq snapshot --force FILE")
    excerpt = ""
    with origin.open() as source:
        snapshot = source.read(filter if source.live else Filter())
    if not source.live:  # whether it is a whole shows in all of it
        excerpt = note_of(snapshot.table.column("bytes"), snapshot.info)
        Matcher(filter).apply(snapshot.table)
    pieces = snapshot_text(snapshot.info, snapshot.table, filter, source.live, excerpt)
    for warning in snapshot.info.warnings:
        warn(warning)
    if path == "-":
        out = Output(1, escape=os.isatty(1))
        for piece in pieces:
            out.write(piece)
        out.release()
    else:
        save(path, pack(pieces, packing) if packing else pieces, force)
    if "old_output" in values:
        warn("-o chooses a format elsewhere: use --output FILE, or the name alone")
    return FOUND if len(snapshot) else NOTHING


def _path(values: Mapping[str, object]) -> str:
    """Where to save; - is standard output. UsageError for two places."""
    names = ("path", "output", "old_output")
    given = [path for name in names if (path := text(values, name)) is not None]
    if len(given) > 1:
        raise UsageError(f"{given[1]} is a second file to save to", "name one file")
    return given[0] if given else "-"
