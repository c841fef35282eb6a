"""An engine that runs in a thread of the test, on a model that is plain arithmetic."""

import threading
import time
from contextlib import contextmanager

import numpy as np

from server.bundle.files import Bundle, floats_key
from server.bundle.manifest import Golden, GraphFacts, ImageFacts, LatentsFacts, Manifest, Variant
from server.engine.batcher import Batcher
from server.engine.engine import Engine
from server.engine.models import ServedModel
from server.ipc.arena import SlotShape
from server.ipc.catalog import READY, Catalog, Entry
from server.ipc.engine_dir import EngineDir
from server.worker.engine_client import EngineClient
from tests.patience import PATIENCE_S

SHAPE = SlotShape((4, 4, 3))


def manifest(name="tiny", version="1"):
    """What a bundle of ``picture`` would say of itself."""
    return Manifest(
        1,
        name,
        version,
        LatentsFacts(8, "normal", 1),
        ImageFacts([4, 4, 3], "uint8", [0, 255], "RGB"),
        GraphFacts("latents", "images", 18),
        [
            Variant("fp32", "generator.onnx", "float32", "none", {}),
            Variant("floats", "generator-float.onnx", "float32", "none", {}),
        ],
        Golden([], [], "golden.npy", 0),
        {},
    )


def key_of(ref="tiny/1"):
    """The key of the bundle ``name/version``."""
    return Bundle(None, manifest(*ref.split("/"))).key


def publish(path, *refs, **facts):
    """Write the catalog that an engine at ``path`` would: the first of ``refs`` is the default.

    The ``facts`` are further ones of each entry.
    """
    refs = refs or ("tiny/1",)
    entries = {
        ref: Entry(*ref.split("/"), READY, "", key_of(ref), manifest(*ref.split("/")), **facts)
        for ref in refs
    }
    newest = {ref.split("/")[0]: ref.split("/")[1] for ref in reversed(refs)}
    engine_dir = EngineDir(path.parent)
    Catalog(refs[0], entries, (), newest).write(engine_dir.catalog)
    return engine_dir


def connect(*paths, arena_bytes=2**20, loop=None, **more):
    """Return the client of the engines at ``paths``, which need not be there yet.

    It waits as greenlets do, if there is no other ``loop``.
    """
    if loop is None:
        from server.worker.gevent_io import GeventLoop  # not every process has gevent

        loop = GeventLoop()
    engine_dirs = [EngineDir(path.parent) for path in paths]
    for path, engine_dir in zip(paths, engine_dirs, strict=True):
        if not engine_dir.catalog.exists():
            publish(path)
    return EngineClient(engine_dirs, arena_bytes, loop, **more)


def floats_of(images):
    """The float images, in [-1, 1], that are ``images`` in grey levels."""
    return (images / np.float32(127.5) - 1).astype(np.float32)


def serving_floats(ref="tiny/1", run=None, streams=1):
    """Return the float images of a bundle as the engine serves them."""
    runs = [run or (lambda latents: floats_of(picture(latents)))] * streams
    batcher = Batcher(16, 4096, time.monotonic)
    shape = SlotShape(SHAPE.image_shape, np.float32)
    return ServedModel(floats_key(key_of(ref)), 8, shape, runs, batcher, plan="openvino/f32")


def serving(
    runs,
    ref="tiny/1",
    max_batch_size=16,
    max_queue_rows=4096,
    max_delay_s=0.0,
    plan="cpu/f32",
    class_count=0,
):
    """Return a bundle as the engine serves it, drawn by ``runs``, one a stream."""
    batcher = Batcher(max_batch_size, max_queue_rows, time.monotonic, max_delay_s)
    return ServedModel(key_of(ref), 8, SHAPE, runs, batcher, plan=plan, class_count=class_count)


class Notes:
    """Metrics that a test can read."""

    def __init__(self):
        self.batches = []
        self.dropped_rows = {}
        self.queued = 0

    def batch(self, rows, seconds, key):
        self.batches.append(rows)

    def queue_delay(self, seconds):
        assert seconds >= 0

    def dropped(self, reason, rows):
        self.dropped_rows[reason] = self.dropped_rows.get(reason, 0) + rows

    def queue(self, rows, capacity):
        self.queued = rows


def picture(latents):
    """Stand in for a generator: a picture that tells which latents it came from."""
    level = np.abs(latents * 1000).sum(axis=1).astype(np.int64) % 251
    return np.broadcast_to(level[:, None, None, None], (len(latents), 4, 4, 3)).astype(np.uint8)


class Gate:
    """A model that waits until it is let through."""

    def __init__(self):
        self.open = threading.Event()
        self.entered = threading.Event()

    def __call__(self, latents):
        self.entered.set()
        assert self.open.wait(PATIENCE_S)
        return picture(latents)


@contextmanager
def running(path, streams=(picture,), on_ask=None, **batching):
    """Run an engine at ``path`` in threads until the context ends."""
    notes = Notes()
    engine = Engine(path, len(streams), notes, on_ask=on_ask)
    engine.notes = notes
    engine.served = serving(streams, **batching)
    engine.add(engine.served)
    thread = threading.Thread(target=engine.serve)
    thread.start()
    try:
        yield engine
    finally:
        for gate in (stream for stream in streams if isinstance(stream, Gate)):
            gate.open.set()  # else a test that fails would wait for it
        engine.stop(within_s=0)
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the engine did not end"


def wait_until(condition, within_s=PATIENCE_S):
    """Poll ``condition`` as ``until`` does, in a process without gevent."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
    return found


def until(condition, within_s=PATIENCE_S):
    """Poll ``condition`` until it holds, and return what it returned; fail if it is too late."""
    import gevent

    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        gevent.sleep(0.005)
    return found


class Peer:
    """The caller at the other end of ``sock``."""

    def __init__(self, sock):
        self.fileno = sock.fileno

    def is_gone(self):
        return False
