"""Every route of the Open Inference Protocol, down to an engine whose model is plain arithmetic."""

import gzip
import json
import tomllib
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests_engine import (
    connect,
    floats_of,
    picture,
    publish,
    running,
    serving_floats,
    until,
)

from server.api.sources import MAX_N
from server.app import create_app
from server.bundle.manifest import Manifest
from server.config import ServerConfig
from server.errors import QueueFull
from server.queue_state import QueueState

INFER = "/v2/models/tiny/infer"
LATENTS = np.linspace(-2, 2, 16, dtype=np.float32).reshape(2, 8)
IMAGES = picture(LATENTS)
ROOT = Path(__file__).parents[3]


def draw(latents):
    """Draw any finite latents, as generators do."""
    with np.errstate(all="ignore"):
        return picture(latents)


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """The client of an engine that draws 8 latents as 4x4 pixels of RGB."""
    path = tmp_path_factory.mktemp("run") / "engine.sock"
    with running(path, (draw,)) as engine:
        engine.add(serving_floats())
        publish(path, float_plan="openvino/f32")
        client = connect(path)
        until(lambda: client.ready)
        yield client
        client.close()


@pytest.fixture(scope="module")
def http(engines):
    return create_app(ServerConfig(), engines).test_client()


def tensor(latents=LATENTS, **changes):
    facts = {"name": "latents", "datatype": "FP32", "shape": list(latents.shape)}
    return facts | {"data": latents.ravel().tolist()} | changes


def packed(latents=LATENTS, **members):
    """Return a body of JSON with the bytes of latents behind it, and its header fields."""
    facts = tensor(latents, parameters={"binary_data_size": latents.nbytes})
    del facts["data"]
    head = json.dumps({"inputs": [facts], **members}).encode()
    fields = {"Inference-Header-Content-Length": str(len(head))}
    return head + latents.tobytes(), fields


def images_of(answer):
    """Return the document of an answer, and its images."""
    assert answer.status_code == 200, answer.text
    length = answer.headers.get("Inference-Header-Content-Length")
    assert answer.content_type == ("application/octet-stream" if length else "application/json")
    document = json.loads(answer.data[: int(length)] if length else answer.data)
    (output,) = document["outputs"]
    assert (output["name"], output["datatype"]) == ("images", "UINT8")
    numbers = output.get("data")
    if length:
        rest = answer.data[int(length) :]
        assert output["parameters"] == {"binary_data_size": len(rest)}
        assert numbers is None
        numbers = np.frombuffer(rest, np.uint8)
    return document, np.array(numbers, np.uint8).reshape(output["shape"])


BINARY = {"binary_data_output": True}


GZIPPED = gzip.compress(b"{}", mtime=0)


@pytest.mark.parametrize("outputs", [None, [{"name": "images"}]])
@pytest.mark.parametrize("parameters", [{}, BINARY], ids=["json-out", "binary-out"])
def test_json_and_bytes_in_any_combination_give_the_same_images(http, parameters, outputs):
    members = {"parameters": parameters, "outputs": outputs}
    body, fields = packed(**members)
    in_bytes = http.post(INFER, data=body, headers=fields)
    in_json = http.post(INFER, json={"inputs": [tensor()], **members})
    for answer in (in_bytes, in_json):
        document, images = images_of(answer)
        assert (document["model_name"], document["model_version"]) == ("tiny", "1")
        assert images.tolist() == IMAGES.tolist()
        assert ("Inference-Header-Content-Length" in answer.headers) == bool(parameters)


def test_answer_tells_who_drew_it_and_how_long_each_step_took(http):
    answer = http.post(INFER, json={"inputs": [tensor()]})
    assert answer.headers["Carfront-Model"] == "tiny/1"
    assert answer.headers["Carfront-Plan"] == "cpu/f32"
    steps = [x.split(";")[0] for x in answer.headers["Server-Timing"].split(", ")]
    assert steps == ["queue", "infer", "encode"]


def test_many_images_are_whole_in_json_and_in_bytes(http):
    latents = np.random.default_rng(7).standard_normal((200, 8), np.float32)
    for parameters in ({}, BINARY):
        answer = http.post(INFER, json={"inputs": [tensor(latents)], "parameters": parameters})
        assert (images_of(answer)[1] == picture(latents)).all()


def test_id_is_the_first_thing_that_is_repeated(http):
    assert images_of(http.post(INFER, json={"id": "a7", "inputs": [tensor()]}))[0]["id"] == "a7"
    assert "id" not in images_of(http.post(INFER, json={"id": "", "inputs": [tensor()]}))[0]


def test_body_may_be_the_latents_alone(http):
    octets = {"Content-Type": "application/octet-stream"}
    for fields in (octets, {"Inference-Header-Content-Length": "0"}):
        answer = http.post(INFER, data=LATENTS.tobytes(), headers=fields)
        assert images_of(answer)[1].tolist() == IMAGES.tolist()
        assert "Inference-Header-Content-Length" in answer.headers
    odd = http.post(INFER, data=LATENTS.tobytes()[:-1], headers=octets)
    assert odd.status_code == 400
    assert "a multiple of 32" in odd.json["error"]


@pytest.mark.parametrize(
    "content_type",
    [None, "application/x-www-form-urlencoded", "text/plain", "application/octet-stream", "x"],
)
def test_json_counts_whatever_its_content_type(http, content_type):
    body = json.dumps({"inputs": [tensor()]})
    assert images_of(http.post(INFER, data=body, content_type=content_type))[1].size == IMAGES.size


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip", lambda x: gzip.compress(x[:50]) + gzip.compress(x[50:])),
        ("deflate", zlib.compress),
        ("identity", bytes),
    ],
)
def test_body_is_read_in_its_coding(http, coding, compress):
    body, fields = packed()
    for data, more in ((body, fields), (json.dumps({"inputs": [tensor()]}).encode(), {})):
        answer = http.post(INFER, data=compress(data), headers=more | {"Content-Encoding": coding})
        assert images_of(answer)[1].tolist() == IMAGES.tolist()
        assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("coding", "data", "status"),
    [
        ("gzip", b"{}", 400),
        ("gzip", GZIPPED[:-1], 400),
        ("gzip", GZIPPED + b"x", 400),
        ("deflate", zlib.compress(b"{}") + b"x", 400),
        ("deflate", zlib.compress(b"{}")[2:-4], 400),
        ("br", b"{}", 415),
        ("gzip, gzip", gzip.compress(GZIPPED, mtime=0), 415),
        ("gzip", gzip.compress(bytes(17 * 2**20), mtime=0), 413),
    ],
    ids=["bare", "short", "more", "more deflated", "raw", "brotli", "twice", "long"],
)
def test_body_that_is_not_in_its_coding_or_too_long_in_it_is_refused(http, coding, data, status):
    answer = http.post(INFER, data=data, headers={"Content-Encoding": coding})
    told(answer, status)


def told(answer, status):
    """Check that an error is the protocol's, and return its words."""
    assert answer.status_code == status
    assert answer.content_type == "application/json"
    assert list(answer.json) == ["error"]
    words = answer.json["error"]
    assert type(words) is str
    assert len(words) > 5
    return words


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nope", 404),
        ("GET", "/v2//models", 404),
        ("POST", "/v2/models/lorry/infer", 404),
        ("POST", "/v2/models/tiny/versions/9/infer", 404),
        ("POST", "/v2/models/tiny/versions/0/infer", 404),
        ("POST", "/v2/models/tiny/versions/01/infer", 404),
        ("POST", "/v2/models/tiny/versions/-1/infer", 404),
        ("POST", "/v2/models/tiny/versions/latest/infer", 404),
        ("POST", "/v2/models/tiny/versions//infer", 404),
        ("POST", "/v2/models//infer", 404),
        ("POST", "/v2/models/%FF/infer", 404),
        ("GET", "/v2/models/lorry", 404),
        ("GET", "/v2/models/lorry/ready", 404),
        ("GET", "/v2/models/lorry/config", 404),
        ("GET", "/v2/models/lorry/stats", 404),
        ("GET", "/v2/models/tiny/versions/9", 404),
        ("GET", "/v2/models/tiny/versions/one/ready", 404),
        ("GET", "/v2/models/tiny/versions/9/config", 404),
        ("GET", "/v2/models/tiny/versions/9/stats", 404),
        ("GET", "/v2/systemsharedmemory/status", 404),
        ("POST", "/v2/trace/setting", 404),
        ("GET", INFER, 405),
        ("PUT", INFER, 405),
        ("POST", "/v2/models/tiny", 405),
        ("POST", "/v2/health/live", 405),
        ("POST", "/v2/models/tiny/ready", 405),
        ("GET", "/v2/repository/index", 405),
        ("DELETE", "/v2", 405),
    ],
)
def test_what_is_not_there_is_told_in_the_protocols_words(http, method, path, status):
    answer = http.open(path, method=method, json={"inputs": [tensor()]})
    told(answer, status)
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("rows", "told_"), [(0, "rows of latents is 0"), (MAX_N + 1, "rows of latents is 4097")]
)
def test_more_rows_than_the_config_says_are_refused(http, rows, told_):
    assert http.get("/v2/models/tiny/config").json["max_batch_size"] == MAX_N
    body, fields = packed(np.zeros((rows, 8), np.float32))
    words = told(http.post(INFER, data=body, headers=fields), 400)
    assert words.startswith(told_)


def test_all_rows_that_the_config_says_are_drawn(http):
    latents = np.random.default_rng(7).standard_normal((MAX_N, 8), np.float32)
    body, fields = packed(latents, parameters=BINARY)
    patient = {"X-Request-Timeout-Ms": "600000"}
    assert (
        images_of(http.post(INFER, data=body, headers=fields | patient))[1] == picture(latents)
    ).all()


def test_terms_of_a_request_are_its_headers_or_its_parameters(http, engines, monkeypatch):
    asked = []
    generate = engines.generate

    def note(source, terms, *model):
        asked.append((terms.timeout_s, terms.bulk))
        return generate(source, terms, *model)

    monkeypatch.setattr(engines, "generate", note)
    fields = {"X-Request-Timeout-Ms": "9000", "Carfront-Priority": "bulk"}
    for timeout in (0, 4_000_000, 99_000_000):
        document = {"inputs": [tensor()], "parameters": {"timeout": timeout}}
        assert http.post(INFER, json=document, headers=fields).status_code == 200
    assert asked == [(9.0, True), (4.0, True), (9.0, True)]
    told(http.post(INFER, json={"inputs": [tensor()]}, headers={"Carfront-Priority": "x"}), 400)


def test_full_queue_is_told_with_when_to_come_again(http, engines, monkeypatch):
    def refuse(*_):
        raise QueueFull(QueueState(9, 8, 3.0, 2.5))

    monkeypatch.setattr(engines, "generate", refuse)
    answer = http.post(INFER, json={"inputs": [tensor()]})
    assert "images are waiting" in told(answer, 503)
    assert answer.headers["Retry-After"] == "3"


def test_fault_of_the_server_is_told_as_the_protocol_has_it(http, engines, monkeypatch):
    monkeypatch.setattr(engines, "generate", lambda *_: 1 / 0)
    told(http.post(INFER, json={"inputs": [tensor()]}), 500)


# documents


def test_server_tells_its_extensions_with_and_without_a_slash(http):
    for path in ("/v2", "/v2/"):
        answer = http.get(path)
        assert answer.status_code == 200
        assert answer.json["name"] == "carfront"
        assert "binary_tensor_data" in answer.json["extensions"]


def test_version_of_the_server_is_the_projects(http):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert http.get("/v2").json["version"] == project["version"]


@pytest.mark.parametrize("versions", ["", "/versions/1"])
def test_model_tells_its_tensors(http, versions):
    assert http.get(f"/v2/models/tiny{versions}").json == {
        "name": "tiny",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "latents", "datatype": "FP32", "shape": [-1, 8]}],
        "outputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, 4, 4, 3]}],
    }


@pytest.mark.parametrize("versions", ["", "/versions/1"])
def test_config_has_sizes_without_the_batch(http, versions):
    config = http.get(f"/v2/models/tiny{versions}/config").json
    assert config["input"] == [{"name": "latents", "data_type": "TYPE_FP32", "dims": [8]}]
    assert config["output"] == [{"name": "images", "data_type": "TYPE_UINT8", "dims": [4, 4, 3]}]
    assert "dynamic_batching" in config


def test_config_tells_what_data_sets_keep_of_a_model(http):
    parameters = http.get("/v2/models/tiny/config").json["parameters"]
    assert parameters["seed_rule"] == {"string_value": "1"}
    assert len(parameters["bundle"]["string_value"]) == 16


def test_names_are_percent_decoded(http):
    assert http.get("/v2/models/t%69ny").json["name"] == "tiny"
    assert http.post("/v2/models/t%69ny/infer", json={"inputs": [tensor()]}).status_code == 200


def test_models_are_listed(http):
    assert http.get("/v2/models").json == {"models": ["tiny"]}


def test_health_is_a_body_and_a_status(http, engines, monkeypatch):
    assert http.get("/v2/health/live").json == {"live": True}
    assert http.get("/v2/health/ready").json == {"ready": True}
    assert http.get("/v2/models/tiny/ready").json == {"name": "tiny", "ready": True}
    monkeypatch.setattr(type(engines), "ready", False)
    assert http.get("/v2/health/live").status_code == 200
    answer = http.get("/v2/health/ready")
    assert (answer.status_code, answer.json) == (503, {"ready": False})
    answer = http.get("/v2/models/tiny/ready")
    assert answer.status_code == 503
    assert not answer.json["ready"]
    assert answer.json["error"]


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/tiny"])
def test_head_is_answered_as_get_without_the_body(http, path):
    answer = http.head(path)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.content_length == len(http.get(path).data)


@pytest.mark.parametrize("path", ["/tiny/stats", "/tiny/versions/1/stats", "/stats"])
def test_statistics_count_what_was_answered_and_what_was_not(http, path):
    def statistics():
        (found,) = http.get(f"/v2/models{path}").json["model_stats"]
        assert (found["name"], found["version"]) == ("tiny", "1")
        return found

    before = statistics()
    assert http.post(INFER, json={"inputs": [tensor()]}).status_code == 200
    assert http.post(INFER, json={"inputs": []}).status_code == 400
    after = statistics()
    assert after["inference_count"] == before["inference_count"] + 2
    assert after["last_inference"] > 1_700_000_000_000
    for step in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"):
        was, now = before["inference_stats"][step], after["inference_stats"][step]
        assert now["count"] == was["count"] + 1, step
        assert now["ns"] >= was["ns"]
    steps = ("queue", "compute_input", "compute_infer", "compute_output")
    assert after["inference_stats"]["success"]["ns"] >= sum(
        after["inference_stats"][step]["ns"] for step in steps
    )


# whatever comes

VALUES = st.floats(width=32) | st.floats() | st.integers() | st.none() | st.booleans() | st.text()
TENSORS = st.fixed_dictionaries(
    {
        "name": st.just("latents"),
        "datatype": st.just("FP32"),
        "shape": st.just([1, 8]) | st.just([2, 8]) | st.lists(st.integers(), max_size=3),
    },
    optional={
        "data": st.lists(VALUES, min_size=8, max_size=8) | st.lists(st.lists(VALUES, max_size=8)),
        "parameters": st.fixed_dictionaries({"binary_data_size": st.just(32) | st.integers()}),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    document=st.fixed_dictionaries({"inputs": st.lists(TENSORS, min_size=1, max_size=2)}),
    binary=st.binary(max_size=64) | st.just(bytes(32)),
    coding=st.sampled_from(["", "gzip", "deflate"]),
    length=st.none() | st.integers(-1, 200).map(str),
)
def test_no_request_is_more_than_the_server_can_tell(http, document, binary, coding, length):
    head = json.dumps(document).encode()
    fields = {"Inference-Header-Content-Length": length or str(len(head))}
    if coding:
        fields["Content-Encoding"] = coding
    for body in (head + binary, zlib.compress(head + binary), gzip.compress(head + binary)):
        answer = http.post(INFER, data=body, headers=fields)
        if answer.status_code == 200:
            images_of(answer)
        else:
            told(answer, 400)


FLOATS = floats_of(IMAGES)
FLOAT_OUTPUT = {"name": "images_float"}


def outputs_of(answer):
    """Return the arrays of an answer by their names, in the order of the answer."""
    assert answer.status_code == 200, answer.text
    length = answer.headers.get("Inference-Header-Content-Length")
    document = json.loads(answer.data[: int(length)] if length else answer.data)
    rest, found = answer.data[int(length) :] if length else b"", {}
    for output in document["outputs"]:
        dtype = {"UINT8": np.uint8, "FP32": np.float32}[output["datatype"]]
        if size := output.get("parameters", {}).get("binary_data_size"):
            numbers, rest = np.frombuffer(rest[:size], dtype), rest[size:]
        else:
            numbers = np.array(output["data"], dtype)
        found[output["name"]] = numbers.reshape(output["shape"])
    assert rest == b""
    return found


@pytest.mark.parametrize("parameters", [None, BINARY])
def test_float_images_are_had_as_json_and_as_bytes_with_every_bit(http, parameters):
    members = {"parameters": parameters, "outputs": [FLOAT_OUTPUT]}
    answer = http.post(INFER, json={"inputs": [tensor()], **members})
    assert answer.headers["Carfront-Plan"] == "openvino/f32"
    assert (outputs_of(answer)["images_float"] == FLOATS).all()


def test_both_outputs_in_one_request_are_of_the_same_latents_each_in_its_form(http):
    outputs = [{**FLOAT_OUTPUT, "parameters": {"binary_data": True}}, {"name": "images"}]
    found = outputs_of(http.post(INFER, json={"inputs": [tensor()], "outputs": outputs}))
    assert list(found) == ["images_float", "images"]
    assert (found["images_float"] == FLOATS).all()
    assert (found["images"] == IMAGES).all()


def test_second_output_is_drawn_by_the_version_that_drew_the_first(http, engines, monkeypatch):
    generate, asked = engines.generate, []

    def noted(source, terms, name, version, *more):
        asked.append((name, version))
        return generate(source, terms, name, version, *more)

    monkeypatch.setattr(engines, "generate", noted)
    outputs = [FLOAT_OUTPUT, {"name": "images"}]
    outputs_of(http.post(INFER, json={"inputs": [tensor()], "outputs": outputs}))
    assert asked == [("tiny", None), ("tiny", "1")]


def test_late_second_output_is_late(http, monkeypatch):
    ticks = iter([0.0, 0.0, 0.0, 99.0])
    monkeypatch.setattr("server.api.oip_service.perf_counter", lambda: next(ticks, 99.0))
    outputs = [FLOAT_OUTPUT, {"name": "images"}]
    answer = http.post(INFER, json={"inputs": [tensor()], "outputs": outputs})
    assert answer.status_code == 504


def test_more_float_images_than_the_arena_holds_are_refused_in_words(http, engines, monkeypatch):
    monkeypatch.setattr(engines, "most_rows", lambda entry, *given, floats=False: 2 - floats)
    document = {"inputs": [tensor()], "outputs": [FLOAT_OUTPUT]}
    answer = http.post(INFER, json=document)
    assert answer.status_code == 400
    assert "rows of latents is 2; wanted from 1 to 1" in answer.json["error"]
    assert http.post(INFER, json={"inputs": [tensor()]}).status_code == 200


def test_float_images_in_json_have_a_limit_of_their_own(http, monkeypatch):
    monkeypatch.setattr("server.api.oip_service.MOST_JSON", 13 * 4 * 4 * 3)
    document = {"inputs": [tensor()], "outputs": [FLOAT_OUTPUT]}
    answer = http.post(INFER, json=document)
    assert answer.status_code == 400
    assert "rows of latents is 2; wanted from 1 to 1" in answer.json["error"]
    answer = http.post(INFER, json={**document, "parameters": BINARY})
    assert (outputs_of(answer)["images_float"] == FLOATS).all()


def test_model_without_the_graph_has_no_such_output(http, engines, monkeypatch):
    monkeypatch.setattr(Manifest, "has_floats", False)
    document = {"inputs": [tensor()], "outputs": [FLOAT_OUTPUT]}
    answer = http.post(INFER, json=document)
    assert answer.status_code == 400
    assert "tiny/1 has no graph of float images" in answer.json["error"]
