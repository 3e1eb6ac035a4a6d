"""The names of a running kernel's tags, read for the first time, and what asking costs there."""

import posix
import time

from ..core import scan
from ..core.table import Table
from ..errors import FormatError
from ..model import Filter
from . import names
from .plan import Costs
from .source import Live

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .plan import Fields

_PAGE = 1 << 16
_FEW = 16
_FEW_CPUS = 16
_REREADS, _READS = 2, 5
_ROUNDS = 5
_MOST_SUMMED = 48
_IMPOSSIBLE: "Fields" = {"min_size": 1 << 62, "max_size": 1 << 62}


def read_names(source: Live, content: int | None) -> tuple[bytes, Costs]:
    """Read the whole text, keep it and what asking costs: that is measured once per boot."""
    posix.lseek(source.fd, 0, 0)
    pieces = _read_pieces(source.fd)
    text = b"".join(pieces)
    if not text:
        raise FormatError(f"{source.path} is empty")
    before = names.load(names.boot_id(), None)
    if before is None:
        whole = _time_reads(source.fd) * len(pieces)
        costs = measure(source, scan.parse(text, scan.Check(Filter())), whole)
    else:
        costs = before.costs
        costs.text = costs.text * len(text) // max(1, len(before.text))
    if content is not None and source.content_id() == content:
        names.save(names.boot_id(), content, text, costs)
    return text, costs


def _read_pieces(fd: int, most: int | None = None) -> list[bytes]:
    """The text from where it stands, as many reads as it takes but at most `most`."""
    pieces: list[bytes] = []
    while (most is None or len(pieces) < most) and (piece := posix.read(fd, _PAGE)):
        pieces.append(piece)
    return pieces


def _time_reads(fd: int) -> int:
    """Nanoseconds of one read, which gives a page. It is warm, as what else is measured."""
    posix.lseek(fd, 0, 0)
    times = []
    for _ in range(_REREADS):
        begin = time.perf_counter_ns()
        _read_pieces(fd, _READS)
        times.append(time.perf_counter_ns() - begin)
    return min(times) // _READS


def measure(source: Live, table: Table, text: int) -> Costs:
    """Time the kernel's steps with a few scans that together cost a part of the text.

    Raises Stale if a module came or went since `table` was read.
    """
    fd, room, check = source.fd, Table(), scan.Check(Filter())
    tags = max(2, len(table))
    few = min(max(_FEW, tags // 40), tags - 1)

    def timed(seen: scan.KernelFilter | tuple[int, int]) -> int:
        room.clear()
        begin = time.perf_counter_ns()
        if isinstance(seen, tuple):
            scan.seek(fd, table, [seen], check, room)
        else:
            scan.ask(fd, seen, check, room)
        return time.perf_counter_ns() - begin

    file, summed = _probe_file(table.strings("file"))
    nothing = scan.KernelFilter({"file": "no such file"})
    no_sum = scan.KernelFilter({"file": file, **_IMPOSSIBLE})
    timed((0, few + 1))  # makes room
    rounds = []
    for turn in range(_ROUNDS):
        place = (tags - few) * turn // _ROUNDS  # tags not looked at before, as most are
        rounds.append(
            (
                timed((0, 1)),
                timed((tags - 1, 1)),
                timed((place, 1)),
                timed((place, few + 1)),
                timed(nothing),
                timed(no_sum),
            )
        )
    one, last, _, _, walk, sums = map(min, zip(*rounds, strict=True))
    step = max(1, (last - one) // tags)
    # A line of the text costs a sum and some printing: a tag handed out is not cheaper.
    line = max(1, text // tags)
    sum_ = (sums - walk) // summed
    # All of them, where that is cheap: a few, here and there, cost more each.
    if sum_ < line // 2 or posix.sysconf("SC_NPROCESSORS_CONF") <= _FEW_CPUS:
        sum_ = (timed(scan.KernelFilter(_IMPOSSIBLE)) - last) // tags
    return Costs(
        call=_median([call for call, *_ in rounds]),
        tag=max(line, min((some - first) // few for _, _, first, some, _, _ in rounds)),
        step=step,
        compare=max(1, (walk - one) // tags - step),
        sum=min(max(0, sum_), line),
        text=text,
    )


def _probe_file(files: list[str]) -> tuple[str, int]:
    """A file with several tags, but few, and how many."""
    counts: dict[str, int] = {}
    for file in files:
        counts[file] = counts.get(file, 0) + 1
    few = [(count, file) for file, count in counts.items() if count <= _MOST_SUMMED]
    count, file = max(few, default=(1, "no such file either"))
    return file, count


def _median(numbers: list[int]) -> int:
    return sorted(numbers)[(len(numbers) - 1) // 2]
