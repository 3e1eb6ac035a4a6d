"""`allocq bench` without a kernel: pipelines, comparison of answers, the report."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pty
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import here, until

from allocq.commands.bench import command as bench
from allocq.commands.bench import report as bench_report
from allocq.commands.bench.agreement import Agreement, SizesByTag, sizes_by_tag
from allocq.commands.bench.command import progress
from allocq.commands.bench.scenarios import (
    Bench,
    Method,
    Sample,
    Scenario,
    read_settings,
)
from allocq.core.filter import NativeFilter
from allocq.core.text import parse
from allocq.errors import SourceError, UsageError
from allocq.host import machine as host
from allocq.host import processes

PYTHON = [sys.executable, "-I", "-S", "-c"]
LIVE = Path("/proc/allocinfo").exists()


def python(code: str) -> list[str]:
    return [*PYTHON, code]


def children() -> set[str]:
    """The processes of this one; the suite's guests may be among them."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                found.add(path.parent.name)
    return found


def on_terminal(code: Callable[[], None]) -> bytes:
    """What a terminal gets from standard error meanwhile."""
    leader, follower = pty.openpty()
    kept = os.dup(2)
    os.dup2(follower, 2)
    try:
        code()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal is gone
        while piece := os.read(leader, 1 << 16):
            shown += piece
    os.close(leader)
    return shown


class TestProgress:
    def test_is_a_line_on_a_terminal_that_is_gone_at_the_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "rich", None)  # not a dependency

        def go() -> None:
            with progress(3) as advance:
                for _ in range(3):
                    advance()

        shown = on_terminal(go)
        assert shown == b"\rtiming: 33%\rtiming: 66%\rtiming: 100%\r            \r"

    def test_ends_with_the_work(self) -> None:
        def go() -> None:
            with contextlib.suppress(KeyboardInterrupt), progress(2) as advance:
                advance()
                raise KeyboardInterrupt

        assert on_terminal(go).endswith(b"50%\r            \r")

    def test_is_nothing_elsewhere(self, capfd: pytest.CaptureFixture[str]) -> None:
        with progress(1) as advance:
            advance()
        assert capfd.readouterr() == ("", "")


class TestPipeline:
    def test_joins_programs_and_keeps_the_last_ones_output(self) -> None:
        upper = "import sys; sys.stdout.write(sys.stdin.read().upper())"
        spent = processes.run_pipeline(
            [python("print('a b')"), python(upper), python(upper + "; sys.exit(3)")]
        )
        assert spent.output == b"A B\n"
        assert spent.statuses == [0, 0, 3]

    def test_more_than_a_pipe_holds(self) -> None:
        spent = processes.run_pipeline([python("print('x' * 1000000)"), python(COPY)])
        assert spent.output == b"x" * 1000000 + b"\n"

    def test_counts_the_cpu_time_of_all_programs(self) -> None:
        burn = "import time\nwhile time.process_time() < 0.3: pass"
        one, two = (
            processes.run_pipeline([python(burn)]),
            processes.run_pipeline([python(burn), python(burn)]),
        )
        assert one.user + one.system >= 0.29e9
        assert two.user + two.system >= 0.59e9
        assert two.wall >= 0.29e9

    def test_the_first_program_reads_nothing(self) -> None:
        assert processes.run_pipeline([python(COPY)]).output == b""

    def test_a_reader_that_leaves_ends_the_writer_quietly(self) -> None:
        endless = "import sys, signal; signal.signal(13, signal.SIG_DFL)\nwhile 1: print('y' * 999)"
        spent = processes.run_pipeline([python(endless), python("pass")])
        assert spent.statuses == [-signal.SIGPIPE, 0]

    def test_sigpipe_is_as_in_a_shell(self) -> None:
        status = processes.run_pipeline([[find("cat"), "/proc/self/status"]]).output.decode()
        ignored = int(status.split("SigIgn:")[1].split()[0], 16)
        assert not ignored & 1 << (signal.SIGPIPE - 1)

    def test_complaints_are_kept(self) -> None:
        spent = processes.run_pipeline([python("import sys; sys.exit('oh no')")])
        assert spent.statuses == [1]
        assert spent.complaints == b"oh no\n"

    def test_a_program_that_is_not_there(self) -> None:
        gc.collect()  # so that nothing of other tests is closed meanwhile
        files, before = os.listdir("/proc/self/fd"), children()
        with pytest.raises(SourceError, match="cannot run /nowhere/cat"):
            processes.run_pipeline([python("import time; time.sleep(60)"), ["/nowhere/cat"]])
        assert os.listdir("/proc/self/fd") == files
        assert children() <= before

    def test_an_interrupt_ends_the_programs(self) -> None:
        def interrupt() -> None:
            until(lambda: len(children() - before) == 2)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        before = children()
        threading.Thread(target=interrupt).start()
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            processes.run_pipeline([python("import time; time.sleep(60)"), python(COPY)])
        assert time.monotonic() - begin < 30
        assert children() <= before

    def test_relative_places_on_path_are_passed_over(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        program = tmp_path / "cat"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PATH", ":.")
        assert processes.find_program("cat") is None
        monkeypatch.setenv("PATH", f".:{tmp_path}")
        assert processes.find_program("cat") == str(program)
        program.chmod(0o644)
        assert processes.find_program("cat") is None


COPY = "import sys; sys.stdout.write(sys.stdin.read())"


def find(program: str) -> str:
    path = processes.find_program(program)
    assert path
    return path


def answer(*lines: str) -> SizesByTag:
    """What a way found: `BYTES FILE:LINE` each."""
    text = "".join(
        f"{size:>12} {1:>8} {place} func:f \n" for size, place in (line.split() for line in lines)
    )
    return sizes_by_tag(parse(text.encode(), NativeFilter()))


def never() -> SizesByTag:
    raise AssertionError("there was no difference to explain")


class TestAgreement:
    def test_the_same(self) -> None:
        agreement = Agreement(by_size=False)
        same = answer("8 a.c:1", "16 a.c:1", "32 b.c:7")
        agreement.add({"x": same, "y": answer("8 a.c:1", "16 a.c:1", "32 b.c:7")}, True, never)
        assert (agreement.tags, agreement.moved, agreement.differences) == (3, 0, [])

    def test_names_longer_than_the_ioctl_has_them(self) -> None:
        whole, trimmed = "d" * 80 + "/a.c", ("d" * 80 + "/a.c")[-63:]
        agreement = Agreement(by_size=False)
        agreement.add({"x": answer(f"1 {whole}:1"), "y": answer(f"1 {trimmed}:1")}, True, never)
        assert not agreement.differences

    def test_counters_that_moved_are_no_difference(self) -> None:
        agreement = Agreement(by_size=False)
        agreement.add({"x": answer("1 a.c:1"), "y": answer("9 a.c:1")}, True, never)
        assert (agreement.moved, agreement.differences) == (1, [])

    def test_a_tag_that_one_way_lacks_is(self) -> None:
        agreement = Agreement(by_size=False)
        agreement.add({"x": answer("1 a.c:1", "2 b.c:2"), "y": answer("1 a.c:1")}, True, never)
        assert agreement.differences == ["b.c:2: found by x, not by y"]

    def test_one_of_two_alike_is(self) -> None:
        agreement = Agreement(by_size=False)
        agreement.add({"x": answer("1 a.c:1", "2 a.c:1"), "y": answer("1 a.c:1")}, True, never)
        assert agreement.differences == ["a.c:1: found by x, y, but not the same number of times"]

    def test_a_tag_that_crossed_the_minimum_is_not(self) -> None:
        agreement = Agreement(by_size=True)
        agreement.add(
            {"x": answer("4096 a.c:1"), "y": answer()}, True, lambda: answer("4000 a.c:1")
        )
        assert (agreement.moved, agreement.differences) == (1, [])

    def test_a_tag_that_stands_still_is(self) -> None:
        agreement = Agreement(by_size=True)
        still = answer("4096 a.c:1")
        agreement.add({"x": still, "y": answer()}, True, lambda: still)
        assert (agreement.moved, len(agreement.differences)) == (0, 1)

    def test_modules_that_came_or_went_tell_nothing(self) -> None:
        agreement = Agreement(by_size=False)
        agreement.add({"x": answer("1 a.c:1"), "y": answer()}, False, never)
        assert (agreement.torn, agreement.differences) == (1, [])


class TestSettings:
    def test_defaults(self) -> None:
        settings = read_settings({})
        assert (settings.runs, settings.drop_caches, settings.format) == (20, False, "table")
        assert settings.scenarios == ["file", "file-size", "size"]
        assert settings.file is None
        assert settings.min_size is None

    def test_scenarios_keep_their_order(self) -> None:
        settings = read_settings({"scenario": ["size", "file"], "min_size": "4K"})
        assert (settings.scenarios, settings.min_size) == (["file", "size"], 4096)

    @pytest.mark.parametrize(
        "values",
        [
            {"runs": "0"},
            {"runs": "1000001"},
            {"runs": "two"},
            {"scenario": ["files"]},
            {"min_size": "1Q"},
            {"format": "csv"},
        ],
    )
    def test_what_makes_no_sense(self, values: dict[str, object]) -> None:
        with pytest.raises(UsageError):
            read_settings(values)

    def test_a_mistake_is_told_before_the_kernel_is_touched(self) -> None:
        done = here("bench", "--runs", "0")
        assert (done.status, done.out) == (2, b"")
        assert done.err == "allocq: invalid value '0' for --runs\nhint: use 1 to 1000000\n"

    @pytest.mark.skipif(LIVE, reason="this kernel has /proc/allocinfo")
    def test_without_allocinfo(self) -> None:
        done = here("bench")
        assert (done.status, done.out) == (2, b"")
        assert done.err.startswith("allocq: no /proc/allocinfo: ")


def sampled(name: str, *times: tuple[float, float, float]) -> Method:
    way = Method(name, f"{name} words", lambda: Sample(0, 0, 0, {}))
    way.samples = [Sample(w * 1e6, u * 1e6, s * 1e6, {}) for w, u, s in times]
    return way


def a_bench(*ways: Method) -> Bench:
    made = Bench(
        read_settings({"runs": "3"}),
        {
            "kernel": "7.3.4",
            "machine": "x86_64",
            "cpu": "Some CPU",
            "possible_cpus": 224,
            "online_cpus": None,
            "tags": 3526,
            "files": 900,
            "modules": 0,
        },
    )
    scenario = Scenario("file", "mm/slub.c", None, (22, 1))
    scenario.methods = list(ways)
    scenario.plan = "seek"
    for _ in range(3):
        scenario.agreement.add({way.name: answer("1 a.c:1") for way in ways}, True, never)
    made.scenarios = [scenario]
    return made


THREE = (
    sampled("pipeline", (50, 5, 40), (60, 5, 20), (70, 5, 90)),
    sampled("ioctl", (1, 0, 2), (1, 0, 1), (1, 0, 0.5)),
    sampled("query", (25, 9, 9), (20, 9, 9), (10, 9, 9)),
)


class TestReport:
    def test_ratios_are_those_of_pairs(self) -> None:
        report = json.loads(bench_report.as_json(a_bench(*THREE)))
        (scenario,) = report["scenarios"]
        assert scenario["ratios"]["system_ioctl"] == {"median": 20, "min": 20, "max": 180}
        assert scenario["ratios"]["wall_query"] == {"median": 3, "min": 2, "max": 7}
        cpu = scenario["ratios"]["system_query"]
        assert (cpu["min"], cpu["max"]) == (20 / 9, 10)

    def test_json_has_everything(self) -> None:
        report = json.loads(bench_report.as_json(a_bench(*THREE)))
        assert report["machine"]["possible_cpus"] == 224
        (scenario,) = report["scenarios"]
        pipeline_way = scenario["ways"][0]
        assert pipeline_way["wall"] == {"median": 60e6, "min": 50e6, "max": 70e6}
        assert pipeline_way["runs"] == 3
        assert scenario["published"] == {"pipeline": 22_000_000, "ioctl": 1_000_000}
        assert (scenario["tags"], scenario["compared"], scenario["differences"]) == (1, 3, [])

    def test_words(self) -> None:
        text = bench_report.in_words(a_bench(*THREE))
        assert "Linux 7.3.4 (x86_64); Some CPU; possible CPUs: 224, online: ?" in text
        assert "60.0 (50.0 - 70.0)" in text
        programs = "the pipeline, starting its programs included, takes 20.0 (20.0 - 180) times"
        assert f"{programs} the system time of the scan alone" in text
        assert "allocq takes 0.22 (0.10 - 0.45) times the system time of the pipeline" in text
        assert "published: 22 ms against 1 ms" in text
        took = "allocq (by cached positions) takes 0.33 (0.14 - 0.50) times as long as the pipeline"
        assert took in text
        assert "tags: 1; all methods agree in every run" in text
        assert "Xeon Platinum 8481C, 224 CPUs" in text

    def test_no_time_is_told_that_the_clock_cannot_tell(self) -> None:
        made = a_bench(*THREE)
        made.tick = 10_000_000
        lines = bench_report.in_words(made).splitlines()
        rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ")}
        assert rows["pipeline"] == [
            "60.0",
            "(50.0",
            "-",
            "70.0)",
            "<10.0",
            "40.0",
            "(20.0",
            "-",
            "90.0)",
        ]
        assert rows["ioctl"] == ["1.00", "(1.00", "-", "1.00)", "-", "1.00", "(0.50", "-", "2.00)"]
        words = "\n".join(lines)
        assert "20.0 (10.0 - 25.0)                 <10.0                 <10.0" in words
        assert "times the system time of the pipeline" not in words
        (scenario,) = json.loads(bench_report.as_json(made))["scenarios"]
        assert scenario["ratios"]["system_query"] is None
        assert scenario["ways"][0]["user"]["median"] == 5e6

    def test_differences_are_told(self) -> None:
        made = a_bench(*THREE)
        ways = {"pipeline": answer("1 a.c:1"), "ioctl": answer()}
        made.scenarios[0].agreement.add(ways, True, never)
        text = bench_report.in_words(made)
        assert "did NOT find the same tags" in text
        assert "a.c:1: found by pipeline, not by ioctl" in text

    def test_without_the_ioctl_nothing_is_said_of_it(self) -> None:
        text = bench_report.in_words(a_bench(THREE[0], THREE[2]))
        assert "ioctl" not in text
        assert "published" not in text

    def test_before_any_run_was_finished(self) -> None:
        made = a_bench(*(sampled(name) for name in ("pipeline", "ioctl", "query")))
        made.scenarios[0].agreement = Agreement(by_size=False)
        made.interrupted = True
        text = bench_report.in_words(made)
        assert "no run finished" in text
        assert "interrupted" in text
        report = json.loads(bench_report.as_json(made))
        assert report["interrupted"] is True
        assert report["scenarios"][0]["ways"][0]["wall"] is None


def test_the_clock_has_a_step() -> None:
    assert 0 < bench.clock_step() < 1_000_000_000


def test_cpu_lists() -> None:
    assert host.count_cpus("0-223") == 224


def test_a_missing_program_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    scenario = Scenario("size", None, 4096, (21, 14))
    bench._add_pipeline(scenario)
    assert not scenario.methods
    assert scenario.missing == ["cat /proc/allocinfo | awk '$1 >= 4096': no cat on PATH"]
