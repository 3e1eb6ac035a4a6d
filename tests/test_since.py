"""Times as options take them, and the snapshot that a time picks from a folder."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import oracle
import pytest
from command import here, refused

from allocq.errors import UsageError
from allocq.times import parse_time

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("now", 0), ("20s ago", 20), ("10 min ago", 600), ("1 hour ago", 3600), ("-1h", 3600),
        ("1h", 3600), ("6 hours", 21600), ("30d", 30 * 86400),
        ("2 days ago", 172800), ("-1.5h", 5400), (f"@{int(NOW) - 7}", 7),
        ("2027-01-15T08:00:00Z", 0), ("2027-01-15T09:00:00+02:00", 3600),
    ],
)  # fmt: skip
def test_a_time(text: str, ago: float) -> None:
    assert parse_time(text, NOW) == NOW - ago


@pytest.mark.parametrize(
    "text", ["", "x", "1", "-1 hour ago", "5 moons ago", "@x", "24:00", "7:60", "1:2", "nowadays"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid time"):
        parse_time(text, NOW)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Lima"])
@pytest.mark.parametrize(
    "text",
    ["999999999999w", "-999999999999w", "999999999999 weeks ago", "@999999999999", "0001-01-01",
     "9999-12-31T23:59:59"],
)  # fmt: skip
def test_no_command_meets_a_time_that_it_cannot_show(
    text: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        seconds = parse_time(text, NOW)
        early = text.startswith(("9999999", "0001")) or text.endswith("ago") or "-9999999" in text
        assert (seconds < NOW) == early
        assert datetime.fromtimestamp(seconds).year in (1, 2, 9998, 9999)
        assert datetime.fromtimestamp(seconds, UTC).year in (2, 9998)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "clock"),
    [("today", "00:00:00"), ("7:05", "07:05:00"), ("23:59", "23:59:00"), ("10:00:07", "10:00:07")],
)
def test_a_time_of_today(text: str, clock: str) -> None:
    day = f"{datetime.fromtimestamp(NOW):%F}"
    assert parse_time(text, NOW) == datetime.fromisoformat(f"{day}T{clock}").timestamp()


def test_yesterday_begins_at_midnight_whatever_the_clocks_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        after_the_change = datetime.fromisoformat("2026-10-26T00:30:00").timestamp()
        begun = datetime.fromisoformat("2026-10-25T00:00:00").timestamp()
        assert parse_time("yesterday", after_the_change) == begun == after_the_change - 25.5 * 3600
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_last_snapshot_by_then_is_taken_by_its_own_time(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    for number, hour in enumerate((6, 7, 8)):
        note = f"# allocq-snapshot: 1\n# time: 2026-11-23T0{hour}:00:00.000000Z\n"
        path = folder / f"{hour}.txt"
        path.write_bytes(oracle.HEADER + f"{note}{number} 1 a.c:1 func:f \n".encode())
        os.utime(path, (9 - hour, 9 - hour))
    (folder / "note").write_text("no listing")
    after = str(folder / "8.txt")
    done = here("diff", "--since", "2026-11-23T07:30Z", str(folder), after, "-o", "tsv")
    when = datetime(2026, 11, 23, 7, tzinfo=UTC).astimezone().strftime("%F %T %z")
    assert done.status == 0 and done.err == f"allocq: since {folder}/7.txt at {when}\n"
    refused(here("diff", "--since", "@9", str(folder), after), "no listing from that time")
    refused(here("diff", "--since", "now", after, after), "Not a directory")
