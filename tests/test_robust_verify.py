"""`verify` on kernels whose counters move at the worst moments: no false alarm, no lie missed."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from lying_kernel import LyingKernel

from allocq.commands.verify import verify
from allocq.commands.verify.bracket import Question, Seen, compare, differences, question
from allocq.commands.verify.checks import CHECKS, CheckContext, own_answers
from allocq.commands.verify.rawioctl import (
    FILE,
    FUNCTION,
    INACCURATE,
    KNOWN_MASK,
    LINE,
    MAX_SIZE,
    MIN_SIZE,
    MODULE,
    U64,
    IoctlFilter,
    Row,
)
from allocq.output.tap import TapResult

NAMES = MODULE | FUNCTION | FILE | LINE


def some_rows(dice: random.Random) -> list[Row]:
    """Tags of which many look alike and many hold the same, as on a real kernel."""
    rows = []
    for n in range(24):
        twin = dice.random() < 0.5
        name = (b"", b"twin", b"include/x.h", 9) if twin else (b"m" * (n % 2), b"f", b"a.c", n)
        rows.append(
            Row(*name, dice.choice([0, 64, 4096, 4096, 8192]), dice.choice([0, 1, 2]), True)
        )
    return rows


Mover = Callable[[Row], Row]


def movers(dice: random.Random) -> list[Callable[[Row], Mover]]:
    """Ways in which a counter moves between two reads."""

    def still(row: Row) -> Mover:
        return lambda now: now

    def toggles(row: Row) -> Mover:
        other = row._replace(size=row.size + dice.choice([-64, 64, 4096]), calls=row.calls + 1)
        often = dice.choice([0.02, 0.2, 0.5, 0.8])
        return lambda now: other if dice.random() < often else row

    def once(row: Row) -> Mover:
        left = [dice.randrange(1, 60)]

        def move(now: Row) -> Row:
            left[0] -= 1
            return now._replace(size=now.size ^ 4096) if left[0] == 0 else now

        return move

    def drifts(row: Row) -> Mover:
        step = dice.choice([-64, 64])
        return lambda now: now._replace(size=now.size + step, calls=now.calls + (step > 0))

    def flags(row: Row) -> Mover:
        return lambda now: now._replace(accurate=dice.random() < 0.5)

    def smears(row: Row) -> Mover:
        """A sum over many CPUs that is outside of all that was ever true."""
        return lambda now: row._replace(size=row.size + dice.choice([0, 0, 0, -64, 64, 128]))

    return [still, still, toggles, toggles, once, drifts, flags, smears]


class MovingKernel(LyingKernel):
    """Every counter may move before each text and each ioctl."""

    def __init__(self, dice: random.Random, lie: str = "", moving: bool = True) -> None:
        super().__init__(some_rows(dice), lie)
        self.movers = [dice.choice(movers(dice))(row) if moving else None for row in self.rows]
        self.reads = 0

    def _move(self) -> None:
        self.reads += 1
        for at, mover in enumerate(self.movers):
            if mover:
                self.rows[at] = mover(self.rows[at])


def some_filter(dice: random.Random, rows: list[Row]) -> IoctlFilter:
    row = dice.choice(rows)
    size = row.size % U64
    low = dice.choice([0, size, max(0, size - 64), min(U64 - 1, size + 64)])
    high = max(low, dice.choice([size, U64 - 1, min(U64 - 1, size + 64)]))
    masks = [0, MIN_SIZE, FILE | MIN_SIZE, FUNCTION | MAX_SIZE, NAMES | MIN_SIZE | MAX_SIZE]
    mask = dice.choice([*masks, INACCURATE, dice.randrange(KNOWN_MASK + 1)])
    return IoctlFilter(
        mask, row.module, row.function, row.file, row.line, low, high, dice.choice([0, 1])
    )


@pytest.mark.parametrize("seed", range(40))
def test_counters_that_move_at_the_worst_moments_are_no_difference(seed: int) -> None:
    dice = random.Random(seed)
    questions = 0
    for _ in range(8):
        kernel = MovingKernel(dice)
        asked = [some_filter(dice, kernel.rows) for _ in range(10)]
        outcome = compare(kernel, [question(kernel, one) for one in asked], dice.random() < 0.5)
        assert outcome.differences == []
        questions += outcome.questions
    assert questions == 80


def test_a_twin_that_moved_once_is_no_difference() -> None:
    """The first of two that look alike held enough once; what is left in the answer is the second,
    and could be the first by what the texts said of that."""
    twin = Row(b"", b"twin", b"x.h", 9, 4096, 1, True)
    kernel = LyingKernel([twin, twin])
    reads = [0]

    def tick() -> None:
        reads[0] += 1
        if reads[0] == 3:  # after the first text
            kernel.rows[0] = twin._replace(size=0)

    kernel.tick = tick
    wanted = IoctlFilter(FILE | MIN_SIZE, file=b"x.h", min_size=4096)
    outcome = compare(kernel, [question(kernel, wanted)])
    assert (outcome.differences, outcome.moved) == ([], 0)
    assert kernel.rows[0].size == 0


def test_a_counter_that_comes_back_is_no_difference() -> None:
    """Every text says 100; the answers say something else, a different one now and then."""
    row = Row(b"", b"f", b"a.c", 1, 100, 1, True)
    kernel = LyingKernel([row])
    dice = random.Random(3)

    def ask() -> list[Row]:
        return [row._replace(size=dice.choice([164, 228, 292]))]

    asked = Question(lambda row: True, [(-(1 << 63), (1 << 63) - 1)], None, ask, True, "all")
    outcome = compare(kernel, [asked])
    assert (outcome.differences, outcome.moved) == ([], 1)


def test_what_the_ioctl_says_brackets_allocqs_own_answers() -> None:
    """A counter that is another one whenever the ioctl is asked."""
    kernel = LyingKernel([Row(b"", b"f", b"a.c", 1, 100, 1, True)], "")

    class Toggling(LyingKernel):
        def rewind(self) -> None:
            self.rows[0] = self.rows[0]._replace(size=100)
            super().rewind()

        def ioctl(self, number: int, data: bytes) -> bytes:
            self.rows[0] = self.rows[0]._replace(size=164)
            return super().ioctl(number, data)

    kernel = Toggling(kernel.rows)
    asked = Question(
        lambda row: True, [(-(1 << 63), (1 << 63) - 1)], None, lambda: kernel.scan(), False, "all"
    )
    assert compare(kernel, [asked], scan=True).differences == []


COUNTER_LIES = ("a counter is wrong", "calls are wrong", "accurate is turned round")
NAME_LIES = ("drops a tag", "swaps two tags")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("lie", COUNTER_LIES + NAME_LIES)
def test_a_planted_difference_is_found_every_time(lie: str, seed: int) -> None:
    """Beside counters that move, where the lie is about one that does not."""
    dice = random.Random(seed)
    kernel = MovingKernel(dice, lie)
    for at in (3, 4, 5, 7):
        kernel.movers[at] = None
        # Others that look the same could be what an answer means.
        kernel.rows[at] = kernel.rows[at]._replace(file=b"b.c", line=at)
    outcome = compare(kernel, [question(kernel, IoctlFilter())])
    assert outcome.differences, lie


def test_lost_twins_are_found() -> None:
    twin = Row(b"", b"twin", b"x.h", 9, 100, 1, True)
    for rows, answer in (
        ([twin] * 3, [twin] * 2),
        ([twin] * 2, [twin] * 3),
        ([twin, twin._replace(size=5)], [twin, twin]),
        ([twin, twin._replace(size=5)], [twin._replace(size=5), twin]),
    ):
        seen = [Seen(row) for row in rows]
        asked = question(LyingKernel(rows), IoctlFilter())
        assert differences(seen, asked, answer), (rows, answer)
        assert differences(seen, asked, rows) == {}


def test_many_twins_take_few_steps() -> None:
    """The ways to assign them are not tried one by one."""
    twin = Row(b"", b"twin", b"x.h", 9, 100, 1, True)
    seen = [Seen(twin) for _ in range(150)]
    for known in seen:
        known.add(twin._replace(size=0))
    asked = question(LyingKernel([]), IoctlFilter(MIN_SIZE, min_size=50))
    assert differences(seen, asked, [twin] * 70) == {}
    assert len(differences(seen, asked, [twin] * 151)) == 1


class StormKernel(LyingKernel):
    """Modules come and go before any text and any ioctl, and the content ID says so a moment too
    early or too late."""

    def __init__(self, dice: random.Random, lag: bool, rate: float, lie: str = "") -> None:
        """rate: how often something moves, of all texts and ioctls."""
        super().__init__([], lie)
        self.rate = rate
        self.dice = dice
        self.lag = lag
        self.base = [Row(b"", b"f", b"a.c", n, 64 * n, 1, True) for n in range(20)]
        names = (b"tun", b"slip", b"xfs")
        self.modules = [
            [Row(name, b"g", b"m.c", n, 64, 1, n != 1) for n in range(3)] for name in names
        ]
        self.loaded: list[int] = []
        self.due = False
        self.tick = self._blow
        self._place()

    def _place(self) -> None:
        self.rows[:] = [*self.base, *(row for at in self.loaded for row in self.modules[at])]

    def _move_a_module(self) -> None:
        at = self.dice.randrange(3)
        if at in self.loaded:
            self.loaded.remove(at)
        else:
            self.loaded.insert(self.dice.randrange(len(self.loaded) + 1), at)
        self._place()

    def _blow(self) -> None:
        if self.due or self.dice.random() < self.rate:
            if self.due == self.lag:
                self.ids += 1
            else:
                self._move_a_module()
            self.due = not self.due


@pytest.mark.parametrize("lag", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_modules_that_move_beside_their_content_id_are_no_difference(seed: int, lag: bool) -> None:
    context = CheckContext(StormKernel(random.Random(seed), lag, 0.01), seed, 8)
    checks = [check for check in CHECKS if check[1] is not own_answers]
    results = [verify._try(*check, context) for check in checks]
    wrong = {r.name: r.outcome.differences for r in results if r.result == TapResult.NOT_OK}
    assert wrong == {}


@pytest.mark.parametrize("lie", ["a counter is wrong", "drops a tag", "takes unknown bits"])
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_difference_is_found_in_a_storm(seed: int, lie: str) -> None:
    context = CheckContext(StormKernel(random.Random(seed), True, 0.0003, lie), seed, 8)
    checks = [check for check in CHECKS if check[1] is not own_answers]
    assert verify.status([verify._try(*check, context) for check in checks]) == 1
