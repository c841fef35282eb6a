"""The Job that draws data sets: what is rendered is valid, and what it calls is a command."""

import re

import kubernetes_validate
import pytest
import yaml

from carfront.commands.generate import generate
from carfront.datasets.seeds import part_of, seeds_of
from tests.k8s.rendering import (
    K8S,
    KUBERNETES_VERSIONS,
    container_of,
    matches,
    only,
    pod_template,
    quantity,
    render_example,
    render_folder,
)
from tests.k8s.test_api_server import of_resources, of_security

JOBS = K8S / "jobs" / "generate"


def example(number=0):
    """Return what a kustomization of the README builds."""
    return render_example(JOBS / "README.md", number)


RENDERED = {
    "volume": lambda: render_folder(JOBS / "volume"),
    "s3": lambda: render_folder(JOBS / "s3"),
    "README": example,
    "README, a store of one's own": lambda: example(1),
}


@pytest.fixture(scope="module", params=RENDERED)
def resources(request):
    return RENDERED[request.param]()


@pytest.fixture
def job(resources):
    return only(resources, "Job")


def arguments(job, index):
    """Return the arguments that the pod of ``index`` gets."""
    container = container_of(job)
    values = {x["name"]: x.get("value") for x in container["env"]}
    values["JOB_COMPLETION_INDEX"] = str(index)
    return [re.sub(r"\$\((\w+)\)", lambda x: values[x[1]], each) for each in container["args"]]


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_resource_is_valid(resources, version):
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_an_index_that_fails_is_tried_again_alone(job):
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["backoffLimitPerIndex"] >= 1
    assert "backoffLimit" not in spec
    assert pod_template(job)["spec"]["restartPolicy"] == "Never"  # both need it
    assert spec["parallelism"] <= spec["completions"]


def test_a_wrong_command_ends_the_job_and_a_lost_node_counts_for_nothing(job):
    ends, ignored = job["spec"]["podFailurePolicy"]["rules"]
    assert (ends["action"], ends["onExitCodes"]["values"]) == ("FailJob", [2])
    assert ends["onExitCodes"]["containerName"] == container_of(job)["name"]
    assert ignored["action"] == "Ignore"
    assert ignored["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_indexes_draw_neighbouring_seeds_with_arguments_that_the_command_knows(job):
    assert container_of(job)["command"] == ["python", "-m", "carfront"]
    ends = []
    for index in (0, 1, job["spec"]["completions"] - 1):
        name, *rest = arguments(job, index)
        assert name == "generate"
        found = generate.make_context(name, rest, resilient_parsing=False).params
        assert found["part"] == index
        seeds = part_of(seeds_of(found["seeds"]), index)
        ends.append(seeds.stop)
        assert seeds.start == index * len(seeds)
    assert ends[1] == 2 * ends[0]


def test_the_bundle_is_one_of_the_image(job):
    bundle = next(x["value"] for x in container_of(job)["env"] if x["name"] == "BUNDLE")
    assert (K8S.parent / bundle.removeprefix("/app/") / "manifest.json").is_file()


def test_the_patch_of_the_readme_is_all_that_ten_million_needs():
    job = only(example(), "Job")
    total = job["spec"]["completions"] * len(
        seeds_of(arguments(job, 0)[1].removeprefix("--seeds="))
    )
    assert total == 10_000_000
    assert job["spec"]["parallelism"] == 20
    assert container_of(job)["image"] == "registry.example/carfront:generate-1.0.0"
    assert "--output=s3://my-bucket/cars" in arguments(job, 7)


def test_the_pod_is_restricted_and_its_resources_are_an_api_servers(job):
    assert of_security(pod_template(job)) == []
    assert of_resources(container_of(job)["resources"]) == []
    assert container_of(job)["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod_template(job)["spec"]["automountServiceAccountToken"] is False


def test_what_is_written_has_a_volume(job):
    spec, container = pod_template(job)["spec"], container_of(job)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {x["mountPath"]: volumes[x["name"]] for x in container["volumeMounts"]}
    output = next(x for x in arguments(job, 0) if x.startswith("--output="))
    if not output.startswith("--output=s3://"):
        assert "persistentVolumeClaim" in mounts[output.removeprefix("--output=")]
    # Five shards of 64 MB wait at most: four that are sent, and one that is written.
    assert quantity(mounts["/tmp"]["emptyDir"]["sizeLimit"]) >= 2 * 5 * 64e6


def test_the_network_is_closed_but_for_the_object_store(resources, job, request):
    spec = only(resources, "NetworkPolicy")["spec"]
    assert matches(spec["podSelector"]["matchLabels"], pod_template(job)["metadata"]["labels"])
    assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
    assert "ingress" not in spec
    ports = {port["port"] for rule in spec.get("egress", []) for port in rule["ports"]}
    s3 = "--output=s3://" in " ".join(arguments(job, 0))
    own = {9000} if "one's own" in request.node.callspec.id else set()
    assert ports == ({53, 443} | own if s3 else set())


def test_a_store_of_ones_own_is_reached_where_the_secret_says():
    *_, (store,) = (x["to"] for x in only(example(1), "NetworkPolicy")["spec"]["egress"])
    (name,) = store["namespaceSelector"]["matchLabels"].values()
    assert f"`http://minio.{name}.svc:9000`" in (JOBS / "README.md").read_text()


def test_manifests_have_no_namespace_of_their_own():
    for path in JOBS.rglob("*.yaml"):
        for each in yaml.safe_load_all(path.read_text()):
            assert "namespace" not in each
            assert "namespace" not in each.get("metadata", {})
