"""The harness of the live tests: how it handles a lost guest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import live_in_guest
import pytest
from guest import NO_STATUS, Machine
from live_in_guest import REPORTS, SELECTED, Run

Act = Callable[["FakeGuest"], None]


class FakeGuest:
    """A guest that has ended: `acts` are what each one in turn left behind."""

    acts: ClassVar[list[Act]] = []
    made: ClassVar[list[FakeGuest]] = []

    def __init__(self, machine: Machine, command: list[str], **options: Any) -> None:
        self.selected = json.loads(options["files"][SELECTED])
        self.job = options["cwd"] / f"job{len(self.made)}"
        self.job.mkdir()
        self.closed = False
        self.put_off_times = 0
        self.made.append(self)
        self.acts[len(self.made) - 1](self)

    def poll(self) -> int:
        return NO_STATUS

    def put_off(self) -> None:
        self.put_off_times += 1

    def last_words(self) -> str:
        return f"the guest {self.job.name} died"

    def close(self) -> None:
        self.closed = True


def passes(guest: FakeGuest, *names: str, outcome: str = "passed") -> None:
    """Leave whole reports of these tests."""
    with (guest.job / REPORTS).open("a") as file:
        for name in names:
            for when in ("setup", "call", "teardown"):
                how = outcome if when == "call" else "passed"
                file.write(json.dumps({"nodeid": name, "when": when, "outcome": how}) + "\n")


def starts(guest: FakeGuest, name: str) -> None:
    """Leave the beginning of a test's reports."""
    line = {"nodeid": name, "when": "setup", "outcome": "passed"}
    with (guest.job / REPORTS).open("a") as file:
        file.write(json.dumps(line) + "\n")


def ends(guest: FakeGuest) -> None:
    """Leave a status, as a guest does whose pytest ended."""
    for name, text in (("status", "1"), ("stdout", "out"), ("stderr", "")):
        (guest.job / name).write_text(text)


class Item:
    """As much of a test as is asked for."""

    def __init__(self, nodeid: str) -> None:
        self.nodeid = nodeid
        self.location = ("file", 0, nodeid)


class Hook:
    """Turns the reports of `passes` into pytest's."""

    def pytest_report_from_serializable(self, config: Any, data: dict[str, Any]) -> Any:
        return pytest.TestReport(
            data["nodeid"], ("f", 0, ""), {}, data["outcome"], None, data["when"]
        )


@pytest.fixture
def outcomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[dict[str, str], Run]]:
    """Runs tests in guests that do so; how each of them ended, in the call."""

    class Config:
        rootpath = tmp_path
        inipath = None
        hook = Hook()

        class option:
            tbstyle, verbose, maxfail, showlocals = "auto", 0, 0, False

    def run(names: str, *acts: Act) -> tuple[dict[str, str], Run]:
        monkeypatch.setattr(FakeGuest, "acts", list(acts))
        monkeypatch.setattr(FakeGuest, "made", [])
        monkeypatch.setattr(live_in_guest, "Guest", FakeGuest)
        items: list[Any] = [Item(name) for name in names]
        run = Run(Config(), Machine(tmp_path), items)  # type: ignore[arg-type]
        found = {}
        for item in items:
            reports = run.reports(item)
            assert [r.when for r in reports][-1] in ("teardown", "call")
            (found[item.nodeid],) = [r.outcome for r in reports if r.when == "call"]
        return found, run

    return run


def test_what_a_lost_guest_left_runs_in_another_one(outcomes: Any) -> None:
    def dies(guest: FakeGuest) -> None:
        passes(guest, "a")
        starts(guest, "b")

    found, run = outcomes("abc", dies, lambda guest: passes(guest, "b", "c"))
    assert found == {"a": "passed", "b": "passed", "c": "passed"}
    first, second = FakeGuest.made
    assert (first.selected, second.selected) == (["a", "b", "c"], ["b", "c"])
    assert first.closed and not second.closed
    assert run.lost == "the guest job0 died"


def test_a_second_guest_that_is_lost_fails_what_is_left(outcomes: Any) -> None:
    found, _ = outcomes("abc", lambda guest: None, lambda guest: passes(guest, "a"))
    assert found == {"a": "passed", "b": "failed", "c": "failed"}
    assert len(FakeGuest.made) == 2


def test_what_fails_is_not_run_again(outcomes: Any) -> None:
    found, run = outcomes("ab", lambda guest: passes(guest, "a", "b", outcome="failed"))
    assert found == {"a": "failed", "b": "failed"}
    assert run.lost is None and len(FakeGuest.made) == 1


def test_a_guest_that_answered_is_not_lost(outcomes: Any) -> None:
    """Its pytest ended before all its tests had run."""

    def ends_early(guest: FakeGuest) -> None:
        passes(guest, "a")
        ends(guest)

    found, run = outcomes("ab", ends_early)
    assert found == {"a": "passed", "b": "failed"}
    assert run.lost is None and len(FakeGuest.made) == 1


def test_each_report_puts_off_the_end(outcomes: Any) -> None:
    outcomes("ab", lambda guest: passes(guest, "a", "b"))
    (guest,) = FakeGuest.made
    assert guest.put_off_times == 6
