"""Reads the `hist` file of a trace event: what histogram triggers have counted.

Pure: text in, values out. The file is what hist_trigger_show() in kernel/trace/trace_events_hist.c
prints, a table for each trigger.
"""

import re
from dataclasses import dataclass, field

from ..errors import FormatError

_INFO = "# trigger info: "
_STACK = re.compile(r"\{ ([\w.]*stacktrace)(?::?$|\s+(\S.*)$)")
_PAIR = re.compile(r"([\w.]+):\s+(-?\d+)")
_END = re.compile(r"^(.*)\} (hitcount:\s+\d+.*)$")
_TOTAL = re.compile(r"\s+(Hits|Entries|Dropped): (\d+)")


@dataclass(frozen=True, slots=True)
class Row:
    """One entry. stack: the frames, innermost first, as the kernel prints them
    (`alloc_pipe_info+0x72/0x270 [module]`); keys: the other keys; values: the sums by name."""

    stack: tuple[str, ...]
    keys: dict[str, int]
    values: dict[str, int]

    @property
    def hits(self) -> int:
        """How many events it sums up."""
        return self.values.get("hitcount", 0)


@dataclass(slots=True)
class Histogram:
    """One table. trigger: as it was set. dropped: events that found the table full."""

    trigger: str
    rows: list[Row] = field(default_factory=list)
    hits: int = 0
    entries: int = 0
    dropped: int = 0


def parse_histograms(text: str) -> list[Histogram]:
    """The tables of a `hist` file. FormatError where a line is none of a table."""
    tables: list[Histogram] = []
    frames: list[str] | None = None
    for line in text.splitlines():
        if frames is None and line.startswith(_INFO):
            tables.append(Histogram(line.removeprefix(_INFO)))
        elif frames is None and (not line.strip() or line.startswith(("#", "Totals:"))):
            continue
        elif not tables:
            raise _unknown(line)
        elif frames is None and (total := _TOTAL.fullmatch(line)):
            setattr(tables[-1], total[1].lower(), int(total[2]))
        elif frames is None and line.startswith("{ "):
            if opened := _STACK.match(line):
                frames = [opened[2].strip()] if opened[2] else []
            elif closed := _END.match(line):
                tables[-1].rows.append(_row((), closed[1], closed[2]))
            else:
                raise _unknown(line)
        elif frames is not None and line[:1] in (" ", "\t"):
            frames.append(line.strip())
        elif frames is not None and (closed := _END.match(line)):
            tables[-1].rows.append(_row(tuple(frames), closed[1], closed[2]))
            frames = None
        else:
            raise _unknown(line)
    if frames is not None:
        raise FormatError("the histogram is truncated")
    return tables


def _row(frames: tuple[str, ...], keys: str, values: str) -> Row:
    return Row(frames, _numbers(keys), _numbers(values))


def _numbers(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in _PAIR.findall(text)}


def _unknown(line: str) -> FormatError:
    return FormatError(f"not a valid line of a histogram: {line[:80]!r}")
