"""The repository's calls: whose body counts, who may do what, and what is told."""

import gzip
from dataclasses import replace

import pytest

from server.app import create_app
from server.config import ServerConfig
from server.errors import LoadFailed

ADMIN = {"Authorization": "Bearer s3cret"}
ANY_TYPE = [None, "application/x-www-form-urlencoded", "text/plain", "application/json", "nonsense"]
"""The Content-Types of clients: ``curl -d`` sends the second, Triton's own clients none."""


@pytest.mark.parametrize("content_type", ANY_TYPE)
@pytest.mark.parametrize("action", ["load", "unload"])
def test_body_counts_whatever_its_type(http, client, content_type, action):
    response = http.post(
        f"/v2/repository/models/cars-dcgan/{action}",
        headers=ADMIN,
        data='{"parameters": {"version": "1"}}',
        content_type=content_type,
    )
    assert (response.status_code, response.json) == (200, {})
    assert client.done == [(action, "cars-dcgan", "1")]


@pytest.mark.parametrize("content_type", ANY_TYPE)
def test_body_of_the_index_counts_whatever_its_type(http, content_type):
    listed = http.post("/v2/repository/index", data='{"ready": true}', content_type=content_type)
    assert [x["version"] for x in listed.json] == ["1"]


@pytest.mark.parametrize("content_type", ANY_TYPE)
@pytest.mark.parametrize(
    "body",
    ["{", "[" * 60000, "9" * 5000, '{"ready": NaN}', "\ud800".encode("utf-8", "surrogatepass")],
)
def test_body_that_is_no_json_is_a_400_that_names_it(http, client, body, content_type):
    for path in ("index", "models/cars-dcgan/load", "models/cars-dcgan/unload"):
        response = http.post(
            f"/v2/repository/{path}", headers=ADMIN, data=body, content_type=content_type
        )
        assert response.status_code == 400
        assert response.content_type == "application/json"
        assert list(response.json) == ["error"]
        assert response.json["error"].startswith("body is ")
    assert not client.done


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("cars-dcgan", {"version": "9"}, 404, "there is no model 'cars-dcgan/9'"),
        ("lorries", {}, 404, "there is no model 'lorries'"),
        ("cars-dcgan", {"version": "2"}, 400, "nothing to unload: model cars-dcgan/2 is unavail"),
        ("vans", {}, 404, "there is no model 'vans'"),
        ("vans", {"version": "3"}, 400, "nothing to unload: model vans/3 is unavailable"),
    ],
)
def test_unload_of_what_is_not_there_unloads_nothing(http, client, path, body, status, told):
    response = http.post(
        f"/v2/repository/models/{path}/unload", headers=ADMIN, json={"parameters": body}
    )
    assert response.status_code == status
    assert told in response.json["error"]
    assert not client.done


def test_what_was_asked_for_and_failed_since_may_be_unloaded(http, client):
    client.catalog = replace(client.catalog, asked=("vans/3",))
    for body in ({"version": "3"}, {}):
        path = "/v2/repository/models/vans/unload"
        assert http.post(path, headers=ADMIN, json={"parameters": body}).status_code == 200
    assert len(client.done) == 2


@pytest.mark.parametrize("name", ["config", "file:1/model.onnx"])
def test_bundle_that_a_caller_would_alter_is_not_loaded_as_it_is(http, client, name):
    body = {"parameters": {name: "{}"}}
    response = http.post("/v2/repository/models/cars-dcgan/load", headers=ADMIN, json=body)
    assert response.status_code == 400
    assert response.json["error"].startswith("parameters is ")
    assert not client.done


def test_compressed_body_is_read(http):
    body = gzip.compress(b'{"ready": true}')
    fields = {"Content-Encoding": "gzip"}
    listed = http.post("/v2/repository/index", data=body, headers=fields)
    assert [x["version"] for x in listed.json] == ["1"]
    assert http.post("/v2/repository/index", data=b"{}", headers=fields).status_code == 400


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("lorries", {}, 404), ("cars-dcgan", {"version": "9"}, 404), ("vans", {}, 400)],
)
def test_load_of_what_the_repository_has_not_is_a_404(
    http, client, monkeypatch, path, body, status
):
    def fail(*_):
        raise LoadFailed("there is no such bundle")

    monkeypatch.setattr(client, "administer", fail)
    asked = {"headers": ADMIN, "json": {"parameters": body}}
    assert http.post(f"/v2/repository/models/{path}/load", **asked).status_code == status


def test_parameters_that_all_clients_send_are_no_matter(http, client):
    body = {"parameters": {"unload_dependents": False}}
    path = "/v2/repository/models/cars-dcgan/unload"
    assert http.post(path, headers=ADMIN, json=body).status_code == 200


@pytest.mark.parametrize("token", ["s3cret", "pass wort", "schlüssel", "鍵", "a+b/c=="])
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_token_of_any_letters_is_heard_whatever_the_case_of_bearer(client, token, scheme):
    http = create_app(ServerConfig(admin_token=token), client).test_client()

    def ask(given):
        on_the_wire = given.encode().decode("latin-1")
        path = "/v2/repository/models/cars-dcgan/load"
        return http.post(path, environ_overrides={"HTTP_AUTHORIZATION": on_the_wire}).status_code

    assert ask(scheme + token) == 200
    assert ask(scheme + token + "x") == 401
    assert ask(scheme + "ü") == 401
    assert ask(token) == 401
    assert ask("Basic " + token) == 401


def test_reasons_show_nobody_where_the_server_keeps_its_files(http):
    listed = {x["version"]: x["reason"] for x in http.post("/v2/repository/index").json}
    assert listed["2"].startswith("manifest.json cannot be read: '")
    assert "/srv" not in listed["2"]
    unavailable = http.get("/v1/models/cars-dcgan/versions/2/images/7.png")
    assert unavailable.status_code == 503
    assert "manifest.json cannot be read" in unavailable.json["detail"]
    assert "/srv" not in unavailable.text
