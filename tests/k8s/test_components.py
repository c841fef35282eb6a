"""Each component does what its README says, also in a copy with a suffix."""

from pathlib import PurePosixPath

import pytest

from server.config import ServerConfig
from tests.k8s.rendering import (
    EXAMPLES,
    Resource,
    Resources,
    composed,
    containers,
    example,
    only,
    pod_template,
    render_text,
    settings,
)

BASE = composed()
INSIDE = ("/metrics", "/healthz", "/readyz", "/v2/repository", "/v2/repository/index")
OUTSIDE = (
    "/",
    "/page/0123456789abcdef/app.js",
    "/v1/images",
    "/v1/images/42.png",
    "/v2",
    "/v2/models/cars-dcgan/infer",
)
KSERVE = render_text("components:\n- components/kserve\n")


def server(resources: Resources) -> Resource:
    (workload,) = [x for x in resources if x["kind"] in {"Deployment", "InferenceService"}]
    (container,) = containers(pod_template(workload))
    return container


def environment(resources: Resources) -> dict[str, str]:
    return dict(settings(resources, server(resources)))


def mounted(resources: Resources, source: str) -> tuple[Resource, Resource]:
    """Return the volume of the kind ``source`` and where it is mounted."""
    spec = pod_template(only(resources, "Deployment"))["spec"]
    (volume,) = [volume for volume in spec["volumes"] if source in volume]
    (mount,) = [x for x in server(resources)["volumeMounts"] if x["name"] == volume["name"]]
    return volume, mount


def adds(resources: Resources) -> set[str]:
    return {x["kind"] for x in resources} - {x["kind"] for x in BASE}


def is_public(path: str, rules: list[tuple[str, str]]) -> bool:
    """Tell whether one of ``rules``, each a kind and a path, lets ``path`` through."""
    for kind, prefix in rules:
        below = path.startswith(prefix.rstrip("/") + "/")
        if path == prefix or (kind != "Exact" and below):
            return True
    return False


def rules_of_ingress() -> list[tuple[str, str]]:
    (rule,) = only(composed("ingress"), "Ingress")["spec"]["rules"]
    return [(path["pathType"], path["path"]) for path in rule["http"]["paths"]]


def rules_of_gateway() -> list[tuple[str, str]]:
    (rule,) = only(composed("gateway"), "HTTPRoute")["spec"]["rules"]
    return [(match["path"]["type"], match["path"]["value"]) for match in rule["matches"]]


@pytest.mark.parametrize("rules", [rules_of_ingress, rules_of_gateway])
def test_callers_outside_reach_images_and_nothing_of_the_operators(rules):
    assert all(is_public(path, rules()) for path in OUTSIDE)
    assert not any(is_public(path, rules()) for path in INSIDE)


@pytest.mark.parametrize("suffix", ["", "-canary"])
def test_ingress_and_route_lead_to_the_service_of_their_copy(suffix: str):
    built = composed("ingress", "gateway", nameSuffix=suffix)
    service = only(built, "Service")
    (rule,) = only(built, "Ingress")["spec"]["rules"]
    backends = [path["backend"]["service"] for path in rule["http"]["paths"]]
    assert {backend["name"] for backend in backends} == {service["metadata"]["name"]}
    (backend,) = only(built, "HTTPRoute")["spec"]["rules"][0]["backendRefs"]
    (port,) = service["spec"]["ports"]
    assert {x["port"]["name"] for x in backends} == {port["name"]}
    assert (backend["name"], backend["port"]) == (service["metadata"]["name"], port["port"])


def test_the_canary_of_the_examples_gets_a_tenth_of_the_requests():
    built = [example(x.values[0]) for x in EXAMPLES if x.id.startswith("gateway-")]
    canary, stable = built
    names = [only(each, "Service")["metadata"]["name"] for each in (stable, canary)]
    backends = only(stable, "HTTPRoute")["spec"]["rules"][0]["backendRefs"]
    assert [(each["name"], each["weight"]) for each in backends] == [
        (names[0], 90),
        (names[1], 10),
    ]


@pytest.mark.parametrize(
    ("component", "source"),
    [("model-volume", "persistentVolumeClaim"), ("model-image", "image")],
)
def test_models_take_the_place_of_those_in_the_image(component: str, source: str):
    _, mount = mounted(composed(component), source)
    assert mount["mountPath"] == environment(BASE)["CARFRONT_MODELS"]
    assert mount["readOnly"] is True


def test_each_copy_has_models_of_its_own():
    built = composed("model-volume", nameSuffix="-canary")
    volume, _ = mounted(built, "persistentVolumeClaim")
    claim = only(built, "PersistentVolumeClaim")["metadata"]["name"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim == "carfront-models-canary"


def test_the_keys_are_a_file_in_a_folder_that_follows_the_secret():
    built = composed("keys")
    volume, mount = mounted(built, "secret")
    path = PurePosixPath(environment(built)["CARFRONT_API_KEYS_FILE"])
    assert (str(path.parent), path.name) == (mount["mountPath"], "keys")
    assert "subPath" not in mount  # a file that is mounted by itself never changes
    assert volume["secret"] == {"secretName": "carfront-keys"}
    assert adds(built) == set()  # nobody's keys are in here


def test_calls_by_grpc_reach_the_port_that_answers_them():
    built = composed("grpc")
    port = int(environment(built)["CARFRONT_GRPC_PORT"])
    container = server(built)
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"http": 8000, "grpc": port}
    assert container["readinessProbe"]["grpc"]["port"] == port
    assert "httpGet" not in container["readinessProbe"]
    service = {each["name"]: each for each in only(built, "Service")["spec"]["ports"]}
    assert service["grpc"]["targetPort"] == "grpc"
    (rule,) = only(built, "NetworkPolicy")["spec"]["ingress"]
    assert [each["port"] for each in rule["ports"]] == ["http", "grpc"]


def test_traces_may_leave_to_where_they_are_sent():
    built = composed("tracing")
    endpoint = environment(built)["OTEL_EXPORTER_OTLP_ENDPOINT"]
    host, _, port = endpoint.removeprefix("http://").partition(":")
    _, collector = only(built, "NetworkPolicy")["spec"]["egress"]
    assert [each["port"] for each in collector["ports"]] == [int(port)]
    (peer,) = collector["to"]
    assert list(peer["namespaceSelector"]["matchLabels"].values()) == [host.split(".")[1]]


def test_a_component_adds_no_more_than_it_says():
    expected = {
        "alerts": {"PrometheusRule"},
        "gateway": {"HTTPRoute"},
        "gpu": set(),
        "grpc": set(),
        "ingress": {"Ingress"},
        "keda": {"ScaledObject"},
        "keys": set(),
        "model-image": set(),
        "model-volume": {"PersistentVolumeClaim"},
        "monitoring": {"ServiceMonitor"},
        "prometheus-adapter": set(),
        "scrape": {"ServiceMonitor"},
        "small": set(),
        "tracing": set(),
    }
    assert {name: adds(composed(name)) for name in expected} == expected


def test_kserve_runs_the_server_as_base_does():
    """The InferenceService has a pod of its own: what is said twice stays the same."""
    ours, theirs = dict(server(BASE)), dict(server(KSERVE))
    assert environment(KSERVE) == environment(BASE)
    ServerConfig.from_env(environment(KSERVE))
    for container in (ours, theirs):
        for name in ("name", "env", "envFrom"):
            container.pop(name, None)
    assert theirs == ours


def test_kserve_keeps_the_pod_as_base_does():
    ours = pod_template(only(BASE, "Deployment"))["spec"]
    theirs = only(KSERVE, "InferenceService")["spec"]["predictor"]
    for name in (
        "automountServiceAccountToken",
        "enableServiceLinks",
        "securityContext",
        "terminationGracePeriodSeconds",
        "volumes",
    ):
        assert theirs[name] == ours[name], name


def test_kserve_takes_the_image_that_an_overlay_names():
    text = "components:\n- components/kserve\nimages: [{name: carfront, newTag: '7'}]\n"
    assert server(render_text(text))["image"] == "carfront:7"
