"""Mistyped commands and options: one line, and a hint with what was meant."""

from __future__ import annotations

import os
import shlex

import pytest
from command import allocq, here, query, refused
from generators.declared import COMMANDS, LEAVES, flags, takes_value
from oracle import SAMPLE

from allocq.cli.run import run
from allocq.commands.file_names import missing_file


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("version", "allocq --version"),
        ("help", "allocq --help"),
        ("help query", "allocq query --help"),
        ("help nothing", "allocq --help"),
        ("querry", "did you mean allocq query?"),
        ("snap", "did you mean allocq snapshot?"),
        ("grep slub", "did you mean allocq query?"),
        ("du", "did you mean allocq tree?"),
        ("compare a b", "did you mean allocq diff?"),
        ("watch", "did you mean allocq top?"),
        ("leaks", "did you mean allocq trend or allocq check?"),
        ("prometheus", "did you mean allocq export?"),
        ("slub", "to find tags: allocq query slub"),
        ("'saved file.txt'", "to find tags: allocq query 'saved file.txt'"),
        ("--json", "allocq query -o json"),
        ("--file x", "allocq query --file x"),
        ("--fiel x", "allocq query --file x"),
        ("--file 'fs/xfs/*' -o json", "allocq query --file 'fs/xfs/*' -o json"),
        ("--file=x", "allocq query --file=x"),
        ("-o json query slub", "allocq query -o json slub"),
        ("--sample tree", "allocq tree --sample"),
        ("-n 5", "allocq query -n 5"),
        ("--verison", "did you mean allocq --version?"),
        ("--hlep", "did you mean allocq --help?"),
        ("query --fiel x", "did you mean --file PATH? See allocq query --help"),
        ("query --formt=json", "did you mean --format FORMAT? See allocq query --help"),
        ("query --form json", "did you mean --format FORMAT? See allocq query --help"),
        ("query --json", "did you mean -o json? See allocq query --help"),
        ("tree --folded", "did you mean -o folded? See allocq tree --help"),
        ("query --top 5", "did you mean --limit N? See allocq query --help"),
        ("query -5", "did you mean -n 5? See allocq query --help"),
        ("query -20", "did you mean -n 20? See allocq query --help"),
        ("query --group module", "did you mean --group-by KEY? See allocq query --help"),
        ("query --sort-by bytes", "did you mean --sort KEY? See allocq query --help"),
        ("query -E slab", "did you mean --regexp REGEX? See allocq query --help"),
        ("query -cE slab", "did you mean --regexp REGEX? See allocq query --help"),
        ("query --no-color", "did you mean --color never? See allocq query --help"),
        ("query --colour always", "did you mean --color WHEN? See allocq query --help"),
        ("query --version", "allocq --version"),
        ("query --zzzz", "allocq query --help"),
        ("query --count=5", "give --count alone"),
        ("tree --baseline y", "--baseline is an option of allocq check; see allocq tree --help"),
        ("diff -L a --max-growth 1", "--max-growth is an option of allocq check"),
        ("query -l", "-l N[-M]: Match a line number or a range"),
    ],
)
def test_a_mistake_names_what_was_meant(line: str, hint: str) -> None:
    result = here(*shlex.split(line))
    refused(result)
    assert result.err.splitlines()[1].startswith(f"hint: {hint}")


def test_sizes_for_people_need_no_option() -> None:
    for flag in ("--human", "--human-readable", "-H"):
        refused(here("query", flag), f"no such option: {flag}")
    assert "1.5M already" in here("query", "--human").err


def test_a_missing_or_surplus_operand_shows_the_usage() -> None:
    result = here("diff")
    refused(result, "diff needs BEFORE")
    assert "hint: allocq diff BEFORE" in result.err
    done = here("doctor", "now")
    refused(done, "unexpected extra argument 'now'")
    assert "it takes only options; see allocq doctor --help" in done.err


@pytest.mark.parametrize("command", LEAVES, ids=lambda command: command.name)
def test_an_option_without_its_value_says_which(command: object) -> None:
    for option in command.options:  # type: ignore[attr-defined]
        if takes_value(option):
            for flag in flags(option):
                result = here(*command.name.split(), flag)  # type: ignore[attr-defined]
                refused(result, f"{flag} needs a value")
                assert all(choice in result.err for choice in option.choices)


@pytest.mark.parametrize("command", LEAVES, ids=lambda command: command.name)
def test_swapped_letters_find_the_flag(command: object) -> None:
    for option in command.options:  # type: ignore[attr-defined]
        for flag in flags(option):
            if len(flag) < 7:
                continue
            typed = flag[:3] + flag[4] + flag[3] + flag[5:]
            if typed == flag:
                continue
            result = here(*command.name.split(), typed)  # type: ignore[attr-defined]
            refused(result, f"no such option: {typed}")
            assert f"did you mean {flag}" in result.err, (typed, result.err)


@pytest.mark.parametrize(
    ("argv", "error", "hint"),
    [
        ([], "fleet needs a command", "use one of: hosts, top, grown"),
        (["grow"], "no such command: fleet grow", "did you mean allocq fleet grown?"),
        (["tpo"], "no such command: fleet tpo", "did you mean allocq fleet top?"),
        (["zzz"], "no such command: fleet zzz", "use one of: hosts, top, grown"),
        (["--data", "x"], "fleet needs a command", "use one of: hosts, top, grown"),
        (["--data", "x y", "top"], "no such command: fleet --data", "fleet top --data 'x y'"),
    ],
    ids=str,
)
def test_a_group_says_which_commands_it_has(argv: list[str], error: str, hint: str) -> None:
    result = here("fleet", *argv)
    refused(result, error)
    assert f"hint: {hint}" in result.err or f"hint: allocq {hint}" in result.err


def test_help_is_where_it_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        run([command.name, "--help"])
        help = capfd.readouterr().out
        for argv in (
            [command.name, "-h"],
            ["-h", command.name],
            [command.name, "-o", "json", "-h"],
            [command.name, "-h", "-q"],
        ):
            known = {flag for option in command.options for flag in flags(option)}
            if not {"-q", "-o"} & {*argv} <= known:
                continue
            assert run(argv) == 0
            assert capfd.readouterr() == (help, "")
    assert run(["diff", "a", "b", "--help"]) == 0
    assert "Usage: allocq diff" in capfd.readouterr().out


@pytest.mark.parametrize("command", ["query", "tree"])
@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("/no/such.txt", "there is no file /no/such.txt either"),
        ("./saved", "there is no file ./saved either"),
        ("saved.gz", "there is no file saved.gz either"),
        ("/", "/ is a directory, not a saved listing"),
        ("/dev/null", "--source /dev/null reads it as a saved listing"),
    ],
)
def test_a_listing_that_is_not_there_is_told_in_scripts_too(
    command: str, word: str, why: str
) -> None:
    done = here(command, "--sample", word)
    assert (done.status, done.out) == (1, b"")
    assert done.err == f"allocq: no tag matches {word}; {why}\n"
    also = here(command, "--sample", "mm/slub.c", word)
    assert also.status == 0 and also.out
    assert also.err == done.err


@pytest.mark.parametrize("word", ["fs/nosuch.c", "nosuch", "mm/", "nosuch.ko", "/*/x.txt"])
def test_a_pattern_that_matches_nothing_is_silent_in_scripts(word: str) -> None:
    assert here("query", "--sample", word).err == ""


def test_quiet_is_quiet_about_missing_files() -> None:
    assert here("query", "-q", "--sample", "/no/such.txt") == (1, b"", "")
    assert here("query", "--sample", "-f", "/no/such.txt") == (1, b"", "")


def test_a_tag_with_such_a_name_is_no_missing_file() -> None:
    tags = b"4096 1 /build/m.c:1 [m] func:f \n4096 1 b.c:2 func:g \n"
    for argv in (
        ("/build/m.c",),
        ("/build/m.c", "-n", "1"),
        ("b.c", "/build/m.c", "-n", "1"),
        ("-c", "/build/m.c"),
    ):
        assert query(tags, *argv).err == ""
    assert query(tags, "/build/m.c", "--min-size", "1M") == (1, b"", "")


def test_bounds_of_sums_need_sums() -> None:
    for bounds in ("sums", "tags"):
        refused(here("query", "--sample", "--bounds", bounds), "--bounds needs --group-by")
        assert here("query", "--sample", "--bounds", bounds, "-g", "file", "-q").status == 0


def test_a_count_is_a_number_in_any_format() -> None:
    for format in ("table", "procfs", "json", "jsonl", "csv", "tsv"):
        assert here("query", "--sample", "-c", "-o", format).out == b"3746\n"


@pytest.mark.skipif(os.path.exists("/proc/allocinfo"), reason="this kernel has /proc/allocinfo")
@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("query no/such.txt", "no such file: no/such.txt", "otherwise: no /proc/allocinfo"),
        ("tree /no/such", "no such file: /no/such", "otherwise: no /proc/allocinfo"),
        ("query slub", "no /proc/allocinfo", "or read a saved listing with --source"),
        ("stacks slub", "no /proc/allocinfo", "boot a kernel that has it"),
        (f"diff {SAMPLE}", "no /proc/allocinfo", "boot a kernel that has it, or name a second"),
        ("bench", "no /proc/allocinfo", "boot a kernel that has it"),
    ],
)
def test_without_a_kernel_that_counts_the_hint_is_of_use(line: str, error: str, hint: str) -> None:
    with open(os.devnull) as nothing:
        done = allocq(*line.split(), stdin=nothing)
    refused(done, error)
    told = done.err.splitlines()[1]
    assert hint in told
    assert ("--source" in told) == ("or read" in hint)


def test_missing_files_are_told_apart_from_names() -> None:
    assert missing_file(["slub", "mm/slub.c", "/no/*.txt", "/", "/no/x", "y.gz"]) == "/no/x"
    assert missing_file(["slub", "fs/x.c"]) == ""
