"""`allocq trend` on a running kernel beside a busy load: the leak is first, a clean guest has no
suspect. ALLOCQ_TREND_RUNS says how often each is tried."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import ALLOCQ, here, until

from allocq.errors import SourceError
from allocq.storage.recording.reader import Recording

RUNS = int(os.environ.get("ALLOCQ_TREND_RUNS", "1"))
JOB = Path("/run/job")
SAMPLES = 70  # at 5 a second
BEGUN = 400  # turns, after which its files are there, and what it imports

# Files come and go, programs start and end, pipes are opened and closed.
BUSY = """
import os, random, subprocess, sys, tempfile, time
dice, place, turns = random.Random(), tempfile.mkdtemp(), 0
while True:
    turns += 1
    if turns == int(sys.argv[1]):
        os.write(1, b"!")
    with open(os.path.join(place, str(turns % 50)), "wb") as file:
        file.write(bytes(dice.randrange(60000)))
    if dice.random() < 0.05:
        subprocess.run(["/bin/true"])
    pipes = [os.pipe() for _ in range(dice.randrange(5))]
    for pair in pipes:
        os.close(pair[0]), os.close(pair[1])
    time.sleep(0.005)
"""
TAKEN_ALONG = {"fs/dcache.c", "fs/inode.c"}  # by each pipe and socket
LEAKS = {
    "pipes": ("held.append(os.pipe())", {"fs/pipe.c"}),
    "sockets": ("held.append(socket.socketpair())", {"net/core/sock.c", "net/socket.c"}),
    "a module's files": (
        "held.append(os.open('/dev/net/tun', os.O_RDWR))",
        {"net/core/sock.c", "net/socket.c", "drivers/net/tun.c"},
    ),
    "tmpfs": ("file.write(bytes(32768)); file.flush()", {"mm/shmem.c"}),
}  # fmt: skip
LEAK = """
import os, resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
held, file = [], open(sys.argv[1], "wb")
while True:
    {}
    time.sleep(0.05)
"""


def python(code: str, *argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *argv], stdout=subprocess.PIPE)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Not on a tmpfs, where a recording is memory that grows."""
    with tempfile.TemporaryDirectory(dir=JOB if JOB.is_dir() else tmp_path) as place:
        yield Path(place, "r")


@pytest.fixture
def busy() -> Iterator[None]:
    child = python(BUSY, str(BEGUN))
    assert child.stdout and child.stdout.read(1) == b"!"
    yield
    child.kill()
    child.wait()


def trends(folder: Path, *argv: str) -> list[dict[str, object]]:
    done = here("trend", str(folder), "-o", "json", *argv)
    assert done.status in (0, 1) and done.err == "", done
    found: list[dict[str, object]] = json.loads(done.out)["trends"]
    return found


def taken(folder: Path) -> int:
    with contextlib.suppress(SourceError):
        return len(Recording(folder).points())
    return 0


def record(folder: Path) -> None:
    child = subprocess.Popen([*ALLOCQ, "record", "-d", str(folder), "--interval", "0.2"])
    until(lambda: taken(folder) >= SAMPLES)
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 0


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("name", LEAKS)
def test_the_leak_is_first(
    name: str, run: int, busy: None, folder: Path, tmp_path: Path, modprobe: Callable[[str], None]
) -> None:
    code, files = LEAKS[name]
    if "module" in name:
        modprobe("tun")
        if not os.path.exists("/dev/net/tun"):
            os.makedirs("/dev/net", exist_ok=True)
            os.mknod("/dev/net/tun", 0o20600, os.makedev(10, 200))
    place = tmp_path / "tmpfs"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    child = python(LEAK.format(code), str(place / "file"))
    try:
        record(folder)
    finally:
        child.kill()
        child.wait()
        subprocess.run(["umount", str(place)], check=True)
    first = [row["file"] for row in trends(folder, "--suspects")[:3]]
    assert first and first[0] in files | TAKEN_ALONG and files & {*first}, trends(folder)[:4]


@pytest.mark.parametrize("run", range(RUNS))
def test_a_clean_guest_has_no_suspect(run: int, busy: None, folder: Path) -> None:
    record(folder)
    assert trends(folder, "--suspects") == []
