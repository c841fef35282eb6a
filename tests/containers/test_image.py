"""The image, built and run by a container engine as the manifests have its pod run.

A machine that cannot run containers skips these tests, and says why.
"""

import io
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loadtests.serving import free_port
from tests.containers import engine
from tests.containers.engine import BASE, Docker, Missing
from tests.containers.pods import IMAGE, Pod, limits_of, pod
from tests.k8s.rendering import container_of, only, pod_template, render_folder
from tests.k8s.test_load_job import LOAD, arguments, job_of, render_job
from tests.kept_connection import CameLate, KeptConnection
from tests.loadtests.locust_process import LONGER_S, PATIENT_MASTER, has_rows, row
from tests.servers import PATIENCE_S, until

pytestmark = pytest.mark.servers
ROOT = Path(__file__).parents[2]
OFFICIAL_BASE_MB = 130
"""The size of the official base image, which the stand-in here is larger than."""
MOST_MB = 450
"""The size that the image has at most."""


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    """A container engine that has the image."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(engine.engine())
            with tempfile.TemporaryDirectory() as folder:
                engine.make_base(running, Path(folder))
        except Missing as missing:
            pytest.skip(f"no containers here: {missing}")
        running("build", "--network=host", "--pull=false", f"--tag={IMAGE}", str(ROOT))
        yield running


@dataclass
class Callers:
    """Callers that ask for single images over kept connections, until ``end``."""

    port: int
    answers: list[int] = field(default_factory=list)
    """The status of every answer."""
    broken: list[str] = field(default_factory=list)
    """What went wrong with requests that had been accepted."""
    ended: threading.Event = field(default_factory=threading.Event)

    def ask(self, number: int) -> None:
        with closing(KeptConnection(f"127.0.0.1:{self.port}")) as connection:
            for seed in itertools.count(number * 100_000):
                if self.ended.is_set():
                    return
                is_new = connection.sock is None
                try:
                    response = connection.answer_to("GET", f"/v1/images/{seed}.png")
                    response.read()
                except CameLate:
                    continue
                except (OSError, HTTPException) as error:
                    if not is_new:  # a new one may still wait to be accepted when the server ends
                        self.broken.append(repr(error))
                    return
                self.answers.append(response.status)


@contextmanager
def asked(port: int, count: int = 8) -> Iterator[Callers]:
    callers = Callers(port)
    with ThreadPoolExecutor(count) as threads:
        for number in range(count):
            threads.submit(callers.ask, number)
        try:
            until(lambda: len(callers.answers) > 200 or callers.broken)
            yield callers
        finally:
            callers.ended.set()


def test_image_is_small(docker: Docker):
    size, base = (
        int(docker("image", "inspect", "--format", "{{.Size}}", image)) for image in (IMAGE, BASE)
    )
    assert (size - base) / 1e6 + OFFICIAL_BASE_MB <= MOST_MB


def test_pod_draws_the_bundles_golden_images_and_is_healthy(docker: Docker):
    bundle = ROOT / "models/cars-dcgan/2"
    golden = json.loads((bundle / "manifest.json").read_text())["golden"]
    with pod(docker, "draws", CARFRONT_PRECISION="exact") as server:
        asked_for = {"seeds": golden["seeds"], "format": "npy"}
        status, body = server.request("POST", "/v1/images", asked_for)
        assert status == 200
        assert (np.load(io.BytesIO(body)) == np.load(bundle / "golden-exact.npy")).all()
        until(lambda: server.state("Health.Status") == "healthy")


def test_sigterm_under_load_loses_no_accepted_request(docker: Docker):
    with pod(docker, "ends") as server, asked(server.port) as callers:
        server.stop()
        assert not callers.broken
        assert set(callers.answers) == {200}
        assert server.state("ExitCode") == "0", server.log()


def test_memory_limit_holds_at_full_load(docker: Docker):
    """Many images a request, with callers that come and go; nothing is killed for memory."""
    with pod(docker, "loaded") as server:

        def ask(number: int) -> int:
            n = 1 + number * 37 % 1024
            return server.request("POST", "/v1/images", {"seed": number, "n": n, "format": "npy"})[
                0
            ]

        with ThreadPoolExecutor(16) as threads:
            statuses = set(threads.map(ask, range(200)))
        assert statuses <= {200, 503}
        assert 200 in statuses
        assert server.state("OOMKilled") == "false"
        _, metrics = server.request("GET", "/metrics")
        assert not re.search(rb"carfront_engine_deaths_total\{.*\} [1-9]", metrics)


def test_small_overlay_starts_within_its_limits(docker: Docker):
    with pod(docker, "small", overlay="small") as server:
        assert server.request("GET", "/v1/images/7.png")[0] == 200
        assert server.state("OOMKilled") == "false"


def test_compose_runs_the_server(docker: Docker):
    """The others of its services need images from a registry."""
    if shutil.which("docker-compose") is None:
        pytest.skip("there is no docker-compose")
    port = str(free_port())
    environ = {**os.environ, "DOCKER_HOST": docker.host, "CARFRONT_PORT": port}
    command = [
        "docker-compose",
        "--project-directory",
        str(ROOT),
        "--project-name",
        "carfront-test",
    ]

    def compose(*arguments: str) -> None:
        subprocess.run([*command, *arguments], env=environ, check=True, timeout=PATIENCE_S)

    compose("up", "--no-deps", "--no-build", "--detach", "server")
    try:
        server = Pod(docker, "carfront-test_server_1", int(port), 0)
        until(lambda: server.is_ready)
        assert server.request("GET", "/v1/images/7.png")[0] == 200
    finally:
        compose("down")


@contextmanager
def balanced(ports: list[int], folder: Path) -> Iterator[int]:
    """Run HAProxy, as it is configured for the public, in front of ``ports``; yield its port."""
    port = free_port()
    text = (ROOT / "proxy/haproxy.cfg").read_text()
    server = re.search(r"^ +server one 127.0.0.1:8000(.*)$", text, re.MULTILINE)
    assert server
    checks = server[1].replace("inter 2s", "inter 100ms rise 1")
    servers = [f"    server s{each} 127.0.0.1:{each}{checks}" for each in ports]
    # Without a time of its own a check has to be answered before the next one.
    servers.insert(0, f"    timeout check {PATIENCE_S}s")
    text = text.replace(server[0], "\n".join(servers)).replace(":8080", f"127.0.0.1:{port}")
    (folder / "haproxy.cfg").write_text(text)
    process = subprocess.Popen(["haproxy", "-db", "-f", folder / "haproxy.cfg"])
    try:
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def test_replacement_of_all_replicas_shows_no_caller_an_error(docker: Docker, tmp_path: Path):
    ports = [free_port(), free_port()]
    with ExitStack() as replicas:
        old = [
            replicas.enter_context(pod(docker, f"old-{port}", port, CARFRONT_WORKERS="1"))
            for port in ports
        ]
        place = replicas.enter_context(balanced(ports, tmp_path))
        front = Pod(docker, "", place, 0)
        until(lambda: front.is_ready)
        callers = replicas.enter_context(asked(place, 4))
        for replica in old:
            replica.stop()
            docker("rm", replica.name)
            new = replicas.enter_context(
                pod(docker, f"new-{replica.port}", replica.port, CARFRONT_WORKERS="1")
            )
            until(lambda new=new: new.images_drawn > 100 or callers.broken)  # the proxy knows it
        assert not callers.broken
        assert set(callers.answers) == {200}


def test_image_of_the_load_generator_judges_a_server_as_its_jobs_start_it(
    docker: Docker, tmp_path: Path
):
    """The SLO has no times in it: this machine is busy."""
    image, port, resources = "carfront:load", str(free_port()), render_job()
    dockerfile = f"--file={ROOT / 'loadtests/Dockerfile'}"
    docker("build", "--network=host", "--pull=false", f"--tag={image}", dockerfile, str(ROOT))
    shutil.copy(LOAD / "shape.toml", tmp_path)
    (tmp_path / "slo.toml").write_text('about = "Answers are right."\nmax_refused_share = 1\n')
    tmp_path.chmod(0o755)
    changes = {"USERS": "4", "WORKERS": "1", "MASTER": "127.0.0.1"}

    def as_job(part: str, *more: str, options: tuple[str, ...] = ()) -> list[str]:
        limits = limits_of(pod_template(job_of(resources, part)))
        command = [*arguments(resources, part, changes), *more, "SingleImage", "Integrator"]
        return ["run", "--network=host", *limits, *options, image, *command]

    def judged() -> str:
        docker(*as_job("worker", "--master-port", port, options=("--detach", "--name=worker")))
        try:
            plan = f"--volume={tmp_path}:/etc/carfront-load:ro"
            patience = f"--volume={PATIENT_MASTER}:/patience:ro", "--env=PYTHONPATH=/patience"
            options = ("--rm", plan, *patience)
            return docker(*as_job("master", "--master-bind-port", port, options=options))
        finally:
            docker("rm", "--force", "worker")

    with pod(docker, "judged") as server:
        changes["HOST"] = f"http://127.0.0.1:{server.port}"
        for seconds in LONGER_S:
            changes["RUN_TIME"] = f"{seconds}s"
            report = judged()
            if has_rows(report, ["single image"]):
                break
        assert "the generator: 1 process with" in report, report
        drawn = server.images_drawn
    good, *others = row(report, "single image")
    assert not any(others), report
    assert drawn >= good > 0


@dataclass(frozen=True)
class Training:
    """The training's image as the one pod of its Job, with a folder in place of its volume."""

    docker: Docker
    image: str
    runs: Path

    def start(self, name: str, *options: str, epochs: int) -> None:
        """Begin a run, or go on with it, in a network of its own."""
        job = only(render_folder(ROOT / "k8s/jobs/train"), "Job")
        container = container_of(job)
        settings = {each["name"]: each["value"] for each in container["env"]}
        settings |= {"WORKERS": "1", "JOB_COMPLETION_INDEX": "0"}
        limits = [x for x in limits_of(pod_template(job)) if not x.startswith("--cpus")]
        shell, *script = container["command"]
        self.docker(
            *("run", "--detach", f"--name={name}", "--network=none", *limits),
            f"--add-host={settings['JOB']}-0.{settings['SERVICE']}:127.0.0.1",
            *(f"--env={key}={value}" for key, value in settings.items()),
            *(f"--volume={self.runs}:/runs", f"--entrypoint={shell}", self.image, *script),
            *("--out=/runs/cars", f"--epochs={epochs}", *options),
        )

    def has_done(self, epochs: int) -> bool:
        return (self.runs / f"cars/checkpoints/ckpt-{epochs}.index").exists()


@pytest.fixture
def training(docker: Docker, tmp_path: Path) -> Iterator[Training]:
    image = "carfront:train"
    dockerfile = f"--file={ROOT / 'training/Dockerfile'}"
    docker("build", "--network=host", "--pull=false", f"--tag={image}", dockerfile, str(ROOT))
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 40, 40, 3), np.uint8)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(photographs / f"{number}.png")
    tmp_path.chmod(0o777)  # as the pod's fsGroup would have it
    yield Training(docker, image, tmp_path)
    docker("rm", "--force", "stopped", "finished")


def test_image_of_the_training_goes_on_where_sigterm_stopped_it(training: Training):
    docker, few = training.docker, ["--batch-size=8", "--statistics-passes=1", "--swd-every=0"]
    few += ["--data=folder", "--data-path=/runs/photographs"]
    training.start("stopped", *few, epochs=1000)
    is_running = "{{.State.Running}}"
    until(
        lambda: (
            training.has_done(1) or docker("inspect", "--format", is_running, "stopped") != "true"
        )
    )
    docker("stop", f"--time={PATIENCE_S:g}", "stopped")
    told = docker("logs", "stopped")
    assert docker("wait", "stopped") == "130", told
    stopped = re.search(r"stopped after epoch (\d+) of 1000", told)
    assert stopped, told
    epochs = int(stopped[1]) + 1
    training.start("finished", *few, epochs=epochs)
    assert docker("wait", "finished") == "0", docker("logs", "finished")
    assert training.has_done(epochs)
