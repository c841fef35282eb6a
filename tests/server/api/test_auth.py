"""Who may ask: nothing is open that is not listed, whatever routes there are."""

import json
import logging

import pytest
from drawing_client import DrawingClient
from hypothesis import given
from hypothesis import strategies as some
from werkzeug.test import create_environ

from server.api.auth import METRICS, PROBES
from server.app import create_app
from server.config import ServerConfig
from server.errors import ERROR, ProtocolError
from server.keys import digest_of

ALICE, OPS = "open sesame", "schlüssel"


class Loop:
    """An event loop that never comes to look at the file."""

    def call_periodically(self, period_s, callback):
        return lambda: None


@pytest.fixture
def config(tmp_path):
    lines = [
        f"alice user {digest_of(ALICE.encode()).hex()} images_per_s=0.001 burst=100",
        f"ops admin {digest_of(OPS.encode()).hex()}",
    ]
    (tmp_path / "keys").write_text("\n".join(lines))
    return ServerConfig(api_keys_file=tmp_path / "keys", admin_token="t0ken")


@pytest.fixture
def app(config, client):
    client.loop = Loop()
    client.plans = ["cpu/f32"]
    return create_app(config, client)


@pytest.fixture
def http(app):
    return app.test_client()


def bearer(token):
    """Return what a server makes of the header field ``Authorization`` on the wire."""
    return {"HTTP_AUTHORIZATION": f"Bearer {token}".encode().decode("latin-1")}


def routes(app):
    """Return the method and a path of each route."""
    for rule in app.url_map.iter_rules():
        named = {"seed": "7", "name": "cars-dcgan", "version": "1", "action": "load", "label": "a"}
        values = named | (rule.defaults or {})
        _, path = rule.build({name: values[name] for name in rule.arguments})
        yield from ((method, path) for method in rule.methods)


def test_every_route_but_those_for_probes_needs_a_key(app, http):
    found = list(routes(app))
    assert len({path for _, path in found}) >= 8
    for method, path in [*found, ("GET", "/nothing"), ("GET", "/v2"), ("OPTIONS", "*")]:
        answer = http.open(path, method=method)
        if path in (*PROBES, METRICS):
            assert answer.status_code == 200, (method, path)
        else:
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")


def test_no_shared_cache_may_keep_what_is_for_holders_of_keys(config, client):
    client.loop = Loop()
    client.plans = ["cpu/f32"]
    drawing = DrawingClient()
    client.catalog, client.find, client.plans_of = drawing.catalog, drawing.find, drawing.plans_of
    http = create_app(config, client).test_client()
    for method in (http.head, http.get):
        answer = method("/v1/images/7.png", headers={"X-API-Key": ALICE, "If-None-Match": "*"})
        assert answer.status_code == 304
        assert answer.headers["Cache-Control"] == "private, max-age=60"


def test_open_paths_are_routes_and_no_prefixes(app, http):
    assert {*PROBES, METRICS} <= {path for _, path in routes(app)}
    for path in ("/healthz/", "//healthz", "/healthz/../v1/images/7.png", "/metricsx", "/%68ealth"):
        assert http.get(path).status_code == 401


def test_metrics_with_a_port_of_their_own_are_no_route_of_the_callers(config, client):
    client.loop = Loop()
    http = create_app(
        ServerConfig(api_keys_file=config.api_keys_file, metrics_port=9100), client
    ).test_client()
    assert http.get(METRICS).status_code == 401
    assert http.get(METRICS, headers={"X-API-Key": ALICE}).status_code == 404


@pytest.mark.parametrize("token", [ALICE, OPS, "t0ken"])
@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {} ", None])
def test_key_comes_as_a_bearer_token_or_in_a_field_of_its_own(http, form, token):
    name = "HTTP_AUTHORIZATION" if form else "HTTP_X_API_KEY"
    on_the_wire = (form or "{}").format(token).encode().decode("latin-1")
    assert http.get("/", environ_overrides={name: on_the_wire}).status_code == 200


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, ""),
        ({"HTTP_AUTHORIZATION": ""}, ""),
        ({"HTTP_AUTHORIZATION": "Basic b3BlbjpzZXNhbWU="}, ""),
        ({"HTTP_AUTHORIZATION": ALICE}, ""),
        ({"HTTP_AUTHORIZATION": "Bearer"}, "invalid_token"),
        ({"HTTP_AUTHORIZATION": f"Bearer {ALICE}x"}, "invalid_token"),
        ({"HTTP_AUTHORIZATION": f"Bearer {ALICE},Bearer {ALICE}"}, "invalid_token"),
        ({"HTTP_AUTHORIZATION": "Bearer x", "HTTP_X_API_KEY": ALICE}, "invalid_token"),
        ({"HTTP_X_API_KEY": ""}, "invalid_token"),
        ({"HTTP_X_API_KEY": f"Bearer {ALICE}"}, "invalid_token"),
        ({"QUERY_STRING": f"key={ALICE}"}, ""),
    ],
)
@pytest.mark.parametrize(
    ("path", "member"), [("/v1/images/7.png", "detail"), ("/v2/repository/index", "error")]
)
def test_what_is_no_key_is_a_401_in_the_form_of_its_path(http, fields, error, path, member):
    answer = http.post(path, environ_overrides=fields)
    assert answer.status_code == 401
    assert answer.json[member].endswith("wanted Authorization: Bearer <key> or X-API-Key: <key>")
    assert ("error=" in answer.headers["WWW-Authenticate"]) == bool(error)
    assert error in answer.headers["WWW-Authenticate"]
    assert ALICE not in answer.text


def test_field_beside_another_schemes_authorization_counts(http):
    """A proxy's own user and password do not hide the key."""
    fields = {"HTTP_AUTHORIZATION": "Basic b3BlbjpzZXNhbWU=", "HTTP_X_API_KEY": ALICE}
    assert http.get("/", environ_overrides=fields).status_code == 200


LATIN = some.text(some.characters(max_codepoint=255, exclude_characters="\r\n\0"))
GIVEN = {
    field: some.one_of(LATIN, LATIN.map("Bearer ".__add__), some.just(f"Bearer {ALICE}"))
    for field in ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY")
}


@given(some.fixed_dictionaries({}, optional=GIVEN))
def test_any_field_is_a_known_key_or_a_401(keyed, fields):
    status = keyed.get("/", environ_overrides=fields).status_code
    authorization = fields.get("HTTP_AUTHORIZATION", "")
    if authorization.lower().startswith("bearer"):
        assert status == (200 if authorization == f"Bearer {ALICE}" else 401)
    else:
        assert status == 401  # no X-API-Key of these is a key


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """Return a client for all examples of a test."""
    from tests.server.api.conftest import NoEngines

    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"alice user {digest_of(ALICE.encode()).hex()}")
    client = NoEngines()
    client.loop = Loop()
    return create_app(ServerConfig(api_keys_file=path), client).test_client()


@pytest.mark.parametrize("action", ["load", "unload"])
def test_only_administrators_administer(http, client, action):
    path = f"/v2/repository/models/cars-dcgan/{action}"
    refused = http.post(path, environ_overrides=bearer(ALICE))
    assert (refused.status_code, list(refused.json)) == (403, ["error"])
    assert "'alice' is a user's" in refused.json["error"]
    assert not client.done
    for token in (OPS, "t0ken"):
        assert http.post(path, environ_overrides=bearer(token)).status_code == 200
    assert len(client.done) == 2


def test_answers_to_a_limited_key_tell_of_its_limits(http):
    for path, status in (("/v2/repository/index", 200), ("/v1/images", 415), ("/nothing", 404)):
        answer = http.post(path, environ_overrides=bearer(ALICE))
        assert answer.status_code == status
        assert answer.headers["RateLimit-Policy"] == '"images";q=100;w=100000;qu="images"'
        assert answer.headers["RateLimit"].startswith('"images";r=100;')
    assert (
        "RateLimit" not in http.post("/v2/repository/index", environ_overrides=bearer(OPS)).headers
    )


def test_image_is_asked_for_in_the_name_of_the_key(http, client, monkeypatch):
    asked = []

    def generate(source, terms, *model):
        asked.append(terms.caller.key.name)
        raise ProtocolError(418, "enough")

    monkeypatch.setattr(client, "generate", generate, raising=False)
    for path in ("/v1/images/7.png", "/v1/models/cars-dcgan/versions/1/images/7.png"):
        assert http.get(path, headers={"X-API-Key": ALICE}).status_code == 418
    assert http.post("/v1/images", json={}, headers={"X-API-Key": ALICE}).status_code == 418
    assert asked == ["alice"] * 3


@pytest.mark.parametrize("token", [ALICE, "open sesam"])
@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/images/7.png"])
def test_nothing_behind_the_check_sees_a_key(app, caplog, path, token):
    """A log of requests is written from what the application leaves of the environment."""
    caplog.set_level(logging.DEBUG)
    fields = {"Authorization": f"Bearer {token}", "X-API-Key": token}
    environ, heads = create_environ(path, headers=fields), []
    body = b"".join(app.wsgi_app(environ, lambda *head: heads.append(head)))
    assert len(heads) == 1
    assert token not in f"{environ} {heads} {body} {caplog.text}"


def test_request_that_could_not_be_read_is_told_so(app):
    heads = []
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/v1/images", ERROR: ProtocolError(413, "too long"),
        "HTTP_X_API_KEY": "guess",
    }  # fmt: skip
    (body,) = app.wsgi_app(environ, lambda *head: heads.append(head))
    assert heads[0][0] == "413 Content Too Large"
    assert json.loads(body)["detail"] == "too long"
