"""`allocq memory`: both sides add up, and the answer is the one that the numbers give."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import oracle
import pytest
from command import here, refused, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracle import SAMPLE, TEXTS
from terminal import on_terminal

from allocq.analysis.memory import Kind, kind_of
from allocq.host.machine import parse_cpu_lists, parse_meminfo
from allocq.model import Info
from allocq.storage.snapshot import live_metadata

KB = 1024
MEMINFO = {
    "MemTotal": 8000000, "MemFree": 2000000, "Buffers": 50000, "Cached": 1500000, "Shmem": 300000,
    "AnonPages": 1200000, "Slab": 400000, "SReclaimable": 250000, "KernelStack": 20000,
    "PageTables": 40000, "SecPageTables": 1000, "VmallocUsed": 90000, "Percpu": 15000,
    "Hugetlb": 100000,
}  # fmt: skip


def meminfo_text(values: dict[str, int]) -> str:
    """As the kernel prints it; kB."""
    lines = [f"{name}:{value:>16} kB\n" for name, value in values.items()]
    return "".join([*lines, "HugePages_Total:       0\n"])


def snapshot(tags: bytes, values: dict[str, int] | None) -> bytes:
    """A snapshot of allocq with this /proc/meminfo."""
    noted = json.dumps({name: value * KB for name, value in (values or {}).items()})
    head = "# allocq-snapshot: 1\n" + (f"# meminfo: {noted}\n" if values else "")
    lines = tags.split(b"\n", 2)
    return b"\n".join(lines[:2]) + b"\n" + head.encode() + lines[2]


def memory(path: Path, *argv: str) -> Any:
    done = here("memory", "--source", str(path), "-o", "json", *argv)
    assert done.status == 0, done
    return json.loads(done.out)


def saved(tmp_path: Path, tags: bytes, values: dict[str, int] | None = None) -> Path:
    path = tmp_path / "saved"
    path.write_bytes(snapshot(tags, values))
    return path


def rows(document: Any) -> dict[str, tuple[int | None, int]]:
    return {row["name"]: (row["meminfo"], row["tags"]) for row in document["memory"]}


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_both_columns_add_up(tmp_path: Path, text: Path) -> None:
    document = memory(saved(tmp_path, text.read_bytes(), MEMINFO))
    total, found = document["total"], rows(document)
    assert sum(tags for _, tags in found.values()) == total["tags"]
    assert total["tags"] == oracle.once(oracle.parse(text.read_bytes()))[0]
    counted = sum(size or 0 for size, _ in found.values())
    assert counted + total["tags_only"] + total["neither"] + total["free"] == total["memory"]
    assert sum(document["sides"].values()) == total["used"]
    # By hand, in kB.
    assert {name: size // KB for name, (size, _) in found.items() if size is not None} == {
        "anonymous": 1200000, "shared": 300000, "huge pages": 100000,
        "page cache": 1500000 + 50000 - 300000, "slab": 400000, "page tables": 41000,
        "kernel stacks": 20000, "percpu": 15000, "vmalloc and others": 70000,
    }  # fmt: skip
    assert document["sides"]["cache"] == (1250000 + 250000) * KB
    assert document["sides"]["user"] == 1600000 * KB


sizes = st.integers(0, 1 << 34)


@unhurried
@given(st.dictionaries(st.sampled_from(sorted(MEMINFO)), sizes))
def test_they_add_up_whatever_the_numbers(values: dict[str, int]) -> None:
    from allocq.analysis.memory import account, tagged
    from allocq.sources.source import open_source

    with open_source(str(SAMPLE)) as source:
        tags = tagged(source.read().table)
    whole = account(tags, {"MemTotal": 1 << 35, **values})
    assert whole.total is not None and whole.free is not None
    counted = sum(row.meminfo or 0 for row in whole.rows)
    assert whole.tags_only is not None and whole.neither is not None and whole.tags_only >= 0
    assert counted + whole.tags_only + whole.neither + whole.free == whole.total


def test_a_leak_of_a_driver_shows_where_no_counter_has_it(tmp_path: Path) -> None:
    leak = b"  2147483648   524288 drivers/net/x/rx.c:9 [x] func:x_alloc_page \n"
    document = memory(saved(tmp_path, SAMPLE.read_bytes() + leak, MEMINFO))
    total = document["total"]
    assert total["tags_only"] == pytest.approx(2147483648, rel=0.05)
    # 6,000,000 kB are used, 3,396,000 in counters, 2 GiB at the tag.
    uncounted = (6000000 - 3396000) * KB
    assert total["neither"] + total["tags_only"] == uncounted
    assert document["largest"][0]["function"] == "x_alloc_page"
    assert document["most"] == "kernel"
    table = here("memory", "--source", str(tmp_path / "saved")).out.decode()
    assert "drivers/net/x/rx.c:9 [x]  x_alloc_page" in table
    assert "The kernel holds the largest part: a leak if it grows" in table


@pytest.mark.parametrize(
    ("changed", "most", "words"),
    [
        ({"Cached": 4500000}, "cache", "Cache is the largest part"),
        ({"AnonPages": 4000000}, "user", "Programs hold the largest part"),
        ({"Shmem": 4000000, "Cached": 4500000}, "user", "Shared memory is the largest part"),
        ({}, "kernel", "The kernel holds the largest part"),
    ],
)
def test_the_answer(tmp_path: Path, changed: dict[str, int], most: str, words: str) -> None:
    path = saved(tmp_path, SAMPLE.read_bytes(), {**MEMINFO, **changed})
    assert memory(path)["most"] == most
    assert words in here("memory", "--source", str(path)).out.decode()


def test_kinds_of_tags() -> None:
    found: dict[Kind, set[str]] = {}
    for tag in oracle.parse(SAMPLE.read_bytes()):
        found.setdefault(kind_of(tag.file, tag.function), set()).add(f"{tag.file} {tag.function}")
    assert "mm/memory.c folio_prealloc" in found[Kind.ANONYMOUS]
    assert "mm/memory.c __pmd_alloc" in found[Kind.PAGE_TABLES]
    assert "arch/x86/mm/pgtable.c pte_alloc_one" in found[Kind.PAGE_TABLES]
    assert "mm/readahead.c ractl_alloc_folio" in found[Kind.PAGE_CACHE]
    assert "mm/shmem.c shmem_alloc_folio" in found[Kind.SHARED]
    assert "mm/shmem.c shmem_alloc_inode" in found[Kind.OTHER]  # a slab object
    assert "kernel/fork.c alloc_thread_stack_node" in found[Kind.STACKS]
    assert "kernel/fork.c alloc_task_struct_node" in found[Kind.OTHER]
    assert found[Kind.PERCPU] == {"mm/percpu-vm.c pcpu_alloc_pages"}


def test_a_saved_meminfo(tmp_path: Path) -> None:
    info = tmp_path / "meminfo"
    info.write_text(meminfo_text(MEMINFO))
    given = memory(SAMPLE, "--meminfo", str(info))
    noted = memory(saved(tmp_path, SAMPLE.read_bytes(), MEMINFO))
    assert given["memory"] == noted["memory"] and given["total"] == noted["total"]
    assert given["meminfo"] == noted["meminfo"] == {n: v * KB for n, v in MEMINFO.items()}


def test_without_meminfo_the_tags_are_shown_and_that_is_said() -> None:
    done = here("memory", "--source", str(SAMPLE))
    assert done.status == 0 and "page cache" in done.out.decode()
    assert "has no /proc/meminfo with it: --meminfo FILE adds one" in done.err
    document = memory(SAMPLE)
    assert document["meminfo"] is None and document["total"]["neither"] is None
    assert all(size is None for size, _ in rows(document).values())


@pytest.mark.parametrize(
    "noted",
    ["", "{", "[1]", '{"MemTotal":"x"}', '{"MemTotal":-5}', '{"MemTotal":true}', "[" * 5000],
)
def test_damaged_notes_are_no_meminfo(tmp_path: Path, noted: str) -> None:
    lines = SAMPLE.read_bytes().split(b"\n", 2)
    path = tmp_path / "saved"
    head = f"# allocq-snapshot: 1\n# meminfo: {noted}\n".encode()
    path.write_bytes(b"\n".join(lines[:2]) + b"\n" + head + lines[2])
    assert memory(path)["meminfo"] is None


def test_odd_values_in_notes_are_passed_over(tmp_path: Path) -> None:
    lines = SAMPLE.read_bytes().split(b"\n", 2)
    path = tmp_path / "saved"
    noted = '{"MemTotal":4096,"MemFree":9999999999999999999999,"Cached":null,"Slab":[1]}'
    path.write_bytes(
        b"\n".join(lines[:2]) + f"\n# allocq-snapshot: 1\n# meminfo: {noted}\n".encode() + lines[2]
    )
    assert memory(path)["meminfo"] == {"MemTotal": 4096}


def test_a_part_of_the_tags_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "part"
    here("snapshot", "--source", str(SAMPLE), "-f", "mm/", "-o", str(path))
    assert "saved with a filter: it lacks other tags" in here("memory", "--source", str(path)).err
    path.write_bytes(b"4096 1 a.c:1 func:f \n")
    assert "is an excerpt (it has no header)" in here("memory", "--source", str(path)).err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--meminfo", "/nowhere"], "cannot read /nowhere"),
        (["--meminfo", str(SAMPLE)], "is not a /proc/meminfo"),
        (["-o", "csv"], "csv"),
        (["-n", "x"], "x"),
        (["--source", "/nowhere"], "/nowhere"),
    ],
)
def test_mistakes(argv: list[str], words: str) -> None:
    source = [] if "--source" in argv else ["--sample"]
    refused(here("memory", *source, *argv), words)


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 24), (132, 50)])
def test_it_is_one_screen(tmp_path: Path, columns: int, lines: int) -> None:
    path = saved(tmp_path, SAMPLE.read_bytes(), MEMINFO)
    seen = on_terminal("memory", "--source", str(path), columns=columns, lines=lines)
    assert seen.status == 0
    assert max(map(len, seen.lines)) <= columns and len(seen.lines) < lines
    if columns == 80:
        assert not [line for line in seen.lines if len(line) == columns]  # nothing is cut
    assert "page cache" in seen.text and "neither" in seen.text and "\x1b[1m" in seen.text
    dumb = on_terminal("memory", "--source", str(path), TERM="dumb")
    assert "\x1b" not in dumb.text


def test_limit_and_bytes(tmp_path: Path) -> None:
    path = saved(tmp_path, SAMPLE.read_bytes(), MEMINFO)
    assert len(memory(path, "-n", "2")["largest"]) == 2
    table = here("memory", "--source", str(path), "--bytes", "-n", "0").out.decode()
    assert "LARGEST" not in table and str(1200000 * KB) in table


def test_meminfo_and_zoneinfo_as_the_kernel_prints_them() -> None:
    assert parse_meminfo("MemTotal:  12 kB\nHugePages_Total:  3\nbad\n") == {"MemTotal": 12 * KB}
    zones = """Node 0, zone   Normal
  pages free     239167
        boost    0
  pagesets
    cpu: 0
              count:    770
              high:     8297
    cpu: 1
              count:    241
  node_unreclaimable:  0
Node 0, zone  Movable
  pagesets
    cpu: 0
              count:    5
              high_min: 0
"""
    assert parse_cpu_lists(zones) == 770 + 241 + 5
    assert parse_cpu_lists("") == 0


def test_a_saved_listing_is_an_operand(tmp_path: Path) -> None:
    path = saved(tmp_path, SAMPLE.read_bytes(), MEMINFO)
    assert here("memory", str(path)) == here("memory", "--source", str(path))
    refused(here("memory", str(path), "--source", str(path)), "is a second source")
    refused(here("memory", str(path), "--sample"), "is a second source")
    refused(here("memory", "/nowhere"), "/nowhere")
    refused(here("memory", ""), "empty file name")
    (tmp_path / "empty").mkdir()
    refused(here("memory", str(tmp_path / "empty")), "holds no recording and no saved listing")
    refused(here("memory", str(path), "more"), "unexpected extra argument 'more'")
    info = tmp_path / "meminfo"
    info.write_text(meminfo_text(MEMINFO))
    done = here("memory", str(info))
    refused(done, "holds meminfo, not tags")
    assert f"hint: use --meminfo {info}" in done.err
    refused(here("memory", "/proc/meminfo"), "holds meminfo, not tags")


@pytest.mark.parametrize(
    ("noted", "kept"), [("4096000", 4096000), ("x", None), ("-1", None), ("9" * 30, None)]
)
def test_a_snapshot_has_what_cpus_keep_free(tmp_path: Path, noted: str, kept: int | None) -> None:
    path = saved(tmp_path, SAMPLE.read_bytes(), MEMINFO)
    text = path.read_bytes().replace(b"# meminfo", f"# free-on-cpus: {noted}\n# meminfo".encode())
    path.write_bytes(text)
    total = memory(path)["total"]
    assert total["free_on_cpus"] == kept
    assert total["used"] == (8000000 - 2000000) * KB - (kept or 0)
    again = tmp_path / "again"
    here("snapshot", "--source", str(path), "--output", str(again))
    assert memory(again)["total"] == total


def test_it_is_read_from_the_proc_of_the_tags(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 16 kB\n")
    (tmp_path / "zoneinfo").write_text("  pagesets\n    cpu: 0\n              count:    3\n")
    noted = live_metadata(Info(str(tmp_path / "allocinfo"), "text"))
    assert json.loads(noted["meminfo"]) == {"MemTotal": 16 * KB}
    assert noted["free-on-cpus"] == str(3 * os.sysconf("SC_PAGE_SIZE"))


@pytest.mark.parametrize("columns", [24, 30, 40])
def test_no_number_is_cut(tmp_path: Path, columns: int) -> None:
    path = saved(tmp_path, SAMPLE.read_bytes(), MEMINFO)
    seen = on_terminal("memory", str(path), columns=columns)
    assert max(map(len, seen.lines)) <= columns
    whole = here("memory", str(path)).out.decode().splitlines()
    for line, due in zip(seen.lines[1:10], whole[1:10], strict=True):
        assert line.split()[-2:] == due[:44].split()[-2:]


def test_a_meminfo_that_cannot_be_read(tmp_path: Path) -> None:
    refused(here("memory", "--sample", "--meminfo", str(tmp_path)), "it is a directory")
    refused(here("memory", "--sample", "--meminfo", "/nowhere"), "No such file or directory")
