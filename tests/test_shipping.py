"""Shipping moves every sample of a recording into Parquet once, whatever happens to it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from command import MODULE, here, refused, unhurried
from hypothesis import given, settings
from hypothesis import strategies as st
from parquet_files import check_places, file_rows, rows_of, said
from recording_child import sample
from test_recording import DAY, NOON, append, samples
from test_security import NOBODY, user

from allocq.errors import AllocqError, FormatError, OutputError, UsageError
from allocq.storage.parquet.compaction import compact
from allocq.storage.parquet.schema import GLOB
from allocq.storage.recording import schema
from allocq.storage.recording.counters import Counters
from allocq.storage.recording.reader import Recording
from allocq.storage.recording.sample import Sample
from allocq.storage.recording.thinning import thin
from allocq.storage.recording.writer import Writer
from allocq.storage.shipping import ledger
from allocq.storage.shipping.directory import Directory
from allocq.storage.shipping.ship import Shipped, remove_shipped, ship

HOUR = 3600 * schema.NANOSECONDS
EVERY = "ALLOCQ_KILLS" in os.environ
STRACE = ("strace", "-f", "-qq", "-o", "/dev/null")


def shipped(folder: Path, root: Path, open_too: bool = True) -> list[Shipped]:
    destination = Directory(root)
    try:
        return list(ship(folder, destination, print, open_too))
    finally:
        destination.close()


def at(hour: float, number: int = 0, boot: str = "b", tags: int = 12) -> Sample:
    """A sample, so many hours after noon."""
    made = sample(number, tags, boot)
    time_ns = NOON + round(hour * HOUR)
    return replace(made, moment=replace(made.moment, time=time_ns, boottime=time_ns - NOON + DAY))


@settings(unhurried, max_examples=40)
@given(samples(), st.integers(0, 3), st.booleans())
def test_the_rows_are_the_samples(
    tmp_path_factory: pytest.TempPathFactory, some: list[Sample], cuts: int, joins: bool
) -> None:
    place = tmp_path_factory.mktemp("shipped")
    # What has the same boot and microsecond is one sample in Parquet.
    some = list({(each.moment.boot, each.moment.time // 1000): each for each in some}.values())
    parts = [some[len(some) * i // (cuts + 1) : len(some) * (i + 1) // (cuts + 1)]
             for i in range(cuts + 1)]  # fmt: skip
    for part in parts:
        if part:
            append(place / "recording", part)
            shipped(place / "recording", place / "root")
        if joins and (place / "root").exists():
            assert all(each.made for each in compact(place / "root", print))
    assert rows_of(place / "root") == said(some, "h")
    check_places(place / "root")
    assert shipped(place / "recording", place / "root") == []


def test_tags_that_look_alike_keep_rows_of_their_own(tmp_path: Path) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    some = []
    for number in range(9):
        each = at(number / 10, number)
        subjects = [b"mm/util.c:5 func:twin", b"mm/a.c:1 func:f"] * 6
        some.append(replace(each, subjects=subjects[: 12 - 2 * (number // 4)]))
        tags = len(some[-1].subjects)
        now = each.counters
        some[-1].counters = Counters(now.bytes[:tags], now.calls[:tags], now.inaccurate[:tags])
    append(folder, some)
    shipped(folder, root)
    assert rows_of(root) == said(some, "h")
    check_places(root)


def test_an_hour_that_is_not_over_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    some = [at(0.1, 1), at(0.9, 2), at(1.1, 3)]
    append(folder, some)
    monkeypatch.setattr(time, "time_ns", lambda: NOON + round(1.2 * HOUR))
    assert [each.samples for each in shipped(folder, root, open_too=False)] == [2]
    assert rows_of(root) == said(some[:2], "h")
    monkeypatch.setattr(time, "time_ns", lambda: NOON + 2 * HOUR + 59 * schema.NANOSECONDS)
    assert shipped(folder, root, open_too=False) == []
    monkeypatch.setattr(time, "time_ns", lambda: NOON + 2 * HOUR + 61 * schema.NANOSECONDS)
    assert [each.samples for each in shipped(folder, root, open_too=False)] == [1]
    assert rows_of(root) == said(some, "h")


def test_hours_of_a_wrong_clock_are_shipped_once(tmp_path: Path) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    ahead = replace(at(9), moment=replace(at(0.1).moment, time=time.time_ns() + 5 * DAY))
    back = [replace(at(0.5, n), moment=replace(at(0.5).moment, boottime=DAY + n, time=NOON - n))
            for n in range(5)]  # fmt: skip
    some = [at(0), ahead, *back, at(0.7)]
    append(folder, some)
    shipped(folder, root, open_too=False)
    assert rows_of(root) == said(some, "h")
    check_places(root)
    assert shipped(folder, root) == []


def test_the_same_recording_goes_to_two_places(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    append(folder, [at(0), at(1)])
    assert len(shipped(folder, tmp_path / "one")) == 2
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert shipped(folder, tmp_path / "link") == []
    assert len(shipped(folder, tmp_path / "two")) == 2
    names = [sorted(path.name for path in (tmp_path / each).glob(GLOB)) for each in ("one", "two")]
    assert names[0] == names[1]


def test_two_recordings_of_one_host_do_not_collide(tmp_path: Path) -> None:
    one, two = [at(0, 1), at(0.2, 2)], [at(0.1, 3), at(0.2, 4)]
    append(tmp_path / "1", one)
    append(tmp_path / "2", two)
    for each in ("1", "2", "1", "2"):
        shipped(tmp_path / each, tmp_path / "root")
    assert rows_of(tmp_path / "root") == said(one + two, "h")
    assert len(list(tmp_path.glob(f"root/{GLOB}"))) == 2


def test_thinning_between_two_shipments_changes_nothing(tmp_path: Path) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    some = [at(n / 10, n) for n in range(-5, 25)]
    append(folder, some)
    shipped(folder, root)
    (database,) = schema.databases(folder)
    list(thin(database, 600))
    assert len(Recording(folder).points()) < len(some)
    assert shipped(folder, root) == []
    assert rows_of(root) == said(some, "h")


@pytest.mark.parametrize("joins", [False, True])
def test_after_a_lost_ledger_nothing_is_twice_and_nothing_is_left_out(
    tmp_path: Path, joins: bool
) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    some = [at(n / 60, n) for n in range(58)]
    append(folder, some[:30])
    shipped(folder, root)
    append(folder, some[30:40])
    shipped(folder, root)
    if joins:
        list(compact(root, print))
    append(folder, some[40:])
    (folder / ledger.NAME).unlink()
    assert [each.samples for each in shipped(folder, root)] == [18]
    assert rows_of(root) == said(some, "h")
    assert shipped(folder, root) == []
    list(compact(root, print))
    assert rows_of(root) == said(some, "h")
    (folder / ledger.NAME).unlink()
    assert shipped(folder, root) == []
    assert rows_of(root) == said(some, "h")


def test_an_emptied_directory_is_said_and_filled_again_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    some = [at(0, 1), at(1, 2)]
    append(folder, some)
    shipped(folder, root)
    assert shipped(folder, root) == [] and capsys.readouterr().out == ""
    shutil.rmtree(root)
    assert shipped(folder, root) == []
    said_of_it = capsys.readouterr().out
    assert "has nothing of what was shipped to it" in said_of_it
    assert str(folder / ledger.NAME) in said_of_it
    (folder / ledger.NAME).unlink()
    assert len(shipped(folder, root)) == 2
    assert rows_of(root) == said(some, "h")


def test_other_content_gets_another_name(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    append(folder, [at(0, 1)])
    (one,) = shipped(folder, tmp_path / "one")
    append(folder, [at(0.5, 2)])
    (two,) = shipped(folder, tmp_path / "two")
    assert one.name != two.name


CALLS = ("rename", "renameat", "linkat", "pwrite64", "fsync", "fdatasync", "unlink", "mkdirat")


def test_killed_at_any_point_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first, some = tmp_path / "first", [at(0, 1), at(0.5, 2), at(1, 3)]
    append(first, some)
    expected = said(some, "h")
    folder, root = tmp_path / "r", tmp_path / "root"
    killed = 0
    for call in CALLS:
        step = 5 if call == "pwrite64" and not EVERY else 1
        for number in range(1, 200, step):
            shutil.copytree(first, folder)
            kill = ["-e", f"inject={call}:signal=KILL:when={number}"]
            command = [*STRACE, *kill, *MODULE, "ship", "--source", folder, "--to", root, "--all"]
            run = subprocess.run(command, capture_output=True)
            where = f"before {call} {number}"
            assert rows_of(root) <= expected, where
            if number % 2 and root.exists():
                list(compact(root, print))
            shipped(folder, root)
            assert rows_of(root) == expected, where
            assert len(list(root.glob(GLOB))) == 2, where
            shutil.rmtree(folder)
            shutil.rmtree(root)
            if run.returncode == 0:
                break
            assert run.returncode == -signal.SIGKILL, run.stderr
            killed += 1
        else:
            raise AssertionError("it never ended by itself")
    assert killed > 20


def test_what_was_joined_after_a_kill_is_not_shipped_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    first, second = [at(0, 1)], [at(0.5, 2)]
    append(folder, first)
    shipped(folder, root)
    append(folder, second)

    def killed(self: ledger.Ledger, id: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger.Ledger, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            shipped(folder, root)
    assert [each.joined for each in compact(root, print)] == [2]
    shipped(folder, root)
    assert rows_of(root) == said(first + second, "h")
    assert len(list(root.glob(GLOB))) == 1


def test_two_at_once_ship_everything_once(tmp_path: Path) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    some = [at(n / 4, n) for n in range(24)]
    append(folder, some)
    command = [*MODULE, "ship", "--source", str(folder), "--to", str(root), "--all"]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ends = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], ends
    assert rows_of(root) == said(some, "h")


def test_two_recordings_ship_to_one_root_at_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    everything: Counter[tuple[object, ...]] = Counter()
    children = []
    for number in range(3):
        some = [at(n / 4, n + 100 * number, str(number)) for n in range(12)]
        writer = Writer(tmp_path / str(number), {"host": f"web{number}"})
        for each in some:
            writer.append(each)
        writer.close()
        everything += said(some, f"web{number}")
        command = [*MODULE, "ship", "--source", tmp_path / str(number), "--to", root, "--all"]
        children.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
    while any(child.poll() is None for child in children):
        list(compact(root, print)) if root.exists() else None
    assert [child.returncode for child in children] == [0, 0, 0]
    list(compact(root, print))
    assert rows_of(root) == everything
    check_places(root)


def test_a_recorder_may_write_meanwhile(tmp_path: Path) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    writer = Writer(folder, {"host": "h"})
    some = []
    for number in range(40):
        some.append(at(number / 8, number))
        writer.append(some[-1])
        if number % 5 == 0:
            shipped(folder, root, open_too=number % 10 == 0)
    writer.close()
    shipped(folder, root)
    assert rows_of(root) == said(some, "h")
    check_places(root)


def test_delete_removes_what_was_shipped_whole(tmp_path: Path) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    append(folder, [at(0), at(24), at(48)])
    shipped(folder, root)
    append(folder, [at(24.5, 5)])
    destination = Directory(root)
    removed = remove_shipped(folder, destination)
    destination.close()
    days = [path.name[:10] for path in schema.databases(folder)]
    assert [path.name[:10] for path in removed] == ["2024-10-04"]
    assert days == ["2024-10-05", "2024-10-06"]
    shipped(folder, root)
    assert len(rows_of(root)) == 4 * 12


def test_command(tmp_path: Path) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    append(folder, [at(0), at(1)])
    done = here("ship", "--source", str(folder), "--to", str(root))
    assert (done.status, done.out) == (0, b"")
    assert done.err == f"allocq: shipped 2 samples in 2 files to {root}\n"
    done = here("ship", "--source", str(folder), "--to", str(root), "--all")
    assert (done.status, done.err) == (0, "allocq: nothing is left to ship\n")
    assert here("ship", "--source", str(folder), "--to", str(root), "-q").err == ""


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "--to is missing"),
        (("--to", ""), "--to is missing"),
        (("--to", "root", "--source", ""), "--source is empty"),
        (("--to", "gs://bucket/x"), "cannot ship to gs://"),
        (("--to", "git+s3://bucket/y"), "cannot ship to git+s3://"),
        (("--to", "s3://[x/y"), "invalid address 's3://[x/y'"),
        (("--to", "s3://"), "invalid bucket name ''"),
        (("--to", "s3://Bucket"), "invalid bucket name 'Bucket'"),
        (("--to", "s3://key:secret@bucket/x"), "has a bucket and a prefix only"),
        (("--to", "s3://bucket/a/../b"), "invalid prefix 'a/../b'"),
        (("--to", "root", "--source", "missing"), "cannot read missing"),
        (("--to", "file", "--source", "r"), "file is not a directory"),
        (("--to", "file/below", "--source", "r"), "file/below is not a directory"),
        (("--to", "root", "--source", "empty"), "empty holds no recording"),
    ],
)
def test_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: Sequence[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("empty").mkdir(mode=0o700)
    append(Path("r"), [at(0)])
    refused(here("ship", *argv), words)
    assert not Path("root").exists()


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://h", "http://", "http://h:x", "http://[h"])
def test_an_endpoint_that_is_no_address(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    refused(here("ship", "--to", "s3://bucket/x"), "AWS_ENDPOINT_URL is not a server address")


def test_a_directory_of_others_is_refused(tmp_path: Path) -> None:
    append(tmp_path / "r", [at(0)])
    (tmp_path / "r").chmod(0o777)
    with pytest.raises(OutputError, match="can be changed by other users"):
        shipped(tmp_path / "r", tmp_path / "root")


def test_a_root_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if os.geteuid() == 0:
            os.chown(place, NOBODY, NOBODY)
        with user(os.getuid() or NOBODY):
            append(place / "r", [at(0)])
            (place / "root").mkdir(mode=0o500)
            with pytest.raises(OutputError, match=r"cannot write .*root: Permission denied"):
                shipped(place / "r", place / "root")
            (place / "root").chmod(0o700)
            (place / "root" / "date=2024-10-04").mkdir(mode=0o500)
            with pytest.raises(OutputError, match=r"cannot write .*hour=12: Permission denied"):
                shipped(place / "r", place / "root")
            (place / "root" / "date=2024-10-04").chmod(0o700)
            assert len(shipped(place / "r", place / "root")) == 1
            with pytest.raises(OutputError, match="can be changed by other users"):
                shipped(Path("/tmp"), place / "root")


@pytest.mark.parametrize("what", ["link", "pipe", "directory"])
def test_nothing_else_is_written_through(tmp_path: Path, what: str) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    append(folder, [at(0)])
    shipped(folder, tmp_path / "before")
    (name,) = tmp_path.glob(f"before/{GLOB}")
    place = root / name.relative_to(tmp_path / "before")
    place.parent.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    if what == "link":
        place.symlink_to(victim)
    elif what == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(AllocqError, match=r"not a regular file|is a directory"):
        shipped(folder, root)
    assert victim.read_text() == "mine"
    shutil.rmtree(root)
    (root / place.parent.parent.name).mkdir(parents=True)
    (root / place.parent.relative_to(root)).symlink_to(tmp_path)
    with pytest.raises(OutputError, match="cannot write"):
        shipped(folder, root)
    shutil.rmtree(root)
    assert [each.samples for each in shipped(folder, root)] == [1]
    assert rows_of(root) == said([at(0)], "h")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"no database" * 100, OutputError),
        (None, OutputError),
    ],
)
def test_a_damaged_ledger_is_said(
    tmp_path: Path, content: bytes | None, kind: type[AllocqError]
) -> None:
    append(tmp_path / "r", [at(0)])
    path = tmp_path / "r" / ledger.NAME
    if content is None:
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_bytes(content)
    with pytest.raises(kind, match=ledger.NAME):
        shipped(tmp_path / "r", tmp_path / "root")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("done", [0, 1])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE files SET samples = x'00'",
        "UPDATE files SET samples = x'789c6304000002000200'",
        "UPDATE files SET samples = 'text'",
        "UPDATE files SET hour = 99999999999999",
        "UPDATE files SET hour = -99999999999",
        "UPDATE files SET hour = 99999999",
        "UPDATE files SET hour = 'x'",
        "UPDATE files SET host = x'ff'",
        "UPDATE files SET name = '../../evil.parquet'",
        "UPDATE facts SET value = x'ff'",
        "DROP TABLE files",
        "DROP TABLE facts",
    ],
)
def test_a_ledger_with_damaged_rows_is_said(tmp_path: Path, change: str, done: int) -> None:
    folder, root = str(tmp_path / "r"), str(tmp_path / "root")
    append(Path(folder), [at(0)])
    shipped(Path(folder), Path(root))
    connection = sqlite3.connect(tmp_path / "r" / ledger.NAME, isolation_level=None)
    connection.execute("UPDATE files SET done = ?", (done,))
    connection.execute(change)
    connection.close()
    run = here("ship", "--source", folder, "--to", root, "--all")
    assert run.status == 2
    assert run.err.startswith(f"allocq: {folder}/{ledger.NAME} is damaged: ")
    assert run.err.splitlines()[1].startswith("hint: remove it")
    assert run.err.count("\n") == 2


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    append(tmp_path / "r", [at(0)])
    shipped(tmp_path / "r", tmp_path / "root")
    connection = sqlite3.connect(tmp_path / "r" / ledger.NAME)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(FormatError, match="of format 9"):
        shipped(tmp_path / "r", tmp_path / "root")


def test_another_that_ships_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path / "r", [at(0)])
    monkeypatch.setattr(ledger, "_PATIENCE", 0.1)
    held = ledger.Ledger(tmp_path / "r")
    with pytest.raises(UsageError, match="another allocq ships"):
        shipped(tmp_path / "r", tmp_path / "root")
    held.close()
    assert len(shipped(tmp_path / "r", tmp_path / "root")) == 1


def test_a_full_disk_is_one_line_and_nothing_is_half(tmp_path: Path) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    some = [at(n / 2, n, tags=4000) for n in range(6)]
    append(folder, some)
    full = subprocess.run(
        [sys.executable, "-c", LIMITED, *MODULE[1:], "ship", "--source", folder, "--to", root],
        capture_output=True,
        text=True,
    )
    assert full.returncode == 2
    assert full.stderr.startswith("allocq: cannot write ")
    assert full.stderr.count("\n") == 1
    assert not list(root.glob(GLOB))
    shipped(folder, root)
    assert rows_of(root) == said(some, "h")


# A file may not become larger than this, which write(2) reports as a full disk does.
LIMITED = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20480, 20480))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_damaged_sample_costs_itself_only(tmp_path: Path) -> None:
    folder, root = tmp_path / "r", tmp_path / "root"
    some = [at(n / 10, n, str(n)) for n in range(5)]
    append(folder, some)
    (database,) = schema.databases(folder)
    connection = sqlite3.connect(database)
    connection.execute("UPDATE samples SET counters = x'00' WHERE id = 3")
    connection.commit()
    connection.close()
    warnings: list[str] = []
    destination = Directory(root)
    list(ship(folder, destination, warnings.append, True))
    destination.close()
    assert len(warnings) == 1 and "damaged" in warnings[0]
    assert rows_of(root) == said([each for n, each in enumerate(some) if n != 2], "h")


def test_hosts_that_look_alike_have_files_of_their_own(tmp_path: Path) -> None:
    root = tmp_path / "root"
    hosts = ["a/b", "a-b", "", "..", "x" * 300, "_x", "a\nb"]
    for number, host in enumerate(hosts):
        writer = Writer(tmp_path / str(number), {"host": host} if host else {})
        writer.append(at(0))
        writer.close()
        shipped(tmp_path / str(number), root)
    assert len(list(root.glob(GLOB))) == len(hosts)
    found = {row[0] for path in root.glob(GLOB) for row in file_rows(path)}
    assert found == set(hosts)
