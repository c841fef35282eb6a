"""Each peer draws the images that it is asked for, in the form in which it is asked."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.layout import triton_config
from loadtests import wrk
from loadtests.compare import checks, contenders, environments, rates
from loadtests.peers import drawing, triton_server
from loadtests.peers.catalog import PEERS
from loadtests.peers.requests import (
    LENGTH_OF_HEAD,
    OURS,
    BinaryRequests,
    PostedRequests,
    Requests,
    decoded,
)
from loadtests.readings import MeasureError
from loadtests.serving import ROOT
from server.runtime import plans
from tests.loadtests.fakes import draw, npy_of, png_of

PYTHON = os.environ.get("PEERS_PYTHON", str(ROOT / ".venvs/peers/bin/python"))
"""The interpreter of the peers that need no environment of their own."""


@pytest.mark.parametrize("place", [".", "loadtests.peers.starlette_batcher"])
def test_our_server_and_a_peer_without_requests_of_its_own_are_asked_alike(place):
    assert contenders.Contender("it", place, "python").requests is OURS
    for load in rates.LOADS:
        assert OURS.script(load) == load.script


@pytest.mark.parametrize("load", rates.LOADS, ids=lambda load: load.name)
def test_peers_that_take_bodies_are_asked_for_as_many_images_of_seeds_that_are_new(load):
    script = PostedRequests().script(load)
    assert f'"n": {load.images},' in script
    assert "seed = seed + 1" in script
    assert not {"IMAGES", "PATH"} & set(script.split('"'))


@pytest.mark.parametrize("load", rates.LOADS, ids=lambda load: load.name)
def test_peers_that_take_tensors_are_sent_as_many_rows(load):
    requests = BinaryRequests()
    call = requests.of_seed(7, load.images)
    at = int(call.headers[LENGTH_OF_HEAD])
    (tensor,) = json.loads(call.body[:at])["inputs"]
    assert tensor["shape"] == [load.images, 100]
    assert len(np.frombuffer(call.body[at:], np.float32)) == load.images * 100
    escaped = re.findall(r"\\(\d{3})", requests.script(load))
    assert bytes(map(int, escaped)) == call.body


def test_request_over_a_bare_connection_says_how_long_its_body_is():
    head, _, body = OURS.of_seed(7, 64).raw("there", {"X-Term": "1"}).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/images HTTP/1.1\r\nHost: there\r\n")
    assert b"\r\nX-Term: 1\r\n" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert OURS.of_seed(7, 1).raw("there").startswith(b"GET /v1/images/7.png HTTP/1.1\r\n")


def test_images_are_read_from_png_npy_and_tensors_alike():
    images = draw(7, 3)
    assert np.array_equal(decoded(png_of(images[0])), images[:1])
    assert np.array_equal(decoded(npy_of(images)), images)
    output = {"name": "images", "datatype": "UINT8", "shape": images.shape}
    head = json.dumps({"outputs": [output]}).encode()
    assert np.array_equal(decoded(head + images.tobytes(), str(len(head))), images)
    document = json.dumps({"outputs": [output | {"data": images.ravel().tolist()}]})
    assert np.array_equal(decoded(document.encode()), images)


@pytest.mark.parametrize("name", PEERS)
def test_peer_has_a_module_and_a_lock_with_the_runtime_of_our_server(name):
    assert importlib.util.find_spec(PEERS[name].module)
    runtime = r"^onnxruntime(?:-openvino)?==\S+"
    locks = [ROOT / "requirements" / f"{x}.txt" for x in ("serve", PEERS[name].environment)]
    ours, theirs = (sorted(re.findall(runtime, x.read_text(), re.MULTILINE)) for x in locks)
    assert ours == theirs


def test_triton_is_configured_as_a_bundle_is_laid_out_for_it():
    """Its Python backend stands in for the ONNX Runtime backend, which no package has."""
    wanted = triton_config(onnx.load(drawing.GRAPH), "cars-dcgan", drawing.MAX_BATCH_SIZE)
    assert triton_server.CONFIG.replace('"python"', '"onnxruntime"') == wanted


def test_load_generator_makes_the_requests_of_the_server_that_it_measures(monkeypatch):
    made = []

    def run(command):
        made.append(Path(command[command.index("-s") + 1]).read_text())
        return "10 requests in 1.00s, 40.00KB read\nRequests/sec: 10.0"

    monkeypatch.setattr(wrk, "run", run)
    posted = PostedRequests()
    for requests in (OURS, posted):
        found = rates.measured("http://127.0.0.1:1", rates.LOADS[2], 1, requests)
        assert found == {"128 connections": 10.0}
    assert made[0] == made[1] == rates.LOADS[2].script
    assert made[2] == made[3] == posted.script(rates.LOADS[2])


@pytest.mark.parametrize("providers", [[], [plans.EP_NAMES["openvino"]]])
@pytest.mark.parametrize("vendor", ["GenuineIntel", "AuthenticAMD"])
@pytest.mark.parametrize("flags", ["avx2", "avx2 avx512f", "avx512_bf16", "amx_bf16"])
def test_peers_have_the_plan_that_our_server_has_on_each_processor(
    monkeypatch, tmp_path, flags, vendor, providers
):
    """In bfloat16 without the instructions OpenVINO draws a fifth of the images."""
    known = tmp_path / "cpuinfo"
    known.write_text(f"vendor_id : {vendor}\nflags : {flags}\n")
    monkeypatch.setattr(drawing, "PROCESSORS", known)
    monkeypatch.setattr(plans, "_cpuinfo", known.read_text)
    monkeypatch.setattr(drawing.ort, "get_available_providers", lambda: providers)
    best = plans.choose_plans()[0]
    assert drawing.plan() == f"{best.provider} {best.precision}"


@pytest.mark.servers
def test_keras_network_of_a_peer_draws_what_the_bundle_draws():
    pytest.importorskip("keras")
    from loadtests.peers.keras_generator import generator, pixels

    limits = json.loads((drawing.BUNDLE / "manifest.json").read_text())["variants"][0]["parity"]
    latents = np.random.default_rng(3).standard_normal((32, 100), np.float32)
    wanted = drawing.exact_images(latents)
    drawn = pixels(generator().predict(latents, verbose=0)).astype(int)
    assert (
        np.abs(drawn - wanted).max() <= limits["plans"]["cpu f32"]["limits"]["ordinary"]["levels"]
    )


@pytest.mark.servers
@pytest.mark.parametrize("name", PEERS)
def test_peer_draws_what_it_is_asked_for_and_bears_the_load_generator(name, tmp_path):
    peer = PEERS[name]
    own = ROOT / ".venvs" / peer.environment / "bin/python"
    python = PYTHON if peer.environment == "peers" else str(own)
    try:
        found = json.loads(environments.versions(python, peer.packages))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"there is no {python}; make .venvs/{peer.environment}/.done")
    if missing := set(peer.packages) - found.keys():
        pytest.skip(f"{python} has no {missing.pop()}; make .venvs/{peer.environment}/.done")
    with contenders.running(contenders.Contender(name, peer.module, python)) as server:
        checks.check(server)
        alone, many = (peer.requests.of_seed(7, n).answer(server.url) for n in (1, 64))
        assert alone.shape == (1, 32, 32, 3)
        assert np.abs(many[0].astype(int) - many[63]).mean() > 1  # each image is another one
        for load in (rates.LOADS[2], rates.LOADS[3]):
            command = wrk.command_for(load, tmp_path, peer.requests.script(load))
            assert "Requests/sec" in wrk.run([*command, "-d1s", server.url])


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

    class Ready(Requests):
        def is_ready(self, url):
            return started.exists()

    monkeypatch.setattr(contenders.Contender, "command", lambda *_: command)
    monkeypatch.setattr(contenders.Contender, "requests", Ready())
    monkeypatch.setattr(contenders, "STOP_WITHIN_S", 0.1)
    fails = pytest.raises(MeasureError, match="it did not stop") if place == "." else nullcontext()
    with fails, contenders.started(contenders.Contender("it", place, sys.executable)):
        pass


KEEPS = """
import os, pathlib, signal, sys, tempfile
made = pathlib.Path(tempfile.mkdtemp(prefix="kept-"))
pathlib.Path(sys.argv[1] + ".new").write_text(str(made))
os.rename(sys.argv[1] + ".new", sys.argv[1])
signal.pause()
"""


def test_files_that_a_peer_leaves_are_removed_with_it(tmp_path, monkeypatch):
    told = tmp_path / "told"

    class Ready(Requests):
        def is_ready(self, url):
            return told.exists()

    command = [sys.executable, "-c", KEEPS, str(told)]
    monkeypatch.setattr(contenders.Contender, "command", lambda *_: command)
    monkeypatch.setattr(contenders.Contender, "requests", Ready())
    with contenders.started(contenders.Contender("it", PEERS["mosec"].module, sys.executable)):
        made = Path(told.read_text())
        assert made.exists()
    assert not made.exists()
