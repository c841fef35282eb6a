"""Whatever is refused, and whoever refuses it, is told in the protocol's form and in our words."""

import json

import pytest

from server.observability.logs import JsonLines

JSON = {"content_type": "application/json"}


def check_form(response, path):
    """Check that an error has the form of its protocol, and return the sentence in it."""
    assert "X-Request-Id" in response.headers
    if path.startswith("/v2"):
        assert response.content_type == "application/json"
        assert list(response.json) == ["error"]
        return response.json["error"]
    assert response.content_type == "application/problem+json"
    assert response.json["status"] == response.status_code
    assert response.json["instance"] == path
    return response.json["detail"]


@pytest.mark.parametrize(
    ("method", "path", "kwargs", "status", "told"),
    [
        ("GET", "/v1/nothing", {}, 404, "path is '/v1/nothing'; wanted one of those that GET / "),
        ("GET", "/v2/nothing", {}, 404, "path is '/v2/nothing'; wanted one of"),
        ("PUT", "/v2", {}, 405, "method is 'PUT'; wanted GET or HEAD or OPTIONS"),
        ("PUT", "/v1/images/7.png", {}, 405, "method is 'PUT'; wanted GET or HEAD or OPTIONS"),
        ("GET", "/v2/repository/index", {}, 405, "method is 'GET'; wanted OPTIONS or POST"),
        ("POST", "/v1/images", {"data": "{}"}, 415, "Content-Type is ''; wanted application/json"),
        ("POST", "/v1/images", {"data": "{", **JSON}, 400, "body is '{'; wanted JSON"),
        ("POST", "/v1/images", {"data": "[" * 9999, **JSON}, 400, "wanted JSON that is nested"),
        ("POST", "/v2/repository/index", {"data": "{"}, 400, "body is '{'; wanted JSON"),
        ("GET", "/healthz", {"headers": {"Host": "a" * 64}}, 400, "; wanted the name of a host"),
    ],
)
def test_what_is_refused_is_told_in_our_words(http, method, path, kwargs, status, told):
    response = http.open(path, method=method, **kwargs)
    assert response.status_code == status
    assert told in check_form(response, path)
    assert (status == 405) == ("Allow" in response.headers)


@pytest.mark.parametrize(
    ("path", "coding", "wanted"),
    [
        ("/v1/images", "gzip", "identity"),
        ("/v2/repository/index", "br", "gzip, deflate or identity"),
    ],
)
def test_body_in_a_coding_that_is_not_read_is_a_415(http, path, coding, wanted):
    headers = {"Content-Encoding": coding}
    response = http.post(path, data=b"\x1f\x8b", headers=headers, **JSON)
    assert response.status_code == 415
    told = check_form(response, path)
    assert told == f"Content-Encoding is '{coding}'; wanted {wanted}"
    assert response.headers["Accept-Encoding"] == wanted.replace(" or", ",")


VERSIONED = "/v1/models/cars-dcgan/versions/1/images/7.png"
ROUTES = ("/", "/v1/images/7.png", "/healthz", "/readyz", "/metrics", "/v2/repository/index")


@pytest.mark.parametrize("path", ["", *(f"/{x}" for x in ROUTES), *(f"{x}/" for x in ROUTES)])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_path_that_is_none_is_not_redirected_to_the_host_that_was_sent(http, path, method):
    for asked in (path, path.replace("/", "//")):
        sent = {"PATH_INFO": asked, "HTTP_HOST": "evil.example"}
        response = http.open("/", method=method, environ_overrides=sent)
        assert response.status_code == 404
        assert response.json.get("instance", asked) == asked
        assert "Location" not in response.headers
        assert "evil" not in response.text


def test_wish_for_a_websocket_is_ignored(http):
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    assert http.get("/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/images/7.png", "/v1/models/cars-dcgan/versions/1/images/7.png"]
)
def test_bug_is_a_500_with_one_line_in_the_log_that_names_the_request(http, caplog, path):
    caplog.handler.setFormatter(JsonLines())
    response = http.get(path, headers={"X-Request-Id": "mine"})
    assert response.status_code == 500
    assert response.headers["X-Request-Id"] == "mine"
    assert "its log says" in check_form(response, path)
    assert "a bug" not in response.text
    (line,) = caplog.text.splitlines()
    logged = json.loads(line)
    assert (logged["level"], logged["request_id"]) == ("error", "mine")
    assert logged["message"] == f"unhandled error for {path!r}"
    assert "ZeroDivisionError: a bug" in logged["exception"]


def test_bug_below_v2_is_told_in_its_form(http, client, monkeypatch, caplog):
    monkeypatch.setattr(client, "catalog", None)
    response = http.post("/v2/repository/index")
    assert response.status_code == 500
    assert "its log says" in check_form(response, "/v2/repository/index")
    assert len(caplog.records) == 1


def test_bug_is_counted_for_its_route(http):
    http.get(VERSIONED)
    text = http.get("/metrics").text
    assert 'route="/v1/models/<name>/versions/<version>/images/<seed>.png",status="500"' in text
