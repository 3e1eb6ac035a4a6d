"""The questions to a fleet, each written once as an Ibis expression, whatever the engine.

Rows come in no particular order: who asks sorts them. Only what all engines compute alike is used:
whole numbers, sums, ranks; no engine's own quantiles, hashes or regular expressions.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
from ibis import _

from ..model import Filter
from ..storage.parquet.schema import TAG
from .samples import When

PERCENTS = (50, 90, 99)
MOST = 1 << 48
"""Of counters over 256 TiB, which no machine has, sums would overflow."""
LEAST_PEERS = 5
"""Among fewer hosts of a kernel, none is an outlier."""
MAD_SCALE = 1.4826
"""The standard deviation of a normal distribution is so many MADs."""
FLOOR_PERCENT, FLOOR = 5, 4096
"""Peers that agree to a byte still count as so far apart: percent of the median, and bytes."""


def between(data: Any, since: int | None, until: int | None, beyond: int | None = None) -> Any:
    """The rows from `since` to `until`, both included, in microseconds since 1970; None for no
    bound. beyond: and those that are later than this."""
    inside = ibis.literal(True)
    if since is not None:
        inside &= data.time >= _moment(since)
    if until is not None:
        inside &= data.time <= _moment(until)
    if beyond is not None:
        inside |= data.time > _moment(beyond)
    return data if since is until is beyond is None else data.filter(inside)


def _moment(time: int) -> Any:
    try:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    except OverflowError:  # a bound before or after all that can be a time
        when = (datetime.min if time < 0 else datetime.max).replace(tzinfo=UTC)
    return ibis.literal(when, "timestamp('UTC')")


def spans(data: Any) -> Any:
    """(host, boot_id, kernel, first, last)."""
    return data.group_by("host", "boot_id", "kernel").agg(first=_.time.min(), last=_.time.max())


def counted_spans(data: Any) -> Any:
    """(host, boot_id, kernel, first, last, samples)."""
    return data.group_by("host", "boot_id", "kernel").agg(
        first=_.time.min(), last=_.time.max(), samples=_.time.nunique()
    )


def tags(data: Any, picks: Any, filter: Filter) -> Any:
    """The rows of the picked samples that match the filter's conditions on single counters: (pick,
    file, line, module, function, bytes, calls, accurate). picks: (host, boot_id, time, pick)."""
    rows = data.inner_join(picks, ["host", "boot_id", "time"])
    if filter.accurate is not None:
        rows = rows.filter(rows.accurate == filter.accurate)
    if filter.underflowed:
        rows = rows.filter((rows.bytes < 0) | (rows.calls < 0))
    return rows.select("pick", *TAG, "bytes", "calls", "accurate")


def names(tags: Any, facts: Any) -> Any:
    """(kernel, file, line, module, function, rows): the tags of each kernel, and how many rows they
    have. facts: (pick, host, kernel, when), numbers all; those of hosts are in the order of their
    names."""
    rows = tags.inner_join(facts, "pick")
    return rows.group_by("kernel", *TAG).agg(rows=_.pick.count())


def copies(tags: Any) -> Any:
    """(pick, times): samples that are there `times` times: at least two tags, and of each row so
    many like it. Tags of one name may well hold the same; all of a sample's never do."""
    alike = tags.group_by("pick", *TAG, "bytes", "calls", "accurate").agg(times=_.pick.count())
    return (
        alike.group_by("pick")
        .agg(times=_.times.min().cast("int64"), rows=_.pick.count())
        .filter((_.times > 1) & (_.rows > 1))
        .select("pick", "times")
    )


def once(tags: Any, copies: Any) -> Any:
    """The rows of tags, those of a sample in `copies` as if it were there once."""
    alike = ibis.window(group_by=["pick", *TAG, "bytes", "calls", "accurate"], order_by="pick")
    numbered = tags.mutate(nth=ibis.row_number().over(alike))
    times = copies.select(doubled="pick", times="times")
    rows = numbered.left_join(times, numbered.pick == times.doubled)
    single = rows.filter(rows.times.isnull() | (rows.nth % rows.times == rows.times - 1))
    return single.select(*tags.columns)


def held(tags: Any, facts: Any, numbers: Any, filter: Filter) -> Any:
    """(host, when, kernel, key, size, calls, below, inaccurate): what each host holds at each
    place. numbers: (file, line, module, function, key), the number of the place of each tag.

    Counters below zero, or too large for any machine, are not in the sums, unless they are what the
    filter asks for; `below` says how many there are.
    """
    rows = tags.inner_join(numbers, TAG)
    sound = rows.bytes.between(0, MOST) & rows.calls.between(0, MOST)
    counted = sound | filter.underflowed
    marked = rows.select(
        "pick",
        "key",
        size=ibis.ifelse(counted, rows.bytes.clip(-MOST, MOST), 0),
        calls=ibis.ifelse(counted, rows.calls.clip(-MOST, MOST), 0),
        below=ibis.ifelse(sound, 0, 1),
        inaccurate=ibis.ifelse(rows.accurate, 0, 1),
    )
    sums = marked.group_by("pick", "key").agg(
        size=_.size.sum().cast("int64"),
        calls=_.calls.sum().cast("int64"),
        below=_.below.sum().cast("int64"),
        inaccurate=_.inaccurate.sum().cast("int64"),
    )
    return sums.inner_join(facts, "pick").drop("pick")


def top(held: Any) -> Any:
    """(key, size, calls, hosts, largest, largest_host, below, inaccurate) of each place. hosts: on
    how many it holds anything."""
    first = ibis.window(group_by="key", order_by=[ibis.desc("size"), "host"])
    ranked = held.mutate(rank=ibis.row_number().over(first))
    return ranked.group_by("key").agg(
        size=_.size.sum().cast("int64"),
        calls=_.calls.sum().cast("int64"),
        hosts=ibis.ifelse((_.size != 0) | (_.calls != 0), 1, 0).sum().cast("int64"),
        largest=_.size.max(),
        largest_host=ibis.ifelse(_.rank == 0, _.host, ibis.null("int64")).max(),
        below=_.below.sum().cast("int64"),
        inaccurate=_.inaccurate.sum().cast("int64"),
    )


def percentiles(held: Any) -> Any:
    """(key, hosts, p50, p90, p99, calls, largest, largest_host) of each place, by nearest rank: a
    value that a host has. calls: the most of a host."""
    order = ibis.window(group_by="key", order_by=["size", "host"])
    ranked = held.mutate(
        rank=ibis.row_number().over(order) + 1, hosts=_.host.count().over(group_by="key")
    )
    values = {
        f"p{percent}": ibis.ifelse(
            ranked.rank == _rank(ranked.hosts, percent), ranked.size, ibis.null("int64")
        )
        for percent in PERCENTS
    }
    values["top_host"] = ibis.ifelse(ranked.rank == ranked.hosts, ranked.host, ibis.null("int64"))
    marked = ranked.mutate(**values)
    return marked.group_by("key").agg(
        hosts=_.host.nunique(),
        **{name: marked[name].max() for name in values if name != "top_host"},
        calls=_.calls.max(),
        largest=_.size.max(),
        largest_host=_.top_host.max(),
    )


def _rank(count: Any, percent: int) -> Any:
    """The smallest rank that so many percent do not exceed."""
    return ((count * percent + 99) / 100).floor().cast("int64")


def growth(held: Any) -> Any:
    """(key, growth, calls, before, after, calls_after, hosts, known, grew, largest, largest_host),
    from the first to the last sample of each host. hosts: how many have the place; known: how many
    had it in the first sample; grew: on how many it grew."""
    last = held.when == int(When.LAST)
    sides = held.group_by("host", "key").agg(
        before=ibis.ifelse(last, 0, held["size"]).sum().cast("int64"),
        after=ibis.ifelse(last, held["size"], 0).sum().cast("int64"),
        calls_after=ibis.ifelse(last, held["calls"], 0).sum().cast("int64"),
        more_calls=ibis.ifelse(last, held["calls"], -held["calls"]).sum().cast("int64"),
        known=ibis.ifelse(last, 0, 1).max(),
    )
    each = sides.mutate(growth=sides.after - sides.before)
    first = ibis.window(group_by="key", order_by=[ibis.desc("growth"), "host"])
    ranked = each.mutate(rank=ibis.row_number().over(first))
    return ranked.group_by("key").agg(
        growth=_.growth.sum().cast("int64"),
        calls=_.more_calls.sum().cast("int64"),
        before=_.before.sum().cast("int64"),
        after=_.after.sum().cast("int64"),
        calls_after=_.calls_after.sum().cast("int64"),
        hosts=_.host.nunique(),
        known=_.known.sum().cast("int64"),
        grew=ibis.ifelse(_.growth > 0, 1, 0).sum().cast("int64"),
        largest=_.growth.max(),
        largest_host=ibis.ifelse(_.rank == 0, _.host, ibis.null("int64")).max(),
    )


def outliers(held: Any, least_score: float, least_excess: int) -> Any:
    """(host, kernel, key, size, calls, median, mad, peers): hosts that hold at least `least_excess`
    bytes more at a place than the median of their kernel, and at least `least_score` times the
    scaled MAD, which is taken for no smaller than FLOOR and FLOOR_PERCENT of the median."""
    groups = ["kernel", "key"]
    held = _with_median(held, groups, "size", "median")
    held = held.mutate(distance=(held["size"] - held.median).abs())
    held = _with_median(held, groups, "distance", "mad")
    held = held.mutate(excess=held["size"] - held.median)
    spread = ibis.greatest(
        held.mad * MAD_SCALE, held.median * (FLOOR_PERCENT / 100), ibis.literal(float(FLOOR))
    )
    found = held.filter(
        (held.peers >= LEAST_PEERS)
        & (held.excess >= least_excess)
        & (held.excess >= spread * least_score)
    )
    return found.select(
        "host", "kernel", "key", "size", "calls", "median", "mad", "peers", "below", "inaccurate"
    )


def spread(median: int, mad: int) -> float:
    """How far apart peers count as, of whom this is the median and the MAD."""
    return max(mad * MAD_SCALE, median * (FLOOR_PERCENT / 100), float(FLOOR))


def _with_median(rows: Any, groups: list[str], value: str, name: str) -> Any:
    """The rows with the median of `value` in their group, rounded down, and how many there are as
    `peers`: the middle value, or the mean of the two."""
    order = ibis.window(group_by=groups, order_by=[value, "host"])
    ranked = rows.mutate(
        rank=ibis.row_number().over(order) + 1, peers=rows.host.count().over(group_by=groups)
    )
    low = ((ranked.peers + 1) / 2).floor().cast("int64")
    high = ((ranked.peers + 2) / 2).floor().cast("int64")
    marked = ranked.mutate(
        low=ibis.ifelse(ranked.rank == low, ranked[value], ibis.null("int64")),
        high=ibis.ifelse(ranked.rank == high, ranked[value], ibis.null("int64")),
    )
    whole = ibis.window(group_by=groups)
    middle = marked.mutate(
        **{
            name: ((marked.low.max().over(whole) + marked.high.max().over(whole)) / 2)
            .floor()
            .cast("int64")
        }
    )
    return middle.drop("rank", "low", "high")


def totals(held: Any) -> Any:
    """(host, size, calls, below) of each host."""
    return held.group_by("host").agg(
        size=_.size.sum().cast("int64"),
        calls=_.calls.sum().cast("int64"),
        below=_.below.sum().cast("int64"),
    )
