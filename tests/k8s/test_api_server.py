"""What a real API server refuses, or lets fail later, although the schemas let it through."""

import copy

import kubernetes_validate
import pytest

from tests.k8s.rendering import (
    BUILT_IN_APIS,
    EXAMPLES,
    Resource,
    Resources,
    containers,
    example,
    folders,
    matches,
    of_kind,
    pod_templates,
    quantity,
    render,
    settings,
)

OVERLAYS = folders("overlays")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
"""The volumes of Pod Security's "restricted"; it knows ``image`` since Kubernetes 1.33."""


def faults(resources: Resources) -> list[str]:
    """Return what an API server would say of ``resources``."""
    found = []
    for resource in resources:
        for check in CHECKS.get(resource["kind"], ()):
            found += check(resource["spec"])
    for template in pod_templates(resources):
        found += of_pod(template) + of_security(template)
        for container in containers(template):
            names = [name for name, _ in settings(resources, container)]
            found += [f"{name} is set twice" for name in {*names} if names.count(name) > 1]
    return found


def of_deployment(spec: Resource) -> list[str]:
    rolling = spec["strategy"]["rollingUpdate"]
    selector, labels = spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]
    still = {str(value).rstrip("%") for value in rolling.values()} == {"0"}
    return ["surge and unavailable are both 0"] * still + [
        "the selector has not the pods' labels"
    ] * (not matches(selector, labels))


def of_autoscaler(spec: Resource) -> list[str]:
    found = ["minReplicas is 0"] * (spec["minReplicas"] < 1)
    return found + ["minReplicas is above maxReplicas"] * (
        spec["minReplicas"] > spec["maxReplicas"]
    )


def of_budget(spec: Resource) -> list[str]:
    return ["a budget has one bound"] * (len({"minAvailable", "maxUnavailable"} & set(spec)) != 1)


def of_service(spec: Resource) -> list[str]:
    return [f"port name {p['name']!r}" for p in spec["ports"] if not is_port_name(p["name"])]


CHECKS = {
    "Deployment": (of_deployment,),
    "HorizontalPodAutoscaler": (of_autoscaler,),
    "PodDisruptionBudget": (of_budget,),
    "Service": (of_service,),
}


def is_port_name(name: str) -> bool:
    return 1 <= len(name) <= 15 and any(c.isalpha() for c in name) and name == name.lower()


def of_pod(template: Resource) -> list[str]:
    grace_s = template["spec"].get("terminationGracePeriodSeconds", 30)
    volumes = [volume["name"] for volume in template["spec"]["volumes"]]
    found = [f"volume {name} is there twice" for name in {*volumes} if volumes.count(name) > 1]
    for container in containers(template):
        sleep_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        if sleep_s.get("seconds", 0) > grace_s:
            found.append("the grace period is below preStop")
        found += of_resources(container["resources"]) + of_probes(container)
        found += [
            f"port name {port['name']!r}"
            for port in container.get("ports", [])
            if not is_port_name(port["name"])
        ]
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        found += [f"{path} is mounted twice" for path in {*paths} if paths.count(path) > 1]
        found += [
            f"no volume {mount['name']}"
            for mount in container["volumeMounts"]
            if mount["name"] not in volumes
        ]
    return found


def of_resources(resources: Resource) -> list[str]:
    requests, limits = resources["requests"], resources["limits"]
    found = [] if {"cpu", "memory"} <= set(requests) == set(limits) else ["requests, not limits"]
    return found + [
        f"request of {name} above its limit"
        for name in requests
        if not 0 < quantity(requests[name]) <= quantity(limits.get(name, 0))
    ]


def of_probes(container: Resource) -> list[str]:
    found = []
    for name in PROBES:
        probe = container.get(name, {})
        if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
            found.append(f"successThreshold of {name} is not 1")
    return found


def of_security(template: Resource) -> list[str]:
    """Return what Pod Security's "restricted" refuses."""
    spec = template["spec"]
    pod = spec.get("securityContext", {})
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    found += [str(each) for each in spec["volumes"] if not RESTRICTED_VOLUMES & set(each)]
    for container in containers(template):
        own = container.get("securityContext", {})
        whole = pod | own
        if own.get("allowPrivilegeEscalation") is not False:
            found.append("privileges may grow")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            found.append("capabilities are kept")
        if whole.get("runAsNonRoot") is not True or whole.get("runAsUser", 1) == 0:
            found.append("it may run as root")
        if whole.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
            found.append("no seccomp profile")
        if own.get("privileged") or any("hostPort" in port for port in container.get("ports", [])):
            found.append("privileged, or a port of the host")
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_api_server_would_take_all_of_it(overlay: str):
    assert faults(render(overlay)) == []


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_api_server_would_take_an_example(text: str):
    resources = example(text)
    assert faults(resources) == []
    for resource in resources:
        if resource["apiVersion"] in BUILT_IN_APIS:
            kubernetes_validate.validate(resource, "1.37", strict=True)


BROKEN = {
    "the grace period is below preStop": "spec.terminationGracePeriodSeconds=4",
    "surge and unavailable are both 0": "strategy.rollingUpdate.maxSurge=0",
    "request of cpu above its limit": "container.resources.requests.cpu=3",
    "requests, not limits": "container.resources.requests.ephemeral-storage=1Gi",
    "the selector has not the pods' labels": "selector.matchLabels.app=carfront",
    "port name 'a-name-too-long-1'": "container.ports.0.name=a-name-too-long-1",
    "successThreshold of livenessProbe is not 1": "container.livenessProbe.successThreshold=2",
    "minReplicas is 0": "scaler.minReplicas=0",
    "minReplicas is above maxReplicas": "scaler.maxReplicas=1",
    "a budget has one bound": "budget.minAvailable=1",
    "CARFRONT_PORT is set twice": "container.env=CARFRONT_PORT",
    "privileges may grow": "container.securityContext.allowPrivilegeEscalation=yes",
    "capabilities are kept": "container.securityContext.capabilities.drop=none",
    "it may run as root": "spec.securityContext.runAsUser=0",
    "no seccomp profile": "spec.securityContext.seccompProfile.type=Unconfined",
    "hostNetwork": "spec.hostNetwork=1",
}
"""What breaks the overlay ``cpu``, by what must be said of it."""


@pytest.mark.parametrize("said", BROKEN)
def test_every_fault_is_found(said: str):
    assert said in faults(broken(BROKEN[said]))


def broken(change: str) -> Resources:
    """Return the overlay ``cpu`` with one value set: ``where.to.it=value``."""
    path, _, value = change.partition("=")
    resources = copy.deepcopy(render("cpu"))
    (deployment,) = of_kind(resources, "Deployment")
    template = deployment["spec"]["template"]["spec"]
    start, *middle, last = path.split(".")
    node = {
        "spec": template,
        "container": template["containers"][0],
        "scaler": of_kind(resources, "HorizontalPodAutoscaler")[0]["spec"],
        "budget": of_kind(resources, "PodDisruptionBudget")[0]["spec"],
    }.get(start, deployment["spec"].get(start))
    for step in middle:
        node = node[int(step) if step.isdigit() else step]
    node[last] = [{"name": value}] if last == "env" else int(value) if value.isdigit() else value
    return resources
