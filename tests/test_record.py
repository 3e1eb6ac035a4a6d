"""`allocq record`, and every command that reads a recording or a folder of listings at a time."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import oracle
import pytest
import simulated
from command import ALLOCQ, MODULE, Result, allocq, here, refused, until
from hypothesis import given
from hypothesis import strategies as st
from recording_child import sample

from allocq.commands.record import Pace
from allocq.errors import UsageError
from allocq.sources.series import TimeFrom, open_series, time_in_name
from allocq.sources.source import sample_path
from allocq.storage.recording import schema
from allocq.storage.recording.reader import Recording
from allocq.storage.recording.writer import Writer
from allocq.times import parse_duration


class Kernel:
    """A simulated kernel, and `allocq record` on it."""

    def __init__(self, folder: Path) -> None:
        self.shim, _ = simulated.build(folder)
        self.place = folder / "kernel"
        self.dice = random.Random(3)
        self.tags = simulated.tags(self.dice, 600, 8)
        self.change()

    def change(self) -> list[oracle.Tag]:
        """Other counters."""
        self.tags = [
            tag._replace(bytes=abs(tag.bytes) % (1 << 40) + self.dice.randrange(9), calls=3)
            for tag in self.tags
        ]
        simulated.write(self.place, self.tags, 9)
        return self.tags

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "LD_PRELOAD": str(self.shim), "SIMULATED_KERNEL": str(self.place)}

    def __call__(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*MODULE, *argv], env=self.env, capture_output=True, text=True)

    def start(self, *argv: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*MODULE, "record", *argv], env={**self.env, **env}, stderr=subprocess.PIPE, text=True
        )


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    return Kernel(tmp_path_factory.mktemp("simulated"))


def lines(tags: list[oracle.Tag]) -> list[tuple[object, ...]]:
    return [tag[:7] for tag in tags]


def read(folder: Path, *argv: str) -> list[tuple[object, ...]]:
    done = here("query", "--source", str(folder), "-o", "procfs", *argv)
    assert done.status == 0
    return lines(oracle.parse(done.out))


def count(folder: Path) -> int:
    try:
        return len(Recording(folder).points())
    except Exception:
        return 0


def test_each_sample_is_what_the_kernel_said(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    said = []
    for _ in range(3):
        said.append((kernel.change(), time.time()))
        done = kernel("record", "--once", str(folder))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        said[-1] = (said[-1][0], time.time())
    for tags, when in said:
        assert read(folder, "--at", f"@{when:.6f}") == lines(tags)
    assert read(folder) == lines(said[-1][0])


def test_a_filter_records_what_matches(kernel: Kernel, tmp_path: Path) -> None:
    module = next(tag.module for tag in kernel.tags if tag.module)
    assert kernel("record", "--once", str(tmp_path / "r"), "-m", module).returncode == 0
    wanted = lines([tag for tag in kernel.tags if tag.module == module])
    assert read(tmp_path / "r") == wanted
    done = here("snapshot", "--source", str(tmp_path / "r"))
    assert f'# filter: {{"module":["{module}"]}}' in done.out.decode(errors="replace")


def test_it_records_until_a_signal_ends_it(
    kernel: Kernel, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    folder = tmp_path / "r"
    child = kernel.start("-d", str(folder), "--interval", "0.05")
    started.append(child)
    until(lambda: count(folder) >= 3)
    second = kernel("record", "--once", str(folder))
    assert second.returncode == 2 and f"another allocq records to {folder}" in second.stderr
    child.send_signal(signal.SIGHUP)
    until(lambda: len(schema.databases(folder)) == 2)
    before = count(folder)
    until(lambda: count(folder) > before)
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 0 and child.stderr
    # On a busy machine it reads less often, and says so.
    said = [line for line in child.stderr if not line.startswith("allocq: warning: re")]
    assert said == [f"allocq: recording every 0.05 s to {folder}\n"]
    assert read(folder) == lines(kernel.tags)


def test_an_interrupt_ends_it_too(
    kernel: Kernel, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    child = kernel.start("-d", str(tmp_path / "r"), "--interval", "1h")
    started.append(child)
    until(lambda: count(tmp_path / "r"))
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 0


def test_the_service_manager_is_told(
    kernel: Kernel, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.settimeout(60)
    child = kernel.start(
        "-d", str(tmp_path / "r"), "--interval", "1h",
        NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000",
    )  # fmt: skip
    started.append(child)
    assert listener.recv(4096).startswith(b"READY=1\nSTATUS=recording every 3600 s")
    assert [listener.recv(4096) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    child.send_signal(signal.SIGTERM)
    until(lambda: listener.recv(4096) == b"STOPPING=1")
    assert child.wait(30) == 0


def test_samples_that_cannot_be_taken_are_said_once(
    kernel: Kernel, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    folder = tmp_path / "r"
    child = kernel.start("-d", str(folder), "--interval", "0.05")
    started.append(child)
    until(lambda: count(folder))
    folder.rename(tmp_path / "moved")
    folder.touch()  # where a directory cannot be made now
    line = child.stderr and child.stderr.readline()
    while line and "cannot write" not in line and "is not a directory" not in line:
        line = child.stderr and child.stderr.readline()
    folder.unlink()
    until(lambda: count(folder) > 2)
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 0 and child.stderr
    said = [line, *child.stderr.read().splitlines()]
    assert line == f"allocq: warning: {folder} is not a directory; trying again at each interval\n"
    assert sum("recording again; " in each for each in said) == 1 and len(said) <= 3, said
    assert count(tmp_path / "moved") > 0


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    folder = str(tmp_path / "r")
    refused(here("record", "--interval", "0", folder), "invalid duration '0'")
    refused(here("record", "--interval", "0.01", folder), "the interval is too short")
    refused(here("record", "--keep", "a while", folder), "invalid duration")
    refused(here("record", "--thin", "1d", folder), "invalid value '1d' for --thin")
    refused(here("record", "-d", folder, folder), "second directory")
    refused(here("record", ""), "empty directory name")
    for name in ("", "a b", "a\nb", "h" * 256):
        refused(here("record", "--once", "--host", name, folder), "invalid host name")
    for source in (sample_path(), os.devnull, str(tmp_path)):
        refused(here("record", "--once", "--source", source, folder), "")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("10", 10), ("1.5 min", 90), ("6h", 21600), ("7d", 604800), ("2 weeks", 1209600)],
)
def test_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["36501d", "99999999999999999999s", "9" * 60 + "w"])
def test_a_duration_that_is_too_long(text: str) -> None:
    with pytest.raises(UsageError, match="is too long"):
        parse_duration(text)


@given(st.text(max_size=12))
def test_any_duration_is_positive_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_duration(text) > 0


@pytest.mark.parametrize("option", ["--interval", "--keep", "--max-size"])
def test_an_empty_value_is_no_default(option: str, tmp_path: Path) -> None:
    what = "size" if option == "--max-size" else "duration"
    refused(here("record", str(tmp_path), option, ""), f"invalid {what} ''")


def test_the_pace_follows_what_reading_takes() -> None:
    pace = Pace(10)
    assert [pace.took(0.02) for _ in range(9)] == [None] * 9 and pace.seconds == 10
    assert pace.took(3) is None  # once
    for _ in range(20):
        pace.took(0.02)
    said = [words for _ in range(20) if (words := pace.took(3))]
    assert len(said) <= 3 and said[-1].endswith(f"recording every {pace.seconds:g} s")
    assert 30 <= pace.seconds <= 80
    said = [words for _ in range(40) if (words := pace.took(0.02))]
    assert said == ["recording every 10 s again"]


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=60))
def test_no_pace_is_shorter_than_asked_for_or_without_end(reads: list[float]) -> None:
    pace = Pace(0.5)
    for seconds in reads:
        pace.took(seconds)
        assert 0.5 <= pace.seconds <= 4 * max(0.5 * 64, 10 * 100)


# Reading


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A sample every second from 10**9 s on."""
    folder = tmp_path / "recorded"
    writer = Writer(folder, {"host": "h"})
    for number in range(5):
        writer.append(sample(number, 30))
    writer.close()
    return folder


def test_every_command_reads_a_recording_at_a_time(recorded: Path) -> None:
    at = ("--source", str(recorded), "--at", f"@{10**9 + 2}")
    wanted = sample(2, 30)
    for command in ("query", "tree", "memory", "snapshot"):
        done = here(command, *at, *(["-c"] if command == "query" else []))
        assert done.status in (0, 2) and "Traceback" not in done.err
    done = here("query", *at, "-o", "procfs")
    assert [tag.bytes for tag in oracle.parse(done.out)] == list(wanted.counters.bytes)
    refused(here("query", "--source", str(recorded), "--at", "@5"), "no listing from that time")
    refused(here("query", "--at", "now"), "--at needs --source DIR")
    refused(here("query", "--at", "now", "--sample"), "--at needs --source DIR")
    text = recorded / "text"
    text.write_bytes(done.out)
    refused(here("query", "--source", str(text), "--at", "now"), "--at needs a directory")


def test_diff_between_two_times(recorded: Path) -> None:
    def diff(*argv: str) -> Result:
        return here("diff", "--source", str(recorded), *argv, "-o", "tsv")

    done = diff("--since", f"@{10**9 + 1}", "--until", f"@{10**9 + 3}")
    assert done.status == 0 and "from " in done.err and " to " in done.err
    one, two = sample(1, 30).counters, sample(3, 30).counters
    grown = sum(two.bytes) - sum(one.bytes)
    rows = [line.split("\t") for line in done.out.decode().splitlines()[1:]]
    assert sum(int(row[1]) for row in rows) == grown
    assert diff("--since", f"@{10**9 + 1}").status == 0
    refused(diff("--since", "now"), "holds nothing later")
    refused(diff(), "--source needs --since")
    done = here("diff", "a", "--source", str(Path(__file__)))
    refused(done, "--source needs --since")
    assert "allocq diff BEFORE AFTER" in done.err
    refused(here("diff", "--until", "now", "a"), "--until needs --since")
    refused(here("diff"), "needs BEFORE")


def test_a_folder_of_listings_is_read_like_a_recording(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    for hour in range(3):
        text = oracle.HEADER + b"%d 1 a.c:1 func:f \n" % hour
        name = f"allocinfo-20251123-0{hour}0000Z.txt"
        if hour == 1:
            (folder / (name + ".gz")).write_bytes(gzip.compress(text))
        else:
            (folder / name).write_bytes(text)
    (folder / "notes").write_text("nothing of ours")
    done = here("query", "--source", str(folder), "--at", "2025-11-23T01:30Z", "-o", "procfs")
    assert [tag.bytes for tag in oracle.parse(done.out)] == [1]
    assert "3 files have no time in them: the times in their names are used" in done.err
    points = open_series(folder).points()
    assert [point.origin for point in points] == [TimeFrom.NAME] * 3


def test_a_list_deep_in_a_log_and_a_short_listing_are_found(tmp_path: Path) -> None:
    tag = b"4096 1 a.c:1 func:f\n"
    (tmp_path / "20251123-010000Z.log").write_bytes(b"booting\n" * 30000 + oracle.HEADER + tag)
    (tmp_path / "20251123-020000Z.txt").write_bytes(tag)
    assert len(open_series(tmp_path).points()) == 2


def test_a_folder_without_listings_is_refused(tmp_path: Path) -> None:
    refused(here("query", "--source", str(tmp_path)), "holds no recording and no saved listing")
    (tmp_path / "notes").write_text("nothing of ours")
    refused(here("query", "--source", str(tmp_path)), "holds no listing that can be read")
    for place in ("/proc", "/sys", "/proc/self"):
        refused(here("query", "--source", place), "holds no saved listings")


def test_a_folder_is_read_where_proc_is_a_plain_directory(tmp_path: Path) -> None:
    """In a bare root. Another directory of this file system stands for /proc."""
    if os.geteuid() != 0 or os.stat("/").st_dev != tmp_path.stat().st_dev:
        pytest.skip("only root can mount, and only a directory of the file system of /")
    (tmp_path / "20251123-010000Z.txt").write_bytes(oracle.HEADER + b"4096 1 a.c:1 func:f\n")
    hide = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /proc && exec "$@"', str(tmp_path)]
    done = allocq("query", "--source", str(tmp_path), "-c", program=[*hide, *ALLOCQ])
    assert (done.status, done.out) == (0, b"1\n"), done.err


def test_the_program_in_front_hands_a_directory_over(recorded: Path) -> None:
    done = allocq("query", "--source", str(recorded), "-c")
    assert (done.status, done.out) == (0, b"30\n")


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("allocinfo-2025-11-23T06:20:37Z.txt", 1763878837),
        ("alloc_20251123_062037Z.gz", 1763878837),
        ("2025-11-23 06.20Z", 1763878800),
        ("snap.1763878837", 1763878837),
        ("2025-11-23T062037Z", 1763878837),
        ("allocinfo.txt", None),
        ("run-12345678", None),
        ("v7.3.4-20251399", None),
    ],
)  # fmt: skip
def test_a_time_in_a_name(name: str, time: float | None) -> None:
    assert time_in_name(name) == time


def test_a_time_in_a_name_without_a_zone_is_local() -> None:
    code = (
        "from allocq.sources.series import time_in_name; print(time_in_name('2025-11-23_062037'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TZ": "UTC-2"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{1763878837 - 7200:.1f}\n"
