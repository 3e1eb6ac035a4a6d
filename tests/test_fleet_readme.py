"""The six commands of the README, from one host to a fleet, run and say what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from command import until
from fleets import HOUR
from recording_child import sample
from test_record import Kernel, count

from allocq.storage.recording.sample import Sample
from allocq.storage.recording.writer import Writer

README = (Path(__file__).parents[1] / "README.md").read_text()
SECTION = README.partition("## From one host to a fleet")[2].partition("\n## ")[0]
COMMANDS = [
    (command, output)
    for block in re.findall(r"^```console\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    for command, output in re.findall(r"^# (.+)\n((?:(?!# ).*\n)*)", block, re.MULTILINE)
]
SHARE = "/srv/allocq"
ROLLOUT = 1_795_005_000  # in the middle of an hour
OLD, NEW = "6.12.48-web", "7.3.4-web"


def one(number: int, kernel: str, boot: str, when: float, leaked: int, host: int) -> Sample:
    """A sample of twelve tags. Lines of fs/pipe.c moved with the new kernel."""
    made = sample(1, 12)
    at = 902 if kernel == NEW else 855
    made.subjects[0] = b"fs/pipe.c:%d func:alloc_pipe_info" % at
    made.subjects[1] = b"mm/slub.c:3347 func:alloc_slab_page"
    made.subjects[2] = b"net/core/sock.c:2210 func:sk_prot_alloc"
    made.subjects[3] = b"mm/readahead.c:197 func:page_cache_ra_unbounded"
    for row in range(12):
        made.counters.bytes[row], made.counters.calls[row] = 4096 * (row + 1), row + 1
    made.counters.bytes[0], made.counters.calls[0] = 65536 + leaked, 64 + leaked // 1024
    made.counters.bytes[3], made.counters.calls[3] = (
        (800 + 10 * number) << 20,
        204800 + 2560 * number,
    )
    made.counters.bytes[2] += 4096 * number + (64 << 20 if host == 1 else 0)
    moment = replace(made.moment, time=round(when * 1e9), boottime=number, boot=boot, kernel=kernel)
    return replace(made, moment=moment)


def record(folder: Path, host: int) -> None:
    """Two hours of a host, in the middle of which it boots the new kernel."""
    writer = Writer(folder, {"host": f"web{host}"})
    for number in range(12):
        new = number >= 6
        when = ROLLOUT + (number - 6) * 600 + 60 * host
        leaked = (number - 5) << 20 if new else 0
        kernel, boot = (NEW, f"{host}-2") if new else (OLD, f"{host}-1")
        writer.append(one(number, kernel, boot, when, leaked, host))
    writer.close()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the recordings of six hosts, and allocq in the PATH."""
    folder = tmp_path_factory.mktemp("readme")
    for host in range(1, 7):
        record(folder / f"web{host}", host)
    (folder / "bin").mkdir()
    (folder / "bin" / "allocq").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m allocq "$@"\n')
    (folder / "bin" / "allocq").chmod(0o755)
    return folder


def test_there_are_six_commands() -> None:
    assert len(COMMANDS) == 6
    assert COMMANDS[0][0].startswith("allocq record ") and COMMANDS[0][0].endswith(" &")


def test_recording_on_one_host(tmp_path: Path) -> None:
    """The first two of them, on a simulated kernel, until there is a sample."""
    kernel = Kernel(tmp_path)
    words = COMMANDS[0][0].removesuffix(" &").split()[2:]
    data = tmp_path / "data"
    child = kernel.start(str(tmp_path / "r"), *words)
    until(lambda: count(tmp_path / "r"))
    child.terminate()
    assert child.wait(60) == 0
    ship = [str(data) if word == SHARE else word for word in COMMANDS[1][0].split()[1:]]
    assert kernel(*ship, "--source", str(tmp_path / "r")).returncode == 0
    done = kernel("fleet", "hosts", "--data", str(data), "-o", "csv")
    assert done.returncode == 0 and os.uname().nodename in done.stdout, done


def test_the_others_in_turn(work: Path) -> None:
    env = {
        **os.environ,
        "PATH": f"{work / 'bin'}:{os.environ['PATH']}",
        "SOURCE_DATE_EPOCH": str(ROLLOUT + 2 * HOUR),
    }
    shown = dict(COMMANDS)
    grown = next(command for command in shown if "grown" in command)
    # The last command joins the files: that changes no answer.
    ship = [(f"{COMMANDS[1][0]} --source web{host}", COMMANDS[1][1]) for host in range(1, 7)]
    for command, output in [*ship, *COMMANDS[2:], (grown, shown[grown])]:
        command = command.replace(SHARE, "fleet")
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, env=env, cwd=work
        )
        said = done.stdout + done.stderr
        assert (done.returncode, _sized(said)) == (0, _sized(output)), command


def _sized(output: str) -> str:
    """Without the sizes of files, which the release of the Parquet library decides."""
    return re.sub(r"[0-9.]+K became [0-9.]+K", "N became N", output)
