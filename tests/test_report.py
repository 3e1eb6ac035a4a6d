"""`allocq report`: what the page says, against an independent reading of the same listings."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import resource
import signal
import sqlite3
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import oracle
import pytest
from command import Result, allocq, refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reports import (
    BEGUN,
    LEAK,
    Line,
    Page,
    exact,
    listing,
    many_lines,
    page,
    recording,
    report,
    sample_lines,
)
from terminal import on_terminal

from allocq import __version__
from allocq.output.report.page import LARGEST_PAGE
from allocq.units import format_size

SAMPLE = str(oracle.SAMPLE)
FIELD = sorted((Path(__file__).parent / "field").glob("*.txt"))
GROWN = "mm/slub.c:5000 func:kmalloc_new"


pytestmark = pytest.mark.usefixtures("place")


def grown() -> list[Line]:
    """The sample with a tag that grew, one that shrank, one that is new and one that is gone."""
    lines = []
    for size, calls, rest in sample_lines():
        if rest.startswith("mm/readahead.c:200 "):
            size, calls = size + (1 << 20), calls + 256
        if rest.startswith("mm/shmem.c:1938 "):
            size, calls = size - 8192, calls - 2
        if not rest.startswith("fs/kernfs/dir.c:665 "):
            lines.append((size, calls, rest))
    return [*lines, (5000, 5, GROWN)]


def pair(place: Path) -> tuple[str, str]:
    """Two snapshots, an hour apart."""
    (place / "before.txt").write_bytes(listing(sample_lines(), BEGUN))
    (place / "after.txt").write_bytes(listing(grown(), BEGUN + 3600))
    return "before.txt", "after.txt"


def test_the_table_has_every_tag_with_its_numbers() -> None:
    tags = oracle.parse(oracle.SAMPLE.read_bytes())
    found = page(SAMPLE)
    rows, titles = found.all_tags(), list(found.titles.values())[-1][1:]
    here = [
        (exact(row[0], title[0]), int(row[1].replace(",", "")), row[2], row[3])
        for row, title in zip(rows, titles, strict=True)
    ]
    there = [
        (
            tag.bytes,
            tag.calls,
            f"{tag.file}:{tag.line}" + (f" [{tag.module}]" if tag.module else ""),
            tag.function,
        )
        for tag in tags
    ]
    assert sorted(here) == sorted(there)
    assert [row[0] for row in here] == sorted((tag.bytes for tag in tags), reverse=True)


def test_the_head() -> None:
    tags = oracle.parse(oracle.SAMPLE.read_bytes())
    size, calls = oracle.once(tags)
    found = page(SAMPLE)
    text = " ".join(found.texts["section"][0].split())
    assert f"Allocated{format_size(size)}" in text
    assert f"Live allocations{calls:,}" in text and f"Tags{len(tags):,}" in text
    bad = [tag for tag in tags if not tag.accurate]
    held = format_size(sum(tag.bytes for tag in bad))
    assert found.facts["Inaccurate"] == f"{len(bad)} of {len(tags):,} tags, holding {held}"
    assert found.facts["Command"] == f"allocq report {SAMPLE}"
    assert found.facts["Profiling"] == "not known"


def test_a_snapshot_says_where_it_is_from(place: Path) -> None:
    (place / "s").write_bytes(listing(sample_lines(), BEGUN, profiling="off"))
    found = page("s")
    assert found.texts["h1"] == ["Kernel memory of web-7.example"]
    assert found.facts["Host"] == "web-7.example" and found.facts["Kernel"] == "7.3.4"
    assert found.facts["Time"] == "2026-11-25 09:46:40 +0000"
    assert found.facts["Profiling"] == "off: the counters are frozen"
    assert "The tags beside /proc/meminfo" in found.tables and "/proc/meminfo" in found.tables
    assert ["MemTotal", "2.0G"] in found.tables["/proc/meminfo"]
    assert found.texts["footer"] == [f"Made by allocq {__version__} at 2026-11-25 09:46:40 +0000."]


def test_two_listings_are_compared(place: Path) -> None:
    before, after = (oracle.parse(listing(each)) for each in (sample_lines(), grown()))
    found = page(*pair(place))
    rows = {(row[3], row[4]): row for row in found.all_tags()}
    assert rows["mm/readahead.c:200", "ractl_alloc_folio"][1] == "+1.0M"
    assert rows["mm/shmem.c:1938", "shmem_alloc_folio"][1] == "-8.0K"
    assert rows["mm/slub.c:5000", "kmalloc_new"][1] == "+4.9K"
    assert rows["fs/kernfs/dir.c:665", "__kernfs_new_node"][0] == "0"
    most = found.tables["The most grown"]
    assert [row[0] for row in most[1:]] == ["+1.0M", "+4.9K"] and most[2][1] == "new"
    assert [row[0] for row in found.tables["The most shrunk"][1:]] == ["-1.6M", "-8.0K"]
    assert found.tables["The most shrunk"][1][1] == "gone"
    said = [text for text in found.texts["p"] if "the kernel itself" in text]
    assert said == ["Most of the kernel itself (+4.9K): mm/slub.c:5000 kmalloc_new"]
    growth = oracle.once(after)[0] - oracle.once(before)[0]
    text = " ".join(found.texts["section"][0].split())
    assert f"Growth in 1h 0m{format_size(growth)}" in text
    assert found.facts["Since"] == "2026-11-25 09:46:40 +0000"


def test_a_listing_compared_with_itself_did_not_grow(place: Path) -> None:
    before, _ = pair(place)
    found = page(before, before)
    assert "The most grown" not in found.tables and "Nothing grew." in found.texts["p"]
    assert "Growth0" in "".join(found.texts["section"][0].split())


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("r") / "recorded"
    recording(folder, 60, sample_lines(), ("boot-1", "boot-2"))
    return folder


def test_each_boot_of_a_recording_is_on_its_own(recorded: Path) -> None:
    found = page(str(recorded))
    tables = [caption for caption in found.tables if caption.startswith("Suspected leaks")]
    assert len(tables) == 2
    heads = found.texts["h3"]
    assert [head.partition(",")[0] for head in heads] == ["Boot boot-2", "Boot boot-1"]
    for caption in tables:
        first = found.tables[caption][1]
        assert first[1] == "+29.0K" and first[0].startswith("fs/pipe.c:902 alloc_pipe_info")
        assert "grew in 6 of 6 spans" in first[0]
    # The last boot only: in the first the leak grew by as much, and was smaller.
    row = next(row for row in found.all_tags() if row[3] == "fs/pipe.c:902")
    assert row[:2] == [format_size(4096 + 1024 * 59), "+29.0K"]
    plots = [each for tag, each in found.attributes if each.get("class") == "plot"]
    assert [each["id"] for each in plots] == ["places0", "meminfo0", "places1", "meminfo1"]


def test_a_part_of_a_recording(recorded: Path) -> None:
    during = ("--since", f"@{BEGUN + 400}", "--until", f"@{BEGUN + 500}")
    whole, part = page(str(recorded)), page(str(recorded), *during)
    assert len([head for head in part.texts["h3"] if head.startswith("Boot")]) == 0
    assert "11 samples, 2026-11-25 09:53:20 +0000 to 2026-11-25 09:55:00 +0000" in part.texts["h3"]
    assert whole.facts["Time"] != part.facts["Time"] == "2026-11-25 09:55:00 +0000"


def test_one_moment_of_a_recording(recorded: Path) -> None:
    found = page("--source", str(recorded), "--at", f"@{BEGUN + 55}")
    assert found.facts["Time"] == "2026-11-25 09:47:30 +0000"
    assert not [caption for caption in found.tables if "grown" in caption or "leak" in caption]
    one = page(str(recorded), "--since", f"@{BEGUN + 50}", "--until", f"@{BEGUN + 50}")
    assert one.all_tags() == found.all_tags()


def test_the_clock_was_set_back(place: Path) -> None:
    recording(place / "r", 30, sample_lines())
    (file,) = (place / "r").glob("*.db")
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE samples SET time = time - 7200000000000 WHERE id > 15")
    found = page(str(place / "r"))
    row = next(row for row in found.all_tags() if row[3] == "fs/pipe.c:902")
    assert row[1] == "+29.0K"
    assert "Growth in 5m" in " ".join(found.texts["section"][0].split())


def test_a_folder_and_its_files_are_a_series_too(place: Path) -> None:
    names = []
    for number in range(10):
        leak = (1024 * (5 + number), 5 + number, LEAK)
        lines = [leak if line[2] == LEAK else line for line in sample_lines()]
        names.append(f"folder/{number}.txt.gz")
        (place / "folder").mkdir(exist_ok=True)
        (place / names[-1]).write_bytes(gzip.compress(listing(lines, BEGUN + 60 * number)))
    folder, files = page("folder"), page(*names)
    assert folder.tables == files.tables
    assert folder.tables["Suspected leaks"][1][1] == "+9.0K"


def test_the_same_input_gives_the_same_bytes(place: Path, recorded: Path) -> None:
    for argv in ([SAMPLE], pair(place), [str(recorded)]):
        for format in ("html", "markdown"):
            first, second = (report(*argv, "-o", format) for _ in range(2))
            assert first == second and first.status == 0


@pytest.mark.parametrize("path", FIELD, ids=lambda path: path.name)
@pytest.mark.parametrize("format", ["html", "markdown"])
def test_whatever_query_reads(path: Path, format: str) -> None:
    done = report(str(path), "-o", format)
    assert done.status == 0 and "Traceback" not in done.err
    asked = allocq("query", str(path), "-o", "json")
    total = json.loads(asked.out)["total"]
    if format == "html":
        found = Page(done.out)
        assert len(found.all_tags()) == total["tags"]
        assert len(found.texts["h1"]) == 1


def test_standard_input_and_archives(place: Path) -> None:
    data = oracle.SAMPLE.read_bytes()
    expected = page(SAMPLE).all_tags()
    (place / "x.gz").write_bytes(gzip.compress(data))
    assert page("x.gz").all_tags() == expected
    done = allocq("report", "-", input=data)
    assert Page(done.out).all_tags() == expected
    assert Page(allocq("report", input=data).out).all_tags() == expected
    assert page("--sample").all_tags() == expected


@pytest.mark.parametrize(
    ("argv", "asked"),
    [
        (["-f", "mm/*"], ["-f", "mm/*"]),
        (["--min-size", "1M"], ["--min-size", "1M"]),
        (["-m", "xfs", "--max-calls", "3"], ["-m", "xfs", "--max-calls", "3"]),
        (["--inaccurate"], ["--inaccurate"]),
        (["-e", "alloc_p", "-v"], ["-e", "alloc_p", "-v"]),
    ],
)
def test_filters_are_those_of_query(argv: list[str], asked: list[str]) -> None:
    there = allocq("query", SAMPLE, *asked, "-o", "json")
    found = page(SAMPLE, *argv)
    assert len(found.all_tags()) == json.loads(there.out)["total"]["tags"] > 0
    assert "The tags beside /proc/meminfo" not in found.tables


def test_nothing_matches(place: Path) -> None:
    for argv in ([SAMPLE], pair(place)):
        found = page(*argv, "-f", "nothing.c", status=1)
        assert found.all_tags() == [] and "Nothing is held." in found.texts["p"]
    done = report(SAMPLE, "-f", "nothing.c", "--output", "x.md")
    assert done.status == 1 and b"0 tags" in (place / "x.md").read_bytes()


def test_an_excerpt_says_that_it_is_one(place: Path) -> None:
    lines = sorted((line for line in sample_lines() if line[0] > 4096), reverse=True)[:40]
    (place / "top").write_bytes(listing(lines))
    done = report("top")
    assert "it lacks other tags" in done.err and b"it lacks other tags" in done.out
    assert "The tags beside /proc/meminfo" not in Page(done.out).tables
    (place / "all").write_bytes(listing(sample_lines()))
    assert b"unlisted" in report("top", "all").out


def test_counters_below_zero_are_left_out_and_said(place: Path) -> None:
    lines = [(-4096, -1, "mm/a.c:1 func:a"), (8192, 2, "mm/b.c:2 func:b")]
    (place / "below").write_bytes(listing(lines))
    found = page("below")
    assert found.facts["Underflowed"] == "1 tag, left out of sums"
    assert [row[0] for row in found.all_tags()] == ["8.0K", "-4.0K!"]
    assert "Allocated8.0K" in " ".join(found.texts["section"][0].split())


def test_all_of_it_needs_nothing_from_elsewhere(place: Path, recorded: Path) -> None:
    for argv in ([SAMPLE], pair(place), [str(recorded)]):
        found = page(*argv)
        for _tag, attributes in found.attributes:
            for key, value in attributes.items():
                assert not key.startswith("on") and key not in ("src", "style", "action", "data")
                if key == "href":
                    assert value and value.startswith("#") and value[1:] in found.ids
        assert len(set(found.ids)) == len(found.ids)
        assert {tag for tag, _ in found.attributes} <= ALLOWED
        assert [tag for tag, _ in found.attributes].count("script") == 1
        style, script = found.texts["style"][0], found.texts["script"][0]
        assert "url(" not in style and "@import" not in style
        for word in ("eval", "innerHTML", "outerHTML", "insertAdjacent", "write(", "fetch"):
            assert word not in script


def test_the_policy_fits_the_script_and_the_style() -> None:
    import base64
    import hashlib

    found = page(SAMPLE)
    policy = next(
        str(each["content"]) for _, each in found.attributes
        if each.get("http-equiv") == "Content-Security-Policy"
    )  # fmt: skip
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(found.texts[tag][0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


# A name ends at a blank; everything else can be in one.
HOSTILE = st.text(
    st.one_of(
        st.sampled_from("<>&\"'`|\\/[]()@#!-=;{}$\u202e\u2028\u200b\ufeff\x1b\x07\x7f\udc80\udcff"),
        st.characters(exclude_characters=" \n\t\r\x0b\x0c\x00", exclude_categories=["Cs", "Z"]),
    ),
    min_size=1,
    max_size=30,
)


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE), min_size=1, max_size=6))
def test_hostile_names_stay_text(names: list[tuple[str, str, str, str]]) -> None:
    lines = [
        (4096 * at, at, f"fs/{file}.c:{at} [{module.replace(']', '')}x] func:{function}")
        for at, (file, module, function, _) in enumerate(names, 1)
    ]
    host = names[0][3]
    data = listing(lines, BEGUN, host=host).replace(b"\0", b"")
    path = Path("hostile")
    path.write_bytes(data)
    asked = allocq("query", "hostile", "-c")
    done = report("hostile")
    if asked.status == 2:
        assert done.status == 2
        return
    found = Page(done.out)
    assert len(found.all_tags()) == int(asked.out)
    tags = {tag for tag, _ in found.attributes}
    assert tags <= ALLOWED, tags - ALLOWED
    assert not [key for _, each in found.attributes for key in each if key.startswith("on")]
    text = done.out.decode()
    odd = "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]"
    assert not re.search(odd, text)


ALLOWED = {
    *("html", "head", "meta", "title", "style", "script", "body", "header", "main", "footer"),
    *("section", "nav", "div", "p", "a", "b", "i", "span", "small", "h1", "h2", "h3", "h4", "code"),
    *("ul", "ol", "li", "dl", "dt", "dd", "details", "summary", "figure"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("label", "input", "output", "button", "svg", "g", "rect", "text", "polyline", "circle"),
    "path",
}


def size_of(argv: Sequence[str]) -> tuple[int, Page]:
    done = report(*argv)
    assert done.status == 0
    return len(done.out), Page(done.out)


@pytest.mark.parametrize(("count", "longest"), [(3_746, 40), (10_000, 200), (50_000, 400)])
def test_a_page_has_at_most_two_megabytes(place: Path, count: int, longest: int) -> None:
    lines = many_lines(count, longest)
    (place / "many").write_bytes(listing(lines, BEGUN))
    (place / "more").write_bytes(listing([(s * 2, c * 2, rest) for s, c, rest in lines], BEGUN + 9))
    for argv in (["many"], ["many", "more"], ["many", "-n", "200"]):
        size, found = size_of(argv)
        assert size <= LARGEST_PAGE == 2_000_000
        shown = len(found.all_tags())
        text = next(text for text in found.texts["p"] if "the largest first" in text)
        if shown < count:
            rest = sorted((size for size, _, _ in lines), reverse=True)[shown:]
            factor = 2 if "more" in argv else 1
            held = format_size(factor * sum(rest))
            assert f"{count - shown:,} smaller tags are left out; they hold {held} in all" in text
        assert shown > 0
        assert len(report(*argv, "-o", "markdown").out) <= 65_536


def test_a_page_of_hostile_length_is_small_too(place: Path) -> None:
    lines = [
        (1 << 20, 9, f"{'&' * 3000}{at}/{'<' * 3000}.c:1 [{'&' * 900}] func:{'&' * 3000}")
        for at in range(3000)
    ]
    (place / "long").write_bytes(listing(lines, BEGUN, host="&" * 2000))
    size, found = size_of(["long"])
    assert size <= LARGEST_PAGE and found.all_tags()
    assert len(report("long", "-o", "markdown").out) <= 65_536


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["missing"], "missing"),
        (["/etc/passwd"], "/etc/passwd"),
        (["", ""], "empty file name"),
        ([SAMPLE, "--sample"], "second source"),
        ([SAMPLE, "--since", "1h ago"], "--since needs a recording"),
        ([SAMPLE, SAMPLE, "--until", "now"], "--until needs a recording"),
        ([SAMPLE, SAMPLE, "--at", "now"], "--at takes one source"),
        ([SAMPLE, SAMPLE, "--listing", "1"], "--listing takes one source"),
        ([".", "--since", "now", "--until", "-1h"], "--since now is later than --until -1h"),
        (["-", "-"], "standard input can be read only once"),
        ([SAMPLE, "-o", "pdf"], "invalid value 'pdf'"),
        ([SAMPLE, "--output", "x.pdf"], "html or markdown, not pdf"),
        ([SAMPLE, "-o", "html", "--output", "x.md"], "x.md"),
        ([SAMPLE, "-o", "markdown", "--output", "x.html"], "x.html"),
        ([SAMPLE, "--output", "x.json"], "x.json"),
        ([SAMPLE, "--output", "x.html.xz"], "x.html.xz"),
        ([SAMPLE, "--force"], "--force needs a file"),
        ([SAMPLE, "--output", "none/x.html"], "none/x.html"),
        ([SAMPLE, "--output", "."], "is a directory"),
        (["."], "holds no recording and no saved listing"),
        ([SAMPLE, "."], "."),
        ([SAMPLE, "-n", "x"], "--limit"),
        ([SAMPLE, "-n", "201"], "--limit is at most 200"),
        ([SAMPLE, "--meminfo", "missing"], "missing"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_and_writes_nothing(place: Path, argv: list[str], words: str) -> None:
    refused(report(*argv), words)
    assert os.listdir(place) == []


def test_the_files_are_written_whole_or_not_at_all(place: Path) -> None:
    names: dict[str, Callable[[bytes], bytes]] = {
        "r.html": bytes, "r.htm": bytes, "r.html.gz": gzip.decompress, "report": bytes,
    }  # fmt: skip
    for name, read in names.items():
        assert report(SAMPLE, "--output", name) == Result(0, b"", "")
        assert Page(read((place / name).read_bytes())).all_tags()
        assert stat.S_IMODE((place / name).stat().st_mode) == 0o600
        refused(report(SAMPLE, "--output", name), f"{name} exists")
    assert report(SAMPLE, "--output", "r.html", "--force").status == 0
    for name in ("r.md", "r.markdown"):
        assert report(SAMPLE, "--output", name).status == 0
        assert (place / name).read_bytes().startswith(b"# Kernel memory")
    assert report(SAMPLE, "-o", "markdown", "--output", "-").out.startswith(b"# Kernel memory")


def test_a_full_disk_leaves_nothing(place: Path) -> None:
    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    # Python keeps what it could write of a module that it compiles under such a limit.
    assert allocq("report", SAMPLE).status == 0
    done = allocq("report", SAMPLE, "--output", "x.html", preexec_fn=small)
    refused(done, "cannot write x.html: File too large")
    assert os.listdir(place) == []
    with open("/dev/full", "wb") as full:
        done = allocq("report", SAMPLE, stdout=full)
    assert done.status == 2 and "No space left" in done.err


def test_a_page_is_not_for_a_terminal() -> None:
    status, shown = on_terminal("report", SAMPLE)
    assert status == 2 and "HTML is not written to a terminal" in shown
    assert "--output report.html" in shown
    status, shown = on_terminal("report", SAMPLE, "-o", "markdown")
    assert status == 0 and "# Kernel memory" in shown


def test_a_recording_of_a_thousand_samples(place: Path) -> None:
    recording(place / "r", 1000, [*sample_lines()[:1200], (4096, 4, LEAK)])
    size, found = size_of([str(place / "r")])
    assert size <= LARGEST_PAGE
    lines = [str(each["points"]) for tag, each in found.attributes if tag == "polyline"]
    points = [len(line.split()) for line in lines]
    assert points and max(points) <= 120
    assert found.tables["Suspected leaks"][1][0].startswith("fs/pipe.c:902")
