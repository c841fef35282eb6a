"""Images and grids by URL, in every format, and what caches are told of them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from drawing_client import HEIGHT, WIDTH, DrawingClient, noise
from PIL import Image

from server.app import create_app
from server.bundle.manifest_values import COLORS
from server.config import ServerConfig
from server.ipc.sources import SeedRange

FOREVER = "public, max-age=31536000, immutable"
MINUTE = "public, max-age=60"
TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "npy": "application/x-npy"}
BASES = ("/v1", "/v1/models/tiny/versions/1")


@pytest.fixture
def drawing():
    return DrawingClient()


@pytest.fixture
def http(drawing):
    return create_app(ServerConfig(), drawing).test_client()


def pixels(response):
    """The pixels of an answer, uint8 [height, width, channels]."""
    assert response.status_code == 200, response.text
    if response.mimetype == "application/x-npy":
        (image,) = np.load(io.BytesIO(response.data))
        return image
    image = Image.open(io.BytesIO(response.data))
    assert image.get_format_mimetype() == response.mimetype
    return np.asarray(image).reshape(image.height, image.width, -1)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("suffix", TYPES)
@pytest.mark.parametrize("scale", [1, 3])
def test_image_is_in_the_format_of_its_suffix_and_of_the_scale(http, base, suffix, scale):
    response = http.get(f"{base}/images/7.{suffix}?scale={scale}")
    assert response.mimetype == TYPES[suffix]
    image = pixels(response)
    assert image.shape == (HEIGHT * scale, WIDTH * scale, 3)
    if suffix in ("png", "npy"):
        assert (image[::scale, ::scale] == noise([7])[0]).all()
        assert (image[scale - 1 :: scale, scale - 1 :: scale] == noise([7])[0]).all()
    assert response.headers["Carfront-Seed"] == "7"


def test_image_is_enlarged_by_the_filter_that_is_wanted(http):
    smooth = pixels(http.get("/v1/images/7.png?scale=2&filter=lanczos"))
    square = pixels(http.get("/v1/images/7.png?scale=2&filter=nearest"))
    assert smooth.shape == square.shape
    assert (smooth != square).any()
    assert (pixels(http.get("/v1/images/7.png?scale=2")) == square).all()


@pytest.mark.parametrize("channels", COLORS)
@pytest.mark.parametrize("suffix", TYPES)
def test_every_format_has_every_color(channels, suffix):
    http = create_app(ServerConfig(), DrawingClient(channels)).test_client()
    image = pixels(http.get(f"/v1/images/7.{suffix}"))
    kept = {"jpg": {4: 3}, "webp": {1: 3}}.get(suffix, {})
    assert image.shape == (HEIGHT, WIDTH, kept.get(channels, channels))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_grid_shows_seeds_row_by_row(http, base, suffix):
    response = http.get(f"{base}/grid.{suffix}?seed=7&rows=2&cols=3&scale=2")
    assert response.mimetype == TYPES[suffix]
    sheet = pixels(response)
    assert sheet.shape == (2 * 2 * HEIGHT, 3 * 2 * WIDTH, 3)
    if suffix == "png":
        assert (sheet[10:20:2, 12:24:2] == noise([11])[0]).all()


def test_grid_without_a_query_is_of_the_first_64_seeds(http, drawing):
    assert pixels(http.get("/v1/grid.png")).shape == (8 * HEIGHT, 8 * WIDTH, 3)
    assert drawing.drawn == [SeedRange(0, 64)]


@pytest.mark.parametrize(
    ("path", "accept", "mimetype"),
    [
        ("/v1/images/7", None, "image/png"),
        ("/v1/images/7?scale=2", "image/webp, */*;q=0.5", "image/webp"),
        ("/v1/images/7", "application/*", "application/x-npy"),
        ("/v1/grid", "image/jpeg", "image/jpeg"),
        ("/v1/models/tiny/versions/1/images/7", "image/jpeg", "image/jpeg"),
    ],
)
def test_accept_decides_where_there_is_no_suffix(http, path, accept, mimetype):
    response = http.get(path, headers={"Accept": accept} if accept else {})
    assert response.mimetype == mimetype
    assert response.headers["Vary"] == "Accept"
    pixels(response)


@pytest.mark.parametrize("suffix", TYPES)
def test_suffix_goes_before_accept(http, suffix):
    response = http.get(f"/v1/images/7.{suffix}", headers={"Accept": "text/html"})
    assert response.mimetype == TYPES[suffix]
    assert "Vary" not in response.headers


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/v1/images/7.gif", 404, "suffix is 'gif'; wanted png or jpg or webp or npy"),
        ("/v1/images/7.PNG", 404, "suffix is 'PNG'; wanted png or jpg or webp or npy"),
        ("/v1/images/7.png.", 404, "suffix is ''; wanted png or jpg or webp or npy"),
        ("/v1/grid.npy", 404, "path is '/v1/grid.npy'; wanted one of those that GET / lists"),
        ("/v1/images/x.jpg", 400, "seed is 'x'; wanted a whole number from 0 to {last}"),
        ("/v1/images/x", 400, "seed is 'x'; wanted a whole number from 0 to {last}"),
        ("/v1/images/7.png?scale=33", 400, "scale is '33'; wanted a whole number from 1 to 32"),
        ("/v1/images/7.png?filter=", 400, "filter is ''; wanted nearest or lanczos"),
        (
            "/v1/images/7.png?size=2",
            400,
            "size is '2'; wanted the parameters scale, filter, truncation, class",
        ),
        (
            "/v1/grid.png?rows=9&cols=500",
            400,
            "rows is 9; wanted at most 8: a grid has 4096 images at most",
        ),
        (
            "/v1/grid.png?scale=32",
            400,
            "scale is 32; wanted at most 46: there are at most 4194304 pixels",
        ),
    ],
)
def test_what_is_amiss_in_a_url_is_told_in_one_sentence(http, drawing, path, status, told):
    if "scale=32" in path:
        path, told = f"{path}&rows=64&cols=64", told.replace("46", "5")
    for response in (http.get(path), http.head(path)):
        assert response.status_code == status
        assert response.mimetype == "application/problem+json"
        assert response.headers["Cache-Control"] == "no-store"
    assert http.get(path).json["detail"] == told.format(last=2**64 - 1)
    assert not drawing.drawn


def test_caller_who_accepts_no_format_is_told_what_there_is(http, drawing):
    response = http.get("/v1/grid", headers={"Accept": "application/x-npy"})
    assert response.status_code == 406
    assert response.json["detail"] == (
        "Accept is 'application/x-npy'; wanted image/png or image/jpeg or image/webp"
    )
    assert not drawing.drawn


# caches

PATHS = (
    "/v1/images/7.png",
    "/v1/images/8.png",
    "/v1/images/7.jpg",
    "/v1/images/7.png?scale=2",
    "/v1/images/7.png?scale=3",
    "/v1/images/7.png?scale=2&filter=lanczos",
    "/v1/grid.png?rows=2&cols=3",
    "/v1/grid.png?rows=3&cols=2",
    "/v1/grid.png?rows=2&cols=3&seed=1",
)


def test_each_image_has_a_tag_of_its_own_and_the_same_each_time(http):
    tags = [http.get(path).headers["ETag"] for path in PATHS]
    assert len(set(tags)) == len(PATHS)
    assert tags == [http.get(path).headers["ETag"] for path in PATHS]
    assert all(tag[0] == tag[-1] == '"' for tag in tags)


@pytest.mark.parametrize("change", [{"key": 8}, {"plan": "openvino/f32"}])
def test_another_bundle_or_plan_makes_another_tag(http, drawing, change):
    before = http.get("/v1/images/7.png").headers["ETag"]
    drawing.model = replace(drawing.model, **change)
    drawing.plans = [drawing.model.plan]
    response = http.get("/v1/images/7.png", headers={"If-None-Match": before})
    assert response.status_code == 200
    assert response.headers["ETag"] != before


@pytest.mark.parametrize("path", [*PATHS, *(x.replace("/v1", BASES[1]) for x in PATHS)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_caller_that_has_the_image_costs_no_inference(http, drawing, path, method):
    first = http.get(path)
    assert len(drawing.drawn) == 1
    for listed in ("{}", "W/{}", '"other", {}', "*"):
        header = {"If-None-Match": listed.format(first.headers["ETag"])}
        response = http.open(path, method=method, headers=header)
        assert (response.status_code, response.data) == (304, b"")
        for name in ("ETag", "Cache-Control"):
            assert response.headers[name] == first.headers[name]
        assert not {"Content-Type", "Content-Length"} & set(response.headers.keys())
    assert len(drawing.drawn) == 1


def test_caller_that_has_another_image_gets_this_one(http, drawing):
    other = http.get("/v1/images/8.jpg").headers["ETag"]
    response = http.get("/v1/images/7.jpg", headers={"If-None-Match": other})
    assert response.status_code == 200
    assert len(drawing.drawn) == 2


def test_caller_keeps_what_either_of_two_engines_draws(http, drawing):
    """Engines of several plans serve: the caller has an image of one, the other would draw now."""
    drawing.plans = ["openvino/bf16"]
    had = http.get("/v1/images/7.png").headers["ETag"]
    drawing.plans = ["cpu/f32", "openvino/bf16"]
    response = http.get("/v1/images/7.png", headers={"If-None-Match": had})
    assert (response.status_code, response.headers["ETag"]) == (304, had)
    drawing.plans = ["cpu/f32"]
    response = http.get("/v1/images/7.png", headers={"If-None-Match": had})
    assert (response.status_code, len(drawing.drawn)) == (200, 2)


@pytest.mark.parametrize(
    ("plans", "change", "told"),
    [
        (["cpu/f32"], {}, FOREVER),
        (["cpu/f32"], {"instead_of": "openvino/bf16"}, MINUTE),
        (["cpu/f32", "openvino/f32"], {}, MINUTE),
        (["cuda/f32"], {}, MINUTE),
    ],
    ids=["one plan", "a fallback", "two plans", "a GPU"],
)
def test_only_a_url_with_a_version_whose_bytes_stay_is_kept_for_ever(
    http, drawing, plans, change, told
):
    drawing.plans = plans
    drawing.model = replace(drawing.model, **change)
    for ask in (http.get, http.head):
        assert ask(f"{BASES[1]}/images/7.jpg").headers["Cache-Control"] == told
        assert ask("/v1/images/7.jpg").headers["Cache-Control"] == MINUTE
        assert ask("/v1/grid.png").headers["Cache-Control"] == MINUTE


def test_what_a_body_asks_for_is_kept_by_nobody(http):
    response = http.post("/v1/images", json={"seed": 7})
    assert response.status_code == 200
    assert not {"ETag", "Cache-Control"} & set(response.headers.keys())


@pytest.mark.parametrize("path", [*PATHS, "/v1/images/7.npy?scale=2", "/v1/images/7.webp"])
def test_head_is_that_of_get_and_nothing_is_drawn(http, drawing, path):
    got = http.get(path)
    drawing.drawn.clear()
    response = http.head(path)
    assert (response.status_code, response.data) == (200, b"")
    assert not drawing.drawn
    wanted = dict(got.headers)
    del wanted["Server-Timing"]
    if got.mimetype in ("image/jpeg", "image/webp"):
        del wanted["Content-Length"]  # nobody knows it before the image is encoded
    found = dict(response.headers)
    assert found.pop("X-Request-Id") != wanted.pop("X-Request-Id")
    assert found == wanted


def test_head_without_an_engine_is_told_so(http, drawing):
    drawing.plans = []
    assert http.head("/v1/images/7.png").status_code == 503


def test_image_of_a_model_that_is_not_there_is_not_there_for_its_tag_either(http):
    header = {"If-None-Match": "*"}
    assert http.get("/v1/models/x/versions/1/images/7.png", headers=header).status_code == 404
    assert http.head("/v1/models/x/versions/1/images/7.png").status_code == 404


@pytest.mark.parametrize("path", ["/v1/images/7.webp", "/v1/grid.png"])
def test_large_picture_is_encoded_in_a_thread(http, drawing, path):
    assert http.get(path).status_code == 200
    assert drawing.threads == 0
    assert http.get(f"{path}?scale=32").status_code == 200
    assert drawing.threads == 1
