"""The running kernel's calls failing at each step: a clear complaint or the right answer."""

from __future__ import annotations

import errno
import json
import resource
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faulty
import oracle
import pytest
from command import ALLOCQ, Result, refused, unread, until

CACHE = Path("/run/allocq")
ERRNOS = (errno.EIO, errno.EFAULT, errno.ENOMEM, errno.EPERM, errno.ENOTTY)
IOCTLS = ("get_at", "get_next", "content_id")
TORN = "modules were loaded or unloaded during every scan"

# The ways to ask: (names are known, arguments, what the text is asked)
WAYS: dict[str, tuple[bool, tuple[str, ...], oracle.Asked]] = {
    "filter": (False, ("-F", "alloc_slab_page"), oracle.Asked(functions=["alloc_slab_page"])),
    "read names": (False, ("-f", "kernel/fork.c"), oracle.Asked(files=["kernel/fork.c"])),
    "seek": (True, ("-f", "kernel/fork.c"), oracle.Asked(files=["kernel/fork.c"])),
    "ioctl": (False, ("--interface", "ioctl", "-f", "mm/s*"), oracle.Asked(files=["mm/s*"])),
    "text": (True, ("--interface", "text", "-f", "mm/s*"), oracle.Asked(files=["mm/s*"])),
}
way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty.build(tmp_path_factory.mktemp("shim"))


def names_of(tags: list[oracle.Tag]) -> Counter[tuple[object, ...]]:
    return Counter((tag.file, tag.line, tag.module, tag.function) for tag in tags)


class Asker:
    """Asks one of the ways, with faults, its cache as it should be; knows the right answer."""

    def __init__(self, shim: Path, program: str, way: str, text: str) -> None:
        self._run = faulty.Faulty(shim, program)
        self._known, argv, asked = WAYS[way]
        self._argv = ("query", "-o", "procfs", *argv)
        self._right = names_of(oracle.select(oracle.parse(text.encode()), asked))
        assert self._right

    def _prepare(self) -> None:
        if not self._known:
            shutil.rmtree(CACHE, ignore_errors=True)
        elif not (CACHE / "names").exists():
            subprocess.run([*ALLOCQ, "query", "-q", "-f", "*"], check=True)

    def steps(self, call: str, file: str | None = None) -> list[int]:
        """The first call, one in the middle, and the last ones."""
        self._prepare()
        last = self._run.count(call, *self._argv, file=file)
        return sorted(step for step in {1, last // 2, last - 1, last} if 0 < step <= last)

    def __call__(self, call: str, error: int, *more: str, **fault: Any) -> Result:
        self._prepare()
        return self._run(call, error, *self._argv, *more, **fault)

    @property
    def may_read_text(self) -> bool:
        """Is the text read where the ioctl fails?"""
        return self._argv[3:5] != ("--interface", "ioctl")

    @property
    def failed(self) -> bool:
        """Did the last run make the call that was to fail? Fewer are made after a cheaper plan."""
        return self._run.failed

    def is_refused(self, result: Result, words: str) -> None:
        """Where the call was made that was to fail."""
        if self.failed:
            refused(result, words)
        else:
            self.is_right(result)

    def is_right(self, result: Result, *said: str) -> None:
        assert result.status == 0, result
        assert names_of(oracle.parse(result.out)) == self._right
        lines = result.err.splitlines()
        assert len(lines) == len(said), result
        for line, words in zip(lines, said, strict=True):
            assert line.startswith("allocq: warning: ") and words in line, result


@pytest.fixture(params=faulty.PROGRAMS)
def ask(
    shim: Path, request: pytest.FixtureRequest, way: str, cat_allocinfo: Callable[[], str]
) -> Asker:
    return Asker(shim, request.param, way, cat_allocinfo())


@way
@pytest.mark.parametrize("error", ERRNOS, ids=faulty.name)
def test_each_ioctl_fails(ask: Asker, way: str, error: int) -> None:
    made = 0
    for call in IOCTLS:
        for step in ask.steps(call):
            result = ask(call, error, at=step)
            made += ask.failed
            if ask.may_read_text and error != errno.ENOMEM and call != "content_id":
                ask.is_right(result)
            elif ask.may_read_text and call == "content_id" and step == 1:
                ask.is_right(result)  # a kernel without it
            elif call == "content_id" and result.status == 0:
                ask.is_right(result)  # the one after a scan: scanned again
            elif call == "content_id" and step == 1:
                ask.is_refused(result, "/proc/allocinfo")
            else:
                words = {
                    errno.EPERM: "/proc/allocinfo: permission denied",
                    errno.ENOMEM: "out of memory",
                }
                ask.is_refused(result, words.get(error, "/proc/allocinfo"))
    assert made >= (2 if way == "text" else 3)


@way
def test_every_ioctl_fails_from_one_on(ask: Asker, way: str) -> None:
    """As when profiling is shut down for good."""
    for call in IOCTLS:
        for step in ask.steps(call):
            for error in (errno.ENOTTY, errno.EIO):
                result = ask(call, error, at=step, times=0)
                if ask.may_read_text and (call != "content_id" or step == 1):
                    ask.is_right(result)
                else:
                    ask.is_refused(result, "/proc/allocinfo")


@way
def test_interrupted_ioctls_are_made_again(ask: Asker, way: str) -> None:
    for call in IOCTLS:
        for step in ask.steps(call):
            ask.is_right(ask(call, errno.EINTR, at=step, times=3))


@way
def test_each_read_fails(ask: Asker, way: str) -> None:
    for step in ask.steps("read", "/proc/allocinfo"):
        for error in (errno.EIO, errno.ENODEV, errno.EPERM, errno.EFAULT):
            result = ask("read", error, at=step, file="/proc/allocinfo")
            if way == "read names" and result.status == 0:
                ask.is_right(result)  # what the tag cache is made of was read once more
            else:
                ask.is_refused(result, "/proc/allocinfo")
        for error in (errno.EIO, errno.EPERM):
            lasting = ask("read", error, at=step, times=0, file="/proc/allocinfo")
            ask.is_refused(lasting, "/proc/allocinfo")
        short = ask("read", errno.ENOMEM, at=step, file="/proc/allocinfo")
        ask.is_refused(short, "out of memory")
        ask.is_right(ask("read", errno.EINTR, at=step, file="/proc/allocinfo"))


@pytest.mark.parametrize("way", ["read names", "text"])
def test_short_reads_lose_nothing(ask: Asker, way: str) -> None:
    ask.is_right(ask("read", 0, times=100, file="/proc/allocinfo"))


@way
def test_opening_fails(ask: Asker, way: str) -> None:
    for error, words in (
        (errno.ENOENT, "no /proc/allocinfo"),
        (errno.EACCES, "/proc/allocinfo: permission denied"),
        (errno.EPERM, "/proc/allocinfo: permission denied"),
        (errno.EMFILE, "cannot read /proc/allocinfo"),
        (errno.EIO, "cannot read /proc/allocinfo"),
    ):
        refused(ask("open", error, file="/proc/allocinfo"), words)


@way
def test_nothing_else_is_needed(ask: Asker, way: str) -> None:
    """The names cache, the boot id and the switch only help."""
    for file in ("=/run/allocq", "=names", "/boot_id", "/mem_profiling"):
        for error in (errno.EACCES, errno.EROFS):
            ask.is_right(ask("open", error, times=0, file=file))
    for file in ("/run/allocq/names", "/boot_id", "/mem_profiling"):
        ask.is_right(ask("read", errno.EIO, times=0, file=file))
    for step in (1, 2):
        ask.is_right(ask("write", errno.ENOSPC, at=step, file="/run/allocq/names."))
    ask.is_right(ask("write", 0, times=3, file="/run/allocq/names."))
    assert not list(CACHE.glob("names.*"))
    ask.is_right(ask("read", 0, times=9, file="/run/allocq/names"))


@way
def test_every_allocation_in_c_fails(ask: Asker, way: str) -> None:
    steps = ask.steps("malloc")
    assert len(steps) > 3
    for step in steps:
        lasting = ask("malloc", errno.ENOMEM, at=step, times=0)
        ask.is_refused(lasting, "allocq: out of memory")
        result = ask("malloc", errno.ENOMEM, at=step)
        if result.status == 0:
            ask.is_right(result)  # the tag cache only helps
        else:
            refused(result, "allocq: out of memory")


@way
def test_modules_that_move_for_a_while(ask: Asker, way: str) -> None:
    """Scanned again until they rest: consistent, or marked."""
    marked = []
    for changes in (1, 2, 3, 5, 12, 20, 21, 22, 23, 70, 1000):
        for file in CACHE.glob("*"):  # how often one scan asks depends on what is cached
            file.unlink()
        result = ask("content_id", 0, "-o", "json", times=changes)
        assert result.status == 0, result
        document = json.loads(result.out)
        consistent = document["source"]["consistent"]
        assert consistent is (result.err == ""), result
        assert consistent or TORN in result.err
        marked.append(not consistent)
    assert marked == sorted(marked) and not marked[4] and marked[-1], str(marked)


@way
def test_modules_that_never_rest(ask: Asker, way: str) -> None:
    result = ask("content_id", 0, times=0)
    ask.is_right(result, TORN)
    document = json.loads(ask("content_id", 0, "-o", "json", times=0).out)
    assert document["source"]["consistent"] is False


def test_long_names_are_whole_even_in_the_last_scan(
    shim: Path, modprobe: Any, cat_allocinfo: Callable[[], str]
) -> None:
    modprobe("allocq_oddtags")
    tags = oracle.parse(cat_allocinfo().encode())
    right = names_of(oracle.select(tags, oracle.Asked(modules=["allocq_oddtags"])))
    assert any(len(str(name)) > 63 for tag in right for name in tag)
    run = faulty.Faulty(shim, "front")
    query = ("query", "--interface", "ioctl", "-m", "allocq_oddtags", "-o", "procfs")
    for changes in (0, *range(1, 30)):
        result = run("content_id", 0, *query, times=changes)
        assert result.status == 0, result
        assert names_of(oracle.parse(result.out)) == right, changes
    steps = run.count("malloc", *query)
    for step in range(1, steps + 1, max(1, steps // 25)):
        failed = run("malloc", errno.ENOMEM, *query, at=step)
        if failed.status == 0:  # the tag cache only helps
            assert names_of(oracle.parse(failed.out)) == right
        else:
            refused(failed, "allocq: out of memory")


def test_little_memory_is_said(cat_allocinfo: Callable[[], str]) -> None:
    """In all that lies between too little for Python to start in and enough for every answer."""
    right = names_of(oracle.parse(cat_allocinfo().encode()))
    ended = Counter[int]()
    for kilobytes in range(12_000, 24_000, 500):

        def limit(most: int = kilobytes << 10) -> None:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))

        for argv in (("-o", "jsonl"), ("-o", "json", "--interface", "ioctl"), ("-e", ".")):
            try:
                done = subprocess.run(
                    [*ALLOCQ, "query", *argv], capture_output=True, preexec_fn=limit, timeout=30
                )
            except subprocess.TimeoutExpired:
                continue  # in User-Mode Linux a Python short of memory hangs now and then
            result = Result(done.returncode, done.stdout, done.stderr.decode())
            if result.status and "in entry" not in result.err and "allocq: " not in result.err:
                continue  # Python did not come as far as allocq
            ended[result.status] += 1
            if result.status != 0:
                refused(result, "allocq: out of memory")
            elif argv[0] == "-e":
                assert names_of(oracle.parse(result.out)) == right
            else:
                assert result.out.count(b'"file"') == right.total()
    assert ended[0] > 10 and ended[2] > 0, ended


def test_a_signal_ends_it_at_once() -> None:
    """Reading from a pipe that gives nothing."""
    process = subprocess.Popen(
        [*ALLOCQ, "query", "--source", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    process.stdin.write(oracle.HEADER)
    process.stdin.flush()
    until(lambda: not unread(process.stdin.fileno()))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")
