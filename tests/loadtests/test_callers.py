"""Callers count what a server answers, and say so when it does not."""

import asyncio
import socket
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from loadtests.callers import Callers
from tests.loadtests.fakes import fake_server


def ask(url, loop):
    """Return what ``loop``, given callers of 16 images at ``url``, comes to."""

    async def run():
        callers = Callers(SimpleNamespace(url=url), 16)
        try:
            return await loop(callers)
        finally:
            callers.close()

    return asyncio.run(run())


@contextmanager
def answering(answer, *, waits=False):
    """Serve one connection after the other: each gets ``answer`` and is closed.

    One that ``waits`` closes it when the caller has, or has sent more.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)
                    if waits:
                        connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_closed_loop_counts_images_that_came():
    with fake_server() as url:
        phase = ask(url, lambda callers: callers.closed_loop(0.3, callers=2))
    asked = phase.statuses[200]
    assert asked >= 2
    assert len(phase.accepted_s) == asked
    assert phase.delivered in (16 * asked, 16 * (asked - 1), 16 * (asked - 2))  # the last, too late
    assert phase.images_per_s == phase.delivered / 0.3


def test_open_loop_asks_at_its_pace_and_waits_for_every_answer():
    with fake_server() as url:
        phase = ask(url, lambda callers: callers.open_loop(0.3, 100, 60.0, first=7))
    assert phase.statuses == {200: 30}


def test_refusals_are_counted_apart():
    with fake_server("busy") as url:
        phase = ask(url, lambda callers: callers.open_loop(0.1, 100, 60.0, first=7))
    assert phase.statuses == {503: 10}
    assert len(phase.refused_s) == 10
    assert (phase.accepted_s, phase.delivered) == ([], 0)


def test_connection_that_the_server_closes_between_answers_is_made_anew():
    async def twice(callers):
        await callers.open_loop(0.01, 100, 60.0, first=7)
        while not callers.connections[0].transport.is_closing():
            await asyncio.sleep(0.01)  # between two looks
        return await callers.open_loop(0.01, 100, 60.0, first=8)

    with answering(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno") as url:
        assert ask(url, twice).statuses == {503: 1}


def test_connection_is_not_asked_again_after_the_answer_that_ends_it():
    async def twice(callers):
        await callers.open_loop(0.01, 100, 60.0, first=7)
        return await callers.open_loop(0.01, 100, 60.0, first=8)

    ends = b"HTTP/1.1 503 No\r\nconnection: close\r\nContent-Length: 2\r\n\r\nno"
    with answering(ends, waits=True) as url:
        assert ask(url, twice).statuses == {503: 1}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nno", ConnectionError),
        (b"HTTP/1.1 200 OK\r\n", ConnectionError),
        (b"HTTP/1.1 200 OK\r\n\r\nno", ValueError),
    ],
)
def test_answer_that_is_not_whole_ends_the_run(answer, error):
    with answering(answer) as url, pytest.raises(error):
        ask(url, lambda callers: callers.open_loop(0.05, 100, 60.0, first=7))
