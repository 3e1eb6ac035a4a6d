"""The layout of a treemap: rectangles as large as what they stand for, none over another."""

from __future__ import annotations

from itertools import combinations

import oracle
import pytest
from command import unhurried
from hypothesis import given
from hypothesis import strategies as st
from squarify_reference import squarify as reference

from allocq import open as open_source
from allocq.analysis.report import Place, curve, places_of
from allocq.analysis.treemap import HEAD, Area, Box, Tile, View, areas_of, squarify, views_of

ROOM = Box(0, 0, 1100, 460)
SIZES = st.lists(st.integers(1, 1 << 40), min_size=1, max_size=60).map(
    lambda sizes: sorted(sizes, reverse=True)
)
BOXES = st.builds(
    Box,
    st.floats(-100, 100),
    st.floats(-100, 100),
    st.floats(1, 2000),
    st.floats(1, 2000),
)


def overlap(one: Box, two: Box) -> float:
    """The area that both cover."""
    width = min(one.x + one.width, two.x + two.width) - max(one.x, two.x)
    height = min(one.y + one.height, two.y + two.height) - max(one.y, two.y)
    return max(0.0, width) * max(0.0, height)


def is_inside(inner: Box, outer: Box) -> bool:
    near = 1e-6 * max(outer.width, outer.height, 1)
    return (
        inner.x >= outer.x - near
        and inner.y >= outer.y - near
        and inner.x + inner.width <= outer.x + outer.width + near
        and inner.y + inner.height <= outer.y + outer.height + near
    )


@unhurried
@given(SIZES, BOXES)
def test_areas_are_in_proportion_inside_and_apart(sizes: list[int], box: Box) -> None:
    boxes = squarify(sizes, box)
    assert len(boxes) == len(sizes)
    for size, each in zip(sizes, boxes, strict=True):
        assert each.area == pytest.approx(box.area * size / sum(sizes), rel=1e-6, abs=1e-6)
        assert is_inside(each, box)
    for one, two in combinations(boxes, 2):
        assert overlap(one, two) <= 1e-6 * box.area


@unhurried
@given(SIZES, BOXES)
def test_the_rows_are_those_of_the_paper(sizes: list[int], box: Box) -> None:
    """No row would have been squarer with the first of the next in it: an independent reading of
    the algorithm gives the same rectangles."""
    for mine, theirs in zip(squarify(sizes, box), reference(sizes, box), strict=True):
        assert (mine.x, mine.y) == pytest.approx((theirs.x, theirs.y), rel=1e-6, abs=1e-4)


def test_equal_sizes_are_squares() -> None:
    for box in squarify([5] * 16, Box(0, 0, 400, 400)):
        assert box.width == pytest.approx(100) and box.height == pytest.approx(100)


@pytest.fixture(scope="module")
def places() -> list[Place]:
    with open_source(str(oracle.SAMPLE)) as source:
        return places_of(source.read().table)


@pytest.fixture(scope="module")
def views(places: list[Place]) -> list[View]:
    return views_of(areas_of(places), ROOM, 1600)


def test_the_root_is_all_memory_once(places: list[Place]) -> None:
    tags = oracle.parse(oracle.SAMPLE.read_bytes())
    assert areas_of(places).bytes == oracle.once(tags)[0]


def test_each_area_is_the_sum_of_its_children(places: list[Place]) -> None:
    waiting, seen = [areas_of(places)], 0
    while waiting:
        area = waiting.pop()
        seen += 1
        if area.children:
            below = list(area.children.values())
            assert area.bytes == sum(child.bytes for child in below)
            assert area.tags == sum(child.tags for child in below)
            waiting += below
    assert seen > 3000


def flat(view: View) -> list[tuple[Tile, Box]]:
    """Each tile with the box it has to be in."""
    found = [(tile, ROOM) for tile in view.tiles]
    return found + [(inner, tile.box) for tile in view.tiles for inner in tile.tiles]


def test_tiles_are_in_proportion_inside_and_apart(views: list[View]) -> None:
    assert len(views) > 20
    for view in views:
        assert sum(tile.bytes for tile in view.tiles) == view.area.bytes
        for tile, around in flat(view):
            assert is_inside(tile.box, around)
        for tile in view.tiles:
            share = tile.bytes / view.area.bytes
            assert tile.box.area == pytest.approx(ROOM.area * share, rel=1e-6)
            if tile.tiles:
                assert sum(inner.bytes for inner in tile.tiles) == tile.bytes
                assert min(inner.box.y for inner in tile.tiles) >= tile.box.y + HEAD - 1e-6
        for group in (view.tiles, *(tile.tiles for tile in view.tiles)):
            for one, two in combinations(group, 2):
                assert overlap(one.box, two.box) <= 1e-3


def test_every_link_leads_to_a_view_and_every_view_is_linked(views: list[View]) -> None:
    linked = {0}
    for view in views:
        for tile, _ in flat(view):
            if tile.view is not None:
                assert 0 < tile.view < len(views) and tile.view != view.number
                linked.add(tile.view)
        assert [number for number, _ in view.parents] == sorted(n for n, _ in view.parents)
    assert linked == set(range(len(views)))
    by_area = {id(view.area): view.number for view in views}
    for view in views:
        for tile in view.tiles:
            assert tile.view == (by_area.get(id(tile.area)) if tile.area else None)


def test_the_path_leads_to_the_area(views: list[View], places: list[Place]) -> None:
    root = views[0]
    for view in views:
        area: Area = root.area
        for step in view.path[len(root.path) :]:
            area = next(child for child in area.children.values() if child.step == step)
        assert area is view.area


@pytest.mark.parametrize("most", [0, 1, 50, 400])
def test_the_number_of_tiles_is_bounded(places: list[Place], most: int) -> None:
    views = views_of(areas_of(places), ROOM, most)
    assert views[0].number == 0
    assert len(views) == 1 or sum(len(flat(view)) for view in views) <= most


def test_a_chain_of_directories_is_passed_through() -> None:
    with open_source(str(oracle.SAMPLE)) as source:
        import allocq

        table = source.read(allocq.Filter(files=["mm/slub.c"])).table
    first = views_of(areas_of(places_of(table)), ROOM, 1600)[0]
    assert first.path == ("mm/", "slub.c")
    assert all(tile.label[0] not in "/ " for tile in first.tiles if tile.area)


@unhurried
@given(st.lists(st.integers(0, 1 << 30), min_size=1, max_size=2000))
def test_a_curve_keeps_the_ends_and_the_extremes(values: list[int]) -> None:
    times = [10.0 * at for at in range(len(values))]
    few = curve(times, values)
    assert len(few) <= 120
    assert few[0] == (times[0], values[0]) and few[-1] == (times[-1], values[-1])
    kept = [value for _, value in few]
    assert (min(kept), max(kept)) == (min(values), max(values))
    assert set(few) <= set(zip(times, values, strict=True))
    assert [when for when, _ in few] == sorted(when for when, _ in few)
