"""Keys at a real server: exact over all HTTP workers, and whatever happens to these."""

import json
import os
import re
import signal
import socket
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import pytest

from loadtests.serving import COMMAND, ROOT, free_port
from server.keys import digest_of
from tests.chaos.faults import stopped
from tests.chaos.processes import family
from tests.servers import PATIENCE_S, PYTHON, connected, serving, until

pytestmark = pytest.mark.servers

SLOW = "images_per_s=0.0001"
"""A rate at which no image comes back while a test runs."""


def line(name, limits="", role="user"):
    """Return the line of the key that is the name with a prefix."""
    return f"{name} {role} {digest_of(secret(name).encode()).hex()} {limits}\n"


def secret(name):
    return f"s3cret-{name}"


def connection_to(port):
    """Return a connection that ends with a ``with`` block, whatever happens there."""
    return closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S))


def ask(server, name, port=None, **wanted):
    """Return the answer to the holder of a key, over a connection of its own; see ``ask_over``."""
    with connection_to(port or urlsplit(server.url).port) as connection:
        return ask_over(connection, name, **wanted)


def ask_over(connection, name, n=1, seed=7, path="/v1/images"):
    """Return the status, the header fields and the body of an answer to the holder of a key."""
    fields = {"Content-Type": "application/json"} | ({"X-API-Key": secret(name)} if name else {})
    body = json.dumps({"n": n, "seed": seed, "format": "npy"})
    method = "POST" if path == "/v1/images" else "GET"
    connection.request(method, path, body if method == "POST" else None, fields)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def crowd(server, name, callers, requests, n=1):
    """Return how many answers of each status a crowd gets that asks at once."""

    def call(_):
        with connection_to(urlsplit(server.url).port) as connection:
            return [ask_over(connection, name, n)[0] for _ in range(requests)]

    with ThreadPoolExecutor(callers) as pool:
        return Counter(status for found in pool.map(call, range(callers)) for status in found)


@pytest.fixture
def keys_file(tmp_path):
    return tmp_path / "keys"


@pytest.mark.parametrize("workers", [2, 4])
def test_crowd_over_all_workers_draws_its_burst_and_not_one_more(keys_file, workers):
    keys_file.write_text(
        line("one", f"{SLOW} burst=100") + line("many", f"{SLOW} burst=300") + line("free")
    )
    env = {"CARFRONT_API_KEYS_FILE": str(keys_file), "CARFRONT_WORKERS": str(workers)}
    with serving(PYTHON, env) as server:
        assert crowd(server, "one", 24, 10) == {200: 100, 429: 140}
        assert crowd(server, "many", 16, 10, n=7) == {200: 42, 429: 118}
        status, fields, body = ask(server, "many", n=7)
        assert (status, int(fields["Retry-After"]) > 600) == (429, True)
        assert fields["Content-Type"] == "application/problem+json"
        assert json.loads(body)["violated-policies"] == ["images"]
        assert '"images";r=6;' in fields["RateLimit"]
        assert ask(server, "many", n=6)[0] == 200
        assert crowd(server, "free", 8, 10) == {200: 80}
        text = ask(server, "", path="/metrics")[2].decode()
        assert 'carfront_key_images_total{key="many"} 300.0' in text
        assert 'carfront_key_images_total{key="one"} 100.0' in text
        assert 'carfront_key_refused_total{key="one",reason="rate"} 140.0' in text
        assert "s3cret" not in server.log.read_text()


def test_share_of_a_killed_worker_in_flight_comes_back_and_the_others_does_not(keys_file):
    keys_file.write_text(line("alice", "in_flight=1024"))
    env = {
        "CARFRONT_API_KEYS_FILE": str(keys_file),
        "CARFRONT_WORKERS": "2",
    }
    with serving(PYTHON, env) as server, ThreadPoolExecutor(8) as pool:
        workers, engines, _ = family(server.pid)
        with stopped(engines):
            held = [pool.submit(status_of, server, 128) for _ in range(8)]
            until(lambda: room(server) == 0)
            assert ask(server, "alice")[0] == 429
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
                until(lambda pid=pid: pid not in family(server.pid)[0])
                until(lambda: room(server) == 128 * sum(x.done() for x in held))
            until(lambda: room(server) == 1024)
            assert [x.result() for x in held] == [None] * 8
        assert ask(server, "alice", n=1024)[0] == 200


def room(server):
    """Return how many images the key may still have in flight, as any answer tells.

    It is None where the worker that was asked is the one that was killed.
    """
    try:
        fields = ask(server, "alice", path="/nothing")[1]
    except (OSError, HTTPException):
        return None
    return int(re.search(r'"in-flight";r=([0-9]+)', fields["RateLimit"])[1])


def status_of(server, n):
    """Return the status of an answer; None where the connection breaks."""
    try:
        return ask(server, "alice", n=n)[0]
    except (OSError, HTTPException):
        return None


def test_file_that_is_swapped_takes_effect_and_a_bad_one_does_not(keys_file, tmp_path):
    """The folder of a Kubernetes Secret is swapped by its symlink."""
    for folder, text in (("1", line("alice")), ("2", line("bob")), ("3", "bob user s3cret-bob")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "keys").write_text(text)

    def swap(folder):
        (tmp_path / "next").symlink_to(folder)
        (tmp_path / "next").replace(tmp_path / "data")

    swap("1")
    keys_file.symlink_to("data/keys")
    env = {"CARFRONT_API_KEYS_FILE": str(keys_file), "CARFRONT_WORKERS": "2"}

    def statuses(name):
        return set(crowd(server, name, 6, 2))

    with serving(PYTHON, env) as server:
        assert (statuses("alice"), statuses("bob")) == ({200}, {401})
        log = server.log.read_text
        swap("2")
        until(lambda: log().count("the file of keys has changed: 1 keys") == 2)
        assert (statuses("alice"), statuses("bob")) == ({401}, {200})
        swap("3")
        until(lambda: log().count("is not taken, and the keys before it count: line 1: ") == 2)
        workers, _, _ = family(server.pid)
        os.kill(workers[0], signal.SIGKILL)  # the next one begins with the bad file
        until(lambda: log().count("is not taken, and the keys before it count: line 1: ") == 3)
        assert (statuses("alice"), statuses("bob")) == ({401}, {200})
        old, _, _ = family(server.pid)
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: set(family(server.pid)[0]).isdisjoint(old))
        until(lambda: statuses("bob") == {200})
        assert "s3cret" not in log()


@pytest.mark.parametrize("text", [None, "", "alice user s3cret"])
def test_no_server_starts_without_a_good_file(keys_file, text):
    if text is not None:
        keys_file.write_text(text)
    env = {
        **os.environ,
        "CARFRONT_API_KEYS_FILE": str(keys_file),
        "CARFRONT_PORT": str(free_port()),
    }
    ran = subprocess.run([PYTHON, *COMMAND], cwd=ROOT, env=env, capture_output=True, text=True)
    told = [x for x in (ran.stdout + ran.stderr).splitlines() if "cannot start" in x]
    assert ran.returncode == 1
    (sentence,) = told
    assert re.search(r"CARFRONT_API_KEYS_FILE is '.*'; wanted a file of keys: \S", sentence)
    assert "s3cret" not in sentence


def test_probes_at_their_own_port_do_not_wait_for_a_server_full_of_connections():
    port = free_port()
    env = {
        "CARFRONT_METRICS_PORT": str(port),
        "CARFRONT_WORKERS": "2",
        "CARFRONT_CONNECTIONS": "10",
    }
    with serving(PYTHON, env) as server, ExitStack() as stack:
        _, engines, _ = family(server.pid)
        stack.enter_context(stopped(engines))  # every request waits, and no connection ends
        waiting = b"GET /v1/images/5.png HTTP/1.1\r\nHost: cars\r\n\r\n"
        for _ in range(2 * 110 + 20):
            one = stack.enter_context(connected(server))
            one.sendall(waiting)
        late = stack.enter_context(connected(server))
        late.sendall(b"GET /healthz HTTP/1.1\r\nHost: cars\r\n\r\n")
        late.settimeout(2.0)  # the case itself: nobody is there who would answer
        with pytest.raises(TimeoutError):
            late.recv(1)
        for path in ("/healthz", "/metrics"):
            assert ask(server, "", port=port, path=path)[0] == 200


def test_scrapers_at_the_port_of_the_metrics_cost_callers_no_connection():
    port = free_port()
    env = {
        "CARFRONT_METRICS_PORT": str(port),
        "CARFRONT_WORKERS": "1",
        "CARFRONT_CONNECTIONS": "20",
    }
    image = b"GET /v1/images/5.png HTTP/1.1\r\nHost: cars\r\n\r\n"
    with serving(PYTHON, env) as server, ExitStack() as stack:
        callers = [stack.enter_context(connected(server)) for _ in range(20)]
        for caller in callers:
            caller.sendall(image)
            assert caller.recv(12) == b"HTTP/1.1 200"
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
        for path in ("/healthz", "/metrics"):
            assert ask(server, "", port=port, path=path)[0] == 200
        for caller in callers:
            caller.sendall(image)
            answers = b""
            while answers.count(b"HTTP/1.1 200") < 1:
                piece = caller.recv(65536)
                assert piece, "the connection ended"
                answers += piece
