"""The tags of one moment, among others that are read again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model import Filter
from .diff import Key


@dataclass(frozen=True, slots=True)
class Reading:
    """The tags of one moment that match `filter`.

    time: seconds since 1970; moment: seconds on a clock that is never set, for rates; boot: its id,
    None if unknown; keys: the same object as before where the tags are the same; bytes and calls
    are signed. profiling: was the kernel counting? None if unknown. consistent: False if modules
    came or went in between.
    """

    time: float
    moment: float
    boot: str | None
    filter: Filter
    keys: Sequence[Key]
    bytes: Sequence[int]
    calls: Sequence[int]
    inaccurate: Sequence[int]
    host: str = ""
    kernel: str = ""
    profiling: bool | None = None
    consistent: bool | None = None
