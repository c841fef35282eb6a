"""Loading: what is proven is what serves. Beside others: with low priority, and none of it left."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from server.bundle.files import load_bundle
from server.bundle.latents import latents
from server.bundle.manifest import FLOATS, BundleError
from server.config import ServerConfig
from server.engine import loader
from server.engine.loader import Loader
from server.ipc.engine_dir import EngineDir
from server.runtime.open_session import open_session
from server.runtime.plans import SessionError

DEFAULT = Path(__file__).parents[3] / "models" / "cars-dcgan" / "1"


@pytest.fixture
def engine_dir(tmp_path):
    engine_dir = EngineDir(tmp_path / "engine-0")
    engine_dir.prepare()
    return engine_dir


@pytest.mark.parametrize("replaced", [False, True])
def test_bundle_whose_files_are_replaced_while_it_is_opened_is_refused(
    tmp_path, engine_dir, monkeypatch, replaced
):
    folder = Path(shutil.copytree(DEFAULT, tmp_path / "cars-dcgan" / "1"))

    def open_and_replace(*args):
        opened = open_session(*args)
        if replaced:
            shutil.copy(folder / "generator-float.onnx", folder / "generator.onnx")
        return opened

    monkeypatch.setattr(loader, "open_session", open_and_replace)
    config = ServerConfig(provider="cpu", threads=1, streams=1, max_batch_size=1)
    load = Loader(config, engine_dir, time.monotonic)
    if replaced:
        with pytest.raises(BundleError, match=r"generator\.onnx is not what was exported"):
            load(load_bundle(folder))
    else:
        assert len(load(load_bundle(folder)).served.runs) == 1


@pytest.fixture
def opened(monkeypatch):
    """The threads of each session that is opened, and whether they spin."""
    found = []

    def noted(bundle, plans, threads, cache, spins):
        found.append((threads, spins))
        return open_session(bundle, plans, threads, cache, spins)

    monkeypatch.setattr(loader, "open_session", noted)
    return found


def test_bundle_serves_before_every_stream_has_a_session_of_its_own(engine_dir, opened):
    bundle = load_bundle(DEFAULT)
    config = ServerConfig(provider="cpu", threads=2, streams=2, max_batch_size=2)
    loaded = Loader(config, engine_dir, time.monotonic)(bundle)
    served = loaded.served
    assert opened == [(2, True)]
    assert served.runs[0] == served.runs[1]
    batch = latents([7, 8], 100)
    images = served.runs[0](batch)

    loaded.finish()

    assert opened == [(2, True), (1, False), (1, False)]
    assert served.runs[0] != served.runs[1]
    for run in (*served.runs, served.lone):
        assert (run(batch) == images).all()


def test_one_stream_keeps_the_session_that_was_opened_first(engine_dir):
    config = ServerConfig(provider="cpu", threads=1, streams=1, max_batch_size=1)
    loaded = Loader(config, engine_dir, time.monotonic)(load_bundle(DEFAULT))
    first = loaded.served.runs[0]
    loaded.finish()
    assert loaded.served.runs == [first]
    assert loaded.served.lone is None


def test_bundle_whose_streams_cannot_be_opened_is_served_by_its_first_session(
    engine_dir, monkeypatch
):
    config = ServerConfig(provider="cpu", threads=2, streams=2, max_batch_size=1)
    loaded = Loader(config, engine_dir, time.monotonic)(load_bundle(DEFAULT))
    first = loaded.served.runs[0]

    def fail(*_):
        raise SessionError("no memory")

    monkeypatch.setattr(loader, "open_session", fail)
    with pytest.raises(SessionError, match="no memory"):
        loaded.finish()
    assert loaded.served.runs == [first, first]


def test_float_images_of_a_bundle_have_one_session_for_all_streams(engine_dir, opened):
    config = ServerConfig(provider="cpu", threads=2, streams=2, max_batch_size=2)
    loaded = Loader(config, engine_dir, time.monotonic)(load_bundle(DEFAULT))
    assert loaded.on_demand[FLOATS].loaded is None
    floats = loaded.on_demand[FLOATS].open()
    assert opened == [(2, True), (2, False)]
    assert str(floats.plan) == "cpu/f32"
    assert floats.finish is None
    assert floats.served.key not in (loaded.served.key, 0)
    assert floats.served.runs[0] == floats.served.runs[1]
    images = floats.served.runs[0](latents([7, 8], 100))
    assert images.dtype == floats.served.shape.dtype == np.float32
    bytes_ = loaded.served.runs[0](latents([7, 8], 100))
    assert np.abs((images + 1) * 127.5 - bytes_).max() <= 0.51
