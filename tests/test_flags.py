"""The readers of flags in Python: what the quick one reads, it reads as the app does."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any

import pytest
from command import here, refused, unhurried
from hypothesis import example, given, settings
from hypothesis import strategies as st

import allocq.commands.query
from allocq import AllocqError, UsageError
from allocq.cli.app import _function, make_app, run_app
from allocq.commands.arguments import Query, read_query
from allocq.options.commands import COMMANDS, QUERY_OPTIONS, Command, leaves
from allocq.options.reader import Misread, read_words
from allocq.options.shared import Option, OptionKind

Values = dict[str, object]


def slow(argv: list[str]) -> Values | None:
    """The values that the app hands to the body, None where it refuses or does not get there."""
    got: list[Values] = []

    def body(values: Values) -> int:
        got.append(values)
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allocq.commands.query, "query_command", body)
        try:
            make_app()(args=argv, prog_name="allocq", standalone_mode=False)
        except Exception as error:
            assert hasattr(error, "format_message"), error
    return got[0] if got else None


def quick(argv: list[str]) -> Values | None:
    """The values that the quick reader hands to the body, None where it leaves them to the app."""
    for command in leaves():
        name = command.name.split()
        if argv[: len(name)] == name:
            try:
                return read_words(argv[len(name) :], command.options, command.operands)
            except Misread:
                return None
    return None


def query_of(values: Values | None) -> dict[str, object] | str | None:
    """All of a Query, by name; the words of what it refuses."""
    if values is None:
        return None
    try:
        query = read_query(values)
    except UsageError as error:
        return str(error)
    return everything(query)


def everything(query: Query) -> dict[str, object]:
    parts = (query.filter, query.view, query.origin)
    return {name: getattr(part, name) for part in parts for name in part.__slots__}


flags = [flag for option in QUERY_OPTIONS for part in option.flags for flag in part.split("/")]
takes: dict[str, Option] = {
    flag: option for option in QUERY_OPTIONS for part in option.flags for flag in part.split("/")
}
good = {
    "line": st.sampled_from(["7", "0", "10-20"]),
    "min_size": st.sampled_from(["4096", "64K", "1.5G", "1MB"]),
    "max_size": st.sampled_from(["8E", "7E", "2T"]),
    "min_calls": st.sampled_from(["0", "12"]),
    "max_calls": st.sampled_from(["99", "1000"]),
    "limit": st.sampled_from(["0", "5", "99"]),
    "regexp": st.sampled_from(["slab", "^mm/", "a|b", "-x", "=", ""]),
    "source": st.sampled_from(["-", "saved.txt", "/proc/allocinfo", "--", "-q"]),
}
names = st.sampled_from(
    ["rapl.c", "mm/*", "[a-b]", "-", "--", "-c", "=x", "a=b", "a b", "é", "\udcff", "--file"]
)
bad = st.sampled_from(["", "x", "-1", "K", "[", "5-1", "nope", "9" * 5000, "\0", "\u0661"])


@st.composite
def option_words(draw: st.DrawFn) -> list[str]:
    flag = draw(st.sampled_from(flags))
    option = takes[flag]
    if option.kind in (OptionKind.FLAG, OptionKind.SWITCH):
        return [flag]
    plain = good.get(option.name, names)
    values = st.sampled_from(option.choices) if option.choices else plain
    value = draw(st.one_of(values, values, values, bad))
    forms = [[flag, value], [flag, value]]
    forms.append([f"{flag}={value}"] if flag.startswith("--") else [flag + value])
    return draw(st.sampled_from(forms))


shorts = "".join(flag[1] for flag in flags if len(flag) == 2)
bundles = st.text(st.sampled_from(shorts), min_size=2, max_size=4).map(lambda s: [f"-{s}"])
broken = st.sampled_from(
    [
        *(["--"], ["-"], [""], ["--nope"], ["-Z"], ["--fil", "x"], ["--count=1"], ["--header=no"]),
        *(["-c="], ["operand"], ["--no-count"], ["-h"], ["--help"], ["--version"], ["-V"], ["-f"]),
        *(["--min-size"], ["---file", "x"], ["-cZ"], ["-file", "x"], ["-n5"], ["-n=5"], ["-rn5"]),
        *(["-f-"], ["-c-q"], ["--=x"], ["--file"], ["-\udcff"], ["--\u00e9=1"]),
    ]
)
command_lines = st.lists(st.one_of(*[option_words()] * 4, bundles, broken), max_size=6).map(
    lambda parts: [word for part in parts for word in part]
)


@settings(unhurried, max_examples=150)
@given(command_lines)
@example(["-cqr"])
@example(["-cfmm/*"])
@example(["-cf", "mm/*"])
@example(["-cf=mm/*"])
@example(["-f", "-c"])
@example(["--file", "--file", "--file", "x"])
@example(["--header", "--no-header"])
@example(["--no-header", "--header"])
@example(["-n", "1", "-n", "2"])
@example(["-o", "json", "-o", "csv"])
@example(["--source="])
@example(["-c-"])
@example(["-f", ""])
def test_both_ways_read_the_same(argv: list[str]) -> None:
    quickly = quick(["query", *argv])
    asked = query_of(slow(["query", *argv]))
    if quickly is not None:
        assert query_of(quickly) == asked
    # What is valid and plain is read quickly: only help, mistakes and words are left.
    elif isinstance(asked, dict):
        assert "--" in argv, argv


@settings(unhurried, max_examples=150)
@given(command_lines)
@example(["--source", "-", "--source", "-"])
def test_the_quick_reader_never_raises_and_gives_only_known_values(argv: list[str]) -> None:
    with contextlib.suppress(Misread):
        values = read_words(argv, QUERY_OPTIONS, ())
        values.pop("second_source", None)  # is only there to be refused
        kinds = {option.name: option.kind for option in QUERY_OPTIONS}
        types = dict(zip(OptionKind, (bool, str, list, bool), strict=True))
        assert all(isinstance(value, types[kinds[name]]) for name, value in values.items())


@pytest.mark.parametrize("argv", [[], ["quer"], ["-f", "query"], ["query", "-h"], ["--version"]])
def test_what_is_no_plain_command_line_is_left_to_the_app(argv: list[str]) -> None:
    assert quick(argv) is None


def test_a_plain_command_line_needs_no_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typer and rich take several times as long to import as all the rest."""
    monkeypatch.setattr("allocq.cli.app.run_app", pytest.fail)
    for argv in (
        ["query", "--sample", "-c"],
        ["tree", "--sample"],
        ["snapshot", "--source", "/no"],
    ):
        assert here(*argv).status in (0, 2)


def test_every_option_of_the_contract_is_there() -> None:
    contract = """
        -f --file -F --function -m --module --builtin -l --line --min-size --max-size
        --min-calls --max-calls --inaccurate --accurate -e --regexp -i -v -x --exclude
        -o --format -s --sort -r --reverse -n --limit -g --group-by -c --count -q --quiet
        --header --no-header --bytes --color --source --sample --interface --explain
    """
    assert set(contract.split()) <= set(flags)
    assert len(flags) == len(set(flags)), "no flag stands for two options"


@pytest.mark.parametrize(
    "argv",
    [
        *(
            ["--nope"],
            ["-Z"],
            ["-f"],
            ["--file"],
            ["--min-size"],
            ["--count=1"],
        ),
        *(["--fil", "x"], ["-cZ"], ["--header=yes"]),
    ],
    ids=" ".join,
)
def test_a_mistake_in_the_flags_is_one_line_and_a_hint(argv: list[str]) -> None:
    result = here("query", *argv)
    refused(result)
    assert "hint: " in result.err


@pytest.mark.parametrize("argv", [["nope"], ["--nope"], ["-f", "x"], ["querry"]], ids=" ".join)
def test_a_mistake_in_the_command_is_one_line_and_a_hint(argv: list[str]) -> None:
    refused(here(*argv))


def test_a_mistake_that_the_app_meets_is_told_as_a_plain_one_would() -> None:
    with pytest.raises(AllocqError) as quickly:
        read_query({"min_size": ["2M"], "max_size": ["1M"]})
    result = here("query", "--min-size", "2M", "--max-size", "1M")
    assert str(quickly.value) in result.err


def run(argv: list[str], capfd: Any) -> tuple[int, str, str]:
    status = run_app(argv)
    out, err = capfd.readouterr()
    return status, out, err


def test_help_and_version_are_on_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["--help"], ["-h"], ["query", "--help"], ["query", "-h"]):
        status, out, err = run(argv, capfd)
        assert (status, err) == (0, "")
        assert "Usage" in out
    status, out, err = run(["--version"], capfd)
    assert (status, err) == (0, "")
    assert out.startswith(f"allocq {allocq.__version__} (")
    status, out, _ = run(["query", "--help"], capfd)
    for flag in flags:
        assert flag in out


OPERANDS = [["a"], ["b.txt"], ["-"]]
# With options that are another command's, where the words are one.
RUN = [["cmd"], ["cmd", "-x", "--file"], ["sh", "-c", "x", "--", "-q"], ["-", "--help"]]


@st.composite
def words_for(draw: st.DrawFn, command: Command) -> list[str]:
    """Words that `command` might be given: options with values, operands, and now and then a
    mistake."""
    parts = []
    for option in command.options:
        for flag in (flag for part in option.flags for flag in part.split("/")):
            if option.kind in (OptionKind.FLAG, OptionKind.SWITCH):
                parts.append(st.just([flag]))
            else:
                parts.append(st.sampled_from(["x", "1", "-", "-q"]).map(lambda v, f=flag: [f, v]))
    found = draw(st.lists(st.one_of(parts), max_size=4))
    required = sum(operand.required for operand in command.operands)
    fewest, most = draw(st.sampled_from([(required, len(command.operands))] * 4 + [(0, 3)]))
    operands = RUN if command.runs else OPERANDS
    found += draw(st.lists(st.sampled_from(operands), min_size=fewest, max_size=most))
    found += draw(st.sampled_from([[]] * 5 + [[["--"]]]))
    if draw(st.sampled_from([False] * 5 + [True])):
        found.append(draw(broken))
    return [word for part in draw(st.permutations(found)) for word in part]


def values_both_ways(argv: list[str]) -> tuple[Values | None, Values | None]:
    """What the quick reader and the app hand to the body; None where one does not get there."""
    got: list[Values] = []

    def run(self: Command, values: Values) -> int:
        got.append(dict(values))
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Command, "run", run)
        patch.setattr(sys, "stdout", io.StringIO())  # --help
        quickly = quick(argv)
        try:
            with contextlib.suppress(AllocqError):
                make_app()(args=argv, prog_name="allocq", standalone_mode=False)
        except Exception as error:
            assert hasattr(error, "format_message"), error
        return quickly, got.pop() if got else None


@pytest.mark.parametrize("command", leaves()[1:], ids=lambda command: command.name)
def test_other_commands_are_read_the_same_both_ways(command: Command) -> None:
    compared = 0

    @settings(unhurried, max_examples=60)
    @given(words_for(command))
    def read(words: list[str]) -> None:
        nonlocal compared
        quickly, asked = values_both_ways([*command.name.split(), *words])
        if quickly is not None:
            quickly.pop("second_source", None)  # is only there to be refused
            assert quickly == asked
            compared += 1
        elif asked is not None:  # what is valid is read quickly
            assert "--" in words and not command.operands

    read()
    assert compared >= 20, "too few valid command lines"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_app_misses_an_operand_itself(command: Command) -> None:
    """Typer 0.16 does not under Click 8.3 and later: it hands over None."""
    names = [operand.name for operand in command.operands] + [o.name for o in command.options]
    missing = [operand.metavar for operand in command.operands if operand.required]
    if missing:
        with pytest.raises(UsageError, match=f"needs {missing[0]}"):
            _function(command)(help=False, **dict.fromkeys(names))


def runners() -> list[str]:
    return [command.name for command in COMMANDS if command.runs]


@pytest.mark.parametrize("name", runners())
@pytest.mark.parametrize("before", [[], ["-q"], ["--file", "a.c"], ["-qfa.c"]], ids=" ".join)
@pytest.mark.parametrize("dashes", [[], ["--"]], ids=" ".join)
@pytest.mark.parametrize(
    "words",
    [
        ["rm", "-i", "a"],
        ["sh", "-e", "s.sh"],
        ["ls", "-l", "f"],
        ["ls", "--help"],
        ["ls", "-h"],
        ["ls", "--version"],
        ["ls", "--nope"],
        ["ls", "-q", "--quiet", "--max-growth", "1"],
        ["ls", "--", "-q"],
        ["-"],
    ],
    ids=" ".join,
)
def test_what_follows_the_command_to_run_is_its_own(
    name: str, before: list[str], dashes: list[str], words: list[str]
) -> None:
    quickly, asked = values_both_ways([name, *before, *dashes, *words])
    wanted: Values = {"command": words}
    if "-q" in before or "-qfa.c" in before:
        wanted["quiet"] = True
    if "-q" not in before and before:
        wanted["file"] = ["a.c"]
    assert quickly == asked == wanted


@pytest.mark.parametrize("name", runners())
def test_options_stand_in_front_of_the_command_to_run(name: str) -> None:
    assert values_both_ways([name, "--nope", "ls"]) == (None, None)
    assert values_both_ways([name, "--help", "ls"]) == (None, None)
    # -- may itself be a word of the command.
    assert values_both_ways([name, "--", "--", "a"])[0] == {"command": ["--", "a"]}
    assert values_both_ways([name, "--", "-x"])[1] == {"command": ["-x"]}


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["a", "--live", "b", "--", "ls", "-l"],
         {"words": ["a", "b"], "live": True, "command": ["ls", "-l"]}),
        (["a", "--", "sh", "--", "-n", "1"], {"words": ["a"], "command": ["sh", "--", "-n", "1"]}),
        (["a", "--"], {"words": ["a"], "command": []}),
        (["a", "--for", "--", "b"], {"words": ["a", "b"], "span": "--"}),
        (["-n", "3", "a", "--for=1s"], {"words": ["a"], "limit": "3", "span": "1s"}),
        (["--", "a"], {"command": ["a"]}),
    ],
)  # fmt: skip
def test_a_command_behind_dashes(words: list[str], values: dict[str, object]) -> None:
    assert values_both_ways(["stacks", *words]) == (values, values)
