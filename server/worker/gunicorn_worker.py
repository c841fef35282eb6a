"""The HTTP worker: gevent's event loop and our own connections, under gunicorn.

gunicorn starts, watches and replaces it.
"""

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker

from server.config import ServerConfig
from server.cpus import WakeUps
from server.worker.connection_balance import ConnectionBalance
from server.worker.connections import Connections, Limits
from server.worker.http_connection import Connection

PAUSE_S = 0.002
"""The seconds for which a new connection is left to workers that have fewer. A busy worker takes
longer to wake, and one that hangs never does: after the pause the connection is accepted."""
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
        self.surplus = 0
        """The number of connections that this worker should leave to others."""

    def init_process(self) -> None:
        from server.observability import metrics  # after the fork: the process has files of its own

        def count(reason: str) -> None:
            metrics.CONNECTIONS_ENDED.labels(reason).inc()

        self.connections = Connections(_limits(ServerConfig.from_env()), count)
        super().init_process()

    def _server(self, listener: Any, **settings: Any) -> "Server":
        return Server(listener, self, settings)

    def notify(self) -> None:
        """Tell gunicorn, once a second, that this worker lives, and end what waits too long."""
        super().notify()
        self.surplus = self.connection_balance.surplus(self.slot)
        self.connections.sweep(None if self.alive else LAST_REQUEST_S)


def _limits(config: ServerConfig) -> Limits:
    return Limits(
        count=config.connections,
        idle_s=config.keepalive_s,
        read_s=config.read_timeout_s,
        send_s=config.send_timeout_s,
        unsent_bytes=config.unsent_mib * 2**20,
    )


class Server(StreamServer):  # type: ignore[misc]
    """Accepts connections, and leaves some to the workers that have fewer."""

    max_accept = 1

    def __init__(self, listener: Any, worker: Worker, settings: dict[str, Any]) -> None:
        super().__init__(listener, spawn=settings["spawn"])
        self.application: Callable[..., Iterable[bytes]] = settings["application"]
        self.connections = worker.connections
        self.log_access = self._log_access if worker.cfg.accesslog else None
        self._worker = worker
        self._connection_balance, self._slot = worker.connection_balance, worker.slot
        self._has_paused = False
        self._wake_ups = WakeUps()
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
        if self._worker.surplus > 0:
            self._worker.surplus -= 1
            return True
        return not self._worker.alive

    def start(self) -> None:
        super().start()
        self._connection_balance.tell(self._slot, 0)

    def close(self) -> None:
        self._connection_balance.leave(self._slot)
        super().close()

    def handle(self, sock: Any, address: Any) -> None:
        try:
            Connection(sock, address, self).serve()
        finally:
            if self.started:
                self._tell(len(self.pool) - 1)

    def _do_read(self) -> None:
        """Accept the connection that waits, or leave it to another worker for a moment."""
        if not self._has_paused and self._connection_balance.is_ahead(self._slot, len(self.pool)):
            self._has_paused = True
            self.stop_accepting()
            self._timer = self.loop.timer(PAUSE_S)
            self._timer.start(self._start_accepting_if_started)
            return
        self._has_paused = False
        super()._do_read()
        self._tell(len(self.pool))

    def _tell(self, connections: int) -> None:
        """Tell the other workers how many connections there are; with many, be patient."""
        self._connection_balance.tell(self._slot, connections)
        self._wake_ups.be_patient(connections > FEW)

    def _log_access(self, environ: dict[str, Any], status: str, sent: int, seconds: float) -> None:
        answer = SimpleNamespace(status=status, headers=(), sent=sent)
        fields = [
            (key[5:].replace("_", "-"), value)
            for key, value in environ.items()
            if key.startswith("HTTP_")
        ]
        self._worker.log.access(answer, fields, environ, timedelta(seconds=seconds))
