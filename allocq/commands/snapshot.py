"""`allocq snapshot`: saves the tags with metadata."""

import os
from collections.abc import Mapping

from ..declarations.shared import FOUND, NOTHING
from ..errors import UsageError
from ..output.stream import Output, warn
from ..storage.compression import pack, packer
from ..storage.files import check_free, save
from ..storage.snapshot import snapshot_text
from .arguments import read_filter, read_origin


def snapshot_command(values: Mapping[str, object]) -> int:
    """Run the command; returns 0, or 1 if no tag matches (the file is saved anyway)."""
    filter, origin = read_filter(values), read_origin(values, piped=False)
    path, force = str(values.get("output", "-")), bool(values.get("force"))
    packing = None
    if path != "-":
        packing = packer(path)
        check_free(path, force)
    elif force:
        raise UsageError("--force needs --output", "add --output FILE")
    with origin.open() as source:
        snapshot = source.read(filter)
    pieces = snapshot_text(snapshot.info, snapshot.table, filter, source.live)
    for warning in snapshot.info.warnings:
        warn(warning)
    if path == "-":
        out = Output(1, escape=os.isatty(1))
        for piece in pieces:
            out.write(piece)
        out.release()
    else:
        save(path, pack(pieces, packing) if packing else pieces, force)
    return FOUND if len(snapshot) else NOTHING
