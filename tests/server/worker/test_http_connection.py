"""What is read of a connection, and what is sent on it."""

import re
import time
from email.utils import parsedate_to_datetime
from functools import partial
from types import SimpleNamespace

import gevent
import pytest
from gevent import socket

from server.worker.connection_balance import ConnectionBalance
from server.worker.gunicorn_worker import Server
from server.worker.http_connection import Connection

REQUEST = b"GET / HTTP/1.1\r\nHost: cars\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: cars\r\nConnection: close\r\n\r\n"


def picture(body, has_length=True, fields=()):
    """Return an application that answers with ``body``."""

    def application(environ, start_response):
        length = [("Content-Length", str(len(body)))] if has_length else []
        start_response("200 OK", [*length, *fields])
        return [body] if has_length else iter([body[:3], body[3:]])

    return application


@pytest.fixture
def connected():
    """Return a function: it connects a caller, by such a socket, to a server of ``application``."""
    started, sockets, workers = [], [], []

    def connect(kind, application, **settings):
        me = SimpleNamespace(
            waiting={},
            alive=True,
            slot=0,
            connection_balance=ConnectionBalance(),
            surplus=0,
            logs_access=False,
        )
        workers.append(me)
        connection = partial(Connection, worker=me)
        address = ("127.0.0.1", 7)
        server = Server(address, application, worker=me, handler_class=connection, log=None)
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


def told(caller, request=REQUEST):
    """Send ``request``; return all that comes until the connection ends."""
    caller.sendall(request)
    with caller.makefile("rb") as answer:
        return answer.read()


def read(connected, request):
    """Return the environment of ``request`` that an application gets, and the ``body`` it reads."""
    found = {}

    def application(environ, start_response):
        found.update(environ, body=environ["wsgi.input"].read())
        start_response("204 No Content", [("Connection", "close")])
        return ()

    assert b"HTTP/1.1 204 No Content\r\n" in told(
        connected(socket.SOCK_STREAM, application), request
    )
    return found


def test_head_and_body_are_one_packet(connected):
    caller = connected(socket.SOCK_SEQPACKET, picture(b"the picture"))
    caller.sendall(REQUEST)
    head, _, body = caller.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n")
    assert body == b"the picture"


def test_answer_without_a_body_is_its_head(connected):
    caller = connected(socket.SOCK_SEQPACKET, picture(b""))
    for _ in range(2):  # the connection is kept
        caller.sendall(REQUEST)
        assert caller.recv(65536).endswith(b"\r\n\r\n")


def test_worker_with_more_than_its_share_sends_a_caller_to_others_once_it_is_answered(connected):
    caller = connected(socket.SOCK_STREAM, picture(b"the picture"))
    connected.workers[0].surplus = 1
    answer = told(caller)
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nthe picture")
    assert connected.workers[0].surplus == 0


@pytest.mark.parametrize("size", [1, 60_000, 3_000_000])
def test_caller_who_reads_slowly_gets_every_byte_once(connected, size):
    body = bytes(range(251)) * (size // 251 + 1)
    caller = connected(socket.SOCK_STREAM, picture(body), SO_SNDBUF=4096)
    for _ in range(2):
        caller.sendall(REQUEST)
        with caller.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
            while answer.readline() != b"\r\n":
                pass
            assert answer.read(len(body)) == body


def test_head_that_does_not_fit_is_sent_whole(connected, monkeypatch):
    sent = []

    def sendmsg(self, parts):
        sent.append(b"".join(parts))
        return self.send(sent[-1][:20])

    monkeypatch.setattr(socket.socket, "sendmsg", sendmsg)
    caller = connected(socket.SOCK_STREAM, picture(b"the picture"))
    caller.sendall(REQUEST)
    answer = b""
    while len(answer) < 20 or len(answer) < len(sent[0]):
        answer += caller.recv(65536)
    assert answer == sent[0]
    assert answer.endswith(b"\r\n\r\nthe picture")


def test_answer_of_unknown_length_is_sent_in_chunks(connected):
    caller = connected(socket.SOCK_STREAM, picture(b"the picture", has_length=False))
    caller.sendall(REQUEST)
    with caller.makefile("rb") as answer:
        fields = list(iter(answer.readline, b"\r\n"))
        assert b"Transfer-Encoding: chunked\r\n" in fields
        assert answer.read(26) == b"3\r\nthe\r\n8\r\n picture\r\n0\r\n\r\n"


def test_head_tells_the_date(connected):
    answer = told(connected(socket.SOCK_STREAM, picture(b"")), CLOSING)
    date = re.search(rb"\r\nDate: ([^\r]+ GMT)\r\n", answer)[1].decode()
    assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 60
    given = picture(b"", fields=[("Date", "today")])
    assert told(connected(socket.SOCK_STREAM, given), CLOSING).count(b"Date: ") == 1


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize(
    "field", [("X", "a{}Set-Cookie: b"), ("X{}Set-Cookie", "b")], ids=["value", "name"]
)
def test_field_that_would_end_its_line_is_not_sent(connected, monkeypatch, field, end):
    monkeypatch.setattr(Connection, "_log_error", lambda *_: None)
    injected = tuple(text.replace("{}", end) for text in field)
    answer = told(connected(socket.SOCK_STREAM, picture(b"", fields=[injected])))
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"Set-Cookie" not in answer


@pytest.mark.parametrize(
    ("status", "field"),
    [
        ("200 OK", (b"X", "a")),
        ("200 OK", ("X", b"a")),
        ("200 OK", ("X", "\u0142")),
        ("204 No Content", ("Content-Length", "3")),
        ("304 Not Modified", ("Content-Length", "3")),
    ],
)
def test_head_that_no_caller_could_read_is_not_sent(connected, monkeypatch, status, field):
    def application(environ, start_response):
        start_response(status, [field])
        return ()

    monkeypatch.setattr(Connection, "_log_error", lambda *_: None)
    answer = told(connected(socket.SOCK_STREAM, application))
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


def test_answer_that_asks_to_close_does(connected):
    closing = picture(b"the picture", fields=[("Connection", "close")])
    answer = told(connected(socket.SOCK_STREAM, closing))
    assert answer.count(b"Connection: close\r\n") == 1


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nConnection: TE, Close\r\n\r\n", None),
        (b"GET / HTTP/1.0\r\n\r\n", b"close"),
    ],
)
def test_caller_that_keeps_no_connection_sees_its_end(connected, request_, says):
    answer = told(connected(socket.SOCK_STREAM, picture(b"the picture")), request_)
    assert answer.endswith(b"the picture")
    found = re.search(rb"\r\nConnection: ([^\r]*)\r\n", answer)
    assert (found and found[1]) == says


def test_older_caller_may_keep_its_connection(connected):
    caller = connected(socket.SOCK_SEQPACKET, picture(b"the picture"))
    for _ in range(2):
        caller.sendall(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
        assert b"\r\nConnection: keep-alive\r\n" in caller.recv(65536)


def test_environment_is_that_of_the_request(connected):
    environ = read(
        connected,
        b"POST /a%20b%C3%A9?c=%20d HTTP/1.1\r\nHost: cars\r\nContent-Type: a/b\r\n"
        b"X-Y: 1\r\nX-Y: 2\r\nPATH_INFO: /else\r\nContent-Length: 4\r\n\r\nbody",
    )
    assert environ["REQUEST_METHOD"] == "POST"
    assert environ["PATH_INFO"] == "/a b\u00c3\u00a9"  # bytes as latin-1, as PEP 3333 has it
    assert environ["QUERY_STRING"] == "c=%20d"
    assert environ["RAW_URI"] == "/a%20b%C3%A9?c=%20d"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("127.0.0.1", "7")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("a/b", "4")
    assert (environ["HTTP_HOST"], environ["HTTP_X_Y"]) == ("cars", "1,2")
    assert environ["body"] == b"body"


def test_body_in_chunks_is_read_whole(connected):
    request = (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"
    )
    assert read(connected, request)["body"] == b"body"


def test_caller_that_waits_to_be_told_sends_its_body_then(connected):
    def application(environ, start_response):
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    caller = connected(socket.SOCK_STREAM, application)
    caller.sendall(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert caller.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    caller.sendall(b"body")
    assert caller.recv(65536).endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/2.0",
        b"GET /\tHTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"HEAD / HTTP/1.1\r\nContent-Length: 4",
    ],
)
def test_what_is_no_request_ends_the_connection(connected, monkeypatch, line):
    monkeypatch.setattr(Connection, "log_error", lambda *_: None)
    answer = told(connected(socket.SOCK_STREAM, picture(b"")), line + b"\r\n\r\n" + REQUEST)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.count(b"HTTP/1.1") == 1
