"""What a connection sends; starting, ending and sharing is tested with real processes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import gevent
import pytest
from gevent import socket

from server import worker
from server.crowd import Crowd

REQUEST = b"GET / HTTP/1.1\r\nHost: cars\r\n\r\n"


@pytest.fixture
def connected():
    """Return a function: it connects a caller, by such a socket, to a server of ``body``."""
    started, sockets, workers = [], [], []

    def connect(kind, body, has_length=True, **settings):
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", str(len(body)))] if has_length else [])
            return [body] if has_length else iter([body[:3], body[3:]])

        cfg = SimpleNamespace(accesslog=None)
        me = SimpleNamespace(waiting={}, alive=True, slot=0, crowd=Crowd(), cfg=cfg, surplus=0)
        workers.append(me)
        connection = partial(worker.Connection, worker=me)
        address = ("127.0.0.1", 0)
        server = worker.Server(address, application, worker=me, handler_class=connection, log=None)
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        for option, value in settings.items():
            theirs.setsockopt(socket.SOL_SOCKET, getattr(socket, option), value)
        started.append(gevent.spawn(server.handle, theirs, address))
        ours.settimeout(10)
        sockets.append(ours)
        return ours

    connect.workers = workers
    yield connect
    for each in sockets:
        each.close()
    gevent.killall(started)


def test_head_and_body_are_one_packet(connected):
    caller = connected(socket.SOCK_SEQPACKET, b"the picture")
    caller.sendall(REQUEST)
    head, _, body = caller.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n")
    assert body == b"the picture"


def test_answer_without_a_body_is_its_head(connected):
    caller = connected(socket.SOCK_SEQPACKET, b"")
    for _ in range(2):  # the connection is kept
        caller.sendall(REQUEST)
        assert caller.recv(65536).endswith(b"\r\n\r\n")


def test_worker_with_more_than_its_share_sends_a_caller_to_others_once_it_is_answered(connected):
    caller = connected(socket.SOCK_STREAM, b"the picture")
    connected.workers[0].surplus = 1
    caller.sendall(REQUEST)
    with caller.makefile("rb") as answer:
        told = answer.read()  # to its end
    assert b"\r\nConnection: close\r\n" in told
    assert told.endswith(b"\r\n\r\nthe picture")
    assert connected.workers[0].surplus == 0


@pytest.mark.parametrize("size", [1, 60_000, 3_000_000])
def test_caller_who_reads_slowly_gets_every_byte_once(connected, size):
    picture = bytes(range(251)) * (size // 251 + 1)
    caller = connected(socket.SOCK_STREAM, picture, SO_SNDBUF=4096)
    for _ in range(2):
        caller.sendall(REQUEST)
        with caller.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
            while answer.readline() != b"\r\n":
                pass
            assert answer.read(len(picture)) == picture


def test_head_that_does_not_fit_is_sent_whole(connected, monkeypatch):
    sent = []

    def sendmsg(self, parts):
        sent.append(b"".join(parts))
        return self.send(sent[-1][:20])

    monkeypatch.setattr(socket.socket, "sendmsg", sendmsg)
    caller = connected(socket.SOCK_STREAM, b"the picture")
    caller.sendall(REQUEST)
    answer = b""
    while len(answer) < 20 or len(answer) < len(sent[0]):
        answer += caller.recv(65536)
    assert answer == sent[0]
    assert answer.endswith(b"\r\n\r\nthe picture")


def test_answer_of_unknown_length_is_sent_in_chunks(connected):
    caller = connected(socket.SOCK_STREAM, b"the picture", has_length=False)
    caller.sendall(REQUEST)
    with caller.makefile("rb") as answer:
        fields = list(iter(answer.readline, b"\r\n"))
        assert b"Transfer-Encoding: chunked\r\n" in fields
        assert answer.read(26) == b"3\r\nthe\r\n8\r\n picture\r\n0\r\n\r\n"


@dataclass(frozen=True)
class Silent:
    end: Callable[[], None]


def test_stopping_worker_ends_connections_that_are_silent_and_leaves_the_others_a_moment(
    monkeypatch,
):
    """Who asks without pause has its next request on the way when the worker is told to stop."""
    ended = []
    me = object.__new__(worker.Worker)  # gunicorn's own beginning needs a server around it
    me.alive, me.cfg, me.waiting = True, SimpleNamespace(keepalive=75), {}
    me.slot, me.crowd = 0, Crowd()
    for since in (0.0, 99.0, 99.9):
        me.waiting[Silent(partial(ended.append, since))] = since
    monkeypatch.setattr(worker.GeventPyWSGIWorker, "notify", lambda self: None)
    monkeypatch.setattr(worker.time, "monotonic", lambda: 100.5)
    me.notify()
    assert ended == [0.0]
    me.alive = False
    me.notify()
    assert ended == [0.0, 0.0, 99.0]
