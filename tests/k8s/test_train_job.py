"""The Job that trains on several machines: its workers find each other, and all are there."""

import os
import shutil
import subprocess

import kubernetes_validate
import pytest

from tests.k8s.rendering import (
    K8S,
    KUBERNETES_VERSIONS,
    container_of,
    matches,
    only,
    pod_template,
    render_example,
    render_folder,
)
from tests.k8s.test_api_server import of_resources, of_security
from training.__main__ import LOST, WRONG, parse
from training.cluster import read_cluster

TRAIN = K8S / "jobs" / "train"


def example():
    """Return what the README's kustomization builds."""
    return render_example(TRAIN / "README.md")


RENDERED = {"plain": lambda: render_folder(TRAIN), "README": example}


@pytest.fixture(scope="module", params=RENDERED)
def resources(request):
    return RENDERED[request.param]()


@pytest.fixture
def job(resources):
    return only(resources, "Job")


def started(job, index, tmp_path):
    """Return the variable and the arguments with which the pod of ``index`` starts its training."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$TF_CONFIG" "$@"\n')
    python.chmod(0o755)
    container = container_of(job)
    environ = {each["name"]: each["value"] for each in container["env"]}
    environ |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": str(index)}
    command = [*container["command"], *container["args"]]
    shell = shutil.which(command[0])
    assert shell
    told = subprocess.run(
        [shell, *command[1:]], env=environ, capture_output=True, text=True, check=True
    )
    config, module, name, *arguments = told.stdout.splitlines()
    assert (module, name) == ("-m", "training")
    return config, arguments


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_resource_is_valid(resources, version):
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_every_index_is_a_worker_whose_name_the_service_makes(resources, job, tmp_path):
    service, spec = only(resources, "Service"), job["spec"]
    port = service["spec"]["ports"][0]["port"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert pod_template(job)["spec"]["subdomain"] == service["metadata"]["name"]
    assert matches(service["spec"]["selector"], pod_template(job)["metadata"]["labels"])
    assert container_of(job)["ports"][0]["containerPort"] == port
    name = job["metadata"]["name"]
    wanted = [
        f"{name}-{k}.{service['metadata']['name']}:{port}" for k in range(spec["completions"])
    ]
    for index in range(spec["completions"]):
        config, _ = started(job, index, tmp_path)
        cluster = read_cluster({"TF_CONFIG": config})
        assert list(cluster.addresses) == wanted
        assert cluster.index == index


def test_all_workers_run_at_the_same_time(job):
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"]


def test_command_is_one_that_the_training_knows_and_writes_to_the_volume(job, tmp_path):
    config = parse(started(job, 0, tmp_path)[1])
    assert config.strategy == "multi-worker"
    assert config.batch_size % job["spec"]["completions"] == 0
    spec, container = pod_template(job)["spec"], container_of(job)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {x["mountPath"]: volumes[x["name"]] for x in container["volumeMounts"]}
    assert "persistentVolumeClaim" in mounts[f"/{config.out.parts[1]}"]
    assert "emptyDir" in mounts["/tmp"]


def test_lost_worker_counts_for_nothing_and_a_wrong_command_ends_the_job(job):
    ends, lost, drained = job["spec"]["podFailurePolicy"]["rules"]
    assert (ends["action"], ends["onExitCodes"]["values"]) == ("FailJob", [WRONG])
    assert lost["action"] == "Ignore"
    assert LOST in lost["onExitCodes"]["values"]
    assert ends["onExitCodes"]["containerName"] == container_of(job)["name"]
    assert lost["onExitCodes"]["containerName"] == container_of(job)["name"]
    assert drained["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert pod_template(job)["spec"]["restartPolicy"] == "Never"  # the policy needs it
    assert job["spec"]["backoffLimitPerIndex"] >= 1


def test_workers_alone_reach_workers(resources, job):
    spec = only(resources, "NetworkPolicy")["spec"]
    labels = pod_template(job)["metadata"]["labels"]
    assert matches(spec["podSelector"]["matchLabels"], labels)
    (rule,) = spec["ingress"]
    (peer,) = rule["from"]
    assert matches(peer["podSelector"]["matchLabels"], labels)


def test_the_pod_is_restricted_and_its_resources_are_an_api_servers(job):
    assert of_security(pod_template(job)) == []
    assert of_resources(container_of(job)["resources"]) == []
    assert container_of(job)["securityContext"]["readOnlyRootFilesystem"] is True


def test_four_workers_are_one_patch():
    assert only(example(), "Job")["spec"]["completions"] == 4
