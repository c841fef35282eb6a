"""Which engine gets a request, by what each said last."""

import threading
from contextlib import ExitStack
from dataclasses import replace

import gevent
import pytest
from tests_engine import (
    Gate,
    connect,
    key_of,
    picture,
    publish,
    running,
    until,
)

from server.bundle.latents import latents_range
from server.errors import EngineUnavailable, InferenceFailed, LoadFailed, QueueFull
from server.ipc.arena import Arena
from server.ipc.catalog import Catalog
from server.ipc.engine_dir import EngineDir
from server.ipc.sources import SeedRange
from server.queue_state import QueueState
from server.worker.engine_balancer import Balancer
from server.worker.engine_client import EngineClient
from server.worker.gevent_io import GeventLoop
from server.worker.inflight import LOSSES
from server.worker.request_terms import HOLDS_S, Refusal, RequestTerms
from tests.patience import PATIENCE_S

MODEL = key_of("tiny/1")
TERMS = RequestTerms(PATIENCE_S)
FULL = QueueState(1, 2, 3.0, 4.0)


class Stub:
    """A connection that stands, or does not."""

    def __init__(self, up):
        self.up = up


@pytest.fixture
def paths(tmp_path):
    folders = [tmp_path / f"engine-{number}" for number in range(3)]
    for folder in folders:
        folder.mkdir()
    return [folder / "engine.sock" for folder in folders]


@pytest.fixture
def balancer(paths):
    arena = Arena.create(4096)
    engine_dirs = [publish(path) for path in paths]
    balancer = Balancer(
        engine_dirs, arena, GeventLoop(), lambda *_: None, lambda: None, lambda _: None
    )
    balancer.close()
    for backend in balancer.backends:
        backend.connection = Stub(up=True)
        balancer._on_up(backend)
    yield balancer
    arena.close()


def goes(balancer, backend):
    """Have ``backend`` go, as its connection would tell."""
    backend.connection.up = False
    balancer._on_down(backend)


def says(backend, rows, wait_s, now, of=1):
    """Have ``backend`` answer a request of ``of`` rows, while ``rows`` take ``wait_s`` there."""
    backend.answered(QueueState(rows, 4096, wait_s), of, now)


def chosen(balancer, rows=1, now=0.0, terms=TERMS, tried=()):
    backend = balancer.choose(MODEL, rows, terms, now, tried)
    return balancer.backends.index(backend)


def test_engine_that_will_be_free_first_is_asked(balancer):
    for backend, wait_s in zip(balancer.backends, (0.3, 0.1, 0.2), strict=True):
        says(backend, 100, wait_s, now=0.0)
    assert chosen(balancer) == 1
    assert chosen(balancer, now=0.15) == 1  # the only one that is free by now


def test_rows_on_their_way_count_at_the_speed_of_their_engine(balancer):
    fast, slow, _ = balancer.backends
    says(fast, 100, 0.01, now=0.0)
    says(slow, 100, 0.1, now=0.0)
    says(balancer.backends[2], 100, 5.0, now=0.0)
    counts = [0, 0, 0]
    for _ in range(110):
        backend = balancer.choose(MODEL, 10, TERMS, now=0.2)
        backend.asked(10, 0.2)
        counts[balancer.backends.index(backend)] += 1
    assert counts == [100, 10, 0]


def test_equals_take_turns(balancer):
    assert sorted(chosen(balancer) for _ in range(6)) == [0, 0, 1, 1, 2, 2]


def test_of_those_that_are_free_the_one_with_the_fewest_rows_on_their_way(balancer):
    for backend, rows in zip(balancer.backends, (5, 3, 4), strict=True):
        backend.asked(rows, now=0.0)
    assert chosen(balancer) == 1


def test_engine_that_is_gone_is_not_asked(balancer):
    goes(balancer, balancer.backends[0])
    assert {chosen(balancer) for _ in range(6)} == {1, 2}
    for backend in balancer.backends[1:]:
        goes(balancer, backend)
    assert balancer.choose(MODEL, 1, TERMS, 0.0) is None


def test_next_engine_of_a_place_starts_with_an_empty_queue(balancer):
    first = balancer.backends[0]
    first.asked(1000, 0.0)
    says(first, 1000, 9.0, now=0.0, of=0)
    assert chosen(balancer) == 1
    first.forget()
    assert chosen(balancer) in (0, 2)
    assert (first.rows, first.free_in_s(0.0)) == (0, 0.0)


def test_engine_that_has_just_refused_as_much_comes_last(balancer):
    balancer.backends[0].refusal = Refusal(MODEL, 8, TERMS, 0.0, until=9.0, queue=FULL)
    assert {chosen(balancer, rows=8) for _ in range(6)} == {1, 2}
    assert 0 in {chosen(balancer, rows=7) for _ in range(6)}
    assert 0 in {chosen(balancer, rows=9) for _ in range(6)}
    assert 0 in {chosen(balancer, rows=8, now=HOLDS_S) for _ in range(6)}
    assert balancer.refusal(MODEL, 8, TERMS, 0.0) is None


def test_refusal_is_of_all_and_the_one_that_ends_first_is_told(balancer):
    for backend, until_s in zip(balancer.backends, (3.0, 0.2, 2.0), strict=True):
        backend.refusal = Refusal(MODEL, 8, TERMS, 0.0, until_s, queue=FULL)
    assert balancer.refusal(MODEL, 8, TERMS, 0.0).until == 0.2
    assert balancer.refusal(MODEL, 8, TERMS, 0.2) is None


def test_what_was_tried_is_tried_again_only_if_nothing_else_is_there(balancer):
    first, second, third = balancer.backends
    assert chosen(balancer, tried=(first, second)) == 2
    assert balancer.others(MODEL, (first, second))
    assert not balancer.others(MODEL, (first, second, third))
    assert chosen(balancer, tried=(first, second, third)) in (0, 1, 2)


def test_only_engines_that_serve_the_model_are_asked(balancer, paths):
    publish(paths[2], "tiny/1", "tiny/2")
    balancer.reload_catalog(balancer.backends[2])
    new = key_of("tiny/2")
    assert balancer.choose(new, 1, TERMS, 0.0) is balancer.backends[2]
    assert {chosen(balancer) for _ in range(6)} == {0, 1, 2}


# with engines that run


def draw(client, seed, n=1, timeout_s=PATIENCE_S):
    with client.generate(SeedRange(seed, n), RequestTerms(timeout_s)) as generated:
        return generated.images.copy()


def expected(seed, n=1):
    return picture(latents_range(seed, n, 8))


@pytest.fixture
def client(paths):
    client = connect(*paths[:2])
    yield client
    client.close()


def test_engines_share_the_work_and_each_answers_with_its_own_seeds(paths, client):
    with running(paths[0]) as one, running(paths[1]) as other:
        until(lambda: all(client.engines))
        calls = [gevent.spawn(draw, client, seed, 1 + seed % 40) for seed in range(100)]
        gevent.joinall(calls, raise_error=True)
        assert min(sum(engine.notes.batches) for engine in (one, other)) > 400
    for seed, request in enumerate(calls):
        assert (request.value == expected(seed, 1 + seed % 40)).all()


def test_what_a_dead_engine_had_goes_to_another_at_once(paths, client):
    gate = Gate()
    with running(paths[0], [gate]), running(paths[1]):
        until(lambda: all(client.engines))
        calls = [gevent.spawn(draw, client, seed, 30) for seed in range(20)]
        until(gate.entered.is_set)
        client._balancer.backends[0].connection.close()  # for good
        gevent.joinall(calls, raise_error=True)
        assert client.engines == [False, True]
        gate.open.set()
    assert all((request.value == expected(seed, 30)).all() for seed, request in enumerate(calls))


def test_request_that_engine_after_engine_dies_with_is_given_to_no_other(paths):
    gates = [Gate() for _ in paths]
    client = connect(*paths)
    with ExitStack() as stack:
        for path, gate in zip(paths, gates, strict=True):
            stack.enter_context(running(path, [gate]))
        until(lambda: all(client.engines))
        request = gevent.spawn(draw, client, 666)
        for _ in paths:
            until(lambda: any(gate.entered.is_set() for gate in gates))
            gate = next(gate for gate in gates if gate.entered.is_set())
            gates.remove(gate)
            backend = next(iter(client._inflight)).backend
            backend.connection.hang_up()  # it takes the engine with it
            stack.callback(gate.open.set)
        with pytest.raises(InferenceFailed):
            request.get()
        assert not client._inflight
        for gate in gates:
            gate.open.set()
    client.close()


def test_images_and_plan_are_those_of_the_engine_that_drew_all_rows(paths, client):
    """The first engine has drawn half of the rows when it goes; the second has another plan."""
    gate, batches = Gate(), []

    def draws_half(latents):
        batches.append(len(latents))
        return gate(latents) if len(batches) > 1 else picture(latents) + 1

    def ask():
        with client.generate(SeedRange(5, 8), TERMS) as generated:
            return generated.plan, generated.images.copy()

    with running(paths[0], [draws_half], max_batch_size=4, plan="openvino/bf16"):
        until(lambda: client.engines[0])
        request = gevent.spawn(ask)
        until(gate.entered.is_set)
        with running(paths[1], plan="cuda/f16"):
            until(lambda: client.engines[1])
            client._balancer.backends[0].connection.hang_up()
            plan, images = request.get()
            gate.open.set()
    assert plan == "cuda/f16"
    assert (images == expected(5, 8)).all()


def test_plans_of_the_engines_that_answer_are_told_each_once(paths):
    for path, plan in zip(paths, ("cuda/f16", "cpu/f32", "cuda/f16"), strict=True):
        engine_dir = publish(path)
        catalog = Catalog.read(engine_dir.catalog)
        entries = {ref: replace(entry, plan=plan) for ref, entry in catalog.entries.items()}
        replace(catalog, entries=entries).write(engine_dir.catalog)
    client = connect(*paths)
    model = client.find()
    assert client.plans == client.plans_of(model) == []
    with running(paths[2]):
        until(lambda: client.engines[2])
        assert client.plans == client.plans_of(model) == ["cuda/f16"]
        with running(paths[0]), running(paths[1]):
            until(lambda: all(client.engines))
            assert client.plans == client.plans_of(model) == ["cuda/f16", "cpu/f32"]
            assert client.plans_of(replace(model, key=model.key + 1)) == [], "none has that bundle"
    client.close()


def test_request_that_only_waits_survives_any_number_of_engines(paths, client):
    gate = Gate()
    with running(paths[0], [gate]):
        runs = gevent.spawn(draw, client, 5, 16)
        until(gate.entered.is_set)
        waits = gevent.spawn(draw, client, 7, 3)
        until(lambda: len(client._inflight) == 2)
        for _ in range(LOSSES + 1):
            until(lambda: client.engines[0])
            client._balancer.backends[0].connection.hang_up()
        assert [request.lost for request in client._inflight] == [1, 0]
        gate.open.set()
        assert (runs.get() == expected(5, 16)).all()
        assert (waits.get() == expected(7, 3)).all()


def test_request_that_one_engine_refuses_goes_to_another(paths, client):
    with running(paths[0], max_queue_rows=4096) as one, running(paths[1], max_queue_rows=8192):
        until(lambda: all(client.engines))
        for backend in client._balancer.backends[1:]:
            backend.asked(1, 0.0)  # so that the first is asked first
        one.served.batcher.observe(rows=1000, seconds=1.0)
        assert (draw(client, 3, 5000) == expected(3, 5000)).all()
        assert client._balancer.backends[0].refusal.rows == 5000


def test_request_that_all_refuse_is_refused_once(paths, client):
    with running(paths[0], max_queue_rows=4096), running(paths[1], max_queue_rows=4096):
        until(lambda: all(client.engines))
        with pytest.raises(QueueFull, match="limit 4096"):
            draw(client, 0, 5000)
        assert all(backend.refusal for backend in client._balancer.backends)
        assert len(draw(client, 0, 100)) == 100


def test_callers_move_to_a_new_version_once_every_engine_has_it(paths, client):
    with running(paths[0]) as one, running(paths[1]) as other:
        until(lambda: all(client.engines))
        publish(paths[0], "tiny/2", "tiny/1")
        one.announce()
        until(lambda: len(client._balancer.backends[0].keys) == 2)
        assert client.catalog.default == "tiny/1"
        publish(paths[1], "tiny/2", "tiny/1")
        other.announce()
        until(lambda: client.catalog.default == "tiny/2")


def test_worker_that_finds_no_catalog_serves_once_the_engine_has_written_one(paths):
    client = EngineClient([EngineDir(paths[0].parent)], 2**20, GeventLoop())
    with pytest.raises(EngineUnavailable):
        client.catalog.find()
    with running(paths[0]) as engine:
        until(lambda: client.ready)
        publish(paths[0])
        engine.announce()
        until(lambda: client.catalog.default == "tiny/1")
        assert (draw(client, 5) == expected(5)).all()
        client.close()


def test_administrators_wish_reaches_every_engine(paths):
    asked = []

    def does(engine, error):
        def ask(wish, answer):
            asked.append((engine, wish.action, wish.name))
            threading.Thread(target=answer, args=(error,)).start()

        return ask

    client = connect(*paths[:2])
    with running(paths[0], on_ask=does(0, "")), running(paths[1], on_ask=does(1, "no memory")):
        until(lambda: all(client.engines))
        with pytest.raises(LoadFailed, match="no memory"):
            client.administer("load", "tiny", "", PATIENCE_S)
        assert sorted(asked) == [(0, "load", "tiny"), (1, "load", "tiny")]
        client.close()


def test_nobody_waits_for_the_word_of_an_engine_that_is_gone(paths, client):
    asked = threading.Event()
    with running(paths[0]):
        with running(paths[1], on_ask=lambda wish, answer: asked.set()):
            until(lambda: all(client.engines))
            request = gevent.spawn(client.administer, "load", "tiny", "", PATIENCE_S)
            until(asked.is_set)
        client._balancer.backends[0].connection.hang_up()
        with pytest.raises(EngineUnavailable, match="ended while it was at it"):
            request.get()
