"""`import allocq`: the same answers as objects, without printing or exiting."""

from __future__ import annotations

import ast
import doctest
import gc
import hashlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import oracle
import pytest
from command import ALLOCQ, saved
from command import allocq as allocq_command
from oracle import HEADER, SAMPLE, TEXTS

import allocq
from allocq import Filter, Tag

TAGS = oracle.parse(SAMPLE.read_bytes())


def plain(tag: oracle.Tag) -> tuple[object, ...]:
    return tag[:-1]


def values(tag: Tag) -> tuple[object, ...]:
    return (tag.bytes, tag.calls, tag.file, tag.line, tag.module, tag.function, tag.accurate)


def test_every_public_name_is_there_and_documented() -> None:
    for name in allocq.__all__:
        assert getattr(allocq, name).__doc__, name
    assert dir(allocq) == allocq.__all__
    with pytest.raises(AttributeError, match="nothing"):
        _ = allocq.nothing
    package = Path(allocq.__file__).parent
    assert (package / "py.typed").exists()
    typed = {
        alias.asname or alias.name
        for node in ast.parse((package / "__init__.pyi").read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == set(allocq.__all__)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_a_file_gives_typed_tags_in_the_kernels_order(path: Path) -> None:
    with allocq.open(str(path)) as source:
        snapshot = source.read()
    expected = [plain(tag) for tag in oracle.parse(path.read_bytes())]
    assert [values(tag) for tag in snapshot] == expected
    assert [values(tag) for tag in snapshot.tags] == expected
    assert len(snapshot) == len(expected)
    total = oracle.total(oracle.parse(path.read_bytes()))
    assert snapshot.total == (total["bytes"], total["calls"])
    types = {tuple(type(value) for value in values(tag)) for tag in snapshot}
    assert types <= {(int, int, str, int, kind, str, bool) for kind in (str, type(None))}
    assert snapshot.info.path == str(path)
    assert snapshot.info.interface == "text"


def test_a_filter_narrows_and_widens() -> None:
    asked = {"files": ["mm/*", "slub.c"], "min_size": allocq.parse_size("64K"), "accurate": True}
    with allocq.open(allocq.sample_path()) as source:
        found = [values(tag) for tag in source.read(Filter(**asked))]  # type: ignore[arg-type]
        again = [values(tag) for tag in source.read(Filter(**asked))]  # type: ignore[arg-type]
    expected = oracle.select(TAGS, oracle.Asked(**asked))  # type: ignore[arg-type]
    assert found == [plain(tag) for tag in expected] != []
    assert again == found


def test_a_file_can_be_asked_again_and_again() -> None:
    with allocq.open(allocq.sample_path()) as source:
        assert len(source.read()) == len(TAGS)
        assert len(source.read(Filter(files=["rapl.c"]))) == 2
        assert len(source.read()) == len(TAGS)


def test_a_pipe_can_be_asked_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    feed = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(SAMPLE.read_bytes()))
    feed.start()
    with allocq.open(str(tmp_path / "pipe")) as source:
        assert len(source.read()) == len(TAGS)
        with pytest.raises(allocq.SourceError, match="only once"):
            source.read()
    feed.join()


def test_a_snapshot_outlives_its_source() -> None:
    with allocq.open(allocq.sample_path()) as source:
        snapshot = source.read(Filter(files=["rapl.c"]))
    del source
    assert [tag.function for tag in snapshot] == ["init_rapl_pmus", "init_rapl_pmu"]
    assert [tag.function for tag in snapshot] == ["init_rapl_pmus", "init_rapl_pmu"]


def test_closing_twice_is_harmless_and_gives_the_descriptor_back() -> None:
    gc.collect()  # so that nothing of other tests is closed meanwhile
    before = os.listdir("/proc/self/fd")
    source = allocq.open(allocq.sample_path())
    source.close()
    source.close()
    with allocq.open(allocq.sample_path()) as source:
        source.close()
    assert os.listdir("/proc/self/fd") == before


def test_a_closed_source_is_an_error_of_ours() -> None:
    source = allocq.open(allocq.sample_path())
    source.close()
    batches = source.batches(Filter())
    for use in (
        source.read,
        lambda: source.fd,
        lambda: next(batches),
        source.listings,
        source.__enter__,
    ):
        with pytest.raises(allocq.SourceError, match=r"sample\.txt is closed") as raised:
            use()
        assert raised.value.hint == "open it again"


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": 5},
        {"path": b"saved.txt"},
        {"path": ["saved.txt"]},
        {"interface": "netlink"},
        {"interface": None},
        {"listing": 0},
        {"listing": "first"},
        {"listing": 1.5},
        {"listing": True},
    ],
    ids=str,
)
def test_a_wrong_argument_of_open_is_refused_by_name(arguments: dict[str, object]) -> None:
    (name,) = arguments
    with pytest.raises(allocq.UsageError, match=f"{name} must be "):
        allocq.open(**arguments)  # type: ignore[arg-type]


def test_paths_and_numbers_are_accepted() -> None:
    with allocq.open(Path(allocq.sample_path()), listing=1) as source:
        assert len(source.read()) == len(TAGS)
    with allocq.open(SAMPLE, listing=2) as source, pytest.raises(allocq.SourceError):
        source.read()


def test_what_is_no_filter_is_refused() -> None:
    with allocq.open(SAMPLE) as source:
        for wrong in ("slub.c", ["slub.c"], {"files": ["slub.c"]}, 5):
            with pytest.raises(allocq.UsageError, match="filter must be a Filter"):
                source.read(wrong)  # type: ignore[arg-type]
            with pytest.raises(allocq.UsageError, match="filter must be a Filter"):
                next(source.batches(wrong))  # type: ignore[arg-type]


def test_a_snapshot_is_a_sequence() -> None:
    with allocq.open(SAMPLE) as source:
        snapshot = source.read()
    assert values(snapshot[0]) == plain(TAGS[0]) and values(snapshot[-1]) == plain(TAGS[-1])
    assert [values(tag) for tag in snapshot[10:20:3]] == [plain(tag) for tag in TAGS[10:20:3]]
    assert snapshot[5] in snapshot and snapshot.index(snapshot[5]) == 5
    assert [values(tag) for tag in reversed(snapshot)] == [plain(tag) for tag in TAGS[::-1]]
    with pytest.raises(IndexError):
        snapshot[len(TAGS)]
    assert bool(snapshot) and repr(snapshot) == f"<Snapshot of {SAMPLE}: {len(TAGS)} tags>"
    copy = snapshot.tags
    copy.clear()
    assert len(snapshot.tags) == len(TAGS)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_the_data_frame_is_the_csv(path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    with allocq.open(path) as source:
        frame = pandas.DataFrame(source.read().to_dicts())
    csv = allocq_command("query", "--source", str(path), "-o", "csv").out
    read = pandas.read_csv(io.BytesIO(csv), keep_default_na=False, dtype={"calls": "uint64"})
    frame = frame.fillna({"module": ""}).astype({"calls": "uint64"})
    assert list(frame.columns) == list(read.columns)
    pandas.testing.assert_frame_equal(frame, read, check_dtype=False)
    assert len(frame) == len(oracle.parse(path.read_bytes()))


def test_a_diff_is_that_of_the_command(tmp_path: Path) -> None:
    lines = SAMPLE.read_bytes().splitlines(keepends=True)
    del lines[-1]
    for at, size in ((50, b"%12d %8d" % (9 << 20, 3)), (900, b"%12d %8d" % (0, 0))):
        lines[at] = size + lines[at][21:]
    lines.append(b"        4096        1 new/file.c:7 [new] func:made \n")
    after = tmp_path / "after"
    after.write_bytes(b"".join(lines))
    with allocq.open(SAMPLE) as one, allocq.open(after) as two:
        before, later = one.read(), two.read()
    changes = before.diff(later)
    shown = allocq_command("diff", str(SAMPLE), str(after), "-o", "jsonl").out.splitlines()
    told = [json.loads(line) for line in shown]
    assert [
        (c.kind, c.bytes, c.calls, c.file, c.line, c.module, c.function) for c in changes
    ] == [
        tuple(row[k] for k in (
            "change", "bytes_growth", "calls_growth", "file", "line", "module", "function"
        )) for row in told
    ]  # fmt: skip
    assert len(changes) >= 3
    assert [-c.bytes for c in later.diff(before)] == [c.bytes for c in changes[::-1]]
    assert before.diff(before) == []
    with pytest.raises(allocq.UsageError, match="another Snapshot"):
        before.diff(str(after))  # type: ignore[arg-type]


def test_an_excerpt_is_no_whole_in_a_diff(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.write_bytes(allocq_command("query", "--sample", "-s", "bytes", "-n", "20").out)
    with allocq.open(SAMPLE) as one, allocq.open(top) as two:
        changes = one.read().diff(two.read())
    assert {change.kind for change in changes} == {"unlisted"}
    assert all(change.bound is not None for change in changes)


def test_what_fails_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("bad\n")
    gc.collect()  # so that nothing of other tests is closed meanwhile
    before = os.listdir("/proc/self/fd")
    for path in (str(tmp_path), "/no/such", str(tmp_path / "bad")):
        with pytest.raises(allocq.SourceError), allocq.open(path) as source:
            source.read()
    with pytest.raises(allocq.InterfaceError):
        allocq.open(allocq.sample_path(), interface="ioctl")
    assert os.listdir("/proc/self/fd") == before


def test_nothing_is_printed_and_nothing_exits(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cut, bad = tmp_path / "cut", tmp_path / "bad"
    cut.write_bytes(SAMPLE.read_bytes()[:-5])
    bad.write_bytes(HEADER + b"bad\n")
    with allocq.open(str(cut)) as source:
        info = source.read(Filter(regexps=["[[a]"])).info
    assert info.consistent is False and len(info.warnings) == 1
    with (
        pytest.raises(allocq.FormatError, match="line 3") as raised,
        allocq.open(str(bad)) as source,
    ):
        source.read()
    assert isinstance(raised.value, allocq.SourceError) and isinstance(
        raised.value, allocq.AllocqError
    )
    with pytest.raises(allocq.UsageError):
        Filter(min_size=2, max_size=1)
    assert capfd.readouterr() == ("", "")


def test_errors_are_one_line_with_a_hint_apart() -> None:
    with pytest.raises(allocq.AllocqError) as raised:
        allocq.parse_size("lots")
    assert "\n" not in str(raised.value)
    assert raised.value.hint
    kinds = [getattr(allocq, name) for name in allocq.__all__ if name.endswith("Error")]
    assert all(issubclass(kind, allocq.AllocqError) for kind in kinds)


def test_filters_compare_and_hash_by_what_they_ask() -> None:
    one = Filter(files=["a", "b"], lines=[(1, 2)], min_size=5)
    assert one == Filter(files=("a", "b"), lines=((1, 2),), min_size=5)
    assert hash(one) == hash(Filter(files=("a", "b"), lines=((1, 2),), min_size=5))
    assert hash(Filter(lines=[[1, 2]])) == hash(Filter(lines=[(1, 2)]))  # type: ignore[list-item]
    assert one != Filter(files=["a"]) != Filter(excludes=["a"]) != Filter()
    assert Filter(accurate=False) != Filter() != Filter(accurate=True)
    assert Filter(min_size=0) != Filter()
    assert one != "Filter"
    assert eval(repr(one)) == one
    assert repr(Filter()) == "Filter()"


@pytest.mark.parametrize(
    "asked",
    [
        {"files": "rapl.c"},
        {"functions": "main"},
        {"modules": "xfs"},
        {"excludes": "x"},
        {"regexps": "x"},
        {"files": [""]},
        {"files": ["\ud800"]},
        {"modules": ["a\0b"]},
        {"files": ["["]},
        {"lines": [(2, 1)]},
        {"lines": [(-1, 1)]},
        {"lines": [(1, 2**64)]},
        {"min_size": 2**63},
        {"max_size": 10**30},
        {"min_size": -(10**30)},
        {"min_calls": -(2**64)},
        {"max_calls": 2**63},
        {"underflowed": 1},
        {"min_size": 2, "max_size": 1},
        {"min_calls": 2, "max_calls": 1},
        {"regexps": ["("]},
        {"invert": True},
        {"builtin": True, "modules": ["xfs"]},
    ],
    ids=str,
)
def test_a_filter_that_cannot_be_meant_is_refused_when_it_is_made(asked: dict[str, object]) -> None:
    with pytest.raises(allocq.UsageError):
        Filter(**asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "asked",
    [
        {"files": 5},
        {"files": None},
        {"regexps": [b"a"]},
        {"modules": [None]},
        {"lines": 5},
        {"lines": "100-200"},
        {"lines": [5.0]},
        {"lines": [True]},
        {"lines": [None]},
        {"lines": [b"12"]},
        {"lines": [("1", "2")]},
        {"lines": [(1, 2, 3)]},
        {"lines": [{1, 2}]},
        {"min_size": 1.5},
        {"min_size": "lots"},
        {"min_size": [1]},
        {"max_size": b"1M"},
        {"min_calls": "1M"},
        {"excludes": b"a"},
        {"functions": 7},
        {"words": "slub"},
        {"words": [1]},
        {"ignore_case": "yes"},
        {"min_calls": 1.0},
        {"max_calls": b"1"},
        {"max_calls": True},
        {"builtin": 1},
        {"invert": None},
        {"accurate": "no"},
    ],
    ids=str,
)
def test_what_is_of_the_wrong_type_is_refused_by_name(asked: dict[str, object]) -> None:
    (name,) = asked
    with pytest.raises(allocq.UsageError, match=name):
        Filter(**asked)  # type: ignore[arg-type]


class Number:
    """As numpy has them: a whole number that is no int."""

    def __index__(self) -> int:
        return 5


def test_sizes_and_lines_are_read_as_on_the_command_line() -> None:
    assert Filter(min_size="1M", max_size="1.5G") == Filter(min_size=1 << 20, max_size=3 << 29)
    assert Filter(min_calls="3", max_calls=Number()) == Filter(min_calls=3, max_calls=5)  # type: ignore[arg-type]
    assert Filter(lines=[1938]).lines == ((1938, 1938),)
    assert Filter(lines=[1, (2, 3), "4-5", "6"]).lines == ((1, 1), (2, 3), (4, 5), (6, 6))
    assert Filter(lines=range(3, 5)).lines == ((3, 3), (4, 4))
    assert Filter(lines=[Number(), [1, Number()]]).lines == ((5, 5), (1, 5))  # type: ignore[list-item]
    assert Filter(files=(name for name in ["a.c"])) == Filter(files=["a.c"])
    with allocq.open(allocq.sample_path()) as source:
        assert [tag.line for tag in source.read(Filter(lines=[1938], min_size="1M"))] == [1938]


@pytest.mark.parametrize("size", ["", "1Q", "--1M", "1e3", "9E9E"])
def test_a_bad_size_names_its_field(size: str) -> None:
    with pytest.raises(allocq.UsageError, match="max_size: "):
        Filter(max_size=size)


def test_filters_and_tags_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Filter().min_size = 1  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Tag(1, 2, "a.c", 3, None, "f").bytes = 2  # type: ignore[misc]


def test_a_filter_survives_as_options() -> None:
    filter = Filter(files=["a.c"], lines=[(1, 2)], accurate=False, min_size=0)
    assert filter.as_options() == {
        "accurate": False, "file": ("a.c",), "line": ((1, 2),), "min_size": 0,
    }  # fmt: skip
    assert Filter.from_options(filter.as_options()) == filter
    with pytest.raises(allocq.UsageError, match="unknown filter: colour"):
        Filter.from_options({"colour": "red"})


def test_tags_compare_and_hash_by_value() -> None:
    one = Tag(1, 2, "a.c", 3, None, "f")
    assert one == Tag(1, 2, "a.c", 3, None, "f", True)
    assert len({one, Tag(1, 2, "a.c", 3, None, "f"), Tag(1, 2, "a.c", 3, "m", "f")}) == 2
    assert one != Tag(1, 2, "a.c", 3, None, "f", accurate=False)
    assert one.key == ("a.c", 3, None, "f")
    assert "a.c:3 func:f" in repr(one)


def test_the_example_of_the_package_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the sample in place of this machine's kernel and of saved.txt."""
    assert allocq.__doc__
    example = "\n".join(re.findall(r"^    (.*)$", allocq.__doc__, re.MULTILINE))
    assert "allocq.open()" in example and '"saved.txt"' in example
    (tmp_path / "saved.txt").write_bytes(SAMPLE.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", example.replace("allocq.open()", "allocq.open('saved.txt')")],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    rapl = oracle.select(TAGS, oracle.Asked(files=["rapl.c"]))
    assert done.stdout == "".join(f"{t.bytes} {t.calls} {t.file} {t.line}\n" for t in rapl)


def test_the_examples_in_docstrings_run() -> None:
    sources = sorted(Path(allocq.__file__).parent.rglob("*.py"))
    run = 0
    for path in sources:
        if not doctest.DocTestParser().get_examples(path.read_text()):
            continue
        name = ".".join(path.relative_to(Path(allocq.__file__).parents[1]).with_suffix("").parts)
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, path
        run += result.attempted
    assert len(sources) > 20 and run > 10


def test_types_are_what_a_checker_sees(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    (tmp_path / "use.py").write_text(
        "import allocq\n"
        "with allocq.open('x') as source:\n"
        "    snapshot = source.read(allocq.Filter(files=['a'], min_size=allocq.parse_size('1M')))\n"
        "    for tag in snapshot:\n"
        "        reveal_type(tag.bytes)\n"
        "        reveal_type(tag.module)\n"
        "    reveal_type(snapshot.total)\n"
        "    reveal_type(snapshot[0])\n"
        "    reveal_type(snapshot[1:])\n"
        "    reveal_type(snapshot.diff(snapshot))\n"
        "    reveal_type(snapshot.to_dicts())\n"
        "    reveal_type(allocq.Filter(min_size='1M', lines=[5, (1, 2)]).min_size)\n"
        "allocq.Filter(file='a')\n"
    )
    out, _, _ = api.run(
        ["--strict", "--no-incremental", "--cache-dir=/dev/null", str(tmp_path / "use.py")]
    )
    assert 'Revealed type is "int"' in out or 'Revealed type is "builtins.int"' in out
    assert "str | None" in out
    assert re.search(r"tuple\[(builtins\.)?int, (builtins\.)?int", out)
    for words in (
        "allocq.model.Tag",
        "list[allocq.model.Tag]",
        "list[allocq.analysis.diff.Change]",
    ):
        assert words in out.replace("builtins.", "")
    assert "int | None" in out and "list[dict[str, int | str | bool | None]]" in out.replace(
        "builtins.", ""
    )
    assert out.count("error:") == 1 and '"file"' in out


def test_sources_of_their_own_can_be_read_in_threads() -> None:
    found: list[int] = []

    def read() -> None:
        with allocq.open(allocq.sample_path()) as source:
            found.append(len(source.read(Filter(files=["mm/*"]))))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [len(oracle.select(TAGS, oracle.Asked(files=["mm/*"])))] * 8


# Memory, counted


# A process starts with its parent's peak, so a small one stands between.
BETWEEN = """
import os, resource, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
status = os.waitpid(pid, 0)[1]
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak_kib(*argv: str) -> tuple[int, str, int]:
    """The most memory `allocq ARGV` held at a time, in KiB; a hash and the lines of its output."""
    digest, lines = hashlib.sha256(), 0
    with subprocess.Popen(
        [sys.executable, "-c", BETWEEN, *ALLOCQ, *argv],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout and process.stderr
        while piece := process.stdout.read(1 << 16):
            digest.update(piece)
            lines += piece.count(b"\n")
        said = process.stderr.read()
        assert process.wait() == 0, said
    return int(said), digest.hexdigest(), lines


LIMIT_KIB = 32 << 10
SAVES = (200 << 20) // SAMPLE.stat().st_size + 1


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One listing of 200 MB: the sample's tags, again and again with other functions."""
    path = tmp_path_factory.mktemp("large") / "text"
    with path.open("wb") as file:
        file.write(HEADER)
        for number in range(SAVES):
            file.write(renamed(number))
    return path


def renamed(number: int) -> bytes:
    """The tags of the sample with the functions of another kernel."""
    tags = SAMPLE.read_bytes().removeprefix(HEADER)
    return tags.replace(b" func:", b" func:k%d_" % number)


def test_a_large_text_is_filtered_in_little_memory(large: Path) -> None:
    lines = [line for number in range(SAVES) for line in renamed(number).splitlines(keepends=True)]
    rapl = b"".join(line for line in lines if b"/rapl.c:" in line)
    groups = len({tag.module for tag in TAGS})
    for argv, expected in (
        (["-f", "rapl.c"], (hashlib.sha256(rapl).hexdigest(), 2 * SAVES)),
        (["-c"], (hashlib.sha256(b"%d\n" % (len(TAGS) * SAVES)).hexdigest(), 1)),
        (["-g", "module", "-o", "csv"], (None, groups + 1)),
    ):
        peak, digest, count = peak_kib("query", "--source", str(large), *argv)
        assert (expected[0] and digest, count) == expected
        assert peak < LIMIT_KIB


def test_a_large_answer_is_written_in_little_memory(large: Path) -> None:
    """Some of it is held back until the text has been found good, not all."""
    peak, _, count = peak_kib("query", "--source", str(large), "-o", "procfs")
    assert count == len(TAGS) * SAVES
    assert peak < 2 * LIMIT_KIB


def test_reading_many_files_leaks_no_memory() -> None:
    def kib() -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError

    def work(times: int) -> None:
        for _ in range(times):
            with saved(SAMPLE.read_bytes()) as path, allocq.open(path) as source:
                list(source.read(Filter(files=["mm/*"])))
            with (
                saved(HEADER + b"bad\n") as path,
                allocq.open(path) as source,
                pytest.raises(allocq.FormatError),
            ):
                source.read()

    work(100)
    gc.collect()
    before = kib()
    work(200)
    gc.collect()
    assert kib() - before < 4096
