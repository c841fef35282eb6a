"""Each peer draws the images that it is asked for, in the form in which it is asked."""

import importlib.util
import io
import json
import os
import subprocess
import sys
import urllib.request
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loadtests import compare, wrk
from loadtests.peers.requests import IMAGES_PATH, OURS, OWN, Requests
from loadtests.readings import MeasureError
from loadtests.serving import ROOT, get

PEERS = {"loadtests.peers.mosec_batcher": "mosec", "loadtests.peers.starlette_batcher": "starlette"}
"""The peers, and the library without which each cannot run."""
PYTHON = os.environ.get("PEERS_PYTHON", str(ROOT / ".venvs/peers/bin/python"))


@pytest.mark.parametrize("place", [".", "loadtests.peers.starlette_batcher"])
def test_our_server_and_a_peer_without_requests_of_its_own_are_asked_alike(place):
    assert compare.Contender("it", place, "python").requests is OURS
    for load in compare.LOADS:
        assert OURS.script(load) == load.script


@pytest.mark.parametrize("place", OWN)
def test_requests_of_a_peer_ask_for_as_many_images_and_seeds_that_are_new(place):
    assert importlib.util.find_spec(place)
    for load in compare.LOADS:
        script = compare.Contender("it", place, "python").requests.script(load)
        assert f'"n": {load.images},' in script
        assert "seed = seed + 1" in script
        assert not {"IMAGES", "PATH"} & set(script.split('"'))


def test_load_generator_makes_the_requests_of_the_server_that_it_measures(monkeypatch):
    made = []

    def run(command):
        made.append(Path(command[command.index("-s") + 1]).read_text())
        return "Requests/sec: 10.0"

    monkeypatch.setattr(wrk, "run", run)
    place = "loadtests.peers.mosec_batcher"
    for requests in (OURS, OWN[place]):
        found = compare.measured("http://127.0.0.1:1", compare.LOADS[2], 1, requests)
        assert found == {"128 connections": 10.0}
    assert made[0] == made[1] == compare.LOADS[2].script
    assert made[2] == made[3] == OWN[place].script(compare.LOADS[2])


def images_of(url, place, n):
    """Return the images of seed 7 and the seeds after it: uint8 [n, 32, 32, 3]."""
    if n == 1 and place not in OWN:
        body = get(f"{url}/v1/images/7.png")
    else:
        wanted = json.dumps({"n": n, "seed": 7, "format": "npy"}).encode()
        with urllib.request.urlopen(f"{url}{IMAGES_PATH}", wanted, timeout=30) as response:
            body = response.read()
    return np.load(io.BytesIO(body)) if n > 1 else np.asarray(Image.open(io.BytesIO(body)))[None]


@pytest.mark.servers
@pytest.mark.parametrize(("place", "library"), PEERS.items())
def test_peer_draws_what_it_is_asked_for_and_bears_the_load_generator(place, library, tmp_path):
    try:
        subprocess.run([PYTHON, "-c", f"import {library}"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"{PYTHON} has no {library}; make .venvs/peers/.done, or set PEERS_PYTHON")
    contender = compare.Contender("peer", place, PYTHON)
    with compare.started(contender) as (url, _):
        alone, many = images_of(url, place, 1), images_of(url, place, 130)
        assert many.shape == (130, 32, 32, 3)
        assert many.dtype == np.uint8
        # The batch decides the order of sums in bfloat16.
        assert np.abs(alone[0].astype(int) - many[0]).max() <= 16
        assert np.abs(many[0].astype(int) - many[129]).mean() > 1
        for load in (compare.LOADS[2], compare.LOADS[3]):
            command = wrk.command_for(load, tmp_path, contender.requests.script(load))
            assert "Requests/sec" in wrk.run([*command, "-d1s", url])


DEAF = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""


@pytest.mark.parametrize("place", [".", "loadtests.peers.mosec_batcher"])
def test_only_our_own_server_has_to_stop_for_its_figures_to_count(place, tmp_path, monkeypatch):
    started = tmp_path / "started"
    command = [sys.executable, "-c", DEAF, str(started)]
    requests = Requests(OURS.script, is_ready=lambda url: started.exists())
    monkeypatch.setattr(compare.Contender, "command", lambda *_: command)
    monkeypatch.setattr(compare.Contender, "requests", requests)
    monkeypatch.setattr(compare, "STOP_WITHIN_S", 0.1)
    fails = pytest.raises(MeasureError, match="it did not stop") if place == "." else nullcontext()
    with fails, compare.started(compare.Contender("it", place, sys.executable)):
        pass
