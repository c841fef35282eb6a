"""A real server of grey, RGB and RGBA models: every format decodes, and says what drew it."""

import base64
import io
import json
import re
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from server.bundle.latents import latents
from server.bundle.manifest import MANIFEST
from server.runtime.plans import Plan
from server.runtime.session import Session
from tests.bundles import DEFAULT
from tests.servers import PATIENCE_S, PYTHON, serving, until
from tests.small_model import GRAPH, small_model_of, write_small_model

pytestmark = pytest.mark.servers
MODELS = {"grey": (1, "L"), "colored": (3, "RGB"), "clear": (4, "RGBA")}
"""The number of channels of each model, and Pillow's mode of its images."""
HEIGHT, WIDTH = 20, 24
SEED = 7
MANY = 200
"""More than one stored block holds in any colors, and more than are encoded inline."""


def ask(server, path, body=None, kind="application/json"):
    """Return the header fields and the body of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(server.url + path, data, {"Content-Type": kind, "Accept": "*/*"})
    with urlopen(request, timeout=PATIENCE_S) as answer:
        return answer.headers, answer.read()


BY_FLASK = "application/json; charset=utf-8"
"""A Content-Type that the fast path leaves to Flask."""
ROUTES = {
    "the fast path": lambda server, wanted: ask(server, "/v1/images", wanted),
    "Flask": lambda server, wanted: ask(server, "/v1/images", wanted, BY_FLASK),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors") / "models"
    for name, (channels, _) in MODELS.items():
        small_model_of(folder, name, [HEIGHT, WIDTH, channels])
    return folder


@pytest.fixture(scope="module")
def server(models):
    environ = {
        "CARFRONT_MODELS": str(models),
        "CARFRONT_MODEL": "clear",
        "CARFRONT_SERVE": "all",
        "CARFRONT_WORKERS": "1",
        "CARFRONT_PROVIDER": "cpu",
    }
    with serving(PYTHON, environ) as server:
        yield server


@pytest.fixture(scope="module")
def drawn(models):
    """The images of each model without any server, by its name."""
    batch = latents(list(range(SEED, SEED + MANY)), 100)
    graphs = {name: next((models / name).glob(f"*/{GRAPH}")) for name in MODELS}
    return {x: Session(path, Plan("cpu", "f32"), 1).run(batch) for x, path in graphs.items()}


def decoded(file, mode=None, name="png"):
    """Return the pixels of a picture, uint8 [height, width, channels]."""
    image = Image.open(io.BytesIO(file), formats=[name.upper()])
    assert mode in (None, image.mode)
    return np.asarray(image).reshape(image.height, image.width, -1)


def check_alike(images, wanted):
    """Another number of rows may round a sum otherwise, never by more than a level."""
    assert images.shape == wanted.shape
    assert np.abs(images.astype(int) - wanted).max() <= 1


def check_near(images, wanted):
    """Of noise, lossy formats leave the brightness of each pixel, nearly, and the colors in all."""
    assert images.shape == wanted.shape
    difference = (images.astype(int) - wanted)[..., :3]
    brightness = difference @ [0.299, 0.587, 0.114] if difference.shape[3] == 3 else difference
    assert np.abs(brightness).mean() < 8, "of 256 levels"
    assert np.abs(difference.mean(axis=(0, 1, 2))).max() < 8


def on_white(images):
    """What JPEG, which knows no alpha, has of uint8 [n, H, W, 4]."""
    alpha = images[..., 3:].astype(float) / 255
    return np.rint(images[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def lossy(images, name):
    """What a lossy format is to show of ``images``: its own colors."""
    channels = images.shape[3]
    if name == "webp":
        return images.repeat(3, axis=3) if channels == 1 else images
    return on_white(images) if channels == 4 else images


def tiles(sheet, n):
    """Return the images of a sheet, and what is left of it: uint8 [more, H, W, C] both."""
    columns = int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    assert sheet.shape[:2] == (rows * HEIGHT, columns * WIDTH)
    split = sheet.reshape(rows, HEIGHT, columns, WIDTH, -1).swapaxes(1, 2)
    split = split.reshape(rows * columns, HEIGHT, WIDTH, -1)
    return split[:n], split[n:]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("n", [1, 5, MANY])
@pytest.mark.parametrize("name", MODELS)
def test_every_format_decodes_to_what_the_model_drew(server, drawn, name, n, route):
    wanted = {"n": n, "seed": SEED, "model": name}
    fields, png = ROUTES[route](server, wanted)
    assert fields["Content-Type"] == "image/png"
    images, rest = tiles(decoded(png, MODELS[name][1]), n)
    check_alike(images, drawn[name][:n])
    assert not rest.any(), "what is left of a sheet is black, or transparent"
    fields, npy = ROUTES[route](server, wanted | {"format": "npy"})
    assert fields["Content-Type"] == "application/x-npy"
    check_alike(np.load(io.BytesIO(npy)), drawn[name][:n])
    assert fields["Carfront-Plan"] == "cpu/f32"
    fields, raw = ROUTES[route](server, wanted | {"format": "raw"})
    shape = [int(x) for x in fields["Carfront-Shape"].split(",")]
    assert (np.frombuffer(raw, np.uint8).reshape(shape) == np.load(io.BytesIO(npy))).all()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("n", [1, MANY])
@pytest.mark.parametrize("name", MODELS)
def test_archives_hold_what_the_model_drew_by_its_seeds(server, drawn, name, n, route):
    wanted = {"n": n, "seed": SEED, "model": name}
    seeds = [SEED + i for i in range(n)]
    for form, kind in (("tar", "png"), ("tar.jpg", "jpeg")):
        fields, body = ROUTES[route](server, wanted | {"format": form})
        assert fields["Content-Type"] == "application/x-tar"
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            names = [x.name.partition(".")[0] for x in tar]
            images = np.stack([decoded(tar.extractfile(x).read(), name=kind) for x in tar])
        assert names == list(map(str, seeds))
        if kind == "png":
            check_alike(images, drawn[name][:n])
        else:
            check_near(images, lossy(drawn[name][:n], "jpeg"))
    fields, body = ROUTES[route](server, wanted | {"format": "json"})
    told = json.loads(body)
    assert told["seeds"] == seeds
    images = np.stack([decoded(base64.b64decode(x), MODELS[name][1]) for x in told["images"]])
    check_alike(images, drawn[name][:n])


@pytest.mark.parametrize("form", ["jpeg", "webp"])
@pytest.mark.parametrize("n", [1, 4, 36])
@pytest.mark.parametrize("name", MODELS)
def test_lossy_format_shows_what_the_model_drew(server, drawn, name, n, form):
    fields, body = ask(server, "/v1/images", {"n": n, "seed": SEED, "model": name, "format": form})
    assert fields["Content-Type"] == f"image/{form}"
    images, _ = tiles(decoded(body, name=form), n)
    check_near(images, lossy(drawn[name][:n], form))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "npy"])
@pytest.mark.parametrize("name", MODELS)
def test_url_names_an_image_in_any_format_and_a_tag_saves_drawing_it(server, drawn, name, suffix):
    path = f"/v1/models/{name}/versions/{DEFAULT.name}/images/{SEED}.{suffix}?scale=3"
    fields, body = ask(server, path)
    kind = "jpeg" if suffix == "jpg" else suffix
    image = np.load(io.BytesIO(body))[0] if kind == "npy" else decoded(body, name=kind)
    image = image.reshape(HEIGHT, 3, WIDTH, 3, -1)[:, 1, :, 1][None]
    if kind in ("png", "npy"):
        check_alike(image, drawn[name][:1])
    else:
        check_near(image, lossy(drawn[name][:1], kind))
    assert fields["Cache-Control"] == "public, max-age=31536000, immutable"
    before = images_drawn(server)
    for method, more, status in (
        ("GET", {"If-None-Match": fields["ETag"]}, 304),
        ("HEAD", {"If-None-Match": fields["ETag"]}, 304),
        ("HEAD", {}, 200),
    ):
        found, head, nothing = bare(server, method, path, more)
        assert (found, head["ETag"], nothing) == (status, fields["ETag"], b"")
        known = status == 200 and kind in ("png", "npy")
        assert head["Content-Length"] == (str(len(body)) if known else None)
    assert images_drawn(server) == before


def bare(server, method, path, headers):
    """Return the status, the header fields and the body of an answer, whatever its status."""
    with closing(HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def images_drawn(server):
    """Return how many images the server has sent so far."""
    found = re.findall(
        r"^carfront_images_total\S* (\S+)$", ask(server, "/metrics")[1].decode(), re.MULTILINE
    )
    return sum(map(float, found))


@pytest.mark.parametrize("name", MODELS)
def test_image_of_a_version_decodes_to_what_the_model_drew(server, drawn, name):
    version = DEFAULT.name
    fields, png = ask(server, f"/v1/models/{name}/versions/{version}/images/{SEED}.png")
    check_alike(decoded(png, MODELS[name][1]), drawn[name][0])
    assert fields["Carfront-Model"] == f"{name}/{version}"
    assert fields["Carfront-Plan"] == "cpu/f32"


def test_image_of_the_default_model_and_the_front_page_are_in_its_colors(server, drawn):
    fields, png = ask(server, f"/v1/images/{SEED}.png")
    check_alike(decoded(png, "RGBA"), drawn["clear"][0])
    assert fields["Carfront-Plan"] == "cpu/f32"
    said = json.loads(ask(server, "/")[1])["image"]
    assert (said["shape"], said["colors"]) == ([HEIGHT, WIDTH, 4], "RGBA")
    assert json.loads(ask(server, "/readyz")[1]) == {"ready": True, "plan": "cpu/f32"}


def write_version(folder, version, plan):
    """Write a version of the default model that only ``plan`` may serve; return its directory."""
    facts = json.loads((DEFAULT / MANIFEST).read_text())
    facts["version"] = version
    facts["variants"][0]["plans"] = [plan]
    return write_small_model(folder, facts)


def test_answers_name_the_plan_that_drew_them_while_another_takes_over(tmp_path):
    models = tmp_path / "models"
    write_version(models, "1", "cpu/f32")
    newer = write_version(tmp_path / "elsewhere", "2", "openvino/f32")
    settings = {
        "CARFRONT_MODELS": str(models),
        "CARFRONT_POLL_S": "1",
        "CARFRONT_WORKERS": "2",
        "CARFRONT_PRECISION": "f32",
    }
    with serving(PYTHON, settings) as server:
        seen = set()

        def draw_until_it_has():
            model = ""
            while not model.endswith("/2"):
                for route in ROUTES.values():
                    fields, _ = route(server, {"n": 3, "seed": SEED})
                    model = fields["Carfront-Model"]
                    seen.add((model, fields["Carfront-Plan"]))

        def plan():
            return json.loads(ask(server, "/readyz")[1])["plan"]

        assert plan() == "cpu/f32"
        with ThreadPoolExecutor(4) as clients:
            drawing = [clients.submit(draw_until_it_has) for _ in range(4)]
            until(lambda: seen)
            shutil.move(newer, models / newer.parent.name)
            for each in drawing:
                each.result()
        assert seen == {("cars-dcgan/1", "cpu/f32"), ("cars-dcgan/2", "openvino/f32")}
        until(lambda: plan() == "openvino/f32")
