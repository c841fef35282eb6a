"""Float images at a real server: opened when they are asked for, and right whatever happens."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

import numpy as np
import pytest

from server.bundle.files import load_bundle
from server.bundle.latents import latents, latents_range
from server.bundle.manifest import FLOATS
from server.runtime.plans import Plan
from server.runtime.session import FloatSession
from tests.bundles import DEFAULT, copy_version
from tests.chaos.faults import kill
from tests.servers import PATIENCE_S, PYTHON, serving, until, victim

pytestmark = pytest.mark.servers

SEEDS = range(60)
PREDICT = "/v1/models/cars-dcgan:predict"
OPEN = 'carfront_float_images_open{model="cars-dcgan",version="%s"} %d.0'


def ask(url, method, path, body=None):
    """Return the status and the body of an answer."""
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()


def predict(url, rows, path=PREDICT):
    """Return the predictions of latents, float32 [n, 32, 32, 3]."""
    status, answer = ask(url, "POST", path, json.dumps({"instances": rows.tolist()}))
    assert status == 200, answer
    return np.array(json.loads(answer)["predictions"], np.float32)


def image(url, seed):
    """Return the image of a seed as a .npy file."""
    status, answer = ask(url, "GET", f"/v1/images/{seed}.npy")
    assert status == 200, answer
    return answer


def is_told(url, version, is_open):
    return OPEN % (version, is_open) in ask(url, "GET", "/metrics")[1].decode()


@pytest.fixture(scope="module")
def wanted():
    """The float images of ``SEEDS`` by ONNX Runtime's own provider, and how far others may be."""
    bundle = load_bundle(DEFAULT)
    graph = bundle.path / bundle.manifest.variant(FLOATS).file
    session = FloatSession(graph, Plan("cpu", "f32", floats=True), threads=1)
    images = session.run(latents(SEEDS, 100))
    return lambda found, seeds: np.abs(found - images[seeds]).max() < 2e-5


def test_nobodys_float_images_are_not_open_and_the_first_callers_are_answered_right(
    tmp_path, wanted
):
    copy_version(tmp_path, "1")
    settings = {
        "CARFRONT_MODELS": str(tmp_path),
        "CARFRONT_WORKERS": "2",
        "CARFRONT_POLL_S": "1",
    }
    with serving(PYTHON, settings) as server:
        bytes_ = [image(server.url, seed) for seed in SEEDS]
        assert is_told(server.url, "1", False)
        with ThreadPoolExecutor(8) as callers:
            found = callers.map(lambda x: predict(server.url, latents_range(x, 1, 100)), SEEDS)
            first = np.concatenate(list(found))
        assert wanted(first, list(SEEDS))
        until(lambda: is_told(server.url, "1", True))

        def draw(seed):  # float images and bytes in the same batches' turns
            rows = predict(server.url, latents_range(seed, 2, 100))
            return (rows[0] == first[seed]).all() and image(server.url, seed) == bytes_[seed]

        with ThreadPoolExecutor(8) as callers:
            assert all(callers.map(draw, random.Random(7).sample(SEEDS[:-1], 50)))

        copy_version(tmp_path, "2", brighter=True)  # whose graph of float images is another one
        copy_version(tmp_path, "3")
        until(lambda: is_told(server.url, "3", True))
        newest = "/v1/models/cars-dcgan/versions/3"
        known = partial(ask, server.url, "GET", f"{newest}/images/5.npy")
        until(lambda: all(known()[0] == 200 for _ in range(20)))  # whichever worker is asked
        rows = predict(server.url, latents_range(5, 1, 100), f"{newest}:predict")
        assert (rows[0] == first[5]).all()


def is_opening(harmed, asked):
    return list(harmed.socket.parent.glob("opens-*")) or is_drawing(harmed, asked)


def is_drawing(_, asked):
    return any(each.done() for each in asked)


def test_killed_engine_takes_no_callers_float_images_along(tmp_path, wanted):
    with victim(PYTHON, tmp_path) as harmed, ThreadPoolExecutor(8) as callers:
        for is_time in (is_opening, is_drawing):
            asked = [
                callers.submit(predict, harmed.server.url, latents_range(seed, 4, 100))
                for seed in SEEDS[:-4]
            ]
            until(partial(is_time, harmed, asked))
            engine = harmed.engines
            kill(engine)
            for seed, each in enumerate(asked):
                assert wanted(each.result(), list(range(seed, seed + 4)))
            until(harmed.is_whole)
            assert harmed.engines != engine
        assert wanted(predict(harmed.server.url, latents_range(0, 1, 100)), [0])
        until(lambda: is_told(harmed.server.url, "1", True))


def test_graph_that_draws_other_images_is_refused_in_words_and_the_bytes_are_served(tmp_path):
    copy_version(tmp_path, "1", brighter=True)
    settings = {
        "CARFRONT_MODELS": str(tmp_path),
        "CARFRONT_WORKERS": "1",
        "CARFRONT_FLOAT_IMAGES": "yes",
    }
    with serving(PYTHON, settings) as server:
        body = json.dumps({"instances": latents_range(5, 1, 100).tolist()})
        status, answer = ask(server.url, "POST", PREDICT, body)
        assert status == 501
        assert "cars-dcgan/1 draws no float images" in json.loads(answer)["error"]
        assert image(server.url, 7)
        assert is_told(server.url, "1", False)
