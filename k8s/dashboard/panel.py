"""What a panel is, and the parts of its queries, in Prometheus's terms and without Grafana's."""

from collections.abc import Sequence
from dataclasses import dataclass, field

CHOSEN = 'job=~"$job",namespace=~"$namespace"'
"""The instances and namespaces that are chosen at the top of the dashboard."""
PODS = 'namespace=~"$namespace",pod=~"($job)-[a-z0-9]+-[a-z0-9]+"'
"""The pods of the chosen instances, for metrics that Kubernetes has of them: those of a Deployment,
and of no other whose name goes on."""
ASKED = 'route!~"/(healthz|readyz|metrics|v2/health/.+)"'
"""Requests of callers: no probes and scrapes."""
FULL_WIDTH = 24


@dataclass(frozen=True)
class Query:
    """One expression, and what its series are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel of the dashboard."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    no_value: str = ""
    """What stands there where there is no value; needed unless every query always has one."""
    kind: str = "timeseries"
    """The kind of the panel: timeseries, stat, table or heatmap."""
    width: int = 8
    height: int = 8
    decimals: int | None = None
    lowest: float | None = 0
    highest: float | None = None
    steps: Sequence[tuple[str, float]] = ()
    """Colours and the values from which on they hold, above the first colour, green."""
    is_bad_below: bool = False
    """Whether the first colour is red: then values that are too small are bad."""
    texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The text and colour that stand for a value."""
    is_stacked: bool = False
    is_stepped: bool = False
    """Whether a line goes on until the next value, as for what is counted one by one."""
    runbook: str = ""
    """The alert whose section of the runbook says what to do."""


@dataclass(frozen=True)
class Row:
    """Panels below a title; a closed one is opened by a click."""

    title: str
    panels: Sequence[Panel]
    is_closed: bool = False


def of(series: str, *matchers: str) -> str:
    """Return ``series`` of the chosen instances, where all ``matchers`` hold."""
    return f"{series}{{{','.join((CHOSEN, *matchers))}}}"


def rate(series: str, *matchers: str) -> str:
    """Return how much ``series`` rises a second."""
    return f"rate({of(series, *matchers)}[$__rate_interval])"


def total(expression: str, by: str = "") -> str:
    """Return the sum of ``expression``, for each value of the labels ``by``."""
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def largest(expression: str, by: str) -> str:
    """Return the largest value of ``expression`` for each value of the labels ``by``."""
    return f"max by ({by}) ({expression})"


def share(part: str, whole: str) -> str:
    """Return ``part`` divided by ``whole``, nothing where that is 0."""
    return f"{part} / ({whole} > 0)"


def quantile(q: float, histogram: str, *matchers: str, by: str = "") -> str:
    """Return the quantile of a histogram over all replicas; while nothing happens it has none."""
    labels = f"le, {by}" if by else "le"
    buckets = total(rate(f"{histogram}_bucket", *matchers), labels)
    return f"histogram_quantile({q:g}, {buckets}) >= 0"


def quantiles(histogram: str, *matchers: str, prefix: str = "") -> list[Query]:
    """Return the queries of a histogram's median, 95th and 99th percentile."""
    return [
        Query(quantile(q, histogram, *matchers), f"{prefix}p{round(q * 100)}")
        for q in (0.5, 0.95, 0.99)
    ]
