"""The page of `allocq report` in a real browser: Chromium, without a window and without a network.

Needs Debian's chromium and `pip install -e '.[browser]'`; without them the tests are skipped, or
fail if ALLOCQ_NEEDS_BROWSER is set.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from oracle import FIXTURES
from reports import BEGUN, listing, recording, report, sample_lines
from test_report import grown

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

CHROMIUM = shutil.which("chromium") or ""
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
KINDS = ("one", "two", "series")
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [360, 1400])
ATTACKS = (
    "</script><img/src=x/onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "\"'><script>alert(1)</script>",
    "javascript:alert(1)",
    "${alert(1)}{{alert(1)}}",
    "--></style><style>*{display:none}",
    "\u202egnp.exe\u2066\u200b",
    "\udcff\udc80",
)


def _skip(why: str) -> None:
    (pytest.fail if os.environ.get("ALLOCQ_NEEDS_BROWSER") else pytest.skip)(why)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        _skip("no chromium (Debian package chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _skip("no playwright: pip install -e '.[browser]'")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of one listing, of two, of a recording with two boots, and of hostile names."""
    place = tmp_path_factory.mktemp("pages")
    (place / "a").write_bytes(listing(sample_lines(), BEGUN))
    (place / "b").write_bytes(listing(grown(), BEGUN + 3600))
    lines = [
        (1 << (12 + at), at, f"fs/{each}/{each}.c:{at} [{each}] func:{each.replace('</', '<')}")
        for at, each in enumerate(ATTACKS, 1)
    ]
    (place / "x").write_bytes(listing(lines, BEGUN, host=ATTACKS[0], kernel=ATTACKS[2]))
    recording(place / "r", 60, sample_lines(), ("boot-1", "boot-2"))
    sources = {"one": ["a"], "two": ["a", "b"], "series": ["r"], "hostile": ["x"]}
    stacks = [FIXTURES / f"stacks-pipes{live}-7.3.4-x86.json" for live in ("", "-live")]
    value = json.loads(stacks[0].read_text())
    harmful = [each.encode("utf-8", "replace").decode() for each in ATTACKS]
    value["stacks"][0] |= {"stack": harmful, "tag": harmful[0], "pid": 1, "comm": harmful[1]}
    value |= {"notes": harmful, "filter": {"regexp": harmful[:1]}, "dropped": {harmful[2]: 1}}
    (place / "stacks").write_text(json.dumps(value))
    beside = {"two": stacks, "hostile": [place / "stacks"]}
    made = {}
    for name, argv in sources.items():
        made[name] = place / f"{name}.html"
        who = [word for path in beside.get(name, ()) for word in ("--stacks", str(path))]
        done = report(*(str(place / each) for each in argv), *who, "--output", str(made[name]))
        assert done.status == 0, done.err
    return made


Opener = Callable[..., "Page"]


@pytest.fixture
def show(browser: Browser, pages: dict[str, Path]) -> Iterator[Opener]:
    """Opens a report. At the end: it has asked for nothing but itself, and nothing went wrong."""
    contexts, faults, asked = [], [], []

    def opened(name: str, width: int = 1400, scheme: str = "light", **options: Any) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 1000}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.goto(pages[name].as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []
    assert {url.partition("#")[0] for url in asked} <= {path.as_uri() for path in pages.values()}
    assert len(asked) == len(contexts)


def keep_rows(page: Page, count: int) -> None:
    """Remove the other rows of the table of all tags."""
    page.evaluate(
        "(n) => document.querySelectorAll('#all tbody tr').forEach((r, i) => i < n || r.remove())",
        count,
    )


def axe(page: Page) -> list[str]:
    """The faults that axe finds; minor and moderate ones too."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{each['impact']}: {each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found
        for node in each["nodes"][:3]
    ]


@SCHEMES
@WIDTHS
@pytest.mark.parametrize("name", [*KINDS, "hostile"])
def test_axe_finds_no_fault(show: Opener, name: str, width: int, scheme: str) -> None:
    page = show(name, width, scheme, reduced_motion="reduce")
    # A few hundred rows alike say nothing more, and take minutes.
    page.evaluate(
        "document.querySelectorAll('#all tbody tr').forEach((r, i) => i > 40 && r.remove())"
    )
    assert axe(page) == []
    tile = page.locator(".view:visible svg a").first
    if tile.count():
        tile.focus()
        page.keyboard.press("Enter")
        assert axe(page) == []


@WIDTHS
@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("name", KINDS)
def test_nothing_sticks_out_sideways(show: Opener, name: str, width: int, script: bool) -> None:
    page = show(name, width, java_script_enabled=script)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width < 500:
        smallest = page.evaluate(
            "Math.min(...[...document.querySelectorAll('p, td, .view text')]"
            ".filter((e) => e.getClientRects().length && e.textContent.trim())"
            ".map((e) => parseFloat(getComputedStyle(e).fontSize)))"
        )
        assert smallest >= 11


def crumbs(page: Page) -> list[str]:
    """The path above the treemap."""
    return page.locator(".view:visible .crumbs li").all_inner_texts()


def tiles(page: Page) -> list[str]:
    """What is said of the tiles that are shown."""
    return [each or "" for each in page.locator(".view:visible svg svg title").all_text_contents()]


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_the_treemap_zooms_by_mouse(show: Opener, script: bool) -> None:
    page = show("two", java_script_enabled=script)
    assert page.locator(".view:visible").count() == 1
    first, whole = crumbs(page), tiles(page)
    assert first[0].startswith("everything ") and len(first) == 1
    page.locator(".view:visible svg a", has_text="mm/").first.click(position={"x": 5, "y": 5})
    assert page.locator(".view:visible").count() == 1
    assert crumbs(page)[0] == "everything" and crumbs(page)[1].startswith("mm/ ")
    inside = tiles(page)
    assert inside != whole and len(inside) > 5
    page.locator(".view:visible svg a", has_text="slub.c").first.click(position={"x": 5, "y": 5})
    assert [each.split()[0] for each in crumbs(page)] == ["everything", "mm/", "slub.c"]
    page.locator(".view:visible .crumbs a", has_text="mm/").click()
    assert tiles(page) == inside
    page.go_back()
    assert [each.split()[0] for each in crumbs(page)] == ["everything", "mm/", "slub.c"]
    page.locator(".view:visible .crumbs a", has_text="everything").click()
    assert tiles(page) == whole and crumbs(page) == first


def test_the_treemap_zooms_by_keyboard(show: Opener) -> None:
    page = show("series")
    focused = "document.activeElement.getAttribute('aria-label')"
    whole = tiles(page)
    page.locator(".view:visible svg a").first.focus()
    before = page.evaluate(focused)
    page.keyboard.press("ArrowRight")
    beside = page.evaluate(focused)
    assert beside != before
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) in whole
    # One stop of the Tab key for all tiles.
    stops = page.locator(".view:visible svg a[tabindex='0']")
    assert stops.count() == 1
    label = str(page.evaluate(focused))
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash !== ''")
    assert len(crumbs(page)) == 2 and tiles(page) != whole
    assert crumbs(page)[1].split(" ")[0] in label
    assert page.evaluate("document.activeElement.closest('.view').matches(':target')")
    page.keyboard.press("Escape")
    page.wait_for_function("location.hash === '#m0'")
    assert len(crumbs(page)) == 1 and tiles(page) == whole


def test_tiles_are_where_they_are_said_to_be(show: Opener) -> None:
    """Areas on the screen are in proportion to the sizes."""
    page = show("one", width=1140)
    found = page.evaluate(
        "[...document.querySelectorAll('.view.first > svg > *')].map((e) => {"
        " const r = e.querySelector('rect').getBoundingClientRect();"
        " return [e.querySelector('title').textContent, r.width * r.height]; })"
    )
    sizes = {}
    for title, area in found:
        number, unit = re.search(r": ([\d.]+)([KMG])", title).groups()  # type: ignore[union-attr]
        sizes[title] = (float(number) * 1024 ** "KMG".index(unit), area)
    scale = sum(area for _, area in sizes.values()) / sum(size for size, _ in sizes.values())
    for title, (size, area) in sizes.items():
        assert area == pytest.approx(size * scale, rel=0.1, abs=30), title


def shown_rows(page: Page) -> list[list[str]]:
    return page.evaluate(
        "[...document.querySelectorAll('#all tbody tr')].filter((r) => !r.hidden)"
        ".map((r) => [...r.cells].map((c) => c.textContent))"
    )


def test_the_table_filters(show: Opener) -> None:
    page = show("one")
    everything = shown_rows(page)
    page.locator("#search").fill("MM/SLUB.C alloc")
    rows = shown_rows(page)
    assert 0 < len(rows) < len(everything)
    assert all("mm/slub.c" in row[2] and "alloc" in "".join(row) for row in rows)
    assert page.locator("#found").inner_text() == f"{len(rows)} of {len(everything)} tags"
    page.locator("#search").fill("<b>nothing")
    assert shown_rows(page) == [] and page.locator("#found").inner_text().startswith("0 of")
    page.locator("#search").fill("")
    assert shown_rows(page) == everything and page.locator("#found").inner_text() == ""


@pytest.mark.parametrize("name", ["one", "two"])
def test_the_table_sorts(show: Opener, name: str) -> None:
    page = show(name)
    heads = page.locator("#all thead th")
    columns = heads.all_inner_texts()
    assert heads.nth(0).get_attribute("aria-sort") == "descending"
    values = (
        "(at) => [...document.querySelectorAll('#all tbody tr')].map((r) => {"
        " const c = r.cells[at]; return c.title || c.textContent; })"
    )
    for at, column in enumerate(columns):
        button = heads.nth(at).locator("button")
        for _ in range(2):
            button.focus()
            page.keyboard.press("Enter")
            order = heads.nth(at).get_attribute("aria-sort")
            assert page.locator("#all th[aria-sort]").count() == 1
            found = page.evaluate(values, at)
            if column.strip("↕↓↑ ") not in ("Where", "Function"):
                found = [int(re.sub(r"[^0-9-]", "", each)) for each in found]
            assert found == sorted(found, reverse=order == "descending"), (column, order)
    assert len(shown_rows(page)) >= 3746


def test_lines_are_chosen(show: Opener) -> None:
    page = show("series")
    plot = page.locator("#places0")
    boxes, lines = plot.locator("input"), plot.locator("polyline")
    assert boxes.count() == lines.count() > 8
    axis = plot.locator(".y").inner_text()
    visible = [at for at in range(lines.count()) if boxes.nth(at).is_checked()]
    assert visible and all(lines.nth(at).is_visible() for at in visible)
    heights = [box_in_plot(plot, lines.nth(at)) for at in visible]
    plot.locator("summary").click()
    total = boxes.count() - 1
    assert not boxes.nth(total).is_checked()
    boxes.nth(total).check()
    assert plot.locator(".y").inner_text() != axis
    boxes.nth(total).focus()
    page.keyboard.press("Space")
    assert plot.locator(".y").inner_text() == axis
    # The script draws what Python drew.
    again = [box_in_plot(plot, lines.nth(at)) for at in visible]
    inside = box_in_plot(plot, plot.locator(".lines"))
    for one, two in zip(heights, again, strict=True):
        assert one == pytest.approx(two, abs=0.6)
        assert two[1] >= inside[1] - 2 and two[1] + two[3] <= inside[1] + inside[3] + 2


def box_in_plot(plot: Locator, element: Locator) -> list[float]:
    """Left, top, width, height of an element, wherever the page is scrolled to."""
    around, box = plot.bounding_box(), element.bounding_box()
    assert around and box
    return [box["x"] - around["x"], box["y"] - around["y"], box["width"], box["height"]]


def test_the_script_draws_the_plots_as_python_does(show: Opener) -> None:
    with_script, without = show("series"), show("series", java_script_enabled=False)
    asked = (
        "[...document.querySelectorAll('.plot')].map((p) => [p.querySelector('.y').textContent,"
        " [...p.querySelectorAll('polyline:not(.off)')].map((l) => l.getAttribute('transform')),"
        " [...p.querySelectorAll('.grid')].map((g) => Math.round(g.getBBox().y))])"
    )
    with_script.evaluate(
        "document.querySelectorAll('.plot').forEach((p) => { const b = p.querySelector('input');"
        " b.click(); b.click(); })"
    )

    def numbers(page: Page) -> list[Any]:
        found = []
        for axis, lines, grid in page.evaluate(asked):
            matrices = [re.findall(r"-?[\d.e+-]+", line.removeprefix("matrix")) for line in lines]
            found.append((axis, [[float(each) for each in matrix] for matrix in matrices], grid))
        return found

    for (axis, lines, grid), (there, others, rules) in zip(
        numbers(with_script), numbers(without), strict=True
    ):
        assert axis == there and grid == rules and len(lines) == len(others) > 0
        for one, two in zip(lines, others, strict=True):
            assert one == pytest.approx(two, rel=1e-4, abs=1e-3)


def test_the_theme_is_switched(show: Opener) -> None:
    page = show("one", scheme="light")
    color = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(color)
    page.locator("#theme").click()
    dark = page.evaluate(color)
    assert dark != light and page.locator("#theme").inner_text() == "Theme: dark"
    page.locator("#theme").press("Enter")
    assert page.evaluate(color) == light and "light" in page.locator("#theme").inner_text()
    page.locator("#theme").click()
    assert page.locator("#theme").inner_text() == "Theme: auto"
    assert show("one", scheme="dark").evaluate(color) == dark


@pytest.mark.parametrize("name", KINDS)
def test_all_of_it_can_be_read_without_scripts(show: Opener, name: str) -> None:
    with_script, page = show(name), show(name, java_script_enabled=False)
    for hidden in ("#theme", ".search", ".keys input"):
        assert not page.locator(hidden).first.is_visible() or not page.locator(hidden).count()
    assert shown_rows(page) == shown_rows(with_script) and len(shown_rows(page)) >= 3746
    assert tiles(page) == tiles(with_script) and len(tiles(page)) > 30
    assert page.locator("#all tbody tr").nth(3).is_visible()
    if name == "series":
        assert page.locator("#places0 polyline:visible").count() > 0
    assert page.evaluate("document.querySelectorAll('script').length") == 1


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_hostile_name_does_nothing(show: Opener, script: bool) -> None:
    page = show("hostile", java_script_enabled=script)
    assert (
        page.evaluate(
            "document.querySelectorAll('img, iframe, object, [onload], [onerror]').length"
        )
        == 0
    )
    assert page.evaluate("document.querySelectorAll('script, style').length") == 2
    assert len(shown_rows(page)) == len(ATTACKS)
    text = page.locator("#all").inner_text()
    for attack in ATTACKS[:6]:
        assert attack in text
    assert "\\u202e" in text and "\u202e" not in page.content()
    if script:
        page.locator("#search").fill("</script>")
        assert len(shown_rows(page)) == 2
        page.locator("#all th button").last.click()


def test_the_policy_stops_what_is_put_in(
    show: Opener, browser: Browser, tmp_path: Path, pages: dict[str, Path]
) -> None:
    """Even if markup got into the page, it would neither run nor ask for anything."""
    html = pages["one"].read_text()
    bad = '<img src="http://127.0.0.1:9/x"><script>document.title = "ran"</script><a onclick="1">'
    (tmp_path / "bad.html").write_text(html.replace("<main", f"{bad}<main", 1))
    page = browser.new_page()
    asked: list[str] = []
    blocked: list[str] = []
    page.on("response", lambda response: asked.append(response.url))
    page.on("console", lambda message: blocked.append(message.text))
    page.goto((tmp_path / "bad.html").as_uri())
    assert "ran" not in page.title()
    assert [url for url in asked if not url.startswith("file:")] == []
    assert len([text for text in blocked if "Content Security Policy" in text]) >= 2
    page.close()


@pytest.mark.parametrize("name", KINDS)
def test_it_prints(show: Opener, name: str) -> None:
    page = show(name, scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#theme").is_visible() and not page.locator(".search").is_visible()
    assert page.locator(".view:visible").count() == 1
    rows = page.locator("#all tbody tr")
    assert rows.nth(199).is_visible() and not rows.nth(200).is_visible()
    assert page.locator(".print").is_visible()
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF") and 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) < 20
