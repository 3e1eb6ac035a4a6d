"""A source in threads, over a fork, closed at the wrong moment or not at all."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

import allocq
from allocq.core import kernel as native_kernel
from allocq.errors import SourceError
from allocq.model import Filter

HEADER = b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"
MANY = 40_000
"""More than one batch of tags."""


@pytest.fixture
def large(tmp_path: Path) -> str:
    path = tmp_path / "large"
    lines = (b"%12d %8d mm/a.c:%d func:f \n" % (n, 1, n) for n in range(MANY))
    path.write_bytes(HEADER + b"".join(lines))
    return str(path)


def test_threads_that_share_a_source_get_all_or_an_error(large: str) -> None:
    answers: list[int | str] = []
    with allocq.open(large) as source:

        def read() -> None:
            for _ in range(10):
                try:
                    answers.append(len(source.read()))
                except SourceError as error:
                    answers.append(str(error))

        threads = [threading.Thread(target=read) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(source.read()) == MANY
    assert set(answers) <= {MANY, f"{large} is already being read"}
    assert len(answers) == 60 and MANY in answers


def test_threads_read_what_one_reads() -> None:
    """tests/build-release --check runs it without the GIL."""
    program = Path(__file__).parent / "release" / "threads.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert done.stdout in ("GIL on: right\n", "GIL off: right\n"), done.stdout + done.stderr
    assert done.returncode == 0


def test_two_readings_of_one_source_are_not_mixed(large: str) -> None:
    with allocq.open(large) as source:
        first, second = source.batches(Filter()), source.batches(Filter())
        held = len(next(first))
        with pytest.raises(SourceError, match="already being read"):
            next(second)
        with pytest.raises(SourceError, match="already being read"):
            source.read()
        assert held + sum(map(len, first)) == MANY
        assert sum(map(len, source.batches(Filter()))) == MANY


def test_a_reading_that_is_given_up_frees_the_source(large: str) -> None:
    with allocq.open(large) as source:
        for _ in source.batches(Filter()):
            break
        kept = source.batches(Filter())
        next(kept)
        kept.close()
        assert len(source.read()) == MANY


def in_child(call: object) -> str:
    """What a call in a child process gives, in words."""
    assert callable(call)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            words = str(call())
        except BaseException as error:
            words = f"{type(error).__name__}: {error}"
        os.write(write, words.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    words = os.read(read, 1 << 16).decode()
    os.close(read)
    return words


def test_a_child_process_is_refused_and_takes_nothing(large: str) -> None:
    with allocq.open(large) as source:
        batches = source.batches(Filter())
        held = len(next(batches))
        assert "another process" in in_child(lambda: len(source.read()))
        assert "another process" in in_child(lambda: sum(map(len, batches)))
        assert "another process" in in_child(lambda: len(next(source.batches(Filter()))))
        assert held + sum(map(len, batches)) == MANY
        assert in_child(source.close) == "None"
        assert len(source.read()) == MANY


def test_a_child_may_open_its_own(large: str) -> None:
    def read() -> int:
        with allocq.open(large) as source:
            return len(source.read())

    assert in_child(read) == str(MANY)


def test_closing_in_the_middle_of_a_reading(large: str) -> None:
    """The descriptor's number may be another file's by then."""
    source = allocq.open(large)
    fd = source.fd
    batches = source.batches(Filter())
    next(batches)
    source.close()
    os.fstat(fd)  # still open: it is the reading's
    with pytest.raises(SourceError, match="closed"):
        next(batches)
    with pytest.raises(OSError):
        os.fstat(fd)
    with pytest.raises(SourceError, match="closed"):
        source.read()
    source.close()


def test_closing_in_another_thread_waits_for_no_one(
    large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And frees nothing that the engine is using."""
    source = allocq.open(large)
    closed_at: list[bool] = []
    real = native_kernel.NativeSource.close

    def close(native: native_kernel.NativeSource) -> None:
        closed_at.append(reading.is_set())
        real(native)

    monkeypatch.setattr(native_kernel.NativeSource, "close", close)
    reading, go_on = threading.Event(), threading.Event()

    def read() -> None:
        with pytest.raises(SourceError, match="closed"):
            for _ in source.batches(Filter()):
                reading.set()
                go_on.wait(60)
        reading.clear()

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(60)
    source.close()
    assert closed_at == []
    go_on.set()
    thread.join()
    assert len(closed_at) == 1


def test_an_unclosed_source_warns(large: str) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    gc.collect()
    before = descriptors()
    with pytest.warns(ResourceWarning, match="unclosed source '.*large'"):
        source = allocq.open(large)
        source.read()
        del source
        gc.collect()
    assert descriptors() == before


def test_a_closed_source_does_not_warn(large: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with allocq.open(large) as source:
            source.read()
        source = allocq.open(large)
        source.close()
        source.close()
        del source
        gc.collect()
