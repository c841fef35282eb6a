"""The raw rate counts images, whatever the number of sessions."""

import threading

import pytest

from server.runtime.benchmark import best_batch_size, rate


class Counting:
    def __init__(self):
        self.rows = 0
        self.threads = set()

    def run(self, batch):
        assert batch.shape[1] == 8
        self.rows += len(batch)
        self.threads.add(threading.get_ident())
        return batch


def test_rate_adds_up_the_images_of_all_sessions():
    sessions = [Counting(), Counting()]
    found = rate(sessions, rows=16, latent_dim=8, seconds=0.05)
    assert found > 0
    assert all(session.rows > 16 for session in sessions)
    assert all(len(session.threads) == 2 for session in sessions)  # its own, and the warming one


def test_each_session_counts_the_seconds_of_its_own_batches():
    clocks = threading.local()

    class Slow(Counting):
        def __init__(self, seconds):
            super().__init__()
            self.seconds = seconds

        def run(self, batch):
            clocks.now = getattr(clocks, "now", 0.0) + self.seconds
            return super().run(batch)

    found = rate([Slow(1), Slow(4)], 16, 8, 6.0, lambda: getattr(clocks, "now", 0.0))
    assert found == 16 / 1 + 16 / 4  # the second took 8 s of its own for what 6 were asked for


@pytest.mark.parametrize(
    ("rates", "size"),
    [
        ({16: 6500, 32: 6500, 64: 5600, 128: 5600}, 32),  # the engine's own work counts at 16
        ({16: 700, 32: 700, 64: 700}, 16),  # slow sessions: there is nothing left to share
        ({16: 500, 32: 550}, 32),  # a batch takes a tenth of a second: that is long enough
        ({16: 9e4, 32: 18e4, 64: 30e4, 128: 45e4, 256: 25e4, 512: 20e4}, 128),
        ({16: 7000, 32: 6600, 64: 7600, 128: 7500, 256: 7500}, 64),  # 32 was disturbed
        ({16: 700, 32: 708, 64: 716}, 32),  # a little each time is much together
        (dict.fromkeys((16, 32, 64, 128, 256, 512, 1024), 1e9), 1024),
    ],
)
def test_largest_batch_is_the_smallest_that_is_fast(rates, size):
    """The sizes that are not in ``rates`` must not be tried: each costs time at the start."""
    assert best_batch_size(lambda rows: (rates[rows], rates[2 * rows]), streams=2) == size


def test_no_more_than_the_largest_is_tried():
    rates = {16: 9e4, 32: 18e4}
    found = best_batch_size(lambda rows: (rates[rows], rates[2 * rows]), streams=2, largest=32)
    assert found == 32
