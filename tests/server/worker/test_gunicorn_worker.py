"""How a worker looks after its connections; starting and sharing is tested with real processes."""

from types import SimpleNamespace

from server.worker import gunicorn_worker
from server.worker.connection_balance import ConnectionBalance


def test_stopping_worker_leaves_idle_connections_a_moment_only(monkeypatch):
    """Who asks without pause has its next request on the way when the worker is told to stop."""
    limits = []
    me = object.__new__(gunicorn_worker.Worker)  # gunicorn's own beginning needs a server around it
    me.alive, me.slot, me.connection_balance = True, 0, ConnectionBalance()
    me.connections = SimpleNamespace(sweep=limits.append)
    monkeypatch.setattr(gunicorn_worker.GeventWorker, "notify", lambda self: None)
    me.notify()
    me.alive = False
    me.notify()
    assert limits == [None, gunicorn_worker.LAST_REQUEST_S]
