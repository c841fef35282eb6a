"""Restorations at a real server: near, and no burden to those who draw single images beside."""

import io
import json
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
from PIL import Image

from tests.chaos.faults import kill
from tests.chaos.processes import family, is_whole
from tests.servers import PATIENCE_S, PATIENT, PYTHON, serving, until

pytestmark = pytest.mark.servers

SETTINGS = {"CARFRONT_WORKERS": "2", **PATIENT}


def image(url, seed, scale=1):
    answer = requests.get(f"{url}/v1/images/{seed}.png?scale={scale}", timeout=PATIENCE_S)
    assert answer.status_code == 200
    return answer.content


def restore(url, photo, **more):
    fields = {"steps": "60", "restarts": "4", **more.pop("fields", {})}
    files = {"photo": photo, **more.pop("files", {})}
    return requests.post(f"{url}/v1/restore", files=files, data=fields, timeout=PATIENCE_S, **more)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def hidden(photo):
    """Return ``photo`` with its right half transparent."""
    picture = Image.open(io.BytesIO(photo)).convert("RGBA")
    picture.paste((0, 0, 0, 0), (picture.width // 2, 0, picture.width, picture.height))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def server():
    with serving(PYTHON, SETTINGS) as server:
        yield server


def test_photograph_is_restored_and_its_latents_draw_it_again(server):
    photo = image(server.url, 7, scale=5)
    answer = restore(server.url, photo)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    restored, truth = pixels(b64decode(told["image"])), pixels(image(server.url, 7))
    other = pixels(image(server.url, 8))
    assert np.abs(restored - truth).mean() < np.abs(other - truth).mean() / 3
    assert told["distance"] == pytest.approx(np.abs(restored - truth).mean(), abs=2)
    again = requests.post(
        f"{server.url}/v1/images",
        json={"latents": [told["latents"]], "format": "png"},
        timeout=PATIENCE_S,
    )
    assert np.abs(pixels(again.content) - restored).mean() < 2  # another plan, perhaps


def test_singles_beside_restorations_are_right_and_so_are_those(server):
    singles = {seed: image(server.url, seed) for seed in range(40)}
    photo = hidden(image(server.url, 7, scale=2))
    with ThreadPoolExecutor(6) as callers:
        restored = [callers.submit(restore, server.url, photo) for _ in range(2)]
        drawn = [callers.submit(image, server.url, seed) for seed in [*singles] * 3]
        for seed, each in zip([*singles] * 3, drawn, strict=True):
            assert each.result() == singles[seed]
        answers = [each.result() for each in restored]
    assert [x.status_code for x in answers] == [200, 200]
    filled = [pixels(b64decode(x.json()["filled"])) for x in answers]
    truth = pixels(image(server.url, 7))
    for each in filled:
        assert np.abs(each[:, :15] - truth[:, :15]).mean() < 6  # what was seen is kept


def test_search_is_told_as_it_goes_on(server):
    photo = image(server.url, 7)
    with restore(server.url, photo, headers={"Accept": "text/event-stream"}, stream=True) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        lines = [x for x in answer.iter_lines(decode_unicode=True) if x]
    kinds = [x.removeprefix("event: ") for x in lines if x.startswith("event: ")]
    assert kinds == ["step"] * 13 + ["end"]
    told = [json.loads(x.removeprefix("data: ")) for x in lines if x.startswith("data: ")]
    assert told[-1]["distance"] < told[0]["distance"]
    assert len(told[-1]["latents"]) == 100


def test_restoration_outlives_an_engine_that_is_killed(server):
    photo = image(server.url, 7)
    fields = {"steps": "200"}
    events = {"Accept": "text/event-stream"}
    with restore(server.url, photo, headers=events, fields=fields, stream=True) as answer:
        lines = answer.iter_lines(decode_unicode=True)
        next(x for x in lines if x == "event: step")
        kill(family(server.pid)[1])
        kinds = [x for x in lines if x.startswith("event: ")]
    assert kinds[-1] == "event: end"
    until(lambda: is_whole(server.pid, workers=2))


def test_answer_comes_in_time_with_what_is_found_by_then(server):
    photo = image(server.url, 7)
    restore(server.url, photo)  # the graphs are open
    headers = {"X-Request-Timeout-Ms": "2000"}
    answer = restore(server.url, photo, headers=headers, fields={"steps": "500", "restarts": "32"})
    if answer.status_code == 200:
        assert 1 <= answer.json()["step"] < 500
    else:  # a slow machine has no first step by then
        assert answer.status_code in (503, 504)
