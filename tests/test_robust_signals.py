"""A signal at any moment: silence, the right status, nothing left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import allocq, until

PROGRAM = Path(sys.executable).parent / "allocq"
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Saves a file whose pieces come in halves; argv: the path, "force" or "", how it is saved.
SAVING = """
import os, signal, sys
from allocq.storage import files
path, force, way = sys.argv[1:]
if way == "named":
    files._open_nameless = lambda folder: None
def pieces():
    yield b"first"
    os.write(1, b"!")
    while True:
        signal.pause()
try:
    files.save(path, pieces(), bool(force))
except KeyboardInterrupt:
    os._exit(130)
"""


@pytest.fixture
def saving(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for child in started:
        child.kill()
        child.wait()


@pytest.mark.parametrize("way", ["nameless", "named"])
@pytest.mark.parametrize("force", ["", "force"])
@pytest.mark.parametrize("number", ENDING)
def test_a_signal_while_a_file_is_saved_leaves_nothing(
    number: signal.Signals, force: str, way: str, tmp_path: Path,
    saving: list[subprocess.Popen[bytes]],
) -> None:  # fmt: skip
    path = tmp_path / "saved"
    if force:
        path.write_text("before")
    child = subprocess.Popen(
        [sys.executable, "-c", SAVING, str(path), force, way], stdout=subprocess.PIPE
    )
    saving.append(child)
    assert child.stdout and child.stdout.read(1) == b"!"
    named = [name for name in os.listdir(tmp_path) if name.startswith(".allocq-")]
    assert bool(named) == (way == "named")
    child.send_signal(number)
    status = child.wait(60)
    assert status == (130 if number == signal.SIGINT else -number)
    assert os.listdir(tmp_path) == (["saved"] if force else [])
    if force:
        assert path.read_text() == "before"


def test_a_killed_process_leaves_nothing(
    tmp_path: Path, saving: list[subprocess.Popen[bytes]]
) -> None:
    words = [sys.executable, "-c", SAVING, str(tmp_path / "saved"), "", ""]
    child = subprocess.Popen(words, stdout=subprocess.PIPE)
    saving.append(child)
    assert child.stdout and child.stdout.read(1) == b"!"
    child.kill()
    child.wait(60)
    assert os.listdir(tmp_path) == []


def test_without_nameless_files_it_is_saved_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allocq.storage import files

    def no_link(*words: object, **_: object) -> None:
        if str(words[0]).startswith("/proc/"):
            raise OSError(2, "No such file or directory")
        real(*words, **_)  # type: ignore[arg-type]

    real = os.link
    for way in ("nameless", "no link", "named"):
        if way == "no link":
            monkeypatch.setattr("os.link", no_link)
        if way == "named":
            monkeypatch.setattr(files, "_open_nameless", lambda folder: None)
        for force in (False, True):
            files.save(str(tmp_path / way), (b"a", b"b" * 100_000), force)
            assert (tmp_path / way).read_bytes() == b"a" + b"b" * 100_000
            assert (tmp_path / way).stat().st_mode & 0o7777 == 0o600
            assert not any(name.startswith(".") for name in os.listdir(tmp_path))
        with pytest.raises(files.OutputError, match="exists"):
            files.save(str(tmp_path / way), (b"c",))


def test_handlers_are_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from allocq.storage import files

    monkeypatch.setattr(files, "_open_nameless", lambda folder: None)
    before = [signal.getsignal(number) for number in ENDING]
    files.save(str(tmp_path / "x"), (b"a",))
    assert [signal.getsignal(number) for number in ENDING] == before


# The beginning


@pytest.mark.skipif(not PROGRAM.exists(), reason="allocq is not installed beside this Python")
@pytest.mark.parametrize(
    "words",
    [
        ("query", "--sample", "-o", "table"),
        ("query", "--sample", "--group-by=file", "--no-such"),
        ("tree", "--sample", "-o", "json"),
        ("query", "--sample"),
    ],
)
def test_an_interrupt_in_the_first_moments_is_silent(words: tuple[str, ...]) -> None:
    begun = time.monotonic()
    finished = allocq(*words)
    took = time.monotonic() - begun
    moments = random.Random(0)
    ends: set[int] = set()
    for _ in range(60):
        child = subprocess.Popen([PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(moments.uniform(0, took))  # a random moment, nothing is waited for
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
        ends.add(child.returncode)
        if child.returncode in (130, -signal.SIGINT):  # before main() it is the kernel's default
            assert err in (b"", finished.err.encode())
        else:
            assert (child.returncode, out) == (finished.status, finished.out)
            assert err == finished.err.encode()
    assert ends & {130, -signal.SIGINT}


# All of the process in C

STUCK = """
import ctypes, os, signal, sys
from allocq import __main__ as main
signal.signal(signal.SIGINT, main.interrupt)
main.watch_interrupts()
libc = ctypes.CDLL(None)
mutex = ctypes.create_string_buffer(256)
libc.pthread_mutex_lock(mutex)
try:
    os.write(1, b"!")
    libc.pthread_mutex_lock(mutex)  # for ever, whatever signals come
except KeyboardInterrupt:
    os._exit(130)  # it came before the call
"""


def test_an_interrupt_is_answered_while_c_does_not_come_back() -> None:
    child = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE)
    try:
        assert child.stdout and child.stdout.read(1) == b"!"
        state = Path(f"/proc/{child.pid}/task/{child.pid}/stat")
        until(lambda: state.read_text().rpartition(") ")[2].startswith("S"))
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130
    finally:
        child.kill()
        child.wait()


BETWEEN = """
import os, signal, sys
from allocq import __main__ as main
sys.argv = ["allocq", "--version"]
real = main._guarded
def guarded():
    status = real()
    os.kill(os.getpid(), signal.SIGINT)
    return status
main._guarded = guarded
main.entry()
"""

FINALIZER = """
import sys
from allocq import __main__ as main
import allocq.cli.run as run
class Thing:
    def __del__(self):
        raise {error}
def body(argv):
    Thing()
    return 0
run.run = body
main.entry()
"""


IN_A_CLASS = """
import os, signal, sys
from allocq import __main__ as main
import allocq.cli.run as run
class Field:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGINT)
def body(argv):
    class Made:
        field = Field()
    return 0
run.run = body
main.entry()
"""


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def test_an_interrupt_after_the_command_is_silent() -> None:
    done = run_script(BETWEEN)
    assert (done.returncode, done.stderr) == (130, "")


def test_an_interrupt_while_a_class_is_made_is_silent() -> None:
    done = run_script(IN_A_CLASS)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        ("KeyboardInterrupt", 130, ""),
        ("ValueError('odd\\nlines')", 2, "allocq: internal error: ValueError: odd"),
        ("MemoryError", 2, "allocq: out of memory"),
    ],
)
def test_an_exception_in_a_finalizer_ends_it(error: str, status: int, words: str) -> None:
    done = run_script(FINALIZER.format(error=error))
    assert done.returncode == status
    assert done.stderr.startswith(words) and "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


# A command that is run

RUNNING = """
import os, sys
from allocq.host.processes import Ended, run
try:
    run([sys.executable, "-c", sys.argv[1]])
except Ended as end:
    os._exit(128 + end.number)
"""
CHILD = "import os, signal; os.write(1, b'%d\\n' % os.getpid()); signal.pause()"


@pytest.mark.parametrize("number", ENDING)
def test_a_command_gets_the_signal_that_ends_allocq(number: signal.Signals) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", RUNNING, CHILD], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    child = 0
    try:
        assert running.stdout
        child = int(running.stdout.readline())
        running.send_signal(number)
        assert running.wait(60) == 128 + number
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
        child = 0
    finally:
        running.kill()
        running.wait()
        if child:
            os.kill(child, signal.SIGKILL)


def test_two_signals_at_once_are_one_end() -> None:
    """As a service manager sends them: what answers the first is not interrupted."""
    script = """
import os, signal, sys
from allocq.host.processes import Signals
signals = Signals()
signals.waiting = True
try:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
except InterruptedError:
    os.kill(os.getpid(), signal.SIGHUP)
os._exit(len(signals.caught))
"""
    assert run_script(script).returncode == 2
