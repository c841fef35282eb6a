"""Large answers are made part by part: the same bytes, one bundle, one plan, and never too much."""

import gc
import inspect
import io
import json
import tarfile
import weakref
from dataclasses import replace

import gevent
import numpy as np
import pytest
from drawing_client import DrawingClient, noise

from server.api import parts, streaming
from server.app import create_app
from server.config import ServerConfig
from server.errors import InferenceFailed, ModelGone, QueueFull
from server.ipc.sources import Latents, SeedRange, Seeds
from server.keys import USER, Key
from server.observability.metrics import REGISTRY
from server.queue_state import QueueState
from server.worker.caller import Caller
from server.worker.key_limits import KeyLimits
from server.worker.streamed import Cut

N, ROWS = 50, 8
"""The images of a large request here, and those of a part."""
FORMATS = ("npy", "raw", "tar", "tar.jpg", "json")
LAST = 2**64 - 1


class Client(DrawingClient):
    """A client whose ``answers`` tell, part by part, with which plan it draws, or its error."""

    def __init__(self):
        super().__init__()
        self.answers = []
        self.terms = []
        self.waited = []
        self.held = 0
        """The images whose memory was not given back."""

    def generate_with(self, model, source, terms, named=None):
        if not isinstance(source, SeedRange | Seeds | Latents):
            raise TypeError(source)
        self.terms.append(terms)
        gevent.sleep(0)
        answer = self.answers.pop(0) if self.answers else self.plans[0]
        if isinstance(answer, Exception):
            raise answer
        generated = super().generate_with(model, source, terms, named)
        self.held += source.n
        return replace(generated, plan=answer, end=lambda: self.give_back(source.n))

    def give_back(self, rows):
        self.held -= rows

    def waiter(self):
        return self

    def call_later(self, delay_s, callback, *args):
        self.waited.append(delay_s)
        return lambda: None

    wake = wait = lambda *_: gevent.sleep(0)


@pytest.fixture
def drawing():
    return Client()


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(streaming, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(parts, "PART_ROWS", ROWS)


@pytest.fixture
def http(drawing, small_parts):
    return create_app(ServerConfig(max_images=100), drawing).test_client()


def post(http, **body):
    return http.post("/v1/images", json=body, buffered=True)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "source",
    [
        {"n": N, "seed": 7},
        {"n": N, "seed": LAST - N + 1},
        {"n": 48, "seed": 0},
        {"seeds": [7, 3, LAST, 7] * 12 + [1]},
        {"latents": [[0.5] * 8] * N},
    ],
    ids=["range", "last", "whole parts", "seeds", "latents"],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_parts_are_together_the_whole_answer(
    http, drawing, form, source, content_type, monkeypatch
):
    truncation = {} if "latents" in source else {"truncation": 0.5}
    body = json.dumps(source | truncation | {"format": form})
    response = http.post("/v1/images", data=body, content_type=content_type, buffered=True)
    assert response.status_code == 200, response.text
    sizes = [x.n for x in drawing.drawn]
    assert set(sizes[:-1]) == {ROWS}
    assert 1 <= sizes[-1] <= ROWS
    assert drawing.held == 0
    if "latents" in source:  # this client draws the number of a row within its part
        assert np.concatenate([x.rows for x in drawing.drawn]).tolist() == source["latents"]
        return
    assert all(x.truncation == 0.5 for x in drawing.drawn)
    streamed = response.data
    monkeypatch.setattr(streaming, "WHOLE_BYTES", 2**30)
    whole = http.post("/v1/images", data=body, content_type=content_type)
    assert whole.status_code == 200
    assert drawing.drawn[-1].n == sum(sizes)
    assert streamed == whole.data
    kept = ("Content-Type", "Carfront-Seed", "Carfront-Shape", "Carfront-Plan", "Carfront-Model")
    for name in kept if form == "tar.jpg" else (*kept, "Content-Length"):
        assert response.headers.get(name) == whole.headers.get(name)
    assert (form == "tar.jpg") == ("Content-Length" not in response.headers)


def test_files_of_latents_are_numbered_through_all_parts(http):
    response = post(http, latents=[[0.5] * 8] * 20, format="tar")
    with tarfile.open(fileobj=io.BytesIO(response.data), mode="r:") as tar:
        assert tar.getnames() == [f"{number}.png" for number in range(20)]


def test_parts_let_others_go_first_and_have_time_of_their_own(http, drawing):
    headers = {"X-Request-Timeout-Ms": "5000"}
    wanted = {"n": N, "format": "npy"}
    assert http.post("/v1/images", json=wanted, headers=headers, buffered=True).status_code == 200
    assert all(terms.bulk and 4 < terms.timeout_s <= 5 for terms in drawing.terms)


def test_small_answer_is_made_as_a_whole_on_the_callers_terms(http, drawing):
    assert post(http, n=11, format="npy").status_code == 200  # 990 bytes
    assert [x.n for x in drawing.drawn] == [11]


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_picture_is_whole_and_has_its_limit(drawing, form, monkeypatch):
    http = create_app(ServerConfig(), drawing).test_client()
    for source, field in (({"n": 4097}, "n"), ({"seeds": [1] * 4097}, "seeds")):
        response = post(http, format=form, **source)
        assert response.status_code == 400
        assert response.json["field"] == field
        assert response.json["detail"] == (
            f"{field} is 4097 images; wanted at most 4096 in a {form}; npy or tar or tar.jpg or "
            "json or raw have up to 65536"
        )
    monkeypatch.setattr(streaming, "WHOLE_BYTES", 1)
    assert post(http, format=form, n=9).status_code == 200
    assert [x.n for x in drawing.drawn] == [9]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"n": 101}, "n is 101; wanted a whole number from 1 to 100"),
        ({"seeds": [1] * 101}, "seeds is a list of 101; wanted a list of 1 to 100 whole numbers"),
        (
            {"latents": [[1.0]] * 101},
            "latents is a list of 101; wanted a list of 1 to 100 lists of numbers",
        ),
    ],
)
def test_setting_limits_the_images_of_a_request(http, drawing, body, told):
    response = post(http, format="npy", **body)
    assert (response.status_code, response.json["detail"]) == (400, told)
    assert not drawing.drawn


# what is ahead of the caller


def stream_of(drawing, n=N, caller=None, **body):
    """Return the stream that an application answers with, and the head that it sends."""
    app = create_app(ServerConfig(max_images=100), drawing)
    data = json.dumps({"n": n, "seed": 7, "format": "npy"} | body).encode()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/images",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(data),
        "HTTP_HOST": "cars",
    }
    head = []
    answering = app.wsgi_app
    if caller is not None:
        inner = answering._app

        def keyed(environ, start_response):
            environ["carfront.context"].caller = caller
            return inner(environ, start_response)

        answering._app = keyed
    return answering(environ, lambda *x: head.append(x)), head


def settled(drawing):
    """Return the images that are drawn once nothing goes on by itself."""
    for _ in range(100):
        gevent.sleep(0)
    return sum(x.n for x in drawing.drawn)


def test_no_more_than_two_parts_are_made_ahead_of_the_caller(drawing, small_parts):
    stream, _ = stream_of(drawing)
    assert settled(drawing) == ROWS  # nothing is sent yet
    taken = 0
    for part in stream:
        taken += len(part)
        assert settled(drawing) <= min(N, (taken - 128) // 90 + 2 * ROWS)
        assert drawing.held == 0  # what is made ahead holds nothing of the arena
    assert stream.ahead == 2 * ROWS * 90
    assert taken == stream.length == 128 + N * 90
    stream.close()


def test_caller_that_hangs_up_has_no_more_drawn(drawing, small_parts):
    stream, _ = stream_of(drawing)
    next(iter(stream))
    stream.close()
    assert settled(drawing) <= 3 * ROWS
    assert drawing.held == 0


def test_parts_that_are_being_drawn_are_given_up_with_their_caller(drawing, small_parts):
    began, given_up = [], []
    draw = drawing.generate_with

    def generate_with(model, source, *more):
        if source.seed == 7:
            return draw(model, source, *more)
        began.append(source.seed)
        try:
            gevent.sleep(3600)
        except gevent.GreenletExit:
            given_up.append(source.seed)
            raise

    drawing.generate_with = generate_with
    stream, _ = stream_of(drawing)
    next(iter(stream))
    settled(drawing)
    stream.close()
    assert began == given_up == [7 + ROWS, 7 + 2 * ROWS]


def test_answer_that_has_ended_holds_no_memory_until_garbage_is_collected(drawing, small_parts):
    gc.disable()
    try:
        stream, _ = stream_of(drawing)
        next(iter(stream))
        settled(drawing)
        maker = weakref.ref(inspect.getgeneratorlocals(iter(stream))["self"])
        assert maker() is not None
        stream.close()
        assert maker() is None
    finally:
        gc.enable()


def test_answer_that_ends_before_it_is_sent_draws_one_part(drawing, small_parts):
    stream, _ = stream_of(drawing)
    stream.close()
    assert settled(drawing) == ROWS


# what goes wrong on the way


def cut():
    reason = {"reason": "cut"}
    return REGISTRY.get_sample_value("carfront_connections_ended_total", reason) or 0


def test_error_of_the_first_part_is_an_answer(http, drawing):
    drawing.answers = [QueueFull(QueueState(100, 100, 2.0, 3.0))]
    response = post(http, n=N, format="npy")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "3")
    assert not drawing.drawn


@pytest.mark.parametrize(
    "answer",
    [InferenceFailed(), ModelGone("tiny/1"), "cpu/exact", ZeroDivisionError("a bug")],
    ids=["failed", "model gone", "plan gone", "bug"],
)
@pytest.mark.parametrize("which", [1, 2, 6])
def test_answer_is_cut_off_where_a_part_cannot_be_drawn(
    drawing, small_parts, answer, which, caplog
):
    drawing.answers = ["cpu/f32"] * which + [answer] + ["cpu/f32"] * 9
    before = cut()
    stream, _ = stream_of(drawing)
    if isinstance(answer, str):
        drawing.plans = [answer]
    got = b""
    with pytest.raises(Cut):
        for part in stream:
            got += part
    stream.close()
    settled(drawing)
    assert len(got) == 128 + which * ROWS * 90, "all parts before it, and none after it"
    assert got[128:] == noise(range(7, 7 + which * ROWS)).tobytes()
    assert cut() == before + 1
    assert len([x for x in caplog.records if "cut off" in x.message]) == 1
    assert drawing.held == 0


def test_part_that_another_plan_drew_is_drawn_again_while_there_is_an_engine_of_the_first(
    http, drawing
):
    drawing.plans = ["cpu/f32", "openvino/f32"]
    drawing.answers = ["cpu/f32", "openvino/f32", "cpu/f32", "openvino/f32", "openvino/f32"]
    response = post(http, n=N, seed=7, format="raw")
    assert response.data == noise(range(7, 7 + N)).tobytes()
    assert response.headers["Carfront-Plan"] == "cpu/f32"


def test_part_that_is_refused_for_now_is_asked_for_again(http, drawing):
    full = QueueFull(QueueState(100, 100, 2.0, 0.7))
    drawing.answers = ["cpu/f32", full, full, "cpu/f32", full]
    response = post(http, n=N, seed=7, format="raw")
    assert response.data == noise(range(7, 7 + N)).tobytes()
    assert drawing.waited == [0.7] * 3


def test_newer_version_that_comes_meanwhile_draws_none_of_the_parts(drawing, small_parts):
    stream, head = stream_of(drawing)
    sent = iter(stream)
    next(sent)
    settled(drawing)
    older, drawing.model = drawing.model, replace(drawing.model, key=8, version="2")
    with pytest.raises(Cut):
        list(sent)
    stream.close()
    assert dict(head[0][1])["Carfront-Model"] == str(older)


def test_version_that_comes_before_the_first_part_draws_all(http, drawing):
    newer = replace(drawing.model, key=8)
    find = drawing.find

    def find_older(*asked):
        found = find(*asked)
        drawing.model = newer
        return found

    drawing.find = find_older
    drawing.answers = [ModelGone("tiny/1")]
    assert post(http, n=N, format="npy").status_code == 200
    assert sum(x.n for x in drawing.drawn) == N


# keys


@pytest.fixture
def caller(request):
    limits = KeyLimits.create(lambda: 1e6)

    def make(**told):
        key = Key(request.node.name[:60], USER, b"", **told)
        return Caller(key, limits, limits.rows([key.name])[0])

    return make


def left(caller):
    """What a caller has left of its limits: of its burst, and in flight."""
    fields = dict(caller.fields())["RateLimit"]
    return [int(x.split("r=")[1].split(";")[0]) for x in fields.split(", ")]


def test_key_pays_for_all_images_once_they_are_drawn(drawing, small_parts, caller):
    alice = caller(images_per_s=1.0, burst=60, in_flight=70)
    stream, _ = stream_of(drawing, caller=alice)
    assert left(alice) == [10, 70 - N + ROWS], "all are let in, and the first part is drawn"
    sent = b"".join(stream)
    stream.close()
    assert len(sent) == stream.length
    assert left(alice) == [10, 70]
    name = {"key": alice.key.name}
    assert REGISTRY.get_sample_value("carfront_key_images_total", name) == N


@pytest.mark.parametrize("takes", [0, 1, 3])
def test_key_gets_back_what_was_not_drawn(drawing, small_parts, caller, takes):
    alice = caller(images_per_s=1.0, burst=60, in_flight=70)
    stream, _ = stream_of(drawing, caller=alice)
    for _, _ in zip(range(takes), stream, strict=False):
        settled(drawing)
    stream.close()
    assert left(alice) == [60 - settled(drawing), 70]


def test_key_that_may_not_draw_so_many_at_once_is_told_before_any_is_drawn(
    drawing, small_parts, caller
):
    alice = caller(images_per_s=1.0, burst=N - 1)
    stream, head = stream_of(drawing, caller=alice)
    assert head[0][0].startswith("400")
    assert b"n is 50; wanted at most 49: the key" in b"".join(stream)
    assert not drawing.drawn


def test_key_pays_nothing_where_the_first_part_is_refused(drawing, small_parts, caller):
    alice = caller(images_per_s=1.0, burst=60, in_flight=70)
    drawing.answers = [QueueFull(QueueState(100, 100, 2.0, 3.0))]
    _, head = stream_of(drawing, caller=alice)
    assert head[0][0].startswith("503")
    assert left(alice) == [60, 70]


def test_key_pays_once_where_another_version_comes_before_the_first_part(
    drawing, small_parts, caller
):
    alice = caller(images_per_s=1.0, burst=60, in_flight=70)
    drawing.answers = [ModelGone("tiny/1")]
    stream, _ = stream_of(drawing, caller=alice)
    list(stream)
    stream.close()
    assert left(alice) == [10, 70]


# metrics


def test_duration_and_encoding_are_told_once_when_the_answer_has_ended(drawing, small_parts):
    def count():
        route = {"route": "/v1/images", "kind": "bulk"}
        name = "http_server_request_duration_seconds_count"
        return (
            REGISTRY.get_sample_value(name, route) or 0,
            REGISTRY.get_sample_value("carfront_encode_seconds_count", {"format": "npy"}) or 0,
        )

    before = count()
    stream, _ = stream_of(drawing)
    assert count() == before
    list(stream)
    stream.close()
    assert count() == (before[0] + 1, before[1] + 1)


# parts


def with_classes(model, count):
    names = [f"class {x}" for x in range(count)]
    return replace(model, manifest=replace(model.manifest, classes=names))


@pytest.mark.parametrize(("classes", "rows"), [(3, 510), (512, 512), (300, 300)])
def test_latents_have_the_classes_that_they_would_have_together(drawing, classes, rows):
    """The class of a row is its number modulo the number of classes: parts hold whole rounds."""
    names = [f"class {x}" for x in range(classes)]
    model = replace(drawing.model, manifest=replace(drawing.model.manifest, classes=names))
    source = Latents(np.zeros((5000, 8), np.float32))
    assert parts.part_rows(source, model, None) == rows
    assert parts.part_rows(source, model, 1) == parts.part_rows(SeedRange(0, 9), model, None) == 512


def test_each_part_has_the_classes_of_its_own_images(http, drawing, small_parts):
    drawing.model = with_classes(drawing.model, 9)
    drawn = []
    inner = drawing.generate_with

    def spy(model, source, terms, named=None):
        drawn.append(named)
        return inner(model, source, terms, named)

    drawing.generate_with = spy
    classes = [x % 9 for x in range(N)]
    assert post(http, n=N, seed=3, format="npy", **{"class": classes}).status_code == 200
    assert [len(part) for part in drawn] == [ROWS] * 6 + [2]
    assert [x for part in drawn for x in part] == classes


def test_latents_of_more_classes_than_a_part_has_rows_need_one(http, drawing):
    names = [f"class {x}" for x in range(9)]
    classes = replace(drawing.model.manifest, classes=names)
    drawing.model = replace(drawing.model, manifest=classes)
    response = post(http, latents=[[0.5] * 8] * N, format="npy")
    assert response.status_code == 400
    assert response.json["field"] == "class"
    assert not drawing.drawn


def test_large_images_make_small_parts(drawing):
    facts = drawing.model.manifest
    for shape, rows in (([256, 256, 3], 8), ([4096, 4096, 4], 1), ([32, 32, 3], 512)):
        image = replace(facts.image, shape=shape)
        model = replace(drawing.model, manifest=replace(facts, image=image))
        assert parts.part_rows(SeedRange(0, 9), model, None) == rows
