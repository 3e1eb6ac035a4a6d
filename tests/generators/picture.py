"""A picture of real commands on a terminal, as an SVG."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

COLUMNS, LINE, WIDTH, MARGIN = 90, 17, 8.4, 16
COMMANDS = (
    ("query", "--sample", "--min-size", "1M"),
    ("tree", "--sample", "--depth", "2", "--limit", "3", "--min-size", "2M"),
)
STYLES = {"1": "b", "31": "r", "32": "g", "33": "y", "34": "u", "36": "c", "2": "d"}
CSS = """
text { font: 14px ui-monospace, Menlo, Consolas, monospace; fill: #d8dee9 }
.b { font-weight: bold; fill: #fff } .d { fill: #8892a2 } .r { fill: #e06c75 }
.g { fill: #98c379 } .y { fill: #e5c07b } .u { fill: #61afef } .c { fill: #56b6c2 }
"""


def screen(root: Path, command: tuple[str, ...]) -> list[str]:
    """The lines that a command shows on a terminal, escape sequences and all."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": str(COLUMNS), "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
    env.pop("NO_COLOR", None)
    shown = subprocess.Popen(
        [sys.executable, "-m", "allocq", *command], stdout=theirs, env=env, cwd=root
    )
    os.close(theirs)
    data = b""
    with contextlib.suppress(OSError):  # the other side is closed
        while piece := os.read(ours, 1 << 16):
            data += piece
    os.close(ours)
    assert shown.wait() == 0
    return data.decode().replace("\r\n", "\n").splitlines()


def spans(line: str) -> str:
    """One line's text with its colors as tspans."""
    out, style = [], ""
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b"):
            codes = part[2:-1].split(";")
            style = " ".join(STYLES[code] for code in codes if code in STYLES)
        elif part:
            text = escape(part)
            out.append(f'<tspan class="{style}">{text}</tspan>' if style else text)
    return "".join(out)


def svg(root: Path) -> str:
    """The whole picture."""
    lines: list[str] = []
    for command in COMMANDS:
        words = " ".join(command)
        lines += [f'<tspan class="d">$</tspan> allocq {escape(words)}']
        lines += [spans(line) for line in screen(root, command)]
        lines.append("")
    lines.pop()
    return drawn(lines, COLUMNS)


def drawn(lines: Sequence[str], columns: int, under: Sequence[str] = ()) -> str:
    """Lines of tspans as a terminal. under: what is drawn beneath them."""
    width, height = round(columns * WIDTH) + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    rows = [
        f'<text xml:space="preserve" x="{MARGIN}" y="{MARGIN + LINE * (i + 1) - 4}">{line}</text>'
        for i, line in enumerate(lines)
        if line
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}">',
            f"<style>{CSS}</style>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#1f2430"/>',
            *under,
            *rows,
            "</svg>\n",
        ]
    )
