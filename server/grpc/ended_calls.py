"""What is told of a call that has ended: in the metrics, in the access log, and in a trace."""

from collections.abc import Callable
from datetime import timedelta
from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import grpc

from server.observability.request_counts import RequestCounts
from server.observability.tracing import Tracer

if TYPE_CHECKING:
    from server.grpc.call import Call

PROBE = "grpc.health.v1.Health/Check"
"""The method by which orchestrators ask again and again, which is not counted."""
SECRETS = ("authorization", "x-api-key")
"""The metadata that are in no log."""

LogAccess = Callable[[Any, Any, dict[str, Any], timedelta], None]
"""The method ``access`` of gunicorn's logger."""


class EndedCalls:
    """Tells of calls; ``log_access`` and ``tracer`` are None where nobody wants to know.

    Its method is called by one thread at a time.
    """

    def __init__(self, log_access: LogAccess | None = None, tracer: Tracer | None = None) -> None:
        self._log_access = log_access
        self._tracer = tracer
        self._counts = RequestCounts()

    def tell(self, call: "Call", code: grpc.StatusCode, status: int, size: int) -> None:
        """Tell of ``call``, which ends with ``code`` and an answer of ``size`` bytes.

        The metrics count a call as the HTTP request that it is, with the ``status`` that REST would
        answer: what is made of requests by HTTP is true of calls too.
        """
        took_s = perf_counter() - call.began
        if call.method != PROBE:
            self._counts.observe(f"/{call.method}", str(status), call.images, took_s)
        if self._log_access:
            answer = SimpleNamespace(status=code.name, headers=(), sent=size)
            fields = [(k, v) for k, v in call.metadata.items() if k not in SECRETS]
            self._log_access(answer, fields, _environ(call), timedelta(seconds=took_s))
        if self._tracer:
            self._trace(self._tracer, call, code, took_s)

    def _trace(self, tracer: Tracer, call: "Call", code: grpc.StatusCode, took_s: float) -> None:
        attributes: dict[str, str | int] = {
            "rpc.system.name": "grpc",
            "rpc.method": call.method,
            "rpc.response.status_code": code.name,
            "carfront.request_id": call.request_id,
        }
        failed = code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)
        span = tracer.begin(call.method, call.environ, ago_s=took_s)
        tracer.end(span, call.method, attributes, call.steps, failed=failed)


def _environ(call: "Call") -> dict[str, Any]:
    """Return a call as an access log has a request."""
    host, _, _ = call.context.peer().partition(":")[2].rpartition(":")
    return {
        "REMOTE_ADDR": unquote(host).strip("[]"),
        "REQUEST_METHOD": "POST",
        "RAW_URI": f"/{call.method}",
        "PATH_INFO": f"/{call.method}",
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/2",
        "HTTP_USER_AGENT": call.metadata.get("user-agent", "-"),
    }
