"""Every route, through Flask's own client, down to a real engine on the real default model."""

import io
import json
import re
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import gevent
import numpy as np
import pytest
from PIL import Image
from tests_engine import Notes, connect, until

from server.api import fast_path
from server.api.generate import INLINE_ROWS
from server.app import create_app
from server.bundle import repository
from server.bundle.latents import latents
from server.codecs.formats import FORMATS
from server.config import ServerConfig
from server.engine.batcher import Batcher
from server.engine.engine import Engine
from server.engine.models import ServedModel
from server.errors import InferenceFailed, QueueFull, ServingError
from server.ipc.arena import SlotShape
from server.ipc.catalog import READY, Catalog, Entry
from server.ipc.engine_dir import EngineDir
from server.observability.logs import JsonLines
from server.queue_state import QueueState
from server.runtime.open_session import open_session
from server.runtime.plans import Plan
from server.worker.engine_client import EngineClient
from server.worker.gevent_io import GeventLoop
from server.worker.request_terms import RequestTerms
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
LAST = 2**64 - 1
NEWEST = str(repository.find(ROOT / "models", "cars-dcgan").manifest.version)


@pytest.fixture(scope="module")
def config():
    return ServerConfig(models=ROOT / "models", request_timeout_ms=PATIENCE_S * 1000)


@pytest.fixture(scope="module")
def engine_client(tmp_path_factory, config):
    """Serve the default bundle from threads of this process."""
    engine_dir = EngineDir(tmp_path_factory.mktemp("run"))
    bundle = repository.find(config.models, config.model)
    session, _ = open_session(bundle, [Plan("cpu", "f32")], threads=1)
    manifest = bundle.manifest
    shape = SlotShape(manifest.image.shape)
    ref = f"{manifest.name}/{manifest.version}"
    entry = Entry(manifest.name, manifest.version, READY, "", bundle.key, manifest, "cpu/f32")
    Catalog(ref, {ref: entry}, (), {manifest.name: manifest.version}).write(engine_dir.catalog)
    engine = Engine(engine_dir.socket, 1, Notes())
    engine.add(
        ServedModel(
            bundle.key,
            100,
            shape,
            [session.run],
            Batcher(64, 16384, time.monotonic),
            plan="cpu/f32",
        )
    )
    thread = threading.Thread(target=engine.serve)
    thread.start()
    client = EngineClient([engine_dir], 2**25, GeventLoop())
    until(lambda: client.ready)
    yield client
    client.close()
    engine.stop(within_s=0)
    thread.join(PATIENCE_S)


@pytest.fixture(scope="module")
def http(config, engine_client):
    return create_app(config, engine_client).test_client()


def pixels(response):
    assert response.status_code == 200, response.text
    assert response.mimetype == "image/png"
    return np.asarray(Image.open(io.BytesIO(response.data)))


def test_image_is_a_png_of_its_seed(http):
    response = http.get("/v1/images/7.png")
    assert pixels(response).shape == (32, 32, 3)
    assert response.headers["Carfront-Seed"] == "7"
    assert http.get("/v1/images/7.png").data == response.data
    assert http.get("/v1/images/8.png").data != response.data


def test_class_of_a_model_without_classes_is_a_400(http):
    plain = http.get("/v1/images/7.png")
    name, version = plain.headers["Carfront-Model"].split("/")
    path = f"/v1/models/{name}/versions/{version}/images/7.png"
    refusals = [http.get(f"{x}?class=red") for x in ("/v1/images/7.png", path)]
    refusals.append(http.post("/v1/images", json={"seed": 7, "class": "red"}))
    for response in refusals:
        assert (response.status_code, response.json["field"]) == (400, "class")
        assert f"wanted none, as {name}/{version} has no classes" in response.json["detail"]


def test_server_timing_tells_queue_inference_and_encoding_apart(http):
    timing = http.get("/v1/images/7.png").headers["Server-Timing"]
    assert [part.split(";")[0] for part in timing.split(", ")] == ["queue", "infer", "encode"]


@pytest.mark.parametrize("path", ["/v1/images/7.png", "/v1/images"])
@pytest.mark.parametrize(
    ("header", "value", "wanted"),
    [
        ("X-Request-Timeout-Ms", "0", "from 1 to 3600000"),
        ("X-Request-Timeout-Ms", "soon", "a whole number of milliseconds"),
        ("X-Request-Timeout-Ms", "9" * 5000, "a whole number of milliseconds"),
        ("Carfront-Priority", "urgent", "interactive or bulk"),
    ],
)
def test_header_that_means_nothing_is_a_400(http, path, header, value, wanted):
    answer = http.post if path == "/v1/images" else http.get
    body = {"json": {"n": 1}} if path == "/v1/images" else {}
    response = answer(path, headers={header: value}, **body)
    assert response.status_code == 400
    assert response.json["field"] == header
    assert wanted in response.json["detail"]


def test_caller_chooses_how_long_it_waits_and_who_goes_first(http, monkeypatch, engine_client):
    asked = []
    generate = engine_client.generate

    def note(source, terms, *model):
        asked.append(terms)
        return generate(source, terms, *model)

    monkeypatch.setattr(engine_client, "generate", note)
    headers = {"X-Request-Timeout-Ms": "3500000", "Carfront-Priority": "bulk"}
    assert http.get("/v1/images/7.png", headers=headers).status_code == 200
    assert http.post("/v1/images", json={"seed": 7}, headers=headers).status_code == 200
    assert http.get("/v1/images/7.png").status_code == 200
    assert asked == [
        RequestTerms(3500, True),
        RequestTerms(3500, True),
        RequestTerms(PATIENCE_S, False),
    ]


@pytest.mark.parametrize("path", ["/v1/images/7.png", "/v1/images/x.png", "/healthz", "/nothing"])
def test_every_answer_names_its_request(http, path):
    assert http.get(path, headers={"X-Request-Id": "mine"}).headers["X-Request-Id"] == "mine"
    first, second = (http.get(path).headers["X-Request-Id"] for _ in range(2))
    assert first != second


def test_first_and_last_seed_work(http):
    for seed in (0, LAST):
        assert pixels(http.get(f"/v1/images/{seed}.png")).shape == (32, 32, 3)


@pytest.mark.parametrize("seed", ["-1", str(LAST + 1), "1e3", "seven", "٣", " 1", "1" * 5000])
def test_seed_that_is_none_is_told_so(http, seed):
    response = http.get(f"/v1/images/{seed}.png")
    assert response.status_code == 400
    assert response.mimetype == "application/problem+json"
    assert response.json["field"] == "seed"
    assert f"wanted a whole number from 0 to {LAST}" in response.json["detail"]
    assert len(response.data) < 6000


def test_many_images_are_those_of_the_seeds_that_follow(http):
    response = http.post("/v1/images", json={"n": 70, "seed": 5, "format": "npy"})
    assert response.mimetype == "application/x-npy"
    images = np.load(io.BytesIO(response.data))
    assert images.shape == (70, 32, 32, 3)
    for i in (0, 33, 69):
        assert (images[i] == pixels(http.get(f"/v1/images/{5 + i}.png"))).all()


def test_sheet_holds_the_same_images(http):
    sheet = pixels(http.post("/v1/images", json={"n": 4, "seed": 5}))
    assert sheet.shape == (64, 64, 3)
    assert (sheet[32:, :32] == pixels(http.get("/v1/images/7.png"))).all()


def test_list_of_seeds_is_drawn_in_its_order(http):
    seeds = [9, LAST, 9, 5]
    response = http.post("/v1/images", json={"seeds": seeds, "format": "npy"})
    images = np.load(io.BytesIO(response.data))
    assert "Carfront-Seed" not in response.headers
    for image, seed in zip(images, seeds, strict=True):
        assert (image == pixels(http.get(f"/v1/images/{seed}.png"))).all()


def file_of(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["application/x-npy", "application/octet-stream"])
def test_latents_of_a_seed_draw_its_image_byte_for_byte(http, kind):
    rows = latents([7], 100)
    right = http.get("/v1/images/7.png").data
    for response in (
        http.post("/v1/images", json={"latents": rows.tolist()}),
        http.post("/v1/images", data=file_of(rows), content_type=kind),
        http.post("/v1/images", data=file_of(rows.astype(np.float64)), content_type=kind),
        http.post("/v1/images", json={"seeds": [7]}),
    ):
        assert response.status_code == 200, response.text
        assert response.data == right
        assert response.headers["Carfront-Model"] == f"cars-dcgan/{NEWEST}"


def test_latents_in_a_file_are_answered_as_its_query_says(http):
    rows, url = latents([5, 6, 7], 100), f"/v1/images?format=npy&model=cars-dcgan&version={NEWEST}"
    response = http.post(url, data=file_of(rows), content_type="application/x-npy")
    assert response.mimetype == "application/x-npy"
    right = http.post("/v1/images", json={"seed": 5, "n": 3, "format": "npy"}).data
    assert response.data == right


def test_truncation_makes_the_latents_of_seeds_smaller(http):
    short = latents([7, 8], 100) * np.float32(0.7)
    one = http.post("/v1/images", json={"latents": short[:1].tolist()}).data
    assert one != http.get("/v1/images/7.png").data
    for path in ("/v1/images/7.png", f"/v1/models/cars-dcgan/versions/{NEWEST}/images/7.png"):
        assert http.get(f"{path}?truncation=0.7").data == one
        assert http.get(f"{path}?truncation=1").data == http.get(path).data
    both = http.post("/v1/images", json={"latents": short.tolist()}).data
    assert http.post("/v1/images", json={"seed": 7, "n": 2, "truncation": 0.7}).data == both
    assert http.post("/v1/images", json={"seeds": [7, 8], "truncation": 0.7}).data == both


@pytest.mark.parametrize("form", [name for name, x in FORMATS.items() if not x.names_images])
def test_every_format_has_images_of_latents_as_of_their_seeds(http, form):
    asked = {"format": form}
    right = http.post("/v1/images", json={"seed": 5, "n": 70} | asked).data
    rows = latents(range(5, 75), 100)
    assert http.post("/v1/images", json={"seeds": [*range(5, 75)]} | asked).data == right
    for sent in (
        {"json": {"latents": rows.tolist()} | asked},
        {"query_string": asked, "data": file_of(rows), "content_type": "application/x-npy"},
    ):
        assert http.post("/v1/images", **sent).data == right


def test_images_are_named_by_their_seeds_and_those_of_latents_by_their_rows(http):
    seeds = [7, 2**64 - 1, 5]
    right = http.post("/v1/images", json={"seeds": seeds, "format": "npy"}).data
    asked = ({"seeds": seeds}, {"latents": latents(seeds, 100).tolist()})
    for source, names in zip(asked, (seeds, range(3)), strict=True):
        tar = http.post("/v1/images", json=source | {"format": "tar"}).data
        with tarfile.open(fileobj=io.BytesIO(tar)) as files:
            assert files.getnames() == [f"{name}.png" for name in names]
            found = [np.asarray(Image.open(files.extractfile(x))) for x in files]
        assert np.array_equal(found, np.load(io.BytesIO(right)))
    told = [http.post("/v1/images", json=x | {"format": "json"}).json for x in asked]
    assert told[0].pop("seeds") == seeds
    assert told[0] == told[1]


def quoted(name):
    return f'"{name}"'


WIDTH = f"wanted rows of 100, the latent_dim of cars-dcgan/{NEWEST}"
NUMBER = "wanted a number above 0, at most 1"


@pytest.mark.parametrize(
    ("path", "sent", "told"),
    [
        ("", {"json": {"latents": [[0.0] * 99]}}, f"latents is 1 rows of 99 numbers; {WIDTH}"),
        (
            "",
            {"data": file_of(np.zeros((2, 101))), "content_type": "application/x-npy"},
            f"latents is 2 rows of 101 numbers; {WIDTH}",
        ),
        (
            "",
            {"data": b"n=1", "content_type": "application/octet-stream"},
            "body is 3 bytes that begin with b'n=1'; wanted a .npy file",
        ),
        (
            "?fromat=npy",
            {"data": file_of(np.zeros((1, 100))), "content_type": "application/x-npy"},
            "fromat is 'npy'; wanted the parameters class, format, scale, filter, model, version",
        ),
        (
            "?format=gif",
            {"data": file_of(np.zeros((1, 100))), "content_type": "application/x-npy"},
            f"format is 'gif'; wanted {' or '.join(map(quoted, FORMATS))}",
        ),
        ("/7.png?truncation=1.1", {}, f"truncation is '1.1'; {NUMBER}"),
        ("/7.png?truncation=", {}, f"truncation is ''; {NUMBER}"),
        ("/7.png?truncation=nan", {}, f"truncation is 'nan'; {NUMBER}"),
        (
            "/7.png?truncation=1&truncation=1",
            {},
            "truncation is ['1', '1']; wanted one value",
        ),
        ("/7.png?n=4", {}, "n is '4'; wanted the parameters scale, filter, truncation, class"),
    ],
)
def test_source_that_cannot_be_drawn_is_told_in_one_sentence(http, path, sent, told):
    response = (http.post if sent else http.get)(f"/v1/images{path}", **sent)
    assert response.status_code == 400
    assert response.json["detail"] == told


def test_body_of_another_type_is_told_which_ones_are_read(http):
    response = http.post("/v1/images", data="n=1", content_type="text/csv")
    assert response.status_code == 415
    wanted = "application/json, application/x-npy"
    assert response.json["detail"] == f"Content-Type is 'text/csv'; wanted {wanted}"
    assert response.headers["Accept"] == wanted


def test_largest_request_is_served(http):
    wanted = {"n": 4096, "seed": 1, "format": "npy"}
    response = http.post("/v1/images", json=wanted)
    assert response.status_code == 200, response.data
    images = np.load(io.BytesIO(response.data))
    assert images.shape == (4096, 32, 32, 3)


def test_encoding_of_many_images_keeps_nobody_waiting(http, monkeypatch):
    encoding, served = threading.Event(), threading.Event()

    def encode(images):
        encoding.set()
        assert served.wait(PATIENCE_S), "the worker served nobody while it encoded"
        return b"encoded"

    monkeypatch.setitem(FORMATS, "npy", FORMATS["npy"]._replace(encode=encode))
    many = gevent.spawn(http.post, "/v1/images", json={"n": 65, "format": "npy"})
    until(encoding.is_set)
    http.get("/v1/images/7.png")
    served.set()
    assert many.get().data == b"encoded"


def test_seed_that_was_not_chosen_is_told_and_draws_the_same_again(http):
    first = http.post("/v1/images", json={})
    seed = int(first.headers["Carfront-Seed"])
    assert http.get(f"/v1/images/{seed}.png").data == first.data
    assert http.post("/v1/images", json={}).headers["Carfront-Seed"] != str(seed)


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({"n": 0}, "n", "n is 0; wanted a whole number from 1 to 65536"),
        ({"n": 4097}, "n", "n is 4097"),
        ({"n": True}, "n", "n is True"),
        ({"n": 1.0}, "n", "n is 1.0"),
        ({"n": "3"}, "n", "n is '3'"),
        ({"seed": -1}, "seed", "seed is -1"),
        ({"seed": LAST + 1}, "seed", "seed is 18446744073709551616"),
        ({"seed": LAST, "n": 2}, "seed", f"at most {LAST - 1}, so that 2 images follow"),
        (
            {"format": "gif"},
            "format",
            f"format is 'gif'; wanted {' or '.join(map(quoted, FORMATS))}",
        ),
        ({"format": ["png"]}, "format", "format is ['png']"),
        ({"count": 3}, "count", "wanted the members n, seed, seeds, latents, "),
        ([1], "body", "wanted a JSON object"),
        ("null", "body", "wanted a JSON object"),
    ],
)
def test_bad_member_is_named_with_its_value_and_the_wish(http, body, field, told):
    response = http.post("/v1/images", json=body)
    assert response.status_code == 400
    assert response.json["field"] == field
    assert told in response.json["detail"]
    assert response.json["type"] == "urn:carfront:problem:invalid-request"


@pytest.mark.parametrize(
    ("method", "path", "kwargs", "status"),
    [
        ("get", "/v1/nothing", {}, 404),
        ("get", "/v1/images/7.gif", {}, 404),
        ("put", "/v1/images/7.png", {}, 405),
        ("get", "/v1/images", {}, 405),
        ("post", "/v1/images", {"data": "n=1"}, 415),
        ("post", "/v1/images", {"data": "{", "content_type": "application/json"}, 400),
    ],
)
def test_what_flask_refuses_is_a_problem_document_too(http, method, path, kwargs, status):
    response = getattr(http, method)(path, **kwargs)
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.json["status"] == status
    assert response.json["instance"] == path
    assert response.json["detail"]
    if status == 405:
        assert response.headers["Allow"]


def test_unexpected_error_shows_no_trace(config, engine_client, monkeypatch):
    app = create_app(config, engine_client)
    monkeypatch.setattr(engine_client, "generate", lambda *_: 1 / 0)
    response = app.test_client().get("/v1/images/7.png")
    assert response.status_code == 500
    assert "Zero" not in response.text


def test_without_an_engine_it_lives_and_is_not_ready(tmp_path):
    client = connect(tmp_path / "engine.sock")
    http = create_app(ServerConfig(models=ROOT / "models", request_timeout_ms=50), client)
    http = http.test_client()
    assert http.get("/healthz").status_code == 200
    assert http.get("/readyz").status_code == 503
    assert "reason" not in http.get("/readyz").json
    engine_dir = EngineDir(tmp_path)
    catalog = Catalog.read(engine_dir.catalog)
    waits = replace(catalog.entries["tiny/1"], reason="2 killed")
    replace(catalog, entries={"tiny/1": waits}).write(engine_dir.catalog)
    assert http.get("/readyz").json == {"ready": False, "reason": "2 killed"}
    response = http.get("/v1/images/7.png")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert b'carfront_engine_up{engine="0"} 0.0' in http.get("/metrics").data
    client.close()


def test_server_that_fell_back_is_ready_and_says_so(http, engine_client, monkeypatch):
    catalog = engine_client.catalog
    entry = replace(catalog.find(), plan="cpu/f32", instead_of="cuda/f16")
    monkeypatch.setattr(
        engine_client._balancer, "catalog", replace(catalog, entries={str(entry): entry})
    )
    response = http.get("/readyz")
    assert response.status_code == 200
    assert response.json["fallback"] == {"wanted": "cuda/f16", "got": "cpu/f32"}


def test_ready_server_says_so(http):
    response = http.get("/readyz")
    assert (response.status_code, response.json) == (200, {"ready": True, "plan": "cpu/f32"})
    assert http.get("/healthz").json == {"live": True}


def test_metrics_count_requests_by_route_and_images(http):
    http.get("/v1/images/7.png")
    http.get("/v1/images/-7.png")
    text = http.get("/metrics").text
    assert 'route="/v1/images/<seed>.png",status="200"' in text
    assert 'route="/v1/images/<seed>.png",status="400"' in text
    assert 'carfront_images_total{model="cars-dcgan"' in text
    assert 'carfront_engine_up{engine="0"} 1.0' in text


def series(http):
    lines = http.get("/metrics").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def test_what_a_caller_makes_up_makes_no_series(http):
    def ask(word):
        http.open("/healthz", method=word)
        http.open(f"/v1/images/{word}.png", method=word)
        http.get(f"/{word}")
        http.get(f"/v1/images/{word}.png")
        http.get(f"/v1/models/{word}/versions/{word}/images/7.png")
        http.post("/v1/images", json={"model": word, "version": word, "format": word})
        http.post("/v1/images", json={"model": word, "version": word})
        http.get("/v1/images/7.png", headers={"Carfront-Priority": word})

    ask("BREW")
    before = series(http)
    ask("STEEP")
    assert series(http) == before
    assert any('route="none"' in name for name in before)


def test_front_page_is_a_page_for_people_and_json_for_programs(http):
    page = http.get("/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.mimetype == "text/html"
    facts = http.get("/").json
    assert facts["model"] == "cars-dcgan"
    assert http.get("/", headers={"Accept": "*/*"}).json == facts


def test_latents_of_a_seed_draw_its_image(http):
    latents = http.get("/v1/latents/7").json
    assert list(latents) == ["latents"]
    drawn = http.post("/v1/images", json=latents | {"format": "png"}).data
    assert drawn == http.get("/v1/images/7.png").data


@pytest.mark.parametrize(
    "ask",
    [
        lambda http: http.get("/v1/images/7.png"),
        lambda http: http.post("/v1/images", json={"n": INLINE_ROWS + 1, "format": "npy"}),
    ],
    ids=["one", "many"],
)
def test_answer_that_memory_does_not_hold_is_a_500_and_the_next_is_not(
    http, engine_client, monkeypatch, ask
):
    def no_memory(images):
        raise MemoryError

    with monkeypatch.context() as patch:
        for name, form in FORMATS.items():
            patch.setitem(FORMATS, name, form._replace(encode=no_memory))
        response = ask(http)
    assert response.status_code == 500
    assert response.mimetype == "application/problem+json"
    assert not engine_client._inflight
    assert engine_client._inflight._slots.taken == 0
    assert ask(http).status_code == 200


def test_versioned_url_draws_with_that_version(http, config):
    bundle = repository.find(config.models, config.model)
    version = bundle.manifest.version
    response = http.get(f"/v1/models/{config.model}/versions/{version}/images/7.png")
    assert (pixels(response) == pixels(http.get("/v1/images/7.png"))).all()
    assert response.headers["Carfront-Model"] == f"{config.model}/{version}"
    body = {"seed": 7, "model": config.model, "version": version}
    assert http.post("/v1/images", json=body).data == response.data


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/nobody/versions/1/images/7.png",
        "/v1/models/cars-dcgan/versions/99/images/7.png",
        "/v1/models/cars-dcgan/versions/../images/7.png",
    ],
)
def test_model_that_is_not_there_is_a_404_with_what_is(http, path):
    response = http.get(path)
    assert response.status_code == 404
    assert "served are cars-dcgan/" in response.json["detail"]


def test_model_of_a_body_is_checked_too(http):
    response = http.post("/v1/images", json={"model": "nobody"})
    assert (response.status_code, response.json["status"]) == (404, 404)
    response = http.post("/v1/images", json={"version": 1})
    assert response.json["field"] == "version"


def test_index_lists_the_repository(http, config):
    listed = http.post("/v2/repository/index").json
    assert {x["name"]: x["state"] for x in listed} == {config.model: "READY"}
    assert http.post("/v2/repository/index", json={"ready": True}).json == listed
    response = http.post("/v2/repository/index", json={"ready": "yes"})
    assert response.status_code == 400
    assert response.json == {"error": "ready is 'yes'; wanted true or false"}


def test_only_administrators_load_and_there_are_none_without_a_token(engine_client, monkeypatch):
    done = []
    monkeypatch.setattr(engine_client, "administer", lambda *asked: done.append(asked[:3]))
    path = "/v2/repository/models/cars-dcgan/load"
    none = create_app(ServerConfig(models=ROOT / "models"), engine_client).test_client()
    assert none.post(path, headers={"Authorization": "Bearer "}).status_code == 403
    some = ServerConfig(models=ROOT / "models", admin_token="s3cret")
    http = create_app(some, engine_client).test_client()
    for header in ("", "Bearer ", "Bearer s3cre", "s3cret", "Basic s3cret", "Bearer s3cret\u00e9"):
        response = http.post(path, headers={"Authorization": header})
        assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "Authorization: Bearer" in response.json["error"]
    assert not done
    right = {"Authorization": "Bearer s3cret"}
    assert http.post(path, headers=right).json == {}
    version = {"parameters": {"version": "2"}}
    assert http.post(path.replace("/load", "/unload"), headers=right, json=version).json == {}
    assert done == [("load", "cars-dcgan", ""), ("unload", "cars-dcgan", "2")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("cars-dcgan/load", {"parameters": {"version": 2}}),
        ("cars-dcgan/load", {"parameters": {"version": "../2"}}),
        ("cars-dcgan/load", {"parameters": []}),
        ("cars-dcgan/load", []),
        ("..%2Fcars/load", {}),
    ],
)
def test_bad_wish_of_an_administrator_is_a_400(engine_client, path, body):
    config = ServerConfig(models=ROOT / "models", admin_token="s3cret")
    http = create_app(config, engine_client).test_client()
    headers = {"Authorization": "Bearer s3cret"}
    response = http.post(f"/v2/repository/models/{path}", headers=headers, json=body)
    assert response.status_code in (400, 404), response.text
    if response.status_code == 400:
        assert "wanted" in response.json["error"]


def ask_either_way(http, monkeypatch):
    """Yield the status and headers of requests that draw, without Flask, then with it."""
    for plain_requests in (fast_path.PLAIN_REQUESTS, {}):
        monkeypatch.setattr(fast_path, "PLAIN_REQUESTS", plain_requests)
        for response in (
            http.get("/v1/images/7.png"),
            http.post("/v1/images", json={"n": 3, "seed": 7, "format": "npy"}),
        ):
            varying = ("X-Request-Id", "Server-Timing")
            headers = {k: v for k, v in response.headers.items() if k not in varying}
            headers |= {k: "" for k in varying if k in response.headers}
            yield response.status_code, headers, response.data


def test_answers_are_the_same_with_flask_and_without(http, monkeypatch):
    get, post, get_by_flask, post_by_flask = ask_either_way(http, monkeypatch)
    assert (get[0], post[0]) == (200, 200)
    assert get[1]["Carfront-Plan"] == post[1]["Carfront-Plan"] == "cpu/f32"
    assert get == get_by_flask
    assert post == post_by_flask


def test_errors_are_the_same_with_flask_and_without(http, monkeypatch, engine_client):
    def full(*_):
        raise QueueFull(QueueState(5000, 4096, 2.5, 1.5))

    monkeypatch.setattr(engine_client, "generate", full)
    get, post, get_by_flask, post_by_flask = ask_either_way(http, monkeypatch)
    assert (get[0], get[1]["Retry-After"]) == (503, "2")
    assert "Carfront-Plan" not in get[1] | post[1]
    assert get == get_by_flask
    assert post == post_by_flask


def test_fault_of_the_server_is_logged_with_the_requests_id(
    http, monkeypatch, engine_client, caplog
):
    def fail(*_):
        raise InferenceFailed

    monkeypatch.setattr(engine_client, "generate", fail)
    caplog.handler.setFormatter(JsonLines())
    for plain_requests in (fast_path.PLAIN_REQUESTS, {}):
        monkeypatch.setattr(fast_path, "PLAIN_REQUESTS", plain_requests)
        caplog.clear()
        response = http.get("/v1/images/7.png", headers={"X-Request-Id": "mine"})
        assert response.status_code == 500
        (line,) = caplog.text.splitlines()
        logged = json.loads(line)
        assert (logged["level"], logged["request_id"]) == ("error", "mine")
        assert "InferenceFailed for '/v1/images/7.png'" in logged["message"]


def test_error_that_is_no_fault_of_the_server_is_not_logged(http, caplog):
    assert http.get("/v1/images/seven.png").status_code == 400
    assert http.get("/v1/models/nobody/versions/1/images/7.png").status_code == 404
    assert not caplog.records


def test_fault_of_the_server_in_the_repository_is_logged_too(http, engine_client, caplog):
    class Broken(ServingError):
        pass

    config = ServerConfig(models=ROOT / "models", admin_token="s3cret")
    with pytest.MonkeyPatch.context() as patch:

        def fail(*_):
            raise Broken("no luck")

        patch.setattr(engine_client, "administer", fail)
        response = (
            create_app(config, engine_client)
            .test_client()
            .post(
                "/v2/repository/models/cars-dcgan/load", headers={"Authorization": "Bearer s3cret"}
            )
        )
    assert response.status_code == 500
    (record,) = caplog.records
    assert "no luck" in record.getMessage()


def test_both_ways_count_alike(http, monkeypatch):
    count = 'http_server_requests_total{{route="{}",status="200"}}'
    names = [count.format("/v1/images/<seed>.png"), count.format("/v1/images")]

    def counts():
        text = http.get("/metrics").text
        return [float((re.findall(re.escape(name) + r" (\S+)", text) or [0])[0]) for name in names]

    before = counts()
    list(ask_either_way(http, monkeypatch))
    assert counts() == [value + 2 for value in before]
