"""Requests are what servers of their protocol take, and answers are held against them."""

import json

import numpy as np
import pytest

from loadtests.answers import Answer, WrongAnswer
from loadtests.capacity.kinds import BODIES, FORMS, Kind, Model, check, requests_of
from tests.loadtests.fakes import FRONT_PAGE, SHAPE, draw, npy_of, png_of, sheet_of

MODEL = Model("cars-dcgan", SHAPE, 100)


def parts(kind, number=5):
    """Return the first line, the header fields and the body of a request."""
    request = requests_of(Kind.parse(kind), MODEL, "http://cars.example:8000", 250.0)(number)
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    named = dict(field.split(": ") for field in fields)
    assert named["Host"] == "cars.example:8000"
    assert named["X-Request-Timeout-Ms"] == "250"
    assert int(named.get("Content-Length", 0)) == len(body)
    return line, named, body


def test_front_page_tells_of_the_model():
    assert Model.of(json.dumps(FRONT_PAGE).encode()) == Model("fake", SHAPE, 100)


@pytest.mark.parametrize("text", ["png", "png:0", "png:4097", "gif:1", "png:-1", ":1", "npy:x"])
def test_what_is_no_kind_is_told_with_what_there_is(text):
    with pytest.raises(ValueError, match="wanted FORM:IMAGES, with one of png, npy, oip"):
        Kind.parse(text)


def test_single_png_has_its_seed_in_its_path():
    assert parts("png:1") == (
        "GET /v1/images/5.png HTTP/1.1",
        {"Host": "cars.example:8000", "X-Request-Timeout-Ms": "250"},
        b"",
    )


@pytest.mark.parametrize("form", ["png", "npy"])
def test_no_two_requests_ask_for_the_same_seed(form):
    seeds = []
    for number in range(3):
        line, fields, body = parts(f"{form}:16", number)
        assert line == "POST /v1/images HTTP/1.1"
        assert fields["Content-Type"] == "application/json"
        asked = json.loads(body)
        assert asked["format"] == form
        seeds += range(asked["seed"], asked["seed"] + asked["n"])
    assert len(set(seeds)) == 48


def test_binary_request_is_a_document_and_as_many_numbers_as_it_says():
    line, fields, body = parts("oip:16")
    size = int(fields["Inference-Header-Content-Length"])
    document, latents = json.loads(body[:size]), np.frombuffer(body[size:], np.float32)
    assert line == "POST /v2/models/cars-dcgan/infer HTTP/1.1"
    assert document["inputs"][0]["shape"] == [16, 100]
    assert document["inputs"][0]["parameters"]["binary_data_size"] == len(body) - size
    assert len(latents) == 1600
    assert 0.9 < latents.std() < 1.1


def test_json_requests_have_the_same_latents():
    document = json.loads(parts("oip-json:4")[2])
    line, _, body = parts("tfserving:4")
    assert line == "POST /v1/models/cars-dcgan:predict HTTP/1.1"
    rows = np.array(json.loads(body)["instances"])
    assert rows.shape == (4, 100)
    assert document["inputs"][0]["data"] == rows.ravel().tolist()


def test_same_number_makes_the_same_request_and_another_another():
    requests = requests_of(Kind("oip", 1), MODEL, "http://cars.example", 250.0)
    assert requests(3) == requests(3 + BODIES)
    assert len({requests(number) for number in range(BODIES)}) == BODIES


def binary(n):
    document = json.dumps({"outputs": [{"name": "images", "shape": [n, *SHAPE]}]}).encode()
    return document + draw(0, n).tobytes(), {"inference-header-content-length": str(len(document))}


GOOD = {
    "png": (png_of(sheet_of(draw(0, 4))), {}),
    "npy": (npy_of(draw(0, 4)), {}),
    "oip": binary(4),
    "oip-json": (
        json.dumps({"outputs": [{"shape": [4, *SHAPE], "data": draw(0, 4).ravel().tolist()}]}),
        {},
    ),
    "tfserving": (json.dumps({"predictions": (draw(0, 4) / 255).tolist()}), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_answers_are_held_against_their_number_of_images_and_their_type(form):
    body, fields = GOOD[form]
    body = body.encode() if isinstance(body, str) else body
    answer = Answer(200, {"content-type": FORMS[form], **fields}, body)
    check(Kind(form, 4), MODEL, answer)
    with pytest.raises(WrongAnswer):
        check(Kind(form, 5), MODEL, answer)
    with pytest.raises(WrongAnswer):
        check(Kind(form, 4), MODEL, Answer(200, {"content-type": "text/html", **fields}, body))
    with pytest.raises(WrongAnswer):
        check(Kind(form, 4), MODEL, Answer(200, answer.headers, body[:-9]))
