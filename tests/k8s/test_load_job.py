"""The Jobs that put load on a server: what is rendered is valid, and its parts find each other."""

import re

import kubernetes_validate
import pytest

from loadtests.load import shape, slo
from tests.k8s.rendering import (
    K8S,
    KUBERNETES_VERSIONS,
    matches,
    of_kind,
    only,
    pod_template,
    render_example,
    render_folder,
)
from tests.k8s.test_api_server import of_resources, of_security

LOAD = K8S / "jobs" / "load"
PARTS = ("master", "worker")


def render_job():
    return render_folder(LOAD)


def example():
    """Return what the README's kustomization builds."""
    names = "shape.toml", "slo.toml"
    own = {name: (LOAD / name).read_text() + "\n# our own\n" for name in names}
    return render_example(LOAD / "README.md", files=own)


def job_of(resources, part):
    return next(x for x in of_kind(resources, "Job") if x["metadata"]["name"].endswith(part))


def container_of(job):
    (found,) = pod_template(job)["spec"]["containers"]
    return found


def arguments(resources, part, changes=None):
    """Return the arguments of a part's container, with ``changes`` to its environment."""
    container = container_of(job_of(resources, part))
    values = {x["name"]: x["value"] for x in container["env"]} | (changes or {})
    return [re.sub(r"\$\((\w+)\)", lambda x: values[x[1]], each) for each in container["args"]]


@pytest.fixture(scope="module", params=[render_job, example])
def resources(request):
    return request.param()


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_resource_is_valid(resources, version):
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_workers_call_the_master_by_the_name_of_a_headless_service(resources):
    service, master = only(resources, "Service"), job_of(resources, "master")
    assert service["spec"]["clusterIP"] == "None"
    assert f"--master-host={service['metadata']['name']}" in arguments(resources, "worker")
    labels = pod_template(master)["metadata"]["labels"]
    assert matches(service["spec"]["selector"], labels)
    worker = pod_template(job_of(resources, "worker"))["metadata"]["labels"]
    assert not matches(service["spec"]["selector"], worker)
    (port,), (own,) = service["spec"]["ports"], container_of(master)["ports"]
    assert (port["port"], port["targetPort"]) == (own["containerPort"], own["name"])
    assert own["containerPort"] == 5557  # what Locust binds and calls unless it is told otherwise


def test_the_master_waits_for_all_workers_and_all_of_them_run_at_once(resources):
    spec = job_of(resources, "worker")["spec"]
    assert spec["parallelism"] == spec["completions"]
    assert f"--expect-workers={spec['completions']}" in arguments(resources, "master")


def test_a_run_that_failed_is_not_made_again_and_none_runs_for_ever(resources):
    for part in PARTS:
        job = job_of(resources, part)
        assert job["spec"]["backoffLimit"] == 0
        assert job["spec"]["activeDeadlineSeconds"] > 0
        assert pod_template(job)["spec"]["restartPolicy"] == "Never"


def test_pods_are_restricted_and_their_resources_are_an_api_servers(resources):
    for part in PARTS:
        template = pod_template(job_of(resources, part))
        container = container_of(job_of(resources, part))
        assert of_security(template) == []
        assert of_resources(container["resources"]) == []
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert template["spec"]["automountServiceAccountToken"] is False


def test_shape_and_slo_are_files_of_a_config_map_that_the_master_reads(resources, tmp_path):
    plan = only(resources, "ConfigMap")
    spec = pod_template(job_of(resources, "master"))["spec"]
    (volume,) = [x for x in spec["volumes"] if "configMap" in x]
    assert volume["configMap"]["name"] == plan["metadata"]["name"]
    mounts = {
        x["name"]: x["mountPath"] for x in container_of(job_of(resources, "master"))["volumeMounts"]
    }
    for name, load in (("shape", shape.load), ("slo", slo.load)):
        path = tmp_path / f"{name}.toml"
        path.write_text(plan["data"][path.name])
        load(str(path))
        assert f"--{name}={mounts[volume['name']]}/{path.name}" in arguments(resources, "master")


def test_the_network_lets_workers_reach_the_master_and_a_server_of_this_namespace(resources):
    spec = only(resources, "NetworkPolicy")["spec"]
    labels = {part: pod_template(job_of(resources, part))["metadata"]["labels"] for part in PARTS}
    assert all(matches(spec["podSelector"]["matchLabels"], labels[part]) for part in PARTS)
    ports = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
    assert ports == {"locust", "http", 53}
    (deployment,) = of_kind(render_folder(K8S / "base"), "Deployment")
    (server,) = [x for x in spec["egress"] if x["ports"][0]["port"] == "http"]
    selector = server["to"][0]["podSelector"]["matchLabels"]
    assert matches(selector, pod_template(deployment)["metadata"]["labels"])
    assert labels["worker"]["carfront-client"] == "true"  # as the server's own policy wants
    assert "carfront-client" not in labels["master"]  # it never calls the server


def test_the_patch_of_the_readme_is_all_that_another_load_needs():
    resources = example()
    assert "--users=2000" in arguments(resources, "master")
    assert "--expect-workers=16" in arguments(resources, "master")
    assert only(resources, "ConfigMap")["data"]["slo.toml"].endswith("# our own\n")
    assert (
        container_of(job_of(resources, "worker"))["image"] == "registry.example/carfront:load-1.0.0"
    )


def test_the_image_starts_locust_with_the_locustfile_and_has_all_that_it_reads():
    lines = (K8S.parent / "loadtests" / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["python", "-m", "locust", "-f", "loadtests/locustfile.py"]' in lines
    assert {"COPY models/ models/", "COPY loadtests/ loadtests/", "WORKDIR /app"} <= {*lines}
    (user,) = [line.split()[1] for line in lines if line.startswith("USER")]
    (run_as,) = {
        pod_template(job_of(render_job(), part))["spec"]["securityContext"]["runAsUser"]
        for part in PARTS
    }
    assert user == f"{run_as}:{run_as}"
