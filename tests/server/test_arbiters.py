"""An arbiter that outlives what it cannot start; gunicorn's own is in test_server_processes."""

import os

import pytest
from gunicorn.errors import HaltServer

from server.arbiters import RETRY_S, Survivor
from tests.clock import Clock


class Log:
    def __init__(self):
        self.errors = []

    def error(self, text, *facts):
        self.errors.append(text % facts)


class Arbiter:
    """Starts and reaps as it is told to: each entry of a list is returned, or raised."""

    def __init__(self):
        self.log = Log()
        self.starts, self.reaps = [], []

    def spawn_worker(self):
        return self._next(self.starts)

    def spawn_dirty_arbiter(self):
        return self._next(self.starts)

    def reap_workers(self):
        self._next(self.reaps)

    def _next(self, answers):
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def arbiter():
    return Arbiter()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def slept():
    return []


@pytest.fixture
def survivor(arbiter, clock, slept):
    return Survivor(arbiter, clock, slept.append)


@pytest.mark.parametrize("start", ["spawn_worker", "spawn_dirty_arbiter"])
def test_process_that_cannot_be_started_is_tried_again(arbiter, survivor, start):
    arbiter.starts = [OSError("no room"), 17]
    assert getattr(arbiter, start)() is None
    assert arbiter.log.errors[0].endswith("could not be started, which is tried again: no room")
    assert getattr(arbiter, start)() == 17


def test_worker_that_cannot_start_ends_a_server_that_never_served(arbiter, survivor):
    arbiter.reaps = [HaltServer("Worker failed to boot.", 3)]
    with pytest.raises(HaltServer):
        arbiter.reap_workers()


def test_worker_that_cannot_start_is_tried_again_once_another_has(arbiter, survivor, clock, slept):
    if not os.fork():  # another worker, whose word reaches the arbiter
        survivor.has_begun()
        os._exit(0)
    os.wait()
    failed = HaltServer("Worker failed to boot.", 3)
    arbiter.reaps, arbiter.starts = [failed, failed, None], [17, 18]
    arbiter.reap_workers()
    assert arbiter.reaps == [], "a process that ended is left unreaped"
    assert arbiter.log.errors == ["an HTTP worker is tried again: Worker failed to boot."] * 2
    clock.now += RETRY_S / 4
    assert arbiter.spawn_worker() == 17
    clock.now += RETRY_S
    assert arbiter.spawn_worker() == 18
    assert slept == [pytest.approx(RETRY_S * 3 / 4), 0]
