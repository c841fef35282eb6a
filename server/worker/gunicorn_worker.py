"""The HTTP worker: gevent's event loop and our own connections, under gunicorn.

gunicorn starts, watches and replaces it.
"""

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker

from server.boot import PROBE_CONNECTIONS, is_for_probes
from server.config import ServerConfig
from server.cpus import WakeUps
from server.worker.caller_socket import have_arrivals_told
from server.worker.connection_balance import ConnectionBalance
from server.worker.connections import Connections, Limits
from server.worker.http_connection import Connection

PAUSE_S = 0.002
"""The seconds for which a new connection is left to workers that have fewer. A busy worker takes
longer to wake, and one that hangs never does: after the pause the connection is accepted."""
AT_ONCE = 16
"""The most connections that a worker accepts before it goes on with the requests it has."""
FEW = 2
"""The number of connections up to which a worker interrupts others when it wakes."""
LAST_REQUEST_S = 1.0
"""The seconds that a stopping worker waits for the next request on a connection. A caller that asks
without pause gets an answer that says to close the connection; closing it at once would cut off a
request on its way."""
NOT_SENT = 64 * 1024
"""The most bytes of one connection that wait in the system to be sent. They are not limited
otherwise but by megabytes, which count as the server's memory."""


class Worker(GeventWorker):  # type: ignore[misc]
    """Serves connections, and ends those that wait too long: once a second it looks at them all.

    A worker that has more than its share of the connections closes some as well; their callers
    connect anew, to another worker.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.server_class = self._server
        self.connection_balance: ConnectionBalance
        self.slot: int
        self.connections: Connections
        self.probes: Connections
        """The connections at the port of the metrics and the probes, if there is such a port."""
        self.surplus = 0
        """The number of connections that this worker should leave to others."""

    def init_process(self) -> None:
        # After the fork: the process has files of its own.
        from server.observability import metrics
        from server.worker.load_samples import LoadSamples

        def count(reason: str) -> None:
            metrics.CONNECTIONS_ENDED.labels(reason).inc()

        self._load_samples = LoadSamples()
        config = ServerConfig.from_env()
        limits = _limits(config)
        self.connections = Connections(limits, count)
        self.probes = Connections(replace(limits, count=PROBE_CONNECTIONS // 2), count)
        self._metrics_port = config.metrics_port
        super().init_process()

    def _server(self, listener: Any, **settings: Any) -> "Server":
        if is_for_probes(listener.getsockname(), self._metrics_port):
            return Server(listener, self, settings | {"spawn": PROBE_CONNECTIONS}, self.probes)
        return BalancedServer(listener, self, settings, self.connections)

    def notify(self) -> None:
        """Tell gunicorn, once a second, that this worker lives, and end what waits too long."""
        super().notify()
        self.surplus = self.connection_balance.surplus(self.slot)
        self._load_samples.take(self.connections.answered_now, self.sockets)
        for connections in (self.connections, self.probes):
            connections.sweep(None if self.alive else LAST_REQUEST_S)


def _limits(config: ServerConfig) -> Limits:
    return Limits(
        count=config.connections,
        idle_s=config.keepalive_s,
        read_s=config.read_timeout_s,
        send_s=config.send_timeout_s,
        unsent_bytes=config.unsent_mib * 2**20,
        body_bytes=config.body_mib * 2**20,
        bodies_bytes=config.bodies_mib * 2**20,
    )


class Server(StreamServer):  # type: ignore[misc]
    """Accepts connections, which are among ``connections`` as long as they last."""

    max_accept = 1

    def __init__(
        self, listener: Any, worker: Worker, settings: dict[str, Any], connections: Connections
    ) -> None:
        super().__init__(listener, spawn=settings["spawn"])
        have_arrivals_told(listener)
        self.application: Callable[..., Iterable[bytes]] = settings["application"]
        self.connections = connections
        self.log_access = self._log_access if worker.cfg.accesslog else None
        self._worker = worker
        host, port = self.address[:2] if isinstance(self.address, tuple) else ("", "")
        self.environ = {
            **settings["environ"],
            "SCRIPT_NAME": "",
            "SERVER_NAME": str(host),
            "SERVER_PORT": str(port),
            "wsgi.url_scheme": "http",
        }
        if self.address and isinstance(self.address, tuple):
            with suppress(OSError, AttributeError):  # not every system has the option
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)

    def lets_go(self) -> bool:
        """Return whether the connection of the answer that is about to be sent should end."""
        return not self._worker.alive

    def handle(self, sock: Any, address: Any) -> None:
        Connection(sock, address, self).serve()

    def _log_access(self, environ: dict[str, Any], status: str, sent: int, seconds: float) -> None:
        answer = SimpleNamespace(status=status, headers=(), sent=sent)
        fields = [
            (key[5:].replace("_", "-"), value)
            for key, value in environ.items()
            if key.startswith("HTTP_")
        ]
        self._worker.log.access(answer, fields, environ, timedelta(seconds=seconds))


class BalancedServer(Server):
    """Accepts connections, and leaves some to the workers that have fewer."""

    def __init__(
        self, listener: Any, worker: Worker, settings: dict[str, Any], connections: Connections
    ) -> None:
        super().__init__(listener, worker, settings, connections)
        self._connection_balance, self._slot = worker.connection_balance, worker.slot
        self._has_paused = False
        self._wake_ups = WakeUps()

    def lets_go(self) -> bool:
        if self._worker.surplus > 0:
            self._worker.surplus -= 1
            return True
        return super().lets_go()

    def start(self) -> None:
        super().start()
        self._connection_balance.tell(self._slot, 0)

    def close(self) -> None:
        self._connection_balance.leave(self._slot)
        super().close()

    def handle(self, sock: Any, address: Any) -> None:
        try:
            super().handle(sock, address)
        finally:
            if self.started:
                self._tell(len(self.pool) - 1)

    def _do_read(self) -> None:
        """Accept connections that wait, or leave them to another worker for a moment."""
        if not self._has_paused and self._is_ahead():
            self._has_paused = True
            self.stop_accepting()
            self._timer = self.loop.timer(PAUSE_S)
            self._timer.start(self._start_accepting_if_started)
            return
        self._has_paused = False
        for _ in range(AT_ONCE):
            before = len(self.pool)
            super()._do_read()
            if len(self.pool) == before:
                return
            self._tell(len(self.pool))
            if self._is_ahead():
                return

    def _is_ahead(self) -> bool:
        return self._connection_balance.is_ahead(self._slot, len(self.pool))

    def _tell(self, connections: int) -> None:
        """Tell the other workers how many connections there are; with many, be patient."""
        self._connection_balance.tell(self._slot, connections)
        self._wake_ups.be_patient(connections > FEW)
