"""How a worker looks after its connections; starting and sharing is tested with real processes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

from server.worker import gunicorn_worker
from server.worker.connection_balance import ConnectionBalance


@dataclass(frozen=True)
class Silent:
    end: Callable[[], None]


def test_stopping_worker_ends_connections_that_are_silent_and_leaves_the_others_a_moment(
    monkeypatch,
):
    """Who asks without pause has its next request on the way when the worker is told to stop."""
    ended = []
    me = object.__new__(gunicorn_worker.Worker)  # gunicorn's own beginning needs a server around it
    me.alive, me.cfg, me.waiting = True, SimpleNamespace(keepalive=75), {}
    me.slot, me.connection_balance = 0, ConnectionBalance()
    for since in (0.0, 99.0, 99.9):
        me.waiting[Silent(partial(ended.append, since))] = since
    monkeypatch.setattr(gunicorn_worker.GeventPyWSGIWorker, "notify", lambda self: None)
    monkeypatch.setattr(gunicorn_worker.time, "monotonic", lambda: 100.5)
    me.notify()
    assert ended == [0.0]
    me.alive = False
    me.notify()
    assert ended == [0.0, 0.0, 99.0]
