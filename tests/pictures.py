"""Draws the README's pictures of top and of a report from a recording.

    python tests/pictures.py RECORDING

Writes man/top.svg, the screen of `allocq top` near the last sample, as an emulated terminal has it,
and man/report.png, the top of `allocq report`, as Chromium shows it. The recording of a leak in a
running kernel is not kept with the sources, so generate.py does not do this.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from command import MODULE
from generators.picture import LINE, MARGIN, WIDTH, drawn
from screens import screened

ROOT = Path(__file__).resolve().parents[1]
LINES, COLUMNS = 18, 118
PAGE_WIDTH, PAGE_HEIGHT = 1160, 1620
CLASSES = {"green": "g", "red": "r", "brown": "y", "yellow": "y", "blue": "u", "cyan": "c"}


def top(recording: str) -> str:
    """The screen as an SVG."""
    argv = ("top", "--source", recording, "fs", "--sort", "start")
    with screened(*argv, lines=LINES, columns=COLUMNS) as shown:
        shown.until("sample 1 of")
        shown.type("tnow\r")
        shown.until(lambda: re.search(r"sample (\d+) of \1\b", shown.text))
        shown.type("{{")  # ten back, and ten more
        shown.until(lambda: not re.search(r"sample (\d+) of \1\b", shown.text))
        rows = [shown.screen.buffer[y] for y in range(LINES)]
        cells = [[row[x] for x in range(COLUMNS)] for row in rows]
        shown.type("q")
    return drawn([spans(line) for line in cells], COLUMNS, list(reversed_parts(cells)))


def spans(line: Sequence[Any]) -> str:
    """A line of the emulated terminal as tspans."""
    out = []
    for (color, bold), cells in groupby(line, key=lambda cell: (cell.fg, cell.bold)):
        text = escape("".join(cell.data for cell in cells))
        style = " ".join(filter(None, (CLASSES.get(color, ""), "b" if bold else "")))
        out.append(f'<tspan class="{style}">{text}</tspan>' if style else text)
    return "".join(out)


def reversed_parts(lines: Sequence[Sequence[Any]]) -> Iterator[str]:
    """What is shown in reverse, as areas of another color beneath the text."""
    for number, line in enumerate(lines):
        column = 0
        for is_reversed, cells in groupby(line, key=lambda cell: cell.reverse):
            count = len(list(cells))
            if is_reversed:
                x, y = MARGIN + column * WIDTH, MARGIN + number * LINE
                yield (
                    f'<rect x="{x:.1f}" y="{y}" width="{count * WIDTH:.1f}" height="{LINE}"'
                    ' fill="#3b4860"/>'
                )
            column += count


def report(recording: str, picture: Path) -> None:
    """The top of the page as a PNG."""
    from playwright.sync_api import sync_playwright
    from test_report_browser import ARGUMENTS

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "report.html")
        subprocess.run([*MODULE, "report", recording, "--output", str(page)], check=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=list(ARGUMENTS)
            )
            shown = browser.new_page(
                viewport={"width": PAGE_WIDTH, "height": PAGE_HEIGHT}, color_scheme="light"
            )
            shown.goto(page.as_uri())
            shown.screenshot(path=picture)
            browser.close()


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, end="")
        return 2
    (ROOT / "man" / "top.svg").write_text(top(sys.argv[1]))
    report(sys.argv[1], ROOT / "man" / "report.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
