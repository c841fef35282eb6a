"""Morphs by URL: their frames, their formats, and what caches are told of them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from drawing_client import HEIGHT, WIDTH, DrawingClient, noise
from PIL import Image

from server.api.interpolation import way
from server.api.query import OF_MORPH
from server.app import create_app
from server.config import ServerConfig
from server.errors import ModelGone
from server.ipc.sources import Latents

TYPES = {"webp": "image/webp", "gif": "image/gif", "png": "image/png"}
BASES = ("/v1", "/v1/models/tiny/versions/1")
LAST = 2**64 - 1


@pytest.fixture
def drawing():
    return DrawingClient()


@pytest.fixture
def http(drawing):
    return create_app(ServerConfig(), drawing).test_client()


def opened(response):
    assert response.status_code == 200, response.text
    image = Image.open(io.BytesIO(response.data))
    assert image.get_format_mimetype() == response.mimetype
    image.load()
    return image


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_animation_has_every_frame_there_and_back(http, drawing, base, suffix):
    response = http.get(f"{base}/morph.{suffix}?from=7&to=9&frames=5&scale=2&frame_ms=60")
    image = opened(response)
    assert response.mimetype == TYPES[suffix]
    assert image.n_frames == 8
    assert image.size == (2 * WIDTH, 2 * HEIGHT)
    assert image.info["duration"] == 60
    assert response.headers["Carfront-Seed"] == "7"
    assert drawing.drawn[0].n == 5


def test_strip_has_the_frames_side_by_side_as_they_were_drawn(http):
    strip = np.asarray(opened(http.get("/v1/morph.png?from=7&to=9&frames=5")))
    assert strip.shape == (HEIGHT, 5 * WIDTH, 3)
    assert (np.stack(np.split(strip, 5, axis=1)) == noise(range(5))).all()


@pytest.mark.parametrize("truncation", [1.0, 0.5])
@pytest.mark.parametrize(("first", "last"), [(7, 9), (9, 7), (LAST, 0), (3, 3)])
def test_latents_lead_from_seed_to_seed(http, drawing, first, last, truncation):
    query = f"from={first}&to={last}&frames=4&truncation={truncation}"
    assert http.get(f"/v1/morph.webp?{query}").status_code == 200
    (drawn,) = drawing.drawn
    assert isinstance(drawn, Latents)
    wanted = way(first, last, 4, truncation, drawing.model.manifest.latents)
    assert drawn.rows.tobytes() == wanted.tobytes()


def test_morph_has_16_frames_where_nothing_is_said(http):
    image = opened(http.get("/v1/morph?from=1&to=2"))
    assert (image.format, image.n_frames, image.info["duration"]) == ("WEBP", 30, 100)


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [("image/*", "image/webp"), ("image/gif", "image/gif"), ("image/png", "image/png")],
)
def test_accept_decides_where_there_is_no_suffix(http, accept, mimetype):
    response = http.get("/v1/morph?from=1&to=2", headers={"Accept": accept})
    assert (response.mimetype, response.headers["Vary"]) == (mimetype, "Accept")


def test_caller_who_accepts_no_format_is_told_what_there_is(http, drawing):
    response = http.get("/v1/morph?from=1&to=2", headers={"Accept": "image/jpeg"})
    assert response.status_code == 406
    assert response.json["detail"] == (
        "Accept is 'image/jpeg'; wanted image/webp or image/gif or image/png"
    )
    assert not drawing.drawn


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("to=1", f"from is missing; wanted a whole number from 0 to {LAST}"),
        ("from=1", f"to is missing; wanted a whole number from 0 to {LAST}"),
        ("from=1&to=x", f"to is 'x'; wanted a whole number from 0 to {LAST}"),
        (f"from=1&to={LAST + 1}", f"to is '{LAST + 1}'; wanted a whole number from 0 to {LAST}"),
        ("from=1&to=2&frames=1", "frames is '1'; wanted a whole number from 2 to 256"),
        ("from=1&to=2&frames=257", "frames is '257'; wanted a whole number from 2 to 256"),
        ("from=1&to=2&frame_ms=0", "frame_ms is '0'; wanted a whole number from 20 to 10000"),
        ("from=1&to=2&truncation=0", "truncation is '0'; wanted a number above 0, at most 1"),
        ("from=1&to=2&class=dog", "class is 'dog'; wanted none, as tiny/1 has no classes"),
        (
            "from=1&to=2&seed=3",
            f"seed is '3'; wanted the parameters {', '.join(OF_MORPH)}",
        ),
    ],
)
def test_what_is_amiss_is_told_in_one_sentence(http, drawing, query, told):
    for suffix in TYPES:
        response = http.get(f"/v1/morph.{suffix}?{query}")
        assert response.status_code == 400
        assert response.headers["Cache-Control"] == "no-store"
        assert response.json["detail"] == told
        assert not drawing.drawn


def test_morph_that_is_too_large_is_refused(http, drawing):
    for suffix in TYPES:
        response = http.get(f"/v1/morph.{suffix}?from=1&to=2&frames=256&scale=32")
        assert response.status_code == 400
        assert response.json["detail"] == (
            "scale is 32; wanted at most 23: there are at most 4194304 pixels"
        )
    assert not drawing.drawn


def test_suffix_that_no_morph_has_is_not_found(http):
    assert http.get("/v1/morph.jpg?from=1&to=2").status_code == 404


@pytest.mark.parametrize(("asked", "named"), [("", 1), ("&class=cat", "cat")])
def test_frames_are_of_one_class_which_is_the_first_seeds_own(drawing, asked, named):
    classes = replace(drawing.model.manifest, classes=["car", "dog", "cat"])
    drawing.model = replace(drawing.model, manifest=classes)
    http = create_app(ServerConfig(), drawing).test_client()
    assert http.get(f"/v1/morph.png?from=7&to=9{asked}").status_code == 200
    assert drawing.named == named


# caches

PATHS = (
    "/v1/morph.webp?from=1&to=2",
    "/v1/morph.webp?from=2&to=1",
    "/v1/morph.webp?from=1&to=3",
    "/v1/morph.webp?from=1&to=2&frames=3",
    "/v1/morph.webp?from=1&to=2&frame_ms=50",
    "/v1/morph.webp?from=1&to=2&truncation=0.5",
    "/v1/morph.webp?from=1&to=2&scale=2",
    "/v1/morph.gif?from=1&to=2",
    "/v1/morph.png?from=1&to=2",
    "/v1/morph.png?from=1&to=3",
)


def test_each_morph_has_a_tag_of_its_own_and_the_same_each_time(http):
    tags = [http.get(path).headers["ETag"] for path in PATHS]
    assert len(set(tags)) == len(PATHS)
    assert tags == [http.get(path).headers["ETag"] for path in PATHS]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("base", BASES)
def test_caller_that_has_the_morph_costs_no_inference(http, drawing, path, base):
    path = path.replace("/v1", base)
    first = http.get(path)
    header = {"If-None-Match": first.headers["ETag"]}
    response = http.get(path, headers=header)
    assert (response.status_code, response.data) == (304, b"")
    assert ("immutable" in response.headers["Cache-Control"]) == (base == BASES[1])
    assert len(drawing.drawn) == 1


@pytest.mark.parametrize("path", PATHS)
def test_head_is_that_of_get_and_nothing_is_drawn(http, drawing, path):
    wanted = dict(http.get(path).headers)
    drawing.drawn.clear()
    response = http.head(path)
    assert (response.status_code, response.data) == (200, b"")
    assert not drawing.drawn
    del wanted["Server-Timing"]
    if not path.startswith("/v1/morph.png"):
        del wanted["Content-Length"]  # nobody knows it before the frames are encoded
    found = dict(response.headers)
    assert found.pop("X-Request-Id") != wanted.pop("X-Request-Id")
    assert found == wanted


def test_new_version_that_comes_meanwhile_draws_the_frames_from_its_own_latents(drawing):
    """Its latents are of another size: those of the old version would be none of its own."""
    facts = drawing.model.manifest
    newer = replace(facts, latents=replace(facts.latents, dim=5))
    draw = drawing.generate_with

    def generate_with(model, *more):
        if not drawing.drawn and model.manifest is facts:
            drawing.model = replace(drawing.model, manifest=newer, key=8)
            raise ModelGone(str(model))
        return draw(model, *more)

    drawing.generate_with = generate_with
    http = create_app(ServerConfig(), drawing).test_client()
    assert http.get("/v1/morph.png?from=7&to=9&frames=3").status_code == 200
    assert [x.rows.shape for x in drawing.drawn] == [(3, 5)]
