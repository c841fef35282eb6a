"""The dashboard asks Prometheus only for what the server exports, and explains every panel."""

import functools
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from prometheus_client import Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from server.observability import metrics, process_stats
from server.observability.gpus import Gpus
from tests.server.observability.test_gpus import FakeNvml

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "k8s/components/monitoring/carfront.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [target for panel in PANELS for target in panel["targets"]]
TARGET_LABELS = {"job", "namespace", "instance"}
"""What the scrape adds to every series, on Kubernetes and, but for the namespace, elsewhere."""
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}

Panel = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One PromQL expression, taken apart."""

    expression: str
    selectors: tuple[promql_parser.VectorSelector, ...]
    grouping: frozenset[str]

    @classmethod
    def parse(cls, expression: str) -> "Query":
        nodes: list[promql_parser.Expr] = []
        parsed = promql_parser.parse(expression.replace("$__rate_interval", "5m"))
        promql_parser.walk(parsed, nodes.append)
        groups = [
            node.modifier.labels
            for node in nodes
            if isinstance(node, promql_parser.AggregateExpr) and node.modifier
        ]
        return cls(
            expression,
            tuple(node for node in nodes if isinstance(node, promql_parser.VectorSelector)),
            frozenset(label for labels in groups for label in labels),
        )

    @property
    def matched(self) -> set[str]:
        """The labels that the selectors look at."""
        return {matcher.name for each in self.selectors for matcher in each.matchers.matchers}


QUERIES = [Query.parse(target["expr"]) for target in TARGETS]


@functools.cache
def exported() -> dict[str, set[str]]:
    """Return the labels of every series that the server exports, by its name."""
    wrappers = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    labels = {wrapper._name: set(wrapper._labelnames) for wrapper in wrappers}
    series: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        process_stats.enter(Path(folder), "engine-0")
        text = metrics.exposition(engines_up=[True], processes=Path(folder)).decode()
    text += generate_latest(Gpus(FakeNvml())).decode()
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):  # when a series began; no process adds these up
            continue
        for suffix in SUFFIXES[family.type]:
            more = {"le"} if suffix == "_bucket" else set()
            seen = {label for sample in family.samples for label in sample.labels} - {"le"}
            series[family.name + suffix] = labels.get(family.name, seen) | more
    return series


def titles(panels: list[Panel]) -> list[str]:
    return [panel["title"] for panel in panels]


def overlapping(panels: list[Panel]) -> Iterator[tuple[str, str]]:
    """Yield the titles of any two panels that share a place."""
    for index, one in enumerate(panels):
        a = one["gridPos"]
        for other in panels[:index]:
            b = other["gridPos"]
            apart = (
                a["x"] + a["w"] <= b["x"]
                or b["x"] + b["w"] <= a["x"]
                or a["y"] + a["h"] <= b["y"]
                or b["y"] + b["h"] <= a["y"]
            )
            if not apart:
                yield one["title"], other["title"]


def test_every_series_in_a_query_is_exported():
    asked = {selector.name for query in QUERIES for selector in query.selectors}
    assert asked - {"up"} <= set(exported())


def test_every_metric_of_the_server_is_on_the_dashboard():
    asked = {strip(selector.name) for query in QUERIES for selector in query.selectors}
    wanted = {strip(name) for name in exported() if name.startswith(("carfront_", "http_server_"))}
    assert wanted <= asked


def strip(series: str) -> str:
    return re.sub(r"_(bucket|sum|count|total)$", "", series)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression[:60])
def test_a_query_uses_only_labels_that_its_series_have(query: Query):
    labels = set(TARGET_LABELS)
    for selector in query.selectors:
        labels |= exported().get(selector.name, set())
    assert query.matched | query.grouping <= labels


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression[:60])
def test_a_query_keeps_to_the_chosen_job_and_namespace(query: Query):
    for selector in query.selectors:
        chosen = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        assert (chosen["job"], chosen["namespace"]) == ("$job", "$namespace")


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression[:60])
def test_a_quantile_is_of_all_replicas_together(query: Query):
    if "_bucket" in query.expression:
        assert query.expression.startswith("histogram_quantile(")
        assert "sum by (le) (rate(" in query.expression


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["expr"][:60])
def test_a_legend_names_only_labels_that_its_query_keeps(target: dict[str, Any]):
    named = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
    assert named <= Query.parse(target["expr"]).grouping


@pytest.mark.parametrize("panel", PANELS, ids=titles(PANELS))
def test_a_panel_has_a_description_a_unit_and_the_chosen_data_source(panel: Panel):
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("panel", PANELS, ids=titles(PANELS))
def test_the_unit_of_seconds_is_seconds(panel: Panel):
    if any("histogram_quantile" in target["expr"] for target in panel["targets"]):
        assert panel["fieldConfig"]["defaults"]["unit"] == "s"


def thresholds(panel: Panel) -> list[float]:
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    return [step["value"] for step in steps if step["value"] is not None]


def buckets_of(query: Query) -> Iterator[set[float]]:
    """Yield the bucket boundaries of each histogram that ``query`` asks for."""
    histograms = {x._name: x for x in vars(metrics).values() if isinstance(x, Histogram)}
    for selector in query.selectors:
        if selector.name.endswith("_bucket"):
            yield set(histograms[strip(selector.name)]._kwargs["buckets"])


def test_the_dashboard_warns_above_the_objective():
    (panel,) = (panel for panel in PANELS if panel["title"] == "Latency p99")
    assert thresholds(panel)[0] == metrics.SLO_S
    assert f"{metrics.SLO_S * 1000:g} ms" in panel["description"]


@pytest.mark.parametrize("panel", PANELS, ids=titles(PANELS))
def test_a_limit_on_seconds_is_a_bucket_boundary(panel: Panel):
    for query in (Query.parse(target["expr"]) for target in panel["targets"]):
        limits = {float(x) for x in re.findall(r'\ble="([\d.]+)"', query.expression)}
        for boundaries in buckets_of(query):
            assert limits | set(thresholds(panel)) <= boundaries


def test_panels_have_ids_and_places_of_their_own():
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert list(overlapping(every)) == []
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in every)


def test_every_variable_in_a_query_is_defined():
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    text = json.dumps(DASHBOARD)
    used = set(re.findall(r"\$\{?([a-z]\w*)", text))
    assert used == defined == {"datasource", "namespace", "job"}
