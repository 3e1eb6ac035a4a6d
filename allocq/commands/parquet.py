"""The answer of a query as a Parquet file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from ..errors import UsageError
from ..sources.snapshot import Snapshot
from .arguments import Query


def check_parquet(query: Query, values: Mapping[str, object]) -> None:
    """UsageError for what Parquet cannot hold, MissingExtraError without the extra."""
    if query.view.group_by:
        raise UsageError(
            "--group-by and parquet cannot be used together",
            "a file has single tags, which its readers sum; or choose -o csv",
        )
    if values.get("list_listings"):
        raise UsageError("--list-listings prints no tags", "-o tsv, csv, json, jsonl or table")
    if query.view.count or query.view.quiet or query.origin.explain:
        return
    from ..storage.parquet.arrow import check_extra

    check_extra()


def parquet_of(snapshot: Snapshot, order: Sequence[int] | None, sorted_by_tag: bool) -> bytes:
    """A whole file. order: its rows, None for all."""
    from ..sources.arrow import batch_of, tag_order
    from ..storage.parquet.arrow import write

    table = snapshot.table
    rows = tag_order(table, order) if sorted_by_tag else order
    batch = batch_of(snapshot.info, table, rows)
    file = io.BytesIO()
    write(file, batch.schema, [batch])
    return file.getvalue()
