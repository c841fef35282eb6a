"""What is answered before Flask, and what is left to it; that both answer alike is in test_app."""

import io
import json

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from server.api.fast_path import ShortCut, wanted_by
from server.api.images import ERROR, Draw, Drawn
from server.errors import InferenceFailed
from server.observability.tracing import Traced

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
        (get("/v1/images/7.png"), Draw(1, 7, "png")),
        (post({"n": 2, "seed": 7, "format": "npy"}), Draw(2, 7, "npy")),
        (post({"seed": 7, "model": "cars", "version": "2"}), Draw(1, 7, "png", "cars", "2")),
    ],
    ids=["get", "post", "post-model"],
)
def test_plain_request_is_answered_here(environ, wanted):
    assert wanted_by(environ, MAX_BODY) == wanted


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
    assert wanted_by(environ, MAX_BODY) is None
    if body:
        assert environ["wsgi.input"].read() == body


def test_body_in_chunks_is_not_touched():
    environ = post({"seed": 1})
    del environ["CONTENT_LENGTH"]
    assert wanted_by(environ, MAX_BODY) is None
    assert environ["wsgi.input"].tell() == 0


def test_body_that_is_cut_off_is_left_to_flask():
    class CutOff:
        def read(self, size):
            raise OSError("the caller is gone")

    environ = post({"seed": 1})
    environ["wsgi.input"] = CutOff()
    assert wanted_by(environ, MAX_BODY) is None


ERRORS = {13: InferenceFailed(), 14: ZeroDivisionError()}
"""Seeds that cannot be drawn, and why."""


class Artist:
    def draw(self, wanted, environ):
        if error := ERRORS.get(wanted.seed):
            raise error
        return Drawn(b"picture", [("Content-Length", "7")])


@pytest.mark.parametrize("body", [None, {"seed": 7}])
def test_answer_is_the_drawn_one_with_the_requests_name(body):
    environ = get("/v1/images/7.png") if body is None else post(body)
    environ["HTTP_X_REQUEST_ID"] = "mine"
    sent = []
    answer = ShortCut(Artist(), None, MAX_BODY)(environ, lambda *head: sent.append(head))
    assert list(answer) == [b"picture"]
    assert sent == [("200 OK", [("Content-Length", "7"), ("X-Request-Id", "mine")])]


@pytest.mark.parametrize("environ", [get("/v1/images/13.png"), post({"seed": 13})])
def test_error_of_ours_is_told_here(environ):
    sent = []
    (body,) = ShortCut(Artist(), None, MAX_BODY)(environ, lambda *head: sent.append(head))
    assert json.loads(body)["instance"] == environ["PATH_INFO"]
    ((status, fields),) = sent
    assert status == "500 Internal Server Error"
    assert dict(fields)["Content-Type"] == "application/problem+json"
    assert dict(fields)["Content-Length"] == str(len(body))


@pytest.mark.parametrize("environ", [get("/v1/images/14.png"), post({"seed": 14})])
def test_bug_is_flasks_to_tell(environ):
    def flask(environ, start_response):
        assert isinstance(environ[ERROR], ZeroDivisionError)
        return [b"problem"]

    assert ShortCut(Artist(), flask, MAX_BODY)(environ, None) == [b"problem"]


@pytest.mark.parametrize(
    ("method", "called"),
    [("GET", "GET"), ("PATCH", "PATCH"), ("BREW", "_OTHER"), ("get", "_OTHER"), ("", "_OTHER")],
)
def test_method_that_http_does_not_know_is_called_other_in_traces_too(method, called):
    def flask(environ, start_response):
        assert environ["REQUEST_METHOD"] == called
        start_response("405 Method Not Allowed", [])
        return []

    exporter = InMemorySpanExporter()
    traced = Traced(ShortCut(Artist(), flask, MAX_BODY), exporter)
    traced({"REQUEST_METHOD": method, "PATH_INFO": "/"}, lambda *_: None)
    traced.close()
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.attributes["http.request.method"]) == (called, called)
