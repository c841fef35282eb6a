"""The fuzzer finds each kind of fault, in servers that are wrong on purpose, and no other."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from random import Random

import pytest

from loadtests.fuzz import __main__ as fuzz
from loadtests.fuzz import caller, documents, player, tally
from loadtests.fuzz.conversation import MODULES, Conversation, conversation
from loadtests.fuzz.maker import Maker
from loadtests.fuzz.odd_values import OddValues
from loadtests.fuzz.player import Outcome, play
from loadtests.fuzz.request import Images, Owed, Request
from loadtests.fuzz.response import Malformed, Response, read
from loadtests.fuzz.tally import Tally, literal
from loadtests.fuzz.verdict import Fault, References, faults
from tests.servers import PYTHON, SMALL_BATCHES

ODD = OddValues([1, "a", None], [{"n": 1, "seed": 3}, {"n": 0}], ["text", "\u00e9"])
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: fuzz-1\r\n\r\nok"


def request(**parts):
    return Request(**{"kind": "a case", "request_id": "fuzz-1", **parts})


def answer(status=200, body=b"{}", **fields):
    given = {"x-request-id": "fuzz-1", "content-type": "application/json"}
    return Response(status, {**given, **{k.replace("_", "-"): v for k, v in fields.items()}}, body)


# what answers must be


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 200\r\n\r\n", "status line"),
        (b"HTTP/2 200 OK\r\n\r\n", "status line"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "header field"),
        (b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", "header field"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "twice"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", "Content-Length is"),
        (b"HTTP/1.1 200 OK\r\n\r\nbody", "neither"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "a chunk begins"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "a chunk is followed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na", "ended within"),
        (b"<html>", "begins with"),
    ],
)
def test_answer_that_is_not_strict_http_is_malformed(data, why):
    with pytest.raises(Malformed, match=why):
        read(data, b"GET", ended=why == "ended within")


def test_answer_is_read_once_it_is_complete_and_the_rest_is_left():
    for length in range(len(GOOD)):
        assert read(GOOD[:length], b"GET", ended=False) is None
    found, rest = read(GOOD + b"HTTP", b"GET", ended=False)
    assert (found.status, found.body, rest) == (200, b"ok", b"HTTP")


def test_answer_to_head_has_no_body_and_one_in_chunks_is_joined():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    assert read(head, b"HEAD", ended=False)[1] == b""
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\nX"
    )
    found, rest = read(chunked, b"GET", ended=False)
    assert (found.body, rest) == (b"abc", b"X")


@pytest.mark.parametrize(
    ("wanted", "given", "fault"),
    [
        ({}, answer(500), "500"),
        ({}, answer(499), "499, which is not documented"),
        ({"target": b"//v1"}, answer(308), "308, which is not documented"),
        ({"statuses": {400}}, answer(200), "200 instead of 400"),
        ({"statuses": {405}}, answer(405), "405 without Allow"),
        ({}, answer(x_request_id=""), "200 without X-Request-Id"),
        ({}, answer(x_request_id="fuzz-2"), "the answer to another request"),
        ({}, answer(x_request_id="smuggled"), "a body was answered as a request"),
        ({"statuses": {404}}, answer(404), "404 outside /v2 in another form"),
        ({"target": b"/v2/x", "statuses": {404}}, answer(404), "404 below /v2 in another form"),
        ({"images": Images(3)}, answer(), "images of another type"),
        (
            {"images": Images(3), "target": b"/v1/images/3.png"},
            answer(content_type="image/png", carfront_seed="3"),
            "wrong images",
        ),
    ],
)
def test_fault_of_an_answer_is_named(wanted, given, fault):
    assert fault in [x.kind for x in faults(request(**wanted), given, _references(b"right"))]


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (
            {"statuses": {404}},
            answer(
                404,
                b'{"type": "a", "title": "b", "status": 404, "detail": "c"}',
                content_type="application/problem+json",
            ),
        ),
        ({"target": b"/v2/x", "statuses": {404}}, answer(404, b'{"error": "why"}')),
        (
            {"images": Images(3)},
            answer(200, b"right", content_type="image/png", carfront_seed="3"),
        ),
    ],
)
def test_right_answer_has_no_fault(wanted, given):
    assert faults(request(**wanted), given, _references(b"right")) == []


def _references(images):
    references = References("http://127.0.0.1:1")
    references.images = lambda wanted: images
    return references


# what a connection owes


@contextmanager
def scripted(serve):
    """Serve one connection by a function; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run():
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(20)


def answering(data, then_close=True):
    """Serve whatever comes with ``data``, and end, or wait until the caller does."""

    def serve(connection):
        connection.recv(1 << 16)
        connection.sendall(data)
        while not then_close and connection.recv(1 << 16):
            pass

    return serve


def held(url, *requests, is_pipelined=True, **parts):
    parts = {"pieces": (), "hangs_up": False, **parts}
    found = play(url, Conversation(1, [*requests], is_pipelined, **parts), lambda *_: [])
    return [fault.kind for _, fault in found.faults]


LAST = GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(caller, "ANSWER_S", 0.3)
    monkeypatch.setattr(player, "ANSWER_S", 0.3)
    monkeypatch.setattr(player, "CONTINUE_S", 0.2)


def refused():
    return request(owed=Owed.REFUSAL)


@pytest.mark.parametrize(
    ("requests", "serve", "fault"),
    [
        ([request()], answering(b""), "closed without an answer"),
        ([request(), request()], answering(GOOD), "closed without an answer"),
        ([request()], answering(b"", then_close=False), "no answer in time"),
        ([request()], answering(GOOD[:-1]), "an answer that is no HTTP/1.1"),
        ([request()], answering(GOOD * 2, then_close=False), "bytes that nobody asked for"),
        ([refused()], answering(LAST, then_close=False), "kept open after a refusal"),
        ([refused(), request()], answering(LAST * 2), "an answer after a refusal"),
        ([request(closes=True)], answering(LAST, then_close=False), "kept open after the last"),
        ([request(closes=True)], answering(GOOD), "without Connection: close"),
        ([request(closes=True)] * 2, answering(LAST * 2), "an answer after the last answer"),
    ],
)
def test_fault_of_a_connection_is_named(requests, serve, fault, impatient):
    with scripted(serve) as url:
        found = held(url, *requests)
    assert any(fault in kind for kind in found), found


@pytest.mark.parametrize(
    ("requests", "serve"),
    [
        ([request(), request()], answering(GOOD * 2, then_close=False)),
        ([request(), request()], answering(LAST)),
        ([refused(), request()], answering(LAST)),
        ([request(owed=Owed.EITHER, ends_writing=True)], answering(b"")),
        ([request(closes=True), request()], answering(LAST)),
    ],
)
def test_server_that_does_as_it_owes_has_no_fault(requests, serve, impatient):
    with scripted(serve) as url:
        assert held(url, *requests) == []


def test_half_closed_connection_has_to_end_after_its_answer(impatient):
    def serve(connection):
        connection.recv(1 << 16)
        connection.sendall(GOOD)
        stay.wait(20)

    stay = threading.Event()
    with scripted(serve) as url:
        found = held(url, request(ends_writing=True))
        stay.set()
    assert found == ["kept open after the caller's end"]


@pytest.mark.parametrize(
    ("interim", "wanted"),
    [(b"HTTP/1.1 100 Continue\r\n\r\n", []), (b"", ["no 100 (Continue) in time"])],
)
def test_caller_that_waits_sends_its_body_after_100_or_when_none_comes(interim, wanted, impatient):
    def serve(connection):
        connection.recv(1 << 16)
        connection.sendall(interim)
        seen.append(connection.recv(1 << 16))
        connection.sendall(GOOD)
        connection.recv(1)

    seen = []
    with scripted(serve) as url:
        waiting = request(waits=True, fields=[b"Expect: 100-continue"]).with_body(b"body")
        assert held(url, waiting, is_pipelined=False) == wanted
    assert seen == [b"body"]


def test_nobody_listening_is_a_fault():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert held(f"http://127.0.0.1:{unused.getsockname()[1]}", request()) == ["no connection"]


# what is asked


def test_same_seed_makes_the_same_conversations():
    for number in range(50):
        first, again = (conversation(7, number, ODD, "1") for _ in range(2))
        assert first == again
    assert conversation(7, 0, ODD, "1") != conversation(8, 0, ODD, "1")


def test_hypothesis_thinks_of_the_same_values_for_the_same_seed():
    assert repr(OddValues.of(3)) == repr(OddValues.of(3))


def test_every_case_is_among_ten_thousand_requests_each_with_an_id_of_its_own():
    asked = [x for number in range(4000) for x in conversation(1, number, ODD, "1").requests]
    assert len({x.request_id for x in asked}) == len(asked) > 10_000
    kinds = {x.kind.partition(":")[0] for x in asked}
    for module in MODULES:
        for case in module.CASES:
            assert case(Maker("x", Random(1), ODD, "1")).kind.partition(":")[0] in kinds


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        (b'{"n": 2, "seed": 7}', {200}),
        (b'{"n": 9}', {200, 503}),
        (b'{"n": NaN}', {400}),
        (b'{"n": 1.0}', {400}),
        (b'{"n": true}', {400}),
        (b'{"seed": 18446744073709551615, "n": 2}', {400}),
        (b'{"n": ' + b"9" * 5000 + b"}", {400}),
        (b"[" * 10_000, {400}),
        (b'{"model": "other"}', {200, 400, 404, 503}),
        (b'{"model": 7}', {400}),
        (b'{"size": 7}', {400}),
        (b"7", {400}),
    ],
)
def test_oracle_knows_what_is_owed_to_a_document(body, statuses):
    assert documents.judged(request(), body).statuses == statuses


# what is told


def test_growing_memory_and_a_secret_in_the_log_are_faults(tmp_path):
    found = Tally(memory_mb=[100.0] * 10 + [120.0] * 10)
    found.judge_memory()
    log = tmp_path / "log"
    log.write_text('{"message": "fine"}\nno JSON\n{"message": "s3cr3t-of-the-fuzzer"}\n')
    fuzz.judge_log(log, found)
    assert set(found.faults) == {
        "memory grew", "a line of the log that is no JSON", "a secret in the log",
    }  # fmt: skip


def test_faults_are_counted_by_kind_and_case_and_shown_with_their_bytes():
    found = Tally()
    asked = request(target=b"/\xff")
    for number in range(5):
        spoken = Conversation(number, [asked], False, (), False)
        found.add(spoken, Outcome([(asked, Fault("500"))], [(asked, 500)], 1))
    assert found.report()["faults"] == {"500": {"a case": 5}}
    assert len(found.examples) == tally.EXAMPLES
    assert r"b'GET /\xff HTTP/1.1" in found.text()


def test_literal_of_a_long_request_is_cut_in_its_middle():
    assert eval(literal(b"\0\r\n")) == b"\0\r\n"
    assert len(literal(b"a" * 10**6)) < 3000


# the whole


@pytest.mark.servers
def test_real_server_answers_as_it_owes(tmp_path, capsys, monkeypatch):
    for name, value in SMALL_BATCHES.items():
        monkeypatch.setenv(name, value)
    saved = tmp_path / "fuzz.json"
    command = ["--requests", "1500", "--seed", "20", "--python", PYTHON, "--save", str(saved)]
    status = fuzz.main(command)
    assert status == 0, capsys.readouterr().out
    report = json.loads(saved.read_text())
    assert report["requests"] >= 1500
    assert report["images_compared"] > 500


@pytest.mark.servers
def test_interrupt_ends_the_fuzzer_and_its_server():
    command = [sys.executable, "-m", "loadtests.fuzz", "--requests", "1000000", "--python", PYTHON]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, **SMALL_BATCHES},
    )  # fmt: skip
    try:
        for line in process.stdout:
            if " requests, " in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
