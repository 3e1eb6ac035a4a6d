"""Elements of an HTML page, which escape what they hold.

There is no way to put markup into text: a page is built of elements and serialized at the end by
the standard library. A name can be any bytes; it stays text.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring

from ...units import format_size
from ..terminal import fit, printable

LONGEST = 160
"""How much of the end of a name is shown, in columns."""

Content = Element | str | None


def el(tag: str, *content: Content, **attributes: str | int | None) -> Element:
    """An element. None is left out, of the content and of the attributes; an attribute `class_` is
    `class`, `aria_label` is `aria-label`."""
    element = Element(
        tag,
        {
            name.rstrip("_").replace("_", "-"): str(value)
            for name, value in attributes.items()
            if value is not None
        },
    )
    last: Element | None = None
    for each in content:
        if each is None:
            continue
        if isinstance(each, Element):
            element.append(each)
            last = each
        elif last is None:
            element.text = (element.text or "") + each
        else:
            last.tail = (last.tail or "") + each
    return element


def text_of(element: Element) -> str:
    """The element as HTML."""
    return tostring(element, encoding="unicode", method="html")


def name(text: str | None, longest: int = LONGEST) -> str:
    """A name of the kernel, or any text from a file: what a screen acts on or hides is escaped, as
    on a terminal, and of what is too long the end is shown."""
    return fit(printable(text or ""), longest)


def signed(size: int) -> str:
    """A change in bytes with its sign: `+1.5M`."""
    return ("+" if size > 0 else "") + format_size(size)


def exact(size: int) -> str:
    """All digits: `1,536 bytes`."""
    return f"{size:,} bytes"


def size_cell(size: int, with_sign: bool = False) -> Element:
    """A table cell with a size; the exact number is its title."""
    shown = signed(size) if with_sign else format_size(size)
    long = None if shown.lstrip("+-").isdigit() else exact(size)
    return el("td", shown, class_="n", title=long)


def number_cell(number: int, with_sign: bool = False) -> Element:
    """A table cell with a number."""
    return el("td", f"{number:+,}" if with_sign and number else f"{number:,}", class_="n")


def link(target: str, *content: Content, **attributes: str | int | None) -> Element:
    """A link within the page."""
    return el("a", *content, href=f"#{target}", **attributes)
