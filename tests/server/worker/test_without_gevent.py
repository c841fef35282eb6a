"""The client of the engines in a process without gevent: threads, with an event loop of theirs."""

import heapq
import itertools
import select
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from tests_engine import SHAPE, Gate, Peer, connect, picture, running

from server.bundle.latents import latents_range
from server.errors import ClientGone, DeadlineExceeded, EngineUnavailable, LoadFailed
from server.ipc.messages import SeedRange
from server.worker.request_terms import RequestTerms

ROOT = Path(__file__).parents[3]
WITH_GEVENT = {"caller_socket", "gevent_io", "gunicorn_worker", "http_connection"}
IMPORT = """
import importlib, sys
sys.modules["gevent"] = None  # an import of it raises
for name in {names!r}:
    importlib.import_module(name)
"""


class ThreadWaiter:
    """Where a thread waits for a value; it gives up the loop's lock meanwhile."""

    def __init__(self, lock):
        self._changed = threading.Condition(lock)
        self._values = []

    def wait(self):
        self._changed.wait_for(lambda: self._values)
        return self._values[0]

    def wake(self, value):
        self._values.append(value)
        self._changed.notify()


class ThreadLoop:
    """An event loop in a thread; ``lock`` is held for each callback and each call of a client."""

    def __init__(self):
        self.lock = threading.RLock()
        self._selector = selectors.DefaultSelector()
        self._alarm, self._ours = socket.socketpair()
        read = partial(self._ours.recv, 4096)
        self._selector.register(self._ours, selectors.EVENT_READ, read)
        self._soon = deque()
        self._timers = []
        self._numbers = itertools.count()
        self._ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self):
        self._ended = True
        self._alarm.send(b"!")
        self._thread.join(10)
        self._selector.close()
        self._alarm.close()
        self._ours.close()

    def waiter(self):
        return ThreadWaiter(self.lock)

    def call_soon(self, callback, *args):
        self._soon.append((callback, args))
        self._alarm.send(b"!")

    def call_later(self, delay_s, callback, *args):
        timer = [time.monotonic() + delay_s, next(self._numbers), callback, args]
        heapq.heappush(self._timers, timer)
        self._alarm.send(b"!")

        def stop():
            timer[2] = lambda *_: None

        return stop

    def call_periodically(self, period_s, callback):
        stopped = []

        def run():
            if not stopped:
                callback()
                self.call_later(period_s, run)

        self.call_soon(run)
        return lambda: stopped.append(True)

    def watch_readable(self, descriptor, callback):
        self._selector.register(descriptor, selectors.EVENT_READ, callback)
        return lambda: self._selector.unregister(descriptor)

    def in_thread(self, function, *args):
        return function(*args)

    def socket(self, family, kind):
        return socket.socket(family, kind)

    def poll(self):
        return select.poll()

    def _run(self):
        while not self._ended:
            until = self._timers[0][0] if self._timers else float("inf")
            ready = self._selector.select(min(max(until - time.monotonic(), 0), 1))
            with self.lock:
                for key, _ in ready:
                    with suppress(KeyError):  # a callback before it has ended the watch
                        self._selector.get_key(key.fileobj).data()
                while self._timers and self._timers[0][0] <= time.monotonic():
                    _, _, callback, args = heapq.heappop(self._timers)
                    callback(*args)
                for _ in range(len(self._soon)):
                    callback, args = self._soon.popleft()
                    callback(*args)


@pytest.fixture
def loop():
    loop = ThreadLoop()
    yield loop
    loop.close()


@pytest.fixture
def client(path, loop):
    """A client whose arena holds one large request at a time."""
    with loop.lock:
        client = connect(path, arena_bytes=SHAPE.size(104), loop=loop)
    yield client
    with loop.lock:
        client.close()


def draw(client, seed, n=1, timeout_s=10.0, **terms):
    """Return the images; each step holds the loop's lock, as a thread has to."""
    with (
        client.loop.lock,
        client.generate(SeedRange(seed, n), RequestTerms(timeout_s, **terms)) as x,
    ):
        return x.images.copy()


def expected(seed, n=1):
    return picture(latents_range(seed, n, 8))


def until(condition, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_api_and_worker_import_without_gevent():
    names = [
        f"server.{folder}.{module.stem}"
        for folder in ("api", "worker")
        for module in (ROOT / "server" / folder).glob("*.py")
        if module.stem not in WITH_GEVENT
    ]
    assert {"server.api.generate", "server.worker.engine_client"} <= set(names)
    code = IMPORT.format(names=names)
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_threads_get_the_images_of_their_seeds(path, client):
    with running(path) as engine, ThreadPoolExecutor(16) as threads:
        drawn = list(threads.map(lambda seed: draw(client, seed, 1 + seed % 40), range(100)))
        assert len(engine.notes.batches) < 200
    assert all((x == expected(seed, 1 + seed % 40)).all() for seed, x in enumerate(drawn))


def test_threads_wait_for_slots_and_for_an_engine_that_dies(path, client):
    gate = Gate()
    with running(path, [gate]), ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(draw, client, seed, 90) for seed in range(3)]
        until(gate.entered.is_set)
        with client.loop.lock:
            client._balancer.backends[0].connection.hang_up()
        gate.open.set()
        assert all((call.result() == expected(k, 90)).all() for k, call in enumerate(calls))
    assert client._inflight._slots.taken == 0


def test_thread_waits_no_longer_than_its_deadline(path, client):
    with pytest.raises(EngineUnavailable):
        draw(client, 1, timeout_s=0.05)
    gate = Gate()
    with running(path, [gate]), ThreadPoolExecutor(1) as threads:
        first = threads.submit(draw, client, 1, 90)
        until(gate.entered.is_set)
        with pytest.raises(DeadlineExceeded):
            draw(client, 2, 90, timeout_s=0.05)  # it finds no slot
        gate.open.set()
        first.result()


def test_thread_whose_caller_hangs_up_waits_no_more(path, client):
    gate = Gate()
    here, there = socket.socketpair()
    with here, running(path, [gate]), ThreadPoolExecutor(2) as threads:
        first = threads.submit(draw, client, 1, 90)
        until(gate.entered.is_set)
        second = threads.submit(draw, client, 2, 90, peer=Peer(here))
        until(lambda: list(client._inflight._slots.waiting))
        there.close()
        with pytest.raises(ClientGone):
            second.result()
        gate.open.set()
        first.result()


def test_administrator_in_a_thread_gets_the_engines_word(path, client):
    def on_ask(ask, answer):
        threading.Thread(target=answer, args=("it is broken" if ask.version else "",)).start()

    with running(path, on_ask=on_ask):
        until(lambda: client.ready)
        with client.loop.lock:
            client.administer("load", "tiny", "", timeout_s=10)
            with pytest.raises(LoadFailed, match="it is broken"):
                client.administer("load", "tiny", "2", timeout_s=10)
