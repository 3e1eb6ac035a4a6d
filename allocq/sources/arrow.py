"""The tags of one moment as Arrow columns, by allocq-parquet(5)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.kernel import boot_id
from ..core.table import Table
from ..model import Info
from ..storage.parquet.arrow import Moments, Names, schema, snapshot_batch
from ..storage.parquet.schema import digits_of

if TYPE_CHECKING:
    from arro3.core import RecordBatch

_MICROSECONDS = 1_000_000


def batch_of(info: Info, table: Table, order: Sequence[int] | None = None) -> RecordBatch:
    """The rows, or those that `order` names. A time that is not known is 1970-01-01; host, boot and
    kernel are empty; consistent is false only where that is known. MissingExtraError."""
    made = schema()
    metadata = info.metadata
    moments = Moments(
        os.uname().nodename if info.live else metadata.get("host", ""),
        boot_id() if info.live else metadata.get("boot-id", ""),
        info.kernel or "",
        [round((info.time or 0) * _MICROSECONDS)],
        [digits_of(metadata.get("content-id", "")) if info.content_id is None else info.content_id],
        [info.consistent is not False and metadata.get("consistent") != "no"],
    )
    return snapshot_batch(table, moments, order, made)


def tag_order(table: Table, rows: Sequence[int] | None = None) -> list[int]:
    """The rows, or these, in the order of the files."""
    keys = Names.of(table).keys()
    return sorted(range(len(table)) if rows is None else rows, key=keys.__getitem__)
