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

from allocq.analysis.leak import Level, grown
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
    assert [c.key[3] for c in grown(before, after, 10, 0)] == ["f", "g"]
    assert [c.key[3] for c in grown(before, after, 10, 995)] == ["g"]
    assert [c.key[3] for c in grown(before, after, 10, 500)] == ["f", "g"]


def test_a_child_ends_as_it_ends() -> None:
    assert run(["true"]) == 0 and run(["sh", "-c", "exit 7"]) == 7
    assert run(["sh", "-c", "kill -9 $$"]) == -9
    assert describe(7) == "exited with status 7" and describe(-9) == "was killed by SIGKILL"
    assert describe(-250) == "was killed by signal 250"
    with pytest.raises(UsageError, match="cannot run /nonexistent"):
        run(["/nonexistent"])
    with pytest.raises(UsageError, match="cannot run"):
        run(["a\0b"])


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
    assert process.wait(timeout=20) == 100 + number


def test_a_child_that_will_not_listen_is_killed_at_the_second_signal() -> None:
    process, out = waiting('trap "echo got" INT')
    os.kill(process.pid, signal.SIGINT)
    assert out.readline() == b"got\n"
    assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=20) == 102


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
