"""`allocq snapshot`: save the tags, with what is needed to judge them later."""

from collections.abc import Mapping

from ..declarations.shared import FOUND, NOTHING
from ..errors import UsageError
from ..output.stream import Output, warn
from ..storage.compression import pack, packer
from ..storage.files import check_free, save
from ..storage.snapshot import snapshot_text
from .arguments import read_filter, read_origin


def snapshot_command(values: Mapping[str, object]) -> int:
    """The subcommand's body: 0, or 1 where no tag matches (the snapshot is made all the same)."""
    filter, origin = read_filter(values), read_origin(values)
    path, force = str(values.get("output", "-")), bool(values.get("force"))
    packing = None
    if path != "-":
        packing = packer(path)
        check_free(path, force)
    elif force:
        raise UsageError("--force replaces a file", "name it with --output")
    with origin.open() as source:
        snapshot = source.read(filter)
    pieces = snapshot_text(snapshot.info, snapshot.table, filter, source.live)
    for warning in snapshot.info.warnings:
        warn(warning)
    if path == "-":
        out = Output(1)
        for piece in pieces:
            out.write(piece)
        out.release()
    else:
        save(path, pack(pieces, packing) if packing else pieces, force)
    return FOUND if len(snapshot) else NOTHING
