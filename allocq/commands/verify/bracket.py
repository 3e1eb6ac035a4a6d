"""Compares answers with the text although counters move: the text is read before and after.

A counter may be anything between its lowest and highest value in the texts around the answer. If it
is outside, it moved or is wrong, and the query is repeated, many times. A tag counts as different
only if it is outside every time and neither the texts nor the answers show it move in between: the
texts always say one thing, the answers always another.

Only their order distinguishes tags with the same names. Which of them a row of an answer belongs to
is unknown, so the assignment with the fewest errors counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from .rawioctl import INACCURATE, IoctlFilter, Kernel, Row

ATTEMPTS = 24
SURE, STEADY = 4, 12
"""Attempts that make a difference: what no counter explains; what never moved."""
_ALL_SIZES = 1 << 64

Name = tuple[bytes, bytes, bytes, int]


class Undecided(Exception):
    """The check is undetermined: modules were loaded or unloaded every time."""


class Question(NamedTuple):
    """A query whose answer is compared with the text.

    names: do the names of a row match; sizes: the signed ranges that match; accurate: None for
    both; ask: gets the answer; trimmed: names are cut to 63 bytes, as by the ioctl; words: for
    people.
    """

    names: Callable[[Row], bool]
    sizes: Sequence[tuple[int, int]]
    accurate: bool | None
    ask: Callable[[], list[Row]]
    trimmed: bool
    words: str


class Seen:
    """The range of values of one tag in the texts so far."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.trimmed = row.trimmed()
        self.size = (row.size, row.size)
        self.calls = (row.calls, row.calls)
        self.accurate = {row.accurate}

    def add(self, row: Row) -> None:
        """Add one more reading of the tag."""
        self.size = min(self.size[0], row.size), max(self.size[1], row.size)
        self.calls = min(self.calls[0], row.calls), max(self.calls[1], row.calls)
        self.accurate.add(row.accurate)

    def fits(self, row: Row) -> bool:
        """Are the counters of an answer within the range?"""
        return (
            self.size[0] <= row.size <= self.size[1]
            and self.calls[0] <= row.calls <= self.calls[1]
            and row.accurate in self.accurate
        )

    def __str__(self) -> str:
        low, high = self.size
        return f"{self.row}: {low if low == high else f'{low} to {high}'} bytes in the text"


def question(kernel: Kernel, wanted: IoctlFilter) -> Question:
    """The query of the ioctl with a filter."""
    accurate = wanted.inaccurate == 0 if wanted.mask & INACCURATE else None
    return Question(
        wanted.names_match,
        wanted.sizes(),
        accurate,
        lambda: kernel.scan(wanted),
        True,
        str(wanted),
    )


class Wrong(NamedTuple):
    """An error about a tag in an answer. sure: moving counters cannot explain it."""

    words: str
    sure: bool


class Evidence(NamedTuple):
    """The texts and the answer for one name. times: how often they were the same in a row."""

    wrong: Wrong
    texts: tuple[Row, ...]
    answer: tuple[Row, ...]
    times: int

    def settled(self, held: int) -> bool:
        """Whether it is a difference."""
        return held >= SURE if self.wrong.sure else self.times >= STEADY


class Left(NamedTuple):
    """A query to repeat, and what was wrong every time, by name (None: not the name of a tag)."""

    asked: Question
    wrong: dict[Name | None, Evidence] | None = None


@dataclass(slots=True)
class Outcome:
    """The result of comparisons. moved: queries that agreed only when repeated."""

    differences: list[str] = field(default_factory=list)
    questions: int = 0
    tags: int = 0
    moved: int = 0

    def add(self, other: Self) -> None:
        """Add the counts and differences of another."""
        self.differences += other.differences
        self.questions += other.questions
        self.tags += other.tags
        self.moved += other.moved


def compare(kernel: Kernel, questions: Sequence[Question], scan: bool = False) -> Outcome:
    """Ask all queries between two readings of the text and repeat those that differ.

    Undecided if modules were loaded or unloaded too often. scan: values from an ioctl over all tags
    in between count like those of the texts; for answers that do not come from the ioctl.
    """
    outcome = Outcome()
    outcome.questions = len(questions)
    left = [Left(asked) for asked in questions]
    seen: list[Seen] = []
    content, held = None, 0
    named: list[Name] = []
    for _ in range(ATTEMPTS):
        before = kernel.content_id()
        texts = [kernel.text()]
        answers = [one.asked.ask() for one in left]
        scanned = [kernel.scan()] if scan else []
        texts.append(kernel.text())
        names = [row.name for row in texts[0]]
        if kernel.content_id() != before or names != [row.name for row in texts[1]]:
            continue
        if (content, named) != (before, names):
            seen = [Seen(row) for row in texts[0]]
            left = [Left(one.asked) for one in left]
            content, named, held = before, names, 0
        held += 1
        for rows in (*texts, *(rows for rows in scanned if len(rows) == len(seen))):
            for known, row in zip(seen, rows, strict=True):
                known.add(row)
        left = _judge(outcome, left, answers, seen, texts)
        if not left or all(_is_settled(one, held) for one in left):
            break
    if not left:
        return outcome
    if not held:
        raise Undecided("modules were loaded or unloaded during every read")
    if held < SURE:
        raise Undecided(
            "modules were loaded or unloaded too often to repeat the queries that differed"
        )
    for one in left:
        found = (one.wrong or {}).values()
        real = [evidence.wrong.words for evidence in found if evidence.settled(held)]
        outcome.differences += [f"{one.asked.words}: {words}" for words in real]
        outcome.moved += not real
    return outcome


def _is_settled(one: Left, held: int) -> bool:
    return any(evidence.settled(held) for evidence in (one.wrong or {}).values())


def _judge(
    outcome: Outcome,
    left: Sequence[Left],
    answers: Sequence[Sequence[Row]],
    seen: Sequence[Seen],
    texts: Sequence[Sequence[Row]],
) -> list[Left]:
    """The queries to repeat."""
    again = []
    for one, answer in zip(left, answers, strict=True):
        by_position = differences(seen, one.asked, answer)
        wrong = {_name_at(seen, at): words for at, words in by_position.items()}
        if one.wrong is None:
            outcome.tags += len(answer)
        else:
            wrong = {name: words for name, words in wrong.items() if name in one.wrong}
        if wrong:
            again.append(Left(one.asked, _gather(wrong, one, answer, seen, texts)))
        elif one.wrong is not None:
            outcome.moved += 1
    return again


def _gather(
    wrong: dict[Name | None, Wrong],
    one: Left,
    answer: Sequence[Row],
    seen: Sequence[Seen],
    texts: Sequence[Sequence[Row]],
) -> dict[Name | None, Evidence]:
    """The evidence including this attempt."""
    positions: dict[Name | None, list[int]] = {name: [] for name in wrong}
    for at, known in enumerate(seen):
        if known.trimmed.name in positions:
            positions[known.trimmed.name].append(at)
    ours: dict[Name | None, list[Row]] = {name: [] for name in wrong}
    for row in answer:
        if (shown := row.trimmed().name) in ours:
            ours[shown].append(row)
    gathered: dict[Name | None, Evidence] = {}
    for name, words in wrong.items():
        first, last = (tuple(text[at] for at in positions[name]) for text in texts)
        got = tuple(ours[name])
        before = one.wrong[name] if one.wrong else None
        same = before is not None and (before.texts, before.answer) == (first, got)
        times = before.times + 1 if same and before else 1
        gathered[name] = Evidence(words, first, got, times if first == last else 0)
    return gathered


def _name_at(seen: Sequence[Seen], at: int) -> Name | None:
    return seen[at].trimmed.name if at < len(seen) else None


class _Way(NamedTuple):
    """An assignment of an answer's first rows to tags: how many faults it has, and which."""

    faults: int = 0
    last: tuple[int, Wrong] | None = None
    before: "_Way | None" = None

    def fault(self, position: int, words: str, sure: bool) -> "_Way":
        return _Way(self.faults + 1, (position, Wrong(words, sure)), self)


def differences(seen: Sequence[Seen], asked: Question, answer: Sequence[Row]) -> dict[int, Wrong]:
    """The errors in an answer by the tag's position in the text; len(seen) for unexpected tags.

    The answer must contain every tag that certainly matches and none that certainly does not, in
    the order of the text.
    """
    by_name = sum(b - a + 1 for a, b in asked.sizes) == _ALL_SIZES and asked.accurate is None
    rows = [known.trimmed if asked.trimmed else known.row for known in seen]
    expected = [at for at, row in enumerate(rows) if asked.names(row)]
    last = {rows[at].name: at for at in expected}
    named = {row.name: at for at, row in enumerate(rows)}
    ways: dict[int, _Way] = {0: _Way()}

    def better(ways: dict[int, _Way], at: int, way: _Way) -> None:
        if at not in ways or way.faults < ways[at].faults:
            ways[at] = way

    def passed(ways: dict[int, _Way], position: int) -> dict[int, _Way]:
        """The ways without the rows whose tags were all passed: those are not expected."""
        kept: dict[int, _Way] = {}
        for at, way in ways.items():
            while at < len(answer) and last.get(answer[at].name, -1) < position:
                row = answer[at]
                sure = by_name or row.name not in last
                words = f"{row}, {row.size} bytes: unexpected in the answer"
                way = way.fault(named.get(row.name, len(seen)), words, sure)
                at += 1
            better(kept, at, way)
        return kept

    for position in expected:
        known, name = seen[position], rows[position].name
        may, must = _passes(known, asked)
        ways = passed(ways, position)
        following: dict[int, _Way] = {}
        for at, way in ways.items():
            got = answer[at] if at < len(answer) and answer[at].name == name else None
            missing = way
            if must:
                words = f"{known}, missing from the answer"
                missing = way.fault(position, words, by_name)
            if got is None:
                better(following, at, missing)
                continue
            taken = way
            if not (may and known.fits(got)):
                words = f"{known}, {got.size} and {got.calls} calls in the answer"
                taken = way.fault(position, words, False)
            better(following, at + 1, taken)
            if last[name] > position:  # it could be a later one that looks the same
                better(following, at, missing)
        ways = following
    ways = passed(ways, len(seen))
    best: _Way | None = min(ways.values(), key=lambda way: way.faults)
    wrong: dict[int, Wrong] = {}
    while best and best.last:
        at, fault = best.last
        if at not in wrong or fault.sure:
            wrong[at] = fault
        best = best.before
    return wrong


def _passes(known: Seen, asked: Question) -> tuple[bool, bool]:
    """(may match, must match) for all values its counters may have had between the readings."""
    if asked.accurate is not None and asked.accurate not in known.accurate:
        return False, False
    low, high = known.size
    covered = sum(max(0, min(high, b) - max(low, a) + 1) for a, b in asked.sizes)
    sure = asked.accurate is None or len(known.accurate) == 1
    return covered > 0, sure and covered == high - low + 1
