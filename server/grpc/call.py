"""One call: its caller, its terms, and what its answer says beside the message."""

import os
from time import perf_counter

import grpc

from server.api.context import LONGEST_MS, PRIORITIES
from server.errors import InvalidRequest
from server.observability.logs import HEADER, begin_request
from server.worker.caller import Caller
from server.worker.request_terms import RequestTerms

LONGEST_S = LONGEST_MS / 1000
NEVER_S = 1e9
"""More seconds than any deadline has: so many are left to a call without one."""
NEVER_GONE = os.eventfd(0)
"""A descriptor that nobody hangs up, for the callers that are there."""
WSGI_NAMES = {
    name: "HTTP_" + name.upper().replace("-", "_")
    for name in ("x-request-id", "traceparent", "tracestate")
}
"""The metadata that logs and traces read, and what WSGI calls them."""

Metadata = list[tuple[str, str]]


class CallPeer:
    """The caller of a call, which is gone when the call has been cancelled."""

    __slots__ = ("_context",)

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context

    def fileno(self) -> int:
        return NEVER_GONE if self._context.is_active() else -1

    def is_gone(self) -> bool:
        return False


class Call:
    """One call: its caller's terms, and what its answer says beside the message."""

    def __init__(self, context: grpc.ServicerContext, method: str, default_timeout_s: float):
        self.began = perf_counter()
        self.method = method
        self.context = context
        self.metadata = {name: _text(value) for name, value in context.invocation_metadata()}
        self.environ = {
            key: self.metadata[name] for name, key in WSGI_NAMES.items() if name in self.metadata
        }
        self.request_id = begin_request(self.environ)
        self.caller: Caller | None = None
        """The holder of the key that the call has; None where nobody needs a key."""
        self.told: Metadata = [(HEADER.lower(), self.request_id)]
        """The metadata of the answer."""
        self.steps: dict[str, float] = {}
        """The seconds of the steps of the answer, where images were drawn."""
        self.images = 0
        """The number of images that the answer has."""
        self.left = 2
        """What of the call has not ended: its handler, and the sending of its answer."""
        self._default_timeout_s = default_timeout_s

    @property
    def authorization(self) -> str:
        """The metadata of that name, which is taken as HTTP's field."""
        return self.metadata.get("authorization", "")

    def terms(self) -> RequestTerms:
        """Return the terms of the call: its deadline, its priority and its caller.

        Raises:
            InvalidRequest: ``carfront-priority`` has an unknown value.
        """
        left_s = self.context.time_remaining()
        timeout_s = self._default_timeout_s if left_s > NEVER_S else min(left_s, LONGEST_S)
        priority = self.metadata.get("carfront-priority", "interactive")
        bulk = PRIORITIES.get(priority)
        if bulk is None:
            raise InvalidRequest("carfront-priority", priority, " or ".join(PRIORITIES))
        return RequestTerms(timeout_s, bulk, CallPeer(self.context), self.caller)


def _text(value: str | bytes) -> str:
    """Return a metadatum as HTTP's fields are read: its bytes as Latin-1."""
    return (value.encode() if isinstance(value, str) else value).decode("latin-1")
