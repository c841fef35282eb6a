"""How a worker looks after its connections; starting and sharing is tested with real processes."""

from types import SimpleNamespace

from server.worker import gunicorn_worker
from server.worker.connection_balance import ConnectionBalance
from server.worker.load_samples import LoadSamples


def test_stopping_worker_leaves_idle_connections_a_moment_only(monkeypatch):
    """Who asks without pause has its next request on the way when the worker is told to stop."""
    limits = []
    me = object.__new__(gunicorn_worker.Worker)  # gunicorn's own beginning needs a server around it
    me.alive, me.slot, me.connection_balance = True, 0, ConnectionBalance()
    me.connections = me.probes = SimpleNamespace(sweep=limits.append, answered_now=0)
    me.sockets, me._load_samples = [], LoadSamples()
    monkeypatch.setattr(gunicorn_worker.GeventWorker, "notify", lambda self: None)
    me.notify()
    me.alive = False
    me.notify()
    assert limits == [None, None, gunicorn_worker.LAST_REQUEST_S, gunicorn_worker.LAST_REQUEST_S]
