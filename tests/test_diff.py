"""`allocq diff`: changes compared with sums and multisets computed here."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import oracle
import pytest
from command import Result, allocq, here, refused, saved, shell, unhurried
from hypothesis import example, given
from hypothesis import strategies as st

SAMPLE = str(oracle.SAMPLE)
PLACE = ("file", "line", "module", "function")


class Row(NamedTuple):
    """A tag of a made text."""

    bytes: int
    calls: int
    file: str
    line: int
    module: str | None
    function: str
    accurate: bool = True

    def text(self) -> str:
        module = f" [{self.module}]" if self.module else ""
        mark = "" if self.accurate else "accurate:no "
        place = f"{self.file}:{self.line}{module} func:{self.function} "
        return f"{self.bytes:12d} {self.calls:8d} {place}{mark}\n"


def text_of(rows: Sequence[Row], **notes: object) -> bytes:
    marked = {"allocq-snapshot": 1, **notes} if notes else {}
    words = "".join(f"# {key.replace('_', '-')}: {value}\n" for key, value in marked.items())
    return oracle.HEADER + (words + "".join(row.text() for row in rows)).encode()


def diff(before: bytes, after: bytes, *argv: str) -> Result:
    with saved(before) as one, saved(after) as two:
        return here("diff", one, two, *argv)


def changes(before: bytes, after: bytes, *argv: str) -> list[dict[str, Any]]:
    done = diff(before, after, "-o", "jsonl", *argv)
    found = [json.loads(line) for line in done.out.splitlines()]
    assert done.status == (0 if found else 1)
    return found


def multiset(rows: Sequence[Row]) -> Counter[tuple[Any, ...]]:
    """Without what holds nothing, which no change is told of."""
    return Counter((*row[2:6], row.bytes, row.calls) for row in rows if row.bytes or row.calls)


def sides(found: list[dict[str, Any]]) -> tuple[Counter[tuple[Any, ...]], ...]:
    """What the changes say was there before, and after."""
    both: tuple[Counter[tuple[Any, ...]], ...] = Counter(), Counter()
    for change in found:
        place = tuple(change[name] for name in PLACE)
        for side, when in zip(both, ("before", "after"), strict=True):
            if change[f"bytes_{when}"] or change[f"calls_{when}"]:
                side[(*place, change[f"bytes_{when}"], change[f"calls_{when}"])] += 1
    return both


ROWS = st.lists(
    st.builds(
        Row,
        st.sampled_from([0, 0, 64, 4096, -8]) | st.integers(-(1 << 40), 1 << 40),
        st.sampled_from([0, 0, 1, 7]) | st.integers(0, 1 << 40),
        # Of a header the kernel can list a tag twice; a .c file's would begin another listing.
        st.sampled_from(["mm/slub.h", "fs/a b.h", "a.h"]),
        st.sampled_from([1, 2, 300]),
        st.sampled_from([None, None, "xfs"]),
        st.sampled_from(["f", "g"]),
        st.booleans(),
    ),
    max_size=12,
)


@unhurried
@given(ROWS)
@example([Row(0, 0, "a.h", 1, None, "f")] * 3)
def test_nothing_differs_from_itself_whatever_the_order(rows: list[Row]) -> None:
    assert changes(text_of(rows), text_of(rows[::-1])) == []


@unhurried
@given(ROWS, ROWS)
def test_before_and_the_changes_make_after(one: list[Row], two: list[Row]) -> None:
    found = changes(text_of(one), text_of(two))
    gone, new = sides(found)
    before, after = multiset(one), multiset(two)
    assert before - gone + new == after
    assert gone <= before and new <= after
    assert not any(
        change["bytes_before"] == change["bytes_after"]
        and change["calls_before"] == change["calls_after"]
        for change in found
    )


@unhurried
@given(ROWS, ROWS, st.lists(ROWS, max_size=2))
def test_listings_that_share_much_agree_with_whole_ones(
    one: list[Row], two: list[Row], more: list[list[Row]]
) -> None:
    common = [row for rows in more for row in rows]
    gone, new = sides(changes(text_of(common + one), text_of(common + two)))
    before, after = multiset(common + one), multiset(common + two)
    assert gone == before - after and new == after - before


@unhurried
@given(ROWS, ROWS)
def test_the_other_way_round_is_the_mirror(one: list[Row], two: list[Row]) -> None:
    turned = {"new": "gone", "gone": "new", "grown": "shrunk", "shrunk": "grown"}

    def key(change: dict[str, Any], mirror: bool) -> str:
        names = ("after", "before") if mirror else ("before", "after")
        sign = -1 if mirror else 1
        return json.dumps(
            [
                turned[change["change"]] if mirror else change["change"],
                sign * change["bytes_growth"],
                sign * change["calls_growth"],
                [change[name] for name in PLACE],
                [[change[f"{what}_{name}"] for name in names] for what in ("bytes", "calls")],
                change["accurate"],
            ]
        )

    forth = Counter(key(change, False) for change in changes(text_of(one), text_of(two)))
    back = Counter(key(change, True) for change in changes(text_of(two), text_of(one)))
    accuracy_differs = len({row[:6] for row in one + two}) < len(set(one + two))
    if not accuracy_differs:
        assert forth == back


def summed(rows: Sequence[Row], by: str) -> dict[Any, list[int]]:
    tags = [oracle.Tag(*row[:6], row.accurate) for row in rows]
    return {key: list(sums) for key, sums in oracle.grouped(tags, by, signed=True).items()}


@unhurried
@given(ROWS, ROWS, st.sampled_from(["file", "directory", "function", "module"]))
def test_groups_are_the_sums_of_their_tags(one: list[Row], two: list[Row], by: str) -> None:
    found = changes(text_of(one), text_of(two), "-g", by)
    before, after = summed(one, by), summed(two, by)
    wanted = {}
    for key in {**before, **after}:
        b, a = before.get(key), after.get(key)
        empty = all(side is None or side[:2] == [0, 0] for side in (b, a))
        if not empty and (b is None or a is None or b[:2] != a[:2]):
            wanted[key] = (b, a)
    got = {}
    for change in found:
        pair = []
        for when in ("before", "after"):
            counts = [change[f"{what}_{when}"] for what in ("bytes", "calls", "tags")]
            pair.append(None if counts[0] is None else counts)
        got[change[by]] = tuple(pair)
    assert got == wanted


@unhurried
@given(ROWS, ROWS)
def test_without_lines_functions_are_summed(one: list[Row], two: list[Row]) -> None:
    found = changes(text_of(one), text_of(two), "--ignore-lines")
    sums: dict[tuple[Any, ...], int] = {}
    for sign, rows in ((-1, one), (1, two)):
        for row in rows:
            key = row.file, row.module, row.function
            sums[key] = sums.get(key, 0) + sign * row.bytes
    got = {(c["file"], c["module"], c["function"]): c["bytes_growth"] for c in found}
    assert len(got) == len(found) and all(c["line"] is None for c in found)
    assert all(sums[key] == growth for key, growth in got.items())
    assert {key for key, growth in sums.items() if growth} <= set(got)


ONE = [
    Row(4096, 4, "mm/slub.c", 10, None, "alloc"),
    Row(1000, 1, "fs/xfs/a.c", 20, "xfs", "get"),
    Row(0, 0, "fs/b.c", 5, None, "idle"),
    Row(512, 8, "fs/gone.c", 1, None, "old"),
]
TWO = [
    Row(8192, 8, "mm/slub.c", 10, None, "alloc"),
    Row(900, 1, "fs/xfs/a.c", 20, "xfs", "get"),
    Row(0, 0, "fs/b.c", 5, None, "idle"),
    Row(70, 1, "fs/new.c", 2, "tun", "fresh", False),
]


def names(found: list[dict[str, Any]]) -> list[str]:
    return [change["function"] for change in found]


def test_the_largest_growth_is_first_and_all_is_said() -> None:
    found = changes(text_of(ONE), text_of(TWO))
    assert names(found) == ["alloc", "fresh", "get", "old"]
    assert [c["change"] for c in found] == ["grown", "new", "shrunk", "gone"]
    assert found[0] == {
        "change": "grown", "bytes_growth": 4096, "calls_growth": 4, "percent": 100.0,
        "bytes_per_second": None, "calls_per_second": None, "bytes_before": 4096,
        "bytes_after": 8192, "calls_before": 4, "calls_after": 8, "file": "mm/slub.c", "line": 10,
        "module": None, "function": "alloc", "accurate": True,
    }  # fmt: skip
    assert [c["percent"] for c in found] == [100.0, None, -10.0, -100.0]
    assert found[1]["bytes_before"] is None and found[3]["bytes_after"] is None
    assert [c["accurate"] for c in found] == [True, False, True, True]


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["-r"], ["old", "get", "fresh", "alloc"]),
        (["--top", "1"], ["alloc"]),
        (["-n", "2"], ["alloc", "fresh"]),
        (["--limit", "0"], []),
        (["-s", "calls"], ["alloc", "fresh", "get", "old"]),
        (["-s", "percent"], ["fresh", "alloc", "get", "old"]),
        (["-s", "after"], ["alloc", "get", "fresh", "old"]),
        (["-s", "file"], ["old", "fresh", "get", "alloc"]),
        (["-s", "file", "-r"], ["alloc", "get", "fresh", "old"]),
        (["-s", "function"], ["alloc", "fresh", "get", "old"]),
        (["-s", "module"], ["alloc", "old", "fresh", "get"]),
        (["-s", "none"], ["alloc", "get", "old", "fresh"]),
        (["--min-growth", "70"], ["alloc", "fresh"]),
        (["--min-growth", "1K"], ["alloc"]),
        (["-f", "fs/*"], ["fresh", "get", "old"]),
        (["-x", "slub.c", "-m", "xfs"], ["get"]),
        (["--builtin"], ["alloc", "old"]),
        (["-e", "func:(get|old)"], ["get", "old"]),
        (["--inaccurate"], ["fresh"]),
        (["--min-size", "5K"], ["alloc"]),
        (["--min-size", "950"], ["alloc", "get"]),
        (["--max-size", "950"], ["fresh", "get", "old"]),
        (["--min-calls", "8"], ["alloc", "old"]),
    ],
)
def test_what_is_asked_is_shown(argv: list[str], wanted: list[str]) -> None:
    done = diff(text_of(ONE), text_of(TWO), "-o", "jsonl", *argv)
    assert names([json.loads(line) for line in done.out.splitlines()]) == wanted
    assert done.status == 0 and done.err == ""


def test_a_counter_that_passes_on_one_side_shows_its_true_growth() -> None:
    found = changes(text_of(ONE), text_of(TWO), "--min-size", "5K")
    assert [(c["change"], c["bytes_growth"]) for c in found] == [("grown", 4096)]


def test_all_formats_say_the_same() -> None:
    one, two = text_of(ONE), text_of(TWO)
    lines = changes(one, two)
    document = json.loads(diff(one, two, "-o", "json").out)
    assert document["changes"] == lines
    assert document["total"]["bytes_growth"] == sum(c["bytes_growth"] for c in lines)
    assert document["total"]["changes"] == 4 and document["seconds"] is None
    for format, dialect in (("csv", "excel"), ("tsv", "excel-tab")):
        text = diff(one, two, "-o", format).out.decode()
        rows = list(csv.DictReader(io.StringIO(text), dialect=dialect))
        assert list(rows[0]) == list(lines[0])
        plain = [
            {k: "" if v is None else json.dumps(v).strip('"') for k, v in c.items()} for c in lines
        ]
        assert rows == plain
        bare = diff(one, two, "-o", format, "--no-header").out.decode()
        assert bare == text.partition("\n")[2]
    assert diff(one, two).out == diff(one, two, "-o", "tsv").out


def test_the_table_is_for_people() -> None:
    lines = diff(text_of(ONE), text_of(TWO), "-o", "table").out.decode().splitlines()
    assert lines[0].split() == [
        "GROWTH", "PERCENT", "BEFORE", "AFTER", "CALLS", "CHANGE", "WHERE", "FUNCTION",
    ]  # fmt: skip
    assert lines[1].split() == [
        "+4.0K", "+100.0%", "4.0K", "8.0K", "+4", "grown", "mm/slub.c:10", "alloc",
    ]  # fmt: skip
    assert lines[2].split()[:2] == ["+70~", "70"] and "[tun]" in lines[2]
    assert "total of 4 changed tags" in lines[5]
    short = diff(text_of(ONE), text_of(TWO), "-o", "table", "--top", "1", "--bytes").out.decode()
    assert "1 of 4 changed tags: +4096 of +3554" in short


def test_rates_where_the_times_are_known() -> None:
    one = text_of(ONE, time="2026-01-01T00:00:00.000000Z")
    two = text_of(TWO, time="2026-01-01T00:00:10.000000Z")
    found = changes(one, two)
    assert found[0]["bytes_per_second"] == 409.6 and found[0]["calls_per_second"] == 0.4
    assert "PER_SECOND" in diff(one, two, "-o", "table").out.decode()
    document = json.loads(diff(one, two, "-o", "json").out)
    assert document["seconds"] == 10 and document["total"]["bytes_per_second"] == 355.4
    back = diff(two, one, "-o", "json")
    assert json.loads(back.out)["seconds"] is None and "is newer than" in back.err


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        ({"kernel": "7.3"}, {"kernel": "7.4"}, "different kernels"),
        ({"host": "a"}, {"host": "b"}, "different hosts"),
        ({"boot_id": "a", "host": "h"}, {"boot_id": "b", "host": "h"}, "booted in between"),
        ({"consistent": "no"}, {"host": "b"}, "may be torn"),
    ],
)
def test_what_makes_them_hard_to_compare_is_said(
    one: dict[str, str], two: dict[str, str], words: str
) -> None:
    done = diff(text_of(ONE, **one), text_of(TWO, **two))
    assert done.status == 0 and done.err.count("allocq: warning: ") == 1 and words in done.err


def test_the_same_host_kernel_and_boot_need_no_words() -> None:
    same = {"kernel": "7.3", "host": "h", "boot_id": "b", "consistent": "yes"}
    assert diff(text_of(ONE, **same), text_of(TWO, **same)).err == ""


def test_a_filter_of_one_side_is_applied_to_the_other() -> None:
    part = [row for row in ONE if row.file.startswith("fs/")]
    one = text_of(part, filter='{"file":["fs/*"]}')
    for before, after in ((one, text_of(TWO)), (text_of(TWO), one)):
        found = changes(before, after)
        assert "alloc" not in names(found) and len(found) == 3
        assert "fs/*" in diff(before, after).err
    assert diff(one, text_of(part, filter='{"file":["fs/*"]}')) == (1, diff(one, one).out, "")
    odd = text_of(part, filter='[{"file":["fs/*"]},{"function":["get"]}]')
    assert "saved with a filter" in diff(odd, text_of(TWO)).err


def test_gzip_and_standard_input_are_read(tmp_path: Path) -> None:
    one, two = tmp_path / "one.gz", tmp_path / "two"
    one.write_bytes(gzip.compress(text_of(ONE)))
    two.write_bytes(text_of(TWO))
    plain = here("diff", str(one), str(two))
    assert plain.status == 0
    assert allocq("diff", str(one), "-", input=text_of(TWO)).out == plain.out
    assert allocq("diff", "-", str(two), input=text_of(ONE)).out == plain.out


def test_nothing_is_printed_when_quiet() -> None:
    assert diff(text_of(ONE), text_of(TWO), "-q") == (0, b"", "")
    assert diff(text_of(ONE), text_of(ONE), "-q") == (1, b"", "")


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["-", "-"], "standard input"),
        (["", SAMPLE], "empty"),
        (["/nonexistent", SAMPLE], "no such file: /nonexistent"),
        ([SAMPLE, "/nonexistent"], "no such file: /nonexistent"),
        ([SAMPLE, "/etc/passwd"], "/etc/passwd"),
        ([SAMPLE, "/"], "directory"),
        ([], "BEFORE"),
        (["-", SAMPLE, "-"], "standard input"),
        ([SAMPLE, SAMPLE, ""], "empty"),
        ([SAMPLE, SAMPLE, "/nonexistent"], "no such file: /nonexistent"),
        ([SAMPLE, SAMPLE, "--min-growth", "-1"], "invalid size"),
        ([SAMPLE, SAMPLE, "-s", "average"], "for --sort"),
        ([SAMPLE, SAMPLE, "-o", "procfs"], "for --format"),
        ([SAMPLE, SAMPLE, "-g", "line"], "for --group-by"),
        ([SAMPLE, SAMPLE, "--interface", "ioctl"], "has no ioctl"),
    ],
)
def test_what_cannot_be_meant_is_refused(argv: list[str], word: str) -> None:
    refused(here("diff", *argv), word)


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(text_of([row._replace(bytes=row.bytes + 1) for row in _sample()]))
    argv = shell('"$@" | head -n 1', "diff", SAMPLE, str(path))
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.stdout.startswith(b"change\t") and done.stderr == b""


def _sample() -> list[Row]:
    return [Row(*tag[:7]) for tag in oracle.parse(oracle.SAMPLE.read_bytes())]


@pytest.mark.parametrize("seed", [3, 7])
def test_a_real_listing_with_real_twins(seed: int) -> None:
    rows = _sample()
    later = [
        row._replace(bytes=row.bytes + 64 * (i % 5), calls=row.calls + i % 5)
        if i % seed == 0
        else row
        for i, row in enumerate(rows)
    ]
    moved = later[: len(later) // 2] + later[len(later) // 2 + 9 :] + later[5:9]
    for after in (later, moved):
        gone, new = sides(changes(text_of(rows), text_of(after)))
        assert multiset(rows) - gone + new == multiset(after)
        assert gone == multiset(rows) - multiset(after)
    found = changes(text_of(rows), text_of(later), "-g", "file")
    assert sum(c["bytes_growth"] for c in found) == sum(
        b.bytes - a.bytes for a, b in zip(rows, later, strict=True)
    )
