"""nginx and HAProxy, as they are configured here, in front of the server and of a small one."""

import io
import json
import os
import re
import socket
import subprocess
import threading
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import numpy as np
import pytest
from urllib3.filepost import encode_multipart_formdata

from loadtests.serving import free_port
from tests.servers import PATIENCE_S, PYTHON, get, serving, until
from tests.small_model import small_model

pytestmark = pytest.mark.servers
ROOT = Path(__file__).parents[2]
CONFIGS = {"nginx": "proxy/nginx.conf", "haproxy": "proxy/haproxy.cfg"}
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
"""The folders that nginx wants, by the names of their settings."""
WAITS = re.compile(r"(client_header_timeout|client_body_timeout|timeout http-request +)\s*10s")
"""How long a proxy waits for a request: a machine that is slow for a while is waited for."""
CHECK = f"    timeout check {PATIENCE_S}s\n"
"""Without a time of its own a check has to be answered before the next one."""


def changed(config, port, upstream, folder, waits_s):
    """Return the text of ``config`` with other places and waits; what it lacks fails."""
    places = {
        "nginx": {"listen 8080;": f"listen 127.0.0.1:{port};", "127.0.0.1:8000;": f"{upstream};"},
        "haproxy": {
            "bind :8080": f"bind 127.0.0.1:{port}",
            "    server one 127.0.0.1:8000": f"{CHECK}    server one {upstream}",
        },
    }
    text = (ROOT / CONFIGS[config]).read_text()
    for old, new in places[config].items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    assert WAITS.search(text)
    text = WAITS.sub(rf"\1 {waits_s}s", text)
    if config == "nginx":
        own = "".join(f"{name}_temp_path {folder}/{name};\n" for name in TEMPORARY)
        text = text.replace("http {", f"http {{\n{own}")
        text = text.replace("/run/carfront-nginx.pid", f"{folder}/pid")
        if os.geteuid() == 0:  # its workers may not look into the tests' folders otherwise
            text = f"user root;\n{text}"
    return text


@contextmanager
def proxied(config, upstream, folder, ready=(200,), waits_s=PATIENCE_S):
    """Run a proxy in front of ``upstream``, as host:port; yield its host:port.

    The proxy is ready once it answers with one of the statuses ``ready``. It waits for a request
    for ``waits_s``.
    """
    place = f"127.0.0.1:{free_port()}"
    file = folder / CONFIGS[config].rpartition("/")[2]
    file.write_text(changed(config, place.rpartition(":")[2], upstream, folder, waits_s))
    command = {
        "nginx": ["nginx", "-p", folder, "-c", file, "-g", "daemon off; error_log stderr;"],
        "haproxy": ["haproxy", "-db", "-f", file],
    }[config]
    with (folder / f"{config}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: status_of(place) in ready or process.poll() is not None)
        assert process.poll() is None, (folder / f"{config}.log").read_text()
        yield place
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def status_of(place):
    try:
        return request(place, "GET", "/healthz")[0]
    except OSError:
        return None


def request(place, method, path, body=None, fields=None):
    """Return status, fields and body, over a connection of its own."""
    with closing(HTTPConnection(place, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, body, fields or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def post(place, wanted, path="/v1/images"):
    return request(place, "POST", path, json.dumps(wanted), {"Content-Type": "application/json"})


def assert_problem(answer, *statuses):
    status, fields, body = answer
    assert status in statuses
    assert fields["Content-Type"] == "application/problem+json"
    assert json.loads(body)["status"] == status


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Yield the host:port of the server, with a model that draws fast."""
    models = tmp_path_factory.mktemp("models")
    small_model(models)
    with serving(PYTHON, {"CARFRONT_MODELS": str(models)}) as found:
        yield urlsplit(found.url).netloc


@pytest.fixture(scope="module")
def proxies(server, tmp_path_factory):
    """Yield the host:port of each proxy in front of the server, by its name."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(proxied(name, server, tmp_path_factory.mktemp(name)))
            for name in CONFIGS
        }


@pytest.fixture(params=list(CONFIGS))
def proxy(request, proxies):
    return proxies[request.param]


@pytest.fixture(params=list(CONFIGS))
def hasty_proxy(request, server, tmp_path):
    """Yield the host:port of a proxy that waits for a request for a second."""
    with proxied(request.param, server, tmp_path, waits_s=1) as place:
        yield place


def test_image_is_the_same_as_without_a_proxy(proxy, server):
    assert (
        request(proxy, "GET", "/v1/images/7.png")[2]
        == (request(server, "GET", "/v1/images/7.png")[2])
    )


def test_largest_answer_comes_whole(proxy, server):
    status, fields, body = post(proxy, {"n": 4096, "seed": 5, "format": "npy"})
    assert status == 200
    assert len(body) == int(fields["Content-Length"])
    images = np.load(io.BytesIO(body))
    assert images.shape == (4096, 32, 32, 3)
    alone = np.load(io.BytesIO(post(server, {"n": 1, "seed": 4100, "format": "npy"})[2]))
    assert np.array_equal(images[4095], alone[0])


def test_path_prefix_is_taken_off(proxy, server):
    wanted = request(server, "GET", "/v1/images/7.png")[2]
    assert request(proxy, "GET", "/cars/v1/images/7.png")[2] == wanted
    assert post(proxy, {"n": 2, "seed": 5}, "/cars/v1/images")[0] == 200


@pytest.mark.parametrize("path", ["/", "/cars/"])
def test_page_and_its_files_are_to_be_had_below_the_prefix_too(proxy, path):
    page = request(proxy, "GET", path, fields={"Accept": "text/html"})[2].decode()
    assert ('<base href="/cars/">' in page) == (path == "/cars/")
    files = re.findall(r'(?:href|src)="(page/[^"]*)"', page)
    assert len(files) == 3
    for file in files:
        status, fields, _ = request(proxy, "GET", urljoin(path, file))
        assert status == 200
        assert "immutable" in fields["Cache-Control"]


@pytest.mark.parametrize("prefix", ["", "/cars"])
def test_commands_of_the_interfaces_page_ask_the_proxy(proxy, prefix):
    fields = {"Host": "cars.example.org", "X-Forwarded-Host": "forged.example"}
    page = request(proxy, "GET", f"{prefix}/docs", fields=fields)[2].decode()
    assert f"curl http://cars.example.org{prefix}/healthz" in page
    assert "forged" not in page


@pytest.mark.parametrize("prefix", ["", "/cars"])
def test_tensors_are_passed_on_though_they_are_large(proxy, server, prefix):
    latents = np.random.default_rng(7).standard_normal((300, 100), np.float32).tobytes()
    fields = {"Content-Type": "application/octet-stream"}
    path = "/v2/models/cars-dcgan/infer"
    status, _, body = request(proxy, "POST", prefix + path, latents, fields)
    assert status == 200
    assert body == request(server, "POST", path, latents, fields)[2]
    too_long = {**fields, "Content-Length": str(17 * 2**20)}
    assert request(proxy, "POST", prefix + path, bytes(2**15), too_long)[0] == 413


@pytest.mark.parametrize("prefix", ["", "/cars"])
def test_photographs_are_passed_on_though_they_are_large(proxy, prefix):
    body, kind = encode_multipart_formdata({"photo": ("car.png", bytes(100_000))})
    told = request(proxy, "POST", f"{prefix}/v1/restore", body, {"Content-Type": kind})
    assert_problem(told, 400)
    assert json.loads(told[2])["field"] == "photo"  # the server has read it: it is no picture


def test_body_over_the_limit_is_refused(proxy):
    too_long = {"Content-Length": str(70_000)}
    assert_problem(request(proxy, "POST", "/v1/other", bytes(70_000)), 413)
    assert_problem(request(proxy, "POST", "/v1/images/7.png", bytes(2**15), too_long), 413)


def test_chunked_body_over_the_limit_never_reaches_the_server(proxies):
    chunks = iter([b'{"n": 1}', b" " * 70_000])
    assert_problem(request(proxies["nginx"], "POST", "/v1/other", chunks), 413)


@pytest.mark.parametrize("prefix", ["", "/cars"])
def test_latents_are_passed_on_though_they_are_large(proxy, server, prefix):
    file = io.BytesIO()
    np.save(file, np.random.default_rng(7).standard_normal((300, 100), np.float32))
    fields = {"Content-Type": "application/x-npy"}
    path = "/v1/images?format=npy"
    status, _, body = request(proxy, "POST", prefix + path, file.getvalue(), fields)
    assert status == 200
    assert body == request(server, "POST", path, file.getvalue(), fields)[2]
    too_long = {**fields, "Content-Length": str(17 * 2**20)}
    assert request(proxy, "POST", prefix + path, bytes(2**15), too_long)[0] == 413


def test_head_over_the_limit_is_refused(proxy):
    assert request(proxy, "GET", "/healthz", fields={"X-A": "a" * 40_000})[0] in (400, 431)


@pytest.mark.parametrize("path", ["/metrics", "/v2/repository/index", "/cars/metrics"])
def test_what_is_not_for_the_public_is_not_shown(proxy, path):
    assert_problem(request(proxy, "GET", path), 403)


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /v1/images/7.png HTTP/1.1\r\nHost: x\r\nX-A: ",
        b"POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{",
    ],
)
def test_request_that_does_not_go_on_is_ended_by_the_proxy(hasty_proxy, begun):
    host, port = hasty_proxy.split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as slow:
        slow.sendall(begun)
        rest = b""
        with suppress(ConnectionResetError):
            while data := slow.recv(4096):
                rest += data
    assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")
    until(lambda: status_of(hasty_proxy) == 200)


def test_slow_reader_is_the_proxys(proxies, server):
    host, port = proxies["nginx"].split(":")
    body = b'{"n": 4096, "seed": 5, "format": "npy"}'
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(PATIENCE_S)
        slow.connect((host, int(port)))
        before = sent(server)
        slow.sendall(
            b"POST /v1/images HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        until(lambda: sent(server) >= before + 4096 and not unsent(server))
        rest = b""
        while data := slow.recv(1 << 20):
            rest += data
    assert len(rest) > 4096 * 32 * 32 * 3


def sent(server):
    """Return the number of images that the server has answered with so far."""
    text = get(f"http://{server}/metrics").decode()
    return sum(map(float, re.findall(r"^carfront_images_total\{.*\} (\S+)$", text, re.MULTILINE)))


def unsent(server):
    """Return whether a connection of the server holds bytes that its peer has not taken."""
    port = f":{int(server.rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(x[1].endswith(port) and int(x[4].partition(":")[0], 16) for x in lines)


# what the server gets to see


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.callers.add(self.client_address)
        body = json.dumps({"path": self.path, **self.headers}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args):
        pass  # a proxy's check hangs up


@pytest.fixture(params=list(CONFIGS))
def echo(request, tmp_path):
    """Yield a small server that echoes, and the host:port of a proxy in front of it."""
    with QuietServer(("127.0.0.1", 0), Echo) as small:
        small.callers = set()
        thread = threading.Thread(target=small.serve_forever, daemon=True)
        thread.start()
        with proxied(request.param, f"127.0.0.1:{small.server_port}", tmp_path) as place:
            yield small, place
        small.shutdown()
        thread.join()


def test_what_a_caller_says_of_itself_is_replaced(echo):
    names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Forwarded")
    fields = {"Host": "cars.example.org", **dict.fromkeys(names, "forged")}
    seen = json.loads(request(echo[1], "GET", "/cars/v1/images/7.png?a=b", fields=fields)[2])
    seen = {name.lower(): value for name, value in seen.items()}
    assert seen["path"] == "/v1/images/7.png?a=b"
    assert seen["host"] == seen["x-forwarded-host"] == "cars.example.org"
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-prefix"] == "/cars"
    assert "forwarded" not in seen


def test_request_without_a_prefix_says_none(echo):
    seen = json.loads(request(echo[1], "GET", "/", fields={"X-Forwarded-Prefix": "forged"})[2])
    assert "x-forwarded-prefix" not in {name.lower() for name in seen}


def test_connections_to_the_server_are_kept(echo):
    small, place = echo
    small.callers.clear()
    for _ in range(20):
        assert request(place, "GET", "/")[0] == 200
    assert len(small.callers) < 10


@pytest.mark.parametrize("config", list(CONFIGS))
def test_server_that_is_gone_is_a_problem_document(config, tmp_path):
    statuses = (502, 503, 504)
    with proxied(config, f"127.0.0.1:{free_port()}", tmp_path, ready=statuses) as place:
        assert_problem(request(place, "GET", "/"), *statuses)
