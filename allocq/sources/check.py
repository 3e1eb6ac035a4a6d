"""A Filter made ready for the engine; regular expressions stay in Python."""

from __future__ import annotations

from ..core.filter import NativeFilter
from ..core.hooks import Hooks
from ..core.table import Table
from ..model import Filter


class Check:
    """native: what the engine checks. hooks: what it asks Python for, in one scan of one thread."""

    def __init__(self, filter: Filter) -> None:
        native = self.native = NativeFilter()
        native.add_names("file", filter.files)
        native.add_names("exclude", filter.excludes)
        native.add_names("function", filter.functions)
        native.add_names("module", filter.modules)
        for first, last in filter.lines:
            native.add_lines(first, last)
        if filter.builtin:
            native.set_builtin()
        if filter.accurate is not None:
            native.set_accuracy(filter.accurate)
        native.set_sizes(filter.min_size, filter.max_size)
        native.set_calls(filter.min_calls, filter.max_calls)
        self._searches = [regexp.search for regexp in filter.compiled()]
        self._invert = filter.invert

    def hooks(self) -> Hooks:
        """The hooks of one scan."""
        return Hooks(self.search if self._searches else None)

    def search(self, table: Table) -> bytes:
        """One byte a row: 1 where the regular expressions let it through."""
        return bytes(
            any(search(subject) for search in self._searches) != self._invert
            for subject in table.strings("subject")
        )

    def finish(self, table: Table) -> None:
        """Drop the rows that only the regular expressions can tell."""
        if self._searches and len(table):
            table.keep(self.search(table))

    def apply(self, table: Table) -> None:
        """Drop all rows that do not match."""
        self.native.apply(table)
        self.finish(table)
