"""The checks of `verify`, one function each: the ioctl compared with the text."""

import errno
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from ...model import Filter
from ...sources.source import Source, open_source
from . import rawioctl
from .bracket import ATTEMPTS, SURE, Outcome, Question, Undecided, compare, question
from .rawioctl import (
    CONTENT_ID,
    FILE,
    FUNCTION,
    GET_AT,
    GET_AT_SIZE,
    GET_NEXT,
    INACCURATE,
    KNOWN_MASK,
    LINE,
    MAX_SIZE,
    MIN_SIZE,
    MODULE,
    NAME_BYTES,
    NEXT_SIZE,
    U64,
    BadText,
    IoctlFilter,
    Kernel,
    Row,
)

_T = TypeVar("_T")
_NAMES = MODULE | FUNCTION | FILE | LINE
_NOWHERE = b"no such name"
INTERFACES = ("ioctl", "text", "auto")


class Skipped(Exception):
    """This kernel has nothing to check it with."""


class CheckContext:
    """Shared state of the checks. rounds: random filters, and at most as many values per field."""

    def __init__(self, kernel: Kernel, seed: int, rounds: int) -> None:
        self.kernel = kernel
        self.rounds = rounds
        self.seed = seed
        self.random = random.Random(seed)

    def compare(self, wanted: Iterable[IoctlFilter]) -> Outcome:
        """Compare the ioctl with the text for each of these filters."""
        return compare(self.kernel, [question(self.kernel, one) for one in dict.fromkeys(wanted)])

    def rows(self) -> list[Row]:
        """The tags of the text, with names trimmed as by the ioctl."""
        return [row.trimmed() for row in self.kernel.text()]

    def some(self, values: Iterable[_T], most: int | None = None) -> list[_T]:
        """At most `most` (default: `rounds`) distinct values, in their order."""
        different = list(dict.fromkeys(values))
        most = self.rounds if most is None else most
        if len(different) <= most:
            return different
        kept = set(self.random.sample(range(len(different)), most))
        return [value for i, value in enumerate(different) if i in kept]

    def steady(
        self, ask: Callable[[list[Row]], Outcome | list[str]], questions: int = 0, tags: int = 0
    ) -> Outcome:
        """The result of `ask(rows)` where no module is loaded or unloaded meanwhile.

        Differences count if they are there every one of SURE times. Undecided.
        """
        choices = self.random.getstate()
        held = 0
        for _ in range(ATTEMPTS):
            self.random.setstate(choices)
            before = self.kernel.content_id()
            try:
                result = ask(self.rows())
            except (OSError, BadText) as error:  # a tag that was asked for is gone, perhaps
                result = [str(error)]
            if self.kernel.content_id() != before:
                continue
            held += 1
            if isinstance(result, list):
                result = outcome_of(result, questions, tags)
            if not result.differences or held == SURE:
                return result
        raise Undecided("modules were loaded or unloaded during every attempt")

    @contextmanager
    def another(self) -> Iterator[Kernel]:
        """A second open file."""
        other = self.kernel.another()
        try:
            yield other
        finally:
            other.close()


Check = Callable[[CheckContext], Outcome]


def outcome_of(differences: Iterable[str], questions: int = 0, tags: int = 0) -> Outcome:
    """An Outcome from a list of differences."""
    return Outcome(list(differences), questions, tags)


def named(row: Row) -> IoctlFilter:
    """The filter on all names and the line of a row."""
    return IoctlFilter(_NAMES, *row.name)


def _error(code: int) -> str:
    return errno.errorcode.get(code, str(code)) if code else "success"


def _expect(what: str, code: int, expected: int) -> list[str]:
    return [] if code == expected else [f"{what}: {_error(code)}, expected {_error(expected)}"]


def _same(what: str, got: object, due: object) -> list[str]:
    return [] if got == due else [f"{what}: {got}, expected {due}"]


# The whole


def content_id_is_steady(context: CheckContext) -> Outcome:
    """All open files have the same content ID, and reading it does not change it."""
    with context.another() as other:
        for _ in range(ATTEMPTS):
            ids = [kernel.content_id() for kernel in (context.kernel, other, context.kernel)]
            if len(set(ids)) == 1:
                return outcome_of([])
    raise Undecided("the content ID changed during every attempt")


def every_tag(context: CheckContext) -> Outcome:
    """All tags, their order and their counters."""
    return context.compare([IoctlFilter()])


def fresh_file(context: CheckContext) -> Outcome:
    """GET_NEXT works without GET_AT."""

    def ask(rows: list[Row]) -> list[str]:
        with context.another() as other:
            return _same("the first tag", other.get_next().name, rows[0].name)

    return context.steady(ask, 1, 1)


def the_end(context: CheckContext) -> Outcome:
    """The end of the list is ENOENT, once."""

    def ask(rows: list[Row]) -> list[str]:
        kernel = context.kernel
        wrong = _same("the last tag", kernel.get_at(len(rows) - 1).name, rows[-1].name)
        wrong += _expect(
            "after the last tag", kernel.errno(GET_NEXT, bytes(NEXT_SIZE)), errno.ENOENT
        )
        if kernel.errno(GET_NEXT, bytes(NEXT_SIZE)):
            return [*wrong, "after the end: an error, expected the first tag"]
        return wrong + _same("after the end", kernel.get_next().name, rows[1 % len(rows)].name)

    return context.steady(ask, 1, 3)


def positions(context: CheckContext) -> Outcome:
    """GET_AT with each position."""

    def ask(rows: list[Row]) -> Outcome:
        asked = [*context.some(range(len(rows))), len(rows) - 1]
        wrong = []
        for at in asked:
            wrong += _same(f"position {at}", context.kernel.get_at(at).name, rows[at].name)
        return outcome_of(wrong, len(asked), len(asked))

    return context.steady(ask)


def positions_beyond(context: CheckContext) -> Outcome:
    """Positions after the last tag do not exist."""

    def ask(rows: list[Row]) -> list[str]:
        wrong = []
        for at in (len(rows), len(rows) + 1, 1 << 32, (1 << 63), U64 - 1):
            code = context.kernel.errno(GET_AT, rawioctl.get_at(at, IoctlFilter()))
            wrong += _expect(f"position {at}", code, errno.ENOENT)
        return wrong

    return context.steady(ask, 5)


def positions_of_matches(context: CheckContext) -> Outcome:
    """Positions count only matching tags."""

    def ask(rows: list[Row]) -> Outcome:
        common = [file for file, _ in Counter(row.file for row in rows).most_common(3)]
        asked = [IoctlFilter(FILE, file=file) for file in common]
        asked += [IoctlFilter(MODULE), IoctlFilter(LINE, line=rows[0].line)]
        asked += [IoctlFilter(MODULE, module=row.module) for row in rows[-1:] if row.module]
        wrong: list[str] = []
        tags = 0
        for wanted in asked:
            due = [row.name for row in rows if wanted.names_match(row)]
            chosen = context.some(range(len(due)), 20)
            for at in chosen:
                got = context.kernel.get_at(at, wanted)
                wrong += _same(f"{wanted}, position {at}", got.name, due[at])
            code = context.kernel.errno(GET_AT, rawioctl.get_at(len(due), wanted))
            wrong += _expect(f"{wanted}, position {len(due)}", code, errno.ENOENT)
            tags += len(chosen)
        return outcome_of(wrong, len(asked), tags)

    return context.steady(ask)


# Filters


def modules(context: CheckContext) -> Outcome:
    """Each module, and built-in code."""
    names = context.some(row.module for row in context.rows())
    return context.compare(IoctlFilter(MODULE, module=name) for name in [b"", *names])


def files(context: CheckContext) -> Outcome:
    """Each file."""
    return context.compare(
        IoctlFilter(FILE, file=name) for name in context.some(r.file for r in context.rows())
    )


def functions(context: CheckContext) -> Outcome:
    """Each function."""
    names = context.some(row.function for row in context.rows())
    return context.compare(IoctlFilter(FUNCTION, function=name) for name in names)


def lines(context: CheckContext) -> Outcome:
    """Each line number, and some that no tag has."""
    numbers = context.some(row.line for row in context.rows())
    return context.compare(IoctlFilter(LINE, line=line) for line in [*numbers, 0, 1 << 32, U64 - 1])


def nothing_matches(context: CheckContext) -> Outcome:
    """Filters that match nothing."""
    wrong = []
    asked = (
        IoctlFilter(MODULE, module=_NOWHERE),
        IoctlFilter(FUNCTION, function=_NOWHERE),
        IoctlFilter(FILE, file=_NOWHERE),
        IoctlFilter(FUNCTION),
        IoctlFilter(FILE),
        IoctlFilter(LINE, line=U64 - 1),
    )
    for wanted in asked:
        code = context.kernel.errno(GET_AT, rawioctl.get_at(0, wanted))
        wrong += _expect(str(wanted), code, errno.ENOENT)
    return outcome_of(wrong, len(asked))


def parts_of_names(context: CheckContext) -> Outcome:
    """Parts of names, other case and globs do not match."""
    asked = []
    for row in context.some(context.rows(), 10):
        for mask, name in ((FILE, row.file), (FUNCTION, row.function), (MODULE, row.module)):
            if not name:
                continue
            other = (name[1:], name[:-1], name + b"x", b"/" + name, name.swapcase(), b"*", b"?")
            for wrong in (*other, name.rpartition(b"/")[2]):
                asked.append(IoctlFilter(mask, wrong[:64], wrong[:64], wrong[:64]))
    return context.compare(asked)


def long_names(context: CheckContext) -> Outcome:
    """Longer names match by their last 63 bytes, not by the first ones or by 64."""
    asked = []
    for row in context.kernel.text():
        for mask, name in ((FILE, row.file), (FUNCTION, row.function), (MODULE, row.module)):
            if len(name) > NAME_BYTES:
                asked += [
                    IoctlFilter(mask, end, end, end)
                    for end in (name[-NAME_BYTES:], name[:NAME_BYTES], name[-64:], name[:64])
                ]
    if not asked:
        raise Skipped("no name is longer than 63 bytes")
    return context.compare(context.some(asked, 4 * context.rounds))


def _sizes(context: CheckContext) -> list[Row]:
    rows = sorted(context.rows(), key=lambda row: row.size)
    return [
        rows[0],
        *context.some((row for row in rows if row.size), context.rounds // 4),
        rows[-1],
    ]


def minimum_sizes(context: CheckContext) -> Outcome:
    """Inclusive bounds around the sizes of tags."""
    bounds = {(row.size + step) % U64 for row in _sizes(context) for step in (-1, 0, 1)}
    wide = sorted(bounds | {0, 1, 1 << 20, (1 << 63) - 1, 1 << 63, U64 - 1})
    return context.compare(IoctlFilter(MIN_SIZE, min_size=size) for size in wide)


def maximum_sizes(context: CheckContext) -> Outcome:
    """Inclusive bounds around the sizes of tags; the kernel compares unsigned."""
    bounds = {(row.size + step) % U64 for row in _sizes(context) for step in (-1, 0, 1)}
    wide = [*context.some(sorted(bounds), 30), 0, (1 << 63) - 1, 1 << 63, U64 - 1]
    return context.compare(IoctlFilter(MAX_SIZE, max_size=size) for size in wide)


def sizes_of_one_tag(context: CheckContext) -> Outcome:
    """Both bounds around single tags, with and without their names."""
    asked = []
    for row in _sizes(context):
        size = row.size % U64
        ranges = [(size, size), (max(0, size - 1), size), (size, min(U64 - 1, size + 1))]
        ranges += [(size + 1, U64 - 1)] if size < U64 - 1 else []
        ranges += [(0, size - 1)] if size else []
        for low, high in ranges:
            asked.append(IoctlFilter(_NAMES | MIN_SIZE | MAX_SIZE, *row.name, low, high))
        asked.append(IoctlFilter(MIN_SIZE | MAX_SIZE, min_size=size, max_size=size))
    return context.compare(asked)


def accuracy(context: CheckContext) -> Outcome:
    """0 selects accurate counters, any other value inaccurate ones."""
    return context.compare(
        IoctlFilter(INACCURATE, inaccurate=value) for value in (0, 1, 2, U64 - 1)
    )


def _filter_of(context: CheckContext, rows: Sequence[Row], mask: int) -> IoctlFilter:
    """A filter with the fields in `mask`, whose values mostly come from the same tag."""
    own = context.random.choice(rows)
    row = own if context.random.random() < 0.7 else context.random.choice(rows)
    size = own.size % U64
    low = context.random.choice([0, size, max(0, size - 4096), size // 2])
    high = context.random.choice([size, min(U64 - 1, size + 4096), U64 - 1])
    inaccurate = int(not own.accurate) if context.random.random() < 0.8 else 1
    return IoctlFilter(
        mask, row.module, own.function, own.file, own.line, low, max(low, high), inaccurate
    )


def combinations(context: CheckContext) -> Outcome:
    """All 128 masks."""
    rows = context.rows()
    return context.compare(_filter_of(context, rows, mask) for mask in range(KNOWN_MASK + 1))


def random_filters(context: CheckContext) -> Outcome:
    """As many random filters as --rounds."""
    rows = context.rows()
    masks = [context.random.randrange(KNOWN_MASK + 1) for _ in range(context.rounds)]
    return context.compare(_filter_of(context, rows, mask) for mask in masks)


# What is refused


def unknown_mask_bits(context: CheckContext) -> Outcome:
    """Each of the 57 unknown bits."""
    wrong = []
    for bit in range(7, 64):
        for mask in (1 << bit, 1 << bit | FILE):
            code = context.kernel.errno(GET_AT, rawioctl.get_at(0, IoctlFilter(mask)))
            wrong += _expect(f"mask bit {bit}", code, errno.EINVAL)
    return outcome_of(wrong, 114)


def crossed_sizes(context: CheckContext) -> Outcome:
    """Rejected only if the mask has both bounds."""
    kernel = context.kernel
    wrong = []
    for low, high in ((1, 0), (4097, 4096), (U64 - 1, 0), (1 << 63, (1 << 63) - 1)):
        for mask, due in ((MIN_SIZE | MAX_SIZE, errno.EINVAL), (MAX_SIZE, 0), (0, 0)):
            wanted = IoctlFilter(mask, min_size=low, max_size=high)
            code = kernel.errno(GET_AT, rawioctl.get_at(0, wanted))
            if due == 0 and code == errno.ENOENT and mask:
                continue
            wrong += _expect(f"sizes {low} to {high}, mask {mask:#x}", code, due)
    return outcome_of(wrong, 12)


def unknown_commands(context: CheckContext) -> Outcome:
    """Unknown numbers, sizes, directions and types."""
    command = rawioctl.command
    asked = {command(number, 8) for number in (3, 4, 127, 255)}
    asked |= {command(0, size) for size in (0, 4, 16)}
    asked |= {command(1, GET_AT_SIZE + step, write=True) for step in (-8, 8)}
    asked |= {command(2, NEXT_SIZE + step) for step in (-8, 8)}
    asked |= {command(0, 8, write=True), command(1, GET_AT_SIZE), command(2, NEXT_SIZE, read=False)}
    asked |= {CONTENT_ID ^ 0x100, GET_AT ^ 0x100, GET_NEXT ^ 0x100}
    wrong = []
    for number in sorted(asked):
        code = context.kernel.errno(number, bytes(GET_AT_SIZE + 8))
        wrong += _expect(f"command {number:#x}", code, errno.ENOTTY)
    return outcome_of(wrong, len(asked))


def bad_address(context: CheckContext) -> Outcome:
    """Every command rejects a bad address."""
    wrong = []
    for number in (CONTENT_ID, GET_AT, GET_NEXT):
        wrong += _expect(f"command {number:#x}", context.kernel.fault(number), errno.EFAULT)
    return outcome_of(wrong, 3)


# The open file


def echo(context: CheckContext) -> Outcome:
    """The query comes back unchanged, and padding is zero."""

    def ask(rows: list[Row]) -> list[str]:
        wrong = []
        for row in context.some(rows, 10):
            asked = rawioctl.get_at(0, named(row))
            answer = context.kernel.ioctl(GET_AT, asked)
            head = GET_AT_SIZE - NEXT_SIZE
            wrong += _same(f"{row}: the query", answer[:head], asked[:head])
            wrong += _same(f"{row}: the padding", answer[-7:], bytes(7))
            wrong += [] if answer[-8] in (0, 1) else [f"{row}: accurate is {answer[-8]}"]
            for start in (head, head + 64, head + 128):
                rest = answer[start : start + 64].partition(b"\0")[2]
                wrong += [] if not any(rest) else [f"{row}: data after the end of a name"]
        return wrong

    return context.steady(ask, 10, 10)


def own_cursor(context: CheckContext) -> Outcome:
    """Two open files do not disturb each other."""

    def ask(rows: list[Row]) -> list[str]:
        with context.another() as other:
            context.kernel.get_at(0)
            common = Counter(row.file for row in rows).most_common(1)[0][0]
            theirs = [row.name for row in rows if row.file == common]
            wrong = _same(
                "the other file", other.get_at(0, IoctlFilter(FILE, file=common)).name, theirs[0]
            )
            for at in range(1, min(4, len(theirs), len(rows))):
                wrong += _same("the first file", context.kernel.get_next().name, rows[at].name)
                wrong += _same("the other file", other.get_next().name, theirs[at])
            return wrong

    return context.steady(ask, 2, 8)


def reading_and_asking(context: CheckContext) -> Outcome:
    """Reading the text does not move the ioctl cursor, and the ioctl does not move the file."""

    def ask(rows: list[Row]) -> list[str]:
        wrong = []
        context.kernel.get_at(0)
        context.kernel.rewind()
        pieces = []
        at = 0
        while piece := context.kernel.read(4096):
            pieces.append(piece)
            at += 1
            if at < len(rows):
                wrong += _same("the cursor", context.kernel.get_next().name, rows[at].name)
        text = [row.trimmed().name for row in rawioctl.parse(b"".join(pieces))]
        return wrong + (
            [] if text == [r.name for r in rows] else ["the text: changed by the ioctl"]
        )

    return context.steady(ask, 1, 1)


def filter_is_forgotten(context: CheckContext) -> Outcome:
    """GET_AT without a filter returns all tags again."""

    def ask(rows: list[Row]) -> list[str]:
        context.kernel.scan(named(rows[len(rows) // 2]))
        got = [context.kernel.get_at(0).name]
        got += [context.kernel.get_next().name for _ in range(min(20, len(rows) - 1))]
        return _same("the first tags", got, [row.name for row in rows[: len(got)]])

    return context.steady(ask, 2, 21)


# allocq's own answers


def _ours(
    source: Source, interface: str, filter: Filter, matches: Callable[[Row], bool]
) -> Question:
    """The query of allocq through one interface."""

    def ask() -> list[Row]:
        return [
            Row(
                _bytes(tag.module or ""),
                _bytes(tag.function),
                _bytes(tag.file),
                tag.line,
                tag.bytes,
                tag.calls % (1 << 64),  # the kernel's own reading, which has no sign
                tag.accurate,
            )
            for tag in source.read(filter)
        ]

    low = -(1 << 63) if filter.min_size is None else filter.min_size
    high = (1 << 63) - 1 if filter.max_size is None else filter.max_size
    words = f"allocq --interface {interface}, {filter}"
    return Question(matches, [(low, high)], filter.accurate, ask, False, words)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def own_answers(context: CheckContext) -> Outcome:
    """Queries through ioctl, text and auto, with whole names."""
    rows = context.kernel.text()
    asked: list[tuple[Filter, Callable[[Row], bool]]] = [(Filter(), lambda row: True)]
    asked += [(Filter(builtin=True), lambda row: not row.module)]
    asked += [(Filter(accurate=value), lambda row: True) for value in (True, False)]
    asked += [(Filter(min_size=1 << 20), lambda row: True)]
    for row in context.some(rows, 12):
        asked += _filters_of(row)
    with ExitStack() as stack:
        sources = [
            (stack.enter_context(open_source(None, interface)), interface)
            for interface in INTERFACES
        ]
        for source, _ in sources:
            source.read()  # the open file and its buffer are counted too: allocate them first
        questions = [_ours(*source, *one) for one in asked for source in sources]
        return compare(context.kernel, questions, scan=True)


def _filters_of(row: Row) -> list[tuple[Filter, Callable[[Row], bool]]]:
    """Typical queries that find this tag."""
    file, function = os.fsdecode(row.file), os.fsdecode(row.function)
    if any(c in file + function for c in "*?["):
        return []
    base = file.rpartition("/")[2]

    def same_base(other: Row) -> bool:
        return other.file.rpartition(b"/")[2] == row.file.rpartition(b"/")[2]

    def same_function(other: Row) -> bool:
        return other.function == row.function

    size = max(0, row.size)
    return [
        (Filter(files=[base]), same_base),
        (Filter(functions=[function]), same_function),
        (Filter(files=[base], min_size=size), same_base),
        (Filter(functions=[function], lines=[(row.line, row.line)], max_size=size),
         lambda other: same_function(other) and other.line == row.line),
    ]  # fmt: skip


CHECKS: tuple[tuple[str, Check], ...] = (
    ("the content ID is the same for every open file", content_id_is_steady),
    ("GET_AT and GET_NEXT return every tag, in the order of the text", every_tag),
    ("GET_NEXT alone starts with the first tag", fresh_file),
    ("after the last tag, GET_NEXT returns ENOENT once, then the first tag", the_end),
    ("GET_AT finds tags by position", positions),
    ("positions after the last tag return ENOENT", positions_beyond),
    ("with a filter, positions count the matching tags", positions_of_matches),
    ("filter: every module, and built-in code by the empty name", modules),
    ("filter: files", files),
    ("filter: functions", functions),
    ("filter: lines", lines),
    ("filter: no match returns ENOENT", nothing_matches),
    ("filter: names match as a whole", parts_of_names),
    ("filter: names over 63 bytes match by their last 63 bytes", long_names),
    ("filter: minimum sizes are inclusive", minimum_sizes),
    ("filter: maximum sizes are inclusive and unsigned", maximum_sizes),
    ("filter: both sizes around the size of a tag", sizes_of_one_tag),
    ("filter: accurate and inaccurate counters", accuracy),
    ("filter: all 128 combinations of fields", combinations),
    ("filter: random filters", random_filters),
    ("unknown mask bits return EINVAL", unknown_mask_bits),
    ("a minimum size above the maximum returns EINVAL", crossed_sizes),
    ("unknown commands, sizes and directions return ENOTTY", unknown_commands),
    ("a bad address returns EFAULT", bad_address),
    ("GET_AT returns the query unchanged, padded with zeros", echo),
    ("every open file has its own cursor and filter", own_cursor),
    ("reading the text and using the ioctl do not disturb each other", reading_and_asking),
    ("GET_AT without a filter clears the previous filter", filter_is_forgotten),
    ("allocq query agrees with the text through every interface", own_answers),
)
