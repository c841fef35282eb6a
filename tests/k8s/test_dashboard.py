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
import yaml
from prometheus_client import Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from k8s.dashboard import build
from k8s.dashboard.panel import PODS
from server.observability import metrics, process_stats
from server.observability.exposition import Exposition
from server.observability.gpus import Gpus
from tests.k8s.rendering import containers, only, pod_template, render
from tests.server.observability.test_gpus import FakeNvml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
DASHBOARD = json.loads((K8S / "components/monitoring/carfront.json").read_text())
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
EVERY = [*DASHBOARD["panels"], *(panel for row in ROWS for panel in row["panels"])]
"""All panels and rows; those of a collapsed row are inside of it."""
PANELS = [panel for panel in EVERY if panel["type"] != "row"]
TARGETS = [target for panel in PANELS for target in panel["targets"]]
TARGET_LABELS = {"job", "namespace", "instance"}
"""What the scrape adds to every series, on Kubernetes and, but for the namespace, elsewhere."""
KUBERNETES = {
    "kube_deployment_spec_replicas": {"deployment"},
    "kube_deployment_status_replicas_ready": {"deployment"},
    "kube_pod_container_status_restarts_total": {"pod", "container"},
    "container_cpu_cfs_periods_total": {"pod", "container"},
    "container_cpu_cfs_throttled_periods_total": {"pod", "container"},
}
"""Series of kube-state-metrics and cAdvisor, and their labels beside the namespace."""
PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate", "severity"}}
"""Series that Prometheus makes itself."""
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
        process_stats.register_process(Path(folder), "engine-0")
        told, _ = Exposition(processes=Path(folder)).text(engines_up=[True])
        text = told.decode()
    text += generate_latest(Gpus(FakeNvml())).decode()
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):  # when a series began; no process adds these up
            continue
        for suffix in SUFFIXES[family.type]:
            more = {"le"} if suffix == "_bucket" else set()
            seen = {label for sample in family.samples for label in sample.labels} - {"le"}
            series[family.name + suffix] = labels.get(family.name, seen) | more
    return series


def known() -> dict[str, set[str]]:
    """Return the labels of every series that a panel may ask for, by its name."""
    return exported() | KUBERNETES | PROMETHEUS | {name: set() for name in recorded()}


@functools.cache
def recorded() -> set[str]:
    """Return every series that the alerts' rules record."""
    rules = yaml.safe_load((K8S / "components/alerts/prometheusrule.yaml").read_text())
    every = [rule for group in rules["spec"]["groups"] for rule in group["rules"]]
    return {rule["record"] for rule in every if "record" in rule}


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
    assert asked <= set(known())


def test_the_dashboard_is_the_one_that_its_code_makes():
    path = K8S / "components/monitoring/carfront.json"
    assert path.read_text() == build.text(), "write it anew: python -m k8s.dashboard"


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
        labels |= known()[selector.name]
    assert query.matched | query.grouping <= labels


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression[:60])
def test_a_query_keeps_to_the_chosen_job_and_namespace(query: Query):
    for selector in query.selectors:
        chosen = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        assert chosen["namespace"] == "$namespace"
        if selector.name in KUBERNETES:
            assert (
                chosen.get("deployment") == "$job"
                or chosen.get("pod") == "($job)-[a-z0-9]+-[a-z0-9]+"
            )
        else:
            assert chosen["job"] == "$job"


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression[:60])
def test_a_quantile_is_of_all_replicas_together(query: Query):
    if "histogram_quantile" in query.expression:
        assert query.expression.startswith("histogram_quantile(")
        assert query.expression.endswith(" >= 0")  # while nothing is observed it is NaN
        assert re.search(r"sum by \(le(, route, kind)?\) \(rate\(", query.expression)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["expr"][:60])
def test_a_legend_names_only_labels_that_its_query_keeps(target: dict[str, Any]):
    named = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
    assert named <= Query.parse(target["expr"]).grouping


@pytest.mark.parametrize("panel", PANELS, ids=titles(PANELS))
def test_a_panel_that_leads_to_the_runbook_leads_to_a_section_of_it(panel: Panel):
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    for link in panel.get("links", ()):
        place, _, section = link["url"].partition("#")
        assert place == build.RUNBOOK
        assert section in map(str.lower, sections)


@pytest.mark.parametrize("panel", PANELS, ids=titles(PANELS))
def test_a_panel_has_a_description_a_unit_and_the_chosen_data_source(panel: Panel):
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("panel", PANELS, ids=titles(PANELS))
def test_the_unit_of_seconds_is_seconds(panel: Panel):
    if any("histogram_quantile" in target["expr"] for target in panel["targets"]):
        assert panel["fieldConfig"]["defaults"]["unit"] == "s"


@pytest.mark.parametrize("panel", PANELS, ids=titles(PANELS))
def test_a_panel_says_in_words_what_no_value_means(panel: Panel):
    always = all(target["expr"].endswith("or vector(0)") for target in panel["targets"])
    assert always or panel["fieldConfig"]["defaults"]["noValue"]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression[:60])
def test_a_ratio_is_not_divided_by_zero(query: Query):
    divisors = re.findall(r" / (?:on\(\) group_left\(\) )?(\S+)", query.expression)
    assert all(divisor.startswith("(sum") for divisor in divisors)
    assert query.expression.count(" > 0)") == len(divisors)


def test_panels_that_are_referred_to_exist():
    referred = set(re.findall(r'"([A-Z][a-z ]+)"', (ROOT / "docs/runbook.md").read_text()))
    for panel in PANELS:
        referred |= set(re.findall(r"'([A-Z][a-z ]+)'", panel["description"]))
    assert referred
    assert referred <= set(titles(PANELS))


def test_the_first_panel_is_red_where_there_is_no_replica():
    first = min(PANELS, key=lambda panel: (panel["gridPos"]["y"], panel["gridPos"]["x"]))
    (target,) = first["targets"]
    assert "carfront_engine_up" in target["expr"]
    assert target["expr"].endswith("or vector(0)")
    (mapping,) = first["fieldConfig"]["defaults"]["mappings"]
    assert mapping["options"]["0"]["color"] == "red"


def test_the_row_of_gpus_is_collapsed():
    collapsed = {row["title"] for row in ROWS if row["collapsed"]}
    assert collapsed == {"GPUs"}
    assert all(bool(row["panels"]) == row["collapsed"] for row in ROWS)


def thresholds(panel: Panel) -> list[float]:
    steps = (panel["fieldConfig"]["defaults"].get("thresholds") or {}).get("steps", [])
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
    assert len({panel["id"] for panel in EVERY}) == len(EVERY)
    assert list(overlapping(EVERY)) == []
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in EVERY)


def test_every_variable_in_a_query_is_defined():
    assert DASHBOARD["links"][0]["url"] == build.RUNBOOK
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    text = json.dumps(DASHBOARD)
    used = set(re.findall(r"\$\{?([a-z]\w*)", text))
    assert used == defined == {"datasource", "namespace", "job"}


def test_container_of_the_pods_is_the_manifests():
    (container,) = containers(pod_template(only(render("cpu"), "Deployment")))
    asked = re.findall(r'container="([^"]*)"', " ".join(x["expr"] for x in TARGETS))
    assert set(asked) == {container["name"]}


def test_pods_of_a_copy_with_a_longer_name_are_not_those_of_the_chosen_one():
    pattern = re.search(r'pod=~"([^"]*)"', PODS)
    assert pattern is not None
    chosen = re.compile(pattern[1].replace("$job", "carfront"))
    assert chosen.fullmatch("carfront-7d9c5b6f4-x2x9z")
    assert not chosen.fullmatch("carfront-canary-7d9c5b6f4-x2x9z")
