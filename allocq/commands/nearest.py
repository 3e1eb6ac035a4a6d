"""What to say on a terminal about names: how bare words were read, and what is near no match."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from ..core.table import Table
from ..model import Filter
from ..output.stream import say
from ..sources.matcher import Matcher
from ..sources.source import Live, Saved
from ..units import exact_size, format_size
from .arguments import Origin
from .file_names import is_file_name, quoted, why_no_listing

_MOST, _CLOSE, _SHORTEST, _LONGEST = 3, 0.6, 3, 200
_LINES = re.compile(r":([0-9]+)(?:-[0-9]+)?(?:[:,]|(?: \[[^\[]+\])?(?: func:.+)?)$")
_KINDS = (("file", "files"), ("function", "functions"), ("module", "modules"))
_BOUNDS = ("min_size", "max_size", "min_calls", "max_calls", "accurate")


def as_meant(source: Live | Saved, filter: Filter) -> Filter:
    """The filter, or where it matches nothing, with relative globs and directories anywhere in a
    path: `ice/*` is drivers/net/ethernet/intel/ice/*. A pipe is taken at its word."""
    wider = filter.widened()
    if wider is None or not source.repeatable or any(map(len, source.batches(filter))):
        return filter
    return wider


class Words:
    """How bare words were read, by the names of the tags that matched."""

    def __init__(self, words: Sequence[str]) -> None:
        self._kinds: dict[str, set[str]] = {word: set() for word in words}

    def add(self, table: Table) -> None:
        """Look at some of the matching tags."""
        if not self._kinds:
            return
        files, functions, modules = (set(table.strings(n)) for n in ("file", "function", "module"))
        for word, kinds in self._kinds.items():
            path = _LINES.sub("", word)
            if any(_is_file(file, path) for file in files):
                kinds.add("file" if path == word else "file and line")
            if any(f"/{path.rstrip('/')}/" in f"/{file}" for file in files):
                kinds.add("directory")
            for kind, field, names in (
                ("function", "functions", functions),
                ("module", "modules", modules - {""}),
            ):
                # A word that is the name itself is found without asking the engine.
                if word in names or _matches_one(field, word, table):
                    kinds.add(kind)

    @property
    def notes(self) -> list[str]:
        """One line a word that is a name."""
        order = ("file", "file and line", "directory", "function", "module")
        return [
            f"{word}: read as a {' and a '.join(kind for kind in order if kind in kinds)}"
            for word, kinds in self._kinds.items()
            if kinds
        ]

    @property
    def unread(self) -> list[str]:
        """The words that no matching tag has, globs aside."""
        return [
            word
            for word, kinds in self._kinds.items()
            if not kinds and not re.search("[*?[]", word)
        ]


def _matches_one(field: str, word: str, table: Table) -> bool:
    if _LINES.search(word):
        return False
    return Matcher(_one(field, word)).native.count(table) > 0


def _one(field: str, name: str) -> Filter:
    """A filter with this name alone."""
    values: dict[str, Sequence[str]] = {field: [name]}
    return Filter(**values)  # type: ignore[arg-type]


def _is_file(file: str, path: str) -> bool:
    return f"/{file}".endswith(f"/{path}") or f"/{file.rpartition('.')[0]}".endswith(f"/{path}")


def no_match(filter: Filter, table: Table) -> tuple[str, str]:
    """(what matched nothing, what to do about it or ""). table: all tags of the source."""
    message = f"no tag matches {options_of(filter) or 'anything'}"
    names = Names(table)
    unknown = [
        (field, name)
        for field in ("files", "functions", "modules", "words")
        for name in getattr(filter, field)
        if not names.known(field, name)
    ]
    if unknown:
        near = [each for field, name in unknown for each in names.near(field, name)]
        if near:
            return message, f"nearest: {', '.join(dict.fromkeys(near))}"
        words = [name for field, name in unknown if field == "words"]
        return message, next((why for why in map(why_no_listing, words) if why), "")
    return message, _without_bounds(filter, table)


def tell_missing_files(filter: Filter, source: Live | Saved, matching: bool) -> None:
    """Say of bare words that are spelled as files that they are none, also in a script: a pattern
    that matches nothing is a common answer, a listing that is not there is a mistake."""
    words = [word for word in filter.words if is_file_name(word)]
    if not words or (matching and not source.repeatable):
        return
    names = Names(source.read(Filter()).table) if source.repeatable else None
    for word in words:
        if names is None or not names.known("words", word):
            why = why_no_listing(word)
            say(f"allocq: no tag matches {quoted(word)}{'; ' if why else ''}{why}")


def _without_bounds(filter: Filter, table: Table) -> str:
    """All names are there: what keeps them from matching?"""
    items = filter.items()
    bounds = {name: items.pop(name) for name in _BOUNDS if name in items}
    if not table or not (bounds or len(items) > 1):
        return ""
    rest = Filter(**items)  # type: ignore[arg-type]
    left = Table()
    left.append(table)
    Matcher(rest).apply(left)
    if not len(left):
        return "each of these matches tags, but no tag matches all" if len(items) > 1 else ""
    if not bounds:
        return ""
    tags = "1 tag matches" if len(left) == 1 else f"{len(left)} tags match"
    words = f"{tags} without {options_of(Filter(**bounds))}"  # type: ignore[arg-type]
    return f"{words}; the largest holds {format_size(max(left.column('bytes')))}"


def options_of(filter: Filter) -> str:
    """The filter as options of the command line, cut off where it is very long."""
    words: list[str] = []
    for name, value in filter.as_options().items():
        if name == "word":
            continue
        flag = f"--{'invert-match' if name == 'invert' else name.replace('_', '-')}"
        if name == "accurate":
            words.append("--accurate" if value else "--inaccurate")
        elif isinstance(value, bool):
            words.append(flag)
        elif isinstance(value, tuple):
            words += [f"{flag} {quoted(_value(each))}" for each in value]
        else:
            size = isinstance(value, int) and name.endswith("size")
            words.append(f"{flag} {exact_size(value) if size else value}")  # type: ignore[arg-type]
    words += map(quoted, filter.words)
    text = " ".join(words)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _value(value: object) -> str:
    if isinstance(value, tuple):
        first, last = value
        return f"{first}" if first == last else f"{first}-{last}"
    return str(value)


class Names:
    """The names of all tags of a source, to find what is near one that is not there."""

    def __init__(self, table: Table) -> None:
        self._table = table
        files = set(table.strings("file"))
        folders = {folder for file in files for folder in _folders(file)}
        paths = files | folders
        self._known: dict[str, set[str]] = {
            "files": paths | {path.rpartition("/")[2] for path in paths},
            "functions": set(table.strings("function")),
            "modules": set(table.strings("module")) - {""},
        }
        self._known["words"] = set().union(*self._known.values())

    def known(self, field: str, name: str) -> bool:
        """Does a tag have this name? field: files, functions, modules or words."""
        filter = _one(field, name)
        wider = filter.widened()
        return any(Matcher(each).native.count(self._table) for each in (filter, wider) if each)

    def near(self, field: str, name: str) -> Sequence[str]:
        """The nearest names that exist, at most three."""
        if lines := self._other_lines(field, name):
            return lines
        plain = _LINES.sub("", name).strip("*[]/").removeprefix("func:").lower()
        folded = {each.lower(): each for each in sorted(self._known[field])}
        inside = [each for each in folded if plain in each] if len(plain) >= _SHORTEST else []
        near = sorted(inside, key=lambda each: (len(each), each))[:_MOST]
        near += difflib.get_close_matches(plain, list(folded), n=_MOST, cutoff=_CLOSE)
        return [folded[each] for each in dict.fromkeys(near)][:_MOST]

    def _other_lines(self, field: str, name: str) -> Sequence[str]:
        """FILE:LINE where the file has tags, but on other lines."""
        found = _LINES.search(name)
        path = _LINES.sub("", name)
        if field not in ("files", "words") or not found:
            return []
        wanted = int(found[1])
        places = Counter(
            (file, line)
            for file, line in zip(
                self._table.strings("file"), self._table.column("line"), strict=True
            )
            if f"/{file}".endswith(f"/{path}")
        )
        nearest = sorted(places, key=lambda place: (abs(place[1] - wanted), place))[:_MOST]
        return [f"{file}:{line}" for file, line in nearest]


def _folders(file: str) -> Iterable[str]:
    while file := file.rpartition("/")[0]:
        yield file


def tell_words(words: Words, origin: Origin, source: Live | Saved) -> None:
    """Say on a terminal how bare words were read."""
    if origin.is_word:
        say(f"allocq: {source.path}: read as a saved listing")
    for note in words.notes:
        say(f"allocq: {note}")
    if words.notes and words.unread and source.repeatable:
        names = Names(source.read(Filter()).table)
        for word in words.unread:
            near = names.near("words", word)
            hint = f"; nearest: {', '.join(near)}" if near else ""
            say(f"allocq: {word}: no tag has this name{hint}")


def tell_no_match(filter: Filter, source: Live | Saved) -> None:
    """Say on a terminal that nothing matched; a pipe has the exit status, as from grep."""
    if not source.repeatable:
        say(f"allocq: no tag matches {options_of(filter) or 'anything'}")
        return
    message, hint = no_match(filter, source.read(Filter()).table)
    say(f"allocq: {message}", *([f"hint: {hint}"] if hint else []))
