"""What a trend says about series whose answer is known."""

from __future__ import annotations

import json
import random
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, combinations, product
from pathlib import Path
from statistics import median

import oracle
import pytest
from command import here, refused, unhurried
from hypothesis import given, settings
from hypothesis import strategies as st

from allocq.analysis.diff import Key
from allocq.analysis.histories import (
    ANONYMOUS,
    CACHE,
    KERNEL,
    LATER,
    SLAB,
    TMPFS,
    Boot,
    group_key,
    kind_of,
)
from allocq.analysis.trend import (
    Points,
    Trend,
    chance_of,
    chance_of_steps,
    kendall,
    spark,
    theil_sen,
    trend_of,
)
from allocq.storage.recording.counters import Counters
from allocq.storage.recording.sample import Moment, Sample
from allocq.storage.recording.writer import Writer

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


@pytest.mark.parametrize("power", [0.7, 0.9, 1.0, 1.1, 1.5, 2.0])
@pytest.mark.parametrize("pause", [1, 4])
def test_a_leak_that_becomes_faster_or_slower_is_a_suspect(power: float, pause: int) -> None:
    """Its distance from a line is a smooth curve; samples may become rarer in the middle."""
    times = [at * 0.2 + max(0, at - 30) * 0.2 * (pause - 1) for at in range(70)]
    sizes = [round(4096 * (when * 20) ** power) for when in times]
    found = trend_of(Points(times, sizes, [size // 64 for size in sizes]))
    assert found.is_suspect and found.suspicion > 0.8, found


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=40))
def test_the_sign_test_is_the_binomial_distribution(steps: list[int]) -> None:
    values = [0, *accumulate(steps)]
    signs = [step for step in steps if step]
    as_many = sum(sum(each) >= sum(signs) for each in product((-1, 1), repeat=min(len(signs), 10)))
    if len(signs) <= 10:
        assert chance_of_steps(values) == as_many / 2 ** len(signs)
    assert 0 < chance_of_steps(values) <= 1


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
    tau, score = kendall(values)
    signs = [(b > a) - (b < a) for a, b in combinations(values, 2)]
    pairs = len(signs)
    untied = sum(sign != 0 for sign in signs)
    assert tau == pytest.approx(sum(signs) / (pairs * untied) ** 0.5 if untied else 0)
    assert 0 <= chance_of(score) <= 1


def test_the_chance_is_that_of_shuffled_values() -> None:
    """Of 2,000 shuffles, as many rise at least so steadily as the test says, within its error."""
    chance = random.Random(7)
    values = [at + chance.gauss(0, 12) for at in range(24)]
    tau, score = kendall(values)
    shuffled = sorted(kendall(chance.sample(values, 24))[0] for _ in range(2000))
    share = 1 - bisect_right(shuffled, tau - 1e-9) / 2000
    assert share == pytest.approx(chance_of(score), abs=0.01)


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
    assert kind("mm/slub.c", "alloc_slab_obj_exts") == SLAB
    assert kind("mm/vmalloc.c", "alloc_vmap_area") == LATER


def test_groups_do_not_mix_kinds() -> None:
    boot = Boot("a", "file")
    names = ("folio_prealloc", "zap", "alloc_slab_page", "x")
    keys: list[Key] = [
        ("mm/slub.c" if at else "mm/memory.c", at, None, name) for at, name in enumerate(names)
    ]
    boot.take(1.0, keys, numbers([100, 10, 5, 1]), numbers([1, 1, 2, 1]))
    boot.take(2.0, keys[1:], numbers([11, 5, 1]), numbers([1, 2, 1]))
    found = {
        (key[0], kind): (list(points.bytes), list(points.calls))
        for key, kind, points in boot.points()
    }
    assert found == {
        ("mm/memory.c", ANONYMOUS): ([100, 0], [1, 0]),
        ("mm/slub.c", KERNEL): ([11, 12], [2, 2]),
        ("mm/slub.c", SLAB): ([5, 5], [2, 2]),
    }


def numbers(values: Iterable[int]) -> array[int]:
    return array("q", values)


KEYS: list[Key] = [(f"fs/{n % 3}.c", n, None, f"f{n % 2}") for n in range(6)]


@unhurried
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.integers(1, 6),
            st.lists(st.integers(0, 3), min_size=6, max_size=6),
        ),
        min_size=1, max_size=12,
    ),
    st.sampled_from([None, "location", "file", "directory", "function", "module"]),
)  # fmt: skip
def test_histories_are_the_sums_of_each_sample(
    steps: list[tuple[bool, int, list[int]]], group_by: str | None
) -> None:
    boot, keys, wanted = Boot(None, group_by), KEYS, []
    for at, (same, count, sizes) in enumerate(steps):
        if not same:
            keys = KEYS[:count]
        sizes = sizes[: len(keys)]
        boot.take(float(at), keys, numbers(sizes), numbers(size * 2 for size in sizes))
        sums: dict[Key, int] = {}
        for key, size in zip(keys, sizes, strict=True):
            group = group_key(key, group_by)
            sums[group] = sums.get(group, 0) + size
        wanted.append(sums)
    found = {key: points for key, _, points in boot.points()}
    for key in {key for sums in wanted for key in sums}:
        column = [sums.get(key, 0) for sums in wanted]
        if key in found:
            assert list(found[key].bytes) == column
            assert list(found[key].calls) == [size * 2 for size in column]
        else:
            assert not any(column)


def test_dropped_caches_are_seen_in_meminfo() -> None:
    boot = Boot("a")
    for at, cached in enumerate((900, 1000, 300, 310)):
        meminfo = {"Cached": cached + 50, "Shmem": 50, "SReclaimable": 10, "MemAvailable": 7}
        boot.take(float(at), KEYS[:1], numbers([5]), numbers([1]), meminfo)
    ((_, _, points),) = boot.points()
    assert points.drops == [2] and boot.available == 7


# The command


def recorded(folder: Path, boots: int = 1, samples: int = 40) -> Path:
    """Each boot has a leak, a cache and a busy place, one sample every 10 s."""
    writer = Writer(folder, {})
    subjects = [
        b"fs/leak.c:1 func:leaks",
        b"mm/filemap.c:2 func:__filemap_get_folio",
        b"a/b.c:3 [m] func:busy",
    ]
    dice = random.Random(2)
    for boot in range(boots):
        for at in range(samples):
            moment = Moment(
                (1_700_000_000 + boot * 100_000 + at * 10) * 10**9, at * 10**10, f"boot{boot}",
                "7.3", "ioctl", 1, True, True,
            )  # fmt: skip
            sizes = [64 * (100 + at * (3 - boot)), 4096 * (50 + at * 9), 512 * dice.randrange(40)]
            counters = Counters.of(sizes, [size // 64 for size in sizes], [0] * 3)
            writer.append(Sample(moment, subjects, counters, {"MemAvailable": 1 << 20}))
    writer.close()
    return folder


def test_without_a_recording_it_says_what_makes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "allocq"
    monkeypatch.setattr("allocq.commands.trend.default_folder", lambda: missing)
    done = here("trend")
    refused(done, f"no such directory: {missing}")
    assert done.err.endswith("\nhint: allocq record -d DIR makes one\n")


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    refused(
        here("trend", ".", "--since", "1h", "--until", "2 hours ago"),
        "--since 1h is later than --until 2 hours ago",
    )


def test_a_leak_is_first_and_the_page_cache_is_apart(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r")
    done = here("trend", str(folder), "-o", "json")
    assert done.status == 0 and done.err == ""
    answer = json.loads(done.out)
    assert answer["samples"] == 40 and answer["boots"] == 1
    first, *_, last = answer["trends"]
    assert (first["file"], first["suspect"], first["kind"]) == ("fs/leak.c", True, "kernel")
    assert first["growth"] == 64 * 3 * 39 == first["last"] - first["first"]
    assert first["per_hour"] == pytest.approx(64 * 3 * 360)
    assert first["hours_until_full"] == pytest.approx((1 << 20) / (64 * 3 * 360), abs=0.01)
    assert (last["kind"], last["suspect"]) == ("page cache", False)
    suspects = here("trend", "--source", str(folder), "--suspects", "-o", "csv", "--no-header")
    assert suspects.status == 0 and suspects.out.count(b"\n") == 1


def test_each_boot_is_on_its_own(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r", boots=2)
    answer = json.loads(here("trend", str(folder), "--suspects", "-o", "json").out)
    found = [(row["boot"], row["growth"]) for row in answer["trends"]]
    assert found == [("boot0", 64 * 3 * 39), ("boot1", 64 * 2 * 39)]
    since = here("trend", str(folder), "--since", "@1700100000", "--suspects", "-o", "json")
    assert [row["boot"] for row in json.loads(since.out)["trends"]] == ["boot1"]
    until = here("trend", str(folder), "--until", "@1700050000", "--suspects", "-o", "json")
    assert [row["boot"] for row in json.loads(until.out)["trends"]] == ["boot0"]


@pytest.mark.parametrize("group_by", ["file", "directory", "function", "module", "location"])
def test_sums_have_trends_too(group_by: str, tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r")
    done = here("trend", str(folder), "-g", group_by, "--suspects", "-o", "json")
    (row,) = json.loads(done.out)["trends"]
    names = {"file": "fs/leak.c", "directory": "fs", "function": "leaks", "module": None}
    assert row[group_by if group_by != "location" else "file"] == names.get(group_by, "fs/leak.c")
    for format in ("table", "csv", "tsv", "jsonl"):
        assert here("trend", str(folder), "-g", group_by, "-o", format).status == 0


def test_filters_choose_places(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r")
    rows = json.loads(here("trend", str(folder), "-f", "fs/*", "-o", "json").out)["trends"]
    assert [row["file"] for row in rows] == ["fs/leak.c"]
    rows = json.loads(here("trend", str(folder), "--min-size", "1M", "-o", "json").out)["trends"]
    assert [row["file"] for row in rows] == ["mm/filemap.c"]
    assert here("trend", str(folder), "-f", "fs/*", "-m", "none", "-o", "json").status == 1


def test_a_table_explains_and_says_when_memory_is_full(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "r")
    out = here("trend", str(folder), "-o", "table", "--explain", "--until-full").out.decode()
    assert "FULL_IN" in out and "15h 10m" in out
    assert "fs/leak.c:1: kept 7.3K; grew in 6 of 6 spans" in out
    assert "page cache: ranked apart" in out


def test_a_loop_of_listings_has_a_trend(tmp_path: Path) -> None:
    paths = []
    for hour in range(12):
        path = tmp_path / f"allocinfo-2025-11-23_{hour:02}00.txt"
        path.write_bytes(
            oracle.HEADER
            + b"%d %d a.c:1 func:f \n%d 1 b.c:1 func:g \n"
            % (hour * 640, hour * 10, 64 * (hour % 2))
        )
        paths.append(str(path))
    for sources in ([str(tmp_path)], paths):
        done = here("trend", *sources, "--suspects", "-o", "json")
        (row,) = json.loads(done.out)["trends"]
        assert row["file"] == "a.c" and row["per_hour"] == pytest.approx(640)
        assert "12 files have no time in them: the times in their names" in done.err


def test_what_has_no_trend_is_refused(tmp_path: Path) -> None:
    refused(here("trend", str(tmp_path / "none")), "no such file")
    refused(here("trend", str(tmp_path)), "holds no recording")
    other = tmp_path / "other"
    other.write_text("nothing of ours\n")
    refused(here("trend", str(other)), f"{other} is not a saved /proc/allocinfo")
    other.unlink()
    one = tmp_path / "one"
    one.write_bytes(oracle.HEADER + b"1 1 a.c:1 func:f \n")
    refused(here("trend", str(one)), f"{one} holds 1 listing in this time")
    one.unlink()
    folder = recorded(tmp_path / "r", samples=1)
    refused(here("trend", str(folder)), "holds 1 listing in this time")
    refused(here("trend", str(folder), "--since", "now"), "holds no listing in this time")
    refused(here("trend", "--source", "a", "b"), "b is a second source")
    refused(here("trend", ""), "empty file name")


def test_many_samples_are_thinned_and_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recorded(tmp_path / "r", samples=400)
    whole = json.loads(here("trend", str(folder), "--suspects", "-o", "json").out)["trends"]
    monkeypatch.setattr("allocq.commands.trend.MOST", 50)
    some = json.loads(here("trend", str(folder), "--suspects", "-o", "json").out)["trends"]
    assert [row["file"] for row in some] == [row["file"] for row in whole] == ["fs/leak.c"]
    assert some[0]["growth"] == whole[0]["growth"]


@pytest.mark.parametrize("jump", [-1800, -3 * 86_400, 86_400, 40 * 86_400])
@pytest.mark.parametrize("back", [False, True])
def test_a_clock_that_is_set_hides_no_leak(jump: int, back: bool, tmp_path: Path) -> None:
    """What counts is the time since the boot. back: the clock is put right again later."""
    folder = tmp_path / "r"
    writer = Writer(folder, {})
    for at in range(120):
        wrong = at >= 40 and not (back and at >= 80)
        wall = 1_700_000_000 + at * 10 + jump * wrong
        moment = Moment(wall * 10**9, at * 10**10, "boot", "7.3", "ioctl", 1, True, True)
        sizes = [64 * (100 + at)]
        counters = Counters.of(sizes, [size // 64 for size in sizes], [0])
        writer.append(Sample(moment, [b"fs/leak.c:1 func:leaks"], counters, {}))
    writer.close()
    (row,) = json.loads(here("trend", str(folder), "--suspects", "-o", "json").out)["trends"]
    assert row["growth"] == 64 * 119 and row["per_hour"] == pytest.approx(64 * 360)
    assert row["chance"] < 1e-6 and row["persistence"] == 1
