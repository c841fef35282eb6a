"""A server that is right, or wrong in one chosen way; and the interpreters to test with."""

import io
import json
import os
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from math import isqrt

import numpy as np
from numpy.typing import NDArray

LOADTEST_PYTHON = os.environ.get("LOADTEST_PYTHON", sys.executable)
"""The interpreter that has Locust: its pins clash with other environments' now and then."""
SERVE_PYTHON = os.environ.get("SERVE_PYTHON", sys.executable)
"""The interpreter that has the server's libraries."""
SHAPE = (32, 32, 3)
FRONT_PAGE = {"model": "fake", "version": "1", "image": {"shape": SHAPE}, "latents": {"dim": 100}}
"""What the front page tells."""


def draw(seed: int, n: int) -> NDArray[np.uint8]:
    """Return another plain colour for each seed: uint8 [n, 32, 32, 3]."""
    images = np.empty((n, *SHAPE), np.uint8)
    for row in range(n):
        images[row] = np.frombuffer(zlib.crc32(str(seed + row).encode()).to_bytes(4), np.uint8)[:3]
    return images


def png_of(image: NDArray[np.uint8]) -> bytes:
    """Return uint8 [height, width, 3] as a PNG."""
    height, width, _ = image.shape
    lines = np.concatenate((np.zeros((height, 1), np.uint8), image.reshape(height, -1)), axis=1)
    ihdr = width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\x00\x00\x00"
    data = zlib.compress(lines.tobytes())
    chunks = ((b"IHDR", ihdr), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)


def npy_of(images: NDArray[np.generic]) -> bytes:
    """Return a .npy file."""
    stream = io.BytesIO()
    np.save(stream, images)
    return stream.getvalue()


def sheet_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the images side by side in ceil(sqrt(n)) columns, on black."""
    n, height, width, _ = images.shape
    columns = isqrt(n - 1) + 1
    sheet = np.zeros((-(-n // columns) * height, columns * width, 3), np.uint8)
    for row, image in enumerate(images):
        top, left = row // columns * height, row % columns * width
        sheet[top : top + height, left : left + width] = image
    return sheet


class Fake(BaseHTTPRequestHandler):
    """Answers as Carfront does; a subclass's ``fault`` names what it does wrong."""

    protocol_version = "HTTP/1.1"
    fault = ""
    answers = count()

    def do_GET(self) -> None:
        if self.path == "/":
            self.say(200, "application/json", json.dumps(FRONT_PAGE).encode())
        elif self.path == "/readyz":
            self.say(200, "application/json", b"{}")
        else:
            name = self.path.removeprefix("/v1/images/").removesuffix(".png")
            self.images(int(name), 1, "png")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.images(asked["seed"], asked["n"], asked.get("format", "png"))

    def images(self, seed: int, n: int, form: str) -> None:
        bad = not (1 <= n <= 4096 and 0 <= seed <= 2**64 - n and form in ("png", "npy"))
        if self.fault == "busy":
            self.problem(503, **{"Retry-After": "3"})
        elif bad and self.fault != "lenient":
            self.problem(400)
        else:
            self.draw(abs(seed), max(n, 1), form)

    def draw(self, seed: int, n: int, form: str) -> None:
        images = draw(seed, n)
        if self.fault == "unsteady":
            images[0, 0, 0, 0] = next(self.answers) % 256
        if self.fault == "batches differ" and n > 1:
            images += 1
        if self.fault == "slow":
            time.sleep(0.05)
        body = npy_of(images) if form == "npy" else png_of(sheet_of(images))
        kind = {"npy": "application/x-npy"}.get(form, "image/png")
        self.say(200, kind, body, **{"Carfront-Seed": str(seed)})

    def problem(self, status: int, **headers: str) -> None:
        body = json.dumps({"status": status, "title": "No", "detail": "no such thing"}).encode()
        self.say(status, "application/problem+json", body, **headers)

    def say(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def counting_server() -> Iterator[tuple[str, list[str]]]:
    """Serve in a thread; yield the URL, and the paths of all requests that were answered."""
    answered: list[str] = []

    def say(self: Fake, *args: object, **headers: str) -> None:
        answered.append(self.path)
        Fake.say(self, *args, **headers)

    with fake_server(say=say) as url:
        yield url, answered


@contextmanager
def fake_server(fault: str = "", **members: object) -> Iterator[str]:
    """Serve in a thread; yield the URL. ``members`` take the place of the handler's own."""
    handler = type("Faulty", (Fake,), {"fault": fault, **members})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
