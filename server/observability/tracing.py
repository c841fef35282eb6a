"""Traces for OpenTelemetry, if the settings want them: one span for each request.

The span continues the caller's ``traceparent`` (W3C Trace Context); queue, inference and encoding
are spans of their own below the request's. The libraries are an extra, ``serve-tracing``.
OpenTelemetry's own environment variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``,
``OTEL_TRACES_SAMPLER`` and the others) say where the spans go, and how many.
"""

import logging
import os
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from server.config_error import ConfigError

CARRIER = {"traceparent": "HTTP_TRACEPARENT", "tracestate": "HTTP_TRACESTATE"}
"""The headers of a caller's trace, and what WSGI calls them."""

LIBRARIES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


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


class Tracer:
    """Makes a span of each request, and of each of its steps."""

    def __init__(self, exporter: Any = None) -> None:
        """``exporter`` is for tests; None sends to where OpenTelemetry's variables say.

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

        logging.getLogger("opentelemetry.util.re").addFilter(_without_values)
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        named = "OTEL_SERVICE_NAME" in os.environ
        resource = Resource.create({} if named else {"service.name": "carfront"})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("carfront")

    def begin(self, name: str, environ: Mapping[str, Any], ago_s: float = 0.0) -> Any:
        """Return the span of a request that began ``ago_s`` seconds before now.

        The span is below the caller's in ``environ``, if there is one.
        """
        carrier = {name: environ[key] for name, key in CARRIER.items() if key in environ}
        parent = self._propagator.extract(carrier)
        at = time.time_ns() - int(ago_s * 1e9)
        kind = self._trace.SpanKind.SERVER
        return self._tracer.start_span(name, parent, kind=kind, start_time=at)

    def end(
        self,
        span: Any,
        name: str,
        attributes: Mapping[str, Any],
        steps: Mapping[str, float],
        failed: bool,
    ) -> None:
        """End the span of a request that is called ``name`` now; it ``failed`` or did not.

        ``steps`` are the seconds that the request's steps took, in their order; they end now.
        """
        self._add_steps(span, steps)
        span.update_name(name)
        span.set_attributes(attributes)
        if failed:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send the spans that have not been sent yet."""
        self._provider.shutdown()

    def _add_steps(self, span: Any, steps: Mapping[str, float]) -> None:
        at = time.time_ns() - int(sum(steps.values()) * 1e9)
        context = self._trace.set_span_in_context(span)
        for name, took in steps.items():
            child = self._tracer.start_span(name, context, start_time=at)
            at += int(took * 1e9)
            child.end(at)


def _without_values(record: logging.LogRecord) -> bool:
    """Have OpenTelemetry log that a header is malformed, and not what is in it: often a token."""
    record.msg, record.args = "a header in OTEL_EXPORTER_OTLP_HEADERS is malformed: not sent", None
    return True
