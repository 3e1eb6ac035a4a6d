"""What to say on a terminal about names: how bare words were read, and what is near no match."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from ..core.table import Table
from ..model import Filter
from ..sources.source import Live, Saved

_MOST = 3
_FIELDS = (("--file", "files"), ("--function", "functions"), ("--module", "modules"))


def as_meant(source: Live | Saved, filter: Filter) -> Filter:
    """The filter, or where it matches nothing, with relative globs and directories anywhere in a
    path: `ice/*` is drivers/net/ethernet/intel/ice/*. A pipe is taken at its word."""
    wider = filter.widened()
    if wider is None or not source.repeatable or any(map(len, source.batches(filter))):
        return filter
    return wider


def words_read(words: Iterable[str], table: Table) -> list[str]:
    """How each bare word was read, by the names of the tags that matched."""
    files, functions, modules = (set(table.strings(n)) for n in ("file", "function", "module"))
    notes = []
    for word in words:
        path = word.rpartition(":")[0] if word.rpartition(":")[2].isdecimal() else word
        kinds = []
        if any(_is_file(file, path) for file in files):
            kinds.append("file" if path == word else "file and line")
        elif any(f"/{path.rstrip('/')}/" in f"/{file}" for file in files):
            kinds.append("directory")
        kinds += ["function"] * (word.removeprefix("func:") in functions)
        kinds += ["module"] * (word.strip("[]") in modules)
        if kinds:
            notes.append(f"{word}: read as a {' and a '.join(kinds)}")
    return notes


def _is_file(file: str, path: str) -> bool:
    return f"/{file}".endswith(f"/{path}") or f"/{file.rpartition('.')[0]}".endswith(f"/{path}")


def no_match(filter: Filter, table: Table) -> tuple[str, str]:
    """(what matched nothing, the nearest names or ""). table: all tags of the source."""
    files, functions = set(table.strings("file")), set(table.strings("function"))
    modules = set(table.strings("module")) - {""}
    bases = {file.rpartition("/")[2] for file in files}
    known = {"files": files | bases, "functions": functions, "modules": modules}
    given: list[str] = []
    near: list[str] = []
    for flag, field in _FIELDS:
        for name in getattr(filter, field):
            given.append(f"{flag} {name}")
            near += _near(name, known[field])
    for word in filter.words:
        given.append(word)
        near += _near(word, set().union(*known.values()))
    if not given or len(filter.items()) > 1:
        given = given or ["these options"]
    hint = f"nearest: {', '.join(dict.fromkeys(near))}" if near else ""
    return f"no tag matches {' '.join(given)}", hint


def _near(name: str, names: Iterable[str]) -> Sequence[str]:
    plain = name.strip("*[]/").rpartition(":")[0] or name.strip("*[]/")
    folded = {each.lower(): each for each in names}
    close = difflib.get_close_matches(plain.lower(), list(folded), n=_MOST, cutoff=0.6)
    return [folded[each] for each in close if folded[each] != name]
