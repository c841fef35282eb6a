"""A proxy that changes one value of every image that passes: a server that gives wrong bytes."""

import http.client
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

NPY_HEAD = 128
PIXELS = 32 * 32 * 3
NOT_PASSED_ON = {
    "connection",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
    "content-length",
}


def changed(kind: str, fields: http.client.HTTPMessage, body: bytes) -> bytes:
    """Return the body with the first value of each image changed by half of the grey levels."""
    if kind == "application/x-npy":
        return _flipped(body, NPY_HEAD)
    if kind == "application/octet-stream":
        return _flipped(body, int(fields["Inference-Header-Content-Length"]))
    if kind == "image/png":
        return _png(body)
    document = json.loads(body) if kind == "application/json" else {}
    if "predictions" not in document:
        return body
    pixel = document["predictions"][0][0][0]
    pixel[0] += 1 if pixel[0] < 0 else -1
    return json.dumps(document).encode()


def _flipped(body: bytes, start: int) -> bytes:
    flipped = np.frombuffer(body, np.uint8).copy()
    flipped[start::PIXELS] ^= 0x80
    return flipped.tobytes()


def _png(body: bytes) -> bytes:
    with Image.open(io.BytesIO(body)) as picture:
        values = np.asarray(picture).copy()
    side = values.shape[0] // 32
    values[:side, :side, 0] ^= 0x80  # of an enlarged image the whole square
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


@contextmanager
def tampering(url: str) -> Iterator[str]:
    """Serve what the server at ``url`` serves, changed; yield the proxy's URL."""
    place = urlsplit(url).netloc

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.pass_on()

        def do_POST(self) -> None:
            self.pass_on()

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = http.client.HTTPConnection(place)
            try:
                asked.request(self.command, self.path, body, dict(self.headers))
                answer = asked.getresponse()
                body = answer.read()
            finally:
                asked.close()
            if answer.status == 200:
                body = changed(answer.headers.get_content_type(), answer.headers, body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in NOT_PASSED_ON:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
