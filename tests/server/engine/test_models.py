"""Several bundles in one engine: whose batch is next."""

import pytest
from tests_engine import SHAPE, picture, serving

from server.engine.batch_limit import BatchLimit
from server.engine.batcher import Batcher, QueuedRequest
from server.engine.models import Models, ServedModel
from tests.clock import Clock


@pytest.fixture
def models():
    return Models()


def with_work(models, ref, rows=0, **batching):
    served = serving([picture], ref, **batching)
    models.add(served)
    if rows:
        served.batcher.add(QueuedRequest(rows, deadline=float("inf")))
    return served


def test_those_with_work_take_turns(models):
    one, two = with_work(models, "a/1", 64), with_work(models, "b/1", 64)
    with_work(models, "c/1")
    order = [models.take()[0] for _ in range(8)]
    assert order in ([one, two] * 4, [two, one] * 4)
    assert models.take() is None
    assert models.rows == 0


def test_one_that_is_busy_keeps_no_other_waiting(models):
    busy = with_work(models, "a/1", 4096)
    for _ in range(3):
        models.take()
    late = with_work(models, "b/1", 1)
    assert late in [models.take()[0] for _ in range(2)]
    assert models.take()[0] is busy


def test_batch_is_due_when_the_first_of_them_is(models):
    assert models.due_in_s() is None
    with_work(models, "a/1", 1, max_delay_s=100.0)
    assert 90 < models.due_in_s() <= 100
    assert models.take() is None
    with_work(models, "b/1", 1)
    assert models.due_in_s() == 0
    served, batch = models.take()
    assert (served.batcher.max_delay_s, batch.rows) == (0.0, 1)


def test_bundle_in_use_is_not_idle(models):
    served = with_work(models, "a/1", 1)
    assert not served.idle
    models.take()
    served.running += 1
    assert not served.idle
    served.running -= 1
    assert served.idle
    models.remove(served.key)
    assert models.get(served.key) is None


def test_lone_batch_has_the_session_on_all_processors_once_there_is_one():
    served = serving([picture, len])
    assert served.run_for(1, is_lone=True) is len
    served.lone = max
    assert served.run_for(1, is_lone=True) is max
    assert served.run_for(0, is_lone=False) is picture


def test_batches_that_take_long_make_the_next_ones_smaller():
    limit = BatchLimit(64)
    served = ServedModel(
        1, 8, SHAPE, [picture], Batcher(64, 4096, Clock(), 0.0, 32), limit, plan="cpu/f32"
    )
    for _ in range(20):
        served.observe(64, 60.0, beside=2)
    assert served.batcher.max_batch_size == served.batcher.mixed_batch_size == 16
