"""`allocq query -o openmetrics` and `allocq export --textfile`, read back by other readers."""

from __future__ import annotations

import math
import os
import shutil
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import oracle
import pytest
from command import Result, allocq, here, query, refused, saved, unhurried
from hypothesis import given
from hypothesis import strategies as st
from metrics import Values, read_openmetrics, read_text, sums
from oracle import SAMPLE, TEXTS
from test_text import lines

import allocq as allocq_library
from allocq.core.table import printable

PLACE = ("file", "function", "module")


def places(tags: list[oracle.Tag], line: bool = False) -> dict[tuple[str, ...], list[int]]:
    """(bytes, calls) by labels, by name."""
    found: dict[tuple[str, ...], list[int]] = {}
    for tag in tags:
        line_label = (str(tag.line),) if line else ()
        names = (tag.file, tag.function, *line_label, tag.module or "")
        sums = found.setdefault(tuple(map(printable, names)), [0, 0])
        sums[0] += tag.bytes
        sums[1] += tag.calls
    return found


def compare(values: Values, expected: dict[tuple[str, ...], list[int]]) -> None:
    for at, name in enumerate(("allocq_bytes", "allocq_calls")):
        found = values[name]
        assert len(found) == len(expected)
        for labels, value in found.items():
            assert math.isclose(value, expected[tuple(v for _, v in labels)][at], rel_tol=1e-15)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_identical_labels_are_summed_and_the_sum_is_that_of_the_listing(path: Path) -> None:
    tags = oracle.parse(path.read_bytes())
    done = here("query", "--source", str(path), "-o", "openmetrics")
    assert done.status == 0 and done.out.endswith(b"# EOF\n")
    values = read_openmetrics(done.out)
    compare(values, places(tags))
    assert sums(values, "allocq_bytes") == sum(tag.bytes for tag in tags)
    assert sums(values, "allocq_calls") == sum(tag.calls for tag in tags)
    assert values["allocq_tags"] == {(): len(tags)}
    assert values["allocq_inaccurate_tags"] == {(): sum(not tag.accurate for tag in tags)}
    slab = sum(tag.bytes for tag in tags if oracle.is_slab_page(tag))
    assert values["allocq_slab_page_bytes"] == {(): slab}


@unhurried
@given(st.lists(lines(), min_size=1, max_size=12))
def test_no_name_breaks_the_text(texts: list[str]) -> None:
    """Names with quotes, backslashes, control characters and what is no UTF-8."""
    data = oracle.HEADER + "".join(f"{text}\n" for text in texts).encode("utf-8", "surrogateescape")
    done = query(data, "-o", "openmetrics")
    if done.status != 2:
        compare(read_openmetrics(done.out), places(tags_in(data)))
        assert not any(c < " " for c in done.out.decode() if c != "\n")


def tags_in(data: bytes) -> list[oracle.Tag]:
    """The tags as the library gives them, as a listing like these is read leniently."""
    with saved(data) as path, allocq_library.open(path) as source:
        return [oracle.Tag(tag.bytes, tag.calls, *tag.key, tag.accurate) for tag in source.read()]


ODD = (
    b'        4096        1 a"b\\c.c:1 [m"\\] func:f{x="1",} \n'
    b"          64        2 \xff\xfe.c:2 func:\xc3\xa4\r\x07 \n"
    b"          16        1 \xe2\x80\xae#.c:3 func:# \n"
)


def test_odd_names_in_each_format() -> None:
    data = oracle.HEADER + ODD
    tags = tags_in(data)
    assert len(tags) == 3
    expected = places(tags)
    compare(read_openmetrics(query(data, "-o", "openmetrics").out), expected)
    done = from_saved(data)
    compare(read_text(done.out), expected)
    promtool_accepts(done.out)


def from_saved(data: bytes, *argv: str) -> Result:
    with saved(data) as path:
        return here("export", "--textfile", "-", "--source", path, *argv)


def promtool_accepts(data: bytes) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no prometheus (promtool)")
    done = subprocess.run(["promtool", "check", "metrics"], input=data, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_promtool_finds_nothing_to_complain_of() -> None:
    promtool_accepts(here("export", "--sample", "--textfile", "-").out)
    promtool_accepts(here("export", "--sample", "--textfile", "-", "--line-label").out)


def test_counters_below_zero_keep_their_sign() -> None:
    data = oracle.HEADER + (
        b"       -4096 18446744073709551615 mm/a.c:1 func:f \n"
        b"        1000        1 mm/a.c:2 func:f \n"
        b"          -8        2 mm/b.c:1 func:g \n"
    )
    for values in (read_openmetrics(query(data, "-o", "openmetrics").out),
                   read_text(from_saved(data).out)):  # fmt: skip
        compare(values, {("mm/a.c", "f", ""): [-3096, 0], ("mm/b.c", "g", ""): [-8, 2]})
        assert values["allocq_underflowed_tags"] == {(): 2}


@pytest.mark.parametrize("by", ["file", "directory", "function", "module"])
def test_groups_have_metrics_of_their_own(by: str) -> None:
    values = read_openmetrics(here("query", "--sample", "-g", by, "-o", "openmetrics").out)
    expected = oracle.grouped(oracle.parse(SAMPLE.read_bytes()), by)
    assert set(values) == {f"allocq_{by}_bytes", f"allocq_{by}_calls"}
    found = values[f"allocq_{by}_bytes"]
    assert {labels[0][1]: value for labels, value in found.items()} == {
        key or "": sums[0] for key, sums in expected.items()
    }


def test_the_filter_the_limit_and_the_kernel_hold(tmp_path: Path) -> None:
    done = here("query", "--sample", "-m", "zram", "-o", "openmetrics")
    values = read_openmetrics(done.out)
    assert {dict(labels)["module"] for labels in values["allocq_bytes"]} == {"zram"}
    done = here("query", "--sample", "-s", "bytes", "-n", "3", "-o", "openmetrics")
    assert len(read_openmetrics(done.out)["allocq_bytes"]) == 3
    snapshot = str(tmp_path / "one.txt")
    assert here("snapshot", "--sample", snapshot).status == 0
    assert here("query", "--sample", "-f", "nothing.c", "-o", "openmetrics").status == 1
    located = read_openmetrics(here("query", "--sample", "-g", "location", "-o", "openmetrics").out)
    assert {name for labels in located["allocq_bytes"] for name, _ in labels} == {*PLACE, "line"}


def test_query_writes_the_file_and_the_program_gives_the_same(tmp_path: Path) -> None:
    path = tmp_path / "answer.txt"
    assert here("query", "--sample", "-o", "openmetrics", "--output", str(path)).status == 0
    assert path.read_bytes() == allocq("query", "--sample", "-o", "openmetrics").out
    refused(here("query", "--sample", "-o", "openmetrics", "--list-listings"), "no tags")


def without_library(*argv: str) -> Result:
    """allocq in a Python without prometheus-client."""
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from allocq.cli.run import run; sys.exit(run(sys.argv[1:]))"
    )
    return allocq(*argv, program=(sys.executable, "-c", code))


@pytest.mark.parametrize(
    "argv",
    [("query", "--sample", "-o", "openmetrics"), ("export", "--sample"),
     ("export", "--sample", "--textfile", "-")],
    ids=" ".join,
)  # fmt: skip
def test_without_the_library_one_line_says_what_to_install(argv: tuple[str, ...]) -> None:
    done = without_library(*argv)
    refused(done, "prometheus-client")
    assert "pip install 'allocq[metrics]'" in done.err


def test_a_textfile_is_readable_by_all_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "allocq.prom"
    before = os.umask(0o077)
    try:
        for _ in range(2):
            done = here("export", "--sample", "--textfile", str(path))
            assert done == (0, b"", "")
            assert stat.S_IMODE(path.stat().st_mode) == 0o644
            assert os.listdir(tmp_path) == ["allocq.prom"]
    finally:
        os.umask(before)
    values = read_text(path.read_bytes())
    tags = oracle.parse(SAMPLE.read_bytes())
    assert sums(values, "allocq_bytes") == sum(tag.bytes for tag in tags)
    assert b"# EOF" not in path.read_bytes() and b"process_" not in path.read_bytes()
    # A reading that fails leaves the last one, whose age node_exporter reports.
    was = path.read_bytes()
    refused(here("export", "--source", str(tmp_path / "none"), "--textfile", str(path)), "no such")
    assert path.read_bytes() == was


def test_a_textfile_that_node_exporter_would_not_read_is_said(tmp_path: Path) -> None:
    done = here("export", "--sample", "--textfile", str(tmp_path / "a.txt"))
    assert done.status == 0 and ".prom" in done.err and done.err.startswith("allocq: warning: ")


def test_a_textfile_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    refused(here("export", "--sample", "--textfile", str(tmp_path / "no/a.prom")), "cannot write")
    (tmp_path / "d.prom").mkdir()
    refused(here("export", "--sample", "--textfile", str(tmp_path / "d.prom")), "is a directory")
    os.mkfifo(tmp_path / "f.prom")
    refused(here("export", "--sample", "--textfile", str(tmp_path / "f.prom")), "cannot replace")


def exported(*argv: str) -> Values:
    done = here("export", "--sample", "--textfile", "-", *argv)
    assert done.status == 0, done
    return read_text(done.out)


def series(values: Values) -> list[dict[str, str]]:
    return [dict(labels) for labels in values["allocq_bytes"]]


TAGS = oracle.parse(SAMPLE.read_bytes())


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        ([], lambda tag: True),
        (["--top", "0"], lambda tag: True),
        (["--top", "7"], lambda tag: True),
        (["--top", "9999"], lambda tag: True),
        (["--min-size", "1M"], lambda tag: True),
        (["--line-label", "--top", "20"], lambda tag: True),
        (["--file-exclude", "^mm/"], lambda tag: True),
        (["--module-include", "zram|xfs"], lambda tag: True),
        (["--builtin"], lambda tag: tag.module is None),
        (["fs", "--top", "5"], lambda tag: tag.file.startswith("fs/")),
        (["-x", "mm"], lambda tag: not tag.file.startswith("mm/")),
        (["--inaccurate"], lambda tag: not tag.accurate),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_sums_are_whole_by_place_directory_and_module(argv: list[str], kept: object) -> None:
    values = exported(*argv)
    tags = [tag for tag in TAGS if kept(tag)]  # type: ignore[operator]
    for what, at in (("bytes", 0), ("calls", 1)):
        total = sum(tag[at] for tag in tags)
        for name in (f"allocq_{what}", f"allocq_directory_{what}", f"allocq_module_{what}"):
            assert sums(values, name) == total, name
    assert values["allocq_tags"] == {(): len(tags)}


def test_the_largest_have_a_series_and_all_others_are_one() -> None:
    found = exported("--top", "10")
    by_size = Counter({key: size for key, (size, _) in places(TAGS).items()}).most_common(10)
    assert {tuple(v for _, v in labels) for labels in found["allocq_bytes"]} == {
        *(key for key, _ in by_size), ("other", "other", "other")
    }  # fmt: skip
    assert found["allocq_series"] == {(): 10}
    assert len(found["allocq_directory_bytes"]) == 11
    assert series(exported("--top", "0")) == [dict.fromkeys(PLACE, "other")]


def test_the_least_size_is_for_series_not_for_sums() -> None:
    found = exported("--min-size", "1M")
    others = [each for each in series(found) if each["file"] != "other"]
    assert len(others) == len([1 for size, _ in places(TAGS).values() if size >= 1 << 20])


def test_include_and_exclude_choose_what_has_a_series() -> None:
    files = {each["file"] for each in series(exported("--file-include", "^fs/"))}
    assert len(files) > 2 and all(file.startswith("fs/") or file == "other" for file in files)
    files = {each["file"] for each in series(exported("--file-exclude", "^(fs|mm)/"))}
    assert len(files) > 2 and not any(file.startswith(("fs/", "mm/")) for file in files)
    found = series(exported("--module-include", "^zram$", "--function-exclude", "create"))
    assert {each["module"] for each in found} == {"zram", "other"}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--top", "-1"], "--top"),
        (["--top", "x"], "--top"),
        (["--top", "1000000"], "too large"),
        (["--min-size", "big"], "big"),
        (["--file-include", "("], "invalid regexp '('"),
        (["--hold", "soon"], "invalid duration 'soon'"),
        (["--listen", ":1"], "cannot be used together"),
        (["--user", "nobody"], "cannot be used together"),
        (["--max-age", "1s"], "cannot be used together"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_bad_values_are_refused(argv: list[str], words: str) -> None:
    refused(here("export", "--sample", "--textfile", "-", *argv), words)
