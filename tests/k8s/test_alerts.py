"""The alerts fire when they should, and say what to do."""

import re
from pathlib import Path

import promql_parser
import pytest
import yaml

from server.observability import metrics
from tests.k8s.promtool import promtool
from tests.k8s.test_dashboard import exported

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "k8s/components/alerts/prometheusrule.yaml"
CASES = ROOT / "tests/k8s/alerts.yaml"
SPEC = yaml.safe_load(SOURCE.read_text())["spec"]
RULES = [rule for group in SPEC["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
TARGET = {"job", "namespace", "instance"}
WINDOWS = {
    ("14.4", "1h", "5m"): "critical",
    ("6", "6h", "30m"): "critical",
    ("3", "1d", "2h"): "warning",
    ("1", "3d", "6h"): "warning",
}
"""Each burn rate with its long and its short window, and how urgent it is."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the rules and the cases, as promtool wants them."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(SPEC))
    (tmp_path / "alerts.yaml").write_text(CASES.read_text())
    return tmp_path


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    nodes: list[promql_parser.Expr] = []
    promql_parser.walk(promql_parser.parse(expression), nodes.append)
    return [node for node in nodes if isinstance(node, promql_parser.VectorSelector)]


def fired() -> set[str]:
    """Return the alerts that the cases want to fire."""
    cases = yaml.safe_load(CASES.read_text())["tests"]
    samples = [
        sample["labels"]
        for case in cases
        for check in case["promql_expr_test"]
        for sample in check["exp_samples"]
    ]
    return {re.search(r'alertname="(\w+)"', labels)[1] for labels in samples}


def test_prometheus_takes_the_rules(folder: Path):
    assert f"{len(RULES)} rules found" in promtool(folder, "check", "rules", "rules.yaml")


def test_every_case_fires_what_it_should_and_nothing_else(folder: Path):
    assert "SUCCESS" in promtool(folder, "test", "rules", "alerts.yaml")


def test_every_alert_has_a_case_in_which_it_fires():
    assert fired() == set(NAMES)


def test_a_rule_asks_only_for_what_is_exported_or_recorded():
    asked = {each.name for rule in RULES for each in selectors(rule["expr"])}
    assert asked - {"up"} <= set(exported()) | RECORDED


def test_a_rule_matches_only_labels_that_its_series_have():
    for rule in RULES:
        for each in selectors(rule["expr"]):
            matched = {matcher.name for matcher in each.matchers.matchers}
            assert matched <= exported().get(each.name, set()) | TARGET, rule


def test_every_record_is_used():
    asked = {each.name for rule in RULES for each in selectors(rule["expr"])}
    assert asked >= RECORDED


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_says_what_it_is_and_where_to_read_on(name: str):
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert name in sections
    for rule in (rule for rule in ALERTS if rule["alert"] == name):
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        assert len(rule["annotations"]["description"]) > 20
        assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbook.md#{name.lower()}")


def test_the_runbook_has_a_section_for_alerts_that_exist():
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert sorted(section for section in sections if section.startswith("Carfront")) == NAMES


@pytest.mark.parametrize(
    ("name", "share"), [("CarfrontErrorBudgetBurn", "0.001"), ("CarfrontLatencyBudgetBurn", "0.01")]
)
def test_a_budget_burns_at_four_rates_in_two_windows_each(name: str, share: str):
    found = {}
    for rule in (rule for rule in ALERTS if rule["alert"] == name):
        long, short = rule["labels"]["long"], rule["labels"]["short"]
        windows = re.findall(rf"ratio(\w+) > ([\d.]+) \* {re.escape(share)}\b", rule["expr"])
        assert [window for window, _ in windows] == [long, short]
        ((rate,),) = [{rate for _, rate in windows}]
        found[rate, long, short] = rule["labels"]["severity"]
    assert found == WINDOWS


def test_late_is_what_takes_longer_than_the_objective():
    limits = re.findall(r'le="([\d.]+)"', SOURCE.read_text())
    assert {float(limit) for limit in limits} == {metrics.SLO_S}
