"""What every request has in common, whoever answers it."""

import gc
import weakref

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from server.api.context import CONTEXT, RequestContext, RequestMiddleware
from server.api.generate import Timings
from server.errors import InvalidRequest
from server.observability import metrics
from server.observability.tracing import Tracer
from server.worker.peer import WAITED
from server.worker.request_terms import RequestTerms

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def environ_of(method="GET", path="/7", **fields):
    return {"REQUEST_METHOD": method, "PATH_INFO": path} | fields


def ask(environ, status="200 OK", route=None, timings=None, tracer=None):
    """Have an application answer ``environ``; return the header fields that leave."""

    def app(environ, start_response):
        context = environ[CONTEXT]
        context.route, context.timings = route or context.route, timings
        start_response(status, [("Content-Length", "0")])
        return []

    sent = []
    RequestMiddleware(app, 30.0, tracer)(environ, lambda *head: sent.append(head))
    ((line, fields, exc_info),) = sent
    assert (line, exc_info) == (status, None)
    return fields


@pytest.fixture
def spans():
    """Have a request traced, and return the spans by their names."""
    exporter = InMemorySpanExporter()
    tracer = Tracer(exporter)

    def ask_traced(environ, **answer):
        ask(environ, tracer=tracer, **answer)
        tracer.close()
        return {span.name: span for span in exporter.get_finished_spans()}

    return ask_traced


def test_answer_names_its_request():
    assert ask(environ_of(HTTP_X_REQUEST_ID="mine")) == [
        ("Content-Length", "0"),
        ("X-Request-Id", "mine"),
    ]
    assert ask(environ_of())[1] != ask(environ_of())[1]


def value_of(name, **labels):
    return metrics.REGISTRY.get_sample_value(name, labels) or 0


def test_request_is_counted_by_its_route_and_status():
    labels = {"route": "/<seed>", "status": "418"}
    before = value_of("http_server_requests_total", **labels)
    ask(environ_of(), status="418 I'm a teapot", route="/<seed>")
    assert value_of("http_server_requests_total", **labels) == before + 1


@pytest.mark.parametrize(
    ("route", "status", "images", "told"),
    [
        ("/<seed>", "200 OK", 1, ("/<seed>", "single")),
        ("/<seed>", "200 OK", 2, ("/<seed>", "bulk")),
        ("/<seed>", "200 OK", 512, ("/<seed>", "bulk")),
        ("/<seed>", "304 Not Modified", 0, ("any", "page")),
        ("/<seed>", "503 Service Unavailable", 0, ("any", "error")),
        ("/<seed>", "500 Internal Server Error", 1, ("any", "error")),
        ("/", "200 OK", 0, ("any", "page")),
        ("/v1/restore", "200 OK", 0, ("/v1/restore", "bulk")),
        ("/readyz", "503 Service Unavailable", 0, ("any", "probe")),
    ],
)
def test_durations_are_kept_apart_by_what_was_answered(route, status, images, told):
    labels = dict(zip(("route", "kind"), told, strict=True))
    name = "http_server_request_duration_seconds_count"
    before = value_of(name, **labels)
    timings = Timings(0.0, 0.0, 0.0, images) if images else None
    ask(environ_of(), status=status, route=route, timings=timings)
    assert value_of(name, **labels) == before + 1


def test_the_wait_before_a_request_is_picked_up_counts():
    labels = {"route": "any", "kind": "page"}
    name = "http_server_request_duration_seconds_sum"
    before = value_of(name, **labels)
    ask(environ_of() | {WAITED: 1000.0})
    assert 1000.0 <= value_of(name, **labels) - before < 2000.0


@pytest.mark.parametrize(
    ("method", "called"),
    [("GET", "GET"), ("PATCH", "PATCH"), ("BREW", "_OTHER"), ("get", "_OTHER"), ("", "_OTHER")],
)
def test_method_that_http_does_not_know_is_called_other_by_all_that_follows(spans, method, called):
    environ = environ_of(method)
    (span,) = spans(environ).values()
    assert environ["REQUEST_METHOD"] == called
    assert (span.name, span.attributes["http.request.method"]) == (f"{called} none", called)


def test_span_tells_the_route_the_path_and_the_status(spans):
    span = spans(environ_of(HTTP_X_REQUEST_ID="mine"), route="/<seed>")["GET /<seed>"]
    assert span.attributes["http.route"] == "/<seed>"
    assert span.attributes["url.path"] == "/7"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["carfront.request_id"] == "mine"
    assert span.status.status_code is StatusCode.UNSET


def test_callers_trace_goes_on(spans):
    environ = environ_of(HTTP_TRACEPARENT=f"00-{TRACE}-{PARENT}-01")
    span = spans(environ)["GET none"]
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT


def test_steps_of_an_answer_are_spans_below_the_requests(spans):
    found = spans(environ_of(), timings=Timings(0.25, 0.5, 0.125))
    parent = found.pop("GET none").context.span_id
    assert {name: span.parent.span_id for name, span in found.items()} == dict.fromkeys(
        ("queue", "infer", "encode"), parent
    )
    assert found["infer"].end_time - found["infer"].start_time == 500e6


@pytest.mark.parametrize(
    ("fields", "terms"),
    [
        ({}, RequestTerms(30.0)),
        ({"HTTP_X_REQUEST_TIMEOUT_MS": "4500"}, RequestTerms(4.5)),
        ({"HTTP_CARFRONT_PRIORITY": "bulk"}, RequestTerms(30.0, bulk=True)),
        ({"HTTP_CARFRONT_PRIORITY": "interactive"}, RequestTerms(30.0)),
    ],
)
def test_terms_are_those_of_the_headers(fields, terms):
    assert RequestContext(environ_of(**fields), 30.0).terms() == terms


@pytest.mark.parametrize(
    "fields",
    [{"HTTP_X_REQUEST_TIMEOUT_MS": "0"}, {"HTTP_CARFRONT_PRIORITY": "urgent"}],
)
def test_header_that_means_nothing_is_an_error_where_the_terms_are_asked_for(fields):
    context = RequestContext(environ_of(**fields), 30.0)
    with pytest.raises(InvalidRequest):
        context.terms()


def test_request_leaves_nothing_to_the_garbage_collector():
    """What lies in a cycle stays until the collector comes: sockets and bodies of old requests."""

    class Body:
        """Something that can be seen to go."""

    body = Body()
    seen = weakref.ref(body)
    gc.disable()
    try:
        ask(environ_of(**{"wsgi.input": body}))
        del body
        assert seen() is None
    finally:
        gc.enable()
