"""What one HTTP worker says to an engine at the same time arrives as one packet."""

import socket

import gevent
import pytest
from tests_engine import until

from server.ipc.arena import Arena
from server.ipc.engine_socket import listen, receive_hello
from server.ipc.messages import MAX_PACKET, Cancel, Submit, unpack
from server.worker.engine_connection import EngineConnection
from server.worker.gevent_io import GeventLoop

ARENA = 2**16


@pytest.fixture
def connection(path):
    """A connection to an engine of which there is nothing but its socket."""
    heard, arena = [], Arena.create(ARENA)
    connection = EngineConnection(
        path, arena, GeventLoop(), heard.append, lambda: None, lambda: None
    )
    connection.heard = heard
    yield connection
    connection.close()
    arena.close()


@pytest.fixture
def engine(path, connection):
    """The engine's end of the connection."""
    with listen(path) as listener:
        listener.setblocking(False)
        accepted = []

        def accept():
            try:
                accepted.append(listener.accept()[0])
            except BlockingIOError:
                return False
            return True

        until(accept)
    with accepted[0] as sock:
        sock.setblocking(True)
        receive_hello(sock).close()
        until(lambda: connection.up)
        yield sock


def submit(request_id):
    return Submit(request_id, 7, 5, 0, 1, 2.5, False, False)


def test_what_is_said_together_travels_together(connection, engine):
    for request_id in range(5):
        connection.send(submit(request_id))
    connection.send(Cancel(3))
    gevent.sleep(0.01)
    assert list(unpack(engine.recv(MAX_PACKET))) == [submit(i) for i in range(5)]
    assert list(unpack(engine.recv(MAX_PACKET))) == [Cancel(3)]
    engine.setblocking(False)
    with pytest.raises(BlockingIOError):
        engine.recv(1)


def test_what_was_said_to_one_engine_is_not_said_to_the_next(path, connection, engine):
    engine.shutdown(socket.SHUT_RDWR)
    connection.send(submit(1))
    until(lambda: not connection.up)
    with listen(path) as listener:
        until(lambda: connection.up)
        listener.setblocking(True)
        following, _ = listener.accept()
    with following:
        receive_hello(following).close()
        connection.send(submit(2))
        gevent.sleep(0.01)
        assert list(unpack(following.recv(MAX_PACKET))) == [submit(2)]


def test_engine_that_is_slow_to_read_gets_every_message_once(connection, engine):
    said = [submit(request_id) for request_id in range(100_000)]
    for message in said:
        connection.send(message)
    gevent.sleep(0.01)
    engine.setblocking(False)
    heard = []

    def hears_all():
        try:
            while True:
                heard.extend(unpack(engine.recv(MAX_PACKET)))
        except BlockingIOError:
            return len(heard) >= len(said)

    until(hears_all)
    assert heard == said
