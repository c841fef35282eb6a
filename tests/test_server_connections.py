"""Callers that are slow, silent or many, at a real server: nobody else notices."""

import io
import json
import os
import re
import select
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.chaos.faults import stopped
from tests.chaos.processes import family, open_files
from tests.kept_connection import CameLate, KeptConnection
from tests.servers import PYTHON, connected, serving, until

pytestmark = pytest.mark.servers

ONE_IMAGE = b"GET /v1/images/5.png HTTP/1.1\r\nHost: cars\r\n\r\n"
HALF = b"POST /v1/images HTTP/1.1\r\nHost: cars\r\nContent-Length: 2\r\n\r\n{"
BODY = json.dumps({"n": 512, "seed": 0, "format": "npy"}).encode()
MANY_IMAGES = (
    b"POST /v1/images HTTP/1.1\r\nHost: cars\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
ANSWER_BYTES = 512 * 32 * 32 * 3
KEEPALIVE_S = 8


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
        connections = []
        for _ in range(count):  # each one's request is there before the next one comes
            connections.append(stack.enter_context(connected(server)))
            connections[-1].sendall(request)
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
        with open_ones(server, 20) as idle:
            for connection in idle:  # one after the other: requests at once end in any order
                asked(connection, ONE_IMAGE)
            with open_ones(server, 5) as new:
                assert [asked(connection, ONE_IMAGE) for connection in new] == [right] * 5
            assert [connection.recv(1) for connection in idle[:5]] == [b""] * 5
            assert asked(idle[-1], ONE_IMAGE) == right
        assert ended(server, "full") >= 5  # counted before the connections end


def test_crowd_that_connects_at_once_does_not_wait_for_those_who_end_for_it():
    """Those may read why, and hang up: until then a worker has more connections than its limit."""
    with serving(PYTHON, {"CARFRONT_WORKERS": "1", "CARFRONT_CONNECTIONS": "20"}) as server:
        right = ask_anew(server, ONE_IMAGE)
        (worker,), _, _ = family(server.pid)
        before = sockets(worker)
        with open_ones(server, 20, HALF), open_ones(server, 20, ONE_IMAGE) as new:
            until(
                lambda: (
                    sockets(worker) >= before + 35 or len(select.select(new, (), (), 0)[0]) == 20
                )
            )
            assert [asked(connection, b"") for connection in new] == [right] * 20


def sockets(pid):
    """Return how many sockets a process has open."""
    return sum(name.startswith("socket:") for name, _ in open_files(pid))


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


def test_large_bodies_take_no_more_memory_than_they_may_however_many_come():
    """A hundred callers send half a body each, of which eight have room: the others are told so."""
    body = 2**20 - 1
    head = b"POST /v1/images HTTP/1.1\r\nHost: cars\r\nContent-Type: application/x-npy\r\n"
    half = head + b"Content-Length: %d\r\n\r\n" % body + bytes(body // 2)
    settings = {"CARFRONT_WORKERS": "1", "CARFRONT_BODY_MIB": "1", "CARFRONT_BODIES_MIB": "4"}
    with serving(PYTHON, settings) as server:
        right = ask_anew(server, ONE_IMAGE)
        (worker,), _, _ = family(server.pid)
        before = memory_of(worker)
        with open_ones(server, 100, half) as callers:
            until(lambda: ended(server, "bodies") >= 92)
            assert memory_of(worker) - before < 4 * 4 * 2**20
            assert ask_anew(server, ONE_IMAGE) == right
            told = until(lambda: len(found := readable(callers)) >= 92 and found)
            answers = [b"".join(iter(lambda x=x: x.recv(4096), b"")) for x in told]
            assert all(x.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in x for x in answers)
        assert asked_for_latents(server, 200) == 200


def readable(connections):
    """Return the connections on which something has come, or their end."""
    return [x for x in connections if select.select([x], [], [], 0)[0]]


def asked_for_latents(server, rows):
    file = io.BytesIO()
    np.save(file, np.zeros((rows, 100), np.float32))
    head = b"POST /v1/images HTTP/1.1\r\nHost: cars\r\nContent-Type: application/x-npy\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(file.getvalue())
    return ask_anew(server, head + length + file.getvalue())[0]


def test_answer_that_is_not_read_is_given_up():
    settings = {"CARFRONT_WORKERS": "1", "CARFRONT_SEND_TIMEOUT_S": "1"}
    with serving(PYTHON, settings) as server, open_ones(server, 2, MANY_IMAGES) as unread:
        until(lambda: ended(server, "slow_reader") == 2)
        with pytest.raises(ConnectionResetError):
            while unread[0].recv(65536):
                pass


def test_answer_of_which_a_little_is_read_now_and_then_is_given_up():
    settings = {"CARFRONT_WORKERS": "1", "CARFRONT_SEND_TIMEOUT_S": "1"}
    with serving(PYTHON, settings) as server, socket.socket() as trickling:
        trickling.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or it takes much at once
        address = urlsplit(server.url)
        trickling.connect((address.hostname, address.port))
        trickling.sendall(MANY_IMAGES)

        def is_cut_off():
            try:
                return not trickling.recv(64)
            except ConnectionResetError:
                return True

        until(is_cut_off)
        assert ended(server, "slow_reader") == 1


def test_requests_that_have_come_are_answered_though_their_connections_were_idle_too_long():
    """A worker that was stopped for a while finds them beside the sign that the time is over."""
    settings = {"CARFRONT_WORKERS": "1", "CARFRONT_KEEPALIVE_S": f"{KEEPALIVE_S}"}
    with serving(PYTHON, settings) as server:
        for _ in range(3):
            if answers := asked_before_and_during_a_stop(server):
                break
        assert answers, "the connections were idle too long before the worker was stopped"
        before, during = answers
        assert during == before


def asked_before_and_during_a_stop(server):
    """Return the answers of ten connections before their worker was stopped, and those after it.

    Nothing, where they were idle for nearly too long before.
    """
    began = time.monotonic()
    with open_ones(server, 10, ONE_IMAGE) as callers:
        before = [asked(caller, b"") for caller in callers]
        with stopped(family(server.pid)[0]):
            if time.monotonic() - began > KEEPALIVE_S - 1:
                return None
            for caller in callers:
                caller.sendall(ONE_IMAGE)
            time.sleep(KEEPALIVE_S + 1.5)  # the case itself: they are idle for too long
        return before, [asked(caller, b"") for caller in callers]


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
            with closing(KeptConnection(urlsplit(server.url).netloc)) as connection:
                while not is_over:
                    with suppress(CameLate):
                        answer = connection.answer_to("GET", "/v1/images/5.png")
                        answers.append((answer.status, answer.read()))
            return answers

        with ThreadPoolExecutor(20) as threads:
            asking = [threads.submit(ask_on) for _ in range(20)]
            try:
                for _ in range(2):
                    old = set(family(server.pid)[0])
                    os.kill(server.pid, signal.SIGHUP)
                    until(lambda old=old: not old & set(family(server.pid)[0]))
            finally:
                is_over.append(True)
            answers = [answer for each in asking for answer in each.result()]
        assert not before & set(family(server.pid)[0])
        assert set(answers) == {right}
