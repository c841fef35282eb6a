"""What is answered before Flask, and what is left to it; that both answer alike is in test_app."""

import io
import json

import pytest

from server.api.caching import entity_tag
from server.api.context import CONTEXT, RequestContext
from server.api.fast_path import FastPath
from server.api.generate import EncodedAnswer, Timings
from server.api.images import MANY, ROUTE
from server.api.parameters import ImageParameters
from server.errors import ERROR, InferenceFailed, ProtocolError
from server.ipc.catalog import READY, Entry
from server.ipc.sources import SeedRange


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
    ("environ", "route", "asked"),
    [
        (get("/v1/images/7.png"), ROUTE, (SeedRange(7, 1), None, None, None)),
        (post({"n": 2, "seed": 7, "format": "npy"}), MANY, (SeedRange(7, 2), None, None, None)),
        (
            post({"seed": 7, "model": "cars", "version": "2", "class": 3}),
            MANY,
            (SeedRange(7, 1), "cars", "2", 3),
        ),
    ],
    ids=["get", "post", "post-model"],
)
def test_plain_request_is_answered_here(environ, route, asked):
    images = Images()
    status, _, _ = ask(environ, images=images)
    assert status == "200 OK"
    assert environ[CONTEXT].route == route
    assert images.asked == [asked]


@pytest.mark.parametrize(
    "environ",
    [
        get("/v1/images/-7.png"),
        get("/v1/images/7.png") | {"QUERY_STRING": "truncation=0.7"},
        get("/v1/images//7.png"),
        get("//v1/images/7.png"),
        get("/v1/images/7.jpg"),
        get("/v1/images/.png"),
        get("/v1/images/"),
        get("/metrics"),
        get("/v1/images/7.png") | {"QUERY_STRING": "scale=2"},
        get("/v1/images/7"),
        {"REQUEST_METHOD": "HEAD", "PATH_INFO": "/v1/images/7.png"},
        post({"seed": 1}, PATH_INFO="/v2/repository/index"),
        post({"seed": 1}, CONTENT_TYPE="application/json; charset=utf-8"),
        post({"seed": 1}, CONTENT_TYPE="text/plain"),
        get("/healthz") | {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "upgrade"},
    ],
)
def test_anything_else_is_left_to_flask_with_its_whole_body(environ):
    def flask(environ, start_response):
        assert "HTTP_UPGRADE" not in environ, "Flask has no routes for WebSockets"
        start_response("200 OK", [])
        return [b"Flask"]

    assert ask(environ, flask) == ("200 OK", [], b"Flask")
    if "wsgi.input" in environ:
        assert json.loads(environ["wsgi.input"].read()) == {"seed": 1}


@pytest.mark.parametrize(
    ("environ", "status", "field"),
    [
        (get(f"/v1/images/{2**64}.png"), 400, "seed"),
        (post({"class": True}), 400, "class"),
        (post({"class": ["cat", "dog"]}), 400, "class"),
        (post({"n": 0}), 400, "n"),
        (post({"n": 1, "color": "red"}), 400, "color"),
        (post({"\ud800": "red"}), 400, "\\ud800"),
        (post([1]), 400, "body"),
        (post(b"{"), 400, "body"),
        (post(b""), 400, "body"),
        (post({}, HTTP_CONTENT_ENCODING="gzip"), 415, "Content-Encoding"),
        (post({}, HTTP_ACCEPT="text/html"), 406, "Accept"),
    ],
)
def test_what_is_amiss_in_a_plain_request_is_told_here(environ, status, field):
    line, fields, body = ask(environ)
    assert line.startswith(f"{status} ")
    assert dict(fields)["Content-Type"] == "application/problem+json"
    assert json.loads(body)["field"] == field
    assert "; wanted " in json.loads(body)["detail"]


@pytest.mark.parametrize(
    ("path", "member"), [("/v1/images", "detail"), ("/v2/repository/index", "error")]
)
def test_request_that_could_not_be_read_is_told_in_the_form_of_its_path(path, member):
    line, _, body = ask(get(path) | {ERROR: ProtocolError(413, "the body is too long")})
    assert line == "413 Content Too Large"
    assert json.loads(body)[member] == "the body is too long"


ERRORS = {13: InferenceFailed(), 14: ZeroDivisionError()}
"""Seeds that cannot be drawn, and why."""


CARS = Entry("cars", "1", READY, key=7)
TAG = entity_tag(7, "cpu/f32", SeedRange(7, 1), ImageParameters())


class Images:
    """Stand in for an ``ImageService``."""

    most_images = 4096
    begin = None

    def __init__(self):
        self.asked = []

    def answer(self, source, terms, form, name, version, named):
        self.asked.append((source, name, version, named))
        if error := ERRORS.get(source.seed):
            raise error
        took = Timings(0.001, 0.002, 0.003)
        return EncodedAnswer(b"picture", "cars/1", "cpu/f32", took, CARS)

    def find(self, name, version):
        return CARS

    def plans_of(self, model):
        return ["cpu/f32"]


def ask(environ, app=None, images=None):
    """Return the status, the header fields and the body that the fast path answers."""
    environ[CONTEXT] = RequestContext(environ, 30.0)
    heads = []
    (body,) = FastPath(images or Images(), app)(environ, lambda *head: heads.append(head))
    ((status, fields),) = heads
    return status, fields, body


@pytest.mark.parametrize(
    ("environ", "caching"),
    [
        (get("/v1/images/7.png"), [("ETag", TAG), ("Cache-Control", "public, max-age=60")]),
        (
            get("/v1/images/7.png") | {"HTTP_IF_NONE_MATCH": '"other"'},
            [("ETag", TAG), ("Cache-Control", "public, max-age=60")],
        ),
        (post({"seed": 7}), []),
    ],
    ids=["get", "get-with-another", "post"],
)
def test_answer_is_the_image_with_what_is_known_of_it(environ, caching):
    assert ask(environ) == (
        "200 OK",
        [
            ("Content-Type", "image/png"),
            ("Content-Length", "7"),
            ("Carfront-Model", "cars/1"),
            ("Carfront-Plan", "cpu/f32"),
            ("Carfront-Seed", "7"),
            ("Server-Timing", "queue;dur=1.000, infer;dur=2.000, encode;dur=3.000"),
            *caching,
        ],
        b"picture",
    )


def test_caller_that_has_the_image_is_told_so_and_nothing_is_drawn():
    images = Images()
    environ = get("/v1/images/7.png") | {"HTTP_IF_NONE_MATCH": f'"other", W/{TAG}'}
    fields = [("ETag", TAG), ("Cache-Control", "public, max-age=60")]
    assert ask(environ, images=images) == ("304 Not Modified", fields, b"")
    assert not images.asked
    assert environ[CONTEXT].route == ROUTE


@pytest.mark.parametrize(
    "more", [{"HTTP_X_REQUEST_TIMEOUT_MS": "soon"}, {"HTTP_CARFRONT_PRIORITY": "urgent"}]
)
def test_terms_of_a_caller_that_has_the_image_are_checked_too(more):
    environ = get("/v1/images/7.png") | {"HTTP_IF_NONE_MATCH": TAG} | more
    assert ask(environ)[0] == "400 Bad Request"


@pytest.mark.parametrize("environ", [get("/v1/images/13.png"), post({"seed": 13})])
def test_error_of_ours_is_told_here(environ):
    status, fields, body = ask(environ)
    assert status == "500 Internal Server Error"
    assert json.loads(body)["instance"] == environ["PATH_INFO"]
    assert dict(fields)["Content-Type"] == "application/problem+json"
    assert dict(fields)["Content-Length"] == str(len(body))
    assert dict(fields)["Cache-Control"] == "no-store"


@pytest.mark.parametrize("environ", [get("/v1/images/14.png"), post({"seed": 14})])
def test_bug_is_the_middlewares_to_tell(environ):
    with pytest.raises(ZeroDivisionError):
        ask(environ)
