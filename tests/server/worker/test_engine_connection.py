"""What one HTTP worker says to an engine at the same time arrives as one packet."""

import socket

import gevent
import pytest
from tests_engine import until

from server.ipc.arena import Arena
from server.ipc.engine_socket import listen, receive_hello
from server.ipc.messages import MAX_PACKET, Cancel, Submit, unpack
from server.worker.engine_connection import EngineConnection

ARENA = 2**16


@pytest.fixture
def line(path):
    """A line to an engine of which there is nothing but its socket."""
    heard, arena = [], Arena.create(ARENA)
    line = EngineConnection(path, arena, heard.append, lambda: None, lambda: None)
    line.heard = heard
    yield line
    line.close()
    arena.close()


@pytest.fixture
def engine(path, line):
    """Its end of the line."""
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
        until(lambda: line.up)
        yield sock


def submit(request_id):
    return Submit(request_id, 7, 5, 0, 1, 2.5, False, False)


def test_what_is_said_together_travels_together(line, engine):
    for request_id in range(5):
        line.say(submit(request_id))
    line.say(Cancel(3))
    gevent.sleep(0.01)
    assert list(unpack(engine.recv(MAX_PACKET))) == [submit(i) for i in range(5)]
    assert list(unpack(engine.recv(MAX_PACKET))) == [Cancel(3)]
    engine.setblocking(False)
    with pytest.raises(BlockingIOError):
        engine.recv(1)


def test_what_was_said_to_one_engine_is_not_said_to_the_next(path, line, engine):
    engine.shutdown(socket.SHUT_RDWR)
    line.say(submit(1))
    until(lambda: not line.up)
    with listen(path) as listener:
        until(lambda: line.up)
        listener.setblocking(True)
        following, _ = listener.accept()
    with following:
        receive_hello(following).close()
        line.say(submit(2))
        gevent.sleep(0.01)
        assert list(unpack(following.recv(MAX_PACKET))) == [submit(2)]
