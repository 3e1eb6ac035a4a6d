"""The questions of `allocq fleet`, from the options to the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import SourceError, UsageError
from ...fleet.engine import open_engine
from ...fleet.files import MICROSECONDS, Lost, Skipped
from ...options.shared import FOUND, NOTHING
from ...output import writer
from ...output.fleet import HostLayout, PlaceLayout
from ...output.stream import say, warn
from ...output.totals import quantity
from ...units import format_time
from ..arguments import shape_of
from .request import FleetRequest, read_request

if TYPE_CHECKING:
    from .answers import Answer

ROWS = 20
_ATTEMPTS = 5


def top_command(values: Mapping[str, object]) -> int:
    """Run `allocq fleet top`; returns 0 if a place matches, 1 if none does."""
    return _run(read_request("top", values))


def grown_command(values: Mapping[str, object]) -> int:
    """Run `allocq fleet grown`; returns 0 if something grew, 1 if nothing did."""
    return _run(read_request("grown", values))


def outliers_command(values: Mapping[str, object]) -> int:
    """Run `allocq fleet outliers`; returns 0 if there is one, 1 if there is none."""
    return _run(read_request("outliers", values))


def percentiles_command(values: Mapping[str, object]) -> int:
    """Run `allocq fleet percentiles`; returns 0 if a place matches, 1 if none does."""
    return _run(read_request("percentiles", values))


def hosts_command(values: Mapping[str, object]) -> int:
    """Run `allocq fleet hosts`; returns 0 if there is a host, 1 if there is none."""
    return _run(read_request("hosts", values))


def _run(request: FleetRequest) -> int:
    skipped = Skipped()
    try:
        found = _answer(request, skipped)
        if not request.quiet:
            _write(request, found)
    finally:
        for line in skipped.lines:
            warn(line)
    for line in found.notes:
        say(f"allocq: {line}")
    return FOUND if found.rows else NOTHING


def _answer(request: FleetRequest, skipped: Skipped) -> Answer:
    """The answer, read again where files turned out to be damaged, or were replaced meanwhile."""
    damaged: set[str] = set()
    with open_engine(request.engine, request.master) as engine:
        from .answers import answer  # once it is known that what it imports is there

        for _ in range(_ATTEMPTS):
            skipped.names.clear()
            try:
                return answer(request, engine, skipped, damaged)
            except Lost as lost:
                damaged |= set(lost.damaged)
    raise SourceError(f"the files of {request.path} change while they are read", "try again")


def _write(request: FleetRequest, found: Answer) -> None:
    screen = request.target.screen(1)
    format = request.format or ("table" if screen.terminal else "csv")
    table = format == "table"
    if format == "parquet" and screen.terminal:
        raise UsageError("parquet is not for a terminal", "add --output FILE")
    limit = ROWS if request.limit is None and table else request.limit
    shown = found.rows[:limit]
    out = request.target.open(1, escape=screen.terminal and not table)
    layout: Any = (
        HostLayout(table)
        if request.what == "hosts"
        else PlaceLayout(request.what, table, request.group_by)
    )
    write = writer(format, shape_of(request.view, format, screen), layout.columns)
    out.write(write.begin(_head(request, found), request.what))
    for piece in write.rows(layout.rows(shown)):
        out.write(piece)
    out.write(write.end(layout.total(shown), _words(request, shown, found.rows)))
    out.release()


def _head(request: FleetRequest, found: Answer) -> dict[str, object]:
    return {
        "fleet": {
            "path": request.path,
            "since": _when(found.since),
            "until": _when(found.until),
            "hosts": found.hosts,
            "engine": request.engine,
        },
        "filter": request.filter.as_options(),
    }


def _when(time: int | None) -> str | None:
    return None if time is None else format_time(time / MICROSECONDS)


def _words(request: FleetRequest, shown: Sequence[object], rows: Sequence[object]) -> str:
    what = {"hosts": "host", "outliers": "outlier"}.get(request.what, request.group_by or "place")
    count = quantity(len(rows), what)
    if len(shown) == len(rows):
        return f"in {count}"
    return f"in the first {len(shown):,} of {count}"
