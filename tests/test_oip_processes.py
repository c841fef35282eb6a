"""A real server of two versions, of several HTTP workers, speaks the inference protocol."""

import http.client
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from server.bundle.latents import latents_range
from tests.bundles import copy_version
from tests.servers import PATIENCE_S, PYTHON, serving

pytestmark = pytest.mark.servers
ROOT = Path(__file__).parents[1]
RECORDED = ROOT.parent / "shared" / "oip"
"""Requests of real clients, with the status that each is to get; they lie beside the checkout."""
INFER = "/v2/models/cars-dcgan/infer"
SEED, N = 7, 5
LATENTS = latents_range(SEED, N, 100)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    for version in ("1", "2"):
        copy_version(models, version)
    settings = {
        "CARFRONT_MODELS": str(models),
        "CARFRONT_SERVE": "cars-dcgan/1",
        "CARFRONT_WORKERS": "2",
    }
    with serving(PYTHON, settings) as running:
        yield running


@pytest.fixture
def connect(server):
    """Return a function that opens one more connection, which another worker may take."""
    opened = []

    def connect():
        opened.append(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_S))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


def ask(connection, method, path, body=None, fields=()):
    connection.request(method, path, body, dict(fields))
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def binary(latents=LATENTS):
    """Return a body with latents as bytes, and its fields, as tritonclient sends them."""
    tensor = {
        "name": "latents",
        "shape": list(latents.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": latents.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + latents.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


def images_of(answer):
    status, fields, body = answer
    assert status == 200, body
    return body[int(fields["Inference-Header-Content-Length"]) :]


def test_latents_of_seeds_give_the_same_bytes_as_the_seeds(connect):
    connection = connect()
    asked = {"seed": SEED, "n": N, "format": "npy"}
    _, _, npy = ask(
        connection, "POST", "/v1/images", json.dumps(asked), {"Content-Type": "application/json"}
    )
    images = images_of(ask(connection, "POST", INFER, *binary()))
    assert npy.endswith(images)
    assert len(images) == N * 32 * 32 * 3
    tensor = {"name": "latents", "shape": [N, 100], "datatype": "FP32", "data": LATENTS.tolist()}
    status, _, body = ask(connection, "POST", INFER, json.dumps({"inputs": [tensor]}))
    assert status == 200
    assert bytes(json.loads(body)["outputs"][0]["data"]) == images


def test_statistics_are_those_of_all_workers_whoever_is_asked(connect):
    connections = [connect() for _ in range(8)]
    path = "/v2/models/cars-dcgan/versions/1"

    def statistics(connection):
        (found,) = json.loads(ask(connection, "GET", f"{path}/stats")[2])["model_stats"]
        return found

    before = statistics(connections[0])
    for each in connections:
        images_of(ask(each, "POST", f"{path}/infer", *binary()))
        assert ask(each, "POST", f"{path}/infer", b"{}")[0] == 400
    for each in connections:
        after = statistics(each)
        for step, count in (("success", 8), ("fail", 8), ("queue", 8)):
            was, now = before["inference_stats"][step], after["inference_stats"][step]
            assert now["count"] - was["count"] == count
            assert now["ns"] > was["ns"]
        assert after["inference_count"] - before["inference_count"] == 8 * N
        assert 1 <= after["execution_count"] - before["execution_count"] <= 8
        assert after["last_inference"] > before["last_inference"]


def test_images_are_counted_as_the_protocols(connect):
    connection = connect()
    images_of(ask(connection, "POST", INFER, *binary()))
    text = ask(connection, "GET", "/metrics")[2].decode()
    assert 'carfront_images_total{model="cars-dcgan",source="oip",version="2"}' in text


def test_any_finite_latents_are_drawn(connect):
    """perf_analyzer sends bits at random."""
    bits = np.random.default_rng(7).integers(0, 2**32, (N, 100), np.uint32).view(np.float32)
    huge = np.where(np.isfinite(bits), bits, np.float32(3e38))
    assert len(images_of(ask(connect(), "POST", INFER, *binary(huge)))) == N * 32 * 32 * 3


@pytest.mark.parametrize(
    ("body", "fields", "status"),
    [
        (b"{", {}, 400),
        (b"{}", {"Inference-Header-Content-Length": "9" * 5000}, 400),
        (b"{}", {"Content-Encoding": "br"}, 415),
        (b"{}", {"Content-Encoding": "gzip"}, 400),
    ],
)
def test_connection_goes_on_after_a_request_that_was_refused(connect, body, fields, status):
    connection = connect()
    refused, _, told = ask(connection, "POST", INFER, body, fields)
    assert refused == status
    assert list(json.loads(told)) == ["error"]
    socket = connection.sock
    images_of(ask(connection, "POST", INFER, *binary()))
    assert connection.sock is socket


def test_body_beyond_all_limits_is_told_so_while_it_is_sent(connect):
    for _ in range(3):  # the server reads on for a second or two, and no longer
        with suppress(ConnectionError):
            status, fields, told = ask(connect(), "POST", INFER, bytes(17 * 2**20))
            break
    assert status == 413
    assert fields["Content-Type"] == "application/json"
    assert "longer than" in json.loads(told)["error"]


@pytest.mark.skipif(not RECORDED.exists(), reason="no recorded requests beside the checkout")
def test_recorded_requests_are_answered_as_they_should_be(server):
    cases = json.loads((RECORDED / "cases.json").read_text())["cases"]
    names = [x["name"] for x in cases]
    command = [sys.executable, RECORDED / "run_cases.py", server.url, RECORDED / "cases.json"]
    ended = subprocess.run([*command, *names], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count("ok ") == len(names)
