"""The parts of the gRPC process, put together; imported only in that process."""

from typing import Any

from server.api.oip_service import InferService
from server.api.repository_service import RepositoryService
from server.boot import grpc_address
from server.config import ServerConfig
from server.grpc.calls import Calls
from server.grpc.ended_calls import EndedCalls, LogAccess
from server.grpc.server import GrpcServer
from server.grpc.services import InferenceMethods
from server.observability.tracing import Tracer
from server.worker.engine_client import EngineClient
from server.worker.key_limits import KeyLimits
from server.worker.known_keys import KnownKeys
from server.worker.thread_loop import ThreadLoop


class GrpcProcess:
    """Answers calls at ``config.grpc_port`` until ``close``.

    Raises:
        ConfigError: the port is taken, or traces are wanted without their libraries.
        KeysFault: keys are wanted, and their file cannot be used.
    """

    def __init__(
        self,
        config: ServerConfig,
        log_access: LogAccess | None = None,
        engine_client: Any = EngineClient,
    ) -> None:
        self.loop = ThreadLoop()
        self._tracer = Tracer() if config.traces == "otlp" else None
        with self.loop.lock:
            self._client = engine_client(config.engine_dirs, config.arena_mib * 2**20, self.loop)
            keys = _known_keys(config, self.loop) if config.api_keys_file else None
        most_bytes = config.body_mib * 2**20
        service = InferService(self._client, most_bytes, "oip_grpc")
        repository = RepositoryService(self._client, config.admin_token)
        self.calls = Calls(
            self.loop,
            keys,
            config.request_timeout_s,
            config.read_timeout_s,
            config.send_timeout_s,
            config.grpc_calls,
            config.unsent_mib * 2**20,
            EndedCalls(log_access, self._tracer),
        )
        self.server = GrpcServer(
            grpc_address(config.host, config.grpc_port),
            self.calls,
            InferenceMethods(self._client, service, repository),
            config.grpc_calls,
            most_bytes,
        )

    def look(self) -> None:
        """Tell whether the server is ready, and end calls whose messages do not arrive.

        This returns only if the loop's lock can be had: the process is alive.
        """
        with self.loop.lock:
            ready = self._client.ready
        self.server.tell_health(ready)
        self.calls.sweep()

    def close(self) -> None:
        """End what is left, and send the traces that have not been sent."""
        self.server.stop()
        with self.loop.lock:
            self._client.close()
        self.loop.close()
        if self._tracer:
            self._tracer.close()


def _known_keys(config: ServerConfig, loop: ThreadLoop) -> KnownKeys:
    """Return the keys of the file, which is looked at from now on."""
    assert config.api_keys_file is not None
    copy = config.api_keys_copy if config.runtime_dir else None
    keys = KnownKeys(config.api_keys_file, copy, KeyLimits.shared(), config.admin_token)
    keys.begin()
    keys.watch(loop)
    return keys
