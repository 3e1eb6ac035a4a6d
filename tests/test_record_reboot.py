"""A recording across a reboot: two guests, one after the other, on one directory."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import guest
import pytest
from command import ALLOCQ, here

from allocq.storage.recording.reader import Recording

HERE = Path(__file__).resolve().parent
# Ends with the recorder at work, as a machine that loses its power.
FIRST = """
import json, subprocess, sys, time
from pathlib import Path
from allocq.storage.recording.reader import Recording
child = subprocess.Popen([*sys.argv[1:], "record", "-d", "/run/job/r", "--interval", "0.1"],
                         stderr=subprocess.PIPE)
child.stderr.readline()
points = []
while len(points) < 12:
    time.sleep(0.1)
    points = Recording(Path("/run/job/r")).points()
json.dump([point.time for point in points], open("/run/job/safe", "w"))
"""
SECOND = """
import shutil, subprocess, sys
shutil.copytree(sys.argv.pop(), "/run/job/r")
for _ in range(2):
    subprocess.run([*sys.argv[1:], "record", "--once", "/run/job/r"], check=True)
"""


def in_guest(program: str, keep: Path, *argv: str) -> Mapping[str, str]:
    """Run a program in a guest and keep its recording; returns what else it left."""
    kernel = guest.find_kernel()
    if kernel is None:
        pytest.skip(f"needs a test kernel: {guest.HOW_TO_GET_A_KERNEL}")
    command = [sys.executable, "/run/job/program", *ALLOCQ, *argv]
    machine = guest.Machine(kernel)
    files = {"program": program}
    with guest.Guest(machine, command, cwd=HERE.parent, files=files) as booted:
        assert booted.wait() == 0, (booted.job / "stderr").read_text()
        shutil.copytree(booted.job / "r", keep)
        return {path.name: path.read_text() for path in booted.job.glob("safe")}


def test_what_was_written_before_a_reboot_is_read_after_it(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    safe = json.loads(in_guest(FIRST, before)["safe"])
    in_guest(SECOND, after, str(before))
    recording = Recording(after)
    samples = list(recording.samples())
    assert recording.warnings == []
    times = [sample.moment.time for sample in samples]
    assert set(safe) <= set(times) and len(times) >= len(safe) + 2
    boots = [sample.moment.boot for sample in samples]
    assert boots[-1] == boots[-2] != boots[0] and set(boots[:-2]) == {boots[0]}
    assert samples[-1].moment.boottime < 60e9
    since = f"@{safe[-1] / 1e9:.6f}"
    done = here("diff", "--source", str(after), "--since", since, "-o", "csv")
    assert done.status == 0 and "rebooted in between" in done.err, done.err
