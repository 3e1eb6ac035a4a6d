"""Prints the report of `allocq doctor` as text or JSON."""

import dataclasses
import json
import os
from collections.abc import Mapping

from ...declarations.commands import DOCTOR_FORMATS
from ...declarations.shared import COLORS
from ...output.stream import Output
from ...output.terminal import printable, wants_color
from ..arguments import choice
from .diagnose import GOOD, NOT_GOOD, VERDICTS, Finding, findings, reason, verdict
from .facts import Facts, gather

_COLORS = {GOOD: "\x1b[32m", NOT_GOOD: "\x1b[31m"}
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
        painted = wants_color(color, os.isatty(fd))
        lines = in_lines(findings(facts), verdict(facts), reason(facts), painted)
        out.write("".join(line + "\n" for line in lines).encode("utf-8", "backslashreplace"))
    out.release()
    return verdict(facts)


def in_lines(report: list[Finding], status: int, why: str, color: bool) -> list[str]:
    """The report for people: state, item, value, and each fix once."""
    width = max(len(finding.item) for finding in report)
    lines = []
    fixes = {""}
    for finding in report:
        state = f"{finding.state:8}"
        if color:
            state = _COLORS.get(finding.state, _DIM) + state + _PLAIN
        line = f"{state}  {printable(finding.item):{width}}  {printable(finding.value)}"
        lines.append(line.rstrip())
        if finding.mend not in fixes:
            lines.append(f"{'':8}  {'':{width}}  -> {printable(finding.mend)}")
            fixes.add(finding.mend)
    verdict = VERDICTS[status] + (f": {why}" if why else "")
    return [*lines, "", verdict]


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
