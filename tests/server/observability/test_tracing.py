"""A span for each request, with the caller's trace above it and the steps below."""

import http.server
import os
import threading
import urllib.request
from contextlib import ExitStack

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from server.config_error import ConfigError
from server.observability import tracing
from server.observability.tracing import Tracer
from tests.servers import PATIENCE_S, PYTHON, get, serving

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def spans(exporter):
    """Trace one request and return the spans by their names."""
    tracer = Tracer(exporter)

    def trace(status=200, environ=None):
        span = tracer.begin("GET", environ or {})
        steps = {"queue": 0.25, "infer": 0.5, "encode": 0.125}
        tracer.end(span, "GET /<what>", {"http.response.status_code": status}, steps, status >= 500)
        tracer.close()
        return {span.name: span for span in exporter.get_finished_spans()}

    return trace


def test_request_is_a_span_with_its_attributes(spans):
    span = spans()["GET /<what>"]
    assert span.kind.name == "SERVER"
    assert span.attributes["http.response.status_code"] == 200
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is None
    assert span.resource.attributes["service.name"] == "carfront"


def test_callers_trace_goes_on(spans):
    span = spans(environ={"HTTP_TRACEPARENT": TRACEPARENT["traceparent"]})["GET /<what>"]
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT


def test_malformed_header_of_the_exporter_is_not_logged_as_it_may_hold_a_token(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization Bearer s3cret")
    Tracer().close()
    assert "OTEL_EXPORTER_OTLP_HEADERS is malformed" in caplog.text
    assert "s3cret" not in caplog.text


def test_trace_of_a_caller_that_makes_no_sense_begins_anew(spans):
    assert spans(environ={"HTTP_TRACEPARENT": "00-0-0-01"})["GET /<what>"].parent is None


def test_caller_that_does_not_sample_is_not_traced(spans):
    assert spans(environ={"HTTP_TRACEPARENT": TRACEPARENT["traceparent"][:-1] + "0"}) == {}


def test_steps_are_spans_one_after_another(spans):
    found = spans()
    whole = found["GET /<what>"]
    steps = [found[name] for name in ("queue", "infer", "encode")]
    assert [step.parent.span_id for step in steps] == [whole.context.span_id] * 3
    assert [step.end_time - step.start_time for step in steps] == [250e6, 500e6, 125e6]
    assert steps[0].end_time == steps[1].start_time
    assert steps[2].end_time <= whole.end_time


def test_error_of_the_server_is_one_in_the_trace(spans):
    assert spans(503)["GET /<what>"].status.status_code is StatusCode.ERROR


def test_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(tracing, "LIBRARIES", ("nowhere.trace", "json"))
    with pytest.raises(ConfigError, match=r"CARFRONT_TRACES is 'otlp'; wanted none, or nowhere"):
        tracing.check_installed()


@pytest.mark.servers
@pytest.mark.skipif("SERVE_PYTHON" in os.environ, reason="the server image has no tracing")
def test_spans_of_a_real_server_reach_the_collector():
    received = []
    arrived = threading.Event()

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()
            arrived.set()

        def log_message(self, *_):
            pass

    stack = ExitStack()
    collector = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector))
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    stack.callback(thread.join)
    stack.callback(collector.shutdown)
    settings = {
        "CARFRONT_TRACES": "otlp",
        "CARFRONT_WORKERS": "1",
        "CARFRONT_PROVIDER": "cpu",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_SERVICE_NAME": "night-cars",
    }
    with stack, serving(PYTHON, settings) as server:
        asked = urllib.request.Request(f"{server.url}/v1/images/7.png", headers=TRACEPARENT)
        with urllib.request.urlopen(asked) as response:
            assert response.read()[:4] == b"\x89PNG"
        assert arrived.wait(PATIENCE_S)
        get(f"{server.url}/healthz")
    spans = {
        span.name: (resource.resource, span)
        for _, message in received
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert {path for path, _ in received} == {"/v1/traces"}
    resource, span = spans["GET /v1/images/<seed>.png"]
    assert span.trace_id.hex() == TRACE
    names = {x.key: x.value.string_value for x in resource.attributes}
    assert names["service.name"] == "night-cars"
    assert {"queue", "infer", "encode"} <= set(spans)
    assert "GET /healthz" in spans, "what was not sent when the server ended is lost"
