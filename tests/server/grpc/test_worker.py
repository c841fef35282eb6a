"""The gRPC process among gunicorn's workers: which is started when, and how it ends."""

import itertools
from types import SimpleNamespace

import pytest

from server.grpc import worker as module
from server.grpc.worker import GrpcWorker, start_one


class HttpWorker:
    pass


class Arbiter:
    """Stand in for gunicorn's, as far as it starts workers."""

    def __init__(self, workers):
        self.worker_class = HttpWorker
        self.num_workers = workers
        self.WORKERS = {}
        self._pids = itertools.count(1000)
        self.spawn_worker = start_one(self._spawn, self)

    def _spawn(self):
        worker = GrpcWorker.__new__(GrpcWorker) if self.worker_class is GrpcWorker else HttpWorker()
        self.WORKERS[next(self._pids)] = worker

    def fill(self):
        while len(self.WORKERS) < self.num_workers:
            self.spawn_worker()
        return [type(worker) for worker in self.WORKERS.values()]


def test_one_of_the_workers_answers_grpc_and_is_the_last_to_start():
    arbiter = Arbiter(3)
    assert arbiter.fill() == [HttpWorker, HttpWorker, GrpcWorker]
    assert arbiter.worker_class is HttpWorker


@pytest.mark.parametrize("dead", [HttpWorker, GrpcWorker])
def test_one_that_died_is_replaced_by_its_like(dead):
    arbiter = Arbiter(3)
    arbiter.fill()
    arbiter.WORKERS.pop(next(k for k, x in arbiter.WORKERS.items() if type(x) is dead))
    assert sorted(x.__name__ for x in arbiter.fill()) == ["GrpcWorker", "HttpWorker", "HttpWorker"]


def test_reload_starts_http_workers_alone():
    arbiter = Arbiter(2)
    arbiter.fill()
    for _ in range(2):
        arbiter.spawn_worker()
    assert [type(x) for x in arbiter.WORKERS.values()].count(GrpcWorker) == 1


def test_it_is_never_the_oldest():
    cfg = SimpleNamespace(max_requests=0, worker_tmp_dir=None, umask=0, uid=0, gid=0)
    worker = GrpcWorker(1, 2, [], None, 7.5, cfg, None)
    assert worker.age > 10**9
    worker.tmp.close()


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self):
        self.now = 0.0
        self.seen = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def draining(clock, active_until):
    """A worker whose calls last until a time, and what happens to it."""
    happened = []

    class Calls:
        def __setattr__(self, name, value):
            happened.append((name, value, clock.now))

        def sweep(self):
            pass

        @property
        def active(self):
            return clock.now < active_until

    server = SimpleNamespace(
        tell_health=lambda ready: happened.append(("health", ready, clock.now)),
        refuse_calls=lambda grace_s: happened.append(("refuse", clock.now, grace_s)),
    )
    worker = GrpcWorker.__new__(GrpcWorker)
    worker.cfg = SimpleNamespace(graceful_timeout=30)
    worker.notify = lambda: None
    worker._process = SimpleNamespace(
        server=server, calls=Calls(), close=lambda: happened.append(("close", clock.now))
    )
    worker.alive, worker.ppid, worker._hurries = False, -1, False
    return worker, happened


def test_health_fails_before_calls_are_refused_and_accepted_ones_finish(clock):
    worker, happened = draining(clock, active_until=5)
    worker.run()
    health, ending, refuse, close = happened
    assert health == ("health", False, 0.0)
    assert ending == ("is_ending", True, pytest.approx(1.0, abs=0.11))
    assert refuse[0] == "refuse"
    assert refuse[1] == pytest.approx(5.1, abs=0.11)  # no call is cut short
    assert refuse[2] == pytest.approx(22.9, abs=0.2)
    assert close == ("close", pytest.approx(5.2, abs=0.2))


def test_what_does_not_finish_is_ended_before_gunicorn_would_kill(clock, monkeypatch):
    worker, happened = draining(clock, active_until=1000)
    ended = []
    monkeypatch.setattr(module.os, "_exit", ended.append)  # a thread of a call may last for ever
    worker.run()
    assert ended == [0]
    assert happened[-1] == ("close", pytest.approx(28.0, abs=0.2))


def test_worker_that_is_to_quit_waits_for_nobody(clock, monkeypatch):
    worker, happened = draining(clock, active_until=1000)
    monkeypatch.setattr(module.os, "_exit", lambda _: None)
    worker.alive = True
    worker.handle_quit(2, None)
    worker.run()
    *_, refuse, close = happened
    assert (refuse[2], close) == (0.0, ("close", pytest.approx(0.1)))
