"""What is generated is current, the pages are clean, and every example on them runs."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import generate
import pytest
import vmcores
from bench.fleet import Plan as FleetPlan
from bench.fleet import write as write_fleet
from generators.declared import COMMANDS, flags
from oracle import FIXTURES
from recording_child import sample

from allocq.storage.recording.writer import Writer

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "allocq" / "sample.txt"
PAGES = sorted((ROOT / "man").glob("*.[0-9]"))
DISPLAY = re.compile(r"^\.Bd -literal.*?\n(.*?)^\.Ed", re.MULTILINE | re.DOTALL)
EXAMPLES = {
    path.stem: [
        line[2:]
        for display in DISPLAY.findall(path.read_text())
        for line in display.splitlines()
        if line.startswith(("$ ", "# ")) and "allocq " in line
    ]
    for path in sorted((ROOT / "man" / "prose").iterdir())
}
# Those ask the running kernel, whatever they are told.
LIVE = (
    r"allocq (bench|verify|check|record|stacks|top -b|diff (before\.txt )?--(?!source)"
    r"|report (before\.txt /proc|--output|--stacks))"
)
# Those run until a signal, where there is a kernel that counts.
ENDLESS = r"allocq record (?!.*--once)|allocq export(?! --textfile)"
# On a machine without a kernel that counts, the rest get the sample.
SHIM = """\
#!/bin/sh
case $1 in query | tree | snapshot | memory | export)
	case " $* " in
	*" --source "* | *" --sample "* | " memory "*.txt*) ;;
	*) set -- "$@" --sample ;;
	esac ;;
profiling) set -- "$@" --dry-run ;; # a test does not switch the machine it runs on
esac
exec "$PYTHON" -m allocq "$@"
"""


def test_what_is_generated_is_current() -> None:
    stale = [str(path) for path, text in generate.made().items() if not same(path, text)]
    assert not stale, "python tests/generate.py"
    assert not generate.left_over(generate.made())


def same(path: Path, text: str) -> bool:
    return (ROOT / path).exists() and (ROOT / path).read_text() == text


def test_check_names_what_is_not_current(tmp_path: Path) -> None:
    for name in ("allocq", "tests", "man", "completions"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("vm", "live"))
    shutil.copy(ROOT / "README.md", tmp_path)

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(tmp_path / "tests" / "generate.py"), *argv]
        return subprocess.run(command, capture_output=True, text=True)

    assert run("--check").returncode == 0
    page = tmp_path / "man" / "allocq-query.1"
    good = page.read_text()
    page.write_text(good.replace("Which", "What"))
    (tmp_path / "completions" / "allocq.fish").unlink()
    (tmp_path / "man" / "allocq-gone.1").write_text("")
    done = run("--check")
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "man/allocq-query.1",
        "completions/allocq.fish",
        "man/allocq-gone.1",
    ]
    assert run().returncode == 0
    assert page.read_text() == good
    assert run("--check").returncode == 0


def test_every_subcommand_has_a_page_with_all_its_flags() -> None:
    for command in COMMANDS:
        page = (ROOT / "man" / f"allocq-{command.name}.1").read_text().replace("\\-", "-")
        for option in command.options:
            for flag in flags(option):
                assert f"Fl {flag[1:]}" in page, (command.name, flag)
    assert (ROOT / "man" / "allocq.1").exists()
    assert (ROOT / "man" / "allocq-snapshot.5").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_finds_no_fault(page: Path) -> None:
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc (Debian package mandoc)")
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(page)], stdout=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_groff_finds_no_fault_and_every_flag_is_shown(page: Path) -> None:
    if not shutil.which("man"):
        pytest.skip("no man (Debian package man-db)")
    env = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFOPT": "", "MANPAGER": "cat"}
    done = subprocess.run(
        ["man", "--warnings", "-l", str(page)], capture_output=True, text=True, env=env
    )
    assert (done.returncode, done.stderr) == (0, "")
    text = re.sub(".\b", "", done.stdout)
    assert text.count("\n") > 20
    prose = (ROOT / "man" / "prose" / f"{page.name}.mdoc").read_text()
    for display in DISPLAY.findall(prose):
        assert all(line.expandtabs() in text for line in display.splitlines() if len(line) < 60)
    for command in COMMANDS:
        if page.name == f"allocq-{command.name}.1":
            for option in command.options:
                assert all(flag in text for flag in flags(option)), option.name


def test_there_are_examples() -> None:
    assert all(EXAMPLES[f"allocq-{name}.1"] for name in ("query", "snapshot", "bench", "doctor"))


@pytest.mark.parametrize("page", [page for page, examples in EXAMPLES.items() if examples])
def test_the_examples_of_a_page_run(page: str, tmp_path: Path) -> None:
    counting = readable("/proc/allocinfo")
    examples = [each for each in EXAMPLES[page] if not (counting and re.search(ENDLESS, each))]
    for example, done in run_examples(examples, tmp_path, SHIM):
        if re.search("allocq profiling (on|off)", example):
            assert done.returncode == 0 or "allocation profiling" in done.stderr, example
        elif "allocq doctor" in example:
            assert done.stdout and not done.stderr, example
        elif example.startswith("allocq ship"):
            assert done.returncode == 2 and "cannot read " in done.stderr, example
        elif re.match(r"allocq top (?!.*-b)", example):
            # Flags were understood, and there is no terminal.
            assert (done.returncode, done.stdout) == (2, ""), example
            assert "standard output is not a terminal" in done.stderr, example
        elif done.returncode == 2 and re.search(LIVE, example) and not readable("/proc/allocinfo"):
            # Flags are read before the world is touched: these were understood.
            what = "/proc/allocinfo"
            if "--drop-caches" in example and os.geteuid() != 0:
                what = "cannot drop caches"
            assert what in done.stderr and "--help" not in done.stderr, example
        else:
            # The sample has no /proc/meminfo with it.
            err = re.sub("allocq: warning: .* has no /proc/meminfo with it.*\n", "", done.stderr)
            err = re.sub("allocq: (from|since) .*\n", "", err)
            err = re.sub("allocq: warning: . files have no time in them: .*\n", "", err)
            assert (done.returncode, err) == (0, ""), example
            written = r" -o [a-z]| --output |>|^allocq snapshot .*\w$"
            assert done.stdout or re.search(written, example), example


def run_examples(
    examples: Sequence[str], place: Path, shim: str
) -> Iterator[tuple[str, subprocess.CompletedProcess[str]]]:
    """Each of them in turn, in a shell in a folder with what they name; `shim` is their allocq."""
    tools, work = place / "bin", place / "work"
    tools.mkdir()
    work.mkdir()
    (tools / "allocq").write_text(shim)
    (tools / "allocq").chmod(0o755)
    prepare(work)
    if any("vmcore" in example for example in examples):
        kernel = vmcores.compiled(work)
        vmcores.dump(kernel).write(work / "vmcore")
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHON": sys.executable}
    for example in examples:
        if "| jq " in example and not shutil.which("jq"):
            pytest.skip("no jq (Debian package jq)")
        yield (
            example,
            subprocess.run(
                ["bash", "-o", "pipefail", "-c", example],
                capture_output=True,
                text=True,
                env=env,
                cwd=work,
            ),
        )


def prepare(work: Path) -> None:
    """The files that examples name and do not make."""
    data = SAMPLE.read_bytes()
    line = b"    16351232     3992 mm/readahead.c"
    assert line in data
    for name in ("saved.txt", "before.txt"):
        (work / name).write_bytes(data)
    (work / "after.txt").write_bytes(data.replace(line, b"   116351232    23992 mm/readahead.c"))
    (work / "saved.txt.gz").write_bytes(gzip.compress(data))
    for i, day in enumerate(("monday", "tuesday", "wednesday", "thursday")):
        grown = line.replace(b" 16351232", b" %d" % (16351232 + i * 4096))
        (work / f"{day}.gz").write_bytes(gzip.compress(data.replace(line, grown)))
    (work / "snapshots").mkdir()
    header, columns, tags = data.split(b"\n", 2)
    words = b"# allocq-snapshot: 1\n# time: 2020-01-01T00:00:00Z"
    (work / "snapshots" / "old").write_bytes(b"\n".join((header, columns, words, tags)))
    writer = Writer(work / "recorded", {})
    for minutes in (90, 20):
        one = sample(minutes, 50)
        when = time.time_ns() - minutes * 60 * 10**9
        writer.append(replace(one, moment=replace(one.moment, time=when)))
    writer.close()
    write_fleet(work / "fleet", FleetPlan(hosts=4, samples=4))
    stacks = (FIXTURES / "stacks-pipes-7.3.4-x86.json").read_bytes()
    (work / "pipes.json").write_bytes(stacks)
    (work / "run-tests").write_text("#!/bin/sh\n")
    (work / "run-tests").chmod(0o755)


def readable(path: str) -> bool:
    try:
        with open(path, "rb"):
            return True
    except OSError:
        return False


def test_the_format_page_shows_a_snapshot_that_is_one(tmp_path: Path) -> None:
    page = (ROOT / "man" / "prose" / "allocq-snapshot.5.mdoc").read_text()
    shown = DISPLAY.findall(page)[-1]
    saved = tmp_path / "x"
    saved.write_text(shown)
    from allocq.sources.source import open_source

    with open_source(str(saved)) as source:
        snapshot = source.read()
    assert len(snapshot) == 2
    info = snapshot.info
    assert (info.kernel, info.content_id, info.consistent) == ("7.3.4", 5, True)
    assert info.time and not info.warnings
    keys = re.findall(r"^\.It Li (\S+)", page.replace("\\-", "-"), re.MULTILINE)
    assert list(info.metadata)[1:] == [key for key in keys if key in info.metadata]
    assert set(keys) - set(info.metadata) == {
        "profiling", "meminfo", "free-on-cpus", "limit", "rounded", "excerpt",
    }  # fmt: skip
