"""The best weights survive a kill, and only better ones replace them."""

import numpy as np
import pytest

from training.best import Best


def weights(value):
    return [np.full((2, 3), value, np.float32), np.array([value], np.float32)]


def test_smaller_distances_replace_larger_ones(tmp_path):
    best = Best(tmp_path / "best")
    assert (best.distance, best.epoch) == (None, None)
    assert best.offer(20.0, 1, weights(1))
    assert not best.offer(21.0, 2, weights(2))
    assert best.offer(19.0, 3, weights(3))
    again = Best(tmp_path / "best")
    assert (again.distance, again.epoch) == (19.0, 3)
    for found, wanted in zip(again.weights(), weights(3), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_order_of_many_weights_is_kept(tmp_path):
    best = Best(tmp_path)
    best.offer(1.0, 1, [np.array([k]) for k in range(120)])
    assert [int(w[0]) for w in Best(tmp_path).weights()] == list(range(120))


def test_kill_while_writing_leaves_the_old_one(tmp_path, monkeypatch):
    best = Best(tmp_path)
    best.offer(20.0, 1, weights(1))

    def killed(path, **arrays):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", killed)
    with pytest.raises(KeyboardInterrupt):
        best.offer(10.0, 2, weights(2))
    assert Best(tmp_path).epoch == 1
