"""Decides whether an answer is shown with a pager."""

import os

from ..host.pager import Pager, chosen
from ..output.stream import warn
from ..output.terminal import Screen, is_dumb


def pager_for(when: str, screen: Screen) -> Pager | None:
    """The pager for an answer in full; None where there is to be none. when: auto, always, never.

    A terminal that knows no more than text gets one only if ALLOCQ_PAGER or PAGER names it.
    """
    if not screen.terminal or when == "never":
        return None
    if when == "auto" and is_dumb() and not chosen(os.environ):
        return None
    return Pager(warn)
