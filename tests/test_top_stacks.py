"""`w` in `allocq top`: who calls this. What takes the stacks is a fake that files direct."""

from __future__ import annotations

import json
import os
import signal
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import until
from oracle import FIXTURES
from screens import DOWN, UP, Screened, screened
from test_top_screen import TAGS, built, folder, kernel, rows  # noqa: F401
from watched import Kernel

from allocq import sample_path
from allocq.analysis.histories import group_key
from allocq.analysis.stacks import Taken
from allocq.commands.arguments import read_filter
from allocq.commands.top import feed
from allocq.commands.top.callers import words_of
from allocq.errors import UsageError
from allocq.model import Filter
from allocq.options.commands import COMMANDS, STACKS_OPTIONS
from allocq.options.reader import read_words
from allocq.options.shared import GROUPS
from allocq.output.top import Callers
from allocq.sources.saved_stacks import parse_stacks
from allocq.sources.source import open_source

PIPES = (FIXTURES / "stacks-pipes-7.3.4-x86.json").read_bytes()
LIVE = (FIXTURES / "stacks-pipes-live-7.3.4-x86.json").read_bytes()

# In place of `allocq stacks`.
TAKER = """
import os, signal, sys, time
from pathlib import Path
place = Path(os.environ["FAKE"])
def ended(*_):
    (place / "ended").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, ended)
(place / "asked").write_text("\\n".join(sys.argv[3:]))
while not (place / "go").exists():
    time.sleep(0.02)
sys.stderr.write((place / "says").read_text())
sys.stdout.write((place / "answer").read_text())
sys.stdout.flush()
if (place / "killed").exists():
    os.kill(os.getpid(), 9)
sys.exit(int((place / "status").read_text()))
"""
TOP = f"""
import allocq.commands.top.callers as callers, allocq.host.background as background
callers.usable = lambda: None
background._START = {TAKER!r}
from allocq.__main__ import entry
entry()
"""
NO_TRACEFS = """
import allocq.host.tracefs as tracefs
tracefs.mounted = lambda *_: None
from allocq.__main__ import entry
entry()
"""


class Fake:
    """What the fake does."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        self.answers(PIPES)

    def answers(self, data: bytes, says: str = "", status: int = 0) -> None:
        (self.place / "answer").write_bytes(data)
        (self.place / "says").write_text(says)
        (self.place / "status").write_text(str(status))

    def go(self, on: bool = True) -> None:
        (self.place / "go").touch() if on else (self.place / "go").unlink()

    @property
    def asked(self) -> list[str]:
        path = self.place / "asked"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def ended(self) -> bool:
        return (self.place / "ended").exists()


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path / "fake")


@contextmanager
def watching(kernel: Kernel, fake: Fake, *argv: str, **own: Any) -> Iterator[Screened]:  # noqa: F811
    program = (sys.executable, "-c", TOP)
    options = {**kernel.environment, "FAKE": str(fake.place), **own}
    with screened("top", "--interval", "0.3s", *argv, program=program, **options) as seen:
        seen.until("allocq top")
        yield seen


def taking(seen: Screened, fake: Fake) -> None:
    """Press the key, and wait until stacks are being taken."""
    seen.type("w")
    seen.until("taking call stacks for 5 s")
    until(lambda: fake.asked)


def test_the_tree_of_the_selected_tag(kernel: Kernel, fake: Fake) -> None:  # noqa: F811
    with watching(kernel, fake, "-s", "bytes", "fs/pipe.c") as seen:
        taking(seen, fake)
        assert "who calls  fs/pipe.c:158 alloc_pipe" in seen.text
        assert fake.asked == [
            "stacks", "--file=fs/pipe.c", "--line=158", "--function=alloc_pipe", "--builtin",
            "--for", "5s", "-o", "json",
        ]  # fmt: skip
        seen.until("1 s so far")  # it counts, while nothing else is pressed
        fake.go()
        seen.until("create_pipe_files")
        text = seen.text.splitlines()
        both = [line.split() for line in text if "create_pipe_files" in line or "fifo_open" in line]
        assert both == [
            ["131.3K", "210", "51.2%", "create_pipe_files+0x43"],
            ["125.0K", "200", "48.8%", "fifo_open+0xe8"],
        ]
        assert "Escape back  Up Down scroll  l not freed  w again" in seen.lines[-1]
        seen.type("\x1b")
        seen.until(lambda: rows(seen) == ["alloc_pipe", "pipe_ring"])
        seen.type("q")
        assert seen.wait() == 0


def test_the_list_goes_on_and_keys_are_alive(kernel: Kernel, fake: Fake) -> None:  # noqa: F811
    with watching(kernel, fake) as seen:
        taking(seen, fake)
        shown = seen.lines[0]
        seen.until(lambda: seen.lines[0] != shown)
        seen.type("?")
        seen.until("who calls this: take the call stacks")
        seen.type("?")
        seen.until("taking call stacks")
        seen.type(" ")
        seen.until("PAUSED")
        fake.go()
        seen.until("create_pipe_files")  # paused or not
        kernel.set({"pipe_ring": 2048 + (3 << 20)})
        seen.type(" q")
        seen.until(lambda: "pipe_ring" in rows(seen)[0])


def test_what_is_not_freed(kernel: Kernel, fake: Fake) -> None:  # noqa: F811
    fake.go()
    with watching(kernel, fake) as seen:
        taking(seen, fake)
        seen.until("create_pipe_files")
        fake.answers(LIVE)
        seen.type("l")
        seen.until(lambda: "--live" in fake.asked)
        seen.until("LIVE  CALLS")
        seen.until("not freed in 2 stacks")
        seen.until(lambda: "fifo_open" not in seen.text)
        assert "l all" in seen.lines[-1]
        (fake.place / "asked").unlink()
        seen.type("w")  # the same again
        seen.until(lambda: "--live" in fake.asked)
        seen.until("not freed in 2 stacks")
        fake.answers(PIPES)
        seen.type("l")
        seen.until("fifo_open")
        assert "--live" not in fake.asked


@pytest.mark.parametrize("key", ["\x1b", "q", "\x7f"])
def test_it_is_given_up_at_once(kernel: Kernel, fake: Fake, key: str) -> None:  # noqa: F811
    with watching(kernel, fake) as seen:
        taking(seen, fake)
        seen.type(key)
        seen.until("no stacks were taken")  # which the fake would go on taking for ever
        assert rows(seen) and not seen.ended
        until(lambda: fake.ended)
        seen.type("q")
        assert seen.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, None])
def test_nothing_goes_on_when_top_ends(kernel: Kernel, fake: Fake, number: int | None) -> None:  # noqa: F811
    with watching(kernel, fake) as seen:
        taking(seen, fake)
        if number is None:
            seen.type("qq")
            assert seen.wait() == 0
        else:
            os.kill(seen.pid, number)
            assert seen.wait() == (130 if number == signal.SIGINT else -number)
        # It is over before top is.
        assert fake.ended
        assert termios.tcgetattr(seen.slave) == seen.modes


def test_ctrl_c_on_the_terminal_does_not_reach_it(kernel: Kernel, fake: Fake) -> None:  # noqa: F811
    """Only top gets it, and then tells it to end."""
    with watching(kernel, fake) as seen:
        taking(seen, fake)
        seen.type(b"\x03")
        assert seen.wait() == 130 and fake.ended


def damaged() -> bytes:
    value = json.loads(PIPES)
    value["stacks"][0]["bytes"] = -1
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("answer", "says", "status", "words"),
    [
        (b"", "allocq: cannot trace allocations: no\nhint: boot\n", 2, "cannot trace allocations"),
        (b"", "allocq: no tag matches --file x\n", 1, "no tag matches --file x"),
        (b"", "", 0, "allocq stacks printed nothing"),
        (b"", "Traceback (most recent call last):\n", 1, "it ended with status 1"),
        (PIPES[:500], "", 0, "not a JSON file of stacks"),
        (damaged(), "", 0, "damaged stacks: stack 1"),
    ],
    ids=["error", "no match", "nothing", "broken", "truncated", "damaged"],
)
def test_what_goes_wrong_is_said(
    kernel: Kernel, fake: Fake, answer: bytes, says: str, status: int, words: str  # noqa: F811
) -> None:  # fmt: skip
    fake.answers(answer, says, status)
    fake.go()
    with watching(kernel, fake) as seen:
        seen.type("w")
        seen.until(lambda: words in " ".join(seen.lines[-3:]))
        assert rows(seen)
        seen.type("q")
        assert seen.wait() == 0


def test_who_takes_them_is_killed(kernel: Kernel, fake: Fake) -> None:  # noqa: F811
    fake.answers(b"")
    (fake.place / "killed").touch()
    fake.go()
    with watching(kernel, fake) as seen:
        seen.type("w")
        seen.until("it ended with status -9")
        assert rows(seen)


def test_names_are_escaped(kernel: Kernel, fake: Fake) -> None:  # noqa: F811
    value = json.loads(PIPES)
    value["stacks"][0]["stack"][1] = "bad\x1b[31m\nname+0x1/0x2"
    value["notes"] = ["\x1b]0;title\x07"]
    fake.answers(json.dumps(value).encode())
    fake.go()
    with watching(kernel, fake) as seen:
        seen.type("w")
        seen.until(r"bad\x1b[31m\x0aname")
        assert b"\x1b[31m" not in seen.raw and b"\x1b]0;title" not in seen.raw


def test_a_large_tree_is_scrolled(kernel: Kernel, fake: Fake) -> None:  # noqa: F811
    value = json.loads(PIPES)
    value["stacks"] = [
        {"bytes": 8 * number, "calls": 1, "tag": None, "allocator_frames": 0,
         "stack": ["alloc_pipe+0x1/0x2", f"caller_{number:03}+0x1/0x2"]}
        for number in range(100, 0, -1)
    ]  # fmt: skip
    value["total"] = {"stacks": 100, "bytes": 8 * 5050, "calls": 100}
    fake.answers(json.dumps(value).encode())
    fake.go()
    for lines, columns in ((24, 100), (8, 40), (4, 20)):
        with watching(kernel, fake, lines=lines, columns=columns) as seen:
            seen.type("w")
            seen.until("caller_100" if columns > 30 else "BYTES")
            seen.type("\x1b[6~")  # page down
            seen.type(DOWN)
            seen.until(lambda seen=seen: "BYTES" not in seen.text)
            seen.type(UP * 60)
            seen.until("BYTES")
            seen.type(DOWN * 400)
            seen.until(lambda seen=seen: "by 0," in seen.text)
            seen.type(UP)
            assert not seen.ended
            seen.type("\x1bq")
            assert seen.wait() == 0


def test_the_window_may_be_of_any_size(kernel: Kernel, fake: Fake) -> None:  # noqa: F811
    fake.go()
    with watching(kernel, fake) as seen:
        seen.type("w")
        seen.until("create_pipe_files")
        for lines, columns in ((1, 1), (2, 80), (3, 5), (60, 200), (24, 80)):
            seen.resize(lines, columns)
            os.kill(seen.pid, signal.SIGWINCH)
            seen.look(0.3)
            assert not seen.ended
        seen.until("create_pipe_files")


def test_a_kernel_that_cannot_trace(kernel: Kernel) -> None:  # noqa: F811
    program = (sys.executable, "-c", NO_TRACEFS)
    with screened("top", "--interval", "60s", program=program, **kernel.environment) as seen:
        seen.until("dup_task")
        seen.type("w")
        seen.until(lambda: "cannot trace allocations: " in " ".join(seen.lines[-3:]))
        assert "dup_task" in seen.text
        seen.type("jq")
        assert seen.wait() == 0


def test_this_machine_takes_them_or_says_why_not(kernel: Kernel) -> None:  # noqa: F811
    """Whatever kernel this is, and as whoever the tests run; its tags are made up."""
    with screened("top", "--interval", "60s", "-f", "kernel/fork.c", **kernel.environment) as seen:
        seen.until("dup_task")
        seen.type("w")
        seen.until(lambda: "taking call stacks" in seen.text or "? help" not in seen.lines[-1])
        seen.until(lambda: "taking call stacks" not in seen.text, 60)
        assert "Traceback" not in seen.text
        seen.type("\x1bqq")
        assert seen.wait() == 0


def test_a_recording_has_no_stacks(folder: Path) -> None:  # noqa: F811
    with screened("top", "--source", str(folder)) as seen:
        seen.until("sample 1 of")
        seen.type("w")
        seen.until("w is for the running kernel: a recording has no stacks")
        seen.type("q")
        assert seen.wait() == 0


@pytest.mark.parametrize(
    ("key", "by", "words"),
    [
        (("fs/a.c", 7, "xfs", "f"), None,
         ["--file=fs/a.c", "--line=7", "--function=f", "--module=xfs"]),
        (("", 0, None, "f"), "function", ["--function=f"]),
        (("fs/a.c", 0, None, ""), "file", ["--file=fs/a.c"]),
        (("fs/xfs", 0, None, ""), "directory", ["--file=fs/xfs"]),
        (("", 0, "xfs", ""), "module", ["--module=xfs"]),
        (("a[b]*?.c", 1, None, "-x:9"), None,
         ["--file=a[[]b][*][?].c", "--line=1", "--function=-x[:]9", "--builtin"]),
    ],
)  # fmt: skip
def test_what_is_asked_for(key: Any, by: str | None, words: list[str]) -> None:
    assert words_of(key, by) == words


def test_a_group_in_a_group() -> None:
    module, file = ("module", ("", 0, "xfs", "")), ("file", ("fs/a.c", 0, None, ""))
    key: Any = ("", 0, None, "f")
    within: Any = (module, file)
    assert words_of(key, "function", within) == ["--function=f", "--file=fs/a.c", "--module=xfs"]
    within = (("directory", ("fs", 0, None, "")), file)  # the smaller one
    assert words_of(key, "function", within) == ["--function=f", "--file=fs/a.c"]
    assert words_of(("fs", 0, None, ""), "directory", (file,)) == ["--file=fs/a.c"]
    within = (("directory", ("fs", 0, None, "")),)
    assert words_of(("fs/xfs", 0, None, ""), "directory", within) == ["--file=fs/xfs"]
    within = (("module", ("", 0, "xfs", "")), ("function", key))
    assert words_of(("fs/a.c", 7, "xfs", "f"), None, within) == [
        "--file=fs/a.c", "--line=7", "--function=f", "--module=xfs"
    ]  # fmt: skip


def test_built_in_code_is_too_much() -> None:
    with pytest.raises(UsageError, match="too much"):
        words_of(("", 0, None, ""), "module")


def selected(words: Sequence[str], source: Any) -> list[tuple[Any, ...]]:
    """The tags that `allocq stacks` watches when it is given these words."""
    operands = next(each for each in COMMANDS if each.name == "stacks").operands
    return [
        tag.key for tag in source.read(read_filter(read_words(words, STACKS_OPTIONS, operands)))
    ]


NARROWING = [
    {}, {"words": ["fs"]}, {"files": ["fs/*"]}, {"functions": ["*alloc*"]},
    {"modules": ["z*", "xfs"]}, {"builtin": True}, {"regexps": ["alloc|init"]},
    {"regexps": ["ALLOC"], "ignore_case": True},
    {"regexps": ["alloc"], "invert": True}, {"excludes": ["fs/xfs", "*.h"]}, {"lines": [(1, 500)]},
    {"words": ["mm", "fs"], "functions": ["*page*", "*inode*"], "min_size": 1, "accurate": True},
    {"files": ["*.c"], "excludes": ["mm"], "lines": [(100, 900), (3, 3)], "builtin": True},
]  # fmt: skip


@pytest.mark.parametrize("by", [None, *GROUPS])
@pytest.mark.parametrize("narrowing", NARROWING, ids=str)
def test_what_is_listed_is_what_is_asked_for(by: str | None, narrowing: dict[str, Any]) -> None:
    """The filter of the list counts, and no tag of another is asked for."""
    asked = Filter(**narrowing)
    names = Filter(**{key: value for key, value in narrowing.items()
                      if key not in ("min_size", "accurate")})  # fmt: skip
    with open_source(sample_path()) as source:
        groups: dict[Any, set[Any]] = {}
        for tag in source.read(names):
            groups.setdefault(group_key(tag.key, by) if by else tag.key, set()).add(tag.key)
        for key, tags in list(groups.items())[:: max(1, len(groups) // 12)]:
            if by == "directory":  # and all below
                tags = {each for folder, several in groups.items() for each in several
                        if f"{folder[0]}/".startswith(f"{key[0]}/")}  # fmt: skip
            if by == "module" and key[2] is None and names.items().keys() <= {"builtin"}:
                continue
            words = words_of(key, by, (), asked)
            assert set(selected(words, source)) == tags, words


def test_a_directory_of_files_that_a_regexp_narrows() -> None:
    asked = Filter(files=["*.c"], regexps=["x"])
    with pytest.raises(UsageError, match="too much for one question"):
        words_of(("fs", 0, None, ""), "directory", (), asked)
    # Inside, the tag is all that is asked for.
    assert "--regexp=x" not in words_of(("fs/a.c", 1, None, "f"), None, (), asked)


def test_another_proc_file_system_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(feed, "Taking", lambda what, words, live: asked.append(words))
    for path in ("/proc/allocinfo", "/host/proc/allocinfo"):
        source = SimpleNamespace(path=path)
        key = ("fs/a.c", 1, "xfs", "f")
        watched: Any = feed.LiveFeed(SimpleNamespace(source=source))  # type: ignore[arg-type]
        watched.take(key, "module", (), Filter(), False)
    assert asked == [["--module=xfs"], ["--source=/host/proc/allocinfo", "--module=xfs"]]


@pytest.mark.parametrize("live", [True, False])
def test_nothing_was_seen(live: bool) -> None:
    taken = Taken([], live, 5.0, 0, 0, 0, notes=["a note"])
    lines = Callers("x", live, 5, taken=taken).lines(80, False)
    text = ["".join(part for part, _ in line) for line in lines]
    assert text[0].startswith("nothing was allocated in that time")
    assert ("not freed" in text[0]) == live and "a note" in text


def test_all_notes_are_there() -> None:
    taken = parse_stacks(PIPES, "x")
    lines = Callers("x", False, 5, taken=taken).lines(60, False)
    text = " ".join("".join(part for part, _ in line) for line in lines)
    assert all(note in text for note in taken.notes) and "410 events in 0.3 s" in text
    assert max(len("".join(part for part, _ in line)) for line in lines) <= 60
