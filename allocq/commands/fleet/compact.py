"""`allocq fleet compact`: joins small Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...options.shared import FOUND, NOTHING
from ...output.stream import say, warn
from ...output.totals import quantity
from ...storage.parquet.compaction import compact
from ...units import format_size
from .request import read_path


def compact_command(values: Mapping[str, object]) -> int:
    """Run the command; returns 0 if files were joined, 1 if there was nothing to join."""
    root = Path(read_path("compact", values))
    joined = made = before = after = repeated = 0
    for hour in compact(root, warn):
        joined, made = joined + hour.joined, made + hour.made
        before, after = before + hour.before, after + hour.after
        repeated += hour.repeated
    if not joined:
        say(f"allocq: nothing to join in {root}")
        return NOTHING
    once = f"; {quantity(repeated, 'sample')} repeated in them left out" if repeated else ""
    say(
        f"allocq: {quantity(joined, 'file')} joined into {made:,}:"
        f" {format_size(before)} became {format_size(after)}{once}"
    )
    return FOUND
