"""Checks that all methods find the same tags, apart from counters that moved."""

from collections.abc import Callable, Mapping

from ...core.table import Table

NAME_BYTES = 63  # struct allocinfo_tag's char[64], with its NUL
Key = tuple[bytes, int, bytes, bytes]
SizesByTag = dict[Key, tuple[int, ...]]
Answers = Mapping[str, SizesByTag]  # by method


def sizes_by_tag(table: Table) -> SizesByTag:
    """The bytes of tags by (file, line, module, function), with names trimmed as by the ioctl."""
    tags: dict[Key, list[int]] = {}
    for file, line, module, function, size in zip(
        table.strings("file"),
        table.column("line"),
        table.strings("module"),
        table.strings("function"),
        table.column("bytes"),
        strict=True,
    ):
        key = _trim(file), line, _trim(module), _trim(function)
        tags.setdefault(key, []).append(size)
    return {key: tuple(sorted(sizes)) for key, sizes in tags.items()}


def _trim(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")[-NAME_BYTES:]


class Agreement:
    """Whether the methods agree in the runs of one scenario.

    runs: compared; moved: runs in which counters differed or crossed the minimum size; torn: runs
    in which modules were loaded or unloaded; differences: one line per tag that only some methods
    found for neither reason.
    """

    def __init__(self, by_size: bool) -> None:
        self.runs = self.moved = self.torn = self.tags = 0
        self.differences: list[str] = []
        self._by_size = by_size
        self._seen: dict[Key, set[int]] = {}

    def add(self, answers: Answers, same_modules: bool, now: Callable[[], SizesByTag]) -> None:
        """Compare the answers of one run; `now` reads all tags, to explain a difference."""
        each = list(answers.values())
        self.runs += 1
        self.tags = sum(map(len, each[0].values()))
        for answer in each:
            for key, sizes in answer.items():
                self._seen.setdefault(key, set()).update(sizes)
        keys = {key for answer in each for key in answer}
        odd = [key for key in keys if len({len(answer.get(key, ())) for answer in each}) > 1]
        if not odd:
            self.moved += any(answer != each[0] for answer in each)
        elif not same_modules:
            self.torn += 1
        else:
            self._judge(answers, odd, now)

    def _judge(self, answers: Answers, odd: list[Key], now: Callable[[], SizesByTag]) -> None:
        if self._by_size:
            for key, sizes in now().items():
                if key in self._seen:
                    self._seen[key].update(sizes)
        real = [key for key in odd if not self._moves(key, answers)]
        self.moved += len(real) < len(odd)
        for key in sorted(real):
            has = [method for method, answer in answers.items() if key in answer]
            lacks = [method for method, answer in answers.items() if key not in answer]
            where = f"{key[0].decode(errors='replace')}:{key[1]}"
            text = f"{where}: found by {', '.join(has)}, " + (
                f"not by {', '.join(lacks)}" if lacks else "but not the same number of times"
            )
            if text not in self.differences:
                self.differences.append(text)

    def _moves(self, key: Key, answers: Answers) -> bool:
        """Did the counter take more values than there are tags with this key?"""
        tags = max(len(answer.get(key, ())) for answer in answers.values())
        return self._by_size and len(self._seen[key]) > tags
