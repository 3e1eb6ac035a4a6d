"""The same questions on a Spark cluster, a master and two workers, give the same rows."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.fleet import FIRST, NEW, Plan, save
from bench.fleet import write as write_fleet
from command import refused, until
from fleets import NOW, Sample, fleet, fleets, rows, table_of, write
from hypothesis import HealthCheck, Phase, given, settings
from oracle import Tag

if not os.environ.get("ALLOCQ_NEEDS_SPARK"):
    pytest.importorskip("pyspark", reason="no pyspark")
    if not shutil.which("java"):
        pytest.skip("no pyspark without java", allow_module_level=True)
import pyspark

PLAN = Plan(hosts=12, samples=6, tags=120)
QUESTIONS = (
    ("hosts",),
    ("top",),
    ("top", "-g", "module", "fs", "mm"),
    ("top", "--accurate", "--min-size", "1M", "-x", "*slub*"),
    ("grown",),
    ("grown", "--since-rollout", NEW),
    ("outliers",),
    ("percentiles", "-e", "alloc", "-v"),
)


def started(home: Path, work: Path, name: str, *argv: str) -> subprocess.Popen[bytes]:
    env = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(work / "work"),
        "SPARK_LOCAL_DIRS": str(work / "local"),
        "SPARK_DAEMON_MEMORY": "256m",
        "PYSPARK_PYTHON": sys.executable,
    }
    log = (work / f"{name}.log").open("wb")
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{argv[0]}", *argv[1:]]
    return subprocess.Popen(command, stdout=log, stderr=log, env=env, cwd=work)


def logged(path: Path, process: subprocess.Popen[bytes], pattern: str) -> str:
    """The first group of `pattern`, once it is in the log."""

    def found() -> re.Match[str] | None:
        text = path.read_text(errors="replace")
        said = re.search(pattern, text)
        assert said or process.poll() is None, text[-2000:]
        return said

    until(found, 120)
    said = found()
    assert said
    return said[1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a standalone cluster of one master and two workers."""
    work = tmp_path_factory.mktemp("spark")
    home = Path(pyspark.__file__).parent
    with contextlib.ExitStack() as stack:
        listen = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        master = started(home, work, "master", "master.Master", *listen)
        stack.callback(master.wait)
        stack.callback(master.terminate)
        url = logged(work / "master.log", master, r"Starting Spark master at (spark://\S+)")
        for number in range(2):
            name = f"worker{number}"
            limits = ["--cores", "1", "--memory", "1g", *listen[:2], "--webui-port", "0"]
            worker = started(home, work, name, "worker.Worker", *limits, url)
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
            logged(work / f"{name}.log", worker, r"(Successfully registered with master)")
        yield url
        workers = set(re.findall(r"Registering worker \S+", (work / "master.log").read_text()))
        assert len(workers) == 2


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fleet") / "a b"
    write_fleet(root, PLAN)
    return root


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_both_engines_give_the_same_rows(
    cluster: str, placed: Path, question: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    end = FIRST + PLAN.interval * PLAN.samples
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(round(end.timestamp())))
    what, *argv = question
    ours = fleet(what, placed, "-o", "jsonl", *argv)
    spark = ("--engine", "spark", "--master", cluster)
    theirs = fleet(what, placed, "-o", "jsonl", *argv, *spark)
    assert rows(ours)
    assert theirs == ours


def test_generated_fleets(
    cluster: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW))

    @settings(
        deadline=None,
        max_examples=4,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(fleets())
    def compare(samples: list[Sample]) -> None:
        root = tmp_path_factory.mktemp("generated")
        write(root, samples)
        for what in ("top", "grown", "percentiles", "hosts"):
            ours = fleet(what, root, "-o", "jsonl", "--until", "90 min ago")
            spark = ("--engine", "spark", "--master", cluster)
            assert fleet(what, root, "-o", "jsonl", "--until", "90 min ago", *spark) == ours

    compare()


def test_damaged_files_are_left_out_by_spark_too(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW))
    tags = tuple(Tag(n * 7919, 1, "a.c", n, None, f"f{n}", True) for n in range(2000))
    good = write(tmp_path, [Sample("good", NOW - 60, tags)])[0]
    data = bytearray(good.read_bytes())
    data[64 : len(data) // 2] = b"\xa5" * (len(data) // 2 - 64)
    good.with_name("bad.parquet").write_bytes(data)
    result = fleet("top", tmp_path, "-o", "jsonl", "--engine", "spark", "--master", cluster)
    assert len(rows(result)) == 2000
    assert "1 file skipped: damaged" in result.err and len(result.err.splitlines()) == 1


def test_samples_several_times_in_one_file_count_once_in_spark_too(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW))
    tags = tuple(Tag(n * 7919, 1, "a.c", n, None, f"f{n}", True) for n in range(1, 50))
    samples = [Sample(host, NOW - 60, tags) for host in ("a", "b")]
    paths = write(tmp_path, samples)
    save(paths[0], table_of([samples[0]] * 3))
    ours = fleet("top", tmp_path, "-o", "jsonl")
    assert [row["bytes"] for row in rows(ours)] == [2 * tag.bytes for tag in reversed(tags)]
    spark = ("--engine", "spark", "--master", cluster)
    assert fleet("top", tmp_path, "-o", "jsonl", *spark) == ours


def test_a_cluster_that_is_not_there(placed: Path) -> None:
    result = fleet("top", placed, "--engine", "spark", "--master", "nonsense://x")
    refused(result, "Spark at nonsense://x: ")
