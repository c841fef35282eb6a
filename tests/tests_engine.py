"""An engine that runs in a thread of the test, on a model that is plain arithmetic."""

import threading
import time
from contextlib import contextmanager

import numpy as np

from server.engine import wire
from server.engine.batcher import Batcher
from server.engine.loop import Engine

SHAPE = wire.SlotShape(8, (4, 4, 3))


class Notes:
    """Metrics that a test can read."""

    def __init__(self):
        self.batches = []
        self.dropped_rows = {}
        self.rejections = []
        self.queued = 0

    def batch(self, rows, seconds):
        self.batches.append(rows)

    def queue_delay(self, seconds):
        assert seconds >= 0

    def dropped(self, reason, rows):
        self.dropped_rows[reason] = self.dropped_rows.get(reason, 0) + rows

    def rejected(self, reason):
        self.rejections.append(reason)

    def queue(self, rows, capacity):
        self.queued = rows


def picture(latents):
    """Stand in for a generator: a picture that tells which latents it came from."""
    level = np.abs(latents * 1000).sum(axis=1).astype(np.int64) % 251
    return np.broadcast_to(level[:, None, None, None], (len(latents), 4, 4, 3)).astype(np.uint8)


@contextmanager
def running(path, streams=(picture,), max_batch_size=16, max_queue_rows=4096, max_delay_s=0.0):
    """Run an engine at ``path`` in threads until the context ends."""
    notes = Notes()
    batcher = Batcher(max_batch_size, max_queue_rows, time.monotonic, max_delay_s)
    engine = Engine(path, streams, SHAPE, batcher, notes)
    engine.notes = notes
    thread = threading.Thread(target=engine.serve)
    thread.start()
    try:
        yield engine
    finally:
        engine.stop(within_s=0)
        thread.join(20)
        assert not thread.is_alive(), "the engine did not end"


def until(condition, within_s=10.0):
    """Poll ``condition`` until it holds; fail when it does not in time."""
    import gevent

    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        gevent.sleep(0.005)
