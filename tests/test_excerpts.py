"""Excerpts are not wholes: what one side of a diff does not list is neither new nor gone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import here

from allocq.analysis.excerpt import excerpt_of
from allocq.host.machine import read_meminfo
from allocq.model import Info
from allocq.storage.snapshot import live_metadata

FIELD = Path(__file__).parent / "field"
FIXTURE = Path(__file__).parent / "fixtures" / "allocinfo-7.3.4-uml.txt"
PROGRAM = Path(sys.executable).with_name("allocq")
HEADER = "allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"


def run(*argv: str | Path) -> tuple[int, str, str]:
    done = subprocess.run([PROGRAM, *argv], capture_output=True, check=False, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def changes(*argv: str | Path) -> dict[str, dict[str, object]]:
    """By function."""
    lines = run("diff", *argv, "-o", "jsonl")[1].splitlines()
    return {str(change["function"]): change for change in map(json.loads, lines)}


def test_two_top_lists() -> None:
    found = changes(FIELD / "ice-day0.txt", FIELD / "ice-day6.txt")
    ice = found["ice_alloc_mapped_page"]
    assert (ice["change"], ice["bytes_growth"]) == ("grown", 3341238272 - 1105125376)
    shmem = found["shmem_alloc_folio"]  # below 45409728 before
    assert (shmem["change"], shmem["bytes_growth"]) == ("unlisted", 106229760 - 45409728)
    assert shmem["bytes_before"] is None
    dma = found["__dma_direct_alloc_pages"]  # below 102489024 after, so it may have grown
    assert (dma["change"], dma["bytes_growth"]) == ("unlisted", 0)
    err = run("diff", FIELD / "ice-day0.txt", FIELD / "ice-day6.txt")[2]
    assert "ice-day0.txt is an excerpt" in err and "at most 43.3M" in err


def test_sums_count_as_little_as_there_must_be() -> None:
    argv = ("diff", FIELD / "ice-day0.txt", FIELD / "ice-day6.txt", "-g", "file", "-o", "jsonl")
    found = {row["file"]: row for row in map(json.loads, run(*argv)[1].splitlines())}
    assert found["mm/shmem.c"]["bytes_growth"] == 106229760 - 45409728
    assert "kernel/dma/direct.c" not in found


def test_a_log_against_itself_compares_its_ends() -> None:
    found = changes(FIELD / "nvme-two-listings-plain.txt")
    assert list(found) == ["nvme_pci_setup_data_prp"]
    assert found["nvme_pci_setup_data_prp"]["bytes_growth"] == 30242752512 - 40441984
    err = run("diff", FIELD / "nvme-two-listings-plain.txt")[2]
    assert "its first and its last are compared" in err


def test_a_top_ten_of_the_kernel_against_a_whole_listing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "Memory allocations:\n    38.4 MiB     5505 mm/slub.c:3347 func:alloc_slab_page\n"
    )
    found = changes(log, FIXTURE)
    assert {change["change"] for change in found.values()} <= {"grown", "shrunk", "unlisted"}


def test_a_whole_listing_has_new_and_gone_tags(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    lines = FIXTURE.read_text().splitlines(keepends=True)
    lines += ["4096 1 a.c:1 func:gone \n", "4096 1 a.c:2 func:new \n"]
    before.write_text("".join(lines[:-1]))
    after.write_text("".join([*lines[:-2], lines[-1]]))
    argv = ("diff", before, after, "-o", "jsonl", "--sort", "none")
    kinds = [json.loads(line)["change"] for line in run(*argv)[1].splitlines()]
    assert sorted(kinds) == ["gone", "new"]


def test_a_limited_answer_says_so(tmp_path: Path) -> None:
    path = tmp_path / "top.json"
    path.write_text(run("query", "--source", FIXTURE, "-o", "json", "-n", "20", "-s", "bytes")[1])
    assert json.loads(path.read_text())["limit"] == 20
    _, out, err = run("diff", path, FIXTURE, "-o", "jsonl")
    kinds = {json.loads(line)["change"] for line in out.splitlines()}
    assert kinds == {"unlisted"} and "limited to 20 tags" in err


@pytest.mark.parametrize(
    ("sizes", "info", "why"),
    [
        ([5, 9, 7], Info("", ""), "header"),
        ([5, 9, 7], Info("", "", version="2.0"), None),
        (list(range(20)), Info("", "", version="2.0"), "sorted"),
        ([3, 1, 2] * 20, Info("", "", version="2.0"), "empty"),
        ([3, 0, 2] * 20, Info("", "", version="2.0"), None),
        ([3, 2], Info("", "", listing="kernel log"), "ten largest"),
        (list(range(20)), Info("", "", version="2.0", metadata={"allocq-snapshot": "1"}), None),
        ([4], Info("", "", metadata={"filter": '{"min_size":4096}'}), "minimum size"),
        ([], Info("", ""), None),
    ],
)
def test_what_an_excerpt_is(sizes: list[int], info: Info, why: str | None) -> None:
    excerpt = excerpt_of(sizes, info)
    assert (excerpt is None) == (why is None)
    assert excerpt is None or why is None or why in excerpt.why


def test_a_snapshot_says_that_profiling_was_off(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_text(
        f'{HEADER}# allocq-snapshot: 1\n# profiling: off\n# meminfo: {{"MemTotal":4096}}\n'
        "        4096        1 mm/a.c:1 func:f \n"
    )
    for format in ("procfs", "json"):
        status, _, err = run("query", "--source", path, "-o", format)
        assert status == 0 and err.count("profiling was off") == 1, format
    status, out, _ = run("snapshot", "--source", path)
    assert "# profiling: off\n" in out and '# meminfo: {"MemTotal":4096}\n' in out


def test_memory_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text(
        "MemTotal:       16 kB\nAnonPages:  4 kB\nHugePages_Total:       0\n"
    )
    assert read_meminfo(str(tmp_path)) == {"MemTotal": 16384, "AnonPages": 4096}
    meminfo = json.loads(live_metadata(Info("/proc/allocinfo", "text"))["meminfo"])
    assert meminfo["MemTotal"] > 0 and "\n" not in json.dumps(meminfo)


def test_the_total_is_of_the_rows_where_slab_pages_are_not_listed() -> None:
    one, two = FIELD / "cephfs-quoted.txt", FIELD / "nvme-bytes.txt"
    document = json.loads(here("diff", str(one), str(two), "-o", "json").out)
    rows = document["changes"]
    pages = [row for row in rows if row["function"] == "alloc_slab_page"]
    assert any(row["change"] == "unlisted" and row["bytes_growth"] for row in pages)
    for name in ("bytes_growth", "calls_growth"):
        assert document["counted"][name] == sum(row[name] for row in rows if row not in pages)


def test_check_counts_only_what_an_excerpt_lets_be_certain() -> None:
    one, two = FIELD / "ice-day0.txt", FIELD / "ice-day6.txt"
    done = here("check", "--baseline", str(one), "--source", str(two), "-o", "json")
    found = {leak["file"]: leak for leak in json.loads(done.out)["grown"]}
    shown = [line.split() for line in one.read_text().splitlines() if " func:" in line]
    assert not any("mm/shmem.c" in word for words in shown for word in words)
    unlisted = found["mm/shmem.c"]
    assert unlisted["change"] == "unlisted"
    assert unlisted["bytes_growth"] < unlisted["bytes_after"]
    assert "is an excerpt" in done.err
