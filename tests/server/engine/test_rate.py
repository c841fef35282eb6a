"""The raw rate counts images, whatever the number of sessions."""

import threading

from server.engine.rate import rate


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
