"""What an operator defines is in our manifests as it defines it."""

import copy
import functools
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.k8s.custom_resources.check import PACKAGES, faults
from tests.k8s.rendering import (
    BUILT_IN_APIS,
    EXAMPLES,
    ROOT,
    Resource,
    composed,
    example,
    folders,
    only,
    render,
    render_text,
)

CLIENTS = Path(os.environ.get("CLIENTS_PYTHON", ROOT / ".venvs/clients/bin/python"))
KSERVE = render_text("components:\n- components/kserve\n")
PROGRAM = """
import json
from kserve import models
kinds = ("InferenceServiceSpec", "PredictorSpec", "ComponentExtensionSpec")
classes = [getattr(models, "V1beta1" + kind) for kind in kinds]
print(json.dumps([{c.attribute_map[n]: t for n, t in c.openapi_types.items()} for c in classes]))
"""
"""Prints the fields of an InferenceService, of its predictor, and of those what no pod has."""
TYPES = {"int": int, "str": str}


def everything() -> Iterator[Resource]:
    """Yield all that overlays, components and the examples of READMEs build."""
    for overlay in folders("overlays"):
        yield from render(overlay)
    for component in set(folders("components")) - {"kserve"}:
        yield from composed(component)
    for text in EXAMPLES:
        yield from example(text.values[0])
    yield from KSERVE


@functools.cache
def custom() -> dict[str, Resource]:
    """Return every custom resource once, by a name that begins with its kind."""
    found = {}
    for resource in everything():
        if resource["apiVersion"] not in BUILT_IN_APIS:
            digest = hashlib.sha256(json.dumps(resource).encode()).hexdigest()[:8]
            found[f"{resource['kind']}-{digest}"] = resource
    return found


def checked() -> dict[str, Resource]:
    """Return those whose definitions the npm packages have."""
    return {name: x for name, x in custom().items() if x["apiVersion"].split("/")[0] in PACKAGES}


MATCH = ("spec", "rules", 0, "matches", 0)
ENDPOINT = ("spec", "endpoints", 0)
WRONG: dict[str, tuple[str, tuple[str | int, ...], Any, str]] = {
    "an unknown field": ("ServiceMonitor", (*ENDPOINT, "timeOut"), "10s", "timeOut"),
    "no duration": ("ServiceMonitor", (*ENDPOINT, "interval"), "15 seconds", "pattern"),
    "no list": ("PrometheusRule", ("spec", "groups", 0, "rules"), "none", "IRule[]"),
    "no number": ("ScaledObject", ("spec", "minReplicaCount"), "2", "number"),
    "an unknown part": ("ScaledObject", ("spec", "advanced", "behavior"), {}, "behavior"),
    "no host": ("HTTPRoute", ("spec", "hostnames"), ["cars example"], "pattern"),
    "another word": ("HTTPRoute", (*MATCH, "path", "type"), "Prefix", "IPathMatchType"),
}
"""Faults, each with a kind, a place in it, what is put there, and what is told of it."""


def spoilt(kind: str, place: tuple[str | int, ...], value: Any) -> Resource:
    """Return a resource of this kind with a ``value`` at a place where it is wrong."""
    resource = copy.deepcopy(next(x for x in checked().values() if x["kind"] == kind))
    inside: Any = resource
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = value
    return resource


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is wrong with our resources and with those that are spoilt, by their names."""
    if shutil.which("npm") is None:
        pytest.skip("npm is missing: `apt-get install nodejs npm`")
    wrong = {name: spoilt(*each[:3]) for name, each in WRONG.items()}
    return faults(checked() | wrong, tmp_path_factory.mktemp("resources"))


def test_every_kind_of_custom_resource_is_checked():
    kinds = {resource["kind"] for resource in custom().values()}
    assert kinds == {resource["kind"] for resource in checked().values()} | {"InferenceService"}


def test_every_custom_resource_is_as_its_operator_defines_it(found: dict[str, str]):
    assert {name: told for name, told in found.items() if name not in WRONG} == {}


@pytest.mark.parametrize("name", WRONG)
def test_what_no_operator_would_take_is_found(name: str, found: dict[str, str]):
    assert WRONG[name][-1] in found[name]


@pytest.mark.skipif(not CLIENTS.exists(), reason="no environment with kserve: make clients")
def test_an_inference_service_is_as_kserve_defines_it():
    told = subprocess.run([CLIENTS, "-c", PROGRAM], check=True, capture_output=True, text=True)
    service, predictor, more = json.loads(told.stdout.splitlines()[-1])
    spec = only(KSERVE, "InferenceService")["spec"]
    assert spec.keys() <= service.keys()
    assert spec["predictor"].keys() <= predictor.keys()
    for name in spec["predictor"].keys() & more.keys():
        assert isinstance(spec["predictor"][name], TYPES[more[name]]), name
    assert spec["predictor"].keys() & more.keys() >= {"minReplicas", "maxReplicas"}


@pytest.mark.parametrize("version", ["1.30", "1.33", "1.37"])
def test_the_pod_of_an_inference_service_is_one_of_kubernetes(version: str):
    predictor = only(KSERVE, "InferenceService")["spec"]["predictor"]
    own = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
    spec = {name: value for name, value in predictor.items() if name not in own}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "carfront"}, "spec": spec}
    kubernetes_validate.validate(pod, version, strict=True)
