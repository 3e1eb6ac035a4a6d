"""`allocq ship`: moves a recording to a directory or an object store as Parquet."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from ..errors import AllocqError, UsageError
from ..options.shared import FOUND
from ..output.stream import say, warn
from ..output.totals import quantity
from ..storage.parquet.arrow import check_extra
from ..storage.recording.reader import Recording
from ..storage.recording.schema import default_folder
from ..storage.shipping.directory import Directory
from ..storage.shipping.objects import Objects
from ..storage.shipping.ship import Shipped, remove_shipped, ship
from .arguments import scheme_of, text


def ship_command(values: Mapping[str, object]) -> int:
    """Run the command; returns 0, also if there was nothing to ship."""
    to, source = text(values, "to"), text(values, "source")
    if not to:
        raise UsageError("--to is missing", "allocq ship --to DIRECTORY, or s3://BUCKET/PREFIX")
    if source == "":
        raise UsageError("--source is empty", "name a recording")
    folder = default_folder() if source is None else Path(source)
    check_extra()
    objects = _objects(to)
    Recording(folder)  # before a directory is made for nothing
    open_too, quiet = bool(values.get("all")), bool(values.get("quiet"))
    with contextlib.closing(objects or Directory(Path(to))) as destination:
        done: list[Shipped] = []
        try:
            for shipped in ship(folder, destination, warn, open_too):
                done.append(shipped)
        except AllocqError:
            if done and not quiet:
                say(f"allocq: {_summary(done, to, open_too)}, then:")
            raise
        if not quiet:
            say(f"allocq: {_summary(done, to, open_too)}")
        if values.get("delete") and (removed := remove_shipped(folder, destination)) and not quiet:
            say(f"allocq: removed {quantity(len(removed), 'database')} from {folder}")
    return FOUND


def _objects(to: str) -> Objects | None:
    """The object store, if it is one. UsageError, MissingExtraError."""
    if to.startswith("s3://"):
        return Objects(to)
    if scheme := scheme_of(to):
        raise UsageError(f"cannot ship to {scheme}://", "use a directory, or s3://BUCKET/PREFIX")
    return None


def _summary(done: list[Shipped], to: str, open_too: bool) -> str:
    if not done:
        rest = "" if open_too else "; --all also ships the current hour"
        return f"nothing is left to ship{rest}"
    samples = sum(each.samples for each in done)
    return f"shipped {quantity(samples, 'sample')} in {quantity(len(done), 'file')} to {to}"
