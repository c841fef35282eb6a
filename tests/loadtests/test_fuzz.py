"""The fuzzer finds each kind of fault, in servers that are wrong on purpose, and no other."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from contextlib import contextmanager, nullcontext
from random import Random

import numpy as np
import pytest
from PIL import Image

from loadtests.fuzz import __main__ as fuzz
from loadtests.fuzz import (
    call_player,
    caller,
    documents,
    known,
    large,
    phases,
    player,
    tally,
    verdict,
)
from loadtests.fuzz.conversation import MODULES, Conversation, conversation
from loadtests.fuzz.known import Known
from loadtests.fuzz.maker import Maker
from loadtests.fuzz.odd_values import OddValues
from loadtests.fuzz.outcome import Fault, Outcome
from loadtests.fuzz.player import play
from loadtests.fuzz.request import Images, Owed, Request
from loadtests.fuzz.response import Malformed, Response, read
from loadtests.fuzz.restored import Restored
from loadtests.fuzz.tally import Tally, literal
from loadtests.fuzz.verdict import References, faults
from loadtests.serving import Server
from tests.servers import NO_TIMEOUTS, PATIENCE_S, PYTHON, SMALL_BATCHES, UNHURRIED

ODD = OddValues([1, "a", None], [{"n": 1, "seed": 3}, {"n": 0}], ["text", "\u00e9"])
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: fuzz-1\r\n\r\nok"


def request(**parts):
    return Request(**{"kind": "a case", "request_id": "fuzz-1", **parts})


def made(seed, number):
    """Return the conversation that a seed makes of a number."""
    return conversation(Known(seed, ODD, "1").maker(number), number)


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
        ({"statuses": {401}}, answer(401), "401, which is not documented"),
        ({"statuses": {401}, "needs_key": True}, answer(401), "401 without WWW-Authenticate"),
        (
            {"statuses": {429}, "needs_key": True},
            answer(429, retry_after="1"),
            "429 without Retry-After and RateLimit",
        ),
        ({}, answer(x_request_id=""), "200 without X-Request-Id"),
        ({}, answer(x_request_id="fuzz-2"), "the answer to another request"),
        ({}, answer(x_request_id="smuggled"), "a body was answered as a request"),
        ({"statuses": {404}}, answer(404), "404 of our own in another form"),
        ({"target": b"/v2/x", "statuses": {404}}, answer(404), "404 of a protocol in another form"),
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


def test_reference_of_a_large_answer_is_made_of_answers_that_are_not_streamed(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (4100, 32, 32, 3), np.uint8)
    asked = []

    def whole(self, wanted):
        asked.append((wanted.seed, wanted.n, wanted.format))
        return 200, 0.0, pixels[wanted.seed - 3 : wanted.seed - 3 + wanted.n].tobytes()

    monkeypatch.setattr(References, "_asked", whole)
    references = References("http://127.0.0.1:1")
    assert references.images(Images(3, 4100, "raw")) == pixels.tobytes()
    assert asked == [(3, 4096, "raw"), (4099, 4, "raw")]
    found = np.load(io.BytesIO(references.images(Images(3, 4100, "npy"))))
    assert (found == pixels).all()


def png(size=(32, 32)):
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def step(number=5, **changes):
    return {"step": number, "steps": 6, "distance": 1.5, "image": png(), **changes}


def end(**changes):
    more = {"filled": png(), "latents": [0.0] * 100, "model": "cars-dcgan", "version": "2"}
    return {**step(6), **more, **changes}


def events(*told):
    return "".join(f"event: {kind}\ndata: {json.dumps(x)}\n\n" for kind, x in told).encode()


@pytest.mark.parametrize(
    ("has_events", "body"),
    [
        (False, json.dumps(end()).encode()),
        (True, events(("step", step(0)), ("step", step()), ("end", end()))),
        (True, events(("step", step(0)), ("error", {"status": 504}))),
    ],
)
def test_restoration_that_is_whole_has_no_fault(has_events, body):
    kind = "text/event-stream" if has_events else "application/json"
    given = answer(200, body, content_type=kind)
    wanted = request(restored=Restored(6, has_events))
    assert faults(wanted, given, _references(b"")) == []


@pytest.mark.parametrize(
    ("has_events", "body"),
    [
        (False, b"{"),
        (False, json.dumps(step()).encode()),
        (False, json.dumps(end(step=7)).encode()),
        (False, json.dumps(end(steps=5)).encode()),
        (False, json.dumps(end(distance=300)).encode()),
        (False, json.dumps(end(latents=[0.0] * 99)).encode()),
        (False, json.dumps(end(filled="AAAA")).encode()),
        (False, json.dumps(end(image=png((31, 32)))).encode()),
        (True, events(("end", end()))),
        (True, events(("step", step(0)))),
        (True, events(("step", step()), ("step", step()), ("end", end()))),
        (True, events(("step", step(0)), ("error", {"status": 500}))),
        (True, events(("step", step(0)), ("end", end()), ("end", end()))),
        (True, events(("step", step(0)), ("end", end()))[:-1]),
    ],
)
def test_restoration_that_lacks_something_is_a_fault(has_events, body):
    kind = "text/event-stream" if has_events else "application/json"
    given = answer(200, body, content_type=kind)
    wanted = request(restored=Restored(6, has_events))
    assert [x.kind for x in faults(wanted, given, _references(b""))] == ["a wrong restoration"]


def test_restoration_of_another_type_is_a_fault():
    wanted = request(restored=Restored(6, has_events=True))
    found = faults(wanted, answer(200, json.dumps(end()).encode()), _references(b""))
    assert [x.kind for x in found] == ["a restoration of another type"]


def test_reference_that_is_refused_for_what_others_wait_for_is_asked_again(monkeypatch):
    given = [(503, 0.25, b"full"), (200, 0.0, b"right")]
    pauses = []
    monkeypatch.setattr(verdict.time, "sleep", pauses.append)
    monkeypatch.setattr(References, "_asked", lambda self, wanted: given.pop(0))
    assert References("http://127.0.0.1:1").images(Images(3)) == b"right"
    assert pauses == [0.25]
    given += [(500, 0.0, b"failed"), (200, 0.0, b"right")]
    with pytest.raises(verdict.CleanRequestFailed, match="500"):
        References("http://127.0.0.1:1").images(Images(4))


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
        thread.join()


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
    """Wait no longer for an end that does not come; for answers there is time."""
    monkeypatch.setattr(caller, "ANSWER_S", 0.3)
    monkeypatch.setattr(player, "CONTINUE_S", 0.2)


def refused():
    return request(owed=Owed.REFUSAL)


@pytest.mark.parametrize(
    ("requests", "serve", "fault"),
    [
        ([request()], answering(b""), "closed without an answer"),
        ([request(), request()], answering(GOOD), "closed without an answer"),
        ([request()], answering(GOOD[:-1]), "an answer that is no HTTP/1.1"),
        ([request()], answering(GOOD * 2, then_close=False), "bytes that nobody asked for"),
        ([refused(), request()], answering(LAST * 2), "an answer after a refusal"),
        ([request(closes=True)], answering(GOOD), "without Connection: close"),
        ([request(closes=True)] * 2, answering(LAST * 2), "an answer after the last answer"),
    ],
)
def test_fault_of_a_connection_is_named(requests, serve, fault):
    with scripted(serve) as url:
        found = held(url, *requests)
    assert any(fault in kind for kind in found), found


@pytest.mark.parametrize(
    ("asked", "sent", "fault"),
    [
        (request(), b"", "no answer in time"),
        (refused(), LAST, "kept open after a refusal"),
        (request(closes=True), LAST, "kept open after the last"),
    ],
)
def test_what_does_not_come_is_waited_for_and_named(asked, sent, fault, impatient, monkeypatch):
    if not sent:
        monkeypatch.setattr(player, "ANSWER_S", 0.3)
    with scripted(answering(sent, then_close=False)) as url:
        found = held(url, asked)
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
def test_server_that_does_as_it_owes_has_no_fault(requests, serve):
    with scripted(serve) as url:
        assert held(url, *requests) == []


def test_half_closed_connection_has_to_end_after_its_answer(impatient):
    def serve(connection):
        connection.recv(1 << 16)
        connection.sendall(GOOD)
        stay.wait()

    stay = threading.Event()
    with scripted(serve) as url:
        found = held(url, request(ends_writing=True))
        stay.set()
    assert found == ["kept open after the caller's end"]


@pytest.mark.parametrize(
    ("interim", "wanted"),
    [(b"HTTP/1.1 100 Continue\r\n\r\n", []), (b"", ["no 100 (Continue) in time"])],
)
def test_caller_that_waits_sends_its_body_after_100_or_when_none_comes(
    interim, wanted, monkeypatch
):
    if not interim:
        monkeypatch.setattr(player, "CONTINUE_S", 0.2)

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
        first, again = (made(7, number) for _ in range(2))
        assert first == again
    assert made(7, 0) != made(8, 0)


def test_hypothesis_thinks_of_the_same_values_for_the_same_seed():
    assert repr(OddValues.of(3)) == repr(OddValues.of(3))


def test_every_case_is_among_ten_thousand_requests_each_with_an_id_of_its_own():
    asked = [x for number in range(4000) for x in made(1, number).requests]
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
    found = Tally(own_mb=[{"engine-0": 100.0}] * 10 + [{"engine-0": 120.0}] * 10)
    found.judge_memory()
    log = tmp_path / "log"
    log.write_text(
        '{"message": "fine"}\nno JSON\n7\n{"message": "s3cr3t-of-the-fuzzer"}\n'
        '{"level": "error", "message": "unhandled"}\n'
    )
    fuzz.judge_log(log, found)
    assert set(found.faults) == {
        "memory grew", "a line of the log that is no JSON", "a secret in the log",
        "an error in the log",
    }  # fmt: skip
    assert found.faults["a line of the log that is no JSON"].total() == 2


def test_process_that_grows_is_a_fault_though_others_are_larger():
    warm = {"engine-0": 500.0, "http-0": 60.0, "http-1": 60.0}
    grown = warm | {"http-0": 69.0}
    found = Tally(own_mb=[*[warm] * 10, *[grown] * 10])
    found.judge_memory()
    assert set(found.faults) == {"memory grew"}
    assert found.examples[0].detail == "http-0: from 60.0 to 69.0 MB"
    assert found.report()["own_mb"]["http-0"] == {"start": 60.0, "warm": 60.0, "end": 69.0}
    steady = Tally(own_mb=[warm] * 20)
    steady.judge_memory()
    assert not steady.faults


def test_process_that_is_lost_is_a_fault(monkeypatch, tmp_path):
    log = tmp_path / "log"
    log.write_text("")
    before_and_after = [[1, 2, 3], [1, 3, 4]]
    monkeypatch.setattr(fuzz, "processes", lambda group: before_and_after.pop(0))
    monkeypatch.setattr(fuzz, "fuzz", lambda *_: None)
    monkeypatch.setattr(fuzz, "serving", lambda *_, **__: nullcontext(Server("", 1, log)))
    monkeypatch.setattr(fuzz, "PHASES", phases.PHASES[:1])
    assert fuzz.main(["--requests", "1"]) == 1


@pytest.mark.parametrize(("requests", "status"), [(19_999, 0), (20_000, 1)])
def test_memory_is_judged_once_a_phase_is_long_enough(monkeypatch, tmp_path, requests, status):
    (tmp_path / "log").write_text("")

    def grow(server, port, phase, plan, tally, folder):
        assert plan.requests == 100_000
        tally.requests = requests
        tally.own_mb = [{"engine-0": 600.0}] * 10 + [{"engine-0": 700.0}] * 10

    monkeypatch.setattr(fuzz, "processes", lambda group: [1])
    monkeypatch.setattr(fuzz, "fuzz", grow)
    monkeypatch.setattr(
        fuzz, "serving", lambda *_, **__: nullcontext(Server("", 1, tmp_path / "log"))
    )
    monkeypatch.setattr(fuzz, "PHASES", phases.PHASES[:1])
    assert fuzz.main([]) == status


def test_progress_tells_how_far_the_run_is():
    assert Tally(requests=12_345).progress(80_000) == "12,345 of 80,000 requests, 0 faults"


def test_faults_are_counted_by_kind_and_case_and_shown_with_their_bytes():
    found = Tally()
    asked = request(target=b"/\xff")
    for number in range(5):
        found.add(number, Outcome([(asked, Fault("500"))], [(asked, "500")], 1))
    assert found.report()["faults"] == {"500": {"a case": 5}}
    assert len(found.examples) == tally.EXAMPLES
    assert r"b'GET /\xff HTTP/1.1" in found.text()


def test_literal_of_a_long_request_is_cut_in_its_middle():
    assert eval(literal(b"\0\r\n")) == b"\0\r\n"
    assert len(literal(b"a" * 10**6)) < 3000


# the whole


@pytest.mark.servers
def test_real_server_answers_as_it_owes(tmp_path, capsys, monkeypatch):
    for name, value in (SMALL_BATCHES | UNHURRIED).items():
        monkeypatch.setenv(name, value)
    for module in (caller, player, call_player, known, verdict):
        monkeypatch.setattr(module, "ANSWER_S", PATIENCE_S)
    monkeypatch.setattr(player, "CONTINUE_S", PATIENCE_S)
    saved = tmp_path / "fuzz.json"
    command = ["--requests", "1500", "--seed", "20", "--python", PYTHON, "--save", str(saved)]
    status = fuzz.main(command)
    assert status == 0, capsys.readouterr().out
    report = json.loads(saved.read_text())
    assert sum(report[phase.name]["requests"] for phase in phases.PHASES) >= 1500
    assert report["open"]["images_compared"] > 400
    answered = [kind for kind, statuses in report["open"]["cases"].items() if "200" in statuses]
    assert {f"streamed: {x}" for x in large.FORMATS} & {*answered}
    restored = [kind for kind in answered if kind.startswith("restore: ")]
    assert any(kind.endswith(", events") for kind in restored)
    assert not all(kind.endswith(", events") for kind in restored)
    statuses = report["with keys"]["statuses"]
    assert {"200", "401", "OK", "UNAUTHENTICATED"} <= statuses.keys()


@pytest.mark.servers
def test_interrupt_ends_the_fuzzer_and_its_server():
    command = [sys.executable, "-m", "loadtests.fuzz", "--requests", "1000000", "--python", PYTHON]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, **SMALL_BATCHES, **NO_TIMEOUTS},
    )  # fmt: skip
    try:
        for line in process.stdout:
            if " requests, " in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 130
