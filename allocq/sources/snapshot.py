"""The tags of one moment: what reading a source gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from ..core.table import Table
from ..errors import UsageError
from ..model import Filter, Info, Tag

if TYPE_CHECKING:
    from ..analysis.diff import Change

_NAMES = ("bytes", "calls", "file", "line", "module", "function", "accurate")


def tags_of(table: Table) -> list[Tag]:
    """Every row as a Tag."""
    return [Tag(*row) for row in _rows(table)]


def _rows(table: Table) -> Iterator[tuple[int, int, str, int, str | None, str, bool]]:
    """The values of a Tag, in its order."""
    for bytes_, calls, file, line, builtin, module, function, inaccurate in zip(
        table.column("bytes"),
        table.column("calls"),
        table.strings("file"),
        table.column("line"),
        table.column("builtin"),
        table.strings("module"),
        table.strings("function"),
        table.column("inaccurate"),
        strict=True,
    ):
        yield bytes_, calls, file, line, None if builtin else module, function, not inaccurate


class Snapshot(Sequence[Tag]):
    """The matching tags in kernel order, with facts about their source: a sequence of Tag.

    info: facts about the source. filter: what was asked.

    >>> import allocq
    >>> with allocq.open(allocq.sample_path()) as source:
    ...     snapshot = source.read(allocq.Filter(files=["rapl.c"]))
    >>> len(snapshot), snapshot[0].line, [tag.line for tag in snapshot[1:]]
    (2, 745, [707])
    """

    def __init__(self, info: Info, table: Table, filter: Filter | None = None) -> None:
        self.info = info
        self.table = table
        self.filter = filter or Filter()
        self._tags: list[Tag] | None = None

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[Tag]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> Tag: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tag]: ...
    def __getitem__(self, index: int | slice) -> Tag | list[Tag]:
        return self._all()[index]

    def __repr__(self) -> str:
        return f"<Snapshot of {self.info.path}: {len(self)} tags>"

    def _all(self) -> list[Tag]:
        if self._tags is None or len(self._tags) != len(self.table):
            self._tags = tags_of(self.table)
        return self._tags

    @property
    def tags(self) -> list[Tag]:
        """Every tag, in a list of its own."""
        return list(self._all())

    @property
    def total(self) -> tuple[int, int]:
        """(bytes, calls) summed over the tags.

        >>> import allocq
        >>> with allocq.open(allocq.sample_path()) as source:
        ...     source.read(allocq.Filter(modules=["zram"])).total
        (256, 1)
        """
        return self.table.total()

    def to_dicts(self) -> list[dict[str, int | str | bool | None]]:
        """One dict per tag, with the names, order and values of `allocq query -o csv`.

        bytes is signed, calls counts live allocations, module is None for built-in code.

        >>> import allocq
        >>> with allocq.open(allocq.sample_path()) as source:
        ...     rows = source.read(allocq.Filter(functions=["zram_add"])).to_dicts()
        >>> rows[0]["bytes"], rows[0]["module"], list(rows[0])
        (256, 'zram', ['bytes', 'calls', 'file', 'line', 'module', 'function', 'accurate'])
        """
        return [dict(zip(_NAMES, row, strict=True)) for row in _rows(self.table)]

    def __arrow_c_schema__(self) -> object:
        """The columns of allocq-parquet(5), by Arrow's PyCapsule interface. MissingExtraError."""
        from ..storage.parquet.arrow import schema

        return schema().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The tags in kernel order for pandas, polars, DuckDB, pyarrow and others, by Arrow's
        PyCapsule interface. MissingExtraError."""
        from ..storage.parquet.arrow import reader
        from .arrow import batch_of

        batch = batch_of(self.info, self.table)
        return reader(batch.schema, [batch]).__arrow_c_stream__(requested_schema)

    def diff(self, other: Snapshot) -> list[Change]:
        """What changed from this snapshot to `other`, a later one; largest growth first.

        Tags are matched by file, line, module and function, as `allocq diff` does; those that did
        not change are left out. Where a saved listing is only an excerpt, a tag that is missing in
        it is neither new nor gone: see Change.bound. UsageError if `other` is no Snapshot.

        >>> import allocq
        >>> with allocq.open(allocq.sample_path()) as source:
        ...     snapshot = source.read()
        >>> snapshot.diff(snapshot)
        []
        """
        from ..analysis.diff import bound, changed, match, ordered

        if not isinstance(other, Snapshot):
            raise UsageError(f"diff needs another Snapshot, not {type(other).__name__}")
        changes = match(self.table, other.table)
        bound(changes, self._smallest(), other._smallest())
        return ordered(changed(changes), "bytes", False)

    def _smallest(self) -> int | None:
        """What a missing tag holds at most if this is an excerpt; None for a whole listing."""
        from ..analysis.excerpt import excerpt_of, noted_excerpt

        if self.filter.items():  # of an answer, it does not show
            excerpt = noted_excerpt(self.info.metadata)
        else:
            excerpt = excerpt_of(self.table.column("bytes"), self.info)
        bounds = [excerpt.smallest] if excerpt else []
        if (least := self.filter.min_size) is not None and least > 0:
            bounds.append(least - 1)
        return max(bounds, default=None)
