"""What is installed for Prometheus, Grafana and systemd, with the programs themselves."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from command import here, until
from exporter import exporter
from oracle import SAMPLE

from allocq.options.commands import EXPORT_LISTEN

ROOT = Path(__file__).parents[1]
INSTALLED = ROOT / "allocq/commands/export"
CONFIG = INSTALLED / "prometheus.yml"
DASHBOARD = INSTALLED / "grafana.json"
UNIT = INSTALLED / "allocq-export.service"
PLACE = ("file", "function", "module")

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="no prometheus"
)
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """A running Prometheus that scrapes one exporter every second."""

    def __init__(self, folder: Path, target: int) -> None:
        text = CONFIG.read_text()
        text = text.replace("127.0.0.1:9836", f"127.0.0.1:{target}").replace("60s", "1s")
        (folder / "prometheus.yml").write_text(text)
        self.port = free_port()
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=error",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def query(self, expression: str) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{urlencode({'query': expression})}"
        with urlopen(url, timeout=60) as answer:
            found = json.load(answer)
        assert found["status"] == "success"
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def number(self, expression: str) -> float | None:
        found = self.query(expression)
        assert len(found) <= 1
        return float(found[0]["value"][1]) if found else None

    def by(self, expression: str, *names: str) -> dict[tuple[str, ...], float]:
        """Values by these labels."""
        return {
            tuple(each["metric"].get(name, "") for name in names): float(each["value"][1])
            for each in self.query(expression)
        }

    def is_ready(self) -> bool:
        assert self.process.poll() is None
        with contextlib.suppress(OSError):
            return self.number("allocq_up") == 1
        return False


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, Path]]:
    """A Prometheus, and the listing that it sees."""
    folder = tmp_path_factory.mktemp("prometheus")
    listing = folder / "listing.txt"
    listing.write_bytes(SAMPLE.read_bytes())
    with exporter("--source", str(listing), "--max-age", "0s") as running:
        prometheus = Prometheus(folder, running.port)
        try:
            until(prometheus.is_ready)
            yield prometheus, listing
        finally:
            prometheus.process.send_signal(signal.SIGKILL)
            prometheus.process.wait()


def asked(*argv: str) -> Any:
    return json.loads(here("query", "--sample", "-o", "json", *argv).out)


@needs_prometheus
def test_answers_equal_those_of_query(scraped: tuple[Prometheus, Path]) -> None:
    prometheus, _ = scraped
    total = asked()["total"]
    for name in ("allocq", "allocq_directory", "allocq_module"):
        assert prometheus.number(f"sum({name}_bytes)") == total["bytes"]
        assert prometheus.number(f"sum({name}_calls)") == total["calls"]
    assert prometheus.number("allocq_tags") == total["tags"]
    assert prometheus.number("allocq_inaccurate_tags") == asked("--inaccurate")["total"]["tags"]
    groups = asked("-g", "module")["groups"]
    modules = {(group["module"] or "",): group["bytes"] for group in groups if group["bytes"]}
    found = prometheus.by('allocq_module_bytes{module!="other"}', "module")
    assert found == modules
    found = prometheus.by('topk(5, allocq_bytes{file!="other"})', *PLACE)
    assert found == largest(5)
    slab = prometheus.number("sum(allocq_bytes) - on() allocq_slab_page_bytes")
    assert slab == asked()["total"]["bytes"] - asked("--slab", "only")["total"]["bytes"]
    directory = asked("-g", "directory", "-s", "bytes", "-n", "3")["groups"]
    found = prometheus.by("topk(3, allocq_directory_bytes)", "directory")
    assert found == {(group["directory"],): group["bytes"] for group in directory}


def largest(count: int) -> dict[tuple[str, ...], float]:
    """The tags of `allocq query`, those of one file, function and module summed."""
    found: Counter[tuple[str, ...]] = Counter()
    for tag in asked()["tags"]:
        found[tag["file"], tag["function"], tag["module"] or ""] += tag["bytes"]
    return dict(found.most_common(count))


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions(panel: dict[str, Any]) -> list[str]:
    """The queries, with what the variables of the dashboard stand for."""
    return [
        target["expr"].replace("$job", "allocq").replace("$instance", ".*")
        for target in panel["targets"]
    ]


@needs_prometheus
def test_the_queries_of_the_dashboard_are_answered(scraped: tuple[Prometheus, Path]) -> None:
    prometheus, listing = scraped
    places, growth, sums, trust = panels()
    [largest_now] = expressions(places)
    assert prometheus.by(largest_now, *PLACE) == largest(10)
    by_directory, by_module = expressions(sums)
    groups = asked("-g", "directory", "-s", "bytes", "-n", "10")["groups"]
    assert prometheus.by(by_directory, "directory") == {
        (group["directory"],): group["bytes"] for group in groups
    }
    groups = [group for group in asked("-g", "module")["groups"] if group["module"]]
    found = prometheus.by(by_module, "module")
    assert ("zram",) in found
    assert sum(found.values()) == sum(group["bytes"] for group in groups)
    total, readable, profiling = expressions(trust)
    counted = asked()["total"]["bytes"] - asked("--slab", "only")["total"]["bytes"]
    assert prometheus.number(total) == counted and prometheus.number(readable) == 1
    assert prometheus.query(profiling) == [], "a file does not say"
    # One place grows.
    [grown] = expressions(growth)
    line = next(
        line for line in SAMPLE.read_bytes().splitlines() if b"func:shmem_alloc_folio" in line
    )
    size = int(line.split()[0])
    more = line.replace(str(size).encode(), str(size + (64 << 20)).encode(), 1)
    listing.write_bytes(SAMPLE.read_bytes().replace(line, more))
    place = ("mm/shmem.c", "shmem_alloc_folio", "")
    until(lambda: prometheus.by(grown, *PLACE).get(place, 0) >= 32 << 20)
    assert set(prometheus.by(grown, *PLACE)) == {place}


def test_the_dashboard_is_what_grafana_reads() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["title"] and board["uid"] and board["schemaVersion"] >= 36
    shown = board["panels"]
    assert len(shown) == 4 and len({panel["id"] for panel in shown}) == 4
    variables = {each["name"] for each in board["templating"]["list"]}
    text = DASHBOARD.read_text()
    used = set(re.findall(r"\$\{?([a-z]+)\}?", text.replace("$__all", "")))
    assert used == variables
    for panel in shown:
        assert panel["title"] and panel["description"] and panel["targets"]
        assert {"h", "w", "x", "y"} == set(panel["gridPos"])
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    exposed = here("export", "--sample", "--textfile", "-").out.decode()
    served = set(re.findall(r"^# TYPE (\S+)", exposed, re.M))
    served |= {"allocq_up", "allocq_profiling_enabled"}
    assert set(re.findall(r"allocq_[a-z_]+", DASHBOARD.read_text())) <= served


@needs_prometheus
def test_promtool_accepts_the_scrape_config() -> None:
    done = subprocess.run(["promtool", "check", "config", CONFIG], capture_output=True, text=True)
    assert done.returncode == 0, done


@needs_prometheus
def test_promtool_accepts_what_is_served() -> None:
    with exporter() as running:
        body = running.get()[2]
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@needs_systemd
def test_systemd_accepts_the_unit_and_finds_little_exposed(tmp_path: Path) -> None:
    program = shutil.which("true")
    text = UNIT.read_text().replace("ExecStart=allocq", f"ExecStart={program}")
    unit = tmp_path / "allocq-export.service"
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    assert done.returncode == 0 and "allocq-export" not in done.stderr, done
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_PAGER": "cat"},
    )
    assert done.returncode == 0, done.stdout


def test_the_unit_starts_what_there_is() -> None:
    """The options of its command line are those of this version."""
    [line] = re.findall(r"^ExecStart=allocq (.+)$", UNIT.read_text(), re.M)
    command, *options = line.split()
    assert command == "export"
    assert options == ["--listen", EXPORT_LISTEN]
