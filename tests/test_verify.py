"""`allocq verify` on kernels in memory: one that obeys the rules, and many that break one."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from command import allocq, here
from hypothesis import given, settings
from hypothesis import strategies as st
from lying_kernel import LIES, LyingKernel

from allocq.commands.verify import rawioctl, verify
from allocq.commands.verify.bracket import Outcome, Seen, Undecided, compare, differences, question
from allocq.commands.verify.checks import CHECKS, CheckContext, own_answers
from allocq.commands.verify.rawioctl import (
    MAX_SIZE,
    MIN_SIZE,
    U64,
    BadText,
    IoctlFilter,
    Row,
    parse,
)
from allocq.errors import UsageError
from allocq.host.modules import Module
from allocq.output import tap
from allocq.output.tap import TapResult

SAMPLE = Path(__file__).parents[1] / "allocq/sample.txt"


@functools.cache
def sample() -> list[Row]:
    return parse(SAMPLE.read_bytes())


def rows() -> list[Row]:
    """A few of a real kernel's tags, and some that are odd."""
    real = sample()[::90]
    long = b"drivers/" + b"a_long_directory/" * 5
    odd = [
        Row(b"", b"below_zero", b"mm/odd.c", 5, -4096, 0, True),
        Row(b"", b"twin", b"mm/odd.c", 9, 100, 1, True),
        Row(b"", b"twin", b"mm/odd.c", 9, 200, 2, True),
        Row(b"", b"Twin", b"mm/odd.c", 9, 300, 2, True),
        Row(b"", b"inaccurate", b"mm/odd.c", 20, 1 << 20, 3, False),
        Row(b"", b"in_long", long + b"one.c", 3, 10, 1, True),
        Row(b"", b"in_long", b"x" + long + b"one.c", 3, 20, 1, True),
        Row(b"xfs", b"xfs_init", b"fs/xfs/xfs_super.c", 2000, 512, 1, True),
        Row(b"xfs", b"xfs_init", b"fs/xfs/xfs_super.c", 2001, 1024, 4, True),
        Row(b"tun", b"tun_init", b"drivers/net/tun.c", 7, 0, 0, True),
    ]
    return [row._replace(module=b"") for row in real] + odd


def checked(kernel: LyingKernel, rounds: int = 8) -> dict[str, verify.Result]:
    context = CheckContext(kernel, 1, rounds)
    checks = [check for check in CHECKS if check[1] is not own_answers]
    return {name: verify._try(name, check, context) for name, check in checks}


def test_a_kernel_that_keeps_the_rules_passes_everything() -> None:
    results = checked(LyingKernel(rows()))
    wrong = {name: r.outcome.differences for name, r in results.items() if r.result != TapResult.OK}
    assert wrong == {}
    assert verify.status(list(results.values())) == 0
    assert sum(result.outcome.questions for result in results.values()) > 300


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_found(lie: str) -> None:
    kernel = LyingKernel(rows(), lie)
    due = TapResult.UNDECIDED if lie == "content id counts" else TapResult.NOT_OK
    context = CheckContext(kernel, 1, 8)
    ends = (verify._try(*check, context) for check in CHECKS if check[1] is not own_answers)
    first = next((end for end in ends if end.result != TapResult.OK), None)
    assert first is not None and first.result == due
    assert bool(first.outcome.differences) == (due == TapResult.NOT_OK)


def test_counters_that_move_are_no_difference() -> None:
    results = checked(LyingKernel(rows(), moves=True))
    wrong = {name: r.outcome.differences for name, r in results.items() if r.result != TapResult.OK}
    assert wrong == {}
    assert sum(result.outcome.moved for result in results.values()) > 0


@pytest.mark.parametrize("lie", ["drops a tag", "swaps two tags", "matches a part"])
def test_lies_are_found_among_counters_that_move(lie: str) -> None:
    results = checked(LyingKernel(rows(), lie, moves=True))
    assert verify.status(list(results.values())) == 1


def test_a_module_at_every_reading_leaves_it_undecided() -> None:
    kernel = LyingKernel(rows())

    def tick() -> None:
        kernel.ids += 1

    kernel.tick = tick
    with pytest.raises(Undecided):
        compare(kernel, [question(kernel, IoctlFilter())])


def test_a_module_that_comes_once_is_no_difference() -> None:
    kernel = LyingKernel(rows()[:-1])
    left = [12]

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            kernel.rows.append(rows()[-1])
            kernel.ids += 1

    kernel.tick = tick
    assert compare(kernel, [question(kernel, IoctlFilter())]).differences == []
    assert left[0] < 0


# The parts


def test_parse_reads_what_the_kernel_prints() -> None:
    text = (
        b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"
        b"       -4096        1 mm/a.c:5 func:f \n"
        b"           0        0 /x/a b [c] func:d:1/y.c:7 [m] func:g accurate:no later:word \n"
    )
    assert parse(text) == [
        Row(b"", b"f", b"mm/a.c", 5, -4096, 1, True),
        Row(b"m", b"g", b"/x/a b [c] func:d:1/y.c", 7, 0, 0, False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"allocinfo - version: 2.0\n",
        b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n 1 1 a.c func:f \n",
        b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n 1 1 a.c:1 func:f\n",
        b"allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n 1 1 a.c:1 func:f ",
    ],
)
def test_parse_refuses_what_it_does_not(text: bytes) -> None:
    with pytest.raises(BadText):
        parse(text)


def test_the_commands_have_the_numbers_of_the_kernels_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    command = rawioctl.command
    assert (command(0, 8), command(1, 464, write=True), command(2, 224)) == (
        0x8008A600,
        0xC1D0A601,
        0x80E0A602,
    )
    assert (rawioctl.GET_AT_SIZE, rawioctl.NEXT_SIZE) == (464, 224)
    monkeypatch.setattr("platform.machine", lambda: "ppc64le")
    assert command(0, 8) == 0x4008A600


sizes = st.one_of(st.integers(0, 20), st.integers(U64 // 2 - 3, U64 // 2 + 3))
far = st.one_of(sizes, st.integers(U64 - 20, U64 - 1))


@settings(deadline=None)
@given(far, far, st.integers(0, 3), st.integers(-20, 20) | sizes.map(lambda n: n - U64 // 2))
def test_sizes_are_compared_as_the_kernel_does(low: int, high: int, bits: int, size: int) -> None:
    mask = (MIN_SIZE if bits & 1 else 0) | (MAX_SIZE if bits & 2 else 0)
    unsigned = size % U64
    due = (not bits & 1 or unsigned >= low) and (not bits & 2 or unsigned <= high)
    wanted = IoctlFilter(mask, min_size=low, max_size=high)
    assert any(a <= size <= b for a, b in wanted.sizes()) == due


@settings(deadline=None)
@given(
    # Tags that look alike could be taken for one another.
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 5), st.integers(0, 5)),
        max_size=8,
        unique_by=lambda tag: tag[0],
    ),
    st.data(),
)
def test_an_answer_from_between_the_readings_is_never_wrong(
    tags: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """Any values between two readings, filtered by any sizes, are a good answer."""
    first = [Row(b"", b"f", b"f.c", name, low, 1, True) for name, low, _ in tags]
    seen = [Seen(row) for row in first]
    for known, (_, low, more) in zip(seen, tags, strict=True):
        known.add(known.row._replace(size=low + more))
    now = [row._replace(size=row.size + data.draw(st.integers(0, more)))
           for row, (_, _, more) in zip(first, tags, strict=True)]  # fmt: skip
    low, high = sorted((data.draw(st.integers(0, 10)), data.draw(st.integers(0, 10))))
    wanted = IoctlFilter(MIN_SIZE | MAX_SIZE, min_size=low, max_size=high)
    kernel = LyingKernel(rows())
    asked = question(kernel, wanted)
    answer = [row for row in now if low <= row.size <= high]
    assert differences(seen, asked, answer) == {}


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(-3, 3).filter(bool))
def test_a_wrong_counter_is_named(at: int, by: int) -> None:
    tags = rows()
    at %= len(tags)
    seen = [Seen(row) for row in tags]
    answer = [row.trimmed() for row in tags]
    answer[at] = answer[at]._replace(size=answer[at].size + by)
    wrong = differences(seen, question(LyingKernel(tags), IoctlFilter()), answer)
    assert list(wrong) == [at]
    assert str(tags[at]) in wrong[at].words


# TAP, and the command


def test_tap_lines() -> None:
    assert tap.plan(2) == "TAP version 13\n1..2\n"
    assert tap.line(1, "fine", TapResult.OK) == "ok 1 - fine\n"
    assert tap.line(2, "bad", TapResult.NOT_OK, "", ["why\x1b"]) == "not ok 2 - bad\n# why\\x1b\n"
    assert tap.line(3, "n", TapResult.SKIP, "none here") == "ok 3 - n # SKIP none here\n"
    undecided = tap.line(4, "n", TapResult.UNDECIDED, "busy")
    assert undecided == "ok 4 - n # SKIP undetermined: busy\n"
    assert tap.nothing("no\nioctl") == "TAP version 13\n1..0 # SKIP no\\x0aioctl\n"


@pytest.mark.skipif(shutil.which("prove") is None, reason="no prove (perl) here")
@pytest.mark.parametrize(("state", "status"), [(TapResult.OK, 0), (TapResult.NOT_OK, 1)])
def test_prove_reads_it(tmp_path: Path, state: str, status: int) -> None:
    lines = [tap.line(1, "a", TapResult.OK), tap.line(2, "b # c", state, "", ["x"]),
             tap.line(3, "d", TapResult.SKIP, "none")]  # fmt: skip
    script = tmp_path / "t.sh"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{tap.plan(3)}{''.join(lines)}END\n")
    script.chmod(0o755)
    done = subprocess.run(["prove", str(script)], capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr


def test_a_difference_outweighs_what_could_not_be_told() -> None:
    def result(kind: str) -> verify.Result:
        return verify.Result("n", kind, "", Outcome(), 0.0)

    assert verify.status([result(TapResult.OK), result(TapResult.SKIP)]) == 0
    assert verify.status([result(TapResult.OK), result(TapResult.UNDECIDED)]) == 2
    assert verify.status([result(TapResult.UNDECIDED), result(TapResult.NOT_OK)]) == 1


def test_json_has_every_check() -> None:
    context = CheckContext(LyingKernel(rows(), "drops a tag"), 3, 5)
    results = [verify._try(*check, context) for check in CHECKS[:5]]
    results[0].outcome.differences.append("größer \x7f\n")
    text = verify.as_json(context, results)
    document = json.loads(text)
    assert "größer".encode() in text and text.endswith(b"}\n")
    assert document["checks"][0]["differences"][-1] == "größer \x7f\n"
    assert (document["status"], document["seed"], document["rounds"]) == (1, 3, 5)
    assert [check["name"] for check in document["checks"]] == [name for name, _ in CHECKS[:5]]
    assert [c["result"] for c in document["checks"]].count("not ok") >= 1


@pytest.mark.parametrize("word", ["", "-r", "--help", "x\0y"])
def test_module_names_that_are_none(word: str) -> None:
    with pytest.raises(UsageError):
        Module(word)


@pytest.mark.parametrize(
    ("word", "name"), [("xfs", "xfs"), ("dm-mod", "dm_mod"), ("./a/b-c.ko", "b_c")]
)
def test_module_names(word: str, name: str) -> None:
    assert Module(word).name == name


@pytest.mark.parametrize(
    "words", [("--rounds", "x"), ("--seed", "-1"), ("-o", "xml"), ("--load-module", "")]
)
def test_mistakes_are_told_before_anything_else(words: tuple[str, ...]) -> None:
    done = here("verify", *words)
    assert done.status == 2 and done.out == b""
    assert done.err.startswith("allocq: ")


@pytest.mark.skipif(Path("/proc/allocinfo").exists(), reason="this kernel has /proc/allocinfo")
def test_without_the_file_it_cannot_tell() -> None:
    done = allocq("verify")
    assert done.status == 2
    assert done.out.startswith(b"TAP version 13\n1..0 # SKIP no /proc/allocinfo")
    assert done.err.startswith("allocq: no /proc/allocinfo")
    assert allocq("verify", "-o", "json").out == b""
