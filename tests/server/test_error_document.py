"""Errors have the form of the protocol that was spoken."""

import json

import pytest

from server.error_document import error_document


@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/",
        "/v2/nothing",
        "/v2/a\nb",
        "/v2/repository/index",
        "/v1/models/cars",
        "/v1/models/cars:predict",
        "/v1/models/cars/versions/2/metadata",
    ],
)
def test_error_of_the_inference_protocol_is_one_sentence(path):
    line, fields, body = error_document(404, path, "no such path", facts={"field": "path"})
    assert line == "404 Not Found"
    assert json.loads(body) == {"error": "no such path"}
    assert fields == [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]


@pytest.mark.parametrize(
    "path",
    ["", "/", "/v1/images", "/v22", "//v2", "/V2/x", "*", "/v1/models/a/versions/2/images/7.png"],
)
def test_any_other_error_is_a_problem_document(path):
    line, fields, body = error_document(499, path, "gone", headers=[("Retry-After", "1")])
    assert line == "499 Unknown"
    assert fields == [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Retry-After", "1"),
    ]
    assert json.loads(body) == {
        "type": "urn:carfront:problem:unknown",
        "title": "Unknown",
        "status": 499,
        "detail": "gone",
        "instance": path,
    }
