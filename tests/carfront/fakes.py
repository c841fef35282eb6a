"""A server of a few lines with faults by plan, and a source that draws without a model."""

import io
import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from carfront.datasets.index import Lineage

SHAPE = (4, 4, 3)
LINEAGE = Lineage("tiny", "1", "cpu/f32", 1, "00ff")


def images_of(seeds):
    """Return the images that fakes draw: the seed is in every pixel."""
    numbers = np.array([seed % 251 for seed in seeds], np.uint8)
    return np.broadcast_to(numbers[:, None, None, None], (len(numbers), *SHAPE)).copy()


class FakeSource:
    """Draws in no time, and notes the seeds; calls ``before`` with the block that it draws next."""

    shape = SHAPE
    parallel = 2
    block = 256

    def __init__(self, before=lambda block: None, lineage=LINEAGE):
        self.lineage = lineage
        self.drawn = []
        self.closed = False
        self._before = before

    def draw(self, seeds):
        self._before(seeds)
        self.drawn += seeds
        return images_of(seeds)

    def close(self):
        self.closed = True


class FakeServer:
    """What a fake server was asked, and the ``faults`` with which it answers the next requests."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.faults = deque()
        self.configs = deque()
        """The answers to the next requests for the model's configuration; else it has none."""
        self.requests = []
        self.connections = 0
        self.plan = "cpu/f32"
        self.holds = lambda body: False
        """Tells whether a request with that body is left without an answer."""


def problem(status, detail, **facts):
    """Return a fault: an answer with a problem document, and header fields."""
    headers = {name.replace("_", "-"): str(x) for name, x in facts.items() if name[0].isupper()}
    body = {name: x for name, x in facts.items() if name[0].islower()}
    return status, headers, json.dumps({"status": status, "detail": detail, **body}).encode()


BROKEN, TRUNCATED, TRICKLE = "broken", "truncated", "trickle"
"""Faults: the connection ends without an answer, or in the middle of one; or bytes come singly."""


@contextmanager
def fake_server() -> Iterator[FakeServer]:
    """Serve images as ``FakeSource`` draws them on a free port."""

    gone = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            fake.connections += 1

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fake.requests.append((self.path, self.headers, body))
            if self.held(body):
                return
            fault = fake.faults.popleft() if fake.faults else None
            if fault == BROKEN:
                self.close_connection = True
                return
            if isinstance(fault, tuple):
                self.answer(*fault)
                return
            file = io.BytesIO()
            np.save(file, self.drawn(body))
            made_by = {"Carfront-Model": "tiny/1", "Carfront-Plan": fake.plan}
            if fault == TRICKLE:
                self.trickle(file.getvalue())
                return
            self.answer(200, made_by, file.getvalue(), cut=20 if fault == TRUNCATED else 0)

        def do_GET(self):
            fake.requests.append((self.path, self.headers, b""))
            if self.held(b""):
                return
            if fake.configs:
                self.answer(*fake.configs.popleft())
                return
            self.answer(404, {}, b'{"error": "there is no such path"}')

        def held(self, body):
            """Leave the request without an answer until the end, if it is one of those."""
            if fake.holds(body):
                self.close_connection = gone.wait()
                return True
            return False

        def drawn(self, body):
            if "x-npy" in self.headers["Content-Type"]:
                return images_of(np.load(io.BytesIO(body))[:, 0].astype(int))
            wanted = json.loads(body)
            first = wanted.get("seed", 0)
            return images_of(wanted.get("seeds") or range(first, first + wanted.get("n", 1)))

        def answer(self, status, headers, body, cut=0):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": len(body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body[: len(body) - cut])
            self.close_connection |= bool(cut)

        def trickle(self, body):
            """Send a byte at a time until nobody reads."""
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                for at in range(len(body)):
                    self.wfile.write(body[at : at + 1])
                    gone.wait(0.02)
            except OSError:
                self.close_connection = True

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        fake = FakeServer(httpd.server_port)
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield fake
        finally:
            gone.set()
            httpd.shutdown()
            thread.join()
