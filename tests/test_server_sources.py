"""Seeds, lists of seeds and latents at a real server: what is asked for comes, whatever happens."""

import http.client
import io
import json
import random
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from server.bundle.latents import latents
from tests.chaos.faults import kill
from tests.servers import LARGE_BATCHES, PATIENCE_S, PYTHON, serving, until, victim

pytestmark = pytest.mark.servers

LAST = 2**64 - 1
SEEDS = [*range(200), LAST]
FILE, JSON = {"Content-Type": "application/x-npy"}, {"Content-Type": "application/json"}


def ask(url, method, path, body=None, fields=None):
    """Return the body of an answer that is right."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, fields or {})
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        return answer
    finally:
        connection.close()


def by_json(url, **members):
    return ask(url, "POST", "/v1/images", json.dumps(members), JSON)


def by_file(url, rows, query=""):
    file = io.BytesIO()
    np.save(file, rows)
    return ask(url, "POST", f"/v1/images{query}", file.getvalue(), FILE)


def images_of(answer):
    return np.load(io.BytesIO(answer))


@pytest.fixture(scope="module")
def server():
    with serving(PYTHON, {"CARFRONT_WORKERS": "2", **LARGE_BATCHES}) as found:
        yield found.url


@pytest.fixture(scope="module")
def golden(server):
    """The images of ``SEEDS``, each drawn alone."""
    images = [images_of(by_json(server, seed=seed, format="npy"))[0] for seed in SEEDS]
    return np.stack(images)


def test_latents_that_are_given_draw_the_image_of_their_seed_byte_for_byte(server):
    for seed in (0, 7, LAST):
        right = ask(server, "GET", f"/v1/images/{seed}.png")
        rows = latents([seed], 100)
        assert by_json(server, latents=rows.tolist()) == right
        assert by_file(server, rows) == right
        assert by_file(server, rows.astype(np.float64)) == right
        assert by_json(server, seeds=[seed]) == right
        short = ask(server, "GET", f"/v1/images/{seed}.png?truncation=0.7")
        assert by_file(server, rows * np.float32(0.7)) == short
        assert short != right


def test_sources_that_ride_together_under_load_come_out_right(server, golden):
    """On every processor, as batches of any size draw the same bytes there."""

    def ask_on(number):
        rng = random.Random(number)
        for _ in range(25):
            chosen = [rng.randrange(len(SEEDS)) for _ in range(rng.choice((1, 1, 3, 30, 150)))]
            seeds = [SEEDS[each] for each in chosen]
            kind = rng.choice(("range", "seeds", "latents", "file"))
            if kind == "range":
                first = rng.randrange(200)
                chosen = range(first, min(200, first + len(chosen)))
                answer = by_json(server, seed=first, n=len(chosen), format="npy")
            elif kind == "seeds":
                answer = by_json(server, seeds=seeds, format="npy")
            elif kind == "latents":
                answer = by_json(server, latents=latents(seeds, 100).tolist(), format="npy")
            else:
                answer = by_file(server, latents(seeds, 100), "?format=npy")
            assert np.array_equal(images_of(answer), golden[list(chosen)]), (kind, seeds)

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(ask_on, number) for number in range(8)]:
            done.result()


def test_latents_of_a_killed_engine_are_drawn_by_the_next(tmp_path):
    """The engine is killed while a batch hangs, when others of the same requests are drawn."""
    seeds = [random.Random(5).randrange(LAST) for _ in range(300)]
    rows = latents(seeds, 100)
    with victim(PYTHON, tmp_path, worker_count=1) as harmed:
        until(harmed.is_whole)
        url = harmed.server.url
        right = images_of(by_json(url, seeds=seeds, format="npy"))
        (engine,) = harmed.engines
        harmed.order.write_text("hang")
        with ThreadPoolExecutor(2) as threads:
            asked = [
                threads.submit(by_file, url, rows, "?format=npy"),
                threads.submit(by_json, url, seeds=seeds, format="npy"),
            ]
            until(lambda: not harmed.order.exists())
            kill([engine])
            answers = [each.result() for each in asked]
        assert harmed.engines != [engine]
    for answer in answers:
        assert np.array_equal(images_of(answer), right)


@pytest.mark.parametrize("more", ["", "&truncation=0.7"])
def test_strip_of_a_morph_begins_and_ends_with_the_images_of_its_seeds(server, more):
    def pixels(path):
        return np.asarray(Image.open(io.BytesIO(ask(server, "GET", path))))

    strip = pixels(f"/v1/morph.png?from=7&to={LAST}&frames=5{more}")
    frames = np.split(strip, 5, axis=1)
    assert (frames[0] == pixels(f"/v1/images/7.png?{more[1:]}")).all()
    assert (frames[-1] == pixels(f"/v1/images/{LAST}.png?{more[1:]}")).all()
    assert len({frame.tobytes() for frame in frames}) == 5
