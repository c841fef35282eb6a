"""Kept weights survive a kill, and only better ones replace the best."""

import numpy as np
import pytest

from training.config import TrainConfig
from training.kept import Averages, Best


def weights(value):
    return [np.full((2, 3), value, np.float32), np.array([value], np.float32)]


def test_smaller_distances_replace_larger_ones(tmp_path):
    best = Best(tmp_path)
    assert (best.distance, best.epoch) == (None, None)
    assert best.offer(20.0, 1, weights(1))
    assert not best.offer(21.0, 2, weights(2))
    assert best.offer(19.0, 3, weights(3))
    again = Best(tmp_path)
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


def test_each_measure_has_a_best_of_its_own(tmp_path):
    Best(tmp_path, "swd").offer(20.0, 1, weights(1))
    Best(tmp_path, "features").offer(0.5, 2, weights(2))
    assert (Best(tmp_path, "swd").epoch, Best(tmp_path, "features").epoch) == (1, 2)


def test_best_of_an_older_run_is_found(tmp_path):
    Best(tmp_path).offer(20.0, 7, weights(1))
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["best.npz"]


def test_every_few_epochs_and_the_last_are_kept(tmp_path):
    averages = Averages(TrainConfig(out=tmp_path, epochs=7, keep_every=3))
    for epoch in range(1, 8):
        averages.offer(epoch, weights(epoch))
    assert averages.epochs() == [3, 6, 7]
    np.testing.assert_array_equal(averages.weights(6)[0], weights(6)[0])


def test_nothing_is_kept_unless_it_is_wanted_and_nothing_ahead_of_the_run_is_offered(tmp_path):
    Averages(TrainConfig(out=tmp_path, epochs=1)).offer(1, weights(1))
    assert not list(tmp_path.iterdir())
    Averages(TrainConfig(out=tmp_path, epochs=2, keep_every=1)).offer(2, weights(2))
    assert Averages(TrainConfig(out=tmp_path, epochs=1, keep_every=1)).epochs() == []
