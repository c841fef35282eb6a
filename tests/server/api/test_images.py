"""Many images, in every format that a body may ask for."""

import base64
import io
import json
import tarfile

import numpy as np
import pytest
from drawing_client import HEIGHT, WIDTH, DrawingClient, noise
from PIL import Image

from server.app import create_app
from server.bundle.manifest_values import COLORS
from server.codecs.formats import FORMATS
from server.config import ServerConfig

NAMES = '"png" or "jpeg" or "webp" or "npy" or "tar" or "tar.jpg" or "json" or "raw"'
BY_FLASK = "application/json; charset=utf-8"
"""A Content-Type that the fast path leaves to Flask."""


@pytest.fixture
def drawing():
    return DrawingClient()


@pytest.fixture
def http(drawing):
    return create_app(ServerConfig(), drawing).test_client()


def ask(http, wanted, accept="*/*", kind="application/json"):
    headers = {"Accept": accept, "Content-Type": kind}
    return http.post("/v1/images", data=json.dumps(wanted), headers=headers)


def picture(data):
    image = Image.open(io.BytesIO(data))
    return np.asarray(image).reshape(image.height, image.width, -1)


def files(response):
    """The pictures in a tar, by their names."""
    with tarfile.open(fileobj=io.BytesIO(response.data)) as tar:
        return {x.name: picture(tar.extractfile(x).read()) for x in tar}


@pytest.mark.parametrize("kind", ["application/json", BY_FLASK])
@pytest.mark.parametrize("channels", COLORS)
@pytest.mark.parametrize(
    ("form", "mimetype"),
    [
        ("png", "image/png"),
        ("jpeg", "image/jpeg"),
        ("jpg", "image/jpeg"),
        ("webp", "image/webp"),
    ],
)
def test_pictures_are_sheets(channels, form, mimetype, kind):
    http = create_app(ServerConfig(), DrawingClient(channels)).test_client()
    response = ask(http, {"n": 5, "seed": 7, "format": form}, kind=kind)
    assert (response.status_code, response.mimetype) == (200, mimetype)
    sheet = picture(response.data)
    assert sheet.shape[:2] == (2 * HEIGHT, 3 * WIDTH)
    if form == "png":
        assert (sheet[HEIGHT:, WIDTH : 2 * WIDTH] == noise([11], channels)[0]).all()


@pytest.mark.parametrize("channels", COLORS)
@pytest.mark.parametrize("scale", [1, 2])
def test_arrays_hold_the_values(channels, scale):
    http = create_app(ServerConfig(), DrawingClient(channels)).test_client()
    wanted = {"n": 3, "seed": 7, "scale": scale}
    raw = ask(http, wanted | {"format": "raw"})
    npy = np.load(io.BytesIO(ask(http, wanted | {"format": "npy"}).data))
    assert raw.mimetype == "application/octet-stream"
    shape = (3, HEIGHT * scale, WIDTH * scale, channels)
    assert raw.headers["Carfront-Shape"] == ", ".join(map(str, shape))
    assert raw.headers["Carfront-Dtype"] == "uint8"
    assert (np.frombuffer(raw.data, np.uint8).reshape(shape) == npy).all()
    assert (npy[:, ::scale, ::scale] == noise([7, 8, 9], channels)).all()


def test_only_raw_values_need_their_shape_told(http):
    assert "Carfront-Shape" not in ask(http, {"format": "npy"}).headers


@pytest.mark.parametrize(
    ("form", "suffix"), [("tar", "png"), ("tar.png", "png"), ("tar.jpg", "jpg")]
)
def test_tar_has_a_file_for_each_seed_and_is_the_same_each_time(http, form, suffix):
    wanted = {"n": 3, "seed": 7, "format": form}
    response = ask(http, wanted)
    assert response.mimetype == "application/x-tar"
    found = files(response)
    assert list(found) == [f"{seed}.{suffix}" for seed in (7, 8, 9)]
    if suffix == "png":
        assert (np.stack(list(found.values())) == noise([7, 8, 9])).all()
    assert ask(http, wanted).data == response.data


def test_json_has_a_png_for_each_seed(http):
    response = ask(http, {"n": 3, "seed": 7, "format": "json"})
    assert response.mimetype == "application/json"
    assert (response.json["format"], response.json["seeds"]) == ("png", [7, 8, 9])
    found = [picture(base64.b64decode(x)) for x in response.json["images"]]
    assert (np.stack(found) == noise([7, 8, 9])).all()


@pytest.mark.parametrize("form", ["tar", "json", "raw"])
def test_last_seed_is_named(http, form):
    last = 2**64 - 1
    response = ask(http, {"seed": last, "format": form})
    assert response.headers["Carfront-Seed"] == str(last)
    if form == "tar":
        assert list(files(response)) == [f"{last}.png"]
    if form == "json":
        assert response.json["seeds"] == [last]


def test_images_of_a_body_are_enlarged_too(http):
    sheet = picture(ask(http, {"n": 4, "seed": 7, "scale": 2, "filter": "nearest"}).data)
    assert (sheet[::2, ::2][:HEIGHT, :WIDTH] == noise([7])[0]).all()
    assert sheet.shape[:2] == (4 * HEIGHT, 4 * WIDTH)


@pytest.mark.parametrize("kind", ["application/json", BY_FLASK])
@pytest.mark.parametrize("form", [x for x in FORMATS.values() if x.name != "tar.jpg"])
def test_accept_decides_where_the_body_says_nothing(http, form, kind):
    response = ask(http, {"n": 2, "seed": 7}, f"text/html, {form.mimetype};q=0.9, */*;q=0.1", kind)
    assert response.mimetype == form.mimetype
    assert response.data == ask(http, {"n": 2, "seed": 7, "format": form.name}).data


def test_body_goes_before_accept(http):
    assert ask(http, {"seed": 7, "format": "png"}, "image/webp").mimetype == "image/png"


@pytest.mark.parametrize("kind", ["application/json", BY_FLASK])
@pytest.mark.parametrize(
    ("wanted", "accept", "status", "told"),
    [
        (
            {},
            "text/html",
            406,
            "Accept is 'text/html'; wanted image/png or image/jpeg or image/webp or application/x-",
        ),
        (
            {"format": "zip"},
            "*/*",
            400,
            f"format is 'zip'; wanted {NAMES}",
        ),
        ({"scale": 0}, "*/*", 400, "scale is 0; wanted a whole number from 1 to 32"),
        ({"scale": "2"}, "*/*", 400, "scale is '2'; wanted a whole number from 1 to 32"),
        ({"filter": "cubic"}, "*/*", 400, 'filter is \'cubic\'; wanted "nearest" or "lanczos"'),
        ({"filter": ["nearest"]}, "*/*", 400, "filter is ['nearest']; wanted "),
        (
            {"n": 4096, "scale": 32},
            "*/*",
            400,
            "scale is 32; wanted at most 5: there are at most 4194304 pixels",
        ),
    ],
)
def test_what_is_amiss_is_told_before_anything_is_drawn(
    http, drawing, wanted, accept, status, told, kind
):
    response = ask(http, wanted, accept, kind)
    assert response.status_code == status
    assert response.json["detail"].startswith(told)
    assert response.headers["Cache-Control"] == "no-store"
    assert not drawing.drawn


@pytest.mark.parametrize("kind", ["application/json", BY_FLASK])
@pytest.mark.parametrize("query", ["format=npy", "n=4", "size=large", "&"])
def test_nothing_stands_in_the_query_beside_json(http, drawing, query, kind):
    response = http.post(f"/v1/images?{query}", data="{}", content_type=kind)
    assert response.status_code == 400
    assert response.json["field"] == "query"
    wanted = "none beside JSON, whose members say as much"
    assert response.json["detail"] == f"query is '{query}'; wanted {wanted}"
    assert not drawing.drawn
