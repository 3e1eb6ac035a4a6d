"""What people really have: each file of tests/field by the command that a person would type, and
listings mangled as logs, mailers and terminals do."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import quopri
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import oracle
import pytest
from command import ALLOCQ, MODULE
from hypothesis import given, settings
from hypothesis import strategies as st

import allocq
from allocq.sources.lenient.listing import Choice
from allocq.sources.lenient.scan import Scanner, scan_text

FIELD = Path(__file__).parent / "field"
SAMPLE = Path(allocq.sample_path())
FIXTURE = Path(__file__).parent / "fixtures" / "allocinfo-7.3.4-uml.txt"
PROGRAM = Path(sys.executable).with_name("allocq")
HEADER = b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"
M, K, G = 1 << 20, 1 << 10, 1 << 30
unhurried = settings(deadline=None, max_examples=60)


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: bytes
    err: str

    @property
    def tags(self) -> list[tuple[int, int, str]]:
        """(bytes, calls, the rest) of each line."""
        rows = [line.split(None, 2) for line in self.out.decode().splitlines()]
        return [(int(size), int(calls), rest.rstrip()) for size, calls, rest in rows]

    @property
    def warnings(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()


def run(*argv: str | Path, data: bytes | None = None) -> Done:
    """The installed program as a process; `data` comes through a pipe."""
    done = subprocess.run(
        [PROGRAM, *argv], input=data, capture_output=True, check=False, timeout=60
    )
    return Done(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))


def ask(name: str, *argv: str) -> Done:
    """A file of the field, as a file and through a pipe: the same answer."""
    path = FIELD / name
    done = run("query", path, *argv)
    for piped in (
        run("query", "--source", path, *argv),
        run("query", *argv, data=path.read_bytes()),
    ):
        assert (piped.status, piped.out) == (done.status, done.out)
        assert piped.err.replace("standard input", str(path)) == done.err
    assert len(done.warnings) <= 1, done.err
    assert done.status == 0, done
    return done


# What was pasted

ICE_0 = [
    (45409728, 236509, "fs/dcache.c:1681 func:__d_alloc"),
    (71041024, 17344, "mm/percpu-vm.c:95 func:pcpu_alloc_pages"),
    (71524352, 11140, "kernel/dma/direct.c:141 func:__dma_direct_alloc_pages"),
    (85098496, 4486, "mm/slub.c:2452 func:alloc_slab_page"),
    (115470992, 101647, "fs/ext4/super.c:1388 [ext4] func:ext4_alloc_inode"),
    (134479872, 32832, "kernel/events/ring_buffer.c:811 func:perf_mmap_alloc_page"),
    (141426688, 34528, "mm/filemap.c:1978 func:__filemap_get_folio"),
    (191594496, 46776, "mm/memory.c:1056 func:folio_prealloc"),
    (360710144, 172, "mm/khugepaged.c:1084 func:alloc_charge_folio"),
    (444076032, 33790, "mm/slub.c:2450 func:alloc_slab_page"),
    (530579456, 129536, "mm/page_ext.c:271 func:alloc_page_ext"),
    (975175680, 465, "mm/huge_memory.c:1165 func:vma_alloc_anon_folio_pmd"),
    (1022427136, 249616, "mm/memory.c:1054 func:folio_prealloc"),
    (
        1105125376,
        139252,
        "drivers/net/ethernet/intel/ice/ice_txrx.c:681 [ice] func:ice_alloc_mapped_page",
    ),
    (1621598208, 395848, "mm/readahead.c:186 func:ractl_alloc_folio"),
]


@pytest.mark.parametrize(
    "name", ["ice-day0", "ice-day0-lines", "ice-day0-quoted", "ice-crlf", "ice-grep-color"]
)
def test_the_same_listing_however_it_was_pasted(name: str) -> None:
    done = ask(f"{name}.txt")
    assert done.tags == ICE_0
    assert done.err == ""


def test_a_tag_on_two_lines_and_a_stray_line() -> None:
    done = ask("ice-day6.txt")
    plain = ask("ice-day6-lines.txt")
    assert done.tags == plain.tags and len(done.tags) == 15
    ice = "drivers/net/ethernet/intel/ice/ice_txrx.c:681 [ice] func:ice_alloc_mapped_page"
    assert done.tags[-1] == (3341238272, 412215, ice)
    assert plain.err == ""
    assert "skipped 1 line" in done.err and "11:46:44 up 6 days" in done.err


CEPHFS = [
    (12 * M, 2987, "mm/execmem.c:41 func:execmem_vmalloc"),
    (12 * M, 3, "kernel/dma/pool.c:96 func:atomic_pool_expand"),
    (13 * M, 751, "mm/slub.c:3061 func:alloc_slab_page"),
    (16 * M, 8, "mm/khugepaged.c:1069 func:alloc_charge_folio"),
    (18 * M, 4355, "mm/memory.c:1190 func:folio_prealloc"),
    (24 * M, 6119, "mm/memory.c:1192 func:folio_prealloc"),
    (58 * M, 14784, "mm/page_ext.c:271 func:alloc_page_ext"),
    (61 * M, 15448, "mm/readahead.c:189 func:ractl_alloc_folio"),
    (79 * M, 6726, "mm/slub.c:3059 func:alloc_slab_page"),
    (11 * G, 2674488, "mm/filemap.c:2012 func:__filemap_get_folio"),
]


@pytest.mark.parametrize("name", ["cephfs-numfmt-wrapped.txt", "cephfs-quoted.txt"])
def test_a_mailer_put_several_tags_on_a_line(name: str) -> None:
    done = ask(name)
    assert done.tags == CEPHFS
    assert "sizes are rounded" in done.err and "skipped" not in done.err


def test_binary_units_of_numfmt() -> None:
    done = ask("nvme-numfmt-iec-i.txt")
    assert [tag[0] for tag in done.tags] == [146 * M, 182 * M, 420 * M, 29 * G, 29 * G]
    assert "sizes are rounded" in done.err


def test_the_end_of_a_sorted_listing() -> None:
    done = ask("nvme-bytes.txt")
    assert done.tags[-1] == (31136940032, 937347, "mm/slub.c:2487 func:alloc_slab_page")
    assert len(done.tags) == 5 and done.err == ""


def test_a_patched_kernel_s_words_stay() -> None:
    done = ask("accumulated-v1.1.txt")
    assert done.tags[0] == (
        1400832,
        114,
        "././common/inc/nv-linux.h:1117 [nvidia] func:nv_kmem_cache_alloc_stack 840764",
    )
    assert len(done.tags) == 8 and done.err == ""


def test_counters_below_zero() -> None:
    done = ask("underflow-6.12.txt")
    assert done.tags[0] == (
        -4096,
        18446744073709551615,
        "mm/filemap.c:3787 func:do_read_cache_folio",
    )
    assert sum(tag[0] for tag in done.tags) == 2432828058
    assert done.err == ""


def test_a_function_on_a_line_of_its_own() -> None:
    done = ask("headers-misattributed.txt")
    assert done.tags[4] == (0, 0, "include/linux/ptr_ring.h:471 func:__ptr_ring_init_queue_alloc")
    assert len(done.tags) == 6 and done.err == ""


def test_a_whole_small_listing() -> None:
    done = ask("bcachefs-ktest.txt", "--min-size", "512")
    assert [tag[0] for tag in done.tags] == [4096, 65536, 512]
    assert done.err == ""


def test_a_command_above_the_header() -> None:
    done = ask("xfs-sorted-with-header.txt")
    assert done.tags == [
        (16, 1, "fs/xfs/xfs_mount.c:87 [xfs] func:xfs_uuid_mount"),
        (40, 1, "fs/xfs/xfs_log_cil.c:1775 [xfs] func:xlog_cil_init"),
    ]


def test_a_transcript_with_two_listings() -> None:
    last = ask("vmalloc-transcript.txt")
    assert [tag[0] for tag in last.tags] == [72228864, 263192576, 1107296256, 601427968]
    assert "listing 2 of 2" in last.err and "skipped 10 lines" in last.err
    first = ask("vmalloc-transcript.txt", "--listing", "1")
    assert [tag[0] for tag in first.tags] == [21405696, 99090432, 263192576, 266797056, 507617280]
    assert len(ask("vmalloc-transcript.txt", "--listing", "all").tags) == 9


def test_a_log_that_a_loop_appended_to() -> None:
    path = FIELD / "nvme-two-listings-plain.txt"
    done = run("query", "--source", path)
    assert [tag[0] for tag in done.tags] == [153092096, 30242752512]
    assert "listing 2 of 2" in done.err
    for options in (["-n", "1"], ["-c"], ["-s", "bytes"], ["-g", "file"], ["-o", "json"]):
        assert "listing 2 of 2" in run("query", "--source", path, *options).err, options
    rows = run("query", "--source", path, "--list-listings").out.decode().splitlines()
    assert [row.split("\t")[:6] for row in rows[1:]] == [
        ["1", "1", "listing", "", "2", "193534080"],
        ["2", "5", "listing", "", "2", "30395844608"],
    ]


# The kernel's own list

XEN = [
    (40265318, 5505, "mm/slub.c:3075 func:alloc_slab_page"),
    (33 * M, 8448, "drivers/block/xen-blkfront.c:322 [xen_blkfront] func:fill_grant_buffer"),
    (33449574, 7943, "mm/readahead.c:189 func:ractl_alloc_folio"),
    (16 * M, 4096, "drivers/xen/balloon.c:445 func:decrease_reservation"),
    (
        16672358,
        4064,
        "drivers/media/common/videobuf2/videobuf2-vmalloc.c:47 [videobuf2_vmalloc]"
        " func:vb2_vmalloc_alloc",
    ),
    (11953766, 2924, "mm/swap_state.c:439 func:__read_swap_cache_async"),
    (11010048, 2904, "mm/execmem.c:41 func:execmem_vmalloc"),
    (7717519, 116, "security/apparmor/policy_unpack.c:1361 func:compress_zstd"),
    (5976883, 171, "security/apparmor/policy_unpack.c:689 func:unpack_perms_table"),
    (5840568, 1427, "mm/memory.c:1191 func:folio_prealloc"),
]


def test_the_list_of_an_allocation_failure() -> None:
    done = ask("xen-uvc-oom-dmesg.txt")
    assert done.tags == XEN
    for words in ("rounded to three digits", "ten largest", "profiling was on", "30.988768"):
        assert words in done.err


def test_the_list_of_sysrq_m() -> None:
    done = ask("uml-7.3.4-sysrq-m-dmesg.txt")
    assert done.tags[0] == (7077888, 1727, "mm/readahead.c:200 func:ractl_alloc_folio")
    assert done.tags[-1] == (
        144 * K,
        144,
        "drivers/tty/tty_io.c:3240 func:tty_register_device_attr",
    )
    assert len(done.tags) == 10 and "profiling was on" in done.err


def test_two_lists_in_a_log() -> None:
    done = ask("arm64-oom-two-lists.txt")
    assert [tag[1] for tag in done.tags] == [29645, 41325, 25531, 28]
    assert "listing 2 of 2" in done.err and "does not say whether profiling was on" in done.err
    first = ask("arm64-oom-two-lists.txt", "--listing", "1")
    assert first.tags[0] == (
        13743895347,
        6546,
        "mm/huge_memory.c:1328 func:do_huge_pmd_anonymous_page",
    )


ROWS = [
    "    38.4 MiB     5505 mm/slub.c:3075 func:alloc_slab_page",
    "    33.0 MiB     8448 drivers/block/xen-blkfront.c:322 [xen_blkfront] func:fill_grant_buffer",
    "     512 B          2 fs/a.c:1 func:f",
]
HEAD = "Memory allocations (profiling is currently turned on):"
WANTED = [(40265318, 5505), (33 * M, 8448), (512, 2)]


def read(data: bytes, **choice: object) -> Scanner:
    """What the lenient reader finds."""
    scanner = Scanner("the text", Choice(**choice) if choice else Choice(all=True))  # type: ignore[arg-type]
    scan_text(scanner, [data[i : i + 70000] for i in range(0, len(data), 70000)] or [b""])
    scanner.finish()
    return scanner


def counters(scanner: Scanner, at: int = -1) -> list[tuple[int, int]]:
    """(bytes, calls) of a listing's lines."""
    lines = scanner.listings[at].text
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def as_json(line: str, at: int) -> str:
    return json.dumps({"__REALTIME_TIMESTAMP": f"{1764000000000000 + at}", "MESSAGE": line})


def as_byte_json(line: str, at: int) -> str:
    return json.dumps({"MESSAGE": list(line.encode()), "PRIORITY": "4"})


def as_export(line: str, at: int) -> str:
    return f"__REALTIME_TIMESTAMP={1764000000000000 + at}\n_TRANSPORT=kernel\nMESSAGE={line}\n"


PREFIXES = {
    "none": lambda line, at: line,
    "dmesg": lambda line, at: f"[   30.98{at:04d}] {line}",
    "dmesg caller": lambda line, at: f"[   30.98{at:04d}] [   T1256] {line}",
    "dmesg -T": lambda line, at: f"[Mon Nov 24 06:20:37 2025] {line}",
    "dmesg -x": lambda line, at: f"kern  :warn  : [   30.98{at:04d}] {line}",
    "dmesg -H": lambda line, at: f"[  +0.00002{at}] {line}",
    "dmesg --time-format iso": lambda line, at: f"2025-11-24T06:20:37,12345{at}+00:00 {line}",
    "syslog": lambda line, at: f"Nov 24 06:20:37 host1 kernel: [   30.98{at:04d}] {line}",
    "syslog iso": lambda line, at: f"2025-11-24T06:20:37.12345{at}+00:00 host1 kernel: {line}",
    "journald short": lambda line, at: f"Nov 24 06:20:37 host1 kernel: {line}",
    "journald monotonic": lambda line, at: f"[   30.98{at:04d}] host1 kernel: {line}",
    "serial": lambda line, at: f"<6>[   30.98{at:04d}] {line}\r",
    "serial caller": lambda line, at: f"<4>[   30.98{at:04d}][    C1] {line}\r",
    "export": as_export,
    "json": as_json,
    "json of bytes": as_byte_json,
    "container": lambda line, at: json.dumps({"log": line + "\n", "stream": "stderr"}),
    "quoted": lambda line, at: f"> > [   30.98{at:04d}] {line}",
    "grep": lambda line, at: f"/var/log/kern.log:{at + 7}:[   30.98{at:04d}] {line}",
}


@pytest.mark.parametrize("kind", list(PREFIXES))
def test_the_list_behind_any_prefix(kind: str) -> None:
    prefix = PREFIXES[kind]
    lines = ["Mem-Info:", HEAD, *ROWS, "Out of memory: Killed process 1 (a)"]
    text = "\n".join(prefix(line, at) for at, line in enumerate(lines))
    scanner = read(text.encode())
    assert [each.kind.value for each in scanner.listings] == ["kernel log"]
    assert scanner.listings[0].profiling == "on"
    assert counters(scanner) == WANTED


def lists_of_two_cpus(callers: bool) -> tuple[str, list[list[int]]]:
    one = [("slab", 900), ("page", 800), ("anon", 300), ("last", 100)]
    two = [("slab", 900), ("page", 801), ("anon", 299), ("last", 90)]
    lines = [("C0", HEAD), ("C1", HEAD)]
    for (name, size), (other, more) in zip(one, two, strict=True):
        lines.append(("C0", f"     {size} MiB        1 mm/{name}.c:1 func:{name}"))
        lines.append(("C1", f"     {more} MiB        2 mm/{other}.c:1 func:{other}"))
    mark = "[    {}] " if callers else ""
    text = "".join(f"[   30.5] {mark.format(cpu)}{line}\n" for cpu, line in lines)
    return text, [[size for _, size in one], [size for _, size in two]]


@pytest.mark.parametrize("callers", [True, False])
def test_lists_of_two_cpus_are_taken_apart(callers: bool) -> None:
    text, wanted = lists_of_two_cpus(callers)
    scanner = read(text.encode())
    assert len(scanner.listings) == 2
    sizes = [[size >> 20 for size, _ in counters(scanner, at)] for at in (0, 1)]
    if callers:
        assert sizes == wanted
    else:
        for each in sizes:
            assert each == sorted(each, reverse=True) and len(each) == 4


# Archives


def packed(kind: str, data: bytes) -> bytes:
    if kind == "gzip":
        return gzip.compress(data)
    if kind == "xz":
        return lzma.compress(data)
    if kind == "bzip2":
        return bz2.compress(data)
    if kind == "zip":
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("notes/readme.txt", "nothing here\n")
            archive.writestr("proc/allocinfo", data)
        return made.getvalue()
    mode = kind.replace("tar.", "w:").replace("tar", "w")
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        files = {
            "sos/version.txt": b"4.8\n",
            "sos/sos_commands/kernel/dmesg": (FIELD / "xen-uvc-oom-dmesg.txt").read_bytes(),
            "sos/" + "long/" * 40 + "proc/allocinfo": data,
            "sos/var/log/messages-1.gz": gzip.compress(
                (FIELD / "arm64-oom-two-lists.txt").read_bytes()
            ),
            "sos/random.bin": bytes(range(256)) * 40,
        }
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


KINDS = ["gzip", "xz", "bzip2", "zip", "tar", "tar.gz", "tar.xz", "tar.bz2"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_listing_in_an_archive(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "made"
    data = FIXTURE.read_bytes()
    path.write_bytes(packed(kind, data))
    lines = b"".join(data.splitlines(keepends=True)[2:])
    assert run("query", "--source", path).out == lines
    assert run("query", "--source", "-", data=path.read_bytes()).out == lines
    rows = run("query", "--source", path, "--list-listings", "-o", "jsonl").out.splitlines()
    files = [json.loads(row)["file"] for row in rows]
    if kind.startswith("tar"):
        assert [name and name.rpartition("/")[2] for name in files] == [
            "dmesg",
            "allocinfo",
            "messages-1.gz",
            "messages-1.gz",
        ]
        assert run("query", "--source", path, "--listing", "1").tags == XEN


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_is_cut_or_damaged_is_one_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "made"
    whole = packed(kind, FIXTURE.read_bytes())
    for data in (whole[: len(whole) // 2], whole[:300] + b"\xff" * 40 + whole[340:], whole[:20]):
        path.write_bytes(data)
        done = run("query", "--source", path, "-c")
        assert done.status in (0, 2) and "Traceback" not in done.err and "internal" not in done.err
        assert done.status == 0 or len(done.warnings) <= 2


def test_a_bomb_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xz"
    compressor = lzma.LZMACompressor()
    zeros = bytes(1 << 24)
    path.write_bytes(b"".join(compressor.compress(zeros) for _ in range(16)) + compressor.flush())
    limit = 'ulimit -v 1000000; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", limit, "sh", PROGRAM, "query", "--source", path],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2 and b"line 1 is longer than 1 MiB" in done.stderr


@pytest.mark.parametrize(
    ("first", "name", "tool"),
    [
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "7-Zip", "7z"),
        (b"\x04\x22\x4d\x18\x40", "LZ4", "lz4 -dc"),
        (b"Rar!\x1a\x07\x00", "RAR", "unrar"),
        (b"LPKSHHRH", "journal", "journalctl"),
        (b"%PDF-1.7\n", "PDF", "pdftotext"),
    ],
)
def test_an_unknown_format_is_named(first: bytes, name: str, tool: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(first + bytes(range(256)))
    done = run("query", "--source", path)
    assert done.status == 2 and name in done.warnings[0] and tool in done.warnings[1]


# What allocq prints


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "tsv", "procfs", "table"])
def test_what_is_printed_is_read_back(format: str, tmp_path: Path) -> None:
    path = tmp_path / "answer"
    sample = ["query", "--source", FIXTURE]
    exact = ["--bytes"] if format == "table" else []
    path.write_bytes(run(*sample, "-o", format, "-s", "none", *exact).out)
    back = run("query", "--source", path)
    plain = run(*sample)
    assert back.status == 0, back
    assert [tag[:2] for tag in back.tags] == [tag[:2] for tag in plain.tags]
    assert [tag[2] for tag in back.tags] == [tag[2] for tag in plain.tags]


def test_a_rounded_table_says_so(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    path.write_bytes(run("query", "--source", FIXTURE, "-o", "table", "-n", "5").out)
    back = run("query", "--source", path)
    assert len(back.tags) == 5 and "sizes are rounded" in back.err


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "tsv", "table"])
def test_sums_are_no_listing(format: str, tmp_path: Path) -> None:
    path = tmp_path / "sums"
    path.write_bytes(run("query", "--source", FIXTURE, "-g", "file", "-o", format).out)
    back = run("query", "--source", path)
    assert back.status == 2 and back.out == b""
    assert "holds sums per file, not tags" in back.warnings[0]


# One stray line, and mangled listings


def test_one_stray_line_in_thousands_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    lines = FIXTURE.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:1000], b"-bash: warning: setlocale\n", *lines[1000:]]))
    done = run("query", "--source", path)
    assert done.out == b"".join(lines[2:])
    assert done.warnings == [
        f"allocq: warning: {path}: skipped 1 line that is not a tag,"
        " line 1001: '-bash: warning: setlocale'"
    ]


names = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True)
paths = st.builds(
    lambda parts, end: "/".join(parts) + end,
    st.lists(names, min_size=1, max_size=4),
    st.sampled_from([".c", ".h", ".rs"]),
)


@st.composite
def tag_lines(draw: st.DrawFn) -> str:
    size = draw(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 1 << 20))
    calls = draw(st.integers(0, (1 << 64) - 1) | st.integers(0, 99))
    calls = min(calls, size) if size >= 0 else calls  # more are refused: columns are swapped
    module = draw(st.none() | names)
    place = f"{draw(paths)}:{draw(st.integers(0, 99999))}" + (f" [{module}]" if module else "")
    inaccurate = draw(st.sampled_from(["", "", "accurate:no "]))
    return f"{size:12d} {calls:8d} {place} func:{draw(names)} {inaccurate}"


def quoted(lines: list[str], depth: int) -> list[str]:
    return ["> " * depth + line for line in lines]


def colored(lines: list[str]) -> list[str]:
    return [line.replace("func:", "\x1b[01;31m\x1b[Kfunc:\x1b[m\x1b[K") for line in lines]


def wrapped(lines: list[str]) -> list[str]:
    """Broken at blanks where a line is over 40 characters."""
    out = []
    for line in lines:
        cut = line.rfind(" ", 24, 60) if len(line) > 40 else -1
        head, tail = line[:cut], line[cut + 1 :]
        out += [head, tail] if cut > 0 and head.strip() and tail.strip() else [line]
    return out


MANGLERS = {
    "quotes": lambda lines: quoted(lines, 3),
    "colors": colored,
    "crlf": lambda lines: [line + "\r" for line in lines],
    "nbsp": lambda lines: [line.replace(" ", "\u00a0") for line in lines],
    "tabs": lambda lines: ["\t".join(line.split(" ")) for line in lines],
    "wrapping": wrapped,
    "log": lambda lines: [f"[   12.345678] {line}" for line in lines],
    "grep": lambda lines: [f"saved.txt:{at}:{line}" for at, line in enumerate(lines, 1)],
    "stripped": lambda lines: [line.strip() for line in lines],
    "printable": lambda lines: [
        soft for line in lines for soft in quopri.encodestring(line.encode()).decode().split("\n")
    ],
}


@unhurried
@given(
    st.lists(tag_lines(), min_size=1, max_size=30),
    st.lists(st.sampled_from(sorted(MANGLERS)), max_size=4, unique=True),
    st.booleans(),
)
def test_a_mangled_listing_comes_back(lines: list[str], manglers: list[str], header: bool) -> None:
    order = ["stripped", "log", "colors", "grep", "wrapping", "tabs"]
    order += ["nbsp", "quotes", "printable", "crlf"]
    text = lines
    for name in order:
        if name in manglers:
            text = MANGLERS[name](text)
    data = "\n".join(text).encode() + b"\n"
    if header:
        data = b"\xef\xbb\xbf" + HEADER + data
    scanner = read(data)
    found = [line.decode() for each in scanner.listings for line in each.text]
    assert [line.split() for line in found] == [line.split() for line in lines]


PIECES = (
    b'func:|func:a|[|]| |\n|12|1.5M|mm/a.c:1|> |=|=20|\0|\x1b[|\x1b]|{|}|"bytes":|\r|#|\t|\xff|&#0;'
    b"|Memory allocations:|allocinfo - version: 2.0\n|bytes,calls,|\xed\xa0\x80|BYTES CALLS "
    b'|1 2 mm/a.c:1 func:b\n|{"MESSAGE":"1 2 a.c:1 func:x"}\n|38.4 MiB 1 mm/a.c:1 func:b\n'
).split(b"|")
soup = st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)


@unhurried
@given(soup | st.binary(max_size=400))
def test_junk_neither_crashes_nor_hangs(data: bytes) -> None:
    begin = time.process_time()
    try:
        read(data)
    except Exception as error:
        assert type(error).__module__ == "allocq.errors", error
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    "piece",
    [
        b"1 2 ",
        b"func:",
        b"a.c:1 func:x ",
        b"> ",
        b"[",
        b"\x1b[",
        b"12:",
        b"&gt;",
        b"=20",
        b"0,",
        b"x:1 ",
    ],
)
def test_a_long_line_of_anything_is_read_in_linear_time(piece: bytes) -> None:
    begin = time.process_time()
    read((piece * (900_000 // len(piece)) + b"\n") * 2)
    assert time.process_time() - begin < 20


def test_a_pipe_with_a_name_whose_writer_has_left(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    script = 'cat "$1" > "$2" & exec "$3" query --source="$2"'
    argv = ["sh", "-c", script, "sh", FIELD / "xen-uvc-oom-dmesg.txt", path, PROGRAM]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    assert Done(done.returncode, done.stdout, "").tags == XEN


def test_a_header_and_no_tag_is_an_error_if_anything_else_is_there(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    path.write_bytes(HEADER + b"bad\n")
    done = run("query", "--source", path)
    assert (done.status, done.out) == (2, b"") and "line 3: not a valid" in done.err
    path.write_bytes(HEADER)
    assert run("query", "--source", path).status == 1


@pytest.mark.parametrize("argv", [["query"], ["query", "-m", "xfs"], ["tree"], ["query", "-c"]])
def test_a_loop_s_input_that_holds_no_tag_says_how_to_ask_the_kernel(argv: list[str]) -> None:
    done = run(*argv, data=b"xfs\next4\n")
    assert (done.status, done.out) == (2, b"")
    assert len(done.warnings) == 2 and "not a saved /proc/allocinfo" in done.warnings[0]
    assert "</dev/null asks the running kernel" in done.warnings[1]
    named = run("query", "--source", "-", data=b"xfs\n")
    assert named.status == 2 and "hint" not in named.err


ENDLESS = {
    "4096 1 mm/slub.c:1 func:f": ["query -n 2", "query", "query --file a.c", "tree"],
    "garbage": ["query -n 2", "query", "tree"],
}


@pytest.mark.parametrize(
    ("line", "command"), [(line, argv) for line, each in ENDLESS.items() for argv in each]
)
def test_a_pipe_without_an_end_is_an_error(line: str, command: str) -> None:
    with subprocess.Popen(["yes", line], stdout=subprocess.PIPE) as endless:
        done = subprocess.run(
            [PROGRAM, *command.split()],
            stdin=endless.stdout,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=100,
            check=False,
        )
        endless.kill()
    words = done.stderr.decode().splitlines()
    assert done.returncode == 2 and len(words) <= 2, words
    assert "more than 1 GiB" in words[0] or "no tag in its first 256 MiB" in words[0]


# The last line


@pytest.mark.parametrize("stray", [b"", b"a stray line\n"])
def test_what_the_shell_stripped_of_its_newline_is_whole(stray: bytes) -> None:
    lines = FIXTURE.read_bytes()
    wanted = b"".join(lines.splitlines(keepends=True)[2:])
    done = run("query", data=stray + lines.removesuffix(b"\n"))
    assert done.out == wanted and "newline" not in done.err
    cut = run("query", data=stray + lines[:-3])
    assert cut.out == wanted[: wanted[:-1].rfind(b"\n") + 1]
    assert "ignored the last line, which has no newline" in cut.err
    bare = b"".join(line.rstrip() + b"\n" for line in lines.splitlines())
    done = run("query", "-c", data=stray + bare.removesuffix(b"\n"))
    assert int(done.out) == len(wanted.splitlines())
    assert "the last line has no newline; its function may be cut off" in done.err


@pytest.mark.parametrize("line", ["> 4096 1 mm/a.c:1 func:f", '"4096 1 mm/a.c:1 func:f\\n"'])
def test_one_line_without_a_newline_is_read(line: str) -> None:
    assert run("query", data=line.encode()).tags == [(4096, 1, "mm/a.c:1 func:f")]


# Logs


def test_lists_that_cannot_be_taken_apart_say_so() -> None:
    for callers in (True, False):
        text, _ = lists_of_two_cpus(callers)
        done = run("query", data=text.encode())
        assert ("mixed with the list of another CPU" in done.err) is not callers


@pytest.mark.parametrize("kind", ["dmesg", "dmesg -T", "syslog", "journald short", "json"])
def test_a_log_without_a_list_says_how_to_get_one(kind: str) -> None:
    lines = ["Linux version 7.3.4", "Mem-Info:", "active_anon:1 inactive_anon:2 func:x"]
    text = "".join(PREFIXES[kind](line, at) + "\n" for at, line in enumerate(lines))
    done = run("query", data=text.encode())
    assert (done.status, done.out) == (2, b"")
    assert done.warnings[0] == "allocq: standard input is a log without a list of tags"
    assert done.warnings[1].startswith("hint: ") and "Memory allocations:" in done.warnings[1]
    assert "sysrq" in done.warnings[1] and len(done.warnings) == 2


def test_lines_skipped_in_other_files_of_an_archive_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "made.tar"
    with tarfile.open(path, "w") as archive:
        lines = FIXTURE.read_bytes().splitlines(keepends=True)
        for name, data in {
            "log/messages": b"noise\n" * 50,
            "proc/allocinfo": b"".join([*lines[:9], b"stray\n", *lines[9:]]),
            "log/secure": b"more noise\n" * 50,
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert "skipped 1 line that is not a tag, line 10: 'stray'" in run("query", path, "-c").err


# What a log's interface gives


@pytest.mark.parametrize("kind", ["loki", "cloudwatch", "dmesg", "text", "one message"])
def test_strings_of_a_json_document(kind: str) -> None:
    lines = ["4096 1 mm/a.c:1 func:f", "8192 2 mm/b.c:2 func:g"]
    document: object = {
        "loki": {"data": {"result": [{"values": [["17", line] for line in lines]}]}},
        "cloudwatch": {"events": [{"timestamp": 17, "message": line} for line in lines]},
        "dmesg": {"dmesg": [{"pri": 4, "time": 1.5, "msg": line} for line in lines]},
        "text": "\n".join(lines),
        "one message": {"message": "\n".join(lines)},
    }[kind]
    for indent in (None, 2):
        for end in ("", "\n"):
            done = run("query", data=(json.dumps(document, indent=indent) + end).encode())
            assert [tag[:2] for tag in done.tags] == [(4096, 1), (8192, 2)]


# Whole listings one behind the other


@pytest.mark.parametrize("end", [0, 1, 3])
@pytest.mark.parametrize("limit", [[], ["-c"], ["-n", "3", "-s", "none"], ["-g", "file"]])
def test_concatenated_listings_are_read_as_one_by_one(
    end: int, limit: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "log"
    texts = [
        FIXTURE.read_bytes(),
        SAMPLE.read_bytes(),
        FIXTURE.read_bytes().replace(b"     4096 ", b"     8192 "),
    ]
    path.write_bytes(b"".join(texts)[: -end or None])
    for number, text in enumerate(texts, 1):
        alone = text[: -end or None] if number == 3 else text
        plain = run("query", *limit, data=alone)
        done = run("query", path, "--listing", str(number), *limit)
        assert done.out == plain.out
        line = 1 + sum(before.count(b"\n") for before in texts[: number - 1])
        assert f"this is listing {number} of 3 (line {line})" in done.err
        assert ("has no newline" in done.err) is (end == 3 and number == 3)
    last = run("query", path, *limit)
    assert last.out == done.out
    assert run("query", path, "--listing", "4").status == 2


def test_a_hundred_megabytes_of_listings_take_seconds(tmp_path: Path) -> None:
    path = tmp_path / "log"
    text = SAMPLE.read_bytes()
    with path.open("wb") as file:
        for _ in range(100_000_000 // len(text)):
            file.write(text)
    before = os.times()
    done = run("query", path, "-c")
    after = os.times()
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 10
    assert int(done.out) == text.count(b" func:")


@pytest.mark.parametrize("program", [ALLOCQ, MODULE])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_listing_that_is_redirected_is_the_source(
    program: Sequence[str], pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "saved"
    path.write_bytes(pack(b"# text\n" * 20000 + oracle.HEADER + b"1 1 a.c:1 func:f \n"))
    with path.open("rb") as file:
        done = subprocess.run([*program, "query", "-o", "csv"], stdin=file, capture_output=True)
    assert done.returncode == 0 and done.stdout.endswith(b"accurate\n1,1,a.c,1,,f,true\n")


@pytest.mark.parametrize("program", [ALLOCQ, MODULE])
def test_a_list_of_names_is_not_read_away(program: Sequence[str], tmp_path: Path) -> None:
    """`while read module; do allocq query -m $module; done <names`"""
    path = tmp_path / "names"
    path.write_text("xfs\next4\n")
    with path.open("rb") as file:
        done = subprocess.run([*program, "query", "-m", "xfs"], stdin=file, capture_output=True)
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 0
    assert b"standard input" not in done.stderr
    path.write_bytes(b"x\n" + oracle.HEADER + b"1 1 a.c:1 func:f \n")
    with path.open("rb", buffering=0) as file:
        file.read(2)  # the loop has read a line
        done = subprocess.run([*program, "query"], stdin=file, capture_output=True)
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 2
    assert b"a.c" not in done.stdout
