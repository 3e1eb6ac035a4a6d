"""Which series are exported: bounded in number, whole in sum, and steady."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from command import unhurried
from hypothesis import given
from hypothesis import strategies as st

from allocq.analysis.labelled import OTHER, Labels, Summing, shown_and_rest
from allocq.analysis.leaders import Leaders

HOLD = 600.0
sizes_at = st.lists(
    st.integers(-(1 << 40), 1 << 40) | st.just(0) | st.integers(0, 1 << 17), min_size=0, max_size=30
)
NAMES = [f"k{number}" for number in range(30)]


def chosen(leaders: Leaders, moment: float, keys: Sequence[str], sizes: Sequence[int]) -> set[str]:
    at = leaders.update(moment, keys, sizes)
    assert list(at) == sorted(set(at))
    return {keys[each] for each in at}


@unhurried
@given(
    st.integers(0, 8),
    st.integers(0, 1 << 20),
    st.lists(st.tuples(sizes_at, st.floats(0, 2000), st.booleans()), max_size=12),
)
def test_never_more_than_twice_as_many_and_sums_are_whole(
    most: int, least: int, steps: list[tuple[list[int], float, bool]]
) -> None:
    leaders = Leaders(most, HOLD, least)
    moment = 0.0
    for sizes, passed, reverse in steps:
        moment += passed
        keys: list[Labels] = [(name,) for name in NAMES[: len(sizes)]]
        if reverse:
            keys.reverse()
        at = leaders.update(moment, keys, sizes)
        assert len(at) <= 2 * most
        assert list(at) == sorted(set(at)) and all(0 <= each < len(sizes) for each in at)
        if keys:
            calls = [size // 3 for size in sizes]
            shown = shown_and_rest(keys, sizes, calls, at)
            assert sum(shown.bytes) == sum(sizes) and sum(shown.calls) == sum(calls)
            assert len(set(shown.labels)) == len(shown.labels) <= 2 * most + 1
            assert shown.rest == (len(at) < len(keys))


@unhurried
@given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=30), st.integers(1, 10))
def test_the_first_reading_has_the_largest(sizes: list[int], most: int) -> None:
    found = Leaders(most, HOLD).update(0, NAMES[: len(sizes)], sizes)
    assert len(found) == min(most, len(sizes))
    others = [size for at, size in enumerate(sizes) if at not in found]
    assert not others or max(others) <= min(sizes[at] for at in found)


@unhurried
@given(
    st.lists(st.integers(1000, 1 << 40), min_size=2, max_size=30),
    st.integers(1, 10),
    st.integers(0, 1 << 32),
)
def test_noise_never_gives_up_more_than_it_wins(sizes: list[int], most: int, seed: int) -> None:
    """With 10 % of noise up and down, whoever takes the place of another is really larger. So the
    same two never take turns, however long that goes on."""
    dice = Random(seed)
    keys = NAMES[: len(sizes)]
    leaders = Leaders(most, 0)
    before: set[str] = set()
    real = dict(zip(keys, sizes, strict=True))
    for minute in range(60):
        noisy = [round(size * dice.uniform(0.9, 1.1)) for size in sizes]
        now = chosen(leaders, minute * 60, keys, noisy)
        assert len(now) == min(most, len(keys)), "noise is no growth"
        if before:
            assert sum(real[key] for key in now) >= sum(real[key] for key in before)
            came, left = now - before, before - now
            assert not came or max(real[k] for k in came) > min(real[k] for k in left)
        before = now


@unhurried
@given(st.integers(2, 30), st.integers(1, 10), st.integers(0, 1 << 32))
def test_equals_with_noise_never_change_places(count: int, most: int, seed: int) -> None:
    dice = Random(seed)
    keys = NAMES[:count]
    leaders = Leaders(most, HOLD)
    seen = {
        frozenset(
            chosen(leaders, at * 60, keys, [round(1e6 * dice.uniform(0.9, 1.1)) for _ in keys])
        )
        for at in range(100)
    }
    assert len(seen) == 1


def test_who_leaves_is_reported_for_a_while_and_then_no_more() -> None:
    keys = ["a", "b"]
    leaders = Leaders(1, HOLD)
    assert chosen(leaders, 0, keys, [100, 0]) == {"a"}
    assert chosen(leaders, 60, keys, [100, 110]) == {"a"}, "not a quarter larger"
    assert chosen(leaders, 120, keys, [100, 200]) == {"a", "b"}
    assert chosen(leaders, 120 + HOLD - 1, keys, [0, 200]) == {"a", "b"}
    assert chosen(leaders, 120 + HOLD, keys, [100, 200]) == {"b"}
    assert chosen(leaders, 800, keys, [300, 200]) == {"a", "b"}, "it comes back"
    assert chosen(leaders, 1300, keys, [300, 500]) == {"a", "b"}, "who is back is not leaving"
    assert chosen(leaders, 1400, keys, [300, 500]) == {"a", "b"}


def test_without_a_hold_it_is_gone_at_once() -> None:
    leaders = Leaders(1, 0)
    assert chosen(leaders, 0, ["a", "b"], [100, 0]) == {"a"}
    assert chosen(leaders, 1, ["a", "b"], [100, 200]) == {"b"}


def test_if_too_many_leave_the_earliest_goes_early() -> None:
    leaders = Leaders(1, HOLD)
    keys = ["a", "b", "c"]
    assert chosen(leaders, 0, keys, [100, 0, 0]) == {"a"}
    assert chosen(leaders, 1, keys, [100, 200, 0]) == {"a", "b"}
    assert chosen(leaders, 2, keys, [100, 200, 400]) == {"b", "c"}


def test_what_grows_is_in_before_it_is_large() -> None:
    keys = [f"large{at}" for at in range(8)] + ["leak", "still"]
    leaders = Leaders(4, 0)
    sizes = [10 << 20] * 8
    assert "leak" not in chosen(leaders, 0, keys, [*sizes, 1 << 20, 1 << 20])
    assert "leak" not in chosen(leaders, 60, keys, [*sizes, 5 << 18, 1 << 20]), "just a quarter"
    now = chosen(leaders, 120, keys, [*sizes, 2 << 20, 1 << 20])
    assert "leak" in now and "still" not in now and len(now) == 5
    # An hour later it is what it always was.
    for minute in range(3, 70):
        now = chosen(leaders, minute * 60, keys, [*sizes, 2 << 20, 1 << 20])
    assert "leak" not in now


def test_growth_below_64_kib_is_none() -> None:
    leaders = Leaders(1, 0)
    assert chosen(leaders, 0, ["a", "b"], [1 << 30, 0]) == {"a"}
    assert chosen(leaders, 1, ["a", "b"], [1 << 30, 65535]) == {"a"}
    assert chosen(leaders, 2, ["a", "b"], [1 << 30, 65536]) == {"a", "b"}


def test_a_new_tag_has_grown_from_nothing() -> None:
    leaders = Leaders(1, 0)
    assert chosen(leaders, 0, ["a"], [1 << 30]) == {"a"}
    assert chosen(leaders, 1, ["b", "a"], [1 << 20, 1 << 30]) == {"a", "b"}


def test_a_tag_that_is_gone_is_forgotten() -> None:
    leaders = Leaders(1, HOLD)
    assert chosen(leaders, 0, ["a", "b"], [100, 0]) == {"a"}
    assert chosen(leaders, 1, ["b"], [50]) == {"b"}
    assert chosen(leaders, 2, ["a", "b"], [10, 50]) == {"b"}


def test_below_zero_counts_as_far_from_it() -> None:
    assert chosen(Leaders(1, 0), 0, ["a", "b"], [-500, 100]) == {"a"}


def test_the_least_size_has_a_margin_too() -> None:
    leaders = Leaders(5, 0, least=1000)
    assert chosen(leaders, 0, ["a", "b", "c"], [1000, 999, -1000]) == {"a", "c"}
    assert chosen(leaders, 1, ["a", "b", "c"], [800, 900, -799]) == {"a"}


def test_none_is_none() -> None:
    assert chosen(Leaders(0, HOLD), 0, ["a"], [100]) == set()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 5)), max_size=20))
def test_identical_labels_are_summed(tags: list[tuple[str, int]]) -> None:
    summing = Summing((label,) for label, _ in tags)
    sums = summing([value for _, value in tags])
    assert len(set(summing.keys)) == len(summing.keys)
    for (label,), total in zip(summing.keys, sums, strict=True):
        assert total == sum(value for name, value in tags if name == label)


def test_what_is_called_other_is_in_the_rest() -> None:
    other = (OTHER,) * 3
    keys: list[Labels] = [("a", "b", "c"), other, ("x", "y", "z")]
    found = shown_and_rest(keys, [1, 2, 4], [1, 1, 1], [0, 1])
    assert list(found.labels) == [("a", "b", "c"), other]
    assert list(found.bytes) == [1, 6] and list(found.calls) == [1, 2]
