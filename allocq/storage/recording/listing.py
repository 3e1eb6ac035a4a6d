"""A sample as the text of a snapshot, which every command reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from ...core.text import header
from ...units import format_time
from ..snapshot import MARK, VERSION
from .sample import Sample
from .schema import NANOSECONDS

_WORD = 1 << 64


def snapshot_of(sample: Sample, facts: Mapping[str, str]) -> Iterator[bytes]:
    """The bytes of a snapshot, in pieces. facts: of the database: host, possible-cpus, filter."""
    moment = sample.moment
    metadata = {
        "time": format_time(moment.time / NANOSECONDS),
        "host": facts.get("host"),
        "kernel": moment.kernel,
        "boot-id": moment.boot,
        "content-id": None if moment.content_id is None else str(moment.content_id),
        "possible-cpus": facts.get("possible-cpus"),
        "consistent": {True: "yes", False: "no", None: None}[moment.consistent],
        "profiling": "off" if moment.profiling is False else None,
        "meminfo": json.dumps(dict(sample.meminfo), separators=(",", ":"))
        if sample.meminfo
        else "",
        "interface": moment.interface,
        "filter": facts.get("filter"),
        "tags": str(len(sample.counters)),
    }
    head = f"# {MARK}: {VERSION}\n" + "".join(
        f"# {key}: {value}\n" for key, value in metadata.items() if value
    )
    yield header("2.0") + head.encode("utf-8", "surrogateescape")
    now, keys = sample.counters, sample.keys
    rows = zip(now.bytes, now.calls, now.inaccurate, sample.subjects, strict=True)
    yield b"".join(
        b"%12d %8d %b%b%b \n"
        % (
            size,
            calls % _WORD,
            subject,
            b" accurate:no" if inaccurate else b"",
            b" " + keys[at].encode("utf-8", "surrogateescape") if at in keys else b"",
        )
        for at, (size, calls, inaccurate, subject) in enumerate(rows)
    )
