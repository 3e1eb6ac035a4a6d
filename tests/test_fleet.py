"""`allocq fleet` finds what was placed in a fleet, and agrees with slow, independent answers."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from asking import questions
from bench.fleet import AHEAD, FIRST, LEAK, LONELY, NEW, OLD, OUTLIER, Plan, save
from bench.fleet import write as write_fleet
from command import MODULE, allocq, here, refused, unhurried
from fleets import (
    HOUR,
    NOW,
    Sample,
    ask,
    expected_grown,
    expected_outliers,
    expected_percentiles,
    expected_top,
    first,
    fleet,
    fleets,
    last,
    rows,
    table_of,
    write,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import UML_7_3, Tag, grouped, meant, parse

TAGS = tuple(parse(UML_7_3.read_bytes()))
PLAN = Plan(hosts=18, samples=6, tags=200)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after the last sample of the plan."""
    end = FIRST + PLAN.interval * PLAN.samples
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(round(end.timestamp())))
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the time that the small fleets end."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW))


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet with what is to be found in it."""
    root = tmp_path_factory.mktemp("placed")
    write_fleet(root, PLAN)
    return root


def names(row: dict[str, object]) -> tuple[object, object]:
    return row["file"], row["function"]


def test_the_plan_places_everything() -> None:
    assert len(PLAN.rolled_out) == 6 and len(PLAN.rebooted) == 3
    assert PLAN.outlier not in {*PLAN.rolled_out, *PLAN.rebooted, PLAN.ahead}


def test_a_fleet_is_the_same_with_the_same_seed(tmp_path: Path) -> None:
    plan = Plan(hosts=3, samples=3, tags=40)
    made = []
    for name in ("a", "b"):
        write_fleet(tmp_path / name, plan)
        paths = sorted((tmp_path / name).rglob("*.parquet"))
        made.append([(str(p.relative_to(tmp_path / name)), p.read_bytes()) for p in paths])
    assert made[0] == made[1] and len(made[0]) > 3


def test_grown_finds_the_leak_of_the_new_kernel(placed: Path) -> None:
    found = ask("grown", placed, "--since-rollout", NEW)
    leak = found[0]
    assert names(leak) == (LEAK.file, LEAK.function)
    assert (leak["grew"], leak["hosts"]) == (6, 6)
    assert leak["line"] is None  # it moved
    samples = PLAN.samples - PLAN.samples // 2
    assert leak["growth"] == leak["after"] - leak["before"]
    assert leak["growth"] >= 6 * PLAN.leak * (samples - 1)
    assert leak["max_host"] in {PLAN.names[host] for host in PLAN.rolled_out}


def test_grown_finds_the_leak_of_one_host(placed: Path) -> None:
    found = ask("grown", placed)
    lonely = next(row for row in found if names(row) == (LONELY.file, LONELY.function))
    assert lonely["max_host"] == PLAN.names[PLAN.outlier]
    assert lonely["max"] >= 3 * PLAN.leak * (PLAN.samples - 1)
    assert {names(row) for row in found[:2]} == {
        (LEAK.file, LEAK.function),
        (LONELY.file, LONELY.function),
    }


def test_outliers_finds_the_host_that_holds_far_more(placed: Path) -> None:
    found = ask("outliers", placed)
    assert (found[0]["host"], *names(found[0])) == (
        PLAN.names[PLAN.outlier],
        OUTLIER.file,
        OUTLIER.function,
    )
    assert found[0]["kernel"] == OLD and found[0]["excess"] >= 500 << 20
    assert {row["host"] for row in found} == {PLAN.names[PLAN.outlier]}
    assert {names(row) for row in found} >= {(LONELY.file, LONELY.function)}


def test_top_and_percentiles_find_it_too(placed: Path) -> None:
    top = ask("top", placed, "-n", "1")
    assert names(top[0]) == (OUTLIER.file, OUTLIER.function)
    assert top[0]["max_host"] == PLAN.names[PLAN.outlier]
    spread = ask("percentiles", placed, "-n", "1")[0]
    assert names(spread) == (OUTLIER.file, OUTLIER.function)
    assert spread["p50"] < spread["max"] / 100


def test_hosts_are_all_there_with_their_reboots(placed: Path) -> None:
    found = {row["host"]: row for row in ask("hosts", placed)}
    assert list(found) == PLAN.names
    for number, name in enumerate(PLAN.names):
        row = found[name]
        assert row["kernel"] == (NEW if number in PLAN.rolled_out else OLD)
        assert row["boots"] == 1 + (number in {*PLAN.rolled_out, *PLAN.rebooted})
        assert row["samples"] == PLAN.samples
        assert (row["ahead"] is not None) == (number == PLAN.ahead)
    ahead = found[PLAN.names[PLAN.ahead or 0]]["ahead"]
    assert abs(ahead - AHEAD.total_seconds()) < 600


def test_a_clock_in_the_future_is_said_and_left_out(placed: Path) -> None:
    result = fleet("top", placed, "-o", "json")
    assert json.loads(result.out)["fleet"]["hosts"] == PLAN.hosts - 1
    assert "1 host with a clock in the future, by up to 2d 23h: host00017" in result.err
    shown = fleet("hosts", placed, "-o", "table")
    assert "host00017" in shown.out.decode() and "2d 23h" in shown.out.decode()


def test_reboots_are_said(placed: Path) -> None:
    result = fleet("grown", placed, "-o", "csv")
    assert f"{len(PLAN.rolled_out) + len(PLAN.rebooted)} hosts booted meanwhile" in result.err


@settings(unhurried, max_examples=12)
@given(fleets())
def test_the_answers_are_those_of_a_slow_reader(samples: list[Sample]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setenv("SOURCE_DATE_EPOCH", str(NOW))
        root = Path(folder)
        write(root, samples)

        def place(row: dict[str, object]) -> tuple[object, ...]:
            return row["file"], row["line"], row["module"], row["function"]

        top = {
            place(r): (r["bytes"], r["calls"], r["hosts"], r["max"], r["max_host"])
            for r in ask("top", root)
        }
        assert top == expected_top(samples)
        spread = {
            place(r): (r["p50"], r["p90"], r["p99"], r["max"], r["hosts"])
            for r in ask("percentiles", root)
        }
        assert spread == expected_percentiles(samples)
        grown = {
            place(r): (r["growth"], r["grew"], r["before"], r["max"], r["max_host"])
            for r in ask("grown", root)
        }
        several = [h for h in last(samples) if sum(s.host == h for s in samples) > 1]
        ends = ({h: side[h] for h in several} for side in (first(samples), last(samples)))
        assert grown == expected_grown(*ends)
        far = {
            (r["host"], place(r)): (r["bytes"], r["median"], r["mad"])
            for r in ask("outliers", root, "--min-score", "2.5", "--min-excess", "100")
        }
        assert far == expected_outliers(samples, 2.5, 100)
        counted = {r["host"]: (r["samples"], r["boots"]) for r in ask("hosts", root)}
        assert counted == {
            h: (
                sum(s.host == h for s in samples),
                len({s.boot for s in samples if s.host == h}),
            )
            for h in last(samples)
        }


@pytest.fixture(scope="module")
def one_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A listing of a real kernel as the only sample of the only host."""
    root = tmp_path_factory.mktemp("one")
    write(root, [Sample("db1", NOW - 100, TAGS)])
    return root


def test_the_filters_are_those_of_query(one_host: Path, later: None) -> None:
    """What an independent reader of query's options finds in the listing."""
    matched = 0

    @settings(unhurried, max_examples=60)
    @given(questions(TAGS))
    def try_one(asked: object) -> None:
        nonlocal matched
        bounds = dict.fromkeys(("min_size", "max_size", "min_calls", "max_calls"))
        tags = meant(TAGS, asked._replace(**bounds))  # type: ignore[attr-defined]
        sums = grouped(tags, "location", asked.underflowed)  # type: ignore[attr-defined]

        def passes(size: int, calls: int) -> bool:
            low, high, few, many = (getattr(asked, name) for name in bounds)
            return (
                (low is None or size >= low)
                and (high is None or size <= high)
                and (few is None or calls >= few)
                and (many is None or calls <= many)
            )

        expected = {key: sums[key][:2] for key in sums if passes(*sums[key][:2])}
        found = ask("top", one_host, *asked.argv())  # type: ignore[attr-defined]
        got = {
            (r["file"], r["line"], r["module"], r["function"]): (r["bytes"], r["calls"])
            for r in found
        }
        assert got == expected
        matched += bool(got)

    try_one()
    assert matched > 5


@pytest.mark.parametrize("by", ["file", "directory", "function", "module"])
def test_groups_are_those_of_query(one_host: Path, by: str, later: None) -> None:
    sums = grouped(TAGS, by)
    found = {row[by]: (row["bytes"], row["calls"]) for row in ask("top", one_host, "-g", by)}
    assert found == {key: each[:2] for key, each in sums.items()}


def test_words_are_read_as_query_reads_them(one_host: Path, later: None) -> None:
    for word in ("slub", "mm", "fs/pipe.c", "alloc_slab_page"):
        result = here("query", "--source", str(UML_7_3), word, "-g", "location", "-o", "jsonl")
        asked = [json.loads(line) for line in result.out.splitlines()]
        found = ask("top", one_host, word)
        assert {(r["file"], r["line"], r["bytes"]) for r in found} == {
            (r["file"], r["line"], r["bytes"]) for r in asked
        }


TAG = Tag(4096, 1, "a.c", 1, None, "f", True)


def one(host: str, ago: float, size: int, **facts: str) -> Sample:
    return Sample(host, NOW - ago, (TAG._replace(bytes=size),), **facts)


@pytest.fixture
def root(tmp_path: Path, later: None) -> Path:
    return tmp_path / "data"


def test_the_window_is_the_last_day_of_the_data(root: Path) -> None:
    write(root, [one("a", 30 * HOUR, 7), one("b", 5 * HOUR, 1), one("b", 4 * HOUR, 2)])
    assert ask("top", root)[0]["bytes"] == 2
    assert ask("top", root, "--since", "@0")[0]["bytes"] == 9
    assert ask("top", root, "--until", f"@{NOW - 10 * HOUR}")[0]["bytes"] == 7
    assert ask("top", root, "--until", f"@{NOW - 5 * HOUR}", "--since", "6 hours ago")[0][
        "bytes"
    ] == 1  # fmt: skip


def test_a_window_ends_within_an_hour(root: Path) -> None:
    write(root, [one("a", ago, ago) for ago in range(600, 0, -60)])
    assert len({p.parent for p in root.rglob("*.parquet")}) <= 2
    assert ask("top", root, "--until", f"@{NOW - 330}")[0]["bytes"] == 360
    grown = ask("grown", root, "--since", f"@{NOW - 400}", "--until", f"@{NOW - 100}", "-r")
    assert not grown  # it shrinks
    assert ask("hosts", root, "--since", f"@{NOW - 400}", "--until", f"@{NOW - 100}")[0][
        "samples"
    ] == 5  # fmt: skip


def test_only_files_of_the_window_are_opened(root: Path) -> None:
    paths = write(root, [one("a", 200 * HOUR, 7), one("a", HOUR, 2)])
    os.truncate(paths[0], 100)
    result = fleet("top", root, "-o", "jsonl")
    assert rows(result)[0]["bytes"] == 2 and not result.err
    assert "1 file skipped" in fleet("top", root, "--since", "@0", "-o", "jsonl").err


def test_no_sample_in_the_window_is_said(root: Path) -> None:
    write(root, [one("a", HOUR, 1)])
    result = fleet("top", root, "--until", f"@{NOW - 2 * HOUR}", "-o", "csv")
    assert result.status == 1 and "holds no sample" in result.err
    result = fleet("top", root, "--host", "nobody", "-o", "csv")
    assert result.status == 1 and "no host with a sample from" in result.err


def test_globs_that_match_nothing_name_what_there_is(root: Path) -> None:
    write(root, [one("web1", 60, 1), one("web2", 60, 2, kernel="6.12.1")])
    for what in ("top", "hosts", "grown", "outliers", "percentiles"):
        result = fleet(what, root, "--kernel", "9*", "--kernel", "[", "-o", "csv")
        assert result.status == 1
        assert "matches 9* or [; there are 6.12.1, 7.3.4\n" in result.err
        result = fleet(what, root, "--host", "db*", "-o", "csv")
        assert result.status == 1 and "matches db*; there are web1, web2\n" in result.err
        result = fleet(what, root, "--host", "web2", "--kernel", "7*", "-o", "csv")
        assert result.status == 1 and "matches 7*; there is 6.12.1\n" in result.err


def test_hosts_and_kernels_are_globs(root: Path) -> None:
    write(root, [one("web1", 60, 1), one("web2", 60, 2, kernel="6.12.1"), one("db1", 60, 4)])
    assert ask("top", root, "--host", "web*")[0]["bytes"] == 3
    assert ask("top", root, "--host", "web1", "--host", "db?")[0]["bytes"] == 5
    assert ask("top", root, "--kernel", "6.12*")[0]["bytes"] == 2


def test_a_rollout_compares_each_host_before_and_after(root: Path) -> None:
    old, new = {"kernel": "6.12", "boot": "1"}, {"kernel": "7.3", "boot": "2"}
    write(
        root,
        [
            one("a", 50 * HOUR, 10, **old),
            one("a", 40 * HOUR, 20, **old),
            one("a", 30 * HOUR, 90, **new),
            one("a", HOUR, 120, **new),
            one("b", HOUR, 5000, **new),
            one("c", HOUR, 7000, **old),
        ],
    )
    result = fleet("grown", root, "--since-rollout", "7.*", "-o", "jsonl")
    row = rows(result)[0]
    assert (row["before"], row["after"], row["growth"], row["hosts"]) == (20, 120, 100, 1)
    assert "1 host without a sample before the rollout left out: b" in result.err
    result = fleet("grown", root, "--since-rollout", "9.9", "-o", "jsonl")
    assert result.status == 1 and "no host runs 9.9; there are 6.12, 7.3" in result.err


def test_a_host_without_a_name_is_shown_as_one(root: Path) -> None:
    """As a saved listing of an unknown machine becomes Parquet."""
    for path in write(root, [one("", HOUR, 10, kernel="", boot="1")]):
        path.rename(path.with_name("unnamed.parquet"))
    assert "1 host with a single sample left out: ''\n" in fleet("grown", root).err
    result = fleet("grown", root, "--since-rollout", "9.9")
    assert result.status == 1 and "no host runs 9.9; there are ''\n" in result.err


def test_a_reboot_is_no_loss_and_no_growth_by_itself(root: Path) -> None:
    write(
        root, [one("a", 90, 50, boot="1"), one("a", 60, 10, boot="2"), one("a", 30, 70, boot="2")]
    )
    result = fleet("grown", root, "-o", "jsonl")
    assert (rows(result)[0]["before"], rows(result)[0]["growth"]) == (50, 20)
    assert "1 host booted meanwhile (a)" in result.err


def test_lines_that_moved_are_one_place(root: Path) -> None:
    there = [TAG._replace(line=10), TAG._replace(line=99, function="g")]
    moved = [TAG._replace(line=12, bytes=8192), TAG._replace(line=99, function="g")]
    write(
        root,
        [
            Sample("a", NOW - 60, tuple(there), "1", "6.12"),
            Sample("a", NOW - 30, tuple(moved), "2", "7.3"),
        ],
    )
    grown = ask("grown", root)
    assert [(r["function"], r["line"], r["growth"]) for r in grown] == [("f", None, 4096)]
    both = ask("top", root)
    assert [(r["function"], r["line"]) for r in both] == [("f", 12), ("g", 99)]


def test_two_kernels_of_one_name_are_said_and_joined_by_function(root: Path) -> None:
    write(
        root,
        [
            Sample("a", NOW - 60, (TAG._replace(line=10),)),
            Sample("b", NOW - 60, (TAG._replace(line=12),)),
            Sample("c", NOW - 60, (TAG._replace(line=12),)),
        ],
    )
    result = fleet("top", root, "-o", "jsonl")
    assert [(r["line"], r["bytes"], r["hosts"]) for r in rows(result)] == [(None, 3 * 4096, 3)]
    assert "kernel 7.3.4 is several builds under one name: 1 function on other lines" in result.err


CACHE = TAG._replace(file="mm/filemap.c", function="page_cache_ra_unbounded", bytes=9 << 20)
SLAB = TAG._replace(file="mm/slub.c", function="alloc_slab_page", bytes=8 << 20)
GROWING = TAG._replace(function="leak", bytes=2 << 20)


@pytest.mark.parametrize("what", ["top", "grown", "outliers", "percentiles"])
def test_memory_of_users_and_slab_pages_come_last(root: Path, what: str) -> None:
    tags = (CACHE, SLAB, GROWING)
    small = tuple(tag._replace(bytes=4096) for tag in tags)
    write(root, [Sample(f"h{n}", NOW - 90, small, "1", "6.12") for n in range(6)])
    write(root / "x", [Sample(f"h{n}", NOW - 60, small, "2") for n in range(6)])
    write(root / "y", [Sample("h0", NOW - 30, tags, "2")])

    def order(*argv: str) -> list[str]:
        return [row["function"] for row in ask(what, root, *argv)]

    largest = [tag.function for tag in tags]
    assert order() == [GROWING.function, *largest[:2]]
    assert order("-r") == [GROWING.function, SLAB.function, CACHE.function]
    first = ask(what, root)[0]
    key = next(key for key in first if key in {"bytes", "growth", "excess", "p99"})
    assert order("--sort", key) == largest
    assert [row["user_pages"] for row in ask(what, root)] == [False, True, False]


def test_places_that_no_host_had_are_new(root: Path) -> None:
    new, zero = TAG._replace(function="new"), TAG._replace(function="zero")
    write(root, [Sample("a", NOW - 90, (TAG, zero._replace(bytes=0)), "1", "6.12")])
    write(root / "x", [Sample("a", NOW - 60, (TAG, new, zero), "2")])
    found = {row["function"]: row["new"] for row in ask("grown", root)}
    assert found == {"new": True, "zero": False}
    shown = fleet("grown", root, "-o", "table").out.decode()
    assert "+4.0K#" in shown and "# new: no host had this place before" in shown


def test_the_end_is_the_newest_sample(root: Path) -> None:
    write(root, [one("a", 300, 1), one("a", 200, 2)])
    newest = json.loads(fleet("hosts", root, "-o", "json").out)["hosts"][0]["last"]
    for bound in ((), ("--since", "@0"), ("--since", "1h")):
        head = json.loads(fleet("top", root, "-o", "json", *bound).out)["fleet"]
        assert head["until"] == newest
    until = json.loads(fleet("top", root, "-o", "json", "--until", f"@{NOW - 250}").out)
    assert until["fleet"]["until"] != newest
    result = fleet("top", root, "-o", "csv", "--since", f"@{NOW - 100}")
    assert result.status == 1 and "holds no sample since 2026-11-18T11:05:00Z\n" in result.err


def test_hosts_without_a_sample_in_the_window_are_counted(root: Path) -> None:
    write(root, [one("a", 60, 1), one("b", 60, 1), one("c", 50 * HOUR, 1)])
    assert "allocq: 1 of 3 hosts has no sample from " in fleet("top", root, "-o", "csv").err
    assert not fleet("top", root, "-o", "csv", "--host", "a").err
    assert not fleet("top", root, "-o", "csv", "--since", "@0").err


def test_two_machines_of_one_name_are_said(root: Path) -> None:
    write(root, [one("a", ago, 1, boot=boot) for ago, boot in ((90, "x"), (60, "y"), (30, "x"))])
    for what in ("top", "hosts"):
        result = fleet(what, root, "-o", "csv")
        assert "1 host with boots that overlap in time: a; several machines" in result.err


def test_hosts_show_the_kernel_before(root: Path) -> None:
    write(root, [one("a", 90, 1, boot="1", kernel="6.12"), one("a", 60, 1, boot="2")])
    assert "6.12 -> 7.3.4" in fleet("hosts", root, "-o", "table").out.decode()
    row = ask("hosts", root)[0]
    assert (row["kernel"], row["kernels"]) == ("7.3.4", 2)


def test_few_peers_are_said(root: Path) -> None:
    write(root, [one(f"h{n}", 60, 1 << 30 if n == 0 else 0) for n in range(4)])
    result = fleet("outliers", root, "-o", "csv")
    assert result.status == 1
    assert "4 hosts have fewer than 5 with their kernel to compare with" in result.err


def test_tags_of_the_same_names_are_summed(root: Path) -> None:
    write(root, [Sample("a", NOW - 60, (TAG, TAG._replace(bytes=1)))])
    assert ask("top", root)[0]["bytes"] == 4097


def test_counters_below_zero_are_left_out_of_sums(root: Path) -> None:
    write(root, [one("a", 60, -4096), one("b", 60, 1)])
    row = ask("top", root)[0]
    assert (row["bytes"], row["underflowed"]) == (1, True)
    assert ask("top", root, "--underflowed")[0]["bytes"] == -4096


def test_formats(root: Path, tmp_path: Path) -> None:
    write(root, [one("a", 60, 5 << 20), one("b", 60, 1 << 20)])
    assert fleet("top", root, "-o", "csv").out.decode().splitlines() == [
        "bytes,calls,hosts,max,max_host,file,line,module,function,accurate,slab_pages,underflowed,user_pages",
        "6291456,2,2,5242880,a,a.c,1,,f,true,false,false,false",
    ]
    table = fleet("top", root, "-o", "table").out.decode().splitlines()
    assert table[0].split() == ["BYTES", "CALLS", "HOSTS", "MAX", "MAX_HOST", "WHERE", "FUNCTION"]
    assert table[1].split() == ["6.0M", "2", "2", "5.0M", "a", "a.c:1", "f"]
    head = json.loads(fleet("top", root, "-o", "json", "--min-size", "1M").out)
    assert head["filter"] == {"min_size": 1 << 20} and head["total"]["bytes"] == 6 << 20
    assert head["fleet"]["engine"] == "duckdb" and head["fleet"]["hosts"] == 2
    path = tmp_path / "x.parquet"
    assert fleet("top", root, "-o", "parquet", "--output", str(path)).status == 0
    read = pq.read_table(path).to_pylist()
    assert read == ask("top", root)
    assert fleet("top", root, "--output", str(tmp_path / "y.parquet")).status == 0
    assert pq.read_table(tmp_path / "y.parquet").to_pylist() == read
    assert fleet("top", root, "-q") == (0, b"", "")


def test_sorting_and_limits(root: Path) -> None:
    write(root, [one("a", 60, 1), one("b", 60, 3), one("c", 60, 2)])
    assert [r["host"] for r in ask("hosts", root)] == ["a", "b", "c"]
    assert [r["host"] for r in ask("hosts", root, "-r", "-n", "2")] == ["c", "b"]
    assert [r["host"] for r in ask("hosts", root, "-s", "bytes")] == ["b", "c", "a"]


def test_mistakes(tmp_path: Path) -> None:
    refused(here("fleet", "top"), "fleet top needs --data PATH")
    refused(here("fleet", "top", "--data", ""), "--data is empty")
    refused(here("fleet", "top", "--data", "/no/such"), "no such directory: /no/such")
    refused(here("fleet", "top", "--data", "s3://bucket/x"), "fleet reads files, not s3://")
    refused(fleet("top", tmp_path, "--engine", "spark"), "--engine spark needs --master")
    refused(fleet("top", tmp_path, "--master", "local"), "--master needs --engine spark")
    refused(fleet("top", tmp_path, "--engine", "flink"), "invalid value 'flink' for --engine")
    refused(fleet("top", tmp_path, "--since", "never"), "invalid time 'never'")
    refused(fleet("top", tmp_path, "--since", "1h", "--until", "2h"), "is later than --until")
    refused(fleet("outliers", tmp_path, "--min-score", "x"), "invalid value 'x' for --min-score")
    refused(fleet("top", tmp_path, "-s", "growth"), "invalid value 'growth' for --sort")
    refused(fleet("top", tmp_path), "holds no Parquet files of allocq")


def test_without_the_extra_it_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "ibis").mkdir()
    (tmp_path / "ibis" / "__init__.py").write_text("raise ModuleNotFoundError('no', name='ibis')")
    env = {"PYTHONPATH": str(tmp_path)}
    result = allocq("fleet", "top", "--data", str(tmp_path), env=env, program=MODULE)
    refused(result, "fleet needs ibis, which is not installed")
    assert "hint: pip install 'allocq[fleet]'" in result.err


def test_nothing_is_left_behind_and_the_current_directory_is_not_used(
    placed: Path, tmp_path: Path
) -> None:
    work, temporary = tmp_path / "work", tmp_path / "tmp"
    work.mkdir()
    temporary.mkdir()
    (work / "duckdb.py").write_text("raise SystemExit('read from the current directory')")
    env = {"TMPDIR": str(temporary), "HOME": str(work)}
    result = allocq("fleet", "top", "--data", str(placed), "-o", "csv", env=env, cwd=work)
    assert result.status == 0, result
    assert [path.name for path in work.iterdir()] == ["duckdb.py"]
    assert not list(temporary.iterdir())


def test_the_interval_of_a_plan(tmp_path: Path) -> None:
    plan = Plan(hosts=1, samples=3, tags=40, interval=timedelta(minutes=40))
    write_fleet(tmp_path, plan)
    assert len(list(tmp_path.rglob("*.parquet"))) >= 2


COPIES = "whose samples other files have, too"


@settings(unhurried, max_examples=8)
@given(fleets(), st.data())
def test_a_sample_in_several_files_counts_once(
    tmp_path_factory: pytest.TempPathFactory, samples: list[Sample], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("once")
    write(root, samples)
    other = tmp_path_factory.mktemp("twice")
    write(other, samples)
    for number in range(data.draw(st.integers(1, 3))):
        some = [each for each in samples if data.draw(st.booleans())]
        for path in write(tmp_path_factory.mktemp("some"), some):
            folder = other / path.parent.relative_to(path.parents[2])
            path.rename(folder / f"{path.stem}.again{number}.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", str(NOW))
        for what in ("top", "grown", "hosts"):
            assert ask(what, other) == ask(what, root), what


@pytest.mark.usefixtures("later")
def test_copies_are_said_and_compacted(tmp_path: Path) -> None:
    tags = (Tag(4096, 1, "mm/a.c", 1, None, "f", True),)
    samples = [Sample("h", NOW - 60, tags), Sample("h", NOW - 30, tags), Sample("i", NOW, tags)]
    for number, path in enumerate(write(tmp_path, samples)):
        shutil.copy(path, path.with_name(f"{number}.parquet"))
    (row,) = ask("top", tmp_path)
    assert (row["bytes"], row["calls"], row["hosts"]) == (8192, 2, 2)
    done = fleet("top", tmp_path)
    hint = "allocq fleet compact removes copies in one directory"
    assert f"allocq: 2 files left out, {COPIES}: {hint}\n" in done.err
    assert COPIES in fleet("hosts", tmp_path).err
    assert fleet("compact", tmp_path).status == 0
    assert COPIES not in fleet("top", tmp_path).err
    assert ask("top", tmp_path) == [row]


@pytest.mark.usefixtures("later")
def test_files_of_several_hosts_with_samples_in_common_are_said(tmp_path: Path) -> None:
    """Which allocq does not write."""
    tags = (Tag(4096, 1, "mm/a.c", 1, None, "f", True),)
    a, b, c = (Sample(host, NOW - 60, tags) for host in "abc")
    (path,) = write(tmp_path, [a])
    for name, some in (("one", [a, b]), ("two", [b, c])):
        save(path.with_name(f"{name}.parquet"), table_of(some))
    path.unlink()
    done = fleet("top", tmp_path)
    assert "allocq: 1 sample counted several times: in files of several hosts" in done.err
    save(path.with_name("three.parquet"), table_of([a, b, c]))
    done = fleet("top", tmp_path)
    assert "counted several times" not in done.err
    assert f"2 files left out, {COPIES}" in done.err


@pytest.mark.usefixtures("later")
def test_a_file_with_another_sample_is_not_left_out(tmp_path: Path) -> None:
    """Of the two samples that are compared, the larger file alone has the first one."""
    small = (Tag(4096, 1, "mm/a.c", 1, None, "f", True),)
    large = (Tag(9 << 20, 1, "mm/a.c", 1, None, "f", True),)
    both = [Sample("h", NOW - 60, small), Sample("h", NOW - 30, large)]
    (path,) = write(tmp_path, both)
    save(path.with_name("a.parquet"), table_of(both[1:]))
    save(path.with_name("z.parquet"), table_of(both[1:]))
    (row,) = ask("grown", tmp_path)
    assert row["growth"] == (9 << 20) - 4096
