"""Draws a treemap: one drawing a zoom level, and links between them.

The page shows the drawing that is the target of its address, so it zooms without a script, and the
browser's back button zooms out. Widths are in percent and heights in pixels: text keeps its size on
any screen.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ...analysis.histories import ANONYMOUS, CACHE, KERNEL, LATER, SLAB, TMPFS
from ...analysis.treemap import Area, Box, Tile, View
from ...units import format_size
from ..terminal import cut, printable
from ..totals import quantity
from .markup import el, link, name, signed, text_of

ROOM = Box(0, 0, 1100, 460)
MOST_TILES = 1600
_MOST_BYTES = 480_000
_CHARACTER = 6.9
_NARROW = 330 / ROOM.width
_USES = {KERNEL: "k", CACHE: "c", ANONYMOUS: "a", TMPFS: "t", SLAB: "s", LATER: "l"}
_USE_WORDS = {
    KERNEL: "the kernel itself",
    CACHE: "page cache",
    ANONYMOUS: "memory of programs",
    TMPFS: "tmpfs, shared memory",
    SLAB: "slab pages",
    LATER: "freed later, in bulk",
}
_STEPS = ((0.5, 3), (0.1, 2), (0.01, 1))
_SCALE = (
    ("d3", "-50% or less"),
    ("d2", "-10%"),
    ("d1", "-1%"),
    ("z", "unchanged"),
    ("u1", "+1%"),
    ("u2", "+10%"),
    ("u3", "+50% or more, or new"),
)


def drawings(views: list[View], compares: bool) -> str:
    """All views, the first one last, as the style sheet wants it; "" if they would be too large."""
    drawn = [text_of(_drawing(view, views, compares)) for view in (*views[1:], views[0])]
    page = "\n".join(drawn)
    return page if len(page.encode()) <= _MOST_BYTES else ""


def legend(views: list[View], compares: bool) -> Element:
    """What the colors mean."""
    if compares:
        items = [(shade, words) for shade, words in _SCALE]
    else:
        uses = views[0].area.by_use
        items = [(_USES[use], _USE_WORDS[use]) for use in _USES if uses.get(use)]
    keys = [el("li", el("i", class_=f"key {shade}"), words) for shade, words in items]
    return el("ul", *keys, class_="legend", aria_label="Colors of the treemap")


def _drawing(view: View, views: list[View], compares: bool) -> Element:
    label = "".join(view.path).strip() or "everything"
    tiles = [_tile(tile, compares) for tile in view.tiles]
    words = f"Treemap of {name(label)}: {_numbers(view.area)}"
    svg = el(
        "svg", *tiles, width="100%", height=int(ROOM.height), role="group", aria_label=words
    )  # fmt: skip
    classes = "view first" if not view.number else "view"
    return el("div", _crumbs(view, views), svg, class_=classes, id=f"m{view.number}")


def _crumbs(view: View, views: list[View]) -> Element:
    """The way from everything to this view; the sizes of the last step."""
    items, shown = [], 0
    for number, steps in view.parents:
        label = "".join(view.path[shown:steps]).strip() or "everything"
        items.append(el("li", link(f"m{number}", name(label, 60))))
        shown = steps
    label = "".join(view.path[shown:]).strip() or "everything"
    here = el("b", name(label, 60), aria_current="location")
    items.append(el("li", here, " ", el("span", _numbers(view.area), class_="quiet")))
    return el("nav", el("ol", *items), class_="crumbs", aria_label="Path in the treemap")


def _numbers(area: Area) -> str:
    words = [format_size(area.bytes)]
    if area.growth is not None:
        words.append(signed(area.growth) if area.growth else "unchanged")
    words.append(f"in {quantity(area.tags, 'tag')}")
    return ", ".join(words[:-1]) + f" {words[-1]}"


def _tile(tile: Tile, compares: bool) -> Element:
    """A tile, or a headline with tiles in it."""
    face = _face(tile, compares)
    if not tile.tiles:
        return face
    return el("g", face, *(_face(inner, compares, tile.label) for inner in tile.tiles))


def _face(tile: Tile, compares: bool, above: str = "") -> Element:
    box, area = tile.box, tile.area
    words = _words(tile, above)
    svg = el(
        "svg",
        el("title", words),
        el("rect", class_=shade_of(area, compares) if area else "z"),
        *_labels(tile),
        x=_percent(box.x / ROOM.width),
        y=f"{box.y:.1f}",
        width=_percent(box.width / ROOM.width),
        height=f"{box.height:.1f}",
    )
    if tile.view is None:
        return svg
    return link(f"m{tile.view}", svg, aria_label=words)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _words(tile: Tile, above: str) -> str:
    """All that is to be said of a tile."""
    if tile.area is None:
        return f"{quantity(tile.rest[0], 'smaller part')}: {format_size(tile.rest[1])}"
    separator = "" if above.endswith("/") else " " if above else ""
    label = name(f"{above}{separator}{tile.label}")
    return f"{label}: {_numbers(tile.area)}; {_USE_WORDS[tile.area.use]}"


def _labels(tile: Tile) -> list[Element]:
    """What fits into a tile: its name, and below that its size and growth."""
    box, area = tile.box, tile.area
    room = int((box.width - 9) / _CHARACTER)
    if room < 3 or box.height < 16:
        return []
    narrow = box.width * _NARROW < 34
    label = f"{tile.rest[0]} more" if area is None else printable(tile.label)
    sizes = format_size(tile.bytes)
    if area and area.growth:
        sizes += f" {signed(area.growth)}"
    if tile.tiles:
        label = label if len(label) + len(sizes) + 2 > room else f"{label}  {sizes}"
        return [_text(_cut(label, room), 14, narrow, "h")]
    found = [_text(_cut(label, room), 14, narrow)]
    if box.height >= 34 and len(sizes) <= room:
        found.append(_text(sizes, 29, narrow, "q"))
    return found


def _text(text: str, y: int, narrow: bool, kind: str = "") -> Element:
    classes = " ".join(each for each in (kind, "w" if narrow else "") if each)
    return el("text", text, x=5, y=y, class_=classes or None)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else cut(text, room + 1)[:-2] + "…"


def shade_of(area: Area, compares: bool) -> str:
    """The class of its color: by growth, or by what most of it is used for."""
    if not compares:
        return _USES[area.use]
    growth = area.growth or 0
    share = abs(growth) / max(area.bytes, area.bytes - growth, 1)
    step = next((step for least, step in _STEPS if share >= least), 0)
    return "z" if not step else f"{'u' if growth > 0 else 'd'}{step}"
