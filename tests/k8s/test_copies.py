"""An overlay of the user's own touches nobody else, and two copies are two."""

import os
from pathlib import Path

import pytest

from tests.k8s.rendering import (
    EXAMPLES,
    K8S,
    Resource,
    Resources,
    composed,
    example,
    folders,
    matches,
    of_kind,
    only,
    pod_template,
    render,
    render_folder,
)

INSTANCE = "app.kubernetes.io/instance"
ON_ONES_OWN = {"kserve"}
"""The components that stand without base."""
COMPONENTS = [name for name in folders("components") if name not in {"namespace", *ON_ONES_OWN}]
COMPONENTS_THAT_AGREE = [
    name
    for name in COMPONENTS
    if name not in {"model-image", "prometheus-adapter", "scrape", "small"}
    # Others stand in their place: model-volume, keda, monitoring, gpu.
]


def selectors(resources: Resources) -> dict[str, dict[str, str]]:
    """Return the labels by which each resource selects pods or Services."""
    found = {}
    for resource in resources:
        spec = resource.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if isinstance(selector, dict):
            found[resource["kind"]] = selector.get("matchLabels", selector)
    for number, constraint in enumerate(spread(resources)):
        found[f"topology spread {number}"] = constraint["labelSelector"]["matchLabels"]
    return found


def spread(resources: Resources) -> list[Resource]:
    deployment = only(resources, "Deployment")
    return pod_template(deployment)["spec"]["topologySpreadConstraints"]


def namespaces(resources: Resources) -> set[str]:
    return {resource["metadata"].get("namespace") for resource in resources}


def canary(**more: object) -> Resources:
    return composed("scrape", nameSuffix="-canary", namespace="team-a", **more)


def test_every_component_has_an_example():
    with_example = {param.id.rpartition("-")[0] for param in EXAMPLES}
    assert with_example >= {"k8s", *folders("components")} - {"namespace"}


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_leaves_the_namespace_of_others_alone(text: str):
    built = example(text, namespace="team-b")
    assert not of_kind(built, "Namespace")
    assert namespaces(built) == {"team-b"}


def test_base_and_components_hold_no_namespace():
    assert not of_kind(composed(*COMPONENTS_THAT_AGREE), "Namespace")


@pytest.mark.parametrize("overlay", folders("overlays"))
def test_a_ready_made_overlay_brings_the_namespace_it_lives_in(overlay: str):
    built = render(overlay)
    namespace = only(built, "Namespace")["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = tuple(resource for resource in built if resource["kind"] != "Namespace")
    assert namespaces(others) == {namespace["name"]}


def test_every_selector_names_the_instance():
    found = selectors(composed("scrape"))
    assert {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"} <= set(found)
    assert {"ServiceMonitor", "topology spread 0", "topology spread 1"} <= set(found)
    assert {labels[INSTANCE] for labels in found.values()} == {"carfront"}


def test_a_name_suffix_makes_another_instance_in_every_selector_and_label():
    built = canary()
    assert {labels[INSTANCE] for labels in selectors(built).values()} == {"carfront-canary"}
    assert {each["metadata"]["labels"][INSTANCE] for each in built} == {"carfront-canary"}


def test_a_copy_selects_nothing_of_the_other():
    first, second = composed("scrape", namespace="team-a"), canary()
    for one, other in ((first, second), (second, first)):
        labels = pod_template(only(other, "Deployment"))["metadata"]["labels"]
        service = only(other, "Service")["metadata"]["labels"]
        for kind, selector in selectors(one).items():
            assert not matches(selector, service if kind == "ServiceMonitor" else labels), kind


def test_a_copy_shares_no_name_with_the_other():
    first, second = (
        composed(*COMPONENTS_THAT_AGREE),
        composed(*COMPONENTS_THAT_AGREE, nameSuffix="-canary"),
    )
    names = [{(x["kind"], x["metadata"]["name"]) for x in built} for built in (first, second)]
    assert not names[0] & names[1]


def test_two_copies_of_one_kustomization_stay_apart(tmp_path: Path):
    both = stable_and_canary(tmp_path)
    instances = {each["metadata"]["name"]: each for each in of_kind(both, "Deployment")}
    assert set(instances) == {"carfront", "carfront-canary"}
    for name, deployment in instances.items():
        assert deployment["spec"]["selector"]["matchLabels"][INSTANCE] == name
    for scaler in of_kind(both, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] == scaler["metadata"]["name"]


def stable_and_canary(folder: Path) -> Resources:
    """Return what one kustomization of two copies builds."""
    for name, suffix in (("stable", ""), ("canary", "nameSuffix: -canary\n")):
        (folder / name).mkdir()
        base = os.path.relpath(K8S / "base", (folder / name).resolve())
        (folder / name / "kustomization.yaml").write_text(f"resources: [{base}]\n{suffix}")
    (folder / "kustomization.yaml").write_text("namespace: team-a\nresources: [stable, canary]\n")
    return render_folder(folder)
