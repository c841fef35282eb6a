"""Restorations: the form, the search over the engines, the answer and its events."""

import io
import json
from base64 import b64decode
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tests_engine import manifest

from inversion.photograph import to_bytes
from server.api import restoration
from server.app import create_app
from server.bundle.manifest import FLOATS, GRADIENT
from server.config import ServerConfig
from server.errors import DeadlineExceeded, InferenceFailed, ModelGone, NotOffered, QueueFull
from server.ipc.catalog import READY, Catalog, Entry
from server.queue_state import QueueState
from tests.patience import PATIENCE_S

DIM, SHAPE = 8, (4, 4, 3)
MATRIX = np.random.default_rng(0).normal(0, 0.5, (DIM, 48)).astype(np.float32)
TRUTH = np.random.default_rng(7).standard_normal(DIM).astype(np.float32)
QUEUE = QueueState(9, 100, 0.2, 0.1)


def draw(latents):
    return np.tanh(latents @ MATRIX).reshape(-1, *SHAPE)


class Engines:
    """Stand in for an ``EngineClient`` whose one model, tiny/1, is plain arithmetic."""

    ready, loop = True, None

    def __init__(self):
        self.loop = self
        self.model = Entry("tiny", "1", READY, "", 7, manifest(), "cpu/f32")
        self.asked = []
        self.errors = {}
        """The error of each request, by its number."""

    @property
    def catalog(self):
        return Catalog("tiny/1", {"tiny/1": self.model}, (), {"tiny": "1"})

    def find(self, name=None, version=None):
        return self.catalog.find(name, version)

    def most_rows(self, entry, *row_bytes, floats=False):
        return 20

    def in_thread(self, function, *arguments):
        return function(*arguments)

    def waiter(self):
        return SimpleNamespace(wait=lambda: None, wake=None)

    def call_later(self, seconds, *_):
        self.asked.append(("pause", seconds))
        return lambda: None

    def generate_with(self, model, source, terms, named=None, kind=""):
        assert model == self.model
        rows = source.rows
        self.asked.append((kind, len(rows), terms))
        if error := self.errors.get(len(self.asked)):
            raise error
        if kind == FLOATS:
            given = draw(rows)
        else:
            assert kind == GRADIENT
            latents, cotangents = rows[:, :DIM], rows[:, DIM:]
            given = ((1 - np.square(np.tanh(latents @ MATRIX))) * cotangents) @ MATRIX.T
        return nullcontext(SimpleNamespace(images=given, queue_s=0.001, infer_s=0.002))


@pytest.fixture
def engines():
    return Engines()


@pytest.fixture
def http(engines):
    config = ServerConfig(request_timeout_ms=PATIENCE_S * 1000)
    return create_app(config, engines).test_client()


def file_of(image, form="PNG"):
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


PHOTO = file_of(Image.fromarray(to_bytes(draw(TRUTH[np.newaxis])[0])))


def ask(http, headers=None, photo=PHOTO, **fields):
    data = {name: str(value) for name, value in fields.items() if not isinstance(value, bytes)}
    files = {"photo": photo, **{k: v for k, v in fields.items() if isinstance(v, bytes)}}
    data |= {name: (io.BytesIO(x), f"{name}.png") for name, x in files.items() if x is not None}
    return http.post("/v1/restore", data=data, headers=headers, content_type="multipart/form-data")


def pixels(text):
    return np.asarray(Image.open(io.BytesIO(b64decode(text))))


def events(response):
    """Return the events of an answer, each with what it tells."""
    assert response.mimetype == "text/event-stream"
    found = []
    for text in response.data.decode().split("\n\n")[:-1]:
        kind, data = text.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_image_of_the_model_is_found_again_with_its_latents(http, engines):
    response = ask(http, steps=300, restarts=4)
    assert response.status_code == 200, response.text
    told = response.json
    assert (told["step"], told["steps"]) == (300, 300)
    assert told["distance"] < 8  # the prior draws the latents a little towards the mean
    truth = draw(TRUTH[np.newaxis])[0]
    assert np.abs(pixels(told["image"]).astype(int) - to_bytes(truth)).mean() < 8
    found = np.array(told["latents"], np.float32)
    np.testing.assert_array_equal(to_bytes(draw(found[np.newaxis])[0]), pixels(told["image"]))
    assert response.headers["Carfront-Model"] == "tiny/1"
    assert "queue;dur=" in response.headers["Server-Timing"]
    assert {kind for kind, *_ in engines.asked} == {FLOATS, GRADIENT}
    assert all(terms.bulk for _, _, terms in engines.asked)
    assert max(rows for _, rows, _ in engines.asked) == 20  # what the arena holds


def test_photograph_of_many_bytes_is_read(http):
    noise = np.random.default_rng(0).integers(0, 256, (350, 350, 3), np.uint8)
    photo = file_of(Image.fromarray(noise))
    assert len(photo) > 300_000  # more than the fields may have, and than a piece
    assert ask(http, photo=photo, steps=1).status_code == 200


def test_what_a_mask_hides_is_filled_in(http):
    mask = Image.new("L", (4, 4), 0)
    mask.paste(255, (2, 0, 4, 4))
    told = ask(http, mask=file_of(mask), steps=300).json
    filled, photo = pixels(told["filled"]), np.asarray(Image.open(io.BytesIO(PHOTO)))
    np.testing.assert_array_equal(filled[:, :2], photo[:, :2])
    assert np.abs(filled[:, 2:].astype(int) - photo[:, 2:]).mean() < 40


def test_search_goes_on_as_events_and_ends_with_what_the_json_would_be(http):
    streamed = events(ask(http, {"Accept": "text/event-stream"}, steps=12, restarts=2))
    assert [kind for kind, _ in streamed] == ["step", "step", "step", "end"]
    assert [told["step"] for _, told in streamed] == [1, 5, 10, 12]
    whole = ask(http, steps=12, restarts=2).json
    assert streamed[-1][1] == whole
    assert pixels(streamed[0][1]["image"]).shape == SHAPE


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (QueueFull(QUEUE), 503),
        (DeadlineExceeded(1.0), 504),
        (ModelGone("tiny/1"), 503),
        (NotOffered("tiny/1 restores no photographs: the bundle has no graph of it"), 501),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_first_step_that_cannot_be_done_is_an_error_with_its_status(
    http, engines, error, status, accept
):
    engines.errors[1] = error
    response = ask(http, {"Accept": accept})
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.json["detail"] == str(error)


def test_later_step_that_fails_ends_the_events_with_the_problem(http, engines):
    engines.errors[60] = InferenceFailed()
    *_, (kind, problem) = events(ask(http, {"Accept": "text/event-stream"}))
    assert kind == "error"
    assert problem["status"] == 500
    engines.errors = {60 + len(engines.asked): InferenceFailed()}
    assert ask(http).status_code == 500


def test_engine_that_is_full_for_a_while_is_asked_again(http, engines):
    engines.errors[60] = QueueFull(QUEUE)
    told = ask(http, steps=20).json
    assert told["step"] == 20
    (pause,) = [seconds for kind, seconds, *_ in engines.asked if kind == "pause"]
    assert pause == pytest.approx(0.1)


def test_time_that_is_up_ends_the_search_with_what_is_found(http, engines):
    engines.errors[60] = DeadlineExceeded(5.0)
    told = ask(http, steps=200).json
    assert 0 < told["step"] < 200
    assert told["distance"] > 0


def test_model_with_classes_or_alpha_is_not_offered(http, engines):
    plain = engines.model
    engines.model = replace(plain, manifest=replace(plain.manifest, classes=["a", "b"]))
    assert ask(http).status_code == 501
    image = replace(plain.manifest.image, shape=[4, 4, 4], colors="RGBA")
    engines.model = replace(plain, manifest=replace(plain.manifest, image=image))
    assert "alpha" in ask(http).json["detail"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"photo": None}, "photo"),
        ({"photo": b"GIF89a"}, "photo"),
        ({"mask": b"nothing"}, "mask"),
        ({"steps": 0}, "steps"),
        ({"steps": 501}, "steps"),
        ({"steps": "many"}, "steps"),
        ({"restarts": 33}, "restarts"),
        ({"loss": "best"}, "loss"),
        ({"seed": -1}, "seed"),
        ({"colour": "red"}, "field"),
        ({"second": PHOTO}, "field"),
        ({"steps": "1" * 2000}, "steps"),
        ({"loss": "x" * 300_000}, "body"),
    ],
)
def test_fault_in_the_form_is_named(http, engines, fields, field):
    response = ask(http, **fields)
    assert response.status_code == 400, response.text
    assert response.json["field"] == field
    assert not engines.asked


def test_field_that_is_there_twice_is_refused(http):
    data = {"photo": (io.BytesIO(PHOTO), "a.png"), "steps": ["1", "2"]}
    response = http.post("/v1/restore", data=data, content_type="multipart/form-data")
    assert response.json["field"] == "steps"


@pytest.mark.parametrize("kind", ["application/json", "image/png", "multipart/form-data", ""])
def test_body_that_is_no_form_is_refused_with_what_is_read(http, kind):
    response = http.post("/v1/restore", data=PHOTO, content_type=kind)
    assert response.status_code == 415
    assert response.headers["Accept"] == "multipart/form-data"


def test_unknown_model_is_not_found(http):
    assert ask(http, model="lorries").status_code == 404


def test_large_images_are_compared_beside_other_callers(http, engines, monkeypatch):
    threads = []
    monkeypatch.setattr(restoration, "INLINE_VALUES", 10)
    engines.in_thread = lambda function, *given: threads.append(function) or function(*given)
    assert ask(http, steps=5).status_code == 200
    assert len(threads) > 5
