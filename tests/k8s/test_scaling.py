"""What scales a copy of the server looks at that copy, and scales it."""

from collections.abc import Callable

import pytest
import yaml

from tests.k8s.rendering import (
    EXAMPLES,
    K8S,
    Resources,
    composed,
    example,
    of_kind,
    only,
    render,
)

KEDA = [param for param in EXAMPLES if param.id.startswith("keda-")]
SCALED = [
    pytest.param(lambda: render("full-monitored"), id="full-monitored"),
    *(pytest.param(lambda text=x.values[0]: example(text), id=x.id) for x in KEDA),
]
"""What KEDA scales: the ready-made overlay, and the copies of the README's examples."""


@pytest.mark.parametrize("suffix", ["", "-canary"])
def test_keda_is_the_only_one_that_scales_and_scales_its_copy(suffix: str):
    built = composed("keda", nameSuffix=suffix)
    assert not of_kind(built, "HorizontalPodAutoscaler")
    target = only(built, "ScaledObject")["spec"]["scaleTargetRef"]
    assert target["name"] == only(built, "Deployment")["metadata"]["name"] == f"carfront{suffix}"


@pytest.mark.parametrize("built", SCALED)
def test_keda_scales_a_copy_by_what_that_copy_does(built: Callable[[], Resources]):
    resources = built()
    scaled = only(resources, "ScaledObject")
    target = scaled["spec"]["scaleTargetRef"]["name"]
    assert target == only(resources, "Deployment")["metadata"]["name"]
    namespace = scaled["metadata"]["namespace"]
    job = scaled["metadata"]["labels"]["app.kubernetes.io/instance"]
    assert job == target
    selector = only(resources, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert job == selector["app.kubernetes.io/instance"]
    for trigger in scaled["spec"]["triggers"]:
        query = trigger["metadata"]["query"]
        chosen = query.count(f'{{namespace="{namespace}",job="{job}"}}')
        assert chosen == query.count("{") > 0
        assert trigger["metadata"]["ignoreNullValues"] == "false"
        assert trigger["metricType"] == "AverageValue"  # older KEDAs fall back for no other


def test_keda_has_an_example_of_a_second_copy():
    names = {only(example(x.values[0]), "ScaledObject")["metadata"]["name"] for x in KEDA}
    assert names == {"carfront", "carfront-canary"}


@pytest.mark.parametrize("components", [(), ("prometheus-adapter",), ("gpu",), ("small",)])
@pytest.mark.parametrize("suffix", ["", "-canary"])
def test_an_autoscaler_scales_its_copy(components: tuple[str, ...], suffix: str):
    built = composed(*components, nameSuffix=suffix)
    scaler = only(built, "HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    assert target["name"] == only(built, "Deployment")["metadata"]["name"] == f"carfront{suffix}"
    for metric in scaler["spec"]["metrics"]:
        assert metric["type"] in {"Resource", "Pods"}  # of the pods of that Deployment


def test_keda_keeps_to_the_bounds_and_the_pace_of_the_autoscaler_it_replaces():
    before = only(composed(), "HorizontalPodAutoscaler")["spec"]
    spec = only(composed("keda"), "ScaledObject")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, before["maxReplicas"])
    config = spec["advanced"]["horizontalPodAutoscalerConfig"]
    assert config["behavior"] == before["behavior"]
    assert spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]


def test_the_adapter_offers_the_metrics_that_the_autoscaler_wants():
    metrics = only(composed("prometheus-adapter"), "HorizontalPodAutoscaler")["spec"]["metrics"]
    wanted = {x["pods"]["metric"]["name"] for x in metrics if x["type"] == "Pods"}
    values = yaml.safe_load((K8S / "components/prometheus-adapter/adapter-values.yaml").read_text())
    assert {rule["name"]["as"] for rule in values["rules"]["custom"]} == wanted
    assert [x["resource"]["name"] for x in metrics if x["type"] == "Resource"] == ["cpu"]
