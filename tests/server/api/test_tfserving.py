"""TensorFlow Serving's interface: its documents, and requests that are read or refused in words."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_engine import connect, floats_of, picture, publish, running, serving_floats, until

from server.api.oip_tensors import LatentsShape
from server.api.tfserving import read_predict
from server.app import create_app
from server.config import ServerConfig
from server.errors import InvalidRequest

PREDICT = "/v1/models/cars-dcgan:predict"
SHAPE = LatentsShape(3, 8)
ROWS = [[0.5, -1.0, 2.0], [1.0, 2.0, 3.0]]


def read(document):
    return read_predict(json.dumps(document).encode(), SHAPE)


@pytest.mark.parametrize(
    "document",
    [
        {"instances": ROWS},
        {"instances": [{"latents": row} for row in ROWS]},
        {"inputs": ROWS},
        {"inputs": {"latents": ROWS}},
        {"signature_name": "serving_default", "inputs": ROWS},
        {"signature_name": "", "instances": ROWS},
    ],
)
def test_rows_and_columns_are_the_latents(document):
    asked = read(document)
    assert asked.classes is None
    assert asked.latents.dtype == np.float32
    assert asked.latents.tolist() == ROWS
    assert asked.member == ("predictions" if "instances" in document else "outputs")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "body"),
        ({}, "either instances or inputs"),
        ({"instances": ROWS, "inputs": ROWS}, "either instances or inputs"),
        ({"instances": []}, "rows of latents is 0"),
        ({"instances": {}}, "instances"),
        ({"instances": ROWS[0]}, "lists of 3 numbers each"),
        ({"instances": [{"z": ROWS[0]}]}, "wanted one, latents"),
        ({"instances": [ROWS[0], ROWS[1][:2]]}, "lists of 3 numbers each"),
        ({"instances": ROWS * 5}, "rows of latents is 10; wanted from 1 to 8"),
        ({"inputs": 7}, "latents is 7"),
        ({"inputs": {"latents": ROWS, "z": ROWS}}, "wanted one, latents"),
        ({"inputs": [[[1.0, 2.0, 3.0]]]}, "lists of 3 numbers each"),
        ({"inputs": [[1.0, 2.0, None]]}, "numbers alone"),
        ({"inputs": [[1.0, 2.0, 1e39]]}, "finite"),
        ({"inputs": ROWS, "signature_name": "x"}, "signature_name is 'x'"),
        ({"inputs": ROWS, "signature_name": {}}, "signature_name is {}"),
        ({"inputs": ROWS, "signature_name": 0}, "signature_name is 0"),
        ({"inputs": [{"b64": "AAAA"}]}, "latents"),
    ],
)
def test_what_is_no_predict_request_is_refused_in_words(document, told):
    with pytest.raises(InvalidRequest, match=told):
        read(document)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,inputsance0.5', max_size=60))
def test_any_body_is_read_or_told(body):
    try:
        read_predict(body if isinstance(body, bytes) else body.encode(), SHAPE)
    except InvalidRequest as error:
        assert error.status == 400


def told(answer, status):
    """Check that an error is TensorFlow Serving's, and return its words."""
    assert answer.status_code == status
    assert answer.content_type == "application/json"
    assert list(answer.json) == ["error"]
    return answer.json["error"]


LATENTS = np.linspace(-2, 2, 16, dtype=np.float32).reshape(2, 8)
FLOATS = floats_of(picture(LATENTS))


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """The client of an engine that draws 8 latents as 4x4 pixels of RGB, and as floats."""
    path = tmp_path_factory.mktemp("run") / "engine.sock"
    with running(path) as engine:
        engine.add(serving_floats())
        publish(path, float_plan="openvino/f32")
        client = connect(path)
        until(lambda: client.ready)
        yield client
        client.close()


@pytest.fixture(scope="module")
def tiny(engines):
    return create_app(ServerConfig(), engines).test_client()


@pytest.mark.parametrize("version", ["", "/versions/1", "/versions/0"])
@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded"])
def test_predictions_are_the_float_images_with_every_bit(tiny, version, content_type):
    path = f"/v1/models/tiny{version}:predict"
    body = json.dumps({"instances": LATENTS.tolist()})
    answer = tiny.post(path, data=body, content_type=content_type)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert list(answer.json) == ["predictions"]
    predictions = np.array(answer.json["predictions"], np.float32)
    assert predictions.shape == (2, 4, 4, 3)
    assert (predictions == FLOATS).all()
    assert answer.headers["Carfront-Model"] == "tiny/1"
    assert int(answer.headers["Content-Length"]) == len(answer.data)


def test_column_is_answered_as_a_column_and_a_compressed_body_is_read(tiny):
    body = gzip.compress(json.dumps({"inputs": {"latents": LATENTS.tolist()}}).encode())
    path = "/v1/models/tiny:predict"
    answer = tiny.post(path, data=body, headers={"Content-Encoding": "gzip"})
    assert list(answer.json) == ["outputs"]
    assert (np.array(answer.json["outputs"], np.float32) == FLOATS).all()


def test_many_predictions_are_written_in_a_thread_as_few_are(tiny, engines, monkeypatch):
    threads = []
    in_thread = engines.loop.in_thread

    def count(function, *args):
        threads.append(function)
        return in_thread(function, *args)

    monkeypatch.setattr(engines.loop, "in_thread", count)
    latents = np.random.default_rng(7).standard_normal((1500, 8), np.float32)
    for rows in (2, 1500):
        body = {"instances": latents[:rows].tolist()}
        answer = tiny.post("/v1/models/tiny:predict", json=body)
        predictions = np.array(answer.json["predictions"], np.float32)
        assert (predictions == floats_of(picture(latents[:rows]))).all()
        assert len(threads) == (rows > 2)


def test_predict_is_read_whole_before_anything_is_drawn(http):
    body = json.dumps({"instances": [[0.5] * 100]})
    told(http.post(PREDICT, data="{}"), 400)
    told(http.post(PREDICT, data=body[:-1]), 400)
    told(http.post(PREDICT, data=body), 500)  # the client that stands in draws nothing


def test_model_that_draws_no_float_images_is_told_as_not_implemented(tiny, engines, monkeypatch):
    entry = replace(engines.find(), float_plan="", no_floats="CARFRONT_FLOAT_IMAGES is no")
    monkeypatch.setattr(engines, "find", lambda name, version=None: entry)
    answer = tiny.post("/v1/models/tiny:predict", json={"instances": LATENTS.tolist()})
    assert "tiny/1 draws no float images: CARFRONT_FLOAT_IMAGES is no" in told(answer, 501)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PREDICT, 405),
        ("POST", "/v1/models/cars-dcgan", 405),
        ("GET", "/v1/models/cars-dcgan/versions/1:predict", 405),
        ("POST", "/v1/models/lorry:predict", 404),
        ("POST", "/v1/models/cars-dcgan/versions/9:predict", 404),
        ("POST", "/v1/models/cars-dcgan/versions/one:predict", 404),
        ("POST", "/v1/models/cars-dcgan/labels/stable:predict", 404),
        ("GET", "/v1/models/lorry", 404),
        ("GET", "/v1/models/lorry/metadata", 404),
        ("GET", "/v1/models/cars-dcgan/versions/9", 404),
        ("GET", "/v1/models/cars-dcgan/versions/9/metadata", 404),
        ("POST", "/v1/models/cars-dcgan:classify", 404),
    ],
)
def test_what_is_not_there_is_told_as_tensorflow_serving_does(http, method, path, status):
    told(http.open(path, method=method, data=b"{}"), status)


def test_images_below_the_same_path_have_problems_still(http):
    answer = http.get("/v1/models/cars-dcgan/versions/9/images/7.png")
    assert answer.content_type == "application/problem+json"


def test_status_tells_every_version_the_newest_first(http):
    document = http.get("/v1/models/cars-dcgan").json
    assert document["ready"] is True
    states = [(x["version"], x["state"]) for x in document["model_version_status"]]
    assert states == [("2", "END"), ("1", "AVAILABLE")]
    (one,) = http.get("/v1/models/cars-dcgan/versions/1").json["model_version_status"]
    assert one["status"] == {"error_code": "OK", "error_message": ""}


def test_metadata_has_the_signature_with_sizes_as_texts(http):
    document = http.get("/v1/models/cars-dcgan/metadata").json
    assert document["model_spec"] == {"name": "cars-dcgan", "signature_name": "", "version": "1"}
    signature = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    latents = signature["inputs"]["latents"]["tensor_shape"]["dim"]
    assert [x["size"] for x in latents] == ["-1", "100"]
    (images,) = signature["outputs"].values()
    assert [x["size"] for x in images["tensor_shape"]["dim"]] == ["-1", "32", "32", "3"]
