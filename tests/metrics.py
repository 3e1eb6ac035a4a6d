"""Reads metrics with the parsers of prometheus-client."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

Labels = tuple[tuple[str, str], ...]
Values = dict[str, dict[Labels, float]]


def _values(families: object) -> Values:
    """Values by metric and labels, each once."""
    found: Values = {}
    for family in families:  # type: ignore[attr-defined]
        assert family.documentation and family.samples is not None
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            series = found.setdefault(sample.name, {})
            assert labels not in series, (sample.name, labels)
            series[labels] = sample.value
    return found


def read_openmetrics(data: bytes) -> Values:
    return _values(openmetrics(data.decode()))


def read_text(data: bytes) -> Values:
    return _values(plain(data.decode()))


def sums(values: Values, name: str) -> float:
    return sum(values[name].values())
