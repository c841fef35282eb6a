"""Callers that are slow, silent or many, at a real server: nobody else notices."""

import json
import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests import servers
from tests.chaos.processes import family
from tests.servers import PYTHON, serving

pytestmark = pytest.mark.servers

ONE_IMAGE = b"GET /v1/images/5.png HTTP/1.1\r\nHost: cars\r\n\r\n"
HALF = b"POST /v1/images HTTP/1.1\r\nHost: cars\r\nContent-Length: 2\r\n\r\n{"
BODY = json.dumps({"n": 512, "seed": 0, "format": "npy"}).encode()
MANY_IMAGES = (
    b"POST /v1/images HTTP/1.1\r\nHost: cars\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
until = partial(servers.until, within_s=60.0)
connected = partial(servers.connected, timeout_s=60.0)
ANSWER_BYTES = 512 * 32 * 32 * 3


def asked(connection, request):
    """Send ``request`` and return the status and the body of its answer."""
    connection.sendall(request)
    with connection.makefile("rb") as answer:
        status = int(answer.readline().split()[1])
        length = 0
        while (line := answer.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b": ")
            length = int(value) if name == b"Content-Length" else length
        return status, answer.read(length)


def ask_anew(server, request):
    with connected(server) as connection:
        return asked(connection, request)


def ended(server, reason):
    """Return how many connections the server has ended for ``reason``."""
    text = ask_anew(server, b"GET /metrics HTTP/1.1\r\nHost: cars\r\n\r\n")[1].decode()
    found = re.search(rf'carfront_connections_ended_total{{reason="{reason}"}} (\S+)', text)
    return float(found[1]) if found else 0.0


@contextmanager
def open_ones(server, count, request=b""):
    """Open ``count`` connections that send ``request`` and no more, for as long as the block."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(server)) for _ in range(count)]
        for connection in connections:
            connection.sendall(request)
        yield connections


@pytest.mark.parametrize("begun", [HALF, HALF[:30]], ids=["body", "head"])
def test_requests_that_never_arrive_are_told_so_and_keep_nobody_out(begun):
    settings = {
        "CARFRONT_WORKERS": "1",
        "CARFRONT_CONNECTIONS": "20",
        "CARFRONT_READ_TIMEOUT_S": "2",
    }
    with serving(PYTHON, settings) as server:
        right = ask_anew(server, ONE_IMAGE)
        with open_ones(server, 30, begun) as half:
            assert ask_anew(server, ONE_IMAGE) == right
            answers = [b"".join(iter(lambda x=x: x.recv(4096), b"")) for x in half]
        assert all(x.startswith(b"HTTP/1.1 408 ") and b"X-Request-Id" in x for x in answers)


def test_longest_idle_connections_end_for_new_ones():
    with serving(PYTHON, {"CARFRONT_WORKERS": "1", "CARFRONT_CONNECTIONS": "20"}) as server:
        right = ask_anew(server, ONE_IMAGE)
        with open_ones(server, 20, ONE_IMAGE) as idle:
            for connection in idle:
                asked(connection, b"")
            with open_ones(server, 5) as new:
                assert [asked(connection, ONE_IMAGE) for connection in new] == [right] * 5
            assert [connection.recv(1) for connection in idle[:5]] == [b""] * 5
            assert asked(idle[-1], ONE_IMAGE) == right
        assert ended(server, "full") >= 5


def memory_of(pid):
    """Return the private memory of a process in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def test_answers_that_nobody_reads_take_no_more_memory_than_they_may():
    settings = {"CARFRONT_WORKERS": "1", "CARFRONT_UNSENT_MIB": "4"}
    with serving(PYTHON, settings) as server:
        right = ask_anew(server, MANY_IMAGES)
        (worker,), _, _ = family(server.pid)
        before = memory_of(worker)
        with open_ones(server, 15, MANY_IMAGES):
            until(lambda: ended(server, "unread") >= 12)
            assert memory_of(worker) - before < 6 * ANSWER_BYTES
            assert ask_anew(server, MANY_IMAGES) == right


def test_answer_that_is_not_read_is_given_up():
    settings = {"CARFRONT_WORKERS": "1", "CARFRONT_SEND_TIMEOUT_S": "1"}
    with serving(PYTHON, settings) as server, open_ones(server, 2, MANY_IMAGES) as unread:
        until(lambda: ended(server, "slow_reader") == 2)
        with pytest.raises(ConnectionResetError):
            while unread[0].recv(65536):
                pass


def test_requests_that_have_come_are_answered_though_their_connections_were_idle_too_long():
    """A worker that was stopped for a while finds them beside the sign that the time is over."""
    settings = {"CARFRONT_WORKERS": "1", "CARFRONT_KEEPALIVE_S": "1"}
    with serving(PYTHON, settings) as server, open_ones(server, 30, ONE_IMAGE) as callers:
        right = [asked(caller, b"") for caller in callers]
        (worker,), _, _ = family(server.pid)
        os.kill(worker, signal.SIGSTOP)
        try:
            for caller in callers:
                caller.sendall(ONE_IMAGE)
            time.sleep(2.5)  # the case itself: the connections have been idle for too long
        finally:
            os.kill(worker, signal.SIGCONT)
        assert [asked(caller, b"") for caller in callers] == right


def test_caller_that_ends_its_side_gets_its_answer():
    with serving(PYTHON, {"CARFRONT_WORKERS": "1"}) as server:
        right = ask_anew(server, MANY_IMAGES)
        with connected(server) as caller, caller.makefile("rb") as answer:
            caller.sendall(MANY_IMAGES)
            caller.shutdown(socket.SHUT_WR)
            text = answer.read()
        status, body = right
        assert status == 200
        assert text.endswith(body)


def test_reload_loses_no_request():
    """Callers that keep their connections ask on and on while the workers are replaced."""
    with serving(PYTHON, {"CARFRONT_WORKERS": "2"}) as server:
        right = ask_anew(server, ONE_IMAGE)
        before = set(family(server.pid)[0])
        is_over = []

        def ask_on():
            answers = []
            while not is_over:
                with connected(server) as connection:
                    closes = False
                    while not closes and not is_over:
                        connection.sendall(ONE_IMAGE)
                        head, body, closes = answer_of(connection)
                        answers.append((head, body))
            return answers

        with ThreadPoolExecutor(20) as threads:
            asking = [threads.submit(ask_on) for _ in range(20)]
            for _ in range(2):
                old = set(family(server.pid)[0])
                os.kill(server.pid, signal.SIGHUP)
                until(lambda old=old: not old & set(family(server.pid)[0]))
            is_over.append(True)
            answers = [answer for each in asking for answer in each.result()]
        assert not before & set(family(server.pid)[0])
        assert set(answers) == {right}


def answer_of(connection):
    """Return the status, the body, and whether the connection ends."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, "the connection ended without an answer"
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body, b"Connection: close" in head
