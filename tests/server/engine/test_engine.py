"""The engine's rules of beginning and ending; what it does for clients is in test_client."""

import os
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import gevent
import numpy as np
import pytest
import tests_engine
from tests_engine import Notes, picture, running, serving, until

from server.bundle.classes import OWN
from server.bundle.latents import latents
from server.engine import worker_connections
from server.engine.batcher import QueuedRequest
from server.engine.engine import FAILURES, TELL_S, Engine
from server.engine.shutdown import CONNECT_S
from server.errors import InferenceFailed
from server.ipc.arena import Arena
from server.ipc.engine_socket import listen, send_hello
from server.ipc.messages import MAX_PACKET, Changed, Submit, pack, unpack
from server.ipc.sources import Latents, SeedRange, Seeds
from server.worker.request_terms import RequestTerms
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[3]


class Unanswered(QueuedRequest):
    """A request that no worker waits for."""

    def begin(self):
        pass


def connect(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(str(path))
    return sock


def test_engine_without_workers_ends_at_once_when_asked(path):
    with running(path):
        pass
    assert not path.exists()


def test_stopping_engine_serves_on_until_its_workers_hang_up(path):
    client = tests_engine.connect(path)
    with running(path) as engine:
        until(lambda: client.ready)
        until(lambda: engine._connections.open)
        engine.stop(PATIENCE_S)
        with client.generate(SeedRange(4, 2), RequestTerms(PATIENCE_S)) as generated:
            assert generated.images.shape == (2, 4, 4, 3)
        client.close()


def test_seeds_of_a_model_of_uniform_latents_are_drawn_from_them(path):
    client = tests_engine.connect(path)
    with running(path) as engine:
        engine.served.distribution = "uniform"
        until(lambda: client.ready)
        with client.generate(SeedRange(4, 2), RequestTerms(PATIENCE_S)) as generated:
            images = generated.images.copy()
        client.close()
    assert (images == picture(latents([4, 5], 8, "uniform"))).all()


def of_class(latents, classes):
    """Stand in for a conditional generator: a picture that tells its class."""
    level = classes.astype(np.uint8)[:, None, None, None]
    return np.broadcast_to(level, (len(latents), 4, 4, 3))


def test_rows_of_one_batch_have_the_classes_that_their_requests_name(path):
    arena = Arena.create(2**16)
    sent = [(6, 3, OWN), (6, 2, 4), (2**64 - 2, 2, OWN), (0, 1, 0)]
    with running(path, (of_class,), class_count=5) as engine, connect(path) as worker:
        send_hello(worker, arena)
        key = engine.served.key
        asked = [
            Submit(i, key, seed, 1024 * i, rows, float("inf"), False, False, class_id=number)
            for i, (seed, rows, number) in enumerate(sent)
        ]
        for packet in pack(asked):
            worker.send(packet)
        assert list(unpack(worker.recv(MAX_PACKET))) == [Changed()]
        assert len(list(unpack(worker.recv(MAX_PACKET)))) == len(sent)
        assert engine.notes.batches == [8]
    shape = engine.served.shape
    found = [arena.images(shape, 1024 * i, n)[:, 0, 0, 0] for i, (_, n, _) in enumerate(sent)]
    assert [x.tolist() for x in found] == [[1, 2, 3], [4, 4], [4, 0], [0]]
    arena.close()


@pytest.mark.parametrize(
    "source", [SeedRange(6, 3), Seeds([6, 1, 0]), Latents(np.zeros((3, 8), np.float32))]
)
def test_rows_have_the_classes_that_their_request_names_for_each(source, path, monkeypatch):
    monkeypatch.setattr("server.worker.model_fit.class_ids", lambda names, named, _: named)
    client = tests_engine.connect(path)
    named = np.array([4, 0, 2], np.int32)
    with running(path, (of_class,), class_count=5):
        until(lambda: client.ready)
        with client.generate(source, RequestTerms(PATIENCE_S), named=named) as generated:
            assert generated.images[:, 0, 0, 0].tolist() == [4, 0, 2]
        client.close()


def test_engine_that_was_orphaned_while_it_loaded_serves_the_workers_that_wait(path):
    now = 0.0
    engine = Engine(path, 1, Notes(), clock=lambda: now, parent=0)
    engine.add(serving([picture]))
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(engine.serve)
        client = tests_engine.connect(path)
        until(lambda: client.ready)
        with client.generate(SeedRange(4, 2), RequestTerms(PATIENCE_S)) as generated:
            assert generated.images.shape == (2, 4, 4, 3)
        now = CONNECT_S
        client.close()
        until(ended.done)
        ended.result()
    assert not path.exists()


def test_replaced_engine_sends_its_workers_to_the_new_one(path):
    client = tests_engine.connect(path)
    with running(path) as old:
        until(lambda: client.ready)
        with running(path) as new:
            old.stop()
            until(lambda: new._connections.open)
            with client.generate(SeedRange(4, 2), RequestTerms(PATIENCE_S)) as generated:
                assert generated.images.shape == (2, 4, 4, 3)
            assert new.notes.batches == [2]
            client.close()
        assert not path.exists()


def test_ending_engine_leaves_a_newer_ones_socket_alone(path):
    with running(path):
        newer = listen(path)
    assert path.exists()
    newer.close()


def test_worker_is_told_of_a_catalog_that_changed_before_the_engine_saw_it(path):
    arena = Arena.create(2**16)
    engine = Engine(path, 1, Notes())
    with connect(path) as worker, ThreadPoolExecutor(1) as pool:
        send_hello(worker, arena)
        engine.announce()
        ended = pool.submit(engine.serve)
        worker.settimeout(PATIENCE_S)
        try:
            assert list(unpack(worker.recv(MAX_PACKET))) == [Changed()]
        finally:
            engine.stop(within_s=0)
            ended.result()
    arena.close()


def test_answers_of_one_batch_travel_together(path):
    arena = Arena.create(2**16)
    with running(path) as engine, connect(path) as worker:
        send_hello(worker, arena)
        asked = [
            Submit(i, engine.served.key, i, 1024 * i, 2, float("inf"), False, False)
            for i in range(4)
        ]
        for packet in pack(asked):
            worker.send(packet)
        assert list(unpack(worker.recv(MAX_PACKET))) == [Changed()]
        results = list(unpack(worker.recv(MAX_PACKET)))
        assert [result.request_id for result in results] == [0, 1, 2, 3]
        assert engine.notes.batches == [8]
    arena.close()


def test_engine_that_fails_request_after_request_is_given_up(path):
    works = []

    def model(latents):
        if not works:
            raise RuntimeError("the device is gone")
        return picture(latents)

    client = tests_engine.connect(path)
    engine = Engine(path, 1, Notes())
    engine.add(serving([model]))

    def fails(times):
        for seed in range(times):
            with (
                pytest.raises(InferenceFailed),
                client.generate(SeedRange(seed, 1), RequestTerms(PATIENCE_S)),
            ):
                pass

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(engine.serve)
        until(lambda: client.ready)
        fails(FAILURES - 1)
        works.append(True)
        with client.generate(SeedRange(4, 2), RequestTerms(PATIENCE_S)):
            works.clear()
        fails(FAILURES - 1)
        assert not ended.done()
        fails(1)
        until(ended.done)
        with pytest.raises(RuntimeError, match=f"{FAILURES} requests failed"):
            ended.result()
    client.close()


def test_engine_whose_socket_was_removed_listens_anew(path):
    with running(path):
        first = tests_engine.connect(path)
        until(lambda: first.ready)
        path.unlink()
        until(path.exists)
        second = tests_engine.connect(path)
        for client in (first, second):
            with client.generate(SeedRange(4, 2), RequestTerms(PATIENCE_S)) as generated:
                assert generated.images.shape == (2, 4, 4, 3)
            client.close()


def remove(folder):
    """Remove an engine's directory, in which the engine makes no socket meanwhile."""
    shutil.rmtree(folder.rename(folder.with_name("gone")))


def replace_by_a_file(folder):
    """Have a file in the place of an engine's directory."""
    remove(folder)
    folder.touch()


def replace_the_socket(folder):
    """Have a file in the place of an engine's socket."""
    (folder / "engine.sock").unlink()
    (folder / "engine.sock").touch()


@pytest.mark.parametrize("harm", [remove, replace_by_a_file, replace_the_socket])
def test_engine_serves_on_whatever_happens_to_its_directory_and_is_found_again(
    tmp_path, caplog, harm
):
    path = tmp_path / "engine-0" / "engine.sock"
    path.parent.mkdir()
    client = tests_engine.connect(path)

    def looked_again():
        looked = engine._connections._look_at
        until(lambda: engine._connections._look_at > looked)

    with running(path) as engine:
        until(lambda: client.ready)
        harm(path.parent)
        for _ in range(3):
            looked_again()
            with client.generate(SeedRange(4, 2), RequestTerms(PATIENCE_S)) as generated:
                assert generated.images.shape == (2, 4, 4, 3)
        told = [x for x in caplog.records if x.name == worker_connections.__name__]
        assert len(told) == 1, "it says so again and again"
        if path.parent.is_file():
            path.parent.unlink()
        until(path.is_socket)
        second = tests_engine.connect(path)
        until(lambda: second.ready)
        for each in (client, second):
            each.close()


@pytest.mark.parametrize("harm", [remove, replace_by_a_file])
def test_engine_ends_without_an_error_although_its_directory_is_gone(tmp_path, harm):
    path = tmp_path / "engine-0" / "engine.sock"
    engine = Engine(path, 1, Notes())
    harm(path.parent)
    engine.stop(within_s=0)
    engine.serve()


def test_stranger_on_the_socket_harms_nobody(path):
    client = tests_engine.connect(path)
    with running(path):
        stranger = connect(path)
        stranger.send(b"who is there?")
        stranger.settimeout(PATIENCE_S)
        assert stranger.recv(10) == b""
        connect(path).close()
        with client.generate(SeedRange(1, 1), RequestTerms(PATIENCE_S)) as generated:
            assert generated.images.shape == (1, 4, 4, 3)
        stranger.close()
    client.close()


def test_batch_waits_until_it_is_full_where_a_delay_is_set(path):
    client = tests_engine.connect(path)

    def draw(seed):
        with client.generate(SeedRange(seed, 1), RequestTerms(PATIENCE_S)):
            pass

    with running(path, [picture], max_batch_size=3, max_delay_s=2.0 * PATIENCE_S) as engine:
        until(lambda: client.ready)
        calls = [gevent.spawn(draw, 0)]
        until(lambda: engine.served.batcher.rows == 1)
        calls += [gevent.spawn(draw, 1), gevent.spawn(draw, 2)]
        gevent.joinall(calls, timeout=PATIENCE_S, raise_error=True)
        assert engine.notes.batches == [3]
        client.close()


def test_while_one_batch_runs_the_next_is_gathered_and_runs_too(path):
    """A device of which each run ends only when another has begun: one at a time would be stuck."""
    both = threading.Barrier(2, timeout=PATIENCE_S)

    def device(latents):
        both.wait()
        return picture(latents)

    def draw(seed):
        with client.generate(SeedRange(seed, 16), RequestTerms(PATIENCE_S)) as generated:
            return generated.images.shape

    client = tests_engine.connect(path)
    with running(path, [device, device], max_batch_size=16) as engine:
        until(lambda: client.ready)
        calls = [gevent.spawn(draw, 100 * k) for k in range(6)]
        gevent.joinall(calls, timeout=PATIENCE_S, raise_error=True)
        assert engine.notes.batches == [16] * 6
    client.close()


def test_batch_that_hangs_is_seen_while_it_does(path):
    entered, leave = threading.Event(), threading.Event()

    def model(latents):
        entered.set()
        assert leave.wait(PATIENCE_S)
        return picture(latents)

    def draw():
        with client.generate(SeedRange(1, 1), RequestTerms(PATIENCE_S)) as generated:
            return generated.images.copy()

    client = tests_engine.connect(path)
    with running(path, [model]) as engine:
        assert engine.oldest_s() == 0
        call = gevent.spawn(draw)
        until(entered.is_set)
        until(lambda: engine.oldest_s() > 0)
        leave.set()
        assert call.get().shape == (1, 4, 4, 3)
        until(lambda: engine.oldest_s() == 0)
    client.close()


def test_loop_that_raises_ends_the_engine_with_its_error(path):
    class Broken(Notes):
        def queue(self, rows, capacity):
            raise OSError("disk full")

    engine = Engine(path, 2, Broken())
    engine.add(serving([picture, picture]))
    with pytest.raises(OSError, match="disk full"):
        engine.serve()


def test_gauges_are_refreshed_now_and_then_while_batches_run(path):
    now, told = [0.0], []

    class Clocked(Notes):
        def queue(self, rows, capacity):
            told.append(now[0])

    engine = Engine(path, 1, Clocked(), clock=lambda: now[0])
    served = serving([picture], max_batch_size=1)
    engine.add(served)
    request = Unanswered(200, float("inf"))
    served.batcher.add(request)
    for tick in range(100):
        now[0] = tick * TELL_S / 4
        assert engine._take(stream=0)
    engine._connections.close()
    assert len(told) > 15
    assert all(0.9 * TELL_S < later - told_at < 1.5 * TELL_S for told_at, later in pairwise(told))


def test_engine_whose_parent_is_gone_ends_by_itself(path, monkeypatch):
    with running(path) as engine:
        another = os.getppid() + 1  # 1 may be the parent of the tests themselves
        monkeypatch.setattr(os, "getppid", lambda: another)
        until(lambda: engine._shutdown.begun)
        until(lambda: not path.exists())
