"""Recordings: whatever is written is read back, whatever happens to the writer."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import unhurried
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_child import sample

from allocq.errors import FormatError, OutputError, SourceError, UsageError
from allocq.storage.recording import schema
from allocq.storage.recording.counters import (
    Counters,
    DamagedError,
    apply_changes,
    pack_all,
    pack_changes,
    pack_positions,
    unpack_all,
    unpack_positions,
)
from allocq.storage.recording.reader import Recording, read_only
from allocq.storage.recording.sample import Moment, Sample
from allocq.storage.recording.thinning import Rule, joined, remove_old, thin, thin_old
from allocq.storage.recording.writer import RecordingFullError, Writer, is_recording

CHILD = Path(__file__).with_name("recording_child.py")
DAY = 86_400 * schema.NANOSECONDS
NOON = 20_000 * DAY + DAY // 2
KILLS = int(os.environ.get("ALLOCQ_KILLS", "12"))

words = st.integers(-(1 << 63), (1 << 63) - 1)
calls = st.integers(0, (1 << 64) - 1)


@st.composite
def columns(draw: st.DrawFn, tags: int) -> Counters:
    return Counters.of(
        draw(st.lists(words | st.integers(0, 9), min_size=tags, max_size=tags)),
        draw(st.lists(words | st.integers(0, 9), min_size=tags, max_size=tags)),
        draw(st.lists(st.integers(0, 1), min_size=tags, max_size=tags)),
    )


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    """Some boots, each with its tags, which may change."""
    found = []
    at = NOON
    for boot in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(1, 2))):
            tags = draw(st.integers(0, 6))
            subjects = [
                b"%b:%d func:f" % (draw(st.sampled_from([b"a.c", b"\xff", b"a b"])), n)
                for n in range(tags)
            ]
            for _ in range(draw(st.integers(1, 4))):
                at += draw(st.sampled_from([1, 10**9, 10**10, DAY // 3, -(10**11)]))
                moment = Moment(
                    at, at - NOON, str(boot), "7.3", draw(st.sampled_from(["ioctl", "text"])),
                    draw(st.none() | calls), draw(st.sampled_from([None, True, False])),
                    draw(st.sampled_from([None, True, False])),
                )  # fmt: skip
                meminfo = draw(
                    st.dictionaries(st.sampled_from(["A", "B(c)"]), st.integers(0, 1 << 50))
                )
                keys = {0: "new:1 other:x"} if tags and draw(st.booleans()) else {}
                found.append(Sample(moment, subjects, draw(columns(tags)), meminfo, keys))
    return found


def append(folder: Path, some: Sequence[Sample]) -> None:
    writer = Writer(folder, {"host": "h"})
    for each in some:
        writer.append(each)
    writer.close()


def plain(each: Sample) -> Sample:
    return replace(
        each, subjects=list(each.subjects), meminfo=dict(each.meminfo), keys=dict(each.keys)
    )


@unhurried
@given(st.data(), st.integers(0, 40))
def test_counters_are_unpacked_as_they_were_packed(data: st.DataObject, tags: int) -> None:
    before, now = data.draw(columns(tags)), data.draw(columns(tags))
    assert unpack_all(pack_all(now)) == now
    assert apply_changes(before, pack_changes(before, now)) == now


@unhurried
@given(st.lists(st.integers(0, (1 << 31) - 2), max_size=50))
def test_positions_are_unpacked_as_they_were_packed(positions: list[int]) -> None:
    assert unpack_positions(pack_positions(positions)) == positions


@settings(unhurried, max_examples=300)
@given(st.data())
def test_damaged_counters_are_refused_or_other_counters(data: st.DataObject) -> None:
    now = data.draw(columns(5))
    packed = bytearray(pack_all(now))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = unpack_all(bytes(packed))
    except DamagedError:
        return
    assert len(found.bytes) == len(found.calls) == len(found.inaccurate)


@settings(unhurried, max_examples=60)
@given(samples())
def test_samples_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, some: list[Sample]
) -> None:
    folder = tmp_path_factory.mktemp("recording") / "of" / "this"
    append(folder, some[: len(some) // 2])
    append(folder, some[len(some) // 2 :])
    recording = Recording(folder)
    found = [plain(each) for each in recording.samples()]
    key = lambda each: (schema.day_of(each.moment.time),)  # noqa: E731
    assert sorted(found, key=key) == sorted(map(plain, some), key=key)
    assert recording.warnings == []
    last = max(some, key=lambda each: each.moment.time)
    at = recording.at(last.moment.time)
    assert at is not None and at.moment.time == last.moment.time
    assert recording.at(min(each.moment.time for each in some) - 1) is None


def test_it_is_private_and_one_database_a_day(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "recording"
    writer = Writer(folder, {})
    for day in (0, 1):
        for second in (0, 1):
            one = sample(1, 3)
            moment = replace(one.moment, time=NOON + day * DAY + second * 10**9)
            writer.append(replace(one, moment=moment))
    writer.renew()
    writer.append(replace(one, moment=moment))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    writer.close()
    assert [path.name for path in schema.databases(folder)] == [
        "2024-10-04.0.db", "2024-10-05.0.db", "2024-10-05.1.db",
    ]  # fmt: skip


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "r", {})
    with pytest.raises(UsageError, match="another allocq records"):
        Writer(tmp_path / "r", {})
    writer.close()
    Writer(tmp_path / "r", {}).close()


def test_a_directory_that_others_may_change_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r").chmod(0o777)
    with pytest.raises(OutputError, match="can be changed by other users"):
        Writer(tmp_path / "r", {})


def test_a_reader_beside_the_writer(tmp_path: Path) -> None:
    writer = Writer(tmp_path, {})
    for number in range(30):
        writer.append(sample(number, 20))
        at = Recording(tmp_path).at(10**18 * 2)
        assert at is not None and plain(at) == plain(sample(number, 20))
    writer.close()


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    """ALLOCQ_KILLS says how often; it is killed at any moment."""
    dice = random.Random(os.environ.get("ALLOCQ_KILLS"))
    number, safe = 0, -1
    for _ in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, str(CHILD), str(tmp_path / "r"), "200", str(number)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout
        safe = int(child.stdout.readline())
        time.sleep(dice.random() * 0.06)  # a random moment, nothing is waited for
        child.kill()
        said = child.stdout.read().split(b"\n")
        child.wait()
        if len(said) > 1:  # behind the last newline is half a number, or nothing
            safe = int(said[-2])
        found = {each.moment.boottime: each for each in Recording(tmp_path / "r").samples()}
        assert set(range(safe + 1)) <= set(found)
        number = max(found) + 1
    assert safe >= KILLS - 1
    for at, each in found.items():
        assert plain(each) == plain(sample(at, 200))


def test_a_damaged_page_costs_its_samples_and_no_others(tmp_path: Path) -> None:
    append(tmp_path, [sample(number, 300) for number in range(200)])
    (path,) = schema.databases(tmp_path)
    whole = path.read_bytes()
    dice = random.Random(4)
    least = 200
    for _ in range(40):
        damaged = bytearray(whole)
        page = dice.randrange(1, len(whole) // 4096)
        damaged[page * 4096 : page * 4096 + 4096] = dice.randbytes(4096)
        path.write_bytes(damaged)
        recording = Recording(tmp_path)
        found = list(recording.samples())
        for each in found:
            assert plain(each) == plain(sample(each.moment.boottime, 300))
        if len(found) < 200:
            assert recording.warnings and "is damaged" in recording.warnings[0]
        least = min(least, len(found))
    assert least < 200


def test_a_damaged_database_is_not_added_to(tmp_path: Path) -> None:
    append(tmp_path, [sample(number, 300) for number in range(100)])
    (path,) = schema.databases(tmp_path)
    data = bytearray(path.read_bytes())
    data[8192:12288] = bytes(4096)
    path.write_bytes(data)
    append(tmp_path, [sample(100, 300)])
    assert len(schema.databases(tmp_path)) == 2
    at = Recording(tmp_path).at(10**18 * 2)
    assert at is not None and plain(at) == plain(sample(100, 300))


def test_a_newer_format_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no recording"):
        Recording(tmp_path)
    append(tmp_path, [sample(1, 3)])
    (path,) = schema.databases(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    recording = Recording(tmp_path)
    assert list(recording.samples()) == [] and "use a newer allocq" not in recording.warnings[0]
    assert "format 2" in recording.warnings[0]
    path.write_bytes(b"no database" * 1000)
    recording = Recording(tmp_path)
    assert list(recording.samples()) == [] and "is damaged" in recording.warnings[0]
    connection = sqlite3.connect(tmp_path / "2030-01-01.0.db")
    connection.execute("CREATE TABLE other (a)")
    connection.close()
    with (
        pytest.raises(FormatError, match="is not a recording"),
        sqlite3.connect(tmp_path / "2030-01-01.0.db") as other,
    ):
        schema.check_version(other, tmp_path / "2030-01-01.0.db")


LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from recording_child import sample
from allocq.storage.recording.writer import RecordingFullError, Writer
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = Writer(Path(sys.argv[2]), {})
for number in range(20):
    writer.append(sample(number, 500))
size = max(p.stat().st_size for p in Path(sys.argv[2]).iterdir())
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20000, hard))
lost = 0
for number in range(20, 80):
    try:
        writer.append(sample(number, 500))
        print(number)
    except RecordingFullError as error:
        lost += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert lost
writer.append(sample(80, 500))
print(80)
"""


def test_a_full_disk_loses_what_does_not_fit_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(CHILD.parent), str(tmp_path / "r")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    safe = {*range(20), *map(int, done.stdout.split())}
    found = {each.moment.boottime: each for each in Recording(tmp_path / "r").samples()}
    assert set(found) == safe and 80 in safe and len(safe) < 81
    assert all(plain(each) == plain(sample(at, 500)) for at, each in found.items())


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        Writer(Path("/proc/nothing"), {})
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="is not a directory"):
            Writer(path, {})
    writer = Writer(tmp_path / "r", {})
    (tmp_path / "r" / "lock").unlink()
    (tmp_path / "r").rmdir()
    with pytest.raises(RecordingFullError, match="cannot write"):
        writer.append(sample(1, 3))
    (tmp_path / "r").mkdir(0o700)
    writer.append(sample(1, 3))
    writer.close()
    assert len(list(Recording(tmp_path / "r").samples())) == 1


def test_thinning_keeps_the_last_the_lowest_and_the_highest(tmp_path: Path) -> None:
    some = [sample(number, 40) for number in range(300)]
    append(tmp_path, some)
    (path,) = schema.databases(tmp_path)
    size = path.stat().st_size
    assert len(list(thin(path, 60))) == 294
    found = list(Recording(tmp_path).samples())
    groups: dict[int, list[Sample]] = {}
    for each in some:
        groups.setdefault(each.moment.time // (60 * 10**9), []).append(each)
    assert len(found) == len(groups) and path.stat().st_size < size
    for group, thinned in zip(groups.values(), found, strict=True):
        assert thinned.moment == group[-1].moment and thinned.seconds == 60
        assert thinned.counters == group[-1].counters and thinned.meminfo == group[-1].meminfo
        assert thinned.lowest and thinned.highest
        rows = list(zip(*(each.counters.bytes for each in group), strict=True))
        assert list(thinned.lowest.bytes) == list(map(min, rows))
        assert list(thinned.highest.bytes) == list(map(max, rows))
    assert not list(tmp_path.glob("*thinned*")) and stat.S_IMODE(path.stat().st_mode) == 0o600


@settings(unhurried, max_examples=60)
@given(samples(), st.sampled_from([1, 60, 3600]))
def test_thinning_twice_is_thinning_once_to_the_longer(some: list[Sample], interval: int) -> None:
    def thinned(each: Sequence[Sample], interval: int) -> list[Sample]:
        return [one for one in joined(each, interval) if one is not None]

    once, twice = thinned(some, interval * 10), thinned(thinned(some, interval), interval * 10)
    assert [
        (e.moment, e.counters, e.lowest or e.counters, e.highest or e.counters) for e in once
    ] == [(e.moment, e.counters, e.lowest or e.counters, e.highest or e.counters) for e in twice]


def test_old_days_are_thinned_and_today_is_not(tmp_path: Path) -> None:
    writer = Writer(tmp_path, {})
    for day in (-5, -2, 0):
        for second in range(120):
            one = sample(second, 5)
            moment = replace(one.moment, time=NOON + day * DAY + second * 10**9)
            writer.append(replace(one, moment=moment))
    rules = (Rule(86_400, 10), Rule(3 * 86_400, 60))
    list(thin_old(tmp_path, NOON + 10**12, rules, writer.current))
    counts = [len(list(Recording.of(path).samples())) for path in schema.databases(tmp_path)]
    assert counts == [2, 12, 120]
    assert list(thin_old(tmp_path, NOON + 10**12, rules, writer.current)) == []  # nothing to do
    writer.close()


def test_a_damaged_database_is_not_thinned(tmp_path: Path) -> None:
    append(tmp_path, [sample(number, 300) for number in range(100)])
    (path,) = schema.databases(tmp_path)
    whole = path.read_bytes()
    tried = 0
    for page in range(2, len(whole) // 4096):
        path.write_bytes(whole[: page * 4096] + bytes(4096) + whole[page * 4096 + 4096 :])
        recording = Recording(tmp_path)
        if len(list(recording.samples())) == 100:
            continue  # what it held is not needed
        tried += 1
        damaged = path.read_bytes()
        list(thin(path, 60))
        assert path.read_bytes() == damaged and not list(tmp_path.glob("*thinned*"))
    assert tried > 5


def test_the_oldest_are_removed_by_age_and_by_size(tmp_path: Path) -> None:
    writer = Writer(tmp_path, {})
    for day in range(-9, 1):
        for second in range(5):
            one = sample(second, 200)
            moment = replace(one.moment, time=NOON + day * DAY + second * 10**9)
            writer.append(replace(one, moment=moment))
    removed = remove_old(tmp_path, NOON, 5 * 86_400, 1 << 40, writer.current)
    assert len(removed) == 4
    left = schema.databases(tmp_path)
    assert len(left) == 6
    remove_old(tmp_path, NOON, 5 * 86_400, 3 * left[0].stat().st_size + 1, writer.current)
    assert 1 <= len(schema.databases(tmp_path)) <= 4
    remove_old(tmp_path, NOON, 1, 0, writer.current)
    assert schema.databases(tmp_path) == [writer.current]
    writer.close()


def test_days_to_come_are_removed_by_size_and_last(tmp_path: Path) -> None:
    writer = Writer(tmp_path, {})
    for day in (3000, -2, -1, 0):
        one = sample(0, 200)
        writer.append(replace(one, moment=replace(one.moment, time=NOON + day * DAY)))
    to_come = schema.databases(tmp_path)[-1]
    assert schema.day_in_name(to_come) > schema.day_of(NOON)
    assert not remove_old(tmp_path, NOON, 5 * 86_400, 1 << 40, writer.current)
    assert len(remove_old(tmp_path, NOON, 1, 1 << 40, writer.current)) == 2
    assert remove_old(tmp_path, NOON, 1, 1, writer.current) == [to_come]
    writer.close()


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "directory"])
def test_what_is_no_file_is_no_database(tmp_path: Path, kind: str) -> None:
    folder, victim = tmp_path / "r", tmp_path / "victim"
    folder.mkdir(mode=0o700)
    victim.touch()
    one = sample(0, 5)
    place = folder / f"{schema.day_of(one.moment.time)}.7.db"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    else:
        place.symlink_to(victim if kind == "link" else tmp_path / "missing")
    append(folder, [one])
    assert [path.name[-5:] for path in schema.databases(folder)] == [".8.db"]
    assert [plain(each) for each in Recording(folder).samples()] == [plain(one)]
    assert victim.stat().st_size == 0 and not (tmp_path / "missing").exists()
    assert len(remove_old(folder, NOON, 1, 0, None)) == 1 and os.path.lexists(place)


@pytest.mark.parametrize("name", ["2026-02-30.0.db", "0000-01-01.0.db", "2026-13-01.0.db"])
def test_a_name_with_no_day_is_no_database(tmp_path: Path, name: str) -> None:
    append(tmp_path, [sample(0, 5)])
    (tmp_path / name).write_bytes(b"x")
    assert len(schema.databases(tmp_path)) == len(list(Recording(tmp_path).samples())) == 1


@pytest.mark.parametrize("what", ["database", "moved", "directory", "replaced"])
def test_samples_go_on_where_the_recording_was_taken_away(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "r"
    writer = Writer(folder, {"host": "h"})
    writer.append(sample(0, 5))
    if what == "database":
        schema.databases(folder)[0].unlink()
    elif what == "directory":
        shutil.rmtree(folder)
    else:
        folder.rename(tmp_path / "old")
        if what == "replaced":
            folder.mkdir(mode=0o700)
    some = [sample(number, 5) for number in (1, 2)]
    for each in some:
        writer.append(each)
    assert [plain(each) for each in Recording(folder).samples()] == [plain(each) for each in some]
    assert is_recording(folder)
    writer.close()
    assert not is_recording(folder) and stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_made_again_is_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    writer = Writer(folder, {})
    writer.append(sample(0, 5))
    shutil.rmtree(folder)
    folder.touch()
    for _ in range(2):
        with pytest.raises(RecordingFullError, match="is not a directory"):
            writer.append(sample(1, 5))
    folder.unlink()
    writer.append(sample(2, 5))
    writer.close()
    assert len(list(Recording(folder).samples())) == 1


def test_a_database_that_is_read_is_thinned_later(tmp_path: Path) -> None:
    """The log of a killed recorder, still there as long as somebody reads, is no log of another."""
    folder = tmp_path / "a ? b # c % d"
    some = [sample(number, 40) for number in range(120)]
    child = os.fork()
    if not child:
        writer = Writer(folder, {})
        for each in some:
            writer.append(each)
        os._exit(0)
    os.waitpid(child, 0)
    (path,) = schema.databases(folder)
    reader = read_only(path)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM samples").fetchone() == (120,)
    (folder / "2001-01-01.0.db.thinned.db").write_bytes(b"of a recorder that was killed")
    now = some[0].moment.time + 9 * DAY
    with pytest.raises(sqlite3.OperationalError):
        list(thin_old(folder, now, [Rule(86_400, 60)], None))
    assert not list(folder.glob("*thinned*"))
    assert [plain(each) for each in Recording(folder).samples()] == [plain(each) for each in some]
    reader.close()
    list(thin_old(folder, now, [Rule(86_400, 60)], None))
    thinned = list(Recording(folder).samples())
    assert len(thinned) < 5 and thinned[-1].counters == some[-1].counters


def test_a_log_is_not_left_out_where_nothing_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite reads a log only where it may make an index of it."""
    append(tmp_path, [sample(number, 3) for number in range(4)])
    (path,) = schema.databases(tmp_path)
    real = sqlite3.connect

    class Refusing(sqlite3.Connection):
        def execute(self, *_: Any) -> sqlite3.Cursor:
            raise sqlite3.OperationalError("unable to open database file")

    def refuse(name: str, **options: Any) -> sqlite3.Connection:
        factory = sqlite3.Connection if "immutable" in name else Refusing
        return real(name, factory=factory, **options)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    assert len(list(Recording(tmp_path).samples())) == 4
    Path(f"{path}-wal").write_bytes(b"x")
    recording = Recording(tmp_path)
    assert list(recording.samples()) == [] and "copy the directory" in recording.warnings[0]
