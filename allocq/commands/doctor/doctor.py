"""Prints the report of `allocq doctor` as text or JSON."""

import dataclasses
import json
from collections.abc import Mapping

from ...options.commands import DOCTOR_FORMATS
from ...options.shared import COLORS
from ...output.stream import Output
from ...output.terminal import printable, screen_of, wants_color, wrapped
from ..arguments import choice
from .diagnose import GOOD, NOT_GOOD, VERDICTS, Finding, findings, reason, verdict
from .facts import Facts, gather

_COLORS = {GOOD: "\x1b[32m", NOT_GOOD: "\x1b[31m"}
_LEAST, _INDENT = 30, "    "  # columns that a text needs beside its item; where it is below it
_DIM, _PLAIN = "\x1b[33m", "\x1b[0m"


def doctor_command(values: Mapping[str, object], fd: int = 1) -> int:
    """Run the command; returns 0 ready for the ioctl, 1 works with limitations, 2 cannot work."""
    format = choice("format", values.get("format"), DOCTOR_FORMATS) or "table"
    color = choice("color", values.get("color"), COLORS) or "auto"
    facts = gather()
    out = Output(fd)
    if format == "json":
        out.write(as_json(facts))
    else:
        screen = screen_of(fd)
        painted = wants_color(color, screen.terminal)
        lines = in_lines(findings(facts), verdict(facts), reason(facts), painted, screen.width)
        out.write("".join(line + "\n" for line in lines).encode("utf-8", "backslashreplace"))
    out.release()
    return verdict(facts)


def in_lines(
    report: list[Finding], status: int, why: str, color: bool, columns: int | None = None
) -> list[str]:
    """The report for people: state, item, value, and each fix once. columns: of the terminal, None
    for no limit."""
    verdict = VERDICTS[status] + (f": {why}" if why else "")
    lines = finding_lines(report, color, columns)
    return [*lines, "", *([verdict] if columns is None else wrapped(verdict, columns))]


def finding_lines(report: list[Finding], color: bool, columns: int | None = None) -> list[str]:
    """The findings alone."""
    width = max(len(finding.item) for finding in report)
    lines = []
    fixes = {""}
    for finding in report:
        start = f"{finding.state:8}  {printable(finding.item):{width}}  "
        told = _laid(start, printable(finding.value), columns)
        if color:
            state = told[0][:8]
            told[0] = _COLORS.get(finding.state, _DIM) + state + _PLAIN + told[0][8:]
        lines += told
        if finding.mend not in fixes:
            lines += _laid(" " * len(start), f"-> {printable(finding.mend)}", columns)
            fixes.add(finding.mend)
    return lines


def _laid(start: str, text: str, columns: int | None) -> list[str]:
    """`start` and `text` in lines of at most `columns`: the text beside the start, or below it."""
    line = (start + text).rstrip()
    if columns is None or len(line) <= columns:
        return [line]
    if columns - len(start) >= _LEAST:
        lines = wrapped("-" * len(start) + text, columns, len(start))
        return [start + lines[0][len(start) :], *lines[1:]]
    below = wrapped(_INDENT + text, columns, len(_INDENT))
    return [*filter(None, [start.rstrip()]), *below]


def as_json(facts: Facts) -> bytes:
    """One JSON object: the verdict, the findings, and the facts behind them."""
    status = verdict(facts)
    document = {
        "verdict": VERDICTS[status],
        "status": status,
        "reason": reason(facts) or None,
        "findings": [dataclasses.asdict(finding) for finding in findings(facts)],
        "facts": dataclasses.asdict(facts),
    }
    # Paths may have bytes that are not UTF-8: U+FFFD stands for them.
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()
