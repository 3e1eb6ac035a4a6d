"""Decides whether an answer is shown with a pager."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..output.stream import warn
from ..output.terminal import Screen, is_dumb

if TYPE_CHECKING:
    from ..host.pager import Pager


def pager_for(when: str, screen: Screen, fd: int) -> Pager | None:
    """The pager for an answer in full; None where there is to be none. when: auto, always, never.

    A terminal that knows no more than text gets one only if ALLOCQ_PAGER or PAGER names it, and
    none that nobody can type at.
    """
    if when == "never" or not screen.terminal:
        return None
    from ..host.pager import Pager, chosen, has_keys

    if not has_keys(fd):
        return None
    if when == "auto" and is_dumb() and not chosen(os.environ):
        return None
    return Pager(warn)
