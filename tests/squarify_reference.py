"""An independent reading of Bruls, Huizing and van Wijk, Squarified Treemaps, with fractions.

The pseudocode of the paper, word for word: squarify(children, row, w).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from allocq.analysis import treemap
from allocq.analysis.treemap import Box

EQUAL = Fraction(treemap.EQUAL)


def worst(row: Sequence[Fraction], side: Fraction) -> Fraction:
    """The highest aspect ratio of a row of rectangles along a side: the paper's formula."""
    s = sum(row)
    return max(max(side * side * r / (s * s), (s * s) / (side * side * r)) for r in row)


def squarify(sizes: Sequence[int], box: Box) -> list[Box]:
    """The rectangles, in exact arithmetic."""
    x, y, width, height = map(Fraction, (box.x, box.y, box.width, box.height))
    unit = width * height / sum(sizes)
    children = [size * unit for size in sizes]
    boxes: list[Box] = []
    row: list[Fraction] = []
    while children or row:
        side = min(width, height)
        if children and (not row or worst(row, side) * EQUAL >= worst([*row, children[0]], side)):
            row.append(children.pop(0))
            continue
        thick = sum(row) / side
        at = Fraction(0)
        for area in row:
            long = area / thick
            if width >= height:
                boxes.append(Box(float(x), float(y + at), float(thick), float(long)))
            else:
                boxes.append(Box(float(x + at), float(y), float(long), float(thick)))
            at += long
        if width >= height:
            x, width = x + thick, width - thick
        else:
            y, height = y + thick, height - thick
        row = []
    return boxes
