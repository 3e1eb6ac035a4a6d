"""The stacks that top takes: `allocq stacks` in a process of its own, so that keys are never dead
and nothing is left in tracefs however top ends."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace

from ...analysis.board import Within
from ...analysis.diff import Key
from ...analysis.stacks import Taken
from ...errors import SourceError, UsageError
from ...host.background import Background
from ...host.tracefs import usable
from ...model import Filter
from ...sources.saved_stacks import LARGEST, parse_stacks

SECONDS = 5
EVERYTHING = Filter()
_PATIENCE = 6.0
_SPECIAL = re.compile(r"[*?\[:]")


def words_of(
    key: Key, by: str | None, within: Within = (), filter: Filter = EVERYTHING
) -> list[str]:
    """The words of `allocq stacks` that select a tag or a group. within: the groups that it is in,
    the innermost last; filter: of the list. What that says of counters is left out: they move.
    UsageError for what cannot be watched."""
    options: dict[str, str] = {}
    folder = None
    # A file is smaller than a directory, and a group in a group is smaller than that.
    groups = [(by, key), *reversed(within)]
    for kind, group in sorted(groups, key=lambda each: each[0] == "directory"):
        if kind == "directory" and "file" not in options:
            folder = str(group[0])
        for name, value in _options_of(group, kind).items():
            options.setdefault(name, value)  # one that is given twice would widen
    if folder is not None and filter.files:
        # Both are files: one of them is asked for in other words.
        if filter.regexps:
            raise UsageError(
                "too much for one question: a directory, --file and --regexp",
                "open the group and select a tag",
            )
        del options["file"]
        filter = replace(filter, regexps=[f"^{re.escape(folder)}/"], ignore_case=False)
    words = [f"--{name}={value}" if value else f"--{name}" for name, value in options.items()]
    words += _narrowing(filter, options)
    if words == ["--builtin"]:
        raise UsageError("built-in code is too much to watch", "open the group and select a tag")
    return words


def _options_of(key: Key, by: str | None) -> dict[str, str]:
    """The options that select a tag or a group, by name."""
    file, line, module, function = key
    is_tag = by in (None, "location")
    options = {}
    if is_tag or by in ("file", "directory"):
        options["file"] = _exactly(str(file))
    if is_tag:
        options["line"] = str(line)
    if is_tag or by == "function":
        options["function"] = _exactly(str(function))
    if is_tag or by == "module":
        options |= {"builtin": ""} if module is None else {"module": _exactly(str(module))}
    return options


def _narrowing(filter: Filter, options: Mapping[str, str]) -> list[str]:
    """The words of a filter, without those that narrow nothing more beside these options."""
    words = []
    for name, patterns in (
        ("file", filter.files),
        ("function", filter.functions),
        ("module", filter.modules),
        ("line", [f"{first}-{last}" for first, last in filter.lines]),
    ):
        if name not in options:
            words += [f"--{name}={pattern}" for pattern in patterns]
    if filter.builtin and not options.keys() & {"module", "builtin"}:
        words.append("--builtin")
    if "line" in options:  # a tag that is listed passes all of these
        return words
    words += [f"--exclude={pattern}" for pattern in filter.excludes]
    words += [f"--regexp={pattern}" for pattern in filter.regexps]
    words += ["--ignore-case"] * filter.ignore_case + ["--invert-match"] * filter.invert
    return [*words, *filter.words]


def _exactly(name: str) -> str:
    """A pattern that only this name matches."""
    return _SPECIAL.sub(lambda found: f"[{found[0]}]", name)


class Taking:
    """Stacks that are being taken. what: the tag, for people; live: of what is not freed."""

    def __init__(self, what: str, words: list[str], live: bool) -> None:
        """Begin. live: of what is not freed. AccessError, InterfaceError where this kernel cannot
        trace; SourceError."""
        usable()
        self.what = what
        self.live = live
        self._began = time.monotonic()
        argv = ["stacks", *words, "--for", f"{SECONDS}s", "-o", "json"]
        argv += ["--live"] if live else []
        try:
            self._child = Background(argv, answers=True, niceness=0)
        except (OSError, ValueError) as error:
            words_ = getattr(error, "strerror", None) or error
            raise SourceError(f"cannot start allocq stacks: {words_}") from None

    @property
    def seconds(self) -> float:
        """How long it has taken so far, with what is to be done before and after watching."""
        return time.monotonic() - self._began

    def look(self) -> Taken | None:
        """The stacks, once they are there. SourceError and its kinds if they cannot be taken."""
        if not self._child.ended():
            return None
        try:
            data = self._child.answer(LARGEST)
            if not data:
                words = self._child.complaint() or "allocq stacks printed nothing"
                raise SourceError(f"no stacks of {self.what}: {words}")
            return parse_stacks(data, f"stacks of {self.what}")
        finally:
            self._child.close()

    def end(self) -> None:
        """Give up: it removes what it made, and ends."""
        self._child.end()

    def ended(self, wait: float = _PATIENCE) -> bool:
        """Has it ended? wait: at most, in seconds. What has not ended still cleans up."""
        if not self._child.ended(wait):
            return False
        self._child.close()
        return True
