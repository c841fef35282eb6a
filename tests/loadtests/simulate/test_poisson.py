"""Callers at random times, against a server of one answer."""

import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from loadtests.readings import MeasureError
from loadtests.simulate.poisson import CONNECTIONS, Callers

TIMING = b"Server-Timing: queue;dur=1.000, infer;dur=2.000, encode;dur=0.500\r\n"
IMAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + TIMING + b"\r\nabc"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def answering(answer):
    """Answer every request on every connection, each in a thread, until callers hang up."""
    threads = []

    def serve(sock):
        with sock:
            while sock.recv(65536):
                sock.sendall(answer)

    def accept(listener):
        with suppress(OSError):  # the listener was shut down
            while True:
                threads.append(threading.Thread(target=serve, args=(listener.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS) as listener:
        accepting = threading.Thread(target=accept, args=(listener,))
        accepting.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for thread in threads:
        thread.join()


def test_closed_loop_asks_again_and_reads_what_answers_tell():
    with answering(IMAGE) as url, Callers(url) as callers:
        while len((load := callers.closed_loop(4, 0.1)).latencies_s) <= 4:
            pass  # the machine was busy
    assert set(load.steps_ms()) == {(1.0, 2.0, 0.5)}
    assert len(load.steps_ms()) == len(load.latencies_s)


def test_open_loop_asks_at_random_times_whatever_comes_back():
    with answering(IMAGE) as url, Callers(url, seed=1) as callers:
        load = callers.open_loop(rate=200, seconds=0.5)
    assert 50 < len(load.latencies_s) < 200
    assert min(load.latencies_s) > 0


def test_connection_that_the_server_ends_is_opened_again():
    last = IMAGE.replace(TIMING, TIMING + b"Connection: close\r\n")
    with answering(last) as url, Callers(url) as callers:
        load = callers.open_loop(rate=200, seconds=0.5)
    assert len(load.latencies_s) > CONNECTIONS


def test_refusal_ends_the_measurement():
    with answering(REFUSED) as url, Callers(url) as callers, pytest.raises(MeasureError):
        callers.closed_loop(1, 5.0)
