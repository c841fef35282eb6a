"""The image as the pod that an overlay's Deployment would have: its user, limits and security."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from loadtests.serving import free_port
from tests.containers.engine import Docker
from tests.k8s.rendering import (
    Resource,
    Resources,
    containers,
    only,
    pod_template,
    quantity,
    render,
    settings,
)
from tests.servers import PATIENCE_S, UNHURRIED, until

IMAGE = "carfront:cpu"
"""The name of the image that the pods run."""


def as_pod(resources: Resources) -> tuple[list[str], int]:
    """Return the engine's arguments for the pod of an overlay's ``resources``, and the seconds that
    the pod has to end."""
    template = pod_template(only(resources, "Deployment"))
    (container,) = containers(template)
    environment = [f"--env={name}={value}" for name, value in settings(resources, container)]
    seconds = int(template["spec"]["terminationGracePeriodSeconds"])
    return [*limits_of(template), *environment], seconds


def limits_of(template: Resource) -> list[str]:
    """Return the engine's arguments for the user, limits, security and empty folders of a pod."""
    spec, (container,) = template["spec"], containers(template)
    user, limits = spec["securityContext"], container["resources"]["limits"]
    memory = int(quantity(limits["memory"]))
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    arguments = [
        f"--user={user['runAsUser']}:{user['runAsGroup']}",
        "--read-only",
        "--security-opt=no-new-privileges",
        *(f"--cap-drop={name}" for name in security["capabilities"]["drop"]),
        f"--cpus={quantity(limits['cpu']):g}",
        f"--memory={memory}",
        f"--memory-swap={memory}",
    ]
    owner = f"uid={user['runAsUser']},gid={user['runAsGroup']}"
    volumes = {each["name"]: each["emptyDir"] for each in spec["volumes"] if "emptyDir" in each}
    for mount in (each for each in container["volumeMounts"] if each["name"] in volumes):
        size = int(quantity(volumes[mount["name"]]["sizeLimit"]))
        arguments.append(f"--tmpfs={mount['mountPath']}:rw,{owner},size={size}")
    return arguments


@dataclass
class Pod:
    """A container that runs as the pod of an overlay would."""

    docker: Docker
    name: str
    port: int
    grace_s: int

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Return status and body, over a connection of its own."""
        text = None if body is None else json.dumps(body)
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()

    @property
    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    @property
    def images_drawn(self) -> float:
        """The images that it has answered with."""
        text = self.request("GET", "/metrics")[1].decode()
        counts = re.findall(r"^carfront_images_total\S* (\S+)$", text, re.MULTILINE)
        return sum(map(float, counts))

    def state(self, name: str) -> str:
        return self.docker("inspect", "--format", f"{{{{.State.{name}}}}}", self.name)

    def stop(self) -> None:
        """End the container as a kubelet does, once it is out of the Service."""
        self.docker("stop", f"--time={self.grace_s}", self.name)

    def log(self) -> str:
        return self.docker("logs", self.name)


@contextmanager
def pod(
    docker: Docker, name: str, port: int | None = None, overlay: str = "cpu", **environ: str
) -> Iterator[Pod]:
    """Run the image as the pod of ``overlay``, until it is ready and as long as this lasts.

    It is as patient as the tests' other servers, but ends within the pod's time.
    """
    with started(docker, name, IMAGE, render(overlay), port, {**UNHURRIED, **environ}) as running:
        until(lambda: running.is_ready or running.state("Running") != "true")
        assert running.state("Running") == "true", running.log()
        yield running


@contextmanager
def started(
    docker: Docker,
    name: str,
    image: str,
    resources: Resources,
    port: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Pod]:
    """Run ``image`` as the pod of an overlay's ``resources``, as long as this lasts."""
    arguments, grace_s = as_pod(resources)
    port = port or free_port()
    own = {"CARFRONT_HOST": "127.0.0.1", "CARFRONT_PORT": str(port), **(environ or {})}
    arguments += [f"--env={key}={value}" for key, value in own.items()]
    docker("run", "--detach", "--network=host", f"--name={name}", *arguments, image)
    try:
        yield Pod(docker, name, port, grace_s)
    finally:
        docker("rm", "--force", name)
