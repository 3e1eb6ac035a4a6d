"""Crash dumps, without a kernel: the memory is made (vmcores.py), and drgn reads it."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import oracle
import pytest
import vmcores
from command import ALLOCQ, MODULE, Result, allocq, here, query, refused
from hypothesis import given, settings
from hypothesis import strategies as st

import allocq as library
from allocq.errors import SourceError, UsageError
from allocq.sources.vmcore.dump import examine
from allocq.sources.vmcore.recognise import is_dump, open_dump

pytest.importorskip("drgn", reason="no drgn: pip install 'allocq[vmcore]'")

SAMPLE = str(oracle.SAMPLE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vmcore")


@pytest.fixture(scope="module")
def kernel(folder: Path) -> vmcores.Kernel:
    return vmcores.compiled(folder)


@pytest.fixture(scope="module")
def core(folder: Path, kernel: vmcores.Kernel) -> str:
    return str(vmcores.dump(kernel).write(folder / "core"))


@pytest.fixture
def options(core: str, kernel: vmcores.Kernel) -> tuple[str, ...]:
    return "--source", core, "--vmlinux", str(kernel.vmlinux)


def ask(dump: vmcores.Dump, tmp_path: Path, *argv: str) -> Result:
    core = dump.write(tmp_path / "core")
    return here("query", "--source", str(core), "--vmlinux", str(dump.kernel.vmlinux), *argv)


# What a dump says


@pytest.mark.parametrize("program", [ALLOCQ, MODULE], ids=["front", "python"])
def test_the_lines_are_what_the_kernel_would_have_printed(
    options: tuple[str, ...], program: tuple[str, ...]
) -> None:
    done = allocq("query", *options, program=program)
    assert (done.status, done.out, done.err) == (0, vmcores.LINES, "")


@pytest.mark.parametrize(
    ("macros", "first"), [(("OLD",), 0), (("GROWN",), 8), (("OLD", "GROWN"), 8)]
)
def test_the_layout_is_asked_for(
    folder: Path, tmp_path: Path, macros: tuple[str, ...], first: int
) -> None:
    dump = vmcores.dump(vmcores.compiled(folder, *macros), first=first)
    assert ask(dump, tmp_path) == (0, vmcores.LINES, "")


def test_one_cpu_has_no_per_cpu_offsets(folder: Path, tmp_path: Path) -> None:
    done = ask(vmcores.dump(vmcores.compiled(folder, "ONE_CPU")), tmp_path, "-F", "kept*")
    assert done == (0, b"        1000       10 mm/slub.c:12 func:kept_on_all_cpus \n", "")


def test_filters_formats_and_the_words_of_a_source(options: tuple[str, ...]) -> None:
    done = here("query", *options, "-m", "xfs", "--min-size", "100", "-o", "json")
    document = json.loads(done.out)
    assert done.status == 0
    assert [tag["bytes"] for tag in document["tags"]] == [640]
    source = document["source"]
    assert (source["path"], source["interface"]) == (options[1], "vmcore")
    assert (source["kernel"], source["content_id"]) == (vmcores.RELEASE, 42)
    assert source["time"] == "2026-09-21T14:13:20.500000Z"
    assert here("query", *options, "-c").out == b"7\n"
    assert here("query", *options, "-q", "-F", "nowhere").status == 1
    assert b"the source is a crash dump\n" in here("query", *options, "--explain").out
    assert here("query", options[1], *options[2:]).out == vmcores.LINES
    assert here("query", *options, "--listing", "1").out == vmcores.LINES


def test_a_dump_on_standard_input(core: str, kernel: vmcores.Kernel) -> None:
    words = ("--source", "-", "--vmlinux", str(kernel.vmlinux))
    with open(core, "rb") as file:
        assert allocq("query", *words, stdin=file).out == vmcores.LINES
    done = allocq("query", *words, input=Path(core).read_bytes())
    refused(done, "standard input is a pipe, and a crash dump is a file")
    assert "name the dump, a file, with --source" in done.err
    done = allocq("query", "--source", "-", input=Path(core).read_bytes())
    refused(done, "standard input is not a saved /proc/allocinfo but ELF", "from a pipe or packed")


def test_the_crash_says_its_own_time(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    dump = vmcores.dump(kernel)
    dump.notes["CRASHTIME"] = str(vmcores.CRASHED + 60)
    source = json.loads(ask(dump, tmp_path, "-o", "json").out)["source"]
    assert source["time"] == "2026-09-21T14:14:20.000000Z"


@pytest.mark.parametrize("macros", [(), ("OLD",)])
def test_a_snapshot_keeps_all_facts(folder: Path, tmp_path: Path, macros: tuple[str, ...]) -> None:
    kernel = vmcores.compiled(folder, *macros)
    core, saved = vmcores.dump(kernel).write(tmp_path / "core"), tmp_path / "saved.txt.gz"
    options = ("--source", str(core), "--vmlinux", str(kernel.vmlinux))
    assert here("snapshot", *options, str(saved)) == (0, b"", "")
    text = gzip.decompress(saved.read_bytes()).decode()
    notes = dict(line[2:].split(": ", 1) for line in text.splitlines()[2:] if line[:2] == "# ")
    meminfo = json.loads(notes.pop("meminfo"))
    expected = {
        "allocq-snapshot": "1",
        "time": "2026-09-21T14:13:20.500000Z",
        "host": "crashed",
        "kernel": vmcores.RELEASE,
        "boot-id": "28749ebe-0395-49aa-adad-5faab6fcf90a",
        "content-id": "42",
        "possible-cpus": "3",
        "consistent": "yes",
        "profiling": "on",
        "free-on-cpus": str(7 * vmcores.PAGE),
        "interface": "vmcore",
        "tags": "7",
    }
    if macros:
        del expected["content-id"]
    assert notes == expected
    pages = {
        "MemTotal": 4096, "MemFree": 1000, "Buffers": 13, "Cached": 200 - 3 - 13, "SwapCached": 3,
        "AnonPages": 70, "Mapped": 5, "Shmem": 20, "Slab": 70, "SReclaimable": 40, "SUnreclaim": 30,
        "PageTables": 9, "SecPageTables": 0, "VmallocUsed": 11, "Percpu": 32, "Hugetlb": 1024,
        # free - reserve + files - the low watermark with its boost + the reclaimable, half of them
        "MemAvailable": 1000 - 50 + 160 - 24 + 50 - 24, "KernelStack": 16,
    }  # fmt: skip
    assert meminfo == {name: number * vmcores.PAGE for name, number in pages.items()}
    assert here("query", str(saved)).out == vmcores.LINES
    assert here("memory", str(saved)).out == here("memory", *options).out


def test_profiling_that_was_off_is_told(folder: Path, tmp_path: Path) -> None:
    done = ask(vmcores.dump(vmcores.compiled(folder, "OFF")), tmp_path)
    assert (done.status, done.out) == (0, vmcores.LINES)
    assert "profiling was off" in done.err


def test_every_command_that_reads_a_listing(options: tuple[str, ...], tmp_path: Path) -> None:
    core, vmlinux = options[1], options[2:]
    before = tmp_path / "before.txt"
    saved = here("snapshot", *options).out
    saved = saved.replace(b"7000       70", b"5000       50")
    before.write_bytes(saved.replace(b"T14:13:20", b"T13:13:20"))
    grown = here("diff", str(before), core, *vmlinux)
    assert grown.status == 0 and grown.out.splitlines()[1].startswith(b"grown\t2000\t20\t")
    assert here("diff", core, core, *vmlinux).status == 1
    assert b"kept_on_all_cpus" in here("trend", str(before), core, *vmlinux).out
    assert b"slub.c" in here("tree", core, *vmlinux).out
    document = json.loads(here("memory", *options, "-o", "json").out)
    assert document["total"]["memory"] == 4096 * vmcores.PAGE
    report = here("report", *options, "-o", "markdown").out.decode()
    assert "- Host: `crashed`" in report and "Read as: `vmcore" in report
    assert "Profiling: on" in report
    both = here("report", str(before), core, *vmlinux, "-o", "markdown")
    assert both.status == 0 and b"kept_on_all_cpus" in both.out


def test_the_library_reads_a_dump(core: str, kernel: vmcores.Kernel) -> None:
    with library.open(core, vmlinux=kernel.vmlinux) as source:
        assert not source.live
        first, again = source.read(), source.read(library.Filter(modules=["xfs"]))
    assert [tag.bytes for tag in first][:3] == [12288, 7000, -3996]
    assert (len(again), again.info.interface, again.info.kernel) == (2, "vmcore", vmcores.RELEASE)
    with pytest.raises(UsageError, match="debug info is needed"):
        library.open(core)
    with pytest.raises(UsageError, match="is not one"):
        library.open(SAMPLE, vmlinux=kernel.vmlinux)


# What is wrong with a dump


def test_a_dump_and_its_debug_info_belong_together(core: str, kernel: vmcores.Kernel) -> None:
    done = allocq("query", "--source", core)
    refused(done, f"{core} is a crash dump: its kernel's debug info is needed")
    assert f"--vmlinux /usr/lib/debug/boot/vmlinux-{vmcores.RELEASE}" in done.err
    assert f"debuginfod-find debuginfo {kernel.build_id}" in done.err
    vmlinux = ("--vmlinux", str(kernel.vmlinux))
    refused(here("query", "--source", SAMPLE, *vmlinux), "--vmlinux is for crash dumps")
    refused(here("query", "--sample", *vmlinux), "--vmlinux is for crash dumps")
    refused(here("query", "--source", "/no/such", *vmlinux), "no such file: /no/such")
    refused(here("query", "--source", str(Path(core).parent), *vmlinux), "is a directory")
    refused(here("query", "--source", core, "--vmlinux", ""), "--vmlinux is empty")
    for command in (
        ("diff", SAMPLE, SAMPLE),
        ("trend", SAMPLE, SAMPLE),
        ("report", SAMPLE, SAMPLE),
    ):
        refused(here(*command, *vmlinux), "--vmlinux is for crash dumps")
    assert "snapshot --source DUMP" in here("check", "--baseline", core).err


def test_options_that_a_dump_does_not_have(options: tuple[str, ...]) -> None:
    refused(here("query", *options, "--interface", "ioctl"), "it has no ioctl")
    refused(here("query", *options, "--listing", "2"), "holds 1 listing")


def test_a_vmlinux_that_does_not_fit(core: str, folder: Path, tmp_path: Path) -> None:
    def ask_with(vmlinux: object) -> Result:
        return here("query", "--source", core, "--vmlinux", str(vmlinux))

    other = vmcores.compiled(folder, "OFF").vmlinux
    refused(ask_with(other), f"{other} is another build than the kernel of {core}", "build id")
    refused(ask_with("/no/such"), "no such file: /no/such")
    refused(ask_with(tmp_path), f"cannot read {tmp_path}: Is a directory")
    refused(ask_with(SAMPLE), f"{SAMPLE} is not a vmlinux")
    refused(ask_with(core), f"{core} is an ELF file, but not a kernel")
    made = tmp_path / "made"
    made.touch()
    refused(ask_with(made), f"{made} is empty")
    for at, magic in ((514, b"HdrS"), (56, b"ARM\x64")):
        made.write_bytes(bytes(at) + magic + bytes(999))
        refused(ask_with(made), f"{made} is a boot image")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    refused(ask_with(fifo), f"{fifo}: not a regular file")


def test_a_vmlinux_that_is_cut_off(core: str, kernel: vmcores.Kernel, tmp_path: Path) -> None:
    """Which build it is of is not in question."""
    whole, short = kernel.vmlinux.read_bytes(), tmp_path / "vmlinux"
    for size in (16, 64, 500, 1000, len(whole) // 2, len(whole) - 1):
        short.write_bytes(whole[:size])
        refused(here("query", "--source", core, "--vmlinux", str(short)), f"{short} is truncated")


def test_a_dump_without_a_build_id(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    dump = vmcores.dump(kernel)
    dump.notes["BUILD-ID"] = None
    refused(ask(dump, tmp_path), f"has no build id: cannot tell whether {kernel.vmlinux} fits")


def test_a_vmlinux_without_debug_info(folder: Path, tmp_path: Path) -> None:
    kernel = vmcores.compiled(folder, debug=False)
    refused(ask(vmcores.dump(kernel), tmp_path), f"{kernel.vmlinux} has no debug info")


@pytest.mark.parametrize("folder_of_debug", ["", ".debug/"])
def test_debug_info_in_a_file_of_its_own(
    core: str, kernel: vmcores.Kernel, tmp_path: Path, folder_of_debug: str
) -> None:
    """The file that a stripped vmlinux names is in the hint, if it is there; it is debug info."""
    debug, stripped = tmp_path / folder_of_debug / "a b.debug", tmp_path / "vmlinux"
    debug.parent.mkdir(exist_ok=True)
    objcopy = ["objcopy", str(kernel.vmlinux)]
    subprocess.run([*objcopy, "--only-keep-debug", str(debug)], check=True)
    subprocess.run(
        [*objcopy, "--strip-debug", f"--add-gnu-debuglink={debug}", str(stripped)], check=True
    )
    asked = ["query", "--source", core, "--vmlinux"]
    done = here(*asked, str(stripped))
    refused(done, f"{stripped} has no debug info")
    assert done.err.splitlines()[1] == f"hint: --vmlinux '{debug}'"
    assert here(*asked, str(debug)).out == vmcores.LINES
    debug.unlink()
    assert "debuginfod-find" in here(*asked, str(stripped)).err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["top", "-b", "-n", "1", "--source"], "is one listing: nothing grows in it"),
        (["record", "--once", "-d", "never", "--source"], "is not that of a running kernel"),
        (["stacks", "x", "--source"], "has no call stacks: they are of the running kernel"),
    ],
)
def test_what_watches_the_running_kernel_takes_no_dump(
    argv: list[str], words: str, core: str, tmp_path: Path
) -> None:
    done = allocq(*argv, core, cwd=tmp_path)
    refused(done, f"{core} {words}")
    assert "vmlinux" not in done.err and not (tmp_path / "never").exists()


def test_a_vmlinux_that_may_not_be_read(core: str, tmp_path: Path) -> None:
    closed = tmp_path / "vmlinux"
    closed.touch(0)
    standard_input, is_root = os.dup(0), os.geteuid() == 0
    try:
        with open(core, "rb") as file:
            os.dup2(file.fileno(), 0)
            if is_root:
                os.seteuid(65534)
            done = here("query", "--source", "-", "--vmlinux", str(closed))
    finally:
        if is_root:
            os.seteuid(0)
        os.dup2(standard_input, 0)
        os.close(standard_input)
    refused(done, f"{closed}: permission denied")


@pytest.mark.parametrize(
    ("macro", "words"),
    [
        ("NO_OPTION", "its kernel was built without CONFIG_MEM_ALLOC_PROFILING"),
        ("NEVER", "allocation profiling was disabled in this kernel"),
        ("RENAMED", "struct codetag has no filename"),
    ],
)
def test_kernels_without_tags(folder: Path, tmp_path: Path, macro: str, words: str) -> None:
    refused(ask(vmcores.dump(vmcores.compiled(folder, macro)), tmp_path), words)


def test_truncated_dumps(options: tuple[str, ...], tmp_path: Path) -> None:
    whole, short = Path(options[1]).read_bytes(), tmp_path / "short"
    for size in (len(whole) - 1, len(whole) // 2, 400, 100, 64, 20, 16):
        short.write_bytes(whole[:size])
        refused(here("query", "--source", str(short), *options[2:]), "truncated")


def test_files_that_are_no_dumps(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    def ask_of(data: bytes) -> Result:
        path = tmp_path / "file"
        path.write_bytes(data)
        return here("query", "--source", str(path), "--vmlinux", str(kernel.vmlinux))

    refused(ask_of(kernel.vmlinux.read_bytes()), "is an ELF file, but not a crash dump")
    refused(ask_of(b"\x7fELF\x07\x01".ljust(64, b"\0")), "is not an ELF file")
    refused(ask_of(b"makedumpfile\0\0\0\0" + bytes(4096)), "flattened dump")
    core = vmcores.dump(kernel).write(tmp_path / "core").read_bytes()
    refused(ask_of(core.replace(b"VMCOREINFO\0", b"SOMETHING\0\0")), "VMCOREINFO")
    refused(ask_of(b""), "/file is empty")
    for other in (gzip.compress(bytes(99)), random.Random(1).randbytes(4096), b"\x7fEL", bytes(99)):
        done = ask_of(other)
        refused(done, "--vmlinux is for crash dumps", "/file is not one")
        assert "ELF" in done.err and "--source" not in done.err, done.err
    for unnamed in ((), ("--source", "/proc/version")):
        done = here("query", *unnamed, "--vmlinux", str(kernel.vmlinux))
        assert done.status == 2 and "ELF" not in done.err
    refused(here("query", "--vmlinux", str(kernel.vmlinux)), "crash dumps, and none is named")
    packed = tmp_path / "core.gz"
    packed.write_bytes(gzip.compress(core))
    refused(here("query", "--source", str(packed)), "but ELF", "packed")


PACKED = {
    "gz": (gzip.compress, "gzip -dk"),
    "bz2": (bz2.compress, "bzip2 -dk"),
    "xz": (lzma.compress, "xz -dk"),
    "zst": (lambda data: b"\x28\xb5\x2f\xfd" + data[:99], "zstd -d"),
    "lz4": (lambda data: b"\x04\x22\x4d\x18" + data[:99], "lz4 -d"),
}


@pytest.mark.parametrize("suffix", PACKED)
def test_what_is_compressed_is_to_be_decompressed(
    core: str, kernel: vmcores.Kernel, tmp_path: Path, suffix: str
) -> None:
    """The hint is a command that can be pasted, whatever the name."""
    compress, command = PACKED[suffix]
    dump, vmlinux = tmp_path / f"a core.{suffix}", tmp_path / f"vmlinux.{suffix}"
    dump.write_bytes(compress(Path(core).read_bytes()))
    vmlinux.write_bytes(compress(kernel.vmlinux.read_bytes()))
    for words in (("query", "--source", str(dump)), ("diff", SAMPLE, str(dump))):
        done = here(*words, "--vmlinux", str(kernel.vmlinux))
        refused(done, f"{dump} is compressed")
        assert f"{command} '{dump}'\n" in done.err
    done = here("query", "--source", core, "--vmlinux", str(vmlinux))
    refused(done, f"{vmlinux} is compressed")
    assert f"{command} {vmlinux}\n" in done.err


def test_a_pipe_by_name_is_refused_at_once(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    """Nobody writes into it: opened, it would be waited for."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    done = allocq("query", "--source", str(fifo), "--vmlinux", str(kernel.vmlinux), timeout=60)
    refused(done, f"{fifo} is a pipe")


def test_the_core_of_a_process(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    path = tmp_path / "core"
    core = vmcores.dump(kernel).write(path).read_bytes()
    own = b"VMCOREINFO\0"
    at = core.index(own) - 12
    name_size, size, _ = struct.unpack_from("<III", core, at)
    for type, words in ((6, "the core dump of a process"), (1, "a dump without VMCOREINFO")):
        note = struct.pack("<III", name_size, size, type) + b"CORE".ljust(len(own), b"\0")
        path.write_bytes(core[:at] + note + core[at + len(note) :])
        refused(here("query", str(path), "--vmlinux", str(kernel.vmlinux)), f"{path} is {words}")


# What is damaged, or left out


def test_lost_names(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    """Wild pointers, and text that can be no name."""
    for wild in (0, 0x10, 0x7FFF_0000_0000, 0xFFFF_8000_0000_0000, (1 << 64) - 1):
        dump = vmcores.dump(kernel)
        dump.put_word(dump.at("built_in") + 24, wild)  # filename of the first tag
        done = ask(dump, tmp_path)
        assert (done.status, done.out) == (0, b"".join(vmcores.LINES.splitlines(True)[1:]))
        assert "1 tag cannot be read" in done.err
    dump = vmcores.dump(kernel)
    dump.put_word(dump.at("built_in") + 24, dump.at("areas"))
    dump.put(dump.at("areas") + 1, b"a\nb\0")
    assert b"a\nb" not in ask(dump, tmp_path).out


def test_a_string_without_an_end(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    dump = vmcores.dump(kernel)
    dump.put(dump.at("areas") + 3 * vmcores.AREA, b"x" * vmcores.AREA)
    dump.put_word(dump.at("built_in") + 16, dump.at("areas") + 3 * vmcores.AREA)
    done = ask(dump, tmp_path)
    assert done.status == 0 and b"xxxx" not in done.out and "1 tag cannot be read" in done.err


def test_ranges_that_cannot_be(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    for start, stop in ((0, 0), (8, 1 << 62), (-8, -8 - 40), (1, 0), (1 << 63, -1)):
        dump = vmcores.dump(kernel)
        dump.put_word(dump.at("modules") + 32, start)  # of xfs
        dump.put_word(dump.at("modules") + 40, stop)
        done = ask(dump, tmp_path)
        assert done.status == 0 and done.out.count(b"\n") == 5
        assert ("the tags of 1 module cannot be read" in done.err) == ((start, stop) != (0, 0))


def test_nodes_in_a_circle(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    dump = vmcores.dump(kernel)
    slots = 40
    for each in range(64):
        dump.put_word(dump.at("root") + slots + 8 * each, dump.at("root") + 2)
    refused(ask(dump, tmp_path), "the tags of 64 modules cannot be read")
    dump = vmcores.dump(kernel)
    dump.put_word(dump.at("leaves") + slots + 8 * 5, dump.at("root") + 2)
    done = ask(dump, tmp_path)
    assert (done.status, done.out) == (0, vmcores.LINES) and "1 module" in done.err


def test_nodes_that_are_shared(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    """Walked each time, ten levels of 64 would be without an end."""
    dump = vmcores.dump(kernel)
    area = dump.at("areas") + 3 * vmcores.AREA
    nodes = [area + 1024 * level for level in range(8)]
    for level, node in enumerate(nodes):
        dump.put(node, bytes([60 - 6 * level]))
        below = nodes[level + 1] if level < 7 else dump.at("leaves")
        for slot in range(64):
            dump.put_word(node + 40 + 8 * slot, below + 2)
    dump.put_word(dump.at("type") + 32, nodes[0] + 2)
    done = ask(dump, tmp_path)
    assert done.out == b"".join(vmcores.LINES.splitlines(True)[:6])
    assert "the tags of 504 modules cannot be read" in done.err


def test_many_tags_that_are_none(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    """All modules together have a bound."""
    dump = vmcores.dump(kernel)
    areas = dump.at("areas")
    for each in range(64):
        module = areas + 3 * vmcores.AREA + 32 * each
        dump.put_word(module + 8, areas)
        dump.put_word(module + 16, areas + 40 * (1 << 16))
        dump.put_word(dump.at("leaves") + 40 + 8 * each, module)
    refused(ask(dump, tmp_path), "131,072 tags and the tags of 63 modules cannot be read")


def test_entries_that_are_no_modules(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    """Values, siblings, retries (include/linux/xarray.h)."""
    dump = vmcores.dump(kernel)
    for each, entry in enumerate((1, 3, 2, 6, 258, 1026, 0xFFFF_FFFF_FFFF_FFFF)):
        dump.put_word(dump.at("leaves") + 40 + 8 * (10 + each), entry)
    assert ask(dump, tmp_path) == (0, vmcores.LINES, "")


def test_one_module_alone_needs_no_node(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    dump = vmcores.dump(kernel)
    head = dump.at("type") + 32  # behind link, count, lock and flags
    dump.put_word(head, dump.at("modules"))
    lines = vmcores.LINES.splitlines(True)
    assert ask(dump, tmp_path) == (0, b"".join(lines[:4]), "")
    dump.put_word(head, 0)
    refused(ask(dump, tmp_path), "its kernel has no tags")


def test_a_page_of_counters_that_is_not_there(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    """The sum of what is left, marked; nothing where nothing is left."""
    dump = vmcores.dump(kernel)
    dump.lose(dump.at("areas") + 2 * vmcores.AREA)  # of CPU 2; those from 4096 on are there
    done = ask(dump, tmp_path)
    lines = done.out.splitlines()
    assert done.status == 0 and len(lines) == 7
    assert lines[1] == b"        3000       30 mm/slub.c:12 func:kept_on_all_cpus accurate:no "
    assert lines[5] == vmcores.LINES.splitlines()[5]
    assert "5 sums lack the counters of some CPUs" in done.err
    for cpu in range(3):
        dump.lose(dump.at("areas") + cpu * vmcores.AREA)
    done = ask(dump, tmp_path)
    assert done.out.count(b"\n") == 2 and "5 tags cannot be read" in done.err
    for cpu in range(3):
        dump.lose(dump.at("areas") + cpu * vmcores.AREA + vmcores.PAGE)
    refused(ask(dump, tmp_path), "7 tags cannot be read")


def test_a_lost_tag_makes_the_listing_a_part(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    """What is missing in it is not gone."""
    whole = vmcores.dump(kernel).write(tmp_path / "whole")
    dump = vmcores.dump(kernel)
    dump.put_word(dump.at("built_in") + 24, 0)
    core = dump.write(tmp_path / "core")
    done = here("diff", str(whole), str(core), "--vmlinux", str(kernel.vmlinux))
    assert done.status == 1 and "truncated" in done.err


@pytest.mark.parametrize(
    "name",
    ["alloc_tag_cttype", "__cpu_possible_mask", "__per_cpu_offset"],
)
def test_the_kernels_own_data_are_lost(kernel: vmcores.Kernel, tmp_path: Path, name: str) -> None:
    dump = vmcores.dump(kernel)
    dump.lose(dump.at(name))
    refused(ask(dump, tmp_path), "cannot be read")


def test_facts_that_are_lost_are_left_out(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    dump = vmcores.dump(kernel)
    dump.put(dump.at("sysctl_bootid"), bytes(16))  # nobody asked for it
    dump.put(dump.at("init_uts_ns") + 65, b"\xff\x1b[2Jevil\n\0")
    dump.put(dump.at("timekeeper_data"), bytes(48))
    dump.put_word(dump.at("inodes") + 16, dump.at("inodes") + 16)  # a list that ends nowhere
    done = ask(dump, tmp_path, "-o", "json")
    assert json.loads(done.out)["source"]["time"] is None and "\x1b" not in done.err
    core = tmp_path / "core"
    text = here("snapshot", "--source", str(core), "--vmlinux", str(kernel.vmlinux)).out
    for name in (b"boot-id", b"time", b"host", b'"Buffers"', b'"Cached"'):
        assert name not in text.partition(b"mm/slub.c")[0]
    assert b'"MemTotal":' in text
    memory = here("memory", "--source", str(core), "--vmlinux", str(kernel.vmlinux))
    assert memory.status == 0 and "Buffers, Cached" in memory.err


# kdump-compressed


def kdump(level: int = 31, status: int = 1, info: bool = True, split: int = 0) -> bytes:
    """A header of makedumpfile's, as dump.py looks at it, with one page."""
    block = 4096
    head = bytearray(block)
    struct.pack_into("<8si", head, 0, b"KDUMP   ", 6)
    struct.pack_into("<IiII", head, 424, status, block, 1, 2)
    second = bytearray(block)
    notes = b"OSRELEASE=7.9.9-test\nBUILD-ID=00ff\nPAGESIZE=4096\n"
    struct.pack_into("<qii", second, 0, 0, level, split)
    struct.pack_into("<QQ", second, 32, block + 1024, len(notes) if info else 0)
    second[1024 : 1024 + len(notes)] = notes
    bitmaps = bytes(block) + b"\x01".ljust(block, b"\0")
    page = struct.pack("<QIIQ", 4 * block + 24, 100, 1, 0)
    return bytes(head + second) + bitmaps + page + bytes(100)


def test_the_header_of_a_kdump(tmp_path: Path) -> None:
    path = tmp_path / "kdump"
    path.write_bytes(kdump())
    fd = open_dump(str(path))
    assert fd is not None
    found = examine(fd, str(path))
    os.close(fd)
    assert (found.kind, found.level, found.release) == ("kdump-compressed", 31, "7.9.9-test")
    assert (found.build_id, found.page_size) == ("00ff", 4096)


def test_kdumps_that_are_not_whole(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    path = tmp_path / "kdump"

    def ask_of(data: bytes) -> Result:
        path.write_bytes(data)
        return here("query", "--source", str(path), "--vmlinux", str(kernel.vmlinux))

    whole = kdump()
    for size in (8, 463, 4096, 4200, 8192, len(whole) - 101, len(whole) - 1):
        refused(ask_of(whole[:size]), "truncated")
    refused(ask_of(kdump(status=9)), "truncated, or makedumpfile could not finish it")
    refused(ask_of(kdump(info=False)), "no VMCOREINFO")
    refused(ask_of(kdump(split=1)), "a part of a dump")
    refused(ask_of(whole[:428] + b"\x07" + whole[429:]), "damaged")
    refused(ask_of(whole), "another build")


# What is not done by itself


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        yield listening


def test_debuginfod_is_not_asked(
    options: tuple[str, ...], folder: Path, server: socket.socket, tmp_path: Path
) -> None:
    env = {"DEBUGINFOD_URLS": f"http://127.0.0.1:{server.getsockname()[1]}"}
    env["HOME"] = env["XDG_CACHE_HOME"] = str(tmp_path)
    assert allocq("query", *options, env=env).out == vmcores.LINES
    stripped = vmcores.compiled(folder, debug=False)
    core = vmcores.dump(stripped).write(tmp_path / "core")
    words = ("--source", str(core), "--vmlinux", str(stripped.vmlinux))
    refused(allocq("query", *words, env=env), "has no debug info")
    refused(allocq("query", *words[:2], env=env), "debug info is needed")
    with pytest.raises(TimeoutError):
        server.accept()


def test_drgn_is_imported_only_for_a_dump(options: tuple[str, ...]) -> None:
    code = (
        "import sys; from allocq.cli.run import run; run(sys.argv[1:]);"
        " print('drgn' in sys.modules, file=sys.stderr)"
    )

    def imports_drgn(*argv: str) -> bool:
        command = [sys.executable, "-c", code, *argv]
        return subprocess.run(command, capture_output=True).stderr.endswith(b"True\n")

    assert imports_drgn("query", *options)
    assert not imports_drgn("query", "--sample")
    assert not imports_drgn("query", "--source", options[1])


def test_drgn_is_missing(
    core: str, kernel: vmcores.Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "drgn", None)
    done = here("query", "--source", core, "--vmlinux", str(kernel.vmlinux))
    refused(done, "drgn, which reads it, is not installed")
    assert "pip install 'allocq[vmcore]'" in done.err


def test_kcore_is_told_by_its_content(tmp_path: Path) -> None:
    assert not is_dump(SAMPLE) and not is_dump("/proc/self/status") and not is_dump("/no/such")
    assert not is_dump(str(tmp_path)) and not is_dump("\0")


@pytest.mark.skipif(not os.path.exists("/proc/kcore"), reason="no /proc/kcore")
def test_kcore_needs_rights(kernel: vmcores.Kernel) -> None:
    done = here("query", "--source", "/proc/kcore", "--vmlinux", str(kernel.vmlinux))
    refused(done, "/proc/kcore: permission denied" if os.geteuid() else "another build")


def test_what_drgn_cannot_read_is_one_line(kernel: vmcores.Kernel, tmp_path: Path) -> None:
    dump = vmcores.dump(kernel)
    dump.notes["SYMBOL(swapper_pg_dir)"] = None
    dump.notes["KERNELOFFSET"] = "nonsense"
    refused(ask(dump, tmp_path), "drgn cannot read")


def test_it_is_a_source_error(core: str, folder: Path) -> None:
    other = vmcores.compiled(folder, "OFF").vmlinux
    with pytest.raises(SourceError, match="another build"):
        library.open(core, vmlinux=other)


@pytest.mark.parametrize(
    "head",
    [
        *(
            b"\x7fELF" + bytes((bits, order, 1)) + bytes(9) + (4).to_bytes(2, name)
            for bits in (1, 2)
            for order, name in ((1, "little"), (2, "big"))
        ),
        b"KDUMP   ",
        b"DISKDUMP",
    ],
)
@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_wild_headers_are_one_clear_line(head: bytes, data: st.DataObject) -> None:
    size = data.draw(st.sampled_from((20, 60, 500, 1 << 14)))
    rest = data.draw(
        st.one_of(
            st.binary(min_size=size, max_size=size),
            st.sampled_from((b"\xff", b"\x7f", b"\0", b"\1\0\0\0\0\0\0\0")).map(
                lambda piece: (piece * size)[:size]
            ),
        )
    )
    done = query(head + rest, "--vmlinux", "/nowhere")
    refused(done, "/proc/self/fd/")
