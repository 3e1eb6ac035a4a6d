"""What a trend says about series whose answer is known."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import median

import pytest
from command import unhurried
from hypothesis import given, settings
from hypothesis import strategies as st

from allocq.analysis.histories import (
    ANONYMOUS,
    CACHE,
    KERNEL,
    SLAB,
    TMPFS,
    Boot,
    group_key,
    kind_of,
)
from allocq.analysis.trend import Points, Trend, mann_kendall, spark, theil_sen, trend_of

MIB = 1 << 20
SEEDS = range(20)


def trend(
    value: Callable[[int, random.Random], float],
    seed: int = 1,
    samples: int = 100,
    drops: Sequence[int] = (),
) -> Trend:
    """Of one sample every 10 s."""
    chance = random.Random(seed)
    values = [max(0, round(value(at, chance))) for at in range(samples)]
    times = [1000 + 10.0 * at for at in range(samples)]
    return trend_of(Points(times, values, [size // 64 for size in values], drops))


def leak(at: int, _: random.Random) -> float:
    return MIB + 4096 * at


def leak_in_noise(at: int, chance: random.Random) -> float:
    return MIB + 4096 * at + chance.gauss(0, 20000)


def leak_on_a_saw(at: int, chance: random.Random) -> float:
    return MIB + 4096 * at + (at % 10) * 8000


def leak_that_pauses(at: int, _: random.Random) -> float:
    return MIB + 50000 * (at // 7)


def noise(at: int, chance: random.Random) -> float:
    return MIB + chance.gauss(0, 40000)


def saw(at: int, chance: random.Random) -> float:
    return MIB + (at % 23) * 9000 + chance.gauss(0, 500)


def half_a_saw(at: int, _: random.Random) -> float:
    return MIB + (at % 60) * 9000


def step(at: int, chance: random.Random) -> float:
    return MIB + (at > 40) * MIB + chance.gauss(0, 500)


def late_step(at: int, _: random.Random) -> float:
    return MIB + (at > 90) * MIB


def warm_up(at: int, chance: random.Random) -> float:
    return MIB + MIB * (1 - 2.7 ** (-at / 10)) + chance.gauss(0, 500)


def full(at: int, _: random.Random) -> float:
    return MIB + min(at, 70) * 10000


def falls(at: int, _: random.Random) -> float:
    return 10 * MIB - 4096 * at


def flat(at: int, _: random.Random) -> float:
    return MIB


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("value", [leak, leak_in_noise, leak_on_a_saw, leak_that_pauses])
def test_a_leak_is_a_suspect(value: Callable[[int, random.Random], float], seed: int) -> None:
    assert trend(value, seed).is_suspect


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "value", [noise, saw, half_a_saw, step, late_step, warm_up, full, falls, flat]
)
def test_what_is_no_leak_is_none(value: Callable[[int, random.Random], float], seed: int) -> None:
    assert not trend(value, seed).is_suspect


def test_what_only_wanders_is_rarely_suspected() -> None:
    """A random walk rises steadily now and then; no test can tell that from a leak."""

    def wandering(seed: int) -> Trend:
        chance = random.Random(seed)
        at = [50 * MIB]
        for _ in range(99):
            at.append(at[-1] + chance.randint(-20000, 20000))
        return trend_of(Points([10.0 * i for i in range(100)], at, [size // 64 for size in at]))

    assert sum(wandering(seed).is_suspect for seed in range(200)) <= 8


def test_the_rate_of_a_leak_in_noise_is_right() -> None:
    for seed in SEEDS:
        assert trend(leak_in_noise, seed).per_hour == pytest.approx(4096 * 360, rel=0.15)


def test_what_dropping_the_caches_freed_is_no_leak() -> None:
    def dropped(at: int, _: random.Random) -> float:
        return MIB + 4096 * (at if at < 50 else at - 10)

    kept = trend(dropped, drops=[50])
    assert kept.survived is True and kept.is_suspect
    freed = trend(lambda at, _: MIB + 40960 * (at if at < 50 else at - 45), drops=[50])
    assert freed.survived is False and not freed.is_suspect and freed.suspicion == 0


def test_bytes_that_grow_without_calls_are_less_suspicious() -> None:
    times, sizes = [10.0 * i for i in range(50)], [4096 * i for i in range(50)]
    with_calls = trend_of(Points(times, sizes, list(range(50))))
    without = trend_of(Points(times, sizes, [1] * 50))
    assert with_calls.is_suspect and not without.is_suspect
    assert with_calls.suspicion == 2 * without.suspicion == 1


@pytest.mark.parametrize("samples", [1, 2, 3, 7])
def test_few_samples_name_no_suspect(samples: int) -> None:
    found = trend(leak, samples=samples)
    assert found.growth == 4096 * (samples - 1) and not found.is_suspect


def test_without_a_sample_there_is_no_trend() -> None:
    with pytest.raises(ValueError, match="no samples"):
        trend_of(Points([], [], []))


numbers = st.lists(st.integers(-(1 << 40), 1 << 40), min_size=1, max_size=80)


@unhurried
@given(numbers, st.lists(st.floats(0.001, 3600), min_size=80, max_size=80))
def test_any_series_has_a_trend_within_its_ranges(values: list[int], gaps: list[float]) -> None:
    times = [sum(gaps[:at]) for at in range(len(values))]
    found = trend_of(Points(times, values, values))
    assert (found.first, found.last) == (values[0], values[-1])
    assert (found.lowest, found.highest) == (min(values), max(values))
    assert found.growth == values[-1] - values[0]
    assert found.kept == values[-1] - min(values)
    for share in (found.chance, found.fell_back, found.persistence, found.suspicion):
        assert 0 <= share <= 1
    assert -1 <= found.steadiness <= 1
    assert not found.is_suspect or found.growth > 0


@unhurried
@given(numbers)
def test_a_trend_turned_around_is_no_suspect(values: list[int]) -> None:
    times = [10.0 * at for at in range(len(values))]
    found = trend_of(Points(times, values, values))
    turned = trend_of(Points(times, values[::-1], values[::-1]))
    assert not (found.is_suspect and turned.is_suspect)
    assert turned.steadiness == pytest.approx(-found.steadiness)


@settings(unhurried, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-1000, 1000)), min_size=2, max_size=25))
def test_the_slope_and_tau_are_as_defined(points: list[tuple[int, int]]) -> None:
    points.sort(key=lambda point: point[0])
    times, values = [float(t) for t, _ in points], [v for _, v in points]
    slopes = [
        (b - a) / (t - s)
        for (s, a), (t, b) in combinations(zip(times, values, strict=True), 2)
        if t > s
    ]
    assert theil_sen(times, values) == pytest.approx(median(slopes) if slopes else 0)
    tau, chance = mann_kendall(values)
    signs = [(b > a) - (b < a) for a, b in combinations(values, 2)]
    pairs = len(signs)
    untied = sum(sign != 0 for sign in signs)
    assert tau == pytest.approx(sum(signs) / (pairs * untied) ** 0.5 if untied else 0)
    assert 0 <= chance <= 1


def test_the_chance_is_that_of_shuffled_values() -> None:
    """Of 2,000 shuffles, as many rise at least so steadily as the test says, within its error."""
    chance = random.Random(7)
    values = [at + chance.gauss(0, 12) for at in range(24)]
    tau, said = mann_kendall(values)
    shuffled = sorted(mann_kendall(chance.sample(values, 24))[0] for _ in range(2000))
    share = 1 - bisect_right(shuffled, tau - 1e-9) / 2000
    assert share == pytest.approx(said, abs=0.01)


@unhurried
@given(st.lists(st.integers(0, 1 << 50), min_size=1, max_size=200), st.integers(1, 40))
def test_a_sparkline_has_the_lowest_and_the_last(values: list[int], width: int) -> None:
    heights = spark(values, width)
    assert len(heights) == min(width, len(values)) and all(0 <= each <= 7 for each in heights)
    assert (heights[-1] == 0) >= (values[-1] == min(values)) or len(values) > width


def test_kinds_of_memory() -> None:
    def kind(file: str, function: str, module: str | None = None) -> str:
        return kind_of((file, 1, module, function))

    assert kind("mm/slub.c", "alloc_slab_page") == SLAB
    assert kind("mm/filemap.c", "__filemap_get_folio") == CACHE
    assert kind("mm/memory.c", "folio_prealloc") == ANONYMOUS
    assert kind("mm/shmem.c", "shmem_alloc_folio") == TMPFS
    assert kind("mm/shmem.c", "shmem_alloc_inode") == KERNEL
    assert kind("fs/pipe.c", "alloc_pipe_info") == KERNEL


def test_groups_do_not_mix_kinds() -> None:
    boot = Boot("a")
    tags = [
        (("mm/memory.c", 1, None, "folio_prealloc"), 100, 1),
        (("mm/memory.c", 2, None, "zap"), 10, 1),
        (("mm/memory.c", 3, None, "other"), 5, 2),
    ]
    boot.take(1.0, [((group_key(key, "file"), kind_of(key)), size, n) for key, size, n in tags])
    boot.take(2.0, [((group_key(key, "file"), kind_of(key)), size, n) for key, size, n in tags[2:]])
    found = {kind: (points.bytes, points.calls) for _, kind, points in boot.points()}
    assert found == {ANONYMOUS: ([115, 5], [4, 2])}
    assert {key for key, _, _ in boot.points()} == {("mm/memory.c", None, None, None)}


def test_a_place_that_comes_late_held_nothing_before() -> None:
    boot = Boot(None)
    for at in range(4):
        place = (("a.c", 1, None, "f"), KERNEL)
        boot.take(float(at), [(place, 5, 1)] if at in (1, 2) else [])
    ((_, _, points),) = boot.points()
    assert (points.bytes, points.calls) == ([0, 5, 5, 0], [0, 1, 1, 0])


def test_dropped_caches_are_seen_in_meminfo() -> None:
    boot = Boot("a")
    for at, cached in enumerate((900, 1000, 300, 310)):
        meminfo = {"Cached": cached + 50, "Shmem": 50, "SReclaimable": 10, "MemAvailable": 7}
        boot.take(float(at), [((("a.c", 1, None, "f"), KERNEL), 5, 1)], meminfo)
    ((_, _, points),) = boot.points()
    assert points.drops == [2] and boot.available == 7
