"""Loading: what is proven is what serves. Beside others: with low priority, and none of it left."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from server.bundle.files import load_bundle
from server.bundle.latents import latents
from server.bundle.manifest import BundleError
from server.config import ServerConfig
from server.engine import loader
from server.engine.loader import LOW, Loader, at_low_priority
from server.ipc.engine_dir import EngineDir
from server.runtime.plans import SessionError
from server.runtime.session import open_session

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


def test_bundle_serves_before_every_stream_has_a_session_of_its_own(engine_dir, monkeypatch):
    opened = []

    def count(bundle, plans, threads, cache):
        opened.append(threads)
        return open_session(bundle, plans, threads, cache)

    monkeypatch.setattr(loader, "open_session", count)
    bundle = load_bundle(DEFAULT)
    config = ServerConfig(provider="cpu", threads=2, streams=2, max_batch_size=2)
    loaded = Loader(config, engine_dir, time.monotonic)(bundle)
    served = loaded.served
    assert opened == [2]
    assert served.runs[0] == served.runs[1]
    batch = latents([7, 8], 100)
    images = served.runs[0](batch)

    loaded.finish()

    assert opened == [2, 1, 1]
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


def priority(thread=None):
    return os.getpriority(os.PRIO_PROCESS, thread or threading.get_native_id())


def test_work_has_low_priority_and_the_caller_its_own():
    usual = priority()
    assert at_low_priority(priority, threads_a_stream=1) == LOW
    assert priority() == usual


def test_error_of_the_work_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        at_low_priority(lambda: 1 / 0, threads_a_stream=1)


@pytest.mark.parametrize("permitted", [True, False])
def test_threads_that_the_work_starts_serve_with_the_usual_priority(monkeypatch, permitted):
    if not permitted:
        monkeypatch.setattr(loader, "_may_raise", lambda usual: False)
    elif not loader._may_raise(priority()):
        pytest.skip("this process may not raise a priority")
    end, started = threading.Event(), threading.Event()
    ids = []

    def serve():
        ids.append(threading.get_native_id())
        started.set()
        end.wait(10)

    thread = threading.Thread(target=serve)

    def work():
        thread.start()
        started.wait(10)
        return priority()

    usual = priority()
    assert at_low_priority(work, threads_a_stream=4) == (LOW if permitted else usual)
    assert priority(ids[0]) == usual
    end.set()
    thread.join()
