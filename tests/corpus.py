"""Generated questions about generated kernels, answered by allocq and by the oracle.

    python tests/corpus.py --questions 1000000        a million; --first N begins with question N

A question is a number: it chooses the kernel (simulated.py), the options and the way to the answer.
A wrong answer is printed with its number.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "vm")]

import oracle  # noqa: E402
import simulated  # noqa: E402
from command import Result, allocq, here  # noqa: E402
from oracle import Asked, Tag  # noqa: E402

PER_KERNEL = 100
"""Questions about one kernel."""
INTERFACES = ("ioctl", "text", "auto")
FORMATS = ("procfs", "procfs", "json", "jsonl", "csv", "tsv")
SORTS = ("none", "none", "bytes", "calls", "average", "file", "function", "module")
Row = tuple[Any, ...]


class Question(NamedTuple):
    """What is asked, how it is shown, and by which way."""

    asked: Asked
    interface: str
    format: str
    sort: str
    reverse: bool
    limit: int | None
    group: str | None
    count: bool
    native: bool
    forget: bool

    def argv(self) -> list[str]:
        words = ["query", "--interface", self.interface, *self.asked.argv()]
        if self.count:
            return [*words, "-c"]
        words += ["-o", self.format, "--sort", self.sort]
        words += ["--reverse"] * self.reverse
        if self.limit is not None:
            words += ["--limit", str(self.limit)]
        return [*words, *(["-g", self.group, "--bounds", "tags"] if self.group else [])]


def kernel(number: int) -> list[Tag]:
    """The tags of a kernel."""
    dice = random.Random(f"kernel {number}")
    return simulated.tags(dice, dice.choice((1, 3, 30, 100, 200)), dice.choice((0, 1, 5, 20)))


def _glob(dice: random.Random, name: str) -> str:
    """A pattern that may match this name."""
    if not name.isascii() or set(name) & set("*?[]"):
        return name
    start, end = sorted((dice.randrange(len(name) + 1), dice.randrange(len(name) + 1)))
    wild = "?" if end == start + 1 and dice.random() < 0.5 else "*"
    return dice.choice((name[:start] + wild + name[end:], "*" + name[end:], name[:start] + "*"))


def _file(dice: random.Random, tag: Tag) -> str:
    parts = tag.file.split("/")
    kind = dice.randrange(7)
    if kind == 0:
        return "/".join(parts[-dice.randrange(1, len(parts) + 1) :])
    if kind == 1 and len(parts) > 1:
        return ("/".join(parts[: dice.randrange(1, len(parts))]) or "/") + dice.choice(("", "/"))
    if kind == 2:
        return _glob(dice, tag.file)
    if kind == 3:
        return f"{parts[-1]}:{tag.line}" + dice.choice(("", f"-{tag.line + 50}"))
    return tag.file if kind < 6 else tag.file[-63:]


def _asked(dice: random.Random, tags: Sequence[Tag]) -> Asked:
    pick = lambda: dice.choice(tags)  # noqa: E731
    few = lambda make: [make() for _ in range(dice.choice((1, 1, 1, 2, 3)))]  # noqa: E731
    asked: dict[str, Any] = {}
    for name in dice.sample(
        ("files", "functions", "modules", "lines", "sizes", "calls", "accurate", "builtin",
         "excludes", "regexps"), dice.choice((0, 1, 1, 1, 2, 2, 3))
    ):  # fmt: skip
        if name in ("files", "excludes"):
            asked[name] = few(lambda: _file(dice, pick()))
        elif name == "functions":
            asked[name] = few(lambda: dice.choice((_glob(dice, pick().function), pick().function)))
        elif name == "modules" and "builtin" not in asked:
            asked[name] = few(lambda: pick().module or dice.choice(("none", "*", "a*")))
        elif name == "lines":
            asked[name] = few(lambda: (pick().line, 1 << 62))
        elif name == "sizes":
            low, high = sorted((pick().bytes, pick().bytes))
            asked |= {"min_size": max(0, low)} if dice.random() < 0.7 else {}
            asked |= {"max_size": max(0, high)} if dice.random() < 0.5 else {}
        elif name == "calls":
            low, high = sorted((pick().calls, pick().calls))
            asked |= {"min_calls": low} if dice.random() < 0.7 else {}
            asked |= {"max_calls": high} if dice.random() < 0.5 else {}
        elif name == "accurate":
            asked[name] = dice.random() < 0.5
        elif name == "builtin" and "modules" not in asked:
            asked[name] = True
        elif name == "regexps":
            asked[name] = few(lambda: dice.choice(("a+b", "^mm/", ":1 ", "func:_", r"\[a", "B{2}")))
            asked["ignore_case"] = dice.random() < 0.3
            asked["invert"] = dice.random() < 0.3
    return Asked(**asked)


def question(number: int, tags: Sequence[Tag]) -> Question:
    dice = random.Random(f"question {number}")
    group = (
        dice.choice(("file", "directory", "function", "module")) if dice.random() < 0.15 else None
    )
    asked = _asked(dice, tags)
    # The program by itself leaves these to Python.
    format = dice.choice(FORMATS[2:]) if group else dice.choice(FORMATS)
    alone = not asked.regexps and not group and format != "json"
    return Question(
        asked=asked,
        interface=dice.choice(INTERFACES),
        format=format,
        # A group has no other name than its key.
        sort=dice.choice((*SORTS[:5], group) if group in SORTS else SORTS[: 5 if group else 8]),
        reverse=dice.random() < 0.2,
        limit=dice.choice((0, 1, 2, 5, 1000)) if dice.random() < 0.4 else None,
        group=group,
        count=not group and dice.random() < 0.1,
        native=alone and dice.random() < 0.4,
        forget=dice.random() < 0.2,
    )


def _text(name: str | None) -> str | None:
    """As a format of UTF-8 shows it."""
    return None if name is None else oracle.decode(name.encode("utf-8", "surrogateescape"))


def expected_rows(question: Question, tags: Sequence[Tag]) -> list[Row]:
    """(bytes, calls, file, line, module, function, accurate) or (bytes, calls, tags, key), in
    order."""
    matching = oracle.meant(tags, question.asked)
    if question.group is None:
        shown = oracle.ordered(matching, question.sort, question.reverse, question.limit)
        return [tag[:-1] for tag in shown]
    groups = oracle.grouped(matching, question.group)
    rows = [(*sums, key) for key, sums in groups.items()]
    return oracle.ordered_groups(rows, question.sort, question.reverse, question.limit)


def shown_rows(question: Question, out: bytes) -> list[Row]:
    """The same from what was printed."""
    columns = ("bytes", "calls", "tags", question.group) if question.group else oracle.NAMES
    if question.format == "procfs":
        return [tag[:-1] for tag in oracle.parse(out)]
    text = out.decode("utf-8", "surrogateescape")
    if question.format == "json":
        document = json.loads(text)
        return [
            tuple(row[name] for name in columns)
            for row in document["groups" if question.group else "tags"]
        ]
    if question.format == "jsonl":
        return [tuple(json.loads(line)[name] for name in columns) for line in text.splitlines()]
    return _separated(question, text, columns)


def _separated(question: Question, text: str, columns: Sequence[str | None]) -> list[Row]:
    if question.format == "csv":
        header, *lines = csv.reader(io.StringIO(text, newline=""))
    else:
        header, *lines = [line.split("\t") for line in text.split("\n")[:-1]]
    assert tuple(header) == tuple(columns), header
    numbers = {"bytes", "calls", "line", "tags"}
    rows = []
    for line in lines:
        row: list[Any] = []
        for name, cell in zip(columns, line, strict=True):
            value: Any = int(cell) if name in numbers else cell
            if name == "accurate":
                value = {"true": True, "false": False}[cell]
            if name == "module" and not cell:
                value = None
            row.append(value)
        rows.append(tuple(row))
    return rows


def _replaced(rows: Sequence[Row]) -> list[Row]:
    """JSON has U+FFFD for each byte that is no UTF-8."""
    clean = lambda cell: "".join("\ufffd" if "\udc80" <= c <= "\udcff" else c for c in cell)  # noqa: E731
    return [tuple(clean(cell) if isinstance(cell, str) else cell for cell in row) for row in rows]


def wrong(question: Question, tags: Sequence[Tag], done: Result) -> str | None:
    """What is wrong with an answer, in words."""
    rows = expected_rows(question, tags)
    matching = oracle.meant(tags, question.asked)
    status = 0 if matching else 1
    if done.err or done.status != status:
        return f"status {done.status}, expected {status}: {done.err}"
    if question.count:
        due = b"%d\n" % len(matching)
        return None if done.out == due else f"{done.out!r}, expected {due!r}"
    shown = shown_rows(question, done.out)
    if question.format in ("json", "jsonl"):
        rows = _replaced(rows)
    if shown == rows:
        return None
    at = next(
        (i for i, pair in enumerate(zip(shown, rows, strict=False)) if pair[0] != pair[1]), -1
    )
    first = (shown[at], rows[at]) if at >= 0 else "one is longer"
    return f"{len(shown)} rows, expected {len(rows)}; {first}"


class Asker:
    """Asks in this process, which the shim is loaded in, or the native program."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        self.program = shlex.split(program)
        self._current = -1
        self.tags: list[Tag] = []
        os.environ["SIMULATED_KERNEL"] = str(folder / "kernel")

    def boot(self, number: int) -> None:
        """Choose the kernel."""
        if number != self._current:
            self._current = number
            self.tags = kernel(number)
            self.forget()
            simulated.write(self.folder / "kernel", self.tags, number + 1, number % 64 + 1)

    def forget(self) -> None:
        """Drop the tag cache."""
        shutil.rmtree(self.folder / "kernel" / "allocq", ignore_errors=True)

    def ask(self, number: int) -> str | None:
        """What is wrong with the answer to a question."""
        self.boot(number // PER_KERNEL)
        asked = question(number, self.tags)
        if asked.forget:
            self.forget()
        run: Callable[..., Result] = here
        if asked.native:
            run = lambda *argv: allocq(*argv, program=self.program)  # noqa: E731
        try:
            said = wrong(asked, self.tags, run(*asked.argv()))
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        return said and f"question {number}: {said}\n    {asked}"


def ask_all(first: int, last: int, program: str) -> int:
    """Ask these questions; returns how many answers were wrong, and prints them."""
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        asker = Asker(Path(folder), program)
        for number in range(first, last):
            if said := asker.ask(number):
                failures += 1
                print(said, flush=True)
    return failures


def start(shim: Path, program: Path, first: int, last: int) -> subprocess.Popen[str]:
    """A process with the shim that asks these questions."""
    words = [
        "--worker",
        shlex.quote(str(program)),
        "--first",
        str(first),
        "--questions",
        str(last - first),
    ]
    environment = {**os.environ, "LD_PRELOAD": str(shim), "PYTHONHASHSEED": "0"}
    return subprocess.Popen(
        [sys.executable, __file__, *words],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def ask_in_parallel(questions: int, first: int = 0) -> tuple[int, str]:
    """Ask in as many processes as there are CPUs; (the worst exit status, what was wrong)."""
    workers = len(os.sched_getaffinity(0))
    bounds = [first + questions * n // workers for n in range(workers + 1)]
    with tempfile.TemporaryDirectory() as folder:
        shim, program = simulated.build(Path(folder))
        jobs = [start(shim, program, a, b) for a, b in pairwise(bounds)]
        said = "".join(job.communicate()[0] for job in jobs)
    return max(abs(job.returncode) for job in jobs), said


def main() -> int:
    parser = argparse.ArgumentParser(description="Ask generated questions.")
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return ask_all(args.first, args.first + args.questions, args.worker) > 0
    status, said = ask_in_parallel(args.questions, args.first)
    print(said, end="")
    print(f"{args.questions} questions, {said.count('question ')} wrong answers")
    return status


if __name__ == "__main__":
    sys.exit(main())
