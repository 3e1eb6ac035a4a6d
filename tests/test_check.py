"""`allocq check` without a kernel: what counts as a leak, how the command runs, the reports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import oracle
import pytest
from command import Result, allocq, here, refused, saved, unhurried
from hypothesis import given
from hypothesis import strategies as st

from allocq.analysis.leak import Held, Level, grown, steady
from allocq.errors import UsageError
from allocq.host.processes import Ended, describe, run
from allocq.model import Tag

SAMPLE = str(oracle.SAMPLE)


def text_of(rows: Sequence[str], note: str = "") -> bytes:
    return oracle.HEADER + note.encode() + "".join(f"{row} \n" for row in rows).encode()


ONE = ["4096 4 mm/a.c:10 func:alloc", "100 1 fs/b.c:2 [xfs] func:get", "8 1 fs/c.c:3 func:idle"]
TWO = [
    "9999999 9 mm/a.c:10 func:alloc", "300000 3 fs/b.c:2 [xfs] func:get",
    "8 1 fs/c.c:3 func:idle", "5000000 1 fs/n.c:4 func:new",
]  # fmt: skip


def check(before: Sequence[str], after: Sequence[str], *argv: str, note: str = "") -> Result:
    with saved(text_of(before, note)) as one, saved(text_of(after)) as two:
        return here("check", "--baseline", one, "--source", two, *argv)


def functions(done: Result) -> list[str]:
    return [row["function"] for row in json.loads(done.out)["grown"]]


def test_nothing_grew() -> None:
    done = check(ONE, ONE)
    assert done.status == 0 and done.err == ""
    assert done.out == b"ok: none of 3 tags grew by more than 128.0K\n"


def test_what_grew_is_named_the_largest_first() -> None:
    done = check(ONE, TWO, "-o", "json")
    assert done.status == 1 and functions(done) == ["alloc", "new", "get"]
    document = json.loads(done.out)
    assert document["max_growth"] == 128 << 10 and document["status"] is None
    assert document["total"]["bytes_growth"] == sum(
        row["bytes_growth"] for row in document["grown"]
    )
    table = check(ONE, TWO).out.decode().splitlines()
    assert [line.split()[-1] for line in table[1:4]] == ["alloc", "new", "get"]
    assert table[-1].startswith("leaked: 3 tags grew by more than 128.0K; largest: mm/a.c:10")


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["--max-growth", "1M"], ["alloc", "new"]),
        (["--max-growth", "9995903"], []),
        (["--max-growth", "9995902"], ["alloc"]),
        (["-x", "mm/a.c"], ["new", "get"]),
        (["-m", "xfs"], ["get"]),
        (["--min-size", "6M"], ["alloc"]),
        (["--max-calls", "1"], ["new", "get"]),
        (["--min-calls", "9"], ["alloc"]),
    ],
)
def test_what_is_allowed_and_asked(argv: list[str], wanted: list[str]) -> None:
    done = check(ONE, TWO, "-o", "json", *argv)
    assert functions(done) == wanted and done.status == (1 if wanted else 0)


def test_a_shrunk_or_missing_tag_is_no_leak() -> None:
    assert check(TWO, ONE, "--max-growth", "0").status == 0
    assert check(ONE, ONE[:1], "--max-growth", "0").status == 0


def test_tags_that_look_alike_count_together() -> None:
    before = ["1000000 1 mm/a.h:1 func:f", "0 0 mm/a.h:1 func:f"]
    assert check(before, before[::-1], "--max-growth", "0").status == 0


def test_lines_that_moved() -> None:
    moved = [row.replace("mm/a.c:10", "mm/a.c:12") for row in ONE]
    assert check(ONE, moved, "--max-growth", "0").status == 1
    assert check(ONE, moved, "--max-growth", "0", "-L").status == 0


def test_slab_pages_are_counted_where_the_objects_are() -> None:
    more = [*ONE, "9999999 9 mm/slub.c:3347 func:alloc_slab_page"]
    assert check(ONE, more).status == 0
    assert check(ONE, more, "-F", "alloc_slab_page").status == 1


def test_the_filter_of_the_baseline_is_kept_to() -> None:
    note = '# allocq-snapshot: 1\n# filter: {"file":["fs/*"]}\n'
    done = check(ONE[1:], TWO, "-o", "json", note=note)
    assert functions(done) == ["new", "get"] and "fs/*" in done.err


def test_a_baseline_from_another_kernel_is_said() -> None:
    one = "# allocq-snapshot: 1\n# kernel: 7.3\n# host: a\n"
    with saved(text_of(ONE, one)) as path, saved(text_of(ONE, one.replace("7.3", "7.4"))) as now:
        done = here("check", "--baseline", path, "--source", now)
    assert done.status == 0 and "different kernels" in done.err


def test_junit_has_the_same_cases_always() -> None:
    for after, failures in ((ONE, "0"), (TWO, "1")):
        done = check(ONE, after, "-o", "junit")
        suite = ElementTree.fromstring(done.out).find("testsuite")
        assert suite is not None and suite.get("failures") == failures
        cases = suite.findall("testcase")
        assert [case.get("name") for case in cases] == ["growth"]
        failure = cases[0].find("failure")
        assert (failure is not None) == (failures == "1")
        if failure is not None:
            assert "mm/a.c:10" in (failure.get("message") or "")
            assert "fs/b.c:2 [xfs]" in (failure.text or "")


def test_a_report_goes_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text("old")
    done = check(ONE, TWO, "-o", "junit", "--report", str(path))
    assert done == (1, b"", "") and ElementTree.parse(path).getroot().tag == "testsuites"
    assert check(ONE, TWO, "-q") == (1, b"", "")


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        ([], "needs a command or --baseline"),
        (["--repeat", "9", "--baseline", SAMPLE], "--repeat needs a command"),
        (["--repeat", "9", "--baseline", SAMPLE, "true"], "--repeat and --baseline"),
        (["--repeat", "4", "true"], "for --repeat"),
        (["-q", "--report", "x", "true"], "--quiet and --report"),
        (["--source", SAMPLE, "true"], "--source and a command"),
        (["--baseline", "-", "--source", "-"], "standard input"),
        (["--baseline", "/nonexistent", "--source", SAMPLE], "no such file"),
        (["--baseline", SAMPLE, "--source", SAMPLE, "--max-growth", "x"], "invalid size"),
        (["--baseline", SAMPLE, "--source", SAMPLE, "--interval", "nan"], "for --interval"),
        (["--baseline", SAMPLE, "--source", SAMPLE, "--interval", "-1"], "for --interval"),
        (["--baseline", SAMPLE, "--source", SAMPLE, "--retries", "x"], "--retries: invalid number"),
        (["--baseline", SAMPLE, "--source", SAMPLE, "-o", "xml"], "for --format"),
        (["--baseline", SAMPLE, "--source", SAMPLE, "--report", "/nonexistent/x"], "No such file"),
    ],
)
def test_what_cannot_be_meant_is_refused(argv: list[str], word: str) -> None:
    refused(here("check", *argv), word)


def test_a_report_that_cannot_be_written_is_refused_before_the_command_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    done = here("check", "--report", "/nonexistent/x", "--", "touch", str(mark))
    refused(done, "/nonexistent/x", "No such file")
    assert not mark.exists()


def tag(name: str, size: int) -> Tag:
    return Tag(size, 1, "a.c", 1, None, name)


READING = st.dictionaries(st.sampled_from("abc"), st.integers(-100, 100))


@unhurried
@given(
    st.lists(READING, min_size=1, max_size=4),
    st.lists(READING, min_size=1, max_size=4),
    st.integers(0, 50),
)
def test_growth_is_from_the_highest_to_the_lowest(
    before: list[dict[str, int]], after: list[dict[str, int]], allowed: int
) -> None:
    high, low = Level(highest=True), Level(highest=False)
    for level, readings in ((high, before), (low, after)):
        for reading in readings:
            level.take([tag(name, size) for name, size in reading.items()])
    wanted = {}
    for name in "abc":
        if all(name in reading for reading in after):
            seen = [reading[name] for reading in before if name in reading]
            growth = min(reading[name] for reading in after) - (max(seen) if seen else 0)
            if growth > allowed:
                wanted[name] = growth
    found = grown(high, low, allowed)
    assert {str(change.key[3]): change.bytes for change in found} == wanted
    assert [change.bytes for change in found] == sorted(wanted.values(), reverse=True)


def test_what_the_page_cache_grew_by_is_no_leak_where_its_pages_are_allocated() -> None:
    def level(highest: bool, size: int) -> Level:
        level = Level(highest)
        level.take([
            Tag(size, 1, "mm/filemap.c", 1, None, "f"), Tag(size, 1, "mm/other.c", 1, None, "g")
        ])  # fmt: skip
        return level

    before, after = level(True, 0), level(False, 1000)
    assert [c.key[3] for c in grown(before, after, 10, Held(0))] == ["f", "g"]
    assert [c.key[3] for c in grown(before, after, 10, Held(995))] == ["g"]
    assert [c.key[3] for c in grown(before, after, 10, Held(500))] == ["f", "g"]
    assert [c.key[3] for c in grown(before, after, 10, Held(None))] == ["g"]
    assert [c.key[3] for c in grown(before, after, 10, Held(None), named=True)] == ["f", "g"]


USERS = [
    "{} 9 mm/memory.c:1291 func:folio_prealloc",
    "{} 9 include/linux/highmem.h:325 func:vma_alloc_zeroed_movable_folio",
    "{} 9 mm/filemap.c:1 func:f",
]


def test_user_memory_is_no_leak_between_saved_listings() -> None:
    one, two = ([row.format(size) for row in USERS] for size in (4096, 9 << 20))
    assert check(one, two).status == 0
    assert check(one, two, "-F", "folio_prealloc").status == 1
    module = [row.replace(" func", " [m] func") for row in two]
    assert check(one, module).status == 1


def test_user_pages_beyond_what_meminfo_says_are_a_leak() -> None:
    def note(anonymous: int) -> str:
        amounts = {"Cached": 0, "Buffers": 0, "Shmem": 0, "AnonPages": anonymous}
        return f"# allocq-snapshot: 1\n# meminfo: {json.dumps(amounts)}\n"

    one, two = ([row.format(size) for row in USERS[:2]] for size in (0, 900 << 20))
    for grown_by, status in ((1900 << 20, 0), (100 << 20, 1)):
        with (
            saved(text_of(one, note(0))) as before,
            saved(text_of(two, note(grown_by))) as after,
        ):
            done = here("check", "--baseline", before, "--source", after)
        assert done.status == status, done


def test_a_gate_that_tests_nothing_does_not_pass() -> None:
    for option, name, near in (("--function", "allok", "alloc"), ("--module", "xsf", "xfs")):
        done = check(ONE, ONE, option, name)
        refused(done, f"no tag matches {option} {name}: nothing was checked")
        assert done.err.endswith(f"hint: nearest: {near}\n")
    assert check(ONE[:1], ONE, "-m", "xfs").status == 0


def test_a_baseline_from_the_future_has_no_rate() -> None:
    with (
        saved(text_of(ONE, "# allocq-snapshot: 1\n# time: 2030-01-01T00:00:00.000000Z\n")) as one,
        saved(text_of(TWO, "# allocq-snapshot: 1\n# time: 2020-01-01T00:00:00.000000Z\n")) as two,
    ):
        document = json.loads(here("check", "--baseline", one, "--source", two, "-o", "json").out)
    assert document["seconds"] is None
    assert all(row["bytes_per_second"] is None for row in document["grown"])


def test_tap_has_a_line_for_each_tag_that_grew() -> None:
    done = check(ONE, TWO, "-o", "tap")
    assert done.status == 1
    lines = [line for line in done.out.decode().splitlines() if not line.startswith("#")]
    assert lines == [
        "TAP version 13",
        "1..4",
        "not ok 1 - mm/a.c:10 alloc",
        "not ok 2 - fs/n.c:4 new",
        "not ok 3 - fs/b.c:2 [xfs] get",
        "ok 4 - none of 1 other tags grew by more than 128.0K",
    ]
    assert check(ONE, ONE, "-o", "tap").out.decode().splitlines()[1:] == [
        "1..1",
        "ok 1 - none of 3 tags grew by more than 128.0K",
    ]


def level_of(**sizes: int) -> Level:
    level = Level(highest=False)
    level.take([Tag(size * 64, size, "a.c", 1, None, name) for name, size in sizes.items()])
    return level


def test_one_object_a_run_is_found_and_noise_is_not() -> None:
    series = [
        level_of(leak=5 + run, cache=min(run, 3), noise=run % 3, late=run // 2) for run in range(21)
    ]
    found = steady(series, level_of(leak=25, cache=3, noise=2, late=10))
    assert [(each.change.key[3], each.words()) for each in found] == [
        ("leak", "+1 call a run in 20 of 20 runs")
    ]
    assert steady(series, level_of(leak=6)) == []  # freed late
    missed = [*series[:10], series[9], *series[11:]]
    assert steady(missed, level_of(leak=25))[0].risen == 19


def test_a_child_ends_as_it_ends() -> None:
    assert run(["true"]) == 0 and run(["sh", "-c", "exit 7"]) == 7
    assert run(["sh", "-c", "kill -9 $$"]) == -9
    assert describe(7) == "exited with status 7" and describe(-9) == "was killed by SIGKILL"
    assert describe(-250) == "was killed by signal 250"
    with pytest.raises(UsageError, match="cannot run /nonexistent"):
        run(["/nonexistent"])
    with pytest.raises(UsageError, match="cannot run"):
        run(["a\0b"])
    with pytest.raises(UsageError, match="cannot run '': the name of the command is empty"):
        run([""])


@pytest.mark.parametrize(
    ("name", "hint"),
    [("cd", "sh -c"), ("ls / | wc", "sh -c"), ("x > y", "sh -c"), ("/no/such", ""), ("/etc", "")],
)
def test_what_needs_a_shell_is_said(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        run([name])
    assert hint in caught.value.hint and bool(hint) == bool(caught.value.hint)


def waiting(trap: str) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """A process that runs a child with this trap, which is up, and its output from here on."""
    script = (
        "import sys; from allocq.host.processes import run, Ended\n"
        f"try: run(['sh', '-c', {trap + '; echo up; while :; do sleep 0.05; done'!r}])\n"
        "except Ended as end: sys.exit(100 + end.number)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process, process.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_child_and_it_is_waited_for(number: int, tmp_path: Path) -> None:
    process, out = waiting('trap "echo got; exit 5" INT TERM')
    os.kill(process.pid, number)
    assert out.read() == b"got\n"
    assert process.wait(timeout=60) == 100 + number


def test_a_child_that_will_not_listen_is_killed_at_the_second_signal() -> None:
    process, out = waiting('trap "echo got" INT')
    os.kill(process.pid, signal.SIGINT)
    assert out.readline() == b"got\n"
    assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 102


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run(["true"])
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert issubclass(Ended, BaseException) and not issubclass(Ended, Exception)


@pytest.mark.skipif(os.path.exists("/proc/allocinfo"), reason="this kernel has /proc/allocinfo")
def test_without_a_kernel_that_counts_the_command_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    done = allocq("check", "--", "touch", str(mark))
    assert done.status == 2 and "/proc/allocinfo" in done.err and not mark.exists()
