"""Checks the options of `allocq fleet`; opens nothing."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ...errors import UsageError
from ...fleet.files import MICROSECONDS
from ...model import Filter
from ...options.fleet import ENGINES, FORMATS, GROUPS, SORTS
from ...times import parse_time
from ...units import parse_size
from ..arguments import View, choice, number, read_filter, read_table_view, scheme_of, strings, text
from ..saving import Target, read_target

LEAST_SCORE, LEAST_EXCESS = 5.0, 1 << 20


@dataclass(frozen=True, slots=True)
class FleetRequest:
    """The checked options of one question. since, until: microseconds since 1970; None: not given.
    now: the time of this machine. kernels, hosts: globs; rollout: a glob of kernels."""

    what: str
    path: str
    since: int | None
    until: int | None
    now: int
    kernels: tuple[str, ...]
    hosts: tuple[str, ...]
    rollout: str | None
    filter: Filter
    engine: str
    master: str | None
    group_by: str | None
    min_growth: int
    min_score: float
    min_excess: int
    sort: str
    sort_given: bool
    reverse: bool
    limit: int | None
    format: str | None
    quiet: bool
    view: View
    target: Target

    def wants(self, host: str, kernel: str) -> bool:
        """Is a sample of this host and kernel asked for?"""
        return self.wants_host(host) and self.wants_kernel(kernel)

    def wants_host(self, host: str) -> bool:
        """Does --host let this host through?"""
        return _any(self.hosts, host)

    def wants_kernel(self, kernel: str) -> bool:
        """Does --kernel let this kernel through?"""
        return _any(self.kernels, kernel)


def _any(globs: tuple[str, ...], name: str) -> bool:
    return not globs or any(fnmatchcase(name, glob) for glob in globs)


def read_request(what: str, values: Mapping[str, object]) -> FleetRequest:
    """Check the option values of `allocq fleet WHAT`. UsageError."""
    now = _now()
    output = text(values, "output")
    if values.get("format") is None and output and output.lower().endswith(".parquet"):
        values = {**values, "format": "parquet"}
    times = [text(values, name) for name in ("since", "until")]
    since, until = (
        None if each is None else round(parse_time(each, now) * MICROSECONDS) for each in times
    )
    if since is not None and until is not None and since > until:
        raise UsageError(f"--since {times[0]} is later than --until {times[1]}")
    engine = choice("engine", values.get("engine"), ENGINES) or "duckdb"
    excess, growth = text(values, "min_excess"), text(values, "min_growth")
    return FleetRequest(
        what=what,
        path=read_path(what, values),
        since=since,
        until=until,
        now=round(now * MICROSECONDS),
        kernels=tuple(strings(values, "kernel")),
        hosts=tuple(strings(values, "host")),
        rollout=text(values, "since_rollout"),
        filter=read_filter(values),
        engine=engine,
        master=_master(engine, text(values, "master")),
        group_by=choice("group-by", values.get("group_by"), GROUPS),
        min_growth=1 if growth is None else max(1, parse_size(growth)),
        min_score=_score(text(values, "min_score")),
        min_excess=LEAST_EXCESS if excess is None else parse_size(excess),
        sort=choice("sort", values.get("sort"), SORTS[what]) or SORTS[what][0],
        sort_given=values.get("sort") is not None,
        reverse=bool(values.get("reverse")),
        limit=number("limit", values.get("limit")),
        format=choice("format", values.get("format"), FORMATS),
        quiet=bool(values.get("quiet")),
        view=read_table_view(values),
        target=read_target(values, "csv"),
    )


def read_path(what: str, values: Mapping[str, object]) -> str:
    """--data. UsageError if it is missing or no path of this machine."""
    path = text(values, "data")
    if path is None:
        raise UsageError(
            f"fleet {what} needs --data PATH", "the directory that record --parquet writes to"
        )
    if not path or "\0" in path:
        raise UsageError("--data is empty" if not path else "invalid --data: contains a NUL byte")
    if scheme := scheme_of(path):
        raise UsageError(
            f"fleet reads files, not {scheme}://",
            "copy or mount the bucket, and give its directory",
        )
    return path


def _now() -> float:
    """The present, or the time that SOURCE_DATE_EPOCH says, for answers that can be repeated."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return float(epoch) if epoch.isascii() and epoch.isdigit() else time.time()


def _master(engine: str, master: str | None) -> str | None:
    if engine == "spark" and not master:
        raise UsageError("--engine spark needs --master", "as in --master spark://HOST:7077")
    if engine != "spark" and master is not None:
        raise UsageError("--master needs --engine spark")
    return master


def _score(value: str | None) -> float:
    if value is None:
        return LEAST_SCORE
    if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", value, re.ASCII):
        raise UsageError(f"invalid value '{value}' for --min-score", "use a number, 0 or more")
    return float(value)
