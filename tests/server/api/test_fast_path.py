"""What is answered before Flask, and what is left to it; that both answer alike is in test_app."""

import io
import json

import pytest

from server.api.context import CONTEXT, RequestContext
from server.api.fast_path import FastPath, parse
from server.api.generate import EncodedAnswer, Timings
from server.api.images import ERROR, MANY, ROUTE, ImageRequest
from server.errors import InferenceFailed
from server.ipc.messages import SeedRange

MAX_BODY = 100


def get(path):
    return {"REQUEST_METHOD": "GET", "PATH_INFO": path}


def post(body, **more):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/images",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.input": io.BytesIO(data),
    } | more


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        (get("/v1/images/7.png"), (ROUTE, ImageRequest(SeedRange(7, 1), "png"))),
        (
            post({"n": 2, "seed": 7, "format": "npy"}),
            (MANY, ImageRequest(SeedRange(7, 2), "npy")),
        ),
        (
            post({"seed": 7, "model": "cars", "version": "2"}),
            (MANY, ImageRequest(SeedRange(7, 1), "png", "cars", "2")),
        ),
    ],
    ids=["get", "post", "post-model"],
)
def test_plain_request_is_answered_here(environ, wanted):
    assert parse(environ, MAX_BODY) == wanted


@pytest.mark.parametrize(
    "environ",
    [
        get("/v1/images/-7.png"),
        get("/v1/images/7.jpg"),
        get("/v1/images/"),
        get("/metrics"),
        {"REQUEST_METHOD": "HEAD", "PATH_INFO": "/v1/images/7.png"},
        post({"n": 0}),
        post({"n": 1, "color": "red"}),
        post(b"{"),
        post(b"\xff"),
        post([1]),
        post({"seed": 1}, PATH_INFO="/v2/repository/index"),
        post({"seed": 1}, CONTENT_TYPE="application/json; charset=utf-8"),
        post({"seed": 1}, CONTENT_TYPE="text/plain"),
        post(b'{"seed": 1}' + b" " * MAX_BODY),
    ],
)
def test_anything_else_is_left_to_flask_with_its_whole_body(environ):
    body = environ["wsgi.input"].getvalue() if "wsgi.input" in environ else b""
    assert parse(environ, MAX_BODY)[1] is None
    if body:
        assert environ["wsgi.input"].read() == body


def test_body_in_chunks_is_not_touched():
    environ = post({"seed": 1})
    del environ["CONTENT_LENGTH"]
    assert parse(environ, MAX_BODY)[1] is None
    assert environ["wsgi.input"].tell() == 0


def test_body_that_is_cut_off_is_left_to_flask():
    class CutOff:
        def read(self, size):
            raise OSError("the caller is gone")

    environ = post({"seed": 1})
    environ["wsgi.input"] = CutOff()
    assert parse(environ, MAX_BODY)[1] is None


ERRORS = {13: InferenceFailed(), 14: ZeroDivisionError()}
"""Seeds that cannot be drawn, and why."""


class Images:
    """Stand in for an ``ImageService``."""

    def answer(self, source, *_):
        if error := ERRORS.get(source.seed):
            raise error
        return EncodedAnswer(b"picture", "cars/1", Timings(0.001, 0.002, 0.003))


def ask(environ, app=None):
    """Return the status, the header fields and the body that the fast path answers."""
    environ[CONTEXT] = RequestContext(environ, 30.0)
    heads = []
    (body,) = FastPath(Images(), app, MAX_BODY)(environ, lambda *head: heads.append(head))
    ((status, fields),) = heads
    return status, fields, body


@pytest.mark.parametrize("environ", [get("/v1/images/7.png"), post({"seed": 7})])
def test_answer_is_the_image_with_what_is_known_of_it(environ):
    assert ask(environ) == (
        "200 OK",
        [
            ("Content-Type", "image/png"),
            ("Content-Length", "7"),
            ("Carfront-Model", "cars/1"),
            ("Carfront-Seed", "7"),
            ("Server-Timing", "queue;dur=1.000, infer;dur=2.000, encode;dur=3.000"),
        ],
        b"picture",
    )


@pytest.mark.parametrize("environ", [get("/v1/images/13.png"), post({"seed": 13})])
def test_error_of_ours_is_told_here(environ):
    status, fields, body = ask(environ)
    assert status == "500 Internal Server Error"
    assert json.loads(body)["instance"] == environ["PATH_INFO"]
    assert dict(fields)["Content-Type"] == "application/problem+json"
    assert dict(fields)["Content-Length"] == str(len(body))


@pytest.mark.parametrize("environ", [get("/v1/images/14.png"), post({"seed": 14})])
def test_bug_is_flasks_to_tell(environ):
    def flask(environ, start_response):
        assert isinstance(environ[ERROR], ZeroDivisionError)
        start_response("500 Internal Server Error", [])
        return [b"problem"]

    assert ask(environ, flask) == ("500 Internal Server Error", [], b"problem")
