"""The port of the metrics and the probes, and what is not to be had there."""

import pytest

from server.app import create_app
from server.config import ServerConfig
from server.errors import ERROR, ProtocolError

AT_THE_PORT = {"SERVER_PORT": "9100"}


@pytest.fixture
def app(client):
    client.plans = ["cpu/f32"]
    return create_app(ServerConfig(metrics_port=9100), client)


@pytest.fixture
def http(app):
    return app.test_client()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_metrics_and_probes_are_at_their_port(http, path):
    answer = http.get(path, environ_overrides=AT_THE_PORT)
    assert answer.status_code == 200
    assert "X-Request-Id" in answer.headers


@pytest.mark.parametrize("path", ["/", "/v1/images/7.png", "/v1/images", "/v2/repository/index"])
def test_nothing_else_is_at_their_port(http, path):
    for method in ("GET", "POST"):
        fields = {"Accept": "text/html"}
        answer = http.open(path, method=method, headers=fields, environ_overrides=AT_THE_PORT)
        assert answer.status_code == 404


def test_probes_are_at_the_callers_port_too_but_metrics_are_not(http):
    assert [http.get(x).status_code for x in ("/healthz", "/readyz", "/metrics")] == [200, 200, 404]
    assert not any("metrics" in x for x in http.get("/").json["try"])


def test_host_that_a_caller_names_leads_to_no_other_port(http):
    assert http.get("/metrics", headers={"Host": "cars:9100"}).status_code == 404


def test_what_cannot_be_read_is_told_and_wishes_to_upgrade_are_ignored(app, http):
    environ = AT_THE_PORT | {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "upgrade"}
    assert http.get("/metrics", environ_overrides=environ).status_code == 200
    environ = AT_THE_PORT | {ERROR: ProtocolError(413, "the body is too long")}
    assert http.get("/metrics", environ_overrides=environ).status_code == 413


def test_without_a_port_of_their_own_metrics_are_at_the_callers(client):
    http = create_app(ServerConfig(), client).test_client()
    assert http.get("/metrics").status_code == 200
    assert "GET /metrics" in http.get("/").json["try"]
