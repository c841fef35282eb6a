"""What is read of a connection, and what is sent on it."""

import re
import sys
import time
from dataclasses import replace
from email.utils import parsedate_to_datetime
from types import SimpleNamespace

import gevent
import gevent.event
import pytest
from gevent import socket
from tests_engine import until

from server.errors import ERROR, BodiesFull, ProtocolError
from server.worker.caller_socket import (
    ARRIVED,
    LEAST_READ,
    CallerSocket,
    Overdue,
    have_arrivals_told,
)
from server.worker.connections import READER, REQUEST, REST, Connections, Limits
from server.worker.gevent_io import GeventLoop
from server.worker.http_connection import FAILED, Connection
from server.worker.large_bodies import MAX_BODY
from server.worker.peer import PEER, WAITED, hung_up
from server.worker.request_reader import MAX_HEAD, MAX_LINE
from server.worker.streamed import Cut, Streamed
from tests.patience import PATIENCE_S

GET = b"GET / HTTP/1.1\r\nHost: cars\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: cars\r\nConnection: close\r\n\r\n"


CHUNKED = b"POST / HTTP/1.1\r\nHost: cars\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMITS = Limits(count=3, idle_s=75, read_s=20, send_s=10, unsent_bytes=2**20)


def picture(body, has_length=True, fields=()):
    """Return an application that answers with ``body``."""

    def application(environ, start_response):
        length = [("Content-Length", str(len(body)))] if has_length else []
        start_response("200 OK", [*length, *fields])
        return [body] if has_length else iter([body[:3], body[3:]])

    return application


class Server:
    """Takes the place of the HTTP worker's server for one connection."""

    def __init__(self, application):
        self.application = application
        self.environ = {}
        self.reasons = []
        self.connections = Connections(LIMITS, self.reasons.append)
        self.logged = []
        self.log_access = None
        self.surplus = 0

    def lets_go(self):
        self.surplus -= 1
        return self.surplus >= 0


@pytest.fixture
def connected():
    """Return a function: it connects a caller, by such a socket, to a server of ``application``."""
    started, sockets, servers = [], [], []

    def connect(kind, application, **settings):
        server = Server(rendering_errors(application))
        servers.append(server)
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        for option, value in settings.items():
            theirs.setsockopt(socket.SOL_SOCKET, getattr(socket, option), value)
        started.append(gevent.spawn(serve, theirs, server))
        ours.settimeout(PATIENCE_S)
        sockets.append(ours)
        return ours

    connect.servers = servers
    yield connect
    for each in sockets:
        each.close()
    gevent.killall(started)


def serve(sock, server):
    with sock:
        Connection(sock, ("127.0.0.1", 7), server).serve()


def rendering_errors(application):
    """Return ``application`` with requests refused as the real application does."""

    def refuse_or_answer(environ, start_response):
        if error := environ.get(ERROR):
            start_response(f"{int(error.status)} Refused", [])
            return [str(error).encode()]
        return application(environ, start_response)

    return refuse_or_answer


def told(caller, request=GET):
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


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of no arrivals")
def test_a_wait_before_a_request_is_read_is_told_to_the_application(clock_of_arrivals):
    """It waits in the backlog of the listener, then for the greenlet; the clock goes on by 5 s."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        have_arrivals_told(listener)
        with socket.create_connection(listener.getsockname(), timeout=PATIENCE_S) as caller:
            caller.sendall(GET)
            caller.shutdown(socket.SHUT_WR)
            environ = {}

            def application(found, start_response):
                environ.update(found)
                start_response("204 No Content", [("Connection", "close")])
                return ()

            clock_of_arrivals(5.0)
            serve(listener.accept()[0], Server(application))
            assert caller.recv(65536).startswith(b"HTTP/1.1 204")
    assert 5.0 <= environ[WAITED] < 60.0


@pytest.mark.parametrize("later_s", [-5.0, 3600.0])
def test_a_clock_that_was_set_meanwhile_tells_of_no_wait(clock_of_arrivals, later_s):
    caller_socket = CallerSocket(None, None)
    now = time.time()
    caller_socket._arrived = ARRIVED.pack(int(now), 0)
    clock_of_arrivals(later_s)
    assert caller_socket.waited_s() == 0.0


def test_a_request_whose_rest_never_came_did_not_wait():
    """What a slow caller takes is no time of the server's."""
    late = CallerSocket(None, None)
    late._arrived = ARRIVED.pack(int(time.time()) - 20, 0)

    def end(*_):
        raise Overdue

    late._socket = SimpleNamespace(recvmsg=end)
    with pytest.raises(ProtocolError, match="took too long"):
        late.receive(has_begun=True)
    assert late.waited_s() == 0.0


def test_where_the_system_tells_of_no_arrival_there_is_no_wait(connected):
    assert read(connected, GET)[WAITED] == 0.0


@pytest.fixture
def clock_of_arrivals(monkeypatch):
    """Return a function that sets the clock that arrivals are compared with."""

    def go_on(seconds):
        monkeypatch.setattr("server.worker.caller_socket.time", lambda: time.time() + seconds)

    return go_on


def test_head_and_body_are_one_packet(connected):
    caller = connected(socket.SOCK_SEQPACKET, picture(b"the picture"))
    caller.sendall(GET)
    head, _, body = caller.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n")
    assert body == b"the picture"


def test_answer_without_a_body_is_its_head(connected):
    caller = connected(socket.SOCK_SEQPACKET, picture(b""))
    for _ in range(2):  # the connection is kept
        caller.sendall(GET)
        assert caller.recv(65536).endswith(b"\r\n\r\n")


def test_worker_with_more_than_its_share_sends_a_caller_to_others_once_it_is_answered(connected):
    caller = connected(socket.SOCK_STREAM, picture(b"the picture"))
    connected.servers[0].surplus = 1
    answer = told(caller)
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nthe picture")


@pytest.mark.parametrize("size", [1, 60_000, 3_000_000])
def test_caller_who_reads_slowly_gets_every_byte_once(connected, size):
    body = bytes(range(251)) * (size // 251 + 1)
    caller = connected(socket.SOCK_STREAM, picture(body), SO_SNDBUF=4096)
    for _ in range(2):
        caller.sendall(GET)
        with caller.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
            while answer.readline() != b"\r\n":
                pass
            assert answer.read(len(body)) == body


def test_head_that_does_not_fit_is_sent_whole(connected, monkeypatch):
    sent = []

    def sendmsg(self, parts, *_):
        sent.append(b"".join(parts))
        return self.send(sent[-1][:20])

    monkeypatch.setattr(socket.socket, "sendmsg", sendmsg)
    caller = connected(socket.SOCK_STREAM, picture(b"the picture"))
    caller.sendall(GET)
    answer = b""
    while len(answer) < 20 or len(answer) < len(sent[0]):
        answer += caller.recv(65536)
    assert answer == sent[0]
    assert answer.endswith(b"\r\n\r\nthe picture")


def test_length_of_an_answer_is_told_where_the_application_does_not(connected):
    pieces = picture(b"the picture", has_length=False)
    answer = told(connected(socket.SOCK_STREAM, pieces), CLOSING)
    assert b"\r\nContent-Length: 11\r\n" in answer
    assert answer.endswith(b"\r\n\r\nthe picture")


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
def test_field_that_would_end_its_line_is_not_sent(connected, field, end):
    injected = tuple(text.replace("{}", end) for text in field)
    answer = told(connected(socket.SOCK_STREAM, picture(b"", fields=[injected])))
    assert answer.startswith(b"HTTP/1.1 500 Refused\r\n")
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
def test_head_that_no_caller_could_read_is_not_sent(connected, status, field):
    def application(environ, start_response):
        start_response(status, [field])
        return ()

    answer = told(connected(socket.SOCK_STREAM, application))
    assert answer.startswith(b"HTTP/1.1 500 Refused\r\n")


def test_answer_that_asks_to_close_does(connected):
    closing = picture(b"the picture", fields=[("Connection", "close")])
    answer = told(connected(socket.SOCK_STREAM, closing))
    assert answer.count(b"Connection: close\r\n") == 1


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"close"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n\r\n", b"close"),
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
    request = CHUNKED.replace(b"chunked", b"Chunked") + b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"
    assert read(connected, request)["body"] == b"body"


def echo(environ, start_response):
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


def test_caller_that_waits_to_be_told_sends_its_body_then(connected):
    caller = connected(socket.SOCK_STREAM, echo)
    caller.sendall(
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    )
    assert caller.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    caller.sendall(b"body")
    assert caller.recv(65536).endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_head_has_no_body_in_its_answer(connected, version):
    head = f"HEAD / {version}\r\nHost: cars\r\nConnection: close\r\n\r\n".encode()
    answer = told(connected(socket.SOCK_STREAM, picture(b"the picture")), head)
    assert b"\r\nContent-Length: 11\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_head_of_what_was_not_made_tells_no_length(connected):
    head = b"HEAD / HTTP/1.1\r\nHost: cars\r\nConnection: close\r\n\r\n"
    answer = told(connected(socket.SOCK_STREAM, picture(b"", has_length=False)), head)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length" not in answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * MAX_LINE, 414),
        (b"GET /" + b"a" * MAX_LINE + b" HTTP/1.1\r\n\r\n", 414),
        (b"EHLO cars\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: cars\r\nX: " + b"a" * MAX_HEAD, 431),
        (b"GET / HTTP/1.1\r\nHost: cars\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\nHost: cars\n\n", 400),
        (b"\r\nGET / HTTP/1.1\r\nHost: cars\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: cars\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: cars\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: cars\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (CHUNKED + b"10001\r\n", 413),
        (CHUNKED + b"1\nab\r\n0\r\n\r\n", 400),
        (CHUNKED + b"x\r\n", 400),
        (CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", 400),
        (CHUNKED.replace(b"chunked", b"gzip"), 501),
        (b"POST / HTTP/1.1\r\nHost: cars\r\nExpect: cars\r\nContent-Length: 1\r\n\r\n", 417),
    ],
)
def test_what_is_no_request_is_told_so_and_nothing_behind_it_is_read(connected, request_, status):
    answer = told(connected(socket.SOCK_STREAM, picture(b"")), request_ + GET)
    assert answer.startswith(f"HTTP/1.1 {status} Refused\r\n".encode())
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.count(b"\r\nDate: ") == 1


def test_caller_reads_why_its_request_is_refused_while_it_sends_on(connected):
    """A connection that is closed with unread bytes is reset: the answer would be lost."""
    caller = connected(socket.SOCK_STREAM, picture(b""))
    caller.sendall(b"POST / HTTP/1.1\r\nHost: cars\r\nContent-Length: 200000\r\n\r\n")
    caller.sendall(b"a" * 200_000)
    caller.shutdown(socket.SHUT_WR)
    with caller.makefile("rb") as answer:
        assert answer.read().startswith(b"HTTP/1.1 413 Refused\r\n")


def test_broken_off_request_is_refused(connected):
    for begun in (GET[:20], b"POST / HTTP/1.1\r\nHost: cars\r\nContent-Length: 9\r\n\r\nbody"):
        caller = connected(socket.SOCK_STREAM, picture(b""))
        caller.sendall(begun)
        caller.shutdown(socket.SHUT_WR)
        with caller.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.1 400 Refused\r\n")


def test_body_and_head_may_be_as_long_as_they_may_be(connected):
    body = b"a" * MAX_BODY
    head = b"POST / HTTP/1.1\r\nHost: cars\r\nContent-Length: 65536\r\n"
    head += b"X: " + b"a" * (MAX_HEAD - len(head) - 3) + b"\r\n\r\n"
    assert read(connected, head + body)["body"] == body


LARGE = b"b" * (2 * MAX_BODY + 1)
IMAGES = b"POST /v1/images HTTP/1.1\r\nHost: cars\r\n"


def in_chunks(body, size=9000):
    """Return the field and the chunks of a body."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(x), x) for x in pieces)
    return b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "sent", [b"Content-Length: %d\r\n\r\n%b" % (len(LARGE), LARGE), in_chunks(LARGE)]
)
def test_large_body_is_read_where_it_may_carry_latents(connected, sent):
    caller = connected(socket.SOCK_STREAM, echo)
    caller.sendall(IMAGES + sent + CLOSING)
    with caller.makefile("rb") as answer:
        text = answer.read()
    assert text.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert LARGE in text
    assert (
        told(connected(socket.SOCK_STREAM, echo), IMAGES.replace(b"/v1/images", b"/") + sent)[:12]
        == b"HTTP/1.1 413"
    )


@pytest.mark.parametrize(
    "sent",
    [b"Content-Length: %d\r\n\r\n" % (2**24 + 1), b"Transfer-Encoding: chunked\r\n\r\n1000001\r\n"],
)
def test_body_over_the_limit_of_large_ones_is_refused_before_it_comes(connected, sent):
    answer = told(connected(socket.SOCK_STREAM, echo), IMAGES + sent)
    assert answer.startswith(b"HTTP/1.1 413 Refused\r\n")
    assert answer.endswith(b"the body is longer than 16777216 bytes")


def test_large_body_counts_from_its_first_byte_until_it_is_answered(connected):
    asked, let_go = gevent.event.Event(), gevent.event.Event()

    def application(environ, start_response):
        asked.set()
        assert let_go.wait(PATIENCE_S)
        return echo(environ, start_response)

    caller = connected(socket.SOCK_STREAM, application)
    caller.sendall(IMAGES + b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:50_000])
    connections = connected.servers[0].connections
    until(lambda: connections._heard == 50_000)
    caller.sendall(LARGE[50_000:])
    assert asked.wait(PATIENCE_S)
    assert connections._heard == len(LARGE)
    let_go.set()
    until(lambda: connections._heard == 0)
    caller.sendall(IMAGES + b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:50_000])
    until(lambda: connections._heard == 50_000)
    caller.close()
    until(lambda: connections._heard == 0)


def test_large_body_in_chunks_counts_as_well(connected):
    caller = connected(socket.SOCK_STREAM, echo)
    sent = IMAGES + in_chunks(LARGE)
    caller.sendall(sent[:-100])
    connections = connected.servers[0].connections
    until(lambda: connections._heard > 2 * MAX_BODY - 100)
    caller.sendall(sent[-100:])
    until(lambda: connections._heard == 0)


def test_small_body_is_not_counted(connected):
    caller = connected(socket.SOCK_STREAM, echo)
    caller.sendall(IMAGES + b"Content-Length: %d\r\n\r\n" % MAX_BODY + b"a" * 50_000)
    (connection,) = until(lambda: list(connected.servers[0].connections))
    until(lambda: connection.waits_for == REST)
    assert connection.heard == 0


def test_request_whose_body_comes_most_slowly_reads_that_others_take_all_memory(connected):
    caller = connected(socket.SOCK_STREAM, echo)
    caller.sendall(IMAGES + b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:50_000])
    connections = connected.servers[0].connections
    until(lambda: connections._heard == 50_000)
    connections.limits = replace(LIMITS, bodies_bytes=60_000)
    caller.sendall(LARGE[50_000:])
    caller.shutdown(socket.SHUT_WR)
    with caller.makefile("rb") as answer:
        text = answer.read()
    assert text.startswith(b"HTTP/1.1 503 Refused\r\n")
    assert b"the large bodies of others take the 60000 bytes that are for all" in text
    assert connected.servers[0].reasons == ["bodies"]


def test_request_that_is_refused_for_others_bodies_is_told_so_while_it_waits(connected):
    caller = connected(socket.SOCK_STREAM, echo)
    caller.sendall(IMAGES + b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:50_000])
    connection = waiting(connected, REST)
    connection.end(BodiesFull(7))
    caller.shutdown(socket.SHUT_WR)
    with caller.makefile("rb") as answer:
        assert answer.read().startswith(b"HTTP/1.1 503 Refused\r\n")


def test_requests_that_come_together_are_answered_in_turn(connected):
    post = b"POST / HTTP/1.1\r\nHost: cars\r\nContent-Length: 4\r\n\r\nbody"
    chunked = CHUNKED + b"4\r\nbody\r\n0\r\n\r\n"
    answer = told(connected(socket.SOCK_STREAM, echo), GET + post + chunked + post + CLOSING)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 5
    assert answer.count(b"\r\n\r\nbody") == 3


@pytest.mark.parametrize("expect", [b"100-continue", b"100-Continue"])
def test_caller_that_is_not_waiting_is_not_told_to_go_on(connected, expect):
    post = b"POST / HTTP/1.1\r\nHost: cars\r\nExpect: %s\r\nContent-Length: 4\r\n\r\n"
    caller = connected(socket.SOCK_STREAM, echo)
    caller.sendall(post % expect + b"body")
    assert caller.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    caller.sendall(post % expect)
    assert caller.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_wish_to_upgrade_is_ignored(connected):
    wish = b"GET / HTTP/1.1\r\nHost: cars\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    caller = connected(socket.SOCK_SEQPACKET, picture(b"the picture"))
    for _ in range(2):
        caller.sendall(wish)
        assert caller.recv(65536).endswith(b"\r\n\r\nthe picture")


def test_whole_url_as_the_target_is_read_as_its_path_and_host(connected):
    environ = read(connected, b"GET http://vans/a?b HTTP/1.1\r\nHost: cars\r\n\r\n")
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a", "b")
    assert environ["HTTP_HOST"] == "vans"


def test_failure_of_the_application_is_an_answer_and_one_line_of_the_log(connected, caplog):
    def application(environ, start_response):
        raise OSError("no space left on device")

    answer = told(connected(socket.SOCK_STREAM, application))
    assert answer.startswith(b"HTTP/1.1 500 Refused\r\n")
    (line,) = caplog.records
    assert "no space left" in line.exc_text


def test_failure_of_the_errors_rendering_is_an_answer_still(connected):
    def application(environ, start_response):
        raise RuntimeError

    caller = connected(socket.SOCK_STREAM, application)
    connected.servers[0].application = application
    assert told(caller) == FAILED


# answers that are sent while they are made

OLD = b"GET / HTTP/1.0\r\n\r\n"
PARTS = [b"the ", b"picture", b" of a car"]
AHEAD = 10_000_000
"""The bytes of what is made ahead."""


class Stream:
    """An application whose answer is made of ``parts``, one of which may be an error."""

    def __init__(self, *parts, has_length=True):
        self.parts = parts
        self.length = sum(map(len, PARTS)) if has_length else None
        self.taken = self.ended = 0

    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Length", str(self.length))] * bool(self.length))
        return Streamed(self.yielded(), self.length, AHEAD, self.end)

    def yielded(self):
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            self.taken += 1
            yield part

    def end(self):
        self.ended += 1


def test_answer_of_a_known_length_is_sent_as_it_is_made(connected):
    stream = Stream(*PARTS)
    caller = connected(socket.SOCK_STREAM, stream)
    for times in (1, 2):  # the connection is kept
        caller.sendall(GET)
        with caller.makefile("rb") as answer:
            head = b"".join(iter(answer.readline, b"\r\n"))
            assert b"\r\nContent-Length: 20\r\n" in head
            assert b"Transfer-Encoding" not in head
            assert answer.read(20) == b"".join(PARTS)
        until(lambda times=times: stream.ended == times)


def test_answer_of_an_unknown_length_is_sent_in_chunks(connected):
    stream = Stream(*PARTS, has_length=False)
    head, _, body = told(connected(socket.SOCK_STREAM, stream), CLOSING).partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in head
    assert b"Content-Length" not in head
    assert body == b"4\r\nthe \r\n7\r\npicture\r\n9\r\n of a car\r\n0\r\n\r\n"
    assert stream.ended == 1


def test_older_caller_knows_the_end_of_an_answer_by_that_of_the_connection(connected):
    stream = Stream(*PARTS, has_length=False)
    request = OLD.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
    head, _, body = told(connected(socket.SOCK_STREAM, stream), request).partition(b"\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in head
    assert b"Transfer-Encoding" not in head
    assert body == b"".join(PARTS)


def test_caller_of_an_answer_that_has_begun_is_not_asked_whether_it_is_there(connected):
    """What is sent for that would stand in the midst of the body."""
    stream = Stream(*PARTS)
    parts = stream.yielded

    def application(environ, start_response):
        def asking():
            for part in parts():
                assert not environ[PEER].is_gone()
                yield part

        stream.yielded = asking
        return stream(environ, start_response)

    text = told(connected(socket.SOCK_STREAM, application), CLOSING)
    assert text.startswith(b"HTTP/1.1 200 OK")
    assert text.endswith(b"\r\n\r\nthe picture of a car")


def over_tcp(application):
    """Return a caller that is connected by TCP, which has a reset of its own, and its server."""
    server = Server(rendering_errors(application))
    listener = socket.socket()  # create_server returns one that gevent does not know
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    caller = socket.create_connection(listener.getsockname(), timeout=PATIENCE_S)
    theirs, _ = listener.accept()
    listener.close()
    return caller, server, gevent.spawn(serve, theirs, server)


@pytest.mark.parametrize("request_", [GET, OLD])
@pytest.mark.parametrize("has_length", [True, False])
def test_answer_that_cannot_go_on_is_taken_for_a_whole_one_by_nobody(request_, has_length):
    stream = Stream(b"the ", b"picture", Cut(), has_length=has_length)
    caller, _, serving = over_tcp(stream)
    caller.sendall(request_)
    with caller, pytest.raises(ConnectionResetError):
        while caller.recv(65536):
            pass
    serving.get()
    assert stream.ended == 1


@pytest.mark.parametrize("has_length", [True, False])
def test_caller_that_reads_nothing_has_no_more_made_for_it_and_is_cut_off(has_length):
    stream = Stream(*[b"a" * 3_000_000] * 9, has_length=has_length)
    stream.length = 27_000_000 if has_length else None
    caller, server, serving = over_tcp(stream)
    caller.sendall(GET)
    until(lambda: any(x.waits_for == READER for x in server.connections))
    (connection,) = server.connections
    taken = stream.taken
    assert taken < 9
    assert AHEAD < connection.unsent < AHEAD + 3_000_000
    connection.end()
    serving.get()
    assert (stream.taken, stream.ended) == (taken, 1)
    assert connection.unsent == 0
    with caller, pytest.raises(ConnectionResetError):
        while caller.recv(2**20):
            pass


def test_answer_that_begins_wrongly_is_an_error_and_ends(connected, caplog):
    stream = Stream(*PARTS)

    def application(environ, start_response):
        answer = stream(environ, start_response)
        start_response("200 OK", [("Content-Length", "19")])
        return answer

    text = told(connected(socket.SOCK_STREAM, application), CLOSING)
    assert text.startswith(b"HTTP/1.1 500 Refused\r\n")
    assert (stream.taken, stream.ended) == (0, 1)


# callers that are slow


def waiting(connected, kind):
    """Wait until the connection waits for its caller so; return the connection."""
    connections = connected.servers[-1].connections
    while not (found := [x for x in connections if x.waits_for == kind]):
        gevent.sleep(0)
    return found[0]


def test_idle_connection_ends_without_a_word(connected):
    caller = connected(socket.SOCK_STREAM, picture(b""))
    waiting(connected, REQUEST).end()
    assert caller.recv(65536) == b""


def test_request_that_has_come_is_answered_though_its_connection_ends(connected):
    caller = connected(socket.SOCK_STREAM, picture(b"the picture"))
    connection = waiting(connected, REQUEST)
    connection.end()  # in the event loop's next round, in which it reads no socket before
    caller.sendall(GET)
    with caller.makefile("rb") as answer:
        text = answer.read()
    assert text.endswith(b"\r\n\r\nthe picture")
    assert b"\r\nConnection: close\r\n" in text


@pytest.mark.parametrize(
    "begun",
    [
        GET[:20],
        b"POST / HTTP/1.1\r\nHost: cars\r\nContent-Length: 9\r\n\r\nbody",
        CHUNKED,
        CHUNKED + b"4\r\nbo",
        CHUNKED + b"4\r\nbody\r\n0\r\nX: y\r\n",
    ],
)
def test_request_whose_rest_does_not_come_is_told_so(connected, begun):
    caller = connected(socket.SOCK_STREAM, picture(b""))
    caller.sendall(begun)
    waiting(connected, REST).end()
    with caller.makefile("rb") as answer:
        assert answer.read().startswith(b"HTTP/1.1 408 Refused\r\n")


def test_time_of_a_request_counts_from_its_first_byte(connected):
    caller = connected(socket.SOCK_STREAM, picture(b""))
    caller.sendall(GET[:5])
    began = waiting(connected, REST).since
    for byte in GET[5:10]:
        caller.sendall(bytes([byte]))
        gevent.sleep(0)
    assert waiting(connected, REST).since == began


def test_time_of_a_request_counts_from_the_answer_before_it_where_it_came_early(connected):
    called = []

    def application(environ, start_response):
        called.append(time.monotonic())
        return picture(b"")(environ, start_response)

    caller = connected(socket.SOCK_STREAM, application)
    caller.sendall(GET + GET[:5])
    assert waiting(connected, REST).since >= called[0]


def test_answer_that_is_not_read_ends_and_is_held_no_longer(connected):
    caller = connected(socket.SOCK_STREAM, picture(b"a" * 3_000_000), SO_SNDBUF=4096)
    caller.sendall(GET)
    connection = waiting(connected, READER)
    assert connection.unsent > 2_000_000
    connection.end()
    with caller.makefile("rb") as answer:
        assert len(answer.read()) < 1_000_000
    assert (connection.unsent, len(connected.servers[0].connections)) == (0, 0)


def test_reader_that_takes_enough_is_given_time_anew_and_one_that_takes_less_is_not(connected):
    caller = connected(socket.SOCK_STREAM, picture(b"a" * 3_000_000), SO_SNDBUF=4096)
    caller.sendall(GET)
    connection = waiting(connected, READER)
    before, unsent = connection.since, connection.unsent
    while connection.unsent > unsent - LEAST_READ // 2:
        caller.recv(512)
        gevent.sleep(0)
    assert connection.since == before
    while connection.since == before:
        caller.recv(512)
        gevent.sleep(0)
    assert LEAST_READ <= unsent - connection.unsent < 2 * LEAST_READ


def test_requests_are_logged_where_somebody_wants_to_know(connected):
    caller = connected(socket.SOCK_STREAM, picture(b"the picture"))
    server = connected.servers[0]
    server.log_access = lambda environ, *facts: server.logged.append((environ["RAW_URI"], *facts))
    told(caller, CLOSING)
    ((uri, status, sent, seconds),) = server.logged
    assert (uri, status, sent) == ("/", "200 OK", 11)
    assert 0 <= seconds < PATIENCE_S


@pytest.mark.parametrize(
    "begun", [b"GET /v2/\xc3\xa9?a HTTP/1.1\r\n\r\n", b"GET /v2/" + b"a" * MAX_LINE]
)
def test_path_is_told_as_far_as_it_can_be(connected, begun):
    """An error has the form that the callers of its path know."""
    paths = []

    def application(environ, start_response):
        paths.append(environ["PATH_INFO"][:4])
        start_response("400 Bad Request", [])
        return []

    caller = connected(socket.SOCK_STREAM, application)
    connected.servers[0].application = application
    told(caller, begun)
    assert paths == ["/v2/"]


def half_closed(kind):
    """Yield a connection on TCP whose caller ended its side, or all of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    if kind == "half":
        ours.shutdown(socket.SHUT_WR)
    else:
        ours.close()
    return ours, theirs


def test_caller_that_only_sends_no_more_is_told_from_one_that_is_gone():
    for kind in ("half", "whole"):
        ours, theirs = half_closed(kind)
        with ours, theirs:
            connection = Connection(theirs, ("127.0.0.1", 7), Server(picture(b"")))
            connection._version = "HTTP/1.1"
            loop = GeventLoop()
            assert not hung_up(loop, [connection]), "it was not asked"
            if kind == "half":
                assert ours.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
                assert not hung_up(loop, [connection])
            else:
                while not (gone := hung_up(loop, [connection])):
                    gevent.sleep(0)
                assert gone == {connection}


def test_caller_whose_socket_is_closed_already_is_gone_and_hides_no_other():
    ours, theirs = half_closed("whole")
    with ours, theirs:
        there = Connection(theirs, ("127.0.0.1", 7), Server(picture(b"")))
        closed = [Connection(socket.socket(), "", Server(picture(b""))) for _ in range(2)]
        for connection in closed:
            connection._socket._socket.close()
        there._version, loop = "HTTP/1.1", GeventLoop()
        while there not in (gone := hung_up(loop, [*closed, there])):
            gevent.sleep(0)
        assert gone == {there, *closed}


def test_caller_of_http_1_0_is_asked_for_no_sign():
    ours, theirs = half_closed("half")
    with ours, theirs:
        connection = Connection(theirs, ("127.0.0.1", 7), Server(picture(b"")))
        connection._version = "HTTP/1.0"
        assert not hung_up(GeventLoop(), [connection])
        theirs.close()
        assert ours.recv(100) == b""
