"""Lays out places as a treemap: rectangles in rectangles, whose areas are the bytes.

A view shows the children of one area, and theirs within. Zooming in is another view, so every view
is made for the whole room: what is a sliver in one is legible in the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from .report import Place
from .tree import NodeKind, split_path

HEAD = 20.0
"""The height of the line with the name of an area that shows what is in it."""
EQUAL = 1 + 1e-9
"""Ratios of sides that differ by less are equal: they are computed with rounding."""
_GAP = 2.0
LEAST = 120.0
"""The smallest area that is shown on its own, in square pixels."""
_WORTH = 4 * LEAST
_LEAST_OPEN = (64.0, 56.0)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; the unit is up to the caller."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Width times height."""
        return self.width * self.height


def squarify(sizes: Sequence[int], box: Box) -> list[Box]:
    """One rectangle for each size, with areas in proportion, as square as it goes (Bruls, Huizing
    and van Wijk, Squarified Treemaps). sizes: over 0, largest first."""
    boxes: list[Box] = []
    left, rest = sum(sizes), box
    at = 0
    while at < len(sizes):
        side = min(rest.width, rest.height)
        scale = rest.area / left if left else 0.0
        end, row = at + 1, sizes[at]
        worst = _worst(sizes[at], sizes[at], row, side, scale)
        while end < len(sizes):
            wider = _worst(sizes[at], sizes[end], row + sizes[end], side, scale)
            if wider > worst * EQUAL:
                break
            row, worst, end = row + sizes[end], wider, end + 1
        share = row / left
        placed, rest = _row(sizes[at:end], row, share, rest)
        boxes += placed
        left, at = left - row, end
    return boxes


def _worst(largest: int, smallest: int, row: int, side: float, scale: float) -> float:
    """The worst ratio of sides among rectangles in a row of this sum along `side`."""
    if not (side and scale):
        return 0.0
    thick = row * scale / side
    longest, shortest = largest * scale / thick, smallest * scale / thick
    return max(longest / thick, thick / shortest)


def _row(sizes: Sequence[int], row: int, share: float, box: Box) -> tuple[list[Box], Box]:
    """The rectangles of one row along the shorter side, and what is left of the box."""
    placed, before = [], 0
    if box.width >= box.height:
        thick = box.width * share
        for size in sizes:
            y, height = box.y + box.height * before / row, box.height * size / row
            placed.append(Box(box.x, y, thick, height))
            before += size
        return placed, Box(box.x + thick, box.y, max(0.0, box.width - thick), box.height)
    thick = box.height * share
    for size in sizes:
        x, width = box.x + box.width * before / row, box.width * size / row
        placed.append(Box(x, box.y, width, thick))
        before += size
    return placed, Box(box.x, box.y + thick, box.width, max(0.0, box.height - thick))


@dataclass(slots=True, eq=False)
class Area:
    """A directory, file, function or line. bytes: of its places, underflowed ones and slab pages
    aside; growth: since before, None if there is nothing to compare with; tags: how many hold
    something; by_use: the bytes by what they are used for."""

    name: str
    kind: NodeKind
    bytes: int = 0
    growth: int | None = None
    tags: int = 0
    by_use: dict[str, int] = field(default_factory=dict)
    children: dict[tuple[NodeKind, str], Area] = field(default_factory=dict, repr=False)

    @property
    def step(self) -> str:
        """Its name as a part of a path: `mm/`, `slub.c`, ` alloc_slab_page`, `:3347`."""
        if self.kind is NodeKind.DIRECTORY:
            return self.name if self.name.endswith("/") else f"{self.name}/"
        if self.kind is NodeKind.FILE:
            return self.name
        return f" {self.name}" if self.kind is NodeKind.FUNCTION else f":{self.name}"

    @property
    def use(self) -> str:
        """What most of it is used for."""
        return max(self.by_use, key=lambda use: self.by_use[use], default="")

    def add(self, place: Place) -> None:
        """Add the counters of a place below."""
        self.bytes += place.bytes
        if place.growth is not None:
            self.growth = (self.growth or 0) + place.growth
        self.tags += place.bytes > 0
        self.by_use[place.use] = self.by_use.get(place.use, 0) + place.bytes

    def child(self, kind: NodeKind, name: str) -> Area:
        """The child of that name, made if there is none."""
        found = self.children.get((kind, name))
        if found is None:
            found = self.children[kind, name] = Area(name, kind)
        return found

    def largest(self) -> list[Area]:
        """The children that hold something, largest first."""
        held = [child for child in self.children.values() if child.bytes > 0]
        return sorted(held, key=lambda child: (-child.bytes, child.kind, child.name))


def areas_of(places: Iterable[Place]) -> Area:
    """The tree of places, each counted once: slab pages are left out where anything else holds
    memory, counters below zero always."""
    places = [place for place in places if not place.underflowed]
    others = [place for place in places if not place.is_slab]
    if any(place.bytes for place in others):
        places = others
    root = Area("", NodeKind.DIRECTORY)
    for place in places:
        root.add(place)
        area = root
        *directories, base = split_path(place.file)
        steps = [(NodeKind.DIRECTORY, name) for name in directories]
        steps += [(NodeKind.FILE, base), (NodeKind.FUNCTION, place.function)]
        for kind, name in (*steps, (NodeKind.LINE, str(place.line))):
            area = area.child(kind, name)
            area.add(place)
    return root


@dataclass(frozen=True, slots=True)
class Tile:
    """One rectangle of a view. names: the steps from the area of the view, or of the tile around
    it, down to its own: what has one child alone is passed through; area: None for the rest, which
    is too small to show, then `rest` is how many areas it is, and their bytes; view: the number of
    the view that a click opens, None if there is none; tiles: those within, below a line of HEAD
    with its name."""

    box: Box
    names: tuple[str, ...]
    area: Area | None
    rest: tuple[int, int] = (0, 0)
    view: int | None = None
    tiles: tuple[Tile, ...] = ()

    @property
    def bytes(self) -> int:
        """What its area stands for."""
        return self.area.bytes if self.area else self.rest[1]

    @property
    def label(self) -> str:
        """Its name."""
        return "".join(self.names).strip()


@dataclass(frozen=True, slots=True)
class View:
    """One zoom level. path: the steps from the root; parents: the views above it, from the first:
    the number of each, and how many steps lead to it; tiles: largest first, the rest last."""

    number: int
    path: tuple[str, ...]
    parents: tuple[tuple[int, int], ...]
    area: Area
    tiles: tuple[Tile, ...]


def views_of(root: Area, room: Box, most: int, least: float = LEAST) -> list[View]:
    """The views of the largest areas; the first is that of the root. At most `most` tiles in all,
    unless the first view alone has more. least: the smallest area of a tile."""
    names, top = _tip((), root)
    waiting: list[tuple[int, int, tuple[str, ...], Area, tuple[tuple[int, int], ...]]] = []
    chosen: dict[Area, int] = {}
    heappush(waiting, (0, 0, names, top, ()))
    plan: list[tuple[tuple[str, ...], Area, tuple[tuple[int, int], ...], list[Tile]]] = []
    order = count(1)
    used = 0
    while waiting:
        _, _, path, area, parents = heappop(waiting)
        tiles = _tiles(area, room, least)
        size = sum(1 + len(tile.tiles) for tile in tiles)
        if plan and used + size > most:
            break
        chosen[area] = len(plan)
        used += size
        plan.append((path, area, parents, tiles))
        above = (*parents, (chosen[area], len(path)))
        for names, below in _zoomable(tiles, room):
            heappush(waiting, (-below.bytes, next(order), (*path, *names), below, above))
    return [
        View(number, path, parents, area, tuple(_linked(tile, chosen) for tile in tiles))
        for number, (path, area, parents, tiles) in enumerate(plan)
    ]


def _zoomable(tiles: Iterable[Tile], room: Box) -> Iterator[tuple[tuple[str, ...], Area]]:
    """What shows more in a view of its own: where one child is not nearly all there is."""
    for tile in tiles:
        if tile.area and len(children := tile.area.largest()) > 1:
            others = tile.area.bytes - children[0].bytes
            if others * room.area >= _WORTH * tile.area.bytes:
                yield tile.names, tile.area


def _linked(tile: Tile, chosen: dict[Area, int], above: int | None = None) -> Tile:
    """The tile with the number of the view that it opens: its own, or that of the tile around."""
    view = chosen.get(tile.area, above) if tile.area else above
    inner = tuple(_linked(each, chosen, view) for each in tile.tiles)
    return Tile(tile.box, tile.names, tile.area, tile.rest, view, inner)


def _tip(names: tuple[str, ...], area: Area) -> tuple[tuple[str, ...], Area]:
    """The area that has a choice: one with a child alone is passed through."""
    while len(children := area.largest()) == 1:
        area = children[0]
        names = (*names, area.step)
    return names, area


def _tiles(area: Area, box: Box, least: float, nested: bool = False) -> list[Tile]:
    """The children of an area in a box, and theirs within where there is room."""
    children = area.largest()
    scale = box.area / area.bytes if area.bytes else 0.0
    shown = [child for child in children if child.bytes * scale >= least]
    rest = children[len(shown) :]
    left = sum(child.bytes for child in rest)
    sizes = [child.bytes for child in shown] + ([left] if left else [])
    # The layout needs the sizes in order, and the rest may be larger than a part.
    places = sorted(range(len(sizes)), key=lambda at: -sizes[at])
    boxes = squarify([sizes[at] for at in places], box)
    by_place = dict(zip(places, boxes, strict=True))
    tiles = []
    for at, child in enumerate(shown):
        names, tip = _tip((child.step,), child)
        inner: list[Tile] = []
        if not nested and tip.children and _opens(by_place[at]):
            inner = _tiles(tip, _inside(by_place[at]), least, nested=True)
        inner = inner if len(inner) > 1 else []
        tiles.append(Tile(by_place[at], names, tip, tiles=tuple(inner)))
    if left:
        tiles.append(Tile(by_place[len(shown)], (), None, (len(rest), left)))
    return tiles


def _opens(box: Box) -> bool:
    return box.width >= _LEAST_OPEN[0] and box.height >= _LEAST_OPEN[1]


def _inside(box: Box) -> Box:
    return Box(box.x + _GAP, box.y + HEAD, box.width - 2 * _GAP, box.height - HEAD - _GAP)
