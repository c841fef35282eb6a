"""The HTTP worker: gevent's own WSGI server, which gunicorn starts, watches and replaces.

gevent's server does less in Python for a request than gunicorn's own workers: single images were
served 1.2 times as fast.
"""

import time
from functools import partial
from typing import Any

from gunicorn.workers.ggevent import GeventPyWSGIWorker, PyWSGIServer

from server.cpus import WakeUps
from server.worker.connection_balance import ConnectionBalance
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


class Worker(GeventPyWSGIWorker):  # type: ignore[misc]
    """Closes idle connections: after ``keepalive`` seconds, or ``LAST_REQUEST_S`` when it stops.

    A worker that has more than its share of the connections closes some as well; their callers
    connect anew, to another worker.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.wsgi_handler = partial(Connection, worker=self)
        self.server_class = partial(Server, worker=self)
        self.connection_balance: ConnectionBalance
        self.slot: int
        self.logs_access = bool(self.cfg.accesslog)
        self.waiting: dict[Connection, float] = {}
        """The idle connections, each with the time since which it waits for its next request."""
        self.surplus = 0
        """The number of connections that this worker should leave to others."""

    def notify(self) -> None:
        """Tell gunicorn, once a second, that this worker lives, and close idle connections."""
        super().notify()
        self.surplus = self.connection_balance.surplus(self.slot)
        latest = time.monotonic() - (self.cfg.keepalive if self.alive else LAST_REQUEST_S)
        for connection, since in list(self.waiting.items()):
            if since < latest:
                connection.end()


class Server(PyWSGIServer):  # type: ignore[misc]
    """Accepts connections, and leaves some to the workers that have fewer."""

    def __init__(self, *args: Any, worker: Worker, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._connection_balance, self._slot = worker.connection_balance, worker.slot
        self._has_paused = False
        self._wake_ups = WakeUps()

    def start(self) -> None:
        super().start()
        self._connection_balance.tell(self._slot, 0)

    def close(self) -> None:
        self._connection_balance.leave(self._slot)
        super().close()

    def handle(self, *connection: Any) -> None:
        try:
            super().handle(*connection)
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
