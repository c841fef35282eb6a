"""What the top of the dashboard and the scalers see: idle is 0, and no replica is not idle."""

from pathlib import Path

import pytest
import yaml

from tests.k8s.promtool import assert_worth
from tests.k8s.rendering import K8S
from tests.k8s.test_dashboard import PANELS

JOB = 'namespace="carfront",job="carfront"'
REPLICA = f'{JOB},instance="a",pod="carfront-a"'
REPLICAS = {
    f"up{{{REPLICA}}}": "1x30",
    f'carfront_engine_up{{{REPLICA},engine="0"}}': "1x30",
    f"carfront_estimated_capacity_images_per_second{{{REPLICA}}}": "0x30",
    f'carfront_queue_delay_seconds_bucket{{{REPLICA},le="0.1"}}': "0x30",
    f'carfront_queue_delay_seconds_bucket{{{REPLICA},le="+Inf"}}': "0x30",
}
ROUTE = 'route="/v1/images/<seed>.png"'
REQUESTS = f'http_server_requests_total{{{REPLICA},{ROUTE},status="%s"}}'
INFO = 'carfront_model_info{%s,instance="%s",model="cars",version="%s",digest="d"}'
BUSY = REPLICAS | {
    f"carfront_estimated_capacity_images_per_second{{{REPLICA}}}": "1000x30",
    f'carfront_images_total{{{REPLICA},model="cars"}}': "0+30000x30",
    f'carfront_queue_delay_seconds_bucket{{{REPLICA},le="0.1"}}': "0+600x30",
    f'carfront_queue_delay_seconds_bucket{{{REPLICA},le="+Inf"}}': "0+600x30",
}


def panel(title: str) -> str:
    """Return the first expression of a panel, with everything chosen."""
    (found,) = [panel for panel in PANELS if panel["title"] == title]
    expression = found["targets"][0]["expr"].replace("$__rate_interval", "5m")
    return expression.replace("$job", ".*").replace("$namespace", ".*")


def triggers() -> list[str]:
    """Return the queries of KEDA, with windows that hold samples a minute apart."""
    scaled = yaml.safe_load((K8S / "components/keda/scaledobject.yaml").read_text())
    queries = [each["metadata"]["query"] for each in scaled["spec"]["triggers"]]
    return [query.replace("[1m]", "[5m]") for query in queries]


def adapted() -> list[str]:
    """Return the queries of prometheus-adapter for this copy's pods."""
    values = yaml.safe_load((K8S / "components/prometheus-adapter/adapter-values.yaml").read_text())
    found = []
    for rule in values["rules"]["custom"]:
        query = rule["metricsQuery"].replace("<<.Series>>", rule["seriesQuery"].partition("{")[0])
        query = query.replace("<<.GroupBy>>", "pod").replace("[1m]", "[5m]")
        selected = query.replace("<<.LabelMatchers>>", 'namespace="carfront",pod=~"carfront-a"')
        found.append(f"sum({selected})")  # the test knows numbers without labels
    return found


def test_without_a_replica_the_dashboard_says_so_and_nothing_good(tmp_path: Path):
    titles = ("Engines down", "Failed requests", "Latency p99", "Capacity in use")
    nothing = dict.fromkeys(map(panel, (*titles, "Not on all replicas")))
    assert_worth(tmp_path, {panel("Replicas"): 0} | nothing, {})


def test_an_idle_replica_has_no_failed_requests(tmp_path: Path):
    requests = {REQUESTS % 200: "600x30", REQUESTS % 503: "5x30"}
    expected = {panel("Replicas"): 1, panel("Failed requests"): 0, panel("Latency p99"): None}
    assert_worth(tmp_path, expected, REPLICAS | requests)


def test_failed_requests_are_a_share_of_all(tmp_path: Path):
    requests = {REQUESTS % 200: "0+90x30", REQUESTS % 503: "0+10x30"}
    assert_worth(tmp_path, {panel("Failed requests"): 0.1}, REPLICAS | requests)


@pytest.mark.parametrize(("version", "differ"), [("1", 0), ("2", 2)])
def test_versions_that_differ_are_counted(tmp_path: Path, version: str, differ: int):
    infos = {INFO % (JOB, "a", "1"): "1x30", INFO % (JOB, "b", version): "1x30"}
    assert_worth(tmp_path, {panel("Not on all replicas"): differ}, REPLICAS | infos)


def test_two_copies_may_differ(tmp_path: Path):
    canary = 'namespace="carfront",job="carfront-canary"'
    infos = {INFO % (JOB, "a", "1"): "1x30", INFO % (canary, "b", "2"): "1x30"}
    assert_worth(tmp_path, {panel("Not on all replicas"): 0}, REPLICAS | infos)


@pytest.mark.parametrize("queries", [triggers, adapted])
def test_no_load_is_zero_for_a_scaler(queries, tmp_path: Path):
    assert_worth(tmp_path, dict.fromkeys(queries(), 0), REPLICAS)


@pytest.mark.parametrize("queries", [triggers, adapted])
def test_no_replica_is_nothing_for_a_scaler(queries, tmp_path: Path):
    down = {f"up{{{REPLICA}}}": "0x30"}
    assert_worth(tmp_path, dict.fromkeys(queries()), down)


@pytest.mark.parametrize("queries", [triggers, adapted])
def test_a_scaler_sees_the_share_of_the_capacity_and_the_delay(queries, tmp_path: Path):
    capacity, delay = sorted(queries(), key=lambda query: "queue_delay" in query)
    assert_worth(tmp_path, {capacity: 0.5, delay: 0.099}, BUSY)


def test_keda_sees_the_load_in_replicas(tmp_path: Path):
    second = {name.replace('"a"', '"b"'): values for name, values in BUSY.items()}
    capacity, delay = triggers()
    assert_worth(tmp_path, {capacity: 1, delay: 2 * 0.099}, BUSY | second)
