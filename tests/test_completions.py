"""The completions, run in their shells."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from fcntl import ioctl
from pathlib import Path

import pytest
from generators.declared import COMMANDS, LEAVES, Command, Option, flags, options, runs, takes_file

COMPLETIONS = Path(__file__).parents[1] / "completions"
NAMES = [command.name for command in COMMANDS]
CHOICES = [(command, option) for command in LEAVES for option in command.options if option.choices]
FILES = [
    (command, option) for command in LEAVES for option in command.options if takes_file(option)
]


def all_flags(command: Command) -> set[str]:
    return {flag for option in options(command) for flag in flags(option)}


def needs(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory with a file whose name needs quoting, and no Python to be found."""
    (tmp_path / "one file.txt").write_text("")
    return tmp_path


def environment(work: Path) -> dict[str, str]:
    """Nothing but the shell's own world; whoever starts Python fails."""
    tools = work / "bin"
    tools.mkdir(exist_ok=True)
    for name in ("python", "python3", "allocq"):
        (tools / name).write_text("#!/bin/sh\necho STARTED >&2\nexit 99\n")
        (tools / name).chmod(0o755)
    return {
        "PATH": f"{tools}:/usr/bin:/bin",
        "HOME": str(work),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
        "XDG_DATA_DIRS": str(work),
    }


def bash(work: Path, lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """What bash offers for the last word of each line."""
    needs("bash")
    script = [f"source '{COMPLETIONS}/allocq.bash'"]
    for words in lines:
        quoted = " ".join("'" + word + "'" for word in words)
        script += [
            f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _allocq",
            "printf '%s\\n' \"${COMPREPLY[@]}\" --end--",
        ]
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-u", "-c", "\n".join(script)],
        capture_output=True,
        text=True,
        env=environment(work),
        cwd=work,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers = done.stdout.split("--end--\n")
    assert answers.pop() == ""
    return [answer.split() for answer in answers]


def test_bash_offers_what_is_declared(work: Path) -> None:
    offered = bash(
        work, [["allocq", ""], *(["allocq", *command.name.split(), "-"] for command in LEAVES)]
    )
    assert offered[0][: len(NAMES)] == NAMES
    for command, words in zip(LEAVES, offered[1:], strict=True):
        assert set(words) == all_flags(command)


def test_bash_offers_choices_in_all_spellings(work: Path) -> None:
    lines, expected = [], []
    for command, option in CHOICES:
        for flag in flags(option):
            lines.append(["allocq", *command.name.split(), flag, ""])
            lines.append(["allocq", *command.name.split(), flag, "=", ""])
            lines.append(["allocq", *command.name.split(), flag, "="])
            expected += [list(option.choices)] * 3
    assert bash(work, lines) == expected


def below(group: Command) -> list[str]:
    return [command.word for command in group.commands]


GROUPS = [command for command in COMMANDS if command.commands]


def test_bash_offers_the_commands_of_a_group(work: Path) -> None:
    offered = bash(work, [["allocq", group.name, ""] for group in GROUPS])
    assert offered == [[*below(group), "-h", "--help"] for group in GROUPS]
    assert bash(work, [["allocq", "fleet", "gr"], ["allocq", "fleet", "nonsense", "-"]]) == [
        ["grown"],
        [],
    ]


def test_fish_offers_the_commands_of_a_group(work: Path) -> None:
    offered = fish(work, *(f"allocq {group.name} " for group in GROUPS), "allocq fleet gr")
    assert [sorted(words) for words in offered[:-1]] == [sorted(below(each)) for each in GROUPS]
    assert offered[-1] == ["grown"]


def test_zsh_completes_the_commands_of_a_group(zsh: Terminal) -> None:
    for group in GROUPS:
        for word in below(group):
            assert zsh.ask(f"allocq {group.name} {word[:-1]}\t") == [group.name, word]


def test_bash_narrows_what_it_offers(work: Path) -> None:
    lines = [
        ["allocq", "qu"],
        ["allocq", "query", "--form"],
        ["allocq", "query", "--format", "js"],
        ["allocq", "query", "--limit", ""],
        ["allocq", "query", "-f", "rapl"],
        ["allocq", "nonsense", "--"],
    ]
    assert bash(work, lines) == [["query"], ["--format"], ["json", "jsonl"], [], [], []]


def runner() -> str:
    """The subcommand that runs another command."""
    return next(command.name for command in COMMANDS if runs(command))


# Options in front of the command to run, each with nothing left to take from it.
BEFORE_COMMAND = (
    "",
    "-q",
    "--",
    "-q --",
    "-o table",
    "-otable",
    "-qo table",
    "-qotable --bytes",
    "--format table",
    "--format json -q --",
    "-f -q",
)


def test_bash_completes_the_command_to_run(work: Path) -> None:
    before = [line.split() for line in BEFORE_COMMAND] + [["--format", "=", "table"]]
    lines = [["allocq", runner(), *words, "readlin"] for words in before]
    assert all("readlink" in offered for offered in bash(work, lines))
    lines = [["allocq", runner(), *words, "sort", "--form"] for words in before]
    assert bash(work, lines) == [[]] * len(lines)
    lines = [["allocq", runner(), *words.split(), "js"] for words in ("--format", "-o")]
    assert bash(work, lines) == [["json"]] * len(lines)
    empty, option = bash(work, [["allocq", runner(), ""], ["allocq", runner(), "-q", "--form"]])
    assert "--format" in empty and option == ["--format"]


def fish(work: Path, *lines: str) -> list[list[str]]:
    """What fish offers for each line."""
    needs("fish")
    script = [f"source '{COMPLETIONS}/allocq.fish'"]
    for line in lines:
        script += [f"complete -C '{line}'", "echo --end--"]
    done = subprocess.run(
        ["fish", "--no-config", "-c", "\n".join(script)],
        capture_output=True,
        text=True,
        env=environment(work),
        cwd=work,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers = done.stdout.split("--end--\n")
    assert answers.pop() == ""
    return [
        [line.partition("\t")[0].replace("\\ ", " ") for line in answer.splitlines()]
        for answer in answers
    ]


def test_fish_offers_what_is_declared(work: Path) -> None:
    lines = ["allocq "]
    for command in LEAVES:
        lines += [f"allocq {command.name} --", f"allocq {command.name} -"]
    offered = fish(work, *lines)
    assert sorted(offered[0]) == sorted(NAMES)
    for i, command in enumerate(LEAVES):
        assert set(offered[1 + 2 * i]) | set(offered[2 + 2 * i]) == all_flags(command)


def test_fish_offers_choices_and_files(work: Path) -> None:
    lines, expected = [], []
    for command, option in CHOICES:
        for flag in flags(option):
            lines.append(f"allocq {command.name} {flag} ")
            expected.append(sorted(option.choices))
    for command, option in FILES:
        for flag in flags(option):
            lines.append(f"allocq {command.name} {flag} one")
            expected.append(["one file.txt"])
    assert [sorted(words) for words in fish(work, *lines)] == expected


def test_fish_narrows_what_it_offers(work: Path) -> None:
    lines = (
        "allocq qu",
        "allocq query --form",
        "allocq query --format=js",
        "allocq query --limit ",
        "allocq query one",
        "allocq nonsense --",
    )
    offered = [sorted(words) for words in fish(work, *lines)]
    assert offered == [
        ["query"],
        ["--format"],
        ["--format=json", "--format=jsonl"],
        [],
        ["one file.txt"],
        [],
    ]


def test_fish_completes_the_command_to_run(work: Path) -> None:
    before = (*BEFORE_COMMAND, "--format=table")
    lines = [f"allocq {runner()} {words} readlin" for words in before]
    assert all("readlink" in offered for offered in fish(work, *lines))
    lines = [f"allocq {runner()} {words} cat one" for words in before]
    assert fish(work, *lines) == [["one file.txt"]] * len(lines)
    lines = [f"allocq {runner()} {words} cat --max-gro" for words in before]
    assert fish(work, *lines) == [[]] * len(lines)
    lines = [f"allocq {runner()} {words} js" for words in ("-o", "-qo", "--format")]
    assert fish(work, *lines) == [["json"]] * len(lines)
    assert fish(work, f"allocq {runner()} -q --max-gro") == [["--max-growth"]]


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: Path) -> None:
        self.pid, self._fd = pty.fork()
        if not self.pid:
            os.chdir(cwd)
            os.execvpe(argv[0], argv, env)
        ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 300, 200, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Read on to what matches; everything read until then is in the match's string."""
        seen, end = "", time.monotonic() + seconds
        while not (found := re.search(pattern, seen)):
            ready, _, _ = select.select([self._fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"no {pattern!r} in {seen!r}"
            seen += os.read(self._fd, 1 << 16).decode("utf-8", "replace").replace("\r", "")
        return found

    def ask(self, keys: str) -> list[str]:
        """The words of the command line that these keys give."""
        self.type(keys + "\n")
        words = self.until(r"\{\{((?:<[^>]*>)*)\}\}")[1]
        return re.findall("<([^>]*)>", words)

    def close(self) -> None:
        os.close(self._fd)
        os.waitpid(self.pid, 0)


# Prints its words, in brackets; the pieces keep the echo of the definition from looking like it.
SHOW = "allocq() { printf '{%s' '{'; printf '<%s>' \"$@\"; printf '}%s\\n' '}'; }"


@pytest.fixture
def zsh(work: Path) -> Iterator[Terminal]:
    needs("zsh")
    functions = work / "functions"
    functions.mkdir()
    shutil.copy(COMPLETIONS / "_allocq", functions)
    (work / ".zshrc").write_text(
        f"fpath=({functions} $fpath)\nautoload -Uz compinit\ncompinit -u -D\n"
        f"PS1='ready> '\nsetopt no_beep\nunset zle_bracketed_paste\n{SHOW}\n"
    )
    terminal = Terminal(["zsh", "-i"], {**environment(work), "ZDOTDIR": str(work)}, work)
    terminal.until("ready> ")
    yield terminal
    terminal.close()


def test_zsh_completes_on_a_terminal(zsh: Terminal) -> None:
    assert zsh.ask("allocq que\t--form\tproc\t") == ["query", "--format=procfs"]
    assert zsh.ask("allocq query -o cs\t") == ["query", "-o", "csv"]
    assert zsh.ask("allocq query -ocs\t") == ["query", "-ocsv"]
    assert zsh.ask("allocq query --no-h\t") == ["query", "--no-header"]
    assert zsh.ask("allocq query --source one\t") == ["query", "--source", "one file.txt"]
    assert zsh.ask("allocq query -f one\t") == ["query", "-f", "one"]
    assert zsh.ask("allocq snap\t-o one\t") == ["snapshot", "-o", "one file.txt"]
    assert zsh.ask("allocq query --file a --fil\tb") == ["query", "--file", "a", "--file=b"]


def test_zsh_completes_the_command_to_run(zsh: Terminal) -> None:
    for before in (*BEFORE_COMMAND, "--format=table"):
        words = zsh.ask(f"allocq {runner()} {before} readlin\tone\t --max-gro\t")
        assert words == [runner(), *before.split(), "readlink", "one file.txt", "--max-gro"]
    assert zsh.ask(f"allocq {runner()} -q --max-gro\t1")[-1] == "--max-growth=1"
    assert zsh.ask(f"allocq {runner()} -qo js\t")[-1] == "json"


def test_zsh_knows_every_flag(zsh: Terminal) -> None:
    for command in LEAVES:
        for flag in sorted(flag for flag in all_flags(command) if flag.startswith("--")):
            words = zsh.ask(f"allocq {command.name} {flag}\t")
            assert words[-1] in (flag, flag + "="), (command.name, flag)
            others = [other for other in all_flags(command) if other.startswith(flag[:-1])]
            if others == [flag]:
                words = zsh.ask(f"allocq {command.name} {flag[:-1]}\t")
                assert words[-1] in (flag, flag + "="), (command.name, flag)


def values(option: Option) -> Iterator[tuple[str, str]]:
    """A beginning that one choice alone has, and that choice."""
    for choice in option.choices:
        for length in range(1, len(choice) + 1):
            if [c for c in option.choices if c.startswith(choice[:length])] == [choice]:
                yield choice[:length], choice
                break


def test_zsh_completes_choices(zsh: Terminal) -> None:
    for command, option in CHOICES:
        flag = flags(option)[-1]
        for beginning, choice in values(option):
            assert zsh.ask(f"allocq {command.name} {flag}={beginning}\t")[-1] == f"{flag}={choice}"


def test_bash_completes_on_a_terminal(work: Path) -> None:
    needs("bash")
    rc = work / "rc"
    rc.write_text(f"source '{COMPLETIONS}/allocq.bash'\n{SHOW}\nPS1='ready> '\n")
    argv = ["bash", "--noprofile", "--rcfile", str(rc), "-i"]
    terminal = Terminal(argv, environment(work), work)
    terminal.until("ready> ")
    assert terminal.ask("allocq que\t--form\tproc\t") == ["query", "--format", "procfs"]
    assert terminal.ask("allocq query --format=proc\t") == ["query", "--format=procfs"]
    assert terminal.ask("allocq query --source one\t") == ["query", "--source", "one file.txt"]
    assert terminal.ask("allocq query --source=one\t") == ["query", "--source=one file.txt"]
    assert terminal.ask("allocq snap\t-o one\t") == ["snapshot", "-o", "one file.txt"]
    assert terminal.ask("allocq query one\t") == ["query", "one file.txt"]
    terminal.close()
