"""Client and engine together, over a real socket and real shared memory."""

import socket
import threading
import time

import gevent
import numpy as np
import pytest
from tests_engine import (
    SHAPE,
    Gate,
    Peer,
    connect,
    key_of,
    picture,
    publish,
    running,
    serving,
    until,
)

from server.bundle.latents import latents, latents_range
from server.errors import (
    ClientGone,
    DeadlineExceeded,
    EngineUnavailable,
    InferenceFailed,
    InvalidRequest,
    LoadFailed,
    ModelNotFound,
    ModelUnavailable,
    QueueFull,
    RateExceeded,
)
from server.ipc.sources import Latents, SeedRange, Seeds
from server.keys import USER, Key
from server.queue_state import QueueState
from server.worker.caller import Caller
from server.worker.key_limits import KeyLimits
from server.worker.request_terms import HOLDS_S, RequestTerms
from tests.patience import PATIENCE_S

ARENA = 2**20


@pytest.fixture
def client(path):
    client = connect(path, arena_bytes=ARENA)
    yield client
    client.close()


def draw(client, seed, n=1, timeout_s=PATIENCE_S, **terms):
    with client.generate(SeedRange(seed, n), RequestTerms(timeout_s, **terms)) as generated:
        return generated.images.copy()


def draw_of(client, source, timeout_s=PATIENCE_S, **terms):
    with client.generate(source, RequestTerms(timeout_s, **terms)) as generated:
        return generated.images.copy()


@pytest.fixture
def alice():
    """Return the holder of a key who may draw ten images, all of them at once."""
    limits = KeyLimits.create()
    key = Key("alice", USER, b"", images_per_s=1e-3, burst=10, in_flight=10)
    caller = Caller(key, limits, limits.rows(["alice"])[0])
    caller.left = lambda: limits.left(0, key)[0]
    caller.room = lambda: limits.room(0, key)
    return caller


def test_images_are_in_flight_until_they_were_read(path, client, alice):
    with running(path):
        terms = RequestTerms(PATIENCE_S, caller=alice)
        with client.generate(SeedRange(5, 4), terms) as generated:
            assert (generated.images == expected(5, 4)).all()
            assert (alice.left(), alice.room()) == (6, 6)
        assert (alice.left(), alice.room()) == (6, 10)
        assert (draw(client, 7, 6, caller=alice) == expected(7, 6)).all()
        with pytest.raises(RateExceeded):
            draw(client, 8, caller=alice)
        assert (draw(client, 8) == expected(8)).all()


def test_refused_and_failed_requests_cost_a_key_nothing(path, client, alice):
    with running(path, [lambda latents: 1 / 0]):
        with pytest.raises(InferenceFailed):
            draw(client, 5, 10, caller=alice)
        assert (alice.left(), alice.room()) == (10, 10)
        with pytest.raises(ModelNotFound):
            client.generate(SeedRange(5, 10), RequestTerms(PATIENCE_S, caller=alice), "lorries")
        assert (alice.left(), alice.room()) == (10, 10)


def test_images_that_a_caller_does_not_wait_for_cost_it_all_the_same(path, client, alice):
    gate = Gate()
    with running(path, [gate]):
        with pytest.raises(DeadlineExceeded):
            draw(client, 5, 4, timeout_s=0.2, caller=alice)
        assert (alice.left(), alice.room()) == (6, 10)
        gate.open.set()


def waits(client):
    """Return how many requests wait for a slot."""
    return len(list(client._inflight._slots.waiting))


def expected(seed, n=1):
    return picture(latents_range(seed, n, 8))


def test_images_are_those_of_their_seeds(path, client):
    with running(path):
        assert (draw(client, 5, 3) == expected(5, 3)).all()


def test_list_of_seeds_is_drawn_in_its_order_each_as_often_as_it_is_there(path, client):
    seeds = [9, 2**64 - 1, 0, 9]
    with running(path):
        assert (draw_of(client, Seeds(seeds)) == picture(latents(seeds, 8))).all()


def test_truncation_is_a_factor_on_the_latents_of_seeds(path, client):
    short = picture(latents_range(5, 3, 8) * np.float32(0.7))
    with running(path):
        assert (draw_of(client, SeedRange(5, 3, 0.7)) == short).all()
        assert (draw_of(client, Seeds([5, 6, 7], 0.7)) == short).all()
        assert (draw_of(client, SeedRange(5, 3, 1.0)) == expected(5, 3)).all()


def test_latents_that_are_given_are_drawn(path, client):
    rows = latents_range(5, 100, 8)
    with running(path) as engine:
        for given in (rows, rows[::-1], np.asfortranarray(rows), rows.astype(">f4")):
            assert (draw_of(client, Latents(given)) == picture(given)).all()
        assert max(engine.notes.batches) == 16


def test_requests_of_every_source_share_batches(path, client):
    gate = Gate()
    with running(path, [gate]) as engine:
        sources = [
            make(seed)
            for seed in range(20)
            for make in (
                lambda seed: SeedRange(seed, 1),
                lambda seed: Seeds([seed]),
                lambda seed: Latents(latents([seed], 8)),
            )
        ]
        calls = [gevent.spawn(draw_of, client, source) for source in sources]
        until(lambda: len(client._inflight) == len(sources))
        until(gate.entered.is_set)
        gate.open.set()
        gevent.joinall(calls, raise_error=True)
        assert len(engine.notes.batches) < 20
    for number, call in enumerate(calls):
        assert (call.value == expected(number // 3)).all()


def test_what_was_given_is_still_there_for_the_next_engine_after_a_part_was_drawn(path, client):
    """The first batch has written the images of its rows, and the second waits for ever."""
    gate, batches = Gate(), []
    rows, seeds = latents_range(5, 40, 8), [*range(40, 0, -1)]

    def model(latents):
        batches.append(len(latents))
        return picture(latents) if len(batches) == 1 else gate(latents)

    with running(path, [model]):
        calls = [gevent.spawn(draw_of, client, source) for source in (Latents(rows), Seeds(seeds))]
        until(gate.entered.is_set)
        connection = client._balancer.backends[0].connection
        connection.hang_up()  # what a killed engine looks like from here
        with running(path):
            gevent.joinall(calls, raise_error=True)
        gate.open.set()
    assert (calls[0].value == picture(rows)).all()
    assert (calls[1].value == picture(latents(seeds, 8))).all()
    assert client._inflight._slots.taken == 0


def test_slot_is_larger_only_by_what_is_given(path, client):
    gate, taken = Gate(), []
    sources = (SeedRange(5, 3), SeedRange(5, 3, 0.5), Seeds([1, 2, 3]), Latents(latents([1], 8)))
    with running(path, [gate]):
        for source in sources:
            call = gevent.spawn(draw_of, client, source)
            before = sum(taken)
            until(lambda before=before: client._inflight._slots.taken > before)
            taken.append(client._inflight._slots.taken - before)
            assert not call.ready()
        gate.open.set()
        until(lambda: client._inflight._slots.taken == 0)
    plain = SHAPE.size(3)
    assert taken == [plain, plain, plain + 64, SHAPE.size(1) + 64]


def test_latents_of_another_width_are_refused_before_they_are_submitted(client):
    with pytest.raises(InvalidRequest) as error:
        draw_of(client, Latents(np.zeros((3, 7), np.float32)))
    assert str(error.value) == (
        "latents is 3 rows of 7 numbers; wanted rows of 8, the latent_dim of tiny/1"
    )
    with pytest.raises(InvalidRequest, match="n is 0; wanted at least 1"):
        draw_of(client, Latents(np.zeros((0, 8), np.float32)))
    assert not client._inflight


def test_latents_count_as_part_of_what_the_arena_holds(path):
    small = connect(path, arena_bytes=SHAPE.size(104))
    with running(path):
        assert (draw(small, 1, 98) == expected(1, 98)).all()
        rows = latents_range(1, 98, 8)
        with pytest.raises(InvalidRequest, match="n is 98; wanted at most 59: the arena holds no"):
            draw_of(small, Latents(rows))
        assert (draw_of(small, Latents(rows[:59])) == expected(1, 59)).all()
    small.close()


def test_request_larger_than_a_batch_comes_back_whole(path, client):
    with running(path) as engine:
        assert (draw(client, 0, 100) == expected(0, 100)).all()
        assert max(engine.notes.batches) == 16


def test_requests_of_many_greenlets_share_batches(path, client):
    gate = Gate()
    with running(path, [gate]) as engine:
        calls = [gevent.spawn(draw, client, seed) for seed in range(20)]
        until(gate.entered.is_set)
        until(lambda: len(client._inflight) == 20)
        gate.open.set()
        gevent.joinall(calls, raise_error=True)
        assert all((request.value == expected(seed)).all() for seed, request in enumerate(calls))
        assert len(engine.notes.batches) < 20


def test_two_streams_answer_each_request_with_its_own_images(path, client):
    with running(path, [picture, picture]):
        calls = [gevent.spawn(draw, client, seed, 1 + seed % 40) for seed in range(150)]
        gevent.joinall(calls, raise_error=True)
    for seed, request in enumerate(calls):
        assert (request.value == expected(seed, 1 + seed % 40)).all()


def test_request_sent_before_the_engine_listens_is_answered_when_it_does(path, client):
    request = gevent.spawn(draw, client, 9)
    until(lambda: client._inflight)
    assert not client.ready
    with running(path):
        assert (request.get() == expected(9)).all()
        assert client.ready


def test_engine_that_dies_in_the_middle_costs_nobody_an_answer(path, client):
    gate = Gate()
    with running(path, [gate]):
        calls = [gevent.spawn(draw, client, seed) for seed in range(30)]
        until(gate.entered.is_set)
        connection = client._balancer.backends[0].connection
        connection.hang_up()  # what a killed engine looks like from here
        with running(path):
            gevent.joinall(calls, raise_error=True)
        gate.open.set()
    assert all((request.value == expected(seed)).all() for seed, request in enumerate(calls))


def test_request_without_any_engine_ends_at_its_deadline(client):
    with pytest.raises(EngineUnavailable):
        draw(client, 1, timeout_s=0.05)


def test_late_request_is_refused_and_its_slot_is_not_lost(path, client):
    gate = Gate()
    with running(path, [gate]) as engine:
        blocker = gevent.spawn(draw, client, 0)
        until(gate.entered.is_set)
        late = gevent.spawn(draw, client, 1, timeout_s=0.05)
        until(lambda: len(client._inflight) == 2)
        deadline = time.monotonic() + 0.05
        until(lambda: time.monotonic() > deadline)
        gate.open.set()
        with pytest.raises(DeadlineExceeded):
            late.get()
        assert (blocker.get() == expected(0)).all()
        until(lambda: engine.notes.dropped_rows == {"deadline": 1})
        until(lambda: not client._inflight)
    assert client._inflight._slots.taken == 0, "a slot was never given back"


def test_poisonous_request_fails_alone(path, client):
    poison = latents_range(666, 1, 8)[0]

    def model(latents):
        if (latents == poison).all(axis=1).any():
            raise RuntimeError("bad latents")
        return picture(latents)

    gate = Gate()

    def gated(latents):
        gate(latents)
        return model(latents)

    with running(path, [gated]):
        calls = {seed: gevent.spawn(draw, client, seed) for seed in (1, 2, 666, 3)}
        until(lambda: len(client._inflight) == 4)
        gate.open.set()
        gevent.joinall(list(calls.values()))
    with pytest.raises(InferenceFailed):
        calls[666].get()
    assert all((calls[seed].get() == expected(seed)).all() for seed in (1, 2, 3))


def test_failed_request_is_answered_once_no_stream_writes_to_its_slot(path, client):
    gate = Gate()

    def model(latents):
        if len(latents) < 16:
            raise RuntimeError("too few")
        return gate(latents)

    with running(path, [model, model]) as engine:
        request = gevent.spawn(draw, client, 0, 20)  # 16 rows wait at the gate, 4 fail beside them
        until(gate.entered.is_set)
        until(lambda: engine.served.batcher.rows == 0 and len(engine._running) == 1)
        with pytest.raises(InferenceFailed):
            draw(client, 5)  # an answer to the first would have arrived before this one's
        assert not request.ready()
        gate.open.set()
        with pytest.raises(InferenceFailed):
            request.get()


def test_full_queue_refuses_with_its_length_and_limit(path, client):
    gate = Gate()
    with running(path, [gate], max_queue_rows=4096):
        first = gevent.spawn(draw, client, 0)
        until(gate.entered.is_set)
        waiting = gevent.spawn(draw, client, 0, 3000)
        until(lambda: len(client._inflight) == 2)
        over = gevent.spawn(draw, client, 0, 1500)
        until(lambda: len(client._inflight) == 3)
        gate.open.set()
        with pytest.raises(QueueFull) as full:
            over.get()
        assert full.value.queue[:2] == (3000, 4096)
        assert len(waiting.get()) == 3000
        first.get()


def test_refusal_is_remembered_for_a_moment_for_those_who_want_the_same(path):
    now = time.monotonic()
    client = connect(path, arena_bytes=ARENA, clock=lambda: now)
    with running(path, max_queue_rows=4096) as engine:
        engine.served.batcher.observe(rows=1000, seconds=1.0)

        add, asked = engine.served.batcher.add, []
        engine.served.batcher.add = lambda job, accepted: (asked.append(job), add(job))

        def asks(n, timeout_s, **terms):
            """Whether the engine is asked; it refuses each time."""
            before = len(asked)
            with pytest.raises(QueueFull):
                draw(client, 0, n, timeout_s, **terms)
            return len(asked) > before

        assert asks(5096, 10.0)  # 1,000 rows too many: a second's work
        assert not asks(5096, 10.0)
        assert not asks(5096, 6.0)
        now += HOLDS_S
        assert asks(5096, 10.0)
        assert asks(5000, 10.0)
        assert asks(6000, 10.0)  # it may go after those whom the smaller one makes late
        assert asks(6000, 11.0)
        assert asks(6000, 11.0, bulk=True)
        assert len(draw(client, 0, 8)) == 8
        client.close()


def test_request_that_finds_no_slot_waits_for_others_to_finish(path):
    small = connect(path, arena_bytes=SHAPE.size(104))
    gate = Gate()
    with running(path, [gate]):
        calls = [gevent.spawn(draw, small, seed, 90) for seed in (1, 2, 3)]
        until(gate.entered.is_set)
        gate.open.set()
        gevent.joinall(calls, raise_error=True)
        assert all((request.value == expected(s, 90)).all() for s, request in enumerate(calls, 1))
        with pytest.raises(InvalidRequest, match="n is 4096; wanted at most"):
            draw(small, 0, 4096)
    small.close()


def test_engine_knows_who_lets_others_go_first(path, client):
    with running(path) as engine:
        add, asked = engine.served.batcher.add, []
        engine.served.batcher.add = lambda job, accepted: (asked.append(job.bulk), add(job))
        for bulk in (True, False):
            draw(client, 2, bulk=bulk)
    assert asked == [True, False]


def test_request_that_would_wait_too_long_for_a_slot_is_refused_at_once(path):
    now = time.monotonic()
    small = connect(path, arena_bytes=SHAPE.size(104), clock=lambda: now)
    gate = Gate()
    with running(path, [gate]):
        first = gevent.spawn(draw, small, 1, 90)
        until(gate.entered.is_set)
        (engine,) = small._balancer.backends
        engine.answered(QueueState(1000, 4096, 10.0), 0, now)
        with pytest.raises(QueueFull) as full:
            draw(small, 2, 90, timeout_s=5.0)
        assert full.value.queue.limit_rows == 4096
        assert full.value.queue.wait_s == pytest.approx(10.9)
        second = gevent.spawn(draw, small, 2, 90, timeout_s=PATIENCE_S)
        until(lambda: waits(small))
        with pytest.raises(QueueFull) as full:
            draw(small, 3, 90, timeout_s=5.0)
        assert full.value.queue.waiting_rows == 180  # itself, and the one before it
        gate.open.set()
        assert (first.get() == expected(1, 90)).all()
        assert (second.get() == expected(2, 90)).all()
    small.close()


@pytest.fixture
def crowded(path):
    """A client whose arena is full, of an engine that will draw 100 rows a second.

    The client's clock stands still.
    """
    now = time.monotonic()
    client = connect(path, arena_bytes=SHAPE.size(104), clock=lambda: now)
    gate = Gate()
    with running(path, [gate]):
        first = gevent.spawn(draw, client, 1, 90)
        until(gate.entered.is_set)
        (engine,) = client._balancer.backends
        engine.answered(QueueState(1000, 4096, 10.0), 0, now)
        yield client, gate
        gate.open.set()
        assert (first.get() == expected(1, 90)).all()
        until(lambda: not waits(client))
    client.close()


def test_request_for_few_images_is_not_refused_for_the_many_that_others_wait_for(crowded):
    client, gate = crowded
    many = [gevent.spawn(draw, client, seed, 90, timeout_s=60.0) for seed in range(20)]
    until(lambda: waits(client) == 20)
    few = gevent.spawn(draw, client, 3, 12, timeout_s=15.1)
    until(lambda: waits(client) == 21)
    gate.open.set()
    assert (few.get() == expected(3, 12)).all()
    assert not any(each.ready() for each in many), "it was not first in line"
    gevent.joinall(many, raise_error=True)


def test_request_for_few_images_is_refused_if_it_would_make_another_late_that_waits(crowded):
    client, _ = crowded
    many = gevent.spawn(draw, client, 2, 90, timeout_s=16.3)  # it ends in about 10.9 s
    until(lambda: waits(client) == 1)
    few = [gevent.spawn(draw, client, 3, 20, timeout_s=60.0) for _ in range(20)]
    until(lambda: waits(client) + sum(each.ready() for each in few) == 21)
    refused = [each for each in few if each.ready()]
    assert 10 < len(refused) < 20
    with pytest.raises(QueueFull):
        refused[0].get()
    gevent.killall([many, *few])


def test_caller_that_hangs_up_while_it_waits_for_a_slot_waits_no_more(path):
    small = connect(path, arena_bytes=SHAPE.size(104))
    gate = Gate()
    here, there = socket.socketpair()
    with here, running(path, [gate]):
        first = gevent.spawn(draw, small, 1, 90)
        until(gate.entered.is_set)
        second = gevent.spawn(draw, small, 2, 90, peer=Peer(here))
        until(lambda: waits(small))
        there.close()
        with pytest.raises(ClientGone):
            second.get()
        gate.open.set()
        assert (first.get() == expected(1, 90)).all()
    assert small._inflight._slots.taken == 0
    small.close()


def test_worker_that_hangs_up_takes_only_its_own_rows_along(path, client):
    other = connect(path, arena_bytes=ARENA)
    gate = Gate()
    with running(path, [gate]) as engine:
        gate.open.set()
        assert (draw(other, 9) == expected(9)).all()  # the engine knows both workers
        gate.open.clear()
        gate.entered.clear()
        mine = gevent.spawn(draw, client, 1)
        until(gate.entered.is_set)
        theirs = gevent.spawn(draw, other, 2, 50)
        until(lambda: other._inflight)
        until(lambda: not other._balancer.backends[0].connection._flushing)  # the submit has left
        other.close()
        theirs.kill()
        gate.open.set()
        assert (mine.get() == expected(1)).all()
        dropped = engine.notes.dropped_rows
        # The engine may begin with a batch before it sees that the worker is gone.
        until(lambda: dropped.get("worker_gone", 0) + sum(engine.notes.batches) == 2 + 50)
        assert dropped["worker_gone"] >= 50 - 16
        assert (draw(client, 3) == expected(3)).all()


def test_caller_that_hangs_up_costs_no_inference(path, client):
    gate = Gate()
    (here, there), (other, others) = socket.socketpair(), socket.socketpair()
    with running(path, [gate]) as engine:
        first = gevent.spawn(draw, client, 1)
        until(gate.entered.is_set)
        left = gevent.spawn(draw, client, 2, 50, peer=Peer(here))
        stays = gevent.spawn(draw, client, 3, peer=Peer(other))
        until(lambda: len(client._inflight) == 3)
        there.close()
        with pytest.raises(ClientGone):
            left.get()
        gate.open.set()
        assert (first.get() == expected(1)).all()
        assert (stays.get() == expected(3)).all()
        until(lambda: engine.notes.dropped_rows == {"client_gone": 50})
        assert sum(engine.notes.batches) == 2
    for end in (here, other, others):
        end.close()
    assert client._inflight._slots.taken == 0, "a slot was never given back"


def test_request_taken_back_while_it_runs_frees_its_slot_afterwards(path, client):
    gate = Gate()
    with running(path, [gate]) as engine:
        request = gevent.spawn(draw, client, 1, 40)
        until(gate.entered.is_set)
        request.kill()
        gevent.sleep(0.01)  # let the word leave
        assert client._inflight._slots.taken, "the engine may still write there"
        gate.open.set()
        until(lambda: not client._inflight)
        assert engine.notes.dropped_rows == {"client_gone": 24}, "one batch of 16 ran"
    assert client._inflight._slots.taken == 0


def test_abandoned_request_gives_its_slot_back_once_the_engine_is_done_with_it(path, client):
    gate = Gate()
    with running(path, [gate]):
        request = gevent.spawn(draw, client, 1)
        until(gate.entered.is_set)
        request.kill()
        assert client._inflight._slots.taken, "the engine may still write there"
        gate.open.set()
        until(lambda: not client._inflight)
    assert client._inflight._slots.taken == 0


def test_model_that_is_named_draws(path, client):
    publish(path, "tiny/1", "other/3")
    brighter = lambda latents: picture(latents) // 2  # noqa: E731
    with running(path) as engine:
        engine.add(serving([brighter], "other/3"))
        until(lambda: client.ready)
        with client.generate(SeedRange(5, 2), RequestTerms(PATIENCE_S), "other") as generated:
            assert (generated.images == expected(5, 2) // 2).all()
            assert str(generated.model) == "other/3"
        assert (draw(client, 5, 2) == expected(5, 2)).all()
        with (
            pytest.raises(ModelNotFound, match="no model 'other/4'"),
            client.generate(SeedRange(5, 2), RequestTerms(PATIENCE_S), "other", "4"),
        ):
            pass


def test_model_that_only_the_engine_knows_is_not_missing_before_it_has_spoken(path, client):
    with (
        pytest.raises(EngineUnavailable),
        client.generate(SeedRange(5, 2), RequestTerms(PATIENCE_S), "other"),
    ):
        pass


def test_pointer_moves_when_the_engine_says_so(path, client):
    with running(path) as engine:
        engine.add(serving([lambda latents: picture(latents) // 2], "tiny/2"))
        assert (draw(client, 5) == expected(5)).all()
        publish(path, "tiny/2", "tiny/1")
        engine.announce()
        until(lambda: client.catalog.default == "tiny/2")
        assert (draw(client, 5) == expected(5) // 2).all()


def test_request_for_a_model_that_went_is_drawn_by_the_one_that_came(path, client):
    """The engine's word of a new catalog and a request for the old one pass each other."""
    with running(path) as engine:
        assert (draw(client, 5) == expected(5)).all()
        engine.add(serving([lambda latents: picture(latents) // 2], "tiny/2"))
        publish(path, "tiny/2")
        assert engine.remove(key_of("tiny/1"))
        assert client.catalog.default == "tiny/1"
        assert (draw(client, 5, 40) == expected(5, 40) // 2).all()
    assert client._inflight._slots.taken == 0, "a slot was never given back"


def test_model_that_the_engine_does_not_have_though_the_catalog_says_so_is_an_error(path, client):
    with running(path) as engine:
        engine.add(serving([picture], "tiny/2"))
        until(lambda: client.ready)
        assert engine.remove(key_of("tiny/1"))
        with pytest.raises(ModelUnavailable, match="the engine does not have it"):
            draw(client, 5)


def test_model_somebody_waits_for_is_not_removed(path, client):
    gate = Gate()
    with running(path, [gate]) as engine:
        request = gevent.spawn(draw, client, 1, 40)
        until(gate.entered.is_set)
        assert not engine.remove(key_of("tiny/1"))
        gate.open.set()
        assert (request.get() == expected(1, 40)).all()
        until(lambda: engine.remove(key_of("tiny/1")))


def test_administrators_wish_reaches_the_engine_and_its_word_comes_back(path, client):
    asked = []

    def on_ask(ask, answer):
        asked.append((ask.action, ask.name, ask.version))
        threading.Thread(target=answer, args=("it is broken" if ask.version else "",)).start()

    with running(path, on_ask=on_ask):
        until(lambda: client.ready)
        client.administer("load", "tiny", "", timeout_s=PATIENCE_S)
        with pytest.raises(LoadFailed, match="it is broken"):
            client.administer("unload", "tiny", "2", timeout_s=PATIENCE_S)
    assert asked == [("load", "tiny", ""), ("unload", "tiny", "2")]


def test_what_administrators_want_at_once_reaches_the_engine_at_once(path, client):
    asked = []
    with running(path, on_ask=lambda ask, answer: asked.append(ask.name)):
        until(lambda: client.ready)
        names = [f"model-{number}" for number in range(5)]
        for name in names:
            gevent.spawn(client.administer, "load", name, "", timeout_s=PATIENCE_S)
        until(lambda: len(asked) == 5)
        assert sorted(asked) == names
    client._balancer.backends[0].connection.hang_up()


def test_administrator_is_told_when_the_engine_ends_meanwhile(path, client):
    asked = threading.Event()
    with running(path, on_ask=lambda ask, answer: asked.set()):
        until(lambda: client.ready)
        request = gevent.spawn(client.administer, "load", "tiny", "", timeout_s=PATIENCE_S)
        until(asked.is_set)
    with pytest.raises(EngineUnavailable, match="ended while it was at it"):
        request.get()
    with pytest.raises(EngineUnavailable):
        client.administer("load", "tiny", "", timeout_s=1)
