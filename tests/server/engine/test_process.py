"""The process of an engine, while it ends; its start is in test_server_processes."""

import threading
from types import SimpleNamespace

import pytest

from server.config import ServerConfig
from server.engine.process import EngineApp, one_lives
from server.observability.process_stats import register_process


class Draining:
    """An engine and its gunicorn's worker: it ends when it has given ``signs`` signs of life."""

    alive = False
    cfg = SimpleNamespace(dirty_graceful_timeout=600)

    def __init__(self, app, signs):
        self.signs = 0
        self._enough = threading.Event()
        self._signs = signs
        app._engine, app._worker = self, self
        app._thread = threading.Thread(target=self._serve, daemon=True)
        app._thread.start()

    def notify(self):
        self.signs += 1
        if self.signs >= self._signs:
            self._enough.set()

    def stop(self, within_s):
        """Go on until there were enough signs."""

    def _serve(self):
        self._enough.wait()


@pytest.fixture
def processes(tmp_path, monkeypatch):
    monkeypatch.setenv("CARFRONT_RUNTIME_DIR", str(tmp_path))
    return ServerConfig.from_env().processes_path


@pytest.mark.parametrize("workers", [0, 1])
def test_engine_that_drains_gives_signs_of_life(processes, workers):
    """Without them gunicorn takes it for one that hangs, and kills it."""
    for number in range(workers):
        register_process(processes, f"http-{number}")
    app = EngineApp()
    app.init()
    engine = Draining(app, signs=5)
    app.close()
    assert engine.signs >= 5


def test_http_worker_lives_until_it_ends(processes):
    assert not one_lives(processes)
    register_process(processes, "http-0")
    assert one_lives(processes)


def test_process_that_answers_grpc_is_waited_for_as_http_workers_are(processes):
    register_process(processes, "grpc-0")
    assert one_lives(processes)


@pytest.mark.parametrize("note", ["1 1", "1", "", "no number", "4000000 17"])
def test_number_that_is_another_process_s_by_now_is_no_http_worker(processes, note):
    processes.mkdir()
    (processes / "http-0").write_text(note)
    assert not one_lives(processes)
