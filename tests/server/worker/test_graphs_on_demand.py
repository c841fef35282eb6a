"""Float images: their graph is asked for once, by all who want it, and waited for."""

import socket

import gevent
import numpy as np
import pytest
from tests_engine import (
    Gate,
    Peer,
    connect,
    floats_of,
    picture,
    publish,
    running,
    serving_floats,
    until,
)

from server.bundle.latents import latents_range
from server.errors import (
    ClientGone,
    DeadlineExceeded,
    EngineUnavailable,
    InvalidRequest,
    NotOffered,
)
from server.ipc.sources import SeedRange
from server.worker.request_terms import RequestTerms
from tests.patience import PATIENCE_S

PLAN = "openvino/f32"


@pytest.fixture
def client(path):
    client = connect(path, arena_bytes=2**20)
    yield client
    client.close()


def draw(client, seed, n=1, timeout_s=PATIENCE_S, **terms):
    with client.generate(
        SeedRange(seed, n), RequestTerms(timeout_s, **terms), floats=True
    ) as generated:
        return generated.images.copy(), generated.plan


def expected(seed, n=1):
    return floats_of(picture(latents_range(seed, n, 8)))


class Opener:
    """Stand in for the lifecycle of an engine: it opens graphs of float images, when it is told.

    ``facts`` are what the catalog says of the bundle then.
    """

    def __init__(self, path, error="", **facts):
        self.path = path
        self.error = error
        self.facts = facts or {"float_plan": PLAN}
        self.asked = []
        self.engine = None

    def __call__(self, ask, answer):
        self.asked.append((ask, answer))

    def open(self):
        """Open what was asked for first."""
        (ask, answer), *self.asked = self.asked
        if not self.error:
            self.engine.add(serving_floats())
        publish(self.path, **self.facts)
        self.engine.announce()
        answer(self.error)
        return ask


def opens(path, opener, client, number=1):
    """Have the engine open what was asked for ``number`` times, once it was."""
    until(lambda: len(opener.asked) == number)
    return opener.open()


def test_first_caller_has_the_graph_opened_and_later_ones_find_it_open(path, client):
    opener = Opener(path)
    with running(path, on_ask=opener) as opener.engine:
        first = gevent.spawn(draw, client, 5, 3)
        ask = opens(path, opener, client)
        assert ask[1:] == ("floats", "tiny", "1")
        images, plan = first.get(timeout=PATIENCE_S)
        assert images.dtype == np.float32
        assert (images == expected(5, 3)).all()
        assert plan == PLAN
        assert (draw(client, 6)[0] == expected(6)).all()
        assert not opener.asked


def test_callers_who_wait_together_ask_once(path, client):
    opener = Opener(path)
    with running(path, on_ask=opener) as opener.engine:
        callers = [gevent.spawn(draw, client, seed) for seed in range(50)]
        opens(path, opener, client)
        for seed, caller in enumerate(callers):
            assert (caller.get(timeout=PATIENCE_S)[0] == expected(seed)).all()
        assert not opener.asked


def test_float_images_and_bytes_of_one_model_share_the_engine(path, client):
    publish(path, float_plan=PLAN)
    with running(path) as engine:
        engine.add(serving_floats())
        until(lambda: client.ready)
        floats = [gevent.spawn(draw, client, seed, 3) for seed in range(40)]
        with client.generate(SeedRange(0, 30), RequestTerms(PATIENCE_S)) as generated:
            assert generated.images.dtype == np.uint8
            assert (generated.images == picture(latents_range(0, 30, 8))).all()
        for seed, caller in enumerate(floats):
            assert (caller.get(timeout=PATIENCE_S)[0] == expected(seed, 3)).all()


def test_bundle_without_the_graph_is_told_at_once_and_no_engine_is_asked(path, client):
    opener = Opener(path)
    publish(path, no_floats="the bundle has no graph of them")
    with running(path, on_ask=opener):
        until(lambda: client.ready)
        with pytest.raises(NotOffered, match="tiny/1 draws no float images: the bundle has no"):
            draw(client, 5)
        assert not opener.asked


def test_graph_that_cannot_be_opened_is_told_in_words_without_paths(path, client):
    error = "/srv/models/tiny/1 is off by 200 grey levels"
    opener = Opener(path, error, no_floats=error)
    with running(path, on_ask=opener) as opener.engine:
        caller = gevent.spawn(draw, client, 5)
        opens(path, opener, client)
        with pytest.raises(NotOffered, match="images: 1 is off by 200"):
            caller.get(timeout=PATIENCE_S)


def test_graph_that_cannot_be_read_now_may_be_asked_for_again(path, client):
    opener = Opener(path, "the volume hangs", float_plan="")
    with running(path, on_ask=opener) as opener.engine:
        caller = gevent.spawn(draw, client, 5)
        opens(path, opener, client)
        with pytest.raises(EngineUnavailable, match="the volume hangs"):
            caller.get(timeout=PATIENCE_S)
        again = gevent.spawn(draw, client, 5)
        opener.error, opener.facts = "", {"float_plan": PLAN}
        opens(path, opener, client)
        assert (again.get(timeout=PATIENCE_S)[0] == expected(5)).all()


def test_deadline_ends_the_waiting_of_one_caller_and_of_no_other(path, client):
    opener = Opener(path)
    with running(path, on_ask=opener) as opener.engine:
        patient = gevent.spawn(draw, client, 5)
        with pytest.raises(DeadlineExceeded):
            draw(client, 6, timeout_s=0.1)
        opens(path, opener, client)
        assert (patient.get(timeout=PATIENCE_S)[0] == expected(5)).all()


def test_caller_that_comes_after_others_gave_up_waits_for_what_they_have_asked(path, client):
    opener = Opener(path)
    with running(path, on_ask=opener) as opener.engine:
        until(lambda: client.ready)
        for seed in range(3):
            with pytest.raises(DeadlineExceeded):
                draw(client, seed, timeout_s=0.05)
        last = gevent.spawn(draw, client, 5)
        opens(path, opener, client)
        assert (last.get(timeout=PATIENCE_S)[0] == expected(5)).all()
        assert not opener.asked


def test_caller_that_hangs_up_waits_no_longer(path, client):
    opener = Opener(path)
    own, other = socket.socketpair()
    with running(path, on_ask=opener) as opener.engine, own:
        caller = gevent.spawn(draw, client, 5, peer=Peer(own))
        until(lambda: opener.asked)
        other.close()
        with pytest.raises(ClientGone):
            caller.get(timeout=PATIENCE_S)
        opener.open()  # for nobody


def test_engine_that_ends_while_it_opens_is_followed_by_the_next(path, client):
    lost, opener = Opener(path), Opener(path)
    with running(path, on_ask=lost):
        caller = gevent.spawn(draw, client, 5)
        until(lambda: lost.asked)
    with running(path, on_ask=opener) as opener.engine:
        opens(path, opener, client)
        assert (caller.get(timeout=PATIENCE_S)[0] == expected(5)).all()


def test_without_an_engine_the_deadline_is_waited_for(client):
    with pytest.raises(EngineUnavailable):
        draw(client, 5, timeout_s=0.1)


def test_next_engine_that_has_not_opened_it_is_asked(path, client):
    publish(path, float_plan=PLAN)
    with running(path) as engine:
        engine.add(serving_floats())
        until(lambda: client.ready)
        assert (draw(client, 5)[0] == expected(5)).all()
    until(lambda: not client.ready)
    publish(path)
    opener = Opener(path)
    with running(path, on_ask=opener) as opener.engine:
        caller = gevent.spawn(draw, client, 6)
        opens(path, opener, client)
        assert (caller.get(timeout=PATIENCE_S)[0] == expected(6)).all()


def test_of_several_engines_those_are_asked_that_draw_them(tmp_path):
    paths = [tmp_path / x / "engine.sock" for x in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        publish(path, float_plan=PLAN if path is paths[1] else "")
    client = connect(*paths)
    with running(paths[0]), running(paths[1]) as engine:
        engine.add(serving_floats())
        until(lambda: all(client.engines))
        for seed in range(10):
            assert (draw(client, seed)[0] == expected(seed)).all()
    client.close()


def test_what_a_killed_engine_had_goes_to_the_next_which_draws_floats_too(path, client):
    gate = Gate()
    publish(path, float_plan=PLAN)
    with running(path) as engine:
        engine.add(serving_floats(run=lambda latents: floats_of(gate(latents))))
        until(lambda: client.ready)
        caller = gevent.spawn(draw, client, 5)
        until(gate.entered.is_set)
        engine._connections.hang_up(next(iter(engine._connections.open)))
        gate.open.set()
    with running(path) as engine:
        engine.add(serving_floats())
        assert (caller.get(timeout=PATIENCE_S)[0] == expected(5)).all()


def test_arena_holds_a_quarter_as_many_float_images(path):
    client = connect(path, arena_bytes=2**18)
    entry = client.find()
    bytes_, floats = client.most_rows(entry, 0), client.most_rows(entry, 0, floats=True)
    assert bytes_ // 4 - 1 <= floats <= bytes_ // 4
    publish(path, float_plan=PLAN)
    with running(path) as engine:
        engine.add(serving_floats())
        until(lambda: client.ready)
        assert len(draw(client, 5, floats)[0]) == floats
        with pytest.raises(InvalidRequest, match=f"at most {floats}"):
            draw(client, 5, floats + 1)
    client.close()
