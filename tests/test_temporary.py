"""Where what outgrows memory goes: where the user says, and never where the user happens to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from allocq.host.temporary import temporary_directory


@pytest.mark.parametrize("given", ["", ".", "here", "/nonexistent", "/etc/passwd"])
def test_a_bad_tmpdir_is_passed_by(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", given)
    assert temporary_directory() == "/tmp"


def test_tmpdir_is_taken_and_nothing_is_tried_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = tmp_path.stat().st_mtime_ns
    assert temporary_directory() == str(tmp_path)
    assert tmp_path.stat().st_mtime_ns == before
