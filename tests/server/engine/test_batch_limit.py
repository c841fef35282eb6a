"""The largest batch follows what batches take, and does not go to and fro."""

from itertools import pairwise

from server.engine.batch_limit import LARGEST, LONGEST_S, SMALLEST, BatchLimit, mixed_rows


def observe(limit, row_s, times=50):
    """Serve full batches of which each row takes ``row_s`` seconds; return the limit after each."""
    seen = []
    for _ in range(times):
        limit.observe(limit.rows, limit.rows * row_s)
        seen.append(limit.rows)
    return seen


def test_batches_of_a_fast_model_are_as_large_as_may_be():
    assert set(observe(BatchLimit(), LONGEST_S / 10 / LARGEST)) == {LARGEST}


def test_batches_of_a_slow_model_become_small():
    assert observe(BatchLimit(), 10 * LONGEST_S / LARGEST)[-1] == SMALLEST


def test_limit_settles_where_a_batch_takes_no_longer_than_the_longest_time():
    limit = BatchLimit()
    assert observe(limit, 1.5 * LONGEST_S / LARGEST)[-10:] == [LARGEST // 2] * 10


def test_batches_grow_again_when_the_machine_is_faster():
    limit = BatchLimit()
    observe(limit, 10 * LONGEST_S / LARGEST)
    assert observe(limit, 0.1 * LONGEST_S / LARGEST, times=100)[-1] == LARGEST


def test_what_is_nearly_too_long_does_not_make_the_limit_go_to_and_fro():
    limit = BatchLimit()
    seen = observe(limit, 1.01 * LONGEST_S / LARGEST, times=200)
    assert all(one >= other for one, other in pairwise(seen))
    assert seen[-1] == LARGEST // 2


def test_small_batches_tell_nothing():
    limit = BatchLimit()
    for _ in range(50):
        limit.observe(1, 2 * LONGEST_S)
    assert limit.rows == LARGEST


def test_one_disturbed_batch_of_many_changes_nothing():
    limit = BatchLimit()
    observe(limit, 0.3 * LONGEST_S / LARGEST)
    limit.observe(LARGEST, 3 * LONGEST_S)
    assert limit.rows == LARGEST


def test_bulk_leaves_half_of_a_batch_to_small_requests_unless_batches_are_small():
    assert [mixed_rows(size) for size in (4, 16, 20, 32, 64)] == [4, 16, 16, 16, 32]
