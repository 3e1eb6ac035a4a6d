"""One sample of a recording as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .counters import Counters


@dataclass
class Moment:
    """When and where a sample was taken. time: nanoseconds since 1970; boottime: nanoseconds since
    the boot, suspended time included; profiling: was the kernel counting? None if unknown."""

    time: int
    boottime: int
    boot: str
    kernel: str
    interface: str
    content_id: int | None = None
    consistent: bool | None = None
    profiling: bool | None = None


@dataclass
class Sample:
    """What every tag held at one moment.

    subjects: `FILE:LINE [MODULE] func:FUNCTION`, in kernel order; counters: theirs; keys: what the
    kernel says of a tag beyond that, by position; meminfo: bytes by the names of /proc/meminfo;
    seconds: how long a thinned sample stands for, 0 for one as taken; lowest, highest: of each tag
    in that time, None for a sample as taken.
    """

    moment: Moment
    subjects: Sequence[bytes]
    counters: Counters
    meminfo: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[int, str] = field(default_factory=dict)
    seconds: int = 0
    lowest: Counters | None = None
    highest: Counters | None = None
