"""Excerpts are not wholes: what one side of a diff does not list is neither new nor gone."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import here, refused, unhurried
from hypothesis import given
from hypothesis import strategies as st

from allocq.analysis.diff import Change, ChangeKind, Count, bound, sums
from allocq.analysis.excerpt import Excerpt, excerpt_of
from allocq.host.machine import read_meminfo
from allocq.model import Filter, Info
from allocq.sources.source import open_source
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
    assert read_meminfo(str(tmp_path / "proc")) == {"MemTotal": 16384, "AnonPages": 4096}
    meminfo = json.loads(live_metadata(Info("/proc/allocinfo", "text"))["meminfo"])
    assert meminfo["MemTotal"] > 0 and "\n" not in json.dumps(meminfo)


def test_the_total_is_of_the_rows_where_slab_pages_are_not_listed() -> None:
    one, two = FIELD / "cephfs-quoted.txt", FIELD / "nvme-bytes.txt"
    document = json.loads(here("diff", str(one), str(two), "-o", "json").out)
    rows = document["changes"]
    pages = [row for row in rows if row["function"] == "alloc_slab_page"]
    assert any(row["change"] == "unlisted" and row["bytes_growth"] for row in pages)
    for name in ("bytes_growth", "calls_growth"):
        assert document["counted"][name] == sum(row[name] or 0 for row in rows if row not in pages)


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


EXCERPTS = [
    "ice-day0.txt", "ice-day0-lines.txt", "cephfs-quoted.txt", "nvme-bytes.txt",
    "uml-7.3.4-sysrq-m-dmesg.txt", "xen-uvc-oom-dmesg.txt", "arm64-oom-two-lists.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", EXCERPTS)
def test_a_snapshot_of_an_excerpt_is_one(name: str, tmp_path: Path) -> None:
    path, again = tmp_path / "snapshot", tmp_path / "again.gz"
    assert here("snapshot", "--source", str(FIELD / name), "--output", str(path)).status == 0
    assert here("snapshot", "--source", str(path), "--output", str(again)).status == 0
    with open_source(str(FIELD / name)) as source:
        listing = source.read()
    excerpt = excerpt_of(listing.table.column("bytes"), listing.info)
    assert excerpt is not None
    other = str(FIELD / "ice-day6.txt")
    for copy in (path, again):
        with open_source(str(copy)) as source:
            read = source.read()
        assert excerpt_of(read.table.column("bytes"), read.info) == excerpt
        assert read.info.rounded == listing.info.rounded
        assert read.info.time == listing.info.time
        for pair in ((0, 1), (1, 0)):
            words = [(str(FIELD / name), other)[i] for i in pair]
            ours = [(str(copy), other)[i] for i in pair]
            assert here("diff", *ours, "-o", "tsv").out == here("diff", *words, "-o", "tsv").out
            whys = [line for line in here("diff", *ours).err.splitlines() if str(copy) in line]
            assert sum(" an excerpt (" in line for line in whys) == 1
        checks = [
            here("check", "--baseline", str(x), "--source", other) for x in (FIELD / name, copy)
        ]
        assert checks[0][:2] == checks[1][:2]
        for command in ("tree", "query"):
            done = here(command, str(copy))
            assert f"{copy}: an excerpt ({excerpt.why})" in done.err
            assert ("sizes are rounded" in done.err) == listing.info.rounded
            assert done.out == here(command, str(FIELD / name)).out or command == "query"


def test_a_part_of_an_excerpt_knows_what_the_whole_of_it_lacked(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    here("snapshot", "--source", str(FIELD / "ice-day0.txt"), "-m", "ice", "--output", str(path))
    assert "# excerpt: 45409728 it has no header\n" in path.read_text()
    crlf = tmp_path / "crlf"
    crlf.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert "an excerpt (it has no header)" in here("tree", str(crlf)).err
    larger = tmp_path / "larger"
    here("snapshot", "--source", str(path), "--min-size", "1G", "--output", str(larger))
    with open_source(str(larger)) as source:
        read = source.read()
    assert excerpt_of([], read.info) == Excerpt("it has no header", (1 << 30) - 1)


def test_profiling_that_was_off_is_kept_from_a_log(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "snapshot"
    log.write_text(
        "Memory allocations (profiling is currently turned off):\n"
        "    38.4 MiB     5505 mm/slub.c:3347 func:alloc_slab_page\n"
    )
    here("snapshot", "--source", str(log), "--output", str(path))
    assert "# profiling: off\n# rounded: yes\n# excerpt: 40265318 the" in path.read_text()
    assert "the counters were frozen" in here("query", str(path)).err


@pytest.mark.parametrize("noted", ["", "x", "-5 a", "999999999999999999999 a", "\u0665 a", " 7"])
def test_damaged_notes_make_no_excerpt(noted: str, tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_text(f"{HEADER}# allocq-snapshot: 1\n# excerpt: {noted}\n  1 1 a.c:1 func:f \n")
    with open_source(str(path)) as source:
        read = source.read()
    excerpt = excerpt_of([1], read.info)
    assert excerpt == (Excerpt("it says so", 7) if noted == " 7" else None)
    assert here("query", str(path)).status == 0


def test_what_is_not_listed_is_shown_as_a_bound() -> None:
    one, two = str(FIELD / "ice-day0.txt"), str(FIELD / "ice-day6.txt")
    lines = here("diff", one, two, "-o", "table").out.decode().splitlines()
    shmem = next(line for line in lines if "shmem_alloc_folio" in line)
    assert shmem.split()[:4] == [">=+58.0M^", "<=43.3M", "101.3M", "unlisted"]
    dma = next(line for line in lines if "dma_direct" in line)
    assert dma.split()[:3] == ["68.2M", "<=97.7M", "unlisted"]
    assert any("as far as is certain" in line for line in lines)
    gone = next(line for line in here("diff", two, one, "-o", "table").out.decode().splitlines()
                if "shmem_alloc_folio" in line)  # fmt: skip
    assert gone.split()[:4] == ["<=-58.0M^", "101.3M", "<=43.3M", "unlisted"]
    rows = [json.loads(line) for line in here("diff", one, two, "-o", "jsonl").out.splitlines()]
    for row in rows:
        unlisted = row["change"] == "unlisted"
        assert unlisted == (row["calls_growth"] is None)
    check = here("check", "--baseline", one, "--source", two, "-f", "mm/shmem.c")
    assert check.out.decode().splitlines()[-1].endswith("shmem_alloc_folio (at least +58.0M)")


def paste(tmp_path: Path, name: str, **sizes: int) -> str:
    """Tags without a header; the functions of a file have its name first."""
    path = tmp_path / name
    path.write_text("".join(
        f"{size} 1 {function.partition('_')[0]}.c:1 func:{function} \n"
        for function, size in sizes.items()
    ))  # fmt: skip
    return str(path)


def test_only_real_growth_of_a_sum_is_called_grown(tmp_path: Path) -> None:
    before = paste(tmp_path, "before", a_x=1000, b_x=1000, c_x=5000, e_x=100)
    after = paste(tmp_path, "after", a_x=1010, a_y=90, b_x=1300, b_y=90, c_y=30, d_x=700, e_x=30)
    # a: +10, and a_y was at most 100, so from 0 to +100. b: +300 - 10. c: c_x shrank by 4970 at
    # least, and c_y is 30 at most. d: 600 at least. e: only itself.
    out = here("diff", before, after, "-g", "file", "-o", "jsonl").out
    found = {row["file"]: row for row in map(json.loads, out.splitlines())}
    kinds = {file: (row["change"], row["bytes_growth"]) for file, row in found.items()}
    assert kinds == {
        "b.c": ("grown", 290),
        "c.c": ("shrunk", -4940),
        "d.c": ("unlisted", 600),
        "e.c": ("shrunk", -70),
    }
    assert found["d.c"]["bytes_before"] is None and found["b.c"]["bytes_before"] == 1000
    assert found["b.c"]["calls_growth"] is None and found["e.c"]["calls_growth"] == 0
    table = here("diff", before, after, "-g", "file", "-o", "table", "--bytes").out.decode()
    row = next(line for line in table.splitlines() if line.endswith("b.c"))
    assert row.split() == [">=+290", "<=1100", "1390", "grown", "b.c"]


sizes = st.dictionaries(
    st.sampled_from("abcdefgh"), st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=8
)


@unhurried
@given(sizes, st.integers(0, 99), st.integers(0, 99))
def test_the_true_growth_is_within_what_is_said(
    tags: dict[str, tuple[int, int]], least_before: int, least_after: int
) -> None:
    """Two lists of the largest: whatever they leave out, a sum grew as is said."""
    lists = (
        {name: size[0] for name, size in tags.items() if size[0] >= least_before},
        {name: size[1] for name, size in tags.items() if size[1] >= least_after},
    )
    changes = [
        Change(
            (f"{name < 'e'}.c", 1, None, name),
            Count(lists[0][name], 1) if name in lists[0] else None,
            Count(lists[1][name], 1) if name in lists[1] else None,
        )
        for name in {**lists[0], **lists[1]}
    ]
    bound(changes, least_before, least_after)
    for change in [*changes, *sums(changes, "file")]:
        listed = {each.function for each in changes if change.key in (each.key, each.key[:1])}
        truth = sum(tags[name][1] - tags[name][0] for name in listed)
        assert 0 <= change.bytes <= truth or truth <= change.bytes <= 0 or not change.bytes
        if change.kind is ChangeKind.GROWN:
            assert truth > 0
        if change.kind is ChangeKind.SHRUNK:
            assert truth < 0


def test_a_filter_of_a_snapshot_hides_no_growth(tmp_path: Path) -> None:
    header = "allocinfo - version: 2.0\n"
    small, large = tmp_path / "small", tmp_path / "large"
    for path, a, b in ((small, 50000, 900), (large, 5000000, 100)):
        path.write_text(f"{header}{a} 1 a.c:1 func:a \n{b} 1 b.c:1 func:b \n7 1 c.c:1 func:c \n")
    for option, name in (("--max-size", "100K"), ("--min-size", "500")):
        saved = tmp_path / f"saved{option}"
        here("snapshot", "--source", str(small), option, name, "--output", str(saved))
        done = here("check", "--baseline", str(saved), "--source", str(large))
        assert done.status == 1 and b"a.c:1 a" in done.out
        out = here("diff", str(saved), str(large), "-o", "jsonl").out
        rows = {row["function"]: row for row in map(json.loads, out.splitlines())}
        assert rows["a"]["bytes_growth"] == 4950000
        assert (rows["b"]["change"], rows["b"]["bytes_growth"]) == ("shrunk", -800)


def test_memory_of_users_is_marked_and_the_kernel_named(tmp_path: Path) -> None:
    lines = FIXTURE.read_text()
    line = next(line for line in lines.splitlines() if "func:ractl_alloc_folio" in line)
    own = next(line for line in lines.splitlines() if "func:__kernfs_new_node" in line)
    grown = line.replace(line.split()[0], "999999999", 1)
    after = tmp_path / "after"
    after.write_text(
        lines.replace(line, grown).replace(own, own.replace(own.split()[0], "9999999"))
    )
    rows = here("diff", str(FIXTURE), str(after), "-o", "table").out.decode().splitlines()
    assert "ractl_alloc_folio" in rows[1] and "^" in rows[1] and "^" not in rows[2]
    assert rows[-1].startswith("largest growth of the kernel itself: fs/kernfs/dir.c:")
    assert any(row.startswith("^ memory of programs, page cache") for row in rows)
    # What programs read is as it was: sorted by growth, without a mark.
    tsv = here("diff", str(FIXTURE), str(after)).out.decode()
    assert "ractl_alloc_folio" in tsv.splitlines()[1] and "^" not in tsv
    by_file = here("diff", str(FIXTURE), str(after), "-o", "table", "-g", "file").out.decode()
    assert "^" in by_file and "kernel itself: fs/kernfs/dir.c (+" in by_file


def cut_files(folder: Path) -> list[Path]:
    """A listing without its end, in all the ways that it is saved."""
    data = FIXTURE.read_bytes()
    here("snapshot", "--source", str(FIXTURE), "--output", str(folder / "whole"))
    snapshot = (folder / "whole").read_bytes()
    lines = data.splitlines(keepends=True)
    texts = {
        "plain": data[: len(data) // 2],
        "line": b"".join(lines[:500]),
        "few": b"".join(lines[:20]),
        "crlf": b"".join(lines[:500]).replace(b"\n", b"\r\n"),
        "snapshot": b"".join(snapshot.splitlines(keepends=True)[:500]),
        "snapshot.crlf": b"".join(snapshot.splitlines(keepends=True)[:500]).replace(b"\n", b"\r\n"),
        "header": b"".join(lines[:2]),
        "gz": gzip.compress(data)[:5000],
        "snapshot.gz": gzip.compress(b"".join(snapshot.splitlines(keepends=True)[:500])),
        **{
            format: here("query", "--source", str(FIXTURE), "-o", format).out[:60000]
            for format in ("json", "jsonl", "csv", "tsv")
        },
    }
    for name, text in texts.items():
        (folder / f"cut.{name}").write_bytes(text)
    return [folder / f"cut.{name}" for name in texts]


def test_a_listing_without_its_end_proves_nothing(tmp_path: Path) -> None:
    for cut in cut_files(tmp_path):
        for pair in ((cut, FIXTURE), (FIXTURE, cut)):
            done = here("check", "--baseline", str(pair[0]), "--source", str(pair[1]))
            refused(done, str(cut))
            assert len([line for line in done.err.splitlines() if line.startswith("allocq")]) == 1
            if cut.suffix == ".gz" and "snapshot" not in cut.name:
                refused(here("diff", *map(str, pair)), "compressed data is truncated")
            elif cut.name != "cut.header":
                shown = here("diff", *map(str, pair), "-o", "jsonl")
                assert (shown.status, shown.out) == (1, b""), cut
                assert f"{cut} may be truncated: only the tags in it are compared" in shown.err
    three = here("diff", str(tmp_path / "cut.line"), str(FIXTURE), str(FIXTURE), "-o", "jsonl")
    assert (three.status, three.out) == (1, b"") and "may be truncated" in three.err


def test_a_module_that_came_is_no_sign_of_a_missing_end(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_text(FIXTURE.read_text())
    after.write_text(FIXTURE.read_text() + "     9999999        1 m.c:1 [m] func:m_init \n")
    done = here("check", "--baseline", str(before), "--source", str(after))
    assert done.status == 1 and b"m_init" in done.out


def test_the_library_knows_excerpts_too(tmp_path: Path) -> None:
    top, large = tmp_path / "top", Filter(min_size="1M")
    here("snapshot", "--source", str(FIELD / "ice-day0.txt"), "--output", str(top))
    with open_source(str(top)) as one, open_source(str(FIELD / "ice-day6.txt")) as two:
        for filter in (Filter(), Filter(files=["mm/shmem.c"])):
            changes = one.read(filter).diff(two.read(filter))
            (shmem,) = [each for each in changes if each.function == "shmem_alloc_folio"]
            assert (shmem.kind, shmem.bytes) == (ChangeKind.UNLISTED, 106229760 - 45409728)
    lines = FIXTURE.read_text()
    top.write_text(lines + "  1000000 1 a.c:1 func:f \n")
    larger = tmp_path / "larger"
    larger.write_text(lines + "  1200000 1 a.c:1 func:f \n")
    with open_source(str(top)) as one, open_source(str(larger)) as two:
        (change,) = one.read(large).diff(two.read(large))
    assert (change.kind, change.bytes) == (ChangeKind.UNLISTED, 1200000 - (1048576 - 1))


@pytest.mark.parametrize("piped", [True, False])
def test_what_is_checked_can_be_piped_in(piped: bool, tmp_path: Path) -> None:
    grown = tmp_path / "grown"
    grown.write_text(FIXTURE.read_text() + "  9999999 1 m.c:1 [m] func:f \n")
    argv = [PROGRAM, "check", "--baseline", FIXTURE, "--source", "-"]
    for more, status in (((), 1), (("-m", "m"), 1), (("-m", "nosuch"), 2), (("-f", "mm/"), 0)):
        with open(grown, "rb") as file:
            given = {"input": file.read()} if piped else {"stdin": file}
            done = subprocess.run([*argv, *more], capture_output=True, timeout=60, **given)  # type: ignore[call-overload]
        assert done.returncode == status, done
    assert b"is empty" not in done.stderr


def test_counters_below_zero_are_in_the_sums_of_a_diff_and_not_said_to_be_left_out() -> None:
    one, two = str(FIELD / "underflow-6.12.txt"), str(FIXTURE)
    lines = here("diff", one, two, "-o", "table").out.decode().splitlines()
    assert "! underflowed: a counter is or was below zero" in lines
    assert not any("not in sums" in line for line in lines)
