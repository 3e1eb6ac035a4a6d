"""Translates a Filter for the engine; Python matches its regular expressions."""

from __future__ import annotations

from ..core.callbacks import Hooks
from ..core.filter import NativeFilter
from ..core.table import Table
from ..model import Filter


class Matcher:
    """native: the part that the engine checks. hooks: callbacks for the regular expressions."""

    def __init__(self, filter: Filter) -> None:
        native = self.native = NativeFilter()
        native.add_names("file", filter.files)
        native.add_names("exclude", filter.excludes)
        native.add_names("function", filter.functions)
        native.add_names("module", filter.modules)
        native.add_names("word", filter.words)
        for first, last in filter.lines:
            native.add_lines(first, last)
        if filter.builtin:
            native.set_builtin()
        if filter.accurate is not None:
            native.set_accuracy(filter.accurate)
        if filter.underflowed:
            native.set_underflowed()
        native.set_sizes(filter.min_size, filter.max_size)
        native.set_calls(filter.min_calls, filter.max_calls)
        self._searches = [regexp.search for regexp in filter.compiled()]
        self._invert = filter.invert

    def hooks(self) -> Hooks:
        """New hooks for one scan."""
        return Hooks(self.search if self._searches else None)

    def search(self, table: Table) -> bytes:
        """One byte per row: 1 if the regular expressions match."""
        return bytes(
            any(search(subject) for search in self._searches) != self._invert
            for subject in table.strings("subject")
        )

    def finish(self, table: Table) -> None:
        """Drop the rows that the regular expressions do not match."""
        if self._searches and len(table):
            table.keep(self.search(table))

    def apply(self, table: Table) -> None:
        """Drop all rows that do not match the filter."""
        self.native.apply(table)
        self.finish(table)
