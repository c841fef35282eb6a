"""Traces for OpenTelemetry, if the settings want them: one span for each request.

The span continues the caller's ``traceparent`` (W3C Trace Context); queue, inference and encoding
are spans of their own below the request's. The libraries are an extra, ``serve-tracing``.
OpenTelemetry's own environment variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``,
``OTEL_TRACES_SAMPLER`` and the others) say where the spans go, and how many.
"""

import os
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from server.config import ConfigError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

STEPS = "carfront.steps"
"""The key of a traced request's ``Steps`` function in its WSGI environment."""
ROUTE = "carfront.route"
"""The key of a request's route, such as ``/v1/images/<seed>.png``, in its WSGI environment."""

CONTEXT = {"traceparent": "HTTP_TRACEPARENT", "tracestate": "HTTP_TRACESTATE"}
"""The headers of a caller's trace, with their names in the WSGI environment."""

LIBRARIES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")

Steps = Callable[[dict[str, float]], None]
"""The function that takes the seconds of a request's steps, in order; the last step ends now."""


def tell_steps(environ: "WSGIEnvironment", **seconds: float) -> None:
    """Note the seconds that the steps of a request took, in their order, if it is traced."""
    steps: Steps | None = environ.get(STEPS)
    if steps:
        steps(seconds)


def check_installed() -> None:
    """Check that OpenTelemetry's libraries are installed.

    Raises:
        ConfigError: they are not installed; the message says what to install.
    """
    try:
        missing = [name for name in LIBRARIES if find_spec(name) is None]
    except ImportError as error:
        missing = [str(error.name)]
    if missing:
        wanted = f"none, or {', '.join(missing)} installed: see requirements/serve-tracing.txt"
        raise ConfigError("traces", "otlp", wanted)


class Traced:
    """A WSGI application whose requests are spans."""

    def __init__(self, app: "WSGIApplication", exporter: Any = None) -> None:
        """``exporter`` is for tests; None sends the spans to where OpenTelemetry's variables say.

        Raises:
            ConfigError: the libraries are not installed.
        """
        check_installed()
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app = app
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        named = "OTEL_SERVICE_NAME" in os.environ
        resource = Resource.create({} if named else {"service.name": "carfront"})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("carfront")

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        carrier = {name: environ[key] for name, key in CONTEXT.items() if key in environ}
        span = self._tracer.start_span(
            environ["REQUEST_METHOD"],
            self._propagator.extract(carrier),
            kind=self._trace.SpanKind.SERVER,
        )
        environ[STEPS] = lambda seconds: self._add_steps(span, seconds)

        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            self._finish(span, environ, status)
            return start_response(status, headers, exc_info)

        return self._app(environ, start)

    def close(self) -> None:
        """Send the spans that have not been sent yet."""
        self._provider.shutdown()

    def _add_steps(self, span: Any, seconds: dict[str, float]) -> None:
        at = time.time_ns() - int(sum(seconds.values()) * 1e9)
        context = self._trace.set_span_in_context(span)
        for name, took in seconds.items():
            child = self._tracer.start_span(name, context, start_time=at)
            at += int(took * 1e9)
            child.end(at)

    def _finish(self, span: Any, environ: "WSGIEnvironment", status: str) -> None:
        method, route = environ["REQUEST_METHOD"], environ.get(ROUTE, "")
        code = int(status[:3])
        span.update_name(f"{method} {route}".strip())
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "url.path": environ["PATH_INFO"],
                "http.response.status_code": code,
                "carfront.request_id": environ.get("carfront.request_id", ""),
            }
        )
        if code >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()
