"""The kept names are only a help: however stale, damaged or foreign, no answer depends on them."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import faulty
import oracle
import pytest
import still
import tagcache
from command import ALLOCQ, allocq, here
from oracle import Asked

import allocq as library

if TYPE_CHECKING:
    from conftest import Modprobe

PACKAGE = Path(library.__file__).parent
FOLDER = Path("/run/allocq")
NAMES = FOLDER / "names"
TORN = (
    "allocq: warning: modules were loaded or unloaded during every scan; the answer may be torn\n"
)
QUESTIONS = (Asked(files=["mm/slub.c"]), Asked(files=["*.h"]), Asked(functions=["*_init"]), Asked())


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    remove(FOLDER)
    yield
    remove(FOLDER)


def remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def right(*interfaces: str) -> None:
    """Every question is answered by the names of now, without a word on standard error."""
    for interface in interfaces or ("ioctl", "auto"):
        for asked in QUESTIONS:
            argv = ["-o", "procfs", "--interface", interface, *asked.argv()]
            result = here("query", *argv)
            assert (result.status, result.err) == (0, "")
            assert still.same_names(oracle.parse(result.out), asked, still.read()), argv


def learn() -> bytes:
    """Make the file, as the first question does."""
    assert here("query", "-q", "--interface", "ioctl").status == 0
    return NAMES.read_bytes()


def test_the_names_are_kept_and_are_their_owners_alone() -> None:
    learn()
    assert stat.S_IMODE(FOLDER.stat().st_mode) == 0o700
    assert stat.S_IMODE(NAMES.stat().st_mode) == 0o600
    assert FOLDER.stat().st_uid == NAMES.stat().st_uid == 0
    assert os.listdir(FOLDER) == ["names"]
    right()
    assert os.listdir(FOLDER) == ["names"]


def test_known_names_spare_reading_the_text() -> None:
    learn()
    before = NAMES.stat().st_mtime_ns
    with library.open(interface="ioctl") as source:
        info = source.read(library.Filter(files=["slub.c"])).info
    tags = sum(tag.file == "mm/slub.c" for tag in still.read())
    assert info.interface == "ioctl"
    assert info.ioctls <= tags + 1
    assert NAMES.stat().st_mtime_ns == before


def test_the_names_follow_modules_that_come_and_go(modprobe: Modprobe) -> None:
    module = next((m for m in ("xfs", "tun") if modprobe.has(m)), None)
    if module is None:
        pytest.skip("this kernel has neither a module xfs nor tun")

    def ask(interface: str) -> list[oracle.Tag]:
        result = here("query", "-o", "procfs", "-m", module, "--interface", interface)
        assert result.err == ""
        return oracle.parse(result.out)

    for _ in range(3):
        right()
        modprobe(module)
        loaded = [tag for tag in still.read() if tag.module == module]
        assert loaded
        for interface in ("ioctl", "auto", "text"):
            assert [still.key(t) for t in ask(interface)] == [still.key(t) for t in loaded]
        right()
        modprobe.remove(module)
        gone = [tag for tag in still.read() if tag.module == module]
        for interface in ("ioctl", "auto", "text"):
            assert [still.key(t) for t in ask(interface)] == [still.key(t) for t in gone]
        right()


def test_what_asking_costs_is_measured_once_a_boot(modprobe: Modprobe, tmp_path: Path) -> None:
    """The names of new modules cost one reading of the text, and nothing beside it."""
    module = next((m for m in ("xfs", "tun") if modprobe.has(m)), None)
    if module is None:
        pytest.skip("this kernel has neither a module xfs nor tun")
    run = faulty.Faulty(faulty.build(tmp_path), "front")
    assert run.count("get_at", "query", "-c") > 5
    old = costs()
    modprobe(module)
    assert run.count("get_at", "query", "-c") == 0
    new = costs()
    assert new.pop("text") > old.pop("text")
    assert new == old


def costs() -> dict[str, int]:
    """What the file says that asking costs."""
    return tagcache.costs_in(NAMES.read_bytes())


def test_names_of_a_module_that_is_gone_mislead_nobody(modprobe: Modprobe) -> None:
    """Its old names are put back as if they were of now."""
    module = next((m for m in ("xfs", "tun") if modprobe.has(m)), None)
    if module is None:
        pytest.skip("this kernel has neither a module xfs nor tun")
    modprobe(module)
    with_module = learn()
    modprobe.remove(module)
    without = learn()
    NAMES.write_bytes(with_module)
    right()
    modprobe(module)
    NAMES.write_bytes(without)
    right()


def test_an_answer_while_modules_come_and_go_is_whole_or_says_so(modprobe: Modprobe) -> None:
    module = next((m for m in ("tun", "xfs") if modprobe.has(m)), None)
    if module is None:
        pytest.skip("this kernel has neither a module xfs nor tun")
    script = f"while :; do modprobe {module}; modprobe -r {module}; done"
    built_in = [still.key(tag) for tag in still.read() if tag.module is None]
    busy = subprocess.Popen(["sh", "-c", script], stderr=subprocess.DEVNULL)
    try:
        for interface in ("ioctl", "auto", "text") * 8:
            result = here("query", "-o", "procfs", "--interface", interface)
            tags = oracle.parse(result.out)
            assert result.status == 0
            assert result.err in ("", TORN)
            if not result.err:
                assert [still.key(tag) for tag in tags if tag.module is None] == built_in
                assert len({tag.module for tag in tags} - {None}) <= 2
            result = here("query", "-m", module, "--interface", interface, "-c")
            assert result.status in (0, 1)
    finally:
        busy.kill()
        busy.wait()
        subprocess.run(["modprobe", "-r", module], stderr=subprocess.DEVNULL)


Damage = Callable[[bytes], bytes]


def flip(data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(3):
        spoilt[random.randrange(len(spoilt))] ^= 1 << random.randrange(8)
    return bytes(spoilt)


def change_head(name: str, value: str) -> Damage:
    def change(data: bytes) -> bytes:
        head, _, text = data.partition(b"\n")
        words = [
            f"{name}={value}".encode() if word.startswith(name.encode() + b"=") else word
            for word in head.split(b" ")
        ]
        return b" ".join(words) + b"\n" + text

    return change


DAMAGE: dict[str, Damage] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "cut in its head": lambda data: data[:30],
    "longer": lambda data: data + data[-100:],
    "flipped bits": flip,
    "zeros": lambda data: bytes(len(data)),
    "noise": lambda data: os.urandom(len(data)),
    "another format": lambda data: data.replace(b"allocq-names 2", b"allocq-names 1", 1),
    "lines swapped": lambda data: b"\n".join(
        data.split(b"\n")[:9] + data.split(b"\n")[9:19][::-1] + data.split(b"\n")[19:]
    ),
    "a tag missing": lambda data: data.replace(data.split(b"\n")[200] + b"\n", b"", 1),
    "of another boot": change_head("boot", "00000000-0000-0000-0000-000000000000"),
    "of no boot": change_head("boot", ""),
    "of another content": change_head("content", "999999"),
    "a huge number": change_head("bytes", "9" * 5000),
    "a negative number": change_head("content", "-1"),
    "no costs": change_head("tag", ""),
    "a word of noise": change_head("hash", "\x1b[2J"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_or_foreign_names_change_no_answer(how: str) -> None:
    good = learn()
    bad = DAMAGE[how](good)
    assert bad != good
    NAMES.write_bytes(bad)
    right()


def test_too_large_a_file_is_not_read() -> None:
    learn()
    with NAMES.open("r+b") as file:
        file.truncate(1 << 40)
    right("ioctl")


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_names_that_others_could_have_touched_are_not_read(mode: int) -> None:
    good = learn()
    NAMES.write_bytes(good.replace(b" mm/slub.c:", b" xx/xxxx.c:"))
    NAMES.chmod(mode)
    right()


@pytest.mark.parametrize("what", ["names", "folder"])
def test_names_of_another_owner_are_not_read(what: str) -> None:
    learn()
    os.chown(NAMES if what == "names" else FOLDER, 65534, 65534)
    right()


def test_a_folder_that_others_may_write_to_is_not_used() -> None:
    learn()
    FOLDER.chmod(0o777)
    mark = NAMES.stat().st_mtime_ns
    right()
    assert NAMES.stat().st_mtime_ns == mark


def test_links_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    learn()
    NAMES.unlink()
    NAMES.symlink_to(victim)
    right()
    assert victim.read_text() == "precious\n"
    remove(FOLDER)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    FOLDER.symlink_to(tmp_path / "elsewhere")
    right()
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_hard_link_to_the_names_is_not_read(tmp_path: Path) -> None:
    learn()
    os.link(NAMES, FOLDER / "other")
    right()


@pytest.mark.parametrize("kind", ["fifo", "directory", "file in place of the folder"])
def test_what_is_no_file_does_not_stop_it(kind: str) -> None:
    if kind == "file in place of the folder":
        FOLDER.write_text("x")
    else:
        FOLDER.mkdir(mode=0o700)
        os.mkfifo(NAMES, 0o600) if kind == "fifo" else NAMES.mkdir(mode=0o700)
    right()


def test_no_room_or_a_read_only_folder_is_no_error() -> None:
    FOLDER.mkdir(mode=0o700)
    for option in ("size=8k", "ro"):
        mount = ["mount", "-t", "tmpfs", "-o", f"mode=700,{option}", "none", str(FOLDER)]
        subprocess.run(mount, check=True)
        try:
            right()
            assert os.listdir(FOLDER) == []
        finally:
            subprocess.run(["umount", str(FOLDER)], check=True)


def test_many_at_a_time_leave_one_good_file() -> None:
    running = [
        subprocess.Popen([*ALLOCQ, "query", "-c", "--interface", "ioctl"], stdout=subprocess.PIPE)
        for _ in range(12)
    ]
    answers = {process.communicate()[0] for process in running}
    assert answers == {b"%d\n" % len(still.read())}
    assert os.listdir(FOLDER) == ["names"]
    right()


def test_a_query_that_is_killed_leaves_no_litter_that_matters() -> None:
    for delay in (0.01, 0.03, 0.05, 0.07, 0.09):
        process = subprocess.Popen([*ALLOCQ, "query", "-q", "--interface", "ioctl"])
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        right("ioctl")
        remove(FOLDER)


def test_nothing_is_left_where_it_is_started(tmp_path: Path) -> None:
    here_only = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)}
    result = allocq("query", "-f", "slub.c", cwd=tmp_path, env=here_only)
    assert result.status == 0
    assert os.listdir(tmp_path) == []
