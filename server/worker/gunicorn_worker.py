"""The HTTP worker: gevent's own WSGI server, which gunicorn starts, watches and replaces.

It does less in Python than gunicorn's own way with a request: single images were served 1.2 times
as fast.
"""

import time
from functools import partial
from typing import Any

from gunicorn.workers.ggevent import GeventPyWSGIWorker, PyWSGIServer

from server.worker.connection_balance import ConnectionBalance
from server.worker.http_connection import Connection

PAUSE_S = 0.002
"""How long a connection is left to workers that have fewer. One that is busy takes longer to wake,
and one that hangs never does: after the pause the connection is accepted."""
FAREWELL_S = 1.0
"""How long a worker that stops waits for a connection's next request: who asks without pause is
answered, and told there to close it, where an end at once would cut off what is on its way."""


class Worker(GeventPyWSGIWorker):  # type: ignore[misc]
    """Ends connections that ask for nothing; when it stops, soon after each is answered.

    When it has more than its share, it ends some as well: their callers come again to another.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.wsgi_handler = partial(Connection, worker=self)
        self.server_class = partial(Server, worker=self)
        self.connection_balance: ConnectionBalance
        self.slot: int
        self.logs_access = bool(self.cfg.accesslog)
        self.waiting: dict[Connection, float] = {}
        """Connections whose next request is not here yet, and since when."""
        self.surplus = 0
        """How many connections others should have instead."""

    def notify(self) -> None:
        """Tell gunicorn that this worker lives, once a second, and look after the connections."""
        super().notify()
        self.surplus = self.connection_balance.surplus(self.slot)
        latest = time.monotonic() - (self.cfg.keepalive if self.alive else FAREWELL_S)
        for connection, since in list(self.waiting.items()):
            if since < latest:
                connection.end()


class Server(PyWSGIServer):  # type: ignore[misc]
    """Accepts connections, and leaves some to the workers that have fewer."""

    def __init__(self, *args: Any, worker: Worker, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._connection_balance, self._slot = worker.connection_balance, worker.slot
        self._has_paused = False

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
                self._connection_balance.tell(self._slot, len(self.pool) - 1)

    def _do_read(self) -> None:
        """Accept the connection that is there, or leave it to another worker for a moment."""
        if not self._has_paused and self._connection_balance.is_ahead(self._slot, len(self.pool)):
            self._has_paused = True
            self.stop_accepting()
            self._timer = self.loop.timer(PAUSE_S)
            self._timer.start(self._start_accepting_if_started)
            return
        self._has_paused = False
        super()._do_read()
        self._connection_balance.tell(self._slot, len(self.pool))
