"""Draws curves: sparklines, and plots whose lines a reader can choose.

Each line of a plot is drawn between its own lowest and highest value, 0 to 1000 upward. A
transformation puts it into the plot, so that another choice of lines needs no other points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

from ...analysis.report import curve
from ...units import format_size
from .markup import el, exact, name, signed

_WIDTH = 1000
_SPARK = (96, 22)
_SPARK_POINTS = 48
_TICKS = 5
_COLORS = 8


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot. label, more: its name, and what stands behind that; times: seconds;
    values: bytes; shown: at first."""

    label: str
    more: str
    times: Sequence[float]
    values: Sequence[int]
    shown: bool


def spark(times: Sequence[float], values: Sequence[int], from_zero: bool = False) -> Element:
    """A sparkline: the values between the lowest, or zero, and the highest."""
    points = curve(times, values, _SPARK_POINTS)
    width, height = _SPARK
    lowest, high = min(values), max(values)
    low = min(0, lowest) if from_zero else lowest
    start, long = times[0], (times[-1] - times[0]) or 1

    def at(when: float, value: int) -> tuple[float, float]:
        share = (value - low) / (high - low) if high > low else 0.0
        x, y = 2 + (width - 6) * (when - start) / long, height - 3 - (height - 6) * share
        return round(x, 1), round(y, 1)

    places = [at(when, value) for when, value in points]
    words = f"from {format_size(values[0])} to {format_size(values[-1])}"
    if (lowest, high) != (min(values[0], values[-1]), max(values[0], values[-1])):
        words += f", between {format_size(lowest)} and {format_size(high)}"
    return el(
        "svg",
        el("polyline", points=" ".join(f"{x:g},{y:g}" for x, y in places)),
        el("circle", cx=f"{places[-1][0]:g}", cy=f"{places[-1][1]:g}", r=2),
        class_="spark", width=width, height=height, viewBox=f"0 0 {width} {height}",
        role="img", aria_label=words,
    )  # fmt: skip


def scale(low: int, high: int) -> tuple[int, int, int]:
    """(bottom, top, step) of an axis from `low` to `high`, with steps of a power of two."""
    step = 1
    while (high - low) > _TICKS * step:
        step *= 2
    bottom, top = low // step * step, -(-high // step) * step
    return bottom, max(top, bottom + step), step


def plot(lines: Sequence[Line], begun: float, ended: float, ident: str, title: str) -> Element:
    """A plot with a legend, whose lines show growth from zero. begun, ended: seconds since 1970."""
    lines = sorted(lines, key=lambda line: not line.shown)
    shown = [line for line in lines if line.shown] or lines[:1]
    keys = [_key(line, number, line in shown) for number, line in enumerate(lines)]
    lows = [min(line.values) - line.values[0] for line in shown]
    highs = [max(line.values) - line.values[0] for line in shown]
    bottom, top, step = scale(min(0, *lows), max(0, *highs))
    ticks = range(top, bottom - 1, -step)
    drawn = el(
        "svg",
        *(_grid(tick, bottom, top) for tick in ticks),
        *(
            _line(line, number, bottom, top, line in shown)
            for number, line in enumerate(lines)
        ),
        class_="lines", viewBox=f"0 0 {_WIDTH} {_WIDTH}", preserveAspectRatio="none",
        role="img", aria_label=title,
    )  # fmt: skip
    axis = el("div", *(el("span", signed(tick)) for tick in ticks), class_="y", aria_hidden="true")
    return el(
        "figure",
        el("div", axis, drawn, _times(begun, ended), class_="chart"),
        el("ul", *keys[: len(shown)], class_="keys", aria_label="Lines of the plot"),
        _more(keys[len(shown) :]),
        class_="plot",
        id=ident,
    )


def _more(keys: Sequence[Element]) -> Element | None:
    """Lines to choose, which takes a script."""
    if not keys:
        return None
    lines = el("ul", *keys, class_="keys", aria_label="More lines for the plot")
    return el("details", el("summary", f"{len(keys)} more to choose"), lines, class_="more")


def _grid(tick: int, bottom: int, top: int) -> Element:
    y = round(_WIDTH * (top - tick) / (top - bottom))
    return el("path", d=f"M0 {y}H{_WIDTH}", class_="grid" if tick else "grid zero")


def _line(line: Line, number: int, bottom: int, top: int, shown: bool) -> Element:
    low, high = min(line.values), max(line.values)
    start, long = line.times[0], (line.times[-1] - line.times[0]) or 1
    points = " ".join(
        f"{round(_WIDTH * (when - start) / long)},"
        f"{round(_WIDTH * (value - low) / (high - low)) if high > low else 0}"
        for when, value in curve(line.times, line.values)
    )
    height = _WIDTH / (top - bottom)
    stretch = -(high - low) * height / _WIDTH
    return el(
        "polyline",
        points=points,
        transform=f"matrix(1 0 0 {stretch:.6g} 0 {(top - low + line.values[0]) * height:.6g})",
        class_=_style(number) + ("" if shown else " off"),
        data_low=low, data_high=high, data_first=line.values[0],
    )  # fmt: skip


def _style(number: int) -> str:
    return f"c{number % _COLORS} p{number // _COLORS % 4}"


def _key(line: Line, number: int, shown: bool) -> Element:
    swatch = el(
        "svg",
        el("path", d="M0 5H26", class_=_style(number)),
        width=26, height=10, aria_hidden="true",
    )  # fmt: skip
    change = line.values[-1] - line.values[0]
    sizes = el(
        "span",
        f"{format_size(line.values[-1])} ({signed(change)})",
        title=f"{exact(line.values[-1])}, {change:+,}",
        class_="size",
    )
    box = el("input", type="checkbox", checked="checked" if shown else None)
    return el(
        "li",
        el(
            "label",
            box,
            swatch,
            el("span", el("b", name(line.label, 70)), el("span", name(line.more, 60), " ", sizes)),
        ),
    )


def _times(begun: float, ended: float) -> Element:
    """The axis of time: five moments, the first with its date."""
    first, last = datetime.fromtimestamp(begun), datetime.fromtimestamp(ended)
    format = "%H:%M:%S" if ended - begun < 1200 else "%H:%M"
    if first.date() != last.date():
        format = "%m-%d %H:%M"
    moments = [begun + (ended - begun) * at / 4 for at in range(5)]
    spans = [el("span", datetime.fromtimestamp(moment).strftime(format)) for moment in moments]
    return el("div", *spans, class_="x", aria_hidden="true")
