"""The client of the engines in a process without gevent: threads, with an event loop of theirs."""

import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests_engine import SHAPE, Gate, Peer, connect, picture, running
from tests_engine import wait_until as until

from server.bundle.latents import latents_range
from server.errors import ClientGone, DeadlineExceeded, EngineUnavailable, LoadFailed
from server.ipc.sources import SeedRange
from server.worker.request_terms import RequestTerms
from server.worker.thread_loop import ThreadLoop
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[3]
WITH_GEVENT = {"caller_socket", "gevent_io", "gunicorn_worker", "http_connection"}
IMPORT = """
import importlib, sys
sys.modules["gevent"] = None  # an import of it raises
for name in {names!r}:
    importlib.import_module(name)
"""


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


def draw(client, seed, n=1, timeout_s=PATIENCE_S, **terms):
    """Return the images; each step holds the loop's lock, as a thread has to."""
    with (
        client.loop.lock,
        client.generate(SeedRange(seed, n), RequestTerms(timeout_s, **terms)) as x,
    ):
        return x.images.copy()


def expected(seed, n=1):
    return picture(latents_range(seed, n, 8))


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
            draw(client, 2, 90, timeout_s=0.5)  # it finds no slot
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
            client.administer("load", "tiny", "", timeout_s=PATIENCE_S)
            with pytest.raises(LoadFailed, match="it is broken"):
                client.administer("load", "tiny", "2", timeout_s=PATIENCE_S)
