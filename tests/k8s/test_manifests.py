"""The manifests of every overlay are valid, and say what the server needs.

One long file, because every test reads the same few renderings through the same few functions.
What a real API server refuses beyond the schemas is in ``test_api_server``.
"""

import functools
import re
import tomllib
from collections.abc import Iterator

import kubernetes_validate
import pytest

from server.app import create_app
from server.config import ServerConfig
from server.config_error import ConfigError
from tests.k8s import rendering
from tests.k8s.rendering import (
    BUILT_IN_APIS,
    KUBERNETES_VERSIONS,
    ROOT,
    Resource,
    matches,
    quantity,
)

OVERLAYS = rendering.folders("overlays")
MONITORED = [name for name in OVERLAYS if name.endswith("-monitored")]
PLAIN = [name for name in OVERLAYS if not name.endswith("-monitored")]
"""The oldest that has preStop.sleep without a feature gate, one between, the newest known."""
LABELS = ("name", "instance", "component", "managed-by", "part-of")
GRACEFUL_TIMEOUT_S = 30
MEASURED_MEMORY = 665 * 2**20
"""The highest use of a container with 2 CPUs, k8s/README.md has the table."""


render = rendering.render


def only(overlay: str, kind: str) -> Resource:
    """Return the one resource of this kind."""
    return rendering.only(render(overlay), kind)


def pod(overlay: str) -> Resource:
    return rendering.pod_template(only(overlay, "Deployment"))


def containers(overlay: str) -> list[Resource]:
    return rendering.containers(pod(overlay))


def server(overlay: str) -> Resource:
    (found,) = [container for container in containers(overlay) if container["name"] == "server"]
    return found


def environment(overlay: str) -> dict[str, str]:
    return dict(rendering.settings(render(overlay), server(overlay)))


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
    kinds = ("cpu", "full", "gpu", "small")
    assert sorted([*kinds, *(f"{kind}-monitored" for kind in kinds)]) == OVERLAYS


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
def test_a_monitored_overlay_adds_monitoring_and_alerts(overlay: str):
    kinds = [resource["kind"] for resource in render(overlay)]
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert kinds.count(kind) == 1
    plain = [resource["kind"] for resource in render(plain_of(overlay))]
    if not overlay.startswith("full"):
        assert sorted(kinds) == sorted([*plain, "ConfigMap", "PrometheusRule", "ServiceMonitor"])


def plain_of(overlay: str) -> str:
    return overlay.removesuffix("-monitored")


# Names, labels and ports


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_resource_says_what_it_belongs_to(overlay: str):
    for resource in render(overlay):
        if resource["kind"] != "Namespace":
            labels = resource["metadata"]["labels"]
            missing = [name for name in LABELS if f"app.kubernetes.io/{name}" not in labels]
            assert not missing, resource["kind"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pods_say_the_version_of_the_project(overlay: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = pod(overlay)["metadata"]["labels"]
    assert labels["app.kubernetes.io/version"] == project["version"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_and_the_probes_name_a_port_that_the_container_has(overlay: str):
    names = {port["name"] for port in server(overlay)["ports"]}
    assert {port["targetPort"] for port in only(overlay, "Service")["spec"]["ports"]} <= names
    assert {probe["httpGet"]["port"] for _, probe in probes(overlay)} <= names


@pytest.mark.parametrize("overlay", MONITORED)
def test_the_service_monitor_scrapes_the_metrics_of_the_service(overlay: str):
    monitor, service = only(overlay, "ServiceMonitor"), only(overlay, "Service")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert set(monitor["spec"]) == {"selector", "endpoints", "jobLabel"}
    assert matches(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
    assert monitor["spec"]["jobLabel"] == "app.kubernetes.io/instance"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert set(endpoint) == {"port", "path", "interval", "scrapeTimeout"}
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    seconds = {key: int(endpoint[key].removesuffix("s")) for key in ("interval", "scrapeTimeout")}
    assert seconds["scrapeTimeout"] <= seconds["interval"]


@pytest.mark.parametrize("overlay", MONITORED)
def test_the_dashboard_keeps_its_name_and_is_found_by_grafana(overlay: str):
    (dashboard,) = [
        each
        for each in rendering.of_kind(render(overlay), "ConfigMap")
        if each["metadata"]["name"] == "carfront-dashboard"
    ]
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
def test_memory_is_more_than_was_measured(overlay: str):
    resources = server(overlay)["resources"]
    if not overlay.startswith("small"):  # there the limit alone holds the peaks
        assert quantity(resources["requests"]["memory"]) > MEASURED_MEMORY
    assert quantity(resources["limits"]["memory"]) >= 1.5 * MEASURED_MEMORY


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_shared_memory_and_memory_volumes_leave_half_of_the_limit_to_the_processes(overlay: str):
    limits = server(overlay)["resources"]["limits"]
    config = ServerConfig.from_env(environment(overlay))
    workers = config.workers or min(16, int(quantity(limits["cpu"])))
    volumes = sum(
        quantity(volume["emptyDir"]["sizeLimit"])
        for volume in pod(overlay)["spec"]["volumes"]
        if "emptyDir" in volume
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
def test_the_pod_knows_nothing_of_the_cluster(overlay: str):
    spec = pod(overlay)["spec"]
    account = only(overlay, "ServiceAccount")
    assert spec["serviceAccountName"] == account["metadata"]["name"]
    assert spec["automountServiceAccountToken"] is False
    assert account["automountServiceAccountToken"] is False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_can_write_only_to_volumes(overlay: str):
    for container in containers(overlay):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_the_network_policy_does_not_list_is_denied_both_ways(overlay: str):
    spec = only(overlay, "NetworkPolicy")["spec"]
    assert matches(spec["podSelector"]["matchLabels"], pod(overlay)["metadata"]["labels"])
    assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
    (callers,) = spec["ingress"]
    assert {port["port"] for port in callers["ports"]} == {"http"}
    for rule in spec["ingress"] + spec["egress"]:  # an empty list would let in everybody
        assert all(peer for peer in rule["from" if "from" in rule else "to"])


@pytest.mark.parametrize("overlay", sorted({*OVERLAYS} - {"full-monitored"}))
def test_the_pods_reach_nothing_but_dns(overlay: str):
    spec = only(overlay, "NetworkPolicy")["spec"]
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53}


# Life and death


SCALED = [name for name in OVERLAYS if not name.startswith(("small", "full-"))]
"""The overlays with several replicas, whose number base's autoscaler owns."""


@pytest.mark.parametrize("overlay", SCALED)
def test_an_update_always_leaves_a_replica_serving(overlay: str):
    rolling = only(overlay, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert (
        rolling["maxUnavailable"] < only(overlay, "HorizontalPodAutoscaler")["spec"]["minReplicas"]
    )


@pytest.mark.parametrize("overlay", ["small", "small-monitored"])
def test_an_update_of_a_small_one_needs_no_room_for_a_second_pod(overlay: str):
    rolling = only(overlay, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 0, "maxUnavailable": 1}
    scaler = only(overlay, "HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 1)


def test_a_small_one_fits_beside_what_a_node_of_two_cpus_runs_already():
    requests = server("small")["resources"]["requests"]
    assert quantity(requests["cpu"]) <= 0.5
    assert quantity(requests["memory"]) <= 512 * 2**20


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


@pytest.mark.parametrize("overlay", SCALED)
def test_the_autoscaler_owns_the_replicas_of_a_deployment_that_exists(overlay: str):
    deployment, spec = only(overlay, "Deployment"), only(overlay, "HorizontalPodAutoscaler")["spec"]
    assert "replicas" not in deployment["spec"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert 2 <= spec["minReplicas"] < spec["maxReplicas"]


@pytest.mark.parametrize("overlay", SCALED)
def test_the_autoscaler_acts_before_the_cpu_limit_is_reached(overlay: str):
    (metric,) = only(overlay, "HorizontalPodAutoscaler")["spec"]["metrics"]
    resources = server(overlay)["resources"]
    assert metric["resource"]["name"] == "cpu"
    share = metric["resource"]["target"]["averageUtilization"] / 100
    acts_at = quantity(resources["requests"]["cpu"]) * share
    assert acts_at <= 0.8 * quantity(resources["limits"]["cpu"])


@pytest.mark.parametrize("overlay", SCALED)
def test_the_disruption_budget_lets_a_node_drain_and_leaves_a_replica(overlay: str):
    budget = only(overlay, "PodDisruptionBudget")["spec"]
    minimum = only(overlay, "HorizontalPodAutoscaler")["spec"]["minReplicas"]
    assert "minAvailable" not in budget
    assert 1 <= budget["maxUnavailable"] < minimum
