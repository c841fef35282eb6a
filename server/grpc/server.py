"""The gRPC server of one process, put together: the protocol, health, and reflection."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from server.config_error import ConfigError
from server.errors import ServiceNotFound
from server.grpc.call import Call
from server.grpc.calls import Calls
from server.grpc.services import SERVICE, InferenceMethods, handlers

SPARE_THREADS = 16
"""The threads for probes, beside those of the calls that are answered at a time."""
PING_S = 60
"""The seconds after which a connection that is silent is asked for a sign of life, also without a
call: callers that vanished keep no connection."""
PONG_S = 20
"""The seconds for which that sign is waited for."""
END_S = 1.0
"""The seconds in which the threads of calls end that were cancelled: a cancelled request is noticed
within a quarter of one."""
OFTEN_MS = 1
"""The milliseconds between two pings that a caller may send, who is never sent away for them."""
ENVELOPE = 64 * 1024
"""The bytes of a message beyond its tensor."""
HEALTH = health.SERVICE_NAME
STATUS = health_pb2.HealthCheckResponse
NAMES = ("", SERVICE)
"""The names by which health is asked for: of the whole server, and of the protocol."""


class GrpcServer:
    """Serves ``calls`` at ``address``, with messages of ``most_bytes`` at most.

    Raises:
        ConfigError: the address cannot be listened at.
    """

    def __init__(
        self, address: str, calls: Calls, methods: InferenceMethods, most: int, most_bytes: int
    ) -> None:
        self._calls = calls
        self._status = STATUS.UNKNOWN
        self._health = health.HealthServicer(experimental_non_blocking=True)
        self._server = grpc.server(
            ThreadPoolExecutor(most + SPARE_THREADS, "call"),
            options=_options(most, most_bytes + ENVELOPE),
        )
        for service, found in (
            (SERVICE, handlers(calls, methods)),
            (HEALTH, self._health_handlers()),
            (reflection.SERVICE_NAME, self._reflection_handlers()),
        ):
            handler = grpc.method_handlers_generic_handler(service, found)
            self._server.add_generic_rpc_handlers((handler,))
        self.tell_health(False)
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError("grpc_port", address, "an address that is free") from error
        self._server.start()

    def tell_health(self, ready: bool) -> None:
        """Tell those who ask for the server's health whether it is ready."""
        status = STATUS.SERVING if ready else STATUS.NOT_SERVING
        if status == self._status:  # who watches would be told again
            return
        self._status = status
        for name in NAMES:
            self._health.set(name, self._status)

    def refuse_calls(self, grace_s: float) -> None:
        """Take no more calls; those that are there end within ``grace_s``, or are cancelled."""
        self._server.stop(grace_s)

    def stop(self) -> None:
        """End what is left, such as the watching of health; its threads have a second to end."""
        self._server.stop(0).wait(END_S)

    def _health_handlers(self) -> dict[str, Any]:
        def check(request: Any, _: Call) -> Any:
            if request.service not in NAMES:
                raise ServiceNotFound(request.service)
            return STATUS(status=self._status)

        def watch(message: bytes, context: grpc.ServicerContext, send: Any) -> None:
            request = self._calls.read(context, health_pb2.HealthCheckRequest, message)
            self._health.Watch(request, context, send)

        watch.experimental_non_blocking = True  # type: ignore[attr-defined]
        watch.experimental_thread_pool = ThreadPoolExecutor(1)  # type: ignore[attr-defined]
        return {
            "Check": self._calls.handler(
                f"{HEALTH}/Check", health_pb2.HealthCheckRequest, check, is_open=True
            ),
            "Watch": grpc.unary_stream_rpc_method_handler(
                watch, response_serializer=STATUS.SerializeToString
            ),
        }

    def _reflection_handlers(self) -> dict[str, Any]:
        servicer = reflection.ReflectionServicer((SERVICE, HEALTH, reflection.SERVICE_NAME))

        def tell(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            self._calls.check_key(context)
            kind = reflection_pb2.ServerReflectionRequest
            requests = (self._calls.read(context, kind, message) for message in messages)
            yield from servicer.ServerReflectionInfo(requests, context)

        # Who asks for long takes no thread from calls.
        tell.experimental_thread_pool = ThreadPoolExecutor(2)  # type: ignore[attr-defined]
        return {
            "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
                tell,
                response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
            )
        }


def _options(most: int, most_bytes: int) -> list[tuple[str, int]]:
    """Return the settings of gRPC's library, which are its arguments of a channel."""
    return [
        ("grpc.max_receive_message_length", most_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", most + SPARE_THREADS),
        ("grpc.so_reuseport", 0),  # else two servers would share an address, and each know nothing
        ("grpc.keepalive_time_ms", PING_S * 1000),
        ("grpc.keepalive_timeout_ms", PONG_S * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", OFTEN_MS),
        ("grpc.http2.max_ping_strikes", 0),
    ]
