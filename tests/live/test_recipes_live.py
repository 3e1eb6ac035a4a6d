"""The recipes of allocq-check(1) for test frameworks, each in a harness of that shape."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import ALLOCQ

PAGE = Path(__file__).resolve().parents[2] / "man" / "prose" / "allocq-check.1.mdoc"

KSELFTEST = """\
echo "TAP version 13"
echo "1..1"
echo "# selftests: mount: leak.sh"
./leak.sh >output 2>&1
rc=$?
sed 's/^/# /' output
case $rc in
0) echo "ok 1 selftests: mount: leak.sh" ;;
4) echo "ok 1 selftests: mount: leak.sh # SKIP" ;;
*) echo "not ok 1 selftests: mount: leak.sh # exit=$rc" ;;
esac
"""

FSTESTS = """\
. ./rc
_dump_err() { echo "$*" >&2; }
RESULT_DIR=$PWD/results
tmp=$PWD/tmp
mkdir -p $RESULT_DIR
for seqnum in "$@"; do
	seqres=$RESULT_DIR/$seqnum
	tc_status=pass
	_init_allocq
	./$seqnum >$seqres.out 2>&1 || tc_status=fail
	_check_allocq || tc_status=fail
	echo "$seqnum $tc_status"
done
"""


def recipe(name: str) -> str:
    """The text that the page shows."""
    section = PAGE.read_text().partition(f".Ss {name}\n")[2]
    found = re.search(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", section, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder, and in it `held`: a file system in memory, in which a test can leave things."""
    held = tmp_path / "held"
    held.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(held)], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(held)], check=True)


def script(path: Path, text: str) -> None:
    path.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def sh(place: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    tools = place / "tools"
    tools.mkdir(exist_ok=True)
    script(tools / "allocq", f'exec {" ".join(ALLOCQ)} "$@"')
    # ssh hands its words to a shell over there.
    script(tools / "ssh", f'shift; cd "{place}" && exec sh -c "$*"')
    return subprocess.run(
        ["sh", "-c", text, "sh", *words],
        cwd=place,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


LEAKS = "mktemp held/XXXXXX"
FREES = 'rm "$(mktemp held/XXXXXX)"'


@pytest.mark.parametrize(
    ("test", "result", "report"),
    [
        (FREES, "ok 1 selftests: mount: leak.sh", "# ok 1 - sh -c"),
        (LEAKS, "not ok 1 selftests: mount: leak.sh # exit=1", "shmem_alloc_inode"),
        ("exit 1", "not ok 1 selftests: mount: leak.sh # exit=1", ""),
        ("echo no such device; exit 4", "ok 1 selftests: mount: leak.sh # SKIP", "# no such"),
    ],
)
def test_kselftest(place: Path, test: str, result: str, report: str) -> None:
    script(place / "leak.sh", recipe("kselftest"))
    script(place / "mount_test", test)
    done = sh(place, KSELFTEST)
    *nested, last = done.stdout.splitlines()
    assert last == result, done
    assert report in done.stdout
    if test in (FREES, LEAKS):
        at = nested.index("# TAP version 13")
        plan = re.fullmatch(r"# 1\.\.(\d+)", nested[at + 1])
        tests = [line for line in nested[at:] if re.match(r"# (not )?ok \d+ - ", line)]
        assert plan and len(tests) == int(plan[1])
        failed = [line for line in tests if line.startswith("# not ok")]
        assert bool(failed) == (test == LEAKS)


def test_kselftest_skips_what_is_undetermined(place: Path) -> None:
    script(place / "leak.sh", recipe("kselftest"))
    script(place / "mount_test", "true")
    subprocess.run(["mount", "--bind", "/dev/null", "/proc/allocinfo"], check=True)
    try:
        done = sh(place, KSELFTEST)
    finally:
        subprocess.run(["umount", "/proc/allocinfo"], check=True)
    assert done.stdout.splitlines()[-1].endswith("# SKIP"), done
    assert "# allocq: " in done.stdout


def test_fstests(place: Path) -> None:
    (place / "rc").write_text(recipe("fstests"))
    script(place / "001", "ls -R /usr/share/doc >/dev/null")
    script(place / "002", "head -c 40000000 /dev/zero >held/x")
    script(place / "003", "echo wrong; false")
    script(place / "004", "rm held/x")
    done = sh(place, FSTESTS, "001", "002", "003", "004")
    lines = [line for line in done.stdout.splitlines() if re.fullmatch(r"\d{3} \w+", line)]
    assert lines == ["001 pass", "002 fail", "003 fail", "004 pass"], done
    leak = place / "results" / "002.leak"
    assert done.stderr == f"_check_allocq: memory leaked (see {leak})\n"
    assert leak.read_text().splitlines()[1].split()[-2].startswith("mm/shmem.c:")
    assert [path.name for path in (place / "results").glob("*.leak")] == ["002.leak"]


def test_fstests_fails_what_is_undetermined(place: Path) -> None:
    (place / "rc").write_text(recipe("fstests"))
    script(place / "001", "rm tmp.allocinfo")
    done = sh(place, FSTESTS, "001")
    assert done.stdout.splitlines()[-1] == "001 fail" and "no such file" in done.stderr


@pytest.mark.parametrize(
    ("test", "result"),
    [
        ("true", "SUCCESS"),
        ("head -c 40000000 /dev/zero >held/x", "Failed"),
        ("false", "Failed"),
    ],
)
def test_ktest(place: Path, test: str, result: str) -> None:
    script(place / "run-tests", test)
    config = recipe("ktest").replace("\\\n", "").replace("${MACHINE}", "box")
    options = dict(re.findall(r"^(\w+) = (.*)$", config, re.MULTILINE))
    assert list(options) == ["TEST", "POST_TEST"]
    done = sh(place, options["TEST"])
    assert ("Failed" if done.returncode else "SUCCESS") == result, done
    after = sh(place, options["POST_TEST"])
    assert after.returncode == 0 and "GROWTH" in after.stdout, after
    grown = re.search(r"^ *\+3[89]\.\dM\^ .*shmem_alloc_folio$", after.stdout, re.MULTILINE)
    assert bool(grown) == ("held/x" in test), after
