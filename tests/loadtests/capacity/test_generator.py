"""The generator sends what is due whatever comes back, and looks at every answer."""

import socketserver
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from loadtests.answers import WrongAnswer
from loadtests.capacity.generator import SAMPLES, generate
from loadtests.capacity.kinds import Kind, Model
from loadtests.capacity.orders import Orders
from tests.loadtests.fakes import SHAPE, fake_server

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-npy\r\nContent-Length: 2\r\n\r\nhi"
NPY_16 = 128 + 16 * 32 * 32 * 3
MODEL = Model("cars-dcgan", SHAPE, 100)


def orders(url, count=20, rate=1000.0, **changes):
    terms = {
        "url": url,
        "kind": Kind("npy", 16),
        "model": MODEL,
        "deadline_ms": 60_000.0,
        "length": NPY_16,
        "due_s": np.arange(count) / rate,
        "first": 7,
        "connections": 4,
        "starts_s": time.monotonic(),
        "patience_s": 600.0,
    }
    return Orders(**terms | changes)


@contextmanager
def answering(answer, *, together=1, then_closes=False):
    """Serve in threads: each request gets ``answer``, once so many wait ``together``."""
    all_here = threading.Barrier(together)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with suppress(ConnectionError, threading.BrokenBarrierError):
                while self.request.recv(65536):
                    all_here.wait()
                    self.request.sendall(answer)
                    if then_closes:
                        return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            all_here.abort()
            server.shutdown()
            thread.join()


def test_every_request_is_answered_and_a_sample_is_compared():
    with fake_server() as url:
        notes = generate(orders(url))
    assert notes.statuses.tolist() == [200] * 20
    assert np.all(notes.handled_s >= notes.due_s)
    assert np.all(notes.done_s > notes.handled_s)
    assert notes.compared == 7  # every third
    assert notes.compared <= SAMPLES
    assert notes.cpu_s > 0
    assert notes.busy > 0


def test_requests_are_sent_though_no_answer_has_come():
    """The server answers when it has all requests, and so none if the second awaits the first."""
    with answering(OK.replace(b"200", b"503"), together=4) as url:
        notes = generate(orders(url, 4, connections=4))
    assert notes.statuses.tolist() == [503] * 4


def test_request_that_waits_for_a_connection_has_been_due_all_the_time():
    """Both requests are due at once, there is one connection, and the server is slow."""
    with fake_server("slow") as url:
        notes = generate(orders(url, 2, connections=1, due_s=np.zeros(2)))
    assert notes.done_s[1] - notes.due_s[1] >= 2 * 0.05
    assert np.all(notes.handled_s < notes.done_s[0])


def test_refusals_are_noted_and_are_no_fault():
    with fake_server("busy") as url:
        notes = generate(orders(url))
    assert notes.statuses.tolist() == [503] * 20
    assert notes.compared == 0


@pytest.mark.parametrize(
    ("fault", "changes", "sentence"),
    [
        ("unsteady", {}, "npy:16: a second request gave other bytes"),
        ("", {"length": NPY_16 + 1}, "an answer has not the 49281 bytes of the first ones"),
        ("", {"kind": Kind("png", 16), "length": NPY_16}, "an answer has not the 49280 bytes"),
    ],
)
def test_wrong_answer_ends_the_trial(fault, changes, sentence):
    with fake_server(fault) as url, pytest.raises(WrongAnswer, match=sentence):
        generate(orders(url, **changes))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (OK.replace(b"x-npy", b"json"), "the Content-Type is not application/x-npy"),
        (OK.replace(b"200", b"500"), "the status is 500, wanted 200"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "an answer of no length"),
    ],
)
def test_answer_that_is_none_of_a_good_server_ends_the_trial(answer, sentence):
    with answering(answer) as url, pytest.raises(WrongAnswer, match=sentence):
        generate(orders(url, 4, length=2))


def test_request_that_breaks_off_is_noted_and_its_connection_made_anew():
    with answering(OK[:-1], then_closes=True) as url:
        notes = generate(orders(url, 9, length=2))
    assert notes.statuses.tolist() == [0] * 9
    assert np.all(np.isnan(notes.done_s))


def test_answers_that_never_come_are_waited_for_no_longer_than_patience_lasts():
    with answering(b"") as url:
        notes = generate(orders(url, 3, length=2, patience_s=0.05))
    assert notes.statuses.tolist() == [0, 0, 0]


def test_server_that_is_not_there_is_an_error():
    with fake_server() as url:
        pass
    with pytest.raises(OSError, match="Connect call failed"):
        generate(orders(url))
