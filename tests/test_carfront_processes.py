"""The client and the command with what they are made for: the real server, a real bundle, kills."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from carfront import AsyncClient, BadRequest, Client
from carfront.datasets.bundle_source import BundleSource
from carfront.datasets.index import INDEX
from carfront.stops import STOPPED
from loadtests.serving import free_port, is_ready
from tests.bundles import ROOT
from tests.carfront.wheel import build_wheel, install_wheel
from tests.servers import PATIENCE_S, PATIENT, PYTHON, SMALL_BATCHES, serving, until

pytestmark = pytest.mark.servers
BUNDLE = ROOT / "models" / "cars-dcgan" / "2"
SEEDS = 20_000
SHARDS = 40
NONE_DRAWN = "Stopped: 0 of 1,000,000 images are in {}, in whole files. The same command goes on."
PROXIES = {"NO_PROXY": "127.0.0.1"}


def command(*arguments):
    return [sys.executable, "-m", "carfront", *map(str, arguments)]


def carfront(*arguments):
    env = {**os.environ, **PROXIES}
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, env=env)


@pytest.fixture(scope="module")
def server():
    with serving(PYTHON) as running:
        yield running


@pytest.fixture(scope="module")
def bundle():
    return BundleSource(BUNDLE)


def test_images_of_the_server_and_of_the_bundle_are_the_same(server, bundle):
    seeds = range(2**64 - 100, 2**64)
    with Client(server.url, timeout_s=PATIENCE_S) as client:
        drawn = client.draw(seeds)
        latents = np.load(BUNDLE / "golden.npy")  # their seeds are in the manifest
        golden = json.loads((BUNDLE / "manifest.json").read_text())["golden"]
        again = client.images(golden["seeds"])
    assert drawn.model == f"{bundle.lineage.model}/{bundle.lineage.version}"
    assert drawn.plan == bundle.lineage.plan
    np.testing.assert_array_equal(drawn.images, bundle.draw(seeds))
    assert np.abs(again.astype(int) - latents).max() <= golden["tolerance"]


def test_both_clients_get_images_of_latents_and_models(server):
    rows = np.random.default_rng(7).standard_normal((5, 100), np.float32)

    async def ask():
        async with AsyncClient(server.url, timeout_s=PATIENCE_S) as client:
            return await client.latents(rows), await client.models(), await client.images(range(9))

    with Client(server.url, timeout_s=PATIENCE_S) as client:
        images, models, cars = client.latents(rows), client.models(), client.images(range(9))
        with pytest.raises(BadRequest, match="class is 'dog'; wanted none") as caught:
            client.images([1], class_="dog")
    assert caught.value.problem["field"] == "class"
    others = asyncio.run(ask())
    np.testing.assert_array_equal(images, others[0])
    np.testing.assert_array_equal(cars, others[2])
    assert models == others[1]
    assert [x.state for x in models if (x.name, x.version) == ("cars-dcgan", "2")] == ["READY"]


def test_both_clients_get_morphs(server):
    async def asked():
        async with AsyncClient(server.url, timeout_s=PATIENCE_S) as client:
            return await client.morph(7, 21, frames=5)

    with Client(server.url, timeout_s=PATIENCE_S) as client:
        film = client.morph(7, 21, frames=5)
        assert film.shape == (5, 32, 32, 3)
        assert np.array_equal(film[[0, -1]], client.images([7, 21]))
        assert np.array_equal(film, asyncio.run(asked()))
    named = Client(server.url, model="cars-dcgan")
    with named as client, pytest.raises(ValueError, match="a model and its version"):
        client.morph(7, 21)


def test_commands_of_the_readme_draw(server, tmp_path):
    car, sheet = tmp_path / "car.png", tmp_path / "cars.webp"
    where = ("--url", server.url, "--timeout", PATIENCE_S)
    assert carfront("get", 7, "-o", car, *where).returncode == 0
    wanted = ("sheet", "-o", sheet, "--rows", 2, "--cols", 3, *where)
    assert carfront(*wanted).returncode == 0
    assert car.read_bytes()[:4] == b"\x89PNG"
    assert sheet.read_bytes()[8:12] == b"WEBP"
    assert "cars-dcgan/2  ready" in carfront("models", "--url", server.url).stdout
    measured = carfront("bench", server.url, "--seconds", 0.1, "--json")
    assert json.loads(measured.stdout)["images_per_s"] > 0


def test_a_data_set_from_the_server_is_the_one_from_the_bundle(server, tmp_path):
    wanted = ("generate", "--seeds", "0:1000", "--shard-mb", 2, "--url", server.url)
    done = carfront(*wanted, "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    found = carfront("verify", tmp_path, "--all", "--bundle", BUNDLE)
    assert found.returncode == 0, found.stderr
    assert "1,000 drawn again" in found.stdout
    other = carfront("verify", tmp_path, "--bundle", BUNDLE.with_name("1"))
    assert other.returncode == 1
    assert "the data set is of cars-dcgan/2" in other.stderr


def test_an_installed_command_serves_with_the_server_that_is_named(tmp_path):
    env = {**os.environ, **PROXIES, **PATIENT, **SMALL_BATCHES}
    wheel = build_wheel(tmp_path)
    installed = install_wheel(wheel, tmp_path / "environment") / "carfront"
    url = f"http://127.0.0.1:{(port := free_port())}"
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [installed, "serve", "--server", ROOT, "--port", str(port)],
            cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        until(lambda: is_ready(url) or process.poll() is not None)
        drawn = subprocess.run([installed, "get", "7", "--url", url], cwd=tmp_path, env=env)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        log.seek(0)
        assert f"serving {ROOT} on {url}; Ctrl-C ends it" in log.read()
    assert drawn.returncode == 0
    assert (tmp_path / "7.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_bundle_is_opened_is_a_sentence(tmp_path, number):
    wanted = command("generate", "--seeds", "0:1000000", "-o", tmp_path / "set", "--bundle", BUNDLE)
    process = subprocess.Popen(wanted, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    maps = Path(f"/proc/{process.pid}/maps")
    until(lambda: "onnxruntime" in maps.read_text())  # its library is being loaded
    process.send_signal(number)
    told = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 128 + number
    assert told.rstrip().splitlines()[-1] in (STOPPED, NONE_DRAWN.format(tmp_path / "set"))
    assert not [*tmp_path.glob("set/shard*")]


def shards(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the shards in ``folder``, each with what changes when it is written again."""
    facts = {path.name: path.stat() for path in folder.glob("shard-*.tar")}
    return {name: (x.st_ino, x.st_mtime_ns) for name, x in facts.items()}


def generation(folder):
    return command(
        "generate", "--seeds", f"0:{SEEDS}", "-o", folder, "--shard-mb", 2, "--bundle", BUNDLE
    )


def killed_twice(folder):
    """Have the generation of a data set killed twice; return its shards and its last words.

    Nothing, where it was done before it was sent a signal.
    """
    there = {}
    for count, how in ((7, signal.SIGKILL), (19, signal.SIGINT)):
        process = subprocess.Popen(
            generation(folder),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        more = max(count, len(there) + 1)  # the process draws, and is not about to start
        until(lambda more=more: len(shards(folder)) >= more)
        process.send_signal(how)  # none is sent to a process that has ended
        was_done = process.returncode == 0
        told = process.communicate()[1]
        if was_done:
            return None
        assert process.returncode == (-9 if how == signal.SIGKILL else 130), told
        assert there.items() <= shards(folder).items()  # none of them was drawn again
        there = shards(folder)
        assert count <= len(there) <= SHARDS
        if len(there) == SHARDS:
            return None
    return there, told


def test_twenty_thousand_images_are_complete_after_two_kills(tmp_path):
    for number in range(3):
        folder = tmp_path / f"{number}"
        if killed := killed_twice(folder):
            break
    assert killed, "the data set was complete before it was killed"
    there, told = killed
    assert f"of {SEEDS:,} images are in {folder}, in whole files" in told
    assert not list(folder.glob(".shard*"))
    done = subprocess.run(generation(folder), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert there.items() <= shards(folder).items()
    assert json.loads((folder / INDEX).read_text())["complete"] is True
    seeds = []
    for name in sorted(shards(folder)):
        with tarfile.open(folder / name) as tar:
            seeds += [int(each.removesuffix(".png")) for each in tar.getnames()]
    assert seeds == [*range(SEEDS)]
    found = carfront("verify", folder, "--sample", 2048, "--bundle", BUNDLE)
    assert found.returncode == 0, found.stderr
    told = rf"20,000 images in {SHARDS} files are as they were written; (2,\d+) drawn again"
    drawn = re.search(told, found.stdout)[1]
    assert 2048 <= int(drawn.replace(",", "")) < 2048 + 256
