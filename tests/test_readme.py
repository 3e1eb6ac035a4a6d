"""The commands in the README run and print what it shows."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SAMPLE = ROOT / "allocq" / "sample.txt"
SECTION = README.partition("## Ten one-liners")[2].partition("\n## ")[0]
ONE_LINERS = re.findall(r"^\| `(.+?)` \| `(allocq .+?)` \|$", SECTION, re.MULTILINE)
CONSOLE = [
    (command, output)
    for block in re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]


def allocq(command: str) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    assert words[0] == "allocq"
    return subprocess.run(
        [sys.executable, "-m", "allocq", *words[1:]], capture_output=True, text=True, cwd=ROOT
    )


def test_there_are_ten_one_liners() -> None:
    assert len(ONE_LINERS) == 10


@pytest.mark.parametrize(("before", "after"), ONE_LINERS)
def test_a_one_liner_and_its_replacement_print_the_same(before: str, after: str) -> None:
    before, after = before.replace(r"\|", "|"), after.replace(r"\|", "|")
    pipeline = f"cat {shlex.quote(str(SAMPLE))} | {before}"
    old = subprocess.run(["sh", "-c", pipeline], capture_output=True, text=True).stdout
    new = allocq(after).stdout
    assert old
    if "split(" in before:  # sums: awk prints bytes and name, allocq the calls and tags too
        new = "".join(f"{line.split()[0]} {line.split()[3]}\n" for line in new.splitlines())
    assert new == old


@pytest.mark.parametrize(("command", "output"), CONSOLE)
def test_a_command_prints_what_the_readme_shows(command: str, output: str) -> None:
    done = allocq(command)
    assert done.stdout == output
    assert done.returncode == 0, done.stderr


def test_the_library_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    import allocq as library

    example = README.partition("```python\n")[2].partition("```")[0]
    # The sample in place of this machine's kernel.
    assert "allocq.open()" in example
    exec(example.replace("allocq.open()", "allocq.open(allocq.sample_path())"), {"allocq": library})
    largest = "16351232 3992 mm/readahead.c 200 None ractl_alloc_folio"
    assert capsys.readouterr().out.splitlines() == [largest]  # a file does not change
