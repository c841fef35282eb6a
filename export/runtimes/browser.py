"""Chromium, headless: it draws on a page served from this process, and posts the images back."""

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from export.runtimes.environments import RuntimeFailed

WEB = Path(__file__).with_name("web")
TYPES = {".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm"}
LIBRARIES = {"wasm": "ort.wasm.min.mjs", "webgl": "ort.webgl.min.mjs"}
"""The file of onnxruntime-web that has a provider."""
FLAGS = ["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
FLAGS += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
"""The options of Chromium: nothing but the page is loaded, and WebGL is drawn by the processor."""


class _Page:
    """What the page may read, and what it has posted."""

    def __init__(self, library: Path, graph: Path, latents: Path, out: Path) -> None:
        self.files = {"/graph": graph, "/latents": latents}
        self.folders = {"/dist": library / "dist", "": WEB}
        self.out = out
        self.ended = threading.Event()
        self.error = ""

    def file(self, path: str) -> Path:
        folder, _, name = path.rpartition("/")
        return self.files.get(path) or self.folders[folder] / name

    def take(self, path: str, body: bytes) -> None:
        if path == "/done":
            self.error = body.decode()
            self.ended.set()
        else:
            (self.out / Path(path).name).write_bytes(body)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, page: _Page, *arguments: object) -> None:
        self.page = page
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        try:
            file = self.page.file(urlsplit(self.path).path)
            body = file.read_bytes()
        except (KeyError, OSError):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", TYPES.get(file.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.page.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def draw_in_chromium(
    library: Path,
    provider: str,
    graph: Path,
    latents: Path,
    latent_dim: int,
    out: Path,
    sizes: list[int],
    seconds: float,
) -> None:
    """Write the images that onnxruntime-web in ``library`` draws to ``out``/<size>.<type>.

    ``latents`` are raw float32.

    Raises:
        RuntimeFailed: there is no Chromium, it did not end in time, or the page met an error.
    """
    page = _Page(library, graph, latents, out)
    asked = [("provider", provider), ("library", LIBRARIES[provider]), ("dim", latent_dim)]
    query = urlencode([*asked, *(("size", size) for size in sizes)])
    with _served(page) as address, _chromium(f"{address}/page.html?{query}"):
        if not page.ended.wait(seconds):
            raise RuntimeFailed(f"the page did not end within {seconds:.0f} s")
    if page.error:
        raise RuntimeFailed(page.error)


@contextmanager
def _served(page: _Page) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, page)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def _chromium(address: str) -> Iterator[None]:
    null = subprocess.DEVNULL
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = ["chromium", *FLAGS, f"--user-data-dir={profile}", address]
        try:
            process = subprocess.Popen(command, stdin=null, stdout=null, stderr=null)
        except FileNotFoundError as error:
            raise RuntimeFailed("chromium is not installed") from error
        try:
            yield
        finally:
            process.terminate()
            process.wait()
