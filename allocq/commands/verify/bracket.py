"""Compares answers with the text although counters move: the text is read before and after.

A counter may be anything between its lowest and highest value in the texts around the answer. If it
is outside, it moved or is wrong, and the query is repeated. Only a tag that is outside every time
counts as different, and only if it did not move around some of the answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from .rawioctl import INACCURATE, IoctlFilter, Kernel, Row

ATTEMPTS = 8
_STILL = 2
_ALL_SIZES = 1 << 64


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


class Left(NamedTuple):
    """A query to repeat. wrong: errors that occurred every time; still: how often each such tag
    did not move."""

    asked: Question
    wrong: dict[int, Wrong] | None = None
    still: dict[int, int] = {}  # noqa: RUF012


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


def compare(kernel: Kernel, questions: Sequence[Question]) -> Outcome:
    """Ask all queries between two readings of the text and repeat those that differ.

    Undecided if modules were loaded or unloaded too often.
    """
    outcome = Outcome()
    outcome.questions = len(questions)
    left = [Left(asked) for asked in questions]
    seen: list[Seen] = []
    content, held = None, 0
    for _ in range(ATTEMPTS):
        before = kernel.content_id()
        first = kernel.text()
        answers = [one.asked.ask() for one in left]
        last = kernel.text()
        if kernel.content_id() != before or len(first) != len(last):
            continue
        if content != before:
            seen = [Seen(row) for row in first]
            left = [Left(one.asked) for one in left]
            content, held = before, 0
        held += 1
        for known, row, again in zip(seen, first, last, strict=True):
            known.add(row)
            known.add(again)
        still = [row == again for row, again in zip(first, last, strict=True)]
        left = _judge(outcome, left, answers, seen, still)
        if not left:
            return outcome
    if not held:
        raise Undecided("modules were loaded or unloaded during every read")
    if held < 3:
        raise Undecided(
            "modules were loaded or unloaded too often to repeat the queries that differed"
        )
    for one in left:
        real = [
            wrong.words
            for at, wrong in (one.wrong or {}).items()
            if wrong.sure or one.still[at] >= _STILL
        ]
        outcome.differences += [f"{one.asked.words}: {words}" for words in real]
        outcome.moved += not real
    return outcome


def _judge(
    outcome: Outcome,
    left: Sequence[Left],
    answers: Sequence[Sequence[Row]],
    seen: Sequence[Seen],
    still: Sequence[bool],
) -> list[Left]:
    """The queries to repeat."""
    again = []
    for one, answer in zip(left, answers, strict=True):
        wrong = differences(seen, one.asked, answer)
        if one.wrong is None:
            outcome.tags += len(answer)
        else:
            wrong = {at: words for at, words in wrong.items() if at in one.wrong}
        if wrong:
            stood = {at: one.still.get(at, 0) + (at < len(still) and still[at]) for at in wrong}
            again.append(Left(one.asked, wrong, stood))
        elif one.wrong is not None:
            outcome.moved += 1
    return again


def differences(seen: Sequence[Seen], asked: Question, answer: Sequence[Row]) -> dict[int, Wrong]:
    """The errors in an answer by the tag's position in the text; len(seen) for unexpected tags.

    The answer must contain every tag that certainly matches and none that certainly does not, in
    the order of the text.
    """
    wrong = {}
    by_name = sum(b - a + 1 for a, b in asked.sizes) == _ALL_SIZES and asked.accurate is None
    at = 0
    for i, known in enumerate(seen):
        row = known.row.trimmed() if asked.trimmed else known.row
        if not asked.names(row):
            continue
        may, must = _passes(known, asked)
        got = answer[at] if at < len(answer) and answer[at].name == row.name else None
        if got is None:
            if must:
                wrong[i] = Wrong(f"{known}, missing from the answer", by_name)
        elif known.fits(got) and may:
            at += 1
        elif must or not _fits_later(seen, i, got, asked):
            words = f"{known}, {got.size} and {got.calls} calls in the answer"
            wrong[i] = Wrong(words, False)
            at += 1
    if at < len(answer):
        unknown = all(known.row.trimmed().name != answer[at].trimmed().name for known in seen)
        words = f"{answer[at]}: unexpected in the answer"
        wrong[len(seen)] = Wrong(words, by_name or unknown)
    return wrong


def _fits_later(seen: Sequence[Seen], at: int, got: Row, asked: Question) -> bool:
    """Could the answer be a later tag with the same names?"""
    for known in seen[at + 1 :]:
        row = known.row.trimmed() if asked.trimmed else known.row
        if row.name == got.name and known.fits(got):
            return True
    return False


def _passes(known: Seen, asked: Question) -> tuple[bool, bool]:
    """(may match, must match) for all values its counters may have had between the readings."""
    if asked.accurate is not None and asked.accurate not in known.accurate:
        return False, False
    low, high = known.size
    covered = sum(max(0, min(high, b) - max(low, a) + 1) for a, b in asked.sizes)
    sure = asked.accurate is None or len(known.accurate) == 1
    return covered > 0, sure and covered == high - low + 1
